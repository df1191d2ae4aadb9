"""Data of a store for the viewer's page: samples as columns, a sample as a scene, poses, findings.

All results can be serialised to JSON. The store is read on demand, one sample at a time, and only its columns
stay in memory. ``browsed`` serves the same data to a browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, UnknownSampleError, UsageError
from skeltools import store
from skeltools.opened import Clip, OpenedStore
from skeltools.pictures import scene
from skeltools.pictures.scene import Kind, Track
from skeltools.sequence import UNKNOWN

FIELDS = ("subject", "camera", "setup", "repetition")

MOST_FINDINGS = 1000
"""Most findings in one answer about all samples."""

MOST_NUMBERS = 6_000_000
"""Most coordinates of a scene in one answer, 12 MB: 40,000 frames of two people with 25 joints. For a longer
recording, the first such stretch or the requested one is sent."""


class Listing:
    """A store as presented to the page."""

    def __init__(self, path: str | Path) -> None:
        """Open the store. Raises StoreError if it is absent, not a store, or damaged."""
        self._held = store.open_store(path)
        self.opened = OpenedStore(self._held)

    def store(self) -> dict[str, Any]:
        """A summary of the store."""
        manifest = self.opened.manifest
        return {
            "format": 1,
            "name": self.opened.path.name,
            "dataset": manifest.dataset,
            "synthetic": manifest.synthetic,
            "samples": manifest.samples,
            "conventions": [
                {
                    "name": name,
                    "joints": self.opened.spec(name).num_joints,
                    "coordinates": info.coordinates,
                    "missing": len(info.missing),
                }
                for name, info in manifest.conventions.items()
            ],
            "classes": list(manifest.classes),
            "splits": list(manifest.protocols),
            "recipe": manifest.recipe.label,
            "streams": [_stream(path) for path in manifest.arrays if path.startswith("streams/")],
            "findings": manifest.findings,
            "tabs": [],
        }

    def rows(self, first: int = 0, count: int | None = None) -> dict[str, Any]:
        """Columns of samples ``first`` to ``first + count - 1``, in the store's order.

        An unknown label is -1, any other unknown number None; a column without any known number is None.
        """
        part = slice(first, None if count is None else first + count)
        ids = self.opened.ids[part]
        return {
            "from": first,
            "count": len(ids),
            "total": len(self.opened),
            "id": list(ids),
            "label": self.opened.labels[part].tolist(),
            **{name: _known(self._column(name)[part]) for name in FIELDS},
            **{name: self._column(name)[part].tolist() for name in ("frames", "bodies")},
            "findings": self._counts[part].tolist(),
            "split": {name: values[part].tolist() for name, values in self.opened.splits.items()},
        }

    def rows_json(self, first: int = 0, count: int | None = None) -> bytes:
        """``rows`` as JSON; the JSON of all samples is cached."""
        whole = (first, count) == (0, None)
        return self._all_rows if whole else json.dumps(self.rows(first, count)).encode()

    @cached_property
    def _all_rows(self) -> bytes:
        return json.dumps(self.rows(), separators=(",", ":")).encode()

    def sample(
        self,
        id: str,
        conventions: Sequence[str] = (),
        kind: Kind = "joint",
        first: int = 0,
        count: int | None = None,
    ) -> dict[str, Any]:
        """A scene of the sample, its row and the conventions that contain it.

        The scene has ``count`` frames from ``first`` on (default: as many as fit in one answer). If these are
        not all frames, ``window`` describes them; frame labels then count from its start, while findings keep
        the recording's frame numbers.

        Raises UnknownSampleError for an id that is not in the store, and UsageError for unknown conventions
        or if none of the requested ones has the sample.
        """
        row = self.row(id)
        held = self._holding(row)
        asked = [self.opened.spec(name).name for name in conventions] or held[:1]
        chosen = [name for name in dict.fromkeys(asked) if name in held]
        if not chosen:
            raise UsageError(f"{id} is not in {', '.join(asked)}", remedy=f"It is in {', '.join(held)}")
        clips = [self.opened.clip(row, name) for name in chosen]
        whole = max(len(clip.joints) for clip in clips)
        stop = min(whole, first + (_most_frames(clips) if count is None else count))
        shown = max(0, stop - first)
        picture = scene.of_clips(
            [_part(clip, first, stop) for clip in clips],
            kind,
            findings=self._findings.get(id, ()),
            classes=self.opened.classes,
        )
        return {
            **scene.to_json(picture),
            "row": row,
            "conventions": held,
            **({"window": {"from": first, "count": shown, "of": whole}} if shown < whole else {}),
        }

    def row(self, id: str) -> int:
        """The row of a sample. Raises UnknownSampleError for an id that is not in the store."""
        if id not in self._rows:
            raise UnknownSampleError(
                f"there is no sample '{id}'", where=self.opened.path.name, remedy="Choose one of the list"
            )
        return self._rows[id]

    def poses(self, rows: Sequence[int]) -> dict[str, Any]:
        """The middle frame of each row in the first convention, as a track with one frame per row.

        Raises UsageError for a row out of range.
        """
        if rows and not 0 <= min(rows) <= max(rows) < len(self.opened):
            raise UsageError("rows count from 0 to one less than the samples", where=self.opened.path.name)
        spec = self.opened.spec()
        offsets, at = self._offsets(spec.name), np.asarray(rows, dtype=np.int64)
        frames, there = (offsets[at] + offsets[at + 1]) // 2, offsets[at] < offsets[at + 1]
        held: dict[str, Any] = {
            part: self._picked(path, frames, there)
            for part in ("joints", "present", "unseen")
            if (path := f"sequences/{spec.name}/{part}") in self.opened.manifest.arrays
        }
        flat = self.opened.manifest.conventions[spec.name].coordinates
        track = Track(spec.name, spec, **held, coordinates=flat)
        return {"rows": list(rows), "track": scene.track_json(track)}

    def _picked(self, path: str, frames: NDArray[np.int64], there: NDArray[np.bool_]) -> NDArray[Any]:
        """The given frames of an array; zero for missing samples."""
        array = store.array(self._held, path)
        values = np.zeros((len(frames), *array.shape[1:]), dtype=array.dtype)
        values[there] = store.read_at(self._held, path, frames[there])
        return values

    def findings(self, id: str | None = None) -> dict[str, Any]:
        """The findings of a sample, or the first ``MOST_FINDINGS`` of all."""
        rows = self.opened.findings[:MOST_FINDINGS] if id is None else self._findings.get(id, ())
        return {"findings": [each.model_dump() for each in rows]}

    def _column(self, name: str) -> NDArray[Any]:
        return store.read_column(self._held, f"samples/{name}")

    def _offsets(self, convention: str) -> NDArray[np.int64]:
        return store.read_column(self._held, f"sequences/{convention}/offsets").astype(np.int64)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.opened.ids)}

    @cached_property
    def _findings(self) -> dict[str, list[Finding]]:
        """Sample id -> its findings, matched by the names in them."""
        by_id: dict[str, list[Finding]] = {}
        for each in self.opened.findings:
            for id in dict.fromkeys(name for name in _names(each) if name in self._rows):
                by_id.setdefault(id, []).append(each)
        return by_id

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """[N]: number of findings for each sample."""
        counts = np.zeros(len(self.opened), dtype=np.int64)
        for id, rows in self._findings.items():
            counts[self._rows[id]] = len(rows)
        return counts

    def _holding(self, row: int) -> list[str]:
        """The conventions that contain a sample."""
        offsets = {name: self._offsets(name) for name in self.opened.conventions}
        return [name for name, each in offsets.items() if each[row] < each[row + 1]]


def _stream(path: str) -> str:
    """A stream in words.

    >>> _stream("streams/kinectv2_25/t50/joint")
    'joint, 50 frames, kinectv2_25'
    """
    _, convention, frames, kind = path.split("/")
    return f"{kind}, {frames[1:]} frames, {convention}"


def _known(values: NDArray[Any]) -> list[int | None] | None:
    """The values, None where unknown; a single None if all are unknown."""
    known = values != UNKNOWN
    if known.all():
        return values.tolist()
    return [value if value != UNKNOWN else None for value in values.tolist()] if known.any() else None


def _names(finding: Finding) -> Iterator[str]:
    """Possible ids of a finding's sample: its file, with or without folders and suffixes, its place (in an
    archive), and each of these after the name of its part (in a merged store)."""
    parts = [each for each in re.split(r"/|::", finding.file) if each]
    for name in (finding.file, *parts, finding.place):
        while True:
            yield name
            yield f"{parts[0]}-{name}" if parts else name
            shorter, dot, _ = name.rpartition(".")
            if not dot:
                break
            name = shorter


def _part(clip: Clip, first: int, stop: int) -> Clip:
    """Frames ``first`` to ``stop - 1``."""
    arrays = ("joints", "present", "order", "frame_labels", "unseen", "score")
    held = {name: getattr(clip, name) for name in arrays}
    return replace(clip, **{name: each[first:stop] for name, each in held.items() if each is not None})


def _most_frames(clips: Iterable[Clip]) -> int:
    numbers = sum(clip.joints[0].size for clip in clips if len(clip.joints))
    return max(1, MOST_NUMBERS // max(1, numbers))
