"""NW-UCLA, SkeletonCLR: accuracy after training in bf16 and in fp32, the same seeds.

    python benchmarks/precision.py --raw nw-ucla.zip --work precision [--epochs 20] [--seeds 3] [--jobs 2]

Evaluation is in fp32 for both. Every run keeps its figures in the work folder, so that the script can be
stopped and started again. Where a processor has no bf16 instructions PyTorch computes what they would, ten
times slower; the result says so. It goes to benchmarks/results/precision.json.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import methods

import record
from trainer import device as devices

FORMATS = ("fp32", "bf16")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    store = methods.prepare(work, options.raw, "default")
    os.environ["OMP_NUM_THREADS"] = "1"
    begin = ("--store", store, "--method", "skeletonclr", "--preset", "nw-ucla")
    also = ("--epochs", options.epochs, "--device", options.device)

    def run(job: tuple[str, int]) -> None:
        name, seed = job
        methods.train_and_probe(work, name, seed, begin=(*begin, "--precision", name), options=also)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, [(name, seed) for seed in range(options.seeds) for name in FORMATS]))
    device = devices.choose(options.device)
    result = {
        "benchmark": f"NW-UCLA cross-view, skeletonclr/nw-ucla, {options.epochs} epochs, last epoch",
        "device": devices.describe(device),
        "bf16_emulated": not devices.computes_bf16(device),
        **methods.collect(work, FORMATS),
    }
    for line in methods.table(result["linear"]):
        print(line)
    print(f"written to {record.write('precision', result).name}")


if __name__ == "__main__":
    main()
