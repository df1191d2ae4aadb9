"""The data sets that ``convert`` knows: what they are made of, and where their raw files lie."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas import UsageError
from skeltools import facts

RAW_VARIABLE = "SKELTOOLS_RAW"
DEFAULT_RAW = Path("raw")
_DEPTH = 3  # folders below the given one that are searched for the first raw file


@dataclass(frozen=True)
class Dataset:
    """One data set. Class names and missing lists are read from ``facts`` when they are first asked for."""

    name: str
    title: str
    reader: str
    """Key of ``readers.READERS`` for the native skeletons."""
    convention: str
    """Convention of the native skeletons."""
    num_classes: int
    bodies: int
    """Bodies on axis M of its streams: the most people that an action of it needs."""
    protocols: tuple[str, ...]
    """Keys of ``splits.PROTOCOLS[name]``."""
    folder_names: tuple[str, ...]
    """Names, in any case, of its folder (or zip file) below a parent that holds several data sets."""
    file_pattern: str
    """Regular expression of a raw file's name; group ``id`` is the sample's id."""
    hint: str
    """Where to get the raw files and how to lay them out."""
    setups: int | None = None
    """NTU: the highest setup number that belongs to this part of the data set."""
    metrabs: bool = False
    """Whether ``<raw>/metrabs`` may hold poses estimated from its videos."""
    mirrored: bool = False
    """Whether its videos are mirror images, as Kinect v2 delivers them."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Action names; the place is the label."""
        return facts.classes(self.reader)[: self.num_classes]

    @property
    def missing(self) -> frozenset[str]:
        """Ids that the authors ask to leave out, because their skeletons are missing or incomplete."""
        return frozenset(id for id in facts.missing(self.reader) if self.accepts(id))

    def accepts(self, sample_id: str) -> bool:
        """Whether a sample is part of this data set, by its id: NTU-60 is setups 1..17 and actions 1..60."""
        if self.setups is None:
            return True
        fields = re.fullmatch(r"S(\d{3})C\d{3}P\d{3}R\d{3}A(\d{3})", sample_id)
        return bool(fields and 1 <= int(fields[1]) <= self.setups and 1 <= int(fields[2]) <= self.num_classes)


def _ntu(name: str, title: str, *, setups: int, num_classes: int, protocol: str, archives: str) -> Dataset:
    size = name.removeprefix("ntu")
    return Dataset(
        name=name,
        title=title,
        reader="ntu",
        convention="kinectv2_25",
        num_classes=num_classes,
        bodies=2,
        protocols=("xsub", protocol),
        folder_names=(
            name,
            f"ntu-{size}",
            f"ntu_{size}",
            f"nturgbd{size}",
            f"nturgbd_{size}",
            f"nturgb+d{size}",
        ),
        file_pattern=r"(?P<id>S\d{3}C\d{3}P\d{3}R\d{3}A\d{3})\.skeleton",
        hint=(
            f"{title} is free for research on request at https://rose1.ntu.edu.sg/dataset/actionRecognition: "
            f"put the 3D skeletons ({archives}, unpacked or not) into raw/{name}/ and MeTRAbs poses, if any, "
            f"into raw/{name}/metrabs/<convention>/. Without the data: "
            f"`skeltools demo raw/` writes a small built-in set in the same formats"
            + ("" if name == "ntu60" else ", for `skeltools convert ntu60`")
        ),
        setups=setups,
        metrabs=True,
        mirrored=True,
    )


DATASETS: dict[str, Dataset] = {
    "ntu60": _ntu(
        "ntu60",
        "NTU RGB+D",
        setups=17,
        num_classes=60,
        protocol="xview",
        archives="nturgbd_skeletons_s001_to_s017.zip",
    ),
    "ntu120": _ntu(
        "ntu120",
        "NTU RGB+D 120",
        setups=32,
        num_classes=120,
        protocol="xset",
        archives="nturgbd_skeletons_s001_to_s017.zip and nturgbd_skeletons_s018_to_s032.zip",
    ),
    "nw-ucla": Dataset(
        name="nw-ucla",
        title="Northwestern-UCLA",
        reader="nwucla",
        convention="kinectv1_20",
        num_classes=10,
        bodies=1,
        protocols=("xview",),
        folder_names=("nw-ucla", "nw_ucla", "nwucla", "n-ucla", "ucla", "all_sqe"),
        file_pattern=r"(?P<id>a\d{2}_s\d{2}_e\d{2}_v\d{2})\.json",
        hint=(
            "Northwestern-UCLA is used as the 1484 JSON files aAA_sSS_eEE_vVV.json of the folder all_sqe "
            "to which CTR-GCN's README (https://github.com/Uason-Chen/CTR-GCN) links: put them, unpacked "
            "or as a zip file, into raw/nw-ucla/"
        ),
    ),
}


def find_raw(dataset: Dataset, raw: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder or zip file that holds a data set: below ``raw``, else $SKELTOOLS_RAW, else ``./raw``.

    Each may be the data set's own folder, its zip file, or a parent that holds one folder per data set
    (``raw/ntu60/``, ``raw/nw-ucla.zip``). Raises UsageError that says how to get and lay out the data.
    """
    variable = (os.environ if environ is None else environ).get(RAW_VARIABLE)
    root = raw or (Path(variable) if variable else DEFAULT_RAW)
    remedy = f"{dataset.hint}. Then name the folder with --raw or ${RAW_VARIABLE}, or call it ./raw"
    if not root.exists():
        raise UsageError(
            f"no raw data for {dataset.name}: there is no such folder", where=root, remedy=remedy
        )
    for candidate in (*_named(dataset, root), root):
        if _holds(dataset, candidate):
            return candidate
    what = f"no raw file of {dataset.name} in it (looked for {_example(dataset)})"
    raise UsageError(what, where=root, remedy=remedy)


def _named(dataset: Dataset, root: Path) -> Iterator[Path]:
    """Entries of a parent folder that bear the data set's name; folders first, then zip files."""
    if root.is_dir():
        named = [path for path in sorted(root.iterdir()) if _name(path) in dataset.folder_names]
        yield from sorted(named, key=Path.is_file)


def _name(path: Path) -> str:
    return (path.stem if path.suffix.lower() == ".zip" else path.name).lower()


def _holds(dataset: Dataset, path: Path) -> bool:
    """Whether a folder or zip file holds a raw file of the data set. Looks no further than the first."""
    if path.is_file():
        return _zip_holds(dataset, path)
    if dataset.metrabs and (path / "metrabs").is_dir():
        return True
    return any(
        re.fullmatch(dataset.file_pattern, file.name) or _zip_holds(dataset, file)
        for file in _files(dataset, path, _DEPTH)
    )


def _files(dataset: Dataset, folder: Path, depth: int) -> Iterator[Path]:
    """Files of a folder, then those of its folders; other data sets' folders and archives are not entered."""
    others = {name for other in DATASETS.values() if other is not dataset for name in other.folder_names}
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from (path for path in entries if path.is_file() and _name(path) not in others)
    if depth:
        for path in entries:
            if path.is_dir() and path.name.lower() not in others:
                yield from _files(dataset, path, depth - 1)


def _zip_holds(dataset: Dataset, path: Path) -> bool:
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(re.fullmatch(dataset.file_pattern, Path(name).name) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _example(dataset: Dataset) -> str:
    return {"ntu": "SsssCcccPpppRrrrAaaa.skeleton", "nwucla": "aAA_sSS_eEE_vVV.json"}[dataset.reader]
