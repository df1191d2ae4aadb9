"""Fitting the preset ``small`` to the stores of a run, by the rule of ``trainer.few``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas import RunConfig
from trainer import few
from trainer.config.trees import Tree, set_value


def fit(
    tree: Tree, clips: int, *, smallest: int, lengths: Sequence[int], given: Mapping[str, str]
) -> dict[str, str]:
    """Set batch size, queue and frames of a run unless they are ``given``; returns the origins of those set.

    ``clips``: number of clips in all training halves; ``smallest``: in the smallest half; ``lengths``:
    numbers of frames of the stores' clips.
    """
    wanted: dict[str, tuple[Any, str]] = {
        "optimise.batch_size": (
            min(few.batch_for(clips), max(2, smallest)),
            f"{clips} clips: {few.LEAST_STEPS} steps an epoch or more",
        ),
        "data.frames": (few.frames_for(tree["data"]["frames"], lengths), "a length that the store has"),
    }
    for path, _ in few.queues(tree["method"]["options"], "method.options"):
        wanted[path] = (few.queue_for(clips), f"{clips} clips: below an epoch")
    decided = {}
    for path, (value, origin) in wanted.items():
        if any(f"{path}.".startswith(f"{each}.") for each in given):
            continue
        set_value(tree, path, value)
        decided[path] = origin
    return decided


def notes(settings: RunConfig, clips: int) -> tuple[str, ...]:
    """Lines for the user on which settings were chosen for a store of few clips, and why."""
    optimise = settings.optimise
    steps = max(1, clips // optimise.batch_size)
    queues = [keys for _, keys in few.queues(settings.method.options, "method.options")]
    chosen = [f"batch {optimise.batch_size} ({steps} steps in a pass over the clips)"]
    chosen += [f"queue {queue} ({queue / clips:.1f} of an epoch)" for queue in queues[:1]]
    chosen += [
        f"rate {optimise.lr:g}",
        f"clips of {settings.data.frames} frames",
        f"{optimise.epochs} epochs",
    ]
    return (
        f"{clips} clips to train on: preset {settings.preset}. The papers' settings are made for {few.FEW} "
        f"clips and more: a queue of {few.LONGEST_QUEUE}, batches of {few.LARGEST}, an encoder with dropout",
        ", ".join(chosen),
        "the loss rises while the queue fills: judge by kNN. For other settings give --preset paper, or "
        "--set KEY=VALUE; `skeltools docs training` has the rule",
    )
