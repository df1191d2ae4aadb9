"""What every test has in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skeltools.cli import run


@pytest.fixture(scope="session", autouse=True)
def _files_that_need_not_survive_a_power_cut() -> Iterator[None]:
    """Nothing is forced to the disk: a store of six clips would wait for it a hundred times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``raw``: the demo data of three people; ``store.zarr``: a store of them with all streams. Tests that
    change them copy them first."""
    folder = tmp_path_factory.mktemp("demo")
    for words in (
        ["demo", str(folder / "raw"), "--subjects", "3"],
        ["convert", "ntu60", "--raw", str(folder / "raw"), "--out", str(folder / "store.zarr")],
        ["streams", str(folder / "store.zarr"), "--bone", "--motion"],
    ):
        assert run(words) == 0
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that are listed in ``slow.txt`` wait for ``make slow``, beside those that are marked so."""
    listed = set((Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in listed:
            item.add_marker(pytest.mark.slow)
