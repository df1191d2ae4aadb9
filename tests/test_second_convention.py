"""A user's own clips with poses of a second convention, from raw files to a run of MS-CLR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from skeltools import skeletons
from skeltools.cli import run as skeltools
from trainer.cli import cli as trainer

NATIVE, SECOND = "kinectv1_20", "lsp_14"


def test_ms_clr_trains_on_own_data(tmp_path: Path) -> None:
    raw, rng = tmp_path / "raw", np.random.default_rng(0)
    (raw / "metrabs" / SECOND).mkdir(parents=True)
    told = {"name": "mine", "convention": NATIVE, "layout": "T V C", "pattern": r"(?P<label>[a-z]+)\d+"}
    (raw / "dataset.yaml").write_text(yaml.safe_dump(told))
    sizes = [skeletons.load(name).num_joints for name in (NATIVE, SECOND)]
    for label in ("walk", "wave"):
        for number in range(8):
            poses = (rng.normal(size=(size, 3)) + rng.normal(size=(14, size, 3)) / 50 for size in sizes)
            own, other = (pose.astype(np.float32) for pose in poses)
            np.save(raw / f"{label}{number}.npy", own)
            np.savez(raw / "metrabs" / SECOND / f"{label}{number}.npz", poses3d=other[:, None] * 1000)
    out = tmp_path / "store.zarr"
    assert skeltools(["convert", "custom", "--raw", str(raw), "--out", str(out), "--frames", "12"]) == 0
    command = ["pretrain", "--store", str(out), "--method", "ms-clr", "--base", "skeletonclr"]
    small = ["--epochs", "1", "--batch-size", "8", "--set", "data.frames=12", "--set", "runtime.knn_every=0"]
    options = [
        "--set",
        "encoder.options={channels: [4, 8], stride_blocks: [1]}",
        "--set",
        "method.options.base.options.queue=16",
    ]
    trainer.main([*command, *small, *options, "--out", str(tmp_path / "run")], standalone_mode=False)
    used = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert used["data"]["conventions"] == [NATIVE, SECOND]
    assert (tmp_path / "run" / "checkpoints").is_dir()
