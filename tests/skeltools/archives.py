"""Archives as other code bases write them, made with plain numpy and pickle. Clips are slots [T, M, V, 3]."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools import store
from skeltools.conversion import convert
from skeltools.conversion.derive import add_streams
from skeltools.inspect.validate import validate
from skeltools.sequence import SkeletonSequence as Read

Clip = NDArray[np.float32]

NAMES = tuple(
    f"S001C{camera:03}P{subject:03}R001A{action:03}"
    for camera in (1, 2, 3)
    for subject in (1, 3)
    for action in (1, 50)
)
"""Twelve real names: subject 1 trains in xsub, 3 tests; cameras 2 and 3 train in xview, 1 tests."""


def label_of(name: str) -> int:
    return int(name[17:20]) - 1


def slots(name: str, *, frames: int = 7, bodies: int = 2, joints: int = 25) -> Clip:
    """A clip whose first body is there throughout, and whose second comes and goes."""
    rng = np.random.default_rng([sum(name.encode()), frames, bodies, joints])
    clip = rng.standard_normal((frames, bodies, joints, 3)).astype(np.float32)
    clip[:, 1:][rng.random((frames, bodies - 1)) < 0.5] = 0
    return clip


def write_crossclr(
    folder: Path,
    half: str,
    clips: Mapping[str, Clip],
    *,
    frames: int = 10,
    kind: str = "position",
    protocol: int = 2,
) -> Path:
    """``{half}_{kind}.npy`` [N, 3, T, V, M], zero-padded, and ``{half}_label.pkl``: ntu_gendata.py."""
    folder.mkdir(parents=True, exist_ok=True)
    _, bodies, joints, _ = next(iter(clips.values())).shape
    data = np.zeros((len(clips), 3, frames, joints, bodies), np.float32)
    for row, clip in enumerate(clips.values()):
        data[row, :, : len(clip)] = clip.transpose(3, 0, 2, 1)
    np.save(folder / f"{half}_{kind}.npy", data)
    names = [f"{name}.skeleton" for name in clips]
    with (folder / f"{half}_label.pkl").open("wb") as file:
        pickle.dump((names, [label_of(name) for name in clips]), file, protocol=protocol)
    return folder


def halves(names: Sequence[str], protocol: str) -> tuple[list[str], list[str]]:
    """Names of the train and of the test half."""
    trains = {name: name[9:12] == "001" if protocol == "xsub" else name[5:8] != "001" for name in names}
    return [name for name in names if trains[name]], [name for name in names if not trains[name]]


def write_crossclr_set(raw: Path, clips: Mapping[str, Clip], **options: Any) -> Path:
    """Both protocols of NTU RGB+D."""
    for protocol in ("xsub", "xview"):
        for half, names in zip(("train", "val"), halves(list(clips), protocol), strict=True):
            write_crossclr(raw / protocol, half, {name: clips[name] for name in names}, **options)
    return raw


def pyskl_content(clips: Mapping[str, Clip]) -> dict[str, Any]:
    split = {}
    for protocol in ("xsub", "xview"):
        split[f"{protocol}_train"], split[f"{protocol}_val"] = halves(list(clips), protocol)
    annotations = [
        {
            "frame_dir": name,
            "label": label_of(name),
            "keypoint": clip.transpose(1, 0, 2, 3),
            "total_frames": len(clip),
        }
        for name, clip in clips.items()
    ]
    return {"split": split, "annotations": annotations}


def write_pickle(path: Path, content: Any, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def ctrgcn_arrays(
    clips: Mapping[str, Clip], *, frames: int = 10, classes: int = 60
) -> dict[str, NDArray[Any]]:
    """The four arrays, as seq_transformation.py does; the halves are those of xsub."""
    arrays: dict[str, NDArray[Any]] = {}
    for half, names in zip(("train", "test"), halves(list(clips), "xsub"), strict=True):
        x = np.zeros((len(names), frames, clips[names[0]][0].size), np.float32)
        for row, name in enumerate(names):
            x[row, : len(clips[name])] = clips[name].reshape(len(clips[name]), -1)
        arrays[f"x_{half}"] = x
        arrays[f"y_{half}"] = np.eye(classes)[[label_of(name) for name in names]]
    return arrays


CLIPS = {name: slots(name, frames=5 + number % 4) for number, name in enumerate(NAMES)}


def check(found: Read, name: str) -> None:
    """The clip's poses, to the bit, and what its name says."""
    expected = CLIPS[name]
    assert np.array_equal(found.joints, expected)
    assert found.joints.dtype == np.float32
    assert np.array_equal(found.present, expected.any(axis=(2, 3)))
    assert np.array_equal(found.order, np.where(found.present, [0, 1], -1))
    assert (found.id, found.label, found.subject, found.camera) == (
        name,
        label_of(name),
        int(name[9:12]),
        int(name[5:8]),
    )
    assert (found.setup, found.repetition, found.findings) == (1, 1, ())


def problems(listing: Any) -> list[tuple[str, str, str]]:
    return [(row.file, row.place, row.problem) for row in listing.findings]


NATIVE, SMPLX = "kinectv2_25", "smplx_42"
CONVENTIONS = (NATIVE, SMPLX)
T = 9
LACKS = {NATIVE: NAMES[2], SMPLX: NAMES[5]}


def make_store(folder: Path, serving: Any, clip: Any) -> Path:
    """A store of 12 samples in two conventions, each of which lacks one; up to three bodies with gaps."""
    with serving(folder) as recordings:
        for number, name in enumerate(NAMES):
            for convention in CONVENTIONS:
                if name != LACKS[convention]:
                    bodies = 1 + number % 3
                    recordings.add(clip(name, convention, frames=6 + number, bodies=bodies, seed=number))
        options: Any = {"recipe": "raw", "frames": (T,), "conventions": CONVENTIONS}
        convert("ntu60", raw=recordings.raw, out=folder / "store.zarr", **options)
    add_streams(folder / "store.zarr", kinds=("bone", "motion"))
    return folder / "store.zarr"


# ---------------------------------------- back from an archive

OUT = {
    "crossclr": "aimclr",
    "ctrgcn": "NTU60_CV.npz",
    "hdf5": "store.h5",
    "pyskl": "ntu.pkl",
    "zarr": "part.zarr",
}


def read(path: Path, *names: str) -> list[Any]:
    opened = store.open_store(path)
    return [store.read(opened, name) for name in names]


def stream(path: Path, convention: str, frames: int = T) -> np.ndarray:
    return read(path, store.stream_path(convention, frames, "joint"))[0]


def back(to: str, raw: Path, out: Path, **options: Any) -> Path:
    """The archive as a store again."""
    convert("ntu60", source=to, raw=raw, out=out, **{"recipe": "raw", "frames": (T,), **options})
    assert validate(out) == ()
    return out
