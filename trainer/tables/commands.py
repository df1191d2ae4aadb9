"""The commands that would fill an empty cell, starting from raw data or from existing runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.tables.compare import mismatches
from trainer.tables.model import REFERENCE, Published
from trainer.tables.reader import unmet
from trainer.tables.sources import Source

TOGETHER = ("crosclr", "csclr")
"""Methods that train all streams in one run; the others train one."""


@dataclass(frozen=True)
class Missing:
    what: str
    """In words."""
    commands: tuple[str, ...]


def missing(cell: Published, given: Sequence[Source], *, exact: bool = False) -> Missing:
    """What is missing from ``given`` for the number; the cell must be of a method of this project.

    ``exact``: only runs with the cell's number of epochs count.
    """
    assert cell.method is not None
    assert cell.stream is not None
    streams = cell.stream.split("+")
    parts = [cell.stream] if cell.method in TOGETHER else streams
    usable = [run for run in given if not exact or _epochs(run) == cell.epochs]
    runs = {part: next((run for run in usable if _covers(run, cell, part)), None) for part in parts}
    untrained = [part for part in parts if runs[part] is None]
    unmeasured = [part for part, run in runs.items() if run is not None and not _measured(run, cell, part)]
    commands = _preparing(cell, untrained) if untrained else []
    commands += [_pretrain(cell, part) for part in untrained]
    if cell.protocol == "segment" and (untrained or unmeasured):
        commands.append(f"skeltools convert {cell.dataset} --uncut --out {_uncut(cell)}")
    commands += [_evaluate(cell, _place(cell, part, runs[part])) for part in (*untrained, *unmeasured)]
    if len(parts) > 1:
        commands.append(_ensemble(cell, [_place(cell, part, runs[part]) for part in parts]))
    return Missing(_words(cell, untrained, unmeasured), tuple(commands))


def _words(cell: Published, untrained: list[str], unmeasured: list[str]) -> str:
    reasons = []
    if untrained:
        reasons.append(
            f"no run of {_method(cell)} on {_trained_on(cell)} {cell.split}: {', '.join(untrained)}"
        )
    if unmeasured:
        reasons.append(f"no result of {cell.protocol}: {', '.join(unmeasured)}")
    return "; ".join(reasons) or "the streams are not together yet"


def _covers(run: Source, cell: Published, part: str) -> bool:
    """Whether evaluating the run again could produce the part's result."""
    config = run.config
    if config is None or not run.trained or unmet(cell, config):
        return False
    sources = {saved.result.dataset for saved in run.results if saved.result.protocol != "transfer"}
    return (
        cell.method in ("any", config.method.name)
        and (cell.protocol == "transfer" or config.data.split == cell.split)
        and _trained_on(cell) in sources
        and set(cell.conventions) <= set(config.data.conventions)
        and (cell.method in TOGETHER or config.data.stream == part)
    )


def _epochs(run: Source) -> int | None:
    return None if run.config is None else run.config.optimise.epochs


def _measured(run: Source, cell: Published, part: str) -> bool:
    alone = cell.model_copy(update={"stream": part})
    return any(not mismatches(alone, saved.result, run.config) for saved in run.results)


def _preparing(cell: Published, parts: list[str]) -> list[str]:
    """Commands for the stores, and for the streams that the runs of the parts are evaluated on."""
    more = sorted({"bone", "motion"} if cell.method in TOGETHER else {*parts} - {"joint"})
    commands = []
    for dataset in dict.fromkeys((_trained_on(cell), cell.dataset)):
        convert = ["skeltools convert", dataset, f"--recipe {cell.recipe}" * bool(cell.recipe)]
        convert += [f"--frames {cell.frames}" * bool(cell.frames), f"--out {_store(cell, dataset)}"]
        commands.append(" ".join(filter(None, convert)))
        if more:
            flags = " ".join(f"--{stream}" for stream in more)
            frames = f"--frames {cell.frames}" * bool(cell.frames)
            commands.append(
                " ".join(filter(None, ("skeltools streams", _store(cell, dataset), frames, flags)))
            )
    return commands


def _pretrain(cell: Published, part: str) -> str:
    words = [f"trainer pretrain --store {_store(cell, _trained_on(cell))}", f"--method {_method(cell)}"]
    words += [f"--split {cell.split}"]
    words += [f"--stream {part}"] * (cell.method not in TOGETHER and part != "joint")
    words += [f"--epochs {cell.epochs}"] * (cell.epochs is not None)
    words += [cell.flags] * bool(cell.flags)
    return " ".join([*words, f"--out {_run(cell, part)}"])


def _evaluate(cell: Published, run: Path) -> str:
    if cell.protocol == "segment":
        return f"trainer segment {run} {_uncut(cell)} --split {cell.split}"
    words = [f"trainer evaluate {run} --protocol {cell.protocol}"]
    words += ["--convention all"] * (cell.conventions != REFERENCE)
    if cell.protocol == "transfer":
        words.append(f"--target {_store(cell, cell.dataset)} --target-split {cell.split}")
    if cell.share is not None:
        words.append(f"--set semi.shares=[{100 * cell.share:g}]")
    for name, value in cell.options.items():
        written = value if isinstance(value, str) else json.dumps(value)
        words.append(f"--set {shlex.quote(f'{cell.protocol}.{name}={written}')}")
    return " ".join(words)


def _ensemble(cell: Published, runs: Sequence[Path]) -> str:
    figure = cell.protocol if cell.share is None else f"{cell.protocol}-{100 * cell.share:g}"
    words = ["trainer ensemble", *map(str, runs), f"--protocol {figure}"]
    words += [f"--convention {name}" for name in cell.conventions if cell.method == "ms-clr"]
    if cell.weights and len(set(cell.weights.values())) == 1:
        words.append("--weights equal")
    return " ".join([*words, f"--out results/{_run(cell, figure).name}.json"])


def _place(cell: Published, part: str, run: Source | None) -> Path:
    return _run(cell, part) if run is None else run.path


def _run(cell: Published, part: str) -> Path:
    """A folder for each variant: numbers with different settings or epochs do not share runs."""
    name = [_trained_on(cell), cell.split, _method(cell), part]
    name += [cell.row] * bool(cell.flags) + [f"{cell.epochs}-epochs"] * (cell.epochs is not None)
    return Path("runs", re.sub(r"[^a-z0-9]+", "-", "-".join(name).lower()))


def _store(cell: Published, dataset: str) -> str:
    """A store for each recipe and length, because a conversion does not write into an existing store."""
    length = None if cell.frames is None else f"t{cell.frames}"
    return "-".join(filter(None, (dataset, cell.recipe, length))) + ".zarr"


def _uncut(cell: Published) -> str:
    """The store of whole recordings."""
    return f"{cell.dataset}-uncut.zarr"


def _method(cell: Published) -> str:
    """The value for ``--method``; if only the encoder counts, the plainest method that has it."""
    name = "skeletonclr" if cell.method == "any" else cell.method
    return f"{name}-{cell.preset}" if cell.preset else str(name)


def _trained_on(cell: Published) -> str:
    return cell.from_dataset or cell.dataset
