"""``trainer embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from schemas.commands import echo
from trainer.cli.display import left_out
from trainer.cli.options import (
    CLIP_CONVENTIONS,
    CLIP_ENCODER,
    CLIPS,
    DEVICE,
    PATH,
    PLACES,
    STORES_OF_RUN,
    UNFINISHED,
    device_name,
)


@click.command("embed")
@click.argument("run", type=PATH)
@PLACES
@click.option("--out", type=PATH, required=True, help="File to write: .npz, .parquet or .zarr.")
@CLIP_ENCODER
@CLIP_CONVENTIONS
@click.option(
    "--fused", is_flag=True, help="One array of all streams and conventions side by side, as kNN has it."
)
@CLIPS
@STORES_OF_RUN
@DEVICE
@UNFINISHED
def command(
    run: Path,
    places: tuple[Path, ...],
    out: Path,
    encoder: str | None,
    conventions: tuple[str, ...],
    fused: bool,
    store: tuple[Path, ...],
    device: str,
    unfinished: bool,
    **asked: Any,
) -> None:
    """Write the features of clips: of stores, raw files, or folders of these.

    RUN is a run or an export. The file has the arrays ids, labels (-1: not known), classes and features
    [N, D] float32; for a method that trained several encoders features_joint, features_bone and so on, and
    for several conventions features_joint_CONVENTION. A .zarr has the same arrays, a .parquet has a row for
    each clip: id, label, class and the features. The numbers are the same in all formats.

    \b
    Examples:
      trainer embed runs/skeletonclr store.zarr --out features.npz
      trainer embed runs/skeletonclr store.zarr --part test --out test.npz
      trainer embed runs/skeletonclr/export clip.npy S001C001P001R001A001.skeleton --out two.npz
      trainer embed runs/csclr recordings/dataset.yaml --encoder bone --out own.npz
      trainer embed runs/ms-clr store.zarr --convention all --fused --out all.parquet
    """
    from trainer.use import embedded, embedded_files
    from trainer.use.model import every
    from trainer.use.sources import Asked

    embedded_files.check_suffix(out)
    models = every(run, encoder=encoder, device=device_name(device), store=store, unfinished=unfinished)
    clips = embedded.embedded(
        models,
        Asked(places, **asked),
        conventions=conventions,
        fused=fused,
        on_problem=left_out,
    )
    embedded_files.write(clips, out)
    sizes = ", ".join(f"{name} {each.shape[1]}" for name, each in clips.features.items())
    known = int((clips.labels >= 0).sum())
    echo(
        f"{out}: {len(clips.ids)} clips in {', '.join(clips.conventions)}, features {sizes}; "
        f"{known} labelled, {len(clips.classes)} classes"
    )
