"""The data sets that ``convert`` knows: their properties, and the location of their raw files."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from schemas import ConfigError, UsageError, unknown
from skeltools import custom
from skeltools.custom import settings as custom_settings
from skeltools.custom.canonical import in_words
from skeltools.datasets import ntu, nwucla, pkummd
from skeltools.datasets.dataset import Dataset
from skeltools.raw_items import METRABS, Raw, roots_of

RAW_VARIABLE = "SKELTOOLS_RAW"
DEFAULT_RAW = Path("raw")
_DEPTH = 5  # levels of folders below the given one that are searched for the first raw file


ROOMS = (ntu, nwucla, pkummd)
"""Modules with ``DATASETS`` and their ``READERS``; a new data set is a file and its name here."""

DATASETS: dict[str, Dataset] = {dataset.name: dataset for room in ROOMS for dataset in room.DATASETS}

CUSTOM = "custom"
"""Name of the data set that a user's own ``dataset.yaml`` describes."""

NAMES = (*DATASETS, CUSTOM)
"""Names that ``choose`` accepts."""


def choose(name: str, raw: Raw | None = None) -> Dataset:
    """A data set by name; ``custom`` is the one that the first ``dataset.yaml`` in ``raw`` describes.

    Raises UsageError for an unknown name, ConfigError for settings that do not fit.
    """
    if name == CUSTOM:
        return _custom(_custom_roots(raw)[0])
    if name not in DATASETS:
        raise unknown("data set", name, NAMES)
    return DATASETS[name]


def uncut(dataset: Dataset) -> Dataset:
    """The data set with whole recordings instead of the actions cut out of them.

    Raises UsageError for one whose files are single actions, and for one that states this in its own
    settings.
    """
    if dataset.reader == CUSTOM:
        remedy = "Say uncut: true in dataset.yaml, beside labels with the columns start and end"
        raise UsageError("--uncut is an option of PKU-MMD", remedy=remedy)
    if not dataset.uncut_reader:
        having = ", ".join(name for name, each in DATASETS.items() if each.uncut_reader)
        raise UsageError(f"{dataset.name} is made of single actions: --uncut is an option of {having}")
    return replace(dataset, reader=dataset.uncut_reader, id_pattern=dataset.uncut_pattern, frame_labels=True)


def _custom(raw: Path) -> Dataset:
    path = custom.settings_file(raw)
    settings = custom_settings.load(path)
    spec = custom_settings.spec_of(settings, path)
    if settings.name in NAMES:
        raise ConfigError(
            f"name: {settings.name} is the name of a built-in data set", where=path, remedy="Choose another"
        )
    return Dataset(
        name=settings.name,
        title=settings.name,
        reader=CUSTOM,
        published="",
        convention=spec.name,
        num_classes=len(settings.classes or ()),
        bodies=custom_settings.bodies(settings),
        folder_names=(CUSTOM,),
        file_pattern=re.escape(custom_settings.FILE),
        example=custom_settings.FILE,
        hint=_CUSTOM_HINT,
        axes=in_words(settings, spec),
        coordinates="xy" if settings.flat else "xyz",
        own_spec=spec,
        frame_labels=settings.uncut,
        metrabs=True,
        mirrored=settings.mirrored_video,
        rate=settings.fps,
    )


_CUSTOM_HINT = (
    "Your own data are a folder of arrays, text, JSON or motion capture with a dataset.yaml beside them; "
    "`skeltools docs your-data` has the lines for each, `skeltools docs custom-data` the reference"
)


def paths_of(raw: Path | str | Sequence[Path | str] | None) -> tuple[Path, ...] | None:
    """One or several places as paths; None, also for an empty sequence, stands for the usual places."""
    if raw is None or isinstance(raw, str | Path):
        return None if raw is None else (Path(raw),)
    return tuple(map(Path, raw)) or None


def absolute(raw: tuple[Path, ...] | None) -> tuple[Path, ...]:
    """Absolute paths of these places; of the usual one if there are none."""
    return tuple(place.absolute() for place in raw or (root_or_usual(None),))


def _find_settings(raw: Path | None) -> Path:
    """The folder with ``dataset.yaml``, or a settings file with another name."""
    root = root_or_usual(raw)
    for folder in (root, root / CUSTOM):
        if (folder / custom_settings.FILE).is_file():
            return folder
    if root.is_file() and root.suffix in (".yaml", ".yml"):
        return root.parent if root.name == custom_settings.FILE else root
    reason = "there is no dataset.yaml in it" if root.exists() else "there is no such folder"
    remedy = f"{_CUSTOM_HINT}. Then name the folder, or the settings file, with --raw or ${RAW_VARIABLE}"
    raise UsageError(f"no data of your own: {reason}", where=root, remedy=remedy)


def root_or_usual(raw: Path | None) -> Path:
    """``raw``, else $SKELTOOLS_RAW, else ``./raw``."""
    variable = os.environ.get(RAW_VARIABLE)
    return raw or (Path(variable) if variable else DEFAULT_RAW)


def _custom_roots(raw: Raw | None) -> tuple[Path, ...]:
    """The folder with ``dataset.yaml`` (or a settings file), then the folders of further clips it describes.

    Raises UsageError for a further place that is no folder, or that contains other settings.
    """
    roots = () if raw is None else roots_of(raw)
    if len(roots) < 2:
        return (_find_settings(roots[0] if roots else None),)
    first = next((root for root in roots if _describes(root)), roots[0])
    place = _find_settings(first)
    said = custom_settings.checksum(custom.settings_file(place))
    others = tuple(root for root in roots if root is not first)
    for root in others:
        if not root.is_dir():
            raise UsageError("is no folder of clips", where=root, remedy="Unpack archives first")
        own = root / custom_settings.FILE
        if os.path.lexists(own) and custom_settings.checksum(own) != said:
            raise UsageError(
                f"another {own.name} than in {first}: one describes all folders",
                where=root,
                remedy="Remove one of the two, or convert each folder and merge the stores",
            )
    return (place, *others)


def _describes(root: Path) -> bool:
    folders = (root, root / CUSTOM)
    return root.suffix in (".yaml", ".yml") or any((f / custom_settings.FILE).is_file() for f in folders)


def find_roots(dataset: Dataset, raw: Raw | None = None) -> tuple[Path, ...]:
    """Apply ``find_raw`` to each of several folders or zip files, as a data set may be in two archives.

    Raises UsageError, also for a place that is given twice.
    """
    roots = () if raw is None else roots_of(raw)
    real = [os.path.realpath(root) for root in roots]
    if twice := next((root for root, place in zip(roots, real, strict=True) if real.count(place) > 1), None):
        raise UsageError("is given twice with --raw", where=twice)
    if dataset.reader == CUSTOM:
        return _custom_roots(raw)
    return tuple(find_raw(dataset, root) for root in roots or (None,))


def find_raw(dataset: Dataset, raw: Path | None = None) -> Path:
    """The folder or zip file that contains a data set: below ``raw``, else $SKELTOOLS_RAW, else ``./raw``.

    Each may be the data set's own folder, its zip file, or a parent with one folder per data set
    (``raw/ntu60/``, ``raw/nw-ucla.zip``). Raises UsageError that says how to obtain and lay out the data.
    """
    if dataset.reader == CUSTOM:
        return _find_settings(raw)
    root = root_or_usual(raw)
    remedy = f"{dataset.hint}. Then name the folder with --raw or ${RAW_VARIABLE}, or call it ./raw"
    if not root.exists():
        raise UsageError(
            f"no raw data for {dataset.name}: there is no such folder", where=root, remedy=remedy
        )
    for candidate in (*_named(dataset, root), root):
        if _holds(dataset, candidate):
            return candidate
    what = f"no raw file of {dataset.name} in it (looked for {dataset.example})"
    raise UsageError(what, where=root, remedy=remedy)


def _named(dataset: Dataset, root: Path) -> Iterator[Path]:
    """Entries of a parent folder that have the data set's name; folders first, then zip files."""
    if root.is_dir():
        named = [path for path in sorted(root.iterdir()) if _name(path) in dataset.folder_names]
        yield from sorted(named, key=Path.is_file)


def _name(path: Path) -> str:
    return (path.stem if path.suffix.lower() == ".zip" else path.name).lower()


def _usual(path: Path) -> str:
    """A file's name with its suffix in lower case."""
    return path.stem + path.suffix.lower()


def _holds(dataset: Dataset, path: Path) -> bool:
    """Whether a folder or zip file has a raw file of the data set; stops at the first one."""
    if path.is_file():
        return _zip_holds(dataset, path)
    if dataset.metrabs and _estimates(dataset, path / METRABS):
        return True
    return any(
        re.fullmatch(dataset.file_pattern, _usual(file)) or _zip_holds(dataset, file)
        for file in _files(dataset, path, _DEPTH)
    )


def _estimates(dataset: Dataset, folder: Path) -> bool:
    """Whether a folder ``metrabs`` may have poses of this data set's samples, which need no raw skeletons.

    Only names are considered; HDF5 files are not opened.
    """
    if dataset.setups is not None or not folder.is_dir():
        return folder.is_dir()
    suffix = Path(dataset.example).suffix
    names = (path for each in sorted(folder.iterdir()) for path in (each.iterdir() if each.is_dir() else ()))
    return any(path.suffix in (".h5", ".hdf5") for path in folder.iterdir()) or any(
        re.fullmatch(dataset.file_pattern, f"{path.stem}{suffix}", re.ASCII)
        or re.fullmatch(dataset.id_pattern or "", path.stem, re.ASCII)
        for path in names
    )


def home(raw: Path) -> Path:
    """The folder of a data set that ``find_raw`` found: for a zip or settings file, the folder it is in.

    >>> home(Path("raw/nw-ucla.zip")).as_posix()
    'raw'
    """
    return raw.parent if raw.suffix.lower() in (".zip", ".yaml", ".yml") and not raw.is_dir() else raw


def _files(dataset: Dataset, folder: Path, depth: int) -> Iterator[Path]:
    """Files of a folder, then of its subfolders; folders and archives of other data sets are not entered."""
    others = {name for other in DATASETS.values() if other is not dataset for name in other.folder_names}
    others -= set(dataset.folder_names)
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except PermissionError:  # reading the chosen folder reports it
        return
    yield from (path for path in entries if path.is_file() and _name(path) not in others)
    if depth:
        for path in entries:
            if path.is_dir() and path.name.lower() not in others:
                yield from _files(dataset, path, depth - 1)


def _zip_holds(dataset: Dataset, path: Path) -> bool:
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(re.fullmatch(dataset.file_pattern, _usual(Path(name))) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
