"""Classifiers saved by evaluations of a run: found in its results, and included in an export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from schemas import CheckpointError, SkelError
from trainer import checkpoint
from trainer.evaluate import heads
from trainer.evaluate.crop import Crop
from trainer.evaluate.heads import ClassifierCard, Head
from trainer.export.card import EncoderCard, KeptClassifier
from trainer.run import RESULTS, Run, SavedResult, find_results, only_result, read_result, read_results

LEARNING = ("linear", "finetune", "supervised", "semi")
"""Protocols that save a classifier of the run's own classes, in the order of ``PROTOCOLS``."""


@dataclass(frozen=True)
class Kept:
    """A classifier with its card."""

    head: Head
    card: ClassifierCard

    @property
    def learned_encoder(self) -> bool:
        """Whether it was trained together with an encoder that differs from the run's."""
        return bool(self.head.encoder)

    @property
    def crop(self) -> Crop | None:
        """The temporal crop of the clips that it sees; None: whole clips."""
        setting = self.card.settings.get("crop")
        return None if setting is None else Crop.model_validate(setting)


def kept_by(run: Run, figure: str, *, convention: str, encoder: str) -> Kept:
    """The classifier of a result such as ``linear`` or ``semi-5``, or of ``RUN/results/FIGURE.json``.

    The first is preferably that of the run's own store, the second may be of a target. Raises SkelError when
    there is no such result, or only one of an earlier version or checkpoint.
    """
    named = _named(run, figure)
    if named is None:
        results = find_results(run.path, protocol=figure, conventions=[convention], encoders=[encoder])
        saved = only_result([each for each in results if _is_own(run, each)] or results, where=run.path)
    else:
        saved = named
        if (named.result.convention, named.result.encoder) != (convention, encoder):
            raise SkelError(
                f"this result is of {named.result.convention} {named.result.encoder}, not of {convention} "
                f"{encoder}",
                where=named.path,
                remedy="Choose its --convention and its --encoder",
            )
    again = f"Run `trainer evaluate {run.path} --protocol {saved.result.protocol}` again"
    if saved.result.classifier is None:
        learned = saved.result.protocol in LEARNING
        what = "an earlier version wrote it" if learned else "nothing is learned"
        raise SkelError(
            f"this result has no classifier: {what}",
            where=saved.path,
            remedy=again if learned else f"Choose one of {', '.join(LEARNING)}",
        )
    head, card = heads.read_head(saved.path.with_name(saved.result.classifier))
    if card.checkpoint_hash != run.checkpoint_hash:
        raise SkelError(
            f"this classifier is of another checkpoint, {card.checkpoint_hash[:12]}, than the run's last, "
            f"{run.checkpoint_hash[:12]}",
            where=saved.path,
            remedy=again,
        )
    return Kept(head, card)


def figures_of(run: Run, *, convention: str, encoder: str) -> list[str]:
    """Figures with a classifier of the run's last checkpoint; the first is the headline of reports."""
    results = [
        saved.result
        for saved in (read_results(run.path) if (run.path / RESULTS).is_dir() else [])
        if saved.result.classifier is not None
        and saved.result.checkpoint_hash == run.checkpoint_hash
        and (saved.result.convention, saved.result.encoder) == (convention, encoder)
        and _is_own(run, saved)
        and saved.result.protocol in LEARNING
    ]
    results.sort(key=lambda each: (LEARNING.index(each.protocol), each.figure))
    return [each.figure for each in results]


def convention_of(run: Run, figure: str) -> str | None:
    """The convention of the result whose file is named; None if ``figure`` does not name a file."""
    named = _named(run, figure)
    return None if named is None else named.result.convention


def _named(run: Run, figure: str) -> SavedResult | None:
    path = run.path / RESULTS / f"{figure}.json"
    return read_result(path) if path.name == f"{figure}.json" and path.is_file() else None


def _is_own(run: Run, saved: SavedResult) -> bool:
    """Whether a result is of the run's weights on its own store."""
    return saved.result.store_hash == run.store.hash and "init_from" not in saved.result.settings


def write_classifier(classifier: Kept, convention: str, folder: Path) -> KeptClassifier:
    """Write a classifier into an export, without the encoder's weights, which are the export's."""
    path = folder / f"classifier-{convention}{heads.SUFFIX}"
    path.write_bytes(heads.to_bytes(replace(classifier.head, encoder={}), classifier.card))
    return KeptClassifier(
        file=path.name,
        sha256=checkpoint.file_hash(path),
        figure=classifier.card.figure,
        finetuned=classifier.learned_encoder,
        classes=classifier.card.classes,
    )


def read_classifiers(folder: Path, card: EncoderCard) -> dict[str, Kept]:
    """Convention -> classifier of an export; raises CheckpointError for files that are not the card's."""
    classifiers = {}
    for convention, entry in card.classifiers.items():
        path = folder / entry.file
        if Path(entry.file).name != entry.file or not path.is_file():
            raise CheckpointError(
                f"no {entry.file} beside the card",
                where=folder,
                remedy="Copy the whole folder, or export again",
            )
        if checkpoint.file_hash(path) != entry.sha256:
            raise CheckpointError(
                "this is not the classifier of the card, or it is damaged",
                where=path,
                remedy="Copy all files of one export, or export the run again",
            )
        classifiers[convention] = Kept(*heads.read_head(path))
    return classifiers
