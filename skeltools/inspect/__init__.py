"""The content of a store as plain data, for the table of ``skeltools inspect`` and its ``--json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools import store
from skeltools.datasets.splits import TEST, TRAIN
from skeltools.store import Store, findings

_FIELDS = ("subject", "camera", "setup", "repetition")


def statistics(path: Path) -> dict[str, Any]:
    """Counts, lengths, findings and sizes of a store; all of it can be written as JSON.

    Reads the small arrays only. Raises StoreError when no store can be read.
    """
    opened = store.open_store(path)
    manifest = opened.manifest
    columns = {
        name: store.read(opened, f"samples/{name}") for name in ("label", "frames", "bodies", *_FIELDS)
    }
    rows, sizes = store.read_findings(opened), opened.received.sizes()
    return {
        "store": str(opened.path),
        "format": manifest.format,
        "dataset": manifest.dataset,
        "synthetic": manifest.synthetic,
        "hash": manifest.hash,
        "tool": manifest.tool,
        "source": manifest.source,
        "parts": [part.model_dump(mode="json") for part in manifest.parts],
        "data_sets": [list(each) for each in manifest.data_sets],
        "samples": manifest.samples,
        "recipe": {**manifest.recipe.model_dump(mode="json"), "label": manifest.recipe.label},
        "conventions": {name: _convention(opened, name, sizes) for name in manifest.conventions},
        "protocols": {name: _protocol(opened, name, columns["label"]) for name in manifest.protocols},
        "streams": {
            name: _array(opened, name, sizes) for name in manifest.arrays if name.startswith("streams/")
        },
        "classes": _classes(manifest.classes, columns["label"]),
        "frames": _spread(columns["frames"]),
        "bodies": _counts(columns["bodies"]),
        "fields": {name: _counts(columns[name]) for name in _FIELDS},
        "findings": {
            "counts": manifest.findings,
            "summary": findings.summary(rows),
            "rows": [row.model_dump(mode="json") for row in rows],
        },
        "bytes": sum(sizes.values()),
    }


def _convention(opened: Store, name: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    info = opened.manifest.conventions[name]
    offsets = store.read(opened, f"sequences/{name}/offsets")
    lengths = np.diff(offsets)
    joints = opened.manifest.arrays[f"sequences/{name}/joints"].shape
    return {
        "samples": int((lengths > 0).sum()),
        "missing": len(info.missing),
        "joints": joints[2],
        "bodies": joints[1],
        "frames": int(offsets[-1]),
        "reader": info.reader,
        "axes": info.axes,
        "coordinates": info.coordinates,
        "mirrored_video": info.mirrored_video,
        "bytes": _size(f"sequences/{name}", sizes),
    }


def _protocol(opened: Store, name: str, label: NDArray[Any]) -> dict[str, Any]:
    half = store.read(opened, f"splits/{name}")
    info = opened.manifest.protocols[name]
    return {
        "rule": info.rule,
        "train": info.train,
        "test": info.test,
        "unused": len(half) - info.train - info.test,
        "classes_train": int(np.unique(label[half == TRAIN]).size),
        "classes_test": int(np.unique(label[half == TEST]).size),
    }


def _array(opened: Store, path: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    info = opened.manifest.arrays[path]
    return {
        "dimensions": list(info.dimensions),
        "shape": list(info.shape),
        "dtype": info.dtype,
        "bytes": _size(path, sizes),
    }


def _classes(names: tuple[str, ...], label: NDArray[Any]) -> list[dict[str, Any]]:
    """Every class that has a sample, by label; -1 stands for samples without a label."""
    counts = Counter(label.tolist())
    return [
        {
            "label": value,
            "name": names[value] if 0 <= value < len(names) else "unknown" if value >= 0 else "(no label)",
            "samples": counts[value],
        }
        for value in sorted(counts)
    ]


def _spread(values: NDArray[Any]) -> dict[str, float]:
    if not values.size:
        return {}
    quartiles = np.percentile(values, [0, 25, 50, 75, 100]).tolist()
    return dict(zip(("shortest", "quarter", "median", "three_quarters", "longest"), quartiles, strict=True))


def _counts(values: NDArray[Any]) -> dict[str, int]:
    """Value -> samples, in numeric order; keys are text, as in JSON."""
    unique, counts = np.unique(values, return_counts=True)
    return {str(value): int(count) for value, count in zip(unique.tolist(), counts.tolist(), strict=True)}


def _size(folder: str, sizes: Mapping[str, int]) -> int:
    """Bytes of the files below a folder of the store."""
    return sum(size for name, size in sizes.items() if name.startswith(f"{folder}/"))
