"""Segments as files: a table, or JSON."""

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
"""Those of a table of labels of one's own recordings, and how sure the segment is."""


def check_suffix(path: Path) -> None:
    """Raises UsageError for anything but ``.csv`` and ``.json``."""
    if path.suffix.lower() not in (".csv", ".json"):
        raise UsageError(
            f"{path} is neither .csv nor .json", where="--out", remedy="Name a file such as segments.csv"
        )


def write(recordings: Sequence[Segmented], classes: Sequence[str], path: Path) -> None:
    """Complete or absent. Raises as ``check_suffix``."""
    check_suffix(path)
    text = as_csv(recordings, classes) if path.suffix.lower() == ".csv" else as_json(recordings, classes)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def as_csv(recordings: Sequence[Segmented], classes: Sequence[str]) -> str:
    """A line for each segment: recording, first frame and the one behind the last, class, confidence."""
    made = io.StringIO()
    table = csv.writer(made, lineterminator="\n")
    table.writerow(COLUMNS)
    for each in recordings:
        for one in each.segments:
            table.writerow((one.recording, one.start, one.stop, classes[one.label], f"{one.confidence:.6f}"))
    return made.getvalue()


def as_lines(recordings: Sequence[Segmented], classes: Sequence[str]) -> str:
    """A line for each segment, parted by tabs: recording, start, end, class, confidence."""
    rows = as_csv(recordings, classes).splitlines()[1:]
    return "".join("\t".join(row) + "\n" for row in csv.reader(rows))


def as_json(recordings: Sequence[Segmented], classes: Sequence[str]) -> str:
    """Recordings in their order, also those in which nothing was found."""
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
