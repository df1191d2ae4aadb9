"""A store written from clips that are in memory already."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from schemas import SkeletonSpec, UsageError
from skeltools import skeletons
from skeltools.conversion import Summary, convert
from skeltools.custom.settings import FIELDS, FILE
from skeltools.sequence import UNKNOWN, SkeletonSequence

_MOST_BODIES = 8  # of a data set of one's own, as custom/settings.py has it


def write(
    sequences: Iterable[SkeletonSequence],
    path: str | Path,
    *,
    convention: str | SkeletonSpec | None = None,
    name: str = "own",
    classes: Iterable[str] | None = None,
    splits: Mapping[str, Mapping[str, Iterable[str]]] | None = None,
    recipe: str = "default",
    frames: tuple[int, ...] = (50,),
    force: bool = False,
) -> Summary:
    """Write clips of one convention to a new store at ``path``, as ``skeltools convert custom`` would.

    ``convention``: that of the clips, which must be given where it does not ship with the package. ``name``:
    of the data set. ``classes``: names in the order of the labels (default: ``0``, ``1``, ...). ``splits``:
    name -> ``{"train": ids, "test": ids}``, without ``test`` the other clips. ``recipe`` and ``frames`` make
    the joint streams. ``force`` replaces a store at ``path`` once the new one is complete.

    The clips go through files in a temporary folder, so that they meet the same checks as files do; what is
    wrong with one is a row of the findings. Raises UsageError for clips that cannot be written, ConfigError
    for names that do not fit, StoreError for a place that is taken.
    """
    with tempfile.TemporaryDirectory(prefix="skeltools-") as temporary:
        folder = Path(temporary) / name  # which the store records as its source
        folder.mkdir()
        rows: list[SkeletonSequence] = []
        for clip in sequences:
            _check(clip, rows)
            file = folder / f"{clip.id}.npy"
            if file.exists():
                raise UsageError(f"two clips have the id {clip.id}")
            np.save(file, np.where(clip.present[:, :, None, None], clip.joints, np.float32(np.nan)))
            rows.append(_without_joints(clip))
        if not rows:
            raise UsageError("there is no clip to write")
        settings = {
            "name": name,
            "convention": _convention(convention, rows[0].convention, folder),
            "files": "*.npy",
            "layout": "T M V C",
            "axes": {"x": "left", "y": "up", "z": "forward"},
            "units": "m",
            "missing": "nan",
            "bodies": min(max(clip.bodies for clip in rows), _MOST_BODIES),
            **_labels(rows, list(classes) if classes is not None else None, folder),
            "splits": _splits(splits or {}, folder),
        }
        (folder / FILE).write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        return convert("custom", raw=folder, out=Path(path), recipe=recipe, frames=frames, force=force)


def _check(clip: SkeletonSequence, before: list[SkeletonSequence]) -> None:
    if not clip.id or clip.id != Path(clip.id).name or not clip.id.isprintable():
        raise UsageError(f"'{clip.id}' cannot be the id of a clip", remedy="Use letters, digits, - and _")
    if before and clip.convention != before[0].convention:
        raise UsageError(
            f"{clip.id} is in {clip.convention}, {before[0].id} in {before[0].convention}",
            remedy="Write a store for each convention",
        )


def _without_joints(clip: SkeletonSequence) -> SkeletonSequence:
    """What has to be remembered of a clip that is written."""
    empty = np.zeros((1, clip.bodies))
    return SkeletonSequence(
        clip.id,
        clip.convention,
        np.zeros((1, clip.bodies, 1, 3), np.float32),
        empty.astype(bool),
        empty.astype(np.int8),
        clip.body_ids,
        label=clip.label,
        **{field: getattr(clip, field) for field in FIELDS},
    )


def _convention(given: str | SkeletonSpec | None, name: str, folder: Path) -> str:
    """What ``dataset.yaml`` says: a name, or a file in the folder."""
    if given is None:
        return name
    spec = skeletons.load(given) if isinstance(given, str) else given
    if spec.name != name:
        raise UsageError(f"the clips are in {name}, the convention given is {spec.name}")
    if name in skeletons.names():
        return name
    (folder / "convention.json").write_text(spec.model_dump_json(), encoding="utf-8")
    return "convention.json"


def _labels(rows: list[SkeletonSequence], classes: list[str] | None, folder: Path) -> dict[str, object]:
    """Keys of ``dataset.yaml`` about labels, with the table beside it."""
    labelled = [clip.label for clip in rows if clip.label != UNKNOWN]
    if labelled and len(labelled) < len(rows):
        raise UsageError(
            f"{len(rows) - len(labelled)} of {len(rows)} clips have no label",
            remedy="Label all clips or none",
        )
    highest = max(labelled, default=-1)
    names = classes if classes is not None else [str(label) for label in range(highest + 1)]
    if highest >= len(names) or min(labelled, default=0) < 0:
        raise UsageError(f"labels from {min(labelled)} to {highest}, but {len(names)} classes")
    known = [field for field in FIELDS if any(getattr(clip, field) != UNKNOWN for clip in rows)]
    columns = ["id", *(["label"] if labelled else []), *known]
    if len(columns) == 1:
        return {}
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for clip in rows:
            values = [getattr(clip, field) for field in known]
            told = ["" if value == UNKNOWN else value for value in values]
            table.writerow([clip.id, *([names[clip.label]] if labelled else []), *told])
    return {"labels": "labels.csv", **({"classes": names} if labelled else {})}


def _splits(splits: Mapping[str, Mapping[str, Iterable[str]]], folder: Path) -> dict[str, dict[str, object]]:
    written: dict[str, dict[str, object]] = {}
    for split, halves in splits.items():
        odd = sorted(set(halves) - {"train", "test"})
        if odd or "train" not in halves:
            raise UsageError(f"split {split} needs train and may have test, found {', '.join(halves)}")
        for half, ids in halves.items():
            file = f"{len(written)}-{half}.txt"
            (folder / file).write_text("".join(f"{id}\n" for id in ids), encoding="utf-8")
            written.setdefault(split, {})[half] = {"list": file}
    return written
