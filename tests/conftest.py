"""What every test has in common."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _files_that_need_not_survive_a_power_cut() -> Iterator[None]:
    """Nothing is forced to the disk: a store of six clips would wait for it a hundred times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield
