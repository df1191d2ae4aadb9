"""Printing the breakdown of a profile."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from schemas.commands import echo, show

if TYPE_CHECKING:  # PyTorch takes a second to import; --help must not wait for it
    from trainer.loop.profile import Profile


def show_profile(profile: Profile, *, as_json: bool = False) -> None:
    """Print a step's parts, operations, memory and trace path to stdout. JSON is in seconds and bytes."""
    if as_json:
        echo(json.dumps(asdict(profile) | {"trace": str(profile.trace)}, indent=2))
        return
    milliseconds = 1000 * profile.seconds
    show(f"a step takes {milliseconds:.1f} ms, mean of {profile.steps} with the profiler on")
    parts = _table("part of a step", "ms", "share")
    for name, seconds in profile.parts.items():
        parts.add_row(name, f"{1000 * seconds:.1f}", f"{seconds / profile.seconds:.0%}")
    show(parts)
    operations = _table("operation, in itself", "ms", "share", "calls")
    for each in profile.operations:
        share = each.seconds / profile.seconds
        operations.add_row(each.name, f"{1000 * each.seconds:.1f}", f"{share:.0%}", f"{each.calls:.0f}")
    show(operations)
    for name, size in profile.memory.items():
        show(f"memory of {name}, highest so far: {size / 2**20:.0f} MiB")
    show(f"trace: {profile.trace} (open it in https://ui.perfetto.dev)")


def _table(name: str, *numbers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(name, min_width=30)
    for number in numbers:
        table.add_column(number, justify="right")
    return table
