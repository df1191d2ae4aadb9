"""A published table with our figures beside the printed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.run import SavedResult
from trainer.tables.commands import Missing, missing
from trainer.tables.compare import Verdict, mismatches, verdict
from trainer.tables.given import Given
from trainer.tables.model import PaperTable, Published, Row


@dataclass(frozen=True)
class Ours:
    """A figure of ours for a printed number. Accuracies in percent, the difference in points."""

    file: Path
    value: float
    difference: float
    verdict: Verdict

    @property
    def comparable(self) -> bool:
        return not self.verdict.data and not self.verdict.schedule


@dataclass(frozen=True)
class Cell:
    published: Published
    ours: tuple[Ours, ...] = ()
    missing: Missing | None = None
    """What is not there yet and the commands that make it; None when filled, or when nothing here can."""


@dataclass(frozen=True)
class Unfit:
    """A result that is for no cell of the table."""

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


def fill(table: PaperTable, given: Sequence[Given]) -> FilledTable:
    """Every result goes to the cells that it is the same quantity as, the rest is listed with the reason."""
    placed: dict[int, list[Ours]] = {}
    unfit = []
    targets = [cell for row in table.rows for cell in row.cells if cell is not None and cell.method]
    for each in given:
        for saved in each.results:
            fits, reason = _places(targets, saved, each)
            for cell in fits:
                placed.setdefault(id(cell), []).append(_ours(cell, saved))
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
    """Whether the cells of a row differ in their epochs alone."""
    printed = [cell for cell in row.cells if cell is not None]
    places = {(cell.dataset, cell.split, cell.from_dataset) for cell in printed}
    return len(places) == 1 and len({cell.epochs for cell in printed}) > 1


def _cell(cell: Published, ours: list[Ours], given: Sequence[Given], *, exact: bool) -> Cell:
    lacks = None if ours or cell.method is None else missing(cell, given, exact=exact)
    return Cell(cell, tuple(ours), lacks)


def _ours(cell: Published, saved: SavedResult) -> Ours:
    value = 100 * saved.result.top1
    return Ours(saved.path, value, value - cell.value, verdict(cell, saved.result))


def _distance(differs: list[str]) -> int:
    """Between a result and a cell: of two with as many differences the one of the same method is closer."""
    return 2 * len(differs) + any(each.startswith("method ") for each in differs)


def _places(targets: Sequence[Published], saved: SavedResult, given: Given) -> tuple[list[Published], str]:
    """The cells of a result, or the reason why there is none: what differs from the closest.

    Where rows differ in the settings that they ask for, the one that asks for most is meant; where cells
    differ in the epochs alone, the one with the run's.
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
