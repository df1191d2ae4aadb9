"""The output of ``--version``, without importing anything heavy."""

from __future__ import annotations

import platform
from collections.abc import Sequence


def text(program: str, own: str, packages: Sequence[str]) -> str:
    """``trainer 0.1.0``, and a line with the versions that a fault report needs."""
    from schemas import FORMAT

    others = ", ".join(f"{name} {_version(name)}" for name in packages)
    return f"{program} {own}\nstore format {FORMAT}, Python {platform.python_version()}, {others}"


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
