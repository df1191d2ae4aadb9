"""Measure the claims of a published folder or of a run again on a store.

Figures of a frozen encoder are measured as before: its features, then the protocol, from the same seed. A
saved classifier is applied to the test half again. For protocols that train the encoder nothing more is done,
because it would have to be trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from schemas import (
    CheckpointError,
    DataConfig,
    EvaluationResult,
    SkelError,
    StoreError,
    UsageError,
    checks_arguments,
)
from schemas.parsing import refusing
from schemas.places import Place
from schemas.yaml_text import read_text
from trainer import checkpoint, hub
from trainer import device as devices
from trainer import store as stores
from trainer.evaluate import PROTOCOLS
from trainer.evaluate.crop import Crop
from trainer.evaluate.features import Features, Split, check_finite, cropped, extract
from trainer.evaluate.scores import Scores
from trainer.export import EncoderCard
from trainer.options import checked
from trainer.publishing import model_card
from trainer.publishing.claims import Claim, base_of, claim_of, is_frozen
from trainer.publishing.compare import Check, compared
from trainer.publishing.manifest import (
    FORMAT,
    MANIFEST,
    MODEL_CARD,
    problems_of,
    read_figures,
    read_manifest,
)
from trainer.run import JOINED, Run, SavedResult, open_run, read_results
from trainer.store import Store
from trainer.use.model import Classifier, Model, load, of_run
from trainer.use.sources import check_fits

TOLERANCE = 0.002
"""Allowed difference of a figure on the same store, as a fraction of the test clips; one clip is always
allowed. Features differ by 1e-6 between processors."""


@dataclass(frozen=True)
class Stated:
    """A claim with its encoder, and the saved classifier if any."""

    claim: Claim
    model: Model
    classifier: Classifier | None


@checks_arguments
def verify(
    path: str | Path,
    store: str | Path | Sequence[str | Path],
    *,
    device: str = "auto",
    tolerance: float = TOLERANCE,
) -> list[Check]:
    """Check the files and claims of a published folder or ``hf://user/name``, or the results of a run.

    ``store``: one or several. A claim is measured on the one with its fingerprint, where figures may differ
    by ``tolerance``, a fraction of the test clips, or by one clip; otherwise on the first of its data set,
    where top-1 must lie in the claim's 95 % interval. Claims of a folder whose files were changed are not
    measured. Raises CheckpointError for a path that is neither published nor a run, and StoreError for a path
    that is not a store.

        >>> import trainer
        >>> [check.verdict for check in trainer.verify("published", "store.zarr")]
        ['holds', 'holds']
    """
    places = [store] if isinstance(store, str | Path) else list(store)
    return list(checks(Path(path), [Place(each) for each in places], device=device, tolerance=tolerance))


def checks(path: Path, places: Sequence[Path], *, device: str, tolerance: float) -> Iterator[Check]:
    """As ``verify``, yielding each check as soon as it is done."""
    if not places or not 0 <= tolerance < 1:
        what = f"{tolerance} is no fraction in 0..1" if places else "there is no store to measure on"
        raise UsageError(what, where="--tolerance" if places else "--store")
    opened = [stores.open_store(place) for place in places]
    folder = hub.local(path)
    is_run = (folder / checkpoint.LAST).is_file()
    measuring = Measuring(opened, devices.choose(device), tolerance)
    for each in _of_run(folder, opened) if is_run else _of_published(folder):
        if isinstance(each, Check):
            yield each
        else:
            yield from measuring.of(each)


# --- what is claimed ----------------------------------------------------------------------------------------


def _of_published(folder: Path) -> Iterator[Check | Stated]:
    manifest = read_manifest(folder)
    problems = problems_of(folder, manifest)
    for problem in problems:
        yield Check("files", "fails", problem)
    if problems:
        yield Check("figures", "not checked", "the files are not those that were published")
        return
    yield Check("files", "holds", f"all {len(manifest.files)} are as {MANIFEST} says")
    claims = read_figures(folder).claims
    if manifest.format == FORMAT:
        yield _of_card(_text(folder / MODEL_CARD), claims)
    model = load(folder)
    for claim in claims:
        classifier = model.classifiers.get(claim.convention)
        yield Stated(claim, model, classifier if classifier and _is_of(classifier, claim) else None)


def _text(path: Path) -> str:
    with refusing(lambda why: CheckpointError(why, where=path, remedy="Download the folder again")):
        return read_text(path)


def _of_card(text: str, claims: Sequence[Claim]) -> Check:
    """Check that the model card and its metadata state the figures of ``figures.json``."""
    lines = {*text.splitlines()}
    wrong = [claim.figure for claim in claims if model_card.row(claim) not in lines]
    index = model_card.front_of(text).get("model-index") or [{}]
    if wrong or not isinstance(index, list) or index[0].get("results", []) != model_card.metrics(claims):
        what = ", ".join(wrong) or "its metadata"
        return Check(MODEL_CARD, "fails", f"says otherwise than figures.json: {what}")
    return Check(MODEL_CARD, "holds", f"has the {len(claims)} figures of figures.json")


def _is_of(classifier: Classifier, claim: Claim) -> bool:
    card = classifier.card
    return (card.figure, card.store_hash, card.split) == (claim.figure, claim.store_hash, claim.split)


def _of_run(path: Path, opened: Sequence[Store]) -> Iterator[Check | Stated]:
    run = _opened(path, opened)
    results = read_results(path)
    if not results:
        raise SkelError(
            "the run has no results", where=path, remedy=f"Make some with `trainer evaluate {path}`"
        )
    same = sum(saved.result.checkpoint_hash == run.checkpoint_hash for saved in results)
    text = f"sha256 {run.checkpoint_hash[:12]} is that of {same} of {len(results)} results"
    yield Check(str(run.checkpoint_file), "holds" if same else "fails", text)
    models = {name: of_run(run, name) for name in run.method.encoders}
    for saved in results:
        what, reason = saved.path.stem, _unmeasurable(saved.result, run)
        try:
            yield Check(what, "not checked", reason) if reason else _stated(saved, run, models)
        except SkelError as error:
            yield Check(what, "not checked", str(error))


def _opened(path: Path, opened: Sequence[Store]) -> Run:
    """The run with the given stores that it was trained on, which may have moved."""
    run = open_run(path, device="cpu", unfinished=True)
    own = [store.path for store in opened if store.hash in run.checkpoint.hashes]
    return open_run(path, store=own, device="cpu", unfinished=True) if own else run


def _unmeasurable(result: EvaluationResult, run: Run) -> str:
    """Why a result cannot be checked, in words; empty if it can."""
    if result.checkpoint_hash != run.checkpoint_hash:
        return "is of another checkpoint than the run's last"
    if JOINED in result.encoder + result.convention:
        return "is of several together; each is checked by itself"
    if not is_frozen(result) and result.classifier is None:
        return "has no classifier that was kept: it would have to train again"
    return ""


def _stated(saved: SavedResult, run: Run, models: Mapping[str, Model]) -> Stated:
    result = saved.result
    name = result.encoder or next(iter(models))
    classifier = None
    if result.classifier is not None:
        model = of_run(run, name, figure=saved.path.stem)
        classifier = model.classifiers[result.convention]
    claim = claim_of(result, seed=run.config.runtime.seed)
    return Stated(claim, models[name], classifier)


# --- what is found ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measuring:
    """How claims are measured, and on which stores."""

    opened: Sequence[Store]
    device: torch.device
    tolerance: float
    seen: dict[Any, Any] = field(default_factory=dict)
    """Features of the most recently encoded halves."""

    def of(self, stated: Stated) -> Iterator[Check]:
        """Repeat the protocol for a frozen encoder, and apply the classifier if one was saved."""
        claim = stated.claim
        what = f"{claim.figure}, {claim.convention}, {claim.encoder}"
        try:
            store = self._store(claim)
            for how, measure in self._ways(stated, store):
                yield compared(claim, measure(), how, store, what=what, tolerance=self.tolerance)
        except SkelError as error:
            yield Check(what, "not checked", str(error), claim.top1)

    def _store(self, claim: Claim) -> Store:
        """The store of the claim, else the first of its data set; raises StoreError without any."""
        alike = [store for store in self.opened if store.manifest.dataset == claim.dataset]
        same = [store for store in self.opened if store.hash == claim.store_hash]
        if not same + alike:
            raise StoreError(
                f"is measured on {claim.dataset}, store {claim.store_hash[:12]}",
                remedy=f"Name such a store, as --store {claim.store}",
            )
        return (same + alike)[0]

    def _ways(self, stated: Stated, store: Store) -> Iterator[tuple[str, Callable[[], Scores]]]:
        check_fits(stated.model.card, store, stated.claim.convention)
        same = store.hash == stated.claim.store_hash
        if is_frozen(stated.claim):
            yield "measured again", partial(self._again, stated, store)
        if stated.classifier is not None and (same or not is_frozen(stated.claim)):
            yield (
                "by the kept classifier",
                partial(self._by_classifier, stated.classifier, stated.claim, store),
            )
        elif not is_frozen(stated.claim):
            raise SkelError(f"{stated.claim.protocol} kept no classifier: it would have to train again")

    def _again(self, stated: Stated, store: Store) -> Scores:
        claim = stated.claim
        module, settings = PROTOCOLS[base_of(claim.protocol)], {}
        if claim.protocol == base_of(claim.protocol):
            known = module.Options.model_fields
            settings = {name: value for name, value in claim.settings.items() if name in known}
        options = checked(module.Options, settings, where=claim.protocol)
        train, test = self._halves(stated, store, getattr(options, "crop", None))
        several = module.evaluate(
            train, test, classes=store.manifest.classes, seed=claim.seed, options=options
        )
        return next(each for each in several if (each.name or each.protocol) == claim.figure)

    def _halves(self, stated: Stated, store: Store, crop: Crop | None) -> tuple[Features, Features]:
        claim, encoder = stated.claim, stated.model.encoder.to(self.device)
        key = (id(encoder), store.path, claim.split, claim.convention, claim.seed, str(crop))
        if key not in self.seen:
            halves = _split(store, claim, encoder.card).halves(claim.convention, encoder.stream)
            given: dict[str, Any] = {"convention": claim.convention, "device": self.device}
            self.seen.clear()
            self.seen[key] = (
                tuple(extract(encoder, half, **given) for half in halves)
                if crop is None
                else cropped(encoder, halves, crop, seed=claim.seed, **given)
            )
            for features, half in zip(self.seen[key], halves, strict=True):
                check_finite(features, half, encoder=claim.encoder, convention=claim.convention)
        pair: tuple[Features, Features] = self.seen[key]
        return pair

    def _by_classifier(self, classifier: Classifier, claim: Claim, store: Store) -> Scores:
        encoder = classifier.encoder.to(self.device)
        if classifier.card.classes != store.manifest.classes:
            raise StoreError("has other classes than the classifier", where=store.path)
        half = _split(store, claim, encoder.card).half("test", claim.convention, encoder.stream)
        crop = classifier.crop
        view = None if crop is None else (lambda clips, _: crop.centre(clips))
        features = extract(encoder, half, convention=claim.convention, device=self.device, view=view)
        logits = classifier.head.logits(features.values)
        return Scores(features.ids, features.labels, logits, classifier.card.classes, protocol=claim.protocol)


def _split(store: Store, claim: Claim, card: EncoderCard) -> Split:
    """The split, read as in the encoder's training; raises StoreError if the store lacks it."""
    stores.check_split(store, claim.split)
    given = card.input
    stores.check_stream(store, claim.convention, frames=given.frames, stream=given.stream)
    data = DataConfig(
        store=str(store.path),
        split=claim.split,
        conventions=(claim.convention,),
        stream=given.stream,
        frames=given.frames,
        bodies=given.bodies,
    )
    return Split(store, claim.split, data)
