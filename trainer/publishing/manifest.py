"""The manifest ``published.json``: the sha256 of every file of a published folder.

It is written last: a folder without it is incomplete.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field

from schemas import CheckpointError
from schemas._model import Model
from trainer import __version__, checkpoint
from trainer.cards import checked, read
from trainer.export import CARD, WEIGHTS
from trainer.publishing.claims import FORMAT as FIGURES_FORMAT
from trainer.publishing.claims import KIND as FIGURES_KIND
from trainer.publishing.claims import Figures

MANIFEST, FIGURES, MODEL_CARD = "published.json", "figures.json", "README.md"
RECIPE, SETTINGS = "recipe.yaml", "settings.yaml"
FORMAT = 1
_NEEDED = (CARD, WEIGHTS, FIGURES, MODEL_CARD)
_KIND = "skeltools publication"
_Content = TypeVar("_Content", bound=Model)


class Manifest(Model):
    """Format 1."""

    kind: Literal["skeltools publication"] = "skeltools publication"
    format: int = Field(ge=1)
    tool: str
    files: dict[str, str] = Field(min_length=1)
    """Name -> sha256 of every file except this one."""


def write_manifest(folder: Path) -> None:
    """Write the manifest of all files in the folder."""
    files = {path.name: checkpoint.file_hash(path) for path in sorted(folder.iterdir())}
    manifest = Manifest(format=FORMAT, tool=f"trainer {__version__}", files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest; raises CheckpointError if it is absent, damaged or newer."""
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(
            f"no {MANIFEST} here: nothing was published, or not all of it is there",
            where=folder,
            remedy="Name a run, or a folder that `trainer publish` wrote; copy it whole",
        )
    return _read(folder / MANIFEST, _KIND, FORMAT, Manifest)


def read_figures(folder: Path) -> Figures:
    """Read the figures; raises CheckpointError if they are absent, damaged or newer."""
    return _read(folder / FIGURES, FIGURES_KIND, FIGURES_FORMAT, Figures)


def problems_of(folder: Path, manifest: Manifest) -> list[str]:
    """A sentence for every file that is missing or differs from what was published."""
    problems = [(name, f"is not in {MANIFEST}") for name in _NEEDED if name not in manifest.files]
    problems += [(name, _problem(folder, name, digest)) for name, digest in manifest.files.items()]
    return [f"{name}: {problem}" for name, problem in problems if problem]


def _problem(folder: Path, name: str, digest: str) -> str:
    path = folder / name
    if Path(name).name != name:
        return "is no file of the folder itself"
    if not path.is_file():
        return "is missing"
    actual = checkpoint.file_hash(path)
    return "" if actual == digest else f"was changed: sha256 {actual[:12]}, published as {digest[:12]}"


def _read(path: Path, kind: str, newest: int, model: type[_Content]) -> _Content:
    content = read(path, _unreadable)
    return checked(content, path, kind=kind, newest=newest, model=model, refuse=_unreadable)


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"this was not written by `trainer publish`, or it is damaged: {(reason or 'empty').splitlines()[0]}",
        where=path,
        remedy="Download the folder again, or publish the run again",
    )
