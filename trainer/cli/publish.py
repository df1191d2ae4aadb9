"""``trainer publish``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from schemas.commands import echo
from trainer.cli.options import PATH, STORES_OF_RUN, UNFINISHED


@click.command("publish")
@click.argument("run", type=PATH)
@click.option("--to", required=True, metavar="FOLDER|hf://USER/NAME", help="Where to; a folder is made.")
@click.option("--encoder", help="Encoder of the method: joint, bone, motion, seq, ...")
@click.option("--convention", "conventions", multiple=True, help="Only this convention; may be repeated.")
@STORES_OF_RUN
@click.option(
    "--classifier",
    metavar="FIGURE",
    help="Take along the classifier of this evaluation. Default: that of linear, if one was kept.",
)
@click.option(
    "--licence",
    default="other",
    show_default=True,
    metavar="ID",
    help="Of the weights, as Hugging Face names it, such as cc-by-nc-4.0.",
)
@click.option("--title", help="Of the model card. Default: the name of the folder.")
@click.option("--onnx", is_flag=True, help="With an ONNX graph for each convention.")
@click.option("--private", is_flag=True, help="Make the repository private, where there is none yet.")
@UNFINISHED
@click.option("--force", is_flag=True, help="Replace what was published there before.")
def command(run: Path, to: str, **given: Any) -> None:
    """Write an encoder for others: an export with model card, figures, recipe, settings and hashes.

    The figures are the results of `trainer evaluate` for this encoder alone, each with its interval,
    settings, store and command; `trainer verify` measures them again. `trainer.load`, --init-from, embed and
    predict accept the folder. Hugging Face needs huggingface_hub and `hf auth login`.

    \b
    Examples:
      trainer publish runs/aimclr --to aimclr-xview
      trainer publish runs/csclr --encoder bone --to published/bone --licence cc-by-nc-4.0
      trainer publish runs/aimclr --to hf://user/aimclr-xview --private
    """
    from trainer.publishing.write import published

    card, claims = published(run, to, **given)
    echo(f"{to}: {card.method} {card.name}, {card.feature_dim} features, {len(claims)} figures")
    if not claims:
        echo(f"no figures: `trainer evaluate {run} --protocol linear --protocol knn` makes them", err=True)
    echo(card.licence)
