"""Every evaluation protocol on one checkpoint, each by the command line, with its time.

    python -m benchmarks.protocols                                    # built-in demo data, pre-trained here
    python -m benchmarks.protocols --run RUN [--target STORE] [-- --set finetune.epochs=20 ...]

Options after ``--`` are passed to ``trainer evaluate``. ``transfer`` needs a target store, which for the demo
contains other people. The table is written to benchmarks/results/protocols.json, or under --name.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import record, runs

PROTOCOLS = ("knn", "retrieval", "linear", "finetune", "supervised", "semi", "transfer")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="Run folder. Default: MS-CLR on the demo data.")
    parser.add_argument("--target", type=Path, help="Store for transfer.")
    parser.add_argument("--epochs", type=int, help="Of the demo's pre-training. Default: the preset's.")
    parser.add_argument("--protocols", nargs="*", default=PROTOCOLS, choices=PROTOCOLS)
    parser.add_argument("--name", default="protocols", help="Of the file in benchmarks/results.")
    parser.add_argument("evaluate", nargs="*", help="options of `trainer evaluate`, behind --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        before: dict[str, float] = {}
        run, target = options.run, options.target
        if run is None:
            run, target, before = demo(Path(name), epochs=options.epochs)
        wanted = [protocol for protocol in options.protocols if protocol != "transfer" or target]
        rows = []
        for protocol in wanted:
            extra = ("--target", target.resolve()) if protocol == "transfer" else ()
            figures = measured(run.resolve(), protocol, [*extra, *options.evaluate])
            print("\n".join(table(figures)[2:]), flush=True)
            rows += figures
    print("\n".join(table(rows)))
    result = {
        "benchmark": "every protocol on one checkpoint",
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "seconds_before": before,
        **{
            key: round(sum({row["protocol"]: row[key] for row in rows}.values()), 1)
            for key in ("wall_s", "cpu_s")
        },
        "rows": rows,
    }
    print(f"written to {record.write(options.name, result).name}")


def demo(folder: Path, *, epochs: int | None) -> tuple[Path, Path, dict[str, float]]:
    """Make a run on the demo data and a store of other people; also returns the seconds of each step."""
    seconds = {}
    for seed in (0, 1):
        raw, store = folder / f"raw-{seed}", folder / f"store-{seed}.zarr"
        runs.command(runs.SKELTOOLS, "demo", raw, "--seed", seed, folder=folder)
        convert = ("convert", "ntu60", "--raw", raw, "--out", store)
        _, seconds[f"convert_{seed}"] = runs.command(runs.SKELTOOLS, *convert, folder=folder)
    arguments = ("--store", folder / "store-0.zarr", "--method", "ms-clr", "--split", "xview")
    arguments += () if epochs is None else ("--epochs", epochs)
    out = folder / "run"
    _, seconds["pretrain"] = runs.command(runs.TRAINER, "pretrain", *arguments, "--out", out, folder=folder)
    return out, folder / "store-1.zarr", {name: round(value, 1) for name, value in seconds.items()}


def measured(run: Path, protocol: str, options: Sequence[object]) -> list[dict[str, Any]]:
    """A row for every figure of the protocol; seconds are for the whole command.

    ``cpu_s`` is the processor time: what the command would take on one idle core.
    """
    before = _processor_time()
    text, seconds = runs.command(
        runs.TRAINER, "evaluate", run, "--protocol", protocol, "--json", *options, folder=run.parent
    )
    used = _processor_time() - before
    keys = ("dataset", "split", "convention", "encoder", "method", "epoch", "settings", "store_hash")
    return [
        {
            "protocol": protocol,
            "name": result["name"] or result["protocol"],
            "top1": _percent(result["top1"]),
            "std": _percent(result["std"]),
            "draws": [_percent(draw) for draw in result["draws"]],
            "best_epoch": _percent(result["best_top1"]),
            "random_knn": _percent(result["random_knn"]),
            "wall_s": round(seconds, 1),
            "cpu_s": round(used, 1),
            **{key: result[key] for key in keys},
        }
        for result in json.loads(text)
    ]


def _processor_time() -> float:
    """Processor seconds of finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """A Markdown table with a line per figure."""
    lines = [
        "| protocol | encoder | top-1 % | best epoch % | random kNN % | seconds | of processor |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        top1 = str(row["top1"]) + ("" if row["std"] is None else f" ± {row['std']}")
        keys = ("best_epoch", "random_knn", "wall_s", "cpu_s")
        shown = (row["name"], row["encoder"], top1, *(row[key] for key in keys))
        lines.append("| " + " | ".join("-" if value is None else str(value) for value in shown) + " |")
    return lines


if __name__ == "__main__":
    main()
