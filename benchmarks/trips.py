"""How much code a reader must open to follow an operation through it.

    python -m benchmarks.trips --work DIR [--name trips]

For each trip, counts our files and functions that ran, with ``sys.setprofile``. Imports, comprehensions and
lambdas do not count. Also counts lines and files of code, exported names and words of the README, and
measures the time of ``--help`` (median of five). The result is written to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

from benchmarks import record, runs

ROOT = Path(__file__).parents[1]
PACKAGES = ("skeltools", "trainer", "schemas")
TRAINING = ("--epochs", "1", "--batch-size", "16", "--device", "cpu")


class Trip:
    """Counts the functions of the packages that run while it is active."""

    def __init__(self) -> None:
        self.functions: set[tuple[str, str]] = set()

    def see(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and not code.co_name.startswith("<") and code.co_filename.startswith(str(ROOT)):
            place = Path(code.co_filename).relative_to(ROOT).as_posix()
            if place.startswith(PACKAGES):
                self.functions.add((place, code.co_qualname))

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        sys.setprofile(self.see)
        try:
            yield
        finally:
            sys.setprofile(None)

    def result(self) -> dict[str, int]:
        return {"files": len({place for place, _ in self.functions}), "functions": len(self.functions)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", default="trips")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    result = {
        "benchmark": "code on five trips",
        "trips": trips(work),
        "size": size(),
        "start_up_s": start_up(),
    }
    print(result)
    record.write(options.name, result)


def trips(work: Path) -> dict[str, dict[str, int]]:
    os.chdir(work)
    one_file(work)
    store = work / "store.zarr"
    if not store.exists():
        runs.command(runs.SKELTOOLS, "convert", "ntu60", "--raw", "raw", "--out", "store.zarr", folder=work)
    counts = {
        "raw file -> store": trip(
            skeltools, "convert", "ntu60", "--raw", "one", "--out", "one.zarr", "--force"
        ),
        "convention -> adjacency": adjacency(),
    }
    for method in ("aimclr", "ms-clr"):
        before, step = training(method, store)
        counts[f"settings -> {method}, ready"] = before
        counts[f"batch -> loss of {method}"] = step
    counts["checkpoint -> linear result"] = trip(
        trainer,
        "evaluate",
        "runs/aimclr",
        "--protocol",
        "linear",
        "--set",
        "linear.epochs=1",
        "--device",
        "cpu",
    )
    return counts


def one_file(work: Path) -> None:
    """Make ``raw``, and ``one`` with a single file from it."""
    if not (work / "raw").exists():
        runs.command(runs.SKELTOOLS, "demo", "raw", folder=work)
    first = min((work / "raw").rglob("*.skeleton"))
    there = work / "one" / first.relative_to(work / "raw")
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_bytes(first.read_bytes())


def skeltools(*arguments: str) -> None:
    from skeltools.cli import main

    _quietly(main, arguments)


def trainer(*arguments: str) -> None:
    from trainer.cli import main

    _quietly(main, arguments)


def _quietly(main: Callable[[], Any], arguments: tuple[str, ...]) -> None:
    sys.argv = ["program", *arguments]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()


def trip(program: Callable[..., None], *arguments: str) -> dict[str, int]:
    """Counts for a whole command, run once before so that nothing is imported during the trip."""
    program(*arguments)
    seen = Trip()
    with seen.on():
        program(*arguments)
    return seen.result()


def adjacency() -> dict[str, int]:
    from skeltools import graph, skeletons

    seen = Trip()
    with seen.on():
        graph.spatial_partition(skeletons.load("kinectv2_25"))
    return seen.result()


def training(method: str, store: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Counts before the first loss, and within it."""
    from torch.nn.modules import module

    before, step = Trip(), Trip()
    made: list[Any] = []

    def is_method(each: Any) -> bool:
        return type(each).__module__.startswith("trainer.methods") and (not made or each is made[0])

    def enter(each: Any, _: Any) -> None:
        if is_method(each):
            made.append(each)
            sys.setprofile(step.see)

    def leave(each: Any, _: Any, __: Any) -> None:
        if is_method(each):
            sys.setprofile(None)

    hooks = module.register_module_forward_pre_hook(enter), module.register_module_forward_hook(leave)
    out = store.parent / "runs" / method
    arguments = (
        "pretrain",
        "--store",
        str(store),
        "--method",
        method,
        "--out",
        str(out),
        "--force",
        *TRAINING,
    )
    with before.on():
        trainer(*arguments)
    for hook in hooks:
        hook.remove()
    return before.result(), step.result()


def size() -> dict[str, Any]:
    lines = {
        name: sum(len(path.read_text().splitlines()) for path in (ROOT / name).rglob("*.py"))
        for name in PACKAGES
    }
    files = {name: len(list((ROOT / name).rglob("*.py"))) for name in PACKAGES}
    return {
        "lines": lines,
        "files": files,
        "public_names": {name: len(import_module(name).__all__) for name in PACKAGES},
        "readme_words": len((ROOT / "README.md").read_text().split()),
    }


def start_up() -> dict[str, float]:
    """Command -> seconds."""
    commands = {
        "skeltools --help": (*runs.SKELTOOLS, "--help"),
        "skeltools convert --help": (*runs.SKELTOOLS, "convert", "--help"),
        "trainer --help": (*runs.TRAINER, "--help"),
        "trainer pretrain --help": (*runs.TRAINER, "pretrain", "--help"),
        "trainer methods": (*runs.TRAINER, "methods"),
        "import skeltools": ("-c", "import skeltools"),
        "import trainer": ("-c", "import trainer"),
        "python": ("-c", "pass"),
    }
    return {name: round(median(_seconds(command) for _ in range(5)), 3) for name, command in commands.items()}


def _seconds(command: tuple[str, ...]) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
