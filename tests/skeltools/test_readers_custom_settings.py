from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import skeltools
from schemas import ConfigError, Finding, UsageError
from skeltools import custom, store
from skeltools.conversion import convert
from skeltools.custom import settings as custom_settings
from skeltools.custom import tables
from skeltools.datasets import choose
from skeltools.formats.export import export
from skeltools.inspect.validate import validate
from skeltools.preprocess import recipes
from skeltools.raw_items import Listing
from tests.skeltools.own_data import PATTERN, SIX, clips, read, settings
from tests.skeltools.raw_files import poses

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


def test_a_set_without_labels_has_no_classes_and_no_finding(tmp_path: Path) -> None:
    settings(clips(tmp_path, "a", "b"))
    listing = custom.discover(tmp_path)
    assert (listing.classes, labels(listing), listing.findings) == ((), {"a": -1, "b": -1}, ())
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s", strict=True)
    assert (summary.manifest.classes, summary.manifest.protocols["all"].train) == ((), 2)
    assert validate(tmp_path / "s") == ()
    assert skeltools.open(tmp_path / "s")["a"].class_name is None


TABLES = {
    "empty labels": "id,label,subject\na,wave,1\nb,,2\nc,nan,3\nd,clap,4\n",
    "no rows": "id,label\na,wave\nd,clap\n",
    "half and half": "id;label\na;wave\nb;\nd;clap\n",
    "files": "File\tLabel\na.npy\twave\n./d.npy\tclap\n",
    "numbers with a point": "id,label,subject\na,2.0,1.0\nb,-1,\nc,,\nd,1.0,2.0\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_labelled_and_unlabelled_clips_are_kept_together(tmp_path: Path, name: str) -> None:
    clips(tmp_path, "a", "b", "c", "d")
    (tmp_path / "labels.csv").write_text(TABLES[name])
    numbers = {"label_base": 1} if "numbers" in name else {}
    settings(tmp_path, labels="labels.csv", **numbers)
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s", strict=True)
    assert summary.manifest.classes == (("1", "2") if numbers else ("clap", "wave"))
    assert skeltools.open(tmp_path / "s").labels.tolist() == [1, -1, -1, 0]
    assert {f.problem for f in summary.findings} == {"some clips have no label"}
    assert summary.findings[0].action == "kept: they pre-train, protocols leave them out"
    assert validate(tmp_path / "s") == ()
    settings(tmp_path, labels="labels.csv", unlabelled="skip", **numbers)
    summary = convert("custom", raw=tmp_path, out=tmp_path / "t")
    assert skeltools.open(tmp_path / "t").ids == ("a", "d")
    assert {(f.problem, f.action) for f in summary.findings} == {("some clips have no label", "skipped")}


def test_why_clips_have_no_label_is_told_once_a_reason(tmp_path: Path) -> None:
    clips(tmp_path, *(f"c{number}" for number in range(9)))
    (tmp_path / "labels.csv").write_text("id,label\nc0,wave\nc1,\nc2,\n")
    settings(tmp_path, labels="labels.csv")
    assert [(f.file, f.detail) for f in custom.discover(tmp_path).findings] == [
        ("labels.csv", "2 of 9: their label is empty, e.g. c1, c2"),
        ("labels.csv", "6 of 9: no row in labels.csv, e.g. c3, c4, c5"),
    ]
    settings(tmp_path, pattern=r"(c(?P<label>[01])|c\d)")
    (tmp_path / "labels.csv").unlink()
    (found,) = custom.discover(tmp_path).findings
    assert found.detail == "7 of 9: neither name nor table tells one, e.g. c2, c3, c4"


@pytest.mark.parametrize("mark", ["-1", "-1.0"])
@pytest.mark.parametrize("settled", [{}, {"label_base": 0}, {"classes": ["0", "1"]}])
def test_minus_one_among_numbers_is_no_label(tmp_path: Path, mark: str, settled: dict[str, Any]) -> None:
    clips(tmp_path, "a", "b", "c", "d")
    (tmp_path / "labels.csv").write_text(f"id,label\na,0\nb,1\nc,{mark}\nd,\n")
    settings(tmp_path, labels="labels.csv", **settled)
    listing = custom.discover(tmp_path)
    assert (listing.classes or ("0", "1"), labels(listing)) == (
        ("0", "1"),
        {"a": 0, "b": 1, "c": -1, "d": -1},
    )
    assert [f.detail for f in listing.findings] == [
        "1 of 4: their label is -1, e.g. c",
        "1 of 4: their label is empty, e.g. d",
    ]


@pytest.mark.parametrize(("others", "classes"), [("x", None), ("-2", None), ("0", ["0", "-1"])])
def test_minus_one_is_a_class_where_labels_are_no_numbers_from_0(
    tmp_path: Path, others: str, classes: list[str] | None
) -> None:
    clips(tmp_path, "a", "b")
    (tmp_path / "labels.csv").write_text(f"id,label\na,{others}\nb,-1\n")
    settings(tmp_path, labels="labels.csv", classes=classes)
    listing = custom.discover(tmp_path)
    assert (set(listing.classes), listing.findings) == ({others, "-1"}, ())


def test_classes_that_differ_only_in_case_are_told(tmp_path: Path) -> None:
    settings(clips(tmp_path, "Wave_1", "wave_2", "sit_3"), pattern=r"(?P<label>[A-Za-z]+)_\d")
    listing = custom.discover(tmp_path)
    assert listing.classes == ("Wave", "sit", "wave")
    assert [(f.problem, f.detail) for f in listing.findings] == [
        ("classes that differ only in case", "Wave, wave")
    ]


def test_a_wrong_class_is_no_missing_label(tmp_path: Path) -> None:
    clips(tmp_path, "a", "b", "c")
    (tmp_path / "labels.csv").write_text("id,label\na,wave\nb,wavve\nc,\n")
    settings(tmp_path, labels="labels.csv", classes=["wave"])
    listing = custom.discover(tmp_path)
    assert labels(listing) == {"a": 0, "c": -1}
    assert "did you mean 'wave'" in listing.findings[0].detail


def test_a_class_may_be_called_nan(tmp_path: Path) -> None:
    clips(tmp_path, "a", "b")
    (tmp_path / "labels.csv").write_text("id,label\na,nan\nb,x\n")
    settings(tmp_path, labels="labels.csv", classes=["nan", "x"])
    assert labels(custom.discover(tmp_path)) == {"a": 0, "b": 1}


def test_numbers_with_gaps_are_classes_by_number(tmp_path: Path) -> None:
    clips(tmp_path, "a1", "a5", "a9")
    settings(tmp_path, pattern=r"a(?P<label>\d)", label_base=1)
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s", strict=True)
    assert summary.manifest.classes == tuple("123456789")
    assert skeltools.open(tmp_path / "s").labels.tolist() == [0, 4, 8]
    (found,) = summary.findings
    assert (found.problem, found.detail) == ("classes that no clip has", "6 of 9: 2, 3, 4, ...")
    settings(tmp_path, pattern=r"a(?P<label>\d)")
    assert custom.discover(tmp_path).classes == ("1", "5", "9")


def test_bodies_are_people_not_places(tmp_path: Path) -> None:
    settings(tmp_path)
    three = np.zeros((4, 3, 25, 3))
    three[:, 0], three[2:, 2] = poses(4)[:, 0], poses(2)[:, 0]
    np.save(tmp_path / "a.npy", three)
    np.save(tmp_path / "b.npy", np.concatenate([poses(4), np.full((4, 1, 25, 3), np.nan)], axis=1))
    convert("custom", raw=tmp_path, out=tmp_path / "s")
    opened = store.open_store(tmp_path / "s")
    assert store.read(opened, "samples/bodies").tolist() == [2, 1]
    export(source=tmp_path / "s", out=tmp_path / "part", to="zarr")
    assert store.read(store.open_store(tmp_path / "part"), "samples/bodies").tolist() == [2, 1]


def test_formats_that_need_a_label_refuse_clips_without(tmp_path: Path) -> None:
    clips(tmp_path, "a", "b")
    (tmp_path / "labels.csv").write_text("id,label\na,wave\n")
    settings(tmp_path, labels="labels.csv")
    convert("custom", raw=tmp_path, out=tmp_path / "s")
    for to in ("pyskl", "ctrgcn", "crossclr"):
        with pytest.raises(UsageError, match="1 of 2 samples have no label, and"):
            export(source=tmp_path / "s", out=tmp_path / "x", to=to)
    (tmp_path / "ids.txt").write_text("a\n")
    export(source=tmp_path / "s", out=tmp_path / "x.pkl", to="pyskl", ids=tmp_path / "ids.txt")
    export(source=tmp_path / "s", out=tmp_path / "x.h5", to="hdf5")


@pytest.mark.parametrize("recipe", recipes.names())
def test_a_clip_of_one_frame_goes_through_every_recipe(tmp_path: Path, recipe: str) -> None:
    settings(tmp_path, missing="either")
    np.save(tmp_path / "one.npy", poses(1, 2))
    np.save(tmp_path / "long.npy", poses(9, 2))
    summary = convert("custom", raw=tmp_path, out=tmp_path / "s", recipe=recipe)
    assert summary.manifest.samples == 2, summary.findings
    assert validate(tmp_path / "s") == ()


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


def test_fields_of_a_table_may_be_numbers_behind_letters(tmp_path: Path) -> None:
    clips(tmp_path, "a", "b", "c")
    settings(tmp_path, labels="labels.csv")
    table = tmp_path / "labels.csv"
    table.write_text("id,label,subject,camera\na,wave,P01,cam 2\nb,wave,p_2,cam 3\nc,wave,3,4\n")
    told = [dict(item.details) for item in custom.discover(tmp_path).items]
    assert [(each["subject"], each["camera"]) for each in told] == [(1, 2), (2, 3), (3, 4)]
    table.write_text("id,label,subject\na,wave,P01\nb,wave,C01\nc,wave,3\n")
    listing = custom.discover(tmp_path)
    assert list(labels(listing)) == ["c"]
    assert "letters before them must be the same in all rows" in listing.findings[0].detail


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


@pytest.mark.parametrize("good", [".npy", ".csv"])
def test_of_files_of_one_name_the_readable_one_is_kept(tmp_path: Path, good: str) -> None:
    settings(tmp_path, layout="T VC")
    numbers = poses(4)[:, 0].reshape(4, -1)
    if good == ".npy":
        np.save(tmp_path / "x.npy", numbers)
        (tmp_path / "x.csv").write_text("frame,comment\n1,starts here\n")
    else:
        np.save(tmp_path / "x.npy", np.zeros((4, 512)))
        np.savetxt(tmp_path / "x.csv", numbers, delimiter=",")
    bad = {".npy": ".csv", ".csv": ".npy"}[good]
    listing = custom.discover(tmp_path)
    assert [Path(item.path).name for item in listing.items] == [f"x{good}"]
    assert [(f.file, f.problem, f.detail) for f in listing.findings] == [
        (f"x{bad}", "duplicate sample id", f"kept x{good}, of the same name")
    ]
    assert convert("custom", raw=tmp_path, out=tmp_path / "s").manifest.samples == 1


def test_damaged_json_beside_arrays_is_told(tmp_path: Path) -> None:
    settings(clips(tmp_path, "a"))
    (tmp_path / "b.json").write_text('{"frames": [1, 2')
    (tmp_path / "about.json").write_text('{"licence": "CC0"}')
    (found,) = custom.discover(tmp_path).findings
    assert (found.file, found.problem) == ("b.json", "JSON of no known format")
    assert found.detail.startswith("not valid JSON: Expecting")


def test_a_lowest_score_needs_scores(tmp_path: Path) -> None:
    settings(clips(tmp_path, "a"), min_score=0.3)
    with pytest.raises(
        ConfigError, match=r"min_score: coordinates are xyz, which have no score\. Say .*xyzs"
    ):
        custom.discover(tmp_path)


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
    "name": ({"name": "My Lab"}, "name: expected a name of small letters, digits, - and _, a letter"),
    "body model": (
        {"body_model": "smpl.txt"},
        "body_model: expected the name of a file that ends",
    ),
    "slip in a split": (
        {"splits": {"a": {"trian": {"subject": [1]}}}},
        "splits.a.trian: unknown key. Did you mean 'train'",
    ),
    "two axes": ({"axes": ["left", "up"]}, "axes: expected three directions, those of x, y and z"),
    "listed direction": ({"axes": ["east", "up", "forward"]}, "axes.x: expected 'left'"),
    "known name": ({"name": "ntu60"}, "name: ntu60 is the name of a built-in data set"),
    "units": (
        {"units": "ell"},
        "units: expected 'm', 'cm', 'mm' or 'in' or a number or a list of 3 numbers or null, found 'ell'",
    ),
    "layout of many clips": ({"layout": "N C T V M"}, "'N C T V M' has an axis of clips, N"),
    "layout letters": ({"layout": "K T V C"}, "layout: 'K T V C' is not a layout"),
    "layout without C": ({"layout": "T V"}, "is not a layout: letters T (frames)"),
    "layout of joined T and M": ({"layout": "MTV C"}, "say how many `bodies`"),
    "delimiter": ({"csv": {"delimiter": "blank"}}, "csv.delimiter: 'blank' is not a delimiter"),
    "axes": ({"axes": {"x": "left", "y": "right", "z": "up"}}, "axes: one each must lie along left/right"),
    "direction": ({"axes": {"x": "east", "y": "up", "z": "forward"}}, "axes.x: expected 'left'"),
    "missing": ({"missing": "none"}, "missing"),
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


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("# name: mine\n")
    with pytest.raises(ConfigError, match=r"dataset\.yaml: the file is empty; expected keys such as name"):
        choose("custom", tmp_path)


def test_axes_may_be_a_list_as_in_conventions(tmp_path: Path) -> None:
    given = settings(tmp_path / "a", axes=["right", "up", "backward"])
    named = settings(tmp_path / "b", axes={"x": "right", "y": "up", "z": "backward"})
    assert custom_settings.load(given) == custom_settings.load(named)


@pytest.mark.parametrize("lines", ["units: mm\nname: b\n", "csv: {form: long, form: wide}\n"])
def test_a_key_given_twice_is_an_error(tmp_path: Path, lines: str) -> None:
    path = settings(clips(tmp_path, *SIX))
    path.write_text(path.read_text() + lines)
    with pytest.raises(ConfigError, match=r"dataset\.yaml: not valid YAML: '(name|form)' is there twice, in"):
        convert("custom", raw=tmp_path, out=tmp_path / "s")


def test_without_settings_the_error_says_what_to_write(tmp_path: Path) -> None:
    for raw in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match=r"`skeltools docs custom-data`"):
            choose("custom", raw)


@pytest.mark.parametrize("units", [1e308, 1e-300, [1.0, 1.0, 1e30]])
def test_a_unit_that_no_coordinate_survives_is_refused(tmp_path: Path, units: Any) -> None:
    clips(tmp_path, "wave")
    settings(tmp_path, units=units)
    with pytest.raises(ConfigError, match="units"):
        custom.discover(tmp_path)


def test_time_does_not_grow_with_the_product_of_rows_and_classes(tmp_path: Path) -> None:
    """3,000 labels of which none is one of 3,000 classes; and as many classes, the last of them twice."""
    classes = [f"{number:x} class" for number in range(3000)]
    rows = [f"c{number},{number:x} clas" for number in range(3000)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *rows, "walk,0 class"]))
    told = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C", "labels": "labels.csv"}
    (tmp_path / "dataset.yaml").write_text(json.dumps(told | {"classes": classes}))
    described = custom_settings.load(tmp_path / "dataset.yaml")
    names = {f"c{number}": f"c{number}.npy" for number in range(3000)} | {"walk": "walk.npy"}
    findings: list[Finding] = []
    begun = time.process_time()
    path = tmp_path / "dataset.yaml"
    assert list(tables.fields_of(path, described, names, findings).clips) == ["walk"]
    assert "did you mean" in findings[0].detail
    assert len(findings) >= 3000
    with pytest.raises(ValidationError, match="is there twice"):
        custom_settings.Settings.model_validate(told | {"classes": [*classes, classes[-1]]})
    assert time.process_time() - begun < 5
