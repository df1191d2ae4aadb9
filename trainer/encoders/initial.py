"""Initial weights of a network, drawn from an explicit generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

STANDARD_DEVIATION = 0.02
"""CrosSCLR's and AimCLR's released initialisation."""


def initialise(network: nn.Module, init: str, *, released: Callable[[nn.Module], None] | None = None) -> None:
    """Initialise the weights of a network in place.

    ``default``: PyTorch's weights are kept. ``normal``: N(0, 0.02), BatchNorm scales N(1, 0.02), biases 0.
    ``xavier``: U(-a, a) with a = sqrt(6 / (fan-in + fan-out)), biases 0; BatchNorm is not changed.
    ``released``: ``released`` is applied to every module.
    """
    if init == "released" and released is not None:
        network.apply(released)
    if init in ("default", "released"):
        return
    for module in network.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            if init == "xavier":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, STANDARD_DEVIATION)
        elif init == "normal" and isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, 1.0, STANDARD_DEVIATION)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@contextmanager
def draws_from(generator: torch.Generator | None) -> Iterator[None]:
    """A context in which the global state from which PyTorch draws weights is seeded by ``generator``.

    The state is restored on exit. None changes nothing.
    """
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
