"""A store at an address, as a folder on this machine to which its files are fetched on demand.

Metadata are fetched when a store is opened; other files, whole, when they are read, several at a time. A
folder holds one version: it is named by address and manifest (``schemas.cache``).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas import cache, objects, regular
from schemas.errors import StoreError
from schemas.objects import Found, Objects
from schemas.places import Place

AT_ONCE = 8
"""Files that are fetched at the same time."""

_LOOKS = 10
"""Attempts to list a store that changes between two requests, before giving up."""


class Mirror:
    """A folder, and the means to fetch files to it."""

    def __init__(
        self, source: Objects, root: Path, first: tuple[str, Found], listed: dict[str, Found] | None
    ) -> None:
        self.source = source
        self.root = root
        self._first = first
        """The file that identifies the version, with its entry when the store was opened."""
        self._listed = listed
        """All objects; None if the server does not list them."""
        self._absent: set[str] = set()
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._coming: dict[str, Future[None]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self.close: Callable[[], object] = lambda: None
        """Releases the folder; nothing is read afterwards."""

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process, which connects anew."""
        own = ("_lock", "_coming", "_pool", "close")
        state = {name: value for name, value in self.__dict__.items() if name not in own}
        return state | {"source": self.source.place}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"source": objects.connect(state["source"])})
        self._start()

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if it does not exist."""
        entry = self.source.find(name) if self._listed is None else self._listed.get(name)
        return None if entry is None else entry.size

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Bytes of all files; if the server does not list them, of those among ``names``."""
        if self._listed is not None:
            return {name: entry.size for name, entry in self._listed.items() if regular.is_plain(name)}
        asked = [*names]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sizes = zip(asked, pool.map(self.size, asked), strict=True)
            return {name: size for name, size in sizes if size is not None}

    def bring(self, name: str, *, most: int) -> None:
        """Fetch a file to the folder, if it exists.

        Raises StoreError if fetching fails, ValueError for a file of more than ``most`` bytes.
        """
        if not self._is_settled(name):
            self._ask_for(name, most).result()

    def bring_all(self, names: Iterable[str], *, most: Callable[[str], int]) -> None:
        """``bring`` several files at a time; one that is too large is skipped, and reported by ``bring``."""
        for coming in [self._ask_for(name, most(name)) for name in names if not self._is_settled(name)]:
            with suppress(ValueError):
                coming.result()

    def ahead(self, names: Iterable[str], *, most: int) -> None:
        """Start to fetch files that will be read; ``bring`` reports what goes wrong."""
        for name in names:
            if not self._is_settled(name):
                self._ask_for(name, most)

    def _is_settled(self, name: str) -> bool:
        return name in self._absent or (self.root / name).is_file()

    def _ask_for(self, name: str, most: int) -> Future[None]:
        objects.check_process(self.source.place)
        with self._lock:
            if name not in self._coming:
                self._pool = self._pool or ThreadPoolExecutor(AT_ONCE, "files of a store")
                self._coming[name] = self._pool.submit(self._come, name, most)
            return self._coming[name]

    def _come(self, name: str, most: int) -> None:
        try:
            if not self._is_settled(name) and not self._fetch(name, most):
                self._absent.add(name)
        finally:
            with self._lock:
                self._coming.pop(name, None)

    def _fetch(self, name: str, most: int) -> bool:
        """Fetch a file; returns False if it does not exist."""
        known = (self._listed or {}).get(name)
        if not regular.is_plain(name) or (self._listed is not None and known is None):
            return False
        target = self.root / name
        with cache.disk_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            cache.check_room(target.parent, known.size if known else 0)
            beside = _beside(target)
            try:
                with beside.open("wb") as file:
                    take = _while_running(file.write)
                    entry = self.source.fetch(name, take, most=most, tag=known.tag if known else None)
                    size = file.tell()
                if entry is not None:
                    self._check(name, entry, size)
                    beside.replace(target)
                return entry is not None
            finally:
                beside.unlink(missing_ok=True)

    def _check(self, name: str, entry: Found, size: int) -> None:
        """Check that the file is complete, and of the version that was opened."""
        again = "Run the same command again"
        if size != entry.size:
            message = f"{name} broke off after {size} of {entry.size} bytes"
            raise StoreError(message, where=self.source.place, remedy=again)
        if self._listed is None and self.source.find(self._first[0]) != self._first[1]:
            raise StoreError("was changed while it was being read", where=self.source.place, remedy=again)


def open_mirror(place: Place, name: str, *, most: int, anew: bool = False) -> Mirror | None:
    """The mirror of the current content of an address; None if it has no file ``name``.

    That file identifies the version. ``anew``: use a new folder that is removed with the mirror, and nothing
    that was fetched before. Raises StoreError, SkelError without obstore, and ValueError for a file of more
    than ``most`` bytes.
    """
    source = objects.connect(place)
    for _ in range(_LOOKS):
        answer = source.read(name, most=most)
        if answer is None:
            return None
        content, entry = answer
        listed = source.list() if source.can_list else None
        if listed is None or listed.get(name) == entry:  # else it was changed in between
            break
    else:
        raise StoreError("is being changed", where=place, remedy="Run the same command again")
    stores = cache.folder("stores")
    with cache.disk_errors(stores):
        stores.mkdir(parents=True, exist_ok=True)
        cache.make_room(stores)
        root = _root(stores, place, content, anew=anew)
        handle = cache.hold(root)
        root.mkdir(exist_ok=True)
        beside = _beside(root / name)
        beside.write_bytes(content)
        beside.replace(root / name)
        os.utime(root)
    made = Mirror(source, root, (name, entry), listed)
    made.close = weakref.finalize(made, *((cache.remove, root, handle) if anew else (os.close, handle)))
    return made


def _root(stores: Path, place: Place, content: bytes, *, anew: bool) -> Path:
    if anew:
        return Path(tempfile.mkdtemp(prefix=f"{place.name}-anew-", dir=stores))
    server = os.environ.get("AWS_ENDPOINT_URL", "")
    digest = hashlib.sha256(f"{server}\0{place}\0".encode() + content).hexdigest()
    return stores / f"{place.name}-{digest[:32]}"


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}")


def _while_running(take: Callable[[Any], object]) -> Callable[[Any], object]:
    """Stop a transfer when the program ends, so that it does not delay the exit."""

    def taken(piece: Any) -> None:
        if not threading.main_thread().is_alive():
            raise InterruptedError(4, "the program ends")
        take(piece)

    return taken
