"""Check that commands survive ``kill -9``: each is killed 50 times, examined, and run again.

    python -m benchmarks.kills [--kills 50] [--seed 0] [--commands streams ...]

Half of the kills are at random moments, half before a random rename or other change of a name on disk. After
each kill, the output must be the old one, the new one, or recognised as incomplete; then the same command
runs to completion, and its output must equal that of an undisturbed run: stores, exports and pages byte by
byte, weights and results value by value. Everything runs in forks of this process, which has done all imports
before. ``benchmarks.kill`` does the same with conversions.

Writes benchmarks/results/kills.json. The exit code is 1 if a kill left a wrong state.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import record
from schemas import SkelError
from tests.killed import changes_of, killed_after, killed_before

MEMORY_DISK = Path("/dev/shm")
State = dict[str, str]
"""Name of an output of a command -> its hash."""


def _store(path: Path) -> State:
    """The files of a store, which must be sound. Raises AssertionError."""
    from skeltools.inspect.validate import validate

    faults = validate(path)
    if faults:
        raise AssertionError(f"a store of faults has its name: {faults[0]}")
    return {file.relative_to(path).as_posix(): _hash(file) for file in path.rglob("*") if file.is_file()}


def _file(path: Path) -> State:
    return {path.name: _hash(path)}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _weights(run: Path) -> State:
    from trainer import checkpoint

    path = run / checkpoint.LAST
    if not path.exists():
        return {}
    saved = checkpoint.load(path)
    values = {
        name: hashlib.sha256(value.numpy().tobytes()).hexdigest() for name, value in saved.model.items()
    }
    return {"epoch": str(saved.epoch), **values}


def _results(run: Path) -> State:
    """Figures and scores of every result."""
    from trainer.run import read_result

    found: State = {}
    for path in sorted((run / "results").glob("*.json")):
        saved = read_result(path)
        scores = saved.scores().values.numpy().tobytes()
        found[path.name] = f"{saved.result.top1} {hashlib.sha256(scores).hexdigest()}"
    return found


def _encoder(folder: Path) -> State:
    from trainer.export import load_encoder

    values = load_encoder(folder).state_dict()
    return {name: hashlib.sha256(value.numpy().tobytes()).hexdigest() for name, value in values.items()}


def _published(folder: Path) -> State:
    """The files of the manifest. Raises AssertionError if they do not match it."""
    from trainer.publishing import manifest

    told = manifest.read_manifest(folder)
    assert not manifest.problems_of(folder, told)
    return {name: _hash(folder / name) for name in told.files}


@dataclass(frozen=True)
class Command:
    """A command and its output, with paths relative to the folder ``{0}``."""

    words: tuple[str, ...]
    out: str
    read: Callable[[Path], State]
    """Reads the existing output at ``out``. Raises SkelError if it is recognised as incomplete."""
    grows: bool = False
    """Whether partial results, or those of an earlier epoch, are valid."""


_STREAMS = ("skeltools", "streams", "{0}/s.zarr", "--bone", "--motion", "--frames", "4")
_ADD = ("skeltools", "convert", "ntu60", "--raw", "{0}/ntu60", "--out", "{0}/n.zarr", "--add-metrabs")
_MAP = ("skeltools", "map", "{0}/s.zarr", "--to", "coco_17", "--partial", "--out", "{0}/m.zarr")
_EXPORT = ("skeltools", "export", "{0}/s.zarr", "--to", "hdf5", "--out", "{0}/s.h5")
_PRETRAIN = ("trainer", "pretrain", "--config", "{0}/config.yaml", "--out", "{0}/more", "--resume=auto")
_EVALUATE = ("trainer", "evaluate", "{0}/run", "--protocol", "knn", "--protocol", "linear")
_EVALUATE += ("--set", "linear.epochs=3")
COMMANDS: dict[str, Command] = {
    "streams": Command(_STREAMS, "s.zarr", _store),
    "convert --add-metrabs": Command(_ADD, "n.zarr", _store),
    "map": Command(_MAP, "m.zarr", _store),
    "export": Command(_EXPORT, "s.h5", _file),
    "pretrain": Command(_PRETRAIN, "more", _weights, grows=True),
    "evaluate": Command(_EVALUATE, "run", _results, grows=True),
    "report": Command(("trainer", "report", "{0}/whole", "--out", "{0}/page.html"), "page.html", _file),
    "embed": Command(("trainer", "embed", "{0}/run", "{0}/t.zarr", "--out", "{0}/f.npz"), "f.npz", _file),
    "export of an encoder": Command(("trainer", "export", "{0}/run", "--out", "{0}/e"), "e", _encoder),
    "publish": Command(("trainer", "publish", "{0}/whole", "--to", "{0}/p"), "p", _published),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--commands", nargs="*", choices=COMMANDS, help="only these; the others' rows stay as they were"
    )
    options = parser.parse_args()
    rows = measured() if options.commands else {}
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        warm_up(Path(folder, "warm"))
        for name in options.commands or COMMANDS:
            row = measure(name, Path(folder, name), options.kills, random.Random(options.seed))
            rows[name] = {**row, "commit": record.commit()}
            ordered = [rows[each] for each in COMMANDS if each in rows]
            result = {"benchmark": "kill -9 of commands, then the same command again", "commands": ordered}
            print(f"written to {record.write('kills', result).name}")  # kept if a later row fails
    return 1 if any(row["wrong"] for row in rows.values()) else 0


def measured() -> dict[str, dict[str, Any]]:
    """Rows of an earlier run, by command."""
    path = record.RESULTS / "kills.json"
    saved = json.loads(path.read_text()) if path.exists() else {"commands": []}
    return {row["command"]: row for row in saved["commands"]}


def warm_up(folder: Path) -> None:
    """Import everything that commands import, as reported by a fork, so that later forks need not."""

    def imported() -> list[str]:
        prepare(folder / "all")
        for command in COMMANDS.values():
            run(command, folder / "all")
            state(command, folder / "all")
        return [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]

    folder.mkdir()
    for name in in_a_child(folder, imported):
        with contextlib.suppress(ImportError):
            import_module(name)


def measure(name: str, folder: Path, kills: int, draw: random.Random) -> dict[str, Any]:
    """Kill one command ``kills`` times."""
    command, begun = COMMANDS[name], time.perf_counter()
    folder.mkdir()
    case = folder / "case"  # the same path for all, since outputs may contain parts of it
    in_a_child(folder, lambda: prepare(case))
    case.rename(folder / "sound")

    def anew() -> None:
        shutil.rmtree(case, ignore_errors=True)
        shutil.copytree(folder / "sound", case)

    def work() -> None:
        run(command, case)

    anew()
    old = in_a_child(folder, lambda: state(command, case))
    changes = changes_of(work)
    new = in_a_child(folder, lambda: state(command, case))
    anew()
    before = time.perf_counter()
    assert not killed_after(3600, work)
    seconds = time.perf_counter() - before
    assert in_a_child(folder, lambda: state(command, case)) == new != old, f"{name} is not the same twice"
    counts, wrong = Counter[str](), list[str]()
    while counts["killed"] < kills:
        anew()
        if counts["killed"] % 2:
            moment = f"before change {(number := draw.randint(1, changes))}"
            killed = killed_before(number, work)
        else:
            after = draw.uniform(0, seconds)
            moment, killed = f"after {after:.3f} s", killed_after(after, work)
        if not killed:
            counts["ended before"] += 1
            seconds *= 0.97
            continue
        counts["killed"] += 1
        found = in_a_child(folder, lambda: state(command, case))
        counts[kind := _kind(found, old, new, grows=command.grows)] += 1
        if kind not in ("wrong", "new"):
            assert not killed_after(3600, work)
            again = in_a_child(folder, lambda: state(command, case))
            kind = "right" if again == new else "wrong"
        if kind == "wrong":
            wrong.append(moment)
            print(f"{name}, {moment}: {found}", flush=True)
    shutil.rmtree(folder)
    row = {"command": name, "kills": kills, "left": dict(counts), "wrong": len(wrong), "changes": changes}
    row |= {"seconds_of_the_command": round(seconds, 2), "seconds": round(time.perf_counter() - begun)}
    print(row, flush=True)
    return row


def _kind(found: Any, old: Any, new: Any, *, grows: bool) -> str:
    if found in ("nothing", "told"):
        return str(found)
    if found in (old, new):
        return "old" if found == old else "new"
    parts = isinstance(found, dict) and (
        found.keys() == new.keys() if "epoch" in found else found.items() <= new.items()
    )
    return "part" if grows and parts else "wrong"


def state(command: Command, folder: Path) -> Any:
    """``nothing``, ``told`` (recognised as incomplete), or the output's state."""
    out = folder / command.out
    if not out.exists():
        return "nothing"
    try:
        return command.read(out)
    except SkelError:
        return "told"


def run(command: Command, folder: Path) -> None:
    """Run a command. Raises AssertionError if it fails."""
    program, *words = (word.format(folder) for word in command.words)
    with (
        (folder.parent / "told.txt").open("w") as out,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        try:
            import_module(f"{program}.cli").main(words)
        except SystemExit as done:
            code = done.code
    if code:
        raise AssertionError((folder.parent / "told.txt").read_text()[-2000:])


def in_a_child(folder: Path, work: Callable[[], Any]) -> Any:
    """The result of ``work`` from a fork: a process that has used zarr has threads and must not fork."""
    answer = folder / "answer.json"

    def write() -> None:
        try:
            found = work()
        except AssertionError:
            found = {"error": traceback.format_exc()[-1500:]}
        answer.write_text(json.dumps(found))

    assert not killed_after(3600, write)
    return json.loads(answer.read_text())


def prepare(folder: Path) -> None:
    """Make a store of raw skeletons, a store to train on, a run with results, and settings for another."""
    from skeltools import convert
    from tests.skeltools import hostile_stores
    from tests.trainer import runs
    from tests.trainer.stores import write_store
    from trainer import loop
    from trainer.loop.session import write_config

    folder.mkdir()
    hostile_stores.write_sound(folder).rename(folder / "s.zarr")
    convert("ntu60", raw=folder / "ntu60", out=folder / "n.zarr", conventions=("kinectv2_25",), frames=(4,))
    store = write_store(folder / "t.zarr")
    write_config(runs.tiny_config(store, optimise__epochs=3), folder)
    loop.pretrain(runs.tiny_config(store, optimise__epochs=1), out=folder / "run")
    run(COMMANDS["evaluate"], folder)
    shutil.copytree(folder / "run", folder / "whole")
    shutil.rmtree(folder / "run" / "results")


if __name__ == "__main__":
    sys.exit(main())
