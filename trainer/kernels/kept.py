"""A cache of values that depend only on weights: an encoder in use folds its BatchNorms only once.

For a single clip, folding takes as long as the layers. A cached value equals the computed one bit for bit
(tests/trainer/test_kernels_kept.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

_Value = TypeVar("_Value")
_KEPT: WeakKeyDictionary[nn.Module, dict[str, tuple[Any, list[Tensor], Any]]] = WeakKeyDictionary()
"""Module -> name -> (state of the weights, the weights, value); weights are held so addresses stay unique."""


def cached(owner: nn.Module, name: str, weights: Sequence[Tensor], make: Callable[[], _Value]) -> _Value:
    """``make()``, or its last result for the same ``weights`` while ``owner`` is in evaluation mode.

    The value is always recomputed in training, where gradients are needed, during tracing and under autocast.
    """
    if not may_keep(owner, weights):
        return make()
    state = [(each.data_ptr(), each._version, each.dtype) for each in weights]
    own = _KEPT.setdefault(owner, {})
    entry = own.get(name)
    if entry is None or entry[0] != state:
        entry = own[name] = state, [each.detach() for each in weights], make()
    value: _Value = entry[2]
    return value


def may_keep(owner: nn.Module, weights: Sequence[Tensor]) -> bool:
    """Whether ``cached`` may keep a value."""
    if owner.training or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    if torch.is_grad_enabled() and any(each.requires_grad for each in weights):
        return False
    if torch.is_autocast_enabled(weights[0].device.type):
        return False
    return not any(each.is_inference() for each in weights)
