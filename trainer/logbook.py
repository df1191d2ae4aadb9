"""``metrics.jsonl``: one JSON object per line, truncated to the checkpoint when a run resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from schemas import CheckpointError, regular
from schemas.parsing import refusing

MOST = 64 * 2**20
"""Bytes of a log: of a hundred thousand lines and more."""
Record = dict[str, Any]
Mirror = Callable[[Record, int], None]
"""Receives every record and its global step; ``trainer.loggers`` has implementations."""


@dataclass
class Logbook:
    """An open log. Checkpoints record its ``position``; later lines are dropped on resume."""

    file: IO[bytes]
    mirrors: tuple[Mirror, ...] = ()

    @property
    def position(self) -> int:
        return self.file.tell()

    def write(self, record: Record, *, global_step: int) -> None:
        """Append a record as one line; numbers that JSON lacks (nan, inf) are written as null."""
        clean = {key: _finite(value) for key, value in record.items()}
        self.file.write(json.dumps(clean).encode() + b"\n")
        self.file.flush()
        for mirror in self.mirrors:
            mirror(clean, global_step)

    def __enter__(self) -> Logbook:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def open_logbook(path: Path, *, position: int = 0, mirrors: tuple[Mirror, ...] = ()) -> Logbook:
    """Open the log for writing at byte ``position`` and drop everything after it."""
    size = path.stat().st_size if path.exists() else 0
    if size < position:
        raise CheckpointError(
            f"the log has {size} bytes, the checkpoint was written after {position}",
            where=path,
            remedy="Restore the file, or start again with --force",
        )
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(position)
    file.seek(position)
    return Logbook(file, mirrors)


def content(path: Path) -> bytes:
    """The bytes of a log, whose lines may be broken. Raises OSError, and ValueError: no file, too large."""
    return regular.read(path, most=MOST, counted=True)


def read(path: Path) -> list[Record]:
    """All records of a log. Raises CheckpointError for a line that is not a record."""
    remedy = "Restore the file from a copy"
    with refusing(lambda why: CheckpointError(f"is no log of a run: {why}", where=path, remedy=remedy)):
        records = [regular.parse_json(line) for line in content(path).splitlines()]
        if odd := next((record for record in records if not isinstance(record, dict)), None):
            raise ValueError(f"a line holds {type(odd).__name__}")
        return records


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
