"""NW-UCLA, SkeletonCLR: accuracy after training in bf16 and in fp32 with the same seeds.

    python -m benchmarks.precision --raw nw-ucla.zip --work precision [--epochs 20] [--seeds 3] [--jobs 2]

Evaluation is in fp32 for both. Every run keeps its figures in the work folder, so that the script can be
interrupted and restarted. On a processor without bf16 instructions PyTorch emulates them, ten times slower;
the result records this. It is written to benchmarks/results/precision.json.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import many, methods, record
from trainer import device as devices

FORMATS = ("fp32", "bf16")


def main() -> None:
    parser = many.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    work = many.work_folder(options)
    store = methods.prepare(work, options.raw, "default")
    begin = ("--store", store, "--method", "skeletonclr", "--preset", "nw-ucla")
    also = ("--epochs", options.epochs, "--device", options.device)

    def run(job: tuple[str, int]) -> None:
        name, seed = job
        many.train_and_probe(work, name, seed, begin=(*begin, "--precision", name), options=also)

    wanted = [(name, seed) for seed in range(options.seeds) for name in FORMATS]
    many.do_all(run, wanted, jobs=options.jobs)
    device = devices.choose(options.device)
    result = {
        "benchmark": f"NW-UCLA cross-view, skeletonclr/nw-ucla, {options.epochs} epochs, last epoch",
        "device": devices.describe(device),
        "bf16_emulated": not devices.computes_bf16(device),
        **many.collect(work, FORMATS),
    }
    for line in many.table(result["linear"]):
        print(line)
    print(f"written to {record.write('precision', result).name}")


if __name__ == "__main__":
    main()
