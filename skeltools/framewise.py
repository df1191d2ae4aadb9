"""Frame labels: the actions of a recording that is kept whole, from discovery to its clip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeltools.sequence import UNKNOWN

_KEYS = ("action", "from", "to")


@dataclass(frozen=True)
class Action:
    """Frames ``start:end`` of a recording, 0-based, end excluded; None stands for the recording's end."""

    label: int
    start: int
    end: int | None


def details(actions: Iterable[Action]) -> tuple[tuple[str, int], ...]:
    """Encode actions as details of a RawItem, three pairs per action."""
    return tuple(
        pair
        for action in actions
        for pair in zip(
            _KEYS, (action.label, action.start, UNKNOWN if action.end is None else action.end), strict=True
        )
    )


def taken(fields: Iterable[tuple[str, int]]) -> tuple[dict[str, int], tuple[Action, ...]]:
    """Split the details of a RawItem into its other fields and its actions."""
    pairs = list(fields)
    values = [value for key, value in pairs if key in _KEYS]
    triples = zip(values[::3], values[1::3], values[2::3], strict=True)
    actions = tuple(Action(label, start, None if end < 0 else end) for label, start, end in triples)
    return {key: value for key, value in pairs if key not in _KEYS}, actions


def labels(actions: Iterable[Action], frames: int) -> NDArray[np.int16]:
    """[frames] int16: the label of each frame, -1 where unlabelled; the later of overlapping actions wins."""
    made = np.full(frames, UNKNOWN, np.int16)
    for action in actions:
        made[action.start : action.end] = action.label
    return made
