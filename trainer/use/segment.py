"""Segment uncut recordings: a linear layer on windows, whose scores are averaged and decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas import EvaluationResult, SkelError, UsageError
from schemas._model import Model as Settings
from trainer import store as stores
from trainer.evaluate import ensemble
from trainer.evaluate.balance import ClassWeights
from trainer.evaluate.segments import NOTHING, Segment, decoded, segments_of
from trainer.export import CARD, EncoderCard
from trainer.options import checked
from trainer.run import find_results, only_result, open_run
from trainer.use import sources, windows
from trainer.use.model import Model, every, of_run
from trainer.use.sources import Asked, OnProblem

PROTOCOL = "segment"
BACKGROUND = "background"
"""Name of the last class of a window classifier: no action."""

Scores = NDArray[np.float64]
"""[T, C] scores of the frames of a recording; rows sum to one; the last class is no action."""


class Options(Settings):
    """How recordings are cut into windows, and how frames become segments.

    The layer is linear evaluation on standardised features, which needs no tuning: rate 0.1, divided by ten
    for the last fifth of the epochs.
    """

    window: int | None = Field(default=None, ge=2)
    """Frames per window. None: two thirds of the median length of the actions in the training half, which on
    the demo's recordings is better than half or all of it."""
    stride: int | None = Field(default=None, ge=1)
    """Frames between the starts of successive windows. None: an eighth of a window."""
    penalty: float | None = Field(default=None, ge=0)
    """Penalty of each change of class: the natural logarithm of how much more likely the frames after it must
    become. None: a fifth of the frames of a window, which makes it independent of the frame rate."""
    epochs: int = Field(default=100, ge=1)
    lr: float = Field(default=0.1, gt=0, le=1000)
    class_weights: ClassWeights = "none"
    """``balanced`` weights a window inversely to the size of its class, including no action."""

    @property
    def cost(self) -> float:
        """``penalty``, by default a fifth of a window."""
        assert self.window is not None
        return self.window / 5 if self.penalty is None else self.penalty

    @property
    def step(self) -> int:
        """``stride``, by default an eighth of a window."""
        assert self.window is not None
        return self.stride or max(self.window // 8, 1)

    def spans(self, frames: int) -> list[range]:
        """Windows of a recording; raises UsageError for a stride that leaves frames out."""
        assert self.window is not None
        if self.step > self.window:
            raise UsageError(
                f"a stride of {self.step} frames leaves out frames between windows of {self.window}",
                where="stride",
                remedy="Choose one that is not above the window",
            )
        return windows.spans(frames, self.window, self.step)


@dataclass(frozen=True)
class Recording:
    id: str
    sequence: Any
    """``skeltools.SkeletonSequence``."""
    labels: NDArray[np.int64] | None = None
    """[T] class of each frame, -1 for none; None if unlabelled."""

    @property
    def frames(self) -> int:
        return int(self.sequence.frames)


@dataclass(frozen=True)
class Segmented:
    """The segments found in a recording."""

    id: str
    labels: NDArray[np.int64]
    """[T], -1 for no action."""
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Answer:
    recordings: tuple[Segmented, ...]
    """By all encoders combined."""
    classes: tuple[str, ...]
    """Class names, indexed by a segment's label."""
    results: tuple[EvaluationResult, ...] = ()
    """If a classifier was trained: those of every encoder, then of all combined if there are several."""


def recordings(model: Model, asked: Asked, convention: str, on_problem: OnProblem) -> Iterator[Recording]:
    """Recordings of stores and raw files, at full length, in the order of the places.

    Raises UsageError for places that do not exist, StoreError for stores of another skeleton, and SkelError
    when nothing can be read.
    """
    count = 0
    for place in asked.places:
        for recording in _of_place(model.card, asked, place, convention, on_problem):
            count += 1
            yield recording
    if not count:
        raise SkelError(
            "no recording could be read", where=asked.places[0], remedy="See what is said above of each"
        )


def _of_place(
    card: EncoderCard, asked: Asked, place: Path, convention: str, on_problem: OnProblem
) -> Iterator[Recording]:
    if not sources.is_store(place):
        for clip in sources.files(card, asked, place, convention, on_problem):
            yield Recording(clip.id, clip.sequence)
        return
    store = stores.open_store(place)
    sources.check_fits(card, store, convention)
    for clip in sources.sequences(store, asked, convention, card):
        labels = None if clip.frame_labels is None else clip.frame_labels.astype(np.int64)
        yield Recording(clip.id, clip.sequence, labels)


def scores_of(model: Model, recording: Recording, convention: str, options: Options) -> Scores:
    """The mean of the classifier's scores over the windows that cover each frame.

    A classifier that was not trained on windows knows no background, so here it never predicts any. Where
    nobody is seen, there is no action.
    """
    card = model.classifier(convention).card
    extra = 0 if BACKGROUND in card.settings else 1
    size = len(card.classes) + extra
    covered, clips = windows.prepared(
        recording.sequence, options.spans(recording.frames), model.card, convention
    )
    said = model.predict(clips, convention).probabilities if covered else np.zeros((0, size - extra))
    return windows.averaged(np.pad(said, ((0, 0), (0, extra))), covered, recording.frames)


def together(scores: Mapping[str, Scores]) -> Scores:
    """The weighted mean over encoders, with the weights of streams in an evaluation.

    These are 0.6 for joint, 0.6 for bone and 0.4 for motion.
    """
    weights = [float(ensemble.WEIGHTS["paper"].get(name, 1.0)) for name in scores]
    return ensemble.weighted_mean([*scores.values()], weights)


def segmented(id: str, scores: Scores, options: Options) -> Segmented:
    """Frame labels and segments of a recording, decoded from its scores."""
    best = decoded(scores, penalty=options.cost)
    labels = np.where(best == scores.shape[1] - 1, NOTHING, best)
    return Segmented(id, labels, tuple(segments_of(labels, scores, recording=id)))


def found_in(
    models: Mapping[str, Model],
    asked: Asked,
    options: Options,
    *,
    on_problem: OnProblem,
) -> Iterator[Segmented]:
    """Segments found by the models' classifiers, all encoders combined; raises as ``recordings`` does."""
    first = next(iter(models.values()))
    convention = sources.convention_of(first.card, asked)
    for model in models.values():
        model.classifier(convention)  # fails before anything is read
    for recording in recordings(first, asked, convention, on_problem):
        said = {name: scores_of(each, recording, convention, options) for name, each in models.items()}
        yield segmented(recording.id, together(said), options)


def settled(models: Mapping[str, Model], convention: str, asked: Mapping[str, Any]) -> Options:
    """The requested options, with those that the classifier was trained with as defaults.

    A classifier of whole clips has no window, so the encoder's number of frames is used. Raises ConfigError
    for values that are out of range.
    """
    first = next(iter(models.values()))
    card = first.classifier(convention).card
    learned = {name: card.settings[name] for name in Options.model_fields if name in card.settings}
    learned = learned if BACKGROUND in card.settings else {"window": first.card.input.frames}
    if asked.get("window") and not asked.get("stride"):
        learned.pop("stride", None)
    wanted = learned | {name: value for name, value in asked.items() if value is not None}
    return checked(Options, wanted, where=PROTOCOL)


def kept_models(
    path: Path,
    *,
    encoder: str | None,
    convention: str | None,
    classifier: str | None,
    device: str,
    store: Sequence[Path],
    unfinished: bool,
) -> dict[str, Model]:
    """Encoder -> model with the named classifier, or by default the window classifier.

    Raises UsageError if a run has no window classifier, and SkelError if it has several.
    """
    if classifier not in (None, PROTOCOL) or (path / CARD).is_file():
        return every(
            path, encoder=encoder, classifier=classifier, device=device, store=store, unfinished=unfinished
        )
    run = open_run(path, store=store, device="cpu", unfinished=unfinished)
    names = list(run.method.encoders) if encoder is None else [run.encoder_name(encoder)]
    of = convention or run.config.data.conventions[0]
    made = {}
    for name in names:
        try:
            results = find_results(path, protocol=PROTOCOL, conventions=[of], encoders=[name])
        except SkelError as error:
            raise UsageError(
                f"no classifier of windows was kept for {of}",
                where=path,
                remedy=f"`trainer segment {path} STORE` learns one on a store with labels of frames: "
                "`skeltools convert pku-mmd-1 --uncut`, or uncut: true for your own. --classifier linear "
                "takes that of whole clips, which knows no background",
            ) from error
        made[name] = of_run(run, name, figure=only_result(results, where=path).path.stem, device=device)
    return made
