"""A trained encoder with its preprocessing, and with a classifier if one was saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas import CheckpointError, SkeletonSpec, UsageError, checks_arguments
from trainer import checkpoint, hub
from trainer.evaluate.halves import CHUNK
from trainer.export import CARD, EncoderCard, LoadedEncoder, load_encoder
from trainer.export.classifier import Kept, convention_of, figures_of, kept_by, read_classifiers
from trainer.export.load import placed
from trainer.export.read import check_clips
from trainer.export.write import take_encoder
from trainer.run import Run, open_run
from trainer.use import raw
from trainer.use.predictions import Predictions, predicted

if TYPE_CHECKING:
    from trainer.use.follow import FollowedWindow

_TOO_LARGE = "Look at its coordinates: they are metres, and these are too large for the encoder"


@dataclass(frozen=True)
class Classifier(Kept):
    """A saved classifier with the encoder whose features it takes: the run's, or the one trained with it."""

    encoder: LoadedEncoder


class Model:
    """The result of ``trainer.load``: ``embed``, ``predict`` and ``preprocess``, described by ``card``.

    Clips are raw or prepared. Raw: joints [T, M, V, 3], or [T, V, 3] of one person, in metres, x to the
    sensor's left, y up, z away from it, with NaN where a joint was not seen; clips of ``skeltools.open``; or
    a list of either, or a mapping from ids. Prepared: one array [N, 3, T, V, M], as returned by
    ``preprocess`` and stored in a stream of a store. NumPy arrays give NumPy arrays, and tensors give
    tensors.
    """

    def __init__(
        self,
        encoder: LoadedEncoder,
        classifiers: Mapping[str, Classifier] | None = None,
        *,
        path: object = None,
    ) -> None:
        self.encoder = encoder
        self.classifiers = dict(classifiers or {})
        """Convention -> the classifier that ``predict`` uses."""
        self._path = path

    def __repr__(self) -> str:
        card = self.card
        return (
            f"<model of {card.method} {card.name}: {', '.join(card.conventions)}, {card.input.frames} frames"
            f", {card.input.bodies} bodies, {card.feature_dim} features>"
        )

    @property
    def card(self) -> EncoderCard:
        """Everything about the encoder except its weights."""
        return self.encoder.card

    @property
    def conventions(self) -> dict[str, SkeletonSpec]:
        """The skeletons that the encoder knows; the first is the default."""
        return self.card.conventions

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that ``predict`` distinguishes; empty without a classifier."""
        return next((each.card.classes for each in self.classifiers.values()), ())

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def preprocess(self, joints: Any, convention: str | None = None) -> Any:
        """Raw clips -> [N, 3, T, V, M] float32 by the recipe of the card, bit for bit as in a store.

        ``convention``: of the joints; None: that of the clips if they have one, else the first. Needs
        skeltools. Raises UsageError for clips that do not fit, and SkelError for a clip in which nobody is
        seen.

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
        clips with values that are not finite; otherwise as ``preprocess``.

            >>> import skeltools, trainer
            >>> s = skeltools.open("store.zarr")
            >>> trainer.load("encoder").embed([s[0], s[1]]).shape
            (2, 256)
        """
        ready, name = self._ready(clips, convention)
        features = self._features(self.encoder, ready, name)
        return features if isinstance(ready, Tensor) else features.cpu().numpy()

    def predict(
        self,
        clips: Any,
        convention: str | None = None,
        *,
        unknown: Literal["energy", "distance"] | None = None,
        keep: float = 0.95,
    ) -> Predictions:
        """Classes and probabilities of clips, raw or prepared.

        ``unknown``: mark clips that resemble no class as unknown, by their energy or by the distance to the
        nearest class. ``keep``: the share of clips of known classes that should remain known. Raises
        UsageError without a classifier, and as ``embed``.
        """
        ready, name = self._ready(clips, convention)
        classifier = self.classifier(name)
        seen = classifier.crop
        given = ready if seen is None else seen.centre(torch.as_tensor(ready))
        features = self._features(classifier.encoder, given, name).cpu()
        predictions = predicted(classifier, features, by=unknown, keep=keep, where=self._path)
        _check_finite(predictions.energy[:, None], "scores", _TOO_LARGE)
        return predictions if isinstance(ready, Tensor) else predictions.numpy()

    def follow(
        self,
        frames: Iterable[Any],
        convention: str | None = None,
        *,
        window: int | None = None,
        stride: int | None = None,
        unknown: Literal["energy", "distance"] | None = None,
        keep: float = 0.95,
    ) -> Iterator[FollowedWindow]:
        """Yield answers while frames arrive: one after ``window`` frames, then one every ``stride`` frames.

        A frame is joints [M, V, 3], or [V, 3] of one person, NaN for a joint that is not seen; None: nobody.
        ``window`` None: as many frames as the encoder's clips, or as the windows that the classifier was
        trained on; ``stride`` None: an eighth of the window. Each answer is that of ``predict`` for the same
        frames as a clip. Raises UsageError for a frame that does not fit and for a stream shorter than a
        window, and as ``predict``.

            >>> import trainer
            >>> model = trainer.load("runs/skeletonclr")
            >>> for answer in model.follow([], window=60):  # doctest: +SKIP
            ...     print(answer.start, answer.stop, answer.name)
        """
        from trainer.use import follow, segment

        name = raw.convention_of((), self.card, convention)
        chosen = segment.settled({"": self}, name, {"window": window, "stride": stride})
        assert chosen.window is not None
        poses = follow.frames_of(frames, self.card.conventions[name])
        return follow.follow(
            {"": self}, poses, name, window=chosen.window, stride=chosen.step, unknown=unknown, keep=keep
        )

    def classifier(self, convention: str) -> Classifier:
        """The classifier of a convention; raises UsageError if none was saved."""
        if convention not in self.classifiers:
            others = ", ".join(self.classifiers)
            raise UsageError(
                f"no classifier of {convention}" + (f"; there is one of {others}" if others else ""),
                where=self._path,
                remedy=f"Make one with `trainer evaluate RUN --protocol linear --convention {convention}`; "
                "an export takes it along with --classifier linear",
            )
        return self.classifiers[convention]

    def _ready(self, clips: Any, convention: str | None) -> tuple[Any, str]:
        """Clips, prepared and checked, and their convention."""
        known = list(self.card.conventions)
        if isinstance(clips, Tensor | np.ndarray) and clips.ndim == 5:
            name = convention or known[0]
            check_prepared(clips, self.card, name)
            return clips, name
        name = raw.convention_of(raw.clips_of(clips), self.card, convention)
        return self.preprocess(clips, name), name

    @torch.no_grad()
    def _features(self, encoder: LoadedEncoder, clips: Tensor | NDArray[Any], convention: str) -> Tensor:
        """[N, D] features of prepared clips: of tensors on their device, of arrays on the encoder's."""
        there = torch.from_numpy(np.ascontiguousarray(clips)) if isinstance(clips, np.ndarray) else clips
        back = self.device if isinstance(clips, np.ndarray) else clips.device
        features = torch.cat([encoder(part.to(self.device), convention) for part in there.split(CHUNK)])
        _check_finite(features, "features", _TOO_LARGE)
        return features.to(back)


def check_prepared(clips: Tensor | NDArray[Any], card: EncoderCard, convention: str) -> None:
    """Raises UsageError unless prepared clips are as ``preprocess`` returns them."""
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
    _check_finite(
        clips if isinstance(clips, Tensor) else torch.from_numpy(np.ascontiguousarray(clips)),
        "values",
        "Give the raw joints to model.preprocess, which fills joints that were not seen",
    )


def _check_finite(rows: Tensor, what: str, remedy: str) -> None:
    """Raises UsageError naming the first of N clips with NaN or infinity in ``rows`` [N, ...]."""
    good = rows.isfinite().flatten(1).all(dim=1)
    if not good.all():
        first = int((~good).nonzero()[0])
        raise UsageError(f"clip {first} has {what} that are not finite", where="clips", remedy=remedy)


def _tensor_of(clips: Any) -> Tensor | None:
    """The first of the clips if it is a tensor, else None."""
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
    classifier: str | None = None,
    device: Any = "cpu",
    store: str | Path | Sequence[str | Path] | None = None,
) -> Model:
    """Load a trained encoder with its preprocessing, and its classifier if saved, from a run or an export.

    ``path``: a folder, or ``hf://user/name`` for one that was published on Hugging Face (extra ``hub``).
    ``classifier``: for a run, the figure whose classifier ``predict`` uses: linear, finetune, semi-5, ..., or
    the name of a file in its results without ``.json``; None: the first of these that exists. Raises
    SkelError for one that does not exist. Other arguments and errors are those of ``load_encoder``.

        >>> import trainer
        >>> trainer.load("encoder").conventions["kinectv2_25"].num_joints
        25
    """
    path = hub.local(path)
    if _is_export(path):
        return _of_export(path, encoder=encoder, figure=classifier, device=device)
    run = open_run(path, store=store, device="cpu")
    return of_run(run, run.encoder_name(encoder), figure=classifier, device=device)


def _is_export(path: Path) -> bool:
    """Whether a folder is an export; raises CheckpointError if it is neither an export nor a run."""
    if (path / CARD).is_file():
        return True
    if (path / checkpoint.LAST).is_file():
        return False
    raise CheckpointError(
        f"holds neither a run ({checkpoint.LAST}) nor an export ({CARD})"
        if path.is_dir()
        else "no such folder",
        where=path,
        remedy="Name what `trainer pretrain` or `trainer export` wrote",
    )


def every(
    path: Path,
    *,
    encoder: str | None = None,
    classifier: str | None = None,
    device: Any = "cpu",
    store: Sequence[Path] = (),
    unfinished: bool = False,
) -> dict[str, Model]:
    """Encoder -> model: every encoder that a run's method trained, or the one of an export.

    Raises as ``load`` does.
    """
    path = hub.local(path)
    if _is_export(path):
        model = _of_export(path, encoder=encoder, figure=classifier, device=device)
        return {model.card.name: model}
    run = open_run(path, store=store, device="cpu", unfinished=unfinished)
    names = list(run.method.encoders) if encoder is None else [run.encoder_name(encoder)]
    return {name: of_run(run, name, figure=classifier, device=device) for name in names}


def of_run(run: Run, encoder: str, *, figure: str | None = None, device: Any = "cpu") -> Model:
    """One encoder of an opened run, with the classifiers of a figure; raises as ``load`` does."""
    card, network, _ = take_encoder(run, encoder)
    own = placed(LoadedEncoder(card, network), device)
    there = {name: figures_of(run, convention=name, encoder=encoder) for name in card.conventions}
    chosen = figure or next((each[0] for each in there.values() if each), None)
    only = None if figure is None else convention_of(run, figure)
    classifiers = {}
    for name in [name for name, figures in there.items() if chosen in figures or name == only]:
        classifier = kept_by(run, str(chosen), convention=name, encoder=encoder)
        learned = _learned(classifier, run, encoder, name, device)
        classifiers[name] = Classifier(classifier.head, classifier.card, learned or own)
    if figure is not None and not classifiers:  # raises an error that lists what exists
        kept_by(run, figure, convention=next(iter(there)), encoder=encoder)
    return Model(own, classifiers, path=run.path)


def _learned(classifier: Kept, run: Run, encoder: str, convention: str, device: Any) -> LoadedEncoder | None:
    """The encoder trained together with a classifier, in its convention; None if it is the run's."""
    if not classifier.learned_encoder:
        return None
    card, network, weights = take_encoder(run, encoder, conventions=[convention])
    own = {name: value for name, value in classifier.head.encoder.items() if name in weights}
    checkpoint.load_weights(network, own, where=run.path)
    return placed(LoadedEncoder(card, network), device)


def _of_export(path: Path, *, encoder: str | None, figure: str | None, device: Any) -> Model:
    loaded = load_encoder(path, encoder=encoder, device=device)
    classifiers = {
        name: Classifier(each.head, each.card, loaded)
        for name, each in read_classifiers(path, loaded.card).items()
    }
    others = sorted({each.card.figure for each in classifiers.values()} - {figure})
    if figure is not None and (others or not classifiers):
        raise UsageError(
            f"the export has {'the classifier of ' + others[0] if others else 'none'}, not that of {figure}",
            where=path,
            remedy=f"Export the run with --classifier {figure}",
        )
    return Model(loaded, classifiers, path=path)
