"""What the log says about embeddings and queues, and the alarms of a set-up that cannot learn.

Nothing here waits for the device during a step: metrics are tensors until the log settles them. It looks at
what a method happens to have (networks, queues), so methods need no code for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from trainer import momentum
from trainer.methods.moco import Network
from trainer.momentum import Queue

COLLAPSED = 0.05
"""``feature_std`` below which all embeddings are called the same: a mean pairwise cosine above 0.9975."""

AT_CHANCE = 0.01
"""Relative distance of ``info_nce`` from log(1 + K) within which nothing is told apart."""

SAME_LABEL, ITSELF = "mined_same_label", "mined_itself"


def of_step(
    method: nn.Module, metrics: Mapping[str, Tensor], rows: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """A step's metrics as scalars on their device, with ``feature_std`` and ``mined_*`` added.

    ``rows`` [N] are the batch's rows of the training half, ``labels`` the labels of all of its rows: for
    monitoring only, after the loss.
    """
    scalars = {name: value.detach() for name, value in metrics.items() if name != "mined_rows"}
    spreads = _spreads(getattr(method, "query_network", None)) or _spreads(
        getattr(method, "key_network", None)
    )
    if spreads:
        scalars["feature_std"] = torch.stack(spreads).min()
    if "mined_rows" in metrics:
        mined = metrics["mined_rows"]
        scalars[SAME_LABEL] = same_label(mined, rows, labels)
        scalars[ITSELF] = (mined == rows[:, None]).sum() / (mined >= 0).sum()
    return scalars


def same_label(mined: Tensor, rows: Tensor, labels: Tensor) -> Tensor:
    """Scalar: share of the mined neighbours [N, k] (-1: unknown) that have the label of their query's row.

    Older keys of the query's own clip do not count, nor do samples without a label (negative). nan when no
    neighbour is left.
    """
    own, other = labels[rows][:, None], labels[mined.clamp_min(0)]
    known = (mined >= 0) & (mined != rows[:, None]) & (own >= 0) & (other >= 0)
    return ((own == other) & known).sum() / known.sum()


def of_epoch(method: nn.Module, steps: int) -> dict[str, float]:
    """State after an epoch of ``steps`` steps: the key network's distance, age and filling of the queue."""
    found: dict[str, float] = {}
    query, key = getattr(method, "query_network", None), getattr(method, "key_network", None)
    if query is not None and key is not None:
        found["query_key_distance"] = float(momentum.parameter_distance(query, key))
    for queue in _queues(
        method
    ):  # all of a method's queues are filled in step: the first one speaks for them
        found["queue_age"] = float(queue.age()) / steps
        found["queue_random"] = float(queue.random_share())
        break
    return found


def alarms(method: nn.Module, record: Mapping[str, float]) -> dict[str, str]:
    """Kind -> text of every alarm that an epoch's mean metrics give."""
    found = {}
    deviation = record.get("feature_std", math.nan)
    if deviation < COLLAPSED:
        found["collapse"] = (
            f"the embeddings of different clips are nearly the same: feature_std {deviation:.3f} over the "
            f"epoch, expected near 1, alarm below {COLLAPSED}. {_REMEDY}"
        )
    for queue in _queues(method):
        chance = math.log(1 + len(queue.keys))
        loss = record.get("info_nce", math.nan)
        if abs(loss / chance - 1) < AT_CHANCE:
            found["chance"] = (
                f"queries do not find their own key: info_nce {loss:.3f} over the epoch is log(1 + queue) = "
                f"{chance:.3f}, that of guessing. {_REMEDY}"
            )
        break
    return found


_REMEDY = (
    "Common causes: a key network unrelated to the query network (query_key_distance above 1; "
    "method.options.key_init must be copy, method.options.momentum below 1), optimise.lr too high or zero, "
    "method.options.temperature too high, augmentations that leave nothing of a clip, clips of zeros only "
    "(`skeltools validate`). A run may leave this state in its first epochs; watch positive, negative and "
    "feature_std in metrics.jsonl."
)


def _spreads(networks: nn.Module | None) -> list[Tensor]:
    modules = networks.modules() if networks is not None else ()
    return [each.spread for each in modules if isinstance(each, Network) and each.spread is not None]


def _queues(method: nn.Module) -> Iterator[Queue]:
    return (each for each in method.modules() if isinstance(each, Queue))
