"""The sources that a table is filled from: run folders, and the results of their ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas import RunConfig, SkelError
from trainer.run import CONFIG, RANDOM, RESULTS, SavedResult, read_config, read_result, read_results

SWEEP = "sweep.yaml"
ENSEMBLES = "ensembles"
"""In the folder of a sweep: a copy of its file, and the folder with the results of its ensembles."""


@dataclass(frozen=True)
class Source:
    """Results that share their training settings."""

    path: Path
    config: RunConfig | None
    """None for results outside of a run folder."""
    results: tuple[SavedResult, ...]

    @property
    def trained(self) -> bool:
        """Whether this is a run that can be evaluated again."""
        return (self.path / CONFIG).is_file()


def read_sources(paths: Sequence[Path]) -> list[Source]:
    """Read each path: a run folder, a folder with results of ensembles, or a single result file.

    The folder of a sweep stands for its evaluated runs and its ensembles. An ensemble has the settings of the
    first run among ``paths`` that it was made from. Raises SkelError for a path that is none of these, and
    for a run that was not evaluated.
    """
    everything = [_read(each) for path in paths for each in _of_sweep(path)]
    runs = [given for given in everything if given.config is not None]
    return [given if given.config is not None else _adopted(given, runs) for given in everything]


def _of_sweep(path: Path) -> list[Path]:
    """The evaluated folders within the folder of a sweep; any other path itself."""
    if not (path / SWEEP).is_file():
        return [path]
    inside = sorted(folder for folder in path.iterdir() if any((folder / RESULTS).glob("*.json")))
    ensembles = path / ENSEMBLES
    folders = [*inside, *([ensembles] if any(ensembles.glob("*.json")) else [])]
    if not folders:
        raise SkelError(
            "no run of this sweep has been evaluated yet",
            where=path,
            remedy=f"Go on with `trainer sweep {path / SWEEP} --out {path}`",
        )
    return folders


def _read(path: Path) -> Source:
    """Raises SkelError for results of random weights, which no table shows."""
    source = _source_of(path)
    if any(saved.result.checkpoint == RANDOM for saved in source.results):
        raise SkelError("these are results of random weights", where=path, remedy="Name the run's folder")
    return source


def _source_of(path: Path) -> Source:
    if path.is_file():
        run = path.parent.parent
        config = read_config(run) if (run / CONFIG).is_file() else None
        return Source(path, config, (read_result(path),))
    if (path / CONFIG).is_file():
        results = tuple(read_results(path))
        if not results:
            raise SkelError(
                "this run has not been evaluated yet",
                where=path,
                remedy=f"Evaluate it with `trainer evaluate {path} --protocol linear`",
            )
        return Source(path, read_config(path), results)
    files = sorted(path.glob("*.json")) if path.is_dir() else []
    if not files:
        raise SkelError(
            "this is neither a run folder nor the result of an ensemble",
            where=path,
            remedy="Name the --out folder of a `trainer pretrain`, or what `trainer ensemble` wrote",
        )
    return Source(path, None, tuple(read_result(file) for file in files))


def _adopted(given: Source, runs: Sequence[Source]) -> Source:
    """Add the settings of the first run that a member of the ensemble comes from."""
    members = {
        member["checkpoint_hash"]
        for saved in given.results
        for member in saved.result.settings.get("members", ())
    }
    for run in runs:
        if any(saved.result.checkpoint_hash in members for saved in run.results):
            return Source(given.path, run.config, given.results)
    return given
