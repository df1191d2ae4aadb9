"""A profile: some steps are looked at, the run is saved and goes on as if nobody had looked."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from schemas import UsageError
from tests.trainer.runs import tiny_arguments, tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, cli, loop, span
from trainer.loop import Progress
from trainer.loop.profile import TRACE, WARM_UP

PARTS = (
    "data",
    "augmentation",
    "query forward",
    "key forward",
    "momentum",
    "loss",
    "backward",
    "queue",
    "optimiser",
    "other",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr", conventions=("few_6", "many_8"))


@pytest.mark.parametrize("method", ["skeletonclr", "aimclr", "skelemixclr", "crosclr"])
def test_every_part_of_a_step_has_its_time(store: Path, tmp_path: Path, method: str) -> None:
    ended = loop.pretrain(tiny_config(store, method=method), out=tmp_path / "run", profile=2)
    seen = ended.profile
    assert seen is not None
    assert (seen.steps, ended.signal) == (2, None)
    assert (ended.epoch, ended.step) == ((0, WARM_UP + 2) if ended.epoch == 0 else (1, 0))
    assert tuple(seen.parts) == PARTS
    assert all(seen.parts[name] > 0 for name in PARTS if name != "other")
    assert sum(seen.parts.values()) == pytest.approx(seen.seconds, rel=0.2)
    assert seen.parts["query forward"] + seen.parts["backward"] > seen.parts["momentum"]
    assert 0 < len(seen.operations) <= 10
    assert all(each.name.startswith("aten::") and each.calls > 0 for each in seen.operations)
    assert seen.operations[0].seconds >= seen.operations[-1].seconds > 0
    assert seen.memory["process"] > 2**20
    trace = json.loads((tmp_path / "run" / TRACE).read_text())
    names = {event.get("name") for event in trace["traceEvents"]}
    assert set(span.ALL) <= names


def test_a_run_that_was_looked_at_goes_on_as_if_it_had_not_been(store: Path, tmp_path: Path) -> None:
    config = tiny_config(store)
    loop.pretrain(config, out=tmp_path / "whole")
    loop.pretrain(config, out=tmp_path / "parts", profile=1)
    loop.pretrain(config, out=tmp_path / "parts", resume=True)
    one, other = (checkpoint.load(tmp_path / name / checkpoint.LAST).model for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    loop.pretrain(config, out=tmp_path / "parts", force=True)
    assert not (tmp_path / "parts" / TRACE).exists()


def test_a_signal_ends_the_look_as_well(store: Path, tmp_path: Path) -> None:
    def interrupt(state: Progress) -> None:
        if state.step == WARM_UP + 1:
            os.kill(os.getpid(), signal.SIGTERM)

    ended = loop.pretrain(tiny_config(store), out=tmp_path / "run", profile=4, on_progress=interrupt)
    assert (ended.signal, ended.profile, ended.step) == (signal.SIGTERM, None, WARM_UP + 1)
    assert not torch.autograd._profiler_enabled()


@pytest.mark.parametrize(("steps", "remedy"), [(0, "Ask for 1 to 7"), (8, "Ask for 1 to 7")])
def test_a_run_too_short_for_the_profile_is_refused(
    store: Path, tmp_path: Path, steps: int, remedy: str
) -> None:
    """Two epochs of five steps, three of them to warm up."""
    with pytest.raises(UsageError, match=f"--profile: a profile of {steps} steps .* has 10 left.*{remedy}"):
        loop.pretrain(tiny_config(store), out=tmp_path / "run", profile=steps)
    assert not (tmp_path / "run").exists()


def test_names_cost_nothing_when_nobody_looks() -> None:
    first, second = span.span(span.DATA), span.span(span.KEY)
    assert type(first) is type(second)
    with torch.profiler.profile() as watching, span.span("named"):
        pass
    assert "named" in {event.key for event in watching.key_averages()}


def test_the_command_prints_one_screen(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["pretrain", "--store", str(store), "--method", "skeletonclr", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, *tiny_arguments(), "--profile", "2"])
    captured = capsys.readouterr()
    assert ended.value.code == 0
    lines = captured.out.splitlines()
    assert len(lines) <= 28
    assert lines[0].startswith("a step takes ")
    first = [line.split("  ")[0].strip() for line in lines[2:12]]
    assert first == list(PARTS)
    assert lines[-1] == f"trace: {out / TRACE} (open it in https://ui.perfetto.dev)"
    assert f"trainer pretrain --out {out} --resume" in captured.err
