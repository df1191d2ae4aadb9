from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from schemas import ConfigError, RawDataError, UsageError
from skeltools import custom, skeletons, store
from skeltools.conversion import convert
from skeltools.inspect.validate import validate
from tests.skeltools.own_data import PATTERN, SIX, clips, read, settings
from tests.skeltools.raw_files import poses

ROOT = Path(__file__).parents[2]
NAME = "wave_s1_c2"


# ---- files ------------------------------------------------------------------------------------------------


def long_csv(array: np.ndarray, *, names: bool = False, base: int = 0) -> str:
    joints = skeletons.load("kinectv2_25").joints
    rows = ["frame,body,joint,x,y,z"]
    for t, m, v in np.ndindex(*array.shape[:3]):
        point = ",".join(f"{value:.9g}" for value in array[t, m, v])
        rows.append(f"{t + 7},p{m},{joints[v] if names else v + base},{point}")
    return "\n".join(rows)


def wide_csv(array: np.ndarray) -> str:
    return "\n".join(",".join(f"{value:.9g}" for value in frame.ravel()) for frame in array)


FILES: dict[str, tuple[dict[str, Any], Any]] = {
    "npy": ({}, lambda path, a: np.save(path.with_suffix(".npy"), a)),
    "npz, the only array": ({}, lambda path, a: np.savez(path.with_suffix(".npz"), joints=a)),
    "npz by key": ({"key": "b"}, lambda path, a: np.savez_compressed(path.with_suffix(".npz"), a=[1], b=a)),
    "wide csv": ({"layout": "T MVC"}, lambda path, a: path.with_suffix(".csv").write_text(wide_csv(a))),
    "wide csv with a header": (
        {"layout": "T MVC", "csv": {"delimiter": ";"}},
        lambda path, a: path.with_suffix(".csv").write_text(
            ("c,d" + ",e" * 148 + "\n" + wide_csv(a)).replace(",", ";")
        ),
    ),
    "long csv by number": (
        {"layout": None, "csv": {"form": "long", "first_joint": 1}},
        lambda path, a: path.with_suffix(".csv").write_text(long_csv(a, base=1)),
    ),
    "long csv by name": (
        {"layout": None, "csv": {"form": "long", "columns": {"frame": "Time"}}},
        lambda path, a: path.with_suffix(".csv").write_text(long_csv(a, names=True).replace("frame", "Time")),
    ),
    "h5": ({}, lambda path, a: write_h5(path.with_suffix(".h5"), {"deep/joints": a})),
    "hdf5 by key": (
        {"key": "a/b"},
        lambda path, a: write_h5(path.with_suffix(".hdf5"), {"a/b": a, "a/c": a[:1]}),
    ),
}


def write_h5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_comes_back_to_the_bit(tmp_path: Path, kind: str) -> None:
    changes, write = FILES[kind]
    settings(tmp_path, **changes)
    array = poses(9, 2)
    write(tmp_path / NAME, array)
    clip = read(tmp_path)
    assert (clip.id, clip.convention, clip.body_ids) == (NAME, "kinectv2_25", (0, 1))
    np.testing.assert_array_equal(clip.joints, array)
    np.testing.assert_array_equal(clip.order, np.broadcast_to([0, 1], (9, 2)))
    assert clip.present.all()
    assert clip.findings == ()


LAYOUTS = {
    "T M V C": lambda a: a,
    "C T V M": lambda a: a.transpose(3, 0, 2, 1),
    "T MVC": lambda a: a.reshape(len(a), -1),
    "T VCM": lambda a: a.transpose(0, 2, 3, 1).reshape(len(a), -1),
    "M T VC": lambda a: a.transpose(1, 0, 2, 3).reshape(2, len(a), -1),
    "VC T M": lambda a: a.transpose(2, 3, 0, 1).reshape(75, len(a), 2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, layout: str) -> None:
    array = poses(9, 2)
    settings(tmp_path, layout=layout)
    np.save(tmp_path / NAME, LAYOUTS[layout](array))
    np.testing.assert_array_equal(read(tmp_path).joints, array)


@pytest.mark.parametrize("layout", ["T V C", "T VC", "V T C"])
def test_layouts_of_one_body(tmp_path: Path, layout: str) -> None:
    array = poses(9, 1)
    one = {"T V C": array[:, 0], "T VC": array.reshape(9, 75), "V T C": array[:, 0].transpose(1, 0, 2)}
    settings(tmp_path, layout=layout)
    np.save(tmp_path / NAME, one[layout].astype(np.float64))
    np.testing.assert_array_equal(read(tmp_path).joints, array)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_one_file_of_many_clips(tmp_path: Path, suffix: str) -> None:
    clips = {f"wave_s{n}_c1": poses(4 + n, 1, seed=n) for n in (1, 2, 3)}
    if suffix == ".npz":
        settings(tmp_path, key="{clip}", pattern=PATTERN)
        np.savez(tmp_path / "all.npz", **clips)
    else:
        settings(tmp_path, key="{clip}/joints", pattern=PATTERN)
        arrays = {f"{name}/joints": a for name, a in clips.items()}
        write_h5(tmp_path / "all.h5", arrays | {"wave_s1_c1/other": np.zeros(3)})
    items = custom.discover(tmp_path).items
    assert [item.id for item in items] == list(clips)
    for item in items:
        clip = custom.read(item)
        np.testing.assert_array_equal(clip.joints, clips[item.id])
        assert clip.subject == int(item.id[6])


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_names_of_arrays_that_cannot_be_printed_are_escaped(tmp_path: Path, suffix: str) -> None:
    settings(tmp_path, key="{clip}")
    arrays = {"a\x1b[2J": poses(3)}
    if suffix == ".npz":
        np.savez(tmp_path / "all.npz", **arrays)
    else:
        write_h5(tmp_path / "all.h5", arrays)
    (item,) = custom.discover(tmp_path).items
    assert item.id == "a\\x1b[2J"
    assert custom.read(item).frames == 3


def test_files_and_hidden_ones_are_chosen_by_pattern(tmp_path: Path) -> None:
    settings(tmp_path, files="clips/*.npy")
    for name in ("clips/a", "clips/deep/b", "other/c", ".hidden/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / name, poses(3))
    assert [item.id for item in custom.discover(tmp_path).items] == ["clips_a", "clips_deep_b"]


# ---- coordinates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "sign", "order"),
    [
        ({"x": "left", "y": "up", "z": "forward"}, (1, 1, 1), (0, 1, 2)),
        ({"x": "right", "y": "down", "z": "forward"}, (-1, -1, 1), (0, 1, 2)),
        ({"x": "forward", "y": "left", "z": "up"}, (1, 1, 1), (1, 2, 0)),
        ({"x": "right", "y": "backward", "z": "up"}, (-1, 1, -1), (0, 2, 1)),
    ],
)
def test_axes_become_canonical(
    tmp_path: Path, axes: dict[str, str], sign: tuple[int, ...], order: tuple[int, ...]
) -> None:
    array = poses(5)
    settings(tmp_path, axes=axes)
    np.save(tmp_path / NAME, array)
    np.testing.assert_array_equal(read(tmp_path).joints, array[..., order] * np.float32(sign))


@pytest.mark.parametrize(("units", "scale"), [("m", 1.0), ("cm", 0.01), ("mm", 0.001)])
def test_units_become_metres(tmp_path: Path, units: str, scale: float) -> None:
    array = poses(5).astype(np.float64)
    settings(tmp_path, units=units)
    np.save(tmp_path / NAME, array)
    np.testing.assert_array_equal(read(tmp_path).joints, (array * scale).astype(np.float32))


def test_axes_and_units_are_the_conventions_own_by_default(tmp_path: Path) -> None:
    spec = skeletons.load("smplx_42")
    assert (spec.axes, spec.units) == (("right", "down", "forward"), "millimetres")
    settings(tmp_path, convention="smplx_42")
    array = poses(5, joints=42).astype(np.float64)
    np.save(tmp_path / NAME, array)
    np.testing.assert_array_equal(read(tmp_path).joints, (array * [-1e-3, -1e-3, 1e-3]).astype(np.float32))


# ---- absent bodies ----------------------------------------------------------------------------------------


def marked() -> np.ndarray:
    array = poses(8, 2)
    array[1, 1] = np.nan
    array[2, 1] = 0
    return array


def test_absent_bodies_are_nan_or_zeros(tmp_path: Path) -> None:
    settings(tmp_path)
    np.save(tmp_path / NAME, marked())
    clip = read(tmp_path)
    assert np.argwhere(~clip.present).tolist() == [[1, 1], [2, 1]]
    assert not clip.joints[~clip.present].any()
    assert (clip.order[~clip.present] == -1).all()
    assert clip.findings == ()


def test_missing_says_which_mark_is_meant(tmp_path: Path) -> None:
    np.save(tmp_path / NAME, marked())
    settings(tmp_path, missing=0)
    (found,) = read(tmp_path).findings
    assert (found.problem, found.place, found.detail) == ("not a number", "frame 2", "1 poses")
    settings(tmp_path, missing=math.nan)
    with pytest.raises(RawDataError, match="frame 3: a body with all joints at zero, but missing is nan"):
        read(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_joint_that_is_no_number_is_unseen_and_its_body_stays(tmp_path: Path, value: float) -> None:
    array = poses(8, 2).astype(np.float64)
    array[4:6, 0, 3, 1] = value
    settings(tmp_path)
    np.save(tmp_path / NAME, array)
    clip = read(tmp_path)
    assert clip.present.all()
    assert clip.unseen is not None
    assert np.argwhere(clip.unseen).tolist() == [[4, 0, 3], [5, 0, 3]]
    assert not clip.joints[clip.unseen].any()
    (found,) = clip.findings
    assert (found.problem, found.place) == ("joints not seen", "frame 5")
    assert "0.5% of the joints" in found.detail
    assert "Head in 12%" in found.detail


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_body_of_hardly_a_joint_is_absent_and_told(tmp_path: Path, value: float) -> None:
    array = poses(8, 2).astype(np.float64)
    array[4:6, 0, 6:] = value
    settings(tmp_path)
    np.save(tmp_path / NAME, array)
    clip = read(tmp_path)
    assert np.argwhere(~clip.present).tolist() == [[4, 0], [5, 0]]
    (found,) = clip.findings
    assert (found.place, found.detail, found.action) == ("frame 5", "2 poses", "treated as absent")


def standing(frames: int, *, at: tuple[float, float, float] = (0, 0, 3)) -> np.ndarray:
    """[T, 1, 25, 3]: a body around a point."""
    return (poses(frames) - poses(frames).mean(axis=2, keepdims=True) + at).astype(np.float64)


def test_a_joint_at_exactly_zero_away_from_the_body_is_unseen(tmp_path: Path) -> None:
    array = standing(8)
    array[2:4, 0, 5] = 0
    np.save(tmp_path / NAME, array)
    settings(tmp_path)
    clip = read(tmp_path)
    assert clip.unseen is not None
    assert np.argwhere(clip.unseen).tolist() == [[2, 0, 5], [3, 0, 5]]
    assert "exactly zero" in clip.findings[0].detail
    settings(tmp_path, missing="nan")
    assert read(tmp_path).unseen is None


def test_the_root_of_relative_poses_is_at_zero_and_seen(tmp_path: Path) -> None:
    array = standing(8, at=(0, 0, 0))
    array -= array[:, :, :1]
    settings(tmp_path)
    np.save(tmp_path / NAME, array)
    clip = read(tmp_path)
    assert clip.unseen is None
    assert clip.findings == ()
    array[:, 0, 7] = 0  # not the only joint there any more
    np.save(tmp_path / NAME, array)
    with pytest.raises(RawDataError, match="seen in none of 8 frames; coordinates are exactly zero"):
        read(tmp_path)


def test_a_joint_that_is_never_seen_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    array = standing(8)
    array[:, 0, [15, 19]] = np.nan
    np.save(tmp_path / NAME, array)
    settings(tmp_path)
    with pytest.raises(RawDataError, match="FootLeft, FootRight: seen in none of 8 frames") as caught:
        read(tmp_path)
    assert "leave_out: [FootLeft, FootRight]" in str(caught.value)
    settings(tmp_path, leave_out=["FootLeft", "FootRight"])
    clip = read(tmp_path)
    assert clip.convention == "kinectv2_25-23"
    assert clip.unseen is None
    kept = [v for v in range(25) if v not in (15, 19)]
    np.testing.assert_array_equal(clip.joints, array[:, :, kept].astype(np.float32))
    settings(tmp_path, never_seen="keep")
    assert read(tmp_path).unseen is not None


def test_a_clip_left_out_for_joints_never_seen_is_not_called_unreadable(tmp_path: Path) -> None:
    array = standing(8)
    array[:, 0, 15] = np.nan
    np.save(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", standing(8))
    settings(tmp_path)
    (found,) = convert("custom", raw=tmp_path, out=tmp_path / "s").findings
    assert (found.file, found.problem, found.action) == ("a.npy", "joints never seen", "skipped")
    assert found.detail.startswith("FootLeft: seen in none of 8 frames")


def test_a_joint_to_leave_out_must_be_there(tmp_path: Path) -> None:
    settings(tmp_path, leave_out=["Tail"])
    np.save(tmp_path / NAME, poses(3))
    with pytest.raises(ConfigError, match="leave_out: 'Tail' is no joint of kinectv2_25"):
        custom.discover(tmp_path)


def test_more_people_than_streams_hold_are_told(tmp_path: Path) -> None:
    np.save(tmp_path / NAME, np.concatenate([standing(8, at=(x, 0, 3)) for x in (-1, 0, 1)], axis=1))
    settings(tmp_path, bodies=2)
    (found,) = read(tmp_path).findings
    assert (found.problem, found.action) == ("more people than bodies", "streams keep 2")
    settings(tmp_path, bodies=3)
    assert read(tmp_path).findings == ()


# ---- scores and 2D ----------------------------------------------------------------------------------------


def test_a_fourth_value_is_a_score_that_can_hide_a_joint(tmp_path: Path) -> None:
    array = np.concatenate([standing(8), np.ones((8, 1, 25, 1))], axis=-1)
    array[3, 0, 4, 3] = 0
    array[4, 0, 6, 3] = 0.2
    np.save(tmp_path / NAME, array)
    settings(tmp_path, coordinates="xyzs")
    clip = read(tmp_path)
    assert clip.unseen is not None
    assert np.argwhere(clip.unseen).tolist() == [[3, 0, 4]]
    assert clip.score is not None
    assert clip.score[4, 0, 6] == np.float32(0.2)
    settings(tmp_path, coordinates="xyzs", min_score=0.3)
    hidden = read(tmp_path).unseen
    assert hidden is not None
    assert np.argwhere(hidden).tolist() == [[3, 0, 4], [4, 0, 6]]


def test_pixels_become_metres_around_the_middle_of_the_image(tmp_path: Path) -> None:
    pixels = np.stack(np.meshgrid(np.linspace(100, 500, 5), np.linspace(10, 710, 5)), axis=-1).reshape(25, 2)
    np.save(tmp_path / NAME, np.tile(pixels, (4, 1, 1)))
    settings(tmp_path, layout="T V C", coordinates="xy", image_size=[1280, 720])
    clip = read(tmp_path)
    expected = (pixels - [640, 360]) * [-2 / 720, -2 / 720]
    np.testing.assert_allclose(clip.joints[0, 0, :, :2], expected, rtol=1e-6)
    assert not clip.joints[..., 2].any()
    settings(tmp_path, layout="T V C", coordinates="xy", units=0.004)
    np.testing.assert_allclose(read(tmp_path).joints[0, 0, :, :2], pixels * -0.004, rtol=1e-6)


def test_2d_poses_need_a_scale(tmp_path: Path) -> None:
    settings(tmp_path, coordinates="xy")
    with pytest.raises(ConfigError, match="say how large a pixel is"):
        custom.discover(tmp_path)


@pytest.mark.parametrize(
    ("units", "scale"),
    [("in", 0.0254), ("Inches", 0.0254), (0.5, 0.5), ([1, 2, 0.001], [1, 2, 0.001])],
    ids=["in", "spelled out", "one", "three"],
)
def test_units_are_a_name_a_number_or_one_for_each_axis(tmp_path: Path, units: object, scale: object) -> None:
    array = standing(5)
    settings(tmp_path, units=units)
    np.save(tmp_path / NAME, array)
    np.testing.assert_array_equal(read(tmp_path).joints, (array * scale).astype(np.float32))


# ---- bad files --------------------------------------------------------------------------------------------

SHAPES = {
    "T M V C": ((9, 2, 20, 3), "has shape (9, 2, 20, 3), expected (frames, bodies, 25, 3) for layout"),
    "T V C": ((9, 25, 3, 1), "expected (frames, 25, 3)"),
    "T VC": ((9, 74), "expected (frames, 25 * 3)"),
    "T MVC": ((9, 76), "expected (frames, bodies * 25 * 3)"),
    "C T V M": ((9, 3, 25, 2), "expected (3, frames, 25, bodies)"),
    "M T V C": ((90, 2, 25, 3), "90 bodies, at most 32 make sense"),
}


@pytest.mark.parametrize("layout", SHAPES)
def test_a_shape_that_does_not_fit_says_what_was_expected(tmp_path: Path, layout: str) -> None:
    shape, message = SHAPES[layout]
    settings(tmp_path, layout=layout)
    np.save(tmp_path / NAME, np.ones(shape))
    with pytest.raises(RawDataError, match=re.escape(message)) as caught:
        read(tmp_path)
    assert "dataset.yaml" in str(caught.value)


def npy_bytes(array: np.ndarray, *, claims: bytes = b"", instead: bytes = b"") -> bytes:
    from io import BytesIO

    file = BytesIO()
    np.save(file, array)
    return file.getvalue().replace(claims, instead) if claims else file.getvalue()


HUGE = npy_bytes(poses(9), claims=b"(9, 1, 25, 3), }     ", instead=b"(999999999, 25, 3), }")
LONG, HEAD = {"csv": {"form": "long"}}, b"frame,joint,x,y,z\n"
BAD_FILES: dict[str, tuple[str, bytes, dict[str, Any], str]] = {
    "objects": (
        "a.npy",
        npy_bytes(np.array([{}, []], dtype=object)),
        {},
        "array of objects, which would be unpickled. Where you trust the file, numpy.load(file, allow_pickle",
    ),
    "truncated": ("a.npy", npy_bytes(poses(9))[:-8], {}, "bytes"),
    "huge": ("a.npy", HUGE, {}, "takes 299999999700 bytes, but 2700 are there"),
    "no npy": ("a.npy", b"text", {}, "cannot be read"),
    "text array": ("a.npy", npy_bytes(np.array(["a"])), {}, "expected numbers"),
    "no npz": ("a.npz", b"text", {}, "cannot be read as npz"),
    "no h5": ("a.h5", b"text", {}, "cannot be read as HDF5"),
    "empty csv": ("a.csv", b"\n", {"layout": "T VC"}, "the file is empty"),
    "word": ("a.csv", b"1,2\n3,x\n", {"layout": "T VC"}, "line 2: expected numbers, found 'x' in column 2"),
    "ragged": (
        "a.csv", b"1,2\n3\n", {"layout": "T VC"},
        "line 2: expected numbers, found 1 fields, the first has 2",
    ),
    "columns": ("a.csv", b"a,b\n1,2\n", LONG, "no column frame, joint, x, y, z; it has a, b"),
    "no rows": ("a.csv", HEAD + b"", LONG, "holds nothing but a header"),
    "joint": ("a.csv", HEAD + b"0,25,1,1,1\n", LONG, "line 2: joint '25' is none of"),
    "frame": ("a.csv", HEAD + b"0.5,2,1,1,1\n", LONG, "line 2: frame '0.5' is no whole number"),
    "number": (
        "a.csv", HEAD + b"0,2,1,one,1\n", LONG,
        "line 2: expected numbers, found 'one' in column 4 (y)",
    ),
    "twice": (
        "a.csv", HEAD + b"0,2,1,1,1\n0,2,1,1,1\n", LONG,
        "line 3: frame 0 has joint Neck of the body twice",
    ),
    "far": ("a.csv", HEAD + b"0,2,1,1,1\n999999999,2,1,1,1\n", LONG, "column of frames"),
    "short row": ("a.csv", HEAD + b"0,2,1\n", LONG, "line 2: 3 fields, the header above has 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_one_line_that_names_the_file(tmp_path: Path, name: str) -> None:
    file, data, changes, message = BAD_FILES[name]
    settings(tmp_path, **changes)
    (tmp_path / file).write_bytes(data)
    with pytest.raises(RawDataError, match=re.escape(message)) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / file))
    assert "\n" not in str(caught.value)


def test_arrays_that_are_not_there_are_told_with_those_that_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=np.float64(30), two=poses(3))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.update({"one": np.float64(30), "two": poses(3)})
    for name in ("a.npz", "b.h5"):
        settings(tmp_path, files=name)
        with pytest.raises(
            RawDataError, match=r"expected one array, found one, two; `key: two` in dataset\.yaml reads"
        ):
            read(tmp_path)
    (tmp_path / "b.h5").unlink()
    settings(tmp_path, key="three")
    with pytest.raises(RawDataError, match="has no array 'three'; it has one, two"):
        read(tmp_path)


def test_a_clip_of_nobody(tmp_path: Path) -> None:
    settings(tmp_path)
    np.save(tmp_path / NAME, np.zeros((4, 1, 25, 3)))
    with pytest.raises(
        RawDataError, match=r"no body in any frame \(4 frames; coordinates are exactly zero\)"
    ):
        read(tmp_path)


# ---- conversion -------------------------------------------------------------------------------------------


def test_a_store_of_ones_own(tmp_path: Path) -> None:
    raw = clips(tmp_path / "custom", *SIX, "odd_s1_c1")
    for name in SIX:
        np.save(raw / f"{name}.npy", 1000 * poses(4))
    np.save(raw / "odd_s1_c1.npy", np.ones((4, 1, 20, 3)))
    settings(raw, pattern=PATTERN, axes={"x": "right", "y": "down", "z": "forward"}, units="mm",
             splits={"xsub": {"train": {"subject": [1, 2]}}})  # fmt: skip
    for place in (tmp_path, raw, raw / "dataset.yaml"):
        summary = convert("custom", raw=place, out=tmp_path / "s", force=True)
    manifest = summary.manifest
    assert validate(tmp_path / "s") == ()
    assert (manifest.dataset, manifest.samples, manifest.classes) == ("mine", 6, ("odd", "wave"))
    assert manifest.protocols["xsub"].rule == "train: subject 1, 2; test: the others"
    assert (manifest.protocols["xsub"].train, manifest.protocols["xsub"].test) == (4, 2)
    assert manifest.conventions["kinectv2_25"].axes.startswith("x right, y down, z forward, in mm")
    assert [f.file for f in summary.findings] == ["odd_s1_c1.npy"]
    opened = store.open_store(tmp_path / "s")
    first = next(iter(store.read_sequences(opened, "kinectv2_25")))
    assert first is not None
    expected = (1000 * poses(4)).astype(np.float64) * [-1e-3, -1e-3, 1e-3]
    np.testing.assert_array_equal(first.joints, expected.astype(np.float32))


def test_workers_and_settings_of_another_name_make_the_same_store(tmp_path: Path) -> None:
    raw = clips(tmp_path / "raw", *SIX)
    settings(raw, pattern=PATTERN).rename(raw / "lab.yaml")
    one = convert("custom", raw=raw / "lab.yaml", out=tmp_path / "a").manifest
    two = convert("custom", raw=raw / "lab.yaml", out=tmp_path / "b", workers=2).manifest
    assert one == two
    assert one.protocols["all"].train == 6


def test_other_settings_are_another_source(tmp_path: Path) -> None:
    raw = clips(tmp_path / "raw", *SIX)
    settings(raw)
    one = convert("custom", raw=raw, out=tmp_path / "a").manifest
    settings(raw, units="mm")
    two = convert("custom", raw=raw, out=tmp_path / "b").manifest
    assert one.source["sha256"] != two.source["sha256"]
    assert one.hash != two.hash


# ---- documentation ----------------------------------------------------------------------------------------


def test_the_worked_example_runs(tmp_path: Path) -> None:
    examples, page = ROOT / "examples", ROOT / "docs" / "guides" / "custom-data.md"
    text = page.read_text(encoding="utf-8")
    shown, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    written = (examples / "custom" / "dataset.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(shown) == yaml.safe_load(written)
    folder = tmp_path / "custom"
    script = [sys.executable, str(examples / "custom" / "make_clips.py"), str(folder)]
    subprocess.run(script, check=True)
    (folder / "dataset.yaml").write_text(shown)
    (tmp_path / "my_skeleton.yaml").write_bytes((examples / "my_skeleton.yaml").read_bytes())
    summary = convert("custom", raw=folder, out=tmp_path / "s", strict=True)
    manifest = summary.manifest
    assert (manifest.samples, manifest.classes) == (8, ("walk", "wave"))
    assert {n: (p.train, p.test) for n, p in manifest.protocols.items()} == {"xsub": (4, 4), "xview": (4, 4)}
    assert validate(tmp_path / "s") == ()
    opened = store.open_store(tmp_path / "s")
    for clip in store.read_sequences(opened, "stick_9"):
        assert clip is not None
        head, foot = clip.joints[clip.present[:, 0], 0][:, [2, 7], 1].T
        assert (head > foot).all(), "y is up"


def test_the_reference_lists_every_key() -> None:
    from skeltools.custom.settings import Csv, Selector, Settings

    text = (ROOT / "docs" / "guides" / "custom-data.md").read_text(encoding="utf-8")
    for model in (Settings, Csv, Selector):
        for key in model.model_fields:
            assert f"`{key}" in text, key


def test_a_convention_that_the_clips_are_not_in_is_refused(tmp_path: Path) -> None:
    settings(clips(tmp_path, *SIX))
    with pytest.raises(UsageError, match="no raw files of convention coco_17"):
        convert("custom", raw=tmp_path, out=tmp_path / "s", conventions=("coco_17",))


# ---- unseen joints and 2D poses in a store ----------------------------------------------------------------


def partly_seen(raw: Path, **changes: object) -> np.ndarray:
    """Four clips, of which a tenth of the joints is NaN; returns the poses of the first."""
    settings(raw, pattern=PATTERN, **changes)
    first = None
    for seed, name in enumerate(("wave_s1_c1", "wave_s2_c1", "walk_s1_c1", "walk_s2_c1")):
        array = standing(12) + np.random.default_rng(seed).normal(0, 0.05, (12, 1, 25, 3))
        array[np.random.default_rng(seed).random((12, 1, 25)) < 0.1] = np.nan
        np.save(raw / name, array)
        first = array if name == "walk_s1_c1" else first
    assert first is not None
    return first


def test_a_store_keeps_what_was_not_seen_and_its_streams_have_no_holes(tmp_path: Path) -> None:
    first = partly_seen(tmp_path / "raw")
    summary = convert("custom", raw=tmp_path / "raw", out=tmp_path / "s.zarr", frames=[12], workers=0)
    opened = store.open_store(tmp_path / "s.zarr")
    arrays = opened.manifest.arrays
    assert "sequences/kinectv2_25/unseen" in arrays
    assert "sequences/kinectv2_25/score" not in arrays
    clip = next(store.read_sequences(opened, "kinectv2_25"))
    assert clip is not None
    assert clip.unseen is not None
    np.testing.assert_array_equal(clip.unseen, np.isnan(first).any(axis=-1))
    np.testing.assert_array_equal(clip.joints, np.nan_to_num(first).astype(np.float32))
    joint = store.read(opened, "streams/kinectv2_25/t12/joint")
    spec = skeletons.load("kinectv2_25")
    apart = np.delete(joint[..., 0] - joint[:, :, :, [spec.center], 0], spec.center, axis=3)
    assert (apart != 0).any(axis=1).all()
    assert summary.manifest.findings == {"joints not seen": 4}
    assert summary.manifest.recipe.counts["joints interpolated"] > 0
    assert not validate(tmp_path / "s.zarr")


def test_streams_of_another_length_fill_unseen_joints_alike(tmp_path: Path) -> None:
    from skeltools.conversion.derive import add_streams

    partly_seen(tmp_path / "raw")
    convert("custom", raw=tmp_path / "raw", out=tmp_path / "a.zarr", frames=[8, 12])
    convert("custom", raw=tmp_path / "raw", out=tmp_path / "b.zarr", frames=[12])
    add_streams(tmp_path / "b.zarr", frames=[8])
    a, b = (store.open_store(tmp_path / name).manifest.arrays for name in ("a.zarr", "b.zarr"))
    assert a == b


def test_2d_poses_make_a_store_that_says_so(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    settings(raw, layout="T V C", coordinates="xys", image_size=[640, 480], pattern=PATTERN)
    for seed, name in enumerate(("wave_s1_c1", "walk_s1_c1")):
        rng = np.random.default_rng(seed)
        np.save(
            raw / name, np.concatenate([rng.uniform(50, 400, (9, 25, 2)), rng.random((9, 25, 1))], axis=-1)
        )
    with pytest.raises(UsageError, match="step turn_upright of recipe default turns people in space"):
        convert("custom", raw=raw, out=tmp_path / "s.zarr", recipe="default")
    manifest = convert("custom", raw=raw, out=tmp_path / "s.zarr").manifest
    assert manifest.recipe.name == "centered"
    assert manifest.conventions["kinectv2_25"].coordinates == "xy"
    assert "sequences/kinectv2_25/score" in manifest.arrays
    assert store.open_store(tmp_path / "s.zarr").manifest == manifest
    assert not validate(tmp_path / "s.zarr")
