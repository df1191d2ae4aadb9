"""A process of several that is gone without a word: the others end, or all start again and go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.trainer.runs import tiny_arguments
from tests.trainer.stores import write_store
from trainer import checkpoint
from trainer.distributed import fresh_part

ROOT = Path(__file__).parents[2]
SOON = 60.0
"""Seconds within which the others are gone."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr")


@contextmanager
def launched(store: Path, out: Path, *, epochs: int, restarts: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Two processes that train together, under torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--max-restarts", str(restarts), "-m", "trainer", "pretrain", "--store", str(store)]
    command += ["--method", "skeletonclr", "--out", str(out), "--resume=auto"]
    command += tiny_arguments(optimise__epochs=epochs, runtime__checkpoint_every=1)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, cwd=out.parent, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def read_until(process: subprocess.Popen[str], start: str) -> list[str]:
    """The lines up to one that starts so, and that one."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(start):
            return lines
    raise AssertionError("".join(lines))


def workers(process: subprocess.Popen[str]) -> dict[int, int]:
    """Rank -> process id, of the processes that torchrun started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    environments = {int(pid): Path(f"/proc/{pid}/environ").read_text().split("\0") for pid in children}
    return {
        int(each.removeprefix("RANK=")): pid
        for pid, environment in environments.items()
        for each in environment
        if each.startswith("RANK=")
    }


def alive(pid: int) -> bool:
    """Whether it runs; what ended and was not fetched yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_the_others_end_when_one_is_killed(store: Path, tmp_path: Path) -> None:
    with launched(store, tmp_path / "run", epochs=100_000) as process:
        read_until(process, "epoch 3/")
        ranks = workers(process)
        assert sorted(ranks) == [0, 1]
        os.kill(ranks[0], signal.SIGKILL)
        killed = time.monotonic()
        errors = process.communicate(timeout=SOON)[1]
        assert time.monotonic() - killed < SOON
        assert process.returncode != 0
        assert not any(alive(pid) for pid in ranks.values())
    assert "error: another process of this training is gone" in errors
    assert "GLHF" not in next(line for line in errors.splitlines() if line.startswith("error: another"))
    assert f"exitcode  : {-signal.SIGKILL}" in errors
    assert checkpoint.load(tmp_path / "run" / checkpoint.LAST).epoch >= 2


def test_all_start_again_and_end_with_the_weights_of_a_run_that_nothing_befell(
    store: Path, tmp_path: Path
) -> None:
    saved = []
    for name in ("whole", "struck"):
        with launched(store, tmp_path / name, epochs=12, restarts=1) as process:
            if name == "struck":
                read_until(process, "epoch 3/")
                first = workers(process)
                os.kill(first[1], signal.SIGKILL)
                told = read_until(process, f"{tmp_path / name}: skeletonclr")
                assert not any(line.startswith("epoch 12/") for line in told), "it was through before"
                assert set(first.values()).isdisjoint(workers(process).values())
            errors = process.communicate(timeout=240)[1]
            assert process.returncode == 0, errors
        saved.append(checkpoint.load(tmp_path / name / checkpoint.LAST))
    whole, struck = saved
    assert whole.epoch == struck.epoch == 12
    assert whole.model.keys() == struck.model.keys()
    assert all(torch.equal(value, struck.model[key]) for key, value in whole.model.items())


def test_processes_that_start_again_do_not_read_what_those_before_them_wrote() -> None:
    """A store that outlives them, with the names of three earlier processes, of which one never came."""
    store, size = dist.HashStore(), 3
    store.set_timeout(timedelta(seconds=30))
    store.set("new 1", "gone")
    for start in range(3):
        with ThreadPoolExecutor(size) as threads:
            parts = list(threads.map(lambda rank: fresh_part(store, rank=rank, size=size), range(size)))
        assert not parts[0].check(["address"])
        parts[start].set("address", str(start))
        assert [part.get("address").decode() for part in parts] == [str(start)] * size
