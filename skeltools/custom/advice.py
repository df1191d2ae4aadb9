"""Advice on converting pose files that cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from skeltools.raw_items import visible_files

_NUMPY = "In Python, numpy.save(clip + '.npy', array) writes a clip as an array"
EXPORTS = {
    ".parquet": "In Python, pandas.read_parquet(file).to_csv(clip + '.csv', index=False) writes what is read",
    ".feather": "In Python, pandas.read_feather(file).to_csv(clip + '.csv', index=False) writes what is read",
    ".xlsx": "Save its sheet as .csv",
    ".xls": "Save its sheet as .csv",
    ".ods": "Save its sheet as .csv",
    ".fbx": "Export it as .bvh: in Blender, File, Export, Motion Capture",
    ".glb": "Export it as .bvh: in Blender, File, Export, Motion Capture",
    ".mvn": "Export it from MVN as .mvnx, .bvh or .c3d",
    ".qtm": "Export it from QTM as .c3d or .tsv",
    ".tak": "Export it from Motive as .csv or .bvh",
    ".vsk": "Export it from Nexus as .c3d or .csv",
    ".asf": "An .asf is a skeleton without motion: put its .amc files beside it",
    ".nwb": "In Python, h5py reads it: numpy.stack the parts' data, then numpy.save(clip + '.npy', array)",
    ".slp": "Export it from SLEAP as analysis HDF5",
    ".pkl": f"Pickles are not executed. {_NUMPY}",
    ".pickle": f"Pickles are not executed. {_NUMPY}",
    ".pt": _NUMPY,
    ".pth": _NUMPY,
    ".avi": "That is video: poses are estimated by another program, such as MeTRAbs, MMPose or OpenPose",
    ".mp4": "That is video: poses are estimated by another program, such as MeTRAbs, MMPose or OpenPose",
    ".zip": "Unpack it",
    ".tar": "Unpack it",
    ".gz": "Unpack it",
    ".rar": "Unpack it",
    ".7z": "Unpack it",
}
"""Suffix -> how to convert such a file."""


def advice(roots: Sequence[Path]) -> str:
    """How to convert the most common unreadable files below the folders; empty if there are none."""
    counts = Counter(file.suffix.lower() for root in roots for file in visible_files(root))
    known = [(count, suffix) for suffix, count in counts.items() if suffix in EXPORTS]
    if not known:
        return ""
    count, suffix = max(known, key=lambda each: (each[0], each[1]))
    return f"{count} {'file ends' if count == 1 else 'files end'} in {suffix}. {EXPORTS[suffix]}"
