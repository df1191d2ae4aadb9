"""Those who read die: processes of this machine, and workers of a real cluster. No byte differs."""

from __future__ import annotations

import os
import signal
import socket
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import RawDataError, SkelError, UsageError
from skeltools import convert
from skeltools.conversion import chunks, cluster
from skeltools.processes import processes

PARTS = 5


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def raw(write_ucla, tmp_path_factory) -> Path:
    ids = [f"a{a:02}_s{s:02}_e{e:02}_v01" for a in (1, 2) for s in range(20) for e in range(8)]
    return write_ucla(tmp_path_factory.mktemp("many") / "raw", ids[: PARTS * chunks.SAMPLES], 6)


@pytest.fixture(scope="module")
def whole(raw, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "s"
    convert("nw-ucla", raw=raw, out=out, frames=(10,))
    return files(out)


def once(act: Callable[[], None]) -> tuple[Callable[[int, int], None], list[int]]:
    """Progress that acts after the first part, and what it was told."""
    told: list[int] = []

    def on_progress(done: int, total: int) -> None:
        if not told:
            act()
        told.append(done)

    return on_progress, told


def descendants(process: int) -> list[int]:
    """Processes that a process started, and those that these did; skips where nothing lists them."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    if not listed.exists():
        pytest.skip("no /proc that lists the children of a process")
    children = [int(child) for child in listed.read_text().split()]
    return [*children, *(each for child in children for each in descendants(child))]


# ------------------------------------------------------------------------------------- of this machine


def test_a_process_that_is_killed_is_replaced(raw, whole, tmp_path):
    before = set(descendants(os.getpid()))
    killed: list[int] = []

    def kill() -> None:
        """The newest one, whatever it is doing."""
        killed.append(max(set(descendants(os.getpid())) - before))
        os.kill(killed[0], signal.SIGKILL)

    on_progress, told = once(kill)
    convert("nw-ucla", raw=raw, out=tmp_path / "s", frames=(10,), workers=2, on_progress=on_progress)
    assert told == [chunks.SAMPLES * part for part in range(1, PARTS + 1)]
    assert files(tmp_path / "s") == whole
    assert killed


def test_a_job_that_kills_whoever_does_it_ends_in_a_sentence():
    with processes(1, signal.raise_signal) as crew:
        crew.submit(signal.SIGURG).result()  # which kills nobody
        killing = crew.submit(signal.SIGKILL)
        with pytest.raises(SkelError, match=r"a worker process died, .* fewer --workers"):
            killing.result()


# ------------------------------------------------------------------------------------------- a cluster


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    """Two workers, each a process of its own, over TCP."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from distributed import LocalCluster

        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tcp",
            dashboard_address=None,
        ) as found:
            yield found


def pids(scheduler: Any) -> list[int]:
    return [worker.pid for worker in scheduler.workers.values()]


def test_a_worker_that_is_killed_changes_no_byte(scheduler, raw, whole, tmp_path, monkeypatch):
    address = scheduler.scheduler_address
    assert address.startswith("tcp://127.0.0.1:")
    before = pids(scheduler)
    on_progress, told = once(lambda: os.kill(before[1], signal.SIGKILL))
    monkeypatch.chdir(raw.parent)  # a path that is not whole is of no use to a worker
    said: list[str] = []
    convert(
        "nw-ucla", raw="raw", out=tmp_path / "s", frames=(10,), dask=address, on_progress=on_progress,
        on_note=said.append,
    )  # fmt: skip
    assert files(tmp_path / "s") == whole
    assert told == [chunks.SAMPLES * part for part in range(1, PARTS + 1)]
    assert said == []
    assert not Path(f"/proc/{before[1]}").exists() or before[1] not in pids(scheduler)


def test_what_goes_wrong_in_a_part_comes_back_as_it_is(scheduler, raw, tmp_path):
    bad = tmp_path / "raw"
    bad.mkdir()
    for file in sorted(raw.iterdir())[:3]:
        (bad / file.name).write_bytes(file.read_bytes())
    (bad / file.name).write_text("no JSON")
    address = scheduler.scheduler_address
    with pytest.raises(RawDataError, match=rf"{file.name}: unreadable file"):
        convert("nw-ucla", raw=bad, out=tmp_path / "s", dask=address, strict=True)
    assert convert("nw-ucla", raw=bad, out=tmp_path / "s", dask=address).manifest.samples == 2


def test_a_part_that_kills_every_worker_ends_in_a_sentence(scheduler):
    with cluster.cluster(scheduler.scheduler_address) as crew:
        killing = cluster.Pending(crew.client.submit(os._exit, 1, pure=False), scheduler.scheduler_address)
        with pytest.raises(SkelError, match=r"tcp://127.0.0.1:\d+: one part killed several workers"):
            killing.result()


def test_addresses_at_which_nobody_answers(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"tcp://127.0.0.1:{port}", "nothing", "http://127.0.0.1"):
        with pytest.raises(UsageError, match=rf"no dask scheduler answers at {address}. `dask scheduler`"):
            convert("nw-ucla", raw=raw, out=tmp_path / "s", dask=address)
    with pytest.raises(UsageError, match="Give one of both"):
        convert("nw-ucla", raw=raw, out=tmp_path / "s", dask=address, workers=2)
    assert list(tmp_path.iterdir()) == []
