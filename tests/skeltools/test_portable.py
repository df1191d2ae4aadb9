"""Locks and files on systems that know less than Linux: emulated here, for there is none in this suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import StoreError, locks
from skeltools.files import durable
from trainer import memory

ROOT = Path(__file__).parents[2]

EMULATED = '''
"""As Windows: no fcntl, no folder can be opened, no file that is open removed, nor its folder moved."""
import fcntl, os, sys, types
import asyncio, concurrent.futures, multiprocessing.connection, shutil, subprocess, tempfile

msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2
msvcrt.locking = lambda fd, mode, size: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, size, 0, os.SEEK_CUR)
lockf, sys.modules["msvcrt"] = fcntl.lockf, msvcrt
MISSING = ("fcntl", "resource", "pwd", "grp", "termios", *WITHOUT)


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Finder())
for name in MISSING:
    sys.modules.pop(name, None)
for name in ("pread", "pwrite", "sysconf", "fork", "getuid", "mkfifo"):
    if hasattr(os, name):
        delattr(os, name)

NAMES = ("open", "close", "fdopen", "unlink", "rename", "fsync")
opened, real = {}, {name: getattr(os, name) for name in NAMES}


def open_file(path, flags, mode=0o777, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    handle = real["open"](path, flags, mode, **options)
    opened[handle] = (os.path.realpath(path), flags)
    return handle


def close(handle):
    opened.pop(handle, None)
    real["close"](handle)


def fdopen(handle, *options):
    opened.pop(handle, None)  # its file closes it, by no function of this module
    return real["fdopen"](handle, *options)


def unlink(path, **options):
    if os.path.realpath(path) in [held for held, _ in opened.values()]:
        raise PermissionError(13, "in use", str(path))
    real["unlink"](path, **options)


def rename(old, new, **options):
    if any(held.startswith(os.path.realpath(old) + os.sep) for held, _ in opened.values()):
        raise PermissionError(13, "in use", str(old))
    real["rename"](old, new, **options)


def fsync(handle):
    if handle in opened and not opened[handle][1] & os.O_RDWR:
        raise OSError(9, "Bad file descriptor")
    real["fsync"](handle)


shutil._use_fd_functions = False
os.open, os.close, os.fdopen, os.unlink, os.rename, os.fsync = open_file, close, fdopen, unlink, rename, fsync
import skeltools.files.durable as durable

durable._WINDOWS = True
'''


def emulated(folder: Path, code: str, *, without: str = "()") -> subprocess.CompletedProcess[str]:
    text = EMULATED.replace("*WITHOUT", f"*{without}") + code
    script = folder / "emulated.py"
    script.write_text(text, encoding="utf-8")
    command = [sys.executable, str(script)]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


RUN = """
from skeltools.cli import run

def check(*words):
    code = run(list(words))
    assert code == 0, (words, code)

from skeltools.demo import write_demo
write_demo("raw", subjects=1, actions=[24], cameras=1)
check("convert", "ntu60", "--raw", "raw", "--out", "s.zarr", "--frames", "6")
check("convert", "ntu60", "--raw", "raw", "--out", "s.zarr", "--frames", "7", "--force")
check("streams", "s.zarr", "--bone")
check("inspect", "s.zarr")
check("validate", "s.zarr")
import os
assert sorted(os.listdir(".")) == ["emulated.py", "raw", "s.zarr"], os.listdir(".")
import trainer.cli, trainer.loop.profile, trainer.memory
assert trainer.loop.profile._of_process() == {}
assert trainer.memory.host_limit() > 0
"""


@pytest.mark.parametrize("without", ["()", "('msvcrt',)"])
def test_from_demo_to_inspect_without_fcntl(tmp_path: Path, without: str) -> None:
    done = emulated(tmp_path, RUN, without=without)
    assert done.returncode == 0, done.stderr[-3000:]


HOLD = """
import sys
from pathlib import Path
from schemas import StoreError
from schemas.locks import locked

with locked(Path("work/lock"), what=Path("s.zarr")):
    if len(sys.argv) > 1:
        sys.exit(0)
    other = subprocess.run([sys.executable, "other.py"], capture_output=True, text=True)
    assert f"is being written by another process (process id {os.getpid()})" in other.stderr, other.stderr
assert not os.path.exists("work"), os.listdir("work")
with locked(Path("work/lock"), what=Path("s.zarr")):
    pass
"""


def test_windows_locks_keep_two_writers_apart(tmp_path: Path) -> None:
    other = HOLD.split("if len(sys.argv)")[0] + "pass\n"
    (tmp_path / "other.py").write_text(EMULATED.replace("*WITHOUT", "*()") + other, encoding="utf-8")
    done = emulated(tmp_path, HOLD)
    assert done.returncode == 0, done.stderr[-3000:]


def test_without_any_lock_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_TRY", locks._try_nothing)
    with locks.locked(tmp_path / "lock", what=tmp_path), locks.locked(tmp_path / "lock", what=tmp_path):
        pass


def test_a_lock_that_is_held_names_who_holds_it(tmp_path: Path) -> None:
    with locks.locked(tmp_path / "w" / "lock", what=tmp_path / "s"):
        message = f"is being written by another process .process id {os.getpid()}."
        with (
            pytest.raises(StoreError, match=message),
            locks.locked(tmp_path / "w" / "lock", what=tmp_path / "s"),
        ):
            pass
    assert not (tmp_path / "w" / "lock").exists()


def test_a_system_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    assert memory._of_system() == memory._ASSUMED


def test_folders_are_left_alone_where_they_cannot_be_opened(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(durable, "_WINDOWS", True)
    (tmp_path / "a").write_bytes(b"a")
    durable.sync_tree(tmp_path)
