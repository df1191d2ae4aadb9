"""Decide what may be read of a store from elsewhere, before each of its files is read."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas import cache, chunk_files, regular
from schemas.arrays import Chunks
from schemas.errors import SkelError, StoreError, UsageError
from schemas.mirror import Mirror
from schemas.places import Place, is_address

METADATA = "zarr.json"
MOST_ATTRIBUTES = 256 * 2**20
"""Most bytes of the manifest and of the findings: a million findings."""
MOST_METADATA = 2**20
"""Most bytes of the metadata of an array, and of a skeleton."""
FINDINGS = f"findings/{METADATA}"
TABLE = "findings.csv"
AHEAD = 2
"""Files of an array that are fetched while the one before them is read.

Four made the first one late on loopback, because all share the network.
"""
_TRIES, _PAUSE = 40, 0.05
"""Attempts to read the manifest, and seconds between them: a store being replaced briefly has none."""
Stamp = tuple[int, int, int]


def stamp_of(root: str) -> Stamp | None:
    """Stamp that distinguishes the manifest in a folder from a later one; None if there is none."""
    try:
        status = os.stat(os.path.join(root, METADATA))
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


@dataclass
class Now:
    """The current manifest."""

    stamp: Stamp | None
    others: frozenset[str] = frozenset()
    """Arrays for which it has another entry than the one that was opened, or none."""


@dataclass(frozen=True)
class Received:
    """What may be read of a store: ``allows`` is called before each of its files is read."""

    where: Path
    """The store's path as the user gave it."""
    root: str
    """Real path of the folder that has its files, or receives them when they are read."""
    mirror: Mirror | None = field(default=None, compare=False, repr=False)
    """Fetches files from an address to the folder."""
    chunks: dict[str, Chunks] = field(default_factory=dict)
    """Array -> its layout in files; other arrays are not read."""
    groups: frozenset[str] = frozenset()
    listed: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Array -> its entry in the manifest, with a checksum of its values."""
    now: Now = field(default_factory=lambda: Now(None), compare=False, repr=False)
    _seen: set[str] = field(default_factory=set, compare=False, repr=False)

    def allows(self, name: str) -> bool:
        """Whether a file belongs to the store, by its path in it; raises StoreError if it is not sound."""
        path, _, last = name.rpartition("/")
        if last == METADATA:
            return path in self.chunks or path in self.groups
        path = _array_of(name)
        if path not in self.chunks:
            return False
        self.bring(name)
        if name not in self._seen:
            with damages(self.where, path):
                chunk_files.check_file(self.root, name, self.chunks[path])
            self._seen.add(name)
        return True

    def is_same(self, name: str) -> bool:
        """Whether the store is still the same, to be called after a file was read.

        False if another store has taken its place with the same array: read the file again. Raises StoreError
        if its array is now a different one, or the store is gone.
        """
        path, _, last = name.rpartition("/")
        path = path if last == METADATA else _array_of(name)
        if self.mirror is not None or path not in self.listed:
            return True
        same = stamp_of(self.root) == self.now.stamp
        if not same:
            self._look_again()
        if path in self.now.others:
            raise StoreError(
                f"was replaced while it was read: {path} is another one now",
                where=self.where,
                remedy="Open it again",
            )
        return same

    def _look_again(self) -> None:
        for _ in range(_TRIES):
            stamp = stamp_of(self.root)
            with suppress(OSError, ValueError, KeyError, TypeError):
                content = regular.read_json(Path(self.root, METADATA), most=MOST_ATTRIBUTES)
                arrays = content["attributes"]["arrays"]
                others = (path for path, info in self.listed.items() if arrays.get(path) != info)
                self.now.stamp, self.now.others = stamp, frozenset(others)
                return
            time.sleep(_PAUSE)
        raise StoreError("was removed while it was read", where=self.where, remedy="Open it again")

    def check(self, path: str) -> None:
        """Raise StoreError if the files of an array cannot hold what its shape promises."""
        if path not in self._seen and path in self.chunks:
            with damages(self.where, path):
                chunk_files.check_whole(path, self.chunks[path], self._size)
            self._seen.add(path)

    def _size(self, name: str) -> int | None:
        try:
            return self.mirror.size(name) if self.mirror else os.stat(os.path.join(self.root, name)).st_size
        except OSError:
            return None

    def bring(self, name: str) -> None:
        """Fetch a file of an array, if it exists, to the folder; for stores at addresses.

        Raises StoreError if fetching fails.
        """
        path = _array_of(name)
        if self.mirror is not None and path in self.chunks:
            with damages(self.where, path):
                self.mirror.bring(name, most=chunk_files.most(self.chunks[path]))

    def check_ids(self) -> None:
        """Raise ValueError if the file of the ids is absent or cannot hold them."""
        name = "samples/id"
        for file in chunk_files.names(name, self.chunks[name]):
            self.bring(file)
        chunk_files.check_text(self.root, name, self.chunks[name])

    def ahead(self, path: str, rows: Iterable[int]) -> None:
        """Announce that these rows of an array will soon be read, so that their files may come meanwhile.

        For stores at addresses.
        """
        if self.mirror is not None and path in self.chunks:
            chunks = self.chunks[path]
            behind = "/0" * (len(chunks.shape) - 1)
            files = dict.fromkeys(row // chunks.outer[0] for row in rows if row < chunks.shape[0])
            self.mirror.ahead((f"{path}/c/{file}{behind}" for file in files), most=chunk_files.most(chunks))

    def bring_all(self, *, but: tuple[str, ...] = ()) -> None:
        """Fetch the values of all arrays except paths that end in ``but``; for stores at addresses."""
        if self.mirror is not None:
            chosen = ((path, each) for path, each in self.chunks.items() if not path.endswith(but or "\0"))
            names = (name for path, each in chosen for name in chunk_files.names(path, each))
            self.mirror.bring_all(names, most=lambda name: chunk_files.most(self.chunks[_array_of(name)]))

    def bring_metadata(self) -> None:
        """Fetch the metadata of all arrays and groups, including those that do not belong to the store.

        For stores at addresses that list their files.
        """
        if self.mirror is not None:
            names = [name for name in self.mirror.sizes(()) if name.endswith(f"/{METADATA}")]
            self.mirror.bring_all(names, most=lambda name: MOST_METADATA)

    def close(self) -> None:
        """Release the folder, after which nothing may be read; for stores at addresses."""
        if self.mirror is not None:
            self.mirror.close()

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its path in the store."""
        if self.mirror is not None:
            names = [*metadata_of(self.groups), *metadata_of(self.chunks), TABLE]
            names += [name for path, each in self.chunks.items() for name in chunk_files.names(path, each)]
            return self.mirror.sizes(names)
        files = (file for file in Path(self.root).rglob("*") if file.is_file())
        return {file.relative_to(self.root).as_posix(): file.stat().st_size for file in files}


class Guarded:
    """Mixin in front of zarr's store of files that reads only what ``received`` allows.

    It is here, without zarr, because both packages open stores and neither imports the other.
    """

    received: Received

    async def get(self, key: str, *given: Any, **named: Any) -> Any:
        files: Any = super()
        if self.received.mirror is not None:  # several at a time
            await asyncio.to_thread(self.received.bring, key)
        while True:
            content = await files.get(key, *given, **named) if self.received.allows(key) else None
            if self.received.is_same(key):
                return content

    def get_sync(self, key: str, **named: Any) -> Any:
        files: Any = super()
        while True:
            content = files.get_sync(key, **named) if self.received.allows(key) else None
            if self.received.is_same(key):
                return content

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]


def _array_of(name: str) -> str:
    """The array that a file of values belongs to."""
    return name.rpartition("/c/")[0]


def metadata_of(paths: Iterable[str]) -> list[str]:
    """Paths of the files that describe groups and arrays."""
    return [f"{path}/{METADATA}".lstrip("/") for path in paths]


@contextmanager
def damages(where: Path, place: str) -> Iterator[None]:
    """Turn a ValueError or OSError into the StoreError of a place."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise damaged(where, place, error) from error


def damaged(path: Path | str, place: str, why: object) -> SkelError:
    """The error for an unsound place of a store; a UsageError, which is not about the store, stays one."""
    if isinstance(why, UsageError):
        return UsageError(why.message, where=why.where, remedy=why.remedy)
    reason = why_of(why) if isinstance(why, BaseException) else str(why)
    remedy = "`skeltools validate` lists what is wrong; convert the raw data again"
    if is_address(path):
        remedy = f"`skeltools validate {Place(path)}` reads it anew; if it is sound there, remove "
        remedy += f"{cache.folder('stores')}"
    return StoreError(f"damaged store ({place}: {reason})", where=path, remedy=remedy)


def why_of(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"{os.path.basename(error.filename)} is not there"
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error})"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
