"""Write benchmark results together with the machine and the commit they come from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "torch", "zarr")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def write(name: str, result: dict[str, Any]) -> Path:
    """Write ``results/<name>.json`` with the result, the machine and the commit."""
    path = RESULTS / f"{name}.json"
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps({**result, "machine": machine(), "commit": commit()}, indent=2) + "\n")
    return path


def machine() -> dict[str, Any]:
    libraries = {name: version(name) for name in LIBRARIES}
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        **libraries,
    }


def processor() -> str:
    """Name of the processor and its relevant instruction sets, from Linux; ``unknown`` elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = [flag for flag in INSTRUCTIONS if flag in fields.get("flags", "").split()]
    return ", ".join([fields.get("model name", "unknown"), *flags])


def commit() -> str:
    """The commit of the working tree, with ``-dirty`` if it has changes; ``unknown`` outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
