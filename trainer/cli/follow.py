"""``trainer predict --follow``: answers while frames arrive."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas import UsageError
from schemas.commands import echo, stack

if TYPE_CHECKING:
    from trainer.use.model import Model

options = stack(
    click.option(
        "--follow",
        "live",
        is_flag=True,
        help="In place of files a stream: a frame of JSON on each line of standard input, an answer of "
        "JSON on a line of its own for each window.",
    ),
    click.option(
        "--window",
        type=click.IntRange(2),
        metavar="FRAMES",
        help="--follow: frames of an answer. Default: as many as the encoder's clips have.",
    ),
    click.option(
        "--stride",
        type=click.IntRange(1),
        metavar="FRAMES",
        help="--follow: frames from one answer to the next. Default: an eighth of a window.",
    ),
    click.option("--units", type=click.Choice(["m", "cm", "mm", "in"]), help="--follow: default: m."),
    click.option("--axes", metavar="X,Y,Z", help="--follow: where they point. Default: left,up,forward."),
)
"""``--follow``, as ``live``, and ``OPTIONS``, which go with it."""

OPTIONS = ("window", "stride", "units", "axes")


def check(live: bool, places: tuple[Path, ...], files: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises UsageError for options of files with a stream, and of a stream with files."""
    if not live and not places:
        raise UsageError(
            "no clip was named", where="STORE|FILE...", remedy="Name stores or raw files, or add --follow"
        )
    wrong = [name for name, value in (files if live else given).items() if value is not None]
    if live and places:
        wrong = [str(places[0]), *wrong]
    if wrong:
        option = wrong[0] if live and places else f"--{wrong[0]}"
        raise UsageError(
            f"{option} is {'of files' if live else 'of a stream'}",
            where="--follow",
            remedy="Leave it out: --follow reads standard input" if live else "Add --follow, or leave it out",
        )


def run(
    models: Mapping[str, Model],
    convention: str | None,
    *,
    window: int | None,
    stride: int | None,
    units: str | None,
    axes: str | None,
    top: int,
    weights: Mapping[str, float] | None,
    unknown: Any,
    keep: float,
) -> None:
    """Print a line for each window as soon as it is complete.

    Raises UsageError for ``unknown`` with several encoders, and like ``follow.follow``.
    """
    from trainer.use import follow, follow_lines, segment, sources

    if unknown is not None and len(models) > 1:
        raise UsageError(
            "unknown clips are told by one encoder",
            where="--unknown",
            remedy=f"Choose one, as --encoder {next(iter(models))}",
        )
    card = next(iter(models.values())).card
    name = sources.convention_of(card, sources.Asked((), convention))
    chosen = segment.settled(models, name, {"window": window, "stride": stride})
    assert chosen.window is not None
    frames = follow_lines.frames_of_lines(
        follow_lines.lines_of(sys.stdin.buffer),
        card.conventions[name],
        follow_lines.turn(units or "m", axes or "left,up,forward"),
        on_problem=lambda text: echo(text, err=True),
    )
    for each in follow.follow(
        models,
        frames,
        name,
        window=chosen.window,
        stride=chosen.step,
        weights=weights,
        unknown=unknown,
        keep=keep,
    ):
        _said(follow_lines.as_line(each, top=top))


def _said(text: str) -> None:
    """Print and flush, since the reader is waiting for the answer."""
    echo(text)
    sys.stdout.flush()
