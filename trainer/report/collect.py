"""What a run folder holds, read as far as it can be. What cannot be read becomes a note, not an end.

Only a folder that is no run ends the report: there would be nothing to say about it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from schemas import RunConfig, SkelError, UsageError
from trainer import checkpoint
from trainer import store as stores
from trainer.checkpoint import LAST, Checkpoint
from trainer.evaluate.results import FOLDER, Found, read_result
from trainer.logbook import Record
from trainer.report.parts import Note
from trainer.store import Store


@dataclass(frozen=True)
class RunFolder:
    """One run of the report."""

    path: Path
    name: str
    """Short, and unlike those of the other runs."""
    config: RunConfig
    records: tuple[Record, ...]
    results: tuple[Found, ...]
    saved: Checkpoint | None
    checkpoint_hash: str
    """Empty without a checkpoint."""
    store: Store | None
    """The one that the run was trained on, when it is still there."""
    notes: tuple[Note, ...]

    @property
    def epoch(self) -> int:
        """Epochs done, by the checkpoint or else by the log."""
        if self.saved is not None:
            return self.saved.epoch
        return max((record["epoch"] for record in self.epochs), default=0)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.optimise.epochs

    @property
    def epochs(self) -> tuple[Record, ...]:
        """The log's line of every epoch that was finished."""
        return tuple(record for record in self.records if record["event"] == "epoch")

    @property
    def alarms(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record["event"] == "warning")

    @property
    def synthetic(self) -> bool:
        """Whether the run is known to be about the built-in demo data."""
        if self.store is not None:
            return self.store.manifest.synthetic
        return any(found.result.synthetic for found in self.results)

    def command(self, protocol: str) -> str:
        """The command that makes the results of a protocol."""
        return f"trainer evaluate {self.path} --protocol {protocol}"


def read_runs(paths: Sequence[Path], *, store: Path | None = None) -> list[RunFolder]:
    """The runs in the order given, each once. ``store``: where their store is now.

    Raises SkelError for a folder that is no run.
    """
    unique = list({path.resolve(): path for path in paths}.values())
    return [read_run(path, name=name, store=store) for path, name in zip(unique, _names(unique), strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    """The folders' own names, with as many of their parents as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names


def read_run(path: Path, *, name: str, store: Path | None = None) -> RunFolder:
    """Raises SkelError when ``path`` is no run folder or its config.yaml is damaged."""
    config = _read_config(path)
    records, notes = _read_log(path / "metrics.jsonl")
    results, damaged = _read_results(path / FOLDER)
    notes += damaged
    saved, digest = None, ""
    try:
        saved, digest = checkpoint.load(path / LAST), checkpoint.file_hash(path / LAST)
    except SkelError as error:
        notes.append(Note(str(error), kind="warning"))
    opened, without = _open_store(store or Path(config.data.store), saved)
    notes += without
    run = RunFolder(path, name, config, tuple(records), tuple(results), saved, digest, opened, tuple(notes))
    return _with_state(run)


def _read_config(path: Path) -> RunConfig:
    file = path / "config.yaml"
    if not file.is_file():
        raise UsageError(
            "no run folder here: it has no config.yaml",
            where=path,
            remedy="Name the --out folder of a `trainer pretrain`",
        )
    try:
        return RunConfig.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise SkelError(
            f"damaged settings: {' '.join(str(error).split())[:200]}",
            where=file,
            remedy="Restore the file; `trainer pretrain --resume` writes it anew, too",
        ) from error


def _read_log(file: Path) -> tuple[list[Record], list[Note]]:
    """A run that is still training may be in the middle of its last line: that one is left out silently."""
    if not file.is_file():
        return [], [Note(f"{file}: no log, so there are no curves", "trainer pretrain --out RUN --resume")]
    text = file.read_bytes()
    lines = text.splitlines()
    whole = len(lines) if text.endswith(b"\n") else len(lines) - 1
    records, damaged = [], []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
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


def _read_results(folder: Path) -> tuple[list[Found], list[Note]]:
    found, notes = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(read_result(path))
        except SkelError as error:
            notes.append(Note(str(error), kind="warning"))
    return found, notes


def _open_store(path: Path, saved: Checkpoint | None) -> tuple[Store | None, list[Note]]:
    try:
        opened = stores.open_store(path)
        if saved is not None:
            checkpoint.check_store(
                saved, opened, where=path, remedy="Name the run's own store with --store PATH"
            )
    except SkelError as error:
        return None, [Note(f"The run's store cannot be read: {error}", "trainer report RUN --store PATH")]
    return opened, []


def _with_state(run: RunFolder) -> RunFolder:
    """With what its state means for a reader: unfinished, or results of an earlier checkpoint."""
    notes: list[Note] = []
    total = run.config.optimise.epochs
    if not run.finished:
        text = f"{run.epoch} of {total} epochs are done: the run is in progress, or was stopped"
        notes.append(Note(text, f"trainer pretrain --out {run.path} --resume", "warning"))
    if run.checkpoint_hash:
        stale = [
            found.path.name
            for found in run.results
            if found.result.checkpoint_hash and found.result.checkpoint_hash != run.checkpoint_hash
        ]
        if stale:
            text = f"measured on an earlier checkpoint than the run's last: {', '.join(stale)}"
            notes.append(Note(text, run.command("..."), "warning"))
    return replace(run, notes=(*notes, *run.notes))
