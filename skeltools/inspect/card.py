"""Describe a store for others: a Markdown data card, and Croissant JSON-LD (mlcommons.org/croissant)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeltools import store
from skeltools.datasets import DATASETS
from skeltools.inspect import statistics
from skeltools.store import findings

CROISSANT = "http://mlcommons.org/croissant/1.0"
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


# ------------------------------------------------------------------------------------------------- Markdown


def card(path: Path) -> str:
    """The data card of a store as Markdown; the same store yields the same text, wherever it lies."""
    stats = statistics(path)
    sections = (_head, _terms, _samples, _conventions, _splits, _classes, _recipe, _findings, _provenance)
    return "\n".join("\n".join(section(path, stats)) + "\n" for section in sections)


def _head(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    yield f"# {title_of(stats['dataset'], synthetic=stats['synthetic'])}"
    yield ""
    yield (
        f"{stats['samples']} recorded actions of `{stats['dataset']}` as skeletons in "
        f"{len(stats['conventions'])} conventions. Store format {stats['format']}, by {stats['tool']}."
    )
    yield f"Hash of its contents: `{stats['hash']}`."
    if stats["synthetic"]:
        yield f"\n**{SYNTHETIC}**"


def _terms(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    yield from ("## Terms of use", "")
    several = len(stats["data_sets"]) > 1
    for name, synthetic in stats["data_sets"]:
        source = source_of(name, synthetic=synthetic)
        if several:
            yield f"### {title_of(name, synthetic=synthetic)}\n"
        yield source.terms
        if source.url:
            yield f"\nWhere the data come from: <{source.url}>"
        if source.citation:
            yield f"\nCite: {source.citation}"
        if several:
            yield ""


def _samples(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    yield from ("## Samples", "")
    columns = {"bodies": stats["bodies"], **stats["fields"]}
    for name, counts in columns.items():
        text = ", ".join(f"{value}: {count}" for value, count in counts.items())
        yield f"- by {name}: {text.replace('-1:', 'unknown:')}"
    lengths = store.read(store.open_store(path), "samples/frames")
    if lengths.size:
        yield from ("", "Frames per sample:", "", "```", *histogram(lengths), "```")


def histogram(values: np.ndarray) -> list[str]:
    """One line per bin: its range, a bar, its count."""
    counts, edges = np.histogram(values, bins=min(_BINS, int(np.ptp(values)) + 1))
    width = len(str(int(values.max())))
    return [
        f"{int(np.ceil(low)):>{width}}+ {'#' * round(_BAR * count / counts.max()):<{_BAR}} {count}"
        for low, count in zip(edges[:-1], counts, strict=True)
    ]


def _conventions(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    yield from ("## Skeletons", "")
    yield from _table(
        ("convention", "joints", "samples", "missing", "frames", "bodies", "reader", "mirrored video")
    )
    for name, row in stats["conventions"].items():
        mirrored = {True: "yes", False: "no", None: "-"}[row["mirrored_video"]]
        numbers = (row[key] for key in ("joints", "samples", "missing", "frames", "bodies"))
        yield _row(name, *numbers, row["reader"], mirrored)
    yield ""
    for name, row in stats["conventions"].items():
        yield f"- `{name}`, axes: {row['axes']}"
    yield "\nCoordinates: metres in Kinect camera space: x to the sensor's left, y up, z away from it."
    yield "A sample without poses in a convention is `missing` there; a body that was not seen is zero."


def _splits(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    yield from ("## Splits", "", *_table(("split", "train", "test", "not used", "rule")))
    for name, row in stats["protocols"].items():
        yield _row(name, row["train"], row["test"], row["unused"], row["rule"])


def _classes(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    yield from ("## Classes", "", *_table(("label", "class", "samples")))
    for row in stats["classes"]:
        yield _row(row["label"], row["name"], row["samples"])


def _recipe(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    recipe = stats["recipe"]
    yield from ("## Preprocessing", "", f"Streams are made with the recipe `{recipe['label']}`:", "")
    for number, step in enumerate(recipe["steps"], start=1):
        options = ", ".join(f"{key} {value}" for key, value in step["options"].items() if value is not None)
        yield f"{number}. `{step['name']}`" + (f": {options}" if options else "")
    if recipe["counts"]:
        yield from ("", "What the steps met:", "")
        yield from (f"- {what}: {count}" for what, count in recipe["counts"].items())
    yield from ("", "Streams:", "")
    for name, row in stats["streams"].items():
        axes = " x ".join(
            f"{axis} {size}" for axis, size in zip(row["dimensions"], row["shape"], strict=True)
        )
        yield f"- `{name}`: {axes}, {row['dtype']}"


def _findings(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    yield from ("## Findings", "")
    if not stats["findings"]["summary"]:
        yield "None: every raw file could be read and was sound."
        return
    yield f"Problems of the raw files, all listed in `{findings.FILE}`:"
    yield from ("", *_table(("problem", "rows", "done")))
    for row in stats["findings"]["summary"]:
        yield _row(row["problem"], row["count"], ", ".join(row["actions"]))


def _provenance(path: Path, stats: dict[str, Any]) -> Iterator[str]:
    yield from ("## Provenance", "")
    yield from (f"- raw data, {key}: `{value}`" for key, value in stats["source"].items())
    yield from (
        f"- of `{part['name']}`: {part['samples']} samples, hash `{part['hash']}`" for part in stats["parts"]
    )
    yield f"- made by: {stats['tool']}"
    yield "- `sha256` of every array: in the manifest, `zarr.json`; `skeltools validate` compares them"


def _table(columns: tuple[str, ...]) -> tuple[str, str]:
    return _row(*columns), "|" + "---|" * len(columns)


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


# ------------------------------------------------------------------------------------------------ Croissant

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification of Croissant 1.0 prescribes."""

_GROUPS = ("samples", "splits", "skeletons", "sequences", "streams", "findings")


def croissant(path: Path) -> dict[str, Any]:
    """Croissant 1.0 metadata of a store: its files, classes, splits and findings.

    Arrays are described, but Croissant 1.0 cannot extract from zarr: their fields name the group.
    """
    opened = store.open_store(path)
    manifest = opened.manifest
    sources = [source_of(name, synthetic=synthetic) for name, synthetic in manifest.data_sets]
    title = title_of(manifest.dataset, synthetic=manifest.synthetic)
    described = f"{manifest.samples} recorded actions as skeletons: {', '.join(manifest.conventions)}."
    metadata: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": title,
        "description": f"{described} {SYNTHETIC}" if manifest.synthetic else described,
        "conformsTo": CROISSANT,
        "license": _all(source.terms for source in sources),
        "version": f"{manifest.format}.0.0+{manifest.hash[:12]}",
        "distribution": [*_files(opened.folder), *_sets(opened.folder)],
        "recordSet": [
            _class_records(manifest.classes),
            *_array_records(opened),
            *_finding_records(opened.folder),
        ],
    }
    if len(sources) == 1 and sources[0].url:
        metadata["url"] = sources[0].url
    if citation := _all(source.citation for source in sources):
        metadata["citeAs"] = citation
    return metadata


def _all(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _files(path: Path) -> Iterator[dict[str, Any]]:
    kinds = {"zarr.json": "application/json", findings.FILE: "text/csv"}
    for name, kind in kinds.items():
        content = findings.content(path) if name == findings.FILE else (path / name).read_bytes()
        if content is not None:
            yield {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{len(content)} B",
                "encodingFormat": kind,
                "sha256": hashlib.sha256(content).hexdigest(),
            }


def _sets(path: Path) -> Iterator[dict[str, Any]]:
    for name in _GROUPS:
        if (path / name).is_dir():
            yield {
                "@type": "cr:FileSet",
                "@id": f"{name}-files",
                "name": name,
                "description": f"zarr group {name}; the manifest in zarr.json has a sha256 of each array",
                "encodingFormat": "application/vnd.zarr; version=3",
                "includes": f"{name}/**",
            }


def _field(id: str, kind: str, source: dict[str, Any] | None = None, description: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"@type": "cr:Field", "@id": id, "name": id, "dataType": kind}
    if description:
        made["description"] = description
    if source:
        made["source"] = source
    return made


def _class_records(classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [_field("classes/label", "sc:Integer"), _field("classes/name", "sc:Text")],
        "data": [{"classes/label": label, "classes/name": name} for label, name in enumerate(classes)],
    }


def _array_records(opened: store.Store) -> Iterator[dict[str, Any]]:
    """One record set per group; the axes of each array are in its field's description."""
    kinds = {"string": "sc:Text", "float32": "sc:Float", "bool": "sc:Boolean"}
    for group in _GROUPS:
        arrays = {path: i for path, i in opened.manifest.arrays.items() if path.startswith(f"{group}/")}
        if arrays:
            source = {"fileSet": {"@id": f"{group}-files"}, "extract": {"fileProperty": "content"}}
            fields = [
                _field(
                    path,
                    kinds.get(info.dtype, "sc:Integer"),
                    source,
                    f"{info.dtype} {' x '.join(info.dimensions)}: {' x '.join(map(str, info.shape))}",
                )
                for path, info in arrays.items()
            ]
            yield {"@type": "cr:RecordSet", "@id": group, "name": group, "field": fields}


def _finding_records(path: Path) -> Iterator[dict[str, Any]]:
    if (path / findings.FILE).is_file():
        fields = [
            _field(
                f"problems/{name}",
                "sc:Text",
                {"fileObject": {"@id": findings.FILE}, "extract": {"column": name}},
            )
            for name in findings.COLUMNS
        ]
        yield {"@type": "cr:RecordSet", "@id": "problems", "name": "problems", "field": fields}
