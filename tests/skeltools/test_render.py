"""Pictures of clips: what is written is decoded again, and joints are where the projection says."""

from __future__ import annotations

import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra plots is not installed")

from PIL import Image

import skeltools
from schemas import SkelError, SkeletonSpec, UsageError
from skeltools.pictures import design, film, film_strip, palette, sheet
from skeltools.pictures.flat import Flat, directions, flatten
from skeltools.pictures.render import Look, choose, save, still, strip
from skeltools.pictures.scene import Scene, Track, of_clips
from skeltools.pictures.stick import Place, marks

SPEC = skeltools.skeleton("kinectv2_25")
HAND = SPEC.joints.index("HandLeft")
SIZE = (640, 480)

Run = Callable[..., tuple[int, str, str]]


def poses(frames: int = 6, bodies: int = 1, seed: int = 0) -> np.ndarray:
    """[T, M, V, 3]: people of random joints in a room, the bodies apart."""
    joints = np.random.default_rng(seed).uniform(0, 1, (frames, bodies, 25, 3)).astype(np.float32)
    return joints + np.arange(bodies, dtype=np.float32)[:, None, None] * [1.5, 0, 0] + [0.1, 0.1, 2]


def scene(joints: np.ndarray, present: np.ndarray | None = None, **fields: Any) -> Scene:
    there = np.ones(joints.shape[:2], dtype=bool) if present is None else present
    track = Track("here", SPEC, joints.astype(np.float32), there, **fields)
    return Scene("one", (track,), title="waving")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of one person in two conventions: the second convention lacks the second clip."""
    path = tmp_path_factory.mktemp("render") / "s.zarr"
    joints = poses()[:, 0]
    clips = [
        skeltools.SkeletonSequence.from_joints("wave", joints, "kinectv2_25", label=0),
        skeltools.SkeletonSequence.from_joints("sit", joints, "kinectv2_25", label=1),
    ]
    skeltools.write(clips, path, classes=["waving", "sitting"])
    return path


# Where joints are


def test_the_front_is_what_the_sensor_saw_and_views_are_rotations() -> None:
    left, up, away = np.eye(3)
    for view, expected in {
        "front": (-left, up, -away),
        "side": (away, up, -left),
        "top": (-left, away, up),
    }.items():
        np.testing.assert_allclose(directions(view), expected, atol=1e-12)  # type: ignore[arg-type]
    turn = directions("three-quarter")
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    assert turn[1] @ up > 0.9
    assert turn[0] @ -left > 0.8


@pytest.mark.parametrize("view", ["front", "side", "top", "three-quarter"])
@pytest.mark.parametrize("ground", ["white", "dark", "transparent"])
def test_a_joints_dot_has_its_colour_where_the_projection_says(view: Any, ground: Any) -> None:
    """Against an oracle: the turned coordinates, brought into the tile by hand."""
    joints, look = poses(), Look(view, ground, size=SIZE, words=False)
    flats = flatten(scene(joints).tracks, view)
    page = sheet.tiles(flats, SIZE, words=False)
    places = sheet.scales(flats, page)
    made = sheet.animated(flats, 3, page, places, look.colours, title=None)
    pixels = film.draw(made, SIZE, look.colours.ground)

    turned = joints[:, 0].astype(np.float64) @ directions(view).T
    box = flats[0].box
    scale = min((640 - 2 * sheet.PAD) / box.width, (480 - 2 * sheet.PAD) / box.height)
    x = 320 + scale * (turned[3, :, 0] - (box.left + box.right) / 2)
    y = 240 - scale * (turned[3, :, 1] - (box.bottom + box.top) / 2)
    assert (x > 0).all()
    assert (y < 480).all()
    if view != "three-quarter":  # there the floor is wider than the people
        assert box.left == pytest.approx(turned[..., 0].min())
        assert box.top == pytest.approx(turned[..., 1].max())
    own = _rgb(look.colours.persons[0])
    assert x.max() - x.min() > 50
    for joint in _apart(x, y):
        hollow = "Right" in SPEC.joints[joint]
        found = pixels[int(y[joint]), int(x[joint])]
        wanted = (
            ([*_rgb(look.colours.ground), 255] if look.colours.ground else None) if hollow else [*own, 255]
        )
        assert found[3] < 100 if wanted is None else np.abs(found.astype(int) - wanted).max() < 60, joint
    np.testing.assert_allclose([dot[0] for dot in made.dots], np.stack([x, y], axis=1), atol=1e-3)


def _rgb(colour: str | None) -> list[int]:
    assert colour is not None
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _apart(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Joints on which no other lies."""
    gaps = np.hypot(x[:, None] - x, y[:, None] - y) + 1e9 * np.eye(len(x))
    found = [int(joint) for joint in np.flatnonzero(gaps.min(axis=1) > 6)]
    assert len(found) > 8
    return found


def test_bones_are_drawn_in_the_colour_of_their_part() -> None:
    joints = np.zeros((1, 1, 25, 3))
    joints[..., 1] = np.linspace(0, 1, 25)
    elbow, wrist = SPEC.joints.index("ElbowLeft"), SPEC.joints.index("WristLeft")
    joints[0, 0, elbow], joints[0, 0, wrist] = (1, 0.2, 0), (1, 0.8, 0)
    flats = flatten(scene(joints).tracks)
    place = Place(200, 200, 150)
    pixels = film.draw(marks(flats[0], 0, place, design.WHITE, unit=2), (300, 240), "#ffffff")
    middle = place((flats[0].points[0, 0, elbow] + flats[0].points[0, 0, wrist]) / 2).astype(int)
    assert pixels[middle[1], middle[0]].tolist() == [*_rgb(design.LIGHT["left_arm"]), 255]


def test_what_is_in_front_hides_what_is_behind() -> None:
    """Two crossing bones: the nearer one goes through, the other one has a gap."""
    joints = np.zeros((1, 2, 25, 3))
    elbow, wrist = SPEC.joints.index("ElbowLeft"), SPEC.joints.index("WristLeft")
    joints[0, 0, [elbow, wrist]] = [(-1, 0, 1), (1, 0, 1)]
    joints[0, 1, [elbow, wrist]] = [(0, -1, 2), (0, 1, 2)]
    unseen = np.ones((1, 2, 25), dtype=bool)
    unseen[:, :, [elbow, wrist]] = False
    for swap in (False, True):
        order = [1, 0] if swap else [0, 1]
        flats = flatten(scene(joints[:, order], unseen=unseen).tracks)
        pixels = film.draw(
            marks(flats[0], 0, Place(100, 100, 80), design.WHITE, unit=2), (200, 200), "#ffffff"
        )
        assert pixels[100, 96, :3].min() < 100, "the bone across, which is nearer, goes through"
        assert pixels[96, 100, :3].min() > 200, "the bone upwards has a gap beside it"


def test_tiles_have_one_scale_and_the_largest_fits() -> None:
    small = skeltools.skeleton("coco_17")
    tracks = (
        Track("a", SPEC, poses().astype(np.float32), np.ones((6, 1), bool)),
        Track("b", small, 2 * poses()[:, :, :17].astype(np.float32), np.ones((6, 1), bool)),
    )
    for size in (None, (640, 300)):
        flats = flatten(tracks)
        page = sheet.tiles(flats, size, words=True)
        first, second = sheet.scales(flats, page)
        assert first.scale == second.scale
        for flat, place, (x, y, width, height) in zip(flats, (first, second), page.tiles, strict=True):
            points = place(flat.points)
            assert (points >= [x, y]).all()
            assert (points <= [x + width, y + height]).all()


def test_strays_do_not_shrink_the_people() -> None:
    joints = poses(40)
    whole = flatten(scene(joints).tracks)[0].box
    joints[7, 0, 3] = (1e7, -1e7, 0)
    box = flatten(scene(joints).tracks)[0].box
    assert box.width == pytest.approx(whole.width, rel=0.05)
    assert box.height == pytest.approx(whole.height, rel=0.05)
    assert len(still(scene(joints), Look(frames="7"), "png")) > 1000


# What was not seen


def test_an_unseen_joint_is_a_cross_in_the_body_where_it_was_last() -> None:
    joints = np.tile(poses(1), (5, 1, 1, 1)) + np.arange(5)[:, None, None, None] * np.array([0.3, 0, 0])
    truth = joints.copy()
    unseen = np.zeros((5, 1, 25), dtype=bool)
    unseen[1:4, 0, HAND] = True
    joints[unseen] = 0
    flat = flatten(scene(joints, unseen=unseen).tracks)[0]
    np.testing.assert_array_equal(flat.absent, unseen)
    guess, right = flat.points[1:4, 0, HAND], (truth[1:4, 0, HAND] @ directions("front").T)
    assert np.abs(guess - right).max() < 0.05  # the middle of the others stands for the body
    made = marks(flat, 2, Place(0, 0, 100), design.WHITE)
    crosses = [line for line in made.lines if line[1] == design.WHITE.warn]
    assert len(crosses) == 2
    np.testing.assert_allclose(crosses[0][0].mean(axis=0), Place(0, 0, 100)(flat.points[2, 0, HAND]))
    assert len(made.dots) == 24


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "gif"])
@pytest.mark.parametrize(
    "what", ["nobody", "one frame", "nan", "six people", "joint never seen", "one point"]
)
def test_hard_clips_are_drawn(what: str, kind: str, tmp_path: Path) -> None:
    joints, present = poses(3), np.ones((3, 1), bool)
    unseen = np.zeros((3, 1, 25), bool)
    if what == "nobody":
        joints, present = np.zeros((3, 1, 25, 3)), np.zeros((3, 1), bool)
    elif what == "one frame":
        joints, present, unseen = poses(1), present[:1], unseen[:1]
    elif what == "nan":
        joints[1, 0, 3:9], joints[2] = np.nan, np.inf
    elif what == "six people":
        joints, present, unseen = poses(3, 6), np.ones((3, 6), bool), np.zeros((3, 6, 25), bool)
    elif what == "joint never seen":
        unseen[:, 0, HAND] = True
    else:
        joints[:] = 1
    made = scene(joints, present, unseen=unseen)
    out = save(made, tmp_path / f"a.{kind}", Look("three-quarter", names=True))
    assert out.stat().st_size > 500
    texts = {
        word.text for word in film_strip.strip(flatten(made.tracks), [0], design.WHITE, title="")[1].words
    }
    assert ("nobody" in texts) == (what == "nobody")


def test_2d_poses_have_one_view_and_a_scale_of_their_own() -> None:
    flat = poses()
    flat[..., 2] = 0
    two = Track("flat", SPEC, (100 * flat).astype(np.float32), np.ones((6, 1), bool), coordinates="xy")
    flats = flatten((*scene(poses()).tracks, two))
    page = sheet.tiles(flats, None, words=True)
    first, second = sheet.scales(flats, page)
    assert first.scale > 20 * second.scale
    assert flats[1].floor is None
    with pytest.raises(UsageError, match="2D poses, which have no side"):
        flatten((two,), "side")


# Kinds of values


def test_bones_and_motion_are_arrows_from_joint_to_joint(store: Path) -> None:
    clip = skeltools.open(store)["wave"]
    place = Place(0, 0, 100)
    bone = flatten(of_clips([clip], "bone").tracks)[0]
    tips = np.array([corners[1] for corners, _ in marks(bone, 2, place, design.WHITE, unit=0.1).heads])
    ends = place(bone.points[2, 0])
    assert len(tips) == 24
    assert all(np.abs(ends - tip).max(axis=1).min() < 1e-6 for tip in tips)
    moved = flatten(of_clips([clip], "motion").tracks)[0]
    tips = np.array([corners[1] for corners, _ in marks(moved, 2, place, design.WHITE, unit=0.01).heads])
    step = moved.points[3, 0] - moved.points[2, 0]
    wanted = place(moved.points[2, 0] + moved.factor * step)
    np.testing.assert_allclose(tips, wanted, atol=1e-3)


def test_small_motions_are_drawn_longer_by_one_factor_that_the_title_tells() -> None:
    joints = np.cumsum(np.full((9, 1, 25, 3), 0.01), axis=0) + poses(1)[0, 0]
    move = np.full(joints.shape, 0.01)
    flats = flatten(scene(joints, kind="motion", vectors=move).tracks)
    assert flats[0].factor > 1
    assert f"motion x {flats[0].factor:g}" in sheet.heading(flats[0])


# Files


@pytest.mark.parametrize("ground", ["white", "dark", "transparent"])
@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_images_that_move_come_back_frame_by_frame(kind: str, ground: Any, tmp_path: Path) -> None:
    joints, look = poses(5), Look(ground=ground, size=(160, 120), words=False)
    out = save(scene(joints), tmp_path / f"a.{kind}", look)
    with Image.open(out) as image:
        assert (image.size, image.n_frames) == ((160, 120), 5)
        shown = []
        lasted = 0.0
        for number in range(5):
            image.seek(number)
            image.load()
            lasted += image.info["duration"]
            shown.append(np.asarray(image.convert("RGBA")))
    assert lasted == pytest.approx(5000 / 30, abs=10)
    flats = flatten(scene(joints).tracks)
    page = sheet.tiles(flats, (160, 120), words=False)
    places = sheet.scales(flats, page)
    for number, found in enumerate(shown):
        made = sheet.animated(flats, number, page, places, look.colours, title=None)
        drawn = film.draw(made, (160, 120), look.colours.ground)
        if ground == "transparent" and kind == "gif":
            assert ((found[..., 3] > 0) == (drawn[..., 3] >= 128)).all()
        elif ground == "transparent":
            np.testing.assert_array_equal(found[..., 3], drawn[..., 3])
        else:
            away = np.abs(found[..., :3].astype(int) - drawn[..., :3])
            assert away.mean() < 1.5
            assert away.max() < 60
            assert (found[0, 0, :3] == _rgb(look.colours.ground)).all()


def test_a_video_comes_back_frame_by_frame(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = save(scene(poses(9)), tmp_path / "a.mp4", Look("side", "dark", fps=25, speed=0.5))
    video = cv2.VideoCapture(str(out))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert len(frames) == 9
    assert frames[0].shape[0] % 2 == 0
    assert any(np.abs(frames[0].astype(int) - frames[8]).max(axis=2).ravel() > 100)
    assert np.abs(frames[0][0, 0].astype(int) - _rgb(design.BLACK.ground)[::-1]).max() < 8
    assert [each.name for each in tmp_path.iterdir()] == [out.name]
    told = capfd.readouterr()
    assert told.out + told.err == ""


def test_fast_gifs_leave_frames_out_and_last_as_long(tmp_path: Path) -> None:
    out = save(scene(poses(20)), tmp_path / "a.gif", Look(fps=100, words=False))
    with Image.open(out) as image:
        assert image.n_frames == 10
        assert image.info["duration"] == 20


def test_a_strip_has_its_size_and_its_words(tmp_path: Path) -> None:
    look = Look(frames="0,2,5", size=(500, 200))
    with Image.open(save(scene(poses()), tmp_path / "a.png", look)) as image:
        assert image.size == (500, 200)
        assert np.asarray(image.convert("RGB"))[0, 0].tolist() == [255, 255, 255]
    svg = ET.fromstring(save(scene(poses()), tmp_path / "a.svg", look).read_text(encoding="utf-8"))
    texts = ["".join(each.itertext()).strip() for each in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"0", "2", "5", "here"} <= set(texts)
    assert svg.get("viewBox") == "0 0 375 150"
    pdf = save(scene(poses()), tmp_path / "a.pdf", look).read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf, "TrueType, which publishers ask for"
    assert b"/Type3" not in pdf


def test_a_frame_without_people_says_so() -> None:
    present = np.array([True, True, False, True, True, True])[:, None]
    flats = flatten(scene(poses(), present).tracks)
    page = sheet.tiles(flats, None, words=True)
    for frame in range(6):
        made = sheet.animated(flats, frame, page, sheet.scales(flats, page), design.WHITE, title="a")
        assert ("nobody" in [word.text for word in made.words]) == (frame == 2)


def test_names_of_many_people_and_poses_lie_on_no_other_and_in_the_picture() -> None:
    flats = flatten(scene(poses(8, 3)).tracks)
    page, made = film_strip.strip(flats, range(8), design.WHITE, names=True)
    boxes = []
    for word in made.words:
        wide = 0.6 * word.size * len(word.text)
        left = word.x - (wide if word.anchor == "right" else 0)
        boxes.append((left, left + wide, word.y))
    assert len(boxes) > 20
    assert all(-0.01 <= left < right <= page.width + 0.01 for left, right, _ in boxes)
    for place, (left, right, y) in enumerate(boxes):
        assert not any(a < right and left < b and abs(y - low) < 8 for a, b, low in boxes[:place])


def test_a_strip_of_a_skeleton_without_sides_tells_of_none() -> None:
    spec = SkeletonSpec(name="hand", joints=("wrist", "tip"), edges=((1, 0),), center=0)
    track = Track("hand", spec, poses()[:, :, :2], np.ones((6, 1), bool))
    words = film_strip.strip(flatten((track,)), [0], design.WHITE, title="hand")[1].words
    assert "hand · numbers: frames" in [word.text for word in words]


def test_a_strip_is_drawn_where_an_animation_is(tmp_path: Path) -> None:
    """matplotlib and OpenCV draw the same marks: the pictures are nearly equal."""
    flats = flatten(scene(poses(2)).tracks)
    page, made = film_strip.strip(flats, [0, 1], design.WHITE, size=(400, 240))
    drawn = film.draw(made, (400, 240), "#ffffff")[..., :3].astype(int)
    other = save(scene(poses(2)), tmp_path / "a.png", Look(frames="2", size=(400, 240), words=False))
    with Image.open(other) as image:
        painted = np.asarray(image.convert("RGB")).astype(int)
    assert (page.width, page.height) == (400, 240)
    assert np.abs(drawn - painted).mean() < 1.5
    assert (drawn < 200).any(axis=2).mean() == pytest.approx((painted < 200).any(axis=2).mean(), rel=0.15)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "gif", "apng", "webp"])
def test_the_same_clip_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    first = save(scene(poses()), tmp_path / f"a.{kind}", Look()).read_bytes()
    assert first == save(scene(poses()), tmp_path / f"b.{kind}", Look()).read_bytes()


def test_a_transparent_strip_has_no_ground() -> None:
    image = Image.open(io.BytesIO(still(scene(poses()), Look(ground="transparent"), "png")))
    assert np.asarray(image)[0, 0, 3] == 0
    assert np.asarray(image)[..., 3].max() == 255


def test_the_palette_holds_the_ground_and_every_colour_exactly() -> None:
    for colours in design.GROUNDS.values():
        inks = [*colours.parts.values(), *colours.persons, *([colours.ground] if colours.ground else [])]
        pixels = np.array([[[*_rgb(ink), 255] for ink in inks]], np.uint8)
        found = palette.palette(colours)[palette.indexed(pixels, colours)]
        assert found[0].tolist() == [_rgb(ink) for ink in inks]


# The command


def test_the_command_draws_a_clip(store: Path, run: Run, tmp_path: Path) -> None:
    assert run("render", store, "wave", "--out", "a.gif", "--size", "200x160") == (0, "a.gif\n", "")
    assert run("render", store, "1", "--out", "b.svg", "--convention", "all", "--plain")[0] == 0
    assert "sitting" not in (tmp_path / "b.svg").read_text(encoding="utf-8")
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.size, image.n_frames) == ((200, 160), 6)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["wav", "--out", "a.gif"], "holds no sample 'wav'. Its ids are such as wave"),
        (["9", "--out", "a.gif"], "holds no row 9. Its rows are 0 to 1"),
        (
            ["wave", "--out", "a.bmp"],
            "Moving: .mp4, .gif, .webp, .apng; a film strip: .png, .svg, .pdf",
        ),
        (["wave", "--out", "gif"], "the end of the name says what is written"),
        (["wave", "--out", "no/a.gif"], "there is no folder no"),
        (["wave", "--out", "here.gif"], "is there already. Give another name, or --force"),
        (["wave", "--out", "a.gif", "--convention", "coco_17"], "unknown convention 'coco_17'"),
        (["wave", "--out", "a.gif", "--frames", "all"], "frames are given as 8, 10:60, 10:60:5 or 3,7,9"),
        (["wave", "--out", "a.gif", "--frames", "10:"], "no such frames: 10:. The clip has frames 0 to 5"),
        (["wave", "--out", "a.gif", "--frames", "0"], "frames are given as"),
        (["wave", "--out", "a.gif", "--size", "12"], "a size is WIDTHxHEIGHT"),
        (["wave", "--out", "a.gif", "--size", "3x3"], "Sides are 16 to 8000 dots long"),
        (["wave", "--out", "a.mp4", "--size", "321x200"], "even numbers of dots"),
        (["wave", "--out", "a.mp4", "--ground", "transparent"], ".mp4 has no transparent ground"),
        (["wave", "--out", "a.gif", "--fps", "0"], "fps is 0. It is a number from 0.001 to 1000"),
        (["wave", "--out", "a.gif", "--speed", "nan"], "speed is nan"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(
    store: Path, run: Run, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "here.gif").write_text("mine")
    code, out, error = run("render", store, *arguments)
    assert (code, out) == (2, "")
    assert told in error
    assert error.count("\n") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["here.gif"]
    assert (tmp_path / "here.gif").read_text() == "mine"


def test_force_replaces_and_a_failure_leaves_what_was_there(
    store: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.gif", "a.mp4", "a.png"):
        (tmp_path / name).write_text("mine")
        monkeypatch.setattr(film, "draw", _broken)
        if name != "a.png":
            assert run("render", store, "wave", "--out", name, "--force")[0] == 1
            assert (tmp_path / name).read_text() == "mine"
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert run("render", store, "wave", "--out", name, "--force")[0] == 0
        assert (tmp_path / name).stat().st_size > 1000
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.gif", "a.mp4", "a.png"]


def _broken(*_: Any) -> Any:
    raise SkelError("broken")


def test_without_matplotlib_the_extra_is_named(
    store: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr(
        "skeltools.pictures.find_spec", lambda name: None if name == "matplotlib" else real(name)
    )
    code, _, error = run("render", store, "wave", "--out", "a.gif")
    assert code == 2
    assert "pip install 'skeltools[plots]'" in error
    with pytest.raises(UsageError, match=re.escape("skeltools[plots]")):
        skeltools.open(store)["wave"].plot()


# Frames


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("1", [0]),
        ("3", [0, 4, 9]),
        ("99", list(range(10))),
        ("4:", [4, 5, 6, 7, 8, 9]),
        (":3", [0, 1, 2]),
        ("-2:", [8, 9]),
        ("1:9:4", [1, 5]),
        ("7,", [7]),
        ("5, 2,5", [5, 2, 5]),
    ],
)
def test_frames_are_chosen_as_python_does(text: str | None, found: list[int]) -> None:
    assert choose(text, 10, all_of_them=True) == found


@pytest.mark.parametrize(
    "text", ["", "x", "0", "1:2:0", "1.5", "-3", "1,,2", "10,", "9:3", "1:2:3:4", "99999,"]
)
def test_frames_that_there_are_not_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        choose(text, 10, all_of_them=True)


def test_a_strip_without_frames_shows_eight() -> None:
    assert choose(None, 100, all_of_them=False) == [0, 14, 28, 42, 57, 71, 85, 99]


# Notebooks


def test_a_clip_plots_itself(store: Path) -> None:
    clip = skeltools.open(store)["wave"]
    figure = clip.plot(3, view="side")
    with Image.open(io.BytesIO(figure._repr_png_())) as image:
        assert image.width > 300
    assert {"0", "2", "5", "kinectv2_25"} <= {text.get_text() for text in figure.axes[0].texts}
    with pytest.raises(UsageError, match="'top' or 'three-quarter'"):
        clip.plot(view="back")


def test_a_clip_animates_itself(store: Path, tmp_path: Path) -> None:
    made = skeltools.open(store)["wave"].animate("0:4", size=(100, 80))
    page = re.search('srcdoc="([^"]*)"', made._repr_html_())
    assert page is not None
    told = re.search('id="scene">(.*?)</script>', unescape(page[1]))
    assert told is not None
    track = json.loads(told[1])["tracks"][0]
    assert (track["frames"], track["bodies"]) == (4, 1)
    assert made.save(tmp_path / "a.gif") == tmp_path / "a.gif"
    with pytest.raises(UsageError, match="is there already"):
        made.save(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 4


def test_a_figure_of_many_conventions_has_a_row_for_each() -> None:
    two = Scene("a", (*scene(poses()).tracks, *scene(poses(seed=3)).tracks))
    figure = strip(two, Look(frames="2"))
    assert [text.get_text() for text in figure.axes[0].texts].count("here") == 2


def test_flat_is_not_changed_by_being_drawn() -> None:
    flat: Flat = flatten(scene(poses()).tracks)[0]
    before = flat.points.copy()
    marks(flat, 0, Place(0, 0, 1), design.WHITE, names=True)
    np.testing.assert_array_equal(flat.points, before)
