"""Fuzzing: 2,000 mutated files of every format, read as in a conversion.

    python -m benchmarks.fuzz [--count 2000] [--seed 0] [--grammars] [--formats ntu ...]

A child process reads them with at most 500 MB of additional memory and five seconds per file. Each file must
be refused with one of our errors or read into a sequence that a store can hold; hangs, other errors, warnings
and more memory are failures. Bytes are changed at random (tests/skeltools/fuzzing.py); with ``--grammars``,
the contents of YAML, JSON, pickles, zip and HDF5 are changed (grammars.py; for zarr see
benchmarks/hostile_store.py). The tests do the same with fewer files.

Writes benchmarks/results/fuzz.json, or fuzz_grammars.json, and prints failures. The exit code is 1 if there
are any.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import record

TIMEOUT = 600
"""Time limit in seconds for all files of a format."""
ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000, help="mutated files of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", help="only these; nothing is written to results/ then")
    parser.add_argument("--grammars", action="store_true", help="what files say is changed")
    parser.add_argument("--at-once", type=int, default=2, help="formats")
    options = parser.parse_args()
    with ThreadPoolExecutor(options.at_once) as pool:
        rows = list(
            pool.map(
                lambda name: run(name, options.count, options.seed),
                options.formats or formats(grammars=options.grammars),
            )
        )
    failed = sum(row["hangs"] + row["tracebacks"] + row["out_of_memory"] for row in rows)
    for row in rows:
        for failure in row.pop("failures"):
            print(f"{row['format']}, case {failure['case']}, {failure['file']}:\n{failure['error']}")
        print(row)
    if not options.formats:
        total = {key: sum(row[key] for row in rows) for key in ("files", "accepted", "refused", "findings")}
        result = {"benchmark": "damaged files", "failures": failed, "total": total, "formats": rows}
        print(f"written to {record.write('fuzz_grammars' if options.grammars else 'fuzz', result).name}")
    return 1 if failed else 0


def formats(*, grammars: bool) -> list[str]:
    """The names of the formats, from a subprocess, so that this process imports nothing."""
    kind = "GRAMMARS" if grammars else "FORMATS"
    code = f"import json; from tests.skeltools.fuzz_runs import {kind}; print(json.dumps(list({kind})))"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [str(name) for name in json.loads(process.stdout)]


def run(name: str, count: int, seed: int) -> dict:
    """Fuzz one format in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "found.jsonl")
        arguments = [name, "--count", str(count), "--seed", str(seed), "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.skeltools.fuzz_runs", *arguments]
        try:
            subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=TIMEOUT)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            return unfinished(name, error)
        summary: dict = json.loads(out.read_text())
        return summary


def unfinished(name: str, error: Exception) -> dict:
    """The row of a child that was killed, or that hung in a C library: its progress is unknown."""
    keys = ("files", "accepted", "refused", "findings", "tracebacks", "out_of_memory")
    failure = {"case": "unknown", "file": "unknown", "error": str(error)}
    return {"format": name, **dict.fromkeys(keys, 0), "hangs": 1, "unfinished": True, "failures": [failure]}


if __name__ == "__main__":
    sys.exit(main())
