"""``trainer segment``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.commands import echo, progress, show
from trainer.cli.display import left_out
from trainer.cli.figures import print_json, table_of
from trainer.cli.options import (
    CLIP_CONVENTION,
    CLIP_ENCODER,
    CLIPS,
    DEVICE,
    PATH,
    PLACES,
    STORES_OF_RUN,
    UNFINISHED,
    device_name,
)

if TYPE_CHECKING:
    from schemas import EvaluationResult

_SHOWN = {
    "frames %": "frames",
    "F1@10": "f1@10",
    "F1@25": "f1@25",
    "F1@50": "f1@50",
    "edit": "edit",
    "mAP actions": "map_actions@0.5",
    "mAP videos": "map_videos@0.5",
    "released mAP actions": "released_map_actions@0.5",
    "released mAP videos": "released_map_videos@0.5",
}


@click.command("segment")
@click.argument("run", type=PATH)
@PLACES
@click.option("--out", type=PATH, help="File to write the segments to (.csv or .json).")
@click.option(
    "--classifier",
    metavar="FIGURE",
    help="Learn nothing: take a kept classifier, such as segment or linear, which knows no background.",
)
@click.option(
    "--window",
    type=click.IntRange(2),
    metavar="FRAMES",
    help="Length of a window. Default: two thirds of the median action of the training half, or as learned.",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    metavar="FRAMES",
    help="From one window to the next. Default: an eighth of a window, or as learned.",
)
@click.option(
    "--penalty",
    type=click.FloatRange(0),
    help="Of each change of class, in natural logarithms; 0 does not smooth. Default: a fifth of a window, "
    "or as learned.",
)
@click.option("--epochs", type=click.IntRange(1), help="Of the layer that is learned. Default: 100.")
@click.option("--lr", type=click.FloatRange(0, 1000, min_open=True), help="Its learning rate. Default: 0.1.")
@click.option(
    "--class-weights",
    type=click.Choice(["none", "balanced"]),
    help="balanced weighs a window by how few its class has, background included. Default: none.",
)
@CLIP_ENCODER
@CLIP_CONVENTION
@CLIPS
@STORES_OF_RUN
@DEVICE
@UNFINISHED
@click.option("--json", "as_json", is_flag=True, help="Print results and segments as JSON.")
def command(
    run: Path,
    places: tuple[Path, ...],
    out: Path | None,
    classifier: str | None,
    as_json: bool,
    encoder: str | None,
    convention: str | None,
    split: str | None,
    part: str | None,
    settings: Path | None,
    store: tuple[Path, ...],
    device: str,
    unfinished: bool,
    **options: Any,
) -> None:
    """Find which action happens when in recordings that are not cut into actions.

    With one store of whole recordings with frame labels (`skeltools convert pku-mmd-1 --uncut`), a linear
    layer on windows of the frozen encoder is trained on the training half, with background as a class of its
    own, and measured on the test half: frame accuracy, F1 at overlaps of 10, 25 and 50 %, edit score, and
    PKU-MMD's mean average precision at an overlap of 0.5. The result is in RUN/results/, with the layer. With
    other stores and with raw files, that layer segments their recordings.

    \b
    Examples:
      trainer segment runs/skeletonclr uncut.zarr --out segments.csv
      trainer segment runs/skeletonclr recording.npy another.npy --out found.json
      trainer segment runs/skeletonclr uncut.zarr --classifier linear --part test
    """
    from trainer.use import segment_files
    from trainer.use.segment_answer import answer
    from trainer.use.sources import Asked

    if out is not None:
        segment_files.check_suffix(out)
    with progress("windows of recordings") as on_progress:
        given = answer(
            run,
            Asked(places, convention, split, part, settings),
            encoder=encoder,
            classifier=classifier,
            options=options,
            device=device_name(device),
            store=store,
            unfinished=unfinished,
            on_problem=left_out,
            on_recording=on_progress,
        )
    if given.results and not as_json:
        _print(run, given.results)
    elif given.results:
        print_json(given.results)
    elif out is None:
        say = segment_files.as_json if as_json else segment_files.as_lines
        echo(say(given.recordings, given.classes), nl=False)
    if out is not None:
        segment_files.write(given.recordings, given.classes, out)
        count = sum(len(each.segments) for each in given.recordings)
        echo(f"{out}: {count} segments in {len(given.recordings)} recordings", err=as_json)


def _print(run: Path, results: Sequence[EvaluationResult]) -> None:
    first = results[0]
    echo(
        f"{run}: {first.method}, epoch {first.epoch}, {first.store} {first.split} ({first.train_samples} "
        f"recordings to learn from, {first.test_samples} to test), windows of {first.settings['window']} "
        f"frames, {first.convention}"
    )
    table = table_of(["encoder"], list(_SHOWN))
    for each in results:
        made = each.details["figures"]
        table.add_row(each.encoder, *(f"{100 * made[name]:.1f}" for name in _SHOWN.values()))
    show(table)
    for note in dict.fromkeys(note for each in results for note in each.notes):
        echo(f"note: {note}")
    if first.synthetic:
        echo("built-in demo data: numbers say nothing about PKU-MMD")
