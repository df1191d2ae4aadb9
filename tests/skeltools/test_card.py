from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import Finding
from skeltools import cli, store
from skeltools.conversion import convert
from skeltools.datasets import DATASETS
from skeltools.inspect import card
from skeltools.inspect.croissant import croissant

A, B, C = "S001C001P001R001A001", "S001C002P003R001A002", "S001C003P002R002A002"


@pytest.fixture(scope="module")
def made(serving: Any, clip: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    with serving(folder) as recordings:
        recordings.add(clip(A, frames=4), clip(B, frames=40), clip(C), clip(B, "smplx_42", frames=40))
        recordings.listed.append(Finding(file="a|b", problem="unknown file name", action="skipped"))
        convert("ntu60", raw=recordings.raw, out=folder / "s.zarr", frames=(5,))
    return Path(folder / "s.zarr")


def test_the_card_tells_what_is_in_the_store(made: Path) -> None:
    text = card.card(made)
    for told in (
        "# NTU RGB+D\n",
        "For research only",
        "https://rose1.ntu.edu.sg",
        "CVPR 2016",
        "- by camera: 1: 1, 2: 1, 3: 1",
        "| smplx_42 | 42 | 1 | 2 | 40 |",
        "| xsub | 2 | 1 | 0 |",
        "| unknown file name | 1 | skipped |",
        "1. `",
        f"- raw data, sha256: `{store.open_store(made).manifest.source['sha256']}`",
        f"| 1 | {store.open_store(made).manifest.classes[1]} | 2 |",
    ):
        assert told in text, told
    assert "demo data" not in text
    assert str(made.parent) not in text


def test_the_card_does_not_depend_on_where_the_store_lies(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "other.zarr")
    assert card.card(tmp_path / "other.zarr") == card.card(made)
    assert croissant(tmp_path / "other.zarr") == croissant(made)


@pytest.mark.parametrize("dataset", [*DATASETS, "mine"])
def test_terms_of_every_data_set(dataset: str) -> None:
    source = card.source_of(dataset, synthetic=False)
    assert bool(source.url) is (dataset != "mine")
    assert dataset in card.SOURCES or "your licence" in source.terms
    assert card.source_of(dataset, synthetic=True).citation == ""
    assert "demo" in card.title_of(dataset, synthetic=True)


def test_synthetic_data_are_called_so(made: Path, tmp_path: Path) -> None:
    path = shutil.copytree(made, tmp_path / "s.zarr")
    store.write_manifest(path, store.open_store(path).manifest.model_copy(update={"synthetic": True}))
    assert card.SYNTHETIC in card.card(path)
    assert card.SYNTHETIC in croissant(path)["description"]
    assert "rose1" not in card.card(path)


def test_histogram_counts_every_sample_once() -> None:
    lines = card.histogram(np.array([3, 3, 4, 90]))
    assert sum(int(line.split()[-1]) for line in lines) == 4
    assert lines[0].startswith(" 3+ ####")
    assert card.histogram(np.array([7])) == [f" 7+ {'#' * 40} 1".removeprefix(" ")]


def test_croissant_has_what_the_format_asks_for(made: Path) -> None:
    found = json.loads(json.dumps(croissant(made)))
    assert {
        "@context",
        "@type",
        "name",
        "description",
        "conformsTo",
        "license",
        "url",
        "citeAs",
    } <= found.keys()
    assert (found["@type"], found["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.0")
    assert found["@context"]["cr"] == "http://mlcommons.org/croissant/"
    assert found["@context"]["recordSet"] == "cr:recordSet"
    files = {row["@id"]: row for row in found["distribution"]}
    for row in files.values():
        assert row["@type"] in ("cr:FileObject", "cr:FileSet")
        assert row["encodingFormat"]
        if row["@type"] == "cr:FileObject":
            content = (made / row["contentUrl"]).read_bytes()
            assert row["sha256"] == hashlib.sha256(content).hexdigest()
        else:
            assert list(made.glob(row["includes"]))
    assert {"zarr.json", "findings.csv"} < files.keys()
    ids = [*files]
    for records in found["recordSet"]:
        ids.append(records["@id"])
        for field in records["field"]:
            ids.append(field["@id"])
            assert (field["@type"], field["dataType"][:3]) == ("cr:Field", "sc:")
            source = field.get("source", {})
            for reference in ("fileObject", "fileSet"):
                assert source.get(reference, {"@id": "zarr.json"})["@id"] in files
            assert source or "data" in records
    assert len(ids) == len(set(ids))
    described = {field["@id"] for records in found["recordSet"] for field in records["field"]}
    assert set(store.open_store(made).manifest.arrays) < described


def test_command(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.run(["card", str(made), "--out", str(tmp_path / "c.md"), "--croissant", str(tmp_path / "c.json")])
        == 0
    )
    assert capfd.readouterr().out == ""
    assert (tmp_path / "c.md").read_text(encoding="utf-8") == card.card(made)
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8")) == croissant(made)
    assert cli.run(["card", str(made)]) == 0
    assert capfd.readouterr().out == card.card(made)
    assert cli.run(["card", str(made), "--out", str(tmp_path / "none" / "c.md")]) == 1
    assert "cannot be written" in capfd.readouterr().err
    assert cli.run(["card", str(tmp_path)]) == 1
    assert capfd.readouterr().err.startswith("error: ")
