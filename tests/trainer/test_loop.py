"""The loop: resuming is exact, signals save, nothing is overwritten, nothing diverged is kept."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from schemas import CheckpointError, ConfigError, RunConfig, SkelError, UsageError
from tests.commands import in_the_foreground
from tests.trainer.runs import TINY_PARTS, tiny_arguments, tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, data, logbook, loop, methods, optim
from trainer import store as stores
from trainer.batch import Batch
from trainer.loop import Progress
from trainer.loop.signals import stop_signals


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr", conventions=("few_6", "many_8"))


def stop_at(epoch: int, step: int, number: int = signal.SIGTERM) -> Any:
    """A progress callback that sends this process a signal after a step (both counted from 1)."""

    def watch(state: Progress) -> None:
        if (state.epoch, state.step) == (epoch, step):
            os.kill(os.getpid(), number)

    return watch


def records(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    return [
        {k: v for k, v in r.items() if k != "clips_per_second"}
        for r in logbook.read(folder / "metrics.jsonl")
    ]


def assert_same_run(one: Path, other: Path) -> None:
    a, b = (checkpoint.load(folder / checkpoint.LAST) for folder in (one, other))
    assert (a.epoch, a.step) == (b.epoch, b.step)
    assert a.model.keys() == b.model.keys()
    for name in a.model:
        assert torch.equal(a.model[name], b.model[name]), name
    for key, state in a.optimiser["state"].items():
        assert state.keys() == b.optimiser["state"][key].keys()
        assert all(torch.equal(value, b.optimiser["state"][key][name]) for name, value in state.items())
    assert records(one) == records(other)


METHODS = methods.names()
STARTS = {
    "aimclr": {"mine_from": 1},
    "crosclr": {"mine_from": 1},
    "csclr": {"mine_from": 1, "transform_from": 2},
}
"""Boundaries of stages inside three epochs."""


def in_stages(store: Path, method: str, **changes: Any) -> RunConfig:
    """A tiny run of three epochs that goes through all of a method's stages."""
    base = "base__options__" if method == "ms-clr" else ""
    starts = STARTS.get("aimclr" if base else method, {})
    options = {f"method__options__{base}{name}": epoch for name, epoch in starts.items()}
    return tiny_config(store, method=method, **{"optimise__epochs": 3, **options, **changes})


@pytest.mark.parametrize("method", METHODS)
def test_one_and_two_epochs_equal_three_with_dropout(store: Path, tmp_path: Path, method: str) -> None:
    changes: dict[str, Any] = {} if method in TINY_PARTS else {"encoder__options__dropout": 0.5}
    if tiny_config(store, method=method).optimise.schedule == "cosine":  # which falls by the number of epochs
        changes["optimise__schedule"] = "constant"
    whole = in_stages(store, method, **changes)
    loop.pretrain(whole, out=tmp_path / "whole")
    loop.pretrain(in_stages(store, method, optimise__epochs=1, **changes), out=tmp_path / "parts")
    loop.pretrain(whole, out=tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("method", METHODS)
def test_a_run_stopped_inside_an_epoch_of_any_stage_resumes_at_that_step(
    store: Path, tmp_path: Path, method: str
) -> None:
    config = in_stages(store, method, optimise__schedule="cosine")
    loop.pretrain(config, out=tmp_path / "whole")
    stages = len(methods.stages(config.method))
    for epoch in range(stages):
        ended = loop.pretrain(
            config, out=tmp_path / "parts", resume=epoch > 0, on_progress=stop_at(epoch + 1, 3)
        )
        assert (ended.epoch, ended.step, ended.signal) == (epoch, 3, signal.SIGTERM)
    ended = loop.pretrain(config, out=tmp_path / "parts", resume=True)
    assert (ended.epoch, ended.step, ended.signal) == (3, 0, None)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    epochs = [line for line in records(tmp_path / "parts") if line["event"] == "epoch"]
    assert [line["stage"] for line in epochs] == [min(epoch + 1, stages) for epoch in range(3)]


@pytest.mark.parametrize("step", [1, 5])
def test_a_run_stopped_at_an_edge_of_an_epoch_resumes_there(store: Path, tmp_path: Path, step: int) -> None:
    config = tiny_config(store, runtime__knn_every=1)
    loop.pretrain(config, out=tmp_path / "whole")
    ended = loop.pretrain(config, out=tmp_path / "parts", on_progress=stop_at(1, step))
    assert (ended.epoch, ended.step) == ((1, 0) if step == 5 else (0, step))
    loop.pretrain(config, out=tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_progress_and_log_name_the_stage(store: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    loop.pretrain(in_stages(store, "aimclr"), out=tmp_path / "run", on_progress=seen.append)
    assert list(dict.fromkeys(state.stage for state in seen)) == ["1/2 contrast", "2/2 mining"]
    epochs = [line for line in records(tmp_path / "run") if line["event"] == "epoch"]
    names = [(line["stage"], line["stage_name"]) for line in epochs]
    assert names == [(1, "contrast"), (2, "mining"), (2, "mining")]
    assert "mined_same_label" not in epochs[0]
    assert 0 <= epochs[1]["mined_same_label"] <= 1


def test_lines_written_after_the_checkpoint_are_not_doubled(store: Path, tmp_path: Path) -> None:
    config = tiny_config(store, optimise__epochs=3, runtime__checkpoint_every=2)

    def crash(state: Progress) -> None:
        if (state.epoch, state.step) == (3, 4):
            raise RuntimeError("power cut")

    loop.pretrain(config, out=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="power cut"):
        loop.pretrain(config, out=tmp_path / "parts", on_progress=crash)
    assert checkpoint.load(tmp_path / "parts" / checkpoint.LAST).epoch == 2
    assert records(tmp_path / "parts")[-1]["epoch"] == 3
    loop.pretrain(config, out=tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_seed_repeats_and_another_does_not(store: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        loop.pretrain(tiny_config(store, runtime__seed=seed), out=tmp_path / name)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert records(tmp_path / "a") != records(tmp_path / "c")


def test_training_leaves_the_global_generator_as_it_was(store: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loop.pretrain(tiny_config(store), out=tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())


def test_the_run_folder_holds_what_it_should(store: Path, tmp_path: Path) -> None:
    config = tiny_config(store, runtime__knn_every=2, optimise__epochs=3)
    seen: list[Progress] = []
    ended = loop.pretrain(config, out=tmp_path / "run", on_progress=seen.append)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoints",
        "config.yaml",
        "metrics.jsonl",
    ]
    lines = logbook.read(tmp_path / "run" / "metrics.jsonl")
    lines = [line for line in lines if line["event"] != "warning"]
    assert [(r["event"], r["epoch"], r["step"]) for r in lines] == [
        (event, epoch, step)
        for epoch in (1, 2, 3)
        for event, step in (("step", 2), ("step", 4), ("epoch", 5))
    ]
    epochs = [r for r in lines if r["event"] == "epoch"]
    assert ["monitor_knn" in r for r in epochs] == [False, True, False]
    assert all(0 < r["query_key_distance"] < 1 for r in epochs)
    assert {"loss", "lr", "positive", "negative", "clips_per_second"} <= epochs[0].keys()
    assert [(s.epoch, s.step) for s in seen] == [(e, s) for e in (1, 2, 3) for s in (1, 2, 3, 4, 5)]
    assert (seen[-1].epochs, seen[-1].steps, seen[-1].eta) == (3, 5, 0)
    assert seen[-1].loss == ended.loss == pytest.approx(epochs[-1]["loss"])
    saved = checkpoint.load(tmp_path / "run" / checkpoint.LAST)
    assert saved.config == config
    assert RunConfig.model_validate(yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())) == config


def test_ms_clr_shows_every_clip_once_per_convention(store: Path, tmp_path: Path) -> None:
    loop.pretrain(tiny_config(store, method="ms-clr", optimise__epochs=1), out=tmp_path / "run")
    assert records(tmp_path / "run")[-1]["step"] == 2 * (21 // 4)


class Pull(methods.Method):
    """The simplest method: pulls a weight towards the mean of the clips that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": (self.weight - batch.clips["few_6"].mean()) ** 2}


def test_training_is_sgd_on_the_batches_with_the_schedule(store: Path, tmp_path: Path) -> None:
    schedule = {"optimise.schedule": "step", "optimise.milestones": [2], "optimise.weight_decay": 0.01}
    config = tiny_config(store, optimise__epochs=3, optimise__momentum=0.5, **schedule)
    samples = loop.load_training_half(stores.open_store(store), config)
    method = Pull()
    with logbook.open_logbook(tmp_path / "metrics.jsonl") as log:
        optimiser = optim.build(method.parameters(), config.optimise)
        run = loop.Run(tmp_path, config, "hash", method, optimiser, samples, torch.device("cpu"), log)
        loop.train(run)
    weight, speed, means = 3.0, 0.0, []
    for epoch in range(3):
        losses = []
        for batch in data.batches(samples, batch_size=4, seed=0, epoch=epoch):
            away = weight - float(batch.clips["few_6"].mean())
            losses.append(away**2)
            speed = 0.5 * speed + 2 * away + 0.01 * weight
            weight -= (0.1 if epoch < 2 else 0.01) * speed
        means.append(sum(losses) / len(losses))
    assert float(method.weight.detach()) == pytest.approx(weight, rel=1e-5)
    assert [r["loss"] for r in records(tmp_path) if r["event"] == "epoch"] == pytest.approx(means, rel=1e-5)


def test_bf16_trains_too(store: Path, tmp_path: Path) -> None:
    ended = loop.pretrain(tiny_config(store, runtime__precision="bf16"), out=tmp_path / "run")
    assert math.isfinite(ended.loss)
    saved = checkpoint.load(tmp_path / "run" / checkpoint.LAST)
    assert {value.dtype for value in saved.model.values()} <= {torch.float32, torch.int64}


def test_a_diverged_run_keeps_the_last_good_checkpoint(store: Path, tmp_path: Path) -> None:
    config = tiny_config(store, optimise__epochs=9, optimise__lr=1e30, runtime__checkpoint_every=1)
    with pytest.raises(
        SkelError, match=r"run: .*(the loss became|no longer finite).*optimise\.lr.*last good"
    ):
        loop.pretrain(config, out=tmp_path / "run")
    saved = checkpoint.load(tmp_path / "run" / checkpoint.LAST)
    assert all(torch.isfinite(value).all() for value in saved.model.values())


def test_a_run_is_never_overwritten_by_accident(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    loop.pretrain(tiny_config(store), out=out)
    before = (out / "checkpoints/last.pt").read_bytes()
    with pytest.raises(UsageError, match=r"run exists already.*--resume.*--force.*--out"):
        loop.pretrain(tiny_config(store), out=out)
    assert (out / "checkpoints/last.pt").read_bytes() == before
    for name in ("results", "untrained"):
        (out / name).mkdir()
    (out / "notes.txt").write_text("mine")
    loop.pretrain(tiny_config(store, optimise__epochs=1), out=out, force=True)
    assert checkpoint.load(out / checkpoint.LAST).epoch == 1
    assert not (out / "results").exists()
    assert not (out / "untrained").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_no_run_is_refused_even_with_force(store: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(UsageError, match="is not a run folder"):
        loop.pretrain(tiny_config(store), out=tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "changes",
    [
        {"method__options__temprature": 1},
        {"encoder__options__channels": [0]},
        {"augment__normal__0__options__amplitude": -1},
        {"runtime__device": "cuda:99"},
    ],
)
def test_settings_are_checked_before_the_folder_is_touched(
    store: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        loop.pretrain(tiny_config(store, **changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resuming_needs_a_run_its_store_and_enough_epochs(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        loop.pretrain(tiny_config(store), out=out, resume=True)
    assert not out.exists()
    loop.pretrain(tiny_config(store), out=out)
    with pytest.raises(ConfigError, match=r"optimise\.epochs: the run has done 2 epochs already, found 1"):
        loop.pretrain(tiny_config(store, optimise__epochs=1), out=out, resume=True)
    other = write_store(tmp_path / "other.zarr", conventions=("few_6", "many_8"), samples=33)
    with pytest.raises(CheckpointError, match=r"trained on store \w{12}, .*other\.zarr is \w{12}"):
        loop.pretrain(tiny_config(other), out=out, resume=True)
    with pytest.raises(CheckpointError, match="weights do not fit the model"):
        loop.pretrain(tiny_config(store, encoder__options__channels=[4, 4]), out=out, resume=True)


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C as in the foreground: what a script starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_only_the_first_signal_is_caught() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        assert signal.getsignal(signal.SIGINT) is before
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_signals_are_left_alone_off_the_main_thread() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with stop_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_command_saves_and_says_how_to_go_on(
    store: Path, tmp_path: Path, number: int, code: int
) -> None:
    command = [*in_the_foreground("trainer"), "pretrain", "--store", str(store)]
    command += ["--method", "skeletonclr", "--out", str(tmp_path / "run")]
    command += tiny_arguments(optimise__epochs=100000)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopped after epoch" in errors
    assert f"trainer pretrain --out {tmp_path / 'run'} --resume" in errors
    assert "Traceback" not in errors
    saved = checkpoint.load(tmp_path / "run" / checkpoint.LAST)
    assert saved.epoch >= 2
    assert all(json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines())
