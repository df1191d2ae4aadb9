"""A store that comes from elsewhere: its manifest, and whether its metadata and files are what it says.

Everything is told by ``zarr.json`` files and the sizes of others, before zarr opens an array: the time it
takes grows with the number of arrays, not with that of samples. What is refused here is told by
``skeltools validate`` as faults, place by place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas import arrays, chunk_files, regular
from schemas.arrays import Chunks
from schemas.errors import StoreError
from schemas.problems import problem
from schemas.store import FORMAT, ArrayInfo, StoreManifest

METADATA = "zarr.json"
MOST_ATTRIBUTES = 256 * 2**20
"""Bytes of the manifest and of the findings: a million of these."""
MOST_METADATA = 2**20
"""Bytes of the metadata of an array, and of a skeleton."""
FINDINGS = f"findings/{METADATA}"
_TRIES = 5

Faults = dict[str, str]
"""Path in the store -> what is wrong there."""


@dataclass(frozen=True)
class Received:
    """What may be read of a store: ``allows`` is asked before every file of it."""

    root: str
    """The real path of the folder."""
    chunks: dict[str, Chunks] = field(default_factory=dict)
    """Array -> how it lies in files. Others are not read."""
    groups: frozenset[str] = frozenset()
    _seen: set[str] = field(default_factory=set, compare=False, repr=False)

    def allows(self, name: str) -> bool:
        """Whether a file, by its path in the store, belongs to it. Raises StoreError when it is not sound."""
        path, _, last = name.rpartition("/")
        if last == METADATA:
            return path in self.chunks or path in self.groups
        path = name.rpartition("/c/")[0]
        if path not in self.chunks:
            return False
        if name not in self._seen:
            self._check(path, name)
            self._seen.add(name)
        return True

    def check(self, path: str) -> None:
        """Raises StoreError when the files of an array cannot hold what its shape promises."""
        if path not in self._seen and path in self.chunks:
            with _told(self.root, path):
                chunk_files.check_whole(self.root, path, self.chunks[path])
            self._seen.add(path)

    def _check(self, path: str, name: str) -> None:
        with _told(self.root, path):
            chunk_files.check_file(self.root, name, self.chunks[path])


class Guarded:
    """Mixed into zarr's store of files, in front of it: only what ``received`` allows is read.

    It stands here, without zarr, because both packages open stores and neither imports the other.
    """

    received: Received

    async def get(self, key: str, *given: Any, **named: Any) -> Any:
        files: Any = super()
        return await files.get(key, *given, **named) if self.received.allows(key) else None

    def get_sync(self, key: str, **named: Any) -> Any:
        files: Any = super()
        return files.get_sync(key, **named) if self.received.allows(key) else None

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]


@contextmanager
def _told(root: str, place: str) -> Iterator[None]:
    """A ValueError or OSError inside becomes the StoreError of a place."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise damaged(root, place, error) from error


def open_received(path: Path, *, complete: bool = True) -> tuple[StoreManifest, Received]:
    """The manifest of a store, and what may be read of it.

    ``complete``: it must list all arrays of the format. Raises StoreError: absent, no store, of a newer
    format, or damaged, with the first place that is.
    """
    for _ in range(_TRIES):
        manifest = read_manifest(path)
        faults: Faults = unlisted(manifest) if complete else {}
        found = look(path, manifest, faults, complete=complete)
        if not faults:
            return manifest, found
        if read_manifest(path) == manifest:  # else something was added in between: folders were exchanged
            break
    place, what = next(iter(faults.items()))
    raise damaged(path, place, what)


def read_manifest(path: Path) -> StoreManifest:
    """Raises StoreError: absent, no store, of a newer format, or without a readable manifest."""
    metadata = _metadata(path)
    attributes = metadata.get("attributes")
    version = attributes.get("format") if isinstance(attributes, dict) else None
    if type(version) is not int:
        raise _no_store(path)
    if version > FORMAT:
        raise StoreError(
            f"written by a newer version: format {version}, this one reads up to {FORMAT}",
            where=path,
            remedy="Upgrade skeltools, or convert the raw data again",
        )
    try:
        arrays.check_group(metadata)
        manifest = StoreManifest.model_validate(attributes)
    except ValidationError as error:
        raise damaged(path, "manifest", problem(error, StoreManifest)) from error
    except ValueError as error:
        raise damaged(path, METADATA, error) from error
    if not manifest.conventions:
        raise damaged(path, "manifest", "it has no skeleton convention")
    return manifest


def unlisted(manifest: StoreManifest) -> Faults:
    """The arrays that a store must have and that its manifest does not list."""
    required = [f"samples/{name}" for name in arrays.SAMPLES]
    required += [f"splits/{name}" for name in manifest.protocols]
    for name in manifest.conventions:
        required += [f"skeletons/{name}/{part}" for part in arrays.GRAPHS]
        required += [f"sequences/{name}/{part}" for part in ("joints", "present", "order", "offsets")]
    return {path: "the manifest does not list it" for path in required if path not in manifest.arrays}


def claims_to_be_store(path: Path) -> bool:
    """Whether a folder says that it is a store of any format, be it damaged or newer than this code."""
    try:
        found = regular.read_json(path / METADATA, most=MOST_ATTRIBUTES)
        return "format" in found["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _metadata(path: Path) -> dict[str, Any]:
    if not path.exists():
        remedy = "`skeltools convert DATASET --out STORE` makes one"
        raise StoreError("no such store", where=path, remedy=remedy)
    try:
        metadata = regular.read_json(regular.inside(os.path.realpath(path), METADATA), most=MOST_ATTRIBUTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_store(path) from error
    except (OSError, ValueError) as error:
        raise damaged(path, METADATA, error) from error
    return metadata if isinstance(metadata, dict) else {}


def look(path: Path, manifest: StoreManifest, faults: Faults, *, complete: bool = True) -> Received:
    """What may be read of a store; the faults of its metadata are put into ``faults`` by their places."""
    root = os.path.realpath(path)
    groups = sorted({"", *_groups(manifest), *(["findings"] if complete else [])})
    joints: dict[str, int] = {}
    for name in groups:
        with _noted(faults, name or METADATA):
            _check_group(root, name, joints)
    sizes = {"N": manifest.samples, "N+1": manifest.samples + 1, "C": 3, "K": 3}
    sizes |= {"V": max(joints.values()), "W": max(joints.values())} if joints else {}
    of_convention: dict[str, dict[str, int]] = {}
    found: dict[str, Chunks] = {}
    for name, info in manifest.arrays.items():
        with _noted(faults, name):
            known = _known(name, sizes, joints, of_convention)
            found[name] = _array(root, name, info, known, _rows(name, manifest))
    return Received(root, found, frozenset(groups))


@contextmanager
def _noted(faults: Faults, place: str) -> Iterator[None]:
    """A ValueError or OSError inside becomes a fault of a place."""
    try:
        yield
    except (ValueError, OSError) as error:
        faults.setdefault(place, _why(error))


def _groups(manifest: StoreManifest) -> Iterator[str]:
    """Every folder above an array, and those of conventions."""
    yield from (f"skeletons/{name}" for name in manifest.conventions)
    for path in filter(_is_path, manifest.arrays):
        parts = path.split("/")
        yield from ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _check_group(root: str, name: str, joints: dict[str, int]) -> None:
    """A group has metadata; those of a convention say how many joints it has. Findings are read later."""
    path = _metadata_file(root, name)
    if name in ("", "findings"):
        regular.check(path)
        return
    metadata = regular.read_json(path, most=MOST_METADATA)
    arrays.check_group(metadata)
    kind, _, convention = name.partition("/")
    if kind == "skeletons" and convention:
        names = metadata.get("attributes", {}).get("joints")
        if not isinstance(names, list):
            raise ValueError("its attributes describe no skeleton")
        joints[convention] = len(names)


def _known(
    name: str, sizes: dict[str, int], joints: dict[str, int], found: dict[str, dict[str, int]]
) -> dict[str, int]:
    """The sizes of axes for an array: those of its convention's sequences, or of its one stream."""
    kind, convention, *_ = [*name.split("/"), ""]
    own = {"v": joints[convention]} if convention in joints else {}
    if kind == "sequences":
        return found.setdefault(convention, sizes | own)
    return sizes | own


def _rows(name: str, manifest: StoreManifest) -> int | None:
    """Of a stream: the samples that its convention has."""
    kind, convention, *_ = [*name.split("/"), ""]
    info = manifest.conventions.get(convention)
    return max(0, manifest.samples - len(info.missing)) if kind == "streams" and info else None


def _array(root: str, name: str, info: ArrayInfo, known: dict[str, int], rows: int | None) -> Chunks:
    if not _is_path(name):
        raise ValueError("is no path in a store")
    arrays.check_shape(name, info, known)
    metadata = regular.read_json(_metadata_file(root, name), most=MOST_METADATA)
    found = arrays.chunks(metadata, info, rows=rows)
    if name == "samples/id":
        chunk_files.check_text(root, name, found)
    return found


def _is_path(name: str) -> bool:
    """Whether it stays in the folder; what begins with a dot is no part of a store."""
    return all(part and not part.startswith(".") and not {"\\", "\0"} & {*part} for part in name.split("/"))


def _metadata_file(root: str, name: str) -> Path:
    return regular.inside(root, f"{name}/{METADATA}".lstrip("/"))


def _no_store(path: Path) -> StoreError:
    remedy = "Name the folder that `skeltools convert DATASET --out STORE` wrote"
    return StoreError("is not a skeleton store", where=path, remedy=remedy)


def damaged(path: Path | str, place: str, why: object) -> StoreError:
    """The error for what is not sound at a place of a store."""
    told = _why(why) if isinstance(why, BaseException) else str(why)
    return StoreError(
        f"damaged store ({place}: {told})",
        where=path,
        remedy="`skeltools validate` lists what is wrong; convert the raw data again",
    )


def _why(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"{os.path.basename(error.filename)} is not there"
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error})"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
