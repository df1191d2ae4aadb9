"""Diagnostics and alarms of the log: by hand, and with set-ups that cannot learn."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.trainer import tiny
from tests.trainer.clips import batch, generator
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from tests.trainer.tiny import Case
from trainer import logbook, loop
from trainer import store as stores
from trainer.loop import Progress, watch
from trainer.loop.watch import alarms, of_step, same_label
from trainer.methods import Method
from trainer.methods.moco import spread
from trainer.momentum import Queue

SKELETON = Case(tiny.component("skeletonclr"), tiny.encoder("stgcn"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr", conventions=("few_6", "many_8"))


def test_spread_is_one_for_vectors_everywhere_and_zero_for_one_point() -> None:
    everywhere = nn.functional.normalize(torch.randn(4000, 64, generator=generator()), dim=1)
    assert float(spread(everywhere)) == pytest.approx(1, abs=0.01)
    assert float(spread(everywhere[:1].expand(9, -1))) == pytest.approx(0, abs=1e-6)
    cap = nn.functional.normalize(everywhere + 30 * everywhere[:1], dim=1)
    cosine = (cap @ cap.t()).mean()
    assert float(spread(cap)) == pytest.approx(math.sqrt(1 - cosine), rel=0.05)


def test_the_age_of_a_queue_is_the_mean_over_keys_that_came_in() -> None:
    queue = Queue(6, 2, generator=generator())
    assert math.isnan(queue.age())
    assert queue.random_share() == 1
    for size in (2, 3):
        queue.enqueue(torch.ones(size, 2), torch.arange(size))
    assert queue.age() == pytest.approx(2 * 1 / 5)
    assert queue.random_share() == pytest.approx(1 / 6)
    queue.enqueue(torch.ones(3, 2), torch.arange(3))  # slots 5, 0, 1: the two oldest keys go
    assert queue.age() == pytest.approx((3 * 1 + 3 * 0) / 6)
    assert queue.random_share() == 0


def test_the_share_of_mined_neighbours_with_the_same_label() -> None:
    labels = torch.tensor([0, 0, 1, 1, -1])
    rows = torch.tensor([0, 2])
    mined = torch.tensor([[1, 3], [3, -1]])
    assert same_label(mined, rows, labels) == pytest.approx(2 / 3)
    assert same_label(torch.tensor([[1, 0], [2, 0]]), rows, labels) == 0.5, "a clip is not its own neighbour"
    assert same_label(torch.tensor([[4, 1], [4, 4]]), rows, labels) == 1, "without a label it is unknown"
    assert math.isnan(same_label(torch.full((2, 2), -1), rows, labels))


def test_metrics_of_a_step_stay_scalars_without_gradient() -> None:
    method = SKELETON.build()
    given = batch(SKELETON.skeletons)
    out = method(given) | {"mined_rows": torch.tensor([[0], [1]] + [[7]] * 6)}
    found = of_step(method, out, given.rows, torch.arange(8) % 2)
    assert all(value.shape == () and not value.requires_grad for value in found.values())
    assert found["feature_std"] == method.networks["joint"].spread
    assert found["mined_same_label"] == pytest.approx(2 / 5), "rows 3 and 5 have the label of row 7"
    assert found["mined_itself"] == pytest.approx(3 / 8)


def test_metrics_of_an_epoch_know_distance_and_queue() -> None:
    method = SKELETON.build()
    for seed in range(2):
        method(batch(SKELETON.skeletons, seed=seed))
    assert method.diagnostics(2) == {
        "query_key_distance": pytest.approx(0, abs=1e-6),
        "queue_age": pytest.approx(0.5 / 2),
        "queue_random": pytest.approx(8 / 24),
    }
    assert Method().diagnostics(2) == {}


def test_alarms_name_what_is_broken_and_what_to_look_at() -> None:
    method, chance = SKELETON.build(), math.log(25)
    assert alarms(method, {"feature_std": 0.2, "info_nce": 0.98 * chance}) == {}
    assert alarms(Method(), {"loss": 1.0}) == {}
    found = alarms(method, {"feature_std": 0.04, "info_nce": 1.005 * chance})
    assert found.keys() == {"collapse", "chance"}
    for text in found.values():
        for word in ("query_key_distance", "key_init", "optimise.lr", "temperature", "metrics.jsonl"):
            assert word in text
    assert "feature_std 0.040" in found["collapse"]
    assert f"{chance:.3f}" in found["chance"]


def trained(run: loop.Run) -> list[Progress]:
    seen: list[Progress] = []
    loop.train(run, on_progress=seen.append)
    return seen


def prepared(store: Path, folder: Path, log: logbook.Logbook, **changes: object) -> loop.Run:
    config = tiny_config(store, optimise__epochs=3, encoder__options__init="default", **changes)
    (opened,), method, device = loop.build(config)
    samples = loop.load_training_half(opened, config)
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.01)
    return loop.Run(folder, config, opened.hash, method, optimiser, samples, device, log)


@pytest.mark.parametrize("broken", ["projector that ends in a constant", "temperature of 1000"])
def test_a_set_up_that_cannot_learn_raises_its_alarm_once(store: Path, tmp_path: Path, broken: str) -> None:
    temperature = 1000.0 if "temperature" in broken else 0.2
    options = {"method__options__temperature": temperature, "method__options__projector_init": "default"}
    with logbook.open_logbook(tmp_path / "metrics.jsonl") as log:
        run = prepared(store, tmp_path, log, **options)
        if "projector" in broken:
            for network in (run.method.networks["joint"], run.method.key_networks["joint"]):
                network.projector[-1].weight.requires_grad_(False).zero_()
        seen = trained(run)
    warnings = [line for line in logbook.read(tmp_path / "metrics.jsonl") if line["event"] == "warning"]
    kinds = [line["kind"] for line in warnings]
    assert kinds == (["collapse", "chance"] if "projector" in broken else ["chance"])
    told = [text for state in seen for text in state.warnings]
    assert told == [f"epoch {line['epoch']}: {line['text']}" for line in warnings]


def test_a_set_up_that_learns_raises_none(store: Path, tmp_path: Path) -> None:
    """Of so few clips only the BatchNorm of the projector spreads the embeddings this early."""
    options = {"temperature": 0.1, "projector_init": "default", "projector_norm": "batch"}
    with logbook.open_logbook(tmp_path / "metrics.jsonl") as log:
        run = prepared(store, tmp_path, log, **{f"method__options__{k}": v for k, v in options.items()})
        seen = trained(run)
    assert not any(state.warnings for state in seen)
    last = logbook.read(tmp_path / "metrics.jsonl")[-1]
    assert last["feature_std"] > 2 * watch.COLLAPSED
    assert {"queue_age", "queue_random", "query_key_distance", "info_nce"} <= last.keys()


def test_an_alarm_is_not_repeated_after_a_resume(store: Path, tmp_path: Path) -> None:
    hot = {"method__options__temperature": 1000.0}
    for epochs in (2, 4):
        config = tiny_config(store, optimise__epochs=epochs, **hot)
        loop.pretrain(config, out=tmp_path / "run", resume=epochs > 2)
    lines = logbook.read(tmp_path / "run" / "metrics.jsonl")
    kinds = [line["kind"] for line in lines if line["event"] == "warning"]
    assert kinds.count("chance") == 1
    assert len(kinds) == len(set(kinds))


def test_labels_are_looked_at_after_the_loss_only(store: Path, tmp_path: Path) -> None:
    """With permuted labels everything but the share of mined neighbours with the same label is the same."""
    found = []
    for name in ("real", "permuted"):
        (tmp_path / name).mkdir()
        with logbook.open_logbook(tmp_path / name / "metrics.jsonl") as log:
            config = tiny_config(store, method="aimclr", optimise__epochs=2, method__options__mine_from=1)
            (opened,), method, device = loop.build(config)
            samples = loop.load_training_half(stores.open_store(store), config)
            if name == "permuted":
                order = torch.randperm(len(samples), generator=generator(3))
                samples = replace(samples, labels=samples.labels[order])
            optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.01)
            loop.train(
                loop.Run(tmp_path / name, config, opened.hash, method, optimiser, samples, device, log)
            )
        found.append(logbook.read(tmp_path / name / "metrics.jsonl"))
    shares = [[line.get("mined_same_label") for line in lines] for lines in found]
    for lines in found:
        for line in lines:
            line.pop("clips_per_second", None)
            line.pop("mined_same_label", None)
    assert found[0] == found[1]
    assert shares[0] != shares[1]
    assert all(0 <= share <= 1 for share in shares[0] if share is not None)
