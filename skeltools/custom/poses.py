"""Read the poses of one file of a user's own data as [T, M, V, C], before axes and units are converted."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec, regular
from skeltools.custom import cuts, text
from skeltools.custom.clip_files import HEAD, Poses
from skeltools.custom.delimited import holds_numbers
from skeltools.custom.layouts import DEFAULT, REMEDY, guesses, laid_out, misfit, wrong
from skeltools.custom.settings import Settings
from skeltools.files.arrays import npy_file, npz_file
from skeltools.files.hdf5_inside import inside, open_hdf5
from skeltools.files.unchanged import while_unchanged
from skeltools.raw_items import HDF5_ERRORS, ZIP_ERRORS, RawItem

HDF5 = (".h5", ".hdf5")
SUFFIXES = (".npy", ".npz", *text.SUFFIXES, *HDF5)
CLIP = "{clip}"
"""The placeholder for the clip's name in ``key``, for multi-clip files."""


def is_clip(file: Path, settings: Settings) -> bool:
    """Whether a file is a clip, by its suffix. ``.txt`` is used for anything: unless ``files`` is set, such a
    file must also have a row of numbers at its beginning."""
    suffix = file.suffix.lower()
    if suffix != ".txt" or settings.files != "*":
        return suffix in SUFFIXES
    try:
        with regular.open_file(file) as opened:
            return holds_numbers(opened.read(HEAD))
    except (OSError, ValueError):
        return True


def has_many(file: Path, settings: Settings) -> bool:
    """Whether a file holds many clips, according to ``key`` or ``csv.clip``."""
    suffix = file.suffix.lower()
    if suffix in text.SUFFIXES:
        return bool(settings.csv.clip)
    return CLIP in (settings.key or "") and suffix in (".npz", *HDF5)


def poses(item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Poses of an array or table; NaN where a value is missing. Raises RawDataError for a wrong shape, key,
    column or number."""
    suffix = Path(item.path).suffix.lower()
    if suffix in text.SUFFIXES:
        return text.poses(item, settings, spec)
    return of_array(array(item, settings), item, settings, spec)


def array(item: RawItem, settings: Settings) -> NDArray[Any]:
    """The array of a ``.npy``, ``.npz`` or HDF5 file. Raises RawDataError."""
    return _LOADERS[Path(item.path).suffix.lower()](item, settings)


def of_array(array: NDArray[Any], item: RawItem, settings: Settings, spec: SkeletonSpec) -> Poses:
    """Poses of an array in the given ``layout``. Raises RawDataError for a wrong dtype, size or shape."""
    if array.dtype.kind not in "fiu":
        raise wrong(item, f"holds {array.dtype}, expected numbers")
    layout = settings.layout or DEFAULT
    if "T" not in layout:
        raise wrong(item, f"layout '{layout}' has no T: a file of this format is a clip, not a frame")
    if array.ndim == len(layout.split()) - 1 and not next(guesses(array.shape, settings, spec), ""):
        guess = (
            f"Is each file a frame? `layout: {of_frame(layout)}`, without T, makes clips of numbered files"
        )
        raise misfit(array.shape, item, settings, spec, guess)
    cuts.check_size(array.shape, array.dtype.itemsize, item)
    with np.errstate(invalid="ignore"):
        values = laid_out(array, item, settings, spec).astype(np.float64)
    scored = settings.coordinates.endswith("s")
    return Poses(values[..., :-1], values[..., -1]) if scored else Poses(values)


def of_frame(layout: str, *, people: bool = False) -> str:
    """The layout of a file that is one frame of ``layout``; ``people``: what T counted are its people."""
    return " ".join(layout.replace("T", "M" if people else "").split())


# --- npy, npz, HDF5 -----------------------------------------------------------------------------------------


def _npy(item: RawItem, settings: Settings) -> NDArray[Any]:
    array = npy_file(Path(item.path))
    return array[cuts.slices(array.shape, item, settings)]


def _npz(item: RawItem, settings: Settings) -> NDArray[Any]:
    name = item.member or settings.key or _only(item, _npz_sizes(Path(item.path)))
    read = _npz_array if cuts.window_of(item) is None else _last_npz_array
    try:
        array = read(Path(item.path), name)
    except OSError as error:
        raise wrong(item, f"cannot be read ({error.strerror})", remedy="Is it there?") from error
    if array is None:
        raise _no_key(item, name, npz_names(Path(item.path)))
    return array[cuts.slices(array.shape, item, settings)]


def _npz_array(path: Path, name: str) -> NDArray[Any] | None:
    return npz_file(path, wanted=(name,)).get(name)


_last_npz_array = while_unchanged(1)(_npz_array)
"""The array of the last recording: its other clips follow, and decompression is slow."""


def npz_names(path: Path) -> list[str]:
    """Names of the arrays in a ``.npz`` file. Raises RawDataError."""
    return sorted(_npz_sizes(path))


def _npz_sizes(path: Path) -> dict[str, int]:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = (info for info in archive.infolist() if info.filename.endswith(".npy"))
            return {info.filename.removesuffix(".npy"): info.file_size for info in arrays}
    except ZIP_ERRORS as error:
        raise RawDataError(f"cannot be read as npz ({error})", where=path, remedy=REMEDY) from error


def _h5(item: RawItem, settings: Settings) -> NDArray[Any]:
    with _dataset(item, settings) as dataset:
        taken = cuts.slices(dataset.shape, item, settings)
        cuts.check_size(_taken(dataset.shape, taken), dataset.dtype.itemsize, item)
        return np.asarray(dataset[taken])


@contextmanager
def _dataset(item: RawItem, settings: Settings) -> Iterator[h5py.Dataset]:
    """The clip's, open. Raises RawDataError, also for what goes wrong while it is read."""
    try:
        with open_hdf5(item.path) as file:
            names = _datasets(file)
            name = item.member or settings.key or _only(item, {n: inside(file, n).size or 0 for n in names})
            if name not in names:
                raise _no_key(item, name, names)
            yield inside(file, name)
    except HDF5_ERRORS as error:
        raise wrong(item, f"cannot be read as HDF5 ({' '.join(str(error).split())[:200]})") from error


def _taken(shape: tuple[int, ...], slices: tuple[slice, ...]) -> tuple[int, ...]:
    sizes = zip(shape, slices, strict=True)
    return tuple(len(range(*each.indices(size))) for size, each in sizes)


def array_frames(item: RawItem, settings: Settings) -> int:
    """Number of frames in an array, from its header alone. Raises RawDataError."""
    axis = cuts.time_axis(settings)
    suffix = Path(item.path).suffix.lower()
    if suffix in HDF5:
        with _dataset(item, settings) as dataset:
            shape = tuple(dataset.shape)
    else:
        shape = _LOADERS[suffix](item, settings).shape
    if axis >= len(shape):
        raise wrong(item, f"has shape {shape}, but layout '{settings.layout or DEFAULT}' has more axes")
    return int(shape[axis])


def h5_names(path: Path) -> list[str]:
    """Paths of the datasets in an HDF5 file. Raises RawDataError."""
    try:
        with open_hdf5(path) as file:
            return _datasets(file)
    except HDF5_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise RawDataError(f"cannot be read as HDF5 ({reason})", where=path, remedy=REMEDY) from error


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []

    def note(name: str | bytes, node: object) -> None:
        if isinstance(node, h5py.Dataset) and isinstance(name, str):  # bytes: not valid text
            names.append(name)

    file.visititems(note)
    return sorted(names)


def _only(item: RawItem, sizes: Mapping[str, int]) -> str:
    if len(sizes) != 1:
        has = ", ".join(sorted(sizes)[:8]) or "none"
        hint = (
            f"; `key: {max(sizes, key=lambda n: sizes[n])}` in dataset.yaml reads the largest"
            if sizes
            else ""
        )
        raise wrong(
            item, f"expected one array, found {has}{hint}", remedy="Name the one that holds the joints"
        )
    return next(iter(sizes))


def _no_key(item: RawItem, name: str, names: list[str]) -> RawDataError:
    return wrong(item, f"has no array '{name}'; it has {', '.join(names[:8]) or 'none'}")


_LOADERS: dict[str, Callable[[RawItem, Settings], NDArray[Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".h5": _h5,
    ".hdf5": _h5,
}
