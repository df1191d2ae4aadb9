"""How much memory clips may take: that of the machine or of its container, shared by the processes on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer import memory


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a container's limit, absent at first; no variables of a launcher."""
    file = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CONTROL_GROUPS", (str(file),))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return file


def test_half_of_the_smaller_of_machine_and_container(groups: Path) -> None:
    machine = memory.host_limit()
    assert machine > 10**8
    for text, expected in (("max\n", machine), ("1000\n", 500), (f"{10**18}\n", machine)):
        groups.write_text(text)
        assert memory.host_limit() == expected


def test_processes_of_one_machine_share_its_memory(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups.write_text("8000")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory.host_limit() == 1000


def test_a_gpu_gives_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (600, 1000))
    assert memory.device_limit(torch.device("cuda:0")) == 300
    assert memory.device_limit(torch.device("cpu")) is None
