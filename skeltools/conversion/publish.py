"""Make a store in a work folder beside its place and name it at the end, so it is complete or absent.

store.zarr.partial/
  lock             held by the process that writes
  plan.json        hash of all that the store will depend on; work resumes as long as it is the same
  shards/          what each shard has to read, where work is divided into shards (``shards``)
  parts-<hash>/    what was read, in parts (``chunks``)
  journal.json     files of arrays that are written (``assemble``)
  store/           the store being written
  complete/        the finished one, on its way to its name
  replaced/        the older store, where two folders cannot exchange their names in one step
  revision/        a store that is being added to (``revising``)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas import StoreError
from schemas.locks import locked
from schemas.places import ADDRESSES, Place, is_wrong_address
from schemas.system import remedy
from skeltools import store
from skeltools.conversion import upload
from skeltools.files import durable

_PLAN, _LOCK, _JOURNAL, _DONE = "plan.json", "lock", "journal.json", "done.json"
_STORE, _COMPLETE, _REPLACED, _REVISION = "store", "complete", "replaced", "revision"
_SHARDS = "shards"


def work_folder(out: Path) -> Path:
    """Folder in which a conversion to ``out`` keeps its work.

    >>> work_folder(Path("a/store.zarr")).as_posix()
    'a/store.zarr.partial'
    """
    home = upload.home(out)
    return home.with_name(f"{home.name}.partial")


def parts_folder(out: Path, plan: str) -> Path:
    """Folder of the parts of a plan."""
    return work_folder(out) / f"parts-{plan[:12]}"


def shards_folder(out: Path) -> Path:
    """Folder that records what each shard has to read."""
    return work_folder(out) / _SHARDS


def check_address(out: Path) -> None:
    """Raises StoreError for an address of a kind that there is not, which would become a folder here."""
    if is_wrong_address(out):
        raise StoreError("is no address of a store", where=out, remedy=ADDRESSES)


def check_target(out: Path, *, force: bool) -> None:
    """Refuse a target that is taken, before any work is done.

    Raises StoreError for an existing store without ``force``, for anything else that is not an empty folder,
    and for an address that cannot be written to or whose scheme is unknown.
    """
    if (place := Place(out)).is_address:
        upload.check_target(place, force=force)
        return
    check_address(out)
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


@dataclass(frozen=True)
class Work:
    """A work folder that this process holds."""

    folder: Path
    parts: Path
    made: Path
    """The store being written."""
    journal: Path
    resumed: bool
    """Whether an earlier run of the same plan left its work here."""

    @property
    def shards(self) -> Path:
        return self.folder / _SHARDS

    def is_worth_keeping(self) -> bool:
        return self.shards.is_dir() or any(self.parts.glob("*.json"))


@contextmanager
def working(
    out: Path, *, plan: str, fresh: bool = False, on_note: Callable[[str], None] | None = None
) -> Iterator[Work]:
    """Hold the work folder of ``out``, with what an earlier run of the same ``plan`` (a hash) left in it.

    Work of another plan is discarded, and so is any work if ``fresh``; ``on_note`` receives a message about
    it. On an error the folder stays for the next run, unless nothing in it is worth keeping. Raises
    StoreError if another process writes to ``out``, if the disk does not accept the files, or if the folder
    is not one of ours.
    """
    folder = work_folder(out)
    with _disk_errors(out, folder):
        _check_ours(folder)
        with locked(folder / _LOCK, what=out):
            _remove_removed(folder)
            recover(out)
            work = _begin(out, plan, fresh=fresh, on_note=on_note)
            try:
                yield work
            except BaseException:
                if not work.is_worth_keeping():
                    discard(folder)
                raise


@contextmanager
def _disk_errors(out: Path, done: Path | None = None) -> Iterator[None]:
    """Raise a StoreError, with advice on how to continue, for anything that the disk does not accept.

    ``done``: the folder with what is done, from which the same command goes on if it exists.
    """
    try:
        yield
    except OSError as error:
        advice = remedy(error)
        if done is not None and done.exists():
            advice = "What is done is kept: the same command goes on from there"
        why = error.strerror or str(error)
        raise StoreError(f"cannot write the store ({why})", where=out, remedy=advice) from error


def _check_ours(folder: Path) -> None:
    """Raise StoreError rather than remove what somebody else put where the work folder belongs."""
    known = {_PLAN, _LOCK, _JOURNAL, _DONE, _STORE, _COMPLETE, _REPLACED, _REVISION, _SHARDS}
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    strange = [name for name in names if name not in known and not name.startswith((".", "parts-"))]
    if strange or (folder.exists() and not folder.is_dir()):
        raise StoreError(
            "is no work folder of a conversion" + (f": it holds {sorted(strange)[0]}" if strange else ""),
            where=folder,
            remedy="Move it away, or name another place with --out",
        )


def _begin(out: Path, plan: str, *, fresh: bool, on_note: Callable[[str], None] | None) -> Work:
    folder = work_folder(out)
    old_plan = _recorded(folder / _PLAN, "plan")
    resumed = old_plan == plan and not fresh
    parts = parts_folder(out, plan)
    if not resumed:
        if on_note and old_plan and any(folder.glob("parts-*/*.json")):
            why = "as asked" if fresh else "the raw files, the options or skeltools have changed since"
            on_note(f"starting over: {folder} held an unfinished conversion ({why})")
        discard(folder, but=_LOCK)
        durable.write_text(folder / _PLAN, json.dumps({"plan": plan}))
    _bring_back(folder)
    parts.mkdir(exist_ok=True)
    return Work(folder, parts, folder / _STORE, folder / _JOURNAL, resumed)


def _recorded(file: Path, key: str) -> Any:
    """A value in a JSON file of the work folder; None if it cannot be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _bring_back(folder: Path) -> None:
    """Restore a finished store that did not get its name; an older one that was replaced is removed."""
    complete = folder / _COMPLETE
    if complete.exists():
        expected = _recorded(folder / _DONE, "sha256")
        if expected == _sum_of(complete) and not (folder / _STORE).exists():
            complete.rename(folder / _STORE)
        else:
            shutil.rmtree(complete)


def _sum_of(path: Path) -> str | None:
    try:
        return hashlib.sha256((path / "zarr.json").read_bytes()).hexdigest()
    except OSError:
        return None


def recover(out: Path) -> None:
    """Restore the name ``out`` where a kill came between the two steps of replacing it."""
    replaced = work_folder(out) / _REPLACED
    if not replaced.exists():
        return
    if out.exists():
        shutil.rmtree(replaced)
    else:
        replaced.rename(out)


def discard(folder: Path, *, but: str | None = None) -> None:
    """Remove a work folder, or all in it ``but`` one file; the plan goes first, so that no half is used."""
    store.finish_writes()
    (folder / _PLAN).unlink(missing_ok=True)
    if but is None:
        # It is renamed first, so that nothing of the next run, which may begin now, is removed with it.
        removed = folder.with_name(f".{folder.name}.removed-{os.getpid()}")
        try:
            folder.rename(removed)
        except (
            OSError
        ):  # Windows moves no folder in which a file is open: who holds the lock removes the rest
            with suppress(OSError):
                discard(folder, but=_LOCK)
            return
        with suppress(OSError):
            shutil.rmtree(removed)
        return
    for path in [path for path in folder.iterdir() if path.name != but]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove_removed(folder: Path) -> None:
    """Remove what killed runs had begun to remove."""
    for left in folder.parent.glob(f".{folder.name}.removed-*"):
        shutil.rmtree(left, ignore_errors=True)


def link_store(path: Path, folder: Path) -> Path:
    """Copy a store into a work folder as links: add and remove files in the copy, but change none."""
    copy = folder / _REVISION
    shutil.rmtree(copy, ignore_errors=True)
    durable.link_tree(path, copy)
    return copy


def publish(
    work: Work,
    out: Path,
    *,
    made: Path | None = None,
    force: bool,
    on_note: Callable[[str], None] | None = None,
) -> None:
    """Give the finished store its name, in one step where the system can, and remove the work folder.

    If ``out`` is an address the store is uploaded, and ``on_note`` receives a message about it.
    """
    made = made or work.made
    if (place := Place(out)).is_address:
        if on_note:
            size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
            on_note(f"sending {size / 1e6:.1f} MB to {place}")
        upload.send(made, place, force=force)
        discard(work.folder)
        upload.leave(place)
        return
    with _disk_errors(out, work.folder):
        durable.sync_tree(made)
        check_target(out, force=force)  # somebody may have written there in the meantime
        durable.write_text(work.folder / _DONE, json.dumps({"sha256": _sum_of(made)}))
        complete = work.folder / _COMPLETE
        made.rename(complete)
        _replace(complete, out, aside=work.folder / _REPLACED)
        discard(work.folder)


def _replace(complete: Path, out: Path, *, aside: Path) -> None:
    if not out.exists():
        complete.rename(out)
    elif not durable.exchange(complete, out):
        out.rename(aside)
        try:
            complete.rename(out)
        except BaseException:
            aside.rename(out)
            raise
    durable.sync(out.parent)


@contextmanager
def revising(path: Path) -> Iterator[Path]:
    """Yield a copy of a store to add to; at the end it replaces the store, on an error it is removed.

    The copy is made of links to the same files and needs no space: add and remove files in it, but change
    none. Readers see the old store or the new one. Raises StoreError as ``working`` does.
    """
    if (place := Place(path)).is_address:
        with _revising_there(place) as there:
            yield there
        return
    folder = work_folder(path)
    copy = folder / _REVISION
    _check_ours(folder)
    with _disk_errors(path, copy), locked(folder / _LOCK, what=path):
        _remove_removed(folder)
        recover(path)
        try:
            yield link_store(path, folder)
            durable.sync_tree(copy)
            _replace(copy, path, aside=folder / _REPLACED)
        finally:
            store.finish_writes()
            for left in (copy, folder / _REPLACED):
                if path.exists():
                    shutil.rmtree(left, ignore_errors=True)
            _remove_if_empty(folder)


@contextmanager
def _revising_there(place: Place) -> Iterator[Path]:
    """``revising`` for an address; the copy lacks the values of derived streams, which are not needed."""
    folder = work_folder(place)
    copy = folder / _REVISION
    _check_ours(folder)
    with _disk_errors(place, copy), locked(folder / _LOCK, what=place):
        try:
            opened = store.open_store(place)
            opened.received.bring_all(but=tuple(f"/{kind}" for kind in ("bone", "motion")))
            yield link_store(opened.folder, folder)
            upload.send_changes(copy, opened)
        finally:
            store.finish_writes()
            shutil.rmtree(copy, ignore_errors=True)
            _remove_if_empty(folder)
            upload.leave(place)


def _remove_if_empty(folder: Path) -> None:
    """Remove the folder unless it holds an unfinished conversion."""
    if {entry.name for entry in folder.iterdir()} <= {_LOCK}:
        discard(folder)


@contextmanager
def publishing(out: Path, *, force: bool) -> Iterator[Path]:
    """Yield a path to write to; on success it is synced and renamed to ``out``, on any error it is removed.

    For what is made in one go. An existing store keeps the name until then. Raises StoreError when the disk
    or the server does not accept the files.
    """
    home = upload.home(out)
    partial = home.with_name(f"{home.name}.partial-{os.getpid()}")
    aside = home.with_name(f"{home.name}.replaced-{os.getpid()}")
    try:
        with _disk_errors(out):
            partial.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            durable.sync_tree(partial)
            if (place := Place(out)).is_address:
                upload.send(partial, place, force=force)
                return
            check_target(out, force=force)  # somebody may have written there in the meantime
            _replace(partial, out, aside=aside)
    finally:
        store.finish_writes()
        for left in (partial, aside):
            shutil.rmtree(left, ignore_errors=True)
        upload.leave(out)
