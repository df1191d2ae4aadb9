"""Folders of CrosSCLR, AimCLR and ST-GCN, and what all archive readers share."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import RawDataError
from skeltools import skeletons
from skeltools.formats import FORMATS, archives, crossclr
from skeltools.readers import READERS
from tests.skeltools.archives import (
    CLIPS,
    NAMES,
    check,
    halves,
    label_of,
    problems,
    write_crossclr,
    write_crossclr_set,
    write_pickle,
)


def test_every_archive_is_a_reader() -> None:
    assert READERS.items() >= FORMATS.items()
    for module in FORMATS.values():
        assert callable(module.discover)
        assert callable(module.read)


@pytest.mark.parametrize("module", FORMATS.values(), ids=FORMATS)
def test_a_folder_without_an_archive_is_described_by_none(tmp_path, module):
    with pytest.raises(RawDataError):
        module.about(tmp_path)


@pytest.mark.parametrize("protocol", range(6))
def test_crossclr_folders(tmp_path, protocol):
    listing = crossclr.discover(write_crossclr_set(tmp_path, CLIPS, protocol=protocol))
    assert [item.id for item in listing.items] == sorted(NAMES)
    assert listing.findings == ()
    for name in ("xsub", "xview"):
        train, test = halves(NAMES, name)
        assert listing.halves[name] == {**dict.fromkeys(train, 1), **dict.fromkeys(test, 2)}
    assert set(listing.rules) == {"xsub", "xview"}
    assert listing.items[0].path.endswith("xsub/train_position.npy")
    for item in listing.items:
        check(crossclr.read(item), item.id)
        assert pickle.loads(pickle.dumps(item)) == item


@pytest.mark.parametrize(("folder", "protocol"), [("xview", "xview"), ("NTU60_CS", "xsub"), ("mine", "file")])
@pytest.mark.parametrize("kind", crossclr.KINDS)
def test_one_folder_of_crossclr(tmp_path, folder, protocol, kind):
    raw = write_crossclr(tmp_path / folder, "train", CLIPS, kind=kind)
    listing = crossclr.discover(raw)
    assert listing.halves == {protocol: dict.fromkeys(NAMES, 1)}
    check(crossclr.read(listing.items[3]), listing.items[3].id)


def test_crossclr_data_are_mapped_and_not_loaded(tmp_path):
    raw = write_crossclr(tmp_path / "xsub", "train", CLIPS)
    data, labels = raw / "train_position.npy", raw / "train_label.pkl"
    assert isinstance(crossclr._open(data, labels).data, np.memmap)
    assert crossclr._open(data, labels) is crossclr._open(data, labels)


def test_gaps_and_padding(tmp_path):
    gappy = CLIPS[NAMES[0]].copy()
    gappy[1:3] = 0
    raw = write_crossclr(tmp_path / "xsub", "train", {NAMES[0]: gappy, NAMES[1]: CLIPS[NAMES[1]]}, frames=30)
    first, second = map(crossclr.read, crossclr.discover(raw).items)
    assert (first.frames, second.frames) == (5, 6)
    assert [(row.problem, row.place, row.detail) for row in first.findings] == [
        ("frames without a body", "frame 2", "2 frames before the last pose")
    ]


def test_a_sample_of_another_shape_in_another_protocol(tmp_path):
    write_crossclr(tmp_path / "xsub", "train", CLIPS, frames=10)
    write_crossclr(tmp_path / "xview", "val", {NAMES[4]: CLIPS[NAMES[4]]}, frames=12)
    listing = crossclr.discover(tmp_path)
    assert problems(listing) == [("xview/val_label.pkl", "sample 1", "another shape in another protocol")]
    assert listing.halves["xview"] == {NAMES[4]: 2}
    check(crossclr.read(listing.items[4]), NAMES[4])


def test_a_sample_in_both_halves_stays_in_train(tmp_path):
    raw = write_crossclr(tmp_path / "xsub", "train", CLIPS)
    write_crossclr(raw, "val", {NAMES[2]: CLIPS[NAMES[2]]})
    listing = crossclr.discover(raw)
    assert problems(listing) == [("xsub/val_label.pkl", "sample 1", "in both halves")]
    assert listing.halves["xsub"][NAMES[2]] == 1


def relabel(raw: Path, names: Any, labels: Any) -> None:
    write_pickle(raw / "train_label.pkl", (names, labels))


@pytest.fixture
def raw(tmp_path) -> Path:
    return write_crossclr(tmp_path / "xsub", "train", CLIPS)


LABELS = [label_of(name) for name in NAMES]


def test_names_and_labels_as_arrays_or_bytes(raw):
    relabel(raw, np.array(NAMES), np.array(LABELS))
    check(crossclr.read(crossclr.discover(raw).items[5]), NAMES[5])
    relabel(raw, [name.encode() for name in NAMES], tuple(LABELS))
    check(crossclr.read(crossclr.discover(raw).items[5]), NAMES[5])


@pytest.mark.parametrize(
    "name",
    ["", "\ud800", "a\nb", "x" * 201, b"\xff\xfe", None, 7, ["x"], "\x00", ".skeleton"],
)
def test_unusable_names_are_findings(raw, name):
    relabel(raw, [*NAMES[:3], name, *NAMES[4:]], LABELS)
    listing = crossclr.discover(raw)
    assert problems(listing) == [("xsub/train_label.pkl", "sample 4", "unusable sample name")]
    assert len(listing.items) == len(NAMES) - 1
    listing.findings[0].model_dump_json()


@pytest.mark.parametrize(("name", "id"), [("a/b", "a_b"), ("..\\b.skeleton", ".._b")])
def test_slashes_in_names_are_underscores_in_ids(raw, name, id):
    relabel(raw, [*NAMES[:3], name, *NAMES[4:]], LABELS)
    listing = crossclr.discover(raw)
    assert listing.findings == ()
    assert id in {item.id for item in listing.items}


@pytest.mark.parametrize("label", [-1, 2**15, 2**70, 1.5, "3", None, True])
def test_labels_out_of_range_are_findings(raw, label):
    relabel(raw, NAMES, [*LABELS[:3], label, *LABELS[4:]])
    listing = crossclr.discover(raw)
    assert problems(listing) == [("xsub/train_label.pkl", "sample 4", "label out of range")]


def test_duplicate_names_are_findings(raw):
    relabel(raw, [*NAMES[:-1], NAMES[0]], LABELS)
    listing = crossclr.discover(raw)
    assert problems(listing) == [("xsub/train_label.pkl", "sample 12", "duplicate sample id")]
    check(crossclr.read(listing.items[0]), NAMES[0])


def test_a_label_that_the_name_contradicts(raw):
    relabel(raw, NAMES, [7, *LABELS[1:]])
    listing = crossclr.discover(raw)
    with pytest.raises(RawDataError, match="label 7, but the name says 0"):
        crossclr.read(listing.items[0])
    check(crossclr.read(listing.items[1]), NAMES[1])


def test_what_is_not_finite_is_absent(raw):
    data = np.load(raw / "train_position.npy")
    data[0, 1, 2, 3, 0] = np.nan
    np.save(raw / "train_position.npy", data)
    found = crossclr.read(crossclr.discover(raw).items[0])
    assert not found.present[2, 0]
    assert np.isfinite(found.joints).all()
    assert (found.findings[0].problem, found.findings[0].place) == ("not a number", "frame 3")


def test_float64_is_read_as_float32_and_what_is_too_large_is_absent(raw):
    data = np.load(raw / "train_position.npy").astype(np.float64)
    data[1, 0, 0, 0, 0] = 1e300
    np.save(raw / "train_position.npy", data)
    items = crossclr.discover(raw).items
    check(crossclr.read(items[0]), NAMES[0])
    assert crossclr.read(items[1]).findings[0].problem == "not a number"


def test_nobody_in_a_clip(raw):
    data = np.load(raw / "train_position.npy")
    data[0] = 0
    np.save(raw / "train_position.npy", data)
    with pytest.raises(RawDataError, match="no body in any frame"):
        crossclr.read(crossclr.discover(raw).items[0])


def test_missing_halves_of_a_pair(raw):
    (raw / "train_label.pkl").rename(raw / "val_label.pkl")
    with pytest.raises(RawDataError, match=r"train_position\.npy: there is no train_label\.pkl"):
        crossclr.discover(raw)
    (raw / "train_position.npy").unlink()
    with pytest.raises(RawDataError, match=r"val_label\.pkl: there is no val_data\.npy or val_position\.npy"):
        crossclr.discover(raw)
    (raw / "val_label.pkl").unlink()
    with pytest.raises(RawDataError, match=r"no train_label\.pkl or val_label\.pkl"):
        crossclr.discover(raw)


def test_other_numbers_of_clips_and_names(raw):
    relabel(raw, NAMES[:-1], LABELS[:-1])
    with pytest.raises(RawDataError, match=r"12 clips, but train_label\.pkl names 11"):
        crossclr.discover(raw)


@pytest.mark.parametrize(
    "content", [7, [], {"a": 1}, (NAMES,), (NAMES, LABELS[1:]), ("ab", "cd"), (NAMES, None)]
)
def test_foreign_label_files(raw, content):
    write_pickle(raw / "train_label.pkl", content)
    with pytest.raises(RawDataError, match="no pair of sample names and as many labels"):
        crossclr.discover(raw)


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((12, 3, 10, 25), np.float32),
        np.zeros((12, 4, 10, 25, 2), np.float32),
        np.zeros((12, 3, 10, 25, 2), np.int32),
        np.zeros((12, 3, 10, 25, 2), np.complex64),
        np.zeros((), np.float32),
    ],
)
def test_arrays_of_another_form(raw, data):
    np.save(raw / "train_position.npy", data)
    with pytest.raises(RawDataError, match=r"expected float32 \(N, 3, T, V, M\)"):
        crossclr.discover(raw)


def test_another_convention(raw):
    with pytest.raises(RawDataError, match=r"25 joints, but smplx_42 has 42. Name the convention"):
        crossclr.discover(raw, spec=skeletons.load("smplx_42"))


def test_more_bodies_than_a_sensor_gives(raw):
    np.save(raw / "train_position.npy", np.ones((12, 3, 2, 25, 200), np.float32))
    with pytest.raises(RawDataError, match="200 bodies"):
        crossclr.read(crossclr.discover(raw).items[0])


def test_two_folders_of_one_protocol(tmp_path):
    for folder in ("a/xsub", "b/CS"):
        write_crossclr(tmp_path / folder, "train", CLIPS)
    with pytest.raises(RawDataError, match="two folders of split xsub"):
        crossclr.discover(tmp_path)


def test_a_second_joint_stream_is_told(raw):
    write_crossclr(raw, "train", CLIPS, kind="data")
    listing = crossclr.discover(raw)
    assert problems(listing) == [("xsub/train_position.npy", "", "second joint stream")]
    assert listing.items[0].path.endswith("train_data.npy")


def test_a_foreign_note_is_an_error(raw):
    (raw / "export.json").write_text("[" * 100_000)
    with pytest.raises(RawDataError, match="no valid JSON"):
        crossclr.discover(raw)


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("NTU60_CS", "xsub"),
        ("NTU120_CSub", "xsub"),
        ("ntu60_CV", "xview"),
        ("NTU120_CSet", "xset"),
        ("XSub", "xsub"),
        ("xview", "xview"),
        ("cross-subject", "xsub"),
        ("data", None),
        ("cvs", None),
    ],
)
def test_protocols_by_name(name, protocol):
    assert archives.protocol_of(name) == protocol


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NAMES[0], {"label": 0, "subject": 1, "camera": 1, "setup": 1, "repetition": 1}),
        ("a08_s01_e02_v03", {"label": 6, "subject": 1, "repetition": 2, "camera": 3}),
        ("0002-L_003", {"setup": 2, "camera": 1}),
        ("A01N07-R_012", {"setup": 1, "subject": 7, "camera": 3}),
        ("something", {}),
    ],
)
def test_fields_by_name(name, expected):
    assert archives.fields(name) == expected


@pytest.mark.parametrize("kind", ["bone", "motion"])
def test_bones_and_motion_are_not_read_as_joints(raw, kind):
    (raw / "export.json").write_text(json.dumps({"stream": kind}))
    with pytest.raises(RawDataError, match=f"holds the {kind} stream"):
        crossclr.discover(raw)
