"""Store format 1 is frozen: what the page says is read by libraries that know nothing of us, and stays so."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from skeltools import add_streams, cli, convert, store, validate
from skeltools.cli.schema import SCHEMAS
from trainer import store as training

ROOT = Path(__file__).parents[2]
ARCHIVES = sorted((ROOT / "tests" / "archives").glob("format-1*.zip"))
PAGE = ROOT / "docs" / "reference" / "store-format.md"


@pytest.fixture(scope="module", params=[*ARCHIVES, None], ids=lambda path: path.stem if path else "new")
def sound(request: pytest.FixtureRequest, write_ucla: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store: of an archive, or written by the code as it is."""
    folder = tmp_path_factory.mktemp("format")
    if request.param is None:
        return convert("nw-ucla", raw=write_ucla(folder / "raw"), out=folder / "s.zarr", frames=(10,)).path
    with zipfile.ZipFile(request.param) as packed:
        packed.extractall(folder)
    return next(path for path in folder.iterdir() if path.suffix == ".zarr")


def manifest_of(path: Path) -> dict[str, Any]:
    """As any JSON parser reads it."""
    content: dict[str, Any] = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    return content


def by_zarr(path: Path, name: str) -> Any:
    return np.asarray(zarr.open_group(str(path), mode="r")[name][...])  # type: ignore[index]


def by_tensorstore(path: Path, name: str) -> Any:
    tensorstore = pytest.importorskip("tensorstore", reason="the extra dev is not installed")
    where = {"driver": "file", "path": str(path / name)}
    return tensorstore.open({"driver": "zarr3", "kvstore": where}, read=True).result().read().result()


def checksum(values: Any) -> str:
    """As the page defines it under Checksums."""
    if values.dtype.kind in "OTU":
        return hashlib.sha256("\n".join(values.tolist()).encode()).hexdigest()
    little = values.astype(values.dtype.newbyteorder("<"))
    return hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()


@pytest.mark.parametrize("read", [by_zarr, by_tensorstore])
def test_other_libraries_read_every_value(sound: Path, read: Callable[[Path, str], Any]) -> None:
    """tensorstore has no strings; zarr reads them."""
    arrays = manifest_of(sound)["arrays"]
    tried = 0
    for name, info in arrays.items():
        if info["dtype"] == "string" and read is by_tensorstore:
            continue
        values = read(sound, name)
        assert list(values.shape) == info["shape"], name
        assert checksum(values) == info["sha256"], name
        tried += 1
    assert tried >= len(arrays) - 1


def test_the_hash_and_the_streams_are_what_the_page_says(sound: Path) -> None:
    """By zarr, numpy and json alone: the hash, bone and motion, sizes, rows that a convention lacks."""
    manifest = manifest_of(sound)
    counted = ("samples/id", "samples/label")
    sums = {
        name: info["sha256"]
        for name, info in manifest["arrays"].items()
        if name in counted or name.startswith(("splits/", "sequences/"))
    }
    steps = [
        {**step, "options": {key: value for key, value in step["options"].items() if value is not None}}
        for step in manifest["recipe"]["steps"]
    ]
    text = json.dumps({"arrays": sums, "recipe": steps}, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == store.open_store(sound).manifest.hash
    root = zarr.open_group(str(sound), mode="r")
    for convention, told in manifest["conventions"].items():
        lengths = np.diff(by_zarr(sound, f"sequences/{convention}/offsets"))
        ids = by_zarr(sound, "samples/id")
        assert [str(id) for id in ids[lengths == 0]] == list(told["missing"])
        spec = root[f"skeletons/{convention}"].attrs.asdict()
        parents = np.arange(len(spec["joints"]))
        for child, parent in spec["edges"]:
            parents[child] = parent
        for name in [name for name in manifest["arrays"] if name.startswith(f"streams/{convention}/")]:
            joint = by_zarr(sound, f"{name.rpartition('/')[0]}/joint")
            assert not joint[lengths == 0].any()
            if name.endswith("/bone"):
                np.testing.assert_array_equal(by_zarr(sound, name), joint - joint[:, :, :, parents])
            if name.endswith("/motion"):
                moved = np.concatenate([np.diff(joint, axis=2), np.zeros_like(joint[:, :, :1])], axis=2)
                np.testing.assert_array_equal(by_zarr(sound, name), moved)


def test_the_archives_have_everything_that_the_format_has() -> None:
    """Arrays that may be absent, 2D, merged parts and clips without a label are in one of them at least."""
    found, coordinates, parts = set(), set(), 0
    for archive in ARCHIVES:
        assert archive.stat().st_size < 50_000
        with zipfile.ZipFile(archive) as packed:
            root = json.loads(packed.read(f"{archive.stem.removesuffix('.zip')}.zarr/zarr.json"))
        manifest = root["attributes"]
        coordinates |= {told.get("coordinates", "xyz") for told in manifest["conventions"].values()}
        parts += len(manifest.get("parts", ()))
        kinds = {re.sub(r"(?<=/)[^/]+(?=/)", "<c>", name, count=1) for name in manifest["arrays"]}
        found |= {re.sub(r"/t\d+/", "/t<T>/", kind) for kind in kinds}
    rows = re.findall(r"^\| (`[^|]+) \| [^|]+ \| \w+ \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row)
        for name in (first, *(f"{first.rpartition('/')[0]}/{other}" for other in others)):
            assert any(re.fullmatch(name.replace("<name>", r"\w+"), kind) for kind in found), name
    assert (coordinates, parts) == ({"xyz", "xy"}, 2)


def test_keys_of_later_writers_are_ignored_and_kept(write_ucla: Any, tmp_path: Path) -> None:
    """In every object of the manifest, and in skeletons; a store is written again with them."""
    path = convert("nw-ucla", raw=write_ucla(tmp_path / "raw"), out=tmp_path / "s.zarr", frames=(10,)).path
    content = json.loads((path / "zarr.json").read_text())
    manifest = content["attributes"]
    manifest["licence"] = {"spdx": "CC0-1.0"}
    for part in ("conventions", "protocols", "arrays"):
        for told in manifest[part].values():
            told["remark"] = "of a later writer"
    manifest["recipe"]["remark"] = "of a later writer"
    (path / "zarr.json").write_text(json.dumps(content))
    skeleton = path / "skeletons" / "kinectv1_20" / "zarr.json"
    described = json.loads(skeleton.read_text())
    described["attributes"]["mass"] = [1.0] * 20
    skeleton.write_text(json.dumps(described))
    opened, seen = store.open_store(path), training.open_store(path)
    assert opened.manifest.hash == seen.hash
    (described,) = training.skeletons(seen, ["kinectv1_20"]).values()
    assert store.read_spec(opened, "kinectv1_20") == described.spec
    assert validate(path) == ()
    add_streams(path, kinds=("bone",))
    after = manifest_of(path)
    assert after["licence"] == {"spdx": "CC0-1.0"}
    assert after["conventions"]["kinectv1_20"]["remark"] == after["recipe"]["remark"] == "of a later writer"
    assert after["arrays"]["samples/label"]["remark"] == "of a later writer"


FROZEN = {
    "StoreManifest": "format dataset tool samples classes protocols conventions recipe arrays",
    "ArrayInfo": "dimensions shape dtype sha256",
    "ConventionInfo": "reader axes",
    "PartInfo": "name dataset hash samples",
    "ProtocolInfo": "rule train test",
    "RecipeRecord": "name steps",
    "Component": "name",
}
"""Model of the manifest -> the keys that every store of format 1 has: none may be added or taken away."""


def schema(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cli.run(["schema", name]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_the_schema_of_the_manifest_demands_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    printed = schema("manifest", capsys)
    models = {printed["title"]: printed, **printed["$defs"]}
    assert {name: " ".join(model["required"]) for name, model in models.items()} == FROZEN
    assert models["StoreManifest"].get("additionalProperties") is not False  # later writers may add keys
    for archive in ARCHIVES:
        with zipfile.ZipFile(archive) as packed:
            stored = json.loads(packed.read(f"{archive.stem}.zarr/zarr.json"))["attributes"]
        assert set(printed["required"]) <= set(stored) <= set(printed["properties"])
    page = PAGE.read_text(encoding="utf-8").partition("## Manifest")[2].partition("\n##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(printed["properties"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = schema(name, capsys)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert printed["type"] == "object"
    assert printed["properties"]


def test_an_unknown_schema_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema", "manifst"]) == 2
    assert "Did you mean 'manifest'?" in capsys.readouterr().err
    assert cli.run(["schema", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(SCHEMAS)
