from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from skeltools import store
from skeltools.convert import convert
from skeltools.derive import add_streams
from skeltools.validate import Fault, validate

A, B, C = "S001C001P001R001A001", "S001C002P003R001A002", "S001C003P002R002A050"
NATIVE, SMPLX = "kinectv2_25", "smplx_42"


@pytest.fixture(scope="module")
def sound(serving, clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    with serving(folder) as recordings:
        recordings.add(clip(A), clip(B), clip(C), clip(B, SMPLX), clip(C, SMPLX, bodies=2))
        convert("ntu60", raw=recordings.raw, out=folder / "s.zarr", frames=(5,))
    add_streams(folder / "s.zarr", kinds=("bone",))
    return folder / "s.zarr"


@pytest.fixture
def made(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "s.zarr")


def change(path, name, index, value, *, refresh=True):
    """Write a value into an array, and by default its new checksum, so that only the contents are wrong."""
    array = store.reopen(path)[name]
    array[index] = value
    if refresh:
        manifest = store.open_store(path).manifest
        arrays = {**manifest.arrays, name: store.describe(array)}
        store.write_manifest(path, manifest.model_copy(update={"arrays": arrays}))


def test_sound(made):
    seen: list[tuple[int, int]] = []
    assert validate(made, on_progress=lambda *at: seen.append(at)) == ()
    assert seen[-1][0] == seen[-1][1] == len(store.open_store(made).manifest.arrays)


def test_changed_value(made):
    change(made, "samples/label", 0, 3, refresh=False)
    assert validate(made) == (
        Fault("samples/label", "its values have changed: the checksum is not the manifest's"),
    )


def test_missing_array(made):
    shutil.rmtree(made / "splits" / "xsub")
    (fault,) = validate(made)
    assert fault.place == "splits/xsub"


def test_unlisted_array(made):
    store.write_array(store.reopen(made), "splits/mine", np.zeros(3, np.uint8), ("N",))
    assert validate(made) == (Fault("splits/mine", "is in the store, but the manifest does not list it"),)


def test_manifest_that_lists_too_little(made):
    manifest = store.open_store(made).manifest
    arrays = {name: info for name, info in manifest.arrays.items() if name != "samples/camera"}
    store.write_manifest(made, manifest.model_copy(update={"arrays": arrays}))
    assert {fault.place for fault in validate(made)} == {"samples/camera"}


def test_damaged_bytes(made):
    path = made / "streams" / NATIVE / "t5" / "joint" / "c/0/0/0/0/0"
    content = bytearray(path.read_bytes())
    content[50] ^= 255
    path.write_bytes(content)
    (fault,) = validate(made)
    assert fault.place == f"streams/{NATIVE}/t5/joint"
    assert fault.problem.startswith("cannot be read")


def test_other_shape_than_the_manifest_says(made):
    metadata_path = made / "samples" / "camera" / "zarr.json"
    metadata = json.loads(metadata_path.read_text())
    metadata["dimension_names"] = ["X"]
    metadata_path.write_text(json.dumps(metadata))
    assert validate(made) == (Fault("samples/camera", "dimensions is ('X',), but the manifest says ('N',)"),)


@pytest.mark.parametrize(
    ("name", "index", "value", "place", "problem"),
    [
        ("samples/label", 0, 60, "samples/label", "outside 0..59"),
        ("samples/label", 0, -1, "samples/label", "outside 0..59"),
        ("samples/id", 0, "T", "samples/id", "not sorted"),
        ("splits/xsub", 0, 2, "splits/xsub", "not the 2 and 1 samples"),
        ("splits/xsub", 0, 3, "splits/xsub", "no column"),
        ("samples/subject", 0, 3, "splits/xsub", "subject 3 is in both halves"),
        (
            f"skeletons/{NATIVE}/adjacency",
            (0, 0, 0),
            0.5,
            f"skeletons/{NATIVE}/adjacency",
            "not what follows",
        ),
        (f"skeletons/{NATIVE}/joint_mask", 30, True, f"skeletons/{NATIVE}/joint_mask", "not what follows"),
        (f"sequences/{NATIVE}/offsets", 1, 40, f"sequences/{NATIVE}/offsets", "never fall"),
        (f"sequences/{NATIVE}/offsets", 3, 30, f"sequences/{NATIVE}/offsets", "ends at 30"),
        (f"sequences/{SMPLX}/offsets", 1, 3, f"sequences/{SMPLX}/offsets", "calls missing"),
        (f"sequences/{NATIVE}/joints", (0, 0, 0, 0), np.nan, f"sequences/{NATIVE}/joints", "not finite"),
        (f"sequences/{NATIVE}/joints", 0, 0.0, f"sequences/{NATIVE}/present", "zero in all joints"),
        (f"sequences/{NATIVE}/present", (0, 0), False, f"sequences/{NATIVE}/present", "has coordinates"),
        (f"sequences/{NATIVE}/order", (0, 0), -1, f"sequences/{NATIVE}/order", "-1 exactly"),
        (f"streams/{NATIVE}/t5/joint", (0, 0, 0, 0, 0), np.inf, f"streams/{NATIVE}/t5/joint", "not finite"),
        (f"streams/{SMPLX}/t5/joint", 0, 1.0, f"streams/{SMPLX}/t5/joint", "lacks the sample"),
        (f"streams/{SMPLX}/t5/bone", 1, 1.0, f"streams/{SMPLX}/t5/bone", "is not the bone of the joint"),
    ],
)
def test_contents(made, name, index, value, place, problem):
    change(made, name, index, value)
    faults = validate(made)
    assert any(fault.place == place and problem in fault.problem for fault in faults), faults


def test_skeleton_of_another_name(made):
    metadata_path = made / "skeletons" / NATIVE / "zarr.json"
    metadata = json.loads(metadata_path.read_text())
    metadata["attributes"]["name"] = "other"
    metadata_path.write_text(json.dumps(metadata))
    assert validate(made) == (Fault(f"skeletons/{NATIVE}", "its attributes describe other"),)
