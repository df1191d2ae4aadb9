"""Freed memory stays with the process: only where malloc can be told, and was not told by the user."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainer.kernels import malloc

FAULTS = """
import resource, sys, torch
from trainer.kernels import malloc
if sys.argv[1:] == ["keep"] and not malloc.keep_freed():
    sys.exit(3)
def some():
    return [torch.ones(10**6) for _ in range(20)]
some(), some(), some()
begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    some()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin)
"""
"""Page faults of twenty tensors of 4 MB, freed, five times over."""


def faults(*arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode == 3:
        pytest.skip("malloc is not glibc's")
    assert done.returncode == 0
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's malloc can be told")
def test_a_freed_tensor_is_the_memory_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in malloc._SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert faults("keep") < 100


@pytest.mark.parametrize("name", malloc._SETTINGS)
def test_what_the_user_asked_of_malloc_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not malloc.keep_freed()


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(malloc.sys, "platform", "darwin")
    assert not malloc.keep_freed()
