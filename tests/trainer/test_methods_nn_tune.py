"""Tuning by nearest neighbours: the loss is its formula, what is said to stand still does, rates fall."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas import CheckpointError, Component, OptimiseConfig, UsageError
from tests.trainer import ranks, tiny
from tests.trainer.clips import batch, skeleton, train
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from tests.trainer.tiny import Case
from trainer import checkpoint, config, loop, optim, start
from trainer import store as stores
from trainer.checkpoint import LAST
from trainer.config import Override
from trainer.encoders import ENCODERS
from trainer.loop import step

KINECT = skeleton("kinectv2_25")
MORE: dict[str, dict[str, Any]] = {
    "vit": {"layers": 3},
    "stgcn": {"channels": [4, 4, 8], "dropout": 0.5},
    "agcn": {"channels": [4, 4, 8]},
    "ctrgcn": {"channels": [4, 4, 8]},
    "bigru": {"layers": 3},
    "hcn": {"dropout": 0.5},
}
"""Encoders of three steps, ``vit`` of four."""


def case(encoder: str = "vit", **options: Any) -> Case:
    more = {**tiny.ENCODER_OPTIONS[encoder], **MORE[encoder]}
    method = {**tiny.METHOD_OPTIONS["nn-tune"], **options}
    return Case(Component(name="nn-tune", options=method), Component(name=encoder, options=more))


def given(**more: Any) -> Any:
    return batch({"kinectv2_25": KINECT}, **{"frames": 12, "bodies": 2, **more})


def numbers_of(rates: dict[str, float]) -> list[float]:
    return sorted(set(rates.values()))


# --- the loss


@pytest.mark.parametrize("own_rows", ["keep", "mask"])
def test_the_loss_is_its_formula(own_rows: str) -> None:
    method = case("stgcn", own_rows=own_rows, temperature=0.5).build()
    train(method, [given(seed=seed) for seed in range(2)])
    method.eval()
    found = method(given(seed=5))
    with torch.no_grad():
        again = given(seed=5)
        z, p = zip(*(method._embedded(again, "kinectv2_25") for _ in range(2)), strict=True)
        total, mined = 0.0, []
        for one, other in ((0, 1), (1, 0)):
            for n in range(8):
                allowed = [k for k in range(24) if own_rows == "keep" or int(method.queue.rows[k]) != n]
                best = max(allowed, key=lambda k: float(z[one][n] @ method.queue.keys[k]))
                scores = [math.exp(float(method.queue.keys[best] @ p[other][k]) / 0.5) for k in range(8)]
                total -= math.log(scores[n] / sum(scores)) / 8 / 2
                mined += [int(method.queue.rows[best])] * (one == 0)
    assert found["loss"].item() == pytest.approx(total, rel=1e-4)
    assert found["mined_rows"].flatten().tolist() == mined
    if own_rows == "mask":
        assert all(row != n for n, row in enumerate(mined))


def test_the_queue_gets_the_first_views_once_a_step() -> None:
    method = case().build()
    tried = case()
    for accumulate in (1, 2):
        method = tried.build()
        ranks.stepped(method, tried, ranks.settings(tried, accumulate=accumulate))
        assert method.queue.steps.max() == ranks.STEPS
        assert method.queue.pointer == ranks.STEPS * ranks.CLIPS % 24
        assert method.step is None
        torch.testing.assert_close(method.queue.keys.norm(dim=1), torch.ones(24))
    method.eval()
    z, _ = method._embedded(given(seed=3), "kinectv2_25")
    method.train()
    method.queue.enqueue(z.detach(), torch.arange(8))
    torch.testing.assert_close(
        method.queue.keys[(method.queue.pointer - 8 + torch.arange(8)) % 24], z.detach()
    )


def test_training_brings_predictions_to_neighbours() -> None:
    method = case("stgcn", tuned=3).build()
    optimiser = optim.of_method(method, OptimiseConfig(optimiser="adam", lr=3e-3))
    losses = []
    for number in range(40):
        loss = method(given(seed=number % 4))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    assert method.spread() > 0.3


# --- what learns, and how fast


@pytest.mark.parametrize("encoder", ENCODERS)
def test_rates_fall_from_the_last_step_and_the_others_stand_still(encoder: str) -> None:
    method = case(encoder, tuned=2, decay=0.5).build()
    last = {
        "vit": ("norm.", "layers.2."),
        "hcn": ("sixth.", "fifth."),
        "bigru": ("rest.weight_ih_l1", "rest.weight_ih_l0"),
    }.get(encoder, ("blocks.2.", "blocks.1."))
    assert numbers_of(method.rates) == [0, 0.5, 1]
    for prefix, rate in zip(last, (1, 0.5), strict=True):
        inside = {name: found for name, found in method.rates.items() if f"encoder.{prefix}" in name}
        assert inside
        assert set(inside.values()) == {rate}
    every = case(encoder, tuned=len(method.network.encoder.steps), decay=0.5).build()
    assert len(numbers_of(every.rates)) >= 3
    assert set(case(encoder, tuned=0).build().rates.values()) == {0.0}


def test_half_of_a_transformer_is_half_of_its_layers_and_the_norm() -> None:
    """STARS: of MAMP's eight layers the last four, at 0.65, 0.65^2, ...; the norm at the whole rate."""
    options = {**tiny.ENCODER_OPTIONS["vit"], "layers": 8}
    method = Case(case().method, Component(name="vit", options=options)).build()
    rates = {name.removeprefix("network.encoder."): rate for name, rate in method.rates.items()}
    of_layers = [rates[f"layers.{place}.joined.weight"] for place in range(8)]
    assert of_layers == pytest.approx([0, 0, 0, 0, 0.65**4, 0.65**3, 0.65**2, 0.65])
    assert rates["norm.weight"] == 1
    assert rates["times"] == rates["patches.weight"] == 0


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_training_step_moves_what_learns_and_nothing_else(encoder: str) -> None:
    """Not even running statistics; and what stands still gives the same features twice, without dropout."""
    tried = case(encoder, tuned=1)
    method = tried.build()
    before = copy.deepcopy(method.network.encoder.state_dict())
    settings = ranks.settings(tried)
    optimiser = optim.of_method(method, settings.optimise)
    for number in range(2):
        step.take(method, optimiser, given(seed=number), config=settings, step=number)
    after = method.network.encoder.state_dict()
    (last,) = method.learning
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(method._rate(name) == 1 for name in moved), moved
    for name, module in method.network.encoder.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.Dropout | nn.Dropout2d):
            assert module.training == (method._rate(f"{name}.weight") > 0)
    assert method.network.encoder.training
    assert last


def test_the_schedule_goes_to_every_group_at_its_share() -> None:
    method = case("stgcn", tuned=2, decay=0.5).build()
    optimiser = optim.of_method(method, OptimiseConfig(lr=0.1))
    optim.set_learning_rate(optimiser, 0.04)
    found = {group["share"]: group["lr"] for group in optimiser.param_groups}
    assert found == {1.0: 0.04, 0.5: 0.02}
    held = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert held == {id(p) for p in method.parameters() if p.requires_grad}
    plain = tiny.one_case_each()["skeletonclr"].build()
    (group,) = optim.of_method(plain, OptimiseConfig()).param_groups
    assert "share" not in group


def test_a_step_is_as_long_as_its_share() -> None:
    """AdamW's first step is the rate, whatever the gradient is."""
    tried = case("vit", tuned=3, decay=0.5)
    method = tried.build()
    before = copy.deepcopy(method)
    optimiser = optim.of_method(method, OptimiseConfig(optimiser="adamw", lr=1.0, weight_decay=0.0))
    optim.set_learning_rate(optimiser, 1e-3)
    method(given())["loss"].backward()
    optimiser.step()

    def longest(name: str) -> float:
        weights: list[Tensor] = [
            dict(each.network.encoder.named_parameters())[name] for each in (before, method)
        ]
        return float((weights[1] - weights[0]).detach().abs().max())

    assert longest("norm.weight") == pytest.approx(1e-3, rel=0.01)
    assert longest("layers.2.joined.weight") == pytest.approx(5e-4, rel=0.01)
    assert longest("layers.1.joined.weight") == pytest.approx(25e-5, rel=0.01)
    assert longest("layers.0.joined.weight") == 0


def test_more_steps_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match=r"method\.options\.tuned: 5 steps .* that has 4.*Choose 0 to 4"):
        case(tuned=5).build()


# --- the whole way


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr")


def test_a_run_of_masked_is_tuned_and_its_first_steps_are_kept(store: Path, tmp_path: Path) -> None:
    wide = {"encoder__options__layers": 2, "optimise__epochs": 1}
    loop.pretrain(tiny_config(store, method="masked", **wide), out=tmp_path / "first")
    settings = tiny_config(store, method="nn-tune", **wide)
    with pytest.raises(
        CheckpointError, match=r"missing: joint\.projector\..*--init-skip '\*\.projector\.\*'"
    ):
        loop.build(settings.model_copy(update={"init_from": start.describe(tmp_path / "first")}))
    init = start.describe(tmp_path / "first", skip=("*.projector.*",))
    told: list[str] = []
    tuned = settings.model_copy(update={"init_from": init})
    loop.pretrain(tuned, out=tmp_path / "tuned", on_progress=lambda state: told.extend(state.warnings))
    assert not any("random weights" in text for text in told)
    models = [checkpoint.load(tmp_path / name / LAST).model for name in ("first", "tuned")]
    for name, value in models[0].items():
        if name.startswith("network.encoder."):
            still = not name.startswith(("network.encoder.layers.1.", "network.encoder.norm."))
            assert torch.equal(value, models[1][name]) == still, name


def test_without_weights_to_start_from_a_run_is_told(store: Path, tmp_path: Path) -> None:
    told: list[str] = []
    settings = tiny_config(store, method="nn-tune", optimise__epochs=1)
    loop.pretrain(settings, out=tmp_path / "run", on_progress=lambda state: told.extend(state.warnings))
    assert any("nn-tune is for an encoder that was trained before" in text for text in told)


def test_few_clips_take_the_settings_for_few_also_with_weights_to_start_from(store: Path) -> None:
    opened = stores.open_store(store)
    init = Override("init_from", {"kind": "run", "path": "first", "sha256": "0" * 64})
    chosen = [
        config.resolve(opened, method=method, overrides=[init]).config.preset
        for method in ("nn-tune", "masked", "skeletonclr")
    ]
    assert chosen == ["nn-tune/small", "masked/default", "skeletonclr/paper"]
