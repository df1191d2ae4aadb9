"""Where a run computes, and in which number format."""

from __future__ import annotations

import torch

from schemas import UsageError


def choose(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N`` -> a device that exists; auto takes CUDA when there is one.

    Raises UsageError for another name and for a GPU that this machine lacks.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if found else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError(f"unknown device '{name}'", remedy="Known: auto, cpu, cuda, cuda:N")
    if device.type == "cpu":
        return torch.device("cpu")
    index = device.index or 0
    if index >= found:
        raise UsageError(
            f"device '{name}' was asked for, but PyTorch sees {found} CUDA devices here",
            remedy="Use --device cpu, or install a CUDA build of PyTorch",
        )
    return torch.device("cuda", index)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which matrix products run in ``precision``; does nothing for fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def describe(device: torch.device) -> str:
    """``cpu (2 threads)`` or the GPU's name."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
