"""Compare the bytes and numbers that two versions of the project produce from the demo data.

    python -m benchmarks.equal --work before          (in a checkout of one version)
    python -m benchmarks.equal --work after --against before/equal.json          (in the other)

Bytes: every file of stores of the built-in raw data, with streams. Numbers: the metrics of every epoch and a
hash of the final weights of a short training of every method, and the results of every protocol, without
times. Differences are listed, and the exit status is then 1. Runs are small: about five minutes on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks import runs

SMALL = (
    "--device", "cpu", "--epochs", "3", "--batch-size", "16", "--set", "encoder.options.channels=[8, 8, 16]",
    "--set", "encoder.options.stride_blocks=[2]", "--set", "optimise.accumulate=1",
)  # fmt: skip
MOCO = ("--set", "method.options.queue=64", "--set", "method.options.dim=16")
BASE = ("--set", "method.options.base.options.queue=64", "--set", "method.options.base.options.dim=16")

LATE = ("--set", "method.options.mine_from=1")
GROUPS = ("--set", "method.options.key_norm=shuffle", "--set", "optimise.accumulate=2")
RANDOM = ("--set", "method.options.pairing=random")

TRAININGS: dict[str, tuple[str, ...]] = {
    "skeletonclr": ("skeletonclr", *SMALL, *MOCO),
    "skeletonclr-groups": ("skeletonclr", *SMALL, *MOCO, *GROUPS, "--set", "method.options.own_rows=mask"),
    "aimclr": ("aimclr", *SMALL, *MOCO, *LATE),
    "skelemixclr": ("skelemixclr", *SMALL, *MOCO),
    "crosclr": ("crosclr", *SMALL, *MOCO, *LATE),
    "csclr": ("csclr", *SMALL, *MOCO, *LATE, "--set", "method.options.transform_from=2"),
    "isc": ("isc", "--device", "cpu", "--epochs", "2", "--batch-size", "16", *MOCO),
    "ms-clr": ("ms-clr", *SMALL, *BASE),
    "ms-clr-crosclr": ("ms-clr", *SMALL, *BASE, "--base", "crosclr", *RANDOM),
    "ms-clr-skelemixclr": ("ms-clr", "--base", "skelemixclr", *SMALL, *BASE),
}
"""Name of a run -> method and options."""

EVALUATIONS: dict[str, tuple[str, ...]] = {
    "aimclr": ("knn", "linear", "retrieval", "finetune", "semi", "supervised"),
    "crosclr": ("knn", "linear"),
    "isc": ("knn", "linear"),
    "ms-clr": ("knn", "linear"),
}
SHORT = {"finetune": 2, "semi": 2, "supervised": 2, "linear": 5}
"""Protocol -> epochs."""

MAY_DIFFER = (
    "seconds",
    "checkpoint_hash",
    "clips_per_second",
    "time",
    "version",
    "commit",
    "created",
    "machine",
    "run",
    "path",
)
"""Parts of keys whose values are times, names or versions, or hashes of files that contain them."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    made = {"stores": stores(work), "trainings": trainings(work), "results": results(work)}
    (work / "equal.json").write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    if options.against is None:
        return 0
    unlike = list(
        differences(json.loads(options.against.read_text()), json.loads((work / "equal.json").read_text()))
    )
    print("\n".join(unlike) or "equal")
    return 1 if unlike else 0


def stores(work: Path) -> dict[str, dict[str, str]]:
    """Store -> file -> hash, for the demo's NTU data with several recipes."""
    if not (work / "raw").exists():
        runs.command(runs.SKELTOOLS, "demo", "raw", folder=work)
    for name, arguments in {
        "store": (),
        "crossclr": ("--recipe", "crossclr", "--frames", "50", "--frames", "64", "--workers", "2"),
        "denoised": ("--recipe", "denoised", "--convention", "kinectv2_25"),
        "isc": ("--recipe", "isc", "--convention", "kinectv2_25"),
    }.items():
        if not (work / f"{name}.zarr").exists():
            runs.command(runs.SKELTOOLS, "convert", "ntu60", "--out", f"{name}.zarr", *arguments, folder=work)
            runs.command(runs.SKELTOOLS, "streams", f"{name}.zarr", "--bone", "--motion", folder=work)
    return {path.stem: hashes(path) for path in sorted(work.glob("*.zarr"))}


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files
    }


def trainings(work: Path) -> dict[str, Any]:
    """Run -> the metrics of its epochs and a hash of its weights."""
    split = split_option(work)
    by_run = {}
    for name, (method, *options) in TRAININGS.items():
        out = work / "runs" / name
        if not (out / "checkpoints" / "last.pt").exists():
            more = (split, "xview", "--seed", 3, "--out", out)
            runs.command(
                runs.TRAINER,
                "pretrain",
                "--store",
                "store.zarr",
                "--method",
                method,
                *options,
                *more,
                folder=work,
            )
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        by_run[name] = {"metrics": [numbers(line) for line in lines], "weights": weights(out)}
    return by_run


def split_option(work: Path) -> str:
    """``--split``, called ``--protocol`` in earlier versions."""
    text, _ = runs.command(runs.TRAINER, "pretrain", "--help", folder=work)
    return "--split" if "--split" in text else "--protocol"


def weights(run: Path) -> str:
    import torch

    state = torch.load(run / "checkpoints" / "last.pt", map_location="cpu", weights_only=True)["model"]
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def results(work: Path) -> dict[str, Any]:
    """Run and protocol -> the output of ``trainer evaluate --json``."""
    made: dict[str, Any] = {}
    for name, protocols in EVALUATIONS.items():
        for protocol in protocols:
            file = work / f"{name}-{protocol}.json"
            if not file.exists():
                options = ["--convention", "all"] if name == "ms-clr" else []
                options += ["--set", f"{protocol}.epochs={SHORT[protocol]}"] if protocol in SHORT else []
                command = ("evaluate", work / "runs" / name, "--protocol", protocol, "--json", *options)
                file.write_text(runs.command(runs.TRAINER, *command, "--device", "cpu", folder=work)[0])
            made[f"{name} {protocol}"] = numbers(json.loads(file.read_text()))
    return made


def numbers(value: Any) -> Any:
    """A value without the keys that differ from run to run."""
    if isinstance(value, dict):
        return {
            key: numbers(each) for key, each in value.items() if not any(part in key for part in MAY_DIFFER)
        }
    return [numbers(each) for each in value] if isinstance(value, list) else value


def differences(one: Any, other: Any, where: str = "") -> Any:
    """Yield a line for every leaf that differs."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{where}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{where}/{index}")
    elif one != other:
        yield f"{where}: {one} != {other}"


if __name__ == "__main__":
    sys.exit(main())
