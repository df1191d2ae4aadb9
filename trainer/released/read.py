"""Read checkpoint files of published code as tensors and plain values, without running anything in them."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from schemas import CheckpointError, tensors
from trainer import checkpoint

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts store the weights, beside epoch and optimiser."""

_PARALLEL = "module."
"""Prefix that DataParallel adds to every name."""


@dataclass(frozen=True)
class Released:
    """The content of a released file."""

    weights: dict[str, Tensor]
    """Name without the prefix ``module.`` -> weight."""
    epoch: int | None
    """Completed epochs, if stated in the file."""
    beside: tuple[str, ...]
    """Names of its other content: optimiser, epoch, ..."""
    sha256: str


def read_released(path: Path) -> Released:
    """Read a file; raises CheckpointError if it is absent, not regular, damaged, or more than tensors."""
    if not path.is_file():
        kind = "something else: a folder, a pipe or a device" if path.exists() else "nothing"
        raise CheckpointError(
            f"expected a checkpoint file, found {kind}",
            where=path,
            remedy="Name the released .pt or .pth.tar",
        )
    content = _content(path)
    wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    given = content if wrapper is None else content[wrapper]
    weights = {str(name): _dense(name, value, path) for name, value in given.items()}
    if not weights:
        raise CheckpointError("the file holds no weights", where=path, remedy="Name another file")
    if all(name.startswith(_PARALLEL) for name in weights):
        weights = {name.removeprefix(_PARALLEL): value for name, value in weights.items()}
    epoch = None if wrapper is None else content.get("epoch")
    return Released(
        weights,
        epoch if isinstance(epoch, int) and epoch > 0 else None,
        () if wrapper is None else tuple(str(key) for key in content if key != wrapper),
        checkpoint.file_hash(path),
    )


def _content(path: Path) -> Mapping[Any, Any]:
    try:
        tensors.check(path)
        if zipfile.is_zipfile(path):  # files of PyTorch before 1.6 are not zip archives and have no checksums
            checkpoint.check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises errors of every kind on garbage
        called = re.search(r"GLOBAL ([\w.]+)", str(error))  # PyTorch's message advises to run it
        raise CheckpointError(
            "expected tensors and plain values in a file of torch.save, found "
            + (f"a call of {called[1]}; nothing was run" if called else "a damaged file or another kind"),
            where=path,
            remedy="Download it again; if it is whole, save the state dict alone with the code it is of",
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"expected a state dict, found {type(content).__name__}",
            where=path,
            remedy="Save model.state_dict()",
        )
    return content


def _dense(name: object, value: object, path: Path) -> Tensor:
    """The value in float32 or as integers, if it is a plain tensor of finite numbers stored in full.

    A tensor of repeated numbers may be larger than its storage; it is refused before anything is read.
    """
    plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    if not isinstance(value, Tensor) or not plain or value.is_quantized or value.is_complex():
        kind = f"{value.dtype}, {value.layout}" if isinstance(value, Tensor) else type(value).__name__
        raise CheckpointError(
            f"{few([str(name)])}: expected a dense tensor of real numbers, found {kind}",
            where=path,
            remedy=f"Save a state dict, by itself or under one of {', '.join(WRAPPERS)}",
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(
            f"{few([str(name)])}: expected {value.numel()} numbers, found fewer that are repeated",
            where=path,
            remedy="Save the state dict that training has written",
        )
    if value.is_floating_point() and value.dtype != torch.float32:
        value = value.float()
    if value.is_floating_point() and not math.isfinite(float(value.sum())) and not value.isfinite().all():
        raise CheckpointError(
            f"{few([str(name)])} has values that are not finite",
            where=path,
            remedy="Take an earlier checkpoint",
        )
    return value.detach()


def few(names: Sequence[str], most: int = 6) -> str:
    """The first names for a message, cut at 80 characters, and how many more there are."""
    shown = [name if len(name) <= 80 else f"{name[:77]}..." for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
