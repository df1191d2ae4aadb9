from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from schemas import SkeletonSpec, StoreError, StoreManifest
from skeltools import skeletons, store
from skeltools.conversion import convert
from skeltools.inspect import statistics
from skeltools.inspect.validate import validate

ARCHIVES = Path(__file__).parents[1] / "archives"


@pytest.fixture(scope="module")
def sound(write_ucla, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    convert("nw-ucla", raw=write_ucla(folder / "raw"), out=folder / "s.zarr", frames=(10,))
    return folder / "s.zarr"


@pytest.fixture
def made(sound, tmp_path) -> Path:
    return shutil.copytree(sound, tmp_path / "s.zarr")


def edit_manifest(path: Path, **changes: object) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"] |= changes
    (path / "zarr.json").write_text(json.dumps(metadata))


# ------------------------------------------------------------------------------------------- opening


def test_no_such_store(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere: no such store. `skeltools convert"):
        store.open_store(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [None, "{}", '{"attributes": {}}', '{"attributes": 3}', "[]"])
def test_a_folder_that_is_no_store(tmp_path, content):
    if content:
        (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(StoreError, match="is not a skeleton store"):
        store.open_store(tmp_path)
    assert not store.is_store(tmp_path)


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is not a skeleton store"):
        store.open_store(tmp_path / "file")


def test_newer_format(made):
    edit_manifest(made, format=2, novelty=True)
    with pytest.raises(StoreError, match="written by a newer version: format 2, this one reads up to 1"):
        store.open_store(made)
    assert store.is_store(made)  # so that --force may replace it


def test_damaged_manifest(made):
    edit_manifest(made, samples=-3)
    with pytest.raises(StoreError, match=r"damaged store .manifest: samples"):
        store.open_store(made)
    (made / "zarr.json").write_text("{ truncated")
    with pytest.raises(StoreError, match=r"damaged store .zarr.json"):
        store.open_store(made)


def test_array_that_is_not_there(made):
    opened = store.open_store(made)
    with pytest.raises(StoreError, match=r"holds no streams/kinectv1_20/t64/joint. It has: streams/kinectv1"):
        store.read(opened, "streams/kinectv1_20/t64/joint")
    shutil.rmtree(made / "splits" / "xview")
    with pytest.raises(StoreError, match=r"damaged store .splits/xview: zarr.json is not there"):
        store.open_store(made)


def test_convention_that_the_store_does_not_hold(made):
    opened = store.open_store(made)
    with pytest.raises(StoreError, match=r"holds no convention 'smplx_42'\. It has: kinectv1_20"):
        store.read_spec(opened, "smplx_42")


def test_flipped_bit_is_noticed(made):
    path = made / "sequences/kinectv1_20/joints/c/0/0/0/0"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged store .sequences/kinectv1_20/joints"):
        store.read(store.open_store(made), "sequences/kinectv1_20/joints")


# ------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("lengths", [[1], [4], [3, 1], [9], [1, 1, 1, 5, 2], [8, 8], []])
def test_writer_appends_across_files(tmp_path, lengths):
    root = store.create(tmp_path / "s")
    writer = store.ArrayWriter(
        root, "a/b", dimensions=("N", "X"), row=(3,), dtype="float32", chunk=2, shard=4
    )
    blocks = [np.full((n, 2), i + 1, np.float32) for i, n in enumerate(lengths)]
    for block in blocks:
        writer.append(block)
    writer.close()
    expected = np.concatenate([*blocks, np.zeros((0, 2), np.float32)])
    found = np.asarray(store.reopen(tmp_path / "s")["a/b"][:])
    assert np.array_equal(found[:, :2], expected)
    assert found.shape == (sum(lengths), 3)
    assert not found[:, 2].any()


def test_arrays_name_their_dimensions_and_codecs(made):
    metadata = json.loads((made / "streams/kinectv1_20/t10/joint/zarr.json").read_text())
    assert metadata["dimension_names"] == ["N", "C", "T", "V", "M"]
    (sharding,) = metadata["codecs"]
    assert sharding["name"] == "sharding_indexed"
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"][0] == 2048
    assert sharding["configuration"]["chunk_shape"][0] == 64
    assert [codec["name"] for codec in sharding["configuration"]["codecs"]] == ["bytes", "zstd", "crc32c"]
    assert sharding["configuration"]["codecs"][1]["configuration"]["level"] == 1
    for path in made.rglob("zarr.json"):
        content = json.loads(path.read_text())
        assert content["node_type"] == "group" or content["dimension_names"]


def test_checksums_are_those_of_the_written_rule(made):
    opened = store.open_store(made)
    for path, info in opened.manifest.arrays.items():
        values = store.read(opened, path)
        if info.dtype == "string":
            content = "\n".join(values.tolist()).encode()
        else:
            content = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()
        assert info.sha256 == hashlib.sha256(content).hexdigest()
        assert info.shape == values.shape


def test_hash_is_that_of_the_written_rule_and_leaves_out_streams(made):
    manifest = store.open_store(made).manifest
    sums = {}
    for path in sorted(manifest.arrays):
        if path in ("samples/id", "samples/label") or path.split("/")[0] in ("splits", "sequences"):
            sums[path] = manifest.arrays[path].sha256
    listed = "{" + ",".join(f'"{path}":"{value}"' for path, value in sums.items()) + "}"
    kept = [
        {"name": step.name, "options": {k: v for k, v in step.options.items() if v is not None}}
        for step in manifest.recipe.steps
    ]
    steps = json.dumps(kept, sort_keys=True).replace(" ", "")
    text = f'{{"arrays":{listed},"recipe":{steps}}}'
    assert manifest.hash == hashlib.sha256(text.encode()).hexdigest()
    assert len(sums) == 7
    without = {path: info for path, info in manifest.arrays.items() if not path.startswith("streams/")}
    assert manifest.model_copy(update={"arrays": without}).hash == manifest.hash
    changed = manifest.arrays["samples/label"].model_copy(update={"sha256": "0"})
    other = manifest.model_copy(update={"arrays": {**manifest.arrays, "samples/label": changed}})
    assert other.hash != manifest.hash
    recipe = manifest.recipe.model_copy(update={"steps": manifest.recipe.steps[1:]})
    assert manifest.model_copy(update={"recipe": recipe}).hash != manifest.hash


def test_manifest_is_replaced_in_one_step(made):
    manifest = store.open_store(made).manifest
    store.write_manifest(made, manifest.model_copy(update={"synthetic": True}))
    assert store.open_store(made).manifest.synthetic
    assert not list(made.glob(".zarr.json*"))


# ------------------------------------------------------------------------------------------ archives


@pytest.mark.parametrize("archive", sorted(ARCHIVES.glob("format-*.zip")), ids=lambda path: path.stem)
def test_stores_of_every_format_stay_readable(archive, tmp_path):
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    (path,) = (folder for folder in tmp_path.iterdir() if folder.suffix == ".zarr")
    expected = json.loads((tmp_path / "expected.json").read_text())
    opened = store.open_store(path)
    assert isinstance(opened.manifest, StoreManifest)
    assert opened.manifest.hash == expected["hash"]
    assert store.read(opened, "samples/id").tolist() == expected["ids"]
    assert {name: float(store.read(opened, name).sum()) for name in expected["sums"]} == pytest.approx(
        expected["sums"]
    )
    for name in opened.manifest.conventions:
        assert isinstance(store.read_spec(opened, name), SkeletonSpec)
        clips = list(store.read_sequences(opened, name))
        assert [clip.frames if clip else 0 for clip in clips] == expected["frames"][name]
    assert statistics(path)["samples"] == len(expected["ids"])
    assert [fault.place for fault in validate(path)] in ([], ["findings.csv"])  # which format 1 had later


def test_there_is_an_archive_of_the_current_format():
    assert (ARCHIVES / "format-1.zip").is_file()
    assert (ARCHIVES / "format-1.zip").stat().st_size < 50_000


def test_specs_come_back(made):
    assert store.read_spec(store.open_store(made), "kinectv1_20") == skeletons.load("kinectv1_20")
