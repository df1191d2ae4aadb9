from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schemas import ConfigError, UsageError
from skeltools import custom
from skeltools.conversion import convert
from skeltools.datasets import choose
from skeltools.raw_items import Listing
from tests.skeltools.own_data import PATTERN, SIX, clips, read, settings

# ---- names, tables, classes -------------------------------------------------------------------------------


def labels(listing: Listing) -> dict[str, int]:
    return {item.id: dict(item.details)["label"] for item in listing.items}


def test_fields_come_from_the_name(tmp_path: Path) -> None:
    pattern = (
        r"(?P<label>[^/]+)/(?P<id>s(?P<subject>\d+)_c(?P<camera>\d+)_u(?P<setup>\d+)_r(?P<repetition>\d+))"
    )
    settings(clips(tmp_path, "wave/s1_c2_u3_r4"), pattern=pattern)
    clip = read(tmp_path)
    assert (clip.id, clip.label) == ("s1_c2_u3_r4", 0)
    assert (clip.subject, clip.camera, clip.setup, clip.repetition) == (1, 2, 3, 4)
    assert custom.discover(tmp_path).classes == ("wave",)


def test_classes_are_inferred_sorted_or_as_told(tmp_path: Path) -> None:
    clips(tmp_path, "wave_s1_c1", "clap_s1_c1", "jump_s1_c1")
    settings(tmp_path, pattern=PATTERN)
    listing = custom.discover(tmp_path)
    assert listing.classes == ("clap", "jump", "wave")
    assert labels(listing) == {"clap_s1_c1": 0, "jump_s1_c1": 1, "wave_s1_c1": 2}
    settings(tmp_path, pattern=PATTERN, classes=["wave", "sit", "jump"])
    listing = custom.discover(tmp_path)
    assert listing.classes == ("wave", "sit", "jump")
    assert labels(listing) == {"jump_s1_c1": 2, "wave_s1_c1": 0}
    (found,) = listing.findings
    assert found.detail == "clap_s1_c1: unknown class 'clap'; known: wave, sit, jump"
    settings(tmp_path, pattern=PATTERN, classes=["waves", "clap", "jump"])
    assert "did you mean 'waves'?" in custom.discover(tmp_path).findings[0].detail


def test_labels_are_numbers_from_a_base(tmp_path: Path) -> None:
    pattern = r"a(?P<label>\d+)"
    clips(tmp_path, "a01", "a03", "a10")
    settings(tmp_path, pattern=pattern, label_base=1)
    listing = custom.discover(tmp_path)
    assert labels(listing) == {"a01": 0, "a03": 2, "a10": 9}
    assert listing.classes == tuple(map(str, range(1, 11)))
    settings(tmp_path, pattern=pattern, label_base=1, classes=["x", "y", "z"])
    listing = custom.discover(tmp_path)
    assert labels(listing) == {"a01": 0, "a03": 2}
    assert listing.findings[0].detail == "a10: label '10', expected a number from 1 to 3"
    settings(tmp_path, pattern=pattern)
    assert custom.discover(tmp_path).classes == ("01", "03", "10")


def test_a_table_goes_before_the_names(tmp_path: Path) -> None:
    clips(tmp_path, "wave_s1_c1", "wave_s2_c1", "wave_s3_c1")
    (tmp_path / "labels.csv").write_text(
        "\ufeffid,who,label,subject\nwave_s1_c1,x,clap,9\nwave_s2_c1,x,,8\nnobody,x,clap,1\nwave_s1_c1,x,jump,1\n"
    )
    settings(tmp_path, pattern=PATTERN, labels="labels.csv")
    listing = custom.discover(tmp_path)
    told = {item.id: dict(item.details) for item in listing.items}
    assert listing.classes == ("clap", "wave")
    assert [(t["label"], t["subject"]) for t in told.values()] == [(0, 9), (1, 8), (1, 3)]
    assert [(f.problem, f.place) for f in listing.findings] == [
        ("row without a clip", "row 4"),
        ("row of the table twice", "row 5"),
    ]


def test_a_clip_without_label_is_a_finding_and_a_set_without_labels_one_class(tmp_path: Path) -> None:
    clips(tmp_path, "a", "b")
    settings(tmp_path)
    listing = custom.discover(tmp_path)
    assert (listing.classes, labels(listing)) == (("unlabelled",), {"a": 0, "b": 0})
    (tmp_path / "labels.csv").write_text("id,label\na,wave\n")
    settings(tmp_path, labels="labels.csv")
    listing = custom.discover(tmp_path)
    assert labels(listing) == {"a": 0}
    assert [(f.file, f.problem, f.detail) for f in listing.findings] == [
        ("b.npy", "clip without a row", "b is not in labels.csv")
    ]


def test_fields_that_are_no_whole_numbers_are_findings(tmp_path: Path) -> None:
    clips(tmp_path, "wave_P1", "wave_2", "wave_99999", "other")
    settings(tmp_path, pattern=r"(?P<label>wave)_(?P<subject>\w+)")
    listing = custom.discover(tmp_path)
    assert list(labels(listing)) == ["wave_2"]
    assert [f.problem for f in listing.findings] == [
        "name does not fit the pattern",
        "clip not described",
        "clip not described",
    ]
    assert "subject 'P1' is no whole number" in listing.findings[2].detail


def test_the_same_id_twice_is_a_finding(tmp_path: Path) -> None:
    settings(clips(tmp_path, "a/x", "b/x"), pattern="(?P<id>x)")
    listing = custom.discover(tmp_path)
    assert [item.id for item in listing.items] == ["x"]
    assert listing.findings[0].problem == "duplicate sample id"


# ---- splits -----------------------------------------------------------------------------------------------


def test_splits_by_field_pattern_and_list(tmp_path: Path) -> None:
    clips(tmp_path, *SIX)
    (tmp_path / "train.txt").write_text("# first\nwave_s1_c1\n\nwave_s2_c1\nnobody\n")
    made = {
        "xsub": {"train": {"subject": [1, 3]}},
        "both": {"train": {"subject": [1, 2], "camera": [1]}, "test": {"camera": [2]}},
        "names": {"train": {"pattern": ".*_s1_.*"}, "test": {"pattern": ".*_s[12]_c1"}},
        "listed": {"train": {"list": "train.txt"}},
    }
    settings(tmp_path, pattern=PATTERN, splits=made)
    listing = custom.discover(tmp_path)
    got = {name: [half.get(id, 0) for id in SIX] for name, half in listing.halves.items()}
    assert got == {
        "xsub": [1, 1, 2, 2, 1, 1],
        "both": [1, 2, 1, 2, 0, 2],
        "names": [0, 1, 2, 0, 0, 0],
        "listed": [1, 2, 1, 2, 2, 2],
    }
    assert listing.rules["both"] == "train: camera 1 and subject 1, 2; test: camera 2"
    assert listing.rules["xsub"] == "train: subject 1, 3; test: the others"
    assert [(f.problem, f.detail) for f in listing.findings] == [
        ("listed clip is not there", "nobody"),
        ("in both halves of names", "wave_s1_c1"),
    ]


# ---- settings ---------------------------------------------------------------------------------------------

BAD_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"unit": "mm"}, "unit: unknown key. Did you mean 'units'"),
    "unknown inner key": ({"csv": {"from": "long"}}, "csv.from: unknown key. Did you mean 'form'"),
    "unknown selector": (
        {"splits": {"a": {"train": {"subjects": [1]}}}},
        "splits.a.train.subjects: unknown key. Did you mean 'subject'",
    ),
    "unknown half": ({"splits": {"a": {"train": {"subject": [1]}, "tset": {}}}}, "Did you mean 'test'"),
    "empty selector": ({"splits": {"a": {"train": {}}}}, "splits.a.train: selects nothing"),
    "no name": ({"name": None}, "name: is missing"),
    "name": ({"name": "My Lab"}, "name: String should match"),
    "known name": ({"name": "ntu60"}, "name: ntu60 is the name of a built-in data set"),
    "units": (
        {"units": "inch"},
        "units: expected 'm', 'cm', 'mm' or 'in' or a number or a list of 3 numbers or null, found 'inch'",
    ),
    "layout letters": ({"layout": "N T V C"}, "layout: 'N T V C' is not a layout"),
    "layout without T": ({"layout": "TV C"}, "T on its own"),
    "axes": ({"axes": {"x": "left", "y": "right", "z": "up"}}, "axes: one each must lie along left/right"),
    "direction": ({"axes": {"x": "east", "y": "up", "z": "forward"}}, "axes.x: expected 'left'"),
    "missing": ({"missing": -1}, "missing: expected 'nan', '0' or 'either', found '-1'"),
    "group": ({"pattern": "(?P<actor>.*)"}, "pattern: group 'actor' is not known. Known: camera"),
    "regex": ({"pattern": "(a"}, "pattern: '(a' is not a regular expression"),
    "classes twice": ({"classes": ["a", "a"]}, "classes: 'a' is there twice"),
    "convention": ({"convention": "kinectv2"}, "unknown skeleton convention 'kinectv2'. Did you mean"),
    "own convention": ({"convention": "mine.yaml"}, "cannot read the skeleton convention"),
    "pattern fits nothing": ({"pattern": r"\d+"}, "pattern: none of 6 clips fits '\\d+', e.g. 'wave_s1_c1'"),
    "files": ({"files": "*.npz"}, "no clip: no file below"),
    "labels": ({"labels": "no.csv"}, "labels: cannot read no.csv"),
    "selection": (
        {"pattern": PATTERN, "splits": {"a": {"train": {"subject": [7]}}}},
        "splits.a.train: selects none of 6 clips; subjects are 1, 2, 3",
    ),
    "unknown field": (
        {"pattern": PATTERN, "splits": {"a": {"train": {"setup": [7]}}}},
        "splits.a.train: selects none of 6 clips; no setup is known",
    ),
    "nothing left": (
        {"pattern": PATTERN, "splits": {"a": {"train": {"subject": [1, 2, 3]}}}},
        "splits.a: every clip is in train",
    ),
    "list": ({"splits": {"a": {"train": {"list": "no.txt"}}}}, "splits.a.train.list: cannot read no.txt"),
    "base": ({"pattern": PATTERN, "label_base": 1}, "label_base: labels are no numbers from 1, e.g. 'wave'"),
    "all unknown": (
        {"pattern": PATTERN, "classes": ["clap"]},
        "none of 6 clips is described well, e.g. wave_s3_c2: unknown class 'wave'",
    ),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_settings_that_do_not_fit_name_the_place(tmp_path: Path, name: str) -> None:
    changes, message = BAD_SETTINGS[name]
    settings(clips(tmp_path, *SIX), **changes)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        convert("custom", raw=tmp_path, out=tmp_path / "s")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "\x00"])
def test_a_file_that_is_no_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"dataset\.yaml: "):
        choose("custom", tmp_path)


def test_without_settings_the_error_says_what_to_write(tmp_path: Path) -> None:
    for raw in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match=r"`skeltools docs custom-data`"):
            choose("custom", raw)
