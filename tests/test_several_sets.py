"""Several data sets in one convention, through both command lines: map, merge, pre-train, transfer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import skeltools
from skeltools import skeletons
from skeltools.cli import run as skeltools_command
from skeltools.skeletons.mapping import apply, find, mapping
from trainer.cli import cli

TINY = [
    "--epochs", "1", "--set", "optimise.batch_size=4", "--set", "method.options.queue=8",
    "--set", "data.frames=16",
    "--set", "encoder.options.channels=[4,8]", "--set", "encoder.options.stride_blocks=[1]",
    "--set", "runtime.knn_every=0",
]  # fmt: skip


def clips(convention: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Two actions of six people, [T, V, 3] metres in the joints of a convention."""
    spec = skeletons.load("kinectv1_20")
    made = mapping(*find("kinectv1_20"), *find(convention))
    found, labels = {}, []
    for person in range(1, 7):
        for action in ("wave", "step"):
            rng = np.random.default_rng(person)
            joints = np.tile(rng.normal(size=(1, spec.num_joints, 3)), (20, 1, 1))
            moved = spec.joints.index("HandRight" if action == "wave" else "FootRight")
            joints[:, moved, 1] += np.sin(np.linspace(0, 6, 20))
            found[f"{action}{person}"] = apply(made, joints.astype(np.float32))
            labels.append(action)
    return found, labels


def write(folder: Path, convention: str, name: str) -> Path:
    joints, labels = clips(convention)
    train = [id for id in joints if int(id[-1]) < 5]
    path = folder / f"{name}.zarr"
    splits = {"xsub": {"train": train}}
    skeltools.write(
        joints,
        path,
        convention=convention,
        name=name,
        labels=labels,
        splits=splits,
        frames=[16],
        recipe="centered",
    )
    return path


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``native.zarr`` in kinectv1_20, ``other.zarr`` in the order of MSR-Action3D."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "kinectv1_20", "native")
    write(tmp_path, "msr_action3d_20", "other")
    return tmp_path


def trainer(arguments: list[str]) -> None:
    """Run a command; an error is raised."""
    cli.main(arguments, standalone_mode=False)


def pretrain(store: str, out: str) -> None:
    trainer(
        ["pretrain", "--store", store, "--method", "skeletonclr", "--split", "xsub", "--out", out, *TINY,
         "--set", 'augment.normal=[{"name": "shear"}, {"name": "temporal_crop"}]']
    )  # fmt: skip


def test_an_encoder_of_a_mapped_store_is_transferred_to_a_native_one(stores: Path) -> None:
    assert skeltools_command(["map", "other.zarr", "--to", "kinectv1_20", "--out", "mapped.zarr"]) == 0
    mapped, native = skeltools.open("mapped.zarr"), skeltools.open("native.zarr")
    assert mapped.spec() == native.spec()
    assert np.array_equal(mapped["wave3"].joints, native["wave3"].joints)
    assert np.array_equal(mapped.stream(in_memory=True), native.stream(in_memory=True))
    pretrain("mapped.zarr", "run")
    trainer(
        ["evaluate", "run", "--protocol", "transfer", "--target", "native.zarr",
         "--set", "transfer.epochs=1", "--set", "transfer.batch_size=4"]
    )  # fmt: skip
    (path,) = (stores / "run" / "results").glob("*.json")
    result = json.loads(path.read_text())
    assert (result["dataset"], result["protocol"]) == ("native", "transfer")


def test_a_merged_store_is_trained_on(stores: Path) -> None:
    assert skeltools_command(["map", "other.zarr", "--to", "kinectv1_20", "--out", "mapped.zarr"]) == 0
    assert skeltools_command(["merge", "native.zarr", "mapped.zarr", "--out", "both.zarr"]) == 0
    both = skeltools.open("both.zarr")
    assert len(both) == 24
    assert both.conventions == ("kinectv1_20",)
    assert both.classes == ("step", "wave")
    assert len(both.rows("xsub")) == 16
    pretrain("both.zarr", "run")
    trainer(["evaluate", "run", "--protocol", "knn"])
    results = [json.loads(path.read_text()) for path in (stores / "run" / "results").glob("*.json")]
    assert {result["dataset"] for result in results} == {"native+other"}
