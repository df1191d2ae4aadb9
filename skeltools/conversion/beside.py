"""Assign the MeTRAbs poses beside a data set's raw files to samples.

<raw>/metrabs/<convention>/<sample id>.npz       of one sample
<raw>/metrabs/<convention>/<raw file>.npz        of all samples that are cut from one recording, such as
                                                 the actions of a PKU-MMD video; cut in the same way
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from skeltools import datasets
from skeltools.datasets import Dataset, ntu, nwucla
from skeltools.metrabs import containers
from skeltools.raw_items import METRABS, Listing, RawItem, first_of_each, skipped
from skeltools.readers import READERS

WITHOUT_CLIP = "poses without a clip"
NATIVE = "poses of the native convention"

_FIELDS_OF = {"ntu": ntu.fields, "nwucla": nwucla.fields}
"""Reader -> parser of sample ids, for data sets in which poses without native skeletons are samples too."""

_FIELDS = ("label", "subject", "camera", "setup", "repetition")

_WHOLE = 2**40
"""A frame beyond the end of any recording."""


def discover(dataset: Dataset, roots: tuple[Path, ...], conventions: Iterable[str]) -> Listing:
    """List the poses in ``metrabs`` folders beside the raw data that ``find_roots`` found, by names only.

    ``conventions`` are those of ``metrabs.discover``. A user's own clips may lie in subfolders, and so may
    their poses.
    """
    homes = [home for home in map(datasets.home, roots) if dataset.metrabs and home.is_dir()]
    options: dict[str, Any] = {"nested": True} if dataset.reader == datasets.CUSTOM else {}
    read, known = READERS[METRABS].discover, set(conventions)
    listings: list[Listing] = [read(home, conventions=known, **options) for home in homes]
    if len(listings) == 1:
        return listings[0]
    items, twice = first_of_each([item for listing in listings for item in listing.items], roots)
    return Listing(items, (*(row for listing in listings for row in listing.findings), *twice))


def align(
    dataset: Dataset,
    roots: tuple[Path, ...],
    native: Iterable[RawItem],
    estimated: Listing,
    *,
    ids: Iterable[str] = (),
) -> Listing:
    """List estimated poses under the ids of their samples, with the fields of the native items.

    ``ids``: samples that exist in addition to those of ``native``. Poses of no sample, and poses that claim
    to be the native skeletons, are findings.
    """
    if dataset.reader == "ntu":
        return estimated
    by_id = {item.id: item for item in native}
    by_file = _by_file(dataset, tuple(map(datasets.home, roots)), by_id.values())
    own: list[RawItem] = []
    cut: list[RawItem] = []
    findings = list(estimated.findings)
    claimed = sorted({item.convention for item in estimated.items if item.convention == dataset.convention})
    findings += [skipped(f"{METRABS}/{name}", NATIVE, "the raw files have it already") for name in claimed]
    for item in (item for item in estimated.items if item.convention != dataset.convention):
        fields_of = _FIELDS_OF.get(dataset.reader)
        if (first := by_id.get(item.id)) is not None:
            own.append(_of(item, first))
        elif item.id in ids or (fields_of is not None and fields_of(item.id) is not None):
            own.append(item)
        elif item.id in by_file:
            cut += [_cut(item, clip, by_file[item.id], dataset.rate) for clip in by_file[item.id]]
        else:
            findings.append(skipped(f"{item.convention}/{item.file}", WITHOUT_CLIP, f"'{item.id}'"))
    there = {(item.id, item.convention) for item in own}
    items, twice = first_of_each([*own, *(item for item in cut if (item.id, item.convention) not in there)])
    return replace(estimated, items=items, findings=(*findings, *twice))


def _by_file(
    dataset: Dataset, homes: tuple[Path, ...], native: Iterable[RawItem]
) -> dict[str, list[RawItem]]:
    """Name of a raw file, without suffix -> its samples.

    A file of several clips that are not windows of one recording is left out.
    """
    samples: dict[str, list[RawItem]] = {}
    for item in native:
        place = Path(item.member or item.path)
        name = place.stem
        if dataset.reader == datasets.CUSTOM:
            place = Path(item.path)
            home = next((home for home in homes if place.is_relative_to(home)), place.parent)
            name = place.relative_to(home).with_suffix("").as_posix()
        samples.setdefault(name, []).append(item)
    return {name: clips for name, clips in samples.items() if len(clips) == 1 or all(map(_window, clips))}


def _window(item: RawItem) -> tuple[int, int | None] | None:
    """First frame and end within the recording, None being its own end; None if it has its own file."""
    details = dict(item.details)
    return (details["start"], details.get("end")) if "start" in details else None


def _of(item: RawItem, native: RawItem) -> RawItem:
    """Give estimated poses the id of a native clip and the fields that discovery learnt about it."""
    return replace(item, id=native.id, details=tuple(pair for pair in native.details if pair[0] in _FIELDS))


def _cut(item: RawItem, native: RawItem, clips: list[RawItem], rate: float | None) -> RawItem:
    """Select the frames of the native clip from the poses of a recording."""
    made, window = _of(item, native), _window(native)
    if window is None:
        return made
    last = max(end or start for start, end in filter(None, map(_window, clips)))
    end = _WHOLE if window[1] is None else window[1]
    values = (window[0], end, last, round(1000 * (rate or 0)))
    return replace(made, details=(*made.details, *zip(containers.WINDOW, values, strict=True)))
