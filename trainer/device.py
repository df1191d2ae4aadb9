"""The device on which a run computes, and its numeric precision."""

from __future__ import annotations

from typing import Any

import torch

from schemas import UsageError


def choose(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` -> a device that exists; auto is CUDA, else the CPU.

    An Apple GPU is used only on request, since the project's claims have not been measured on one. Raises
    UsageError for any other name and for a GPU that this machine lacks.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if count else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"unknown device '{name}'", remedy="Known: auto, cpu, cuda, cuda:N, mps")
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "mps":
        return _apple(name)
    index = device.index or 0
    if index >= count:
        raise UsageError(
            f"device '{name}' was asked for, but PyTorch sees {count} CUDA devices here",
            remedy="Use --device cpu, or install a CUDA build of PyTorch",
        )
    return torch.device("cuda", index)


def _apple(name: str) -> torch.device:
    if not torch.backends.mps.is_available():
        raise UsageError(
            f"device '{name}' was asked for, but PyTorch sees no Apple GPU here",
            remedy="Use --device cpu, or PyTorch for macOS on a Mac with Apple silicon",
        )
    return torch.device("mps")


_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Instruction sets, under PyTorch's names, that multiply bf16 matrices."""


def computes_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware; PyTorch emulates it where it does not.

    An emulated step takes about ten times as long as one in fp32 (measured on a CPU with AVX2 alone). False
    on a CPU with PyTorch before 2.11, which does not report the CPU's capabilities.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return False  # not measured: auto stays fp32
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in _BF16_INSTRUCTIONS)


def multiplies_tiles() -> bool:
    """Whether the CPU has AMX, whose bf16 matrix units are many times as fast as its vector units."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", False))


def settled_precision(device: torch.device, precision: str) -> str:
    """``fp32`` or ``bf16``; ``auto`` is bf16 where the device computes it in hardware."""
    if precision != "auto":
        return precision
    return "bf16" if computes_bf16(device) else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which matrix products run in ``precision``; does nothing for fp32.

    Raises UsageError for ``auto``: a run's settings name the precision, so that a resumed run keeps it.
    """
    if precision == "auto":
        raise UsageError("the run's runtime.precision is not settled", remedy="Resolve the settings first")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def describe(device: torch.device) -> str:
    """``cpu (2 threads)`` or the GPU's name."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return "mps (Apple GPU)"
    return f"cpu ({torch.get_num_threads()} threads)"
