"""The result of an evaluation, with everything needed to know what was evaluated."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas._model import Model


class EvaluationResult(Model):
    """Accuracies are fractions in 0..1. The result is ``top1``; ``best_top1`` is only shown beside it.

    Fields with a default were not in the files of every version.
    """

    protocol: str
    """The evaluation protocol: knn, linear, ..., or ensemble."""
    name: str = ""
    """Name of the figure if a protocol has several, e.g. ``semi-5``; empty for the protocol's name."""
    settings: dict[str, Any]
    dataset: str
    synthetic: bool
    store: str
    store_hash: str
    recipe: str = ""
    """Recipe of the store's preprocessing."""
    frames: int | None = Field(default=None, ge=1)
    split: str
    convention: str
    """Skeleton convention, or several joined by ``+`` if their scores were joined."""
    stream: str
    """joint, bone or motion, or several joined by ``+`` if their scores or features were joined."""
    encoder: str = ""
    """Which of the method's encoders: a stream or a representation, or several joined by ``+``.

    Empty in files of versions that knew only methods with one encoder.
    """
    method: str
    checkpoint: str
    checkpoint_hash: str
    preset: str = ""
    """Preset that the run's settings started from, e.g. ``ms-clr/paper``."""
    epoch: int = Field(ge=0)
    """Epoch of the checkpoint."""
    epochs: int | None = Field(default=None, ge=1)
    """Epochs planned for the run; more than ``epoch`` if it was evaluated unfinished."""
    train_samples: int = Field(ge=0)
    test_samples: int = Field(ge=0)
    top1: float = Field(ge=0, le=1)
    """Top-1 accuracy; the mean if there are several draws.

    What follows from ``scores`` alone is that of the first draw: ``top5``, ``macro``, ``per_class``,
    ``confusion``.
    """
    interval: tuple[float, float] | None = None
    """95 % bootstrap interval of ``top1`` over the test samples."""
    draws: tuple[float, ...] = ()
    """Top-1 of each random draw, for protocols that draw."""
    std: float | None = Field(default=None, ge=0)
    """Sample standard deviation of ``draws``."""
    top5: float | None = Field(default=None, ge=0, le=1)
    macro: float | None = Field(default=None, ge=0, le=1)
    """Mean of ``per_class``: every tested class has the same weight."""
    per_class: dict[str, float] = {}
    """Class -> accuracy; classes without a test sample are left out, which a note mentions."""
    classes: tuple[str, ...] = ()
    """All classes of the store, in the order of ``confusion`` and of the scores."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Test samples by true class (row) and predicted class (column)."""
    scores: str | None = None
    """Name of the file with the scores of every test sample, in the same folder."""
    classifier: str | None = None
    """Name of the file with the learned classifier, in the same folder."""
    scores_kind: Literal["logits", "probabilities", "votes"] | None = None
    best_top1: float | None = Field(default=None, ge=0, le=1)
    """Accuracy at the best test epoch of the probe: optimistic, never the result."""
    random_knn: float | None = Field(default=None, ge=0, le=1)
    """kNN accuracy of the same encoder with random weights: what the features are worth without training."""
    details: dict[str, Any] = {}
    """Other output of the protocol: loss curves, drawn ids, members of an ensemble, ..."""
    notes: tuple[str, ...] = ()
    """What a reader must know about the figure, in words."""
    seconds: float = Field(ge=0)
    tool: str

    @property
    def figure(self) -> str:
        """Name of the figure in tables and file names."""
        return self.name or self.protocol
