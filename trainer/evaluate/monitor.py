"""A look at the features while they are learned: a monitor, no result, for it sees the test half often."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from schemas import RunConfig
from trainer import store as stores
from trainer.evaluate import knn
from trainer.evaluate.features import extract, open_half, stream_of
from trainer.metrics import accuracy
from trainer.store import Store

Monitor = Callable[[], dict[str, float]]


def knn_monitor(
    encoders: Mapping[str, nn.Module], store: Store, config: RunConfig, *, device: torch.device
) -> Monitor:
    """A function that returns ``monitor_knn`` (k = 20) and ``monitor_knn1`` of the encoder as it then is.

    Of several encoders it is the first. Features come from its stored stream of the run's first convention,
    without augmentation and projector. The two halves of the split are read only when ``runtime.knn_every``
    asks for it: once, or at every look where they are larger than ``data.memory_limit``.
    """
    if not config.runtime.knn_every:
        return dict
    assert config.data.split is not None  # resolved before a run starts
    convention = config.data.conventions[0]
    name, encoder = next(iter(encoders.items()))
    halves = [
        open_half(
            stores.select(
                store,
                protocol=config.data.split,
                part=part,
                conventions=[convention],
                frames=config.data.frames,
                stream=stream_of(name, config.data),
            ),
            memory_limit=config.data.memory_limit,
        )
        for part in ("train", "test")
    ]
    classes = len(store.manifest.classes)

    def look() -> dict[str, float]:
        train, test = (extract(encoder, half, convention=convention, device=device) for half in halves)
        outcomes = knn.evaluate(train, test, classes=classes, seed=0, options=knn.Options())
        return {f"monitor_{outcome.protocol}": accuracy(outcome.scores, test.labels) for outcome in outcomes}

    return look
