"""Training encoder and classifier: against a literal loop, schedules by epoch, nothing left behind."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from schemas import ConfigError, SkelError
from tests.trainer.learners import KINECT, Means, around, samples, stgcn
from trainer import optim, seeds
from trainer.evaluate import finetune, fit, halves, semi, supervised, transfer
from trainer.evaluate.training import Training
from trainer.metrics import accuracy
from trainer.options import checked
from trainer.store import Samples

TRAIN, TEST = samples(22), samples(9, first=100)


def jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def rate(options: Training, time: float) -> float:
    """The learning rate, epoch by epoch, as the papers word it."""
    if time < options.warmup_epochs:
        return options.lr * time / options.warmup_epochs
    if options.decay == "constant":
        return options.lr
    if options.decay == "step":
        past = [milestone for milestone in options.milestones if milestone <= time]
        return options.lr * options.gamma ** len(past)
    share = (time - options.warmup_epochs) / (options.epochs - options.warmup_epochs)
    return options.lr * (1 + math.cos(math.pi * share)) / 2


def literal(
    encoder: nn.Module, train: Samples, test: Samples, options: Training, *, seed: int = 5
) -> tuple[Tensor, list[float]]:
    """Scores of the test clips and the loss of every epoch, in plain PyTorch."""
    encoder = copy.deepcopy(encoder)
    draw = seeds.generator("cpu", seed, "classifier")
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=draw)))
        head = nn.Linear(encoder.feature_dim, 3)
    model = nn.ModuleList([encoder, head])
    decay = options.weight_decay
    if options.optimiser == "adam":
        optimiser: Any = torch.optim.Adam(model.parameters(), weight_decay=decay)
    else:
        optimiser = torch.optim.SGD(
            model.parameters(), 1, options.momentum, weight_decay=decay, nesterov=options.nesterov
        )
    x, y, losses = train.clips[KINECT], train.labels, []
    with torch.random.fork_rng():
        for epoch in range(options.epochs):
            model.train() if options.mode == "train" else model.eval()
            order = torch.randperm(22, generator=seeds.generator("cpu", seed, epoch, "order")).numpy()
            parts = np.array_split(order, math.ceil(22 / options.batch_size))
            total = 0.0
            for step, part in enumerate(parts):
                optimiser.param_groups[0]["lr"] = rate(options, epoch + step / len(parts))
                view = x[part]
                if options.crop is not None:
                    view = options.crop.drawn(view, seeds.generator("cpu", seed, epoch, step, "crop"))
                if options.augment == "normal":
                    view = jitter(view, seeds.generator("cpu", seed, epoch, step, "augment"))
                torch.manual_seed(seeds.derive(seed, epoch, step, "dropout"))
                loss = nn.functional.cross_entropy(head(encoder(view, KINECT)), y[part])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item() * len(part)
            losses.append(total / 22)
        model.eval()
        with torch.no_grad():
            x = test.clips[KINECT] if options.crop is None else options.crop.centre(test.clips[KINECT])
            return head(encoder(x, KINECT)), losses


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "eval"},
        {"optimiser": "adam", "lr": 1e-2, "weight_decay": 1e-3},
        {"decay": "cosine", "warmup_epochs": 2},
        {"decay": "constant", "augment": "normal", "momentum": 0.5},
        {"milestones": (1, 3), "gamma": 0.5, "batch_size": 50},
        {"crop": {"train": (0.4, 0.9), "test": 0.5, "frames": 6}, "augment": "normal", "nesterov": True},
    ],
)
def test_fit_is_the_plain_loop(options: dict[str, Any]) -> None:
    chosen = Training(**{"epochs": 4, "batch_size": 8, **options})
    encoder = stgcn()
    train, test = (samples(count, joints=25, first=first) for count, first in ((22, 0), (9, 100)))
    expected, losses = literal(encoder, train, test, chosen)
    found = fit.fit("finetune", encoder, train, test, options=chosen, **around(augment=jitter))
    assert torch.equal(found.scores, expected)
    assert found.loss == pytest.approx(losses, rel=1e-6)


def test_the_encoder_and_the_random_state_stay_as_they_were() -> None:
    encoder = stgcn()
    before, state = copy.deepcopy(encoder.state_dict()), torch.get_rng_state()
    train, test = samples(8, joints=25), samples(4, joints=25, first=50)
    fit.fit("finetune", encoder, train, test, options=Training(epochs=2), **around())
    after = encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert encoder.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_seed_is_a_result() -> None:
    options = Training(epochs=3, batch_size=8)
    one, same, other = (
        fit.fit("finetune", Means(dropout=0.3), TRAIN, TEST, options=options, **around(seed=seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(one.scores, same.scores)
    assert one.loss == same.loss
    assert not torch.equal(one.scores, other.scores)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_mode_is_that_of_training_and_scores_come_from_eval(mode: str) -> None:
    modes: list[bool] = []

    class Watched(Means):
        def __init__(self) -> None:
            super().__init__()
            self.register_forward_pre_hook(lambda module, _: modes.append(module.training))

    fit.fit(
        "finetune", Watched(), TRAIN, TEST, options=Training(epochs=2, batch_size=50, mode=mode), **around()
    )
    assert modes == [mode == "train", False] * 2


def test_train_mode_follows_the_data_where_eval_mode_keeps_what_was() -> None:
    """The clips lie where the encoder has never been: only new statistics bring them back."""
    far = samples(60)
    far.clips[KINECT] += 100
    options = {"epochs": 40, "batch_size": 20, "lr": 0.01, "test_every": 0}
    right = {}
    for mode in ("train", "eval"):
        found = fit.fit("finetune", Means(), far, far, options=Training(**options, mode=mode), **around())
        right[mode] = accuracy(found.scores, far.labels)
    assert right["train"] > 0.9
    assert right["eval"] < 0.6


def test_a_recurrent_encoder_can_learn_in_eval_mode() -> None:
    """cuDNN computes no gradient for one in eval mode, so it stays in training mode, without dropout."""

    class Recurrent(nn.Module):
        feature_dim = 4

        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(15, 4, batch_first=True)
            self.gru.register_forward_pre_hook(lambda module, _: modes.append(module.training))

        def forward(self, x: Tensor, convention: str) -> Tensor:
            return self.gru(x.permute(0, 2, 1, 3, 4).flatten(2))[0][:, -1]

    modes: list[bool] = []
    options = Training(epochs=1, mode="eval")
    fit.fit("finetune", Recurrent(), TRAIN, TEST, options=options, **around())
    assert modes == [True, False]


def rates(options: Training, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Of a training with one step an epoch."""
    found: list[float] = []
    plain = optim.set_learning_rate
    monkeypatch.setattr(
        optim, "set_learning_rate", lambda optimiser, rate: (found.append(rate), plain(optimiser, rate))
    )
    fit.fit("finetune", Means(), TRAIN, TEST, options=options, **around())
    return found


@pytest.mark.parametrize(
    ("kind", "schedule", "optimiser", "expected"),
    [
        (finetune, "aimclr", "sgd", [0.1] * 80 + [0.01] * 20),
        (
            finetune,
            "skelemix",
            "sgd",
            [epoch / 100 for epoch in range(10)] + [0.1] * 40 + [0.01] * 20 + [0.001] * 20 + [0.0001] * 20,
        ),
        (finetune, "isc", "adam", [1e-4] * 30 + [1e-5] * 10 + [1e-6] * 10),
        (semi, "skelemix", "sgd", [epoch / 200 for epoch in range(20)] + [0.1] * 60 + [0.01] * 20),
        (semi, "isc", "adam", [1e-4] * 30 + [1e-5] * 10 + [1e-6] * 10),
        (transfer, None, "adam", [1e-4] * 30 + [1e-5] * 10 + [1e-6] * 10),
        (supervised, None, "sgd", [0.1] * 80 + [0.01] * 20),
    ],
)
def test_published_schedules(
    kind: Any, schedule: str | None, optimiser: str, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = kind.Options(**({} if schedule is None else {"schedule": schedule}))
    assert options.optimiser == optimiser
    assert options.weight_decay == (1e-4 if optimiser == "sgd" else 0)
    assert rates(options, monkeypatch) == pytest.approx(expected)


def test_every_value_of_a_schedule_can_be_replaced() -> None:
    options = checked(finetune.Options, {"schedule": "skelemix", "epochs": 20}, where="finetune")
    assert (options.epochs, options.milestones, options.warmup_epochs) == (20, (50, 70, 90), 10)
    assert checked(finetune.Options, options.model_dump(), where="finetune") == options
    assert checked(semi.Options, {"schedule": "skelemix"}, where="semi").epochs == 100


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"schedule": "skelmix"},
            r"finetune\.schedule: .*'aimclr', 'skelemix', 'isc' or 'small', found 'skelmix'",
        ),
        ({"schedule": ["isc"]}, r"finetune\.schedule: "),
        ({"epoch": 3}, r"finetune\.epoch: unknown option. Did you mean 'epochs'"),
        ({"lr": 0}, r"finetune\.lr: .*greater than 0, found 0"),
        ({"mode": "test"}, r"finetune\.mode: .*'train' or 'eval'"),
        ({"epochs": 0}, r"finetune\.epochs: .*greater than or equal to 1"),
    ],
)
def test_options_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(finetune.Options, given, where="finetune")


@pytest.mark.parametrize(("count", "batch_size"), [(1, 128), (128, 128), (129, 128), (1020, 128), (7, 3)])
def test_batches_hold_every_clip_once_and_differ_by_one(count: int, batch_size: int) -> None:
    parts = fit.batches(count, batch_size=batch_size, seed=0, epoch=2)
    assert sorted(torch.cat(parts).tolist()) == list(range(count))
    sizes = {len(part) for part in parts}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == math.ceil(count / batch_size)
    if count > 1:
        again = fit.batches(count, batch_size=batch_size, seed=0, epoch=3)
        assert torch.cat(parts).tolist() != torch.cat(again).tolist()


def test_the_last_epoch_is_the_result_and_the_best_is_beside_it() -> None:
    noisy = samples(9, first=100)
    noisy.labels[:] = noisy.labels.roll(1)  # what is learned is wrong here: the best epoch is an early one
    options = Training(epochs=5, batch_size=8, lr=0.05)
    (outcome,) = finetune.evaluate(Means(), TRAIN, noisy, options=options, **around())
    curve = list(outcome.details["test_top1"].values())
    assert list(outcome.details["test_top1"]) == [str(epoch) for epoch in range(1, 6)]
    assert accuracy(outcome.values, noisy.labels) == curve[-1] < max(curve) == outcome.best_top1
    assert len(outcome.details["loss"]) == 5
    assert outcome.details["loss"][-1] < outcome.details["loss"][0]
    assert (outcome.protocol, outcome.kind, outcome.draws) == ("finetune", "logits", ())


@pytest.mark.parametrize(("every", "looks"), [(0, [5]), (2, [2, 4, 5]), (5, [5])])
def test_the_test_half_is_looked_at_as_often_as_asked(every: int, looks: list[int]) -> None:
    found = fit.fit(
        "finetune", Means(), TRAIN, TEST, options=Training(epochs=5, test_every=every), **around()
    )
    assert list(found.test_top1) == looks
    assert (found.best_top1 is None) == (len(looks) == 1)


def test_progress_counts_steps() -> None:
    seen: list[tuple[int, int]] = []
    options = Training(epochs=2, batch_size=8)
    watch = around(on_progress=lambda done, total: seen.append((done, total)))
    fit.fit("finetune", Means(), TRAIN, TEST, options=options, **watch)
    assert seen == [(step, 6) for step in range(1, 7)]


def test_scores_do_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Training(epochs=1)
    whole = fit.fit("finetune", Means(), TRAIN, TEST, options=options, **around()).scores
    monkeypatch.setattr(halves, "CHUNK", 2)
    parts = fit.fit("finetune", Means(), TRAIN, TEST, options=options, **around()).scores
    assert torch.allclose(whole, parts)


def test_bf16_is_that_of_the_training_and_stands_in_the_settings() -> None:
    options = finetune.Options(epochs=1, precision="bf16")
    (outcome,) = finetune.evaluate(Means(), TRAIN, TEST, options=options, **around())
    (plain,) = finetune.evaluate(Means(), TRAIN, TEST, options=finetune.Options(epochs=1), **around())
    assert outcome.settings["precision"] == "bf16"
    assert outcome.values.dtype == torch.float32
    assert not torch.equal(outcome.values, plain.values)
    assert torch.allclose(outcome.values, plain.values, atol=0.05)
    settled = fit.settings(finetune.Options(precision="auto"), torch.device("cpu"))["precision"]
    assert settled in ("fp32", "bf16")


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_divergence_names_the_rate(epochs: int) -> None:
    """After the last step, too, whose effect no loss has shown yet."""
    with pytest.raises(
        SkelError, match=r"supervised: the training diverged in epoch .*rate 1e\+30.*supervised\.lr"
    ):
        supervised.evaluate(
            Means(), TRAIN, TEST, options=supervised.Options(lr=1e30, epochs=epochs), **around()
        )


def test_a_class_without_a_training_clip_counts_as_wrong() -> None:
    known = samples(40, classes=2)
    options = finetune.Options(epochs=15, batch_size=20, lr=0.05)
    (outcome,) = finetune.evaluate(Means(), known, TEST, options=options, **around())
    taught = TEST.labels < 2
    assert accuracy(outcome.values[taught], TEST.labels[taught]) > 0.8
    assert accuracy(outcome.values[~taught], TEST.labels[~taught]) == 0


def test_absent_bodies_stay_absent_in_training() -> None:
    """With ``bodies: present`` an empty second place changes nothing, BatchNorm included."""
    options, scores = Training(epochs=3, batch_size=8), []
    for bodies in (1, 2):
        train, test = (samples(count, joints=25, first=first) for count, first in ((22, 0), (9, 100)))
        for half in (train, test):
            x = half.clips[KINECT]
            half.clips[KINECT] = torch.cat([x, torch.zeros_like(x)], dim=4)[..., :bodies]
        encoder = stgcn(bodies="present", dropout=0.0)
        scores.append(fit.fit("finetune", encoder, train, test, options=options, **around()).scores)
    assert torch.allclose(*scores, atol=1e-5)


@pytest.mark.parametrize("options", [{"momentum": 0}, {"optimiser": "adam"}, {"schedule": "isc"}])
def test_nesterov_without_sgd_and_momentum_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="nesterov needs optimiser sgd and a momentum above 0"):
        Training(nesterov=True, **options)
