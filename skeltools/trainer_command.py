"""The ``trainer`` command: starts ``trainer.cli`` after checking that Python's ``trainer`` is ours.

Other distributions also have a package of that name. It would be imported before any code of ours, which is
why the check is here.
"""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

_OURS = Path(__file__).resolve().parents[1] / "trainer" / "__init__.py"


def main() -> None:
    problem = foreign()
    if problem:
        sys.exit(f"error: {problem}")
    import_module("trainer.cli").main()


def foreign(package: str = "trainer") -> str:
    """Describe in one line what is wrong with the ``trainer`` that Python would import; empty if it is ours.

    Ours lies beside skeltools and mentions it; another distribution in the same environment overwrites the
    file.
    """
    spec = find_spec(package)
    if spec is None:
        return "the package 'trainer' is not installed; install skeltools again"
    origin = Path(spec.origin).resolve() if spec.origin else None
    if origin == _OURS and "skeltools" in _OURS.read_text(encoding="utf-8"):
        return ""
    others = sorted({*metadata.packages_distributions().get(package, ())} - {"skeltools"})
    whose = f"of the distribution {', '.join(others)}" if others else "not that of skeltools"
    return (
        f"the package 'trainer' that Python finds at {origin} is {whose}; install skeltools again in an "
        "environment of its own"
    )
