"""NW-UCLA, cross-view: every method with its ``nw-ucla`` preset at equal epochs, several seeds, linear probe.

    python -m benchmarks.methods --raw nw-ucla.zip --work ucla [--epochs 60] [--seeds 3] [--jobs 2]

Every run keeps its folder and its figures in the work folder, so that the script can be interrupted and
restarted without repeating finished runs. Each run uses one thread; ``--jobs`` runs execute at a time. The
methods are compared with their encoder with random weights and with logistic regression on the stored joints.
The table is written to benchmarks/results/methods.json. See docs/results/reproducing.md for the data set.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import many, record, runs
from benchmarks.nw_ucla import raw_joints

METHODS = ("skeletonclr", "aimclr", "skelemixclr", "crosclr", "isc", "csclr", "skelemixclr-plus")
PRESETS = {"skelemixclr-plus": ("skelemixclr", "nw-ucla-plus")}
"""Names in the table that are not methods -> method and preset. The others use the preset nw-ucla."""


def main() -> None:
    parser = many.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--name", default="methods", help="of the file in results/")
    options = parser.parse_args()
    work = many.work_folder(options)
    store = prepare(work, options.raw, options.recipe)

    def run(job: tuple[str, int]) -> None:
        name, seed = job
        method, preset = PRESETS.get(name, (name, "nw-ucla"))
        begin = ("--store", store, "--method", method, "--preset", preset)
        also = ("--epochs", options.epochs, "--device", options.device)
        many.train_and_probe(work, name, seed, begin=begin, options=also)

    wanted = [(name, seed) for seed in range(options.seeds) for name in options.methods]
    many.do_all(run, wanted, jobs=options.jobs)
    result = {
        "benchmark": f"NW-UCLA cross-view, recipe {options.recipe}, {options.epochs} epochs, last epoch",
        "raw_joints_logistic_regression": raw_joints(store),
        **many.collect(work, options.methods),
    }
    for line in many.table(result["linear"]):
        print(line)
    print(f"written to {record.write(options.name, result).name}")


def prepare(work: Path, raw: Path, recipe: str) -> Path:
    """Make the store for the whole table."""
    store = work / "store.zarr"
    if not store.exists():
        convert = ("convert", "nw-ucla", "--raw", raw.resolve(), "--recipe", recipe)
        runs.command(runs.SKELTOOLS, *convert, "--out", store, folder=work)
        runs.command(runs.SKELTOOLS, "streams", store, "--bone", "--motion", folder=work)
    return store


if __name__ == "__main__":
    main()
