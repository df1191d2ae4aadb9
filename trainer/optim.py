"""The optimisers of the papers, and the learning rate as a pure function of training time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from schemas import OptimiseConfig
from trainer.methods import Method

SHARE = "share"
"""Key of a parameter group: the ratio of its learning rate to that of the settings."""


def of_method(method: Method, config: OptimiseConfig) -> torch.optim.Optimizer:
    """The configured optimiser over the trainable parameters of a method, each at its own rate."""
    rates = method.rates
    if not rates:
        return build(method.parameters(), config)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(rates.get(name, 1.0), []).append(parameter)
    return build([{"params": group, SHARE: share} for share, group in groups.items()], config)


def build(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], config: OptimiseConfig
) -> torch.optim.Optimizer:
    """The configured optimiser over the trainable parameters, which exclude the key encoder's.

    Parameter groups may have a ``SHARE``.
    """
    learning: Any = [each for each in parameters if isinstance(each, dict) or each.requires_grad]
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            learning,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.nesterov,
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimiser]
    betas = (config.momentum, config.beta2)
    return kind(learning, lr=config.lr, betas=betas, weight_decay=config.weight_decay)


def learning_rate(config: OptimiseConfig, time: float) -> float:
    """The learning rate at ``time``, counted in epochs (2.5 is the middle of the third).

    Warm-up is linear. ``step`` multiplies by gamma at each milestone; ``cosine`` falls from the end of the
    warm-up to zero at the last epoch.
    """
    if time < config.warmup_epochs:
        return config.lr * time / config.warmup_epochs
    if config.schedule == "step":
        return config.lr * config.gamma ** sum(time >= milestone for milestone in config.milestones)
    if config.schedule == "cosine":
        past = (time - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1e-12)
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(past, 1.0)))
    return config.lr


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(SHARE, 1.0)
