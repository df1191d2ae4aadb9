"""Raw files, and what is common to discovering them: folders, zip files, names, duplicates."""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from schemas import Finding, RawDataError, escaped, regular
from skeltools.files.unchanged import while_unchanged
from skeltools.sequence import Joints, Mask, SkeletonSequence

MAX_BYTES = 64 * 2**20
"""Ten times the size of our sources' longest clips; a file or zip member that claims more is not read."""

ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, RuntimeError, ValueError)
"""What zipfile raises on damaged archives; RuntimeError includes encryption and unknown compression."""

HDF5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)
"""What h5py raises on damaged files."""

MAX_COORDINATE = 1e6
"""Largest coordinate, in metres or millimetres; a sensor sees a few metres.

Squares of larger values, such as a flipped bit makes, overflow float32.
"""

MAX_RATIO = 200
"""Largest ratio of the size that a zip file claims to hold to its own; skeleton text reaches 4."""

METRABS = "metrabs"
"""Folder beside the raw files of a data set that holds only poses estimated from its videos."""

_STORE, _UNFINISHED = "zarr.json", ".partial"
_ENCRYPTED = 0x1
UNPACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods that zipfile unpacks piece by piece; 4 kB of bzip2 become 4 GB in a single step."""


Raw = Path | Sequence[Path]
"""Location of raw data: a folder or zip file, or several."""


@dataclass(frozen=True)
class Reader:
    """Reader of one kind of raw file.

    A RawItem is small and can be pickled, so worker processes can read what this one discovered.
    """

    discover: Callable[..., Listing]
    """List what one or several folders or zip files hold, from names and small tables only.

    Cheap: no clip is parsed.
    """
    read: Callable[..., SkeletonSequence]
    """Read the clip of a RawItem, in canonical axes; raises RawDataError, which names file and line."""


@dataclass(frozen=True)
class RawItem:
    """One clip in one convention: its location, and its size there in bytes."""

    id: str
    convention: str
    path: str
    member: str | None = None
    """Name inside the zip file, or ``sample/convention`` inside an HDF5 file."""
    size: int = 0
    details: tuple[tuple[str, int], ...] = ()
    """What discovery learnt that is not in the file itself: its label, its window of frames."""
    settings: str = ""
    """File that describes how to read this one, for a user's own data."""

    @property
    def where(self) -> str:
        """Location for messages: ``path`` or ``path::member``."""
        return self.path if self.member is None else f"{self.path}::{self.member}"

    @property
    def file(self) -> str:
        """The file's own name, for findings, which must not depend on the location of the raw data."""
        return Path(self.member or self.path).name


@dataclass(frozen=True)
class Listing:
    items: tuple[RawItem, ...]
    """Sorted by id, then convention; each pair once."""
    findings: tuple[Finding, ...] = ()
    halves: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Splits that the source itself provides, which precede rules: protocol -> id -> 1 train, 2 test."""
    rules: Mapping[str, str] = field(default_factory=dict)
    """Protocol of ``halves`` -> its origin, in words."""
    classes: tuple[str, ...] | None = None
    """Class names that the source itself provides."""
    synthetic: bool = False
    """Whether the source states that it was made from the built-in demo data."""
    anonymous: bool = False
    """Whether the source names no samples, so that ids are made up by the reader and carry no information."""


@dataclass(frozen=True)
class Found:
    """A file with the right suffix whose name is not parsed yet; ``place`` is relative to the raw folder."""

    path: str
    member: str | None
    size: int
    place: str

    @property
    def stem(self) -> str:
        return Path(self.member or self.path).stem


def discover(
    raw: Raw, suffix: str, *, convention: str, fields: Callable[[str], dict[str, int] | None]
) -> Listing:
    """List the files in ``raw`` that end in ``suffix`` and whose stem ``fields`` can parse.

    ``raw`` is a folder (searched recursively, including its zip files) or a zip file, or several of these.
    Raises RawDataError when ``raw`` itself is a file but not a zip file; without any match, the listing is
    empty.
    """
    files, findings = search(raw, suffix)
    items: list[RawItem] = []
    for file in files:
        if METRABS in file.place.split("/")[:-1]:
            continue
        if fields(file.stem) is None:
            findings.append(skipped(file.place, "unknown file name"))
        else:
            items.append(RawItem(file.stem, convention, file.path, file.member, file.size))
    unique, twice = first_of_each(items, roots_of(raw))
    return Listing(unique, (*findings, *twice))


def roots_of(raw: Raw) -> tuple[Path, ...]:
    """The folders and zip files that contain the raw data."""
    return (raw,) if isinstance(raw, Path) else tuple(raw)


def first_of_each(
    items: Iterable[RawItem], roots: Sequence[Path] = ()
) -> tuple[tuple[RawItem, ...], tuple[Finding, ...]]:
    """Sort items and keep the first of each id and convention, by root and then path; the rest are findings.

    Ids that differ only in case count as the same, because they would be one file on other systems.
    """

    def number(item: RawItem) -> int:
        return _root_of(item, roots) if len(roots) > 1 else 0

    firsts: dict[tuple[str, str], RawItem] = {}
    findings = []
    for item in sorted(items, key=lambda i: (i.id, i.convention, number(i), i.path, i.member or "")):
        first = firsts.setdefault((item.id.casefold(), item.convention), item)
        if first is not item:
            problem = "duplicate sample id" if first.id == item.id else "names differ only in case"
            if number(item) == number(first):
                place, kept_place = _beside(item, first), _beside(first, item)
            else:
                place, kept_place = (_below(each, roots[number(each)]) for each in (item, first))
            detail = f"kept {kept_place}"
            findings.append(skipped(place, problem, detail))
    return tuple(firsts.values()), tuple(findings)


def _root_of(item: RawItem, roots: Sequence[Path]) -> int:
    """Index of the item's root among ``roots``; of nested roots, the first."""
    path = Path(item.path)
    return next((number for number, root in enumerate(roots) if path.is_relative_to(root)), len(roots) - 1)


def _below(item: RawItem, root: Path) -> str:
    """The item's location below ``root``, preceded by the root's own name."""
    path = Path(item.path)
    below = path.relative_to(root).as_posix() if path != root and path.is_relative_to(root) else ""
    place = "/".join(part for part in (root.name, below) if part) if path != root else path.name
    return place if item.member is None else f"{place}::{item.member}"


def _beside(item: RawItem, other: RawItem) -> str:
    """The item's location without the part both share: short, and independent of where the raw data lie."""
    if item.path == other.path:
        return f"{Path(item.path).name}::{item.member}"
    common = os.path.commonpath([os.path.dirname(item.path), os.path.dirname(other.path)])
    place = Path(os.path.relpath(item.path, common)).as_posix()
    return place if item.member is None else f"{place}::{item.member}"


def search(raw: Raw, suffix: str | tuple[str, ...]) -> tuple[list[Found], list[Finding]]:
    """Find the files of ``raw``, a folder (including its zip files) or a zip file, that end in ``suffix``.

    ``raw`` may be several of these, whose files are listed in their order. ``suffix`` is in lower case and
    matches upper case as well, because some programs change names when they unpack.
    """
    roots = roots_of(raw)
    all_files: list[Found] = []
    findings: list[Finding] = []
    for root in roots:
        files, rows = _search(root, suffix)
        if len(roots) > 1 and root.is_dir():  # the place in an archive already begins with its name
            files = [replace(file, place=f"{escaped(root.name)}/{file.place}") for file in files]
        all_files += files
        findings += rows
    return all_files, findings


def _search(raw: Path, suffix: str | tuple[str, ...]) -> tuple[list[Found], list[Finding]]:
    findings: list[Finding] = []
    if raw.is_file():
        return _in_zip(raw, suffix, place=escaped(raw.name), findings=findings), findings
    files: list[Found] = []
    for path in visible_files(raw, findings):
        place = escaped(path.relative_to(raw).as_posix())
        if path.name.lower().endswith(suffix):
            files.append(Found(str(path), None, path.stat().st_size, place))
        elif path.suffix.lower() == ".zip":
            try:
                files += _in_zip(path, suffix, place=place, findings=findings)
            except RawDataError as error:
                findings.append(skipped(place, "unreadable zip file", error.message))
    return files, findings


def skipped(place: str, problem: str, detail: str = "") -> Finding:
    """A finding about a file that is left out."""
    return Finding(file=place, problem=problem, detail=detail, action="skipped")


def visible_files(folder: Path, findings: list[Finding] | None = None) -> Iterator[Path]:
    """Yield all visible files below ``folder``, sorted within each folder, except those of stores.

    Links to folders are followed once, those to a folder above never, since what lies there is no raw data;
    stores among the raw files are skipped, finished or not. Devices,
    pipes and sockets are never opened, and they are left out, as are dangling links and unreadable folders:
    each is added to ``findings``.
    """
    findings = [] if findings is None else findings

    def note(place: str, problem: str, detail: str = "") -> None:
        findings.append(skipped(Path(os.path.relpath(place, folder)).as_posix(), problem, detail))

    root, seen = os.path.realpath(folder), set()
    walk = os.walk(
        folder, followlinks=True, onerror=lambda e: note(e.filename, "unreadable folder", e.strerror or "")
    )
    for here, folders, files in walk:
        real = os.path.realpath(here)
        if real in seen or _STORE in files or here.endswith(_UNFINISHED):
            folders.clear()
            continue
        if real != root and os.path.commonpath((real, root)) == real:
            note(here, "link to a folder above", real)
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if _visible(name))
        seen.add(real)
        for path in (Path(here, name) for name in sorted(files) if _visible(name)):
            try:
                if stat.S_ISREG(path.stat().st_mode):
                    yield path
                else:
                    note(str(path), "no regular file")
            except OSError as error:
                note(str(path), "no regular file", error.strerror or "")


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _in_zip(path: Path, suffix: str | tuple[str, ...], *, place: str, findings: list[Finding]) -> list[Found]:
    """List the members of a zip file that end in ``suffix``.

    Members are only read, never written to disk, so no name can do harm; names that are meant to do harm are
    findings nevertheless.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except ZIP_ERRORS as error:
        raise RawDataError(
            f"cannot be read as a zip file ({error})",
            where=path,
            remedy="Give the raw folder or a complete zip file",
        ) from error
    claimed, size = sum(info.file_size for info in members), path.stat().st_size
    if claimed > max(MAX_BYTES, MAX_RATIO * size):
        detail = f"{size} bytes claim to hold {claimed}, the limit is {MAX_RATIO} times as many"
        findings.append(skipped(place, "zip file that claims too much", detail))
        return []
    files = []
    for info in sorted(members, key=lambda info: info.filename):
        if problem := _problem_of(info, suffix):
            findings.append(skipped(f"{place}::{info.filename}", problem))
        elif info.filename.lower().endswith(suffix) and all(map(_visible, info.filename.split("/"))):
            member = escaped(info.filename)
            files.append(Found(str(path), info.filename, info.file_size, f"{place}::{member}"))
    return files


def _problem_of(info: zipfile.ZipInfo, suffix: str | tuple[str, ...]) -> str:
    """Why a member that would be of use is skipped; empty if it is not."""
    parts = re.split(r"[/\\]", info.filename)
    if info.filename.lower().endswith(".zip"):
        return "zip file inside a zip file"
    if not info.filename.lower().endswith(suffix):
        return ""
    if ".." in parts or parts[0] == "" or re.match("[A-Za-z]:", info.filename):
        return "unsafe name in a zip file"
    if info.compress_type not in UNPACKED:
        return "unusual compression"
    return "encrypted" if info.flag_bits & _ENCRYPTED else ""


def read_bytes(item: RawItem) -> bytes:
    """Read the item's whole file or zip member; raises RawDataError when it is unreadable or too large."""
    try:
        if item.member is not None:
            archive = _archive(item.path)
            info = archive.getinfo(item.member)
            _check_size(info.file_size, item)
            return read_member(archive, info)
        _check_size(regular.check(Path(item.path)), item)
        with regular.open_file(item.path) as file:
            return file.read()
    except ZIP_ERRORS as error:
        raise RawDataError(f"cannot be read ({error})", where=item.where, remedy="Fetch it again") from error


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read a member, with no more in memory than its declared size; raises any of ``ZIP_ERRORS``.

    ``ZipFile.read`` unpacks everything that the data expand to before it checks the declared size.
    """
    if info.compress_type not in UNPACKED:
        raise zipfile.BadZipFile(f"compression method {info.compress_type}: pack it again with deflate")
    with archive.open(info) as member:
        data = member.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise zipfile.BadZipFile(f"{len(data)} bytes where {info.file_size} are declared")
    return data


def _check_size(size: int, item: RawItem) -> None:
    if size > MAX_BYTES:
        raise RawDataError(f"{size} bytes are too many for one clip (limit {MAX_BYTES})", where=item.where)


@while_unchanged(8)
def _archive(path: str) -> zipfile.ZipFile:
    """Archives opened in this process, cached because the directory of NTU's zip takes a second to read."""
    return zipfile.ZipFile(path)


def finding(item: RawItem, problem: str, *, action: str, place: str = "", detail: str = "") -> Finding:
    """Create a finding about this item."""
    return Finding(file=item.file, place=place, problem=problem, detail=detail, action=action)


def all_finite(joints: Joints) -> Mask:
    """[..., V, 3] -> [...]: whether every coordinate is finite and at most ``MAX_COORDINATE``."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(joints) <= MAX_COORDINATE).all(axis=(-2, -1)))


def known(fields: dict[str, int] | None) -> dict[str, Any]:
    """Protocol fields for a SkeletonSequence; None, from an id without information, leaves them unknown."""
    return dict(fields or {})
