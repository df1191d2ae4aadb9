"""Open raw data that are an archive of another code base, not in the format of their data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from schemas import RawDataError, SkeletonSpec, UsageError, unknown
from skeltools import datasets, skeletons
from skeltools.datasets import Dataset
from skeltools.formats import FORMATS, own
from skeltools.formats.own import OnNote, Own
from skeltools.raw_items import Listing
from skeltools.readers import READERS

AXES = "as the archive holds them, taken as Kinect camera space in metres"


def check_source(source: str | None) -> None:
    """Raise UsageError, with the known formats, if ``source`` is not one of them."""
    if source is not None and source not in FORMATS:
        raise unknown("archive format", source, FORMATS)


def locate(raw: Path | None) -> Path:
    """The archive: ``raw``, else $SKELTOOLS_RAW, else ``./raw``. Raises UsageError if it does not exist."""
    archive = datasets.root_or_usual(raw)
    if not archive.exists():
        raise UsageError(
            "no such file or folder",
            where=archive,
            remedy="Name the archive with --raw; see `skeltools docs interchange`",
        )
    return archive


def open_archive(
    source: str,
    dataset: str,
    raw: Path | None,
    *,
    asked: dict[str, SkeletonSpec],
    name: str | None = None,
    classes: Path | str | Sequence[str] | None = None,
    on_note: OnNote | None = None,
) -> Own:
    """Open an archive of a data set, or of a user's own data (see ``own.open_archive`` for the options).

    Raises UsageError for incompatible options, and RawDataError for an archive that is not in the format
    ``source`` or not of the data set.
    """
    known = None if dataset == datasets.CUSTOM else datasets.choose(dataset)
    archive = locate(raw)
    one = FORMATS[source].ONE_CONVENTION
    if len(asked) > 1 and one:
        raise UsageError(
            f"a {source} archive holds one convention, but {len(asked)} are asked for",
            where=archive,
            remedy="Give --convention once",
        )
    if known is None:
        opened = own.open_archive(source, archive, asked=asked, name=name, classes=classes, on_note=on_note)
        _check_items(source, opened.archive, opened.listing)
        return opened
    check_options(dataset, source, name=name, classes=classes)
    spec = next(iter(asked.values()), None) or skeletons.load(known.convention)
    listing = READERS[source].discover(archive, **({"spec": spec} if one else {"specs": asked}))
    _check_items(source, archive, listing)
    _check_members(source, archive, listing, known)
    return Own(known, archive, listing, asked)


def check_options(dataset: str, source: str | None, *, name: object, classes: object) -> None:
    """Raise UsageError for a name or class names if the data set has its own."""
    for option, value in (("--name", name), ("--classes", classes)):
        if value is not None and (dataset != datasets.CUSTOM or source is None):
            raise UsageError(
                f"{option} is for archives of your own data",
                remedy="Use it with `skeltools convert custom --from FORMAT`; dataset.yaml has it for files",
            )


def _check_items(source: str, archive: Path, listing: Listing) -> None:
    """Raise RawDataError, with the most frequent reasons, if no sample of an archive can be read."""
    if listing.items:
        return
    counts = Counter(finding.problem for finding in listing.findings)
    reasons = ", ".join(f"{count} x {problem}" for problem, count in counts.most_common(3))
    example = f", e.g. {listing.findings[0].detail}" if listing.findings else ""
    raise RawDataError(
        f"no sample could be read ({reasons or 'it holds none'}{example})",
        where=archive,
        remedy=f"Is it an archive of {source}? `skeltools docs interchange` says what is read",
    )


def _check_members(source: str, archive: Path, listing: Listing, known: Dataset) -> None:
    """Raise RawDataError for samples of another data set, which would get this one's class names."""
    about = FORMATS[source].about(archive)
    remedy = f"Your own data go through `skeltools convert custom --from {source}`"
    named = about.note.dataset
    if named is not None and named not in datasets.NAMES:
        raise RawDataError(f"is an export of {named}, not {known.name}", where=archive, remedy=remedy)
    if listing.anonymous:
        if about.labels != known.num_classes:
            raise RawDataError(
                f"has {about.labels} classes, but {known.name} has {known.num_classes}, "
                "and no names say which samples these are",
                where=archive,
                remedy=remedy,
            )
    elif not any(known.accepts(item.id) for item in listing.items):
        raise RawDataError(
            f"{len(listing.items)} x not part of this data set: no sample is named as in {known.name}, "
            f"e.g. {listing.items[0].id}",
            where=archive,
            remedy=remedy,
        )
