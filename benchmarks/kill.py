"""Check that a conversion survives ``kill -9``: kill it at random moments, resume, compare every byte.

    python -m benchmarks.kill [--kills 50] [--seed 0] [--quick]

Half of the kills are with ``--workers 0``, half with 2; a run that ends before its kill is repeated with
another moment. After each kill the same command runs to completion, and its store is compared with that of an
undisturbed run. Writes benchmarks/results/kill.json.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import record
from skeltools.demo import write_demo
from skeltools.inspect.validate import validate

CONVENTIONS = ("kinectv2_25", "smplx_42")
ACTIONS = (1, 6, 23, 50)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--subjects", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="4 kills of a small conversion")
    options = parser.parse_args()
    kills, subjects = (4, 6) if options.quick else (options.kills, options.subjects)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), kills, subjects, options.seed)
    print(result)
    if not options.quick:
        print(f"written to {record.write('kill', result).name}")
    if result["wrong_bytes"] or result["not_resumable"]:
        sys.exit(1)


def measure(folder: Path, kills: int, subjects: int, seed: int) -> dict[str, Any]:
    write_demo(folder / "raw", subjects=subjects, actions=ACTIONS)
    seconds: dict[int, float] = {}
    for workers in (0, 2):
        begin = time.perf_counter()
        subprocess.run(command(folder, f"whole{workers}", workers), check=True, stdout=subprocess.DEVNULL)
        seconds[workers] = time.perf_counter() - begin
    whole = sums(folder / "whole0")
    assert whole == sums(folder / "whole2")
    draw, count, missed = random.Random(seed), Counter[str](), 0
    while count["killed"] < kills:
        workers = (0, 2)[count["killed"] % 2]
        outcome = one_kill(folder, workers, draw.uniform(0.0, seconds[workers]), whole)
        if "killed" not in outcome:
            missed += 1
            seconds[workers] *= 0.95  # later runs take less time than the first
        count.update(outcome)
        print(f"{count['killed']}/{kills} workers {workers}: {', '.join(outcome)}", flush=True)
    return {
        "benchmark": "kill -9 of a conversion, then the same command again",
        "kills": kills,
        "ended_before_their_kill": missed,
        "with_work_to_resume": count["resumed"],
        "not_resumable": count["failed"],
        "wrong_bytes": count["wrong"],
        "store_under_its_name_after_the_kill_and_unsound": count["unsound"],
        "files_compared": len(whole),
    }


def one_kill(folder: Path, workers: int, after: float, whole: dict[str, str]) -> list[str]:
    """Kill a conversion after ``after`` seconds and restart it; returns what happened."""
    out = folder / "store"
    process = subprocess.Popen(command(folder, "store", workers), stdout=subprocess.DEVNULL)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    happened = ["killed"] if process.wait() == -signal.SIGKILL else ["done before"]
    if out.exists():
        happened += ["unsound"] if validate(out) else []
    else:
        again = subprocess.run(command(folder, "store", workers), check=False, capture_output=True, text=True)
        happened += ["resumed"] if "resuming: " in again.stderr else ["from the start"]
        if again.returncode:
            print(again.stderr, file=sys.stderr)
            happened.append("failed")
    if out.exists():
        happened.append("equal" if sums(out) == whole else "wrong")
    for left in folder.glob("store*"):
        shutil.rmtree(left)
    return happened


def command(folder: Path, name: str, workers: int) -> list[str]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = [part for name in CONVENTIONS for part in ("--convention", name)]
    arguments = [
        "convert",
        "ntu60",
        "--raw",
        folder / "raw",
        "--out",
        folder / name,
        "--workers",
        workers,
        *chosen,
    ]
    return [sys.executable, "-m", "skeltools.cli", *map(str, arguments)]


def sums(folder: Path) -> dict[str, str]:
    """File -> hash of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


if __name__ == "__main__":
    main()
