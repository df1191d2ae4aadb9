"""Check the metadata of a store's arrays: the format's table, and the layout of the values in files.

docs/reference/store-format.md is the source of shapes and types; the bounds on chunks keep the memory that a
reader allocates close to what the files contain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from schemas.store import ArrayInfo

SIZES = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
}
"""Bytes of a value; the only other type is ``string``."""

SAMPLES = {
    "id": "string",
    "label": "int16",
    "subject": "int16",
    "camera": "int16",
    "setup": "int16",
    "repetition": "int16",
    "frames": "int32",
    "bodies": "int8",
}
GRAPHS = {
    "adjacency": ("K V W", "float32"),
    "adjacency_degenerate": ("K V W", "float32"),
    "joint_mask": ("V", "bool"),
}
_SEQUENCES = {
    "joints": ("F M v C", "float32"),
    "present": ("F M", "bool"),
    "order": ("F M", "int8"),
    "offsets": ("N+1", "int64"),
    "unseen": ("F M v", "bool"),
    "score": ("F M v", "float32"),
    "frame_label": ("F", "int16"),
}

LONGEST = 10_000
"""Most frames of a stream, as in ``Length``."""
MOST_AXES = 5
MOST_BODIES = 64
"""Most bodies in streams and sequences; settings accept up to 8."""
WIDEST = 32768
"""Most rows of a chunk or shard that is longer than its array: those of a shard of ``sequences``."""
MOST_CHUNKS = 200_000
"""Most files of an array: 6.5 billion frames of ``sequences``."""
MOST_INNER = 4096
"""Most chunks of a shard; writers of this project make 32 and 16."""
LEAST_CHUNK = 4096
"""Fewest bytes per chunk in an array of more than 1,000 chunks."""


@dataclass(frozen=True)
class Chunks:
    """The layout of an array in files."""

    shape: tuple[int, ...]
    itemsize: int
    """Bytes of a value; 0 for text."""
    outer: tuple[int, ...]
    """Shape of the content of one file."""
    inner: tuple[int, ...] | None
    """Shape of the chunks of a shard; None if a file is one chunk."""
    compressed: bool
    checksum: bool
    index_checksum: bool = True
    index_first: bool = False
    promised: int = 0
    """Bytes of the rows that are not missing."""

    @property
    def files(self) -> tuple[int, ...]:
        """Number of files along each axis."""
        return tuple(ceil(size / chunk) for size, chunk in zip(self.shape, self.outer, strict=True))

    @property
    def count(self) -> int:
        """Number of chunks in a file."""
        return 1 if self.inner is None else prod(self.outer) // prod(self.inner)

    @property
    def values(self) -> int:
        """Number of values in a chunk."""
        return prod(self.outer if self.inner is None else self.inner)


def rule(path: str) -> tuple[str, str] | None:
    """(axes, dtype) of an array of the format; None for a path that the format does not define.

    Axes are letters of the format's table; a ``v`` is V of the array's own convention.

    >>> rule("sequences/coco_17/present")
    ('F M', 'bool')
    """
    match path.split("/"):
        case ["samples", name] if name in SAMPLES:
            return "N", SAMPLES[name]
        case ["splits", _]:
            return "N", "uint8"
        case ["skeletons", _, name] if name in GRAPHS:
            return GRAPHS[name]
        case ["sequences", _, name] if name in _SEQUENCES:
            return _SEQUENCES[name]
        case ["streams", _, length, "joint" | "bone" | "motion"] if _length(length):
            return "N C T v M", "float32"
    return None


def _length(name: str) -> bool:
    digits = name.removeprefix("t")
    return name != digits and digits.isascii() and digits.isdecimal() and 1 <= int(digits[:9]) <= LONGEST


def check_shape(path: str, info: ArrayInfo, known: dict[str, int]) -> None:
    """Raise ValueError if the manifest's entry for an array differs from the format.

    ``known``: letter -> size; sizes that the format leaves open are added to it, for the arrays that follow.
    """
    if len(info.shape) > MOST_AXES or any(size < 0 for size in info.shape) or prod(info.shape) > 2**60:
        raise ValueError(f"the manifest gives it the shape {_short(info.shape)}")
    entry = rule(path)
    if entry is None:
        return
    axes, dtype = entry[0].split(), entry[1]
    if info.dtype != dtype:
        raise ValueError(f"the manifest has {info.dtype[:40]} for it, the format {dtype}")
    if len(axes) != len(info.shape):
        raise ValueError(f"the manifest has {len(info.shape)} axes for it, the format {entry[0].upper()}")
    if "T" in axes:
        known = {**known, "T": int(path.split("/")[2][1:])}
    for axis, size in zip(axes, info.shape, strict=True):
        if known.setdefault(axis, size) != size:
            raise ValueError(f"its axis {axis.upper()} has {size} places, not {known[axis]}")
    if known.get("M", 0) > MOST_BODIES:
        raise ValueError(f"has places for {known['M']} people, and {MOST_BODIES} is the most that is read")


def chunks(metadata: Mapping[str, Any], info: ArrayInfo, *, rows: int | None = None) -> Chunks:
    """The layout of an array in files, from its ``zarr.json``, which must agree with the manifest.

    ``rows``: number of rows that are not missing, of an array with one row per sample. Raises ValueError.
    """
    _check_kind(metadata, "array", _ARRAY)
    _same("shape", _ints(metadata.get("shape"), "shape", least=0), info.shape)
    _same("dtype", metadata.get("data_type"), info.dtype)
    if info.dtype != "string" and info.dtype not in SIZES:
        raise ValueError(f"its dtype is {_short(info.dtype)}")
    _check_fill(metadata.get("fill_value"), info.dtype)
    key = metadata.get("chunk_key_encoding")
    if key not in _KEYS or metadata.get("storage_transformers") not in (None, [], ()):
        raise ValueError("its files have other names than those of zarr's default")
    outer = _grid(metadata.get("chunk_grid"), info.shape)
    codecs = _codecs(metadata.get("codecs"), info, outer, first=True)
    result = Chunks(info.shape, SIZES.get(info.dtype, 0), outer, **codecs, promised=_promised(info, rows))
    files, size = prod(result.files), prod(info.shape) * (result.itemsize or 16)
    if files > min(MOST_CHUNKS, 1000 + size // LEAST_CHUNK):
        raise ValueError(f"is cut into {files} chunks of shape {_short(outer)}")
    return result


def check_group(metadata: Any) -> None:
    """Raise ValueError if the content of a ``zarr.json`` is not that of a group."""
    if not isinstance(metadata, dict):
        raise ValueError("its zarr.json is no object")
    _check_kind(metadata, "group", _GROUP)
    if not isinstance(metadata.get("attributes", {}), dict):
        raise ValueError("its attributes are no object")
    if metadata.get("consolidated_metadata") is not None:
        raise ValueError("has consolidated metadata, which may differ from those of its arrays")


_GROUP = {"attributes", "zarr_format", "node_type", "consolidated_metadata"}
_ARRAY = {
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
    "codecs",
    "attributes",
    "dimension_names",
    "zarr_format",
    "node_type",
    "storage_transformers",
}
_KEYS = (
    {"name": "default", "configuration": {"separator": "/"}},
    {"name": "default", "configuration": {}},
    {"name": "default"},
    "default",
)


def _check_kind(metadata: Mapping[str, Any], kind: str, keys: set[str]) -> None:
    if not isinstance(metadata, dict) or metadata.get("node_type") != kind:
        raise ValueError(f"is no {kind} of zarr")
    if metadata.get("zarr_format") != 3:
        raise ValueError("is not of zarr's format 3")
    if strange := sorted(metadata.keys() - keys):
        raise ValueError(f"its metadata have an unknown key, {_short(strange[0])}")


def _check_fill(value: object, dtype: str) -> None:
    empty = "" if dtype == "string" else False if dtype == "bool" else 0
    plain = value == empty and isinstance(value, str | bool | int | float)
    if not plain or isinstance(value, str) != (dtype == "string"):
        raise ValueError(f"its fill value is {_short(value)}, not {empty!r}")


def _grid(grid: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    name, options = _named(grid, "chunk grid")
    if name != "regular":
        raise ValueError(f"its chunk grid is {_short(name)}, not regular")
    outer = _ints(options.get("chunk_shape"), "chunks", least=1)
    most = [max(size, WIDEST if axis == 0 else MOST_BODIES) for axis, size in enumerate(shape)]
    if len(outer) != len(shape) or any(size > limit for size, limit in zip(outer, most, strict=True)):
        raise ValueError(f"its chunks are {_short(outer)}, but its shape is {shape}")
    return outer


def _codecs(codecs: Any, info: ArrayInfo, outer: tuple[int, ...], *, first: bool) -> dict[str, Any]:
    """Check the codecs: values to bytes, optional zstd, optional checksum; or a shard with such a chain."""
    chain = [_named(each, "codec") for each in codecs] if isinstance(codecs, list) else []
    names = [name for name, _ in chain]
    if names == ["sharding_indexed"] and first and info.dtype != "string":
        return _shards(chain[0][1], info, outer)
    start = "vlen-utf8" if info.dtype == "string" else "bytes"
    if names not in ([start, *rest] for rest in _CHAINS):
        raise ValueError(f"its codecs are {_short(names)}, not {start}, zstd, crc32c")
    if start == "bytes" and chain[0][1].get("endian", "little") != "little":
        raise ValueError("its values are not little-endian")
    return {"inner": None, "compressed": "zstd" in names, "checksum": "crc32c" in names}


_CHAINS: tuple[list[str], ...] = (["zstd", "crc32c"], ["zstd"], ["crc32c"], [])


def _shards(options: dict[str, Any], info: ArrayInfo, outer: tuple[int, ...]) -> dict[str, Any]:
    inner = _ints(options.get("chunk_shape"), "chunks in a shard", least=1)
    if len(inner) != len(outer) or any(size % part for size, part in zip(outer, inner, strict=True)):
        raise ValueError(f"chunks of {_short(inner)} do not fill its shards of {_short(outer)}")
    if prod(outer) // prod(inner) > MOST_INNER:
        raise ValueError(f"its shards hold {prod(outer) // prod(inner)} chunks")
    index = options.get("index_codecs")
    names = [_named(each, "codec")[0] for each in index] if isinstance(index, list) else []
    place = options.get("index_location", "end")
    if names not in (["bytes", "crc32c"], ["bytes"]) or place not in ("start", "end"):
        raise ValueError(f"the index of its shards is written by {_short(names)}")
    return {
        **_codecs(options.get("codecs"), info, inner, first=False),
        "inner": inner,
        "index_checksum": "crc32c" in names,
        "index_first": place == "start",
    }


def _named(value: Any, what: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a codec or grid, which may be given as its bare name."""
    named = {"name": value} if isinstance(value, str) else value if isinstance(value, dict) else {}
    name, options = named.get("name"), named.get("configuration") or {}
    if not isinstance(name, str) or not isinstance(options, dict):
        raise ValueError(f"has a {what} without a name")
    return name, options


def _promised(info: ArrayInfo, rows: int | None) -> int:
    count = prod(info.shape) * SIZES.get(info.dtype, 0)
    return count if rows is None or not info.shape[0] else count // info.shape[0] * rows


def _ints(value: Any, what: str, *, least: int) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(each) is not int or each < least for each in value):
        raise ValueError(f"its {what} are {_short(value)}")
    return tuple(value)


def _same(part: str, actual: Any, expected: Any) -> None:
    if actual != expected:
        raise ValueError(f"{part} is {_short(actual)}, but the manifest says {expected}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
