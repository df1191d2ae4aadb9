"""A method without queue and key network, added by one file, one line and a preset, does what others do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from schemas import CheckpointError, RunConfig, RuntimeConfig, UsageError
from tests.trainer import simclr, tiny
from tests.trainer.clips import batch
from tests.trainer.runs import TINY, tiny_config
from tests.trainer.stores import write_store
from tests.trainer.tiny import Case
from trainer import checkpoint, cli, config, logbook, loop, methods
from trainer import store as stores
from trainer.batch_norm import JoinedBatchNorm
from trainer.config import Override, presets
from trainer.loop import compiled
from trainer.start import describe

SET = [part for path, value in TINY.items() for part in ("--set", f"{path}={value}")]


@pytest.fixture(autouse=True)
def _added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = Path(shutil.copytree(presets.FOLDER, tmp_path / "presets"))
    (folder / "simclr.yaml").write_text(simclr.PRESET)
    monkeypatch.setattr(presets, "FOLDER", folder)
    with simclr.registered():
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(
        tmp_path_factory.mktemp("data") / "toy.zarr", conventions=("few_6", "many_8"), frames=(12,)
    )


def trainer(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(each) for each in arguments])
    return int(ended.value.code or 0)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / checkpoint.LAST).model


def test_it_trains_resumes_is_evaluated_and_listed(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ("pretrain", "--store", store, "--method", "simclr", *SET)
    assert trainer(*start, "--out", tmp_path / "whole") == 0
    assert trainer(*start, "--epochs", 1, "--out", tmp_path / "parts") == 0
    assert trainer("pretrain", "--out", tmp_path / "parts", "--resume", "--epochs", 2) == 0
    whole, parts = (weights(tmp_path / name) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert trainer("evaluate", tmp_path / "whole", "--protocol", "knn", "--protocol", "linear") == 0
    results = {path.stem.split("-")[0] for path in (tmp_path / "whole" / "results").glob("*.json")}
    assert {"knn", "linear"} <= results
    lines = list(logbook.read(tmp_path / "whole" / "metrics.jsonl"))
    assert not {"positive", "info_nce", "feature_std", "queue_age"} & {key for line in lines for key in line}
    capsys.readouterr()
    assert trainer("methods", "simclr") == 0
    assert "temperature = 0.2" in capsys.readouterr().out
    assert trainer("methods") == 0
    assert "simclr: two views" in capsys.readouterr().out


def test_it_is_a_base_of_ms_clr(store: Path, tmp_path: Path) -> None:
    start = ("pretrain", "--store", store, "--method", "ms-clr", "--base", "simclr", *SET)
    assert trainer(*start, "--out", tmp_path / "run") == 0
    saved = checkpoint.load(tmp_path / "run" / checkpoint.LAST)
    assert saved.config.method.options["base"]["name"] == "simclr"
    means = [saved.model[f"backbone.conventions.{name}.data_bn.running_mean"] for name in ("few_6", "many_8")]
    assert all(mean.any() for mean in means), "both conventions were seen"


def test_parts_of_a_batch_and_a_profile(store: Path, tmp_path: Path) -> None:
    ended = loop.pretrain(
        tiny_config_of_simclr(store, **{"optimise.accumulate": 2}), out=tmp_path / "run", profile=1
    )
    assert ended.profile is not None
    assert ended.profile.parts["backward"] > 0
    assert ended.profile.parts["momentum"] == ended.profile.parts["queue"] == 0


def tiny_config_of_simclr(store: Path, **changes: Any) -> RunConfig:
    overrides = [Override(path, value) for path, value in (TINY | changes).items()]
    return config.resolve(stores.open_store(store), method="simclr", overrides=overrides).config


def test_compilation_reaches_its_encoder_and_its_views(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def compile_(function: Any, **_: Any) -> Any:
        def fast(*arguments: Any) -> Any:
            calls.append(function.__name__)
            return function(*arguments)

        return fast

    monkeypatch.setattr(torch, "compile", compile_)
    case = Case(tiny.component("simclr"), tiny.encoder("stgcn"))
    plain, fast = case.build(), case.build()
    compiled.compile_method(fast, RuntimeConfig(compile=True), device=torch.device("cuda"))
    outs = [each(batch(case.skeletons))["loss"].detach() for each in (plain, fast)]
    assert torch.equal(*outs)
    assert {name: calls.count(name) for name in set(calls)} == {"feature_map": 2, "do": 2}


def test_joined_batch_norm_reaches_all_of_it() -> None:
    """Two processes train it in ``test_distributed``."""
    method = Case(tiny.component("simclr"), tiny.encoder("stgcn")).build()
    names = list(method.state_dict())
    method.join_batch_norm()
    assert list(method.state_dict()) == names
    norms = [each for each in method.modules() if isinstance(each, JoinedBatchNorm)]
    assert len(norms) == sum(name.endswith("running_mean") for name in names) > 2
    assert not any(isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d) for each in method.modules())


def test_it_starts_from_the_encoder_of_another_method_and_its_own_runs_are_exported_first(
    store: Path, tmp_path: Path
) -> None:
    loop.pretrain(tiny_config(store, optimise__epochs=1), out=tmp_path / "other")
    start = ("pretrain", "--store", store, "--method", "simclr", *SET, "--epochs", 1)
    given = ("--init-from", tmp_path / "other", "--init-skip", "*.projector.*")
    assert trainer(*start, *given, "--out", tmp_path / "run") == 0
    _, method, _ = loop.build(tiny_config_of_simclr(store, **begun(tmp_path / "other", "*.projector.*")))
    other = weights(tmp_path / "other")
    for name, value in method.encoders["joint"].state_dict().items():
        assert torch.equal(value, other[f"moco.query.encoder.{name}"]), name
    with pytest.raises(CheckpointError, match=r"simclr has none.*trainer export"):
        loop.build(tiny_config_of_simclr(store, **begun(tmp_path / "run")))


def begun(run: Path, *skip: str) -> dict[str, Any]:
    return {f"init_from.{key}": value for key, value in describe(run, skip=skip).model_dump().items()}


def test_several_conventions_without_ms_clr_are_refused() -> None:
    with pytest.raises(UsageError, match="simclr trains on one skeleton convention"):
        methods.pairing(tiny.component("simclr"), ("few_6", "many_8"))
