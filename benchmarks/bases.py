"""The built-in demo: MS-CLR over each base against the same base on Kinect alone, with equal updates.

    python -m benchmarks.bases --work bases [--share 1.0] [--seeds 3] [--jobs 2]

Uses the demo with ``--subjects 40``, four times the default, so that the test half has 640 clips. MS-CLR gets
``--share`` of the updates of the base's ``demo`` preset on the default demo. Each of its epochs passes over
the clips once for each of its two conventions, so the base alone gets twice as many epochs; ``BASE-short``
gets the same number of epochs, and half of the updates, as in the paper's comparison. All start from that
preset and are evaluated by linear probe and kNN on Kinect joints of the held-out camera; three-stream bases
for each stream and for the fusion of all; MS-CLR also on its other convention and for the ensemble of both.
Every run keeps its figures in the work folder, so that the script can be interrupted and restarted. The table
is written to benchmarks/results/bases.json.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import many, record, runs
from trainer import config

BASES = ("skeletonclr", "aimclr", "skelemixclr", "crosclr", "csclr")
KINECT = "kinectv2_25"
CONVENTIONS = 2
"""Number of conventions in ms-clr/demo: Kinect and SMPL-X."""
SUBJECTS, USUAL_SUBJECTS = 40, 10
"""Number of subjects here, and the default of `skeltools demo`."""


def main() -> None:
    parser = many.parser(__doc__)
    parser.add_argument("--bases", nargs="*", default=BASES, choices=BASES)
    parser.add_argument("--share", type=float, default=1.0, help="of the epochs of the demo preset")
    options = parser.parse_args()
    work = many.work_folder(options)
    store = prepare(work)

    def one(job: tuple[str, str, int]) -> None:
        run(work, store, *job, epochs=epochs_of(job[0], options.share), device=options.device)

    wanted = [
        (base, name, seed)
        for seed in range(options.seeds)
        for base in options.bases
        for name in names_of(base)
    ]
    many.do_all(one, wanted, jobs=options.jobs)
    names = [name for base in options.bases for name in names_of(base)]
    result = {
        "benchmark": "demo, xview, Kinect joints, linear evaluation, last epoch, equal updates",
        "subjects": SUBJECTS,
        "epochs_of_ms_clr": {base: epochs_of(base, options.share) for base in options.bases},
        "epochs_of_the_base_alone": f"times {CONVENTIONS}; of BASE-short the same",
        **many.collect(work, names),
    }
    for protocol in ("linear", "knn"):
        print(*many.table(result[protocol], protocol), sep="\n")
    print(f"written to {record.write('bases', result).name}")


def prepare(work: Path) -> Path:
    """Make the store of the demo."""
    store = work / "store.zarr"
    if not store.exists():
        runs.command(runs.SKELTOOLS, "demo", work / "raw", "--subjects", SUBJECTS, folder=work)
        convert = ("convert", "ntu60", "--raw", work / "raw", "--out", store)
        runs.command(runs.SKELTOOLS, *convert, folder=work)
        runs.command(runs.SKELTOOLS, "streams", store, "--bone", "--motion", folder=work)
    return store


def epochs_of(base: str, share: float) -> int:
    """Epochs of MS-CLR over this base: updates as on the default demo. Three-stream presets are shorter."""
    epochs: int = config.find_preset(base, "demo").tree["optimise"]["epochs"]
    return max(1, round(share * epochs * USUAL_SUBJECTS / SUBJECTS))


def names_of(base: str) -> tuple[str, str, str]:
    """The rows: MS-CLR over the base, the base alone with equal updates, and with equal epochs."""
    return f"ms-{base}", base, f"{base}-short"


def run(work: Path, store: Path, base: str, name: str, seed: int, *, epochs: int, device: str) -> None:
    """Train and evaluate one run, unless its figures exist; ``epochs`` are those of MS-CLR."""
    multi, alone, _ = names_of(base)
    over = name == multi
    which: tuple[object, ...] = ("--method", base, "--convention", KINECT)
    if over:
        which = ("--method", "ms-clr", "--base", base)
    if name == alone:
        epochs *= CONVENTIONS
    if base == "aimclr":  # its demo preset has no second stage: mining starts when the run ends
        prefix = "method.options.base.options" if over else "method.options"
        which = (*which, "--set", f"{prefix}.mine_from={epochs}")
    begin = (*which, "--store", store, "--preset", "demo", "--split", "xview")
    also = ("--epochs", epochs, "--device", device)
    probes = ("--convention", "all") if over else ()
    # Untrained, all are the same encoder on Kinect.
    many.train_and_probe(work, name, seed, begin=begin, options=also, random=name == alone, probes=probes)


if __name__ == "__main__":
    main()
