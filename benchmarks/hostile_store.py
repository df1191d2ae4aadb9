"""Hostile stores: 2,000 changes by the grammar of zarr and of the format, used like a received store.

    python -m benchmarks.hostile_store [--count 2000] [--flips 500] [--seed 0] [--cases 17 ...]

A forked process, forked again after a case that ends it, inspects, describes, validates, exports and opens
each store, reads all of it, loads a training half and adds a stream. Each use must end in a result or one of
our errors, within five processor seconds and 500 MB of additional memory, and without control characters on
the terminal. tests/skeltools/hostile_stores.py makes the changes; its tests do the same with fewer.

Then 500 single bits are flipped in value files: reading everything, or ``validate``, must detect each.

Writes benchmarks/results/hostile_store.json and prints failures. The exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from benchmarks import record
from tests.skeltools import hostile_stores
from tests.skeltools.fuzz_runs import MEMORY, SECONDS, Hang, _resident

MEMORY_DISK = Path("/dev/shm")
"""Folder for copies of stores, if the system has it: a case consists of a hundred small files."""
_IMPORTED = (
    "trainer.store",
    "skeltools.inspect.validate",
    "skeltools.inspect.card",
    "skeltools.formats.hdf5",
)
_IMPORTED += ("skeltools.formats.export", "skeltools.conversion.derive", "skeltools.cli.inspect")
WAITING = 20
"""Elapsed seconds after which a use counts as hanging: other processes may hold the processor."""
KILLED = 90
_HUNG = 3
"""Exit code of a process that ends because of a hang."""
SPARE = 4 * 2**30
"""Additional bytes of address space that a process may request, so that none exhausts the machine."""

Case = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flips", type=int, default=500, help="single bits that are flipped")
    parser.add_argument(
        "--cases", type=int, nargs="*", help="only these; nothing is written to results/ then"
    )
    options = parser.parse_args()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        sound = made(Path(folder))
        cases = run(sound, options.cases or range(options.count), options.seed)
        flips = [] if options.cases else run(sound, range(options.flips), options.seed, use=flipped)
    failed = any(case["failures"] for case in (*cases, *flips))
    result = summary(cases) | {"flips": len(flips), "seconds": round(time.perf_counter() - begin)}
    result["flips_found"] = sum(not case["failures"] for case in flips)
    print(json.dumps(result, indent=2))
    if not options.cases:
        print(f"written to {record.write('hostile_store', result).name}")
    return 1 if failed else 0


def summary(cases: list[Case]) -> dict[str, Any]:
    kinds = Counter(kind for case in cases for kind in case["kinds"])
    changes = Counter(case["change"] for case in cases)
    return {
        "benchmark": "changed stores",
        "cases": len(cases),
        "uses": sum(case["uses"] for case in cases),
        "failures": {kind: kinds[kind] for kind in ("traceback", "hang", "memory", "killed")},
        "changes": dict(sorted(changes.items())),
        "slowest_seconds": max((case["seconds"] for case in cases), default=0),
        "most_megabytes": max((case["megabytes"] for case in cases), default=0),
    }


def made(folder: Path) -> Path:
    """Make the sound store in a separate process: one that has used zarr has threads and must not fork."""
    code = "import sys, pathlib; from tests.skeltools import hostile_stores as h; "
    code += "h.write_sound(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=Path(__file__).parents[1])
    return folder / "sound.zarr"


def run(
    sound: Path, cases: Iterable[int], seed: int, *, use: Callable[[Path, int, int], Case] | None = None
) -> list[Case]:
    """The outcome of each case."""
    for module in _IMPORTED:  # so that children need not import them
        import_module(module)

    return list(_all(sound, list(cases), seed, use or changed))


def _all(sound: Path, cases: list[int], seed: int, use: Callable[[Path, int, int], Case]) -> Iterator[Case]:
    """Run cases in one process; if a case ends it, continue with the next case in a new one."""
    while cases:
        pid, pipe = _forked(sound, cases, seed, use)
        with os.fdopen(pipe) as lines:
            for line in lines:
                case: Case = json.loads(line)
                cases = cases[1:]
                _tell(case, len(cases))
                yield case
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, _HUNG):
            empty: Case = {"case": cases[0], "change": "unknown", "uses": 1, "seconds": 0, "megabytes": 0}
            failures = [f"ended with {os.waitstatus_to_exitcode(status)}"]
            case = empty | {"kinds": ["killed"], "failures": failures}
            cases = cases[1:]
            _tell(case, len(cases))
            yield case


def _tell(case: Case, left: int) -> None:
    if left % 100 == 0:
        print(f"{left} cases are left", flush=True)
    if case["failures"]:
        print(f"case {case['case']}, {case['change']}: " + "\n".join(case["failures"]), flush=True)


def _forked(
    sound: Path, cases: list[int], seed: int, use: Callable[[Path, int, int], Case]
) -> tuple[int, int]:
    """Fork a process for the cases, with a pipe on which it reports a line of JSON for each."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 1
    try:
        os.close(reading)
        _limit()
        code = _write_cases(sound, cases, seed, use, writing)
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def _write_cases(
    sound: Path, cases: list[int], seed: int, use: Callable[[Path, int, int], Case], pipe: int
) -> int:
    for case in cases:
        with tempfile.TemporaryDirectory(dir=sound.parent) as folder:
            store = Path(folder, "s.zarr")
            shutil.copytree(sound, store)
            signal.alarm(KILLED)
            entry = use(store, case, seed)
        os.write(pipe, json.dumps(entry).encode() + b"\n")
        if "hang" in entry["kinds"]:
            return _HUNG  # a waiting thread would block the next use
    return 0


def changed(store: Path, case: int, seed: int) -> Case:
    """One case: change the store, and use it in every way."""
    rng = np.random.default_rng([seed, case])
    drawn = hostile_stores.change(store, rng)
    entry: Case = {"case": case, "change": drawn, "uses": 0, "seconds": 0.0, "megabytes": 0.0}
    entry |= {"kinds": [], "failures": []}
    for name, use in hostile_stores.uses(store):
        _measured(entry, name, use)
        if "hang" in entry["kinds"]:
            break  # a waiting thread would block the next use
    return entry


def _measured(entry: Case, name: str, use: Callable[[], object]) -> None:
    before, begun = _resident(reset=True), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAITING)
    kind = trace = ""
    try:
        use()
    except (Hang, Exception) as error:
        kind = {Hang: "hang", MemoryError: "memory"}.get(type(error), "traceback")
        trace = traceback.format_exc()[-3000:]
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)
    text = f"{name}: {kind}\n{trace}" if kind else ""
    grown = (_resident() - before) / 1e6
    if not kind and grown * 1e6 > MEMORY:
        kind, text = "memory", f"{name}: {grown:.0f} MB"
    entry["uses"] += 1
    entry["seconds"] = max(entry["seconds"], round(time.process_time() - begun, 3))
    entry["megabytes"] = max(entry["megabytes"], round(grown, 1))
    entry["kinds"] += [kind] if kind else []
    entry["failures"] += [text] if text else []


def _limit() -> None:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    signal.signal(signal.SIGPROF, ring)
    signal.signal(signal.SIGALRM, ring)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    warnings.simplefilter("ignore")


def flipped(store: Path, case: int, seed: int) -> Case:
    """Flip one bit of a value file: reading everything or ``validate`` must detect it."""
    from skeltools.inspect.validate import validate

    place, bit = hostile_stores.flip_one(store, np.random.default_rng([seed, case, 1]))
    entry: Case = {"case": case, "change": "flip_one", "uses": 1, "seconds": 0.0, "megabytes": 0.0}
    wrong = [] if validate(store) else [f"bit {bit} of {place} was flipped, and nothing is told"]
    return entry | {"kinds": ["unfound"] * len(wrong), "failures": wrong}


if __name__ == "__main__":
    sys.exit(main())
