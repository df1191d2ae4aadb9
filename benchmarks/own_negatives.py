"""MS-CLR on the demo: does it lose to its base because its negatives can be told apart by convention?

    python -m benchmarks.own_negatives --work bases [--bases skeletonclr aimclr] [--seeds 3] [--jobs 2]

As ``benchmarks.bases``, evaluated on Kinect joints, in bf16. MS-CLR fills one queue with keys of both
conventions, so half of a query's negatives differ from its positive in the convention. Rows:

    BASE            alone on Kinect
    ms-BASE         MS-CLR with as many updates, of which half have a Kinect query
    ms-BASE-twice   with twice as many, so that as many have a Kinect query as those of BASE
    own-BASE(...)   the same with keys of the other convention left out of the negatives

The last is no option of the trainer: ``with_own_negatives`` changes the queue for these runs. The table is
written to benchmarks/results/own_negatives.json.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import bases, many, record

CONVENTION = 1 << 32
"""Rows of the queue are increased by this for each place of the convention of their key."""
BF16 = ("--set", "runtime.precision=bf16")


def with_own_negatives() -> None:
    """Change momentum contrast: a query's negatives are the keys in the convention of its own key."""
    import torch
    from torch import Tensor

    from trainer import losses
    from trainer.methods.moco import MoCo

    keys, scores, remember, mined_rows = MoCo.keys, MoCo.scores, MoCo.remember, MoCo.mined_rows

    def new_keys(self: MoCo, x: Tensor, convention: str) -> Tensor:
        self.place = sorted(self.query.encoder.conventions).index(convention)
        return keys(self, x, convention)

    def new_scores(self: MoCo, q: Tensor, k: Tensor, rows: Tensor) -> Tensor:
        stored = self.queue.rows
        other = (stored >= 0) & (stored.div(CONVENTION, rounding_mode="floor") != self.place)
        return losses.without(scores(self, q, k, rows), other.expand(len(q), -1))

    def new_remember(self: MoCo, k: Tensor, rows: Tensor) -> None:
        remember(self, k, rows + CONVENTION * self.place)

    def new_mined_rows(self: MoCo, positives: Tensor, most: int) -> Tensor:
        rows = mined_rows(self, positives, most)
        return torch.where(rows < 0, rows, rows % CONVENTION)

    MoCo.keys, MoCo.scores, MoCo.remember = new_keys, new_scores, new_remember
    MoCo.mined_rows = new_mined_rows


OWN = (
    "-c",
    "from benchmarks import own_negatives as o; o.with_own_negatives(); import trainer.cli as c; c.main()",
)


def main() -> None:
    parser = many.parser(__doc__)
    parser.add_argument("--bases", nargs="*", default=("skeletonclr", "aimclr"), choices=bases.BASES)
    options = parser.parse_args()
    work = many.work_folder(options)
    store = bases.prepare(work)

    def one(job: tuple[str, str, int]) -> None:
        run(work, store, *job, device=options.device)

    wanted = [(b, name, s) for s in range(options.seeds) for b in options.bases for name in names_of(b)]
    many.do_all(one, wanted, jobs=options.jobs)
    names = [name for base in options.bases for name in names_of(base)]
    result = {
        "benchmark": "demo, xview, Kinect joints, last epoch, bf16, negatives of MS-CLR",
        "subjects": bases.SUBJECTS,
        "epochs": {name: epochs_of(base, name) for base in options.bases for name in names_of(base)},
        **many.collect(work, names),
    }
    for protocol in ("linear", "knn"):
        print(*many.table(result[protocol], protocol), sep="\n")
    print(f"written to {record.write('own_negatives', result).name}")


def names_of(base: str) -> tuple[str, ...]:
    return base, f"ms-{base}", f"ms-{base}-twice", f"own-{base}", f"own-{base}-twice"


def epochs_of(base: str, name: str) -> int:
    """An epoch of MS-CLR passes over the clips once for each convention."""
    once = bases.epochs_of(base, 1.0)
    return once * bases.CONVENTIONS if name == base or name.endswith("-twice") else once


def run(work: Path, store: Path, base: str, name: str, seed: int, *, device: str) -> None:
    """Train and evaluate one run, unless its figures exist."""
    epochs = epochs_of(base, name)
    which: tuple[object, ...] = ("--method", base, "--convention", bases.KINECT)
    if name != base:
        which = ("--method", "ms-clr", "--base", base)
    if base == "aimclr":  # its demo preset has no second stage: mining starts when the run ends
        prefix = "method.options" if name == base else "method.options.base.options"
        which = (*which, "--set", f"{prefix}.mine_from={epochs}")
    begin = (*which, "--store", store, "--preset", "demo", "--split", "xview", *BF16)
    also = ("--epochs", epochs, "--device", device)
    program = OWN if name.startswith("own-") else None
    many.train_and_probe(work, name, seed, begin=begin, options=also, random=False, program=program)


if __name__ == "__main__":
    main()
