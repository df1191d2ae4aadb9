"""NW-UCLA, cross-view: recipes that rotate clips differently; SkeletonCLR, several seeds, linear and kNN.

    python -m benchmarks.turns --raw nw-ucla.zip --work turns [--epochs 20] [--seeds 3] [--jobs 2]

All recipes but crossclr are ``default`` with different rotations, to show what helps: upright or not, the
pose of the first frame or the median, with the limit of ``default`` or without. Each is compared with
logistic regression on the stored joints. Finished runs in the work folder are not repeated. The table is
written to benchmarks/results/turns.json. See docs/results/reproducing.md for the data set.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import many, record, runs
from benchmarks.nw_ucla import raw_joints

BEFORE = ("rank_by_motion", "crop_to_presence", "fill_gaps", "center_clip")
VARIANTS: dict[str, list[Any] | None] = {
    "shoulders_onto_x": ["turn_clip"],
    "about_y_first_frame": [{"turn_about_y": {"pose": "first_frame"}}],
    "about_y_median": [{"turn_about_y": {"pose": "median"}}],
    "upright_first_frame": [
        {"turn_upright": {"pose": "first_frame", "max_tilt": 180.0}},
        {"turn_about_y": {"pose": "first_frame"}},
    ],
    "upright_median": [
        {"turn_upright": {"pose": "median", "max_tilt": 180.0}},
        {"turn_about_y": {"pose": "median"}},
    ],
    "default": None,
    "crossclr": None,
}
"""Name -> rotation steps in place of those of ``default``; None: the shipped recipe of that name."""


def main() -> None:
    parser = many.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    options = parser.parse_args()
    work = many.work_folder(options)
    stores = {name: prepare(work, options.raw, name) for name in options.variants}

    def run(job: tuple[str, int]) -> None:
        name, seed = job
        begin = ("--store", stores[name], "--method", "skeletonclr", "--preset", "nw-ucla")
        also = ("--epochs", options.epochs, "--device", options.device)
        many.train_and_probe(work, name, seed, begin=begin, options=also, random=seed == 0)

    wanted = [(name, seed) for seed in range(options.seeds) for name in options.variants]
    many.do_all(run, wanted, jobs=options.jobs)
    result = {
        "benchmark": f"NW-UCLA cross-view, joint, SkeletonCLR, {options.epochs} epochs, last epoch",
        "raw_joints_logistic_regression": {name: raw_joints(store) for name, store in stores.items()},
        **many.collect(work, options.variants),
    }
    for protocol in ("linear", "knn"):
        print("\n".join(many.table(result[protocol], protocol)))
    print(f"written to {record.write('turns', result).name}")


def prepare(work: Path, raw: Path, name: str) -> Path:
    """Make the store of one variant, with its recipe in a file beside it."""
    store = work / f"{name}.zarr"
    if not store.exists():
        recipe = name
        turns = VARIANTS[name]
        if turns is not None:
            path = work / f"{name}.yaml"
            path.write_text(json.dumps([*BEFORE, *turns, "resize"]))
            recipe = str(path)
        convert = ("convert", "nw-ucla", "--raw", raw.resolve(), "--recipe", recipe)
        runs.command(runs.SKELTOOLS, *convert, "--out", store, folder=work)
    return store


if __name__ == "__main__":
    main()
