"""NW-UCLA, cross-view, joint stream: SkeletonCLR pre-training, then a linear probe.

    python -m benchmarks.nw_ucla --raw nw-ucla.zip [--seeds 1] [-- --epochs 100 ...]

Options after ``--`` are passed to ``trainer pretrain``. The method is compared with the same encoder with
random weights and with logistic regression on the stored joints. The result is written to
benchmarks/results/nw_ucla.json. The data set is not part of this project: see docs/results/reproducing.md.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import zarr
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks import record, runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--recipe", default="crossclr")
    parser.add_argument("--method", default="skeletonclr")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("pretrain", nargs="*", help="options of `trainer pretrain`, behind --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "store.zarr"
        convert = ("convert", "nw-ucla", "--raw", options.raw.resolve(), "--recipe", options.recipe)
        print(runs.command(runs.SKELTOOLS, *convert, "--out", store, folder=folder)[0])
        raw = raw_joints(store)
        rows = [
            runs.pretrain_and_probe(folder, store, options.method, seed=seed, options=options.pretrain)
            for seed in range(options.seeds)
        ]
        untrained = runs.probe(folder, folder / f"{options.method}-0", "--untrained")
    result = {
        "benchmark": f"NW-UCLA cross-view, joint, {options.method}, recipe {options.recipe}",
        "options": options.pretrain,
        "raw_joints_logistic_regression": raw,
        "random_encoder": {key: untrained[key] for key in ("knn", "linear")},
        "runs": rows,
        "linear": runs.spread(rows, "linear"),
        "knn": runs.spread(rows, "knn"),
    }
    print(f"raw joints {raw} %, random encoder {untrained['linear']} %, {options.method} {result['linear']}")
    print(f"written to {record.write('nw_ucla', result).name}")


def raw_joints(store: Path) -> float:
    """Accuracy of logistic regression on standardised joints, percent of the test half."""
    root = zarr.open_group(store, mode="r")
    joints = np.asarray(root["streams/kinectv1_20/t50/joint"])
    values = joints.reshape(len(joints), -1)
    labels, half = np.asarray(root["samples/label"]), np.asarray(root["splits/xview"])
    scaler = StandardScaler().fit(values[half == 1])
    model = LogisticRegression(max_iter=2000).fit(scaler.transform(values[half == 1]), labels[half == 1])
    return round(100 * float(model.score(scaler.transform(values[half == 2]), labels[half == 2])), 1)


if __name__ == "__main__":
    main()
