"""Describe a store for machines: Croissant JSON-LD (mlcommons.org/croissant)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from skeltools import store
from skeltools.inspect.card import SYNTHETIC, source_of, title_of
from skeltools.store import findings

CROISSANT = "http://mlcommons.org/croissant/1.0"

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
