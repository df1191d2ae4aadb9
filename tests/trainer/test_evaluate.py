"""Evaluation: figures against scikit-learn, results complete, mismatches refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn.functional import cross_entropy, pad

from schemas import (
    CheckpointError,
    Component,
    ConfigError,
    EvaluationResult,
    SkelError,
    StoreError,
    UsageError,
)
from tests.trainer.clips import skeleton
from tests.trainer.features import blobs, names
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import CLASSES, write_store
from trainer import checkpoint, encoders, loop, seeds
from trainer import store as stores
from trainer.evaluate import knn, linear
from trainer.evaluate.ensemble import compare
from trainer.evaluate.features import Features, calibrate, extract
from trainer.evaluate.scores import Scores
from trainer.metrics import accuracy
from trainer.run import find_results, read_results


@settings(max_examples=25, deadline=None)
@given(k=st.integers(1, 70), temperature=st.floats(0.05, 2), seed=st.integers(0, 99))
def test_knn_equals_scikit_learn(k: int, temperature: float, seed: int) -> None:
    train, test = blobs(seed), blobs(seed + 1, rows=30)
    oracle = KNeighborsClassifier(
        min(k, 60), metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / temperature)
    ).fit(train.values.double().numpy(), train.labels.numpy())
    scores = knn.vote(train, test, classes=4, options=knn.Options(k=k, temperature=temperature))
    ours = scores / scores.sum(dim=1, keepdim=True)
    expected = np.zeros((30, 4))
    expected[:, oracle.classes_] = oracle.predict_proba(test.values.double().numpy())
    assert np.allclose(ours.numpy(), expected, atol=1e-6)
    assert (scores.argmax(1).numpy() == expected.argmax(1)).all()


def test_knn_does_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = blobs(0), blobs(1)
    whole = knn.vote(train, test, classes=4, options=knn.Options())
    monkeypatch.setattr(knn, "_BLOCK", 7 * 60)
    assert torch.allclose(whole, knn.vote(train, test, classes=4, options=knn.Options()))


def test_knn_says_when_most_of_the_training_half_votes() -> None:
    train, test = blobs(0), blobs(1)
    rows = len(train.values)
    most, one = knn.evaluate(train, test, classes=names(4), seed=0, options=knn.Options(k=rows - 1))
    told = f"knn: {rows - 1} of {rows} training samples vote. Try --set knn.k={rows // 10}"
    assert most.details["notes"] == [told]
    assert not one.details
    half, _ = knn.evaluate(train, test, classes=names(4), seed=0, options=knn.Options(k=rows // 2))
    assert not half.details


def test_knn_reports_k_and_the_nearest_neighbour() -> None:
    train, test = blobs(0), blobs(1)
    found = knn.evaluate(train, test, classes=names(4), seed=0, options=knn.Options(k=5))
    assert [(outcome.protocol, outcome.settings["k"]) for outcome in found] == [("knn", 5), ("knn1", 1)]
    oracle = KNeighborsClassifier(1, metric="cosine").fit(train.values.numpy(), train.labels.numpy())
    assert (found[1].values.argmax(1).numpy() == oracle.predict(test.values.numpy())).all()


@pytest.mark.parametrize("standardise", [False, True])
def test_linear_comes_close_to_logistic_regression(standardise: bool) -> None:
    train, test = blobs(0, rows=400), blobs(1, rows=400)
    options = linear.Options(lr=0.3, standardise=standardise)
    (ours,) = linear.evaluate(train, test, classes=names(4), seed=0, options=options)
    oracle = LogisticRegression(C=1e4, max_iter=1000).fit(train.values.numpy(), train.labels.numpy())
    expected = oracle.score(test.values.numpy(), test.labels.numpy())
    top1 = accuracy(ours.values, test.labels)
    assert abs(top1 - expected) < 0.02
    assert ours.best_top1 is not None
    assert ours.best_top1 >= top1
    agreement = ours.values.argmax(1).numpy() == oracle.predict(test.values.numpy())
    assert agreement.mean() > 0.95


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.01, "momentum": 0.0}, {"standardise": True}])
def test_linear_equals_a_literal_loop(options: dict[str, float]) -> None:
    """torch.nn.Linear, its optimiser and autograd, over the rows in the same order."""
    train, test = blobs(0, rows=150, spread=2.0), blobs(1, rows=200, spread=2.0)
    chosen = linear.Options(epochs=30, milestones=(20,), lr=0.3, **options)
    (ours,) = linear.evaluate(train, test, classes=names(4), seed=3, options=chosen)
    scores, best = literal_probe(train, test, chosen)
    assert torch.allclose(ours.values, scores, atol=2e-5)
    assert accuracy(ours.values, test.labels) == accuracy(scores, test.labels)
    assert ours.best_top1 == best


def literal_probe(train: Features, test: Features, options: linear.Options) -> tuple[torch.Tensor, float]:
    values, test_values = train.values, test.values
    if options.standardise:
        mean, deviation = values.mean(dim=0), values.std(dim=0)
        values, test_values = (values - mean) / deviation, (test_values - mean) / deviation
    layer = nn.Linear(values.shape[1], 4)
    start = linear._initial((values.shape[1],), 4, 3)
    layer.load_state_dict({"weight": start.weight, "bias": start.bias})
    decays = {"weight_decay": options.weight_decay, "momentum": options.momentum}
    optimiser = torch.optim.SGD(layer.parameters(), lr=options.lr, **decays)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, list(options.milestones))
    best = 0.0
    for epoch in range(options.epochs):
        order = torch.randperm(len(values), generator=seeds.generator("cpu", 3, "linear", epoch))
        for rows in order.split(options.batch_size):
            loss = cross_entropy(layer(values[rows]), train.labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        scores = layer(test_values).detach()
        best = max(best, accuracy(scores, test.labels))
    return scores, best


WIDTHS = (6, 3, 4)


def literal_together(train: Features, test: Features, options: linear.Options) -> torch.Tensor:
    """A layer for each stream in float64, one loss on the mean of their logits, autograd."""
    draw, layers, done = seeds.generator("cpu", 3, "linear", "init"), [], 0
    for width in WIDTHS:
        weight, bias = linear._uniform(width, 4, draw)
        layers.append(nn.Linear(width, 4).double())
        layers[-1].load_state_dict({"weight": weight.double(), "bias": bias.double()})
    optimiser = torch.optim.SGD(
        [parameter for layer in layers for parameter in layer.parameters()],
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )
    mean, deviation = train.values.double().mean(0), train.values.double().std(0)
    if not options.standardise:
        mean, deviation = torch.zeros_like(mean), torch.ones_like(deviation)

    def logits(values: torch.Tensor) -> torch.Tensor:
        parts = ((values.double() - mean) / deviation).split(list(WIDTHS), dim=1)
        return sum(layer(part) for layer, part in zip(layers, parts, strict=True)) / 3

    for epoch in range(options.epochs):
        for group in optimiser.param_groups:
            group["lr"] = options.lr * options.gamma ** sum(epoch >= at for at in options.milestones)
        order = torch.randperm(len(train.values), generator=seeds.generator("cpu", 3, "linear", epoch))
        for rows in order.split(options.batch_size):
            optimiser.zero_grad()
            cross_entropy(logits(train.values[rows]), train.labels[rows]).backward()
            optimiser.step()
            done += 1
    assert done == options.epochs * 2
    return logits(test.values).detach()


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.02, "momentum": 0.5}, {"standardise": True}])
def test_probes_that_learn_together_are_a_literal_loop(options: dict[str, float]) -> None:
    """Released CrosSCLR: three classifiers, trained by the mean of their logits."""
    train, test = (blobs(seed, rows=150, spread=2.0, width=sum(WIDTHS)) for seed in (0, 1))
    chosen = linear.Options(epochs=30, milestones=(20,), lr=0.3, streams="together", **options)
    beside = replace(train, widths=WIDTHS)
    (ours,) = linear.evaluate(beside, test, classes=names(4), seed=3, options=chosen)
    expected = literal_together(train, test, chosen)
    torch.testing.assert_close(ours.values.double(), expected, rtol=1e-4, atol=2e-5)
    (one,) = linear.evaluate(train, test, classes=names(4), seed=3, options=chosen)
    assert (one.values - ours.values).abs().max() > 0.1, "a single layer on all features learns faster"


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 20), classes=st.integers(2, 6), seed=st.integers(0, 99))
def test_the_written_gradient_is_autograds(rows: int, classes: int, seed: int) -> None:
    x, labels = blobs(seed, rows=rows, classes=classes).values, blobs(seed, rows=rows, classes=classes).labels
    layer = linear._initial((x.shape[1],), classes, seed)
    weight, bias = layer.weight.clone().requires_grad_(), layer.bias.clone().requires_grad_()
    cross_entropy(x @ weight.T + bias, labels).backward()
    layer.step(x, labels, lr=1.0, options=linear.Options())
    assert torch.allclose(weight.detach() - layer.weight, weight.grad, atol=1e-6)
    assert torch.allclose(bias.detach() - layer.bias, bias.grad, atol=1e-6)


def test_linear_converges_to_the_optimum_of_logistic_regression() -> None:
    """With weight decay the minimum is unique: scikit-learn's C is 1 / (rows * decay), bias included here."""
    train, test = blobs(0, rows=200), blobs(1)
    options = linear.Options(epochs=600, lr=0.5, milestones=(300, 450), batch_size=200, weight_decay=0.05)
    (ours,) = linear.evaluate(train, test, classes=names(4), seed=0, options=options)
    with_one = [pad(half.values, (0, 1), value=1).double() for half in (train, test)]
    oracle = LogisticRegression(C=1 / (200 * 0.05), fit_intercept=False, tol=1e-10, max_iter=5000)
    expected = oracle.fit(with_one[0], train.labels).predict_proba(with_one[1])
    assert np.allclose(ours.values.softmax(dim=1).numpy(), expected, atol=1e-5)


def test_linear_is_seeded() -> None:
    train, test = blobs(0), blobs(1)
    one, same, other = (
        linear.evaluate(train, test, classes=names(4), seed=seed, options=linear.Options(epochs=3))[0].values
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_result_is_the_last_epoch_not_the_best() -> None:
    train, test = blobs(0, spread=3.0), blobs(1, spread=3.0)

    def after(epochs: int) -> Scores:
        return linear.evaluate(train, test, classes=names(4), seed=0, options=linear.Options(epochs=epochs))[
            0
        ]

    curve = [accuracy(after(epochs).values, test.labels) for epochs in range(1, 7)]
    assert max(curve) > curve[-1]
    assert after(6).best_top1 == max(curve)


def test_a_diverging_probe_says_what_to_do() -> None:
    train = blobs(0)
    huge = Features(train.values * 1e25, train.labels)
    with pytest.raises(SkelError, match=r"diverged at learning rate 3\.0.*linear\.standardise=true"):
        linear.evaluate(huge, huge, classes=names(4), seed=0, options=linear.Options())
    (fine,) = linear.evaluate(huge, huge, classes=names(4), seed=0, options=linear.Options(standardise=True))
    assert accuracy(fine.values, huge.labels) > 0.6


def weak(seed: int, *, rows: int = 60) -> Features:
    """Classes side by side in one direction of features that hardly vary, beside a large common part."""
    found = blobs(seed, rows=rows)
    return Features(0.001 * found.values + 0.01, found.labels)


def probe_notes(train: Features, test: Features, **options: Any) -> list[str]:
    made = linear.Options(**options)
    (found,) = linear.evaluate(train, test, classes=names(4), seed=0, options=made)
    return list(found.details.get("notes", ()))


def test_a_probe_that_learned_nothing_of_good_features_says_so() -> None:
    train, test = weak(0), weak(1)
    (note,) = probe_notes(train, test, lr=0.01)
    assert "far below kNN of the same features" in note
    assert "60 clips" in note
    assert "--set linear.standardise=true" in note
    assert not probe_notes(train, test, standardise=True, lr=0.1)


def test_few_steps_are_told_and_the_papers_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = blobs(0), blobs(1)
    (note,) = probe_notes(train, test)
    assert note.startswith("linear: 100 steps at rate 3 on 60 clips")
    assert not probe_notes(train, test, batch_size=1, epochs=20, lr=0.1)
    monkeypatch.setattr(linear.few, "FEW", 60)
    assert not probe_notes(train, test), "as many clips as the papers'"


class Probe(nn.Module):
    """Channel means through a BatchNorm: small enough to work out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor, convention: str) -> torch.Tensor:
        return self.norm(x.mean(dim=(2, 3, 4)))


def _samples(count: int) -> stores.Samples:
    clips = torch.randn(count, 3, 4, 2, 1, generator=torch.Generator().manual_seed(0)) * 5 + 2
    rows = torch.arange(count)
    return stores.Samples({"c": clips}, rows % 2, tuple(map(str, range(count))), rows)


def test_features_use_running_statistics_and_leave_the_mode() -> None:
    encoder, samples = Probe(), _samples(300)
    encoder.train()
    found = extract(encoder, samples, convention="c", device=torch.device("cpu"))
    assert encoder.training
    assert encoder.norm.num_batches_tracked == 0
    plain = samples.clips["c"].mean(dim=(2, 3, 4)) / (1 + encoder.norm.eps) ** 0.5
    assert torch.allclose(found.values, plain, atol=1e-5)
    assert torch.equal(found.labels, samples.labels)


def test_calibration_gives_the_mean_of_the_batches_statistics() -> None:
    encoder, samples = Probe(), _samples(512)
    calibrate(encoder, samples, convention="c", device=torch.device("cpu"))
    means = samples.clips["c"].mean(dim=(2, 3, 4))
    assert torch.allclose(encoder.norm.running_mean, means.mean(dim=0), atol=1e-5)
    expected = torch.stack([half.var(dim=0) for half in means.split(256)]).mean(dim=0)
    assert torch.allclose(encoder.norm.running_var, expected, atol=1e-5)
    assert encoder.norm.momentum == 0.1
    assert not encoder.training


@pytest.mark.parametrize("name", ["stgcn", "hcn", "bigru"])
def test_calibration_drops_nothing_so_that_random_weights_give_the_same_figures(name: str) -> None:
    options = {
        "stgcn": {"channels": [4, 8, 8], "stride_blocks": [2], "dropout": 0.5},
        "hcn": {"dropout": 0.5},
    }
    skeletons = {"c": skeleton("kinectv2_25")}
    rows = torch.arange(8)
    clips = torch.randn(8, 3, 16, 25, 2, generator=torch.Generator().manual_seed(0))
    samples = stores.Samples({"c": clips}, rows % 2, tuple(map(str, range(8))), rows)
    features = []
    for seed in (1, 2):
        encoder = encoders.build(
            Component(name=name, options=options.get(name, {})),
            skeletons,
            generator=torch.Generator().manual_seed(0),
        )
        torch.manual_seed(seed)
        calibrate(encoder, samples, convention="c", device=torch.device("cpu"))
        features.append(extract(encoder, samples, convention="c", device=torch.device("cpu")).values)
    assert torch.equal(*features)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return write_store(folder / "toy.zarr", conventions=("few_6", "many_8"), streams=("joint", "bone"))


@pytest.fixture
def run(store: Path, trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ms"
    loop.pretrain(tiny_config(store, method="ms-clr", data__stream="bone"), out=out)
    return out


def test_results_tell_everything(run: Path, store: Path) -> None:
    results = evaluate_run(run, protocols=["knn", "linear"], device="cpu")
    assert [result.protocol for result in results] == ["knn", "knn1", "linear"]
    for result in results:
        path = run / "results" / f"{result.protocol}-few_6.json"
        assert EvaluationResult.model_validate_json(path.read_text()) == result
        assert (result.dataset, result.split, result.convention, result.stream) == (
            "toy",
            "xview",
            "few_6",
            "bone",
        )
        assert result.store_hash == stores.open_store(store).hash
        assert result.checkpoint_hash == checkpoint.file_hash(run / result.checkpoint)
        assert (result.method, result.epoch, result.synthetic) == ("ms-clr", 2, False)
        assert (result.train_samples, result.test_samples) == (21, 9)
        assert result.per_class.keys() == {*CLASSES}
        assert result.top1 == pytest.approx(np.mean([result.per_class[name] for name in CLASSES]))
        assert result.random_knn is not None
        assert result.top5 is None
    assert results[2].best_top1 is not None
    assert results[0].settings == {"k": 20, "temperature": 0.1}
    assert results == [
        other.model_copy(update={"seconds": result.seconds})
        for result, other in zip(
            results, evaluate_run(run, protocols=["knn", "linear"], device="cpu"), strict=True
        )
    ]


def test_every_trained_convention_can_be_evaluated(run: Path) -> None:
    (result, _) = evaluate_run(run, conventions=["many_8"], device="cpu")
    assert result.convention == "many_8"
    assert (run / "results" / "knn-many_8.json").exists()


def test_untrained_weights_give_the_random_figure_and_no_file_among_the_runs(run: Path) -> None:
    (result, _) = evaluate_run(run, device="cpu", untrained=True)
    assert result.top1 == result.random_knn
    assert (result.checkpoint, result.epoch) == ("random weights", 0)
    assert not (run / "results").exists()


def test_random_weights_are_the_same_at_every_epoch_and_not_those_of_others(
    run: Path, tmp_path: Path
) -> None:
    evaluate_run(run, protocols=["linear"], device="cpu", untrained=True)
    with pytest.raises(UsageError, match="exclude each other"):
        evaluate_run(run, protocols=["finetune"], device="cpu", untrained=True, init_from=run)
    assert [saved.path.stem for saved in read_results(run / "untrained")] == ["linear-few_6"]


def test_what_stops_a_later_protocol_leaves_the_figures_of_earlier_ones(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.evaluate.linear.evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(run, protocols=["knn", "linear"], device="cpu", untrained=True)
    assert [saved.path.stem for saved in read_results(run / "untrained")] == ["knn-few_6", "knn1-few_6"]


@pytest.mark.parametrize(("untrained", "exists"), [(False, "results"), (True, "untrained"), (True, "")])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(
    run: Path, monkeypatch: pytest.MonkeyPatch, untrained: bool, exists: str
) -> None:
    (run / exists).mkdir(exist_ok=True)
    monkeypatch.setattr("trainer.evaluate.run.os.access", lambda path, mode: path != run / exists)
    monkeypatch.delattr("trainer.evaluate.run.extract")
    with pytest.raises(UsageError, match="copy it to a folder that you may write to") as told:
        evaluate_run(run, device="cpu", untrained=untrained)
    assert f"{run / exists} cannot be written to" in str(told.value)


def test_a_run_may_be_named_untrained(run: Path, tmp_path: Path) -> None:
    named = Path(shutil.copytree(run, tmp_path / "untrained"))
    with pytest.raises(SkelError, match=rf"trainer evaluate {named} --protocol knn"):
        find_results(named, protocol="knn")


def test_a_run_is_compared_with_its_random_weights(run: Path) -> None:
    untrained = run / "untrained"
    with pytest.raises(SkelError, match=rf"trainer evaluate {run} --untrained --protocol linear"):
        read_results(untrained)
    (random,) = evaluate_run(run, protocols=["linear"], device="cpu", untrained=True)
    (trained,) = evaluate_run(run, protocols=["linear"], device="cpu")
    (one,), (two,) = (
        find_results(path, protocol="linear", encoders=[trained.encoder]) for path in (run, untrained)
    )
    assert (one.result, two.result) == (trained, random)
    assert two.result.classifier is None
    test = compare(one, two)
    assert test.difference == pytest.approx(trained.top1 - random.top1)
    with pytest.raises(SkelError, match=r"no result of knn; .* --untrained --protocol knn"):
        find_results(untrained, protocol="knn")


def test_a_moved_store_is_named_and_another_refused(run: Path, store: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(store, tmp_path / "moved.zarr"))
    assert evaluate_run(run, store=moved, device="cpu")[0].store == "moved.zarr"
    other = write_store(tmp_path / "other.zarr", conventions=("few_6", "many_8"), samples=33)
    with pytest.raises(CheckpointError, match=r"other\.zarr: the run was trained on store \w{12}"):
        evaluate_run(run, store=other, device="cpu")


def test_what_does_not_fit_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown protocol 'knnn'\. Did you mean 'knn'"):
        evaluate_run(run, protocols=["knnn"])
    with pytest.raises(UsageError, match="trained on few_6, many_8, not on 'smplx_42'"):
        evaluate_run(run, conventions=["smplx_42"], device="cpu")
    with pytest.raises(ConfigError, match=r"linear\.lrr: unknown option.*'lr'"):
        evaluate_run(run, protocols=["linear"], options={"linear": {"lrr": 1}})
    with pytest.raises(ConfigError, match=r"knn\.k: .*greater than or equal to 1, found 0"):
        evaluate_run(run, options={"knn": {"k": 0}})
    with pytest.raises(CheckpointError, match=r"last\.pt: no checkpoint here"):
        evaluate_run(tmp_path / "nothing")
    assert not (run / "results").exists()


def test_a_stream_that_was_never_stored_is_named(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.zarr")
    loop.pretrain(tiny_config(path, data__stream="motion", optimise__epochs=1), out=tmp_path / "run")
    with pytest.raises(StoreError, match=r"no motion stream of 12 frames.*skeltools streams .* --motion"):
        evaluate_run(tmp_path / "run", device="cpu")


def test_weights_that_do_not_fit_are_an_error_not_a_random_encoder(run: Path) -> None:
    content = torch.load(run / checkpoint.LAST, weights_only=True)
    config = json.loads(content["config"])
    config["encoder"]["options"]["channels"] = [4, 4]
    torch.save(content | {"config": json.dumps(config)}, run / checkpoint.LAST)
    with pytest.raises(CheckpointError, match=r"last\.pt: the weights do not fit the model: .* shape"):
        evaluate_run(run, device="cpu")
    del content["model"]["moco.query.encoder.blocks.0.temporal.weight"]
    torch.save(content, run / checkpoint.LAST)
    with pytest.raises(CheckpointError, match=r"blocks\.0\.temporal\.weight is missing"):
        evaluate_run(run, device="cpu")


def test_an_absent_store_says_how_to_name_it(run: Path) -> None:
    content = torch.load(run / checkpoint.LAST, weights_only=True)
    config = json.loads(content["config"])
    config["data"]["store"] = "/gone/s.zarr"
    torch.save(content | {"config": json.dumps(config)}, run / checkpoint.LAST)
    with pytest.raises(StoreError, match=r"/gone/s\.zarr: .*no longer there.*--store PATH"):
        evaluate_run(run, device="cpu")


def test_a_run_carries_the_probe_that_suits_its_data(store: Path, tmp_path: Path) -> None:
    suited = {"evaluate": {"linear": {"lr": 0.25, "epochs": 3}}}
    settings = tiny_config(store, optimise__epochs=1).model_copy(update=suited)
    loop.pretrain(settings, out=tmp_path / "run")
    (result,) = evaluate_run(tmp_path / "run", protocols=["linear"], device="cpu")
    assert (result.settings["lr"], result.settings["epochs"]) == (0.25, 3)
    (result,) = evaluate_run(
        tmp_path / "run", protocols=["linear"], options={"linear": {"lr": 0.5}}, device="cpu"
    )
    assert (result.settings["lr"], result.settings["epochs"]) == (0.5, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"data": {"memory_limit": 9}}, "data is a setting of the training.*--memory-limit"),
        ({"liner": {}}, "unknown protocol 'liner'"),
        ({"linear": {"rate": 1}}, r"linear\.rate: unknown option"),
    ],
)
def test_a_probe_that_does_not_exist_is_refused_before_training(
    wrong: dict[str, dict[str, int]], message: str, store: Path, tmp_path: Path
) -> None:
    settings = tiny_config(store).model_copy(update={"evaluate": wrong})
    with pytest.raises(UsageError, match=message):
        loop.pretrain(settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
