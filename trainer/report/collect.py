"""Read run folders as far as possible; whatever cannot be read becomes a note instead of an error.

Only a folder that is not a run ends the report: there would be nothing to say about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas import RunConfig, SkelError, regular
from schemas.parsing import reason
from trainer import logbook
from trainer import store as stores
from trainer.evaluate import PROTOCOLS
from trainer.logbook import Record
from trainer.report.parts import Note
from trainer.run import JOINED, RESULTS, Run, SavedResult, open_run, read_config, read_result
from trainer.store import Store


@dataclass(frozen=True)
class RunFolder:
    """One run of the report."""

    path: Path
    name: str
    """Short, and distinct from the names of the other runs."""
    config: RunConfig
    records: tuple[Record, ...]
    results: tuple[SavedResult, ...]
    opened: Run | None
    """None if its checkpoint cannot be read."""
    store: Store | None
    """The store that the run was trained on, if it still exists."""
    problems: tuple[Note, ...]
    """What could not be read."""

    @property
    def reference(self) -> str:
        """Its first convention."""
        return next(iter(self.config.data.conventions), "")

    @property
    def ranked(self) -> list[SavedResult]:
        """The results, most telling first."""
        return sorted(self.results, key=lambda saved: rank(saved, self.reference))

    @property
    def epoch(self) -> int:
        """Completed epochs, from the checkpoint or else from the log."""
        if self.opened is not None:
            return self.opened.checkpoint.epoch
        return max((record["epoch"] for record in self.epochs), default=0)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.optimise.epochs

    @property
    def epochs(self) -> tuple[Record, ...]:
        """The log record of every completed epoch."""
        return tuple(record for record in self.records if record["event"] == "epoch")

    @property
    def alarms(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record["event"] == "warning")

    @property
    def synthetic(self) -> bool:
        """Whether the run is known to use the built-in demo data."""
        if self.store is not None:
            return self.store.manifest.synthetic
        return any(saved.result.synthetic for saved in self.results)

    @property
    def notes(self) -> tuple[Note, ...]:
        """The problems, preceded by warnings about an unfinished run or results of an earlier checkpoint."""
        notes: list[Note] = []
        if not self.finished:
            total = self.config.optimise.epochs
            text = f"{self.epoch} of {total} epochs are done: the run is in progress, or was stopped"
            notes.append(Note(text, f"trainer pretrain --out {self.path} --resume", "warning"))
        last = self.opened.checkpoint_hash if self.opened is not None else ""
        measured = [
            (saved.path.name, saved.result.checkpoint_hash) for saved in self.results if not saved.of_kept
        ]
        stale = [name for name, digest in measured if last and digest not in ("", last)]
        if stale:
            text = f"measured on an earlier checkpoint than the run's last: {', '.join(stale)}"
            notes.append(Note(text, self.command("..."), "warning"))
        return (*notes, *self.problems)

    def command(self, protocol: str) -> str:
        """The command that produces the results of a protocol."""
        return f"trainer evaluate {self.path} --protocol {protocol}"


def read_runs(paths: Sequence[Path], *, store: Path | None = None, device: str = "cpu") -> list[RunFolder]:
    """The runs in the given order, without duplicates; ``store``: the current path of their store.

    Raises SkelError for a folder that is not a run.
    """
    unique = list({path.resolve(): path for path in paths}.values())
    return [
        read_run(path, name=name, store=store, device=device)
        for path, name in zip(unique, _names(unique), strict=True)
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """The names of the folders, with as many parents as needed to tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names


def read_run(path: Path, *, name: str, store: Path | None = None, device: str = "cpu") -> RunFolder:
    """Read a run; raises SkelError if ``path`` is not a run folder or its config.yaml is damaged."""
    config = read_config(path)
    records, problems = _read_log(path / "metrics.jsonl")
    results = []
    for file in sorted((path / RESULTS).glob("*.json")):
        try:
            results.append(read_result(file))
        except SkelError as error:
            problems.append(Note(str(error), kind="warning"))
    opened, its_store = None, None
    try:
        opened = open_run(path, store=store, device=device, unfinished=True)
    except SkelError as error:
        problems.append(Note(str(error), kind="warning"))
    try:
        its_store = stores.open_store(store or config.data.store) if opened is None else opened.store
    except SkelError as error:
        text = f"The run's store cannot be read: {error}"
        problems.append(Note(text, "trainer report RUN --store PATH"))
    return RunFolder(path, name, config, tuple(records), tuple(results), opened, its_store, tuple(problems))


def _read_log(file: Path) -> tuple[list[Record], list[Note]]:
    """The records of the log, and notes on damaged lines.

    A run that is still training may be writing its last line, so an incomplete last line is left out
    silently.
    """
    if not file.is_file():
        return [], [Note(f"{file}: no log, so there are no curves", "trainer pretrain --out RUN --resume")]
    try:
        text = logbook.content(file)
    except (OSError, ValueError) as error:
        problem = f"{file}: the log cannot be read ({reason(error)}), so there are no curves"
        return [], [Note(f"{problem}. Restore it from a copy", kind="warning")]
    lines = text.splitlines()
    whole = len(lines) if text.endswith(b"\n") else len(lines) - 1
    records, damaged = [], []
    for number, line in enumerate(lines, start=1):
        try:
            record = regular.parse_json(line)
            if not isinstance(record["event"], str) or not isinstance(record["epoch"], int):
                raise TypeError
            records.append(record)
        except (ValueError, KeyError, TypeError):
            if number <= whole:
                damaged.append(number)
    notes = []
    if damaged:
        problem = f"{file}: line {damaged[0]} is no record of the log ({len(damaged)} such lines, left out)"
        notes.append(Note(f"{problem}. Restore the file from a copy", kind="warning"))
    return records, notes


def rank(saved: SavedResult, reference: str = "") -> tuple[int, bool, int, int, int, str]:
    """Sort key of results, the most telling first.

    By protocol, then single conventions, ``reference`` before others, then several encoders together, the
    latest epoch, and the file name. Protocols are in the order of ``PROTOCOLS``; a result of another name,
    such as knn1, and an ensemble come after all of them.
    """
    order, result = list(PROTOCOLS), saved.result
    place = order.index(result.protocol) if result.protocol in order else len(order)
    return (
        place,
        bool(reference) and result.convention != reference,
        result.convention.count(JOINED),
        -result.encoder.count(JOINED),
        -result.epoch,
        saved.path.name,
    )


def headline(results: Iterable[SavedResult], reference: str = "") -> SavedResult | None:
    """The result that represents a run, or None if nothing was evaluated.

    It is that of the reference convention, of all encoders together, so that runs in more conventions do not
    seem better because of an ensemble.
    """
    return min(results, key=lambda saved: rank(saved, reference), default=None)
