"""VICReg, Barlow Twins and SIGReg against loops over their formulas, and what they are for."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from schemas import Component, OptimiseConfig
from tests.trainer import tiny
from tests.trainer.clips import augment, batch, generator
from tests.trainer.tiny import Case
from trainer import optim
from trainer.methods import decorrelate
from trainer.methods.decorrelate import DecorrelateOptions

OBJECTIVES = ("vicreg", "barlow", "sigreg")


def views(n: int = 7, d: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    drawn = torch.randn(2, n, d, generator=generator(seed), dtype=torch.float64) + 0.3
    return drawn[0], drawn[1]


def variance(column: list[float], *, below: int) -> float:
    mean = sum(column) / len(column)
    return sum((value - mean) ** 2 for value in column) / (len(column) - below)


def test_vicreg_is_its_formula() -> None:
    one, other = views()
    n, d = one.shape
    hinge, spread = 0.0, 0.0
    for z in (one, other):
        columns = z.t().tolist()
        hinge += sum(max(0, 1 - math.sqrt(variance(c, below=1) + 1e-4)) for c in columns) / d / 2
        means = [sum(c) / n for c in columns]
        for i in range(d):
            for j in range(d):
                if i != j:
                    cov = sum((columns[i][k] - means[i]) * (columns[j][k] - means[j]) for k in range(n))
                    spread += (cov / (n - 1)) ** 2 / d
    near = sum((a - b) ** 2 for a, b in zip(one.flatten(), other.flatten(), strict=True)) / (n * d)
    options = DecorrelateOptions(invariance=3.0, variance=5.0, covariance=7.0)
    found = decorrelate.vicreg(one, other, options, None)
    assert found["loss"].item() == pytest.approx(3 * float(near) + 5 * hinge + 7 * spread, rel=1e-12)


def test_barlow_twins_is_its_formula() -> None:
    one, other = views()
    n, d = one.shape
    normal = []
    for z in (one, other):
        columns = z.t().tolist()
        normal.append(
            [[(v - sum(c) / n) / math.sqrt(variance(c, below=0) + 1e-5) for v in c] for c in columns]
        )
    on, off = 0.0, 0.0
    for i in range(d):
        for j in range(d):
            c = sum(normal[0][i][k] * normal[1][j][k] for k in range(n)) / n
            on, off = (on + (1 - c) ** 2, off) if i == j else (on, off + c**2)
    found = decorrelate.barlow(one, other, DecorrelateOptions(off_diagonal=0.02), None)
    assert found["loss"].item() == pytest.approx(on + 0.02 * off, rel=1e-12)


def test_the_distance_from_a_gaussian_is_its_integral() -> None:
    z, _ = views(n=5, d=3)
    direction = torch.nn.functional.normalize(torch.tensor([[1.0], [2.0], [-1.0]]).double(), dim=0)
    points = (z @ direction).flatten().tolist()
    ts = [-3 + 6 * k / 32 for k in range(33)]
    heights = []
    for t in ts:
        phi = sum(complex(math.cos(t * x), math.sin(t * x)) for x in points) / len(points)
        heights.append(abs(phi - math.exp(-(t**2) / 2)) ** 2 * math.exp(-(t**2) / 2))
    integral = sum((a + b) / 2 * (6 / 32) for a, b in pairwise(heights))
    assert decorrelate.gaussian(z, direction).item() == pytest.approx(5 * integral, rel=1e-12)


def test_a_gaussian_is_near_itself_and_a_point_is_far() -> None:
    z = torch.randn(512, 8, generator=generator(1))
    directions = torch.nn.functional.normalize(torch.randn(8, 64, generator=generator(2)), dim=0)
    near, wide, point = (float(decorrelate.gaussian(x, directions)) for x in (z, 3 * z, 0 * z))
    assert near < 3
    assert wide > 20 * near
    assert point > 20 * near


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_equal_views_in_spread_dimensions_cost_less_than_others(objective: str) -> None:
    options = DecorrelateOptions(objective=objective)  # type: ignore[arg-type]
    z = torch.randn(256, 8, generator=generator(3))
    other = torch.randn(256, 8, generator=generator(4))

    def loss(one: Tensor, two: Tensor) -> float:
        return float(decorrelate.OBJECTIVES[objective](one, two, options, generator(0))["loss"])

    good = loss(z, z)
    assert good < loss(z, other)
    same = z[:, :1].expand(-1, 8)
    assert good < loss(same, same), "eight times the same dimension"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_training_keeps_embeddings_apart_and_brings_views_together(objective: str) -> None:
    options = {**tiny.METHOD_OPTIONS["decorrelate"], "objective": objective}
    case = Case(Component(name="decorrelate", options=options), tiny.encoder("stgcn"))
    method = case.build(with_augment=augment())
    given = [
        batch(case.skeletons, epoch=0, frames=12, seed=seed, samples=16, start=16 * (seed % 4))
        for seed in range(8)
    ]
    optimiser = optim.build(method.parameters(), OptimiseConfig(optimiser="adam", lr=3e-3))
    losses = []
    for _ in range(6):
        for each in given:
            out = method(each)
            optimiser.zero_grad()
            out["loss"].backward()
            optimiser.step()
            losses.append(float(out["loss"].detach()))
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    assert float(method.spread()) > 0.3


def test_adamw_takes_the_decay_apart_and_adam_adds_it_to_the_gradient() -> None:
    def stepped(name: str) -> float:
        layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(layer.weight, 2.0)
        config = OptimiseConfig(optimiser=name, lr=0.1, weight_decay=0.5)  # type: ignore[arg-type]
        (layer.weight * 0.0).sum().backward()
        optim.build(layer.parameters(), config).step()
        return float(layer.weight.detach())

    assert stepped("adamw") == pytest.approx(2 - 0.1 * 0.5 * 2)
    assert stepped("adam") == pytest.approx(2 - 0.1)
    assert stepped("sgd") == pytest.approx(2 - 0.1 * 0.5 * 2)


def test_nesterov_is_for_sgd() -> None:
    with pytest.raises(ValueError, match="optimiser sgd"):
        OptimiseConfig(optimiser="adam", nesterov=True)
