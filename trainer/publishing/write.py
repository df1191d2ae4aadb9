"""From a run to a folder for others, or to a model repository of Hugging Face."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from schemas import Component, RunConfig, SkelError, UsageError, checks_arguments
from schemas.places import Place
from trainer import hub
from trainer.export import CARD, WEIGHTS, EncoderCard, export_run
from trainer.export.classifier import figures_of
from trainer.publishing import claims as stating
from trainer.publishing import model_card
from trainer.publishing.claims import Claim, Figures, claims_of
from trainer.publishing.manifest import (
    FIGURES,
    MANIFEST,
    MODEL_CARD,
    RECIPE,
    SETTINGS,
    read_manifest,
    write_manifest,
)
from trainer.run import Run, open_run

_USUAL = "linear"
"""Figure whose classifier goes along where none is named: it is of the encoder as it was pre-trained."""


@checks_arguments
def publish(
    run: str | Path,
    to: str | Path,
    *,
    encoder: str | None = None,
    conventions: Sequence[str] = (),
    store: str | Path | Sequence[str | Path] | None = None,
    classifier: str | None = None,
    licence: str = "other",
    title: str | None = None,
    onnx: bool = False,
    private: bool = False,
    unfinished: bool = False,
    force: bool = False,
) -> EncoderCard:
    """Writes an encoder of a run with its figures to a folder, or to ``hf://user/name``; returns its card.

    The folder is an export (``trainer.load``, ``--init-from``) with a model card, recipe, settings, figures
    and the sha256 of each file. ``classifier``: as for ``trainer export``; None: that of ``linear``, if one
    was kept. ``licence``: of the weights, as Hugging Face names it. ``title``: None takes the folder's name.
    ``private``: of a repository that is made. ``force``: replace what was published there.

    Raises UsageError for a folder that is not empty, SkelError for what Hugging Face refuses, and as
    ``trainer export``.

        >>> import trainer
        >>> trainer.publish("runs/skeletonclr", "published", licence="mit").feature_dim
        128
    """
    card, _ = published(
        Path(run),
        to,
        encoder=encoder,
        conventions=conventions,
        store=_paths(store),
        classifier=classifier,
        licence=licence,
        title=title,
        onnx=onnx,
        private=private,
        unfinished=unfinished,
        force=force,
    )
    return card


def published(
    run: Path,
    to: str | Path,
    *,
    encoder: str | None,
    store: Sequence[Path],
    classifier: str | None,
    licence: str,
    title: str | None,
    private: bool,
    unfinished: bool,
    force: bool,
    **more: Any,
) -> tuple[EncoderCard, list[Claim]]:
    """As ``publish``; also what is claimed. ``more``: for the export."""
    place, name = _named(to, force=force)
    opened = open_run(run, store=store, device="cpu", unfinished=unfinished)
    more |= {"encoder": encoder, "store": store, "unfinished": unfinished}
    more["classifier"] = classifier or _usual_classifier(opened, encoder)
    with tempfile.TemporaryDirectory(prefix=".published.partial-", dir=_beside(to)) as beside:
        folder = Path(beside) / "folder"
        card = export_run(run, folder, **more)
        claims = _claims(opened, card)
        heading = title or name.split("/")[-1]
        text = model_card.markdown(card, claims, title=heading, licence=licence, place=place)
        _complete(folder, opened, card, claims, text)
        if hub.is_address(to):
            _upload(folder, name, place, private=private, force=force)
        else:
            _place(folder, Path(to))
    return card, claims


def _named(to: str | Path, *, force: bool) -> tuple[str, str]:
    """What ``trainer.load`` is given, and the name. Raises UsageError for what may not be written."""
    if not hub.is_address(to):
        _check_folder(Path(to), force=force)
        return (name := Path(to).absolute().name), name
    name, revision = hub.parsed(to)
    if revision is not None:
        raise UsageError("a revision is read, not written", where=to, remedy=f"Publish to hf://{name}")
    return hub.address(to), name


def _paths(store: Any) -> list[Path]:
    return [Place(store)] if isinstance(store, str | Path) else [Place(each) for each in store or ()]


def _usual_classifier(run: Run, encoder: str | None) -> str | None:
    name = run.encoder_name(encoder)
    known = (figures_of(run, convention=each, encoder=name) for each in run.conventions(["all"]))
    return _USUAL if any(_USUAL in figures for figures in known) else None


def _claims(run: Run, card: EncoderCard) -> list[Claim]:
    learned = next((each.figure for each in card.classifiers.values() if each.finetuned), None)
    return [claim for _, claim in claims_of(run, card.name, list(card.conventions), learned=learned)]


def _complete(folder: Path, run: Run, card: EncoderCard, claims: Sequence[Claim], text: str) -> None:
    """What an export does not have; the hashes last."""
    figures = Figures(format=stating.FORMAT, claims=tuple(claims))
    for name, content in {
        FIGURES: figures.model_dump_json(indent=2) + "\n",
        RECIPE: _recipe(card.recipe.steps),
        SETTINGS: _settings(run.config),
        MODEL_CARD: text,
    }.items():
        (folder / name).write_text(content, encoding="utf-8")
    write_manifest(folder)


def _recipe(steps: Sequence[Component]) -> str:
    """As ``skeltools convert --recipe`` takes it."""
    items = [{step.name: step.options} if step.options else step.name for step in steps]
    return yaml.safe_dump(items, sort_keys=False, allow_unicode=True)


def _settings(config: RunConfig) -> str:
    """Without the folders of the machine: of paths their names."""
    tree = config.model_dump(mode="json")
    for part in (tree["data"], *tree["data"]["more"]):
        part["store"] = Path(part["store"]).name
    if tree["init_from"] is not None and not hub.is_address(tree["init_from"]["path"]):
        tree["init_from"]["path"] = Path(tree["init_from"]["path"]).name
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


# --- folders ------------------------------------------------------------------------------------------------


def _check_folder(folder: Path, *, force: bool) -> None:
    """Raises UsageError unless it may be written: new, empty, or published before and ``force``."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir() or not (folder / MANIFEST).is_file():
        raise UsageError(
            "exists, and holds something else than `trainer publish` wrote",
            where=folder,
            remedy="Name a new folder with --to",
        )
    if not force:
        raise UsageError(
            "something was published here already",
            where=folder,
            remedy="Replace it with --force, or name another folder with --to",
        )


def _beside(to: str | Path) -> Path | None:
    """Where a folder is made, so that it can be renamed; None: where temporary files are."""
    if hub.is_address(to):
        return None
    parent = Path(to).absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=parent, remedy="Change --to") from error
    return parent


def _place(made: Path, folder: Path) -> None:
    """A whole folder at once where there is none; else file by file, so that what the folder holds besides
    stays: the weights first and the manifest last, whose hashes tell what was cut off in between."""
    if not folder.is_symlink() and not (folder / MANIFEST).is_file():
        if folder.exists():
            folder.rmdir()  # it is empty: all else was refused
        made.rename(folder)
        return
    old, new = _published(folder), {path.name for path in made.iterdir()}
    for name in (WEIGHTS, *sorted(new - {WEIGHTS, CARD, MANIFEST}), CARD, MANIFEST):
        (made / name).replace(folder / name)
    for name in {*old} - new:
        (folder / name).unlink(missing_ok=True)


def _published(folder: Path) -> list[str]:
    """Names of the files that were published before; none where that cannot be read."""
    try:
        return [name for name in read_manifest(folder).files if Path(name).name == name]
    except SkelError:
        return []


def _upload(folder: Path, name: str, place: str, *, private: bool, force: bool) -> None:
    """One commit, so that a repository has all files or none of them."""
    api = hub.api()
    hub.asked(lambda: api.create_repo(name, private=private, exist_ok=True), place)
    there = [each for each in hub.asked(lambda: api.list_repo_files(name), place) if each[0] != "."]
    if there and not force:
        raise UsageError(
            f"the repository has files: {', '.join(sorted(there)[:3])}",
            where=place,
            remedy="Replace them with --force, or publish to another one",
        )
    message = "Encoder with figures, recipe and settings"
    hub.asked(
        lambda: api.upload_folder(
            repo_id=name, folder_path=folder, commit_message=message, delete_patterns=["*"] if there else None
        ),
        place,
    )
