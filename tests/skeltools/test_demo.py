"""The demo: bodies that move like bodies, sensors that report like sensors, files that are genuine."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import skeltools
from schemas import SkelError, UsageError
from skeltools import skeletons
from skeltools.conversion import convert
from skeltools.datasets import DATASETS
from skeltools.demo import (
    ACTIONS,
    CONVENTIONS,
    body_of,
    files,
    kinematics,
    motion,
    perform,
    sensors,
    write_demo,
    write_demo_recordings,
)
from skeltools.demo.body import points, segment_index, segments
from skeltools.demo.draws import generator
from skeltools.demo.kinematics import Pose
from skeltools.demo.recordings import CLASSES
from skeltools.inspect.validate import validate
from skeltools.sequence import SkeletonSequence
from skeltools.single import read_clips

Array = NDArray[np.float64]
FPS = 30.0
SUBJECTS = (1, 2, 3)
STANDING = (1, 3, 7, 10, 23, 38, 40, 50, 58)
"""Actions in which no foot leaves the floor."""


@cache
def performed(action: int) -> tuple[Pose, ...]:
    """Everybody in three takes of an action."""
    return tuple(person for subject in SUBJECTS for person in perform(action, subject))


def place(person: Pose, segment: str) -> Array:
    return person.origin[:, segment_index()[segment]]


def flexion(person: Pose, side: str, upper: str, lower: str, end: str) -> Array:
    """[T] degrees between the two bones of a limb; 0 is straight."""
    a, b, c = (place(person, f"{side} {name}") for name in (upper, lower, end))
    first, second = b - a, c - b
    cosine = np.sum(first * second, 1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


# -- the body ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_joint_is_a_point_of_a_body_that_is_symmetric(convention: str) -> None:
    spec, where, names = skeletons.load(convention), points(convention), list(segments())
    assert where.offset.shape == (spec.num_joints, 3)
    for joint, twin in enumerate(spec.left_right_swap):
        here, there = names[where.segment[joint]], names[where.segment[twin]]
        assert here.split()[-1] == there.split()[-1]
        assert {here.split()[0], there.split()[0]} in ({"left", "right"}, {here})
        np.testing.assert_array_equal(where.offset[joint], where.offset[twin] * [-1, 1, 1])


def test_subjects_differ_in_size_and_proportions() -> None:
    bodies = [body_of(subject, 0) for subject in range(1, 13)]
    assert len({body.stature for body in bodies}) == 12
    assert len({round(body.of("left thigh") / body.of("left shank"), 6) for body in bodies}) == 12
    assert all(1.5 < body.stature < 1.95 for body in bodies)
    assert all(0.465 < body.leg / body.stature < 0.515 for body in bodies)


def test_the_upright_body_has_the_heights_of_the_tables() -> None:
    """Winter's figure 4.1: knee 0.285, hip 0.530, shoulder 0.818 of stature; here within 4 %."""
    person = perform(38, 1)[0]
    height = {name: place(person, name)[0, 1] / person.body.stature for name in segments()}
    for name, share in (("left shank", 0.285), ("left thigh", 0.530), ("left upperarm", 0.818)):
        assert height[name] == pytest.approx(share, abs=0.04)
    assert person.joints("berkeley_mhad_43")[0, 0, 1] == pytest.approx(person.body.stature, rel=0.04)


# -- the motion -------------------------------------------------------------------------------------


def test_a_performance_depends_on_its_names_only() -> None:
    first = perform(7, 3, 2, seed=5)[0].joints("smplx_42")
    perform(55, 1)
    again = perform(7, 3, 2, seed=5)[0].joints("smplx_42")
    np.testing.assert_array_equal(first, again)
    for other in (perform(7, 3, 1, seed=5), perform(7, 3, 2, seed=6), perform(7, 4, 2, seed=5)):
        joints = other[0].joints("smplx_42")
        assert joints.shape != first.shape or not np.allclose(joints, first)


def test_unknown_actions_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown demo action '2'"):
        perform(2, 1)


@pytest.mark.parametrize("action", ACTIONS)
def test_bones_keep_their_length(action: int) -> None:
    for person in performed(action):
        for name, (parent, _) in segments().items():
            if parent:
                length = np.linalg.norm(place(person, name) - place(person, parent), axis=1)
                assert np.ptp(length) < 1e-9
        joints, spec = person.joints("kinectv2_25"), skeletons.load("kinectv2_25")
        for bone in ("Elbow", "Wrist", "Hand", "Knee", "Ankle"):
            child = spec.joints.index(f"{bone}Left")
            sides = [(child, spec.parents[child]), (child + 4, spec.parents[child + 4])]
            left, right = (np.linalg.norm(joints[:, a] - joints[:, b], axis=1) for a, b in sides)
            assert np.ptp([left, right]) < 1e-9


@pytest.mark.parametrize("action", ACTIONS)
def test_motion_is_smooth(action: int) -> None:
    """Hands reach 10 m/s and 150 m/s^2 in a throw or a punch; a jump of one frame would be thousands."""
    for person in performed(action):
        joints = person.joints("kinectv2_25")
        assert np.linalg.norm(np.diff(joints, 1, axis=0), axis=-1).max() * FPS < 12
        assert np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).max() * FPS**2 < 200


@pytest.mark.parametrize("action", ACTIONS)
def test_joints_stay_within_their_range(action: int) -> None:
    for person in performed(action):
        for side in ("left", "right"):
            assert flexion(person, side, "upperarm", "forearm", "hand").max() < 149
            assert flexion(person, side, "thigh", "shank", "foot").max() < 141
            _knee_bends_forward(person, side)
        chest, head = (person.rotation[:, segment_index()[name]] for name in ("thorax", "head"))
        turn = np.degrees(np.arccos(np.clip((np.einsum("tij,tij->t", chest, head) - 1) / 2, -1, 1)))
        assert turn.max() < 75


def _knee_bends_forward(person: Pose, side: str) -> None:
    hip, knee, ankle = (place(person, f"{side} {name}") for name in ("thigh", "shank", "foot"))
    ahead = person.rotation[:, segment_index()["pelvis"], :, 2]
    bulge = np.sum((knee - (hip + ankle) / 2) * ahead, axis=1)
    thigh_is_level = np.abs(np.sum((knee - hip) * ahead, axis=1)) > 0.3
    assert np.all((bulge > -0.02) | thigh_is_level)


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_sinks_into_the_floor(action: int) -> None:
    for person in performed(action):
        assert min(person.joints(convention)[..., 1].min() for convention in CONVENTIONS) > -0.02


@pytest.mark.parametrize("action", STANDING)
def test_planted_feet_stay_where_they_are(action: int) -> None:
    for person in performed(action):
        for toes in ("left toes", "right toes"):
            assert np.ptp(place(person, toes), axis=0).max() < 0.005


def test_walking_feet_do_not_slide() -> None:
    for person in performed(59):
        for toes in ("left toes", "right toes"):
            way = place(person, toes)
            low = way[:, 1] < way[0, 1] + 0.001
            speed = np.linalg.norm(np.diff(way, axis=0), axis=1) * FPS
            assert speed[low[1:] & low[:-1]].max() < 0.1


def test_a_jump_is_a_free_fall() -> None:
    for person in performed(27):
        height = place(person, "pelvis")[:, 1]
        air = place(person, "left toes")[:, 1] > 0.08
        inside = air[:-2] & air[1:-1] & air[2:]
        assert inside.sum() >= 3
        fall = np.diff(height, 2) * FPS**2
        assert np.abs(fall[inside] + 9.81).max() < 1.5  # the body also unfolds and sways a little
        assert 0.1 < height.max() - height[0] < 0.45


def test_two_persons_meet() -> None:
    right = skeletons.load("kinectv2_25").joints.index("HandRight")
    for subject in SUBJECTS:
        first, second = (person.joints("kinectv2_25") for person in perform(58, subject))
        middle = len(first) // 2
        assert np.linalg.norm(first[middle, right] - second[middle, right]) < 0.15
        first, second = (place(person, "thorax") for person in perform(55, subject))
        apart = np.linalg.norm(first - second, axis=1)
        assert apart[0] > 0.8
        assert 0.12 < apart.min() < 0.5
        first, second = (place(person, "pelvis") for person in perform(59, subject))
        apart = np.linalg.norm(first - second, axis=1)
        assert apart[0] - apart[-1] > 1.0


def test_two_persons_face_each_other() -> None:
    for action in (50, 55, 58, 59):
        first, second = perform(action, 1)
        facing = [person.rotation[0, 0] @ [0.0, 0.0, 1.0] for person in (first, second)]
        toward = place(second, "pelvis")[0] - place(first, "pelvis")[0]
        toward /= np.linalg.norm(toward)
        assert facing[0] @ toward > 0.9
        assert facing[1] @ toward < -0.9


def test_the_classes_can_be_told_apart_across_subjects() -> None:
    """Nearest neighbour on centred, turned, resampled joints: far above chance, not perfect."""
    solo = [action for action, script in ACTIONS.items() if script.solo]
    clips = {(a, s): _normalised(perform(a, s)[0]) for a in solo for s in range(1, 7)}
    right = 0
    for (action, subject), clip in clips.items():
        others = {key: np.abs(clip - other).mean() for key, other in clips.items() if key[1] != subject}
        right += min(others, key=lambda key: others[key])[0] == action
    assert 0.6 < right / len(clips) < 1.0


def _normalised(person: Pose) -> Array:
    joints = person.joints("kinectv2_25")
    joints = joints[np.linspace(0, len(joints) - 1, 24).round().astype(int)]
    line = joints[0, 4] - joints[0, 8]
    yaw = np.arctan2(-line[2], line[0])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    return (joints - joints[0, :1]) @ turn.T


# -- the parts --------------------------------------------------------------------------------------


def test_two_bones_reach_what_they_can() -> None:
    rng = np.random.default_rng(0)
    start, pole = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    direction = rng.normal(size=(50, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    for distance, reached in ((0.45, 0.45), (0.9, 0.58), (0.05, 0.17)):
        upper, lower = kinematics.two_bones(
            start,
            start + distance * direction,
            pole,
            lengths=(0.32, 0.26),
            limit=np.radians(148),
            forward=False,
        )
        end = start - 0.32 * upper[:, :, 1] - 0.26 * lower[:, :, 1]
        np.testing.assert_allclose(end, start + reached * direction, atol=0.012)
        for frame in (upper, lower):
            np.testing.assert_allclose(
                frame @ frame.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-9
            )
            np.testing.assert_allclose(np.linalg.det(frame), 1.0)


def test_euler_angles_turn_as_documented() -> None:
    quarter = np.pi / 2
    pitch, yaw, roll = (kinematics.euler(np.array([angles]))[0] for angles in np.eye(3) * quarter)
    np.testing.assert_allclose(pitch @ [0, 1, 0], [0, 0, 1], atol=1e-12)  # up goes forward
    np.testing.assert_allclose(yaw @ [0, 0, 1], [1, 0, 0], atol=1e-12)  # forward goes left
    np.testing.assert_allclose(roll @ [1, 0, 0], [0, 1, 0], atol=1e-12)  # left goes up
    both = kinematics.euler(np.array([[0.3, 0.8, -0.4]]))[0]
    parts = [kinematics.euler(np.array([a]))[0] for a in ([0, 0.8, 0], [0.3, 0, 0], [0, 0, -0.4])]
    np.testing.assert_allclose(both, parts[0] @ parts[1] @ parts[2], atol=1e-12)


def test_a_path_rests_at_its_keys() -> None:
    time = np.linspace(-0.2, 1.2, 1401)
    track = motion.path(time, [(0.0, 1.0), (0.5, 3.0), (1.0, -1.0)])
    assert track[0] == 1.0
    assert track[-1] == -1.0
    at = [int(np.argmin(np.abs(time - key))) for key in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(track[at], [1, 3, -1], atol=1e-9)
    assert np.abs(np.gradient(track, time)[at]).max() < 1e-3


def test_a_quintic_meets_its_end_states() -> None:
    time = np.linspace(0.3, 0.9, 20001)
    track = motion.quintic(time, (0.3, 0.9), (1.0, -2.0, 3.0), (0.5, 1.0, -9.81))
    speed = np.gradient(track, time, edge_order=2)
    bend = np.gradient(speed, time, edge_order=2)
    np.testing.assert_allclose([track[0], speed[0], bend[5]], [1.0, -2.0, 3.0], atol=0.06)
    np.testing.assert_allclose([track[-1], speed[-1], bend[-6]], [0.5, 1.0, -9.81], atol=0.06)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_steps_arrive(count: int) -> None:
    trunk, feet = motion.steps(np.linspace(-0.3, 1.3, 400), (0.1, 0.9), count, 1)
    assert trunk[0] == 0
    assert trunk[-1] == pytest.approx(1.0)
    assert np.all(np.diff(trunk) >= -1e-12)
    assert max(foot[-1, 0] for foot in feet.values()) == pytest.approx(1.0)
    for foot in feet.values():
        np.testing.assert_allclose(foot[[0, -1], 1:], 0, atol=1e-9)


def test_neighbouring_ids_get_unrelated_draws() -> None:
    draws = {tuple(generator(0, "a", *ids).random(2)) for ids in ((1, 2), (2, 1), (12,), (1, 2, 0))}
    assert len(draws | {tuple(generator(0, "b", 1, 2).random(2))}) == 5


# -- the sensors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3])
def test_cameras_look_at_the_persons(number: int) -> None:
    for setup in (2, 4):
        camera = sensors.camera(number, setup, seed=0)
        np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.axes) == pytest.approx(1.0)
        assert camera.axes[1, 1] > 0.9  # y is up
        for action in (27, 59):
            for person in performed(action):
                pixels = files.depth_pixels(camera.see(person.joints("kinectv2_25")))
                assert np.all((pixels > 0) & (pixels < files.DEPTH_SIZE))


def test_a_person_who_faces_the_camera_has_the_left_side_at_negative_x() -> None:
    """Kinect's x grows to the sensor's left, which is the right of somebody who faces it."""
    person = perform(38, 2)[0]
    facing = np.degrees(np.arctan2(*(person.rotation[0, 0] @ [0.0, 0.0, 1.0])[[0, 2]]))
    assert abs(facing - 45) < 50  # first repetitions face camera 2
    joints = sensors.camera(2, 2, seed=0).see(person.joints("kinectv2_25"))
    assert np.all(joints[:, 4, 0] < joints[:, 8, 0])


def test_pixels_fit_the_published_joint() -> None:
    """The first joint of S001C001P001R001A001, to the accuracy of nominal lenses."""
    joint = np.array([0.2181153, 0.1725972, 3.785547])
    np.testing.assert_allclose(files.depth_pixels(joint), [277.419, 191.8218], atol=0.5)
    np.testing.assert_allclose(files.colour_pixels(joint), [1036.233, 519.1677], atol=2)


def test_kinect_noise_is_moderate_and_hidden_joints_are_inferred() -> None:
    view = sensors.camera(1, 4, seed=0)
    visible, hidden = [], []
    for action in (1, 10, 58):
        people = perform(action, 1)
        reported, _ = sensors.kinect(people, view, generator(0, "test", action))
        error = np.linalg.norm(reported[0].joints - view.see(people[0].joints("kinectv2_25")), axis=-1)
        tracked = reported[0].state == sensors.TRACKED
        assert set(np.unique(reported[0].state)) <= {sensors.INFERRED, sensors.TRACKED}
        visible.append(error[tracked])
        hidden.append(error[~tracked])
    assert 0.02 < np.median(np.concatenate(visible)) < 0.10
    assert np.median(np.concatenate(hidden)) > 1.5 * np.median(np.concatenate(visible))


def test_orientations_point_along_the_bone_that_ends_in_the_joint() -> None:
    """Kinect's convention: y of a joint's frame points from its parent to the joint."""
    view, person = sensors.camera(1, 4, seed=0), perform(24, 1)[:1]
    body = sensors.kinect(person, view, generator(0, "test"))[0][0]
    joints = view.see(person[0].joints("kinectv2_25"))
    for child, parent in ((5, 4), (6, 5), (13, 12), (14, 13), (9, 8), (10, 9), (17, 16), (18, 17)):
        bone = joints[:, child] - joints[:, parent]
        w, x, y, z = body.orientation[:, child].T
        along = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], axis=1)
        cosine = np.sum(along * bone, axis=1) / np.linalg.norm(bone, axis=1)
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 25


def test_metrabs_sees_the_mirror_image() -> None:
    person, view = perform(1, 1)[:1], sensors.camera(2, 4, seed=0)
    found = sensors.metrabs(person, view, ("smplx_42",), generator(0, "test"))
    alone = np.flatnonzero(found.people_per_frame == 1)
    rows = np.cumsum(found.people_per_frame)[alone] - 1
    seen = found.poses["smplx_42"][rows] / 1000 * [1, -1, 1]
    true = view.see(person[0].joints("smplx_42"))[alone]
    seen, true = seen - seen[:, :1], true - true[:, :1]
    swap = list(skeletons.load("smplx_42").left_right_swap)
    exchanged = np.linalg.norm(seen[:, swap] - true, axis=-1).mean()
    assert exchanged < 0.08
    assert np.linalg.norm(seen - true, axis=-1).mean() > 2 * exchanged


# -- the files --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    write_demo(out, subjects=2, actions=(1, 58), seed=3)
    return out / "ntu60"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_layout_and_summary(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = write_demo(
        tmp_path, subjects=1, actions=(38,), cameras=2, on_progress=lambda *done: calls.append(done)
    )
    assert calls == [(1, 2), (2, 2)]
    folder = tmp_path / "ntu60"
    ids = ["S004C001P001R001A038", "S004C002P001R001A038"]
    expected = {f"nturgb+d_skeletons/{name}.skeleton" for name in ids} | {"DEMO.json"}
    expected |= {f"metrabs/{c}/{n}.npz" for c in ("smplx_42", "smpl_24", "berkeley_mhad_43") for n in ids}
    found = contents(folder)
    assert set(found) == expected
    assert (summary.clips, summary.performances, summary.files) == (2, 1, 9)
    assert summary.bytes == sum(map(len, found.values()))
    assert [path.name for path in tmp_path.iterdir()] == ["ntu60"]
    marker = json.loads(found["DEMO.json"])
    assert marker["synthetic"] is True
    assert marker["seed"] == 0


def test_same_seed_same_bytes_in_any_selection(demo: Path, tmp_path: Path) -> None:
    write_demo(tmp_path, subjects=2, actions=(58,), seed=3)
    whole, part = contents(demo), contents(tmp_path / "ntu60")
    del part["DEMO.json"]
    assert len(part) == 24
    assert all(whole[name] == data for name, data in part.items())
    write_demo(tmp_path, subjects=1, actions=(58,), seed=4)  # replaces the earlier one
    other = contents(tmp_path / "ntu60")
    assert len(other) == 13
    assert all(whole[name] != data for name, data in other.items())


def test_no_clip_is_on_the_official_list_of_missing_samples() -> None:
    clips = {
        files.sample_id(files.setup_of(subject), camera, subject, 1, action)
        for action in ACTIONS
        for subject in range(1, 11)
        for camera in (1, 2, 3)
    }
    assert not clips & DATASETS["ntu60"].missing


def test_skeleton_text_line_by_line(demo: Path) -> None:
    """Against a slow, literal reading of the format."""
    for path in sorted((demo / "nturgb+d_skeletons").iterdir()):
        lines = iter(path.read_text(encoding="ascii").split("\n")[:-1])
        frames = int(next(lines))
        assert 30 < frames < 130
        for _ in range(frames):
            for _ in range(int(next(lines))):
                _check_body(next(lines).split(), [next(lines)] + [next(lines) for _ in range(25)])
        assert next(lines, None) is None


def _check_body(fields: list[str], lines: list[str]) -> None:
    assert len(fields) == 10
    assert len(fields[0]) == 17
    assert int(fields[0]) > 2**56
    assert [field for field in fields[1:7] if not field.isdigit()] == []
    assert all(-1 <= float(lean) <= 1 for lean in fields[7:9])
    assert int(lines[0]) == 25
    for joint, line in enumerate(lines[1:]):
        x, y, z, column, row, *colour, w, i, j, k, state = (float(word) for word in line.split())
        assert 1.5 < z < 5.5
        assert column == pytest.approx(365.5 * x / z + 256.4, abs=0.01)
        assert row == pytest.approx(208.5 - 365.5 * y / z, abs=0.01)
        assert len(colour) == 2
        size = w * w + i * i + j * j + k * k
        assert size == pytest.approx(0.0 if joint in (3, 15, 19, 21, 22, 23, 24) else 1.0, abs=1e-4)
        assert state in (1.0, 2.0)


def test_metrabs_files_belong_to_the_kinect_files(demo: Path) -> None:
    for path in sorted((demo / "nturgb+d_skeletons").iterdir()):
        frames = int(path.read_text(encoding="ascii").split(maxsplit=1)[0])
        for convention in ("smplx_42", "smpl_24", "berkeley_mhad_43"):
            with np.load(demo / "metrabs" / convention / f"{path.stem}.npz", allow_pickle=False) as arrays:
                people, poses = arrays["people_per_frame"], arrays["poses3d"]
                assert tuple(arrays["joint_names"]) == skeletons.load(convention).joints
            assert people.shape == (frames,)
            assert poses.shape == (people.sum(), skeletons.load(convention).num_joints, 3)
            assert poses.dtype == np.float32
            assert poses[..., 2].min() > 1500


def test_accidents_happen_and_leave_a_readable_clip() -> None:
    """Over many clips: lost frames, exchanged places, third bodies; never a clip without any body."""
    people, view, seen = perform(58, 1), sensors.camera(1, 4, seed=0), set()
    for number in range(60):
        bodies, order = sensors.kinect(people, view, generator(0, "test", number))
        here = np.stack([body.seen for body in bodies], axis=1)
        assert here.any()
        assert len({body.id for body in bodies}) == len(bodies)
        seen |= {"lost"} if not here.any(axis=1).all() else set()
        seen |= {"third"} if len(bodies) > 2 else set()
        seen |= {"exchanged"} if np.ptp(np.sign(np.diff(order, axis=1))) else set()
        seen |= {"late"} if here[0].sum() == 1 else set()
    assert seen == {"lost", "third", "exchanged", "late"}


def test_other_data_are_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "ntu60"
    folder.mkdir()
    (folder / "mine.skeleton").write_text("1\n0\n")
    with pytest.raises(SkelError, match=r"ntu60: holds files that are not of a demo\. .*another folder"):
        write_demo(tmp_path, subjects=1, actions=(1,))
    (folder / "mine.skeleton").unlink()
    write_demo(tmp_path, subjects=1, actions=(1,), cameras=1)  # an empty folder is fine
    (folder / "nturgb+d_skeletons" / "S001C001P001R001A001.skeleton").write_text("1\n0\n")
    before = contents(folder)
    with pytest.raises(SkelError, match=r"holds 1 files besides the demo, e\.g\. nturgb"):
        write_demo(tmp_path, subjects=1, actions=(1,), cameras=1)
    assert contents(folder) == before


@pytest.mark.parametrize("marker", ["", "[]", "{}", '{"seed": 0, "subjects": 1000000000}'])
def test_a_damaged_marker_is_an_error(tmp_path: Path, marker: str) -> None:
    (tmp_path / "ntu60").mkdir()
    (tmp_path / "ntu60" / "DEMO.json").write_text(marker)
    with pytest.raises(SkelError, match="no marker of a demo"):
        write_demo(tmp_path, subjects=1, actions=(1,))


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_demo(tmp_path, subjects=1, actions=(1,), on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SkelError, match="cannot write the demo"):
        write_demo(tmp_path / "file", subjects=1, actions=(1,))


@pytest.mark.parametrize(
    ("name", "value"), [("subjects", 0), ("subjects", 41), ("repetitions", 0), ("cameras", 4), ("seed", -1)]
)
def test_arguments_out_of_range(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(UsageError, match=name):
        write_demo(tmp_path, **{name: value})
    with pytest.raises(UsageError, match="unknown demo action '120'"):
        write_demo(tmp_path, actions=(1, 120))


def test_recordings_are_the_demos_actions_one_after_another(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"subjects": 3, "cameras": 1, "actions": (10, 24, 58, 59), "seed": 3}
    folder = write_demo_recordings(tmp_path / "raw", **arguments)
    summary = convert("pku-mmd-1", raw=folder, out=tmp_path / "s.zarr", uncut=True)
    assert not summary.findings
    assert (summary.manifest.synthetic, summary.manifest.protocols["xsub"].test) == (True, 1)
    assert validate(tmp_path / "s.zarr") == ()
    made = skeltools.open(tmp_path / "s.zarr")
    assert made.ids == ("0001-L", "0002-L", "0293-L")
    ntu = DATASETS["ntu60"].classes
    assert ntu is not None
    for id, subject in zip(made.ids, (1, 2, 3), strict=True):
        clip = made[id]
        assert clip.frame_labels is not None
        edges = np.flatnonzero(np.diff(clip.frame_labels, prepend=-2))
        runs = [(int(clip.frame_labels[at]), int(at)) for at in edges]
        assert sorted(made.classes[label] for label, _ in runs if label >= 0) == sorted(
            ["clapping", "kicking something", "handshaking"]
        ), "walking towards each other is none of PKU-MMD's"
        assert [label for label, _ in runs][1::2] == [-1, -1], "pauses between them"
        start = dict(runs)[made.classes.index("clapping")]
        length = min(20, int((clip.frame_labels == made.classes.index("clapping")).sum()))
        write_demo(tmp_path / "ntu", subjects=3, cameras=1, actions=(10,), seed=3)
        name = files.sample_id(files.setup_of(subject), 1, subject, 1, 10)
        same = ntu_clip(tmp_path / "ntu" / "ntu60" / files.NATIVE_FOLDER / f"{name}.skeleton")
        seen = clip.present[start : start + length, 0] & same.present[:length, 0]
        gap = np.abs(clip.joints[start : start + length, 0] - same.joints[:length, 0])[seen]
        assert gap.max() < 1e-5
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert write_demo_recordings(tmp_path / "raw", **arguments) == folder
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(SkelError, match="holds 1 files besides the demo"):
        write_demo_recordings(tmp_path / "raw", **arguments)


def ntu_clip(path: Path) -> SkeletonSequence:
    (found,) = read_clips(path, skeletons.load("kinectv2_25"))
    assert found.sequence is not None
    return found.sequence


def test_actions_of_recordings_have_the_names_of_the_same_ones_of_ntu() -> None:
    ntu, pku = DATASETS["ntu60"].classes, DATASETS["pku-mmd-1"].classes
    assert ntu is not None
    assert pku is not None
    for action, number in CLASSES.items():
        assert ntu[action - 1].startswith(pku[number - 1]), (ntu[action - 1], pku[number - 1])
    assert set(ACTIONS) - set(CLASSES) == {59}
