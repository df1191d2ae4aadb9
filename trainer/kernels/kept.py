"""What follows from weights alone, kept while they stay: an encoder that is used folds its BatchNorms once.

Of one clip folding takes as long as the layers. What is kept is what would be computed, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

_Value = TypeVar("_Value")
_KEPT: WeakKeyDictionary[nn.Module, dict[str, tuple[Any, list[Tensor], Any]]] = WeakKeyDictionary()
"""Module -> name -> state of the weights, the weights so that none takes the address of another, value."""


def cached(owner: nn.Module, name: str, weights: Sequence[Tensor], make: Callable[[], _Value]) -> _Value:
    """``make()``, or what it gave last for the same ``weights``, for an ``owner`` in evaluation.

    Made anew in training, where gradients are needed, and while something is traced or computed in another
    number format by autocast.
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
    """Whether ``kept`` keeps anything."""
    if owner.training or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    if torch.is_grad_enabled() and any(each.requires_grad for each in weights):
        return False
    if torch.is_autocast_enabled(weights[0].device.type):
        return False
    return not any(each.is_inference() for each in weights)
