"""Recordings in, segments out: by a classifier trained for this purpose, or by a saved one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas import UsageError
from trainer.export import CARD
from trainer.run import open_run
from trainer.use import segment, segment_learned, sources
from trainer.use.segment import BACKGROUND, Answer
from trainer.use.segment_learned import OnRecording
from trainer.use.sources import Asked, OnProblem

LEARNING = ("epochs", "lr", "class_weights")
"""Options that apply only to training."""


def answer(
    path: Path,
    asked: Asked,
    *,
    encoder: str | None = None,
    classifier: str | None = None,
    options: Mapping[str, Any],
    device: str = "cpu",
    store: Sequence[Path] = (),
    unfinished: bool = False,
    on_problem: OnProblem,
    on_recording: OnRecording | None = None,
) -> Answer:
    """Segment recordings with a run or an export, by a newly trained or a saved classifier.

    A classifier is trained if ``path`` is a run, no ``classifier`` is named and the only place is a store
    with frame labels; otherwise the named or saved one is used. Raises UsageError for options that do not fit
    the chosen case, and as ``segment_learned.learn`` and ``segment.found_in``.
    """
    single = classifier is None and len(asked.places) == 1 and not (path / CARD).is_file()
    if single and segment_learned.has_frame_labels(asked.places[0], asked.convention):
        if asked.part is not None:
            raise _refused("--part", "learns on one half and measures on the other")
        run = open_run(path, store=store, device="cpu", unfinished=unfinished)
        return segment_learned.learn(
            run,
            asked.places[0],
            encoder=encoder,
            convention=asked.convention,
            split=asked.split,
            options=options,
            device=device,
            on_recording=on_recording,
        )
    models = segment.kept_models(
        path,
        encoder=encoder,
        convention=asked.convention,
        classifier=classifier,
        device=device,
        store=store,
        unfinished=unfinished,
    )
    for name in LEARNING:
        if options.get(name) is not None:
            raise _refused(f"--{name.replace('_', '-')}", "learns nothing: a kept one is asked")
    of = sources.convention_of(next(iter(models.values())).card, asked)
    chosen = segment.settled(models, of, options)
    recordings = segment.found_in(models, asked, chosen, on_problem=on_problem)
    card = next(iter(models.values())).classifier(of).card
    classes = card.classes[:-1] if BACKGROUND in card.settings else card.classes
    return Answer(tuple(recordings), classes)


def _refused(option: str, reason: str) -> UsageError:
    return UsageError(
        f"`trainer segment` with these places {reason}",
        where=option,
        remedy="Leave it out, or name a store with labels of frames alone, or --classifier segment",
    )
