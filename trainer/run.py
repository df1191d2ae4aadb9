"""A run folder, opened: settings, checkpoint, method, store and results.

Everything that uses a finished training goes through this module: evaluation, reports, tables, ensembles and
export. Importing it does not import torch, nor does reading settings and results; ``open_run`` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ByteSize, Field

from schemas import (
    CheckpointError,
    EvaluationResult,
    RunConfig,
    SkelError,
    StoreError,
    UsageError,
    checks_arguments,
    regular,
    unknown,
)
from schemas.parsing import refusing
from schemas.places import Place
from schemas.yaml_text import load_yaml, read_text

if TYPE_CHECKING:
    import torch
    from torch import nn

    from schemas import DataConfig
    from trainer.checkpoint import Checkpoint
    from trainer.evaluate.scores import Scores
    from trainer.skeleton import Skeleton
    from trainer.store import Store

CONFIG = "config.yaml"
RESULTS = "results"
METRICS = "metrics.jsonl"
UNTRAINED = "untrained"
"""Names in a run folder: its settings, the folder of its evaluations, its log, and a folder whose own
``results`` are those of random weights."""
RANDOM = "random weights"
"""The checkpoint of such results."""
EXPORTED = "encoder.json"
"""The file that marks an exported encoder, which is not a run."""
_MOST_RESULT = 64 * 2**20
"""Maximum size of a result in bytes: a hundred times that of one with 120 classes."""
JOINED = "+"
"""Joins the names of encoders, streams or conventions that are evaluated together: joint+motion+bone."""


@dataclass(frozen=True)
class Run:
    """An opened run: the fields are read on opening, everything else once, on first access."""

    path: Path
    checkpoint: Checkpoint
    checkpoint_hash: str
    """SHA-256 of the checkpoint's file."""
    device: torch.device
    store_paths: tuple[Path, ...] = ()
    """Where the run's store is now; empty: where it was in training. In a run on several stores, the first
    one is evaluated."""
    epoch_file: Path | None = None
    """Path in the folder of an earlier epoch's checkpoint; None: the last one."""

    def __repr__(self) -> str:
        data, saved = self.config.data, self.checkpoint
        epochs = f"{saved.epoch} of {self.config.optimise.epochs} epochs"
        return f"<run {self.path}: {self.config.preset} on {', '.join(data.conventions)}, {epochs}>"

    @property
    def config(self) -> RunConfig:
        """The settings with which the weights were trained."""
        return self.checkpoint.config

    @cached_property
    def store(self) -> Store:
        """The store. Raises StoreError if it is gone, CheckpointError if the run was not trained on it."""
        from trainer import checkpoint
        from trainer import store as stores

        path = self.store_paths[0] if self.store_paths else recorded_store(self.config)
        store = stores.open_store(path)
        if store.hash in self.checkpoint.more_hashes:
            return store
        remedy = "Name the store of the run with --store PATH, or train on this one"
        checkpoint.check_store(self.checkpoint, store, where=path, remedy=remedy)
        return store

    @cached_property
    def stores(self) -> list[Store]:
        """All stores that the encoder was trained on. Raises StoreError for one that cannot be located."""
        from trainer import store as stores

        there = {self.store.hash: self.store}
        recorded = [self.config.data.store, *(other.store for other in self.config.data.more)]
        if self.config.data.more:
            for path in (*self.store_paths[1:], *map(Place, recorded)):
                if path.exists():
                    opened = stores.open_store(path)
                    there.setdefault(opened.hash, opened)
        for place, digest in enumerate(self.checkpoint.hashes):
            if digest not in there:
                raise StoreError(
                    f"a store that the run was trained on, {digest[:12]}, is no longer there",
                    where=recorded[place],
                    remedy="Name where it is with one more --store PATH, behind the one that is evaluated",
                )
        return [there[digest] for digest in self.checkpoint.hashes]

    @cached_property
    def data(self) -> DataConfig:
        """The data settings of ``store`` alone, with the number of bodies that the encoder was trained on."""
        from trainer import data

        own = data.parts_of(self.config.data)[self._place]
        return own.model_copy(update={"bodies": self.bodies})

    @property
    def _place(self) -> int:
        """Index of ``store`` among the run's stores."""
        return self.checkpoint.hashes.index(self.store.hash) if self.config.data.more else 0

    @property
    def store_name(self) -> str:
        """The data set of ``store`` if the run has several, numbered if it is not unique; else empty."""
        if not self.config.data.more:
            return ""
        names = [store.manifest.dataset for store in self.stores]
        name, place = names[self._place], self._place
        return name if names.count(name) == 1 else f"{name}-{place + 1}"

    @property
    def bodies(self) -> int:
        """M of the clips that the encoder was trained on, absent bodies included."""
        from trainer import store as stores

        data = self.config.data
        return data.bodies or stores.bodies_of(self.store, data.conventions[0], frames=data.frames)

    @cached_property
    def skeletons(self) -> dict[str, Skeleton]:
        """Skeletons of the conventions that the encoder was trained on, in the order of the run's stores."""
        from trainer import data
        from trainer import store as stores

        conventions = [part.conventions for part in data.parts_of(self.config.data)]
        return stores.skeletons_of(list(zip(self.stores, conventions, strict=True)))

    @cached_property
    def method(self) -> Any:
        """The trained method on the CPU. Raises CheckpointError when its weights do not fit."""
        from trainer import checkpoint

        method = checkpoint.fresh_method(self.config, self.skeletons, seed=self.config.runtime.seed)
        checkpoint.load_weights(method, self.checkpoint.model, where=self.path / self.checkpoint_file)
        return method

    def untrained_method(self) -> Any:
        """The run's architecture on the CPU, with random weights from a seed that training never used."""
        from trainer import checkpoint, seeds

        seed = seeds.derive(self.config.runtime.seed, "random encoder")
        return checkpoint.fresh_method(self.config, self.skeletons, seed=seed)

    @property
    def checkpoint_file(self) -> Path:
        """Path of the opened checkpoint in the run folder."""
        from trainer import checkpoint

        return self.epoch_file or checkpoint.LAST

    def encoder(self, name: str | None = None) -> nn.Module:
        """An encoder, ``forward(x [N,3,T,V,M], convention) -> [N, D]``, on the device, in evaluation mode.

        ``name`` may be omitted when the method trains one encoder. Raises UsageError like ``encoder_name``.
        """
        encoder: nn.Module = self.method.encoders[self.encoder_name(name)]
        return encoder.to(self.device).eval()

    def encoder_name(self, name: str | None = None) -> str:
        """The name of an encoder, by default the only one.

        Raises UsageError for an unknown name, and for None where the method trains several encoders.
        """
        known, method = list(self.method.encoders), self.config.method.name
        if name is not None and name not in known:
            raise unknown(f"encoder of {method}", name, known)
        if name is None and len(known) > 1:
            raise UsageError(
                f"{method} trained several encoders: {', '.join(known)}",
                remedy=f"Choose one, as --encoder {known[0]}",
            )
        return known[0] if name is None else name

    def conventions(self, names: Sequence[str] = ()) -> list[str]:
        """Resolve names: none is the run's first, the reference; ``all`` is all. UsageError for unknown ones.

        In a run on several stores, the conventions are those of the store that is evaluated.
        """
        trained = self.data.conventions if self.config.data.more else self.config.data.conventions
        chosen = list(dict.fromkeys(trained if "all" in names else names or trained[:1]))
        for name in chosen:
            if name not in trained:
                raise UsageError(
                    f"the encoder was trained on {', '.join(trained)}, not on '{name}'",
                    where=self.path,
                    remedy=f"Choose --convention {trained[0]}, or train with --convention {name}",
                )
        return chosen

    @property
    def metrics(self) -> tuple[dict[str, Any], ...]:
        """The records of ``metrics.jsonl``; ``event`` is the kind of each. Empty without a log."""
        from trainer import logbook

        path = self.path / METRICS
        return tuple(logbook.read(path)) if path.is_file() else ()

    @property
    def results(self) -> tuple[SavedResult, ...]:
        """Results of the evaluations so far, sorted by file name."""
        return tuple(read_results(self.path))

    @checks_arguments
    def evaluate(
        self,
        *protocols: str,
        conventions: Sequence[str] = (),
        target: str | Path | None = None,
        target_split: str | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        untrained: bool = False,
        init_from: str | Path | None = None,
        init_skip: Sequence[str] = (),
        memory_limit: Annotated[ByteSize, Field(gt=0)] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[EvaluationResult]:
        """Evaluate like ``trainer evaluate``, by default with knn.

        See ``trainer.evaluate.run.evaluate`` for arguments and errors. ``memory_limit``: host memory that the
        clips may use, in bytes or as ``"8GB"``, overriding the run's ``data.memory_limit``.
        """
        from trainer.evaluate.run import evaluate

        return evaluate(
            self if memory_limit is None else self._within(memory_limit),
            protocols or ("knn",),
            conventions=conventions,
            target=None if target is None else Place(target),
            target_split=target_split,
            options=options or {},
            untrained=untrained,
            init_from=None if init_from is None else Path(init_from),
            init_skip=init_skip,
            on_progress=on_progress,
        )

    def _within(self, memory_limit: int) -> Run:
        """The same run with another memory limit."""
        data = self.config.data.model_copy(update={"memory_limit": memory_limit})
        config = self.config.model_copy(update={"data": data})
        return replace(self, checkpoint=replace(self.checkpoint, config=config))


@checks_arguments
def open_run(
    path: str | Path,
    *,
    store: str | Path | Sequence[str | Path] | None = None,
    device: str = "auto",
    unfinished: bool = False,
    epoch: int | None = None,
) -> Run:
    """Open a run of ``trainer.pretrain``, ``trainer pretrain`` or ``trainer import`` at its last checkpoint.

    ``store``: where the run's store is now; None: where it was in training. For a run on several stores it
    selects the one to evaluate; others that have moved follow in a list. ``device``: auto, cpu, cuda, cuda:N
    or mps. ``unfinished``: also accept a run that has not reached its last epoch. ``epoch``: open the
    checkpoint after that epoch, kept by ``runtime.keep_every``, instead of the last one. Raises
    CheckpointError when there is no checkpoint, when it is damaged, when the run is unfinished, and for an
    exported encoder, which ``load_encoder`` opens.

        >>> import trainer
        >>> run = trainer.open("runs/skeletonclr")
        >>> run.config.method.name, run.config.data.stream
        ('skeletonclr', 'joint')
    """
    from trainer import checkpoint
    from trainer import device as devices

    path = Path(path)
    if (path / EXPORTED).is_file() and not (path / checkpoint.LAST).is_file():
        raise CheckpointError(
            "is an exported encoder, no run", where=path, remedy="Open it with trainer.load_encoder"
        )
    epoch_file = None if epoch is None else _epoch_file(path, epoch)
    saved, digest = checkpoint.load_with_hash(path / (epoch_file or checkpoint.LAST))
    epochs = saved.config.optimise.epochs
    if saved.epoch < epochs and not unfinished and epoch_file is None:
        raise CheckpointError(
            f"the run is not finished: its last checkpoint is of epoch {saved.epoch} of {epochs}",
            where=path / checkpoint.LAST,
            remedy=f"Go on with `trainer pretrain --out {path} --resume`, or evaluate it as it is with "
            "--unfinished",
        )
    paths = [store] if isinstance(store, str | Path) else store or ()
    if len(paths) > len(saved.hashes):
        raise UsageError(
            f"the run was trained on {len(saved.hashes)} store(s), found {len(paths)}",
            where="--store",
            remedy="Name each of them once",
        )
    return Run(path, saved, digest, devices.choose(device), tuple(map(Place, paths)), epoch_file)


def _epoch_file(run: Path, epoch: int) -> Path | None:
    """The kept checkpoint of an epoch, None for the last one. Raises CheckpointError if there is none."""
    from trainer import checkpoint

    known, file = checkpoint.kept_epochs(run), run / checkpoint.LAST
    last = None if epoch in known and not file.is_file() else checkpoint.load(file).epoch
    if epoch == last:
        return None
    if epoch in known:
        return checkpoint.epoch_file(epoch)
    there = ", ".join(map(str, [*(each for each in known if each != last), last]))
    raise CheckpointError(
        f"no checkpoint of epoch {epoch} is kept; there is {there}",
        where=run,
        remedy="Choose one of these; --set runtime.keep_every=N keeps one every N epochs of a training",
    )


def read_config(path: Path) -> RunConfig:
    """Read a run's settings. Raises UsageError if it is not a run folder, SkelError for damaged settings."""
    file = path / CONFIG
    if not file.is_file():
        raise UsageError(
            "no run folder here: it has no config.yaml",
            where=path,
            remedy="Name the --out folder of a `trainer pretrain`",
        )

    def refuse(why: str) -> SkelError:
        return SkelError(
            f"these are not the settings of a run, or they are damaged: {why}",
            where=file,
            remedy="Restore the file; `trainer pretrain --resume` also writes it again",
        )

    with refusing(refuse):
        return RunConfig.model_validate(load_yaml(read_text(file)))


def recorded_store(config: RunConfig) -> Place:
    """Where a run's store was in training; raises StoreError if it is gone."""
    store = Place(config.data.store)
    if not store.exists():
        raise StoreError(
            "the run's store is no longer there", where=store, remedy="Name it with --store PATH"
        )
    return store


@dataclass(frozen=True)
class SavedResult:
    """A result and its file."""

    path: Path
    result: EvaluationResult

    @property
    def of_kept(self) -> bool:
        """Whether it is of a kept checkpoint of an earlier epoch."""
        return is_kept(self.result)

    def scores(self) -> Scores:
        """The result's scores. Raises SkelError when it has none, or when they are absent or damaged."""
        from trainer.evaluate.scores import read_scores

        if self.result.scores is None:
            raise SkelError(
                "this result has no scores; an earlier version wrote it",
                where=self.path,
                remedy=f"Run `trainer evaluate RUN --protocol {self.result.protocol}` again",
            )
        return read_scores(self.path.with_name(self.result.scores))


def read_result(path: Path) -> SavedResult:
    """Read a result. Raises SkelError when the file is absent, damaged or not a result."""
    if not path.exists():
        raise SkelError(
            "no result here", where=path, remedy="Make one with `trainer evaluate RUN --protocol linear`"
        )

    def refuse(why: str) -> SkelError:
        return SkelError(
            f"this is not a result of `trainer evaluate`, or it is damaged: {why}",
            where=path,
            remedy="Evaluate the run again",
        )

    with refusing(refuse):
        content = regular.read(path, most=_MOST_RESULT, counted=True)
        return SavedResult(path, EvaluationResult.model_validate_json(content))


def read_results(path: Path) -> list[SavedResult]:
    """All results of a run folder, sorted by file name; empty when nothing has been evaluated yet.

    Raises SkelError when the folder does not exist and for a damaged file.
    """
    if not path.is_dir():
        remedy = "Name the --out folder of a `trainer pretrain`"
        if _is_untrained(path):
            remedy = f"Make results of random weights with `{_evaluate(path)} --protocol linear`"
        raise SkelError("no run folder here", where=path, remedy=remedy)
    return [read_result(file) for file in sorted((path / RESULTS).glob("*.json"))]


def find_results(
    path: Path,
    *,
    protocol: str,
    conventions: Sequence[str] = (),
    encoders: Sequence[str] = (),
    joined: bool = True,
) -> list[SavedResult]:
    """Results of ``protocol`` for a run folder's last checkpoint, or the one result if ``path`` is its file.

    ``protocol``: the name of a result or of its protocol: ``semi-5`` or ``semi``. ``conventions`` and
    ``encoders`` restrict the results; empty: all. ``joined`` False excludes results of several encoders or
    conventions together. Raises SkelError when nothing is left, naming the results that exist.
    """
    if path.is_file():
        return [read_result(path)]
    results = read_results(path)
    chosen = [
        saved
        for saved in results
        if not saved.of_kept
        and protocol in (saved.result.protocol, saved.result.figure)
        and (not conventions or saved.result.convention in conventions)
        and (not encoders or saved.result.encoder in encoders)
        and (joined or JOINED not in saved.result.convention + saved.result.encoder)
    ]
    if not chosen:
        asked = " ".join([protocol, *conventions, *encoders])
        raise SkelError(
            f"no result of {asked}; there is {', '.join(saved.path.stem for saved in results) or 'none'}",
            where=path,
            remedy=f"Make it with `{_evaluate(path)} --protocol {protocol}`",
        )
    return chosen


def _evaluate(path: Path) -> str:
    """The command that writes results to ``path``, a run folder or its folder of random weights."""
    return (
        f"trainer evaluate {path.parent} --untrained" if _is_untrained(path) else f"trainer evaluate {path}"
    )


def _is_untrained(path: Path) -> bool:
    """Whether a folder is that of a run's random weights, and no run of that name."""
    return path.name == UNTRAINED and (path.parent / CONFIG).is_file() and not (path / CONFIG).is_file()


def only_result(results: Sequence[SavedResult], *, where: Path) -> SavedResult:
    """The only result or, among several, the one that combines the most encoders and conventions.

    Raises SkelError, naming the candidates, when neither exists.
    """
    if len(results) == 1:
        return results[0]
    widest = max(map(_joined, results))
    together = [saved for saved in results if _joined(saved) == widest]
    if widest > 0 and len(together) == 1:
        return together[0]
    raise SkelError(
        f"several results fit: {', '.join(saved.path.stem for saved in results)}",
        where=where,
        remedy="Choose with --protocol, --convention and --encoder, or name the result's .json file",
    )


def likes(
    ones: Sequence[SavedResult], others: Sequence[SavedResult]
) -> list[tuple[SavedResult, SavedResult]]:
    """Comparable pairs of results: of the same figure, convention, stream and encoder.

    The most representative results come first: those of all encoders together, in a single convention.
    """
    pairs = [(one, other) for one in ones for other in others if kind_of(one) == kind_of(other)]
    return sorted(pairs, key=lambda pair: _place(pair[0]))


def only_like(
    ones: Sequence[SavedResult], others: Sequence[SavedResult]
) -> tuple[SavedResult, SavedResult] | None:
    """The first pair of ``likes``; None if there is none or if the second ranks equally."""
    pairs = likes(ones, others)
    if not pairs or (len(pairs) > 1 and _place(pairs[0][0]) == _place(pairs[1][0])):
        return None
    return pairs[0]


def kind_of(saved: SavedResult) -> tuple[str, ...]:
    """Figure, convention, stream and encoder; the members of a combination are sorted."""
    result = saved.result
    parts = (result.convention, result.stream, result.encoder or result.stream)
    return (result.figure, *(JOINED.join(sorted(part.split(JOINED))) for part in parts))


def is_kept(result: EvaluationResult) -> bool:
    """Whether it is of a kept checkpoint of an earlier epoch (``runtime.keep_every``)."""
    return Path(result.checkpoint).name.startswith("epoch-")


def apart_from_seed(config: RunConfig) -> str:
    """A key shared by runs that differ only in seed, store location and the machine they ran on."""
    tree = config.model_dump(mode="json")
    tree["runtime"] = {name: tree["runtime"][name] for name in ("precision", "batch_norm")}
    for part in (tree["data"], *tree["data"]["more"]):
        part["store"] = ""
    tree["data"]["memory_limit"] = tree["optimise"]["accumulate"] = None
    return json.dumps(tree, sort_keys=True)


def measured_on(result: EvaluationResult) -> str:
    """Convention with stream and encoder in words, e.g. ``kinectv2_25, joint``."""
    encoder = "" if result.encoder in ("", result.stream) else f": {result.encoder}"
    return f"{result.convention}, {result.stream}{encoder}"


def _place(saved: SavedResult) -> tuple[int, int]:
    return -saved.result.encoder.count(JOINED), saved.result.convention.count(JOINED)


def _joined(saved: SavedResult) -> int:
    """Number of further conventions and encoders that a combined result has."""
    return saved.result.convention.count(JOINED) + saved.result.encoder.count(JOINED)
