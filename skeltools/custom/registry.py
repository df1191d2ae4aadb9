"""Self-describing clip formats: a new one is a module of ``skeltools/formats``, listed here.

They are recognised by the contents of files, and some describe the skeleton, for ``convention: file``. For
files that cannot be read there is advice on how to convert them.
"""

from __future__ import annotations

import fnmatch
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from schemas import ConfigError, RawDataError, SkeletonSpec, regular, unknown
from skeltools.custom.clip_files import HEAD, ClipFormat
from skeltools.custom.settings import FILE, MAX_RATE, Settings
from skeltools.formats.acclaim import ACCLAIM
from skeltools.formats.amass import AMASS
from skeltools.formats.bvh import BVH
from skeltools.formats.c3d import C3D
from skeltools.formats.frame_lists import FRAMES
from skeltools.formats.humanml3d import HUMANML3D
from skeltools.formats.image_results import ALPHAPOSE, COCO
from skeltools.formats.json_arrays import ARRAYS
from skeltools.formats.kinetics_skeleton import KINETICS
from skeltools.formats.mat import MAT
from skeltools.formats.mediapipe import MEDIAPIPE
from skeltools.formats.mmpose import MMPOSE
from skeltools.formats.mvnx import MVNX
from skeltools.formats.ntu_skeleton import NTU
from skeltools.formats.openpose import OPENPOSE
from skeltools.formats.suites import SUITES
from skeltools.raw_items import MAX_BYTES, visible_files

_KNOWN: tuple[ClipFormat, ...] = (
    OPENPOSE,
    KINETICS,
    MMPOSE,
    COCO,
    ALPHAPOSE,
    MEDIAPIPE,
    FRAMES,
    ARRAYS,
    BVH,
    ACCLAIM,
    MVNX,
    NTU,
    C3D,
    *SUITES,
    AMASS,
    HUMANML3D,
    MAT,
)
CLIP_FORMATS: dict[str, ClipFormat] = {known.name: known for known in _KNOWN}
"""In the order in which they are tried on a file."""

_NUMPY = "In Python, numpy.save(clip + '.npy', array) writes a clip as an array"
_PICKLE = (
    "`skeltools convert custom --from pyskl --raw FILE` reads pickles of pyskl and mmaction2, of many clips; "
    "`--from crossclr` arrays of many clips with pickled labels. Other pickles are not read: where you trust "
    "one, open it with pickle.load, and write each clip with numpy.save(clip + '.npy', array)"
)
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
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
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


def format_of(file: Path, settings: Settings) -> ClipFormat | None:
    """The format of a file: the setting ``format``, else detected from its contents; None if there is none.

    Raises ConfigError for an unknown format.
    """
    if settings.format is not None:
        if settings.format not in CLIP_FORMATS:
            error = unknown("format", settings.format, CLIP_FORMATS)
            raise ConfigError(error.message, where=FILE, remedy=error.remedy)
        known = CLIP_FORMATS[settings.format]
        return known if file.suffix.lower() in known.suffixes else None
    candidates = [known for known in CLIP_FORMATS.values() if file.suffix.lower() in known.suffixes]
    if not candidates:
        return None
    try:
        with regular.open_file(file) as opened:
            head = opened.read(HEAD)
    except (OSError, ValueError):
        return None
    return next((known for known in candidates if _holds(known, file, head)), None)


def rate_of(known: ClipFormat, file: Path) -> float | None:
    """The frames per second that a file's header states; None if it states none, or no possible one."""
    if known.rate is None:
        return None
    try:
        rate = known.rate(file)
    except (RawDataError, OSError, ValueError, TypeError, LookupError, ArithmeticError):
        return None
    return rate if rate is not None and 0 < rate <= MAX_RATE else None


def _holds(known: ClipFormat, file: Path, head: bytes) -> bool:
    try:
        return known.holds(file, head)
    except RawDataError:
        return False


def spec_of_first(settings: Settings, path: Path) -> SkeletonSpec:
    """The skeleton of the first readable clip, by path, whose format describes one.

    Raises ConfigError if there is none.
    """
    problem: RawDataError | None = None
    for file in visible_files(path.parent, []):
        if not fnmatch.fnmatchcase(file.relative_to(path.parent).as_posix(), settings.files):
            continue
        known = format_of(file, settings)
        if known is None or known.convention is None or file.stat().st_size > MAX_BYTES:
            continue
        try:
            return _described(known.convention, file, zlib.crc32(regular.read(file, most=MAX_BYTES)))
        except RawDataError as error:
            problem = problem or error
        except (OSError, ValueError):
            continue
    if problem is not None:
        raise ConfigError(
            f"convention is file, but no skeleton can be read: {problem.message}", where=problem.where
        )
    able = ", ".join(name for name, known in CLIP_FORMATS.items() if known.convention is not None)
    raise ConfigError(
        f"convention is file, but no file below its folder describes a skeleton; these formats do: {able}",
        where=path,
        remedy=advice([path.parent])
        or "Name the convention of the joints; `skeltools skeletons` lists those that there are",
    )


@lru_cache(maxsize=32)
def _described(convention: Callable[[Path], SkeletonSpec], file: Path, _checksum: int) -> SkeletonSpec:
    return convention(file)


def advice(roots: Sequence[Path]) -> str:
    """How to convert the most common unreadable files below the folders; empty if there are none."""
    counts = Counter(file.suffix.lower() for root in roots for file in visible_files(root))
    known = [(count, suffix) for suffix, count in counts.items() if suffix in EXPORTS]
    if not known:
        return ""
    count, suffix = max(known, key=lambda each: (each[0], each[1]))
    return f"{count} {'file ends' if count == 1 else 'files end'} in {suffix}. {EXPORTS[suffix]}"
