"""Results and runs that claim to be of NTU-60 and whole, to be held against published numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from schemas import EvaluationResult, RunConfig
from tests.trainer.stores import write_store
from trainer import config, loop, tables
from trainer.store import Store, open_store
from trainer.tables import Published


def published(**changes: Any) -> Published:
    """AimCLR, joint, NTU-60 xview."""
    found = tables.published(
        method="aimclr", dataset="ntu60", split="xview", stream="joint", protocol="linear"
    )[0]
    return found.model_copy(update=changes)


def result(**changes: Any) -> EvaluationResult:
    """One that is comparable in everything with ``published()``."""
    values: dict[str, Any] = {
        "protocol": "linear", "settings": {"epochs": 100}, "dataset": "ntu60", "synthetic": False,
        "store": "ntu60.zarr", "store_hash": "0", "recipe": "crossclr", "frames": 50, "split": "xview",
        "convention": "kinectv2_25", "stream": "joint", "encoder": "joint", "method": "aimclr",
        "checkpoint": "last.pt", "checkpoint_hash": "0", "preset": "aimclr/paper", "epoch": 300,
        "epochs": 300, "train_samples": 37646, "test_samples": 18932, "top1": 0.75, "seconds": 1.0,
        "tool": "test",
    }  # fmt: skip
    return EvaluationResult(**(values | changes))


def ntu_store(folder: Path) -> Store:
    """A store that calls itself NTU-60 and has what the papers need; only its manifest is meant."""
    path = write_store(folder / "ntu60-crossclr.zarr", conventions=("few_6",))
    store = open_store(path)
    half = store.manifest.protocols["xview"]
    there = store.manifest.conventions["few_6"]
    changed = store.manifest.model_copy(
        update={
            "dataset": "ntu60",
            "protocols": {"xsub": half, "xview": half, "xset": half},
            "conventions": {
                "kinectv2_25": there,
                "smplx_42": there.model_copy(update={"reader": "metrabs"}),
            },
        }
    )
    return replace(store, manifest=changed)


def write_run(folder: Path, settings: RunConfig, *results: EvaluationResult) -> Path:
    """A run folder as far as tables read it."""
    (folder / "results").mkdir(parents=True)
    loop.session.write_config(settings, folder)
    for number, each in enumerate(results):
        (folder / "results" / f"{each.protocol}-{number}.json").write_text(each.model_dump_json())
    return folder


def settings_of(store: Store, method: str, **changes: Any) -> RunConfig:
    overrides = [config.Override(path.replace("__", "."), value) for path, value in changes.items()]
    return config.resolve(store, method=method, overrides=overrides).config
