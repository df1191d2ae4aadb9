"""Poses in the JSON of estimators: what is written comes back, people keep their places, damage is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import RawDataError, regular
from skeltools import custom, skeletons, store
from skeltools.conversion import convert
from skeltools.custom.registry import CLIP_FORMATS, format_of
from skeltools.custom.settings import IMAGE_HEIGHT
from skeltools.formats import pose_json
from skeltools.inspect.validate import validate
from tests.skeltools import pose_json_files as files
from tests.skeltools.own_data import odd_values_are_refused_or_sound, read, settings

COCO_NAMES = list(skeletons.load("coco_17").joints)


def metres(poses: NDArray[Any], image: tuple[int, int] = files.IMAGE) -> NDArray[Any]:
    """Pixels, x right and y down, -> canonical: x left, y up, from the image's middle, its height 2 m."""
    middle = np.array(image) / 2
    flat = -(poses - middle) * IMAGE_HEIGHT / image[1]
    return np.concatenate([np.nan_to_num(flat), np.zeros((*flat.shape[:-1], 1))], axis=-1)


def _unit(poses: NDArray[Any]) -> NDArray[Any]:
    return poses / np.array((340, 256))


WRITERS: dict[str, tuple[str, Callable[[Path, NDArray[Any], NDArray[Any]], object], dict[str, Any]]] = {
    "openpose": ("openpose_25", lambda raw, p, s: files.openpose(raw / "wave", "video", p, s), {}),
    "openpose of COCO": ("openpose_18", lambda raw, p, s: files.openpose(raw, "wave", p, s), {}),
    "openpose of MPI": ("openpose_mpi_15", lambda raw, p, s: files.openpose(raw / "wave", "", p, s), {}),
    "alphapose": ("coco_17", lambda raw, p, s: files.alphapose(raw / "wave.json", p, s), {}),
    "alphapose in a folder": (
        "halpe_26",
        lambda raw, p, s: files.alphapose(raw / "wave" / "alphapose-results.json", p, s),
        {},
    ),
    "mmpose": ("coco_17", lambda raw, p, s: files.mmpose(raw / "wave.json", p, s), {}),
    "mmpose with names": (
        "coco_17",
        lambda raw, p, s: files.mmpose(
            raw / "wave.json", p, s, meta={"keypoint_id2name": {str(i): n for i, n in enumerate(COCO_NAMES)}}
        ),
        {},
    ),
    "mmpose of frames": (
        "coco_17",
        lambda raw, p, s: files.dump(raw / "wave.json", [files.instances(f) for f in files.here(p, s)]),
        {},
    ),
    "mmpose of images": (
        "coco_17",
        lambda raw, p, s: [
            files.dump(raw / "wave" / f"{t:04d}.json", files.instances(f))
            for t, f in enumerate(files.here(p, s))
        ],
        {},
    ),
    "kinetics": (
        "openpose_18",
        lambda raw, p, s: files.kinetics(raw / "wave.json", _unit(p), s),
        {"image_size": [340, 256]},
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_form_comes_back(tmp_path: Path, kind: str) -> None:
    convention, write, changes = WRITERS[kind]
    poses, score = files.pixels(7, 1, convention)
    poses[2, 0, 3] = np.nan
    settings(tmp_path, **(files.FLAT | {"convention": convention} | changes))
    write(tmp_path, poses, score)
    clip = read(tmp_path)
    assert clip.id == "wave"
    assert clip.present.shape == (7, 1)
    assert clip.unseen is not None
    np.testing.assert_array_equal(np.argwhere(clip.unseen), [(2, 0, 3)])
    image = (340, 256) if kind == "kinetics" else files.IMAGE
    np.testing.assert_allclose(clip.joints, metres(poses, image), atol=1e-6)
    assert clip.score is not None
    np.testing.assert_allclose(clip.score, np.where(clip.unseen, 0, score), atol=1e-6)


@pytest.mark.parametrize("kind", WRITERS)
def test_people_in_any_order_keep_their_places(tmp_path: Path, kind: str) -> None:
    convention, write, changes = WRITERS[kind]
    poses, score = files.pixels(9, 3, convention)
    poses[4, 1] = np.nan  # the second one is not found for a moment
    settings(tmp_path, **(files.FLAT | {"convention": convention, "bodies": 3} | changes))
    write(tmp_path, *files.shuffled(poses, score))
    clip = read(tmp_path)
    image = (340, 256) if kind == "kinetics" else files.IMAGE
    expected = metres(poses, image)
    assert clip.present.sum() == 26
    for slot in range(3):
        there = clip.present[:, slot]
        person = int(np.abs(expected[0, :, 0] - clip.joints[0, slot, 0]).sum(axis=-1).argmin())
        np.testing.assert_allclose(clip.joints[there, slot], expected[there, person], atol=1e-6)
    assert clip.present[:, 2].sum() == 8  # who is seen less comes last


@pytest.mark.parametrize("kind", ["alphapose", "mmpose", "coco"])
def test_ids_of_the_file_go_before_our_tracks(tmp_path: Path, kind: str) -> None:
    """Two people who change places in one frame: only the file knows."""
    poses, score = files.pixels(6, 2)
    poses[3:] = poses[3:, ::-1].copy()
    settings(tmp_path, **files.FLAT, convention="coco_17")
    path = tmp_path / "wave.json"
    if kind == "alphapose":
        files.alphapose(path, poses, score, ids=True)
    elif kind == "mmpose":
        files.mmpose(path, poses, score, ids=True)
    else:
        files.coco(path, {"wave": (poses, score)}, names=COCO_NAMES, ids=True)
    clip = read(tmp_path)
    np.testing.assert_allclose(clip.joints, metres(poses), atol=1e-6)


def test_people_are_linked_where_an_id_is_twice_in_a_frame(tmp_path: Path) -> None:
    poses, score = files.pixels(4, 2)
    settings(tmp_path, **files.FLAT, convention="coco_17")
    path = files.mmpose(tmp_path / "wave.json", poses, score, ids=True)
    content = json.loads(path.read_text())
    for somebody in content[2]["instances"]:
        somebody["track_id"] = 5
    path.write_text(json.dumps(content))
    np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)


def test_a_small_body_is_not_taken_for_its_neighbour(tmp_path: Path) -> None:
    """Half a metre is the width of a crowd when people are a tenth of the image high."""
    poses, score = files.pixels(5, 2)
    small = poses * 0.1
    small[3:, 0] = np.nan  # the first one leaves ...
    small[:2, 1] = np.nan  # ... and the other, seven widths of a body away, has come
    small[..., 0] += np.array([0, 60.0])[None, :, None]
    settings(tmp_path, **files.FLAT, convention="coco_17")
    files.openpose(tmp_path, "wave", small, score)
    assert read(tmp_path).present.tolist() == [[True, False]] * 2 + [[True, True]] + [[False, True]] * 2


# ---- clips and frames --------------------------------------------------------------------------------------


def test_clips_of_one_folder_and_folders_of_one_clip(tmp_path: Path) -> None:
    poses, score = files.pixels(3, 1, "openpose_25")
    for clip in ("wave_p1", "wave_p2"):
        files.openpose(tmp_path / "all", clip, poses, score)
    files.openpose(tmp_path / "deep" / "kick_p1", "video", poses, score)
    files.openpose(tmp_path / "kick_p2", "", poses, score)
    settings(
        tmp_path,
        **files.FLAT,
        convention="openpose_25",
        pattern=r"(?P<label>[a-z]+)_p(?P<subject>\d+)",
    )
    found = custom.discover(tmp_path)
    names = [item.id for item in found.items]
    assert names == ["all_wave_p1", "all_wave_p2", "deep_kick_p1", "kick_p2"]
    assert found.classes == ("kick", "wave")


def test_findings_name_the_clip_where_files_are_called_alike(tmp_path: Path) -> None:
    poses, score = files.pixels(3, 1, "openpose_25")
    poses[1, 0, 7] = np.nan
    for clip in ("wave_p1", "wave_p2"):
        files.openpose(tmp_path / "lab" / clip, "video", poses, score)
        files.alphapose(tmp_path / "other" / clip / "alphapose-results.json", poses, score)
    settings(tmp_path, **files.FLAT, convention="openpose_25")
    told = [row.file for item in custom.discover(tmp_path).items for row in custom.read(item).findings]
    assert told == ["wave_p1", "wave_p2"] * 2


def test_frames_that_have_no_file_are_frames_without_a_person(tmp_path: Path) -> None:
    poses, score = files.pixels(6, 1, "openpose_25")
    files.openpose(tmp_path, "wave", poses, score, first=12)
    (tmp_path / f"wave_{13:012d}_keypoints.json").unlink()
    (tmp_path / f"wave_{15:012d}_keypoints.json").write_text('{"version":1.3,"people":[]}')
    settings(tmp_path, **files.FLAT, convention="openpose_25")
    clip = read(tmp_path)
    assert clip.present[:, 0].tolist() == [True, False, True, False, True, True]


def test_a_file_of_several_videos(tmp_path: Path) -> None:
    clips = {f"wave_p{n}": files.pixels(3 + n, 1, seed=n) for n in (1, 2)}
    clips["wave_p2"][0][0] = np.nan  # an image without annotations is a frame without a person
    settings(tmp_path, **files.FLAT, convention="coco_17")
    files.coco(tmp_path / "all.json", clips, names=COCO_NAMES)
    items = custom.discover(tmp_path).items
    assert [item.id for item in items] == list(clips)
    for item in items:
        poses, _ = clips[item.id]
        clip = custom.read(item)
        np.testing.assert_allclose(clip.joints, metres(poses), atol=1e-6)
    assert not clip.present[0, 0]


@pytest.mark.parametrize("name", ["{clip}/{t:04d}.png", "{clip}_{t:04d}.jpg", "C:\\data\\{clip}\\{t}.jpg"])
def test_images_of_several_clips_in_one_file(tmp_path: Path, name: str) -> None:
    poses, score = files.pixels(4)
    entries = []
    for clip in ("wave_p1", "wave_p2"):
        path = tmp_path / "part.json"
        files.alphapose(path, poses, score, name=name.replace("{clip}", clip).replace("{t", "{"))
        entries += json.loads(path.read_text())
        path.unlink()
    files.dump(tmp_path / "all.json", entries)
    settings(tmp_path, **files.FLAT, convention="coco_17", pattern=r"(?P<label>[a-z]+)_p(?P<subject>\d)")
    items = custom.discover(tmp_path).items
    assert [dict(item.details)["subject"] for item in items] == [1, 2]
    for item in items:
        np.testing.assert_allclose(custom.read(item).joints, metres(poses), atol=1e-6)


def test_results_of_coco_by_the_number_of_the_image(tmp_path: Path) -> None:
    poses, score = files.pixels(4)
    path = files.alphapose(tmp_path / "wave.json", poses, score)
    entries = json.loads(path.read_text())
    for t, entry in enumerate(entries):
        entry["image_id"] = 100 + 2 * t
        del entry["box"]
    path.write_text(json.dumps(entries))
    settings(tmp_path, **files.FLAT, convention="coco_17")
    assert format_of(path, custom.settings.load(tmp_path / "dataset.yaml")) is CLIP_FORMATS["coco"]
    clip = read(tmp_path)
    assert clip.present[:, 0].tolist() == [True, False, True, False, True, False, True]
    np.testing.assert_allclose(clip.joints[::2], metres(poses), atol=1e-6)


@pytest.mark.parametrize("form", ["open", "cmu", "tracked"])
def test_alphapose_by_image(tmp_path: Path, form: str) -> None:
    poses, score = files.pixels(4, 2, "openpose_18")
    content: dict[str, Any] = {}
    for t, people in enumerate(files.here(poses, score)):
        rows = [files.triples(p, s) for _, p, s in people]
        content[f"{t}.jpg"] = {
            "open": {"version": "AlphaPose v0.3", "people": [{"pose_keypoints_2d": row} for row in rows]},
            "cmu": {"version": "AlphaPose v0.3", "bodies": [{"joints": row} for row in rows]},
            "tracked": [{"keypoints": row, "idx": i} for i, row in enumerate(rows)],
        }[form]
    files.dump(tmp_path / "wave.json", content)
    settings(tmp_path, **files.FLAT, convention="openpose_18")
    np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)


@pytest.mark.parametrize("kind", ["lists of x and y", "instance_info of images"])
def test_other_writers_of_instances(tmp_path: Path, kind: str) -> None:
    """Ultralytics writes x and y of all keypoints apart; demos write a file an image."""
    poses, score = files.pixels(4)
    people = [files.instances(frame) for frame in files.here(poses, score)]
    settings(tmp_path, **files.FLAT, convention="coco_17")
    if kind == "lists of x and y":
        for frame in people:
            for somebody in frame:
                x, y = zip(*somebody.pop("keypoints"), strict=True)
                somebody["keypoints"] = {"x": x, "y": y, "visible": somebody.pop("keypoint_scores")}
        files.dump(tmp_path / "wave.json", people)
    else:
        for t, frame in enumerate(people):
            files.dump(tmp_path / "wave" / f"{t:06d}.json", {"instance_info": frame})
    clip = read(tmp_path)
    np.testing.assert_allclose(clip.joints, metres(poses), atol=1e-6)
    assert clip.score is not None
    np.testing.assert_allclose(clip.score, score, atol=1e-6)


def test_ids_in_lists(tmp_path: Path) -> None:
    """AlphaPose: [0.0], and [[0.0], [0.0]] where detections were merged."""
    poses, score = files.pixels(6, 2)
    poses[3:] = poses[3:, ::-1].copy()
    settings(tmp_path, **files.FLAT, convention="coco_17")
    path = files.alphapose(tmp_path / "wave.json", poses, score, ids=True)
    entries = json.loads(path.read_text())
    entries[4]["idx"] = [entries[4]["idx"]] * 3
    path.write_text(json.dumps(entries))
    np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)


# ---- joints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "convention", "wanted"),
    [
        (133, "coco_wholebody_65", [*range(23), *range(91, 133)]),
        (133, "coco_17", range(17)),
        (136, "halpe_26", range(26)),
        (26, "coco_17", range(17)),
    ],
)
def test_parts_of_larger_skeletons(tmp_path: Path, count: int, convention: str, wanted: Any) -> None:
    rng = np.random.default_rng(0)
    poses, score = rng.uniform(1, 400, (3, 1, count, 2)), rng.uniform(0.5, 1, (3, 1, count))
    files.alphapose(tmp_path / "wave.json", poses, score)
    settings(tmp_path, **files.FLAT, convention=convention)
    np.testing.assert_allclose(read(tmp_path).joints, metres(poses[:, :, list(wanted)]), atol=1e-6)


def test_a_wrong_number_of_keypoints_names_the_convention_that_fits(tmp_path: Path) -> None:
    files.openpose(tmp_path, "wave", *files.pixels(2, 1, "openpose_18"))
    settings(tmp_path, **files.FLAT, convention="openpose_25")
    with pytest.raises(
        RawDataError, match=r"18 keypoints, openpose_25 has 25 joints; is its convention openpose_18"
    ):
        read(tmp_path)


def test_names_of_the_file_go_before_its_order(tmp_path: Path) -> None:
    poses, score = files.pixels(3)
    order = np.random.default_rng(1).permutation(17)
    names = {str(i): COCO_NAMES[v] for i, v in enumerate(order)}
    files.mmpose(
        tmp_path / "wave.json", poses[:, :, order], score[:, :, order], meta={"keypoint_id2name": names}
    )
    settings(tmp_path, **files.FLAT, convention="coco_17")
    np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)


def test_openpose_in_3d_and_a_clear_word_where_there_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses, score = rng.uniform(0.5, 2, (3, 1, 25, 3)), np.ones((3, 1, 25))
    poses[1, 0, 4] = np.nan
    files.openpose(tmp_path, "wave", poses, score)
    path = settings(tmp_path, layout=None, convention="openpose_25")
    clip = read(tmp_path)
    np.testing.assert_allclose(clip.joints, np.nan_to_num(poses) * (-1, -1, 1), atol=1e-6)
    assert clip.unseen is not None
    assert clip.unseen.sum() == 1
    for file in tmp_path.glob("*_keypoints.json"):
        file.unlink()
    files.openpose(tmp_path, "wave", *files.pixels(3, 1, "openpose_25"))
    assert path.is_file()
    with pytest.raises(RawDataError, match=r"2D poses: say `coordinates: xys`"):
        read(tmp_path)


def test_hands_of_openpose(tmp_path: Path) -> None:
    hands, score = files.pixels(4, 2, "openpose_hand_21")
    for t, people in enumerate(files.here(hands, score)):
        (_, left, s), (_, right, r) = people
        entry = {
            "pose_keypoints_2d": [1.0, 1.0, 0.5] * 25,
            "hand_right_keypoints_2d": files.triples(right, r),
            "hand_left_keypoints_2d": files.triples(left, s),
        }
        files.dump(tmp_path / f"wave_{t:012d}_keypoints.json", {"version": 1.3, "people": [entry]})
    settings(tmp_path, **files.FLAT, convention="openpose_hand_21")
    np.testing.assert_allclose(read(tmp_path).joints, metres(hands), atol=1e-6)


def test_fractions_of_the_image_become_pixels(tmp_path: Path) -> None:
    poses, score = files.pixels(3, 1, "openpose_25")
    files.openpose(tmp_path, "wave", poses / np.array(files.IMAGE), score)
    settings(tmp_path, **files.FLAT, convention="openpose_25")
    np.testing.assert_allclose(read(tmp_path).joints, metres(poses), atol=1e-6)


# ---- MediaPipe ---------------------------------------------------------------------------------------------


def _body(frames: int = 4) -> tuple[NDArray[Any], NDArray[Any]]:
    """World landmarks, metres from the hips."""
    rng = np.random.default_rng(0)
    return np.round(rng.normal(0, 0.4, (frames, 33, 3)), 4), np.round(rng.uniform(0.2, 1, (frames, 33)), 3)


WORLD: dict[str, Callable[[NDArray[Any], NDArray[Any]], Any]] = {
    "lists": lambda p, s: [files.landmarks(a, b) for a, b in zip(p, s, strict=True)],
    "numbers": lambda p, s: np.concatenate([p, s[..., None]], axis=-1).tolist(),
    "rows": lambda p, s: np.concatenate([p, s[..., None]], axis=-1).reshape(len(p), -1).tolist(),
    "python names": lambda p, s: [
        {"frame": t, "pose_world_landmarks": files.landmarks(a, b)}
        for t, (a, b) in enumerate(zip(p, s, strict=True))
    ],
    "javascript names": lambda p, s: {
        "frames": [
            {"landmarks": [files.landmarks(abs(a) / 3, b)], "worldLandmarks": [files.landmarks(a, b)]}
            for a, b in zip(p, s, strict=True)
        ]
    },
    "protobuf": lambda p, s: [
        {"poseWorldLandmarks": {"landmark": files.landmarks(a, b)}} for a, b in zip(p, s, strict=True)
    ],
    "by number": lambda p, s: {
        str(t): files.landmarks(a, b) for t, (a, b) in enumerate(zip(p, s, strict=True))
    },
    "by name": lambda p, s: [
        {
            "pose_world_landmarks": dict(
                zip(skeletons.load("mediapipe_33").joints, files.landmarks(a, b), strict=True)
            )
        }
        for a, b in zip(p, s, strict=True)
    ],
}


@pytest.mark.parametrize("form", WORLD)
def test_world_landmarks(tmp_path: Path, form: str) -> None:
    poses, score = _body()
    files.dump(tmp_path / "wave.json", WORLD[form](poses, score))
    by_hand = "mediapipe" if form in ("numbers", "rows") else None  # numbers alone could be anything
    settings(tmp_path, layout=None, convention="mediapipe_33", format=by_hand)
    clip = read(tmp_path)
    np.testing.assert_allclose(clip.joints[:, 0], poses * (-1, -1, 1), atol=1e-6)
    assert clip.score is not None
    np.testing.assert_allclose(clip.score[:, 0], score, atol=1e-6)


@pytest.mark.parametrize("flat", [True, False])
def test_landmarks_in_the_image(tmp_path: Path, flat: bool) -> None:
    rng = np.random.default_rng(0)
    poses, score = rng.uniform(0.1, 0.9, (5, 33, 3)), rng.uniform(0.2, 1, (5, 33))
    frames: list[Any] = [
        {"pose_landmarks": files.landmarks(a, b), "pose_world_landmarks": files.landmarks(a - 0.5, b)}
        for a, b in zip(poses, score, strict=True)
    ]
    frames[2] = {"pose_landmarks": None, "pose_world_landmarks": None}
    files.dump(tmp_path / "wave.json", frames)
    settings(tmp_path, **(files.FLAT | {"coordinates": "xys" if flat else "xyz"}), convention="mediapipe_33")
    clip = read(tmp_path)
    assert clip.present[:, 0].tolist() == [True, True, False, True, True]
    expected = metres(poses[..., :2] * files.IMAGE)
    expected[..., 2] = 0 if flat else poses[..., 2] * files.IMAGE[0] * IMAGE_HEIGHT / files.IMAGE[1]
    np.testing.assert_allclose(clip.joints[[0, 1, 3, 4], 0], expected[[0, 1, 3, 4]], atol=1e-6)


def test_landmarks_of_a_file_a_frame(tmp_path: Path) -> None:
    poses, score = _body()
    for t, (pose, seen) in enumerate(zip(poses, score, strict=True)):
        files.dump(tmp_path / "wave" / f"frame_{2 * t:05d}.json", files.landmarks(pose, seen))
    settings(tmp_path, layout=None, convention="mediapipe_33")
    clip = read(tmp_path)
    assert clip.id == "wave"
    assert clip.present[:, 0].tolist() == [True, False, True, False, True, False, True]
    np.testing.assert_allclose(clip.joints[::2, 0], poses * (-1, -1, 1), atol=1e-6)


@pytest.mark.parametrize("key", ["landmarks", "pose_world_landmarks"])
def test_landmarks_of_all_frames_in_one_list(tmp_path: Path, key: str) -> None:
    poses, score = _body(9)
    frames = [files.landmarks(a, b) for a, b in zip(poses, score, strict=True)]
    files.dump(tmp_path / "wave.json", {"fps": 30, key: frames})
    settings(tmp_path, layout=None, convention="mediapipe_33")
    np.testing.assert_allclose(read(tmp_path).joints[:, 0], poses * (-1, -1, 1), atol=1e-6)


def test_both_hands_of_mediapipe(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hands = rng.uniform(0.1, 0.9, (4, 2, 21, 3))
    frames: list[Any] = [
        {
            "left_hand_landmarks": files.landmarks(left, np.ones(21)),
            "right_hand_landmarks": files.landmarks(right, np.ones(21)),
            "pose_landmarks": files.landmarks(np.zeros((33, 3)), np.ones(33)),
        }
        for left, right in hands
    ]
    frames[0]["left_hand_landmarks"] = None
    files.dump(tmp_path / "wave.json", frames)
    settings(tmp_path, **files.FLAT, convention="mediapipe_hand_21")
    clip = read(tmp_path)
    assert clip.present.tolist() == [[True, False], [True, True], [True, True], [True, True]]
    expected = metres(hands[..., :2] * files.IMAGE)
    np.testing.assert_allclose(clip.joints[:, 0], expected[:, 1], atol=1e-6)
    np.testing.assert_allclose(clip.joints[1:, 1], expected[1:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("key", "changes", "message"),
    [
        ("pose_landmarks", {"layout": None}, "fractions of the image only.*image_size"),
        ("pose_world_landmarks", files.FLAT, "world landmarks only.*leave image_size out"),
    ],
)
def test_landmarks_of_the_other_kind(tmp_path: Path, key: str, changes: Any, message: str) -> None:
    poses, score = _body(3)
    frames = [{key: files.landmarks(abs(a) / 3, b), "t": 1} for a, b in zip(poses, score, strict=True)]
    files.dump(tmp_path / "wave.json", frames)
    settings(tmp_path, **changes, convention="mediapipe_33")
    with pytest.raises(RawDataError, match=message):
        read(tmp_path)


# ---- labels ------------------------------------------------------------------------------------------------


def _kinetics(raw: Path, **labels: tuple[str | None, int | None]) -> None:
    poses, score = files.pixels(3, 1, "openpose_18")
    for clip, (label, index) in labels.items():
        files.kinetics(raw / f"{clip}.json", _unit(poses), score, label=label, index=index)


def test_the_label_of_a_file(tmp_path: Path) -> None:
    _kinetics(tmp_path, a=("waving", 3), b=("kicking [a] ball", 0), c=("waving", 3))
    settings(tmp_path, **files.FLAT, convention="openpose_18")
    found = custom.discover(tmp_path)
    assert found.classes == ("kicking [a] ball", "waving")
    assert [dict(item.details)["label"] for item in found.items] == [1, 0, 1]


def test_the_number_of_a_class_where_it_has_no_name(tmp_path: Path) -> None:
    _kinetics(tmp_path, a=(None, 10), b=("", 9))
    settings(tmp_path, **files.FLAT, convention="openpose_18")
    assert custom.discover(tmp_path).classes == ("9", "10")


def test_table_and_name_go_before_the_label_of_a_file(tmp_path: Path) -> None:
    _kinetics(tmp_path, a=("waving", 3), b=("waving", 3))
    (tmp_path / "labels.csv").write_text("id,label\na,kicking\n")
    settings(tmp_path, **files.FLAT, convention="openpose_18", labels="labels.csv")
    found = custom.discover(tmp_path)
    assert [dict(item.details)["label"] for item in found.items] == [0, 1]
    assert found.classes == ("kicking", "waving")
    settings(tmp_path, **files.FLAT, convention="openpose_18", files="*.json", pattern="(?P<label>.*)")
    assert custom.discover(tmp_path).classes == ("a", "b")


# ---- the whole way -----------------------------------------------------------------------------------------


def test_a_store_of_two_people(tmp_path: Path) -> None:
    """From files of frames to a sound store, the same with any number of workers."""
    for number, clip in enumerate(("wave_p1", "kick_p1", "kick_p2")):
        poses, score = files.pixels(12, 2, "openpose_25", seed=number)
        poses[5:7, 1, 3] = np.nan
        poses[10, 1] = np.nan
        files.openpose(tmp_path / "raw" / clip, "video", *files.shuffled(poses, score, seed=number))
    fields = r"(?P<label>[a-z]+)_p(?P<subject>\d+)"
    settings(tmp_path / "raw", **files.FLAT, convention="openpose_25", bodies=2, pattern=fields)
    one, two = (
        convert("custom", raw=tmp_path / "raw", out=tmp_path / f"s{n}", workers=n).manifest for n in (1, 2)
    )
    assert one == two
    assert one.classes == ("kick", "wave")
    assert not validate(tmp_path / "s1")
    stream = store.open_store(tmp_path / "s1").root["streams/openpose_25/t50/joint"][...]
    assert np.abs(stream).sum(axis=(1, 2, 3)).all()  # both people are in every clip


# ---- damage ------------------------------------------------------------------------------------------------

DAMAGE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no list of people": (lambda c: c | {"people": 3}, "frame 1: people is a number, expected a list"),
    "somebody is text": (lambda c: c | {"people": ["a"]}, "frame 1, person 1: it is text"),
    "two numbers too many": (
        lambda c: c | {"people": [{"pose_keypoints_2d": [1.0] * 77}]},
        "77 numbers, expected 3 for each joint",
    ),
    "text for a number": (
        lambda c: c | {"people": [{"pose_keypoints_2d": ["1"] * 75}]},
        "frame 1, person 1: pose_keypoints_2d is no list of numbers",
    ),
    "truth for a number": (
        lambda c: c | {"people": [{"pose_keypoints_2d": [True] * 75}]},
        "is no list of numbers",
    ),
    "a number beyond floats": (
        lambda c: c | {"people": [{"pose_keypoints_2d": [10**400] * 75}]},
        "is no list of numbers",
    ),
    "another skeleton": (
        lambda c: c | {"people": [{"pose_keypoints_2d": [1.0] * 54}]},
        "18 of 2 in frame 1",
    ),
    "a crowd": (
        lambda c: c | {"people": c["people"] * 101},
        "101 people in a frame",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_with_its_place(tmp_path: Path, kind: str) -> None:
    change, message = DAMAGE[kind]
    files.openpose(tmp_path, "wave", *files.pixels(3, 1, "openpose_25"))
    path = tmp_path / f"wave_{1:012d}_keypoints.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    settings(tmp_path, **files.FLAT, convention="openpose_25")
    with pytest.raises(RawDataError, match=message):
        read(tmp_path)


NESTED = '{"version":1.3,"people":[],"a":"' + "a" * 5000 + '","b":' + "[" * 50_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version":1.3,"people":[', "not valid JSON"),
        (NESTED, "nested too deep|not valid JSON"),
        ('{"version":1.3,"people":[' + "9" * 5000 + "]}", "not valid JSON|it is a number"),
        ('{"version":1.3,"people":[],"x":"\\ud800', "not valid JSON"),
        ('{"version":1.3,"people":[]}', "nobody is in any frame"),
    ],
)
def test_what_is_no_json(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "wave_0_keypoints.json").write_text(text)
    settings(tmp_path, **files.FLAT, convention="openpose_25")
    with pytest.raises(RawDataError, match=message):
        read(tmp_path)


def test_numbers_that_json_does_not_have(tmp_path: Path) -> None:
    """NaN and null: not seen. Infinity: not seen either."""
    poses, score = files.pixels(3, 1, "openpose_25")
    files.openpose(tmp_path, "wave", poses, score)
    path = tmp_path / f"wave_{1:012d}_keypoints.json"
    content = json.loads(path.read_text())
    content["people"][0]["pose_keypoints_2d"][:9] = [float("nan"), None, 1, float("inf"), 3, 1, None, None, 0]
    path.write_text(json.dumps(content))
    settings(tmp_path, **files.FLAT, convention="openpose_25")
    clip = read(tmp_path)
    assert clip.unseen is not None
    np.testing.assert_array_equal(np.argwhere(clip.unseen), [(1, 0, 0), (1, 0, 1), (1, 0, 2)])


def test_a_number_of_frames_that_no_clip_has(tmp_path: Path) -> None:
    poses, score = files.pixels(2)
    path = files.mmpose(tmp_path / "wave.json", poses, score)
    content = json.loads(path.read_text())
    content[1]["frame_id"] = 10**14
    path.write_text(json.dumps(content))
    settings(tmp_path, **files.FLAT, convention="coco_17")
    with pytest.raises(RawDataError, match="too many for one clip"):
        read(tmp_path)


def test_a_file_of_too_many_values_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regular, "_MOST_LISTS", 10)
    with pytest.raises(RawDataError, match="too many values"):
        pose_json.parsed(b"[" + b"[]," * 10 + b"[]]", where="a.json")


def test_a_frame_twice(tmp_path: Path) -> None:
    files.openpose(tmp_path, "wave", *files.pixels(2, 1, "openpose_25"))
    (tmp_path / "wave_1_keypoints.json").write_text('{"version":1.3,"people":[]}')
    settings(tmp_path, **files.FLAT, convention="openpose_25")
    with pytest.raises(RawDataError, match="frame 1 is there twice"):
        read(tmp_path)


def test_a_damaged_file_leaves_the_others_alone(tmp_path: Path) -> None:
    poses, score = files.pixels(3)
    files.alphapose(tmp_path / "a.json", poses, score)
    files.alphapose(tmp_path / "b.json", poses, score)
    (tmp_path / "b.json").write_text((tmp_path / "b.json").read_text()[:-1])
    settings(tmp_path, **files.FLAT, convention="coco_17")
    first, second = custom.discover(tmp_path).items
    assert custom.read(first).frames == 3
    with pytest.raises(RawDataError, match="not valid JSON"):
        custom.read(second)


# ---- telling formats ---------------------------------------------------------------------------------------


def test_every_file_is_told_by_its_content(tmp_path: Path) -> None:
    poses, score = files.pixels(2)
    body = files.landmarks(*(a[0] for a in _body(1)))
    contents: dict[str, tuple[str, Any]] = {
        "a": ("mmpose", [{"frame_id": 0, "instances": []}]),
        "b": ("mmpose", {"meta_info": {"keypoint_id2name": {"0": "nose"}}, "instance_info": []}),
        "c": ("kinetics-skeleton", {"data": [], "label": "x", "label_index": 0}),
        "d": ("coco", {"info": {}, "images": [{"file_name": "0.jpg", "id": 1}]}),
        "e": ("mediapipe", [None, [], body]),
        "f": ("openpose", {"version": 1.3, "people": []}),
        "g": ("", {"name": "no poses"}),
        "h": ("", [1, 2, 3]),
        "i": ("", {"joints": [1, 2], "edges": [[0, 1]]}),
        "j": ("", []),
    }
    told = custom.settings.load(settings(tmp_path, **files.FLAT, convention="coco_17"))
    for name, (expected, content) in contents.items():
        found = format_of(files.dump(tmp_path / f"{name}.json", content), told)
        assert (found.name if found else "") == expected, name
    path = files.alphapose(tmp_path / "k.json", poses, score)
    path.write_bytes(b"\xef\xbb\xbf \n" + path.read_bytes())
    assert format_of(path, told) is CLIP_FORMATS["alphapose"]


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_the_beginning_of_a_file_wherever_it_is_cut(cut: int) -> None:
    inner = [{"x": 1.5, "y": [1, 2, {"z": ']}\\"'}]}, None, "ü"]
    text = json.dumps({'a"]': inner, "b": {"c": [[], {}]}})
    found = pose_json.beginning(text.encode()[:cut])
    assert found is None or isinstance(found, dict)
    assert cut < 1 or found is not None
    if cut >= len(text):
        assert found == json.loads(text)


# ---- values of the wrong kind everywhere -------------------------------------------------------------------

FUZZED = {
    **{kind: WRITERS[kind] for kind in WRITERS},
    "coco": (
        "coco_17",
        lambda raw, p, s: files.coco(raw / "all.json", {"a": (p, s), "b": (p, s)}, names=COCO_NAMES),
        {},
    ),
    "mediapipe": (
        "mediapipe_33",
        lambda raw, p, s: files.dump(raw / "wave.json", WORLD["javascript names"](*_body(3))),
        {"coordinates": "xyz", "image_size": None},
    ),
}


@pytest.mark.parametrize("kind", FUZZED)
def test_odd_values_are_refused_or_make_a_sound_clip(tmp_path: Path, kind: str) -> None:
    convention, write, changes = FUZZED[kind]
    settings(tmp_path, **(files.FLAT | {"convention": convention, "never_seen": "keep"} | changes))
    write(tmp_path, *files.pixels(3, 2, convention))
    odd_values_are_refused_or_sound(tmp_path, sorted(tmp_path.rglob("*.json"))[0])
