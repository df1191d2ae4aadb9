"""``trainer predict``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.commands import echo
from trainer.cli import follow
from trainer.cli.display import left_out
from trainer.cli.options import (
    CLIP_CONVENTIONS,
    CLIP_ENCODER,
    CLIPS,
    DEVICE,
    PATH,
    PLACE,
    STORES_OF_RUN,
    STREAM_WEIGHTS,
    UNFINISHED,
    device_name,
    stream_weights,
)

if TYPE_CHECKING:
    from trainer.use.answers import Answer


@click.command("predict")
@click.argument("run", type=PATH)
@click.argument("places", nargs=-1, metavar="STORE|FILE...", type=PLACE)
@click.option(
    "--classifier",
    metavar="FIGURE",
    help="Of which evaluation: linear, finetune, supervised, semi-5, ... Default: the first that there is.",
)
@CLIP_ENCODER
@CLIP_CONVENTIONS
@STREAM_WEIGHTS
@click.option(
    "--unknown",
    type=click.Choice(["energy", "distance"]),
    help="Call clips unknown that look like no class, by their energy or the distance to the nearest class.",
)
@click.option(
    "--keep",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Share of clips of known classes that --unknown shall let pass.",
)
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Classes a clip in JSON.")
@CLIPS
@follow.options
@STORES_OF_RUN
@DEVICE
@UNFINISHED
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
def command(
    run: Path,
    places: tuple[Path, ...],
    classifier: str | None,
    encoder: str | None,
    unknown: Any,
    keep: float,
    top: int,
    store: tuple[Path, ...],
    device: str,
    unfinished: bool,
    as_json: bool,
    live: bool,
    conventions: tuple[str, ...],
    weights: str,
    **given: Any,
) -> None:
    """Name the class of clips: of stores, raw files, or folders of these.

    RUN is a run whose evaluation kept a classifier (`trainer evaluate RUN --protocol linear`), or an export
    with one. A line has the clip's id, its class and the probability, calibrated on clips that the classifier
    was not trained on. Encoders of several streams answer together, weighted by --weights, and so do several
    conventions of a store; a raw file is in one convention.

    \b
    Examples:
      trainer predict runs/skeletonclr S001C001P001R001A001.skeleton
      trainer predict runs/skeletonclr clip.npy --unknown energy --json
      trainer predict gestures recordings/ --settings dataset.yaml
      trainer predict runs/skeletonclr store.zarr --part test
      trainer predict runs/ms-clr store.zarr --part test --convention all
      sensor | trainer predict runs/skeletonclr --follow --window 60 --stride 15
    """
    files = {name: given[name] for name in ("split", "part", "settings")}
    stream = {name: given[name] for name in follow.OPTIONS}
    follow.check(live, places, files, stream)
    from trainer.use import answers as asking
    from trainer.use.model import every
    from trainer.use.sources import Asked

    models = every(
        run,
        encoder=encoder,
        classifier=classifier,
        device=device_name(device),
        store=store,
        unfinished=unfinished,
    )
    if live:
        shares = stream_weights(weights)
        follow.run(models, _only(conventions), **stream, top=top, weights=shares, unknown=unknown, keep=keep)
        return
    answers = list(
        asking.answers(
            models,
            Asked(places, **files),
            conventions=conventions,
            weights=stream_weights(weights),
            unknown=unknown,
            keep=keep,
            on_problem=left_out,
        )
    )
    if as_json:
        records = [record for answer in answers for record in asking.as_records(answer, top=top)]
        echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    _print(answers)


def _only(conventions: Sequence[str]) -> str | None:
    """The convention of a live stream. Raises UsageError for several."""
    if len(conventions) > 1 or "all" in conventions:
        raise click.UsageError("--follow reads frames of one --convention")
    return next(iter(conventions), None)


def _print(answers: list[Answer]) -> None:
    """Print a line per clip on stdout, and notes for the reader on stderr."""
    right = labelled = 0
    for answer in answers:
        best = answer.said.top(1)
        for row, (id, name) in enumerate(zip(answer.ids, answer.said.names, strict=True)):
            echo(f"{id}\t{name}\t{best[row][0][1]:.3f}")
            own = answer.names[row]
            labelled += own in answer.said.classes
            right += own == name
    if labelled:
        echo(f"{right} of the {labelled} clips whose class is known are named as it", err=True)
    if not answers[0].said.calibrated:
        echo("the probabilities are not calibrated: the classifier saw all training clips", err=True)
