"""One optimiser step: forward and backward on the parts of a batch, averaged gradients, the update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from schemas import RunConfig
from trainer import batch as batches
from trainer import batch_norm, distributed, seeds
from trainer import device as devices
from trainer.batch import Batch
from trainer.methods import Method
from trainer.span import BACKWARD, FORWARD, OPTIMISER, span

MINED = "mined_rows"


def take(
    method: Method, optimiser: torch.optim.Optimizer, batch: Batch, *, config: RunConfig, step: int
) -> dict[str, Tensor]:
    """Take a step on ``batch``, the ``step``-th of its epoch; returns the method's metrics, detached.

    Every process works through its ``optimise.accumulate`` parts of the batch, one after another. Scalars are
    means over the parts of this process; mined rows are those of the whole batch.
    """
    mine, number = distributed.parts(config.optimise.accumulate)
    optimiser.zero_grad(set_to_none=True)
    per_part = []
    with method.one_step():
        for index in mine:
            part = batches.part(batch, index, of=number)
            _seed_dropout(config.runtime.seed, batch.epoch, step, index)
            with span(FORWARD), devices.autocast(part.rows.device, config.runtime.precision):
                metrics: dict[str, Tensor] = method(part)
            with span(BACKWARD):
                (metrics["loss"] / len(mine)).backward()
            per_part.append({name: value.detach() for name, value in metrics.items()})
    with span(OPTIMISER):
        distributed.average_(chain(_gradients(method), batch_norm.running_statistics(method)))
        optimiser.step()
    return _whole(per_part)


def _seed_dropout(seed: int, epoch: int, step: int, part: int) -> None:
    """Seed the global generator, from which dropout draws, by address: a resumed step draws the same."""
    address = ("dropout", part) if part else ("dropout",)
    torch.manual_seed(seeds.derive(seed, epoch, step, *address))


def _gradients(method: Method) -> Iterator[Tensor]:
    return (parameter.grad for parameter in method.parameters() if parameter.grad is not None)


def _whole(per_part: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    out = {
        name: torch.stack([each[name] for each in per_part]).mean() for name in per_part[0] if name != MINED
    }
    if MINED in per_part[0]:
        out[MINED] = distributed.gather(torch.cat([each[MINED] for each in per_part]))
    return out
