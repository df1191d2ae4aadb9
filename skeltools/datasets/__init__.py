"""The data sets that ``convert`` knows: what they are made of, and where their raw files lie."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from schemas import ConfigError, UsageError, unknown
from skeltools import custom
from skeltools.custom import settings as custom_settings
from skeltools.datasets import ntu, nwucla, pkummd
from skeltools.datasets.dataset import Dataset

RAW_VARIABLE = "SKELTOOLS_RAW"
DEFAULT_RAW = Path("raw")
_DEPTH = 5  # folders below the given one that are searched for the first raw file


ROOMS = (ntu, nwucla, pkummd)
"""A data set is a module with ``DATASETS`` and their ``READERS``. A new one is a file and its name here."""

DATASETS: dict[str, Dataset] = {dataset.name: dataset for room in ROOMS for dataset in room.DATASETS}

CUSTOM = "custom"
"""Stands for the data set that a user's own ``dataset.yaml`` describes."""

NAMES = (*DATASETS, CUSTOM)
"""What ``choose`` knows."""


def choose(name: str, raw: Path | None = None) -> Dataset:
    """A data set by name; ``custom`` is what the ``dataset.yaml`` in ``raw`` describes.

    Raises UsageError for an unknown one, ConfigError for settings that do not fit.
    """
    if name == CUSTOM:
        return _custom(_find_settings(raw))
    if name not in DATASETS:
        raise unknown("data set", name, (*DATASETS, CUSTOM))
    return DATASETS[name]


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
        axes=custom_settings.in_words(settings, spec),
        coordinates="xy" if settings.flat else "xyz",
        own_spec=spec,
    )


_CUSTOM_HINT = (
    "Your own data are a folder of .npy, .npz, .csv or .h5 files with a dataset.yaml that describes them; "
    "`skeltools docs custom-data` has the reference and an example"
)


def _find_settings(raw: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder with ``dataset.yaml``, or a settings file of another name."""
    root = _root(raw, environ)
    for folder in (root, root / CUSTOM):
        if (folder / custom_settings.FILE).is_file():
            return folder
    if root.is_file() and root.suffix in (".yaml", ".yml"):
        return root.parent if root.name == custom_settings.FILE else root
    found = "there is no dataset.yaml in it" if root.exists() else "there is no such folder"
    remedy = f"{_CUSTOM_HINT}. Then name the folder, or the settings file, with --raw or ${RAW_VARIABLE}"
    raise UsageError(f"no data of your own: {found}", where=root, remedy=remedy)


def _root(raw: Path | None, environ: Mapping[str, str] | None) -> Path:
    variable = (os.environ if environ is None else environ).get(RAW_VARIABLE)
    return raw or (Path(variable) if variable else DEFAULT_RAW)


def find_raw(dataset: Dataset, raw: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder or zip file that holds a data set: below ``raw``, else $SKELTOOLS_RAW, else ``./raw``.

    Each may be the data set's own folder, its zip file, or a parent that holds one folder per data set
    (``raw/ntu60/``, ``raw/nw-ucla.zip``). Raises UsageError that says how to get and lay out the data.
    """
    if dataset.reader == CUSTOM:
        return _find_settings(raw, environ)
    root = _root(raw, environ)
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
    """Entries of a parent folder that bear the data set's name; folders first, then zip files."""
    if root.is_dir():
        named = [path for path in sorted(root.iterdir()) if _name(path) in dataset.folder_names]
        yield from sorted(named, key=Path.is_file)


def _name(path: Path) -> str:
    return (path.stem if path.suffix.lower() == ".zip" else path.name).lower()


def _holds(dataset: Dataset, path: Path) -> bool:
    """Whether a folder or zip file holds a raw file of the data set. Looks no further than the first."""
    if path.is_file():
        return _zip_holds(dataset, path)
    if dataset.metrabs and (path / "metrabs").is_dir():
        return True
    return any(
        re.fullmatch(dataset.file_pattern, file.name) or _zip_holds(dataset, file)
        for file in _files(dataset, path, _DEPTH)
    )


def _files(dataset: Dataset, folder: Path, depth: int) -> Iterator[Path]:
    """Files of a folder, then those of its folders; other data sets' folders and archives are not entered."""
    others = {name for other in DATASETS.values() if other is not dataset for name in other.folder_names}
    others -= set(dataset.folder_names)
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except PermissionError:  # reading the folder that is found tells of it
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
            return any(re.fullmatch(dataset.file_pattern, Path(name).name) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
