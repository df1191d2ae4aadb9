"""A finished store on its way to an address. Its root's metadata go last: without them there is no store.

What an upload that was stopped left is told by a hidden object, ``.upload``, and is replaced by the next one.
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
    """Where a store is made on this machine: a folder where it is going to be, or one for an address.

    >>> home(Path("a/store.zarr")).as_posix()
    'a/store.zarr'
    """
    if not Place(place).is_address:
        return place
    digest = hashlib.sha256(str(Place(place)).encode()).hexdigest()
    return cache.folder("work") / digest[:32] / place.name


def leave(place: Path) -> None:
    """Remove the folder that an address had on this machine, unless there is something in it."""
    if Place(place).is_address:
        with suppress(OSError):
            home(place).parent.rmdir()


def check_target(place: Place, *, force: bool) -> None:
    """Raises StoreError for an address that cannot be written to, a store without ``force``, and other
    objects always."""
    _check_free(objects.connect(place), force=force)


def _check_free(target: Objects, *, force: bool) -> dict[str, objects.Found]:
    """The objects that are there now."""
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
    """All files of a store, in place of an older one, which is no more as soon as this begins.

    Raises StoreError as ``check_target``, and when the server does not take them; what is there then is no
    store.
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
    """What of a copy of a store is new. At every moment there is a store: the old one, at the most without
    the arrays that are written again, or the new one. Raises StoreError when the server does not take it."""
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
    """The array that a file, of values or metadata, is of."""
    return name.removesuffix(f"/{METADATA}").partition("/c/")[0]


def _write_manifest(target: Objects, opened: Store, manifest: dict[str, object]) -> None:
    metadata = regular.read_json(opened.folder / METADATA, most=2**31)
    target.put(METADATA, json.dumps(metadata | {"attributes": manifest}, indent=2).encode())


def _files(folder: Path) -> set[str]:
    """The files of a store by their paths in it; hidden ones are no part of it."""
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return {name for name in names if regular.is_plain(name)}


def _write(target: Objects, folder: Path, names: Iterable[str]) -> None:
    """Some files, several at a time, the largest first."""
    ordered = sorted(names, key=lambda name: (-(folder / name).stat().st_size, name))
    pool = ThreadPoolExecutor(AT_ONCE, "upload")
    try:
        for sent in [pool.submit(target.write, name, folder / name) for name in ordered]:
            sent.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
