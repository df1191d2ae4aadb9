"""Damaged files, read in this process with little memory and a few seconds each.

    python -m tests.skeltools.fuzz_runs FORMAT... --count 100 --seed 0 --out FILE

Sound files of a format are written, one of them is mutated (``fuzzing.mutate``, or a grammar of grammars.py),
all are read as a conversion reads them. A line of JSON a format tells what came of it.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from tests.skeltools.fuzzing import FORMATS, mutate, outcome
from tests.skeltools.grammars import GRAMMARS, Grammar

MEMORY = 500 * 2**20
"""Bytes that reading one damaged file may take above what the process has."""
SECONDS = 5


class Hang(BaseException):
    """Not an Exception, so that no reader takes it for a bad file."""


@contextmanager
def limits() -> Iterator[None]:
    """Little more memory than there is now, and an alarm that ``run`` sets."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    old = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, old[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, old)
        signal.signal(signal.SIGALRM, before)


def _resident(*, reset: bool = False) -> int:
    """Largest resident memory since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(match[1]) if match else 0


def grammar_of(name: str) -> Grammar:
    """Of a format: bytes of any of its files are changed."""
    if name in GRAMMARS:
        return GRAMMARS[name]
    reader, write = FORMATS[name]
    return Grammar(write, _bytes, "*", lambda raw: outcome(reader, raw))


def _bytes(path: Path, rng: np.random.Generator) -> str:
    path.write_bytes(mutate(path.read_bytes(), rng))
    return "bytes"


def run(name: str, *, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Counts of what came of ``count`` mutations of a format, and the first failures in full."""
    grammar = grammar_of(name)
    sound = folder / "sound"
    sound.mkdir(parents=True)
    grammar.write(sound)
    files = {path.relative_to(sound): path.read_bytes() for path in sound.rglob("*") if path.is_file()}
    assert grammar.use(sound) == ("accepted", 0), f"the sound files of {name} are none"
    damageable = [path for path in files if path.match(grammar.file)]
    counts: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest, found = 0.0, 0
    before = _resident(reset=True)
    for case in range(count):
        raw = folder / str(case)
        rng = np.random.default_rng([seed, sum(name.encode()), case])
        chosen = damageable[rng.integers(len(damageable))]
        for path, data in files.items():
            (raw / path).parent.mkdir(parents=True, exist_ok=True)
            (raw / path).write_bytes(data)
        grammar.damage(raw / chosen, rng)
        begin = time.perf_counter()
        signal.alarm(SECONDS)
        try:
            kind, findings = grammar.use(raw)
            found += findings
        except (Hang, Exception) as error:
            kind = {Hang: "hang", MemoryError: "memory"}.get(type(error), "traceback")
            failures.append(
                {"case": case, "file": str(chosen), "kind": kind, "error": traceback.format_exc()}
            )
        signal.alarm(0)
        counts[kind] += 1
        slowest = max(slowest, time.perf_counter() - begin)
        shutil.rmtree(raw)
    return {
        "format": name,
        "files": count,
        "accepted": counts["accepted"],
        "refused": counts["refused"],
        "findings": found,
        "hangs": counts["hang"],
        "tracebacks": counts["traceback"],
        "out_of_memory": counts["memory"],
        "slowest_seconds": round(slowest, 3),
        "megabytes_above_baseline": round((_resident() - before) / 1e6, 1),
        "failures": failures[:5],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="+", choices=[*FORMATS, *GRAMMARS])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message="Reading `.npy`")  # of a header as Python 2 wrote it
    with tempfile.TemporaryDirectory() as folder, options.out.open("w") as out:
        for number, name in enumerate(options.formats):
            _warm_up(name, Path(folder, f"warm{number}"))
            with limits():
                found = run(name, count=options.count, seed=options.seed, folder=Path(folder, str(number)))
            out.write(json.dumps(found) + "\n")
            out.flush()


def _warm_up(name: str, folder: Path) -> None:
    """What the reader imports takes memory once."""
    folder.mkdir()
    grammar_of(name).write(folder)
    grammar_of(name).use(folder)


if __name__ == "__main__":
    sys.exit(main())
