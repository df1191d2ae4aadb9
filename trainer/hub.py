"""Hugging Face model repositories by address: ``hf://user/name`` or ``hf://user/name@revision``.

``huggingface_hub`` (extra ``hub``) is imported only when an address is used. It finds the user's access token
and caches downloads, from which it also works offline.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from schemas import SkelError, UsageError

PREFIX = "hf://"
_ADDRESS = re.compile(r"hf:/{1,2}(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
"""One slash is accepted too: a ``Path`` collapses the two of an address."""

_KINDS = ("*.json", "*.md", "*.onnx", "*.safetensors", "*.yaml")
"""Files that a published folder holds; nothing else is downloaded."""

_Answer = TypeVar("_Answer")


def is_address(path: object) -> bool:
    """Whether ``path`` begins like the address of a repository."""
    return str(path).startswith("hf:/")


def address(path: object) -> str:
    """Restore an address that may have passed through a ``Path``; any other path is returned as it is."""
    return re.sub("^hf:/+", PREFIX, str(path))


def parsed(path: object) -> tuple[str, str | None]:
    """Split an address into ``user/name`` and revision, None for the newest.

    Raises UsageError for anything that is not an address.
    """
    match = _ADDRESS.fullmatch(str(path))
    if match is None:
        raise UsageError(
            f"{address(path)} is no address of a model repository",
            remedy=f"Write it as {PREFIX}user/name, or {PREFIX}user/name@revision",
        )
    return match["name"], match["revision"]


def local(path: str | Path) -> Path:
    """The folder of a published model: a path as it is; for an address, the download or its cached copy.

    Raises UsageError for a malformed address. Raises SkelError without ``huggingface_hub``, for a repository
    that does not exist or may not be read, and without a network for one that has not been downloaded before.
    """
    if not is_address(path):
        return Path(path)
    name, revision = parsed(path)
    library = _library()
    return Path(
        asked(lambda: library.snapshot_download(name, revision=revision, allow_patterns=[*_KINDS]), path)
    )


def asked(question: Callable[[], _Answer], where: object) -> _Answer:
    """Call ``question``; raise errors of the library and its network layer as a one-sentence SkelError."""
    try:
        return question()
    except Exception as error:  # of many kinds, most of them its own
        raise _refused(error, where) from error


def api() -> Any:
    """An ``HfApi``. Raises SkelError when the package is not installed."""
    return _library().HfApi()


def _library() -> Any:
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        raise SkelError(
            f"huggingface_hub is not installed, and {PREFIX} needs it",
            remedy="In the clone: pip install '.[hub]'; or name a folder",
        ) from error


_OFFLINE = "Is there a network? Name a repository that was downloaded before, or a folder"
_WRONG = "Look at its name and revision; a private one needs `hf auth login`"
_REMEDIES = {
    "GatedRepoError": "Ask its owners for access, and log in with `hf auth login`",
    "LocalEntryNotFoundError": _OFFLINE,
    "EntryNotFoundError": _WRONG,
    "RepositoryNotFoundError": _WRONG,
    "RevisionNotFoundError": _WRONG,
    "HFValidationError": "Write it as hf://user/name",
}
"""Name of the library's error class -> remedy; the first class in the error's MRO that has one counts."""


def _refused(error: Exception, where: object) -> SkelError:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    remedy = next((text for kind, text in _REMEDIES.items() if kind in kinds), _OFFLINE)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    return SkelError(f"Hugging Face: {reason}", where=address(where), remedy=remedy)
