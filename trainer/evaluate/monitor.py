"""Feature quality during pre-training: a monitor, not a result, because it sees the test half often."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from schemas import RunConfig
from trainer import memory, seeds
from trainer import store as stores
from trainer.augment import compile_chain
from trainer.data import Source
from trainer.evaluate import knn, rank
from trainer.evaluate.features import Features, Split, extract, picked, stream_of
from trainer.evaluate.halves import open_half, open_halves
from trainer.metrics import accuracy
from trainer.store import Store
from trainer.streams import derive

Monitor = Callable[[], dict[str, float]]

LIDAR_CLIPS = 1000
"""Number of clips whose views LiDAR compares, evenly spread over the training half; the same as in the LiDAR
paper."""


def feature_monitor(
    encoders: Mapping[str, nn.Module], store: Store, config: RunConfig, *, device: torch.device, held: int = 0
) -> Monitor:
    """Build a function that returns metrics of the encoder in its current state.

    It returns an empty dict unless ``runtime.knn_every`` requests monitoring. The metrics are ``monitor_knn``
    (k = 20) and ``monitor_knn1``, unless ``why_none`` names a reason; ``monitor_rankme`` of the training half
    and, with ``runtime.lidar_views``, ``monitor_lidar`` need no labels.

    Of several encoders, the first is monitored. Features come from its stored stream of the run's first
    convention, without augmentation or projector; those of LiDAR come from normal views. The halves are read
    once, or on every call if they are larger than what the ``held`` bytes of the training leave of
    ``data.memory_limit``.
    """
    if not config.runtime.knn_every:
        return dict
    convention = config.data.conventions[0]
    name, encoder = next(iter(encoders.items()))
    stream, split = stream_of(name, config.data), _split(store, config)
    limit = memory.given_limit(config.data.memory_limit) - held
    train, test = _halves(split, convention, stream, labelled=not why_none(store, config), limit=limit)
    views = _views(split, config, encoder, stream, device=device) if config.runtime.lidar_views else None

    def look() -> dict[str, float]:
        seen = extract(encoder, train, convention=convention, device=device)
        figures = {"monitor_rankme": rank.rankme(seen.values)}
        if test is not None:
            figures |= _neighbours(seen, extract(encoder, test, convention=convention, device=device), store)
        return figures if views is None else figures | {"monitor_lidar": rank.lidar(views())}

    return look


def why_none(store: Store, config: RunConfig) -> str:
    """Why a run has no kNN monitor although ``runtime.knn_every`` requests one; empty if it has one."""
    if not config.runtime.knn_every:
        return ""
    return _split(store, config).unmeasurable(config.data.conventions[0])


def _halves(
    split: Split, convention: str, stream: str, *, labelled: bool, limit: int
) -> tuple[Source, Source | None]:
    """Both halves, or without ``labelled`` only the training half, including its unlabelled samples."""
    train = split.select("train", convention, stream, labelled=labelled)
    if not labelled:
        return open_half(train, memory_limit=limit), None
    return open_halves(train, split.select("test", convention, stream), memory_limit=limit)


def _neighbours(train: Features, test: Features, store: Store) -> dict[str, float]:
    both = knn.evaluate(train, test, classes=store.manifest.classes, seed=0, options=knn.Options())
    return {f"monitor_{each.protocol}": accuracy(each.values, test.labels) for each in both}


def _views(
    split: Split, config: RunConfig, encoder: nn.Module, stream: str, *, device: torch.device
) -> Callable[[], Tensor]:
    """A function that returns features [N, Q, D] of Q normal views of N clips, identical on every call."""
    convention = config.data.conventions[0]
    chain = compile_chain(config.augment.normal, where="augment.normal")
    skeleton = stores.skeletons(split.store, [convention])[convention]
    clips = picked(split.trained_on(convention, "joint"), convention, most=LIDAR_CLIPS)

    def encoded(number: int) -> Tensor:
        def view(chunk: Tensor, place: int) -> Tensor:
            generator = seeds.generator(device, config.runtime.seed, "lidar", number, place)
            return derive(chain(chunk, skeleton, generator), stream, skeleton.spec)

        return extract(encoder, clips, convention=convention, device=device, view=view).values

    return lambda: torch.stack([encoded(number) for number in range(config.runtime.lidar_views)], dim=1)


def _split(store: Store, config: RunConfig) -> Split:
    assert config.data.split is not None  # resolved before a run starts
    return Split(store, config.data.split, config.data)
