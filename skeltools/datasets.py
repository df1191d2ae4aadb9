"""The data sets that ``convert`` knows: what they are made of, and where their raw files lie."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas import ConfigError, SkeletonSpec, UsageError, unknown
from skeltools import facts, skeletons
from skeltools.readers import custom, custom_settings, custom_tables

RAW_VARIABLE = "SKELTOOLS_RAW"
DEFAULT_RAW = Path("raw")
_DEPTH = 5  # folders below the given one that are searched for the first raw file


@dataclass(frozen=True)
class Dataset:
    """One data set. Class names and missing lists are read from ``facts`` when they are first asked for."""

    name: str
    title: str
    reader: str
    """Key of ``readers.READERS`` for the native skeletons."""
    convention: str
    """Convention of the native skeletons."""
    published: str
    """Begins the names of its files in ``facts``; empty when there are none."""
    num_classes: int
    bodies: int
    """Bodies on axis M of its streams: the most people that an action of it needs."""
    protocols: tuple[str, ...]
    """Keys of ``splits.PROTOCOLS[name]``, or splits that the source carries."""
    folder_names: tuple[str, ...]
    """Names, in any case, of its folder (or zip file) below a parent that holds several data sets."""
    file_pattern: str
    """Regular expression of a raw file's name."""
    example: str
    """A raw file's name, for messages."""
    hint: str
    """Where to get the raw files and how to lay them out."""
    id_pattern: str | None = None
    """Regular expression of the ids of its samples, where its reader meets those of others."""
    setups: int | None = None
    """NTU: the highest setup number that belongs to this part of the data set."""
    metrabs: bool = False
    """Whether ``<raw>/metrabs`` may hold poses estimated from its videos."""
    mirrored: bool = False
    """Whether its videos are mirror images, as Kinect v2 delivers them."""
    axes: str = "Kinect camera space as recorded: x to the sensor's left, y up, z forward, metres"
    """How its native skeletons come into canonical axes, in words."""
    frames: tuple[int, ...] = (50,)
    """Lengths T of its joint streams where ``convert`` is told none."""
    convention_file: str = ""
    """File of a convention that does not ship with the package."""

    @property
    def spec(self) -> SkeletonSpec:
        """The native convention."""
        return skeletons.load(self.convention_file or self.convention)

    @property
    def classes(self) -> tuple[str, ...]:
        """Action names; the place is the label."""
        return facts.classes(self.published)[: self.num_classes] if self.published else ()

    @property
    def missing(self) -> frozenset[str]:
        """Ids that the authors ask to leave out, because their skeletons are missing or incomplete."""
        return frozenset(id for id in facts.missing(self.published) if self.accepts(id))

    def accepts(self, sample_id: str) -> bool:
        """Whether a sample is part of this data set, by its id: NTU-60 is setups 1..17 and actions 1..60."""
        if self.id_pattern is not None:
            return re.fullmatch(self.id_pattern, sample_id, re.ASCII) is not None
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
        published="ntu",
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
        file_pattern=r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}\.skeleton",
        example="SsssCcccPpppRrrrAaaa.skeleton",
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


def _pku(part: int, *, video: str, example: str, numeral: str, folders: str) -> Dataset:
    names = (f"pku-mmd-{part}", f"pku-mmd-v{part}", f"pku-mmd{part}", f"pkummd-{part}", f"pkummd{part}",
             f"pkummdv{part}", f"pku-v{part}", "pku-mmd", "pkummd")  # fmt: skip
    return Dataset(
        name=f"pku-mmd-{part}",
        title=f"PKU-MMD part {numeral}",
        reader=f"pkummd{part}",
        published="pkummd",
        convention="kinectv2_25",
        num_classes=51,
        bodies=2,
        protocols=("xsub", "xview"),
        folder_names=tuple(dict.fromkeys((*names, *(name.replace("-", "_") for name in names)))),
        file_pattern=video + r"-[LMR]\.(txt|csv)",
        example=example,
        hint=(
            "PKU-MMD is free for research at https://github.com/ECHO960/PKU-MMD: put the "
            f"skeletons ({folders}, unpacked or not) into raw/pku-mmd-{part}/, "
            "and the official split files beside them"
        ),
        id_pattern=video + r"-[LMR]_\d{3,}",
        axes=(
            "Kinect camera space as recorded: x to the sensor's left, y up, z forward, metres; "
            "bodies linked by distance, at most two at a time: the text has no body ids"
        ),
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
        published="nwucla",
        convention="kinectv1_20",
        num_classes=10,
        bodies=1,
        frames=(24, 50),
        protocols=("xview",),
        folder_names=("nw-ucla", "nw_ucla", "nwucla", "n-ucla", "ucla", "all_sqe"),
        file_pattern=r"a\d{2}_s\d{2}_e\d{2}_v\d{2}\.json",
        example="aAA_sSS_eEE_vVV.json",
        hint=(
            "Northwestern-UCLA is used as the 1484 JSON files aAA_sSS_eEE_vVV.json of the folder all_sqe "
            "to which CTR-GCN's README (https://github.com/Uason-Chen/CTR-GCN) links: put them, unpacked "
            "or as a zip file, into raw/nw-ucla/"
        ),
    ),
    "pku-mmd-1": _pku(
        1,
        video=r"\d{4}",
        example="0002-L.txt",
        numeral="I",
        folders="PKU_Skeleton_Renew and Train_Label_PKU_final",
    ),
    "pku-mmd-2": _pku(
        2, video=r"A\d{2}N\d{2}", example="A01N01-L.txt", numeral="II", folders="skeleton and label"
    ),
}


CUSTOM = "custom"
"""Stands for the data set that a user's own ``dataset.yaml`` describes."""

NAMES = (*DATASETS, CUSTOM)
"""What ``choose`` knows."""


def choose(name: str, raw: Path | None = None) -> Dataset:
    """A data set by name; ``custom`` is what the ``dataset.yaml`` in ``raw`` describes.

    Raises UsageError for an unknown one, ConfigError for settings that do not fit.
    """
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    return _custom(_find_settings(raw)) if name == CUSTOM else DATASETS[name]


def _custom(raw: Path) -> Dataset:
    path = custom.settings_file(raw)
    settings = custom_settings.load(path)
    spec = custom_settings.spec_of(settings, path)
    if settings.name in NAMES:
        raise ConfigError(
            f"name: {settings.name} is the name of a built-in data set", where=path, remedy="Choose another"
        )
    return Dataset(
        name=settings.name,
        title=settings.name,
        reader=CUSTOM,
        published="",
        convention=spec.name,
        num_classes=len(settings.classes or ()),
        bodies=custom_settings.bodies(settings),
        protocols=tuple(settings.splits) or (custom_tables.ALL,),
        folder_names=(CUSTOM,),
        file_pattern=re.escape(custom_settings.FILE),
        example=custom_settings.FILE,
        hint=_CUSTOM_HINT,
        axes=custom_settings.in_words(settings, spec),
        convention_file=custom_settings.convention_file(settings, path),
    )


_CUSTOM_HINT = (
    "Your own data are a folder of .npy, .npz, .csv or .h5 files with a dataset.yaml that describes them; "
    "`skeltools docs custom-data` has the reference and an example"
)


def _find_settings(raw: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder with ``dataset.yaml``, or a settings file of another name."""
    root = _root(raw, environ)
    for folder in (root, root / CUSTOM):
        if (folder / custom_settings.FILE).is_file():
            return folder
    if root.is_file() and root.suffix in (".yaml", ".yml"):
        return root.parent if root.name == custom_settings.FILE else root
    found = "there is no dataset.yaml in it" if root.exists() else "there is no such folder"
    remedy = f"{_CUSTOM_HINT}. Then name the folder, or the settings file, with --raw or ${RAW_VARIABLE}"
    raise UsageError(f"no data of your own: {found}", where=root, remedy=remedy)


def _root(raw: Path | None, environ: Mapping[str, str] | None) -> Path:
    variable = (os.environ if environ is None else environ).get(RAW_VARIABLE)
    return raw or (Path(variable) if variable else DEFAULT_RAW)


def find_raw(dataset: Dataset, raw: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder or zip file that holds a data set: below ``raw``, else $SKELTOOLS_RAW, else ``./raw``.

    Each may be the data set's own folder, its zip file, or a parent that holds one folder per data set
    (``raw/ntu60/``, ``raw/nw-ucla.zip``). Raises UsageError that says how to get and lay out the data.
    """
    if dataset.reader == CUSTOM:
        return _find_settings(raw, environ)
    root = _root(raw, environ)
    remedy = f"{dataset.hint}. Then name the folder with --raw or ${RAW_VARIABLE}, or call it ./raw"
    if not root.exists():
        raise UsageError(
            f"no raw data for {dataset.name}: there is no such folder", where=root, remedy=remedy
        )
    for candidate in (*_named(dataset, root), root):
        if _holds(dataset, candidate):
            return candidate
    what = f"no raw file of {dataset.name} in it (looked for {dataset.example})"
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
    others -= set(dataset.folder_names)
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except PermissionError:  # reading the folder that is found tells of it
        return
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
