"""An encoder as an ONNX graph, checked against PyTorch.

PyTorch's exporter would unroll a GRU frame by frame, so bigru uses the older exporter, which supports ONNX's
own GRU. Absent bodies are left out of a batch by their values, which a static graph cannot do; since
BatchNorm has fixed statistics in evaluation, encoding them and masking their maps is equivalent.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from schemas import SkelError, UsageError
from trainer import checkpoint, seeds
from trainer.encoders import HCN, BiGRU, Encoder
from trainer.encoders.hcn import HALVINGS
from trainer.evaluate.heads import Head
from trainer.export.card import EncoderCard, OnnxFile

TOLERANCE = 1e-4
"""Largest tolerated difference of a feature."""

OUTPUTS = ("features", "logits", "probabilities")
"""Outputs of a graph with a classifier; one without has only the first."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_OPSET = 18
_BATCHES = (1, 2, 5)
"""Batch sizes of the check; the graph is traced with another one."""


class StaticEncoder(nn.Module):
    """``forward(clips [N, 3, T, V, M]) -> [N, feature_dim]`` in one convention, as a static graph.

    No shape depends on the values of the clips. Equal to the encoder in evaluation, with one exception: a
    clip without anybody has features of zero, whatever else is in its batch.
    """

    def __init__(self, encoder: Encoder, convention: str) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.everybody: Any = encoder
        self.convention = convention
        options: Any = encoder.options
        self.masked = getattr(options, "bodies", None) == "present"
        if self.masked:
            self.everybody = copy.deepcopy(encoder)
            usual = type(options).model_fields["bodies"].default
            self.everybody.options = options.model_copy(update={"bodies": usual})

    def forward(self, clips: Tensor) -> Tensor:
        maps = self.everybody.feature_map(clips, self.convention)
        if self.masked:
            there = (clips != 0).permute(0, 4, 1, 2, 3).flatten(2).any(dim=2).flatten()
            maps = maps * there[:, None, None, None]
        features: Tensor = self.encoder.pool(maps, clips.shape[4])
        return features


class StaticClassifier(nn.Module):
    """``forward(clips) -> features [N, feature_dim], logits [N, classes], probabilities [N, classes]``."""

    def __init__(self, encoder: StaticEncoder, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.temperature = 1.0 if head.sureness is None else head.sureness.temperature

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.encoder(clips)
        logits = self.head.logits(features)
        return features, logits, (logits / self.temperature).softmax(dim=1)


def require_onnx() -> None:
    """Raises UsageError if a package of the extra ``onnx`` is missing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"ONNX needs {', '.join(missing)}", where="--onnx", remedy="pip install 'skeltools[onnx]'"
        )


def write_onnx(
    encoder: Encoder, card: EncoderCard, convention: str, folder: Path, *, head: Head | None = None
) -> OnnxFile:
    """Write ``encoder-CONVENTION.onnx``: input ``clips``, output ``features``, any number of clips.

    With a ``head`` it is ``classifier-CONVENTION.onnx``, with the additional outputs ``logits`` and
    ``probabilities``; differences of logits count relative to the largest logit. T, V and M are the card's.
    Raises UsageError for an encoder that ONNX has no operations for, and SkelError when features differ from
    PyTorch's by more than ``TOLERANCE``.
    """
    _check_possible(encoder, card)
    static: nn.Module = StaticEncoder(encoder, convention).eval()
    path = folder / f"encoder-{convention}.onnx"
    if head is not None:
        static = StaticClassifier(StaticEncoder(encoder, convention), head).eval()
        path = folder / f"classifier-{convention}.onnx"
    outputs = OUTPUTS[:1] if head is None else OUTPUTS
    with _quiet():
        _export(static, _clips(card, convention, 3), path, outputs, older=isinstance(encoder, BiGRU))
    difference = max(_difference(encoder, card, convention, path, size, head) for size in _BATCHES)
    if difference > TOLERANCE:
        path.unlink()
        raise SkelError(
            f"the ONNX graph's features differ from PyTorch's by {difference:.2g}, more than {TOLERANCE}",
            where=path,
            remedy="Use the safetensors file; report the encoder's options from its card",
        )
    return OnnxFile(
        file=path.name, sha256=checkpoint.file_hash(path), opset=_OPSET, max_abs_difference=difference
    )


def _check_possible(encoder: Encoder, card: EncoderCard) -> None:
    if not isinstance(encoder, HCN):
        return
    left, segments = card.input.frames, encoder.options.segments
    for _ in range(HALVINGS):
        left = -(-left // 2)
    if left != segments:
        raise UsageError(
            f"hcn brings {card.input.frames} frames, {left} after its poolings, to {segments} segments by "
            "adaptive pooling, which ONNX has no operation for",
            where="--onnx",
            remedy=f"Train with encoder.options.segments={left}, or with data.frames={16 * segments}",
        )


def _export(static: nn.Module, clips: Tensor, path: Path, outputs: tuple[str, ...], *, older: bool) -> None:
    how: dict[str, Any] = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)}
    if older:
        how = {"dynamo": False, "dynamic_axes": {name: {0: "N"} for name in ("clips", *outputs)}}
    torch.onnx.export(
        static,
        (clips,),
        path,
        input_names=["clips"],
        output_names=[*outputs],
        opset_version=_OPSET,
        external_data=False,
        verbose=False,
        **how,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporters' warnings and log lines: they concern PyTorch's own code and packages."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


@torch.no_grad()
def _difference(
    encoder: Encoder, card: EncoderCard, convention: str, path: Path, samples: int, head: Head | None
) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    clips = _clips(card, convention, samples)
    outputs = [torch.from_numpy(each) for each in session.run(None, {"clips": clips.numpy()})]
    features = encoder(clips, convention)
    worst = float((outputs[0] - features).abs().max())
    if head is None:
        return worst
    logits = head.logits(features)
    return max(worst, float((outputs[1] - logits).abs().max() / logits.abs().max().clamp_min(1)))


def _clips(card: EncoderCard, convention: str, samples: int) -> Tensor:
    """Random poses of about a metre; every second clip has only its first body."""
    shape = (samples, 3, card.input.frames, card.conventions[convention].num_joints, card.input.bodies)
    clips = torch.randn(shape, generator=seeds.generator("cpu", 0, samples, "onnx check")) / 2
    clips[1::2, ..., 1:] = 0
    return clips
