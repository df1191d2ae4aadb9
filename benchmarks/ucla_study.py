"""NW-UCLA: what limits pre-training on 1,020 clips? One factor at a time, chosen without the test half.

    python -m benchmarks.ucla_study --raw nw-ucla.zip --work study [--part factors] [--variants NAME ...]

Variants are compared on people held out of the training half: of its clips (cameras 1 and 2), those of
subjects 1 to 7 are trained on and those of subjects 8 to 10 are tested on. Only what is chosen there is then
measured on the published split (``--part final``). ``--part families`` trains other methods beside
SkeletonCLR. ``--part labels`` takes the joint runs of ``final`` and compares finetuning and semi-supervised
training with the same from random weights, by McNemar's test. ``--part ceiling`` trains on all labels for
longer, also other streams and encoders. Each run takes one thread, ``--jobs`` of them run at a time; finished
runs of the work folder are not repeated. Figures are of the last epoch. The tables go to benchmarks/results/:
ucla_factors.json, ucla_final_EPOCHS.json, ucla_families.json, ucla_labels_EPOCHS.json and ucla_ceiling.json.
docs/results/reproducing.md says where the data set is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import skeltools
from benchmarks import many, record, runs

HELD_OUT = frozenset({8, 9, 10})
"""Subjects that settings are chosen on."""
CAMERAS = frozenset({1, 2})
"""Those of the training half."""
FRAMES = (24, 32, 50)

TURN = {"name": "rotate_y", "options": {"angle": 3.1416}}
SHEAR = {"name": "shear", "options": {"amplitude": 0.5}}
CROP = {"name": "temporal_crop", "options": {"ratio": 6}}
STRETCH = {"name": "temporal_crop_resize", "options": {"ratio": [0.5, 1.0]}}
MIRROR = {"name": "spatial_flip", "options": {"p": 0.5}}
NOISE = {"name": "gaussian_noise", "options": {"p": 1.0, "std": 0.02}}
JITTER = {"name": "joint_jitter", "options": {"share": 0.3}}
TILT = {"name": "rotate", "options": {"main": 20.0, "others": 5.0}}
AXIS = {"name": "axis_mask", "options": {"p": 0.5}}


def views(*augmentations: dict[str, Any]) -> tuple[str, ...]:
    """The normal chain."""
    return ("--set", f"augment.normal={json.dumps(augmentations)}")


def settings(**values: object) -> tuple[str, ...]:
    """``a__b=1`` -> ``--set a.b=1``."""
    pairs = [("--set", f"{key.replace('__', '.')}={json.dumps(value)}") for key, value in values.items()]
    return tuple(word for pair in pairs for word in pair)


BF16 = settings(runtime__precision="bf16")
"""Faster than fp32 on CPUs with AMX; the factor ``fp32`` is the comparison."""

STGCN = settings(
    encoder__name="stgcn",
    encoder__options={"stride_blocks": [2, 5, 8], "temporal_kernel": 5, "dropout": 0.0, "init": "default"},
)
"""The graph convolution of the other presets nw-ucla."""
CTRGCN = settings(
    encoder__name="ctrgcn",
    encoder__options={"channels": [16] * 4 + [32] * 3 + [64] * 3, "stride_blocks": [2, 5, 8]},
)
"""A quarter of CTR-GCN's channels, with the strides of the preset nw-ucla."""
VIT = settings(
    encoder__name="vit", encoder__options={"dim": 64, "layers": 4, "heads": 4, "bodies": "present"}
)
"""The transformer of ``masked/nw-ucla``."""

FACTORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "base": ("skeletonclr", ()),
    "fp32": ("skeletonclr", settings(runtime__precision="fp32")),
    "turn 0.8": ("skeletonclr", views({**TURN, "options": {"angle": 0.8}}, SHEAR, CROP)),
    "no turn": ("skeletonclr", views(SHEAR, CROP)),
    "no shear": ("skeletonclr", views(TURN, CROP)),
    "shear 1": ("skeletonclr", views(TURN, {**SHEAR, "options": {"amplitude": 1.0}}, CROP)),
    "no crop": ("skeletonclr", views(TURN, SHEAR)),
    "stretch": ("skeletonclr", views(TURN, SHEAR, STRETCH)),
    "and mirror": ("skeletonclr", views(TURN, SHEAR, CROP, MIRROR)),
    "and noise": ("skeletonclr", views(TURN, SHEAR, CROP, NOISE)),
    "and joints": ("skeletonclr", views(TURN, SHEAR, CROP, JITTER)),
    "and axis": ("skeletonclr", views(TURN, SHEAR, CROP, AXIS)),
    "32 frames": ("skeletonclr", settings(data__frames=32)),
    "50 frames": ("skeletonclr", settings(data__frames=50)),
    "queue 128": ("skeletonclr", settings(method__options__queue=128)),
    "queue 256": ("skeletonclr", settings(method__options__queue=256)),
    "queue 2048": ("skeletonclr", settings(method__options__queue=2048)),
    "own rows masked": ("skeletonclr", settings(method__options__own_rows="mask")),
    "momentum 0.9": ("skeletonclr", settings(method__options__momentum=0.9)),
    "momentum 0.999": ("skeletonclr", settings(method__options__momentum=0.999)),
    "temperature 0.07": ("skeletonclr", settings(method__options__temperature=0.07)),
    "temperature 0.5": ("skeletonclr", settings(method__options__temperature=0.5)),
    "rate 0.05": ("skeletonclr", settings(optimise__lr=0.05)),
    "rate 0.1": ("skeletonclr", settings(optimise__lr=0.1)),
    "batch 64": ("skeletonclr", ("--batch-size", "64")),
    "batch 32": ("skeletonclr", ("--batch-size", "32")),
    "keys in groups": ("skeletonclr", settings(method__options__key_norm="shuffle")),
    "vicreg": ("decorrelate", ()),
    "barlow": ("decorrelate", settings(method__options__objective="barlow")),
    "sigreg": ("decorrelate", settings(method__options__objective="sigreg", method__options__dim=128)),
    "twice as wide": (
        "skeletonclr",
        settings(encoder__options__channels=[32, 32, 32, 32, 64, 64, 64, 128, 128, 256]),
    ),
    "kernel 9": ("skeletonclr", settings(encoder__options__temporal_kernel=9)),
    # Why ``masked`` is behind: the transformer or the task, and the task's own factors.
    "transformer": ("skeletonclr", VIT),
    "masked": ("masked", ()),
    "masked, stgcn": ("masked", STGCN),
    "masked, batch 32": ("masked", ("--batch-size", "32")),
    "masked, rate 0.003": ("masked", settings(optimise__lr=0.003)),
    "masked, joints": ("masked", settings(method__options__target="joints", method__options__local_views=0)),
    "masked, no local views": ("masked", settings(method__options__local_views=0)),
}
"""Variant -> method and options of ``trainer pretrain`` beside its preset nw-ucla."""

STREAMS = ("joint", "bone", "motion")
FINAL = {"skeletonclr": STREAMS, "decorrelate": ("joint",)}
"""Method -> streams that are trained on the published split, by the preset nw-ucla as it is."""

FAMILIES = (("skeletonclr", 200, 3), ("decorrelate", 120, 3), ("decorrelate", 166, 3), ("masked", 112, 1))
"""Method, epochs and seeds at most. On one idle core with AMX, 120 epochs of ``decorrelate`` take as long as
200 of SkeletonCLR, 166 take 1.4 times as long, and 112 of ``masked`` 1.6 times."""

LABELS = {
    "finetune": ("finetune", "supervised", ()),
    "finetune, augmented": ("finetune", "supervised", ("augment=normal",)),
    "semi": ("semi", "semi", ()),
    "semi, augmented": ("semi", "semi", ("augment=normal",)),
}
"""Row -> protocol of the trained encoder, protocol of random weights, their settings beside the preset's."""
FASTER = ("precision=bf16", "test_every=0")


class Ceiling(NamedTuple):
    """Training on all labels with the normal augmentations of SkeletonCLR's preset."""

    epochs: int
    seeds: dict[str, int]
    """Stream -> number of seeds at most."""
    encoder: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    """Settings of the protocol."""
    start: str = ""
    """Run of the part ``families`` whose weights it starts from; else they are random."""


CEILING = {
    "100 epochs": Ceiling(100, {"joint": 1}),
    "300 epochs": Ceiling(300, {"joint": 3, "bone": 1, "motion": 1}),
    "300 epochs, pre-trained": Ceiling(300, {"joint": 3}, start="final-decorrelate-joint-120"),
    "ctrgcn, 100 epochs": Ceiling(100, {"joint": 1}, CTRGCN),
    "vit, 100 epochs": Ceiling(100, {"joint": 1}, VIT, ("optimiser=adam", "lr=0.001")),
}
"""CTR-GCN's own recipe for NW-UCLA has 325 passes over the clips."""


def main() -> None:
    parser = many.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--part", choices=PARTS, default="factors")
    parser.add_argument("--epochs", type=int, help="default: 30 for factors, 200 for the final runs")
    parser.add_argument("--variants", nargs="*", default=list(FACTORS), choices=FACTORS)
    parser.add_argument("--methods", nargs="*", default=list(FINAL), choices=FINAL)
    rows = [*LABELS, *CEILING]
    parser.add_argument(
        "--rows", nargs="*", default=rows, choices=rows, help="of the parts labels and ceiling"
    )
    options = parser.parse_args()
    work = many.work_folder(options)
    whole = published(work, options.raw)
    PARTS[options.part](options, work, whole)


def factors(options: argparse.Namespace, work: Path, whole: Path) -> None:
    """Every variant on the held-out subjects."""
    store, epochs = held_out(work, whole), options.epochs or 30
    names = {name: name.replace(",", "").replace(" ", "_") for name in options.variants}

    def run(job: tuple[str, int]) -> None:
        name, seed = job
        method, words = FACTORS[name]
        train(work, names[name], seed, store, method, (*BF16, *words), epochs, options.device)

    wanted = [(name, seed) for seed in range(options.seeds) for name in options.variants]
    many.do_all(run, wanted, jobs=options.jobs)
    tell(
        "ucla_factors", f"subjects held out of the training half, {epochs} epochs", work, list(names.values())
    )


def final(options: argparse.Namespace, work: Path, whole: Path) -> None:
    """The published split: each method and stream, and the ensemble of streams of a method."""
    epochs = options.epochs or 200
    jobs = [(method, stream) for method in options.methods for stream in FINAL[method]]

    def run(job: tuple[tuple[str, str], int]) -> None:
        (method, stream), seed = job
        name = f"final-{method}-{stream}-{epochs}"
        train(work, name, seed, whole, method, (*BF16, "--stream", stream), epochs, options.device)

    many.do_all(run, [(job, seed) for seed in range(options.seeds) for job in jobs], jobs=options.jobs)
    names = [f"final-{method}-{stream}-{epochs}" for method, stream in jobs]
    fused = {
        method: [
            ensemble(work, [work / f"final-{method}-{stream}-{epochs}-{seed}" for stream in FINAL[method]])
            for seed in range(options.seeds)
        ]
        for method in options.methods
        if len(FINAL[method]) > 1
    }
    more = {"three_streams": fused, "monitor_knn": {name: curve(work, name) for name in names}}
    tell(f"ucla_final_{epochs}", f"cross-view, {epochs} epochs, last epoch", work, names, **more)


def families(options: argparse.Namespace, work: Path, whole: Path) -> None:
    """The published split, joint stream: SkeletonCLR and other families."""
    names = [f"final-{method}-joint-{epochs}" for method, epochs, _ in FAMILIES]

    def run(job: tuple[str, int, int]) -> None:
        method, epochs, seed = job
        words = (*BF16, "--stream", "joint")
        train(work, f"final-{method}-joint-{epochs}", seed, whole, method, words, epochs, options.device)

    wanted = [(m, epochs, seed) for m, epochs, most in FAMILIES for seed in range(min(most, options.seeds))]
    many.do_all(run, wanted, jobs=options.jobs)
    curves = {"monitor_knn": {name: each for name in names if (each := curve(work, name))}}
    tell("ucla_families", "cross-view, joint stream, last epoch", work, names, **curves)


def labels(options: argparse.Namespace, work: Path, whole: Path) -> None:
    """Finetuning and semi-supervised training of SkeletonCLR's joint encoder, and from random weights."""
    epochs, measured = options.epochs or 200, work / "labels"
    measured.mkdir(exist_ok=True)

    def run(job: tuple[str, int]) -> None:
        name, seed = job
        folder = work / f"final-skeletonclr-joint-{epochs}-{seed}"
        figures = measured / f"{epochs}-{name.replace(', ', '-')}-{seed}.json"
        if not figures.exists():
            rows = [{"row": name, "seed": seed, **row} for row in with_labels(work, folder, *LABELS[name])]
            figures.write_text(json.dumps(rows, indent=2) + "\n")

    wanted = [(name, seed) for name in LABELS if name in options.rows for seed in range(options.seeds)]
    many.do_all(run, wanted, jobs=options.jobs)
    paths = sorted(measured.glob(f"{epochs}-*.json"))
    rows = [row for path in paths for row in json.loads(path.read_text())]
    for row in rows:
        print(row)
    what = f"NW-UCLA, cross-view, SkeletonCLR after {epochs} epochs and random weights, joint stream"
    print(f"written to {record.write(f'ucla_labels_{epochs}', {'benchmark': what, 'rows': rows}).name}")


def ceiling(options: argparse.Namespace, work: Path, whole: Path) -> None:
    """The published split: all labels, longer than the preset's 30 epochs."""
    begin = ("--store", whole, "--method", "skeletonclr", "--preset", "nw-ucla", *BF16, "--epochs", 1)
    work.joinpath("ceiling").mkdir(exist_ok=True)

    def folder(row: str, stream: str, seed: int) -> Path:
        return work / "ceiling" / f"{row.replace(', ', '-').replace(' ', '-')}-{stream}-{seed}"

    def run(job: tuple[str, str, int]) -> None:
        out, (row, stream, seed) = folder(*job), job
        this, figures = CEILING[row], out.with_suffix(".json")
        if figures.exists():
            return
        if not (out / "checkpoints" / "last.pt").exists():  # for its settings; these weights are not used
            where = ("--stream", stream, "--seed", seed, "--device", options.device, "--out", out)
            runs.command(runs.TRAINER, "pretrain", *begin, *this.encoder, *where, folder=work)
        protocol = "finetune" if this.start else "supervised"
        start = ("--init-from", str(work / f"{this.start}-{seed}")) if this.start else ()
        changes = (f"epochs={this.epochs}", "augment=normal", *this.protocol)
        (result,) = evaluate(work, out, protocol, changes, *start).values()
        found = {"row": row, "stream": stream, "seed": seed, "percent": result["percent"]}
        figures.write_text(json.dumps(found) + "\n")

    wanted = [
        (row, stream, seed)
        for row, this in CEILING.items()
        if row in options.rows
        for stream, most in this.seeds.items()
        for seed in range(min(most, options.seeds))
    ]
    many.do_all(run, wanted, jobs=options.jobs)
    rows = [json.loads(path.read_text()) for path in sorted(work.glob("ceiling/*.json"))]
    for seed in range(CEILING["300 epochs"].seeds["motion"]):
        folders = [folder("300 epochs", stream, seed) for stream in STREAMS]
        if all(each.with_suffix(".json").exists() for each in folders):
            fused = ensemble(work, folders, "--protocol", "supervised")
            rows.append({"row": "300 epochs", "stream": "three streams", "seed": seed, "percent": fused})
    for each in rows:
        print(each)
    what = "NW-UCLA, cross-view, trained on all labels with the normal augmentations, last epoch"
    print(f"written to {record.write('ucla_ceiling', {'benchmark': what, 'rows': rows}).name}")


def with_labels(
    work: Path, folder: Path, trained: str, random: str, settings: Sequence[str]
) -> list[dict[str, Any]]:
    """One row for each figure of the protocols: both accuracies in percent and McNemar's test of them.

    The test is of the first draw, where there are several.
    """
    from trainer.evaluate.significance import mcnemar

    untrained = ("--untrained",) if trained == random else ()
    after = evaluate(work, folder, trained, settings)
    before = evaluate(work, folder, random, settings, *untrained)
    return [
        {
            "figure": name,
            "trained": one["percent"],
            "random": two["percent"],
            "draws": [one["draws"], two["draws"]],
            "mcnemar": asdict(mcnemar(one["right"], two["right"])),
        }
        for (name, one), two in zip(after.items(), before.values(), strict=True)
    ]


def evaluate(
    work: Path, folder: Path, protocol: str, settings: Sequence[str], *more: str
) -> dict[str, dict[str, Any]]:
    """Figure -> its percent, and which clips are right by the first draw."""
    from trainer.evaluate.scores import read_scores
    from trainer.metrics import ranks

    words = [word for each in (*FASTER, *settings) for word in ("--set", f"{protocol}.{each}")]
    command = ("evaluate", folder, "--protocol", protocol, *words, *more, "--json")
    text, _ = runs.command(runs.TRAINER, *command, folder=work)
    figures, results = {}, (folder / "untrained" if "--untrained" in more else folder) / "results"
    for result in json.loads(text):
        scores = read_scores(results / result["scores"])
        right = ranks(scores.values, scores.labels) == 0
        name = result.get("name") or result["protocol"]
        figures[name] = {"percent": round(100 * result["top1"], 1), "draws": result["draws"], "right": right}
    return figures


def train(
    work: Path,
    name: str,
    seed: int,
    store: Path,
    method: str,
    words: Sequence[object],
    epochs: int,
    device: str,
) -> None:
    """One run with the preset nw-ucla and what ``words`` change, and its probes."""
    begin = ("--store", store, "--method", method, "--preset", "nw-ucla", *words)
    also = ("--epochs", epochs, "--device", device)
    many.train_and_probe(work, name, seed, begin=begin, options=also, random=False)


def ensemble(work: Path, folders: Sequence[Path], *words: str) -> float:
    """Accuracy in percent of the runs' mean scores, by the papers' weights of streams."""
    text, _ = runs.command(runs.TRAINER, "ensemble", *folders, *words, "--json", folder=work)
    return round(100 * float(json.loads(text)[-1]["top1"]), 1)


def curve(work: Path, name: str) -> dict[int, float]:
    """Epoch -> mean over seeds of the monitor's kNN accuracy in percent during training."""
    by_epoch: dict[int, list[float]] = {}
    for path in sorted(work.glob(f"{name}-[0-9]/metrics.jsonl")):
        for row in map(json.loads, path.read_text().splitlines()):
            if "monitor_knn" in row:
                by_epoch.setdefault(row["epoch"], []).append(100 * row["monitor_knn"])
    return {epoch: round(sum(values) / len(values), 1) for epoch, values in by_epoch.items()}


def tell(name: str, what: str, work: Path, names: Sequence[str], **more: object) -> None:
    """Print the tables and write the result."""
    result = {"benchmark": f"NW-UCLA, {what}", **many.collect(work, names), **more}
    result["runs"] = [row for row in result["runs"] if row["method"] in names]
    for protocol in ("linear", "knn"):
        print(*many.table(result[protocol], protocol), sep="\n")
    print(more, f"written to {record.write(name, result).name}")


def published(work: Path, raw: Path) -> Path:
    """The data set with all streams and lengths."""
    store = work / "nw-ucla.zarr"
    if not store.exists():
        runs.command(
            runs.SKELTOOLS, "convert", "nw-ucla", "--raw", raw.resolve(), "--out", store, folder=work
        )
        lengths = [word for frames in FRAMES for word in ("--frames", frames)]
        runs.command(runs.SKELTOOLS, "streams", store, "--bone", "--motion", *lengths, folder=work)
    return store


def held_out(work: Path, whole: Path) -> Path:
    """The clips of the training half, split by subject."""
    store = work / "held-out.zarr"
    if not store.exists():
        opened = skeltools.open(whole)
        clips = {clip.id: clip for clip in opened.clips() if clip.camera in CAMERAS}
        halves: dict[str, list[str]] = {"train": [], "test": []}
        for name, clip in clips.items():
            halves["test" if clip.subject in HELD_OUT else "train"].append(name)
        skeltools.write(
            clips,
            store,
            classes=opened.classes,
            splits={"subjects": halves},
            name="nwucla-held-out",
            frames=FRAMES,
        )
        runs.command(runs.SKELTOOLS, "streams", store, "--bone", "--motion", folder=work)
    return store


PARTS = {"factors": factors, "final": final, "families": families, "labels": labels, "ceiling": ceiling}

if __name__ == "__main__":
    main()
