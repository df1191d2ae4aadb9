from __future__ import annotations

import contextlib
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import RawDataError
from skeltools.conversion import convert
from skeltools.datasets import ntu, ntu_text
from skeltools.raw_items import RawItem
from skeltools.sequence import SkeletonSequence
from tests.skeltools.raw_files import FIRST_ID, SAMPLE, poses, read_ntu_literally, write_ntu
from tests.skeltools.raw_files import ntu_text as text_of


def read(path: Path) -> SkeletonSequence:
    (item,) = ntu.discover(path.parent).items
    return ntu.read(item)


def read_text(folder: Path, text: str | bytes) -> SkeletonSequence:
    path = folder / f"{SAMPLE}.skeleton"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path)


def assert_same(a: SkeletonSequence, b: SkeletonSequence) -> None:
    assert a.body_ids == b.body_ids
    for name in ("joints", "present", "order"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


# --- what is read -------------------------------------------------------------------------------------------


def test_round_trip_is_exact(tmp_path: Path) -> None:
    joints = poses(9, 2)
    present = np.ones((9, 2), bool)
    present[2, 0] = present[4, 1] = present[6] = False
    clip = read(write_ntu(tmp_path / f"{SAMPLE}.skeleton", joints, present=present))
    assert (clip.id, clip.convention) == (SAMPLE, "kinectv2_25")
    assert (clip.setup, clip.camera, clip.subject, clip.repetition, clip.label) == (1, 2, 3, 1, 49)
    assert clip.body_ids == (FIRST_ID, FIRST_ID + 1)
    np.testing.assert_array_equal(clip.present, present)
    np.testing.assert_array_equal(clip.joints, np.where(present[..., None, None], joints, 0))
    np.testing.assert_array_equal(
        clip.order, [[0, 1]] * 2 + [[-1, 0], [0, 1], [0, -1], [0, 1], [-1, -1]] + [[0, 1]] * 2
    )
    assert clip.findings == ()


def test_equals_the_literal_reader_on_awkward_numbers(tmp_path: Path) -> None:
    spellings = [
        "0.2181153",
        "-0.03",
        "1.2e-05",
        "-3E2",
        "4",
        "-0",
        ".5",
        "5.",
        "+0.25",
        "0.1234567890123456789",
        "00.1",
    ]
    text = text_of(poses(3, 2))
    lines = text.split("\n")
    for number, spelling in enumerate(spellings):
        fields = lines[4 + number].split()
        lines[4 + number] = " ".join([*fields[: number % 3], spelling, *fields[number % 3 + 1 :]])
    text = "\n".join(lines)
    clip = read_text(tmp_path, text)
    for frame, bodies in enumerate(read_ntu_literally(text)):
        for place, body in enumerate(bodies):
            slot = clip.body_ids.index(body["bodyID"])
            expected = np.array([[joint[axis] for axis in "xyz"] for joint in body["joints"]], np.float32)
            np.testing.assert_array_equal(clip.joints[frame, slot], expected)
            assert clip.order[frame, slot] == place


def test_a_body_keeps_its_slot_when_bodies_change_places(tmp_path: Path) -> None:
    joints = poses(2, 2)
    swapped = joints[1:, ::-1]
    one = text_of(joints[:1], ids=[7, 8]).split("\n", 1)[1]
    two = text_of(swapped, ids=[8, 7]).split("\n", 1)[1]
    clip = read_text(tmp_path, f"2\n{one}{two}")
    np.testing.assert_array_equal(clip.joints, joints)
    np.testing.assert_array_equal(clip.order, [[0, 1], [1, 0]])


def test_ids_of_17_digits_do_not_merge(tmp_path: Path) -> None:
    ids = [72057594037931101, 72057594037931102]
    assert float(ids[0]) == float(ids[1])
    assert read(write_ntu(tmp_path / f"{SAMPLE}.skeleton", poses(2, 2), ids=ids)).body_ids == tuple(ids)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", " \n"),
        lambda text: text.replace(" ", "  "),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.rstrip("\n"),
        lambda text: f"{text}\n \r\n\n",
    ],
    ids=["crlf", "trailing blanks", "double blanks", "tabs", "no last newline", "blank lines behind"],
)
def test_white_space_makes_no_difference(tmp_path: Path, change) -> None:
    text = text_of(poses(3, 2))
    expected = read_text(tmp_path, text)
    found = read_text(tmp_path, change(text))
    assert_same(found, expected)
    assert found.findings == ()


def test_all_zero_bodies_are_absent_but_count_in_the_order(tmp_path: Path) -> None:
    joints = poses(3, 2)
    joints[1, 0] = 0
    clip = read(write_ntu(tmp_path / f"{SAMPLE}.skeleton", joints))
    np.testing.assert_array_equal(clip.present[:, 0], [True, False, True])
    np.testing.assert_array_equal(clip.order[1], [-1, 1])
    assert clip.findings == ()


@pytest.mark.parametrize("spelling", ["nan", "NaN", "-1.#IND", "1.#QNAN", "inf", "-1.#INF", "1e400", "1e39"])
def test_what_is_no_finite_number_is_absent_and_found(tmp_path: Path, spelling: str) -> None:
    lines = text_of(poses(3)).split("\n")
    at = 1 + 28 + 3 + 5  # frame 2, joint 6
    lines[at] = " ".join([spelling, *lines[at].split()[1:]])
    clip = read_text(tmp_path, "\n".join(lines))
    np.testing.assert_array_equal(clip.present[:, 0], [True, False, True])
    assert not clip.joints[1].any()
    (found,) = clip.findings
    assert (found.problem, found.place, found.detail) == ("not a number", "frame 2", "1 poses")
    assert found.file == f"{SAMPLE}.skeleton"


def test_a_body_id_twice_in_a_frame_keeps_the_first(tmp_path: Path) -> None:
    joints = poses(3, 2)
    clip = read(write_ntu(tmp_path / f"{SAMPLE}.skeleton", joints, ids=[5, 5]))
    np.testing.assert_array_equal(clip.joints, joints[:, :1])
    (found,) = clip.findings
    assert (found.problem, found.place, found.detail) == ("body id twice in a frame", "frame 1", "3 times")


def test_data_after_the_last_frame_are_ignored_and_found(tmp_path: Path) -> None:
    text = text_of(poses(3))
    clip = read_text(tmp_path, text.replace("3", "2", 1))
    assert clip.frames == 2
    assert [(f.problem, f.place) for f in clip.findings] == [("data after the last frame", "line 58")]


# --- what cannot be read ------------------------------------------------------------------------------------

GOOD = text_of(poses(4))
LINES = GOOD.split("\n")


def without(number: int) -> str:
    return "\n".join(LINES[: number - 1] + LINES[number:])


def with_line(number: int, line: str) -> str:
    return "\n".join([*LINES[: number - 1], line, *LINES[number:]])


BAD = {
    "empty": ("", "empty"),
    "blank": (" \n\n", "empty"),
    "binary": (bytes(range(256)) * 40, "line 1: expected the number of frames, found binary data"),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(2000), "line 1: expected the number of frames, found binary data"),
    "prose": ("hello\nworld\n", "line 1: expected the number of frames, found 'hello'"),
    "huge": (with_line(1, "1000000000"), "promises 1000000000 frames"),
    "astronomical": (with_line(1, "9" * 400), "line 1: expected the number of frames"),
    "negative frames": (with_line(1, "-4"), "line 1: expected the number of frames, found '-4'"),
    "negative bodies": (with_line(2, "-1"), "line 2: expected the number of bodies of frame 1 of 4, found"),
    "too many bodies": (with_line(2, "1000000000"), "line 30: expected the 10 fields of a body of frame 1"),
    "no frames": ("0\n", "no body in any frame (0 frames)"),
    "no bodies": ("3\n0\n0\n0\n", "no body in any frame (3 frames)"),
    "only zeros": (text_of(np.zeros((2, 1, 25, 3))), "no body in any frame (2 frames)"),
    "joint count": (with_line(4, "20"), "line 4: expected the number of joints, 25, of frame 1 of 4, found"),
    "body fields": (with_line(3, "5 0 0"), "line 3: expected the 10 fields of a body of frame 1"),
    "body id": (with_line(3, LINES[2].replace("7", "x", 1)), "line 3: expected the 10 fields of a body"),
    "float id": (with_line(3, LINES[2].replace("7", "7.", 1)), "line 3: expected the 10 fields of a body"),
    "large id": (with_line(3, "9" * 20 + LINES[2][17:]), "line 3: expected the 10 fields of a body"),
    "joint fields": (with_line(7, "1 2 3"), "line 7: expected the 12 fields of a joint of frame 1 of 4"),
    "joint text": (with_line(8, LINES[7].replace(".", "o", 1)), "line 8: expected the 12 fields of a joint"),
    "underscore": (with_line(8, "1_0" + LINES[7][1:]), "line 8: expected the 12 fields of a joint"),
    "line lost": (without(40), "line 57: expected the 12 fields of a joint of frame 2"),
    "blank line": (with_line(9, ""), "line 9: expected the 12 fields of a joint of frame 1 of 4, found an"),
    "truncated": (GOOD[: len(GOOD) // 2], "of frame 3 of 4, found '7' and the end of the file"),
    "cut after a line": ("\n".join(LINES[:60]), "truncated: ends with line 60, before the 12 fields"),
    "too few frames": (with_line(1, "5"), "truncated: ends with line 113, before the number of bodies"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line_that_names_file_and_place(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    begin = time.perf_counter()
    with pytest.raises(RawDataError) as caught:
        read_text(tmp_path, text)
    assert time.perf_counter() - begin < 1
    line = str(caught.value)
    assert message in line
    assert line.startswith(str(tmp_path / f"{SAMPLE}.skeleton"))
    assert "\n" not in line
    assert line.isprintable()


def test_more_ids_than_a_sensor_gives_are_refused(tmp_path: Path) -> None:
    frames = 150
    text = "".join(text_of(poses(1), ids=[frame + 1]).split("\n", 1)[1] for frame in range(frames))
    with pytest.raises(RawDataError, match="150 body ids"):
        read_text(tmp_path, f"{frames}\n{text}")


def test_a_lost_file_and_a_huge_one_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"{SAMPLE}.skeleton"
    with pytest.raises(RawDataError, match="cannot be read"):
        ntu.read(RawItem(SAMPLE, "kinectv2_25", str(path)))
    write_ntu(path, poses(2))
    monkeypatch.setattr("skeltools.raw_items.MAX_BYTES", 1000)
    with pytest.raises(RawDataError, match="too many for one clip"):
        read(path)


def outcome(parser, data: bytes) -> object:
    try:
        bodies = parser(data)
    except RawDataError:
        return RawDataError
    return bodies


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(
        text_of(poses(3, draw(st.integers(1, 2))), newline=draw(st.sampled_from(["\n", "\r\n"]))).encode()
    )
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["flip", "digit", "truncate", "drop", "double", "insert"]))
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        lines = bytes(data).split(b"\n")
        line = draw(st.integers(0, len(lines) - 1))
        if kind == "flip" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "digit" and data:
            data[at] = draw(st.sampled_from(b"0123456789 \n.-"))
        elif kind == "truncate":
            data = data[:at]
        elif kind == "drop":
            data = bytearray(b"\n".join(lines[:line] + lines[line + 1 :]))
        elif kind == "double":
            data = bytearray(b"\n".join(lines[: line + 1] + lines[line:]))
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=4))
    return bytes(data)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=damaged())
def test_any_damage_gives_a_sequence_or_an_error_and_both_parsers_agree(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    quick, careful = (
        ntu_text._parse_quickly(data),
        outcome(lambda d: ntu_text._parse_carefully(d, None, ntu_text.JOINTS), data),
    )
    if quick is not None:
        assert isinstance(careful, ntu_text.Bodies)
        assert (quick.frames, quick.ids, quick.extra_line) == (
            careful.frames,
            careful.ids,
            careful.extra_line,
        )
        np.testing.assert_array_equal(quick.frame, careful.frame)
        np.testing.assert_array_equal(quick.place, careful.place)
        np.testing.assert_array_equal(quick.joints, careful.joints)
    folder = tmp_path_factory.getbasetemp() / "damage"  # of its own: the base holds other tests' files
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(RawDataError):
        clip = read_text(folder, data)
        assert np.isfinite(clip.joints).all()
        assert clip.present.any(axis=0).all()
        np.testing.assert_array_equal(clip.order >= 0, clip.present)


def test_ordinary_files_take_the_quick_path() -> None:
    for newline in ("\n", "\r\n"):
        assert ntu_text._parse_quickly(text_of(poses(3, 2), newline=newline).encode()) is not None


# --- what is found ------------------------------------------------------------------------------------------


def test_discovers_folders_and_zip_files_alike(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    names = ["S001C001P001R001A001", "S001C001P001R001A002", "S018C003P106R002A120"]
    for number, name in enumerate(names):
        write_ntu(folder / "nested" / f"{name}.skeleton", poses(3, 1, seed=number))
    archive = tmp_path / "zips" / "nturgbd_skeletons.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in reversed(names):
            file.write(folder / "nested" / f"{name}.skeleton", f"nturgb+d_skeletons/{name}.skeleton")
        file.writestr(f"__MACOSX/{names[0]}.skeleton", "junk")
    listings = [ntu.discover(place) for place in (folder, archive, archive.parent)]
    for listing in listings:
        assert [item.id for item in listing.items] == names
        assert listing.findings == ()
        assert all(item.size > 1000 for item in listing.items)
    for items in zip(*(listing.items for listing in listings), strict=True):
        clips = [ntu.read(pickle.loads(pickle.dumps(item))) for item in items]
        assert_same(clips[0], clips[1])
        assert_same(clips[0], clips[2])
    assert clips[0].label == 119


def test_unknown_names_and_duplicates_are_findings(tmp_path: Path) -> None:
    for place in (
        f"a/{SAMPLE}",
        f"b/{SAMPLE}",
        "a/S001C001P001R001A000",
        "a/notes",
        f"a/.{SAMPLE}",
        "a/S1C1P1R1A1",
    ):
        write_ntu(tmp_path / f"{place}.skeleton", poses(2))
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    (tmp_path / "read.me").write_text("not ours")
    listing = ntu.discover(tmp_path)
    (item,) = listing.items
    assert item.path == str(tmp_path / "a" / f"{SAMPLE}.skeleton")
    assert sorted((f.problem, f.file) for f in listing.findings) == [
        ("duplicate sample id", f"b/{SAMPLE}.skeleton"),
        ("unknown file name", "a/S001C001P001R001A000.skeleton"),
        ("unknown file name", "a/S1C1P1R1A1.skeleton"),
        ("unknown file name", "a/notes.skeleton"),
        ("unreadable zip file", "broken.zip"),
    ]
    assert {f.action for f in listing.findings} == {"skipped"}


def test_nothing_is_an_empty_listing_but_a_file_that_is_no_zip_is_an_error(tmp_path: Path) -> None:
    assert ntu.discover(tmp_path).items == ()
    assert ntu.discover(tmp_path / "absent").items == ()
    (tmp_path / "x.zip").write_bytes(b"no")
    with pytest.raises(RawDataError, match="cannot be read as a zip file"):
        ntu.discover(tmp_path / "x.zip")


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path) -> None:
    write_ntu(tmp_path / "raw" / f"{SAMPLE}.skeleton", poses(2))
    (tmp_path / "raw" / "again").symlink_to(tmp_path / "raw")
    listing = ntu.discover(tmp_path / "raw")
    assert len(listing.items) == 1
    assert listing.findings == ()


def test_a_damaged_member_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "nturgbd.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr(f"in/{SAMPLE}.skeleton", text_of(poses(3)))
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)
    (item,) = ntu.discover(path).items
    with pytest.raises(RawDataError, match="CRC") as caught:
        ntu.read(item)
    assert str(caught.value).startswith(f"{path}::in/{SAMPLE}.skeleton: ")


# --- .skeleton.npy ------------------------------------------------------------------------------------------


def npy_content(joints: np.ndarray, present: np.ndarray) -> dict[str, Any]:
    """As the authors' txt2npy.py makes it: bodies of a frame in file order, zeros behind them."""
    packed, counts = np.zeros(joints.shape), present.sum(axis=1)
    for frame in range(len(joints)):
        packed[frame, : counts[frame]] = joints[frame, present[frame]]
    told = {f"skel_body{k}": packed[:, k] for k in range(counts.max())}
    return {"file_name": SAMPLE, "nbodys": counts.tolist(), "njoints": 25, **told}


def write_npy(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, content, allow_pickle=True)
    return path


def test_npy_files_of_the_authors_script(tmp_path):
    joints = poses(5, 2)
    present = np.array([[1, 1], [1, 1], [1, 0], [0, 0], [1, 1]], bool)
    write_npy(tmp_path / f"{SAMPLE}.skeleton.npy", npy_content(joints, present))
    (item,) = ntu.discover(tmp_path).items
    clip, text = (
        ntu.read(item),
        read(write_ntu(tmp_path / "t" / f"{SAMPLE}.skeleton", joints, present=present)),
    )
    assert (clip.id, clip.label, clip.body_ids) == (SAMPLE, text.label, (0, 1))
    for part in ("joints", "present", "order"):
        assert np.array_equal(getattr(clip, part), getattr(text, part))
    assert convert("ntu60", raw=tmp_path, out=tmp_path / "s.zarr").manifest.samples == 1


def test_the_text_goes_before_the_npy_file(tmp_path):
    content = npy_content(poses(5, 2), np.ones((5, 2), bool))
    write_npy(tmp_path / "a" / f"{SAMPLE}.skeleton.npy", content)
    write_ntu(tmp_path / "z" / f"{SAMPLE}.skeleton", poses(3, 1))
    listing = ntu.discover(tmp_path)
    assert ([Path(item.path).name for item in listing.items], listing.findings) == (
        [f"{SAMPLE}.skeleton"],
        (),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skel_body0": None}, "skel_body0 is no array"),
        ({"skel_body0": np.zeros((5, 25, 2))}, r"skel_body0 is float64 \(5, 25, 2\), expected"),
        ({"skel_body1": np.zeros((4, 25, 3))}, "not as long as each other"),
        ({"skel_body7": np.zeros((5, 25, 3))}, "not as long as each other"),
        ({"nbodys": [1, 1]}, "nbodys is no list of 5 numbers from 0 to 2"),
        ({"nbodys": [3] * 5}, "nbodys is no list of 5 numbers from 0 to 2"),
        ({"nbodys": [0] * 5}, "no body in any frame"),
    ],
)
def test_npy_files_that_lack_something(tmp_path, changes, message):
    content = npy_content(poses(5, 2), np.ones((5, 2), bool)) | changes
    write_npy(tmp_path / f"{SAMPLE}.skeleton.npy", content)
    (item,) = ntu.discover(tmp_path).items
    with pytest.raises(RawDataError, match=message):
        ntu.read(item)


@pytest.mark.filterwarnings("error")
def test_numbers_that_signal_are_no_warning(tmp_path):
    content = npy_content(poses(5, 1), np.ones((5, 1), bool))
    single = content["skel_body0"].astype(np.float32)
    single.view(np.uint32)[2, 3, 1] = 0x7F80_0001  # as a flipped bit makes it
    write_npy(tmp_path / f"{SAMPLE}.skeleton.npy", content | {"skel_body0": single})
    (item,) = ntu.discover(tmp_path).items
    assert ntu.read(item).present[:, 0].tolist() == [True, True, False, True, True]


def test_npy_files_of_something_else(tmp_path):
    for content in (np.array([{"a": 1}], dtype=object), np.zeros(3), np.array(Path, dtype=object)):
        write_npy(tmp_path / f"{SAMPLE}.skeleton.npy", content)
        (item,) = ntu.discover(tmp_path).items
        with pytest.raises(RawDataError, match=r"no dict of skel_body0|not of objects|refused to unpickle"):
            ntu.read(item)
