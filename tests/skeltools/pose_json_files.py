"""Poses in the JSON of estimators, written as their makers write it: small writers for tests.

``poses`` is [T, M, V, 2 or 3] with NaN for a joint that was not found, ``score`` [T, M, V]; a person whose
joints are all NaN is not in the frame.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools import skeletons

IMAGE = (640, 480)
FLAT: dict[str, Any] = {"layout": None, "coordinates": "xys", "image_size": list(IMAGE)}
"""Changes of dataset.yaml for 2D poses in pixels."""

Poses = NDArray[np.float64]


def pixels(frames: int, people: int = 1, convention: str = "coco_17", seed: int = 0) -> tuple[Poses, Poses]:
    """(poses, scores) of people who stand side by side and move a little; every joint is inside the image."""
    rng = np.random.default_rng(seed)
    joints = skeletons.load(convention).num_joints
    body = rng.uniform((0, 0), (80, 300), (joints, 2))
    places = np.array([40 + 150 * m for m in range(people)])
    poses = np.broadcast_to(body, (frames, people, joints, 2)) + rng.normal(0, 1, (frames, people, joints, 2))
    poses = poses + np.stack([places, np.full(people, 60.0)], axis=1)[None, :, None]
    return np.round(poses, 3), np.round(rng.uniform(0.3, 1, (frames, people, joints)), 3)


def shuffled(poses: Poses, score: Poses, seed: int = 0) -> tuple[Poses, Poses]:
    """The people of every frame in an order of its own."""
    rng = np.random.default_rng(seed)
    order = [rng.permutation(poses.shape[1]) for _ in poses]
    return np.stack([p[o] for p, o in zip(poses, order, strict=True)]), np.stack(
        [s[o] for s, o in zip(score, order, strict=True)]
    )


def triples(pose: Poses, score: Poses) -> list[float]:
    """x, y, score of every joint in a row; one that was not found is 0, 0, 0."""
    missing = np.isnan(pose).any(axis=1)
    joined = np.concatenate([pose, score[:, None]], axis=1)
    return [float(v) for v in np.where(missing[:, None], 0, joined).ravel()]


def here(poses: Poses, score: Poses) -> list[list[tuple[int, Poses, Poses]]]:
    """Of every frame: (person, pose, score) of those who are in it."""
    return [
        [(m, p, s) for m, (p, s) in enumerate(zip(ps, ss, strict=True)) if not np.isnan(p).all()]
        for ps, ss in zip(poses, score, strict=True)
    ]


def dump(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def openpose(folder: Path, clip: str, poses: Poses, score: Poses, *, first: int = 0) -> None:
    field = f"pose_keypoints_{poses.shape[-1]}d"
    empty = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "pose_keypoints_3d")
    for t, people in enumerate(here(poses, score), start=first):
        entries = [
            {"person_id": [-1], **{key: [] for key in empty}, field: triples(p, s)} for _, p, s in people
        ]
        dump(folder / f"{clip}_{t:012d}_keypoints.json", {"version": 1.3, "people": entries})


def alphapose(path: Path, poses: Poses, score: Poses, *, ids: bool = False, name: str = "{}.jpg") -> Path:
    entries = []
    for t, people in enumerate(here(poses, score)):
        for m, p, s in people:
            entry = {"image_id": name.format(t), "category_id": 1, "keypoints": triples(p, s), "score": 2.5}
            entries.append(entry | {"box": [1.0, 2.0, 3.0, 4.0], **({"idx": [float(m + 7)]} if ids else {})})
    return dump(path, entries)


def instances(people: list[tuple[int, Poses, Poses]], *, ids: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "keypoints": np.nan_to_num(p).tolist(),
            "keypoint_scores": np.where(np.isnan(p[:, 0]), 0, s).tolist(),
            "bbox": [[0, 0, 9, 9]],
            "bbox_score": 0.9,
            **({"track_id": m + 3} if ids else {}),
        }
        for m, p, s in people
    ]


def mmpose(path: Path, poses: Poses, score: Poses, *, ids: bool = False, meta: Any = None) -> Path:
    frames = [
        {"frame_id": t, "instances": instances(people, ids=ids)}
        for t, people in enumerate(here(poses, score))
    ]
    return dump(path, frames if meta is None else {"meta_info": meta, "instance_info": frames})


def coco(path: Path, clips: dict[str, tuple[Poses, Poses]], *, names: list[str], ids: bool = False) -> Path:
    """Annotations of several videos; scores are written as v = 2, and v = 0 for what was not found."""
    images, annotations = [], []
    for n, (clip, (poses, score)) in enumerate(clips.items(), start=1):
        for t, people in enumerate(here(poses, score)):
            image = {"id": len(images) + 1, "file_name": f"{clip}/{t:06d}.jpg", "video_id": n, "frame_id": t}
            images.append(image)
            for m, p, s in people:
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": image["id"],
                        "category_id": 1,
                        "keypoints": triples(p, np.full(len(s), 2.0)),
                        **({"track_id": m} if ids else {}),
                    }
                )
    categories = [{"id": 1, "name": "person", "keypoints": names, "skeleton": [[1, 2]]}]
    videos = [{"id": n, "name": clip} for n, clip in enumerate(clips, start=1)]
    return dump(
        path,
        {"videos": videos, "images": images, "annotations": annotations, "categories": categories},
    )


def kinetics(
    path: Path, poses: Poses, score: Poses, *, label: str | None = "waving", index: int | None = 3
) -> Path:
    """``poses`` in fractions of the image, frames counted from 1."""
    data = [
        {
            "frame_index": t,
            "skeleton": [
                {
                    "pose": np.nan_to_num(p).ravel().tolist(),
                    "score": np.where(np.isnan(p[:, 0]), 0, s).tolist(),
                }
                for _, p, s in people
            ],
        }
        for t, people in enumerate(here(poses, score), start=1)
    ]
    end = {key: value for key, value in (("label", label), ("label_index", index)) if value is not None}
    return dump(path, {"data": data, **end})


def landmarks(pose: Poses, score: Poses) -> list[dict[str, float]]:
    return [
        {"x": float(x), "y": float(y), "z": float(z), "visibility": float(v)}
        for (x, y, z), v in zip(pose, score, strict=True)
    ]
