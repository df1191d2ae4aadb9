"""Text as people hold it: written here in many ways, read back exactly, or refused with the cause."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from schemas import RawDataError, SkelError
from skeltools import custom, skeletons
from skeltools.conversion import convert
from skeltools.sequence import SkeletonSequence
from tests.skeltools import fuzzing

STICK = {
    "name": "stick_5",
    "joints": ["hip", "left_hand", "right_hand", "left_foot", "right_foot"],
    "edges": [[1, 0], [2, 0], [3, 0], [4, 0]],
    "center": 0,
    "synonyms": {"hip": ["pelvis"]},
}
JOINTS: list[str] = STICK["joints"]  # type: ignore[assignment]
ONE = np.round(np.random.default_rng(1).normal(size=(12, 1, 5, 3)), 4) + 10
TWO = np.round(np.random.default_rng(2).normal(size=(12, 2, 5, 3)), 4) + 10
ORDER = [3, 0, 4, 2, 1]
MOVED = [JOINTS[v] for v in ORDER]


def read(folder: Path, text: str | bytes, *, suffix: str = ".txt", **changes: Any) -> SkeletonSequence:
    """The clip that a text is, read by dataset.yaml with ``changes``."""
    (folder / "stick.yaml").write_text(yaml.safe_dump(STICK))
    told = {"name": "mine", "convention": "stick.yaml", "layout": "T VC"} | changes
    (folder / "dataset.yaml").write_text(yaml.safe_dump({k: v for k, v in told.items() if v is not None}))
    (folder / f"clip{suffix}").write_bytes(text if isinstance(text, bytes) else text.encode())
    item, *_ = custom.discover(folder).items
    return custom.read(item)


def lines(array: np.ndarray, between: str = ",", *, form: str = "{:.4f}") -> list[str]:
    return [between.join(form.format(value) for value in row.ravel()) for row in array]


def text(array: np.ndarray, between: str = ",") -> str:
    return "\n".join(lines(array, between))


def header(form: str = "{j}.{a}", joints: list[str] = JOINTS, axes: str = "xyz", between: str = ",") -> str:
    return between.join(form.format(j=joint, a=axis, A=axis.upper()) for joint in joints for axis in axes)


def with_frames(array: np.ndarray, between: str = ",") -> str:
    return "\n".join(f"{180 + n}{between}{row}" for n, row in enumerate(lines(array, between)))


def exact(clip: SkeletonSequence, array: np.ndarray) -> None:
    assert clip.present.all()
    assert clip.unseen is None
    np.testing.assert_array_equal(clip.joints, array.astype(np.float32))


# ---- delimiters and lines ---------------------------------------------------------------------------------

WAYS: dict[str, str | bytes] = {
    "commas": text(ONE),
    "commas and blanks": text(ONE, ", "),
    "semicolons": text(ONE, ";"),
    "semicolons, decimal commas": text(ONE, ";").replace(".", ","),
    "tabs": text(ONE, "\t"),
    "tabs, decimal commas": text(ONE, "\t").replace(".", ","),
    "two tabs": text(ONE, "\t\t"),
    "blanks": text(ONE, " "),
    "runs of blanks": "\n".join(f"  {line}  " for line in lines(ONE, "   ")),
    "tabs and blanks": text(ONE, " \t"),
    "decimal commas": text(ONE, " ").replace(".", ","),
    "quotes": "\n".join(",".join(f'"{f}"' for f in line.split(",")) for line in lines(ONE)),
    "decimal commas in quotes": "\n".join(
        ",".join('"{}"'.format(f.replace(".", ",")) for f in line.split(",")) for line in lines(ONE)
    ),
    "a delimiter at the end": "\n".join(line + "," for line in lines(ONE)),
    "a delimiter at the end, with a header": header() + "\n" + "\n".join(f"{line}," for line in lines(ONE)),
    "remarks": "# by hand\n% 2020\n" + text(ONE) + "\n# end\n",
    "blank lines": "\n" + "\n\n".join(lines(ONE)) + "\n \n",
    "a title": "recorded on a Monday\n" + text(ONE, " "),
    "a line of counts": "12 5\n" + text(ONE, " "),
    "carriage returns": "\r\n".join(lines(ONE)) + "\r\n",
    "a mark of UTF-8": "\ufeff" + header() + "\n" + text(ONE),
    "UTF-16": ("\ufeff" + header(between="\t") + "\r\n" + text(ONE, "\t")).encode("utf-16-le"),
    "empty rows at the end": text(ONE) + "\n" + "," * 14 + "\n" + "," * 14,
    "numbers for names": ",".join(map(str, range(15))) + "\n" + text(ONE),
    "numbers for names and rows": "," + ",".join(map(str, range(15))) + "\n" + with_frames(ONE),
}


@pytest.mark.parametrize("way", WAYS)
def test_delimiters_and_lines_are_told_by_the_lines(tmp_path: Path, way: str) -> None:
    exact(read(tmp_path, WAYS[way]), ONE)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".CSV", ".Txt"])
def test_suffixes_of_text(tmp_path: Path, suffix: str) -> None:
    exact(read(tmp_path, text(ONE, "\t"), suffix=suffix), ONE)


@pytest.mark.parametrize("delimiter", ["whitespace", "|", ";", " "])
def test_a_delimiter_that_is_given_is_obeyed(tmp_path: Path, delimiter: str) -> None:
    told = {"delimiter": delimiter}
    exact(read(tmp_path, text(ONE, " " if len(delimiter) > 1 else delimiter), csv=told), ONE)
    with pytest.raises(RawDataError):
        read(tmp_path, text(ONE), csv=told)


def test_text_that_is_no_table_is_a_clip_only_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Recorded in 2020.\nSee the page.\n")
    exact(read(tmp_path, text(ONE)), ONE)
    settings = yaml.safe_load((tmp_path / "dataset.yaml").read_text()) | {"files": "*.txt"}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(settings))
    assert [item.id for item in custom.discover(tmp_path).items] == ["clip", "notes"]


def test_a_first_row_that_is_cut_short_is_not_lost(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match="the first has 2; most have 15"):
        read(tmp_path, "10.5 11.25\n" + text(ONE, " "))


def test_a_frame_of_empty_fields_is_a_frame_without_a_body(tmp_path: Path) -> None:
    rows = lines(ONE)
    rows[4], rows[6] = "," * 14, ",".join(["null"] * 15)
    clip = read(tmp_path, "\n".join(rows))
    assert np.flatnonzero(~clip.present[:, 0]).tolist() == [4, 6]
    assert len(clip.joints) == 12


# ---- names in the header ----------------------------------------------------------------------------------

FORMS = (
    *("{j}.{a}", "{j}_{A}", "{j}:{A}", "{j} {A}", "{j}{A}", "{j}[{a}]", "{a}_{j}", "{A} {j}", "{j}_t{a}"),
    *("{j}.pos{A}", "{j} position {a} (mm)", "Skeleton 001:{j}:{A}", "mixamorig:{j}.{a}", "pos_{a}_{j}"),
)


@pytest.mark.parametrize("form", FORMS)
def test_columns_are_taken_by_name_in_any_order(tmp_path: Path, form: str) -> None:
    exact(read(tmp_path, f"{header(form, MOVED)}\n{text(ONE[:, :, ORDER])}"), ONE)


@pytest.mark.parametrize(
    "name",
    [
        str.upper,
        lambda joint: joint.replace("left", "L").replace("right", "R"),
        lambda joint: "".join(word.title() for word in reversed(joint.split("_"))),
        lambda joint: joint.replace("hip", "Pelvis"),
    ],
    ids=["capitals", "L", "HandLeft", "synonym"],
)
def test_spellings_of_a_joint(tmp_path: Path, name: Callable[[str], str]) -> None:
    exact(read(tmp_path, f"{header(joints=list(map(name, MOVED)))}\n{text(ONE[:, :, ORDER])}"), ONE)


@pytest.mark.parametrize("between", [" ", "\t", ";"])
def test_a_header_behind_a_hash_counts(tmp_path: Path, between: str) -> None:
    named = header(joints=MOVED, between=between)
    exact(read(tmp_path, f"# {named}\n{text(ONE[:, :, ORDER], between)}"), ONE)


def test_names_of_two_words_between_blanks(tmp_path: Path) -> None:
    exact(read(tmp_path, f"{header('{j} {a}', MOVED, between=' ')}\n{text(ONE[:, :, ORDER], ' ')}"), ONE)


@pytest.mark.parametrize("form", ["joint{j}_{a}", "{a}{j}", "{j}.{A}"])
@pytest.mark.parametrize("first", [0, 1])
def test_joints_by_number_in_any_order(tmp_path: Path, form: str, first: int) -> None:
    named = header(form, [str(v + first) for v in ORDER])
    exact(read(tmp_path, f"{named}\n{text(ONE[:, :, ORDER])}"), ONE)


def test_coordinates_without_names_in_another_order(tmp_path: Path) -> None:
    exact(read(tmp_path, ",".join("zxy" * 5) + "\n" + text(ONE[..., [2, 0, 1]])), ONE)


def test_other_columns_are_left_out(tmp_path: Path) -> None:
    named = ["label", "Frame", "Time (Seconds)"] + [
        f"{joint}.{axis}" for joint in [*MOVED, "tail"] for axis in ("rx", "x", "y", "z", "score")
    ]
    body = [
        ",".join(
            ["walk", str(n), f"{n / 30:.3f}"] + [f"7,{x},{y},{z},0" for x, y, z in frame] + ["1,1,1,1,1"]
        )
        for n, frame in enumerate(ONE[:, 0, ORDER])
    ]
    exact(read(tmp_path, "\n".join([",".join(named), *body])), ONE)


def suite_of_rows() -> str:
    """Names, numbers, what a column is and coordinates in rows of their own; rotations between."""
    kinds = ("Rotation",) * 4 + ("Position",) * 3
    rows = [
        ["Export", "1.23", "Capture Frame Rate", "120.0"],
        ["", "Type", *("Bone" for _ in MOVED for _ in kinds)],
        ["", "Name", *(f"Skeleton 001:{joint}" for joint in MOVED for _ in kinds)],
        ["", "ID", *(str(n) for n, _ in enumerate(MOVED) for _ in kinds)],
        ["", "", *(kind for _ in MOVED for kind in kinds)],
        ["Frame", "Time (Seconds)", *("XYZWXYZ" * 5)],
    ]
    for n, frame in enumerate(ONE[:, 0, ORDER]):
        cells = [f"0.1,0.2,0.3,0.9,{x},{y},{z}" for x, y, z in frame]
        rows.append([str(n), f"{n / 120:.4f}", *",".join(cells).split(",")])
    return "\n".join(",".join(row) for row in rows)


def rows_of_units() -> str:
    """A rate, names over three columns each, coordinates and units in rows of their own."""
    names = ["", "", *(field for joint in MOVED for field in (f"Anna:{joint}", "", ""))]
    rows = [["Marker data"], ["120"], names, ["Frame", "Sub Frame", *("XYZ" * 5)], ["", "", *["mm"] * 15]]
    rows += [[str(n), "0", row] for n, row in enumerate(lines(ONE[:, :, ORDER]))]
    return "\n".join(",".join(row) for row in rows)


@pytest.mark.parametrize("suite", [suite_of_rows, rows_of_units])
def test_names_above_coordinates_as_motion_capture_suites_write_them(
    tmp_path: Path, suite: Callable[[], str]
) -> None:
    exact(read(tmp_path, suite(), suffix=".csv"), ONE)


ONCE = {
    "once": ",".join(f"{joint},," for joint in MOVED),
    "above each": ",".join(f"{joint},{joint},{joint}" for joint in MOVED),
    "and no more": ",".join(MOVED),
    "in a remark": "# " + ",".join(MOVED),
    "above x, y, z": ",".join(f"{joint},," for joint in MOVED) + "\n" + ",".join("xyz" * 5),
}


@pytest.mark.parametrize("row", ONCE)
def test_names_without_coordinates(tmp_path: Path, row: str) -> None:
    exact(read(tmp_path, f"{ONCE[row]}\n{text(ONE[:, :, ORDER])}"), ONE)


def test_names_of_too_few_joints_for_the_columns(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=r"\(hip, left_hand, right_hand\) but not each of 15 columns"):
        read(tmp_path, f"{','.join(JOINTS[:3])}\n{text(ONE)}")


def test_scorer_parts_and_coordinates_in_three_rows(tmp_path: Path) -> None:
    rows = [["scorer", *["net"] * 15], ["bodyparts", *(j for j in MOVED for _ in range(3))]]
    rows += [["coords", *["x", "y", "likelihood"] * 5]]
    array = np.concatenate([ONE[..., :2], np.full((12, 1, 5, 1), 0.9)], axis=-1)
    rows += [[str(n), row] for n, row in enumerate(lines(array[:, :, ORDER]))]
    clip = read(tmp_path, "\n".join(",".join(row) for row in rows), coordinates="xys", units=1.0,
                axes={"x": "left", "y": "up", "z": "forward"})  # fmt: skip
    np.testing.assert_array_equal(clip.joints[..., :2], ONE[..., :2].astype(np.float32))
    assert clip.score is not None
    assert (clip.score == np.float32(0.9)).all()


def test_a_joint_that_is_called_otherwise(tmp_path: Path) -> None:
    clip = f"{header(joints=['LASI', *JOINTS[1:]])}\n{text(ONE)}"
    with pytest.raises(RawDataError, match=r"the header has no hip; it also names lasi\. Called otherwise\?"):
        read(tmp_path, clip)
    exact(read(tmp_path, clip, csv={"joints": {"hip": "LASI"}}), ONE)
    with pytest.raises(RawDataError, match=r"csv\.joints: 'tail' is no joint of stick_5"):
        read(tmp_path, clip, csv={"joints": {"tail": "LASI"}})


def test_joints_that_are_lacking_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    clip = f"{header(joints=JOINTS[:3])}\n{text(ONE[:, :, :3])}"
    with pytest.raises(RawDataError, match=r"the header has no left_foot, right_foot\.") as caught:
        read(tmp_path, clip)
    assert "`leave_out: [left_foot, right_foot]`" in str(caught.value)
    exact(read(tmp_path, clip, leave_out=["left_foot", "right_foot"]), ONE[:, :, :3])


def test_names_of_another_skeleton_are_not_ignored(tmp_path: Path) -> None:
    clip = f"{header(joints=['a1b', 'a2b', 'a3b', 'a4b', 'a5b'])}\n{text(ONE)}"
    with pytest.raises(RawDataError, match=r"its joints \(a 1 b, .* are none of stick_5 \(hip"):
        read(tmp_path, clip)
    exact(read(tmp_path, clip, csv={"by_order": True}), ONE)


def test_a_coordinate_that_is_lacking_or_there_twice(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=r"the header has no z of hip; it has 'hip\.x', 'hip\.y'"):
        read(tmp_path, f"{header(axes='xy')}\n{text(ONE[..., :2])}")
    with pytest.raises(RawDataError, match=r"names x of hip more than once \('hip\.x' and 'hip\.x'\)"):
        read(tmp_path, f"{header()},{header()}\n{text(TWO)}")


def test_a_header_of_another_length_is_no_header(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match="the row above the numbers has 12 fields, these have 15"):
        read(tmp_path, f"{header(joints=JOINTS[:4])}\n{text(ONE)}")


@pytest.mark.parametrize("form", ["p{m}_{j}_{a}", "{j}_{a}", "{j}_{m}_{a}", "Anna{m}:{j}:{a}"])
def test_two_bodies_by_name(tmp_path: Path, form: str) -> None:
    named = ",".join(form.format(m=m, j=j, a=a) for m in (1, 2) for j in MOVED for a in "xyz")
    exact(read(tmp_path, f"{named}\n{text(TWO[:, :, ORDER])}", layout="T MVC"), TWO)


def test_numbers_of_a_spine_are_no_bodies() -> None:
    from skeltools.custom import columns

    spec, naming = skeletons.load("kinectv1_20"), skeletons.naming("kinectv1_20")
    labels = [f"{joint}.{axis}" for joint in (*spec.joints, "Spine1") for axis in "xyz"]
    found = columns.read([labels], columns.Joints(spec, naming, {}))
    assert {body for body, _, _ in found.joints} == {""}
    assert len(found.joints) == 60


# ---- frames, scores, layouts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["frame", "Frame #", "time", "Timestamp", "t (ms)", "index", "Frame Number", ""]
)
def test_columns_of_frames_and_times_are_left_out_by_name(tmp_path: Path, name: str) -> None:
    exact(read(tmp_path, f"{name},{','.join('xyz' * 5)}\n{with_frames(ONE)}"), ONE)
    exact(read(tmp_path, f"{name},{header(joints=MOVED)}\n{with_frames(ONE[:, :, ORDER])}"), ONE)


def test_columns_to_skip(tmp_path: Path) -> None:
    exact(read(tmp_path, with_frames(ONE), csv={"skip_columns": 1}), ONE)
    behind = "\n".join(f"{line} {n} {n / 30}" for n, line in enumerate(lines(ONE, " ")))
    exact(read(tmp_path, behind, csv={"skip_last": 2}), ONE)
    with pytest.raises(RawDataError, match="15 columns, none but those to skip"):
        read(tmp_path, text(ONE), csv={"skip_columns": 15})


def test_rows_to_skip(tmp_path: Path) -> None:
    exact(read(tmp_path, "1,2,3,4,5,6,7,8,9\nx\n" + text(ONE), csv={"skip_rows": 2}), ONE)


def scored() -> np.ndarray:
    return np.concatenate([ONE, np.full((12, 1, 5, 1), 2.0)], axis=-1)


def test_scores_by_place_and_by_name(tmp_path: Path) -> None:
    array = scored()
    array[3, 0, 1, 3] = 0
    named = ",".join(f"{joint}_{axis}" for joint in MOVED for axis in ("x", "y", "z", "conf"))
    for clip in (text(array, " "), f"{named}\n{text(array[:, :, ORDER])}"):
        found = read(tmp_path, clip, coordinates="xyzs")
        assert found.unseen is not None
        assert np.argwhere(found.unseen).tolist() == [[3, 0, 1]]
    exact(read(tmp_path, f"{named}\n{text(array[:, :, ORDER])}"), ONE)
    with pytest.raises(RawDataError, match="no score of hip, but coordinates say so"):
        read(tmp_path, f"{header()}\n{text(ONE)}", coordinates="xyzs")


def test_a_score_that_hides_a_joint_throughout_need_not_count(tmp_path: Path) -> None:
    array = scored()
    array[:, 0, 0, 3] = 0
    with pytest.raises(RawDataError, match=r"hip: seen in none of 12 frames.*`min_score: -1` if they are"):
        read(tmp_path, text(array), coordinates="xyzs")
    exact(read(tmp_path, text(array), coordinates="xyzs", min_score=-1), ONE)


ROWS = {
    "TV C": (text(ONE.reshape(-1, 3), " "), ONE),
    "T MVC": (text(TWO), TWO),
    "TM VC": (text(TWO.reshape(24, 5, 3)), TWO),
    "TMV C": (text(TWO.reshape(-1, 3)), TWO),
    "MTV C": (text(TWO.transpose(1, 0, 2, 3).reshape(-1, 3)), TWO),
    "MVC T": (text(TWO.reshape(12, -1).T), TWO),
}


@pytest.mark.parametrize("layout", ROWS)
def test_what_a_row_may_be(tmp_path: Path, layout: str) -> None:
    clip, array = ROWS[layout]
    exact(read(tmp_path, clip, layout=layout, bodies=array.shape[1]), array)
    np.save(
        tmp_path / "clip.npy", np.array([line.replace(",", " ").split() for line in clip.split("\n")], float)
    )
    (tmp_path / "clip.txt").unlink()
    (item,) = custom.discover(tmp_path).items
    exact(custom.read(item), array)


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
def test_a_recording_of_rows_that_are_joints_can_be_cut(tmp_path: Path, suffix: str) -> None:
    settings = {"name": "mine", "convention": "stick.yaml", "layout": "TV C", "windows": {"length": 4}}
    (tmp_path / "stick.yaml").write_text(yaml.safe_dump(STICK))
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(settings))
    np.savetxt(tmp_path / "clip.txt", ONE.reshape(-1, 3), fmt="%.4f")
    if suffix == ".npy":
        (tmp_path / "clip.txt").unlink()
        np.save(tmp_path / "clip.npy", ONE.reshape(-1, 3))
    found = [custom.read(item) for item in custom.discover(tmp_path).items]
    assert [len(clip.joints) for clip in found] == [4, 4, 4]
    exact(found[1], ONE[4:8])


def dump(array: np.ndarray, counts: list[int]) -> str:
    """A line with the number of frames, then a count before each frame's rows of joints."""
    frames = ("\n".join([str(n), *lines(frame[:n], " ")]) for n, frame in zip(counts, array, strict=True))
    return f"{len(array)}\n" + "\n".join(frames)


def test_counts_between_the_frames_of_a_dump(tmp_path: Path) -> None:
    exact(read(tmp_path, dump(ONE[:, 0], [5] * 12), layout="TV C"), ONE)
    clip = read(tmp_path, dump(ONE[:, 0], [5] * 4 + [0, 0] + [5] * 5 + [0]), layout="TV C")
    assert np.flatnonzero(~clip.present[:, 0]).tolist() == [4, 5, 11]
    np.testing.assert_array_equal(clip.joints[6], ONE[6].astype(np.float32))
    with pytest.raises(RawDataError, match="expected a row for each of 5 joints a frame, found a count of 4"):
        read(tmp_path, dump(ONE[:, 0], [5] * 4 + [4] + [5] * 7), layout="TV C")
    with pytest.raises(RawDataError, match=r"line 72: expected a row for each of 5 joints .* found 4 rows"):
        read(tmp_path, dump(ONE[:, 0], [5] * 12).rsplit("\n", 1)[0], layout="TV C")


def test_rows_that_name_their_joint(tmp_path: Path) -> None:
    body = [f"{MOVED[n % 5]},{line}" for n, line in enumerate(lines(ONE[:, 0, ORDER].reshape(-1, 3)))]
    exact(read(tmp_path, "\n".join(["joint,x,y,z", *body]), layout="TV C"), ONE)
    with pytest.raises(RawDataError, match="not each joint once in every frame"):
        read(tmp_path, "\n".join(["joint,x,y,z", *body[1:], body[1]]), layout="TV C")


def test_the_long_form_by_any_names_of_columns(tmp_path: Path) -> None:
    body = [
        f"{z};{x};{y};note;{JOINTS[v].title()};{t + 3}.0".replace(".", ",")
        for t, v in np.ndindex(12, 5)
        for x, y, z in [ONE[t, 0, v]]
    ]
    clip = "\n".join(["z;x;y;remark;Joint Name;Frame", *body])
    exact(read(tmp_path, clip, layout=None, csv={"form": "long"}), ONE)


# ---- many clips in one file -------------------------------------------------------------------------------


def many(folder: Path, clip: str, **changes: Any) -> dict[str, SkeletonSequence]:
    (folder / "stick.yaml").write_text(yaml.safe_dump(STICK))
    settings = {"name": "mine", "convention": "stick.yaml"} | changes
    (folder / "dataset.yaml").write_text(yaml.safe_dump(settings))
    (folder / "all.txt").write_text(clip)
    return {item.id: custom.read(item) for item in custom.discover(folder).items}


def test_rows_of_many_clips_by_the_numbers_of_columns(tmp_path: Path) -> None:
    body = [f"{1 + n // 4} {2 + n // 8} {n // 4} {row}" for n, row in enumerate(lines(ONE, " "))]
    pattern = r"(?P<id>\d+)_(?P<subject>\d+)_(?P<label>\d+)"
    found = many(tmp_path, "\n".join(body), csv={"clip": [1, 2, 3]}, pattern=pattern, label_base=0)
    assert list(found) == ["1", "2", "3"]
    assert [(clip.subject, clip.label) for clip in found.values()] == [(2, 0), (2, 1), (3, 2)]
    for n, clip in enumerate(found.values()):
        exact(clip, ONE[4 * n : 4 * n + 4])


def test_rows_of_many_clips_by_name_in_any_order(tmp_path: Path) -> None:
    body = [f"clip{n % 2},{n},{row}" for n, row in enumerate(lines(ONE[:, :, ORDER]))]
    named = f"video,frame,{header(joints=MOVED)}"
    found = many(tmp_path, "\n".join([named, *body]), csv={"clip": "video"})
    exact(found["clip0"], ONE[::2])
    exact(found["clip1"], ONE[1::2])


def test_many_clips_in_the_long_form(tmp_path: Path) -> None:
    body = [
        f"{'ab'[n]},{t},{JOINTS[v]},{x},{y},{z}"
        for n, t, v in np.ndindex(2, 6, 5)
        for x, y, z in [ONE[6 * n + t, 0, v]]
    ]
    csv = {"form": "long", "clip": "video"}
    found = many(tmp_path, "\n".join(["video,frame,joint,x,y,z", *body]), csv=csv)
    exact(found["a"], ONE[:6])
    exact(found["b"], ONE[6:])


@pytest.mark.parametrize("labels", [("walk", "sit"), ("pick_up", "put_on")])
def test_a_column_of_labels_is_reported_with_what_makes_it_the_class(
    tmp_path: Path, labels: tuple[str, str]
) -> None:
    body = [f"v{n % 2},{labels[n % 2]},{n},{row}" for n, row in enumerate(lines(ONE))]
    clip = "\n".join([f"video,Label,frame,{header()}", *body])
    first, _ = many(tmp_path, clip, csv={"clip": "video"}).values()
    (row,) = first.findings
    assert row.problem == "column of labels not used"
    keys = re.fullmatch(r"column Label says .*; `(csv: .*)` and `(pattern: .*)` make it .*", row.detail)
    assert keys is not None
    made = many(tmp_path, clip, **yaml.safe_load(keys[1]), **yaml.safe_load(keys[2]))
    assert [(id, clip.label, clip.findings) for id, clip in made.items()] == [
        (f"v{n}", sorted(labels).index(labels[n]), ()) for n in range(2)
    ]


def test_a_column_of_labels_that_changes_in_a_clip_is_no_class(tmp_path: Path) -> None:
    body = [f"v,{'ab'[n // 6]},{row}" for n, row in enumerate(lines(ONE))]
    (clip,) = many(tmp_path, "\n".join([f"video,class,{header()}", *body]), csv={"clip": "video"}).values()
    (row,) = clip.findings
    assert row.detail.startswith("column class says a, b; a clip has one label: cut it by a table")


def test_a_column_of_clips_that_is_not_there(tmp_path: Path) -> None:
    settings = {"name": "mine", "convention": "stick.yaml", "csv": {"clip": "video"}}
    (tmp_path / "stick.yaml").write_text(yaml.safe_dump(STICK))
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "a.csv").write_text(f"video,{header()}\n" + "\n".join(f"v,{row}" for row in lines(ONE)))
    (tmp_path / "b.csv").write_text(text(ONE))
    (tmp_path / "c.csv").write_text(f"video,{header()}\n" + "\n".join(f",{row}" for row in lines(ONE)))
    listing = custom.discover(tmp_path)
    assert [item.id for item in listing.items] == ["v"]
    details = [finding.detail for finding in listing.findings]
    assert details == ["csv.clip: no column video; it has 15 columns, no header", "line 2: no name of a clip"]


# ---- refusals ---------------------------------------------------------------------------------------------

WORD = f"{header()}\n" + text(ONE).replace(lines(ONE)[3].split(",")[4], "oops", 1)
TWO_COLUMNS = "\n".join(f"{n},{n},{row}" for n, row in enumerate(lines(ONE)))
BEHIND = "\n".join(f"{row},{n}" for n, row in enumerate(lines(ONE)))
SKIP, WHITESPACE = "`csv: {skip_columns: 1}`", "`csv: {delimiter: whitespace}`"
FIRST = f"is the first column a frame number? {SKIP}"

CAUSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "frame": (with_frames(ONE), {}, f"16 = 15 + 1: {FIRST}"),
    "frame and time": (TWO_COLUMNS, {}, "17 = 15 + 2: are the first 2 columns frame, time or labels?"),
    "behind": (BEHIND, {}, "16 = 15 + 1: is the last column frame or time? `csv: {skip_last: 1}`"),
    "scores": (text(scored()), {}, "20 = 5 x 4: is there a score? `coordinates: xyzs`"),
    "scores and frame": (with_frames(scored()), {}, f"21 = 20 + 1: {FIRST} and `coordinates: xyzs`"),
    "bodies": (text(TWO), {}, "Is it another layout? `layout: T MVC`"),
    "bodies and frame": (with_frames(TWO), {"layout": "T MVC"}, f"31 = 30 + 1: {FIRST}"),
    "joints": (text(ONE.reshape(-1, 3)), {}, "Is it another layout? `layout: TV C`"),
    "joints with scores": (text(scored().reshape(-1, 4)), {}, "`layout: TV C` and `coordinates: xyzs`"),
    "2D": (text(ONE[..., :2]), {}, "10 = 5 x 2: are poses 2D? `coordinates: xy`"),
    "convention": (
        text(np.ones((4, 60))),
        {},
        "60 = 20 x 3: is it another convention, of 20 joints? kin",
    ),
    "short": (text(ONE.reshape(12, 15)[:, 1:]), {}, "14 = 15 - 1: as if a column were missing"),
    "blanks": (
        text(ONE, "  "),
        {"csv": {"delimiter": " "}},
        f"14 of 29 fields are empty: two delimiters in a row? {WHITESPACE}",
    ),
    "delimiter": (text(ONE, " "), {"csv": {"delimiter": ","}}, f"they are numbers with {WHITESPACE}"),
    "long": ("frame,joint,x,y,z\n0,hip,1,2,3", {}, "is a row a joint? `csv: {form: long}`"),
    "ragged": (text(ONE)[:-30], {}, "line 12: expected numbers, found"),
    "first": (text(ONE)[32:], {}, "the first has 11; most have 15"),
    "word": (WORD, {}, "line 5: expected numbers, found 'oops' in column 5 (left_hand.y)"),
    "binary": ("1,2\0", {"files": "*.txt"}, "is no text: it has zero bytes"),
    "brackets": (
        'frame,hip,left_hand\n0,"(1.50, -2, 3)","(4, 5, 6)"\n1,"(1.25, 2, 3)","(4, 5, 6)"',
        {"files": "*.txt"},
        "its fields hold several numbers, such as '(1.25, 2, 3)'. Write each into a column of its own",
    ),
    "remarks": ("# 1 2 3", {"files": "*.txt"}, "holds nothing but remarks"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_refusal_names_the_likely_cause(tmp_path: Path, cause: str) -> None:
    clip, changes, message = CAUSES[cause]
    with pytest.raises(RawDataError, match=re.escape(message)):
        read(tmp_path, clip, **changes)


def test_an_array_with_scores_says_so(tmp_path: Path) -> None:
    settings = {"name": "mine", "convention": "kinectv2_25", "layout": "T V C"}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(settings))
    np.save(tmp_path / "clip.npy", np.ones((12, 25, 4)))
    (item,) = custom.discover(tmp_path).items
    with pytest.raises(RawDataError, match=r"C has 4: is there a score\? `coordinates: xyzs`"):
        custom.read(item)


def test_where_nothing_could_be_read_each_problem_shows_its_reason(tmp_path: Path) -> None:
    (tmp_path / "stick.yaml").write_text(yaml.safe_dump(STICK))
    settings = {"name": "mine", "convention": "stick.yaml", "pattern": r"(?P<label>[a-z]+)_s(?P<subject>\d)"}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(settings))
    for n in range(3):
        (tmp_path / f"walk_s{n}.csv").write_text(with_frames(ONE[: 5 + n]))
    (tmp_path / "walk_s9.csv").write_text("1,2\n3\n")
    (tmp_path / "again.csv").write_text(text(ONE))
    with pytest.raises(SkelError) as caught:
        convert("custom", raw=tmp_path, out=tmp_path / "s", recipe="raw")
    message = str(caught.value)
    assert re.search(
        r"4 x unreadable file, e\.g\. walk_s0\.csv: .*16 = 15 \+ 1: is the first column", message
    )
    assert re.search(r"1 x [^;]*, e\.g\. again\.csv", message)


def test_msr_action3d_as_it_is_handed_out(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "msr_action3d.yaml"
    (tmp_path / "dataset.yaml").write_bytes(example.read_bytes())
    array = np.random.default_rng(0).normal(size=(6, 20, 4)).round(6)
    array[..., 3] = 1
    array[:, [2, 3, 6], 3] = 0
    array[:2] = 0
    for name in ("a01_s01_e01", "a20_s02_e03"):
        rows = "\n".join(" ".join(f"{v:f}" for v in row) for row in array.reshape(-1, 4))
        (tmp_path / f"{name}_skeleton3D.txt").write_text(rows + "\n")
    first, second = (custom.read(item) for item in custom.discover(tmp_path).items)
    assert (first.label, first.subject, second.label, second.repetition) == (0, 1, 19, 3)
    assert first.present[:, 0].tolist() == [False] * 2 + [True] * 4
    assert first.unseen is None
    np.testing.assert_array_equal(first.joints[2:, 0], array[2:, :, :3].astype(np.float32))


def test_a_large_text_takes_seconds(tmp_path: Path) -> None:
    """100,000 rows; process time, so that other work on the machine does not count."""
    row = " ".join(["0.12345 1.23456 2.34567"] * 5)
    clip = "\n".join(["time " + header(joints=MOVED, between=" ")] + [f"{n} {row}" for n in range(100_000)])
    start = time.process_time()
    assert len(read(tmp_path, clip).joints) == 100_000
    assert time.process_time() - start < 10


# ---- damaged text -----------------------------------------------------------------------------------------

SOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "blanks": (text(ONE, "  "), {}),
    "semicolons": (f"{header(joints=MOVED, between=';')}\n{text(ONE, ';').replace('.', ',')}", {}),
    "named": (f"time,{header(joints=MOVED)}\n{with_frames(ONE)}", {}),
    "quoted": (WAYS["quotes"], {}),  # type: ignore[dict-item]
    "titles": (suite_of_rows(), {}),
    "two bodies": (with_frames(TWO), {"layout": "T MVC", "csv": {"skip_columns": 1}}),
    "joints": (text(scored().reshape(-1, 4), " "), {"layout": "TV C", "coordinates": "xyzs"}),
    "dump": (dump(ONE[:, 0], [5] * 4 + [0] + [5] * 7), {"layout": "TV C"}),
    "people": (
        "\n".join(
            [f"frame,person,{header()}", *(f"{n // 2},{n % 2},{row}" for n, row in enumerate(lines(ONE)))]
        ),
        {"bodies": 2},
    ),
    "numbered": (with_frames(ONE), {"csv": {"columns": {"frame": 1}}}),
    "many": ("\n".join(f"{n // 6},{row}" for n, row in enumerate(lines(ONE))), {"csv": {"clip": 1}}),
    "long": (
        "\n".join(["frame,joint,x,y,z", *(f"{n // 5},{JOINTS[n % 5]},1,2,{n}" for n in range(60))]),
        {"layout": None, "csv": {"form": "long"}},
    ),
}


def damaged(folder: Path, kind: str, count: int) -> None:
    """Read ``count`` mutants: each is a clip or an error of ours on one line."""
    clip, changes = SOUND[kind]
    rng = np.random.default_rng(len(kind))
    for _ in range(count):
        try:
            found = read(folder, fuzzing.mutate(clip.encode(), rng), **changes, files="*.txt")
        except SkelError as error:
            told = str(error)
        else:
            told = "" if np.isfinite(found.joints).all() else "\n"
        assert "\n" not in told


@pytest.mark.parametrize("kind", SOUND)
def test_damaged_text_is_refused_or_read(tmp_path: Path, kind: str) -> None:
    damaged(tmp_path, kind, 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOUND)
def test_much_damaged_text_is_refused_or_read(tmp_path: Path, kind: str) -> None:
    damaged(tmp_path, kind, 2000)
