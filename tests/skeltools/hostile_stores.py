"""Stores that harm: a small sound one, and changes to it by the grammar of zarr and of the format.

Every change is one function of a store's folder and a generator; ``change`` draws one. ``outcome`` does with
the result what users do with a store that they received.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zstd
from numcodecs.checksum32 import CRC32C

from schemas import SkelError
from skeltools import cli, convert
from skeltools.conversion.derive import add_streams
from tests.skeltools.raw_files import poses, write_npz, write_ntu

Change = Callable[[Path, np.random.Generator], None]
FRAMES = 6
CONVENTIONS = ("kinectv2_25", "smpl_24")
ESCAPE = "\x1b[2J\x1b]0;owned\x07"


def write_sound(folder: Path) -> Path:
    """Six clips in two conventions, a finding, streams of joints and bones of ``FRAMES`` frames."""
    raw, out = folder / "ntu60", folder / "sound.zarr"
    for number, camera in enumerate((1, 2, 3, 1, 2, 3)):
        name = f"S001C00{camera}P00{1 + number % 3}R001A00{1 + number // 3}"
        write_ntu(raw / "nturgb+d_skeletons" / f"{name}.skeleton", poses(9 + number, seed=number))
        if number:
            write_npz(raw, "smpl_24", name, 1000 * poses(9 + number, joints=24, seed=number))
    write_ntu(raw / "nturgb+d_skeletons" / "S001C001P001R001A005.skeleton", poses(1)).write_text("broken")
    convert("ntu60", raw=raw, out=out, frames=(FRAMES,), mirrored=True)
    add_streams(out, kinds=("bone",))
    return out


# ------------------------------------------------------------------------------------------- metadata

_ODD: tuple[Any, ...] = (
    None, True, 0, 1, -1, 2, 64, 2**31, 2**63, 10**9, 10**12, 10**13, 0.5, 1e308, float("nan"), "", "0",
    "x" * 200, "../../x", "/etc", "\ud800", ESCAPE, "blosc", "gzip", "pickle", "vlen-bytes", "float64",
    "int64", "string", "object", "|O", [], [0], [1], [10**12], [-1], [[]], [1, 1], {}, {"name": "x"},
    {"name": "zstd"},
    {"name": "numcodecs.pickle"}, {"name": "transpose", "configuration": {"order": [1, 0]}},
    {"name": "regular", "configuration": {"chunk_shape": [1]}}, "NaN", "0x00000000",
)  # fmt: skip


def any_metadata(store: Path, rng: np.random.Generator) -> None:
    """One to three values of one zarr.json replaced, removed, repeated or nested."""
    path = _pick(sorted(store.rglob("zarr.json")), rng)
    content = json.loads(path.read_text())
    for _ in range(rng.integers(1, 4)):
        _change_value(content, rng)
    path.write_text(json.dumps(content))


def manifest(store: Path, rng: np.random.Generator) -> None:
    """As ``any_metadata``, of the manifest, one level of it as likely as another."""
    path = store / "zarr.json"
    content = json.loads(path.read_text())
    for _ in range(rng.integers(1, 3)):
        _change_value(content["attributes"], rng)
    path.write_text(json.dumps(content))


def _change_value(node: Any, rng: np.random.Generator) -> None:
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = _pick(keys, rng)
        inner = node[key]
        if not (isinstance(inner, dict | list) and inner) or rng.random() < 0.25:
            break
        node = inner
    what = rng.integers(8)
    if what == 0:
        del node[key]
    elif what == 1 and isinstance(node, list):
        node.append(node[key])
    elif what == 2 and isinstance(node, dict):
        node[_pick(["x", "../x", ESCAPE, "", "consolidated_metadata"], rng)] = node[key]
    else:
        node[key] = _pick(_ODD, rng)


def lying_shape(store: Path, rng: np.random.Generator) -> None:
    """Another size of one axis, or of all rows, in the manifest and the metadata alike."""
    sizes = [0, 1, 2, 1000, 10**6, 10**9, 10**12, 2**62]
    root = json.loads((store / "zarr.json").read_text())
    told = root["attributes"]
    if rng.random() < 0.4:
        told["samples"] = size = _pick(sizes, rng)
        chosen = {path: 0 for path in told["arrays"] if path.startswith(("samples", "splits", "streams"))}
    elif rng.random() < 0.4:
        size, name = _pick(sizes, rng), _pick(CONVENTIONS, rng)
        chosen = {f"sequences/{name}/{part}": 0 for part in ("joints", "present", "order")}
    else:
        path = _pick(list(told["arrays"]), rng)
        size, chosen = _pick(sizes, rng), {path: int(rng.integers(len(told["arrays"][path]["shape"])))}
    for path, axis in chosen.items():
        _resize(store, told["arrays"], path, axis, size, chunks=rng.random() < 0.5)
    (store / "zarr.json").write_text(json.dumps(root))


def _resize(store: Path, arrays: Any, path: str, axis: int, size: int, *, chunks: bool) -> None:
    file = store / path / "zarr.json"
    content = json.loads(file.read_text())
    content["shape"][axis] = arrays[path]["shape"][axis] = size
    if chunks:
        grid = content["chunk_grid"]["configuration"]["chunk_shape"]
        grid[axis] = max(1, size)
        if content["codecs"][0]["name"] == "sharding_indexed":
            content["codecs"][0]["configuration"]["chunk_shape"][axis] = max(1, size)
    file.write_text(json.dumps(content))


def chunks(store: Path, rng: np.random.Generator) -> None:
    """Other sizes of chunks, or of those inside a shard."""
    file = store / _pick(_arrays(store), rng) / "zarr.json"
    content = json.loads(file.read_text())
    grids = [content["chunk_grid"]["configuration"]]
    if content["codecs"][0]["name"] == "sharding_indexed":
        grids.append(content["codecs"][0]["configuration"])
    grid = _pick(grids, rng)["chunk_shape"]
    grid[int(rng.integers(len(grid)))] = _pick([0, 1, 2, 3, 7, 64, 10**6, 10**13, -1, 2.5], rng)
    file.write_text(json.dumps(content))


def deep(store: Path, rng: np.random.Generator) -> None:
    """JSON of 60 to a million levels, in the recipe, the attributes, the findings."""
    levels = int(_pick([60, 200, 900, 5_000, 10**6], rng))
    nested = "[" * levels + "]" * levels if rng.random() < 0.5 else '{"a":' * levels + "1" + "}" * levels
    path = _pick([store / "zarr.json", store / "findings/zarr.json", *sorted(store.rglob("zarr.json"))], rng)
    content = json.loads(path.read_text())
    if "recipe" in content.get("attributes", {}) and rng.random() < 0.5:
        content["attributes"]["recipe"]["steps"][0]["options"] = {"x": "HERE"}
    elif "attributes" in content:
        content["attributes"]["x"] = "HERE"
    path.write_text(json.dumps(content).replace('"HERE"', nested))


def older_format(store: Path, rng: np.random.Generator) -> None:
    """A group or array of zarr's format 2, with a filter that unpickles, instead of one of format 3."""
    place = store / _pick(["", "samples", *_arrays(store)], rng)
    (place / "zarr.json").unlink()
    (place / ".zgroup").write_text('{"zarr_format": 2}')
    array = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": None, "order": "C"}
    (place / ".zarray").write_text(json.dumps(array | {"fill_value": 0, "filters": [{"id": "pickle"}]}))
    (place / "0").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")


# ------------------------------------------------------------------------------------------- values


def rewritten(store: Path, rng: np.random.Generator) -> None:
    """An array of another shape or type, sound for zarr, of which the manifest tells the truth."""
    path = _pick(_arrays(store), rng)
    values = np.asarray(zarr.open_group(store, mode="r")[path][...])  # type: ignore[index]
    rewrite(store, path, _another(values, rng))


def _another(values: Any, rng: np.random.Generator) -> Any:
    what = rng.integers(8)
    if what == 0:
        return values[: len(values) // 2]
    if what == 1:
        return np.concatenate([values, values[-1:], values[-1:]])
    if what == 2:
        return values[..., None]
    if what == 3:
        return np.asarray(values[0])
    if values.dtype.kind in "TUO":
        odd = [ESCAPE, "", "../../x", "x" * 10_000, values[0]]
        return np.array([_pick(odd, rng), *values[1:].tolist()], dtype=object)
    if what == 4:
        return values.astype(_pick(["float64", "int64", "int8", "uint8"], rng))
    if what == 5:
        return np.moveaxis(values, 0, -1)
    flat = values.astype(values.dtype, copy=True)
    limits = [np.inf, np.nan, 1e-40, 1e38] if flat.dtype.kind == "f" else [-1, 1, 3, 100, 127]
    flat[int(rng.integers(len(flat)))] = np.array(_pick(limits, rng)).astype(flat.dtype)
    return flat


def rewrite(store: Path, path: str, values: Any) -> None:
    """Put an array in the place of another, and into the manifest."""
    shutil.rmtree(store / path)
    root = zarr.open_group(store, mode="r+", zarr_format=3)
    text = values.dtype.kind in "TUO"
    made = root.create_array(path, shape=values.shape, dtype=str if text else values.dtype)
    if values.size:
        made[...] = values
    content = json.loads((store / "zarr.json").read_text())
    told = content["attributes"]["arrays"][path]
    told |= {"shape": list(values.shape), "dtype": "string" if text else str(values.dtype)}
    (store / "zarr.json").write_text(json.dumps(content))


def texts(store: Path, rng: np.random.Generator) -> None:
    """What clears a screen, in every text that a store has."""
    for path in (store / "zarr.json", store / "findings/zarr.json", store / "skeletons/smpl_24/zarr.json"):
        content = json.loads(path.read_text())
        if path.parent == store and rng.random() < 0.5:
            told = content["attributes"]
            told["classes"] = [name + ESCAPE for name in told["classes"]]
            told["dataset"] += ESCAPE
            told["tool"] += ESCAPE
            told["recipe"]["name"] += ESCAPE
            told["protocols"]["xsub"]["rule"] += ESCAPE
            told["conventions"]["smpl_24"] |= {"reader": ESCAPE, "axes": ESCAPE}
            told["findings"] = {problem + ESCAPE: count for problem, count in told["findings"].items()}
        elif rng.random() < 0.5:
            content["attributes"] = json.loads(
                json.dumps(content["attributes"]).replace("unreadable file", json.dumps(ESCAPE)[1:-1])
            )
        path.write_text(json.dumps(content))


# ------------------------------------------------------------------------------------------- chunk files


def flip(store: Path, rng: np.random.Generator) -> None:
    """One to eight bits of a file of values."""
    path = _pick(_values(store), rng)
    content = bytearray(path.read_bytes())
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def flip_one(store: Path, rng: np.random.Generator) -> tuple[str, int]:
    """One bit of a file of values; which."""
    path = _pick(_values(store), rng)
    content = bytearray(path.read_bytes())
    bit = int(rng.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return path.relative_to(store).as_posix(), bit


def cut(store: Path, rng: np.random.Generator) -> None:
    """A file of a store cut short, emptied, doubled or removed."""
    path = _pick(sorted(file for file in store.rglob("*") if file.is_file()), rng)
    content, what = path.read_bytes(), rng.integers(4)
    if what == 0:
        path.unlink()
    else:
        path.write_bytes((content[: int(rng.integers(len(content)))], b"", content * 2)[what - 1])


def bomb(store: Path, rng: np.random.Generator, path: Path | None = None) -> None:
    """A chunk that grows to gigabytes, or says so, with a right checksum; of a file, or of any."""
    path = path or _pick(_values(store), rng)
    what = rng.integers(3)
    if what == 0:  # 128 KB blocks that repeat one byte
        frame = b"\x28\xb5\x2f\xfd\x00\x58" + (struct.pack("<I", 2**17 << 3 | 2)[:3] + b"\0") * 30_000
        frame += struct.pack("<I", 2**17 << 3 | 3)[:3] + b"\0"
    elif what == 1:
        frame = Zstd(1).encode(b"\0" * 2**26)
    else:  # a frame that tells 8 GB
        frame = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**33) + b"\x01\x00\x00"
    path.write_bytes(_sealed(frame, shard=_chunks_of(path, store)))


def index(store: Path, rng: np.random.Generator) -> None:
    """An index of a shard that points outside, back or to one chunk many times, with a right checksum."""
    shards = [path for path in _values(store) if _chunks_of(path, store)]
    path = _pick(shards, rng)
    count, content = _chunks_of(path, store), path.read_bytes()
    numbers = list(struct.unpack(f"<{2 * count}Q", content[-16 * count - 4 : -4]))
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(min(4, 2 * count)))
        numbers[place] = _pick([0, 1, 2**31, 2**40, 2**63, 2**64 - 1, 2**64 - 2, len(content)], rng)
    if rng.random() < 0.3:
        numbers = numbers[:2] * count
    table = struct.pack(f"<{2 * count}Q", *numbers)
    path.write_bytes(content[: -16 * count - 4] + _with_crc(table))


def point(path: Path, chunk: int, numbers: tuple[int, int], *, chunks: int) -> None:
    """Let one entry of a shard's index be (offset, length), with a right checksum."""
    content = path.read_bytes()
    table = bytearray(content[-16 * chunks - 4 : -4])
    table[16 * chunk : 16 * chunk + 16] = struct.pack("<2Q", *numbers)
    path.write_bytes(content[: -16 * chunks - 4] + _with_crc(bytes(table)))


def count(store: Path, rng: np.random.Generator) -> None:
    """Ids that say that they are billions, or longer than the file."""
    number = _pick([0, 1, 5, 7, 2**24, 2**31, 2**32 - 1], rng)
    length = _pick([0, 3, 2**31 - 1, 2**32 - 1], rng)
    data = struct.pack("<II", number, length) + b"abc" * 20
    (store / "samples/id/c/0").write_bytes(_sealed(Zstd(1).encode(data)))


def _sealed(frame: bytes, *, shard: int = 0) -> bytes:
    chunk = _with_crc(frame)
    if not shard:
        return chunk
    absent = [2**64 - 1] * (2 * (shard - 1))
    return chunk + _with_crc(struct.pack(f"<{2 * shard}Q", 0, len(chunk), *absent))


def _with_crc(data: bytes) -> bytes:
    return bytes(CRC32C(location="end").encode(data))


def _chunks_of(path: Path, store: Path) -> int:
    """How many chunks the shard in a file has; 0 for a file that is no shard."""
    place = path.relative_to(store).as_posix().rpartition("/c/")[0]
    content = json.loads((store / place / "zarr.json").read_text())
    codec, outer = content["codecs"][0], content["chunk_grid"]["configuration"]["chunk_shape"]
    return outer[0] // codec["configuration"]["chunk_shape"][0] if codec["name"] == "sharding_indexed" else 0


# ------------------------------------------------------------------------------------------- files


def no_file(store: Path, rng: np.random.Generator) -> None:
    """A pipe, a device, a link out, a folder or a link to itself in the place of a file or folder."""
    path = _pick(sorted(store.rglob("*")), rng)
    target = path.with_name(f"moved-{path.name}")
    if rng.random() < 0.3:
        path = _pick([store / "zarr.json", store / "findings.csv", store / "samples/id/zarr.json"], rng)
        target = path.with_name("moved")
    path.rename(target)
    outside = store.parent / f"{store.name}-outside"
    what = rng.integers(6)
    if what == 0:
        os.mkfifo(path)
    elif what == 1:
        path.symlink_to("/dev/zero")
    elif what == 2:
        target.rename(outside)
        path.symlink_to(outside)
    elif what == 3:
        path.mkdir()
    elif what == 4:
        path.symlink_to(path.name)
    else:
        path.symlink_to(target.name)


def extra_file(store: Path, rng: np.random.Generator) -> None:
    """A pipe or a device where nothing of the store is."""
    place = store / _pick(["x", "samples/x", "streams/x", "samples/id/c/1", "x/zarr.json"], rng)
    place.parent.mkdir(exist_ok=True)
    os.mkfifo(place) if rng.random() < 0.5 else place.symlink_to("/dev/zero")


CHANGES: tuple[Change, ...] = (
    any_metadata, any_metadata, any_metadata, manifest, manifest, lying_shape, lying_shape, chunks, deep,
    older_format, rewritten, rewritten, rewritten, texts, flip, flip, cut, bomb, index, count, no_file,
    no_file, extra_file,
)  # fmt: skip


def change(store: Path, rng: np.random.Generator) -> str:
    """Change a store in one way; its name."""
    drawn: Change = _pick(CHANGES, rng)
    drawn(store, rng)
    return drawn.__name__


def _pick(values: Any, rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _arrays(store: Path) -> list[str]:
    return list(json.loads((store / "zarr.json").read_text())["attributes"]["arrays"])


def _values(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("c/**/*") if path.is_file())


# ------------------------------------------------------------------------------------------- use


def uses(store: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """(name, what is done) with a store that was received."""
    out = store.parent / f"{store.name}.out"
    yield "inspect", lambda: command("inspect", store)
    yield "inspect --findings", lambda: command("inspect", store, "--findings")
    yield "card", lambda: command("card", store, "--out", out.with_suffix(".md"))
    yield "validate", lambda: command("validate", store)
    yield "export", lambda: command("export", store, "--to", "hdf5", "--out", out.with_suffix(".h5"))
    yield "open", lambda: read_all(store)
    yield "trainer", lambda: train(store)
    yield "streams", lambda: command("streams", store, "--motion")


def command(*arguments: object) -> int:
    """The exit code of a command. Raises AssertionError for what no command may print."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = cli.run([str(argument) for argument in arguments])
    text = out.getvalue()
    assert "internal error" not in text, text[-2000:]
    assert "Traceback" not in text, text[-2000:]
    assert not {"\x1b", "\x07"} & set(text), f"raw control characters: {text[-2000:]!r}"
    return code


def read_all(store: Path) -> None:
    """Everything that ``skeltools.open`` gives."""
    import skeltools

    with contextlib.suppress(SkelError):
        opened = skeltools.open(store)
        assert len(opened.ids) == len(opened.labels) == len(opened)
        for name in opened.splits:
            opened.rows(name)
        for convention in opened.conventions:
            for clip in opened.clips(convention):
                assert clip.joints.shape[2] == len(clip.names)
            opened.stream(convention=convention, in_memory=True)
        opened[0]


def train(store: Path) -> None:
    """What pre-training reads: skeletons, the rows of a half, their clips."""
    from trainer import store as stores

    with contextlib.suppress(SkelError):
        opened = stores.open_store(store)
        conventions = list(opened.manifest.conventions)
        stores.skeletons(opened, conventions)
        split = next(iter(opened.manifest.protocols), "none")
        length = next(iter(stores.lengths_of(opened, conventions)), FRAMES)
        found = stores.load(opened, split=split, part="train", conventions=conventions, frames=length)
        assert all(len(clip) == len(found.labels) for clip in found.clips.values())
