"""The optimisers of the papers and the learning rate as a pure function of training time."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from schemas import OptimiseConfig


def build(parameters: Iterable[nn.Parameter], config: OptimiseConfig) -> torch.optim.Optimizer:
    """The optimiser of the settings over the parameters that learn; the key encoder's do not."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
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
    """The rate at ``time``, counted in epochs (2.5 is the middle of the third).

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
        group["lr"] = rate
