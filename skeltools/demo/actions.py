"""The demo's classes of NTU RGB+D. To add one, write a script in solo.py or duo.py and add a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skeltools.demo import duo, solo
from skeltools.demo.kinematics import Controls
from skeltools.demo.takes import Take

Solo = Callable[[Take], Controls]
Duo = Callable[[Take, Take], tuple[Controls, Controls]]


@dataclass(frozen=True)
class Action:
    """One of the demo's classes of NTU RGB+D."""

    seconds: float
    """Average duration."""
    solo: Solo | None = None
    duo: Duo | None = None
    gap: tuple[float, float] = (0.0, 0.0)
    """Two-person actions: range of the initial distance between the persons, metres."""
    free_fall: bool = False
    """Whether gravity sets the pace, so that time must not be warped."""


ACTIONS: Mapping[int, Action] = {
    1: Action(2.3, solo.drink),
    3: Action(2.3, solo.brush_teeth),
    6: Action(2.1, solo.pick_up),
    7: Action(1.8, solo.throw),
    8: Action(1.9, solo.sit_down),
    9: Action(1.9, solo.stand_up),
    10: Action(2.0, solo.clap),
    23: Action(2.1, solo.wave_hand),
    24: Action(1.8, solo.kick),
    27: Action(2.1, solo.jump, free_fall=True),
    38: Action(1.8, solo.salute),
    40: Action(2.0, solo.cross_hands),
    50: Action(1.8, duo=duo.punch, gap=(0.75, 0.95)),
    55: Action(2.4, duo=duo.hug, gap=(1.0, 1.3)),
    58: Action(2.2, duo=duo.shake_hands, gap=(0.85, 1.05)),
    59: Action(2.2, duo=duo.walk_towards, gap=(2.1, 2.9)),
}
"""NTU's action number, as in file names (labels are one less) -> script."""
