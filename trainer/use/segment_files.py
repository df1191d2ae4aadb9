"""Segments as files: a CSV table, or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas import UsageError
from schemas.system import replacing
from trainer.use.segment import Segmented

COLUMNS = ("file", "start", "end", "label", "confidence")
"""The columns of a label table for custom recordings, and the confidence of the segment."""


def check_suffix(path: Path) -> None:
    """Raises UsageError for anything but ``.csv`` and ``.json``."""
    if path.suffix.lower() not in (".csv", ".json"):
        raise UsageError(
            f"{path} is neither .csv nor .json", where="--out", remedy="Name a file such as segments.csv"
        )


def write(recordings: Sequence[Segmented], classes: Sequence[str], path: Path) -> None:
    """Write the file atomically; raises as ``check_suffix`` does."""
    check_suffix(path)
    text = as_csv(recordings, classes) if path.suffix.lower() == ".csv" else as_json(recordings, classes)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def as_csv(recordings: Sequence[Segmented], classes: Sequence[str]) -> str:
    """A line per segment: recording, first frame, frame after the last, class, confidence."""
    made = io.StringIO()
    table = csv.writer(made, lineterminator="\n")
    table.writerow(COLUMNS)
    for each in recordings:
        for one in each.segments:
            table.writerow((one.recording, one.start, one.stop, classes[one.label], f"{one.confidence:.6f}"))
    return made.getvalue()


def as_lines(recordings: Sequence[Segmented], classes: Sequence[str]) -> str:
    """A tab-separated line per segment: recording, start, end, class, confidence."""
    rows = as_csv(recordings, classes).splitlines()[1:]
    return "".join("\t".join(row) + "\n" for row in csv.reader(rows))


def as_json(recordings: Sequence[Segmented], classes: Sequence[str]) -> str:
    """All recordings in order, including those without segments."""
    return json.dumps([_record(each, classes) for each in recordings], indent=2, ensure_ascii=False) + "\n"


def _record(recording: Segmented, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "id": recording.id,
        "frames": len(recording.labels),
        "segments": [
            {
                "start": one.start,
                "end": one.stop,
                "label": classes[one.label],
                "confidence": round(one.confidence, 6),
            }
            for one in recording.segments
        ],
    }
