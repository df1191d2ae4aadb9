"""Write a store from clips in memory."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Length, SkelError, SkeletonSpec, UsageError, checks_arguments
from schemas.places import Place
from schemas.system import remedy
from skeltools import skeletons
from skeltools.clips import Clips, each
from skeltools.conversion import Summary, convert, publish, upload
from skeltools.custom.settings import FIELDS, FILE
from skeltools.sequence import UNKNOWN, SkeletonSequence, pose_array

_MOST_BODIES = 8  # for a user's own data, as in custom/settings.py
_NO_MORE: Any = object()
_LARGEST = 2**15 - 1  # for labels and fields, as in custom/tables.py
_IDS = "Use printable text without / and \\ that begins with no . or #, without outer spaces, up to 200 bytes"
_LONGEST_ID = 200  # bytes: ids temporarily name files, whose limit is 255


@dataclass(frozen=True)
class _Row:
    """What is remembered of a clip once its joints are written."""

    id: str
    label: int | str | None
    fields: Mapping[str, int]
    bodies: int


@checks_arguments
def write(
    clips: Clips,
    path: str | Path,
    *,
    ids: Sequence[str] | None = None,
    labels: Any = None,
    convention: str | Path | SkeletonSpec | None = None,
    classes: Sequence[str] | None = None,
    splits: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    name: str = "own",
    axes: tuple[str, str, str] = ("left", "up", "forward"),
    units: str = "m",
    recipe: str | Path = "default",
    frames: Sequence[Length] = (50,),
    force: bool = False,
) -> Summary:
    """Write clips of one convention to a new store at ``path``, as ``skeltools convert custom`` would.

    ``clips``: clips of a store, SkeletonSequence objects, or arrays [T, M, V, 3] or [T, V, 3] whose absent
    bodies are NaN or zero; the keys of a mapping are ids. ``ids`` and ``labels``, one for each clip in their
    order, are for arrays; the default ids are clip0000, clip0001, ... Labels are class numbers from 0 or
    class names; None means no label. ``classes``: names in the order of the numbers (default: the names
    sorted, or ``0``, ``1``, ...). ``convention``: a name or file, required for arrays and for sequences whose
    convention does not ship with the package. ``splits``: name -> ``{"train": ids, "test": ids}``; without
    ``test``, the other clips are the test half. ``name``: name of the data set. ``axes`` and ``units``, for
    arrays: the directions of x, y and z as seen from the sensor, and m, cm or mm. ``recipe`` and ``frames``
    define the joint streams. ``force`` replaces a store at ``path`` once the new one is complete.

    The clips pass through files in a temporary folder beside the store, so they undergo the same checks as
    files do; a problem with a clip is a row of the findings. Raises UsageError for clips that cannot be
    written, ConfigError for names that do not fit, StoreError if ``path`` is taken.

        >>> import numpy as np, skeltools
        >>> walk, sit = np.random.default_rng(0).normal(size=(2, 60, 17, 3))
        >>> arrays = {"walk1": walk, "sit1": sit}
        >>> summary = skeltools.write(arrays, "own.zarr", labels=["walk", "sit"], convention="coco_17")
        >>> skeltools.open("own.zarr")["sit1"].class_name
        'sit'
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_\-]*", name):
        raise UsageError(f"'{name}' is no name for a data set", remedy="Use small letters, digits, - and _")
    out = Place(path)
    publish.check_address(out)
    home = upload.home(out)
    spec = None if convention is None else skeletons.skeleton(convention)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.clips-", dir=home.parent) as temporary:
            folder = Path(temporary) / name  # the store records this name as its source
            folder.mkdir()
            rows, plain, known = _write_clips(clips, folder, ids=ids, labels=labels, spec=spec)
            settings = {
                "name": name,
                "convention": _convention(spec, known, folder),
                "files": "*.npy",
                "layout": "T M V C",
                "axes": dict(zip("xyz", axes, strict=True)),
                "units": units,
                "missing": "either" if plain else "nan",
                "never_seen": "keep",
                "bodies": min(max(row.bodies for row in rows), _MOST_BODIES),
                **_labels(rows, classes, folder),
                "splits": _splits(splits or {}, folder),
            }
            if not plain and (axes, units) != (("left", "up", "forward"), "m"):
                raise UsageError("axes and units are those of arrays; clips are in metres already")
            (folder / FILE).write_text(
                json.dumps(settings, ensure_ascii=False), encoding="utf-8"
            )  # JSON is YAML
            return _converted(folder, out, recipe=str(recipe), frames=frames, force=force)
    except OSError as error:
        why = f"cannot write the store ({error.strerror or error})"
        raise SkelError(why, where=out, remedy=remedy(error)) from error
    finally:
        upload.leave(out)


def _converted(folder: Path, out: Path, *, recipe: str, frames: Sequence[int], force: bool) -> Summary:
    """Run ``convert`` and hide the temporary folder in its errors."""
    try:
        summary = convert("custom", raw=folder, out=out, recipe=recipe, frames=frames, force=force)
    except SkelError as error:
        shown = {str(folder / FILE): "skeltools.write", f"{folder}/": "", str(folder): "the clips"}
        for attribute in ("message", "where", "remedy"):
            text = getattr(error, attribute)
            for path, name in shown.items():
                text = text.replace(path, name) if text else text
            setattr(error, attribute, text)
        raise
    lost = [finding for finding in summary.findings if finding.action == "skipped"]
    warnings = tuple(f"{row.file.removesuffix('.npy')} is not in the store: {row.detail}" for row in lost)
    return replace(summary, warnings=(*summary.warnings, *warnings))


def _write_clips(
    clips: Clips, folder: Path, *, ids: Sequence[str] | None, labels: Any, spec: SkeletonSpec | None
) -> tuple[list[_Row], bool, str]:
    """Write a file for each clip; returns the rows, whether any clip is a plain array, and the convention."""
    rows: list[_Row] = []
    plain, known = False, None if spec is None else spec.name
    named, given_labels = _given("ids", ids), _given("labels", labels)
    for number, (id, clip) in enumerate(each(clips)):
        id = next(named, None) if ids is not None else id if id is not None else f"clip{number:04}"
        label = next(given_labels, _NO_MORE if labels is not None else None)
        if id is None or label is _NO_MORE:
            raise UsageError(f"fewer {'ids' if id is None else 'labels'} than clips: {number}")
        _check_id(id, folder)
        name: str | None
        if isinstance(clip, SkeletonSequence):
            row, joints, name = _of_sequence(id, clip, label)
        else:
            joints, name, plain = pose_array(clip, where=id), known, True
            row = _Row(id, label, {}, joints.shape[1])
        if name is None:
            raise UsageError("arrays do not tell their convention", remedy="Add convention='coco_17'")
        if known is not None and name != known:
            raise UsageError(f"is in {name}, expected {known}", where=id, remedy="Write a store for each")
        known = name
        np.save(folder / f"{id}.npy", joints)
        rows.append(row)
    if known is None or not rows:
        raise UsageError("there is no clip to write")
    for what, left in (("ids", named), ("labels", given_labels)):
        if next(left, _NO_MORE) is not _NO_MORE:
            raise UsageError(f"more {what} than clips: {len(rows)}")
    return rows, plain, known


def _given(what: str, values: Any) -> Iterator[Any]:
    """Iterate over the items of a list, an array or a tensor."""
    if values is None:
        return iter(())
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise UsageError(f"expected a list of {what}, one for each clip, found {type(values).__name__}")
    return iter(values)


def _of_sequence(
    id: str, clip: SkeletonSequence, label: int | str | None
) -> tuple[_Row, NDArray[np.float32], str]:
    own = clip.label if clip.label != UNKNOWN else None
    fields = {name: value for name in FIELDS if (value := getattr(clip, name)) != UNKNOWN}
    seen = np.broadcast_to(clip.present[:, :, None], clip.joints.shape[:3])
    seen = seen if clip.unseen is None else seen & ~clip.unseen
    joints = np.where(seen[..., None], clip.joints, np.float32(np.nan))
    return _Row(id, own if label is None else label, fields, clip.bodies), joints, clip.convention


def _check_id(id: object, folder: Path) -> None:
    fits = (
        isinstance(id, str) and id.isprintable() and id == id.strip() and not re.search(r"^[.#]|[/\\]|^$", id)
    )
    if not isinstance(id, str) or not fits or len(id.encode()) > _LONGEST_ID:
        shown = f"{id!r:.60}"
        raise UsageError(f"{shown} cannot be the id of a clip", remedy=_IDS)
    if (folder / f"{id}.npy").exists():
        raise UsageError(f"two clips have the id {id}", remedy="Give each its own")


def _convention(given: SkeletonSpec | None, name: str, folder: Path) -> str:
    """The convention for ``dataset.yaml``: a name, or a file written to the folder."""
    if given is None or (name in skeletons.names() and given == skeletons.load(name)):
        return name
    (folder / "convention.json").write_text(given.model_dump_json(), encoding="utf-8")
    return "convention.json"


def _labels(rows: list[_Row], classes: Sequence[str] | None, folder: Path) -> dict[str, object]:
    """Write the table of labels; returns the keys of ``dataset.yaml`` about labels."""
    labelled = [row.label for row in rows if row.label is not None]
    names = _class_names(labelled, classes)
    known = [field for field in FIELDS if any(field in row.fields for row in rows)]
    columns = ["id", *(["label"] if labelled else []), *known]
    if len(columns) == 1:
        return {}
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for row in rows:
            label = "" if row.label is None else names[row.label] if isinstance(row.label, int) else row.label
            table.writerow([row.id, *([label] if labelled else []), *(_field(row, name) for name in known)])
    return {"labels": "labels.csv", **({"classes": names} if labelled else {})}


def _class_names(labels: list[int | str], classes: Sequence[str] | None) -> list[str]:
    """Class names, indexed by class number; raises UsageError for labels outside them."""
    kinds = {type(label) for label in labels}
    if not kinds <= {int} and not kinds <= {str}:
        what = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UsageError(f"labels are all whole numbers or all class names, found {what}")
    numbers = [label for label in labels if isinstance(label, int)]
    texts = dict.fromkeys(label for label in labels if isinstance(label, str))
    highest = max(numbers, default=-1)
    if highest > _LARGEST:
        raise UsageError(f"label {highest} is larger than {_LARGEST}", remedy="Number the classes from 0")
    if classes is None:
        names = sorted(texts) if texts else [str(label) for label in range(highest + 1)]
    else:
        names = list(classes)
    if min(numbers, default=0) < 0 or highest >= len(names):
        raise UsageError(
            f"labels run from {min(numbers)} to {highest}, expected numbers from 0 of {len(names)} classes",
            remedy="None is no label" if min(numbers) < 0 else "Leave classes out, or name them all",
        )
    if unknown := [text for text in texts if text not in names]:
        raise UsageError(f"label '{unknown[0]}' is none of the classes: {', '.join(names)}")
    for name in names:
        if not name or name != name.strip() or not name.isprintable():
            raise UsageError(f"{name!r} is no class name", remedy="Use printable text without outer spaces")
    return names


def _field(row: _Row, name: str) -> int | str:
    value = row.fields.get(name, "")
    if value != "" and not 0 <= int(value) <= _LARGEST:
        raise UsageError(f"{name} is {value}, expected a number from 0 to {_LARGEST}", where=row.id)
    return value


def _splits(splits: Mapping[str, Mapping[str, Sequence[str]]], folder: Path) -> dict[str, dict[str, object]]:
    written: dict[str, dict[str, object]] = {}
    for number, (split, halves) in enumerate(splits.items()):
        odd = sorted(set(halves) - {"train", "test"})
        if odd or "train" not in halves:
            what = ", ".join(halves) or "nothing"
            raise UsageError(f"split {split} needs train and may have test, found {what}")
        for half, ids in halves.items():
            file = f"{number}-{half}.txt"
            (folder / file).write_text("".join(f"{id}\n" for id in ids), encoding="utf-8")
            written.setdefault(split, {})[half] = {"list": file}
    return written
