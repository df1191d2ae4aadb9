"""Lists of frames in JSON, of people's own scripts and of Azure Kinect, mmskeleton and CMU Panoptic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import ConfigError, RawDataError
from skeltools import custom, skeletons
from skeltools.custom.registry import CLIP_FORMATS, format_of
from tests.skeltools import pose_json_files as files
from tests.skeltools.own_data import odd_values_are_refused_or_sound, read, settings
from tests.skeltools.test_readers_pose_json import metres

Entries = list[dict[str, Any]]
COCO = list(skeletons.load("coco_17").joints)
AZURE = skeletons.load("azure_kinect_32")


def nested(pose: NDArray[Any], score: NDArray[Any]) -> list[list[float]]:
    return np.concatenate([pose, score[:, None]], axis=1).tolist()


def of_one(poses: NDArray[Any], score: NDArray[Any]) -> Entries:
    """An entry for every person of every frame."""
    return [
        {"frame": t, "keypoints": nested(p, s), "bbox": [0, 0, 9, 9]}
        for t, people in enumerate(files.here(poses, score))
        for _, p, s in people
    ]


def keyed(key: str, value: Callable[[int], Any]) -> Callable[[NDArray[Any], NDArray[Any]], Entries]:
    def write(poses: NDArray[Any], score: NDArray[Any]) -> Entries:
        return [{key: value(e["frame"]), "keypoints": e["keypoints"]} for e in of_one(poses, score)]

    return write


def columns(poses: NDArray[Any], score: NDArray[Any]) -> Entries:
    points = zip(poses[:, 0], score[:, 0], strict=True)
    return [
        {"frame": t, "keypoints": {"x": p[:, 0].tolist(), "y": p[:, 1].tolist(), "visible": s.tolist()}}
        for t, (p, s) in enumerate(points)
    ]


def people(poses: NDArray[Any], score: NDArray[Any]) -> Entries:
    return [
        {"frame_id": t, "people": [{"track_id": m, "keypoints": nested(p, s)} for m, p, s in there]}
        for t, there in enumerate(files.here(poses, score))
    ]


FORMS: dict[str, Callable[[NDArray[Any], NDArray[Any]], Any]] = {
    "frame": of_one,
    **{key: keyed(key, int) for key in ("frame_id", "frame_idx", "frame_number", "frameIndex")},
    "counted from 1": keyed("frame", lambda t: t + 1),
    "digits": keyed("frame", str),
    "name of an image": keyed("frame", lambda t: f"frame_{t:04d}.jpg"),
    "image": keyed("image", lambda t: f"frame_{t:04d}.jpg"),
    "timestamp": keyed("timestamp", lambda t: 0.04 * t),
    "microseconds": keyed("timestamp_usec", lambda t: 10**16 + 33_333 * t),
    "flat": lambda p, s: [e | {"keypoints": np.ravel(e["keypoints"]).tolist()} for e in of_one(p, s)],
    "scores apart": lambda p, s: [
        {"frame": t, "keypoints": a.tolist(), "keypoint_scores": b.tolist()}
        for t, (a, b) in enumerate(zip(p[:, 0], s[:, 0], strict=True))
    ],
    "x and y apart": columns,
    "objects": lambda p, s: [
        {"frame": t, "keypoints": [{"x": x, "y": y, "score": v} for (x, y), v in zip(a, b, strict=True)]}
        for t, (a, b) in enumerate(zip(p[:, 0].tolist(), s[:, 0].tolist(), strict=True))
    ],
    "by name": lambda p, s: [
        {"frame": t, "joints": dict(zip(COCO[::-1], nested(a, b)[::-1], strict=True)) | {"hat": [1, 2, 0.5]}}
        for t, (a, b) in enumerate(zip(p[:, 0], s[:, 0], strict=True))
    ],
    "by name, scores apart": lambda p, s: [
        {
            "frame": t,
            "joints": dict(zip(COCO[::-1], a[::-1].tolist(), strict=True)),
            "scores": b[::-1].tolist(),
        }
        for t, (a, b) in enumerate(zip(p[:, 0], s[:, 0], strict=True))
    ],
    "objects with names": lambda p, s: [
        {
            "frame": t,
            "keypoints": [
                {"name": name, "x": x, "y": y, "score": v}
                for name, (x, y, v) in zip(COCO[::-1], nested(a, b)[::-1], strict=True)
            ],
        }
        for t, (a, b) in enumerate(zip(p[:, 0], s[:, 0], strict=True))
    ],
    "arrays of people": lambda p, s: [
        {"frame": t, "keypoints": a.tolist(), "scores": b.tolist()}
        for t, (a, b) in enumerate(zip(p, s, strict=True))
    ],
    "people": people,
    "in frames": lambda p, s: {"frames": of_one(p, s)},
    "in frames, after fps": lambda p, s: {"fps": 30, "video": {"w": 1}, "frames": of_one(p, s)},
    "in frames, before fps": lambda p, s: {"frames": people(p, s), "fps": 30},
    "in frames without numbers": lambda p, s: {
        "frames": [{"keypoints": e["keypoints"]} for e in of_one(p, s)]
    },
    "people by identity": lambda p, s: {
        "data": [
            {
                "frame_index": e["frame_id"],
                "people": {f"p{q['track_id']}": q["keypoints"] for q in e["people"]},
            }
            for e in people(p, s)
        ]
    },
    "by number": lambda p, s: {str(e["frame_id"]): {"people": e["people"]} for e in people(p, s)},
    "mmskeleton": lambda p, s: {
        "info": {"num_keypoints": 17, "keypoint_channels": ["x", "y", "score"], "version": "1.0"},
        "annotations": [
            {"frame_index": e["frame"], "id": 0, "person_id": None, "keypoints": e["keypoints"]}
            for e in of_one(p, s)
        ],
        "category_id": 3,
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_back(tmp_path: Path, form: str) -> None:
    poses, score = files.pixels(7)
    files.dump(tmp_path / "wave.json", FORMS[form](poses, score))
    settings(tmp_path, **files.FLAT, convention="coco_17")
    clip = read(tmp_path)
    assert clip.id == "wave"
    np.testing.assert_allclose(clip.joints, metres(poses), atol=1e-6)
    assert clip.score is not None
    np.testing.assert_allclose(clip.score, score, atol=1e-6)


@pytest.mark.parametrize(
    "form", ["frame", "frame_idx", "image", "timestamp", "people", "in frames", "mmskeleton"]
)
def test_the_same_number_twice_is_two_people(tmp_path: Path, form: str) -> None:
    poses, score = files.pixels(6, 2)
    poses[3, 1] = np.nan
    files.dump(tmp_path / "wave.json", FORMS[form](poses, score))
    settings(tmp_path, **files.FLAT, convention="coco_17", bodies=2)
    clip = read(tmp_path)
    assert clip.present.sum(axis=0).tolist() == [6, 5]
    np.testing.assert_allclose(clip.joints, metres(poses) * clip.present[..., None, None], atol=1e-6)


@pytest.mark.parametrize("form", ["people", "people by identity"])
def test_identities_go_before_our_tracks(tmp_path: Path, form: str) -> None:
    """Two people who change places in one frame: only the file knows."""
    poses, score = files.pixels(6, 2)
    poses[3:] = poses[3:, ::-1].copy()
    files.dump(tmp_path / "wave.json", FORMS[form](poses, score))
    settings(tmp_path, **files.FLAT, convention="coco_17", bodies=2)
    joints = read(tmp_path).joints
    same = np.abs(joints[0, 0] - metres(poses)[0, 0]).max() < 1e-6
    np.testing.assert_allclose(joints if same else joints[:, ::-1], metres(poses), atol=1e-6)


def test_numbers_of_entries_are_no_identities(tmp_path: Path) -> None:
    poses, score = files.pixels(6)
    content = [entry | {"id": 100 + i} for i, entry in enumerate(of_one(poses, score))]
    files.dump(tmp_path / "wave.json", content)
    settings(tmp_path, **files.FLAT, convention="coco_17")
    assert read(tmp_path).present.shape == (6, 1)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_json_lines(tmp_path: Path, suffix: str) -> None:
    poses, score = files.pixels(6)
    lines = [json.dumps(entry) for entry in of_one(poses, score)]
    (tmp_path / f"wave_1.{suffix}").write_text("\n".join([*lines, ""]))
    settings(tmp_path, **files.FLAT, convention="coco_17")
    if suffix == "jsonl":
        np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)
        (tmp_path / f"wave_1.{suffix}").write_text("\n".join([*lines[:2], lines[2][:50]]))
        with pytest.raises(RawDataError, match="line 3: "):
            read(tmp_path)
    else:
        np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)


def test_numbered_files_of_frames_are_clips(tmp_path: Path) -> None:
    clips = {f"wave_{n}": files.pixels(5 + n, seed=n) for n in (1, 2, 3)}
    for name, (poses, score) in clips.items():
        files.dump(tmp_path / f"{name}.json", of_one(poses, score))
    settings(tmp_path, **files.FLAT, convention="coco_17")
    items = custom.discover(tmp_path).items
    assert [item.id for item in items] == list(clips)
    for item in items:
        np.testing.assert_allclose(custom.read(item).joints, metres(clips[item.id][0]), atol=1e-6)


@pytest.mark.parametrize("form", ["frame", "people"])
def test_numbered_files_of_one_frame_are_one_clip(tmp_path: Path, form: str) -> None:
    """People of one frame are a frame, also where the first ones fill the beginning of the file."""
    poses, score = files.pixels(4, 8)
    for t in range(4):
        entries = FORMS[form](poses[t : t + 1], score[t : t + 1])
        content = [e | {"frame": t} for e in entries] if form == "frame" else entries[0]
        files.dump(tmp_path / "wave" / f"{t:04d}.json", content)
    settings(tmp_path, **files.FLAT, convention="coco_17", bodies=8)
    clip = read(tmp_path)
    assert clip.id == "wave"
    np.testing.assert_allclose(clip.joints, metres(poses), atol=1e-6)


def test_missing_frames_and_frames_without_people(tmp_path: Path) -> None:
    poses, score = files.pixels(6)
    entries = of_one(poses, score)
    entries[2]["keypoints"] = []
    del entries[4]
    files.dump(tmp_path / "wave.json", [*entries, None, {"frame": 6}])
    settings(tmp_path, **files.FLAT, convention="coco_17")
    assert read(tmp_path).present[:, 0].tolist() == [True, True, False, True, False, True, False]


# ---- frames or people --------------------------------------------------------------------------------------


def test_poses_without_frames_are_refused(tmp_path: Path) -> None:
    poses, score = files.pixels(8)
    entries = [{"keypoints": e["keypoints"]} for e in of_one(poses, score)]
    path = files.dump(tmp_path / "wave.json", entries)
    settings(tmp_path, **files.FLAT, convention="coco_17")
    with pytest.raises(RawDataError, match="8 frames of one person, or 8 people in one image") as error:
        read(tmp_path)
    assert '"frame": 0' in str(error.value)
    assert "layout: T V C" in str(error.value)
    settings(tmp_path, **(files.FLAT | {"layout": "T V C"}), convention="coco_17")
    np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)
    path.rename(tmp_path / "wave_1.json")
    with pytest.raises(RawDataError, match="8 frames of one person"):
        read(tmp_path)


def test_people_of_an_image_are_people(tmp_path: Path) -> None:
    poses, score = files.pixels(1, 3)
    files.dump(tmp_path / "street.json", files.instances(files.here(poses, score)[0]))
    settings(tmp_path, **files.FLAT, convention="coco_17", bodies=3)
    np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)


# ---- Azure Kinect, CMU Panoptic, ZED -----------------------------------------------------------------------


def _azure(path: Path, poses: NDArray[Any], *, ids: tuple[int, ...] = (1, 2)) -> Path:
    """As offline_processor writes it: keys sorted, four blanks; NaN: a body that is not there."""
    frames = [
        {
            "bodies": [
                {
                    "body_id": ids[m],
                    "joint_orientations": [[1.0, 0.0, 0.0, 0.0]] * 32,
                    "joint_positions": body.tolist(),
                }
                for m, body in enumerate(there)
                if not np.isnan(body).all()
            ],
            "frame_id": t,
            "num_bodies": len(there),
            "timestamp_usec": 100_000 + 33_333 * t,
        }
        for t, there in enumerate(poses)
    ]
    bones = [[AZURE.joints[a], AZURE.joints[b]] for a, b in AZURE.edges]
    content = {
        "bone_list": bones,
        "frames": frames,
        "joint_names": list(AZURE.joints),
        "k4abt_sdk_version": "1.1.2",
        "source_file": "a.mkv",
    }
    path.write_text(json.dumps(content, indent=4, sort_keys=True))
    return path


def test_azure_kinect(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = np.round(rng.uniform(-900, 900, (6, 2, 32, 3)) + np.array((0, 0, 3000)), 3)
    poses[0] = np.nan  # nobody in the first frame
    poses[4:, 1] = np.nan
    _azure(tmp_path / "wave.json", poses)
    settings(tmp_path, layout=None, convention="azure_kinect_32", bodies=2)
    clip = read(tmp_path)
    assert clip.present.tolist() == [[False] * 2, *[[True] * 2] * 3, *[[True, False]] * 2]
    np.testing.assert_allclose(clip.joints, np.nan_to_num(poses) * (-1e-3, -1e-3, 1e-3), atol=1e-6)


def test_bodies_of_azure_kinect_go_by_their_id(tmp_path: Path) -> None:
    """Two people who change places in one frame: only the file knows."""
    rng = np.random.default_rng(0)
    poses = rng.uniform(-300, 300, (6, 2, 32, 3)) + np.array([(-900, 0, 3000), (900, 0, 3000)])[:, None]
    poses[3:] = poses[3:, ::-1].copy()
    _azure(tmp_path / "wave.json", poses, ids=(7, 3))
    settings(tmp_path, layout=None, convention="azure_kinect_32", bodies=2)
    clip = read(tmp_path)
    mine = (
        clip.joints
        if np.sign(clip.joints[0, 0, 0, 0]) == np.sign(-poses[0, 0, 0, 0])
        else clip.joints[:, ::-1]
    )
    np.testing.assert_allclose(mine, poses * (-1e-3, -1e-3, 1e-3), atol=1e-5)


def test_cmu_panoptic(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = np.round(rng.uniform(-90, 90, (4, 19, 3)), 3)
    for t, pose in enumerate(poses):
        joints = np.concatenate([pose, np.full((19, 1), 0.5)], axis=1)
        joints[3, 3] = -1  # not found
        bodies = [{"id": 5, "joints19": joints.ravel().tolist()}] if t != 1 else []
        content = {"version": 0.7, "univTime": 1.5, "fpsType": "hd_29_97", "bodies": bodies}
        files.dump(tmp_path / "pose1" / f"body3DScene_{100 + t:08d}.json", content)
    settings(tmp_path, layout=None, convention="coco_19", never_seen="keep")
    clip = read(tmp_path)
    assert clip.id == "pose1"
    assert clip.present[:, 0].tolist() == [True, False, True, True]
    others = [0, 1, 2, *range(4, 19)]
    expected = (poses * (-0.01, -0.01, 0.01))[[0, 2, 3]][:, others]
    np.testing.assert_allclose(clip.joints[[0, 2, 3], 0][:, others], expected, atol=1e-6)
    assert clip.unseen is not None
    assert clip.unseen[0, 0, 3]


def test_bodies_by_time(tmp_path: Path) -> None:
    """As ZED's samples write them."""
    rng = np.random.default_rng(0)
    poses = np.round(rng.uniform(-900, 900, (3, 32, 3)), 3)
    start = 1_600_000_000_000_000_000
    content = {
        str(start + t): {
            "timestamp": start + t,
            "body_list": [{"id": 0, "keypoint": pose.tolist(), "keypoint_confidence": [80.0] * 32}],
        }
        for t, pose in enumerate(poses)
    }
    files.dump(tmp_path / "wave.json", content)
    settings(tmp_path, layout=None, convention="azure_kinect_32")
    np.testing.assert_allclose(read(tmp_path).joints[:, 0], poses * (-1e-3, -1e-3, 1e-3), atol=1e-6)


# ---- arrays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("key", [None, "joints"])
def test_nested_lists_are_arrays(tmp_path: Path, people: int, key: str | None) -> None:
    rng = np.random.default_rng(0)
    poses = rng.uniform(0.1, 1, (4, people, 33, 3))
    array = (poses if people > 1 else poses[:, 0]).tolist()
    array[1] = np.full_like(poses[1] if people > 1 else poses[1, 0], np.nan).tolist()
    files.dump(tmp_path / "wave.json", array if key is None else {"fps": 30, key: array})
    layout = "T M V C" if people > 1 else "T V C"
    settings(
        tmp_path,
        layout=layout,
        convention="mediapipe_33",
        units="m",
        axes={"x": "left", "y": "up", "z": "forward"},
    )
    clip = read(tmp_path)
    assert clip.present[:, 0].tolist() == [True, False, True, True]
    np.testing.assert_allclose(clip.joints[[0, 2, 3]], poses[[0, 2, 3]], atol=1e-6)


def test_an_array_without_its_layout_or_name(tmp_path: Path) -> None:
    array = np.ones((4, 33, 3)).tolist()
    files.dump(tmp_path / "wave.json", array)
    settings(tmp_path, layout=None, convention="mediapipe_33")
    with pytest.raises(RawDataError, match="`layout: T V C`"):
        read(tmp_path)
    files.dump(tmp_path / "wave.json", {"a": array, "b": array})
    settings(tmp_path, layout="T V C", convention="mediapipe_33")
    with pytest.raises(RawDataError, match=r"expected one array; its keys are a, b.*`key`"):
        read(tmp_path)


# ---- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[1].pop("frame"), "entry 2 has no frame, others have"),
        (lambda c: c[1].update(frame="x"), "entry 2: frame is 'x', expected a whole number"),
        (lambda c: c[1].update(frame=10**14), "too many for one clip"),
        (lambda c: c[1].update(video="b"), "several clips: a, b"),
        (lambda c: c[1].update(keypoints=[[1, 2, 3, 4, 5]]), r"shape \(1, 5\), expected 2 to 4 numbers"),
        (lambda c: c[1].update(keypoints={"hat": [1, 2, 3]}), r"keypoints \(hat\) are none of coco_17"),
        (lambda c: c[1].update(keypoints=[1.0] * 52), "52 numbers of keypoints, expected 3"),
        (lambda c: [e.update(keypoints=e["keypoints"][:16]) for e in c], "16 keypoints, coco_17 has 17"),
        (
            lambda c: c[1].update(kpts=c[1].pop("keypoints")) or c[1].update(kk=c[1].pop("kpts")),
            "its keys are",
        ),
    ],
)
def test_damage_is_named(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    content: Any = [entry | {"video": "a"} for entry in of_one(*files.pixels(3))]
    change(content)
    files.dump(tmp_path / "wave.json", content)
    settings(tmp_path, **files.FLAT, convention="coco_17")
    with pytest.raises(RawDataError, match=message):
        read(tmp_path)


def test_deep_people_are_refused(tmp_path: Path) -> None:
    inside: Any = [[1.0, 2.0, 0.5]] * 17
    for _ in range(300):
        inside = [{"keypoints": inside}]
    files.dump(tmp_path / "wave.json", [{"frame": 0, "keypoints": inside}])
    settings(tmp_path, **files.FLAT, convention="coco_17")
    with pytest.raises(RawDataError, match=r"keypoints have shape|no list of numbers|its keys are"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"frame": 0, "pts": [[1, 2]]}], "it is a list of 1 objects; the first has the keys frame, pts"),
        (
            {"kp": [{"0": [[1, 2]]}], "n": 1},
            "has the keys kp, n; kp is a list of 1 objects; the first has the keys 0",
        ),
        ({}, "it has the keys none"),
        (3, "it is a int"),
    ],
)
def test_json_of_no_format_alone_is_named(tmp_path: Path, content: Any, message: str) -> None:
    for name in "ab":
        files.dump(tmp_path / f"{name}.json", content)
    settings(tmp_path, **files.FLAT, convention="coco_17")
    with pytest.raises(ConfigError, match=r"a\.json is JSON of no known format.*2 such files") as error:
        custom.discover(tmp_path)
    assert message in str(error.value)
    assert "`skeltools docs your-data`" in str(error.value)


def test_people_without_an_image_are_named(tmp_path: Path) -> None:
    entries = [{"id": 1, "keypoints": e["keypoints"]} for e in of_one(*files.pixels(2))]
    files.dump(tmp_path / "wave.json", {"annotations": entries})
    settings(tmp_path, **files.FLAT, convention="coco_17")
    with pytest.raises(RawDataError, match="annotation 1: has no image_id; its keys are id, keypoints"):
        read(tmp_path)


def test_other_formats_keep_their_files(tmp_path: Path) -> None:
    points = [[1.0, 2.0, 0.5]] * 17
    contents: dict[str, tuple[str, Any]] = {
        "a": ("mmpose", [{"frame_id": 0, "instances": [{"keypoints": points}]}]),
        "b": ("mmpose", [{"keypoints": points}]),
        "c": ("alphapose", [{"image_id": "0.jpg", "keypoints": points, "frame": 3}]),
        "d": ("alphapose", {"0": [{"keypoints": points}]}),
        "e": ("coco", {"annotations": [{"image_id": 1, "frame_id": 0, "keypoints": points}]}),
        "f": ("kinetics-skeleton", {"data": [{"frame_index": 1, "skeleton": []}]}),
        "g": ("mediapipe", {"frames": [{"frame": 0, "landmarks": [{"x": 1, "y": 2}]}]}),
        "h": ("frames", {"frames": [{"frame": 0, "keypoints": points}]}),
        "i": ("json-array", [[[1, 2, 3]]]),
        "j": ("", [[1, 2], [3, 4]]),
        "k": ("", {"people": "anna", "joints": 3}),
    }
    described = custom.settings.load(settings(tmp_path, **files.FLAT, convention="coco_17"))
    for name, (expected, content) in contents.items():
        known = format_of(files.dump(tmp_path / f"{name}.json", content), described)
        assert known is (CLIP_FORMATS[expected] if expected else None), name


@pytest.mark.parametrize(
    "form", ["frame", "timestamp", "people", "objects", "by name", "by number", "arrays of people"]
)
def test_odd_values_are_refused_or_make_a_sound_clip(tmp_path: Path, form: str) -> None:
    settings(tmp_path, **files.FLAT, convention="coco_17", never_seen="keep", bodies=2)
    path = tmp_path / "wave.json"
    path.write_text(json.dumps(FORMS[form](*files.pixels(3, 2))))
    odd_values_are_refused_or_sound(tmp_path, path)
