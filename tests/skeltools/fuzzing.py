"""Damaged raw files of every format, and what a reader may make of them. fuzz_runs.py reads them."""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import savemat

from schemas import Finding, SkelError
from skeltools import skeletons
from skeltools.conversion import convert
from skeltools.custom import settings as custom_settings
from skeltools.formats.export import export
from skeltools.raw_items import Listing, RawItem
from skeltools.readers import READERS
from skeltools.sequence import SkeletonSequence
from tests.skeltools import archives, mocap_files, own_data, pose_json_files, raw_files

ITEMS = 3
"""Clips of a file that are read."""

NAMES = (archives.NAMES[0], archives.NAMES[6])
SMALL = {name: archives.slots(name, frames=4, bodies=2) for name in NAMES}


# ------------------------------------------------------------------------------------------- sound files


def _custom(**settings: Any) -> Callable[[Path], None]:
    def write(raw: Path) -> None:
        told = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C", **settings}
        kind, poses = told.pop("kind"), raw_files.poses(4, 2)
        if kind == "long":
            told |= {"layout": None, "csv": {"form": "long"}}
        (raw / "dataset.yaml").write_text(json.dumps({k: v for k, v in told.items() if v is not None}))
        if kind == "npy":
            np.save(raw / "wave_s1.npy", poses)
        elif kind == "npz":
            np.savez_compressed(raw / "wave_s1.npz", poses=poses)
        elif kind == "h5":
            with h5py.File(raw / "wave_s1.h5", "w") as file:
                file["poses"] = poses
        elif kind == "wide":
            lines = (",".join(f"{value:.4g}" for value in frame.ravel()) for frame in poses)
            (raw / "wave_s1.csv").write_text("\n".join(lines))
        else:
            joints = skeletons.load("kinectv2_25").joints
            rows = [
                f"{frame},{body},{joints[joint]}," + ",".join(f"{v:.4g}" for v in poses[frame, body, joint])
                for frame, body, joint in np.ndindex(poses.shape[:3])
            ]
            (raw / "wave_s1.csv").write_text("frame,body,joint,x,y,z\n" + "\n".join(rows))

    return write


def _pose_json(kind: str) -> Callable[[Path], None]:
    def write(raw: Path) -> None:
        convention = {"openpose": "openpose_25", "kinetics": "openpose_18", "mediapipe": "mediapipe_33"}
        told = {
            "name": "mine",
            "convention": convention.get(kind, "coco_17"),
            "never_seen": "keep",
            "bodies": 2,
        }
        if kind != "mediapipe":
            told |= {"coordinates": "xys", "image_size": [640, 480]}
        (raw / "dataset.yaml").write_text(json.dumps(told))
        poses, score = pose_json_files.pixels(3, 2, str(told["convention"]))
        if kind == "openpose":
            pose_json_files.openpose(raw, "wave", poses, score)
        elif kind == "alphapose":
            pose_json_files.alphapose(raw / "wave.json", poses, score, ids=True)
        elif kind == "mmpose":
            pose_json_files.mmpose(raw / "wave.json", poses, score, ids=True)
        elif kind == "kinetics":
            pose_json_files.kinetics(raw / "wave.json", poses / 480, score)
        elif kind == "coco":
            names = list(skeletons.load("coco_17").joints)
            pose_json_files.coco(raw / "all.json", {"a": (poses, score), "b": (poses, score)}, names=names)
        else:
            body = np.concatenate([poses / 480 - 0.4, poses[..., :1] / 480], axis=-1)[:, 0]
            frames = [pose_json_files.landmarks(p, s) for p, s in zip(body, score[:, 0], strict=True)]
            pose_json_files.dump(raw / "wave.json", [{"pose_world_landmarks": frame} for frame in frames])

    return write


def _mocap(kind: str, **settings: Any) -> Callable[[Path], None]:
    def write(raw: Path) -> None:
        axes = {"x": "right", "y": "forward", "z": "up"}
        told = {"name": "mine", "convention": "kinectv2_25", "axes": axes, "units": "mm", **settings}
        (raw / "dataset.yaml").write_text(json.dumps(told))
        names, poses = skeletons.load("kinectv2_25").joints, 1000 * raw_files.poses(4, 1)[:, 0]
        if kind == "bvh":
            mocap_files.write_bvh(raw / "wave.bvh", mocap_files.rig("kinectv2_25"), frames=4)
        elif kind == "mvnx":
            (raw / "wave.mvnx").write_text(mocap_files.mvnx(poses, [(name, "") for name in names]))
        elif kind == "acclaim":
            mocap_files.write_acclaim(raw, frames=3)
        elif kind == "c3d":
            (raw / "wave.c3d").write_bytes(mocap_files.c3d(poses, names))
        elif kind == "amass":
            mocap_files.parameters(raw, 24, frames=3)
            np.savez(raw / "model.npz", **mocap_files.model_arrays(24))  # type: ignore[arg-type]
        elif kind == "humanml3d":
            np.save(raw / "wave.npy", np.random.default_rng(0).normal(1, 0.1, (3, 263)))
        elif kind == "mat":
            savemat(raw / "wave.mat", {"poses": poses.reshape(4, 75)})
        else:
            text = {"trc": mocap_files.trc, "csv": mocap_files.motive}[kind](poses, names, "mm")
            (raw / f"wave.{kind}").write_text(text)

    return write


def _metrabs(raw: Path, kind: str) -> None:
    sample, poses = raw_files.SAMPLE, 1000 * raw_files.poses(4, 2, 42)
    if kind == "npz":
        raw_files.write_npz(raw, "smplx_42", sample, poses, fps=30.0)
    elif kind == "h5":
        raw_files.write_h5(raw, "smplx_42", sample, poses.reshape(-1, 42, 3), people=[2, 2, 2, 2])
    elif kind == "pt":
        import torch

        path = raw / "metrabs" / "smplx_42" / f"{sample}.pt"
        path.parent.mkdir(parents=True)
        torch.save(torch.from_numpy(poses), path)
    else:
        raw_files.write_npz(raw, "all", sample, poses)
        table = {"smplx_42": {"indices": list(range(42)), "names": list(skeletons.load("smplx_42").joints)}}
        (raw / "metrabs" / "skeletons.json").write_text(json.dumps(table))


def _zipped(raw: Path) -> None:
    text = raw_files.ntu_text(raw_files.poses(3, 1))
    with zipfile.ZipFile(raw / "clips.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"skeletons/{raw_files.SAMPLE}.skeleton", text)


def _pickled(raw: Path) -> None:
    poses = raw_files.poses(3, 2)
    told = {"nbodys": [2, 2, 2], "njoints": 25, "skel_body0": poses[:, 0], "skel_body1": poses[:, 1]}
    np.save(raw / f"{raw_files.SAMPLE}.skeleton.npy", told, allow_pickle=True)  # type: ignore[arg-type]


def _hdf5(raw: Path) -> None:
    (raw / "store.h5").write_bytes(_exported())


@lru_cache
def _exported() -> bytes:
    """As ``skeltools export --to hdf5`` writes it; made once, for it takes a conversion."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archives.write_pickle(folder / "small.pkl", archives.pyskl_content(SMALL))
        convert(
            "ntu60",
            source="pyskl",
            raw=folder / "small.pkl",
            out=folder / "s.zarr",
            recipe="raw",
            frames=(4,),
        )
        export(folder / "s.zarr", to="hdf5", out=folder / "s.h5")
        return (folder / "s.h5").read_bytes()


FORMATS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "ntu": (
        "ntu",
        lambda raw: raw_files.write_ntu(raw / f"{raw_files.SAMPLE}.skeleton", raw_files.poses(3, 2)),
    ),
    "ntu zip": ("ntu", _zipped),
    "ntu npy": ("ntu", _pickled),
    "nwucla": (
        "nwucla",
        lambda raw: raw_files.write_nwucla(raw, "a08_s03_e02_v01", raw_files.poses(3, 1, 20)[:, 0], 7),
    ),
    "pkummd1": (
        "pkummd1",
        lambda raw: raw_files.write_pku(raw, "0002-L", raw_files.poses(9, 2), [(3, 1, 4), (4, 4, 8)]),
    ),
    "pkummd2": (
        "pkummd2",
        lambda raw: raw_files.write_pku(raw, "A01N02-R", raw_files.poses(9, 2), [(3, 1, 4)], part=2),
    ),
    "pkummd1 uncut": (
        "pkummd1-uncut",
        lambda raw: raw_files.write_pku(raw, "0002-L", raw_files.poses(9, 2), [(3, 1, 4), (4, 4, 8)]),
    ),
    "pkummd2 uncut": (
        "pkummd2-uncut",
        lambda raw: raw_files.write_pku(raw, "A01N02-R", raw_files.poses(9, 2), [(3, 1, 4)], part=2),
    ),
    "custom npy": ("custom", _custom(kind="npy")),
    "custom npz": ("custom", _custom(kind="npz")),
    "custom h5": ("custom", _custom(kind="h5")),
    "custom csv": (
        "custom",
        _custom(kind="wide", layout="T MVC", pattern=r"(?P<label>[a-z]+)_s(?P<subject>\d+)"),
    ),
    "custom long csv": ("custom", _custom(kind="long")),
    "custom openpose": ("custom", _pose_json("openpose")),
    "custom alphapose": ("custom", _pose_json("alphapose")),
    "custom mmpose": ("custom", _pose_json("mmpose")),
    "custom kinetics": ("custom", _pose_json("kinetics")),
    "custom coco": ("custom", _pose_json("coco")),
    "custom mediapipe": ("custom", _pose_json("mediapipe")),
    "custom bvh": ("custom", _mocap("bvh")),
    "custom acclaim": ("custom", _mocap("acclaim", convention="cmu_31")),
    "custom mvnx": ("custom", _mocap("mvnx")),
    "custom c3d": ("custom", _mocap("c3d")),
    "custom trc": ("custom", _mocap("trc")),
    "custom motive": ("custom", _mocap("csv")),
    "custom amass": ("custom", _mocap("amass", convention="smpl_22", body_model="model.npz")),
    "custom humanml3d": ("custom", _mocap("humanml3d", convention="smpl_22")),
    "custom mat": ("custom", _mocap("mat", layout="T VC")),
    "metrabs npz": ("metrabs", lambda raw: _metrabs(raw, "npz")),
    "metrabs h5": ("metrabs", lambda raw: _metrabs(raw, "h5")),
    "metrabs pt": ("metrabs", lambda raw: _metrabs(raw, "pt")),
    "metrabs all": ("metrabs", lambda raw: _metrabs(raw, "all")),
    "crossclr": ("crossclr", lambda raw: archives.write_crossclr(raw / "xsub", "train", SMALL)),
    "ctrgcn": (
        "ctrgcn",
        lambda raw: np.savez(raw / "NTU60_CS.npz", **archives.ctrgcn_arrays(SMALL, frames=5)),
    ),  # type: ignore[arg-type]
    "ctrgcn in the forms of own data": (
        "ctrgcn",
        lambda raw: np.savez(raw / "a.npz", x=np.ones((2, 3, 4, 25, 2), np.float32), y=np.array([0, 1])),
    ),
    "pyskl": (
        "pyskl",
        lambda raw: archives.write_pickle(raw / "ntu60_3danno.pkl", archives.pyskl_content(SMALL)),
    ),
    "hdf5": ("hdf5", _hdf5),
}
"""Format -> its reader, and what writes sound files of it into an empty folder."""


# ---------------------------------------------------------------------------------------------- mutation

_NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][+-]?\d+)?")
_VALUES = (
    b"",
    b"-1",
    b"0",
    b"nan",
    b"inf",
    b"-inf",
    b"1e309",
    b"1e-400",
    b"3.5",
    b"99999999999999999999",
    b"4294967296",
    b"-9223372036854775809",
    b"1_000",
    b"0x10",
    b"\xd9\xa3",
    b"32768",
    b"1e18",
)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes; members of zip files are changed inside, too, and packed anew."""
    if data[:2] == b"PK" and rng.random() < 0.6:
        return _repacked(data, rng)
    if data[:1] in (b"{", b"[") and rng.random() < 0.6:
        with suppress(ValueError):
            return json.dumps(changed_json(json.loads(data), rng)).encode()
    for _ in range(rng.integers(1, 4)):
        data = _CHANGES[rng.integers(len(_CHANGES))](data, rng)
    return data


_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, -(10**18), 2**63, 1e308, float("nan"), float("inf"), "", "0", "a" * 99,
    "../x", [], {}, [[]], [None], [{}], [[1.0]], {"x": 1}, {"keypoints": []}, [1e400, "b"], [[], [1, 2]],
)  # fmt: skip


def _places(node: Any) -> list[tuple[Any, Any]]:
    """(list or object, index or key) of everything in a JSON value."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, value in list(inner) for place in ((node, key), *_places(value))]


def changed_json(content: Any, rng: np.random.Generator) -> Any:
    """One to three values replaced, taken away or repeated; deep ones are no likelier than others."""
    for _ in range(rng.integers(1, 4)):
        places = _places(content)
        depths = [place for place in places if not isinstance(place[0], list) or len(place[0]) < 12] or places
        node, key = depths[rng.integers(len(depths))]
        what = rng.integers(8)
        if what == 0:
            del node[key]
        elif what == 1 and isinstance(node, list):
            node.append(node[key])
        else:
            node[key] = json.loads(json.dumps(_ODD[rng.integers(len(_ODD))]))
        if not content:
            break
    return content


def _repacked(data: bytes, rng: np.random.Generator) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        members = old.infolist()
        chosen = rng.integers(len(members))
        for number, info in enumerate(members):
            content = old.read(info)
            new.writestr(info, mutate(content, rng) if number == chosen else content, info.compress_type)
    return made.getvalue()


def _span(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, min(len(data), start + int(rng.integers(1, 1 + max(1, min(400, len(data))))))


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)) if data else ():
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _delete(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def _duplicate(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(data, rng)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 4)) + data[stop:]


def _truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _splice(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(data, rng)
    to = int(rng.integers(len(data) + 1))
    return data[:to] + data[start:stop] + data[to + stop - start :]


def _noise(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(data, rng)
    return data[:start] + rng.bytes(min(stop - start, 40)) + data[start:]


def _number(data: bytes, rng: np.random.Generator) -> bytes:
    """One number as text; what holds few is changed in its first kilobyte, where headers are."""
    found = list(_NUMBER.finditer(data if rng.random() < 0.5 else data[:1000]))
    if not found:
        return _extreme(data, rng)
    match = found[rng.integers(len(found))]
    return data[: match.start()] + _VALUES[rng.integers(len(_VALUES))] + data[match.end() :]


def _extreme(data: bytes, rng: np.random.Generator) -> bytes:
    """One binary number of 1 to 8 bytes, likely near the beginning."""
    width = int(rng.choice([1, 2, 4, 8]))
    start = int(rng.integers(1 + (len(data) if rng.random() < 0.5 else min(len(data), 600))))
    value = (b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 3 + b"\x7f" * 5)[rng.integers(4)][-width:]
    return data[:start] + value + data[start + width :]


def _lines(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    one, other = rng.integers(len(lines), size=2)
    lines[one], lines[other] = lines[other], (lines[one] if rng.random() < 0.5 else b"")
    return b"\n".join(lines)


_CHANGES = (_flip, _delete, _duplicate, _truncate, _splice, _noise, _number, _number, _extreme, _lines)


# ----------------------------------------------------------------------------------------------- reading


def outcome(reader: str, raw: Path) -> tuple[str, int]:
    """(``accepted`` or ``refused``, findings) of what is in a folder. Raises all that a reader must not."""
    try:
        listing: Listing = READERS[reader].discover(raw)
    except SkelError as error:
        _check_message(error)
        return "refused", 0
    _check_listing(listing)
    accepted, findings = 0, len(listing.findings)
    for item in listing.items[:ITEMS]:
        try:
            clip = READERS[reader].read(item)
        except (SkelError, OSError) as error:
            _check_message(error)
            continue
        check_clip(clip, item)
        accepted += 1
        findings += len(clip.findings)
    return "accepted" if accepted else "refused", findings


def _check_message(error: Exception) -> None:
    assert "\n" not in str(error)


def _check_listing(listing: Listing) -> None:
    keys = [(item.id, item.convention) for item in listing.items]
    assert keys == sorted(set(keys)), "items are not sorted, or one is there twice"
    json.dumps([row.model_dump() for row in listing.findings], ensure_ascii=False).encode()
    for half in listing.halves.values():
        assert set(half.values()) <= {0, 1, 2}
        "\n".join(half).encode()


def check_clip(clip: SkeletonSequence, item: RawItem) -> None:
    """All that a SkeletonSequence promises, and that the columns of a store can hold it."""
    if clip.convention in skeletons.names():
        spec = skeletons.load(clip.convention)
    else:  # it is in a file, which the settings name
        settings = Path(item.settings)
        spec = custom_settings.spec_of(custom_settings.load(settings), settings)
    joints = spec.num_joints
    assert (clip.id, clip.convention) == (item.id, item.convention)
    assert clip.id.encode()
    assert clip.id.isprintable()
    assert clip.joints.shape == (*clip.present.shape, joints, 3)
    assert (clip.joints.dtype, clip.present.dtype, clip.order.dtype) == (np.float32, np.bool_, np.int8)
    assert clip.present.any(), "nobody is in it"
    assert np.isfinite(clip.joints).all(), "a coordinate is not finite"
    assert np.array_equal(clip.joints.any(axis=(2, 3)), clip.present), "present is not where joints are"
    assert np.array_equal(clip.order >= 0, clip.present)
    assert clip.order.min() >= -1
    numbers = (clip.label, clip.subject, clip.camera, clip.setup, clip.repetition)
    assert all(isinstance(n, int) and -1 <= n < 2**15 for n in numbers), f"fields {numbers}"
    assert len(clip.body_ids) == clip.bodies
    assert all(isinstance(row, Finding) for row in clip.findings)


def sound_after_damage(folder: Path, name: str, count: int) -> int:
    """How many of ``count`` mutants of a file a user's own reader takes; the others are refused as they ought
    to be. The file is as before afterwards."""
    file, rng, taken = folder / name, np.random.default_rng(0), 0
    sound = file.read_bytes()
    for _ in range(count):
        file.write_bytes(mutate(sound, rng))
        try:
            assert np.isfinite(own_data.read(folder).joints).all()
            taken += 1
        except SkelError:
            pass
    file.write_bytes(sound)
    return taken
