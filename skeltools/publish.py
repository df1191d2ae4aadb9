"""A store is complete or absent: it is written beside its final name, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas import StoreError
from skeltools import store


def check_target(out: Path, *, force: bool) -> None:
    """Refuse a target that is taken, before any work is done.

    Raises StoreError: an existing store without ``force``; anything else that is no empty folder, always.
    """
    if not out.exists() and not out.is_symlink():
        return
    if store.is_store(out):
        if not force:
            raise StoreError(
                "there is a store already", where=out, remedy="--force replaces it; --out names another place"
            )
    elif not out.is_dir() or any(out.iterdir()):
        what = "a folder with other contents" if out.is_dir() else "no folder"
        raise StoreError(
            f"is {what}, and nothing but a store is ever replaced",
            where=out,
            remedy="Name another with --out",
        )


@contextmanager
def publishing(out: Path, *, force: bool) -> Iterator[Path]:
    """Yield a path to write to; on success it gets the name ``out``, on any error it is removed.

    A store that has the name keeps it until then. Raises StoreError when the disk does not take the files.
    """
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        check_target(out, force=force)  # somebody may have written there in the meantime
        _rename(partial, out)
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write the store ({why})", where=out) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rename(partial: Path, out: Path) -> None:
    """Move a finished store to its name. An older one is moved aside first and back if that fails."""
    if not out.exists():
        partial.rename(out)
        return
    aside = out.with_name(f"{out.name}.replaced-{os.getpid()}")
    out.rename(aside)
    try:
        partial.rename(out)
    except BaseException:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)
