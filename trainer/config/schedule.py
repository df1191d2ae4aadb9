"""The schedule of a run drawn as text: stages and learning rate over the epochs."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from schemas import Component, OptimiseConfig
from trainer.config.presets import Preset
from trainer.config.shares import whole_epochs

if TYPE_CHECKING:  # imports torch, which commands that only print do not need
    from trainer.methods import Stage

_LABEL = 7
"""Columns before the axis."""


def draw(method: Component, optimise: OptimiseConfig, *, width: int = 78) -> list[str]:
    """Draw lines of ASCII: an axis of epochs done, stages, learning rate, and a summary of each stage.

    Stage boundaries in the method's options must be whole epochs (``whole_epochs``). Raises like
    ``methods.build``.
    """
    from trainer import methods

    columns, epochs = width - _LABEL - 1, optimise.epochs
    stages = methods.stages(method)
    reached = [stage for stage in stages if stage.start < epochs]
    starts = {stage.start: f"{index + 1} {stage.name}" for index, stage in enumerate(reached)}
    rates = _rates(optimise)
    marks = sorted({*starts, *_bounds(optimise), epochs})
    axis = _put({_column(mark, epochs, columns): "+" for mark in marks}, columns, fill="-")
    lines = [
        "epochs " + _numbers(marks, epochs, columns),
        "       " + axis,
        "stage  " + _cells(starts, epochs, columns),
        "rate   " + _cells(rates, epochs, columns, bounded=optimise.schedule == "step"),
    ]
    for index, stage in enumerate(stages):
        text = f"{index + 1} {stage.name}: {stage.summary}{_begin(stage, epochs)}"
        lines += textwrap.wrap(text, width, initial_indent="       ", subsequent_indent="         ")
    return [line.rstrip() for line in lines]


def drawn(preset: Preset) -> list[str]:
    """Draw the schedule of a preset."""
    optimise = OptimiseConfig.model_validate(preset.tree["optimise"])
    method, _ = whole_epochs(Component.model_validate(preset.tree["method"]), optimise.epochs)
    return draw(method, optimise)


def unreached(stages: Sequence[Stage], epochs: int) -> list[str]:
    """A line for every stage that would begin after the last epoch, except those set to begin right there."""
    return [
        f"stage {index + 1} '{stage.name}' would begin after {stage.start} epochs, the run has {epochs}"
        for index, stage in enumerate(stages)
        if stage.start > epochs
    ]


def _begin(stage: Stage, epochs: int) -> str:
    if stage.start >= epochs:
        return f" (after epoch {stage.start}: not reached)"
    return f" (from epoch {stage.start + 1})" if stage.start else ""


def _bounds(optimise: OptimiseConfig) -> list[int]:
    steps = optimise.milestones if optimise.schedule == "step" else ()
    return [mark for mark in (optimise.warmup_epochs, *steps) if 0 < mark < optimise.epochs]


def _rates(optimise: OptimiseConfig) -> dict[int, str]:
    """Epochs done -> learning rate: at its steps, or at points of a curve."""
    from trainer import optim

    epochs = optimise.epochs
    if optimise.schedule == "cosine":
        marks = sorted({optimise.warmup_epochs, *(epochs * quarter // 4 for quarter in range(4)), epochs})
    else:
        marks = sorted({0, *_bounds(optimise)})
    return {mark: f"{optim.learning_rate(optimise, mark):.2g}" for mark in marks}


def _column(mark: int, epochs: int, columns: int) -> int:
    return round(mark / epochs * (columns - 1))


def _put(texts: Mapping[int, str], columns: int, *, fill: str = " ") -> str:
    line = [fill] * columns
    for start, text in texts.items():
        line[start : start + len(text)] = text
    return "".join(line[:columns])


def _numbers(marks: Sequence[int], epochs: int, columns: int) -> str:
    """The marks' numbers at their columns; a number that would touch its neighbour is left out."""
    texts = {columns - len(str(epochs)): str(epochs)}
    for mark in marks[:-1]:
        start, end = _column(mark, epochs, columns), _column(mark, epochs, columns) + len(str(mark))
        if all(end < other or start > other + len(text) for other, text in texts.items()):
            texts[start] = str(mark)
    return _put(texts, columns)


def _cells(texts: Mapping[int, str], epochs: int, columns: int, *, bounded: bool = True) -> str:
    """Every text after its mark, cut off where the next one begins."""
    marks = [*texts, epochs]
    line = _put({columns - 1: "|"}, columns) if bounded else " " * columns
    for mark, following in itertools.pairwise(marks):
        start, end = (_column(each, epochs, columns) for each in (mark, following))
        text = f"| {texts[mark]}" if bounded else texts[mark]
        line = line[:start] + text[: max(end - start - 1, 1)].ljust(end - start) + line[end:]
    if not bounded and epochs in texts:
        line = line[: columns - len(texts[epochs])] + texts[epochs]
    return line[:columns]
