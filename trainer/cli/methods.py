"""``trainer methods``."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

from schemas.commands import echo

if TYPE_CHECKING:
    from trainer import config


@click.command("methods")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the list, or the presets of NAME, as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List methods and presets, or explain one method: its options, its schedule, the source of every value.

    \b
    Example:
      trainer methods
      trainer methods aimclr
    """
    from trainer import config

    if as_json:
        echo(json.dumps(_as_json(name), indent=2))
        return
    if name is None:
        for method in config.preset_methods():
            _overview(method)
        return
    summary, paper = config.about(name)
    _wrapped(f"{name}: {summary}", "")
    _wrapped(paper, "")
    _describe(name)
    for preset_name in config.preset_names(name):
        _preset(config.find_preset(name, preset_name))


def _as_json(name: str | None) -> list[dict[str, Any]]:
    """For all methods: summaries, papers, presets; for one: its presets with every value and its source."""
    from trainer import config

    if name is None:
        named = {method: config.about(method) for method in config.preset_methods()}
        return [
            {"name": method, "summary": summary, "paper": paper, "presets": list(config.preset_names(method))}
            for method, (summary, paper) in named.items()
        ]
    config.about(name)
    presets = [config.find_preset(name, preset) for preset in config.preset_names(name)]
    return [
        {"preset": f"{each.method}-{each.name}", "settings": each.tree, "sources": each.sources}
        for each in presets
    ]


def _overview(method: str) -> None:
    from trainer import config

    summary, paper = config.about(method)
    _wrapped(f"{method}: {summary}", "")
    _wrapped(f"presets: {', '.join(config.preset_names(method))}", "  ")
    _wrapped(paper and f"paper: {paper}", "  ")


def _describe(method: str) -> None:
    """Print the encoders that suit the method, and its options."""
    from trainer import config
    from trainer.encoders import ENCODERS
    from trainer.methods import METHODS, options_of

    needs_map = method in METHODS and METHODS[method].needs_map
    fit = [name for name, encoder in ENCODERS.items() if not needs_map or encoder.map_axes == "TV"]
    echo(f"\nencoders: {', '.join(fit)}")
    echo("options (--set method.options.NAME=VALUE):")
    for option in config.options(options_of(method)):
        choices = f" ({' | '.join(option.choices)})" if option.choices else ""
        echo(f"  {option.name} = {option.default}{choices}")
        _wrapped(option.text, "      ")


def _preset(preset: config.Preset) -> None:
    from trainer import config

    echo(f"\n{preset.method}-{preset.name}: {preset.summary}")
    for line in config.drawn(preset):
        echo(f"  {line}")
    for path, value in config.leaves(preset.tree):
        source = f"  # {preset.sources[path]}" if path in preset.sources else ""
        text = value if isinstance(value, str) else json.dumps(value)
        echo(f"  {path} = {text}{source}")


def _wrapped(text: str, indent: str) -> None:
    if text:
        echo(textwrap.fill(text, 80, initial_indent=indent, subsequent_indent=indent or "  "))
