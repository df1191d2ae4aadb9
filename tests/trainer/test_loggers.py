"""``--log``: TensorBoard, and modules with the calls of wandb, stood in for by one that records them."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from schemas import ConfigError, RunConfig, SkelError, UsageError
from tests.trainer.command import call
from tests.trainer.runs import tiny_arguments, tiny_config
from tests.trainer.stores import write_store
from trainer import logbook, loggers, loop
from trainer.run import read_config


class Recorder(ModuleType):
    """A module ``recorder``: ``takes`` are the optional arguments of its init."""

    def __init__(self, *, takes: tuple[str, ...] = ("dir", "id", "resume")) -> None:
        super().__init__("recorder")
        self.calls: list[tuple[str, Any]] = []
        if "id" in takes:
            self.init = self._init
        else:
            self.init = lambda project, name=None, config=None, resume="never": self._init(
                project, name, config, resume=resume
            )

    def _init(self, project: str, name: Any = None, config: Any = None, **more: Any) -> None:
        self.calls.append(("init", {"project": project, "name": name, "config": config, **more}))

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.calls.append(("log", (metrics, step)))

    def finish(self) -> None:
        self.calls.append(("finish", None))

    def of(self, name: str) -> list[Any]:
        return [given for call, given in self.calls if call == name]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    module = Recorder()
    monkeypatch.setitem(sys.modules, "recorder", module)
    return module


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "s.zarr")


def logged(run: Path) -> list[dict[str, float]]:
    """The numbers of every line of the run's own log."""
    found = []
    for line in logbook.read(run / "metrics.jsonl"):
        numbers = {
            f"{line['event']}/{key}": value for key, value in line.items() if isinstance(value, float | int)
        }
        for place in ("epoch", "step"):
            numbers.pop(f"{line['event']}/{place}", None)
        found.append(numbers)
    return [numbers for numbers in found if numbers]


def test_it_is_told_what_the_log_is_told(
    store: Path, recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "job"
    given = ["pretrain", "--store", store, "--method", "skeletonclr-paper", *tiny_arguments(), "--out", run]
    code, _, error = call(capsys, *given, "--log", "recorder")
    assert code == 0, error
    assert [name for name, _ in recorder.calls] == ["init", *["log"] * len(logged(run)), "finish"]
    assert [metrics for metrics, _ in recorder.of("log")] == logged(run)
    steps = [step for _, step in recorder.of("log")]
    assert steps == sorted(steps)
    assert steps[-1] == 10
    (start,) = recorder.of("init")
    assert (start["project"], start["name"], start["resume"]) == ("skeltools", "job", "never")
    assert start["config"] == yaml.safe_load((run / "config.yaml").read_text())
    assert start["config"]["runtime"]["log"] == "recorder"


def test_a_resumed_run_goes_on_under_its_id(store: Path, recorder: Recorder, tmp_path: Path) -> None:
    run = tmp_path / "run"
    loop.pretrain(tiny_config(store, optimise__epochs=1, runtime__log="recorder"), out=run)
    loop.pretrain(tiny_config(store, optimise__epochs=2, runtime__log="recorder"), out=run, resume=True)
    first, second = recorder.of("init")
    assert (first["resume"], second["resume"]) == ("never", "allow")
    assert first["id"] == second["id"] != ""
    assert first["dir"] == str(run)
    loop.pretrain(tiny_config(store, optimise__epochs=1, runtime__log="recorder"), out=run, force=True)
    assert recorder.of("init")[2]["id"] != first["id"], "a run in its place is another one"


def test_init_is_given_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Recorder(takes=("resume",))  # as trackio
    monkeypatch.setitem(sys.modules, "recorder", module)
    with loggers.opened("recorder", tmp_path, {"a": 1}, resumed=True):
        pass
    assert module.of("init") == [
        {"project": "skeltools", "name": tmp_path.name, "config": {"a": 1}, "resume": "allow"}
    ]


def test_it_is_finished_when_a_run_fails(recorder: Recorder, tmp_path: Path) -> None:
    def fail() -> None:
        with loggers.opened("recorder", tmp_path, {}) as mirror:
            mirror({"event": "warning", "epoch": 1, "step": 2, "text": "no number"}, 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [name for name, _ in recorder.calls] == ["init", "finish"]


def test_a_run_outlives_its_logger(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(recorder, "log", lost)
    with caplog.at_level(logging.WARNING), loggers.opened("recorder", tmp_path, {}) as mirror:
        for step in range(3):
            mirror({"event": "step", "loss": 1.0}, step)
    assert caplog.messages == ["recorder.log failed, the run goes on without it: no route to host"]
    monkeypatch.setattr(recorder, "init", lost)
    failed = r"--log recorder: init failed: no route to host\. .*leave --log out"
    with pytest.raises(SkelError, match=failed), loggers.opened("recorder", tmp_path, {}):
        pass


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "--log wandb: wandb is not installed. pip install wandb"),
        ("trackio", "--log trackio: trackio is not installed. pip install trackio"),
        ("json", "--log json: the module has no init, log, finish. Name tensorboard, or a module with init"),
        ("", "--log : cannot be imported"),
    ],
)
def test_what_is_no_logger_is_said_before_the_folder_is_touched(
    store: Path,
    tmp_path: Path,
    name: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for absent in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, absent, None)
    given = ["pretrain", "--store", store, "--method", "skeletonclr-paper", *tiny_arguments()]
    for more in ([], ["--dry-run"]):
        code, _, error = call(capsys, *given, "--out", tmp_path / "run", "--log", name, *more)
        assert code == 2, error
        assert message in error
    assert not (tmp_path / "run").exists()


def test_tensorboard_has_every_number(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    loop.pretrain(tiny_config(store, optimise__epochs=1, runtime__log="tensorboard"), out=run)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    expected = {key for line in logged(run) for key in line}
    assert set(events.Tags()["scalars"]) == expected
    losses = [line["epoch/loss"] for line in logged(run) if "epoch/loss" in line]
    assert [each.value for each in events.Scalars("epoch/loss")] == pytest.approx(losses)


def test_tensorboard_must_be_installed_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(
        UsageError, match=r"tensorboard is not installed. pip install 'skeltools\[tensorboard\]'"
    ):
        loggers.require("tensorboard")


def test_settings_of_earlier_versions_are_read(store: Path, tmp_path: Path) -> None:
    tree = tiny_config(store).model_dump(mode="json")
    del tree["runtime"]["log"]
    for value, expected in ((True, "tensorboard"), (False, None)):
        tree["runtime"]["tensorboard"] = value
        assert RunConfig.model_validate(tree).runtime.log == expected
        (tmp_path / "config.yaml").write_text(json.dumps(tree))
        assert read_config(tmp_path).runtime.log == expected
    with pytest.raises(ConfigError):
        tiny_config(store, runtime__tensorboard="maybe")
