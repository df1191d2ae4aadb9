"""What a store records about its rows: columns, halves of splits, counts of findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, ProtocolInfo
from skeltools import store
from skeltools.datasets.splits import TEST, TRAIN


def write_columns(
    root: store.Group,
    ids: Sequence[str],
    columns: Mapping[str, NDArray[Any]],
    halves: Mapping[str, NDArray[np.uint8]],
) -> None:
    """Write ``samples`` and ``splits``: for each id, a value of each column and the half of each split."""
    for name, values in {"id": np.array(ids, dtype=object), **columns}.items():
        store.write_array(root, f"samples/{name}", values, ("N",))
    for name, half in halves.items():
        store.write_array(root, f"splits/{name}", half, ("N",))


def split_info(rule: str, half: NDArray[np.uint8]) -> ProtocolInfo:
    """A manifest's entry for a split: its rule, and the number of samples in either half."""
    return ProtocolInfo(rule=rule, train=int((half == TRAIN).sum()), test=int((half == TEST).sum()))


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Problem -> number of findings, as in a manifest."""
    return dict(sorted(Counter(finding.problem for finding in findings).items()))
