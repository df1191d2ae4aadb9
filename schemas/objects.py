"""Access the objects of a store at an address, through obstore (extra ``cloud``).

obstore is imported only when an address is used. It repeats requests that were dropped or answered with "slow
down" (5xx, 429), and resumes within an object whose connection was lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from schemas.errors import SkelError, StoreError, UsageError
from schemas.places import Place

_RETRIES = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}
"""Retries, whose delays grow from 0.1 s, about doubling each time."""
_CLIENT = {"connect_timeout": "5s", "timeout": "120s"}
"""Timeouts: seven attempts at an absent host, with the delays between them, end within a minute.

``timeout`` is for one request with its answer, and the rest of an object is requested again.
"""

_PIECE = 4 * 2**20
"""Bytes of an object that are in memory at a time."""
_AT_ONCE = 1000
"""Objects that one request deletes: the limit of S3."""


@dataclass(frozen=True)
class Found:
    """An object store's information about one object."""

    size: int
    tag: str | None
    """Changes with the content (ETag)."""


class Objects:
    """The objects below an address, by names with ``/``."""

    def __init__(self, place: Place, client: Any) -> None:
        self.place = place
        self._client = client

    @property
    def can_list(self) -> bool:
        """Whether the server can list, and also write; web servers do neither."""
        return not str(self.place).startswith("http")

    def find(self, name: str) -> Found | None:
        """Look up an object; None if it does not exist."""
        with _server_errors(self.place):
            try:
                return _entry(self._client.head(name))
            except FileNotFoundError as error:
                _check_bucket(self.place, error)
                return None

    def list(self) -> dict[str, Found]:
        """All objects by name."""
        with _server_errors(self.place):
            return {each["path"]: _entry(each) for page in self._client.list() for each in page}

    def read(self, name: str, *, most: int) -> tuple[bytes, Found] | None:
        """Read a small object; None if it does not exist; raises ValueError for more than ``most`` bytes."""
        content = bytearray()
        entry = self.fetch(name, content.extend, most=most)
        return None if entry is None else (bytes(content), entry)

    def fetch(
        self, name: str, take: Callable[[Any], object], *, most: int, tag: str | None = None
    ) -> Found | None:
        """Pass an object to ``take`` in pieces, as buffers; returns None if it does not exist.

        ``tag``: the expected version. Raises StoreError if the version has changed, ValueError for more than
        ``most`` bytes.
        """
        with _server_errors(self.place):
            try:
                answer = self._client.get(name, options={"if_match": tag} if tag else None)
            except FileNotFoundError as error:
                _check_bucket(self.place, error)
                return None
            entry = _entry(answer.meta)
            if entry.size > most:
                raise ValueError(f"has {entry.size} bytes, more than the {most} that it may have")
            for piece in answer.stream(min_chunk_size=_PIECE):
                take(memoryview(piece))
            return entry

    def write(self, name: str, file: Path) -> None:
        """Write a file as an object, which exists completely or not at all."""
        with _server_errors(self.place):
            self._client.put(name, file)

    def put(self, name: str, content: bytes) -> None:
        with _server_errors(self.place):
            self._client.put(name, content)

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; names that do not exist are ignored."""
        left = [*names]
        with _server_errors(self.place):
            for first in range(0, len(left), _AT_ONCE):
                self._client.delete(left[first : first + _AT_ONCE])


def connect(place: Place) -> Objects:
    """The objects below an address, without any request yet.

    Raises SkelError without obstore, StoreError for settings that obstore does not accept.
    """
    library = _library(place)
    address = str(place)
    options = dict(_CLIENT)
    if address.startswith("http://") or _plain_endpoint():
        options["allow_http"] = "true"
    given = {"client_options": options, "retry_config": _RETRIES}
    with _server_errors(place):
        if address.startswith("http"):
            return Objects(place, library.HTTPStore.from_url(quote(address, safe=":/%"), **given))
        return Objects(place, library.from_url(quote(address, safe=":/%"), **given))


def _plain_endpoint() -> bool:
    """Whether the user configured an endpoint without TLS."""
    names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT")
    return any(os.environ.get(name, "").startswith("http://") for name in names)


def _library(place: Place) -> Any:
    try:
        return import_module("obstore.store")
    except ImportError as error:
        raise SkelError(
            "obstore is not installed, and addresses of stores need it",
            where=place,
            remedy="pip install 'skeltools[cloud]', in the clone pip install '.[cloud]'; or name a folder",
        ) from error


def _entry(meta: Any) -> Found:
    """Convert metadata to an entry, adding the quotes that tags lack in Azure's lists."""
    tag = meta["e_tag"]
    return Found(int(meta["size"]), tag if tag is None or tag.endswith('"') else f'"{tag}"')


# --- errors -------------------------------------------------------------------------------------------------

_KEYS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true where all may read",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true where all may read",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true where "
    "all may read",
}
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_DENIED = ("status code: 403 Forbidden", "status code: 401 Unauthorized")
"""Lists that are denied have no class of their own."""
_NO_KEYS = (
    "169.254.169.254",
    "metadata.google.internal",
    "credential",
    "Credential",
    "Account must be",
    "token",
)
"""Signs in errors that no credentials were given: where clients look for them, and what they report."""


@contextmanager
def _server_errors(place: Place) -> Iterator[None]:
    """Turn obstore's exceptions into errors of one sentence."""
    check_process(place)
    try:
        yield
    except FileNotFoundError as error:
        _check_bucket(place, error)
        raise
    except Exception as error:
        if not any(kind.__module__.startswith("obstore") for kind in type(error).__mro__):
            raise
        raise _refused(place, error) from error


def check_process(place: Place) -> None:
    """Raise UsageError in a fork of a process that has made requests.

    obstore's threads do not exist in the fork, and an answer would never arrive.
    """
    if _asked_in.setdefault("process", os.getpid()) != os.getpid():
        raise UsageError(
            "a forked process cannot ask for objects where the one before the fork has",
            where=place,
            remedy="Start workers by spawn: DataLoader(..., multiprocessing_context='spawn')",
        )


_asked_in: dict[str, int] = {}
"""Id of the process that made the first request."""


def _check_bucket(place: Place, error: BaseException) -> None:
    if any(word in str(error) for word in _NO_BUCKET):
        raise _no_bucket(place) from error


def _no_bucket(place: Place) -> StoreError:
    elsewhere = {"az": "AZURE_STORAGE_ENDPOINT names another server than that of Azure"}
    other = elsewhere.get(str(place).split(":")[0], "AWS_ENDPOINT_URL names another server than that of AWS")
    return StoreError(
        f"there is no bucket {place.parts[1]}", where=place, remedy=f"Look at its name; {other}"
    )


def _refused(place: Place, error: BaseException) -> SkelError:
    scheme, text = str(place).split(":")[0], str(error)
    kind = type(error).__name__
    if any(word in text for word in _NO_BUCKET):
        return _no_bucket(place)
    keys = _KEYS.get(scheme, "Look at the address; a server that asks for a password is none that is read")
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or any(word in text for word in _DENIED):
        return StoreError("access is denied", where=place, remedy=keys)
    if kind == "PreconditionError":
        return StoreError(
            "was changed while it was being read", where=place, remedy="Run the same command again"
        )
    if any(word in text for word in _NO_KEYS):
        return StoreError("there are no credentials for it", where=place, remedy=keys)
    why = _reason(text)
    return StoreError(
        f"does not answer ({why})",
        where=place,
        remedy="Look at the address, the network and the settings of the server, and run the same command "
        "again",
    )


_LONGEST = 160


def _reason(text: str) -> str:
    """The informative part of an error of obstore: its first line, without addresses and counts."""
    first = text.splitlines()[0] if text else "unknown"
    for mark in ("Server returned non-2xx status code: ", "HTTP error: "):
        first = first.rpartition(mark)[2]
    return first[:_LONGEST].strip(" :.") or "unknown"
