"""What is evaluated and on what: the checkpoint of a run and its store, checked against one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from schemas import CheckpointError, StoreError, UsageError
from trainer import checkpoint
from trainer import store as stores
from trainer.checkpoint import LAST, Checkpoint
from trainer.data import Source
from trainer.evaluate.features import open_half
from trainer.store import Store

Load = Callable[[str, str], tuple[Source, Source]]
"""(where, stream) -> training and test half; where: ``run``, the run's own store, or ``target``."""


@dataclass(frozen=True)
class Ground:
    """A store and the split of it that is used."""

    store: Store
    split: str


@dataclass(frozen=True)
class Occasion:
    run: Path
    saved: Checkpoint
    checkpoint_hash: str
    """Empty for random weights."""
    grounds: dict[str, Ground]
    """``run``, and ``target`` when another store was named."""
    device: torch.device

    @property
    def store(self) -> Store:
        """The run's."""
        return self.grounds["run"].store


def open_occasion(
    run: Path,
    *,
    store: Path | None,
    target: Path | None,
    target_split: str | None,
    device: torch.device,
    untrained: bool,
    unfinished: bool,
) -> Occasion:
    """Raises CheckpointError and StoreError for whatever is absent or does not fit together."""
    saved, digest = _load(run / LAST)
    if not unfinished:
        _check_finished(saved, run)
    assert saved.config.data.split is not None  # resolved before a run starts
    opened = _open(saved, store)
    stores.check_protocol(opened, saved.config.data.split)
    grounds = {"run": Ground(opened, saved.config.data.split)}
    if target is not None:
        grounds["target"] = _target(target, target_split, saved.config.data.split)
    return Occasion(run, saved, "" if untrained else digest, grounds, device)


def _load(path: Path) -> tuple[Checkpoint, str]:
    """The checkpoint and the hash of its file; a run in progress may replace it in between."""
    before = checkpoint.file_hash(path) if path.is_file() else ""
    saved = checkpoint.load(path)
    if checkpoint.file_hash(path) != before:
        raise CheckpointError(
            "the file was replaced while it was read", where=path, remedy="The run goes on; try again"
        )
    return saved, before


def _check_finished(saved: Checkpoint, run: Path) -> None:
    epochs = saved.config.optimise.epochs
    if saved.epoch < epochs:
        raise CheckpointError(
            f"the run is not finished: its last checkpoint is of epoch {saved.epoch} of {epochs}",
            where=run / LAST,
            remedy=f"Go on with `trainer pretrain --out {run} --resume`, or evaluate it as it is with "
            "--unfinished",
        )


def _open(saved: Checkpoint, path: Path | None) -> Store:
    given = Path(saved.config.data.store) if path is None else path
    if path is None and not given.exists():
        raise StoreError(
            "the run's store is no longer there", where=given, remedy="Name it with --store PATH"
        )
    opened = stores.open_store(given)
    checkpoint.check_store(
        saved,
        opened,
        where=given,
        remedy="Name the store of the run with --store PATH, or train on this one",
    )
    return opened


def _target(path: Path, split: str | None, run_split: str) -> Ground:
    """The named split, else the one that is called like the run's, else the store's first."""
    opened = stores.open_store(path)
    known = list(opened.manifest.protocols)
    chosen = split or (run_split if run_split in known else next(iter(known), ""))
    if chosen not in known:
        raise StoreError(
            f"the target has no split '{chosen}'; there is {', '.join(known) or 'none'}",
            where=path,
            remedy="Choose one of them with --target-split",
        )
    return Ground(opened, chosen)


def chosen_conventions(saved: Checkpoint, given: Sequence[str], run: Path) -> list[str]:
    """The run's first, the reference, when none is given; ``all``: all of the run."""
    trained = saved.config.data.conventions
    named = list(dict.fromkeys(trained if "all" in given else given or trained[:1]))
    for name in named:
        if name not in trained:
            raise UsageError(
                f"the encoder was trained on {', '.join(trained)}, not on '{name}'",
                where=run,
                remedy=f"Choose --convention {trained[0]}, or train with --convention {name}",
            )
    return named


def loader(occasion: Occasion, convention: str) -> Load:
    """Reads the halves of the split: the stored stream, of that convention's own bones.

    What was read last is kept, and nothing else: one stream in memory is enough. A half that is larger than
    the run's ``data.memory_limit`` stays in the store.
    """
    kept: dict[tuple[str, str], tuple[Source, Source]] = {}
    settings = occasion.saved.config.data

    def halves(where: str, stream: str) -> tuple[Source, Source]:
        if (where, stream) not in kept:
            kept.clear()
            ground = occasion.grounds[where]
            train, test = (
                open_half(
                    stores.select(
                        ground.store,
                        protocol=ground.split,
                        part=part,
                        conventions=[convention],
                        frames=settings.frames,
                        stream=stream,
                    ),
                    memory_limit=settings.memory_limit,
                )
                for part in ("train", "test")
            )
            _check_classes(train, ground)
            kept[where, stream] = train, test
        return kept[where, stream]

    return halves


def _check_classes(train: Source, ground: Ground) -> None:
    """A test half may lack classes, and a note says so; a training half of one class teaches nothing."""
    if len(train.labels.unique()) < 2:
        name = ground.store.manifest.classes[int(train.labels[0])]
        raise StoreError(
            f"all {len(train)} training samples of {ground.split} are of one class, '{name}': any figure "
            "would be meaningless",
            where=ground.store.path,
            remedy="Evaluate on a split with two classes or more",
        )
