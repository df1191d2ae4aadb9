"""Write the target of an export atomically: to a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas import StoreError, UsageError
from schemas.system import remedy
from skeltools import store
from skeltools.files import durable

NOTE = "export.json"
"""Name of the note in each folder of an export that consists of folders."""


def check(out: Path, source: Path, *, folder: bool, force: bool) -> None:
    """Refuse an existing target before any work is done.

    Raises UsageError for a target inside the store. Raises StoreError for an existing target without
    ``force``, and even with it unless the target is, as the format requires, a file, or an empty folder, an
    export or a store.
    """
    if out.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            "lies inside the store that is exported", where=out, remedy="Name another with --out"
        )
    if not out.exists() and not out.is_symlink():
        return
    if folder != out.is_dir():
        kind = "folder" if folder else "file"
        raise StoreError(f"is there already and no {kind}", where=out, remedy="Name another with --out")
    ours = not folder or store.is_store(out) or any(out.glob(f"*/{NOTE}"))
    if not ours and any(out.iterdir()):
        raise StoreError(
            "is a folder with other contents, and nothing but an export or a store is ever replaced",
            where=out,
            remedy="Name another with --out",
        )
    if ours and not force:
        raise StoreError(
            "is there already", where=out, remedy="--force replaces it; --out names another place"
        )


@contextmanager
def writing(out: Path, source: Path, *, folder: bool, force: bool) -> Iterator[Path]:
    """Yield a path to write to; on success it is renamed to ``out``, on any error it is removed.

    An existing target stays in place until then. Raises StoreError if the files cannot be written.
    """
    check(out, source, folder=folder, force=force)
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        check(out, source, folder=folder, force=force)  # another process may have written there by now
        (durable.sync_tree if folder else durable.sync)(partial)
        _rename(partial, out)
        durable.sync(out.absolute().parent)
    except OSError as error:
        why = f"cannot write the export ({error.strerror or error})"
        raise StoreError(why, where=out, remedy=remedy(error)) from error
    finally:
        _remove(partial)


def _rename(partial: Path, out: Path) -> None:
    """Rename a finished export; an existing folder is moved aside first, and moved back if that fails."""
    if not out.is_dir():
        os.replace(partial, out)
        return
    aside = out.with_name(f"{out.name}.replaced-{os.getpid()}")
    out.rename(aside)
    try:
        partial.rename(out)
    except BaseException:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
