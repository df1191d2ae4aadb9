"""Metrics of embeddings and mined neighbours for the log, and alarms about a set-up that cannot learn.

Nothing here waits for the device during a step: metrics remain tensors until the log settles them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from trainer.methods import Method

COLLAPSED = 0.05
"""``feature_std`` below which all embeddings count as equal: a mean pairwise cosine above 0.9975."""

SAME_LABEL, ITSELF = "mined_same_label", "mined_itself"


def of_step(method: Method, metrics: Mapping[str, Tensor], rows: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """A step's metrics as scalars on their device, with ``feature_std`` and ``mined_*`` added.

    ``rows`` [N] are the batch's rows in the training half, ``labels`` the labels of all rows of that half;
    labels are used for monitoring only, after the loss.
    """
    scalars = {name: value.detach() for name, value in metrics.items() if name != "mined_rows"}
    spread = method.spread()
    if spread is not None:
        scalars["feature_std"] = spread
    if "mined_rows" in metrics:
        mined = metrics["mined_rows"]
        scalars[SAME_LABEL] = same_label(mined, rows, labels)
        scalars[ITSELF] = (mined == rows[:, None]).sum() / (mined >= 0).sum()
    return scalars


def same_label(mined: Tensor, rows: Tensor, labels: Tensor) -> Tensor:
    """Scalar: share of the mined neighbours [N, k] (-1: unknown) that have the label of their query's row.

    Older keys of the query's own clip and samples without a label (negative) are not counted. nan if no
    neighbour is left.
    """
    own, other = labels[rows][:, None], labels[mined.clamp_min(0)]
    known = (mined >= 0) & (mined != rows[:, None]) & (own >= 0) & (other >= 0)
    return ((own == other) & known).sum() / known.sum()


def alarms(method: Method, record: Mapping[str, float]) -> dict[str, str]:
    """Kind -> text of every alarm that an epoch's mean metrics raise."""
    texts = {}
    deviation = record.get("feature_std", math.nan)
    if deviation < COLLAPSED:
        texts["collapse"] = (
            f"the embeddings of different clips are nearly the same: feature_std {deviation:.3f} over the "
            f"epoch, expected near 1, alarm below {COLLAPSED}"
        )
    return {kind: f"{text}. {_REMEDY}" for kind, text in (texts | method.alarms(record)).items()}


_REMEDY = (
    "Common causes: a key network unrelated to the query network (query_key_distance above 1; "
    "method.options.key_init must be copy, method.options.momentum below 1), optimise.lr too high or zero, "
    "method.options.temperature too high, a queue far longer than an epoch or other settings made for more "
    "clips (--preset small), augmentations that leave nothing of a clip, clips of zeros only "
    "(`skeltools validate`). A run may leave this state in its first epochs; watch positive, negative and "
    "feature_std in metrics.jsonl."
)
