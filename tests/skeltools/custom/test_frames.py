"""Tables with a row per frame and person: frame numbers, people, and segments in the file's own numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from schemas import ConfigError, RawDataError
from skeltools import custom
from skeltools.sequence import SkeletonSequence
from tests.skeltools.custom.test_text import JOINTS, ONE, STICK, TWO, exact, header, lines, read, scored

ROWS = lines(ONE)
NAMED = header()


def table(numbers: Any, rows: list[str] = ROWS, *, first: str = "frame", named: str = NAMED) -> str:
    body = [f"{number},{row}" for number, row in zip(numbers, rows, strict=True)]
    return "\n".join([f"{first},{named}", *body])


def problems(clip: SkeletonSequence) -> list[str]:
    return [finding.problem for finding in clip.findings]


def of_people(ids: tuple[Any, Any], *, first: str = "frame,person") -> str:
    """Two people; the second is seen in frames 4 to 7 only."""
    rows = [
        f"{t},{id},{row}"
        for t in range(12)
        for m, id in enumerate(ids)
        if not m or 4 <= t < 8
        for row in lines(TWO[t : t + 1, m])
    ]
    return "\n".join([f"{first},{NAMED}", *rows])


def two(clip: SkeletonSequence) -> None:
    assert clip.present.sum(axis=0).tolist() == [12, 4]
    np.testing.assert_array_equal(clip.joints[:, 0], TWO[:, 0].astype(np.float32))
    np.testing.assert_array_equal(clip.joints[4:8, 1], TWO[4:8, 1].astype(np.float32))


# ---- people -----------------------------------------------------------------------------------------------

PEOPLE = {
    "person": {},
    "trackingId": {},
    "bodyindexID": {},
    "track": {},
    "body_id": {},
    "id": {"csv": {"columns": {"body": "id"}}},
    "who": {"csv": {"columns": {"body": 2}}},
}


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("ids", [(0, 1), ("track_7", "track_0"), (72057594037930000, 72057594037930001)])
def test_rows_of_several_people_are_bodies(tmp_path: Path, name: str, ids: tuple[Any, Any]) -> None:
    clip = read(tmp_path, of_people(ids, first=f"frame_idx,{name}"), bodies=2, **PEOPLE[name])
    two(clip)
    assert clip.findings == ()


@pytest.mark.parametrize("layout", ["T VC", "TM VC", None])
def test_the_column_of_people_counts_in_every_layout_of_rows(tmp_path: Path, layout: str | None) -> None:
    two(read(tmp_path, of_people((3, 5)), layout=layout, bodies=2))
    by_track = sorted(of_people((3, 5)).splitlines()[1:], key=lambda row: int(row.split(",")[1]))
    clip = read(tmp_path, "\n".join([f"frame,person,{NAMED}", *by_track]), layout=layout, bodies=2)
    two(clip)
    assert clip.findings == ()


def test_people_without_a_header(tmp_path: Path) -> None:
    text = of_people((3, 5)).split("\n", 1)[1]
    two(read(tmp_path, text, bodies=2, csv={"columns": {"frame": 1, "body": 2}}))


def test_people_who_follow_each_other_are_no_single_body(tmp_path: Path) -> None:
    rows = [f"{n},{7 + n // 6},{row}" for n, row in enumerate(ROWS)]
    clip = read(tmp_path, "\n".join([f"frame,person,{NAMED}", *rows]), bodies=2)
    assert clip.present.T.tolist() == [[True] * 6 + [False] * 6, [False] * 6 + [True] * 6]


def test_more_people_than_bodies_of_a_clip_are_read_as_tracks(tmp_path: Path) -> None:
    rows = [f"{n},{n},{ROWS[n % 12]}" for n in range(40)]
    clip = read(tmp_path, "\n".join([f"frame,track,{NAMED}", *rows]))
    assert clip.joints.shape[:2] == (40, 32)
    crowd = "\n".join([f"frame,track,{NAMED}", *(f"0,{n},{ROWS[n % 12]}" for n in range(40))])
    with pytest.raises(RawDataError, match="40 people in a frame, 1 frames: is the column of people right"):
        read(tmp_path, crowd)


def test_a_column_of_people_that_says_nothing_changes_nothing(tmp_path: Path) -> None:
    for first in ("person", "skeleton", "time,person"):
        rows = [f"{'0.1,' * first.count(',')}P01,{row}" for row in ROWS]
        exact(read(tmp_path, "\n".join([f"{first},{NAMED}", *rows])), ONE)


def test_joints_of_the_same_name_are_no_people(tmp_path: Path) -> None:
    named = ",".join(f"{joint},," for joint in JOINTS)
    clip = read(
        tmp_path,
        table(range(12), named=f"{named},body,,", rows=[f"{row},1,2,{n}" for n, row in enumerate(ROWS)]),
    )
    exact(clip, ONE)


def test_two_rows_of_a_frame_without_a_person(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=r"frame 0 in lines 2 and 3 has different poses") as caught:
        read(tmp_path, table([0, *range(11)]))
    assert "`csv: {columns: {body: NAME}}`" in str(caught.value)
    with pytest.raises(RawDataError, match=r"`csv: \{columns: \{body: id\}\}` names their column"):
        read(tmp_path, of_people((3, 5), first="frame,id"))
    clip = read(tmp_path, table([0, *range(11)]), bodies=1)
    np.testing.assert_array_equal(clip.joints, np.delete(ONE, 1, axis=0).astype(np.float32))
    assert problems(clip) == ["frame twice"]
    exact(read(tmp_path, table([0, *range(11)]), csv={"columns": {"frame": None}}), ONE)


def test_equal_rows_of_a_frame_are_one(tmp_path: Path) -> None:
    clip = read(tmp_path, table([0, *range(12)], [ROWS[0], *ROWS]))
    exact(clip, ONE)
    (row,) = clip.findings
    assert (row.problem, row.detail) == ("frame twice", "1 rows, e.g. frame 0 in lines 2 and 3: equal rows")


def test_people_without_frame_numbers_are_refused(tmp_path: Path) -> None:
    text = of_people((3, 5), first="Time,person")
    with pytest.raises(RawDataError, match=r"has rows of 2 people, but no frame numbers"):
        read(tmp_path, text)
    two(read(tmp_path, text, bodies=2, csv={"columns": {"frame": "Time"}}))
    assert len(read(tmp_path, text, csv={"columns": {"body": None}}).joints) == 16


def test_a_frame_of_a_layout_has_as_many_rows_as_bodies(tmp_path: Path) -> None:
    rows = lines(TWO.reshape(24, 5, 3))
    told = {"layout": "TM VC", "bodies": 2}
    exact(read(tmp_path, table(np.arange(24) // 2, rows), **told), TWO)
    with pytest.raises(RawDataError, match=r"rows of frame 0 are not 2, as layout 'TM VC' says"):
        read(tmp_path, table(range(24), rows), **told)


def test_a_guess_adds_to_the_columns_that_are_skipped_already(tmp_path: Path) -> None:
    text = "\n".join(f"{n},7,{row}" for n, row in enumerate(ROWS))
    with pytest.raises(RawDataError, match=r"`csv: \{skip_columns: 2\}`"):
        read(tmp_path, text, csv={"skip_columns": 1})


# ---- frame numbers ----------------------------------------------------------------------------------------

DENSE = {
    "from 0": range(12),
    "from 1": range(1, 13),
    "from 252 by 2": range(252, 276, 2),
    "as decimals": [f"{n}.0" for n in range(12)],
}


@pytest.mark.parametrize("numbers", DENSE)
def test_frame_numbers_with_a_constant_step_are_dense(tmp_path: Path, numbers: str) -> None:
    clip = read(tmp_path, table(DENSE[numbers]))
    exact(clip, ONE)
    assert clip.findings == ()


@pytest.mark.parametrize("by", ["name", "number"])
def test_missing_frames_stay_empty(tmp_path: Path, by: str) -> None:
    text = table([*range(5), *range(10, 17)])
    text, told = (text, {}) if by == "name" else (text.split("\n", 1)[1], {"columns": {"frame": 1}})
    clip = read(tmp_path, text, csv=told)
    assert np.flatnonzero(~clip.present[:, 0]).tolist() == [5, 6, 7, 8, 9]
    np.testing.assert_array_equal(clip.joints[10:], ONE[5:].astype(np.float32))
    (row,) = clip.findings
    assert (row.problem, row.detail) == ("frames without a row", "5 of 17, most of them between 4 and 10")


def test_rows_out_of_order_are_sorted(tmp_path: Path) -> None:
    order = [*range(0, 12, 2), *range(1, 12, 2)]
    clip = read(tmp_path, table(order, [ROWS[n] for n in order]))
    exact(clip, ONE)
    (row,) = clip.findings
    assert (row.problem, row.place, row.detail) == ("rows out of order", "line 8", "frame 1 follows frame 10")


@pytest.mark.parametrize("far", [10_000_000, 2**52])
def test_a_number_far_off_takes_no_memory(tmp_path: Path, far: int) -> None:
    clip = read(tmp_path, table([*range(11), far]))
    exact(clip, ONE)
    assert problems(clip) == ["frame numbers far apart"]


@pytest.mark.parametrize("number", ["", "a_007.png", "0.5", "1e300", "inf"])
def test_what_is_no_frame_number_is_not_used(tmp_path: Path, number: str) -> None:
    clip = read(tmp_path, table([*range(7), number, *range(20, 24)]))
    exact(clip, ONE)
    (row,) = clip.findings
    assert (row.problem, row.place) == ("frame numbers not used", "line 9")


@pytest.mark.parametrize("number", ["", "a_007.png", "inf"])
def test_a_column_of_frames_that_is_set_holds_numbers(tmp_path: Path, number: str) -> None:
    text = table([*range(7), number, *range(20, 24)])
    with pytest.raises(RawDataError, match=r"line 9: '.*' is no frame number"):
        read(tmp_path, text, csv={"columns": {"frame": "frame"}})


def test_times_are_no_frame_numbers(tmp_path: Path) -> None:
    times = [0, 33, 67, 100, 400, 433, 467, 500, 533, 567, 600, 633]
    for name in ("time", "timestamp", "Time (ms)"):
        clip = read(tmp_path, table(times, first=name))
        exact(clip, ONE)
        assert clip.findings == ()


# ---- segments in the file's own numbers -------------------------------------------------------------------

OWN = [100, 102, 104, 104, 106, 108, 112, 114, 116, 118, 120, 122]
"""As UTKinect-Action3D has them: every other number, one twice, one lacking."""
UTK = {
    "labels": "labels.csv",
    "csv": {"columns": {"frame": 1}},
    "segments": {"unit": "frame_numbers", "end": "inclusive"},
    "bodies": 1,
}
SEGMENTS = "file,start,end,label\nclip.txt,100,106,walk\nclip.txt,112,200,sit\nclip.txt,110,111,wave\n"


def cut(folder: Path, rows: str = SEGMENTS, **changes: Any) -> dict[str, Any]:
    (folder / "stick.yaml").write_text(yaml.safe_dump(STICK))
    told = {"name": "mine", "convention": "stick.yaml", "layout": "T VC"} | UTK | changes
    (folder / "dataset.yaml").write_text(yaml.safe_dump(told))
    (folder / "clip.txt").write_text("\n".join(f"{n} {r}" for n, r in zip(OWN, lines(ONE, " "), strict=True)))
    (folder / "labels.csv").write_text(rows)
    return {item.id: item for item in custom.discover(folder).items}


def test_segments_in_the_frame_numbers_of_the_file(tmp_path: Path) -> None:
    items = cut(tmp_path)
    walk = custom.read(items["clip_001"])
    np.testing.assert_array_equal(walk.joints, ONE[[0, 1, 2, 4]].astype(np.float32))
    sit = custom.read(items["clip_002"])
    np.testing.assert_array_equal(sit.joints, ONE[6:].astype(np.float32))
    assert set(problems(walk)) == {"frame twice", "frames without a row"}
    assert "ends after the recording" in problems(sit)
    with pytest.raises(RawDataError, match="no body in any frame"):
        custom.read(items["clip_003"])
    far = cut(tmp_path, "file,start,end,label\nclip.txt,0,50,walk\n")
    with pytest.raises(RawDataError, match="are not there: the file's are numbered 100 to 122"):
        custom.read(far["clip_001"])


def test_rows_that_are_counted_though_they_are_numbered_are_reported(tmp_path: Path) -> None:
    rows = "file,start,end,label\nclip.txt,0,4,walk\nclip.txt,100,106,walk\n"
    items = cut(tmp_path, rows, csv={"skip_columns": 1}, segments={})
    clip = custom.read(items["clip_001"])
    np.testing.assert_array_equal(clip.joints, ONE[:4].astype(np.float32))
    (row,) = clip.findings
    assert row.problem == "frames counted, not numbered"
    keys = "`segments: {unit: frame_numbers}` and `csv: {columns: {frame: 1}}`"
    assert keys in row.detail
    with pytest.raises(RawDataError, match=r"begins at frame 100 .* has 12 frames") as caught:
        custom.read(items["clip_002"])
    assert keys in str(caught.value)


def test_rows_numbered_as_they_are_counted_are_not_reported(tmp_path: Path) -> None:
    cut(tmp_path, "file,start,end,label\nclip.txt,0,4,walk\n", csv={"skip_columns": 1}, segments={})
    for first in (0, 1):
        body = (f"{n + first} {row}" for n, row in enumerate(lines(ONE, " ")))
        (tmp_path / "clip.txt").write_text("\n".join(body))
        (item,) = custom.discover(tmp_path).items
        assert custom.read(item).findings == ()


def test_frame_numbers_of_files_that_have_none(tmp_path: Path) -> None:
    items = cut(tmp_path, csv={"skip_columns": 1})
    with pytest.raises(RawDataError, match=r"frame_numbers, but no column") as caught:
        custom.read(items["clip_001"])
    assert "`csv: {columns: {frame: 1}}` names it" in str(caught.value)
    (tmp_path / "clip.txt").unlink()
    np.save(tmp_path / "clip.npy", ONE.reshape(12, 15))
    (tmp_path / "labels.csv").write_text("id,start,end,label\nclip,0,4,walk\n")
    (item,) = custom.discover(tmp_path).items
    with pytest.raises(RawDataError, match=r"frame_numbers, but no column"):
        custom.read(item)


@pytest.mark.parametrize("keys", [{"windows": {"length": 4}}, {"uncut": True}])
def test_what_counts_frames_cannot_be_in_frame_numbers(tmp_path: Path, keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="segments cannot be in frame_numbers with them"):
        cut(tmp_path, **keys)
    with pytest.raises(ConfigError, match="first is about frames that are counted"):
        cut(tmp_path, segments={"unit": "frame_numbers", "first": 1})


# ---- the long form ----------------------------------------------------------------------------------------


def long(extra: list[str], joints: list[str] = JOINTS) -> str:
    body = [
        f"{t},{joint},{row}" for t in range(12) for joint, row in zip(joints, lines(ONE[t, 0]), strict=True)
    ]
    return "\n".join(["frame,joint,x,y,z", *body, *extra])


def test_other_joints_of_the_long_form_are_ignored(tmp_path: Path) -> None:
    told: dict[str, Any] = {"layout": None, "csv": {"form": "long"}}
    clip = read(tmp_path, long([f"{t},tail,1,2,3" for t in range(12)]), **told)
    exact(clip, ONE)
    (row,) = clip.findings
    assert row.problem == "rows of other joints"
    assert row.detail == "1 names, e.g. tail, in 12 rows; not of stick_5"
    with pytest.raises(RawDataError, match=r"no row is of hip; it also names tail\. Called otherwise\?"):
        read(tmp_path, long([], joints=["tail", *JOINTS[1:]]), **told)
    with pytest.raises(RawDataError, match=r"line 62: joint '5' is none of stick_5"):
        read(tmp_path, long(["0,5,1,2,3"]), **told)


# ---- visibility -------------------------------------------------------------------------------------------


def test_visibility_is_a_score(tmp_path: Path) -> None:
    for form in ("{a}{j}", "{j}_{a}"):
        names = [str(v + 1) for v in range(5)] if form == "{a}{j}" else JOINTS
        array = scored()
        array[3, 0, 1, 3] = 0
        named = header(form, names, "xyzv")
        clip = read(tmp_path, "\n".join([named, *lines(array)]), coordinates="xyzs")
        assert clip.unseen is not None
        assert np.argwhere(clip.unseen).tolist() == [[3, 0, 1]]


# ---- tables that are not what they seem --------------------------------------------------------------------


def test_people_of_whom_some_are_not_known_are_linked_by_position(tmp_path: Path) -> None:
    still = np.arange(15).reshape(5, 3) / 10
    rows = [f"{t},{who},{lines(still[None] + m)[0]}" for t in range(8) for m, who in enumerate(("", "b"))]
    clip = read(tmp_path, "\n".join([f"frame,person,{NAMED}", *rows]), bodies=2)
    np.testing.assert_allclose(clip.joints, np.stack([still + 1, still])[None].repeat(8, axis=0), atol=1e-6)
    alone = [f"{n},{'' if n % 2 else 7},{row}" for n, row in enumerate(ROWS)]
    clip = read(tmp_path, "\n".join([f"frame,person,{NAMED}", *alone]), bodies=2)
    assert clip.present.shape == (12, 1)
    np.testing.assert_array_equal(clip.joints[:, 0], ONE.reshape(12, -1, 3).astype(np.float32))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"frame": 1, "body": 2}, r"`csv.columns` places rows of whole poses, layout 'TV C' has others"),
        ({}, r"has rows of 2 people, layout 'TV C' is of one: write `csv: \{form: long\}`"),
    ],
)
def test_rows_of_joints_are_not_placed(tmp_path: Path, columns: dict[str, int], message: str) -> None:
    joints = [
        f"{t},{who},{x},{y},{z}"
        for t in range(4)
        for who in "ab"
        for x, y, z in np.arange(len(JOINTS) * 3).reshape(-1, 3)
    ]
    with pytest.raises(RawDataError, match=message):
        read(
            tmp_path,
            "\n".join(["frame,person,x,y,z", *joints]),
            layout="TV C",
            csv={"form": "wide", "columns": columns},
        )


def test_one_column_is_not_both(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match="names one column as frame and as body"):
        read(tmp_path, table(range(12)), csv={"columns": {"frame": 1, "body": "frame"}})


def test_nanoseconds_since_1970_give_the_order(tmp_path: Path) -> None:
    times = [1_700_000_000_000_000_000 + 7 * n for n in range(12)]  # float64 has steps of 256 there
    rows = [f"{time},{who},{row}" for time, row in zip(times, ROWS, strict=True) for who in "ab"]
    text = "\n".join([f"stamp,person,{NAMED}", *reversed(rows)])
    clip = read(tmp_path, text, bodies=2, csv={"columns": {"frame": "stamp"}})
    assert clip.present.all()
    for body in (0, 1):
        np.testing.assert_array_equal(clip.joints[:, body], ONE.reshape(12, -1, 3).astype(np.float32))


def test_a_short_row_of_joints_is_a_sentence(tmp_path: Path) -> None:
    rows = [f"{t},a,{joint},0,0" for t in range(4) for joint in range(len(JOINTS))]
    text = "\n".join(["x,y,z,frame,person", *rows[:-1], "1,2"])
    with pytest.raises(RawDataError):
        read(tmp_path, text, layout="TV C", csv={"form": "wide"})


def test_why_frame_numbers_were_not_used_is_said_where_they_are_needed(tmp_path: Path) -> None:
    text = of_people((3, 5)).replace("\n7,3,", "\n,3,", 1)
    with pytest.raises(RawDataError, match=r"no frame numbers \(line \d+: '' is no frame number\)"):
        read(tmp_path, text, bodies=2)


def test_a_wide_table_of_frames_twice_is_refused_soon(tmp_path: Path) -> None:
    more = ",".join(["0.5"] * 400)
    rows = [f"{n // 2},{row},{more}" for n, row in enumerate(ROWS * 100)]
    text = "\n".join([f"frame,{NAMED},{','.join(f'o{n}' for n in range(400))}", *rows])
    started = time.process_time()
    with pytest.raises(RawDataError, match="has different poses"):
        read(tmp_path, text)
    assert time.process_time() - started < 2
