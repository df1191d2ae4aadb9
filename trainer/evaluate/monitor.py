"""A look at the features while they are learned: a monitor, no result, for it sees the test half often."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from schemas import RunConfig
from trainer.evaluate import knn
from trainer.evaluate.features import Split, extract, stream_of
from trainer.metrics import accuracy
from trainer.store import Store

Monitor = Callable[[], dict[str, float]]


def knn_monitor(
    encoders: Mapping[str, nn.Module], store: Store, config: RunConfig, *, device: torch.device
) -> Monitor:
    """A function that returns ``monitor_knn`` (k = 20) and ``monitor_knn1`` of the encoder as it then is.

    Of several encoders it is the first. Features come from its stored stream of the run's first convention,
    without augmentation and projector. The two halves of the split are read only when ``runtime.knn_every``
    asks for it: once, or at every look where they are larger than ``data.memory_limit``. Where no figure can
    be had of them, for ``why_none``, the function returns nothing.
    """
    if not config.runtime.knn_every or why_none(store, config):
        return dict
    convention = config.data.conventions[0]
    name, encoder = next(iter(encoders.items()))
    stream = stream_of(name, config.data)
    halves = [_split(store, config).half(part, convention, stream) for part in ("train", "test")]

    def look() -> dict[str, float]:
        train, test = (extract(encoder, half, convention=convention, device=device) for half in halves)
        both = knn.evaluate(train, test, classes=store.manifest.classes, seed=0, options=knn.Options())
        return {f"monitor_{each.protocol}": accuracy(each.values, test.labels) for each in both}

    return look


def why_none(store: Store, config: RunConfig) -> str:
    """Why a run has no monitor though ``runtime.knn_every`` asks for it; empty where it has one."""
    if not config.runtime.knn_every:
        return ""
    return _split(store, config).unmeasurable(config.data.conventions[0])


def _split(store: Store, config: RunConfig) -> Split:
    assert config.data.split is not None  # resolved before a run starts
    return Split(store, config.data.split, config.data)
