"""The poses of one file of a user's own data as [T, M, V, 3], nothing turned or scaled yet."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from skeltools.custom import cuts, text
from skeltools.custom.clip_files import HEAD, Poses
from skeltools.custom.delimited import holds_numbers, rows
from skeltools.custom.layouts import laid_out
from skeltools.custom.settings import Settings
from skeltools.files.arrays import npy_file, npz_file
from skeltools.files.hdf5_inside import inside, open_hdf5
from skeltools.raw_items import HDF5_ERRORS, ZIP_ERRORS, RawItem

HDF5 = (".h5", ".hdf5")
ARRAYS = (".npy", ".npz", *HDF5)
SUFFIXES = (".npy", ".npz", *text.SUFFIXES, *HDF5)
CLIP = "{clip}"
"""In ``key``: the place of the clip's name, for files of many clips."""

_REMEDY = "Mend the file, or what dataset.yaml says about it"


__all__ = [
    "ARRAYS",
    "CLIP",
    "HDF5",
    "SUFFIXES",
    "h5_names",
    "has_many",
    "is_clip",
    "npz_names",
    "poses",
    "rows",
]


def is_clip(file: Path, settings: Settings) -> bool:
    """Whether a file is a clip by its suffix. ``.txt`` is used for anything: where ``files`` says nothing,
    one without a row of numbers at its beginning is none."""
    suffix = file.suffix.lower()
    if suffix != ".txt" or settings.files != "*":
        return suffix in SUFFIXES
    try:
        with regular.open_file(file) as opened:
            return holds_numbers(opened.read(HEAD))
    except (OSError, ValueError):
        return True


def has_many(file: Path, settings: Settings) -> bool:
    """Whether a file holds many clips, by ``key`` or ``csv.clip``."""
    suffix = file.suffix.lower()
    if suffix in text.SUFFIXES:
        return bool(settings.csv.clip)
    return CLIP in (settings.key or "") and suffix in (".npz", *HDF5)


def poses(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Poses of an array or table; NaN where nothing is given. Raises RawDataError: shape, key, column or
    number."""
    suffix = Path(item.path).suffix.lower()
    if suffix in text.SUFFIXES:
        return text.poses(item, settings, spec)
    return of_array(_LOADERS[suffix](item, settings), item, settings, spec)


def of_array(array: NDArray[Any], item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Poses of an array that lies as ``layout`` says. Raises RawDataError: no numbers, size, shape."""
    if array.dtype.kind not in "fiu":
        raise _wrong(item, f"holds {array.dtype}, expected numbers")
    cuts.check_size(array.shape, array.dtype.itemsize, item)
    with np.errstate(invalid="ignore"):
        values = laid_out(array, item, settings, spec).astype(np.float64)
    scored = settings.coordinates.endswith("s")
    return Poses(values[..., :-1], values[..., -1]) if scored else Poses(values)


# --- npy, npz, HDF5 -----------------------------------------------------------------------------------------


def _npy(item: RawItem, settings: Settings) -> NDArray[Any]:
    return cuts.of_array(npy_file(Path(item.path)), item, settings)


def _npz(item: RawItem, settings: Settings) -> NDArray[Any]:
    name = item.member or settings.key or _only(item, npz_names(Path(item.path)))
    cut = cuts.window_of(item) is not None
    array = _last_npz(item.path, name, _changed(item)) if cut else _npz_array(item.path, name)
    if array is None:
        raise _no_key(item, name, npz_names(Path(item.path)))
    return cuts.of_array(array, item, settings)


def _npz_array(path: str, name: str) -> NDArray[Any] | None:
    return npz_file(Path(path), wanted=(name,)).get(name)


@lru_cache(maxsize=1)
def _last_npz(path: str, name: str, _changed: tuple[int, int]) -> NDArray[Any] | None:
    """The array of the last clip that was cut from one: its others come next, and unpacking takes long."""
    return _npz_array(path, name)


def _changed(item: RawItem) -> tuple[int, int]:
    try:
        status = os.stat(item.path)
    except OSError as error:
        raise _wrong(item, f"cannot be read ({error.strerror})", remedy="Is it there?") from error
    return status.st_mtime_ns, status.st_size


def npz_names(path: Path) -> list[str]:
    """Names of the arrays. Raises RawDataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy"))
    except ZIP_ERRORS as error:
        raise RawDataError(f"cannot be read as npz ({error})", where=path, remedy=_REMEDY) from error


def _h5(item: RawItem, settings: Settings) -> NDArray[Any]:
    try:
        with open_hdf5(item.path) as file:
            names = _datasets(file)
            name = item.member or settings.key or _only(item, names)
            if name not in names:
                raise _no_key(item, name, names)
            dataset = inside(file, name)
            taken = cuts.slices(dataset.shape, item, settings)
            cuts.check_size(_taken(dataset.shape, taken), dataset.dtype.itemsize, item)
            return np.asarray(dataset[taken])
    except HDF5_ERRORS as error:
        raise _wrong(item, f"cannot be read as HDF5 ({' '.join(str(error).split())[:200]})") from error


def _taken(shape: tuple[int, ...], slices: tuple[slice, ...]) -> tuple[int, ...]:
    sizes = zip(shape, slices, strict=True)
    return tuple(len(range(*each.indices(size))) for size, each in sizes)


def array_frames(item: RawItem, settings: Settings) -> int:
    """Frames of an array, by its header alone. Raises RawDataError."""
    axis = cuts.time_axis(settings)
    suffix = Path(item.path).suffix.lower()
    shape = _h5_shape(item, settings) if suffix in HDF5 else _LOADERS[suffix](item, settings).shape
    if axis >= len(shape):
        raise _wrong(item, f"has shape {shape}, but layout '{settings.layout or 'T VC'}' has more axes")
    return int(shape[axis])


def _h5_shape(item: RawItem, settings: Settings) -> tuple[int, ...]:
    try:
        with open_hdf5(item.path) as file:
            names = _datasets(file)
            name = item.member or settings.key or _only(item, names)
            if name not in names:
                raise _no_key(item, name, names)
            return tuple(inside(file, name).shape)
    except HDF5_ERRORS as error:
        raise _wrong(item, f"cannot be read as HDF5 ({' '.join(str(error).split())[:200]})") from error


def h5_names(path: Path) -> list[str]:
    """Paths of the datasets. Raises RawDataError."""
    try:
        with open_hdf5(path) as file:
            return _datasets(file)
    except HDF5_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise RawDataError(f"cannot be read as HDF5 ({reason})", where=path, remedy=_REMEDY) from error


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []

    def note(name: str | bytes, node: object) -> None:
        if isinstance(node, h5py.Dataset) and isinstance(name, str):  # bytes: it is no text
            names.append(name)

    file.visititems(note)
    return sorted(names)


def _only(item: RawItem, names: list[str]) -> str:
    if len(names) != 1:
        has = ", ".join(names[:8]) or "none"
        raise _wrong(item, f"expected one array, found {has}", remedy="Name it as `key` in dataset.yaml")
    return names[0]


def _no_key(item: RawItem, name: str, names: list[str]) -> RawDataError:
    return _wrong(item, f"has no array '{name}'; it has {', '.join(names[:8]) or 'none'}")


def _wrong(item: RawItem, message: str, *, remedy: str = _REMEDY) -> RawDataError:
    return RawDataError(message, where=item.where, remedy=remedy)


_LOADERS: dict[str, Callable[[RawItem, Settings], NDArray[Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".h5": _h5,
    ".hdf5": _h5,
}
