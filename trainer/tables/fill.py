"""A published table with our figures beside the printed ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from trainer.run import SavedResult, apart_from_seed
from trainer.tables.commands import Missing, missing
from trainer.tables.compare import Verdict, mismatches, value_of, verdict
from trainer.tables.model import PaperTable, Published, Row
from trainer.tables.sources import Source

Placed = tuple[str, int, SavedResult]
"""A result of a cell, with a key shared by results that differ only in the seed, and its seed."""


@dataclass(frozen=True)
class Ours:
    """A figure of ours for a published number; accuracies in percent, the difference in points.

    For runs that differ only in their seed it is the mean, and ``file`` is that of the first.
    """

    file: Path
    value: float
    difference: float | None
    """None for synthetic data, which say nothing about real data."""
    verdict: Verdict
    std: float | None = None
    """Sample standard deviation over seeds."""
    files: tuple[Path, ...] = ()
    """The files of all seeds, if there are several."""

    @property
    def comparable(self) -> bool:
        return not self.verdict.data and not self.verdict.schedule


@dataclass(frozen=True)
class Cell:
    published: Published
    ours: tuple[Ours, ...] = ()
    missing: Missing | None = None
    """What is still missing and the commands that produce it; None if filled, or if this project cannot
    produce it."""


@dataclass(frozen=True)
class Unfit:
    """A result that belongs in no cell of the table."""

    file: Path
    reason: str


@dataclass(frozen=True)
class FilledTable:
    table: PaperTable
    rows: tuple[tuple[Cell | None, ...], ...]
    unfit: tuple[Unfit, ...]

    def cells(self) -> Iterator[Cell]:
        for row in self.rows:
            yield from (cell for cell in row if cell is not None)


def fill(table: PaperTable, given: Sequence[Source]) -> FilledTable:
    """Place every result in the cells of the same quantity; the rest is listed with the reason."""
    placed: dict[int, list[Placed]] = {}
    unfit = []
    targets = [cell for row in table.rows for cell in row.cells if cell is not None and cell.method]
    for each in given:
        for saved in each.results:
            fits, reason = _places(targets, saved, each)
            for cell in fits:
                placed.setdefault(id(cell), []).append((_group(each, saved), _seed(each), saved))
            if not fits:
                unfit.append(Unfit(saved.path, reason))
    rows = tuple(
        tuple(
            None if cell is None else _cell(cell, placed.get(id(cell), []), given, exact=_by_epochs(row))
            for cell in row.cells
        )
        for row in table.rows
    )
    return FilledTable(table, rows, tuple(unfit))


def _by_epochs(row: Row) -> bool:
    """Whether the cells of a row differ only in their epochs."""
    printed = [cell for cell in row.cells if cell is not None]
    places = {(cell.dataset, cell.split, cell.from_dataset) for cell in printed}
    return len(places) == 1 and len({cell.epochs for cell in printed}) > 1


def _group(given: Source, saved: SavedResult) -> str:
    """A key that is equal for results of runs that differ only in their seed."""
    if given.config is None or saved.result.protocol == "ensemble":
        return str(saved.path)
    settings = json.dumps(saved.result.settings, sort_keys=True)
    return f"{apart_from_seed(given.config)} {saved.result.figure} {saved.result.epoch} {settings}"


def _seed(given: Source) -> int:
    return 0 if given.config is None else given.config.runtime.seed


def _cell(cell: Published, placed: list[Placed], given: Sequence[Source], *, exact: bool) -> Cell:
    groups: dict[str, dict[int, SavedResult]] = {}
    for group, seed, saved in placed:
        again = seed in groups.get(group, {})
        groups.setdefault(str(saved.path) if again else group, {})[seed] = saved
    ours = [_ours(cell, [*by_seed.values()]) for by_seed in groups.values()]
    lacks = None if ours or cell.method is None else missing(cell, given, exact=exact)
    return Cell(cell, tuple(ours), lacks)


def _ours(cell: Published, seeds: Sequence[SavedResult]) -> Ours:
    values, first = [100 * (value_of(cell, saved.result) or 0) for saved in seeds], seeds[0]
    value = mean(values)
    difference = None if first.result.synthetic else value - cell.value
    judged = verdict(cell, first.result)
    if len(seeds) == 1:
        return Ours(first.path, value, difference, judged)
    return Ours(first.path, value, difference, judged, stdev(values), tuple(saved.path for saved in seeds))


def _distance(differs: list[str]) -> int:
    """Distance between a result and a cell; among equally many differences, the same method is closer."""
    return 2 * len(differs) + any(each.startswith("method ") for each in differs)


def _places(targets: Sequence[Published], saved: SavedResult, given: Source) -> tuple[list[Published], str]:
    """The cells of a result, or how it differs from the closest cell if there is none.

    If rows differ in the settings that they require, the one that requires most is chosen; if cells differ
    only in the epochs, the one with the run's.
    """
    differing = [(mismatches(cell, saved.result, given.config), cell) for cell in targets]
    fits = [cell for differs, cell in differing if not differs]
    if not fits:
        closest = min((differs for differs, _ in differing), key=_distance)
        return [], "; ".join(closest)
    most = max(len(cell.settings) for cell in fits)
    fits = [cell for cell in fits if len(cell.settings) == most]
    lengths = {cell.epochs for cell in fits}
    if len(lengths) > 1:
        exact = [cell for cell in fits if cell.epochs == saved.result.epoch]
        printed = ", ".join(str(length) for length in sorted(filter(None, lengths)))
        return exact, f"{saved.result.epoch} epochs, the table has {printed}"
    return fits, ""
