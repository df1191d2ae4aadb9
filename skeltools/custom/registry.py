"""Registry of self-describing clip formats; a new one is a module of ``skeltools/formats``, listed here."""

from __future__ import annotations

from pathlib import Path

from schemas import ConfigError, RawDataError, regular, unknown
from skeltools.custom.clip_files import HEAD, ClipFormat
from skeltools.custom.settings import FILE, Settings
from skeltools.formats.acclaim import ACCLAIM
from skeltools.formats.amass import AMASS
from skeltools.formats.bvh import BVH
from skeltools.formats.c3d import C3D
from skeltools.formats.humanml3d import HUMANML3D
from skeltools.formats.image_results import ALPHAPOSE, COCO
from skeltools.formats.kinetics_skeleton import KINETICS
from skeltools.formats.mat import MAT
from skeltools.formats.mediapipe import MEDIAPIPE
from skeltools.formats.mmpose import MMPOSE
from skeltools.formats.mvnx import MVNX
from skeltools.formats.openpose import OPENPOSE
from skeltools.formats.suites import SUITES

_KNOWN: tuple[ClipFormat, ...] = (
    OPENPOSE,
    KINETICS,
    MMPOSE,
    COCO,
    ALPHAPOSE,
    MEDIAPIPE,
    BVH,
    ACCLAIM,
    MVNX,
    C3D,
    *SUITES,
    AMASS,
    HUMANML3D,
    MAT,
)
CLIP_FORMATS: dict[str, ClipFormat] = {known.name: known for known in _KNOWN}
"""In the order in which they are tried on a file."""


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


def _holds(known: ClipFormat, file: Path, head: bytes) -> bool:
    try:
        return known.holds(file, head)
    except RawDataError:
        return False
