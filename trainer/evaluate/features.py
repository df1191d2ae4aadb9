"""Features of a frozen encoder, computed once: no augmentation, BatchNorm with its running statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from schemas import DataConfig, SkelError
from trainer.store import Samples
from trainer.streams import STREAMS

_CHUNK = 256
"""Clips per forward pass: large enough to keep a GPU busy, small enough for any memory."""


@dataclass(frozen=True)
class Features:
    """What a protocol on a frozen encoder sees of one half of the split."""

    values: Tensor
    """[N, D] float32 on the CPU."""
    labels: Tensor
    """[N] int64 on the CPU."""
    ids: tuple[str, ...] = ()
    """Of the N samples; empty where nobody asks who they are."""


def stream_of(encoder: str, data: DataConfig) -> str:
    """The stored stream that an encoder of a method is evaluated on: its own, or else the run's.

    Encoders are named after their stream, or after a representation of the run's one stream.
    """
    return encoder if encoder in STREAMS else data.stream


@torch.no_grad()
def extract(
    encoder: nn.Module,
    samples: Samples,
    *,
    convention: str,
    device: torch.device,
    on_progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Encodes every clip of one convention in float32; leaves the encoder in the mode it was in."""
    clips = samples.clips[convention]
    training = encoder.training
    encoder.eval()
    try:
        parts = []
        for start in range(0, len(clips), _CHUNK):
            parts.append(encoder(clips[start : start + _CHUNK].to(device), convention).float().cpu())
            if on_progress is not None:
                on_progress(min(start + _CHUNK, len(clips)), len(clips))
    finally:
        encoder.train(training)
    return Features(torch.cat(parts), samples.labels.cpu(), samples.ids)


def check_finite(features: Features, samples: Samples, *, encoder: str, convention: str) -> None:
    """Raises SkelError when a feature is nan or infinite: neighbours and classifiers of such mean nothing."""
    bad = (~features.values.isfinite()).any(dim=1)
    if not bad.any():
        return
    count, first = int(bad.sum()), samples.ids[int(bad.nonzero()[0])]
    finite = bool(samples.clips[convention][bad].isfinite().all())
    raise SkelError(
        f"{count} of {len(bad)} clips have features that are not finite, {first} first"
        + ("" if finite else "; the clips themselves are not"),
        where=f"encoder {encoder}, {convention}",
        remedy="The training diverged: look at the loss in metrics.jsonl and train with a lower optimise.lr"
        if finite
        else "`skeltools validate` lists what is wrong with the store; convert the raw data again",
    )


@torch.no_grad()
def calibrate(encoder: nn.Module, samples: Samples, *, convention: str, device: torch.device) -> None:
    """Sets BatchNorm's running statistics to those of ``samples``, for an encoder that was never trained.

    Without it a random encoder would be normalised by constants that fit nothing, and look worse than it is.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    encoder.train()
    for chunk in samples.clips[convention].split(_CHUNK):
        if len(chunk) > 1:
            encoder(chunk.to(device), convention)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    encoder.eval()
