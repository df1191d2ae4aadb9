"""The poses of one file of a user's own data as [T, M, V, 3], nothing turned or scaled yet."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec
from skeltools.custom.clip_files import Poses
from skeltools.custom.settings import Settings
from skeltools.files.arrays import npy_file, npz_file
from skeltools.raw_items import MAX_BYTES, ZIP_ERRORS, RawItem, read_bytes

HDF5 = (".h5", ".hdf5")
SUFFIXES = (".npy", ".npz", ".csv", *HDF5)
CLIP = "{clip}"
"""In ``key``: the place of the clip's name, for files of many clips."""

MAX_BODIES = 32
HDF5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)
_REMEDY = "Mend the file, or what dataset.yaml says about it"


def poses(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Poses of an array or table; NaN where nothing is given. Raises RawDataError: shape, key, column or
    number."""
    suffix = Path(item.path).suffix
    if suffix == ".csv" and settings.csv.form == "long":
        return Poses(_long(item, settings, spec))
    array = _LOADERS[suffix](item, settings)
    if array.dtype.kind not in "fiu":
        raise _wrong(item, f"holds {array.dtype}, expected numbers")
    if array.nbytes > MAX_BYTES:
        raise _wrong(item, f"{array.nbytes} bytes are too many for one clip (limit {MAX_BYTES})")
    with np.errstate(invalid="ignore"):
        values = _laid_out(array, item, settings, spec).astype(np.float64)
    scored = settings.coordinates.endswith("s")
    return Poses(values[..., :-1], values[..., -1]) if scored else Poses(values)


def _laid_out(array: NDArray[Any], item: RawItem, settings: Settings, spec: SkeletonSpec) -> NDArray[Any]:
    """Any layout -> [T, M, V, C]."""
    layout = settings.layout or "T VC"
    axes = layout.split()
    known = {"V": spec.num_joints, "C": len(settings.coordinates)}
    sizes: dict[str, int] = {}
    fits = array.ndim == len(axes)
    for axis, size in zip(axes, array.shape, strict=False):
        told = int(np.prod([known[letter] for letter in axis if letter in known]))
        free = [letter for letter in axis if letter not in known]
        fits &= size == told if not free else size % told == 0
        sizes |= {letter: known[letter] for letter in axis if letter in known}
        sizes |= dict.fromkeys(free, size // told)
    if not fits:
        expected = ", ".join(_expected(axis, known) for axis in axes)
        raise _wrong(
            item,
            f"has shape {array.shape}, expected ({expected}) for layout '{layout}' and {spec.name} "
            f"({spec.num_joints} joints)",
        )
    letters = layout.replace(" ", "")
    order = [letters.index(letter) for letter in "TMVC" if letter in letters]
    whole = array.reshape([sizes[letter] for letter in letters]).transpose(order)
    whole = whole if "M" in letters else whole[:, None]
    if whole.shape[1] > MAX_BODIES:
        raise _wrong(item, f"{whole.shape[1]} bodies, at most {MAX_BODIES} make sense: is M the right axis?")
    return whole


def _expected(axis: str, known: dict[str, int]) -> str:
    names = {"T": "frames", "M": "bodies"}
    return " * ".join(str(known.get(letter, names.get(letter))) for letter in axis)


# --- npy, npz, HDF5 -----------------------------------------------------------------------------------------


def _npy(item: RawItem, settings: Settings) -> NDArray[Any]:
    return npy_file(Path(item.path))


def _npz(item: RawItem, settings: Settings) -> NDArray[Any]:
    name = item.member or settings.key or _only(item, npz_names(Path(item.path)))
    found = npz_file(Path(item.path), wanted=(name,))
    if name not in found:
        raise _no_key(item, name, npz_names(Path(item.path)))
    return found[name]


def npz_names(path: Path) -> list[str]:
    """Names of the arrays. Raises RawDataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy"))
    except ZIP_ERRORS as error:
        raise RawDataError(f"cannot be read as npz ({error})", where=path, remedy=_REMEDY) from error


def _h5(item: RawItem, settings: Settings) -> NDArray[Any]:
    try:
        with h5py.File(item.path, "r") as file:
            names = _datasets(file)
            name = item.member or settings.key or _only(item, names)
            if name not in names:
                raise _no_key(item, name, names)
            if file[name].nbytes > MAX_BYTES:
                raise _wrong(item, f"{file[name].nbytes} bytes are too many for one clip (limit {MAX_BYTES})")
            return np.asarray(file[name][()])
    except HDF5_ERRORS as error:
        raise _wrong(item, f"cannot be read as HDF5 ({' '.join(str(error).split())[:200]})") from error


def h5_names(path: Path) -> list[str]:
    """Paths of the datasets. Raises RawDataError."""
    try:
        with h5py.File(path, "r") as file:
            return _datasets(file)
    except HDF5_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise RawDataError(f"cannot be read as HDF5 ({reason})", where=path, remedy=_REMEDY) from error


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []

    def note(name: str, found: object) -> None:
        if isinstance(found, h5py.Dataset):
            names.append(name)

    file.visititems(note)
    return sorted(names)


def _only(item: RawItem, names: list[str]) -> str:
    if len(names) != 1:
        found = ", ".join(names[:8]) or "none"
        raise _wrong(item, f"expected one array, found {found}", remedy="Name it as `key` in dataset.yaml")
    return names[0]


def _no_key(item: RawItem, name: str, names: list[str]) -> RawDataError:
    return _wrong(item, f"has no array '{name}'; it has {', '.join(names[:8]) or 'none'}")


# --- csv ----------------------------------------------------------------------------------------------------


def rows(data: bytes, delimiter: str) -> list[list[str]]:
    """Rows of a table, blank lines left out."""
    text = data.decode("utf-8-sig", "replace")
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [row for row in table if any(field.strip() for field in row)]


def _wide(item: RawItem, settings: Settings) -> NDArray[Any]:
    """A row a frame; a first row that holds no number at all is the header."""
    table = _table(item, settings)
    if all(_number(field) is None for field in table[0]):
        table = table[1:]
    if not table:
        raise _wrong(item, "holds nothing but a header")
    values = []
    for number, row in enumerate(table, start=1):
        parsed = [_number(field) for field in row]
        if None in parsed or len(parsed) != len(table[0]):
            odd = next((field for field, value in zip(row, parsed, strict=True) if value is None), None)
            what = f"{len(row)} fields, the first has {len(table[0])}" if odd is None else f"'{odd[:20]}'"
            raise _wrong(item, f"row {number}: expected numbers, found {what}")
        values.append(parsed)
    return np.array(values, dtype=np.float64).reshape(len(values), -1)


def _table(item: RawItem, settings: Settings) -> list[list[str]]:
    try:
        table = rows(read_bytes(item), settings.csv.delimiter)
    except csv.Error as error:
        raise _wrong(item, f"cannot be read as csv ({error})") from error
    if not table:
        raise _wrong(item, "the file is empty")
    return table


def _number(field: str) -> float | None:
    """An empty field is NaN."""
    field = field.strip()
    try:
        return None if "_" in field else float(field or "nan")
    except ValueError:
        return None


def _long(item: RawItem, settings: Settings, spec: SkeletonSpec) -> NDArray[np.float64]:
    """A row a joint, with a header: frame, body, joint, x, y, z in any order. The lowest frame is first."""
    header, *table = _table(item, settings)
    columns = {
        name: settings.csv.columns.get(name, name) for name in ("frame", "body", "joint", "x", "y", "z")
    }
    header = [name.strip() for name in header]
    at = {name: header.index(column) for name, column in columns.items() if column in header}
    lacking = [columns[name] for name in columns if name not in at and name != "body"]
    if lacking:
        raise _wrong(item, f"has no column {', '.join(lacking)}; it has {', '.join(header)[:100]}")
    if not table:
        raise _wrong(item, "has no row below the header")
    numbers = {name: v + settings.csv.first_joint for v, name in enumerate(spec.joints)}
    joints = {str(number): number for number in numbers.values()} | numbers
    people: dict[str, int] = {}
    cells: dict[tuple[int, int, int], list[float]] = {}
    for number, row in enumerate(table, start=2):
        try:
            frame = int(row[at["frame"]])
            joint = joints[row[at["joint"]].strip()] - settings.csv.first_joint
            body = people.setdefault(row[at["body"]].strip() if "body" in at else "", len(people))
            point = [_given(row[at[axis]]) for axis in "xyz"]
        except (ValueError, IndexError, KeyError) as error:
            raise _wrong(item, f"row {number}: {_reason(error, spec)} in '{','.join(row)[:60]}'") from error
        if (frame, body, joint) in cells:
            raise _wrong(item, f"row {number}: frame {frame} has joint {row[at['joint']]} of the body twice")
        cells[frame, body, joint] = point
    first, last = min(key[0] for key in cells), max(key[0] for key in cells)
    size = (last - first + 1) * len(people) * spec.num_joints * 24
    if len(people) > MAX_BODIES or size > MAX_BYTES:
        raise _wrong(
            item, f"{len(people)} bodies in frames {first} to {last}: is the column of frames right?"
        )
    whole = np.full((last - first + 1, len(people), spec.num_joints, 3), np.nan)
    for (frame, body, joint), point in cells.items():
        whole[frame - first, body, joint] = point
    return whole


def _given(field: str) -> float:
    value = _number(field)
    if value is None:
        raise ValueError(f"'{field[:20]}' is no number")
    return value


def _reason(error: Exception, spec: SkeletonSpec) -> str:
    if isinstance(error, KeyError):
        return f"joint {error} is none of {spec.name}"
    return "too few fields" if isinstance(error, IndexError) else str(error)


def _wrong(item: RawItem, message: str, *, remedy: str = _REMEDY) -> RawDataError:
    return RawDataError(message, where=item.where, remedy=remedy)


_LOADERS: dict[str, Callable[[RawItem, Settings], NDArray[Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _wide,
    ".h5": _h5,
    ".hdf5": _h5,
}
