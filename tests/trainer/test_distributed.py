"""Two processes do what one does with the joined batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas import ConfigError, UsageError
from tests.trainer import ranks
from tests.trainer.runs import tiny_arguments, tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, distributed, logbook, loop

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr")


@pytest.fixture(scope="module")
def together(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    ranks.train_together(folder, store)
    return folder


def left_with(folder: Path, name: str) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("name", [*ranks.CASES, "local"])
def test_both_hold_the_same_bits_after_every_step(together: Path, name: str) -> None:
    first, second = left_with(together, name)
    assert first["loss"] == second["loss"]
    for key, value in first["state"].items():
        # Three groups of keys are two batches for the first process and one for the second.
        if not (name == "shuffled" and key.endswith("num_batches_tracked")):
            assert torch.equal(value, second["state"][key]), key


@pytest.mark.parametrize("name", ranks.CASES)
def test_two_processes_with_joined_statistics_are_one_with_the_joined_batch(
    together: Path, name: str
) -> None:
    found, one = left_with(together, name)[0], ranks.trained(ranks.CASES[name])
    assert found["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert found["state"].keys() == one["state"].keys()
    for key, value in one["state"].items():
        # Groups of keys are normalised one after another in one process, and side by side in two.
        if not (name == "shuffled" and key.startswith("moco.key") and key.endswith(STATISTICS)):
            torch.testing.assert_close(found["state"][key], value, rtol=0, atol=1e-5, msg=key)
    assert all(torch.equal(a, b) for a, b in zip(found["mined"], one["mined"], strict=True))


def test_a_run_goes_on_with_another_number_of_processes(together: Path, store: Path, tmp_path: Path) -> None:
    """Two, then one, then two, against one all along."""
    loop.pretrain(ranks.in_parts(store), out=tmp_path / "whole")
    one, parts = (checkpoint.load(out / checkpoint.LAST) for out in (tmp_path / "whole", together / "parts"))
    assert (parts.epoch, parts.step) == (3, 0)
    for key, value in one.model.items():
        torch.testing.assert_close(parts.model[key], value, rtol=0, atol=1e-5, msg=key)
    logs = [logbook.read(out / "metrics.jsonl") for out in (tmp_path / "whole", together / "parts")]
    for whole, part in zip(*logs, strict=True):
        apart = {"clips_per_second", "feature_std"}  # the spread within a part is another number
        numbers = {key: value for key, value in whole.items() if key not in apart}
        assert {key: part[key] for key in numbers} == pytest.approx(numbers, abs=1e-5)


def test_torchrun_trains_prints_once_and_stops_all_at_one_step(store: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "trainer", "pretrain", "--store", str(store), "--method", "skeletonclr"]
    command += ["--out", str(tmp_path / "run"), *tiny_arguments(optimise__epochs=100000)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("epoch 3/"):
            break
    process.send_signal(signal.SIGTERM)
    lines += process.communicate(timeout=120)[1].splitlines()
    assert process.returncode != 0
    assert sum("epoch 2/100000" in line for line in lines) == 1
    assert sum("BatchNorm takes its statistics of 2 clips at a time" in line for line in lines) == 1
    assert sum(f"--out {tmp_path / 'run'} --resume" in line for line in lines) == 1, "".join(lines)
    assert checkpoint.load(tmp_path / "run" / checkpoint.LAST).epoch >= 3


def test_a_signal_is_not_lost_while_the_processes_agree(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def interrupted(number: int) -> int:
        calls.append(number)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)  # the others had none when this process was asked
        return number

    monkeypatch.setattr(distributed, "highest", interrupted)
    ended = loop.pretrain(tiny_config(store), out=tmp_path / "run")
    assert ended.signal == signal.SIGTERM
    assert calls[2:] == [0, signal.SIGTERM]


# --- one process, and what it is told


def test_one_process_is_the_whole() -> None:
    x = torch.randn(6, 3)
    with distributed.processes():
        assert distributed.is_main()
        assert distributed.parts(3) == (range(3), 3)
        assert distributed.gather(x) is x
        assert distributed.mean(x) is x
        assert distributed.total(x) is x
        assert distributed.highest(7) == 7
        assert distributed.local_device("cuda:5") == "cuda:5"


def test_groups_are_every_nth_row() -> None:
    rows = torch.arange(7.0)[:, None]
    found = distributed.in_groups(lambda group: group - group.mean(), rows, groups=3, width=1)
    means = [3.0, 2.5, 3.5]
    assert found.flatten().tolist() == [row - means[row % 3] for row in range(7)]


def test_each_process_has_a_part_and_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, value in {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert not distributed.is_main()
    assert distributed.parts(2) == (range(4, 6), 8)
    assert distributed.local_device("auto") == "cuda:1"
    assert distributed.local_device("cpu") == "cpu"
    with pytest.raises(UsageError, match=r"runtime\.device: 4 processes cannot share device 'cuda:0'"):
        distributed.local_device("cuda:0")
    distributed.check_parts(16, 2)
    with pytest.raises(ConfigError, match=r"batch of 12 clips .* 8 equal parts .*4 processes.*multiple of 8"):
        distributed.check_parts(12, 2)


def test_a_batch_without_equal_parts_is_refused_before_the_folder_is_touched(
    store: Path, tmp_path: Path
) -> None:
    config = tiny_config(store, optimise__batch_size=5, optimise__accumulate=2)
    with pytest.raises(ConfigError, match=r"optimise\.batch_size: a batch of 5 clips .*in 2 equal parts"):
        loop.pretrain(config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
