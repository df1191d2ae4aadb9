"""Raw files and what is common to finding them: folders, zip files, names, duplicates."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from schemas import Finding, RawDataError
from skeltools.sequence import Joints, Mask

MAX_BYTES = 64 * 2**20
"""Ten times what the longest clips of our sources take; a file or zip member that claims more is not read."""

ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, RuntimeError, ValueError)
"""What zipfile raises on damaged archives; RuntimeError includes encryption and unknown compression."""


@dataclass(frozen=True)
class RawItem:
    """One clip in one convention, where it lies, and how many bytes it takes there."""

    id: str
    convention: str
    path: str
    member: str | None = None
    """Name inside the zip file, or ``sample/convention`` inside an HDF5 file."""
    size: int = 0

    @property
    def where(self) -> str:
        """For messages: ``path`` or ``path::member``."""
        return self.path if self.member is None else f"{self.path}::{self.member}"

    @property
    def file(self) -> str:
        """For findings, which must not depend on where the raw data lie: the file's own name."""
        return Path(self.member or self.path).name


@dataclass(frozen=True)
class Listing:
    items: tuple[RawItem, ...]
    """Sorted by id, then convention; each pair once."""
    findings: tuple[Finding, ...] = ()
    halves: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Splits that the source itself carries: protocol -> id -> 1 train, 2 test. They go before rules."""
    rules: Mapping[str, str] = field(default_factory=dict)
    """Protocol of ``halves`` -> where it comes from, in words."""
    classes: tuple[str, ...] | None = None
    """Class names that the source itself carries."""


@dataclass(frozen=True)
class Found:
    """A file of the right suffix, before its name was understood. ``place`` is relative to the raw folder."""

    path: str
    member: str | None
    size: int
    place: str

    @property
    def stem(self) -> str:
        return Path(self.member or self.path).stem


def discover(
    raw: Path, suffix: str, *, convention: str, fields: Callable[[str], dict[str, int] | None]
) -> Listing:
    """Items of all files in ``raw`` that end in ``suffix`` and whose stem ``fields`` understands.

    ``raw`` is a folder (searched recursively, zip files in it included) or a zip file. Raises RawDataError
    when ``raw`` itself is a file that is no zip; nothing found is an empty listing.
    """
    found, findings = _search(raw, suffix)
    items: list[RawItem] = []
    for file in found:
        if fields(file.stem) is None:
            findings.append(Finding(file=file.place, problem="unknown file name", action="skipped"))
        else:
            items.append(RawItem(file.stem, convention, file.path, file.member, file.size))
    kept, twice = first_of_each(items)
    return Listing(kept, (*findings, *twice))


def first_of_each(items: Iterable[RawItem]) -> tuple[tuple[RawItem, ...], tuple[Finding, ...]]:
    """Sorted items, of those with the same id and convention only the first by path."""
    kept: dict[tuple[str, str], RawItem] = {}
    findings = []
    for item in sorted(items, key=lambda i: (i.id, i.convention, i.path, i.member or "")):
        first = kept.setdefault((item.id, item.convention), item)
        if first is not item:
            detail = f"kept {_beside(first, item)}"
            findings.append(
                Finding(
                    file=_beside(item, first), problem="duplicate sample id", detail=detail, action="skipped"
                )
            )
    return tuple(kept.values()), tuple(findings)


def _beside(item: RawItem, other: RawItem) -> str:
    """The item's place without what both places share: short, and the same wherever the raw data lie."""
    if item.path == other.path:
        return f"{Path(item.path).name}::{item.member}"
    common = os.path.commonpath([os.path.dirname(item.path), os.path.dirname(other.path)])
    place = os.path.relpath(item.path, common)
    return place if item.member is None else f"{place}::{item.member}"


def _search(raw: Path, suffix: str) -> tuple[list[Found], list[Finding]]:
    if raw.is_file():
        return _in_zip(raw, suffix, place=raw.name), []
    found: list[Found] = []
    findings: list[Finding] = []
    for path in visible_files(raw):
        place = path.relative_to(raw).as_posix()
        if path.name.endswith(suffix):
            found.append(Found(str(path), None, path.stat().st_size, place))
        elif path.suffix == ".zip":
            try:
                found += _in_zip(path, suffix, place=place)
            except RawDataError as error:
                findings.append(
                    Finding(file=place, problem="unreadable zip file", detail=error.message, action="skipped")
                )
    return found, findings


def visible_files(folder: Path) -> Iterator[Path]:
    """All files below, sorted within each folder; hidden ones left out, links to folders followed once."""
    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = [] if real in seen else sorted(name for name in folders if _visible(name))
        if real not in seen:
            seen.add(real)
            yield from (Path(here, name) for name in sorted(files) if _visible(name))


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _in_zip(path: Path, suffix: str, *, place: str) -> list[Found]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except ZIP_ERRORS as error:
        raise RawDataError(
            f"cannot be read as a zip file ({error})",
            where=path,
            remedy="Give the raw folder or a complete zip file",
        ) from error
    return [
        Found(str(path), info.filename, info.file_size, f"{place}::{info.filename}")
        for info in sorted(members, key=lambda info: info.filename)
        if info.filename.endswith(suffix) and all(map(_visible, info.filename.split("/")))
    ]


def read_bytes(item: RawItem) -> bytes:
    """The item's whole file or zip member. Raises RawDataError when it is unreadable or too large."""
    try:
        if item.member is not None:
            archive = _archive_of(item)
            _check_size(archive.getinfo(item.member).file_size, item)
            return archive.read(item.member)
        with open(item.path, "rb") as file:
            _check_size(os.fstat(file.fileno()).st_size, item)
            return file.read()
    except ZIP_ERRORS as error:
        raise RawDataError(f"cannot be read ({error})", where=item.where, remedy="Fetch it again") from error


def _check_size(size: int, item: RawItem) -> None:
    if size > MAX_BYTES:
        raise RawDataError(f"{size} bytes are too many for one clip (limit {MAX_BYTES})", where=item.where)


def _archive_of(item: RawItem) -> zipfile.ZipFile:
    status = os.stat(item.path)
    return _archive(item.path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _archive(path: str, _changed: int, _size: int) -> zipfile.ZipFile:
    """Archives open in this process: NTU's zip has a directory that takes a second to read."""
    return zipfile.ZipFile(path)


def finding(item: RawItem, problem: str, *, action: str, place: str = "", detail: str = "") -> Finding:
    """A finding about this item."""
    return Finding(file=item.file, place=place, problem=problem, detail=detail, action=action)


def all_finite(joints: Joints) -> Mask:
    """[..., V, 3] -> [...]: every coordinate is a finite number."""
    return np.asarray(np.isfinite(joints).all(axis=(-2, -1)))


def known(fields: dict[str, int] | None) -> dict[str, Any]:
    """Protocol fields for Sequence; an id that tells nothing leaves them unknown."""
    return dict(fields or {})
