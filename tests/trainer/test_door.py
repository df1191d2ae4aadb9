"""What ``import trainer`` offers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import trainer
from schemas import CheckpointError, ConfigError, UsageError
from tests.trainer.runs import TINY
from tests.trainer.stores import write_store

HEAVY = ("torch", "zarr", "numpy", "scipy", "pydantic", "safetensors")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("door") / "store.zarr")


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import sys, json, trainer; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) == []


def test_every_public_name_is_there_and_documented() -> None:
    assert set(trainer.__all__) == set(trainer._HOMES)
    assert {*trainer.__all__, "__version__"} == set(dir(trainer))
    for name in trainer.__all__:
        assert getattr(trainer, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        trainer.pretrian  # noqa: B018


def test_a_run_is_trained_opened_and_evaluated(store: Path, tmp_path: Path) -> None:
    made = trainer.pretrain(
        store,
        method="skeletonclr",
        out=tmp_path / "run",
        epochs=1,
        device="cpu",
        settings=TINY | {"method.options.queue": 16},
    )
    run = trainer.open(tmp_path / "run", device="cpu")
    assert (run.config, run.checkpoint_hash) == (made.config, made.checkpoint_hash)
    assert run.config.optimise.epochs == 1
    (linear,) = run.evaluate("linear", options={"linear": {"epochs": 1}})
    assert linear.protocol == "linear"
    assert 0 <= linear.top1 <= 1
    encoder = run.encoder()
    spec = next(iter(run.skeletons.values()))
    clips = torch.zeros(2, 3, run.config.data.frames, spec.num_joints, 2)
    assert encoder(clips, next(iter(run.skeletons))).shape[0] == 2


def test_wrong_settings_are_named_by_their_paths(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'aimclr'"):
        trainer.pretrain(store, method="aimcrl", out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"optimise\.lr"):
        trainer.pretrain(store, method="skeletonclr", out=tmp_path / "run", settings={"optimise.lr": "fast"})
    with pytest.raises(CheckpointError):
        trainer.open(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_blocks_are_checked_by_name(store: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'shear'"):
        trainer.augmentation("sheer")
    skeletons = trainer.skeletons(trainer.open_store(store), ["few_6"])
    with pytest.raises(UsageError, match="Did you mean 'stgcn'"):
        trainer.encoder("st-gcn", skeletons)
    with pytest.raises(ConfigError, match=r"encoder\.options\.layers"):
        trainer.encoder("stgcn", skeletons, layers=3)


def test_the_seed_of_an_encoder_is_its_weights(store: Path) -> None:
    skeletons = trainer.skeletons(trainer.open_store(store), ["few_6"])
    one, same, other = (
        trainer.encoder("stgcn", skeletons, seed=seed, channels=[4, 8], stride_blocks=[2])
        for seed in (1, 1, 2)
    )
    weights = [torch.cat([p.flatten() for p in each.parameters()]) for each in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
