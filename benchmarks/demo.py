"""The built-in demo: MS-CLR against SkeletonCLR on Kinect alone at equal epochs, and against no training.

    python -m benchmarks.demo [--seeds 3]

Linear accuracy on the held-out camera, Kinect joints. Writes benchmarks/results/demo.json.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import record, runs

METHODS = ("ms-clr", "skeletonclr")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "store.zarr"
        _, demo = runs.command(runs.SKELTOOLS, "demo", "raw", folder=folder)
        _, convert = runs.command(runs.SKELTOOLS, "convert", "ntu60", "--out", store, folder=folder)
        split = ("--split", "xview")
        rows = {
            method: [
                runs.pretrain_and_probe(folder, store, method, seed=seed, options=split) for seed in seeds
            ]
            for method in METHODS
        }
        untrained = [runs.probe(folder, folder / f"ms-clr-{seed}", "--untrained") for seed in seeds]
    result = {
        "benchmark": "demo, xview, Kinect joints, linear evaluation",
        "seconds": {"demo": round(demo, 1), "convert": round(convert, 1)},
        "random_encoder": [{key: row[key] for key in ("knn", "linear")} for row in untrained],
        "runs": rows,
        "linear": {
            "random encoder": runs.spread(untrained, "linear"),
            **{method: runs.spread(probes, "linear") for method, probes in rows.items()},
        },
    }
    print(result["linear"])
    print(f"written to {record.write('demo', result).name}")


if __name__ == "__main__":
    main()
