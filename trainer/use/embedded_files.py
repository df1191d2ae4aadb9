"""Feature files: ``.npz``, ``.parquet`` and ``.zarr`` with the same numbers, each complete or absent."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas import UsageError, regular
from schemas.system import replacing

if TYPE_CHECKING:
    from trainer.use.embedded import Embedded

ABOUT = "skeltools"
"""Metadata key of a parquet file; its value is JSON with the attributes that a zarr group has."""


def write(embedded: Embedded, path: Path) -> None:
    """Write in the format of the suffix of ``path``.

    Raises UsageError for an unknown suffix, and for ``.parquet`` if pyarrow is not installed.
    """
    check_suffix(path)
    aside = path.with_name(f".{path.name}.replaced-{os.getpid()}")
    with replacing(path) as partial:
        try:
            _WRITERS[path.suffix.lower()](embedded, partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)  # a folder; files are removed when this block is left
            raise
        if path.is_dir():
            path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def check_suffix(path: Path) -> None:
    """Raises UsageError for a file that could not be written, before anything is computed."""
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(
            f"{path} is no {', '.join(_WRITERS)}", where="--out", remedy="Name a file such as features.npz"
        )
    if path.is_dir() and not (path.suffix.lower() == ".zarr" and _is_ours(path)):
        raise UsageError(f"{path} is a folder of something else", where="--out", remedy="Name another file")
    if path.suffix.lower() == ".parquet":
        _pyarrow()


def _npz(embedded: Embedded, path: Path) -> None:
    """Write plain arrays, without pickles."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **embedded.arrays)


def _parquet(embedded: Embedded, path: Path) -> None:
    """A row per clip: id, label (null if unknown), class, and for each features a list of D float32."""
    arrow = _pyarrow()
    from pyarrow import parquet

    known = embedded.labels >= 0
    columns: dict[str, Any] = {
        "id": arrow.array(embedded.ids),
        "label": arrow.array(embedded.labels, mask=~known),
        "class": arrow.array(
            [embedded.classes[label] if label >= 0 else None for label in embedded.labels], arrow.string()
        ),
    }
    for name, values in embedded.named.items():
        flat = arrow.array(np.ascontiguousarray(values).ravel())
        columns[name] = arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
    about = {ABOUT: json.dumps(embedded.about | {"classes": list(embedded.classes)})}
    parquet.write_table(arrow.table(columns).replace_schema_metadata(about), path)


def _zarr(embedded: Embedded, path: Path) -> None:
    """A zarr format 3 group: the arrays of an ``.npz``, text as variable-length strings, and attributes."""
    import zarr

    group = zarr.create_group(str(path), attributes=embedded.about)
    for name, values in embedded.arrays.items():
        text = values.dtype.kind == "U"
        stored = group.create_array(name, shape=values.shape, dtype=str if text else values.dtype)
        stored[...] = values.astype(object) if text else values


_WRITERS: Mapping[str, Any] = {".npz": _npz, ".parquet": _parquet, ".zarr": _zarr}


def _is_ours(path: Path) -> bool:
    """Whether a zarr group holds features and may therefore be replaced; a store may not."""
    try:
        content = regular.read_json(path / "zarr.json", most=2**20)
    except (OSError, ValueError):
        return not any(path.iterdir())
    attributes = content.get("attributes") if isinstance(content, dict) else None
    return isinstance(attributes, dict) and attributes.get("kind") == KIND


KIND = "skeltools features"


def _pyarrow() -> Any:
    """Import pyarrow; raises UsageError if it is not installed."""
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise UsageError(
            ".parquet is written by pyarrow, which is not installed",
            where="--out",
            remedy="pip install 'skeltools[parquet]', or write .npz or .zarr",
        ) from error
    return pyarrow
