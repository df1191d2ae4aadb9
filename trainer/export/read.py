"""An exported encoder, back in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from schemas import CheckpointError, SkeletonSpec, UsageError
from trainer import checkpoint, encoders
from trainer.export.card import CARD, WEIGHTS, EncoderCard, read_card
from trainer.skeleton import Skeleton

_AGAIN = "Copy both files of one export, or export the run again"


class LoadedEncoder(nn.Module):
    """``forward(clips [N, 3, T, V, M], convention) -> [N, feature_dim]`` float32; ``card`` says the rest.

    It comes frozen and in evaluation mode: call ``.requires_grad_(True).train()`` to finetune it.
    """

    def __init__(self, card: EncoderCard, network: nn.Module) -> None:
        super().__init__()
        self.card = card
        self.network = network

    def forward(self, clips: Tensor, convention: str | None = None) -> Tensor:
        """``convention`` None takes the card's first. Raises UsageError for clips that do not fit it."""
        name = next(iter(self.card.conventions)) if convention is None else convention
        check_clips(clips, self.card, name)
        features: Tensor = self.network(clips, name).float()
        return features


def load_encoder(folder: str | Path, *, device: torch.device | str = "cpu") -> LoadedEncoder:
    """The encoder that ``trainer export`` wrote to ``folder``; no code in the files is run.

    Raises CheckpointError when card or weights are absent, damaged, newer, or do not belong together.
    """
    folder = Path(folder)
    card, weights = read_weights(folder)
    network = build_network(card, where=folder / CARD)
    try:
        checkpoint.load_weights(network, weights, where=folder / WEIGHTS)
    except CheckpointError as error:
        raise CheckpointError(error.message, where=error.where, remedy=_AGAIN) from error
    return LoadedEncoder(card, network).to(device).eval().requires_grad_(False)


def read_weights(folder: Path) -> tuple[EncoderCard, dict[str, Tensor]]:
    """The card and the weights of an export, by the encoder's own names. Raises as ``load_encoder``."""
    card = read_card(folder)
    return card, _weights(folder, card)


def build_network(card: EncoderCard, *, where: Path) -> encoders.Encoder:
    """The card's network; its graphs are zero until the weights are loaded, they are among them."""
    try:
        return encoders.build(card.encoder, _skeletons(card.conventions))
    except UsageError as error:
        raise CheckpointError(
            f"this version does not know the encoder: {error}",
            where=where,
            remedy="Update this package, or export the run again",
        ) from error


def check_clips(clips: Tensor, card: EncoderCard, convention: str) -> None:
    """Raises UsageError unless ``clips`` are what the encoder was made for."""
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
    if clips.dtype != torch.float32:
        raise UsageError(
            f"the clips are {clips.dtype}, expected torch.float32", where="clips", remedy="Call clips.float()"
        )


def _weights(folder: Path, card: EncoderCard) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"no {WEIGHTS} beside the card", where=folder, remedy="Copy the whole folder, or export again"
        )
    digest = checkpoint.file_hash(path)
    if digest != card.weights_hash:
        raise CheckpointError(
            f"these are not the weights of the card, or they are damaged: sha256 {digest[:12]}, "
            f"the card says {card.weights_hash[:12]}",
            where=path,
            remedy=_AGAIN,
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"this is not a safetensors file: {error}", where=path, remedy="Export the run again"
        ) from error


def _skeletons(specs: Mapping[str, SkeletonSpec]) -> dict[str, Skeleton]:
    blank = {name: torch.zeros(3, spec.num_joints, spec.num_joints) for name, spec in specs.items()}
    return {name: Skeleton(spec, blank[name], blank[name]) for name, spec in specs.items()}
