"""Conventions sliced out of poses of all joints of a model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from schemas import RawDataError, SkeletonSpec
from skeltools import metrabs, skeletons
from skeltools.metrabs.slices import FULL_NAMES, SUFFIXES
from skeltools.raw_items import RawItem
from tests.skeltools.raw_files import SAMPLE, poses, write_npz

SPECS = {spec.name: spec for spec in map(skeletons.load, skeletons.names("metrabs"))}
OTHER = ("lshoulder_strange", "tail_strange")


def full_names(spec: SkeletonSpec) -> list[str]:
    """A convention's joints as the model's full set names them."""
    if all("_" in joint for joint in spec.joints):
        return list(spec.joints)
    suffix = SUFFIXES.get(spec.name, (re.sub(r"_\d+$", "", spec.name),))[0]
    return [f"{FULL_NAMES.get(spec.name, {}).get(joint, joint)}_{suffix}" for joint in spec.joints]


def model() -> list[str]:
    """Names of all joints of a model with every convention, in no order."""
    names = sorted({name for spec in SPECS.values() for name in full_names(spec)} | set(OTHER))
    return [names[i] for i in np.random.default_rng(0).permutation(len(names))]


NAMES = model()
FULL = poses(8, 2, len(NAMES)) * np.float32(1000)
TABLE = {
    name.removeprefix("metrabs_"): {
        "indices": [NAMES.index(joint) for joint in full_names(spec)],
        "names": list(spec.joints),
        "edges": [],
    }
    for name, spec in SPECS.items()
}


def write_parts(raw: Path) -> None:
    for name, spec in SPECS.items():
        write_npz(raw, name, SAMPLE, FULL[:, :, [NAMES.index(joint) for joint in full_names(spec)]])


def items(raw: Path) -> dict[str, RawItem]:
    return {item.convention: item for item in metrabs.discover(raw).items}


def names_inside(raw: Path) -> None:
    write_npz(raw, "all", SAMPLE, FULL, joint_names=NAMES)


def names_beside(raw: Path) -> None:
    write_npz(raw, "all", SAMPLE, FULL)
    (raw / "metrabs" / "all" / "joint_names.txt").write_text("\n".join(NAMES) + "\n")


def table_beside(raw: Path) -> None:
    write_npz(raw, "all", SAMPLE, FULL)
    (raw / "metrabs" / "skeletons.json").write_text(json.dumps({"": {"indices": list(range(9))}, **TABLE}))


def table_without_names(raw: Path) -> None:
    write_npz(raw, "all", SAMPLE, FULL)
    table = {name: {"indices": entry["indices"]} for name, entry in TABLE.items()}
    (raw / "metrabs" / "all" / "skeletons.json").write_text(json.dumps(table))


def in_hdf5(raw: Path) -> None:
    (raw / "metrabs").mkdir(parents=True)
    with h5py.File(raw / "metrabs" / "poses.h5", "w") as file:
        group = file.create_group(f"{SAMPLE}/all")
        group["poses3d"] = FULL
        group["joint_names"] = NAMES


def as_tensor(raw: Path) -> None:
    import torch

    table_beside(raw)
    (raw / "metrabs" / "all" / f"{SAMPLE}.npz").unlink()
    torch.save(torch.from_numpy(FULL), raw / "metrabs" / "all" / f"{SAMPLE}.pt")


@pytest.mark.parametrize(
    "write", [names_inside, names_beside, table_beside, table_without_names, in_hdf5, as_tensor]
)
def test_slices_equal_the_files_of_every_convention(tmp_path: Path, write) -> None:
    write(tmp_path / "whole")
    write_parts(tmp_path / "parts")
    whole, parts = items(tmp_path / "whole"), items(tmp_path / "parts")
    assert set(whole) == set(parts) == set(SPECS)
    for name in SPECS:
        for mirrored in (True, False):
            sliced = metrabs.read(whole[name], mirrored=mirrored)
            own = metrabs.read(parts[name], mirrored=mirrored)
            np.testing.assert_array_equal(sliced.joints, own.joints)
            np.testing.assert_array_equal(sliced.present, own.present)
            assert sliced.convention == name


def test_joints_that_no_convention_uses_are_listed(tmp_path: Path) -> None:
    names_inside(tmp_path)
    (row,) = metrabs.discover(tmp_path).findings
    assert (row.file, row.problem, row.action) == ("metrabs/all", "joints of no convention", "left out")
    assert row.detail.startswith("2 joints: ")
    assert all(name in row.detail for name in OTHER)
    (tmp_path / "metrabs" / "skeletons.json").write_text(
        json.dumps({"ghum_35": {"indices": [1, 2]}, **TABLE})
    )
    (row,) = metrabs.discover(tmp_path).findings
    assert (row.problem, row.detail) == ("skeletons of no convention", "1 skeletons: ghum_35")


def test_names_of_one_convention_do_not_make_another(tmp_path: Path) -> None:
    """H36M's joints are named like many others': without its suffix nothing is guessed."""
    spec = SPECS["h36m_17"]
    names = [f"{joint}_bml" for joint in spec.joints] + full_names(SPECS["smpl_24"])
    write_npz(tmp_path, "all", SAMPLE, FULL[:, :, : len(names)], joint_names=names)
    assert set(items(tmp_path)) == {"smpl_24"}
    assert "17 joints" in metrabs.discover(tmp_path).findings[0].detail


def test_a_users_own_convention_is_sliced_by_its_own_names(tmp_path: Path) -> None:
    spec = SPECS["lsp_14"].model_copy(
        update={"name": "mine", "joints": tuple(f"{j}_x" for j in "abcdefghijklmn")}
    )
    (tmp_path / "mine.json").write_text(spec.model_dump_json())
    names = list(spec.joints)[::-1]
    write_npz(tmp_path, "all", SAMPLE, FULL[:, :, :14], joint_names=names)
    (item,) = metrabs.discover(tmp_path, conventions=[str(tmp_path / "mine.json")]).items
    clip = metrabs.read(item, spec=spec, mirrored=False)
    np.testing.assert_allclose(sorted(clip.joints[0, :, 0, 2]), sorted(FULL[0, :, 13, 2] / 1000), atol=1e-6)


def test_a_clip_with_a_file_of_the_convention_uses_that(tmp_path: Path) -> None:
    names_inside(tmp_path)
    own = write_npz(tmp_path, "smpl_24", SAMPLE, FULL[:, :, :24])
    found = items(tmp_path)
    assert found["smpl_24"].path == str(own)
    assert set(found) == set(SPECS)
    assert metrabs.read(found["smpl_24"]).joints.shape[2] == 24


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("{", "no valid JSON"),
        ("[]", "expected skeletons by name, found list"),
        ('{"smpl_24": [1, 2]}', "'smpl_24' needs indices"),
        ('{"smpl_24": {"indices": [1, 1]}}', "'smpl_24' needs indices, a list of different numbers"),
        ('{"smpl_24": {"indices": [-1]}}', "'smpl_24' needs indices"),
        ('{"smpl_24": {"indices": [true]}}', "'smpl_24' needs indices"),
        ('{"smpl_24": {"indices": [1], "names": 3}}', "names of 'smpl_24' are no list of text"),
        ('{"smpl_24": {"indices": [1], "names": ["a", "b"]}}', "has 1 indices, but 2 names"),
        ("\udcff", "cannot be read"),
        (" " * (2**20 + 1), "too many for a table"),
    ],
)
def test_a_damaged_table_is_one_finding(tmp_path: Path, table: str, message: str) -> None:
    write_npz(tmp_path, "all", SAMPLE, FULL)
    path = tmp_path / "metrabs" / "skeletons.json"
    path.write_text(table, errors="surrogateescape")
    listing = metrabs.discover(tmp_path)
    assert listing.items == ()
    (row,) = listing.findings
    assert row.problem == "unreadable table of joints"
    assert message in row.detail


def test_joints_without_names_are_one_finding(tmp_path: Path) -> None:
    write_npz(tmp_path, "all", SAMPLE, FULL)
    write_npz(tmp_path, "all", "S001C001P001R001A001", FULL)
    (row,) = metrabs.discover(tmp_path).findings
    assert (row.file, row.problem) == ("metrabs/all", "joints without names")
    assert "skeletons.json" in row.detail


def test_the_first_file_may_be_damaged(tmp_path: Path) -> None:
    names_inside(tmp_path)
    damaged = write_npz(tmp_path, "all", "S001C001P001R001A001", FULL)
    damaged.write_bytes(b"no npz")
    found = [item for item in metrabs.discover(tmp_path).items if item.convention == "smpl_24"]
    assert len(found) == 2
    with pytest.raises(RawDataError, match="cannot be read as npz"):
        metrabs.read(found[0])
    (tmp_path / "metrabs" / "all" / f"{SAMPLE}.npz").unlink()
    (row,) = metrabs.discover(tmp_path).findings
    assert row.problem == "unreadable table of joints"
    assert "cannot be read as npz" in row.detail


def only(raw: Path, convention: str = "smpl_24") -> RawItem:
    return items(raw)[convention]


def test_a_file_that_differs_from_the_table_is_refused(tmp_path: Path) -> None:
    names_inside(tmp_path)
    item = only(tmp_path)
    cases = [
        ({"poses3d": FULL[:, :, :5], "joint_names": NAMES}, f"{len(NAMES)} joint names for 5 joints"),
        ({"poses3d": FULL, "joint_names": [*NAMES[:-1], NAMES[0]]}, "joint names repeat"),
        ({"poses3d": FULL}, "no joint_names in it"),
        ({"poses3d": FULL[:, :, :2], "joint_names": list(OTHER)}, "do not hold all of smpl_24"),
        ({"poses3d": np.ones((3, 3), "f4"), "joint_names": NAMES}, "poses3d has shape (3, 3)"),
        ({"poses3d": FULL[0, 0, :, :2], "joint_names": NAMES}, "expected (frames, people, joints, 3)"),
        ({"poses3d": FULL[:, 0], "joint_names": NAMES}, "expected (frames, people"),
    ]
    for arrays, message in cases:
        write_npz(tmp_path, "all", SAMPLE, **arrays)
        with pytest.raises(RawDataError) as caught:
            metrabs.read(item)
        assert message in str(caught.value), message
    table_beside(tmp_path)
    write_npz(tmp_path, "all", SAMPLE, FULL[:, :, :5])
    with pytest.raises(RawDataError, match=r"of smpl_24 is asked for, poses3d has 5 joints"):
        metrabs.read(item)
