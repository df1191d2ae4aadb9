"""What an evaluation found, with everything needed to know what it was an evaluation of."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from schemas._model import Model


class EvaluationResult(Model):
    """Accuracies are fractions in 0..1. The result is ``top1``; ``best_top1`` is only shown beside it."""

    protocol: str
    """The evaluation protocol: knn, linear, ..."""
    settings: dict[str, Any]
    dataset: str
    synthetic: bool
    store: str
    store_hash: str
    split: str
    convention: str
    stream: str
    """joint, bone or motion, or several joined by ``+`` when their scores or features were."""
    encoder: str = ""
    """Which of the method's encoders: a stream or a representation, or several joined by ``+``. Empty in
    files of versions that knew methods of one encoder only."""
    method: str
    checkpoint: str
    checkpoint_hash: str
    epoch: int = Field(ge=0)
    train_samples: int = Field(ge=0)
    test_samples: int = Field(ge=0)
    top1: float = Field(ge=0, le=1)
    top5: float | None = Field(default=None, ge=0, le=1)
    per_class: dict[str, float] = {}
    best_top1: float | None = Field(default=None, ge=0, le=1)
    """Best test epoch of the probe: optimistic, never the result."""
    random_knn: float | None = Field(default=None, ge=0, le=1)
    """kNN accuracy of the same encoder with random weights: what the features are worth without training."""
    seconds: float = Field(ge=0)
    tool: str
