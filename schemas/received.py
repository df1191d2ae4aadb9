"""Open a store from elsewhere: read its manifest, and check its metadata and files against it.

All checks use ``zarr.json`` files and the sizes of others, before zarr opens an array: their time grows with
the number of arrays, not with that of samples. ``skeltools validate`` reports what is refused here as faults,
place by place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas import arrays, objects, regular
from schemas.arrays import Chunks
from schemas.errors import StoreError
from schemas.guarded import (
    FINDINGS,
    METADATA,
    MOST_ATTRIBUTES,
    MOST_METADATA,
    TABLE,
    Now,
    Received,
    damaged,
    damages,
    metadata_of,
    stamp_of,
    why_of,
)
from schemas.mirror import Mirror, open_mirror
from schemas.places import ADDRESSES, Place, is_wrong_address
from schemas.problems import problem
from schemas.store import FORMAT, ArrayInfo, StoreManifest

_TRIES = 5

Faults = dict[str, str]
"""Path in the store -> what is wrong there."""


def open_received(path: Path, *, complete: bool = True) -> tuple[StoreManifest, Received]:
    """The manifest of a store, and what may be read of it.

    ``complete``: whether it must list all arrays of the format. Raises StoreError if it is absent, no store,
    of a newer format, or damaged, with the first unsound place.
    """
    for _ in range(_TRIES):
        folder = _folder_of(path)
        manifest = _manifest(folder)
        faults: Faults = unlisted(manifest) if complete else {}
        received = look(folder, manifest, faults, complete=complete)
        if not faults:
            return manifest, received
        if (
            _manifest(_folder_of(path)) == manifest
        ):  # else something was added in between: folders were exchanged
            break
    place, what = next(iter(faults.items()))
    raise damaged(path, place, what)


def open_damaged(path: Path) -> tuple[StoreManifest, Received, Faults]:
    """``open_received`` that also returns the faults and their places.

    At an address everything is read anew, whatever was read before. Raises StoreError if there is no readable
    manifest.
    """
    folder = _folder_of(path, anew=True)
    manifest, faults = _manifest(folder), dict[str, str]()
    return manifest, look(folder, manifest, faults), faults


@dataclass(frozen=True)
class _Folder:
    """Location of a store's files; ``root`` is a real path."""

    where: Path
    root: str
    mirror: Mirror | None = None
    now: Now = field(default_factory=lambda: Now(None))
    """The manifest's stamp before it was read."""


def _folder_of(path: Path, *, anew: bool = False) -> _Folder:
    """Locate the files of a store; raises StoreError if there is nothing."""
    place = Place(path)
    if not place.is_address:
        if not place.exists():
            remedy = "`skeltools convert DATASET --out STORE` makes one"
            if is_wrong_address(place):
                remedy = ADDRESSES
            raise StoreError("no such store", where=place, remedy=remedy)
        root = os.path.realpath(place)
        return _Folder(place, root, now=Now(stamp_of(root)))
    with damages(place, METADATA):
        mirror = open_mirror(place, METADATA, most=MOST_ATTRIBUTES, anew=anew)
    if mirror is None:
        remedy = f"`skeltools convert DATASET --out {place}` writes one; an upload that was stopped left none"
        raise StoreError("no such store", where=place, remedy=remedy)
    return _Folder(place, os.path.realpath(mirror.root), mirror)


def _manifest(folder: _Folder) -> StoreManifest:
    """Read the manifest; raises StoreError for no store, a newer format, or no readable manifest."""
    path, metadata = folder.where, _metadata(folder)
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
    """Arrays that a store must have and that its manifest does not list."""
    required = [f"samples/{name}" for name in arrays.SAMPLES]
    required += [f"splits/{name}" for name in manifest.protocols]
    for name in manifest.conventions:
        required += [f"skeletons/{name}/{part}" for part in arrays.GRAPHS]
        required += [f"sequences/{name}/{part}" for part in ("joints", "present", "order", "offsets")]
    return {path: "the manifest does not list it" for path in required if path not in manifest.arrays}


def is_store(path: Path) -> bool:
    """Whether a folder claims to be a store of any format, even a damaged or a newer one."""
    try:
        place = Place(path)
        if not place.is_address:
            content = regular.read_json(place / METADATA, most=MOST_ATTRIBUTES)
        else:
            answer = objects.connect(place).read(METADATA, most=MOST_ATTRIBUTES)
            content = regular.parse_json(b"" if answer is None else answer[0])
        return "format" in content["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _metadata(folder: _Folder) -> dict[str, Any]:
    try:
        metadata = regular.read_json(regular.inside(folder.root, METADATA), most=MOST_ATTRIBUTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_store(folder.where) from error
    except (OSError, ValueError) as error:
        raise damaged(folder.where, METADATA, error) from error
    return metadata if isinstance(metadata, dict) else {}


def look(folder: _Folder, manifest: StoreManifest, faults: Faults, *, complete: bool = True) -> Received:
    """Determine what may be read of a store; faults of its metadata are added to ``faults`` by place."""
    root = folder.root
    groups = sorted({"", *_groups(manifest), *(["findings"] if complete else [])})
    if folder.mirror is not None:
        paths = [*groups, *filter(regular.is_plain, manifest.arrays)]
        folder.mirror.bring_all([*metadata_of(paths), *([TABLE] if complete else [])], most=_most)
    joints: dict[str, int] = {}
    for name in groups:
        with _noted(faults, name or METADATA):
            _check_group(root, name, joints)
    sizes = {"N": manifest.samples, "N+1": manifest.samples + 1, "C": 3, "K": 3}
    sizes |= {"V": max(joints.values()), "W": max(joints.values())} if joints else {}
    of_convention: dict[str, dict[str, int]] = {}
    chunks: dict[str, Chunks] = {}
    for name, info in manifest.arrays.items():
        with _noted(faults, name):
            known = _known(name, sizes, joints, of_convention)
            chunks[name] = _array(root, name, info, known, _rows(name, manifest))
    listed = {name: info.model_dump(mode="json") for name, info in manifest.arrays.items()}
    received = Received(folder.where, root, folder.mirror, chunks, frozenset(groups), listed, folder.now)
    if "samples/id" in chunks:
        with _noted(faults, "samples/id"):
            _check_ids(received)
    return received


def _check_ids(received: Received) -> None:
    """Raise ValueError if the file of the ids is absent or cannot hold them; the ids are then not read."""
    try:
        received.check_ids()
    except ValueError:
        del received.chunks["samples/id"]
        raise


def _most(name: str) -> int:
    """Most bytes of a file of metadata."""
    return MOST_ATTRIBUTES if name in (METADATA, FINDINGS, TABLE) else MOST_METADATA


@contextmanager
def _noted(faults: Faults, place: str) -> Iterator[None]:
    """Turn a ValueError or OSError into a fault of a place."""
    try:
        yield
    except (ValueError, OSError) as error:
        faults.setdefault(place, why_of(error))


def _groups(manifest: StoreManifest) -> Iterator[str]:
    """Every folder above an array, and those of conventions."""
    yield from (f"skeletons/{name}" for name in manifest.conventions)
    for path in filter(regular.is_plain, manifest.arrays):
        parts = path.split("/")
        yield from ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _check_group(root: str, name: str, joints: dict[str, int]) -> None:
    """Check that a group has metadata, and record a convention's joint count; findings are read later."""
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
    name: str, sizes: dict[str, int], joints: dict[str, int], of_convention: dict[str, dict[str, int]]
) -> dict[str, int]:
    """Known axis sizes for an array: those shared by its convention's sequences, or its stream's own."""
    kind, convention, *_ = [*name.split("/"), ""]
    own = {"v": joints[convention]} if convention in joints else {}
    if kind == "sequences":
        return of_convention.setdefault(convention, sizes | own)
    return sizes | own


def _rows(name: str, manifest: StoreManifest) -> int | None:
    """For a stream, the number of samples that its convention has."""
    kind, convention, *_ = [*name.split("/"), ""]
    info = manifest.conventions.get(convention)
    return max(0, manifest.samples - len(info.missing)) if kind == "streams" and info else None


def _array(root: str, name: str, info: ArrayInfo, known: dict[str, int], rows: int | None) -> Chunks:
    if not regular.is_plain(name):
        raise ValueError("is no path in a store")
    arrays.check_shape(name, info, known)
    metadata = regular.read_json(_metadata_file(root, name), most=MOST_METADATA)
    return arrays.chunks(metadata, info, rows=rows)


def _metadata_file(root: str, name: str) -> Path:
    return regular.inside(root, f"{name}/{METADATA}".lstrip("/"))


def _no_store(path: Path) -> StoreError:
    remedy = "Name the folder that `skeltools convert DATASET --out STORE` wrote"
    return StoreError("is not a skeleton store", where=path, remedy=remedy)
