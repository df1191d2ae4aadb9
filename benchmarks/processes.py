"""Throughput over processes: the same run with one process, several, and one process with more threads.

    python -m benchmarks.processes [--processes 2] [--method aimclr] [--epochs 2] [--pretrain ...]

Every process has one thread, on a CPU with a core for each; on GPUs, each has its own. The batch size is the
total of all processes, and BatchNorm is ``sync``, so that all rows compute the same. Clips per second are
taken from the log of the last epoch. The data are synthetic, of NTU's shape. The result is written to
benchmarks/results/processes.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import bulk, record


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--method", default="aimclr")
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    number = options.processes
    ways = {"1 process, 1 thread": (1, 1), f"{number} processes, 1 thread each": (number, 1)}
    if options.device in ("auto", "cpu"):
        ways[f"1 process, {number} threads"] = (1, number)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = bulk.write_store(folder / "store.zarr", count=2 * options.clips)
        rates = {
            title: clips_per_second(folder / f"run-{place}", store, options, *way)
            for place, (title, way) in enumerate(ways.items())
        }
    alone = rates["1 process, 1 thread"]
    rows = [
        {"way": title, "clips_per_second": round(rate, 1), "times_one": round(rate / alone, 2)}
        for title, rate in rates.items()
    ]
    for row in rows:
        print(row)
    what = f"{options.method}/paper, batch {options.batch}, T = 50, 25 joints, 2 bodies, BatchNorm sync"
    result = {
        "benchmark": what,
        "load_at_start": round(os.getloadavg()[0], 2),
        "rows": rows,
    }
    print(f"written to {record.write('processes', result).name}")


def clips_per_second(
    out: Path, store: Path, options: argparse.Namespace, processes: int, threads: int
) -> float:
    """Clips per second in the last epoch of a run."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    command += ["-m", "trainer", "pretrain", "--store", str(store), "--method", options.method]
    command += ["--preset", "paper", "--epochs", str(options.epochs), "--batch-size", str(options.batch)]
    command += ["--device", options.device, "--precision", "auto", "--out", str(out)]
    for setting in ("runtime.batch_norm=sync", "runtime.knn_every=0", "method.options.queue=1024"):
        command += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rates = [line["clips_per_second"] for line in lines if "clips_per_second" in line]
    return float(rates[-1])


if __name__ == "__main__":
    main()
