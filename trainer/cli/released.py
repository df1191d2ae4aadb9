"""``trainer import``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.commands import echo
from trainer.cli.options import PATH, STORE, usual_store

if TYPE_CHECKING:
    from trainer.released import Imported

_LAST = re.compile(r"\.(weight|bias|running_mean|running_var|num_batches_tracked)$")
_NUMBER = re.compile(r"(\.l?)\d+(?=\.|$)")


@click.command("import")
@click.argument("file", metavar="CHECKPOINT", type=PATH)
@click.option(
    "--from",
    "code",
    required=True,
    help="Whose code wrote the file: aimclr, crosclr, skelemixclr, skeleton-contrast (ISC) or ms-clr.",
)
@STORE
@click.option("--out", type=PATH, help="Run folder. Default: runs/CODE-imported.")
@click.option("--preset", default="released", show_default=True, help="Preset of the method.")
@click.option("--split", help="Split that the weights were trained on. Default: the store's first.")
@click.option("--stream", help="joint, bone or motion, of a method with one stream. Default: joint.")
@click.option(
    "--convention", "conventions", multiple=True, help="Skeleton convention. Default: that of the preset."
)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated."
)
@click.option("--force", is_flag=True, help="Replace an earlier run in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print the name of every weight as JSON.")
def command(
    file: Path,
    code: str,
    store: Path | None,
    out: Path | None,
    split: str | None,
    stream: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Turn a checkpoint of a paper's own code into a run.

    Every weight in the file must be known; nothing in the file is executed. The run has the settings of the
    method's preset `released`. It can be given to evaluate, export, report and pretrain --init-from.

    \b
    Examples:
      trainer import aimclr_joint.pt --from aimclr --store ntu60.zarr --split xsub --out runs/aimclr-joint
      trainer import aimclr_bone.pt --from aimclr --stream bone --store ntu60.zarr --out runs/aimclr-bone
      trainer import checkpoint_0450.pth.tar --from skeleton-contrast --store ntu60-isc.zarr --out runs/isc

    Run `skeltools docs import` to read which files were published, and what else their figures need.
    """
    from trainer import config
    from trainer.released import import_released

    given = {"data.split": ("--split", split), "data.stream": ("--stream", stream)}
    overrides = [config.parse_override(text) for text in assignments]
    overrides += [config.Override(path, value, flag) for path, (flag, value) in given.items() if value]
    done = import_released(
        file,
        code,
        store=store or usual_store(),
        out=out or Path("runs", f"{code}-imported"),
        overrides=overrides,
        **options,
    )
    if as_json:
        echo(
            json.dumps({"run": str(done.folder), "weights": done.names, "left_out": done.left_out}, indent=2)
        )
    else:
        _print(done)


def _print(done: Imported) -> None:
    settings = done.config
    assert settings.init_from is not None
    for (released, ours), count in _grouped(done.names).items():
        echo(f"{count:4}  {released} -> {ours}")
    echo(f"left out: {', '.join(done.left_out) or 'nothing'}")
    for note in done.notes:
        echo(f"note: {note}")
    echo(
        f"{done.folder}: {settings.preset}, {', '.join(settings.data.conventions)}, epoch {done.epoch}, "
        f"{len(done.names)} weights of {settings.init_from.code}, sha256 {settings.init_from.sha256[:12]}"
    )
    echo(f"next: trainer evaluate {done.folder} --protocol knn --protocol linear")


def _grouped(names: dict[str, str]) -> dict[tuple[str, str], int]:
    """Numbers of weights, grouped over a layer's tensors and over the same layer of all blocks."""
    counts: dict[tuple[str, str], int] = {}
    for pair in names.items():
        released, ours = (_NUMBER.sub(r"\1*", _LAST.sub("", name), count=1) for name in pair)
        counts[released, ours] = counts.get((released, ours), 0) + 1
    return counts
