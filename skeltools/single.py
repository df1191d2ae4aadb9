"""Raw files one by one, without a conversion: what a classifier is asked about."""

from __future__ import annotations

import glob
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas import RawDataError, SkelError, SkeletonSpec, UsageError
from skeltools import custom
from skeltools.custom.settings import FILE
from skeltools.datasets import DATASETS, ntu
from skeltools.raw_items import MAX_BYTES, Listing, RawItem
from skeltools.sequence import SkeletonSequence

_NTU = (".skeleton", ".skeleton.npy")
_SETTINGS = (".yaml", ".yml")
_DESCRIBE = (
    "Describe it by a dataset.yaml beside it, or by one that you name with --settings: "
    "`skeltools docs custom-data`"
)


@dataclass(frozen=True)
class RawClip:
    """One clip of a raw file, or what is wrong with it."""

    id: str
    sequence: SkeletonSequence | None
    """None where it could not be read."""
    class_name: str | None = None
    """What its name or a table says."""
    problem: str = ""
    """Why it could not be read."""


def read_clips(path: Path, spec: SkeletonSpec, *, settings: Path | None = None) -> Iterator[RawClip]:
    """The clips of a file or a folder, in canonical axes and metres.

    NTU's ``.skeleton`` files, and folders of them; a ``dataset.yaml``, or a folder with one: all of its
    clips; a file beside a ``dataset.yaml``, or with ``settings``: as that describes it; ``.npy`` without:
    [T, M, V, 3] or [T, V, 3] of the convention ``spec``, metres, x to the sensor's left, y up, z away from
    it; other files without: formats that describe themselves. Raises UsageError for what is not there and
    SkelError for settings that do not fit. A clip that cannot be read is told in its ``problem``.
    """
    if not path.exists():
        raise UsageError("no such file or folder", where=path, remedy="Name a store, a raw file or a folder")
    if settings is None and path.suffix.lower() in _SETTINGS:
        yield from _described(path, None)
    elif path.is_dir():
        yield from _folder(path, spec, settings)
    elif _is_ntu(path):
        item = RawItem(_stem(path), ntu.CONVENTION, str(path), size=path.stat().st_size)
        yield _read(item, ntu.read, None)
    elif settings is not None or (path.parent / FILE).is_file():
        yield from _described(settings or path.parent / FILE, path)
    elif path.suffix.lower() == ".npy":
        yield _array(path, spec)
    else:
        yield from _undescribed(path, spec)


def _is_ntu(path: Path) -> bool:
    return path.name.lower().endswith(_NTU)


def _stem(path: Path) -> str:
    name = path.name
    return next(
        name[: -len(end)] for end in sorted(_NTU, key=len, reverse=True) if name.lower().endswith(end)
    )


def _folder(path: Path, spec: SkeletonSpec, settings: Path | None) -> Iterator[RawClip]:
    if settings is not None or (path / FILE).is_file():
        yield from _described(settings or path / FILE, path if settings else None)
        return
    listing = ntu.discover(path)
    if listing.items:
        yield from (_read(item, ntu.read, None) for item in listing.items)
        return
    yield from _undescribed(path, spec)


def _described(settings: Path, only: Path | None) -> Iterator[RawClip]:
    """Clips by a settings file; ``only`` those of one file or folder, which may lie elsewhere."""
    root = custom.settings_file(settings)
    if not root.is_file():
        raise UsageError("no such settings file", where=root, remedy=_DESCRIBE)
    inside = only is None or only.resolve().is_relative_to(root.parent.resolve())
    elsewhere = None if only is None or inside else only if only.is_dir() else only.parent
    listing = custom.discover(root if elsewhere is None else (root, elsewhere))
    items = [item for item in listing.items if only is None or _lies_in(Path(item.path), only)]
    if not items:
        told = [each for each in listing.findings if only is not None and each.file.endswith(only.name)]
        why = f": {told[0].problem} {told[0].detail}".rstrip() if told else ""
        raise SkelError(f"{root} does not take it for a clip{why}", where=only or root, remedy=_DESCRIBE)
    yield from (_read(item, custom.read, listing) for item in items)


def _lies_in(file: Path, place: Path) -> bool:
    return file.resolve() == place.resolve() or (
        place.is_dir() and file.resolve().is_relative_to(place.resolve())
    )


def _undescribed(path: Path, spec: SkeletonSpec) -> Iterator[RawClip]:
    """Formats that describe themselves, in the convention of the encoder."""
    with tempfile.TemporaryDirectory(prefix="skeltools-") as temporary:
        folder = Path(temporary)
        (folder / "convention.json").write_text(spec.model_dump_json(), encoding="utf-8")
        files = "*" if path.is_dir() else glob.escape(path.name)
        settings = {"name": "clip", "convention": "convention.json", "files": files}
        (folder / FILE).write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        if path.is_file():
            if path.stat().st_size > MAX_BYTES:
                raise SkelError(f"larger than {MAX_BYTES} bytes", where=path, remedy="Cut it into clips")
            shutil.copyfile(path, folder / path.name)
        try:
            listing = custom.discover((folder / FILE, path) if path.is_dir() else folder)
        except SkelError as error:
            raise SkelError(
                "neither a store nor a raw file that says by itself what it is", where=path, remedy=_DESCRIBE
            ) from error
        for item in listing.items:
            clip = _read(item, custom.read, listing)
            told = clip.problem.replace(f"{folder}/", "").replace(str(folder), "")
            yield RawClip(clip.id, clip.sequence, clip.class_name, told)


def _array(path: Path, spec: SkeletonSpec) -> RawClip:
    """A ``.npy`` as Python takes it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RawDataError(f"larger than {MAX_BYTES} bytes", where=path, remedy="Cut it into clips")
        with path.open("rb") as file:
            values = np.load(file, allow_pickle=False)
        return RawClip(path.stem, SkeletonSequence.from_joints(path.stem, values, spec.name))
    except (SkelError, ValueError, OSError, EOFError, MemoryError) as error:
        text = str(error) if isinstance(error, SkelError) else f"{path}: is no array ({error})"
        return RawClip(path.stem, None, problem=text)


def _read(item: RawItem, read: Callable[[RawItem], SkeletonSequence], listing: Listing | None) -> RawClip:
    try:
        sequence = read(item)
    except (SkelError, OSError) as error:
        return RawClip(item.id, None, problem=str(error))
    classes = DATASETS["ntu120"].classes if listing is None else listing.classes or ()
    known = 0 <= sequence.label < len(classes)
    return RawClip(item.id, sequence, classes[sequence.label] if known else None)
