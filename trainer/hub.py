"""Model repositories of Hugging Face by address, ``hf://user/name``, or ``hf://user/name@revision``.

``huggingface_hub`` (extra ``hub``) is imported when an address is met, and no earlier. It finds the user's
own access token, keeps what it has downloaded, and answers from there without a network.
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
"""A ``Path`` of an address has one slash where there were two."""

_KINDS = ("*.json", "*.md", "*.onnx", "*.safetensors", "*.yaml")
"""What a published folder holds; nothing else is downloaded."""

_Answer = TypeVar("_Answer")


def is_address(path: object) -> bool:
    """Whether it begins as an address of a repository does."""
    return str(path).startswith("hf:/")


def address(path: object) -> str:
    """Of an address that may have gone through a ``Path``; else the path as it is."""
    return re.sub("^hf:/+", PREFIX, str(path))


def parsed(path: object) -> tuple[str, str | None]:
    """``user/name`` and the revision, None for the newest. Raises UsageError for what is no address."""
    match = _ADDRESS.fullmatch(str(path))
    if match is None:
        raise UsageError(
            f"{address(path)} is no address of a model repository",
            remedy=f"Write it as {PREFIX}user/name, or {PREFIX}user/name@revision",
        )
    return match["name"], match["revision"]


def local(path: str | Path) -> Path:
    """The folder of a published model: a path as it is; of an address what is downloaded, or was before.

    Raises UsageError for a damaged address, SkelError without ``huggingface_hub``, for a repository that
    there is not or that may not be read, and without a network for one that was not downloaded before.
    """
    if not is_address(path):
        return Path(path)
    name, revision = parsed(path)
    library = _library()
    return Path(
        asked(lambda: library.snapshot_download(name, revision=revision, allow_patterns=[*_KINDS]), path)
    )


def asked(question: Callable[[], _Answer], where: object) -> _Answer:
    """The library's answer; its errors, those of its network layer among them, as one sentence."""
    try:
        return question()
    except Exception as error:  # of many kinds, most of them its own
        raise _refused(error, where) from error


def api() -> Any:
    """An ``HfApi``. Raises SkelError without the package."""
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
"""What the library raises -> what helps; of several kinds that an error is of, the first."""


def _refused(error: Exception, where: object) -> SkelError:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    remedy = next((text for kind, text in _REMEDIES.items() if kind in kinds), _OFFLINE)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    return SkelError(f"Hugging Face: {reason}", where=address(where), remedy=remedy)
