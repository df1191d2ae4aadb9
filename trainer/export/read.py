"""Load an exported encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import pad

from schemas import CheckpointError, SkeletonSpec, UsageError
from schemas.parsing import refusing
from trainer import checkpoint, encoders
from trainer.evaluate.heads import Recipe
from trainer.export.card import CARD, WEIGHTS, EncoderCard, read_card
from trainer.skeleton import Skeleton

Array = NDArray[Any]

_AGAIN = "Copy both files of one export, or export the run again"


class _Encode(Protocol):
    """The type of ``LoadedEncoder`` as a function."""

    @overload
    def __call__(self, clips: Tensor, convention: str | None = None) -> Tensor: ...

    @overload
    def __call__(self, clips: Array, convention: str | None = None) -> Array: ...


class LoadedEncoder(nn.Module):
    """``encoder(clips [N, 3, T, V, M], convention) -> [N, feature_dim]`` float32, described by ``card``.

    NumPy arrays give NumPy arrays, tensors give tensors. Clips of fewer bodies than in training are padded
    with absent ones, as there. It is frozen and in eval mode: call ``.requires_grad_(True).train()`` to
    finetune it. ``skeltools.prepare`` prepares its clips.
    """

    __call__: _Encode

    def __init__(self, card: EncoderCard, network: nn.Module) -> None:
        super().__init__()
        self.card = card
        self.network = network

    @property
    def conventions(self) -> dict[str, SkeletonSpec]:
        """The skeleton conventions that the encoder knows; the first is the default."""
        return self.card.conventions

    @property
    def convention(self) -> str:
        """The default convention."""
        return next(iter(self.card.conventions))

    @property
    def stream(self) -> str:
        """joint, bone or motion."""
        return self.card.input.stream

    @property
    def frames(self) -> int:
        """T of the training; encoders accept any."""
        return self.card.input.frames

    @property
    def bodies(self) -> int:
        """M of the training, absent bodies included: the most that a clip may have."""
        return self.card.input.bodies

    @property
    def recipe(self) -> Recipe:
        """The preprocessing of its clips."""
        return self.card.recipe

    @property
    def feature_dim(self) -> int:
        """D, the length of a feature."""
        return self.card.feature_dim

    def forward(self, clips: Tensor | Array, convention: str | None = None) -> Tensor | Array:
        """Features of clips; ``convention`` None: the first; raises UsageError for clips that do not fit."""
        name = self.convention if convention is None else convention
        if not isinstance(clips, Tensor | np.ndarray):
            raise UsageError(
                f"expected a tensor or a NumPy array, found {type(clips).__name__}",
                where="clips",
                remedy="np.stack(clips) makes one of a list",
            )
        check_clips(clips, self.card, name)
        place = next(self.network.parameters()).device
        if isinstance(clips, np.ndarray):
            there = torch.tensor(np.ascontiguousarray(clips), device=place)
            return self._features(there, name).detach().cpu().numpy()
        if clips.device != place:
            raise UsageError(
                f"the clips are on {clips.device}, the encoder on {place}",
                where="clips",
                remedy=f"Call clips.to('{place}')",
            )
        return self._features(clips, name)

    def _features(self, clips: Tensor, convention: str) -> Tensor:
        # The weights were trained with absent bodies in the mean over bodies and in the statistics.
        missing = self.bodies - clips.shape[4]
        features: Tensor = self.network(pad(clips, (0, missing)) if missing else clips, convention).float()
        return features


def read_encoder(folder: Path) -> LoadedEncoder:
    """The encoder that ``trainer export`` wrote to ``folder``, on the CPU.

    Raises CheckpointError when card or weights are absent, damaged, newer, or do not belong together.
    """
    card, weights = read_weights(folder)
    network = build_network(card, where=folder / CARD)
    try:
        checkpoint.load_weights(network, weights, where=folder / WEIGHTS)
    except CheckpointError as error:
        raise CheckpointError(error.message, where=error.where, remedy=_AGAIN) from error
    return LoadedEncoder(card, network)


def read_weights(folder: Path) -> tuple[EncoderCard, dict[str, Tensor]]:
    """The card and the weights of an export, by the encoder's own names; raises as ``read_encoder`` does."""
    card, path = read_card(folder), folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"no {WEIGHTS} beside the card", where=folder, remedy="Copy the whole folder, or export again"
        )

    def refuse(why: str) -> CheckpointError:
        return CheckpointError(
            f"this is not a safetensors file: {why}", where=path, remedy="Export the run again"
        )

    with refusing(refuse), safe_open(path, framework="pt"):  # before a hash of gigabytes that are none
        pass
    digest = checkpoint.file_hash(path)
    if digest != card.weights_hash:
        raise CheckpointError(
            f"these are not the weights of the card, or they are damaged: sha256 {digest[:12]}, "
            f"the card says {card.weights_hash[:12]}",
            where=path,
            remedy=_AGAIN,
        )
    with refusing(refuse):
        return card, load_file(path)


def build_network(card: EncoderCard, *, where: Path) -> encoders.Encoder:
    """The card's network; its graphs are zero until the weights, which contain them, are loaded."""
    try:
        return encoders.build(card.encoder, _skeletons(card.conventions))
    except UsageError as error:
        raise CheckpointError(
            f"this version does not know the encoder: {error}",
            where=where,
            remedy="Update this package, or export the run again",
        ) from error


def check_clips(clips: Tensor | Array, card: EncoderCard, convention: str) -> None:
    """Raises UsageError unless ``clips`` fit the encoder."""
    if convention not in card.conventions:
        raise UsageError(
            f"the encoder knows {', '.join(card.conventions)}, not '{convention}'",
            where="convention",
            remedy="Name one of them, or convert the skeletons",
        )
    joints = card.conventions[convention].num_joints
    wanted = f"[N, 3, T, {joints}, M] for {convention}"
    if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[3] != joints or 0 in clips.shape:
        raise UsageError(
            f"the clips have shape {list(clips.shape)}, expected {wanted}",
            where="clips",
            remedy="Axes are samples, coordinates, frames, joints, bodies, in this order",
        )
    if clips.shape[4] > card.input.bodies:
        raise UsageError(
            f"the clips have {clips.shape[4]} bodies, the encoder was trained on {card.input.bodies}",
            where="clips",
            remedy=f"Keep {card.input.bodies} of them, or pre-train with --set data.bodies={clips.shape[4]}",
        )
    if clips.dtype not in (torch.float32, np.float32):
        remedy = "Call clips.float()" if isinstance(clips, Tensor) else "Call clips.astype(np.float32)"
        wanted = "torch.float32" if isinstance(clips, Tensor) else "float32"
        raise UsageError(f"the clips are {clips.dtype}, expected {wanted}", where="clips", remedy=remedy)


def _skeletons(specs: Mapping[str, SkeletonSpec]) -> dict[str, Skeleton]:
    blank = {name: torch.zeros(3, spec.num_joints, spec.num_joints) for name, spec in specs.items()}
    return {name: Skeleton(spec, blank[name], blank[name]) for name, spec in specs.items()}
