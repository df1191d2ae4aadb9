"""Progress of a sweep: a note for each run, which is trusted while the run's files exist."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.locks import is_taken
from schemas.system import replacing
from trainer.sweeps.plan import Task, Words

FOLDER = ".sweep"
_LAST = Path("checkpoints", "last.pt")
"""Equal to ``trainer.checkpoint.LAST``, which is not imported because that would import torch."""


def done(out: Path, task: Task) -> tuple[Words, ...]:
    """The leading commands of a run that succeeded, as they were in the file at that time.

    Empty if the files that they write are gone, or if a run of an ensemble was evaluated after it.
    """
    noted = [tuple(words) for words in _noted(out, task)]
    if not _there(task):
        return ()
    commands = []
    for words in task.commands:
        if words not in noted or (words[0] == "evaluate" and not measured(task.folder)):
            break
        commands.append(words)
    return tuple(commands)


def left(out: Path, task: Task) -> tuple[Words, ...]:
    """The remaining commands: the first that is not done, and all after it."""
    return task.commands[len(done(out, task)) :]


def note(out: Path, task: Task, words: Words) -> None:
    """Record a command that succeeded; outdated records of the run are dropped."""
    with replacing(_file(out, task, "json")) as partial:
        partial.write_text(json.dumps({"done": [*done(out, task), words]}), encoding="utf-8")


@contextmanager
def claimed(out: Path, task: Task) -> Iterator[int | None]:
    """Hold the lock file of a run; yields None if another process works on the run.

    The commands inherit it: the run stays taken while one of them lives, whatever became of its sweep.
    """
    path = _file(out, task, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        yield None if is_taken(held) else held
    finally:
        os.close(held)


def _noted(out: Path, task: Task) -> list[list[str]]:
    """The recorded commands; unreadable records count as none: the commands run again, at no other cost."""
    try:
        return list(json.loads(_file(out, task, "json").read_text(encoding="utf-8"))["done"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _there(task: Task) -> bool:
    if not task.members:
        return (task.folder / _LAST).is_file()
    if not task.folder.is_file():
        return False
    made = task.folder.stat().st_mtime_ns
    results = [file for run in task.members for file in (run / "results").glob("*.json")]
    return all(file.stat().st_mtime_ns <= made for file in results)


def measured(run: Path) -> bool:
    """Whether a run has a result."""
    return any((run / "results").glob("*.json"))


def _file(out: Path, task: Task, kind: str) -> Path:
    return out / FOLDER / f"{task.name}.{kind}"
