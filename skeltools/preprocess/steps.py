"""The steps by name, and the check of what a recipe says about them.

The keyword-only parameters of a step are its options; their annotations and defaults are the schema.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from schemas import Component, ConfigError, config_error, unknown
from skeltools.preprocess import denoise, placing, timing, tracks
from skeltools.preprocess.clip import Step

STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (
        tracks.rank_by_motion,
        tracks.rank_by_spread,
        tracks.first_tracks,
        tracks.file_order,
        denoise.denoise_short_tracks,
        denoise.denoise_spread,
        denoise.denoise_motion,
        timing.crop_to_presence,
        timing.cut_to_count,
        timing.fill_joints,
        timing.fill_gaps,
        timing.fill_null_frames,
        timing.resize,
        placing.center_clip,
        placing.turn_clip,
        placing.turn_upright,
        placing.turn_about_y,
        placing.center_frames,
        placing.turn_frames,
        placing.turn_frames_about_y,
        placing.center_spine,
        placing.turn_spine,
        placing.turn_shoulders,
    )
}

FIRST = "fill_joints"
"""Step that every recipe begins with, with default options if the recipe does not name it."""

CHOOSE = ("rank_by_motion", "rank_by_spread", "first_tracks", "file_order")
"""Steps that leave as many bodies as the stream has, one of which every recipe needs.

``file_order`` does so unless it fills other ``slots``.
"""

CUT = ("crop_to_presence", "cut_to_count", "file_order")
"""Steps that change the number of frames, and so must precede ``resize``."""

TURN = (
    "turn_clip",
    "turn_upright",
    "turn_about_y",
    "turn_frames",
    "turn_frames_about_y",
    "turn_spine",
    "turn_shoulders",
)
"""Steps that turn people in space."""

NEEDS: dict[str, tuple[str, ...]] = {
    "turn_clip": ("shoulders",),
    "turn_upright": ("shoulders", "body_parts"),
    "turn_about_y": ("shoulders",),
    "turn_frames": ("shoulders",),
    "turn_frames_about_y": ("shoulders",),
    "turn_spine": ("shoulders", "body_parts"),
    "turn_shoulders": ("shoulders",),
}
"""Step -> properties that it needs of a convention (``schemas.skeleton.PROPERTIES``); others need none."""


class _Options(BaseModel):
    """Options exactly as written: ``true`` is no number, ``"300"`` is text; only 1 for 1.0 is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@cache
def options_of(name: str) -> type[BaseModel]:
    """The pydantic model of a step's options."""
    step = STEPS[name]
    hints = get_type_hints(step, include_extras=True)
    parameters = inspect.signature(step).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY
    }
    return create_model(name, __base__=_Options, **fields)


def checked(step: Component, *, where: str) -> Component:
    """Return a step with all of its options, those not given at their defaults.

    Raises ConfigError that begins with ``where`` and names the option, e.g. ``mine.yaml: step 3
    resize.absent``, for an unknown step or option (with the closest known one) and for a wrong type or value.
    """
    if step.name not in STEPS:
        error = unknown("preprocessing step", step.name, STEPS)
        raise ConfigError(error.message, where=where, remedy=error.remedy)
    model = options_of(step.name)
    try:
        options = model.model_validate(step.options)
    except ValidationError as error:
        raise config_error(error, model, section=f"{where} {step.name}") from None
    return Component(name=step.name, options=options.model_dump(mode="json"))
