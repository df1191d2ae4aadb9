"""Northwestern-UCLA Multiview Action 3D, as the JSON files that the CTR-GCN family distributes.

The files are ``aAA_sSS_eEE_vVV.json`` (action, subject, take, view) with the keys ``skeletons``, T x 20 x 3
in Kinect v1 camera space and metres, which is the canonical frame, and ``label``, 1 to 10. There is one
person.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Finding, RawDataError, regular
from skeltools.datasets import splits
from skeltools.datasets.dataset import Dataset
from skeltools.raw_items import Listing, Raw, RawItem, Reader, all_finite, finding, known, read_bytes
from skeltools.raw_items import discover as discover_files
from skeltools.sequence import SkeletonSequence

CONVENTION = "kinectv1_20"
JOINTS = 20

ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)
"""Numbers in file names by 0-based class; a07 and a10 do not exist (feeders/feeder_ucla.py of CTR-GCN)."""

MIRRORED = True
"""Whether the videos are mirror images, as Kinect's SDK delivers them.

In these the column grows with x, to the sensor's left. The videos of the data set were not inspected; the
comparison with the skeletons reveals whether they are mirrored.
"""

_NAME = re.compile(r"a(\d{2})_s(\d{2})_e(\d{2})_v(\d{2})", re.ASCII)


def fields(name: str) -> dict[str, int] | None:
    """Parse ``a08_s01_e02_v03`` into fields of a sequence; None for other names and unknown actions."""
    match = _NAME.fullmatch(name)
    if match is None or int(match[1]) not in ACTIONS:
        return None
    action, subject, take, view = map(int, match.groups())
    return {"label": ACTIONS.index(action), "subject": subject, "repetition": take, "camera": view}


def discover(raw: Raw) -> Listing:
    """List all JSON files of folders, of the zip files in them, or of zip files, by name only."""
    return discover_files(raw, ".json", convention=CONVENTION, fields=fields)


def read(item: RawItem) -> SkeletonSequence:
    """Read a clip of one body with id 0, absent in frames that are all zero or not all finite (a finding).

    Raises RawDataError when the file is not JSON of this kind, or its label contradicts its name.
    """
    content = _parse(item)
    named = fields(item.id)
    if named is not None and content.get("label") != named["label"] + 1:
        raise RawDataError(
            f"label {content.get('label')!r}, but the name {item.id} says {named['label'] + 1}",
            where=item.where,
            remedy="Rename the file or fetch it again",
        )
    joints = _skeletons(content.get("skeletons"), item)
    finite = all_finite(joints)
    present = finite & joints.any(axis=(1, 2))
    if not present.any():
        raise RawDataError(f"no body in any frame ({len(joints)} frames)", where=item.where)
    findings: tuple[Finding, ...] = ()
    if not finite.all():
        bad = np.flatnonzero(~finite)
        place, detail = f"frame {bad[0] + 1}", f"{len(bad)} poses"
        findings = (finding(item, "not a number", place=place, detail=detail, action="treated as absent"),)
    return SkeletonSequence(
        item.id,
        CONVENTION,
        np.where(present[:, None, None], joints, np.float32(0))[:, None],
        present[:, None],
        np.where(present, 0, -1).astype(np.int8)[:, None],
        (0,),
        findings=findings,
        **known(named),
    )


def _parse(item: RawItem) -> dict[str, Any]:
    data = read_bytes(item)
    try:
        regular.check_values(data)
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RawDataError(f"no valid JSON ({error})", where=item.where, remedy="Fetch it again") from error
    if not isinstance(content, dict):
        raise RawDataError(
            "expected a JSON object with the keys skeletons and label",
            where=item.where,
            remedy="Is it a file of NW-UCLA?",
        )
    return content


def _skeletons(value: Any, item: RawItem) -> NDArray[np.float32]:
    """The clip's joints, [T, 20, 3]."""
    try:
        table = np.array(value)
        if table.dtype.kind not in "fiuO":  # NumPy would read text as numbers
            raise ValueError(f"found {table.dtype}")
        with np.errstate(over="ignore"):
            joints = table.astype(np.float64).astype(np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        message = f"skeletons is no array of numbers, frames x {JOINTS} x 3 ({error})"
        raise RawDataError(message, where=item.where, remedy="Fetch it again") from error
    if joints.ndim != 3 or joints.shape[1:] != (JOINTS, 3):
        message = f"skeletons has shape {joints.shape}, expected (frames, {JOINTS}, 3)"
        raise RawDataError(message, where=item.where, remedy="Is it a file of NW-UCLA?")
    return joints


# --- the data set -------------------------------------------------------------------------------------------

READERS = {"nwucla": Reader(discover, read)}

DATASETS = (
    Dataset(
        name="nw-ucla",
        title="Northwestern-UCLA",
        reader="nwucla",
        published="nwucla",
        convention="kinectv1_20",
        num_classes=10,
        bodies=1,
        frames=(24, 50),
        metrabs=True,
        mirrored=MIRRORED,
        rules={"xview": splits.rule("camera", (1, 2), 3)},  # CTR-GCN's data loader
        folder_names=("nw-ucla", "nw_ucla", "nwucla", "n-ucla", "ucla", "all_sqe"),
        file_pattern=r"a\d{2}_s\d{2}_e\d{2}_v\d{2}\.json",
        example="aAA_sSS_eEE_vVV.json",
        id_pattern=r"a\d{2}_s\d{2}_e\d{2}_v\d{2}",
        hint=(
            "Northwestern-UCLA is used as the 1484 JSON files aAA_sSS_eEE_vVV.json of the folder all_sqe "
            "to which CTR-GCN's README (https://github.com/Uason-Chen/CTR-GCN) links: put them, unpacked "
            "or as a zip file, into raw/nw-ucla/"
        ),
    ),
)
