"""Options shared by several commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from schemas import UsageError
from schemas.commands import stack
from schemas.places import Place

PATH = click.Path(path_type=Path)
"""A path here."""
PLACE = click.Path(path_type=Place)
"""A path here, or an address."""


class Size(click.ParamType):
    """Bytes of memory, as a number or as text such as ``8GB`` and ``512MiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from pydantic import ByteSize, TypeAdapter, ValidationError

        try:
            size = TypeAdapter(ByteSize).validate_python(value)
        except ValidationError:
            size = ByteSize(0)
        if size <= 0:
            self.fail(f"'{value}' is no size of memory: give one such as 8GB, 512MiB or 1000000", param, ctx)
        return size


INIT_FROM = click.option(
    "--init-from",
    type=PATH,
    help="Start from the weights of a run, an export or an imported run.",
)
INIT_SKIP = click.option(
    "--init-skip",
    multiple=True,
    metavar="PATTERN",
    help="Weights of --init-from that start at random, such as '*.projector.*'; may be repeated.",
)
STORE = click.option(
    "--store",
    type=PLACE,
    help="Store made by `skeltools convert`. Default: $SKELTOOLS_STORE, else ./store.zarr.",
)
STORES = click.option(
    "--store",
    "stores",
    type=PLACE,
    multiple=True,
    help="Store made by `skeltools convert`; may be repeated: one encoder for all. Default: "
    "$SKELTOOLS_STORE, else ./store.zarr.",
)
STORE_OF_RUN = click.option("--store", type=PLACE, help="Where the store of the run is now, if it was moved.")
STORES_OF_RUN = click.option(
    "--store",
    type=PLACE,
    multiple=True,
    help="Where the store of the run is now, if it was moved. Of a run of several: the one that is meant, "
    "repeated for others that were moved.",
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")

PLACES = click.argument("places", nargs=-1, required=True, metavar="STORE|FILE...", type=PLACE)
CLIP_ENCODER = click.option("--encoder", help="Only this encoder of the method: joint, bone, motion, ...")
CLIP_CONVENTION = click.option("--convention", help="Skeleton of the clips. Default: the encoder's first.")
CLIP_CONVENTIONS = click.option(
    "--convention",
    "conventions",
    multiple=True,
    help="Skeleton of the clips; may be repeated. all: each that clips and encoder have. Default: the "
    "encoder's first.",
)
STREAM_WEIGHTS = click.option(
    "--weights",
    default="paper",
    show_default=True,
    help="Weights of the streams: paper (joint 0.6, bone 0.6, motion 0.4), equal, or joint=1,bone=0.5.",
)
SPLIT = click.option("--split", help="Of a store: only the samples of a split. Default: all rows.")
PART = click.option(
    "--part", type=click.Choice(["train", "test"]), help="Of a store: only this half of the split."
)
SETTINGS = click.option(
    "--settings",
    type=PATH,
    help="A dataset.yaml that describes the raw files. Default: the one beside them.",
)
CLIPS = stack(SPLIT, PART, SETTINGS)
UNFINISHED = click.option(
    "--unfinished", is_flag=True, help="Accept a run that has not reached its last epoch."
)


def usual_store() -> Path:
    """``$SKELTOOLS_STORE``, else ``./store.zarr``, as in skeltools. Raises UsageError if there is neither."""
    store = Place(os.environ.get("SKELTOOLS_STORE") or "store.zarr")
    if "SKELTOOLS_STORE" not in os.environ and not store.exists():
        raise UsageError("no store given", remedy="Name one with --store PATH; `skeltools convert` makes it")
    return store


def device_name(name: str) -> str:
    """A device under PyTorch's name. Raises UsageError for one that does not exist."""
    from trainer import device

    return str(device.choose(name))


def stream_weights(text: str) -> dict[str, float]:
    """Parse ``paper``, ``equal`` or ``joint=1,bone=0.5``; in the last form, other streams have weight 0."""
    from trainer.evaluate.ensemble import WEIGHTS

    if text in WEIGHTS:
        return WEIGHTS[text]
    weights = dict.fromkeys(WEIGHTS["equal"], 0.0)
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in weights or not _is_weight(value):
            raise UsageError(
                f"expected {', '.join(WEIGHTS)} or STREAM=NUMBER,..., found '{text}'",
                where="--weights",
                remedy=f"Streams: {', '.join(weights)}; numbers from 0 on",
            )
        weights[name] = float(value)
    return weights


def _is_weight(text: str) -> bool:
    try:
        return 0 <= float(text) < float("inf")
    except ValueError:
        return False
