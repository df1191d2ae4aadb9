"""``trainer export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.commands import echo
from trainer.cli.options import PATH, STORES_OF_RUN, UNFINISHED

if TYPE_CHECKING:
    from trainer.export import EncoderCard


@click.command("export")
@click.argument("run", type=PATH)
@click.option("--encoder", help="Encoder of the method to export: joint, bone, motion, seq, ...")
@click.option("--convention", "conventions", multiple=True, help="Only this convention; may be repeated.")
@click.option("--out", type=PATH, help="Folder to write. Default: RUN/export.")
@STORES_OF_RUN
@click.option(
    "--classifier",
    metavar="FIGURE",
    help="Take along the classifier of an evaluation: linear, finetune, supervised, semi-5, ...",
)
@click.option(
    "--onnx", is_flag=True, help="Also write an ONNX graph for each convention, checked against PyTorch."
)
@UNFINISHED
@click.option("--force", is_flag=True, help="Replace an encoder that was exported to the folder before.")
def command(run: Path, out: Path | None, **options: Any) -> None:
    """Write the query encoder of a run as safetensors with a card in JSON, to use it without run and store.

    \b
    Examples:
      trainer export runs/skeletonclr
      trainer export runs/csclr --encoder bone --out encoders/csclr-bone
      trainer export runs/ms-clr --convention smplx_42 --onnx
      trainer export runs/skeletonclr --classifier linear --out gestures

    \b
    Then, in Python:
      import trainer
      encoder = trainer.load_encoder("runs/skeletonclr/export")
      features = encoder(clips)  # clips [N, 3, T, V, M] float32 -> [N, D]
    """
    from trainer.export import export_run

    folder = out or run / "export"
    _print_card(folder, export_run(run, folder, **options))


def _print_card(folder: Path, card: EncoderCard) -> None:
    given = card.input
    echo(f"{folder}: {card.encoder.name}, {card.feature_dim} features, of {card.method} {card.name}")
    joints = ", ".join(f"{name} ({spec.num_joints} joints)" for name, spec in card.conventions.items())
    echo(f"conventions: {joints}")
    echo(
        f"clips: {given.layout}, {given.dtype}, {given.stream} stream in {given.units}, "
        f"{given.frames} frames, {given.bodies} bodies, recipe {card.recipe.name}"
    )
    for name, file in card.onnx.items():
        echo(f"{file.file}: {name}, differs from PyTorch by {file.max_abs_difference:.1e} at most")
    for name, entry in card.classifiers.items():
        echo(f"{entry.file}: {name}, {entry.figure}, {len(entry.classes)} classes")
    echo(card.licence)
