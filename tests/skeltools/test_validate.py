from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from schemas import Finding
from skeltools import cli, skeletons, store, write
from skeltools.conversion import convert
from skeltools.conversion.derive import add_streams
from skeltools.inspect import bones
from skeltools.inspect.validate import Fault, check, validate
from skeltools.store import findings, reading

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


def test_copies_across_the_halves_of_a_split_are_a_note(serving, clip, tmp_path):
    """B is A by another camera and of another subject: one of both is in the training half of each split."""
    with serving(tmp_path) as recordings:
        recordings.add(clip(A), replace(clip(A), id=B, camera=2, subject=3), clip(C))
        convert("ntu60", raw=recordings.raw, out=tmp_path / "s.zarr", frames=(5,))
    report = check(tmp_path / "s.zarr")
    assert report.faults == ()
    notes = {note.place: note.problem for note in report.notes if "copy" in note.problem}
    copy = "1 of {} test clips is a copy of a training clip, number for number: {}"
    assert notes == {"splits/xsub": copy.format(1, B), "splits/xview": copy.format(1, A)}


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


def test_poses_in_millimetres_are_a_fault(made):
    joints = store.reopen(made)[f"sequences/{NATIVE}/joints"][...]
    change(made, f"sequences/{NATIVE}/joints", ..., joints * 1000)
    (fault,) = validate(made)
    assert fault.place == f"sequences/{NATIVE}/joints"
    assert "these are no metres" in fault.problem


def test_odd_bones_are_notes(made):
    report = check(made)
    assert report.faults == ()
    assert set(report.bones) == {NATIVE, SMPLX}
    assert len(report.bones[NATIVE]) == 24
    assert [note.place for note in report.notes] == [
        f"sequences/{NATIVE}/joints",
        f"sequences/{SMPLX}/joints",
    ]
    assert "outside 0.01 to 1.2 m" in report.notes[0].problem


def test_lengths_of_bones_are_exact_to_a_per_cent():
    spec = skeletons.load(NATIVE)
    rng = np.random.default_rng(0)
    joints = rng.normal(scale=0.2, size=(501, 2, 25, 3)).astype(np.float32)
    present = rng.random((501, 2)) < 0.7
    whole = bones.Lengths(spec)
    for start in range(0, 501, 100):
        whole.add(joints[start : start + 100], present[start : start + 100])
    for row, (child, parent) in zip(whole.rows(), spec.edges, strict=True):
        length = np.linalg.norm(joints[present][:, child] - joints[present][:, parent], axis=-1)
        assert row["median"] == pytest.approx(np.median(length), rel=0.02)
        assert row["variation"] == pytest.approx(length.std() / length.mean(), abs=1e-3)
        assert row["bone"] == f"{spec.joints[child]} - {spec.joints[parent]}"
    assert bones.Lengths(spec).rows() == []
    assert bones.wrong_units([]) == ""


def test_a_note_for_uneven_bones():
    assert bones.notes([{"bone": "a - b", "median": 0.3, "variation": 1.2}]) == [
        "1 of 1 bones vary by more than 1 of their length: a - b 1.2"
    ]


def test_findings_file_that_tells_something_else(made):
    findings.write(made, [Finding(file="x", problem="y", action="z")])
    assert validate(made) == (Fault("findings.csv", "does not tell what the rows of findings do"),)


def test_store_without_a_findings_file(made, capfdbinary):
    (made / "findings.csv").unlink()
    (fault,) = validate(made)
    assert (fault.place, fault.problem[:13]) == ("findings.csv", "is not there;")
    assert cli.run(["inspect", str(made), "--findings", "--csv"]) == 0
    (made / "findings.csv").write_bytes(capfdbinary.readouterr().out)
    assert validate(made) == ()


def test_other_findings_than_the_manifest_counts(made):
    store.write_findings(store.reopen(made), [Finding(file="x", problem="y", action="z")])
    assert [fault.place for fault in validate(made)] == ["findings"]


def test_findings_that_cannot_be_read(made):
    metadata_path = made / "findings" / "zarr.json"
    metadata = json.loads(metadata_path.read_text())
    metadata["attributes"] = {"rows": [{"file": 3}]}
    metadata_path.write_text(json.dumps(metadata))
    (fault,) = validate(made)
    assert fault.place == "findings"


def test_halves_that_are_not_those_of_the_rule(made):
    half = store.reopen(made)["splits/xview"][...]
    change(made, "splits/xview", ..., 3 - half)
    manifest = store.open_store(made).manifest
    info = manifest.protocols["xview"]
    turned = info.model_copy(update={"train": info.test, "test": info.train})
    protocols = {**manifest.protocols, "xview": turned}
    store.write_manifest(made, manifest.model_copy(update={"protocols": protocols}))
    (fault,) = validate(made)
    assert (fault.place, fault.problem[:28]) == ("splits/xview", "is not what its rule gives (")


def test_camera_in_both_halves(made):
    change(made, "samples/camera", 0, 2)
    assert any("camera 2 is in both halves" in fault.problem for fault in validate(made))


def test_a_source_s_own_split_of_one_subject_is_a_note(made):
    change(made, "samples/subject", 0, 3)
    manifest = store.open_store(made).manifest
    store.write_manifest(made, manifest.model_copy(update={"dataset": "mine"}))
    report = check(made)
    assert report.faults == ()
    assert Fault("splits/xsub", "subject 3 is in both halves") in report.notes


def test_command(made, capfd):
    assert cli.run(["validate", str(made), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["sound"], found["faults"], len(found["bones"][NATIVE])) == (True, [], 24)
    assert cli.run(["validate", str(made), "--bones"]) == 0
    assert "SpineMid - " in capfd.readouterr().out
    change(made, "samples/label", 0, 60)
    assert cli.run(["validate", str(made), "--json"]) == 1
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert not found["sound"]
    assert found["faults"] == [{"place": "samples/label", "problem": "a label is outside 0..59"}]
    assert err.startswith("error: ")


def test_ones_own_clips_are_read_in_runs(tmp_path, monkeypatch):
    """Reads do not grow with the clips, which are all looked at: a chunk is not decoded for each of them."""
    plain, reads, counted = reading.read_values, [], []

    def counting(found, *at):
        reads.append(found.path)
        return plain(found, *at)

    monkeypatch.setattr(reading, "read_values", counting)
    for clips in (3, 30):
        joints = np.random.default_rng(0).normal(size=(clips, 4, 20, 3))
        write(list(joints), tmp_path / f"{clips}", convention="kinectv1_20", frames=(4,))
        reads.clear()
        validate(tmp_path / f"{clips}")
        counted.append(len(reads))
    assert counted[0] == counted[1] > 0
