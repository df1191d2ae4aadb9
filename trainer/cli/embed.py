"""``trainer embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trainer.cli.display import echo
from trainer.cli.options import (
    CLIP_CONVENTION,
    CLIP_ENCODER,
    DEVICE,
    PART,
    PLACES,
    SETTINGS,
    SPLIT,
    STORES_OF_RUN,
    device_name,
)


@click.command("embed")
@click.argument("run", type=click.Path(path_type=Path))
@PLACES
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write (.npz).")
@CLIP_ENCODER
@CLIP_CONVENTION
@SPLIT
@PART
@SETTINGS
@STORES_OF_RUN
@DEVICE
@click.option("--unfinished", is_flag=True, help="Accept a run that has not reached its last epoch.")
def command(
    run: Path,
    places: tuple[Path, ...],
    out: Path,
    encoder: str | None,
    store: tuple[Path, ...],
    device: str,
    unfinished: bool,
    **asked: Any,
) -> None:
    """Write the features of clips: of stores, raw files, or folders of these.

    RUN is a run or an export. The file has the arrays ids, labels (-1: not known), classes and features
    [N, D] float32; of a method that trained several encoders features_joint, features_bone and so on.

    \b
    Examples:
      trainer embed runs/skeletonclr store.zarr --out features.npz
      trainer embed runs/skeletonclr store.zarr --part test --out test.npz
      trainer embed runs/skeletonclr/export clip.npy S001C001P001R001A001.skeleton --out two.npz
      trainer embed runs/csclr recordings/dataset.yaml --encoder bone --out own.npz
    """
    from trainer.use import embedded
    from trainer.use.model import every
    from trainer.use.sources import Asked

    embedded.check_suffix(out)
    models = every(run, encoder=encoder, device=device_name(device), store=store, unfinished=unfinished)
    found = embedded.embedded(
        models, Asked(places, **asked), on_problem=lambda text: echo(f"left out: {text}", err=True)
    )
    embedded.write(found, out)
    sizes = ", ".join(f"{name} {each.shape[1]}" for name, each in found.features.items())
    known = int((found.labels >= 0).sum())
    echo(
        f"{out}: {len(found.ids)} clips in {found.convention}, features {sizes}; "
        f"{known} labelled, {len(found.classes)} classes"
    )
