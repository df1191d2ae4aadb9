"""Conversions that are stopped, by whatever, and go on: the store is that of a run that nothing disturbed."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from schemas import RawDataError, StoreError
from skeltools import store
from skeltools.conversion import chunks, convert, publish
from skeltools.files import durable
from skeltools.inspect.validate import validate

ROOT = Path(__file__).parents[2]
IDS = [f"S001C001P001R{i:03}A001" for i in range(1, 19)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def raw(recordings, clip, tmp_path, monkeypatch):
    """18 clips, two conventions, parts of 4 and small files, so that files and parts end at many places."""
    small = {"SAMPLE_CHUNK": 2, "SAMPLE_SHARD": 6, "FRAME_CHUNK": 8, "FRAME_SHARD": 40}
    for name, size in small.items():
        monkeypatch.setattr(store.layout, name, size)
    monkeypatch.setattr(chunks, "SAMPLES", 4)
    for i, id in enumerate(IDS):
        recordings.add(clip(id, frames=3 + i % 9, bodies=1 + i % 3))
        if i % 3:
            recordings.add(clip(id, "smplx_42", frames=3 + i % 9))
    recordings.fail(IDS[7], "line 3: broken")
    del recordings.served["smplx_42", IDS[7]]
    return recordings


def run(raw, out: Path, **options: object) -> list[str]:
    """Convert; returns what was told."""
    said: list[str] = []
    convert("ntu60", raw=raw.raw, out=out, frames=(5,), on_note=said.append, **options)
    return said


class Stop(BaseException):
    pass


def stop_at(number: int):
    def on_progress(done: int, total: int) -> None:
        if done == number:
            raise Stop

    return on_progress


@pytest.mark.parametrize("stop", [5, 12, 18])
def test_what_is_resumed_is_the_same_to_the_byte(raw, tmp_path, stop):
    assert run(raw, tmp_path / "whole") == []
    with pytest.raises(Stop):
        run(raw, tmp_path / "s", on_progress=stop_at(stop))
    assert not (tmp_path / "s").exists()
    read: list[int] = []
    said = run(raw, tmp_path / "s", on_progress=lambda done, total: read.append(done))
    done = (stop - 1) // 4 * 4
    assert said == [f"resuming: {done} of 18 samples were done"]
    assert read[0] == done + 1
    assert files(tmp_path / "s") == files(tmp_path / "whole")
    assert validate(tmp_path / "s") == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "s", "whole"]


def test_stopped_again_and_again(raw, tmp_path):
    run(raw, tmp_path / "whole")
    for stop in range(2, 19, 3):
        try:
            run(raw, tmp_path / "s", on_progress=stop_at(stop))
        except Stop:
            assert not (tmp_path / "s").exists()
    run(raw, tmp_path / "s", force=True)
    assert files(tmp_path / "s") == files(tmp_path / "whole")


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, bytes]:
    """The files of a store that nothing disturbed; the first test that needs them writes them."""
    return {}


@pytest.mark.parametrize("call", [*range(1, 60, 6), 61, 62, 63, 64, 65])
def test_a_stop_at_any_write_or_rename(raw, tmp_path, monkeypatch, undisturbed, call):
    """Not only between samples: before every call that brings something to disk, on to the last rename."""
    if not undisturbed:
        run(raw, tmp_path / "whole")
        undisturbed |= files(tmp_path / "whole")
    calls = 0

    def counted(function):
        def wrapper(*args, **options):
            nonlocal calls
            calls += 1
            if calls == call:
                raise Stop
            return function(*args, **options)

        return wrapper

    with monkeypatch.context() as patch:
        for place, name in ((durable, "write"), (durable, "exchange"), (publish, "discard")):
            patch.setattr(place, name, counted(getattr(place, name)))
        patch.setattr(store.ArrayWriter, "_write", counted(store.ArrayWriter._write))
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(store, "write_array", counted(store.write_array))
        try:
            run(raw, tmp_path / "s")
        except Stop:
            assert not (tmp_path / "s").exists() or files(tmp_path / "s") == undisturbed
    if not (tmp_path / "s").exists():
        run(raw, tmp_path / "s")
    assert files(tmp_path / "s") == undisturbed


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_replaced_store_is_there_until_the_new_one_is(raw, tmp_path, monkeypatch, can_exchange):
    """At a stop in the middle of the exchange the name has the old store or the new one, or gets it back."""
    out = tmp_path / "s"
    run(raw, out)
    old = files(out)
    raw.served.pop(("kinectv2_25", IDS[0]))
    run(raw, tmp_path / "new")
    new = files(tmp_path / "new")
    if not can_exchange:
        monkeypatch.setattr(durable, "exchange", lambda one, other: False)
    rename, seen = Path.rename, 0
    for call in range(1, 5):
        calls = 0

        def counted(self, target, call=call):
            nonlocal calls
            calls += 1
            if calls == call and Path(target).name != ".x":
                raise Stop
            return rename(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", counted)
            try:
                run(raw, out, force=True)
            except Stop:
                seen += 1
        publish.recover(out)
        assert files(out) in (old, new)
        run(raw, out, force=True)
        assert files(out) == new
        assert not publish.work_folder(out).exists()
    assert seen >= 2


def test_starts_over_when_options_or_files_differ(raw, clip, tmp_path):
    def stop(**options: object) -> list[str]:
        said: list[str] = []
        with pytest.raises(Stop):
            convert("ntu60", raw=raw.raw, out=tmp_path / "s", on_note=said.append, **options)
        return said

    stop(frames=(5,), on_progress=stop_at(9))
    assert stop(frames=(6,), on_progress=stop_at(9))[0].startswith("starting over: ")
    assert stop(frames=(6,), recipe="crossclr", on_progress=stop_at(9))[0].startswith("starting over: ")
    raw.add(clip("S001C001P001R099A001"))
    assert "changed since" in stop(frames=(6,), recipe="crossclr", on_progress=stop_at(9))[0]
    again = stop(frames=(6,), recipe="crossclr", on_progress=stop_at(15))
    assert again == ["resuming: 8 of 19 samples were done"]
    assert "as asked" in stop(frames=(6,), recipe="crossclr", fresh=True, on_progress=stop_at(9))[0]
    said: list[str] = []
    convert("ntu60", raw=raw.raw, out=tmp_path / "s", frames=(5,), on_note=said.append)
    assert said[0].startswith("starting over: ")
    run(raw, tmp_path / "whole")
    assert files(tmp_path / "s") == files(tmp_path / "whole")


def test_strict_holds_for_what_was_read_before(raw, tmp_path):
    with pytest.raises(Stop):
        run(raw, tmp_path / "s", on_progress=stop_at(14))
    with pytest.raises(RawDataError, match=r"line 3: unreadable file .broken"):
        run(raw, tmp_path / "s", strict=True)
    assert run(raw, tmp_path / "s") == ["resuming: 12 of 18 samples were done"]


# ------------------------------------------------------------------------------------------------ disk


def test_full_disk_keeps_what_is_done(raw, tmp_path, monkeypatch):
    run(raw, tmp_path / "whole")
    write, calls = durable.write, 0

    def full(path, fill):
        nonlocal calls
        calls += 1
        if calls > 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, fill)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", full)
        with pytest.raises(
            StoreError, match=r"No space left.*What is done is kept: the same command goes on"
        ):
            run(raw, tmp_path / "s")
    assert not (tmp_path / "s").exists()
    assert run(raw, tmp_path / "s")[0].startswith("resuming: ")
    assert files(tmp_path / "s") == files(tmp_path / "whole")


def test_full_disk_while_a_file_of_an_array_is_written(raw, tmp_path, monkeypatch):
    def full(self, rows):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run(raw, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(store.ArrayWriter, "_write", full)
        with pytest.raises(StoreError, match="No space left on device"):
            run(raw, tmp_path / "s")
    run(raw, tmp_path / "s")
    assert files(tmp_path / "s") == files(tmp_path / "whole")


def test_a_target_that_cannot_be_written(raw, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("words")
    with pytest.raises(StoreError, match=r"cannot write the store .Not a directory"):
        run(raw, tmp_path / "file" / "s")

    def read_only(*args: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(StoreError, match=r"cannot write the store .Read-only file system"):
        run(raw, tmp_path / "s")


def test_a_folder_of_somebody_else_is_left_alone(raw, tmp_path):
    mine = tmp_path / "s.partial"
    mine.mkdir()
    (mine / "thesis.tex").write_text("words")
    with pytest.raises(StoreError, match=r"no work folder of a conversion: it holds thesis.tex"):
        run(raw, tmp_path / "s")
    assert files(mine) == {"thesis.tex": b"words"}


# ------------------------------------------------------------------------------------------- raw files


def test_a_raw_file_that_vanishes_is_a_finding(write_ucla, tmp_path):
    raw = write_ucla(tmp_path / "raw")
    last = sorted(raw.iterdir())[-1]

    def remove(done: int, total: int) -> None:
        last.unlink(missing_ok=True)

    summary = convert("nw-ucla", raw=raw, out=tmp_path / "s", on_progress=remove)
    assert summary.manifest.samples == 11
    assert [(row.file, row.problem, row.action) for row in summary.findings] == [
        (last.name, "unreadable file", "skipped")
    ]
    assert "No such file" in summary.findings[0].detail
    assert validate(tmp_path / "s") == ()


def test_a_raw_file_that_changes_meanwhile(write_ucla, tmp_path):
    raw = write_ucla(tmp_path / "raw")
    first = sorted(raw.iterdir())[0]

    def change(done: int, total: int) -> None:
        first.write_bytes(first.read_bytes() + b" ")

    with pytest.raises(RawDataError, match=rf"{first.name}: was changed while.*same command starts over"):
        convert("nw-ucla", raw=raw, out=tmp_path / "s", on_progress=change)
    assert not (tmp_path / "s").exists()
    said: list[str] = []
    assert convert("nw-ucla", raw=raw, out=tmp_path / "s", on_note=said.append).manifest.samples == 12
    assert said[0].startswith("starting over: ")


def test_raw_files_may_move(write_ucla, tmp_path):
    """The plan knows names, sizes and times of the raw files, not where they lie."""
    raw = write_ucla(tmp_path / "a" / "raw", [f"a01_s{i:02}_e00_v01" for i in range(1, 80)])
    with pytest.raises(Stop):
        convert("nw-ucla", raw=raw, out=tmp_path / "s", on_progress=stop_at(70))
    (tmp_path / "a").rename(tmp_path / "b")
    said: list[str] = []
    convert("nw-ucla", raw=tmp_path / "b" / "raw", out=tmp_path / "s", on_note=said.append)
    assert said == ["resuming: 64 of 79 samples were done"]


# ------------------------------------------------------------------------------------------- processes


@pytest.fixture(scope="module")
def many(write_ucla, tmp_path_factory) -> Path:
    ids = [
        f"a{a:02}_s{s:02}_e{e:02}_v{v:02}" for a in (1, 2) for s in range(9) for e in range(9) for v in (1, 2)
    ]
    return write_ucla(tmp_path_factory.mktemp("many") / "raw", ids, 40)


def command(raw: Path, out: Path, *options: object) -> list[str]:
    arguments = ["convert", "nw-ucla", "--raw", raw, "--out", out, "--frames", 10, *options]
    return [sys.executable, "-m", "skeltools.cli", *map(str, arguments)]


def test_two_converters_on_one_target(many, tmp_path):
    def second(done: int, total: int) -> None:
        if done == 70:
            found = subprocess.run(
                command(many, tmp_path / "s"), cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert found.returncode == 1
            assert f"is being written by another process (process id {os.getpid()})" in found.stderr
            raise Stop

    with pytest.raises(Stop):
        convert("nw-ucla", raw=many, out=tmp_path / "s", on_progress=second)
    (tmp_path / "s.partial" / "lock").write_text("1\n")  # of a process that is long dead, or another by now
    said: list[str] = []
    convert("nw-ucla", raw=many, out=tmp_path / "s", on_note=said.append)
    assert said == ["resuming: 64 of 324 samples were done"]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_kill(many, tmp_path, workers):
    """kill -9 at random moments; benchmarks/kill.py does it fifty times."""
    draw = random.Random(workers)
    convert("nw-ucla", raw=many, out=tmp_path / "whole", frames=(10,))
    out, killed = tmp_path / "s", 0
    for _ in range(3):
        process = subprocess.Popen(
            command(many, out, "--workers", workers), cwd=ROOT, stdout=subprocess.DEVNULL
        )
        wanted = draw.randint(0, 4)
        while process.poll() is None and len(list(tmp_path.glob("s.partial/parts-*/*.json"))) < wanted:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert not out.exists() or validate(out) == ()
    assert killed
    if not out.exists():
        convert("nw-ucla", raw=many, out=out, frames=(10,))
    assert files(out) == files(tmp_path / "whole")


def test_workers_of_a_killed_process_end(many, tmp_path):
    process = subprocess.Popen(command(many, tmp_path / "s", "--workers", 1), cwd=ROOT)
    children: list[int] = []
    deadline = time.monotonic() + 60
    while process.poll() is None and not list(tmp_path.glob("s.partial/parts-*/*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not listed.exists():
        process.kill()
        pytest.skip("no /proc that lists the children of a process")
    children = [int(child) for child in listed.read_text().split()]
    process.kill()
    process.wait()
    while any(_is_alive(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert children


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_parts_hold_what_the_arrays_need_and_no_more(raw, tmp_path):
    """Parts go as soon as their rows lie in files; the disk need not hold everything twice."""
    most = 0

    def look(done: int, total: int) -> None:
        nonlocal most
        most = max(most, len(list((tmp_path / "s.partial").glob("parts-*/*.npz"))))

    run(raw, tmp_path / "s", on_progress=look)
    assert most <= 4 + 2  # a file of 48 frames takes up to four parts


def test_a_journal_without_its_files_is_not_believed(raw, tmp_path):
    run(raw, tmp_path / "whole")
    with pytest.raises(Stop):
        run(raw, tmp_path / "s", on_progress=stop_at(18))
    work = publish.work_folder(tmp_path / "s")
    assert any(json.loads((work / "journal.json").read_text()).values())
    shutil.rmtree(work / "store")
    run(raw, tmp_path / "s")
    assert files(tmp_path / "s") == files(tmp_path / "whole")
    assert np.array_equal(
        store.read(store.open_store(tmp_path / "s"), "samples/id"),
        [id for id in IDS if id != IDS[7]],
    )
