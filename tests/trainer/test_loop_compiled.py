"""Compiled encoders and augmentations: the eager numbers, the same names of weights, shapes that change."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from schemas import ConfigError, RunConfig, RuntimeConfig
from tests.trainer import ranks, tiny
from tests.trainer.clips import batch
from tests.trainer.compiler import needs_compiler, torchs_own
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from tests.trainer.tiny import Case
from trainer import checkpoint, config, logbook, loop, optim
from trainer.augment import chain
from trainer.config import Override
from trainer.loop import compiled, step

ON = RuntimeConfig(compile=True)
CPU = torch.device("cpu")
STGCN = Case(tiny.component("aimclr"), tiny.encoder("stgcn"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr")


class Recorder:
    """Stands for ``torch.compile``: counts what goes through what it gave."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        """Of encoders."""
        self.done: list[int] = []
        """Plans of each chain."""
        self.options: list[dict[str, Any]] = []
        """Of encoders."""

    def __call__(self, function: Any, **options: Any) -> Any:
        if function is chain.do:
            return self._doing
        self.options.append(options)

        def fast(x: torch.Tensor, convention: str) -> Any:
            self.calls.append((tuple(x.shape), convention, torch.is_grad_enabled()))
            return function(x, convention)

        return fast

    def _doing(self, x: torch.Tensor, plans: Any, own: bool) -> torch.Tensor:
        self.done.append(len(plans))
        return chain.do(x, plans, own)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr(torch, "compile", found)
    return found


def test_all_networks_are_compiled_for_training_and_none_for_evaluation(recorder: Recorder) -> None:
    method = STGCN.build()
    names = list(method.state_dict())
    compiled.compile_method(method, ON, device=CPU)
    method(batch(STGCN.skeletons))
    clips = (8, 3, 16, 25, 1)
    where = [(clips, "kinectv2_25", True)] * 2 + [(clips, "kinectv2_25", False)]
    assert recorder.calls == where, "the normal view, the extreme one, the key"
    assert list(method.state_dict()) == names
    method.eval()
    method.encoders["joint"](batch(STGCN.skeletons).clips["kinectv2_25"], "kinectv2_25")
    assert len(recorder.calls) == 3
    assert recorder.options == [{"mode": None, "dynamic": None}] * 2
    assert not recorder.done, "augmentations stay eager on the CPU"


@pytest.mark.parametrize("name", ["aimclr", "csclr", "ms-clr-aimclr"])
def test_off_the_cpu_what_augmentations_do_is_compiled(recorder: Recorder, name: str) -> None:
    case = tiny.one_case_each()[name]
    eager = case.build()
    fast = copy.deepcopy(eager)
    compiled.compile_method(fast, ON, device=torch.device("cuda"))
    losses = [float(each(batch(case.skeletons))["loss"].detach()) for each in (eager, fast)]
    assert losses[0] == losses[1]
    assert sorted(set(recorder.done)) == [2, 8], "normal and extreme views"


def test_absent_bodies_left_out_make_shapes_dynamic(recorder: Recorder) -> None:
    encoder = tiny.encoder("stgcn").model_copy(
        update={"options": {**tiny.ENCODER_OPTIONS["stgcn"], "bodies": "present"}}
    )
    method = Case(STGCN.method, encoder).build()
    compiled.compile_method(method, ON, device=CPU)
    assert [options["dynamic"] for options in recorder.options] == [True, True]
    graphs = RuntimeConfig(compile=True, cuda_graphs=True)
    with pytest.raises(ConfigError, match=r"runtime\.cuda_graphs: .*changing shape.*bodies=average"):
        compiled.compile_method(method, graphs, device=torch.device("cuda"))


def test_graphs_of_kernels_are_asked_for_by_their_mode_and_on_cuda_alone(recorder: Recorder) -> None:
    graphs = RuntimeConfig(compile=True, cuda_graphs=True)
    compiled.compile_method(STGCN.build(), graphs, device=torch.device("cuda"))
    assert {options["mode"] for options in recorder.options} == {"reduce-overhead"}
    with pytest.raises(ConfigError, match=r"runtime\.cuda_graphs: CUDA graphs need CUDA"):
        compiled.compile_method(STGCN.build(), graphs, device=CPU)


def test_graphs_without_compilation_are_refused(store: Path) -> None:
    with pytest.raises(ConfigError, match=r"runtime: cuda_graphs needs compile"):
        tiny_config(store, runtime__cuda_graphs=True)


def test_a_compiled_run_resumes_an_eager_one_and_logs_its_first_step(
    recorder: Recorder, store: Path, tmp_path: Path
) -> None:
    plain = tiny_config(store)
    loop.pretrain(plain, out=tmp_path / "whole")
    loop.pretrain(tiny_config(store, optimise__epochs=1), out=tmp_path / "parts")
    saved = checkpoint.load(tmp_path / "parts" / checkpoint.LAST).config
    overrides = [Override("optimise.epochs", 2), Override("runtime.compile", True)]
    told: list[str] = []
    loop.pretrain(
        _resumed(saved, overrides),
        out=tmp_path / "parts",
        resume=True,
        on_progress=lambda progress: told.extend(progress.warnings),
    )
    assert "on the CPU, compiled steps were measured to be slower; see `skeltools docs training`" in told
    assert recorder.calls
    one, other = (checkpoint.load(tmp_path / name / checkpoint.LAST).model for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    (line,) = (r for r in logbook.read(tmp_path / "parts/metrics.jsonl") if r["event"] == "compile")
    assert (line["epoch"], line["step"]) == (2, 1)
    assert line["seconds"] >= 0


def _resumed(saved: RunConfig, overrides: list[Override]) -> RunConfig:
    return config.resume(saved, overrides=overrides).config


@pytest.mark.slow
@needs_compiler
@torchs_own
@pytest.mark.parametrize("bodies", ["average", "present"])
def test_compiled_steps_give_the_eager_numbers(bodies: str) -> None:
    encoder = tiny.encoder("stgcn").model_copy(
        update={"options": {**tiny.ENCODER_OPTIONS["stgcn"], "bodies": bodies}}
    )
    case = Case(tiny.component("skeletonclr"), encoder)
    eager = case.build()
    fast = copy.deepcopy(eager)
    compiled.compile_method(fast, ON, device=CPU)
    outs = [_trained(method, case) for method in (eager, fast)]
    assert outs[1] == pytest.approx(outs[0], rel=1e-4)
    for (name, a), b in zip(eager.state_dict().items(), fast.state_dict().values(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-4, msg=name)


def _trained(method: nn.Module, case: Case) -> list[float]:
    """Losses of three steps whose batches have one, two and three clips without a second body."""
    settings, found = ranks.settings(case), []
    optimiser = optim.build(method.parameters(), settings.optimise)
    for number in range(3):
        given = batch(case.skeletons, samples=6, frames=12, bodies=2, seed=number)
        for clips in given.clips.values():
            clips[: number + 1, ..., 1] = 0
        metrics = step.take(method, optimiser, given, config=settings, step=number)
        found.append(float(metrics["loss"]))
    return found
