"""All GPU benchmarks, in resumable pieces.

    python -m benchmarks.gpu --work gpu [--raw nw-ucla.zip] [--limit 450] [--only equal speed ...]

Repeat the command until it reports all pieces as done: finished pieces are not repeated, and none is started
after ``--limit`` seconds; a training is stopped then and resumed by the next command. ``--device cpu
--quick`` tries everything in small sizes without a GPU. A piece that fails is reported with its error and
retried by the next command; ``--retry`` also repeats those beyond their bounds. Results are written to
benchmarks/results/gpu.json, with ``--quick`` to gpu_quick.json in the work folder.

equal      augmentations, and a step of every method with every encoder, against the CPU: fp32 and bf16
resume     a training that was stopped within an epoch against an uninterrupted one
processes  two processes that share the device against one, with gloo
speed      encoder and steps against the plain baseline and the floor, batches of 128 and 1,024; compiled, and
           with CUDA graphs; with the memory of each
memory     peak memory of a step, whole and in four parts
ucla       NW-UCLA's table with the presets' schedules (needs --raw)
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import floor, gpu_equal, gpu_runs, record, speed_models
from benchmarks.timing import Setting, gpu_megabytes, in_turn
from trainer import device as devices
from trainer.methods import METHODS

GROUPS = ("equal", "resume", "processes", "speed", "memory", "ucla")
LIMIT = 450
"""Seconds after which no piece is started: with the longest piece, less than ten minutes in total."""

Piece = Callable[[], dict[str, Any]]


def main() -> int:
    options = arguments()
    device = devices.choose(options.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    folder = options.work.resolve() / "pieces"
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + options.limit
    wanted = {name: make for name, make in pieces(device, options, until) if name.split()[0] in options.only}
    for name, make in wanted.items():
        path = folder / f"{name.replace(' ', '_')}.json"
        if not done(path, retry=options.retry) and time.monotonic() < until:
            path.write_text(json.dumps(figures := measured(make), indent=1) + "\n")
            print(f"{name}: {summary(figures)}", flush=True)
    return collect(folder, wanted, device, quick=options.quick)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the pieces")
    parser.add_argument("--raw", type=Path, help="of NW-UCLA, for the piece ucla")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of one command")
    parser.add_argument("--only", nargs="*", choices=GROUPS, default=GROUPS)
    parser.add_argument("--seeds", type=int, default=3, help="of ucla")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to try the script itself")
    parser.add_argument("--retry", action="store_true", help="repeat pieces that are beyond their bounds")
    return parser.parse_args()


def pieces(device: torch.device, options: argparse.Namespace, until: float) -> Iterator[tuple[str, Piece]]:
    """(name, function that measures it) of every piece, the quickest first."""
    quick, work = options.quick, options.work.resolve()
    yield "equal augmentations", partial(augmentations, device, samples=8 if quick else 128)
    for method in gpu_equal.NAMES:
        for encoder in gpu_equal.fitting(method):
            yield f"equal {method} {encoder}", partial(equal, method, encoder, device, quick=quick)
    yield "resume", partial(gpu_runs.resume, device, work, quick=quick)
    yield "processes", partial(gpu_runs.processes, device, work, quick=quick)
    for batch in (8,) if quick else (128, 1024):
        for precision in ("fp32", "bf16"):
            setting = Setting(device, precision, 2 if quick else 5, batch, quick)
            yield f"speed encoder {precision} {batch}", partial(encoder_rows, setting)
            for method in ("skeletonclr",) if quick else METHODS:
                yield f"speed {method} {precision} {batch}", partial(step_rows, method, setting)
                yield f"memory {method} {precision} {batch}", partial(memory, method, setting)
            for graphs in (False, True):
                name = f"speed {'graphs' if graphs else 'compiled'} {precision} {batch}"
                yield name, partial(compiled, setting, graphs=graphs)
    if options.raw is not None:
        for seed in range(options.seeds):
            for method in gpu_runs.UCLA:
                run = partial(gpu_runs.ucla, method, seed, options, until)
                yield f"ucla {method} {seed}", run


def measured(make: Piece) -> dict[str, Any]:
    """A piece's figures and seconds, or the error if it fails; the next command retries it."""
    begin = time.perf_counter()
    try:
        figures = make()
    except Exception as error:
        figures = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc(limit=-4)}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {**figures, "seconds": round(time.perf_counter() - begin, 1)}


def done(path: Path, *, retry: bool) -> bool:
    figures = json.loads(path.read_text()) if path.exists() else {"error": "not begun"}
    return "error" not in figures and not figures.get("unfinished") and not (retry and figures.get("beyond"))


def summary(figures: dict[str, Any]) -> str:
    if "error" in figures:
        return f"failed. {figures['error']}"
    beyond = f"BEYOND {', '.join(figures['beyond'])}; " if figures.get("beyond") else ""
    return f"{beyond}{'unfinished, ' if figures.get('unfinished') else ''}{figures['seconds']} s"


def collect(folder: Path, wanted: dict[str, Piece], device: torch.device, *, quick: bool) -> int:
    """Write all finished pieces; returns 1 if any of those wanted is missing or beyond its bounds, else 0."""
    there = {
        path.stem.replace("_", " "): json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))
    }
    result = {"benchmark": "gpu", "device": devices.describe(device), "quick": quick, "pieces": there}
    path = folder.parent / "gpu_quick.json"
    if quick:
        path.write_text(json.dumps(result, indent=2) + "\n")
    else:
        path = record.write("gpu", result)
    left = [name for name in wanted if not done(folder / f"{name.replace(' ', '_')}.json", retry=False)]
    beyond = [name for name in wanted if there.get(name, {}).get("beyond")]
    print(f"{len(wanted) - len(left)} of {len(wanted)} pieces are there, written to {path.name}")
    if left:
        print(f"left: {', '.join(left[:6])}{', ...' if len(left) > 6 else ''}. Give the same command again")
    if beyond:
        print(f"beyond their bounds: {', '.join(beyond)}")
    return min(len(left) + len(beyond), 1)


def augmentations(device: torch.device, *, samples: int) -> dict[str, Any]:
    """Largest differences in metres; views with the same random draws may differ by rounding only."""
    differences = gpu_equal.augmentations(device, samples=samples)
    worst = {name: value for name, value in differences.items() if not value <= gpu_equal.METRES}
    return {
        "largest_difference": differences,
        "beyond": [f"{name} {value:.2g}" for name, value in worst.items()],
    }


def equal(method: str, encoder: str, device: torch.device, *, quick: bool) -> dict[str, Any]:
    differences = gpu_equal.step(method, encoder, device, quick=quick)
    return {"relative_difference": differences, "beyond": gpu_equal.beyond(differences)}


def encoder_rows(setting: Setting) -> dict[str, Any]:
    rates = floor.measure(setting.device, precision=setting.precision, quick=setting.quick)
    rows = [row.as_json() for row in speed_models.encoder(setting, rates)]
    return {"multiply_adds_per_second": rates.products, "bytes_per_second": rates.copies, "rows": rows}


def step_rows(method: str, setting: Setting) -> dict[str, Any]:
    """A step, the baseline and the floor where available, and the hours for 300 epochs of NTU-60."""
    rates = floor.measure(setting.device, precision=setting.precision, quick=setting.quick)
    rows = list(speed_models.steps(setting, rates, (method,)))
    return {"rows": [row.as_json() for row in [*rows, *speed_models.projected(rows, setting)]]}


def compiled(setting: Setting, *, graphs: bool) -> dict[str, Any]:
    """AimCLR's step with ``--compile`` against eager; graphs exist only on CUDA."""
    if graphs and setting.device.type != "cuda":
        return {"left_out": "CUDA graphs need CUDA"}
    fast = speed_models.our_steps("aimclr", setting, compiled=True, graphs=graphs)
    eager = speed_models.our_steps("aimclr", setting)
    begin = time.perf_counter()
    next(fast)
    first = time.perf_counter() - begin
    seconds = in_turn({"ours": lambda: next(fast), "eager": lambda: next(eager)}, setting)
    times = {name: median(values) for name, values in seconds.items()}
    more = gpu_megabytes(setting.device, lambda: next(fast))
    return {"seconds_of_a_step": times, "seconds_of_the_first": round(first, 1), **more}


def memory(method: str, setting: Setting) -> dict[str, Any]:
    """Number of parts of a batch -> peak megabytes of a step; empty on the CPU, where it is not counted."""
    megabytes = {}
    for parts in (1, 4):
        steps = speed_models.our_steps(method, setting, parts=parts)
        list(islice(steps, 2))
        megabytes[str(parts)] = gpu_megabytes(setting.device, lambda steps=steps: next(steps))
    return {"parts": megabytes}


if __name__ == "__main__":
    raise SystemExit(main())
