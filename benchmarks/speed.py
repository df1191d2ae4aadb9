"""Speed of every part of the pipeline, against a plain baseline and against what the machine allows.

    python -m benchmarks.speed [--quick] [--threads N] [--precision fp32|bf16] [--device auto] [--batch 128]

Prints a table and writes benchmarks/results/speed.json: the median, smallest and largest of the repeats, the
baseline in the same turns (``baseline``, always float32), the floor (``floor``) and the share of it that is
reached. docs/guides/performance.md explains the columns. ``--quick`` uses small sizes and few repeats, under
six minutes on two cores, and writes results/speed_quick.json; ``--only`` with one part writes
results/speed_PART.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import torch

from benchmarks import bulk, floor, record, speed_compiled, speed_data, speed_models
from benchmarks.floor import Rates
from benchmarks.timing import Row, Setting
from trainer import device as devices
from trainer.kernels import malloc
from trainer.methods import METHODS

EMULATED = "this processor has no bf16 instructions: emulated"
GROUPS = ("data", "encoder", "steps", "compiled", "evaluation", "larger", "memory")


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    malloc.keep_freed()  # as in the command line; the baseline benefits as well
    torch.manual_seed(0)
    device = devices.choose(options.device)
    repeats = options.repeats or (3 if options.quick else 5)
    batch = options.batch or (8 if options.quick else 128)
    setting = Setting(device, options.precision, repeats, batch, options.quick)
    busy = os.getloadavg()[0]
    begin = time.perf_counter()
    rates = floor.measure(device, precision=options.precision, quick=options.quick)
    print(describe(setting, rates, busy), flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measured(setting, rates, Path(folder), options):
            if row.name.split()[0] in ("encoder,", "step") and emulated(setting):
                row.note = "; ".join(filter(None, (row.note, EMULATED)))
            rows.append(row)
            print(line(row), flush=True)
    result = {
        "benchmark": "speed",
        "device": devices.describe(device),
        "threads": options.threads,
        "precision": options.precision,
        "quick": options.quick,
        "batch": batch,
        "load_at_start": round(busy, 2),
        "seconds": round(time.perf_counter() - begin),
        "rates": {"multiply_adds_per_second": rates.products, "bytes_copied_per_second": rates.copies},
        "rows": [row.as_json() for row in rows],
    }
    parts = tuple(dict.fromkeys(options.only))
    if not options.methods and (len(parts) == 1 or set(parts) == set(GROUPS)):
        print(f"written to {record.write(file_name(setting, parts), result).name}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--batch", type=int, help="clips of a step; 128, quick 8")
    parser.add_argument("--repeats", type=int, help="5, quick 3")
    parser.add_argument(
        "--methods", nargs="*", default=[], choices=sorted(METHODS), help="steps of these only"
    )
    parser.add_argument("--only", nargs="*", default=GROUPS, choices=GROUPS, help="parts of the table only")
    return parser.parse_args()


def measured(setting: Setting, rates: Rates, folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """All rows, in pipeline order."""
    wanted = set(options.only)
    store = folder / "store.zarr"
    if wanted & {"data", "larger"}:
        bulk.write_store(store, count=speed_data.rows_of_store(setting))
    if "data" in wanted:
        yield from speed_data.recorded()
        yield from speed_data.loading(setting, rates, store)
        yield from speed_data.assembly(setting, rates)
        yield from speed_data.augmentations(setting, rates)
    if "encoder" in wanted:
        yield from speed_models.encoder(setting, rates)
    if "steps" in wanted:
        rows = []
        for row in speed_models.steps(setting, rates, tuple(options.methods)):
            rows.append(row)
            yield row
        yield from speed_models.projected(rows, setting)
    if "compiled" in wanted:
        yield from speed_compiled.compiled(setting)
    if "evaluation" in wanted:
        yield from speed_models.evaluation(setting, rates)
    if "larger" in wanted:
        yield from speed_data.larger_than_memory(setting, store)
    if "memory" in wanted:
        yield from speed_data.memory_of_a_run(setting, folder)


def emulated(setting: Setting) -> bool:
    """Whether bf16 is requested on a device where PyTorch must emulate it."""
    return setting.precision == "bf16" and not devices.computes_bf16(setting.device)


def file_name(setting: Setting, parts: Sequence[str] = GROUPS) -> str:
    """``speed`` with suffixes for non-defaults: ``speed_cuda_bf16``, ``speed_quick``, ``speed_data``."""
    only = parts[0] if len(parts) == 1 else ""
    words = ("speed", only, setting.device.type, setting.precision, "quick" if setting.quick else "")
    return "_".join(word for word in words if word not in ("", "cpu", "fp32"))


def describe(setting: Setting, rates: Rates, busy: float) -> str:
    where = devices.describe(setting.device)
    return (
        f"{where}, {setting.precision}, median of {setting.repeats} (smallest to largest), "
        f"load {busy:.1f} at the start\n"
        f"large matrix product {rates.products / 1e9:.1f} G multiply-adds/s, "
        f"copy {rates.copies / 1e9:.1f} GB/s\n"
        f"{'':44}{'size':>28}{'ours':>32}{'baseline':>12}{'faster':>9}{'floor':>11}{'share':>7}"
    )


def line(row: Row) -> str:
    """One line of the table."""
    ours = f"{duration(median(row.ours))} ({duration(min(row.ours))} to {duration(max(row.ours))})"
    plain = duration(median(row.baseline)) if row.baseline else ""
    faster = f"{row.times_as_fast:.2f} x" if row.times_as_fast else ""
    bound = duration(row.floor) if row.floor else ""
    share = f"{row.floor / median(row.ours):.0%}" if row.floor else ""
    note = f"  {row.note}" if row.note else ""
    return f"{row.name:44}{row.size:>28}{ours:>32}{plain:>12}{faster:>9}{bound:>11}{share:>7}{note}"


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e6:.3g} us"


if __name__ == "__main__":
    main()
