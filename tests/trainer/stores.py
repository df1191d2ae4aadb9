"""Tiny stores of format 1, written with zarr alone: the trainer must not need skeltools."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from schemas import FORMAT, ArrayInfo, ConventionInfo, ProtocolInfo, RecipeRecord, SkeletonSpec, StoreManifest

FEW = SkeletonSpec(
    name="few_6",
    joints=("pelvis", "neck", "left_hand", "right_hand", "left_foot", "right_foot"),
    edges=((1, 0), (2, 1), (3, 1), (4, 0), (5, 0)),
    center=0,
    shoulders=(2, 3),
    left_right_swap=(0, 1, 3, 2, 5, 4),
    body_parts={"trunk": (0, 1), "left_arm": (2,), "right_arm": (3,), "left_leg": (4,), "right_leg": (5,)},
)
MANY = SkeletonSpec(
    name="many_8",
    joints=(
        "neck",
        "pelvis",
        "left_elbow",
        "right_elbow",
        "left_hand",
        "right_hand",
        "left_foot",
        "right_foot",
    ),
    edges=((1, 0), (2, 0), (3, 0), (4, 2), (5, 3), (6, 1), (7, 1)),
    center=0,
    shoulders=(2, 3),
    left_right_swap=(0, 1, 3, 2, 5, 4, 7, 6),
    body_parts={
        "trunk": (0, 1),
        "left_arm": (2, 4),
        "right_arm": (3, 5),
        "left_leg": (6,),
        "right_leg": (7,),
    },
)
SPECS = {spec.name: spec for spec in (FEW, MANY)}
CLASSES = ("wave", "kick", "jump")


def write_store(
    path: Path,
    *,
    conventions: Iterable[str] = ("few_6",),
    samples: int = 30,
    frames: Iterable[int] = (12,),
    streams: Iterable[str] = ("joint",),
    missing: dict[str, tuple[int, ...]] | None = None,
    manifest: dict[str, Any] | None = None,
    seed: int = 0,
    labels: Sequence[int] | None = None,
    split: Sequence[int] | None = None,
    bodies: int = 2,
    protocol: str = "xview",
) -> Path:
    """A store whose classes differ in which joints move; two thirds of the rows train in split ``protocol``.

    ``missing`` lists the rows that a convention lacks; ``manifest`` replaces values of the manifest;
    ``labels``, ``split`` (1 train, 2 test) those of the rows. Clips have the motion of their row's number
    whatever their label says; all ``bodies`` but the first are absent.
    """
    conventions = tuple(conventions)
    root = zarr.open_group(str(path), mode="w-")
    rng = np.random.default_rng(seed)
    kinds = np.arange(samples) % len(CLASSES)
    arrays: dict[str, ArrayInfo] = {}

    def put(name: str, values: NDArray[Any], dimensions: str) -> None:
        stored = root.create_array(name, shape=values.shape, dtype=values.dtype)
        stored[...] = values
        digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
        shape = tuple(map(int, values.shape))
        arrays[name] = ArrayInfo(
            dimensions=tuple(dimensions), shape=shape, dtype=str(values.dtype), sha256=digest
        )

    _put_ids(root, arrays, [f"S{row:03}" for row in range(samples)])
    put("samples/label", (kinds if labels is None else np.array(labels)).astype(np.int16), "N")
    halves = np.where(np.arange(samples) % 9 < 6, 1, 2) if split is None else np.array(split)
    put(f"splits/{protocol}", halves.astype(np.uint8), "N")
    largest = max(SPECS[name].num_joints for name in conventions)
    motion = rng.standard_normal((samples, 4))
    for name in conventions:
        absent = set((missing or {}).get(name, ()))
        there = np.array([row not in absent for row in range(samples)])
        put(f"sequences/{name}/offsets", np.concatenate([[0], np.cumsum(there * 5)]).astype(np.int64), "N")
        for length in frames:
            joint = _clips(SPECS[name], kinds, motion, length, rng, bodies=bodies)
            joint *= there[:, None, None, None, None]
            for kind in streams:
                put(f"streams/{name}/t{length}/{kind}", _stream(joint, kind, SPECS[name]), "NCTVM")
        _put_skeleton(put, root, SPECS[name], largest)
    described = {
        "format": FORMAT,
        "dataset": "toy",
        "tool": "test",
        "samples": samples,
        "classes": CLASSES,
        "protocols": {
            protocol: ProtocolInfo(rule="row", train=int((halves == 1).sum()), test=int((halves == 2).sum()))
        },
        "conventions": {
            name: ConventionInfo(reader="metrabs" if index else "ntu", axes="as they are")
            for index, name in enumerate(conventions)
        },
        "recipe": RecipeRecord(name="default", steps=()),
        "arrays": arrays,
    }
    root.attrs.update(StoreManifest(**described).model_dump(mode="json") | (manifest or {}))
    return path


def _put_ids(root: zarr.Group, arrays: dict[str, ArrayInfo], ids: list[str]) -> None:
    stored = root.create_array("samples/id", shape=(len(ids),), dtype=str)
    stored[:] = np.array(ids, dtype=object)
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    arrays["samples/id"] = ArrayInfo(dimensions=("N",), shape=(len(ids),), dtype="string", sha256=digest)


def _put_skeleton(put: Any, root: zarr.Group, spec: SkeletonSpec, largest: int) -> None:
    adjacency = np.zeros((3, largest, largest), np.float32)
    for joint in range(spec.num_joints):
        adjacency[0, joint, joint] = 1
    for child, parent in spec.edges:
        adjacency[1, parent, child] = adjacency[2, child, parent] = 0.5
    put(f"skeletons/{spec.name}/adjacency", adjacency, "KVW")
    put(f"skeletons/{spec.name}/adjacency_degenerate", adjacency[[0, 2, 1]], "KVW")
    put(f"skeletons/{spec.name}/joint_mask", np.arange(largest) < spec.num_joints, "V")
    root[f"skeletons/{spec.name}"].attrs.update(spec.model_dump(mode="json"))


def _clips(
    spec: SkeletonSpec,
    labels: NDArray[Any],
    motion: NDArray[Any],
    length: int,
    rng: np.random.Generator,
    *,
    bodies: int,
) -> NDArray[np.float32]:
    """[N, 3, T, V, M]: class k swings the joints v with v % 3 == k; all bodies but the first are absent."""
    time = np.linspace(0, 2 * np.pi, length)
    joints = np.arange(spec.num_joints)
    clips = np.zeros((len(labels), 3, length, spec.num_joints, bodies), np.float32)
    for row, label in enumerate(labels):
        swing = np.sin(time[:, None] + motion[row, 0] * 0.3) * (joints % 3 == label)
        clips[row, 1, :, :, 0] = joints * 0.1 + swing * (1 + 0.1 * motion[row, 1])
        clips[row, 0, :, :, 0] = np.cos(joints) * (1 + 0.1 * motion[row, 2])
        clips[row, ..., 0] += 0.02 * rng.standard_normal(clips[row, ..., 0].shape)
    return clips


def _stream(joint: NDArray[np.float32], kind: str, spec: SkeletonSpec) -> NDArray[np.float32]:
    if kind == "bone":
        return joint - joint[:, :, :, list(spec.parents)]
    if kind == "motion":
        moved = np.zeros_like(joint)
        moved[:, :, :-1] = joint[:, :, 1:] - joint[:, :, :-1]
        return moved
    return joint
