"""Upload a finished store to an address; the root's metadata go last, as without them there is no store.

A hidden object, ``.upload``, marks what an interrupted upload left, which the next one replaces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from schemas import StoreError, cache, objects, regular
from schemas.mirror import AT_ONCE
from schemas.objects import Objects
from schemas.places import Place
from skeltools import store
from skeltools.store import METADATA, Store

_UNFINISHED = ".upload"


def home(place: Path) -> Path:
    """Folder on this machine in which a store is made: its own place, or a cache folder for an address.

    >>> home(Path("a/store.zarr")).as_posix()
    'a/store.zarr'
    """
    if not Place(place).is_address:
        return place
    digest = hashlib.sha256(str(Place(place)).encode()).hexdigest()
    return cache.folder("work") / digest[:32] / place.name


def leave(place: Path) -> None:
    """Remove the folder that an address had on this machine, unless it contains something."""
    if Place(place).is_address:
        with suppress(OSError):
            home(place).parent.rmdir()


def check_target(place: Place, *, force: bool) -> None:
    """Check that a store may be written to an address.

    Raises StoreError for an address that cannot be written to, for a store without ``force``, and for other
    objects always.
    """
    _check_free(objects.connect(place), force=force)


def _check_free(target: Objects, *, force: bool) -> dict[str, objects.Found]:
    """Check a target as ``check_target`` does, and return the objects that are there now."""
    place = target.place
    if not target.can_list:
        raise StoreError(
            "a web server is read, and not written to",
            where=place,
            remedy="Name a bucket, s3://, gs:// or az://, or write to a folder and put that on the server",
        )
    there = target.list()
    if METADATA in there and store.is_store(place):
        if not force:
            raise StoreError(
                "there is a store already", where=place, remedy="--force replaces it; --out names another"
            )
    elif there and _UNFINISHED not in there:
        raise StoreError(
            "there are other objects, and nothing but a store is ever replaced",
            where=place,
            remedy="Name another with --out",
        )
    return there


def send(folder: Path, place: Place, *, force: bool) -> None:
    """Upload all files of a store in place of an older one, which ceases to exist as soon as this begins.

    Raises StoreError as ``check_target`` does, and when the server does not accept the files; what is there
    then is not a store.
    """
    target = objects.connect(place)
    before = _check_free(target, force=force)
    files = _files(folder)
    target.put(_UNFINISHED, b"")
    if METADATA in before:
        target.delete([METADATA])
    _write(target, folder, files - {METADATA})
    target.delete(before.keys() - files - {METADATA, _UNFINISHED})
    target.write(METADATA, folder / METADATA)
    target.delete([_UNFINISHED])


def send_changes(folder: Path, opened: Store) -> None:
    """Upload what is new in a copy of a store; raises StoreError when the server does not accept it.

    At every moment there is a store at the address: the old one, possibly without the arrays that are
    rewritten, or the new one.
    """
    old, new = opened.manifest, store.open_store(folder).manifest
    written = {path for path, info in new.arrays.items() if old.arrays.get(path) != info}
    target, files = objects.connect(Place(opened.path)), _files(folder)
    lasting = {path: info for path, info in old.arrays.items() if path not in written and path in new.arrays}
    if lasting != old.arrays:
        _write_manifest(target, opened, old.model_copy(update={"arrays": lasting}).model_dump(mode="json"))
    of_arrays = {name for name in files if _array_of(name) in written}
    described = {name for name in files - {METADATA} if name.endswith(f"/{METADATA}")}
    _write(target, folder, of_arrays | described)
    target.delete(name for name in target.list() if _array_of(name) in written and name not in files)
    target.write(METADATA, folder / METADATA)


def _array_of(name: str) -> str:
    """The array that a file of values or metadata belongs to."""
    return name.removesuffix(f"/{METADATA}").partition("/c/")[0]


def _write_manifest(target: Objects, opened: Store, manifest: dict[str, object]) -> None:
    metadata = regular.read_json(opened.folder / METADATA, most=2**31)
    target.put(METADATA, json.dumps(metadata | {"attributes": manifest}, indent=2).encode())


def _files(folder: Path) -> set[str]:
    """The files of a store by their paths in it, without hidden ones, which do not belong to it."""
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return {name for name in names if regular.is_plain(name)}


def _write(target: Objects, folder: Path, names: Iterable[str]) -> None:
    """Upload some files, several at a time, the largest first."""
    ordered = sorted(names, key=lambda name: (-(folder / name).stat().st_size, name))
    pool = ThreadPoolExecutor(AT_ONCE, "upload")
    try:
        for sent in [pool.submit(target.write, name, folder / name) for name in ordered]:
            sent.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
