"""Which device a name stands for."""

from __future__ import annotations

import pytest
import torch

from schemas import UsageError
from trainer import device as devices
from trainer import distributed


def test_an_apple_gpu_is_used_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    apple = devices.choose("mps")
    assert apple == torch.device("mps")
    assert devices.choose("auto") == torch.device("cpu")
    assert devices.describe(apple) == "mps (Apple GPU)"
    assert devices.settled_precision(apple, "auto") == "fp32"


def test_an_apple_gpu_that_is_not_there_is_an_error_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"no Apple GPU here\. Use --device cpu"):
        devices.choose("mps")
    with pytest.raises(UsageError, match="Known: auto, cpu, cuda, cuda:N, mps"):
        devices.choose("metal")


def test_processes_do_not_share_an_apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with pytest.raises(UsageError, match="2 processes cannot share device 'mps'"):
        distributed.local_device("mps")
    assert distributed.local_device("cpu") == "cpu"
