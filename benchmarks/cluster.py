"""Conversion by two readers against one, as local processes and as dask workers, one of which is killed.

    python -m benchmarks.cluster [--files 2000] [--rounds 3] [--quick]

All variants convert the same NTU-format demo files (links under other names) in turn, so that other load on
the machine affects all of them; ratios are of the medians. ``processes`` times whole commands. ``dask`` times
a call in a running process with a running cluster: workers are processes of one thread each, over TCP. In an
additional round a worker is killed midway. Every store is compared with the first, byte for byte. Writes
benchmarks/results/cluster.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from distributed import LocalCluster

from benchmarks import record
from benchmarks.converting import CONVENTIONS, replicate
from benchmarks.kill import sums
from skeltools.conversion import convert
from skeltools.demo import write_demo


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="200 files, one round, not written")
    options = parser.parse_args()
    files, rounds = (200, 1) if options.quick else (options.files, options.rounds)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), files, rounds)
    print(result)
    if not options.quick:
        print(f"written to {record.write('cluster', result).name}")


def measure(folder: Path, files: int, rounds: int) -> dict[str, Any]:
    write_demo(folder / "demo", subjects=16)
    raw = folder / "raw" / "ntu60"
    replicate(folder / "demo" / "ntu60", raw, files)
    seconds: dict[str, list[float]] = {}
    stores: list[dict[str, str]] = []

    def timed(name: str, run: Callable[[], object]) -> None:
        begin = time.perf_counter()
        run()
        seconds.setdefault(name, []).append(round(time.perf_counter() - begin, 2))
        stores.append(sums(folder / "s.zarr"))
        shutil.rmtree(folder / "s.zarr")
        print(name, seconds[name][-1], f"load {os.getloadavg()[0]:.1f}", flush=True)

    load = os.getloadavg()[0]
    for _ in range(rounds):
        for number in (0, 1, 2):
            timed(f"processes {number}", lambda number=number: by_command(raw, folder / "s.zarr", number))
        for number in (1, 2):
            with workers(number) as cluster:
                timed(f"dask {number}", lambda cluster=cluster: by_dask(raw, folder / "s.zarr", cluster))
    with workers(2) as cluster:
        timed("dask 2, one killed", lambda: by_dask(raw, folder / "s.zarr", cluster, kill_after=files // 3))
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        "benchmark": f"{files} NTU-format demo files, {CONVENTIONS[0]}",
        "load_at_start": round(load, 1),
        "seconds": seconds,
        "two_processes_times_as_fast_as_none": round(medians["processes 0"] / medians["processes 2"], 2),
        "two_processes_times_as_fast_as_one": round(medians["processes 1"] / medians["processes 2"], 2),
        "two_dask_workers_times_as_fast_as_one": round(medians["dask 1"] / medians["dask 2"], 2),
        "stores": len(stores),
        "stores_that_differ": sum(store != stores[0] for store in stores),
    }


def by_command(raw: Path, out: Path, processes: int) -> None:
    arguments = ["convert", "ntu60", "--raw", raw, "--out", out, "--workers", processes]
    arguments += ["--convention", CONVENTIONS[0]]
    subprocess.run(
        [sys.executable, "-m", "skeltools", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )


def workers(number: int) -> LocalCluster:
    """A local cluster of ``number`` workers whose imports are already done."""
    made = LocalCluster(
        n_workers=number, threads_per_worker=1, host="127.0.0.1", protocol="tcp", dashboard_address=None
    )
    with made.get_client() as client:
        client.run(_import)
    return made


def _import() -> None:
    import skeltools.conversion  # noqa: F401


def by_dask(raw: Path, out: Path, cluster: LocalCluster, kill_after: int = 0) -> None:
    """Convert on a cluster. ``kill_after``: number of samples after which a worker is killed."""
    left = [worker.pid for worker in cluster.workers.values()][: 1 if kill_after else 0]

    def on_progress(done: int, total: int) -> None:
        if left and done >= kill_after:
            os.kill(left.pop(), signal.SIGKILL)

    address = cluster.scheduler_address
    convert("ntu60", raw=raw, out=out, conventions=CONVENTIONS[:1], dask=address, on_progress=on_progress)


if __name__ == "__main__":
    main()
