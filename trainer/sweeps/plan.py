"""From the file of a sweep to its runs: names, folders and commands."""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas import ConfigError, config_error, unknown
from schemas.sweep import OPTIONS, Settings, SweepConfig, SweepEnsemble, SweepEvaluation
from trainer.config.trees import read_file
from trainer.tables.sources import ENSEMBLES, SWEEP

MOST = 10_000
"""Maximum number of runs: more indicate a mistake, such as an axis of single letters."""

_LABELS = {"seed": "seed", "epochs": "epochs", "batch_size": "batch", "accumulate": "parts"}
"""Prefix of a number in the name of a run."""

Words = tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A run, or an ensemble of runs, and the ``trainer`` commands that produce it, in order."""

    name: str
    folder: Path
    """Folder of the run; for an ensemble, its result file."""
    axes: Mapping[str, str]
    """Axis -> value, as both appear in the table."""
    commands: tuple[Words, ...]
    members: tuple[Path, ...] = ()
    """For an ensemble: the folders of its runs."""


@dataclass(frozen=True)
class Plan:
    file: Path
    config: SweepConfig
    out: Path
    runs: tuple[Task, ...]
    ensembles: tuple[Task, ...]

    def only(self, names: Sequence[str]) -> Plan:
        """Only the named runs, without ensembles; raises UsageError for an unknown name."""
        known = {task.name: task for task in self.runs}
        for name in names:
            if name not in known:
                raise unknown("run", name, known, where=self.file)
        return Plan(self.file, self.config, self.out, tuple(known[name] for name in names), ())


def read_plan(file: Path, *, out: Path | None = None) -> Plan:
    """The runs of a sweep, in the order of its grids, the last axis of each changing fastest.

    ``out`` replaces the file's. Raises ConfigError with file and place for a file that is not a sweep, for
    two runs with the same name, and for an ensemble over an unknown axis.
    """
    return plan_of(read_file(file, known=SweepConfig.model_fields), file, out=out)


def plan_of(tree: Mapping[str, Any], file: Path, *, out: Path | None = None) -> Plan:
    """As ``read_plan``, from the content of a file."""
    try:
        config = SweepConfig.model_validate(tree)
    except ValidationError as error:
        raise config_error(error, SweepConfig, file=file, noun="key") from error
    out = out or _default_out(config, file)
    _check_number(config, file)
    runs = tuple(_runs(config, out))
    _check_names([task.name for task in runs], file)
    return Plan(file, config, out, runs, tuple(_ensembles(config, runs, out, file)))


def _default_out(config: SweepConfig, file: Path) -> Path:
    return Path(config.out or Path("runs", file.stem))


def command_of(plan: Plan, *more: str) -> str:
    """The line that goes on with a sweep."""
    elsewhere = plan.out != _default_out(plan.config, plan.file)
    return line(("sweep", str(plan.file), *(("--out", str(plan.out)) if elsewhere else ()), *more))


def keep_file(plan: Plan, text: str | None = None) -> None:
    """Save a copy of the file beside the runs: their origin, and the mark of a sweep's folder.

    ``text``: its content, if there is no file.
    """
    copy = plan.out / SWEEP
    plan.out.mkdir(parents=True, exist_ok=True)
    if text is not None:
        copy.write_text(text, encoding="utf-8")
    elif plan.file.resolve() != copy.resolve():
        shutil.copyfile(plan.file, copy)


def _runs(config: SweepConfig, out: Path) -> Iterator[Task]:
    for grid in config.grid:
        for chosen in itertools.product(*(_values(axis, values) for axis, values in grid.items())):
            settings = config.given | {key: value for _, each in chosen for key, value in each.items()}
            axes = dict(zip(grid, (label for label, _ in chosen), strict=True))
            name = "-".join(_part(axis, label) for axis, label in axes.items()) or "run"
            evaluations = tuple(_evaluate(out / name, each) for each in config.evaluate)
            yield Task(name, out / name, axes, (_pretrain(out / name, settings), *evaluations))


def _values(axis: str, values: Any) -> list[tuple[str, Settings]]:
    """(label, settings) of every value of an axis."""
    if isinstance(values, dict):
        return list(values.items())
    return [(_label(axis, value), {axis: value}) for value in values]


def _label(axis: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(_label(axis, each) for each in value)
    if axis in ("store", "config", "init_from") and value is not None:
        return Path(str(value)).stem
    return json.dumps(value) if not isinstance(value, str) else value


def _part(axis: str, label: str) -> str:
    """Part of a run's name."""
    before = _LABELS.get(axis, axis.rpartition(".")[2] if "." in axis else "")
    return re.sub(r"[^\w.+]+", "-", f"{before}{label}").strip("-.") or "none"


def _pretrain(folder: Path, settings: Settings) -> Words:
    words = ["pretrain"]
    for name, value in settings.items():
        if value is None:
            continue
        if name in OPTIONS:
            option = f"--{name.replace('_', '-')}"
            for each in value if isinstance(value, list | tuple) else (value,):
                words += [option, str(each)]
        else:
            words += ["--set", f"{name}={_yaml(value)}"]
    return (*words, "--out", str(folder), "--resume=auto")


def _evaluate(folder: Path, asked: SweepEvaluation) -> Words:
    words = ["evaluate", str(folder)]
    words += [word for name in asked.protocol for word in ("--protocol", name)]
    words += [word for name in asked.convention for word in ("--convention", name)]
    words += ["--target", asked.target] if asked.target else []
    words += ["--target-split", asked.target_split] if asked.target_split else []
    for name, value in asked.set.items():
        words += ["--set", f"{name}={_yaml(value)}"]
    return tuple(words)


def _yaml(value: Any) -> str:
    """A value as YAML on one line, as read back by ``--set``."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=sys.maxsize)
    return text.removesuffix("...\n").rstrip("\n")


def _ensembles(config: SweepConfig, runs: Sequence[Task], out: Path, file: Path) -> Iterator[Task]:
    for place, asked in enumerate(config.ensemble):
        groups: dict[tuple[tuple[str, str], ...], list[Task]] = {}
        for run in runs:
            if asked.over in run.axes:
                rest = tuple(pair for pair in run.axes.items() if pair[0] != asked.over)
                groups.setdefault(rest, []).append(run)
        if not groups:
            axes = list(dict.fromkeys(axis for run in runs for axis in run.axes))
            raise unknown("axis", asked.over, axes, where=f"{file}: ensemble.{place}.over")
        yield from (
            _ensemble(asked, dict(rest), group, out) for rest, group in groups.items() if len(group) > 1
        )


def _ensemble(asked: SweepEnsemble, rest: dict[str, str], runs: Sequence[Task], out: Path) -> Task:
    together = "+".join(run.axes[asked.over] for run in runs)
    parts = [_part(axis, label) for axis, label in rest.items()]
    name = "-".join([*parts, re.sub(r"[^\w.+]+", "-", together), asked.protocol])
    file = out / ENSEMBLES / f"{name}.json"
    words = ["ensemble", *(str(run.folder) for run in runs), "--protocol", asked.protocol]
    words += [word for each in asked.convention for word in ("--convention", each)]
    words += ["--weights", asked.weights, "--scores", asked.scores, "--out", str(file)]
    members = tuple(run.folder for run in runs)
    return Task(name, file, {**rest, asked.over: together}, (tuple(words),), members)


def _check_number(config: SweepConfig, file: Path) -> None:
    number = sum(math.prod(map(len, grid.values())) for grid in config.grid)
    if number > MOST:
        raise ConfigError(
            f"the grid has {number} runs, {MOST} are the most",
            where=f"{file}: grid",
            remedy="Take fewer values, or several files",
        )


def _check_names(names: Sequence[str], file: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two runs have the name '{twice[0]}'",
            where=f"{file}: grid",
            remedy="Give values that are alike names of their own, as `variant: {short: {epochs: 10}}`, and "
            "grids an axis that tells them apart",
        )


def line(words: Words) -> str:
    """A command in shell syntax."""
    return shlex.join(("trainer", *words))
