"""A trained encoder with its preprocessing, and with a classifier where one was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas import SkeletonSpec, UsageError, checks_arguments
from trainer.export import EncoderCard, LoadedEncoder, load_encoder
from trainer.use import raw

_CHUNK = 256
"""Clips per forward pass, as many as an evaluation takes."""


class Model:
    """What ``trainer.load`` gives: ``embed`` and ``preprocess``; ``card`` says what the encoder was made for.

    Clips are raw or prepared. Raw: joints [T, M, V, 3], or [T, V, 3] of one person, in metres, x to the
    sensor's left, y up, z away from it; NaN where a joint was not seen; clips of ``skeltools.open``; or a
    list of either, or a mapping from ids. Prepared: one array [N, 3, T, V, M], which is what ``preprocess``
    gives and what a stream of a store is. NumPy arrays give NumPy arrays, tensors give tensors.
    """

    def __init__(self, encoder: LoadedEncoder) -> None:
        self.encoder = encoder

    def __repr__(self) -> str:
        card = self.card
        return (
            f"<model of {card.method} {card.name}: {', '.join(card.conventions)}, {card.input.frames} frames"
            f", {card.input.bodies} bodies, {card.feature_dim} features>"
        )

    @property
    def card(self) -> EncoderCard:
        """Everything that the weights do not say."""
        return self.encoder.card

    @property
    def conventions(self) -> dict[str, SkeletonSpec]:
        """The skeletons that it knows; the first is meant where none is named."""
        return self.card.conventions

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def preprocess(self, joints: Any, convention: str | None = None) -> Any:
        """Raw clips -> [N, 3, T, V, M] float32 by the recipe of the card, bit for bit as in a store.

        ``convention``: of the joints; None: that of the clips where they tell it, else the first. Needs
        skeltools. Raises UsageError for clips that do not fit, and SkelError for one in which nobody is seen.

            >>> import trainer
            >>> model = trainer.load("encoder")
            >>> model.preprocess(np.random.default_rng(0).normal(size=(70, 25, 3))).shape
            (1, 3, 24, 25, 2)
        """
        clips = raw.clips_of(joints)
        name = raw.convention_of(clips, self.card, convention)
        made = raw.prepared(clips, self.card, name)
        like = _tensor_of(joints)
        return made if like is None else torch.from_numpy(made).to(like.device)

    def embed(self, clips: Any, convention: str | None = None) -> Any:
        """Features [N, D] float32 of clips, raw or prepared.

        Raises UsageError for prepared clips of another skeleton, length, number of bodies or type, and for
        those with a value that is not finite; else as ``preprocess``.

            >>> import skeltools, trainer
            >>> s = skeltools.open("store.zarr")
            >>> trainer.load("encoder").embed([s[0], s[1]]).shape
            (2, 256)
        """
        ready, name = self._ready(clips, convention)
        features = self._features(ready, name)
        return features if isinstance(ready, Tensor) else features.cpu().numpy()

    def _ready(self, clips: Any, convention: str | None) -> tuple[Any, str]:
        """Prepared clips, checked, and their convention."""
        known = list(self.card.conventions)
        if isinstance(clips, Tensor | np.ndarray) and clips.ndim == 5:
            name = convention or known[0]
            check_prepared(clips, self.card, name)
            return clips, name
        name = raw.convention_of(raw.clips_of(clips), self.card, convention)
        return self.preprocess(clips, name), name

    @torch.no_grad()
    def _features(self, clips: Tensor | NDArray[Any], convention: str) -> Tensor:
        """[N, D] of prepared clips, on their device; of arrays on the encoder's."""
        there = torch.from_numpy(np.ascontiguousarray(clips)) if isinstance(clips, np.ndarray) else clips
        back = self.device if isinstance(clips, np.ndarray) else clips.device
        parts = [self.encoder(part.to(self.device), convention) for part in there.split(_CHUNK)]
        return torch.cat(parts).to(back)


def check_prepared(clips: Tensor | NDArray[Any], card: EncoderCard, convention: str) -> None:
    """Raises UsageError unless prepared clips are what ``preprocess`` makes."""
    from trainer.export.read import check_clips

    if clips.ndim == 5 and clips.shape[1] != 3 and clips.shape[4] == 3:
        raise UsageError(
            f"the clips have shape {list(clips.shape)}: these are raw joints [N, T, M, V, 3]",
            where="clips",
            remedy="Prepare them with model.preprocess(list(clips)), or give embed the list",
        )
    check_clips(clips, card, convention)
    if clips.shape[2] != card.input.frames:
        raise UsageError(
            f"the clips have {clips.shape[2]} frames, the encoder was trained on {card.input.frames}",
            where="clips",
            remedy="model.preprocess brings raw clips of any length to it; a store gets such a stream with "
            f"`skeltools streams STORE --frames {card.input.frames}`",
        )
    good = clips.isfinite() if isinstance(clips, Tensor) else torch.from_numpy(np.isfinite(clips))
    if not good.all():
        first = int((~good.flatten(1).all(dim=1)).nonzero()[0])
        raise UsageError(
            f"clip {first} has values that are not finite",
            where="clips",
            remedy="Give the raw joints to model.preprocess, which fills joints that were not seen",
        )


def _tensor_of(clips: Any) -> Tensor | None:
    """A tensor among the clips, if they are such."""
    if isinstance(clips, Mapping):
        clips = list(clips.values())
    if isinstance(clips, list | tuple) and clips:
        clips = clips[0]
    return clips if isinstance(clips, Tensor) else None


@checks_arguments
def load(
    path: str | Path,
    *,
    encoder: str | None = None,
    device: Any = "cpu",
    store: str | Path | Sequence[str | Path] | None = None,
) -> Model:
    """A trained encoder with its preprocessing, from a run or an export.

    Arguments and errors are those of ``load_encoder``.

        >>> import trainer
        >>> trainer.load("encoder").conventions["kinectv2_25"].num_joints
        25
    """
    return Model(load_encoder(path, encoder=encoder, device=device, store=store))
