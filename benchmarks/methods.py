"""NW-UCLA, cross-view: every method with its ``nw-ucla`` preset at equal epochs, several seeds, linear probe.

    python benchmarks/methods.py --raw nw-ucla.zip --work ucla [--epochs 60] [--seeds 3] [--jobs 2]

Every run keeps its folder and its figures in the work folder, so that the script can be stopped and started
again, and finished runs are not repeated. Each run takes one thread; ``--jobs`` of them run at a time. Beside
the methods stand their encoder with random weights and logistic regression on the stored joints, without any
network. The table goes to benchmarks/results/methods.json. The README says where the data set is.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nw_ucla import raw_joints

import record
import runs

METHODS = ("skeletonclr", "aimclr", "skelemixclr", "crosclr", "isc", "csclr", "skelemixclr-plus")
PRESETS = {"skelemixclr-plus": ("skelemixclr", "nw-ucla-plus")}
"""Names of the table that are no method: method and preset. The others take the preset nw-ucla."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    store = prepare(work, options.raw, options.recipe)
    os.environ["OMP_NUM_THREADS"] = "1"
    wanted = [(name, seed) for seed in range(options.seeds) for name in options.methods]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(
            pool.map(lambda job: run(work, store, *job, epochs=options.epochs, device=options.device), wanted)
        )
    result = {
        "benchmark": f"NW-UCLA cross-view, recipe {options.recipe}, {options.epochs} epochs, last epoch",
        "raw_joints_logistic_regression": raw_joints(store),
        **collect(work, options.methods),
    }
    for line in table(result["linear"]):
        print(line)
    print(f"written to {record.write('methods', result).name}")


def prepare(work: Path, raw: Path, recipe: str) -> Path:
    """The store of the whole table."""
    store = work / "store.zarr"
    if not store.exists():
        convert = ("convert", "nw-ucla", "--raw", raw.resolve(), "--recipe", recipe)
        runs.command(runs.SKELTOOLS, *convert, "--out", store, folder=work)
        runs.command(runs.SKELTOOLS, "streams", store, "--bone", "--motion", folder=work)
    return store


def run(work: Path, store: Path, name: str, seed: int, *, epochs: int, device: str) -> None:
    """One run and its figures, unless they are there."""
    method, preset = PRESETS.get(name, (name, "nw-ucla"))
    begin = ("--store", store, "--method", method, "--preset", preset)
    train_and_probe(work, name, seed, begin=begin, options=("--epochs", epochs, "--device", device))


def train_and_probe(
    work: Path, name: str, seed: int, *, begin: Sequence[object], options: Sequence[object]
) -> None:
    """``NAME-SEED.json`` in the work folder: figures of one run, trained and random, unless it is there.

    ``begin`` is what ``trainer pretrain`` needs to start and not to resume; ``options`` go with both.
    """
    figures = work / f"{name}-{seed}.json"
    if figures.exists():
        return
    out = work / f"{name}-{seed}"
    resumed = (out / "checkpoints" / "last.pt").exists()
    arguments = (*(("--resume",) if resumed else begin), *options, "--seed", seed, "--out", out)
    _, seconds = runs.command(runs.TRAINER, "pretrain", *arguments, folder=work)
    found = {"method": name, "seed": seed, "seconds": round(seconds, 1), "resumed": resumed}
    found |= {"trained": probe(work, out), "random": probe(work, out, "--untrained")}
    figures.write_text(json.dumps({**found, "commit": record.commit()}, indent=2) + "\n")


def probe(work: Path, out: Path, *options: str) -> dict[str, dict[str, float]]:
    """Protocol -> encoder or fusion of encoders -> percent."""
    text, _ = runs.command(
        runs.TRAINER, "evaluate", out, "--protocol", "knn", "--protocol", "linear", "--json", *options,
        folder=work,
    )  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    for result in json.loads(text):
        name = result.get("encoder") or result["stream"]
        found.setdefault(result["protocol"], {})[name] = round(100 * result["top1"], 1)
    return found


def collect(work: Path, methods: Iterable[str]) -> dict[str, Any]:
    """All figures of the work folder, and mean and standard deviation of the linear probe."""
    rows = [json.loads(path.read_text()) for path in sorted(work.glob("*-[0-9].json"))]
    linear: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for name in methods:
        mine = [row for row in rows if row["method"] == name]
        for weights in ("trained", "random"):
            for encoder in mine[0][weights]["linear"] if mine else ():
                flat = [{"linear": row[weights]["linear"][encoder]} for row in mine]
                linear.setdefault(name, {}).setdefault(encoder, {})[weights] = runs.spread(flat, "linear")
    return {"linear": linear, "runs": rows}


def table(linear: dict[str, dict[str, dict[str, dict[str, float]]]]) -> Iterable[str]:
    """Markdown, a line an encoder."""
    yield "| method | encoder | linear % | random encoder % |"
    yield "|---|---|---|---|"
    for name, encoders in linear.items():
        for encoder, figures in encoders.items():
            trained, random = (
                f"{figures[key]['mean']}" + (f" ± {figures[key]['std']}" if "std" in figures[key] else "")
                for key in ("trained", "random")
            )
            yield f"| {name} | {encoder} | {trained} | {random} |"


if __name__ == "__main__":
    main()
