"""One encoder for several data sets against one for each: SkeletonCLR, probes on each set, several seeds.

    python -m benchmarks.several_stores --stores nw-ucla.zarr msr.zarr --work W [--epochs 20] [--seeds 3]
    python -m benchmarks.several_stores --demo --work W [--epochs 12] [--seeds 3]

With ``--stores`` the sets are stores of real recordings, each with a training and a test half. With
``--demo`` they are three draws of the built-in demo with different people, the first in Kinect's joints and
the others in those of two body models. A fourth draw, in a convention absent from the others' pre-training,
is learned from a tenth of its labels, starting from random weights, from its own pre-training, and from that
of the other sets.

Every encoder is trained for ``--epochs`` passes over its clips: the joint encoder takes as many steps as the
single-set encoders together. ``--equal-steps`` adds single-set encoders with as many steps. Every run keeps
its folder and figures in the work folder, so that the script can be interrupted and restarted. The result is
written to benchmarks/results/several_stores.json or several_stores_demo.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import many, record, runs

TOGETHER = "together"
CONVENTIONS = {"kinect": "kinectv2_25", "smpl": "smpl_24", "mhad": "berkeley_mhad_43"}
"""Demo: name of a set -> its convention."""
UNSEEN = ("unseen", "smplx_42")
FEW = ("--set", "semi.shares=[10]", "--set", "semi.draws=3")
PRESETS = {"real": "nw-ucla", "demo": "demo"}
EPOCHS = {"real": 20, "demo": 12}


@dataclass(frozen=True)
class Plan:
    """The encoders and their stores."""

    work: Path
    stores: Mapping[str, Path]
    options: tuple[object, ...]
    """Options of every ``trainer pretrain``."""
    epochs: int
    unseen: Path | None

    def trained_on(self, name: str) -> list[Path]:
        """The stores of an encoder: one set's or all; ``name`` may end in a factor for the epochs."""
        known = {**self.stores, **({UNSEEN[0]: self.unseen} if self.unseen else {})}
        return list(self.stores.values()) if name == TOGETHER else [known[name.partition(" x")[0]]]

    def out(self, name: str, seed: int) -> Path:
        return self.work / f"{name.replace(' ', '-')}-{seed}"


def main() -> None:
    options = _arguments()
    work = many.work_folder(options)
    kind = "demo" if options.demo else "real"
    epochs = options.epochs or EPOCHS[kind]
    if options.demo:
        stores, unseen = demo_stores(work)
    else:
        stores, unseen = {path.stem: path.resolve() for path in options.stores}, None
    settings = ("--preset", PRESETS[kind], "--device", options.device)
    plan = Plan(work, stores, settings, epochs, unseen)
    names = [*stores, TOGETHER, *([UNSEEN[0]] if unseen else [])]
    if options.equal_steps:
        names += [f"{name} x{factor:.2f}" for name, factor in _longer(stores, kind).items()]
    wanted = [(name, seed) for seed in range(options.seeds) for name in names]
    how = {"jobs": options.jobs, "threads": options.threads}
    many.do_all(lambda job: one(plan, *job), wanted, **how)
    if unseen:
        many.do_all(lambda seed: few_labels(plan, seed), range(options.seeds), **how)
    result = {
        "benchmark": f"SkeletonCLR, preset {PRESETS[kind]}, {epochs} epochs, alone and together",
        **collect(work),
    }
    print("\n".join(table(result)))
    print(f"written to {record.write('several_stores' + ('_demo' if options.demo else ''), result).name}")


def _arguments() -> argparse.Namespace:
    parser = many.parser(__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stores", type=Path, nargs="+", help="stores of real recordings, two or more")
    which.add_argument("--demo", action="store_true")
    parser.add_argument("--epochs", type=int, help="default: 20, of the demo 12")
    parser.add_argument("--threads", type=int, default=1, help="of a run")
    parser.add_argument("--equal-steps", action="store_true")
    return parser.parse_args()


def demo_stores(work: Path) -> tuple[dict[str, Path], Path]:
    """The three sets of the demo, and the fourth in a convention that they lack."""
    made = {}
    for seed, (name, convention) in enumerate([*CONVENTIONS.items(), UNSEEN]):
        made[name] = work / f"{name}.zarr"
        if made[name].exists():
            continue
        raw = work / f"raw-{seed}"
        runs.command(runs.SKELTOOLS, "demo", raw, "--seed", seed, folder=work)
        convert = ("convert", "ntu60", "--raw", raw, "--convention", convention, "--frames", 24)
        runs.command(runs.SKELTOOLS, *convert, "--out", made[name], folder=work)
    return made, made.pop(UNSEEN[0])


def one(plan: Plan, name: str, seed: int) -> None:
    """Train on one set or on all, and probe every set that the run was trained on."""
    figures = plan.work / f"{name.replace(' ', '-')}-{seed}.json"
    if figures.exists():
        return
    out, stores = plan.out(name, seed), plan.trained_on(name)
    factor = float(name.partition(" x")[2] or 1)
    named = [part for store in stores for part in ("--store", store)]
    begin = (*named, "--method", "skeletonclr", *plan.options, "--seed", seed)
    resumed = (out / "checkpoints" / "last.pt").exists()
    epochs = ("--epochs", round(plan.epochs * factor), "--out", out)
    _, seconds = runs.command(
        runs.TRAINER, "pretrain", *(("--resume",) if resumed else begin), *epochs, folder=plan.work
    )
    sets = {
        store.stem: {
            "trained": _probes(plan.work, out, store),
            "random": _probes(plan.work, out, store, "--untrained"),
        }
        for store in stores
    }
    row = {"encoder": name, "seed": seed, "seconds": round(seconds, 1), "resumed": resumed, "sets": sets}
    figures.write_text(json.dumps({**row, "commit": record.commit()}, indent=2) + "\n")


def _probes(work: Path, out: Path, store: Path, *options: str) -> dict[str, float]:
    """kNN and linear probe of a run on one of its stores, in percent."""
    figures = runs.probe(work, out, "--store", str(store), *options)
    return {protocol: figures[protocol] for protocol in ("knn", "linear")}


def few_labels(plan: Plan, seed: int) -> None:
    """Learn the set in the unseen convention from a tenth of its labels, from each kind of initial weights.

    Another run provides the convolutions that conventions share; the convention's graph, edges and input
    BatchNorm start from random initialisation.
    """
    figures = plan.work / f"few-labels-{seed}.json"
    if figures.exists():
        return
    own = plan.out(UNSEEN[0], seed)
    starts: dict[str, tuple[object, ...]] = {"random weights": ("--untrained",), "its own pre-training": ()}
    for name in (*plan.stores, TOGETHER):
        other = ("--init-from", plan.out(name, seed), "--init-skip", "*.conventions.*")
        starts[f"pre-training on {name}"] = other
    figures_of = {}
    for start, options in starts.items():
        text, _ = runs.command(
            runs.TRAINER, "evaluate", own, "--protocol", "semi", *FEW, *options, "--json", folder=plan.work
        )
        figures_of[start] = round(100 * json.loads(text)[0]["top1"], 1)
    figures.write_text(
        json.dumps({"seed": seed, "few": figures_of, "commit": record.commit()}, indent=2) + "\n"
    )


def _longer(stores: Mapping[str, Path], kind: str) -> dict[str, float]:
    """Set -> the factor by which its encoder must train longer to match the steps of the joint encoder."""
    from trainer import config
    from trainer.data import steps_per_epoch
    from trainer.loop import load_training_half
    from trainer.store import open_store

    steps = {}
    for name, path in stores.items():
        settings = config.resolve(open_store(path), method="skeletonclr", preset=PRESETS[kind]).config
        half = load_training_half(open_store(path), settings)
        steps[name] = steps_per_epoch(half, batch_size=settings.optimise.batch_size)
    return {name: sum(steps.values()) / own for name, own in steps.items()}


def collect(work: Path) -> dict[str, Any]:
    """All figures in the work folder, with mean and standard deviation for each set by encoder."""
    rows = [json.loads(path.read_text()) for path in sorted(work.glob("*-[0-9]*.json"))]
    probed, few = [row for row in rows if "sets" in row], [row["few"] for row in rows if "few" in row]
    names = dict.fromkeys(name for row in probed for name in row["sets"])
    sets = {
        name: {protocol: _by_encoder(probed, name, protocol) for protocol in ("linear", "knn")}
        for name in names
    }
    unseen = {start: runs.spread(few, start) for start in (few[0] if few else ())}
    return {"sets": sets, **({"unseen": unseen} if few else {}), "runs": rows}


def _by_encoder(rows: Sequence[dict[str, Any]], name: str, protocol: str) -> dict[str, dict[str, float]]:
    spreads: dict[str, dict[str, float]] = {}
    mine = [row for row in rows if name in row["sets"]]
    for encoder in dict.fromkeys(row["encoder"] for row in mine):
        for weights in ("trained", "random"):
            figures = [row["sets"][name][weights] for row in mine if row["encoder"] == encoder]
            label = encoder if weights == "trained" else f"random, as {encoder}"
            spreads[label] = runs.spread(figures, protocol)
    return spreads


def table(result: Mapping[str, Any]) -> Sequence[str]:
    """A Markdown table with a line for each set and encoder."""
    lines = ["| set | encoder | linear % | kNN % |", "|---|---|---|---|"]
    percent: Callable[[dict[str, float]], str] = many.percent
    for name, protocols in result["sets"].items():
        for encoder, figures in protocols["linear"].items():
            lines.append(
                f"| {name} | {encoder} | {percent(figures)} | {percent(protocols['knn'][encoder])} |"
            )
    lines += [
        f"| unseen, 10 % of the labels | {k} | {percent(v)} | |" for k, v in result.get("unseen", {}).items()
    ]
    return lines


if __name__ == "__main__":
    main()
