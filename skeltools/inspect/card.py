"""The data card of a store, for others: Markdown, laid out by ``card.md``, and the terms of its sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.templates import template
from skeltools import store
from skeltools.datasets import DATASETS
from skeltools.inspect import statistics
from skeltools.store import findings

SYNTHETIC = (
    "These are built-in demo data: animated bodies, no people. Their numbers mean nothing for the real data "
    "set and must be labelled as synthetic wherever they are shown."
)

_BINS = 10
_BAR = 40


@dataclass(frozen=True)
class Source:
    """Terms and citation of a data set that a store was made from."""

    terms: str
    url: str
    citation: str


_NTU = Source(
    "For research only, on request to the authors. Poses made from it fall under the same terms: pass on "
    "neither them nor this store without asking.",
    "https://rose1.ntu.edu.sg/dataset/actionRecognition",
    "Shahroudy et al., NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis, CVPR 2016",
)
_PKU = Source(
    "Free for research, as its authors say where they offer it. Ask them before you pass on this store.",
    "https://github.com/ECHO960/PKU-MMD",
    "Liu et al., PKU-MMD: A Large Scale Benchmark for Continuous Multi-Modal Human Action Understanding",
)
SOURCES: dict[str, Source] = {
    "ntu60": _NTU,
    "ntu120": Source(
        _NTU.terms,
        _NTU.url,
        "Liu et al., NTU RGB+D 120: A Large-Scale Benchmark for 3D Human Activity Understanding, TPAMI 2019",
    ),
    "nw-ucla": Source(
        "The terms of the files that are passed on are not known here. Ask the authors before you pass on "
        "this store.",
        "https://github.com/Uason-Chen/CTR-GCN",
        "Wang et al., Cross-view Action Modeling, Learning and Recognition, CVPR 2014",
    ),
    "pku-mmd-1": _PKU,
    "pku-mmd-2": _PKU,
}
"""By name of the data set; the terms are no more than what its authors state to whoever requests it."""

_OWN = Source("State your licence here: the data are your own.", "", "")
_DEMO = Source("The terms of skeltools itself (MIT): the data were made by it.", "", "")


def source_of(dataset: str, *, synthetic: bool) -> Source:
    """Terms and citation of a store's data set; a user's own has none."""
    return _DEMO if synthetic else SOURCES.get(dataset, _OWN)


def title_of(dataset: str, *, synthetic: bool) -> str:
    title = DATASETS[dataset].title if dataset in DATASETS else dataset
    return f"{title}, built-in demo data" if synthetic else title


def card(path: Path) -> str:
    """The data card of a store as Markdown; the same store yields the same text, wherever it lies."""
    stats = statistics(path)
    lengths = store.read(store.open_store(path), "samples/frames")
    layout = template(Path(__file__).with_name("card.md"), row=_row, counted=_counted)
    text = layout.render(
        stats,
        title_of=title_of,
        source_of=source_of,
        warning=SYNTHETIC,
        histogram=histogram(lengths) if lengths.size else (),
        findings_file=findings.FILE,
    )
    return f"{text}\n"


def histogram(values: np.ndarray) -> list[str]:
    """One line per bin: its range, a bar, its count."""
    counts, edges = np.histogram(values, bins=min(_BINS, int(np.ptp(values)) + 1))
    width = len(str(int(values.max())))
    return [
        f"{int(np.ceil(low)):>{width}}+ {'#' * round(_BAR * count / counts.max()):<{_BAR}} {count}"
        for low, count in zip(edges[:-1], counts, strict=True)
    ]


def _counted(counts: Mapping[str, int]) -> str:
    """Values with the number of their samples, in words."""
    return ", ".join(f"{'unknown' if value == '-1' else value}: {count}" for value, count in counts.items())


def _row(cells: Iterable[object]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
