"""RankMe and LiDAR against the formulas of their papers, and in the log of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from schemas import ConfigError
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from trainer import loop, seeds
from trainer import store as stores
from trainer.augment import compile_chain
from trainer.evaluate import monitor, rank
from trainer.evaluate.features import picked
from trainer.evaluate.rank import lidar, rankme
from trainer.run import Run, open_run


def entropy(values: list[float], small: float = 1e-7) -> float:
    shares = [value / sum(values) + small for value in values]
    return math.exp(-sum(share * math.log(share) for share in shares))


def literal_lidar(views: np.ndarray, ridge: float = 1e-4) -> float:
    clips, number, width = views.shape
    centre = np.mean([clip.mean(axis=0) for clip in views], axis=0)
    between, within = np.zeros((width, width)), np.zeros((width, width))
    for clip in views:
        mean = clip.mean(axis=0)
        between += np.outer(mean - centre, mean - centre) / clips
        for view in clip:
            within += np.outer(view - mean, view - mean) / (clips * number)
    values, vectors = np.linalg.eigh(within + ridge * np.eye(width))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    return entropy(np.linalg.eigvalsh(root @ between @ root).clip(0).tolist())


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_rankme_is_exp_of_the_entropy_of_the_singular_values(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(0).standard_normal(shape) * 1.5 ** np.arange(shape[1])
    singular = np.linalg.svd(features, compute_uv=False).tolist()
    found = rankme(torch.tensor(features, dtype=torch.float32))
    assert found == pytest.approx(entropy(singular), rel=1e-4)


def test_rankme_counts_directions_that_are_used_alike() -> None:
    plain = torch.linalg.qr(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))[0]
    assert rankme(torch.nn.functional.pad(plain, (0, 9))) == pytest.approx(6, rel=1e-3)
    assert rankme(torch.ones(50, 6)) == pytest.approx(1, abs=1e-3)
    assert math.isnan(rankme(torch.zeros(5, 3)))
    assert math.isnan(rankme(torch.full((5, 3), math.inf)))


def test_rankme_looks_at_rows_that_are_spread_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.randn(31, 4)
    monkeypatch.setattr(rank, "MOST", 3)
    assert rankme(features) == rankme(features[[0, 10, 20]])


@pytest.mark.parametrize("shape", [(30, 4, 6), (5, 3, 12)])
def test_lidar_is_exp_of_the_entropy_of_the_discriminant_analysis(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    scales = 1.3 ** np.arange(shape[2])
    views = rng.standard_normal((shape[0], 1, shape[2])) * scales + 0.3 * rng.standard_normal(shape)
    assert lidar(torch.tensor(views)) == pytest.approx(literal_lidar(views), rel=1e-4)


def test_lidar_counts_what_tells_clips_apart_and_no_other_direction() -> None:
    """Two directions differ from clip to clip, four from view to view alone: RankMe sees six."""
    draw = torch.Generator().manual_seed(2)
    clips = torch.randn(300, 1, 2, generator=draw).expand(-1, 20, -1)
    noise = torch.randn(300, 20, 4, generator=draw)
    views = torch.cat([clips + 0.1 * torch.randn(300, 20, 2, generator=draw), noise], dim=2)
    assert rankme(views.flatten(0, 1)) == pytest.approx(6, rel=0.02)
    assert lidar(views) == pytest.approx(2, rel=0.1)
    assert math.isnan(lidar(torch.zeros(4, 2, 3)))
    assert math.isnan(lidar(torch.full((4, 2, 3), math.nan)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr")


def test_a_run_logs_both_of_its_encoder_as_it_then_is(store: Path, tmp_path: Path) -> None:
    config = tiny_config(store, runtime__knn_every=1, runtime__lidar_views=3, optimise__epochs=1)
    loop.pretrain(config, out=tmp_path / "run")
    run = open_run(tmp_path / "run", device="cpu")
    line = looked(run)
    encoder = run.method.encoders["joint"].eval()
    half = stores.load(
        stores.open_store(store), split="xview", part="train", conventions=["few_6"], frames=12
    )
    clips = half.clips["few_6"]
    with torch.no_grad():
        assert line["monitor_rankme"] == pytest.approx(rankme(encoder(clips, "few_6")), rel=1e-4)
        views = torch.stack([encoder(seen(run, clips, number), "few_6") for number in range(3)], dim=1)
    assert line["monitor_lidar"] == pytest.approx(lidar(views), rel=1e-3)
    assert 1 < line["monitor_lidar"] <= 8


def looked(run: Run) -> dict[str, Any]:
    return next(line for line in run.metrics if "monitor_rankme" in line)


def seen(run: Run, clips: Tensor, number: int) -> Tensor:
    config = run.config
    skeleton = stores.skeletons(stores.open_store(config.data.store), ["few_6"])["few_6"]
    draws = seeds.generator("cpu", config.runtime.seed, "lidar", number, 0)
    return compile_chain(config.augment.normal)(clips, skeleton, draws)


def test_without_labels_a_run_still_has_rankme(tmp_path: Path) -> None:
    bare = write_store(tmp_path / "s", labels=[-1] * 30, split=[1] * 30, manifest={"classes": ()})
    loop.pretrain(tiny_config(bare, runtime__knn_every=1, optimise__epochs=1), out=tmp_path / "run")
    line = looked(open_run(tmp_path / "run", device="cpu"))
    assert 1 <= line["monitor_rankme"] <= 8
    assert {"monitor_knn", "monitor_lidar"}.isdisjoint(line)


def test_lidar_has_some_clips_that_are_spread_over_the_half(store: Path) -> None:
    half = stores.load(
        stores.open_store(store), split="xview", part="train", conventions=["few_6"], frames=12
    )
    few = picked(half, "few_6", most=4)
    assert few.ids == tuple(half.ids[row] for row in (0, 5, 10, 15))
    assert torch.equal(few.clips["few_6"], half.clips["few_6"][[0, 5, 10, 15]])
    assert len(picked(half, "few_6", most=monitor.LIDAR_CLIPS)) == len(half)


@pytest.mark.parametrize("changes", [{"lidar_views": 1, "knn_every": 1}, {"lidar_views": 4}])
def test_views_without_a_use_are_refused(store: Path, changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"lidar_views must be 0, or 2 or more with knn_every above 0"):
        tiny_config(store, **{f"runtime__{name}": value for name, value in changes.items()})
