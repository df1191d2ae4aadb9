"""Read single raw files without a conversion, as input for a classifier."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import RawDataError, SkelError, SkeletonSpec, UsageError
from schemas.parsing import cause, refusing
from skeltools import custom, skeletons
from skeltools.custom.registry import format_of
from skeltools.custom.settings import FILE, Settings
from skeltools.datasets import DATASETS, ntu
from skeltools.files.arrays import npy_file, npz_file
from skeltools.raw_items import MAX_BYTES, ZIP_ERRORS, Listing, RawItem, visible_files
from skeltools.sequence import SkeletonSequence

_ARRAYS = (".npy", ".npz")
_JOINTS = "joints"
_NTU = (".skeleton.npy", ".skeleton")
_SETTINGS = (".yaml", ".yml")
_DESCRIBE = (
    "Describe it by a dataset.yaml beside it, or by one that you name with --settings: "
    "`skeltools docs custom-data`"
)


@dataclass(frozen=True)
class RawClip:
    """One clip of a raw file, or the problem that prevented reading it."""

    id: str
    sequence: SkeletonSequence | None
    """None if it could not be read."""
    class_name: str | None = None
    """Class name according to the clip's name or a table."""
    problem: str = ""
    """Why it could not be read."""


def read_clips(path: Path, spec: SkeletonSpec, *, settings: Path | None = None) -> Iterator[RawClip]:
    """Yield the clips of a file or a folder, in canonical axes and metres.

    - NTU's ``.skeleton`` files, and folders and zip files of them.
    - A ``dataset.yaml``, or a folder with one: all of its clips.
    - A file beside a ``dataset.yaml``, or with ``settings``: as these describe it.
    - Otherwise ``.npy`` files, ``.npz`` files with a single array or with ``joints``, and folders of these:
      [T, M, V, 3] or [T, V, 3] of the convention ``spec``, metres, x to the sensor's left, y up, z away from
      it.
    - Formats that identify themselves.

    Raises UsageError for a path that does not exist and SkelError for settings that do not fit. The
    ``problem`` of a clip states why it could not be read.
    """
    if not path.exists():
        raise UsageError("no such file or folder", where=path, remedy="Name a store, a raw file or a folder")
    if settings is None and path.suffix.lower() in _SETTINGS:
        yield from _described(path, None)
    elif path.is_dir():
        yield from _folder(path, spec, settings)
    elif end := next((end for end in _NTU if path.name.lower().endswith(end)), ""):
        item = RawItem(path.name[: -len(end)], ntu.CONVENTION, str(path), size=path.stat().st_size)
        yield _read(item, ntu.read, None)
    elif settings is not None or (path.parent / FILE).is_file():
        yield from _described(settings or path.parent / FILE, path)
    elif path.suffix.lower() in _ARRAYS:
        yield _array(path, spec)
    elif path.suffix.lower() == ".zip":
        yield from (_read(item, ntu.read, None) for item in ntu.discover(path).items)
    else:
        yield from _undescribed(path, spec)


def _folder(path: Path, spec: SkeletonSpec, settings: Path | None) -> Iterator[RawClip]:
    if settings is not None or (path / FILE).is_file():
        yield from _described(settings or path / FILE, path if settings else None)
        return
    listing = ntu.discover(path)
    if listing.items:
        yield from (_read(item, ntu.read, None) for item in listing.items)
        return
    arrays = [file for file in visible_files(path) if file.suffix.lower() in _ARRAYS]
    if arrays:
        yield from (_array(file, spec) for file in arrays)
        return
    yield from _undescribed(path, spec)


def _described(settings: Path, only: Path | None) -> Iterator[RawClip]:
    """Read clips by a settings file; ``only`` limits them to one file or folder, which may lie elsewhere."""
    root = custom.settings_file(settings)
    if not root.is_file():
        raise UsageError("no such settings file", where=root, remedy=_DESCRIBE)
    inside = only is None or only.resolve().is_relative_to(root.parent.resolve())
    elsewhere = None if only is None or inside else only if only.is_dir() else only.parent
    listing = custom.discover(root if elsewhere is None else (root, elsewhere))
    items = [item for item in listing.items if only is None or _lies_in(Path(item.path), only)]
    if not items:
        rows = [each for each in listing.findings if only is not None and each.file.endswith(only.name)]
        why = f": {rows[0].problem} {rows[0].detail}".rstrip() if rows else ""
        raise SkelError(f"{root} does not take it for a clip{why}", where=only or root, remedy=_DESCRIBE)
    yield from (_read(item, custom.read, listing) for item in items)


def _lies_in(file: Path, place: Path) -> bool:
    return file.resolve() == place.resolve() or (
        place.is_dir() and file.resolve().is_relative_to(place.resolve())
    )


def _undescribed(path: Path, spec: SkeletonSpec) -> Iterator[RawClip]:
    """Read formats that identify themselves, in the convention of the encoder.

    Raises SkelError for others, because units and axes of a table cannot be guessed.
    """
    known = Settings(name="clip", convention=spec.name)
    files = list(visible_files(path)) if path.is_dir() else [path]
    if not any(format_of(file, known) for file in files):
        raise SkelError(
            "neither a store nor a raw file that says by itself what it is", where=path, remedy=_DESCRIBE
        )
    with tempfile.TemporaryDirectory(prefix="skeltools-") as temporary:
        folder = Path(temporary)
        copied = folder / f"clip{path.suffix}"
        settings = {
            "name": "clip",
            "convention": _convention(spec, folder),
            "files": "*" if path.is_dir() else copied.name,
        }
        (folder / FILE).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")  # JSON is YAML
        if path.is_file():
            if path.stat().st_size > MAX_BYTES:
                raise SkelError(f"larger than {MAX_BYTES} bytes", where=path, remedy="Cut it into clips")
            shutil.copyfile(path, copied)
        try:
            listing = custom.discover((folder / FILE, path) if path.is_dir() else folder)
        except SkelError as error:
            raise SkelError(
                _shown(error.message, folder, copied, path), where=path, remedy=_DESCRIBE
            ) from error
        for item in listing.items:
            clip = _read(item, custom.read, listing)
            id = path.stem if path.is_file() and item.id == copied.stem else item.id
            sequence = clip.sequence and replace(clip.sequence, id=id, convention=spec.name)
            yield RawClip(id, sequence, clip.class_name, _shown(clip.problem, folder, copied, path))


def _convention(spec: SkeletonSpec, folder: Path) -> str:
    """The convention's name, if it ships with the package and so has synonyms; otherwise a file of it."""
    if spec.name in skeletons.names() and skeletons.load(spec.name) == spec:
        return spec.name
    renamed = spec.model_copy(update={"name": f"{spec.name}-of-the-encoder"})
    (folder / "convention.json").write_text(renamed.model_dump_json(), encoding="utf-8")
    return "convention.json"


def _shown(text: str, folder: Path, copied: Path, path: Path) -> str:
    """Remove the temporary folder's name from a message."""
    return text.replace(str(copied), str(path)).replace(f"{folder}/", "").replace(str(folder), str(path))


def _array(path: Path, spec: SkeletonSpec) -> RawClip:
    """Read a ``.npy``, or a ``.npz`` of one array or with ``joints``, with axes as in ``from_joints``."""
    try:
        values = npy_file(path) if path.suffix.lower() == ".npy" else _joints(path)
        if values.nbytes > MAX_BYTES:
            raise RawDataError(f"is larger than {MAX_BYTES} bytes", where=path, remedy="Cut it into clips")
        return RawClip(path.stem, SkeletonSequence.from_joints(path.stem, np.array(values), spec.name))
    except SkelError as error:
        return RawClip(
            path.stem, None, problem=str(type(error)(error.message, where=path, remedy=error.remedy))
        )


def _joints(path: Path) -> NDArray[Any]:
    """Read the array named ``joints``, or else the only one; raises RawDataError if there is neither."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {each.filename: each.file_size for each in archive.infolist()}
    except ZIP_ERRORS as error:
        raise RawDataError(f"cannot be read as npz ({error})", where=path) from error
    names = [name.removesuffix(".npy") for name in sizes if name.endswith(".npy")]
    if len(names) != 1 and _JOINTS not in names:
        raise RawDataError(
            f"holds {', '.join(sorted(names)[:5]) or 'no array'}, and none says that it is the joints",
            where=path,
            remedy=f"Call them '{_JOINTS}', or name them as `key` in a dataset.yaml",
        )
    name = _JOINTS if _JOINTS in names else names[0]
    if sizes[f"{name}.npy"] > MAX_BYTES:
        raise RawDataError(f"is larger than {MAX_BYTES} bytes", where=path, remedy="Cut it into clips")
    return npz_file(path, wanted=(name,))[name]


def _read(item: RawItem, read: Callable[[RawItem], SkeletonSequence], listing: Listing | None) -> RawClip:
    try:
        with refusing(lambda why: RawDataError(why, where=item.where), describe=cause):
            sequence = read(item)
    except SkelError as error:
        return RawClip(item.id, None, problem=str(error))
    classes = DATASETS["ntu120"].classes if listing is None else listing.classes or ()
    known = 0 <= sequence.label < len(classes)
    return RawClip(item.id, sequence, classes[sequence.label] if known else None)
