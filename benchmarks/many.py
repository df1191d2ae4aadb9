"""Tables of many runs, each with its figures in a work folder, so that a script can be interrupted."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import record, runs

Job = TypeVar("Job")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options common to all such tables."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--work", type=Path, required=True, help="folder of the runs and their figures")
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time, a thread each")
    made.add_argument("--device", default="auto")
    return made


def work_folder(options: argparse.Namespace) -> Path:
    """The work folder, created if necessary."""
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    return work


def do_all(run: Callable[[Job], None], wanted: Iterable[Job], *, jobs: int, threads: int = 1) -> None:
    """Call ``run`` for each job, ``jobs`` at a time. The commands that it starts have ``threads`` each."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, wanted))


def train_and_probe(
    work: Path,
    name: str,
    seed: int,
    *,
    begin: Sequence[object],
    options: Sequence[object],
    random: bool = True,
    probes: Sequence[str] = (),
    program: tuple[str, str] | None = None,
) -> None:
    """Write ``NAME-SEED.json`` in the work folder, unless it exists: figures of one run, trained and random.

    ``begin``: options of ``trainer pretrain`` to start, but not to resume; ``options`` apply to both.
    ``random``: false if another run of the table has the same random encoder. ``probes``: options of
    ``trainer evaluate`` for the trained one. ``program``: what trains, instead of ``trainer`` itself.
    """
    figures = work / f"{name}-{seed}.json"
    if figures.exists():
        return
    out = work / f"{name}-{seed}"
    resumed = (out / "checkpoints" / "last.pt").exists()
    arguments = (*(("--resume",) if resumed else begin), *options, "--seed", seed, "--out", out)
    _, seconds = runs.command(program or runs.TRAINER, "pretrain", *arguments, folder=work)
    row = {"method": name, "seed": seed, "seconds": round(seconds, 1), "resumed": resumed}
    row |= {"trained": probe(work, out, *probes)}
    if random:
        row |= {"random": probe(work, out, "--untrained")}
    figures.write_text(json.dumps({**row, "commit": record.commit()}, indent=2) + "\n")


def probe(work: Path, out: Path, *options: str) -> dict[str, dict[str, float]]:
    """Protocol -> encoder or fusion -> percent; conventions other than the run's first are named as well."""
    text, _ = runs.command(
        runs.TRAINER, "evaluate", out, "--protocol", "knn", "--protocol", "linear", "--json", *options,
        folder=work,
    )  # fmt: skip
    percents: dict[str, dict[str, float]] = {}
    reference = None
    for result in json.loads(text):
        name = result.get("encoder") or result["stream"]
        first = reference is None or result["convention"] == reference
        reference = reference or result["convention"]
        name = name if first else f"{name}, {result['convention']}"
        percents.setdefault(result["protocol"], {})[name] = round(100 * result["top1"], 1)
    return percents


def collect(work: Path, methods: Iterable[str]) -> dict[str, Any]:
    """All figures in the work folder, with mean and standard deviation of linear probe and kNN."""
    rows = [json.loads(path.read_text()) for path in sorted(work.glob("*-[0-9].json"))]
    return {
        **{protocol: _spread(rows, list(methods), protocol) for protocol in ("linear", "knn")},
        "runs": rows,
    }


def _spread(
    rows: Sequence[dict[str, Any]], methods: Iterable[str], protocol: str
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Method -> encoder -> trained or random -> mean and std."""
    spreads: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for name in methods:
        mine = [row for row in rows if row["method"] == name]
        for weights in ("trained", "random"):
            measured = [row[weights][protocol] for row in mine if protocol in row.get(weights, {})]
            for encoder in measured[0] if measured else ():
                flat = [{protocol: row[encoder]} for row in measured]
                spreads.setdefault(name, {}).setdefault(encoder, {})[weights] = runs.spread(flat, protocol)
    return spreads


def table(
    figures_of: dict[str, dict[str, dict[str, dict[str, float]]]], protocol: str = "linear"
) -> Iterable[str]:
    """A Markdown table with a line per encoder."""
    yield f"| method | encoder | {protocol} % | random encoder % |"
    yield "|---|---|---|---|"
    for name, encoders in figures_of.items():
        for encoder, figures in encoders.items():
            trained, random = (
                percent(figures[key]) if key in figures else "" for key in ("trained", "random")
            )
            yield f"| {name} | {encoder} | {trained} | {random} |"


def percent(figures: dict[str, float]) -> str:
    return f"{figures['mean']}" + (f" ± {figures['std']}" if "std" in figures else "")
