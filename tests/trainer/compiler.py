"""Marks of tests that compile with ``torch.compile``."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest

_HEADERS = Path(sysconfig.get_path("include"), "Python.h")

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None or not _HEADERS.exists(),
    reason="torch.compile needs g++ and Python's headers on the CPU",
)
torchs_own = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
"""PyTorch's compiler imports what PyTorch calls deprecated."""
