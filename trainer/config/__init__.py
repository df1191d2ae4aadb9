"""Settings of a run: presets, settings files and overrides in, a checked ``RunConfig`` out."""

from trainer.config.explain import Option, options
from trainer.config.presets import Preset, about, find_preset, preset_methods, preset_names
from trainer.config.resolve import Settings, resolve, resume
from trainer.config.schedule import draw, drawn, unreached
from trainer.config.show import render
from trainer.config.trees import Override, leaves, parse_override, read_file

__all__ = [
    "Option",
    "Override",
    "Preset",
    "Settings",
    "about",
    "draw",
    "drawn",
    "find_preset",
    "leaves",
    "options",
    "parse_override",
    "preset_methods",
    "preset_names",
    "read_file",
    "render",
    "resolve",
    "resume",
    "unreached",
]
