"""Publish a run as a folder for others, or as a model repository on Hugging Face."""

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
"""Figure whose classifier is included by default: it is of the encoder as pre-trained."""


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
    """Publish an encoder of a run with its figures to a folder or to ``hf://user/name``; returns its card.

    The folder is an export (``trainer.load``, ``--init-from``) with a model card, recipe, settings, figures
    and the sha256 of each file. ``classifier``: as for ``trainer export``; None: that of ``linear``, if
    saved. ``licence``: of the weights, as Hugging Face names it. ``title``: None: the folder's name.
    ``private``: visibility of a newly created repository. ``force``: replace what was published there.

    Raises UsageError for a folder that is not empty, SkelError for what Hugging Face refuses, and as
    ``trainer export`` does.

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
    """As ``publish``, but also returns the claims; ``more``: arguments of the export."""
    place, name = _named(to, force=force)
    opened = open_run(run, store=store, device="cpu", unfinished=unfinished)
    more |= {"encoder": encoder, "store": store, "unfinished": unfinished}
    more["classifier"] = classifier or _usual_classifier(opened, encoder)
    with tempfile.TemporaryDirectory(prefix=".published.partial-", dir=_beside(to)) as beside:
        folder = Path(beside) / "folder"
        card = export_run(run, folder, **more)
        learned = next((each.figure for each in card.classifiers.values() if each.finetuned), None)
        claims = claims_of(opened, card.name, list(card.conventions), learned=learned)
        heading = title or name.split("/")[-1]
        text = model_card.markdown(card, claims, title=heading, licence=licence, place=place)
        _complete(folder, opened, card, claims, text)
        if hub.is_address(to):
            _upload(folder, name, place, private=private, force=force)
        else:
            _place(folder, Path(to))
    return card, claims


def _named(to: str | Path, *, force: bool) -> tuple[str, str]:
    """The argument of ``trainer.load``, and the name; raises UsageError for a target not to be written."""
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


def _complete(folder: Path, run: Run, card: EncoderCard, claims: Sequence[Claim], text: str) -> None:
    """Add the files that an export does not have, with the hashes last."""
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
    """The recipe in the format of ``skeltools convert --recipe``."""
    items = [{step.name: step.options} if step.options else step.name for step in steps]
    return yaml.safe_dump(items, sort_keys=False, allow_unicode=True)


def _settings(config: RunConfig) -> str:
    """The settings without machine-specific folders: paths are reduced to their names."""
    tree = config.model_dump(mode="json")
    for part in (tree["data"], *tree["data"]["more"]):
        part["store"] = Path(part["store"]).name
    if tree["init_from"] is not None and not hub.is_address(tree["init_from"]["path"]):
        tree["init_from"]["path"] = Path(tree["init_from"]["path"]).name
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


# --- folders ------------------------------------------------------------------------------------------------


def _check_folder(folder: Path, *, force: bool) -> None:
    """Raises UsageError unless the folder may be written: new, empty, or published before with ``force``."""
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
    """Where the folder is built so that it can be renamed into place; None: the temporary directory."""
    if hub.is_address(to):
        return None
    parent = Path(to).absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=parent, remedy="Change --to") from error
    return parent


def _place(made: Path, folder: Path) -> None:
    """Move the finished folder into place.

    A new folder appears as a whole. An existing one is replaced file by file, so that its other files stay:
    the weights first and the manifest last, whose hashes reveal an interruption in between.
    """
    if not folder.is_symlink() and not (folder / MANIFEST).is_file():
        if folder.exists():
            folder.rmdir()  # it is empty: everything else was refused
        made.rename(folder)
        return
    old, new = _published(folder), {path.name for path in made.iterdir()}
    for name in (WEIGHTS, *sorted(new - {WEIGHTS, CARD, MANIFEST}), CARD, MANIFEST):
        (made / name).replace(folder / name)
    for name in {*old} - new:
        (folder / name).unlink(missing_ok=True)


def _published(folder: Path) -> list[str]:
    """Names of the files published before; none if they cannot be read."""
    try:
        return [name for name in read_manifest(folder).files if Path(name).name == name]
    except SkelError:
        return []


def _upload(folder: Path, name: str, place: str, *, private: bool, force: bool) -> None:
    """Upload in a single commit, so that a repository has all files or none of them."""
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
