"""The blocks of a training of one's own, by name and with plain arguments; see examples/pretrain.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from schemas import Component
from trainer import encoders
from trainer import store as stores
from trainer.augment import compile_chain
from trainer.augment.chain import Chain
from trainer.evaluate.features import extract
from trainer.evaluate.knn import Options, vote
from trainer.skeleton import Skeleton
from trainer.store import Samples, Store


def load_clips(
    store: Store, *, split: str, part: str, conventions: Sequence[str], frames: int, stream: str = "joint"
) -> Samples:
    """The clips of one half of a split in memory: ``clips[convention]`` [N, 3, T, V, M], ``labels`` [N].

    ``part``: train or test. Raises StoreError that names what the store has instead.
    """
    return stores.load(
        store, protocol=split, part=part, conventions=conventions, frames=frames, stream=stream
    )


def augmentation(*steps: str | tuple[str, Mapping[str, Any]]) -> Chain:
    """A chain of augmentations ``(x [N,3,T,V,M], skeleton, generator) -> x``, drawn for every sample.

    A step is a name, or a name and its options: ``("shear", {"amplitude": 0.5})``. Raises UsageError for an
    unknown name, ConfigError for options.
    """
    named = [(step, {}) if isinstance(step, str) else step for step in steps]
    return compile_chain([Component(name=name, options=dict(options)) for name, options in named])


def encoder(name: str, skeletons: Mapping[str, Skeleton], *, seed: int = 0, **options: Any) -> nn.Module:
    """A new encoder ``(x [N,3,T,V,M], convention) -> [N, feature_dim]`` for these conventions, on the CPU.

    ``name``: stgcn, agcn, bigru or hcn. Raises UsageError for another one, ConfigError for options.
    """
    generator = torch.Generator().manual_seed(seed)
    return encoders.build(Component(name=name, options=options), skeletons, generator=generator)


def features(encoder: nn.Module, clips: Samples, convention: str) -> Tensor:
    """[N, feature_dim] float32 on the CPU: every clip, encoded in evaluation mode."""
    device = next(encoder.parameters()).device
    return extract(encoder, clips, convention=convention, device=device).values


def knn(
    train: Tensor, train_labels: Tensor, test: Tensor, *, classes: int, k: int = 20, temperature: float = 0.1
) -> Tensor:
    """[N_test, classes] float32: each of the ``k`` nearest by cosine votes exp(similarity / temperature)."""
    from trainer.evaluate.features import Features

    unknown = torch.full((len(test),), -1)
    options = Options(k=k, temperature=temperature)
    return vote(Features(train, train_labels), Features(test, unknown), classes=classes, options=options)
