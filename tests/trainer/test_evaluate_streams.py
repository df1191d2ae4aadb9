"""Evaluation of methods with several encoders: each on its own stored stream, and all of them together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas import ConfigError, EvaluationResult, StoreError, UsageError
from tests.trainer.features import names
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, config, loop
from trainer import store as stores
from trainer.evaluate import ensemble, knn, linear
from trainer.evaluate.features import Features, concatenated, extract
from trainer.evaluate.scores import Scores, read_scores
from trainer.metrics import accuracy

THREE = ("joint", "motion", "bone")
SHORT = {"linear": {"epochs": 5, "lr": 0.5, "standardise": True}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr", streams=THREE)


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "crosclr"
    loop.pretrain(tiny_config(store, method="crosclr", optimise__epochs=1), out=out)
    return out


@pytest.fixture(scope="module")
def results(run: Path) -> dict[tuple[str, str], EvaluationResult]:
    found = evaluate_run(run, protocols=["knn", "linear"], device="cpu", options=SHORT)
    return {(result.protocol, result.encoder): result for result in found}


def features(run: Path, store: Path, stream: str) -> tuple[Features, Features]:
    """Of one encoder of the run, from the parts that evaluation is made of."""
    saved = checkpoint.load(run / checkpoint.LAST)
    opened = stores.open_store(store)
    method = checkpoint.fresh_method(saved.config, stores.skeletons(opened, ["few_6"]), seed=0)
    checkpoint.load_weights(method, saved.model, where=run)
    halves = [
        stores.load(opened, split="xview", part=part, conventions=["few_6"], frames=12, stream=stream)
        for part in ("train", "test")
    ]
    train, test = (
        extract(method.encoders[stream], half, convention="few_6", device=torch.device("cpu"))
        for half in halves
    )
    return train, test


def test_every_encoder_is_measured_and_all_together(
    run: Path, results: dict[tuple[str, str], EvaluationResult]
) -> None:
    joined = "joint+motion+bone"
    protocols = ("knn", "knn1", "linear")
    assert set(results) == {(p, e) for p in protocols for e in (*THREE, joined)}
    files = {path.name: path for path in (run / "results").iterdir()}
    stems = {f"{protocol}-few_6-{encoder}" for protocol, encoder in results}
    learned = {f"linear-few_6-{encoder}.safetensors" for encoder in THREE}
    assert set(files) == {f"{stem}.{kind}" for stem in stems for kind in ("json", "npz")} | learned
    for (protocol, encoder), result in results.items():
        path = files[f"{protocol}-few_6-{encoder}.json"]
        assert EvaluationResult.model_validate_json(path.read_text()) == result
        assert result.stream == encoder
        assert result.method == "crosclr"
        assert result.random_knn is not None
        assert ("fusion" in result.settings) == (encoder == joined)
    assert results["linear", joined].settings["fusion"] == {
        "of": "scores",
        "weights": {"joint": 0.6, "motion": 0.4, "bone": 0.6},
        "scores": "softmax",
    }
    assert results["knn", joined].settings == {"k": 20, "temperature": 0.1, "fusion": {"of": "features"}}
    assert (
        len({results["knn", stream].random_knn for stream in THREE} | {results["knn", joined].random_knn}) > 1
    )


def test_each_stream_is_that_of_its_encoder(
    run: Path, store: Path, results: dict[tuple[str, str], EvaluationResult]
) -> None:
    options, scores, both = linear.Options(**SHORT["linear"]), {}, []
    for stream in THREE:
        train, test = features(run, store, stream)
        both.append((train, test))
        (outcome,) = linear.evaluate(train, test, classes=names(3), seed=0, options=options)
        scores[stream] = outcome.values.double().numpy()
        assert results["linear", stream].top1 == accuracy(outcome.values, test.labels)
        votes = knn.vote(train, test, classes=3, options=knn.Options())
        assert results["knn", stream].top1 == accuracy(votes, test.labels)
    total = np.zeros_like(scores["joint"])
    for stream, weight in (("joint", 0.6), ("bone", 0.6), ("motion", 0.4)):
        exponentials = np.exp(scores[stream])
        total += weight * exponentials / exponentials.sum(axis=1, keepdims=True)
    labels = both[0][1].labels.numpy()
    assert results["linear", "joint+motion+bone"].top1 == pytest.approx((total.argmax(1) == labels).mean())
    train, test = (concatenated([pair[half] for pair in both], unit=True) for half in (0, 1))
    assert train.values.shape[1] == sum(pair[0].values.shape[1] for pair in both)
    votes = knn.vote(train, test, classes=3, options=knn.Options())
    assert results["knn", "joint+motion+bone"].top1 == accuracy(votes, test.labels)


def scores(stream: str, *values: list[float]) -> Scores:
    about = {
        "protocol": "linear",
        "settings": {"lr": 1.0},
        "best_top1": 0.9,
        "encoder": stream,
        "stream": stream,
    }
    return Scores(("S1",), torch.tensor([0]), torch.tensor(values), names(2), **about)


def test_softmax_and_logits_are_fused_as_by_hand() -> None:
    """One stream is sure of class 0 in large logits, two are fairly sure of class 1."""
    given = [scores("joint", [9.0, 0.0]), scores("bone", [0.0, 2.0]), scores("motion", [0.0, 2.0])]
    sure, fair = 1 / (1 + np.exp(-9)), 1 / (1 + np.exp(-2))
    ours = ensemble.fused(given, ensemble.Options())
    expected = [(0.6 * sure + 1.0 * (1 - fair)) / 1.6, (0.6 * (1 - sure) + 1.0 * fair) / 1.6]
    assert ours.values[0].tolist() == pytest.approx(expected)
    assert (ours.kind, float(ours.values.sum())) == ("probabilities", pytest.approx(1))
    released = ensemble.fused(given, ensemble.Options(scores="logits"))
    assert released.values[0].tolist() == pytest.approx([0.6 * 9.0 / 1.6, (0.6 + 0.4) * 2.0 / 1.6])
    assert (ours.values.argmax(), released.values.argmax()) == (1, 0)
    assert ours.best_top1 is None
    assert released.settings == {
        "lr": 1.0,
        "fusion": {"of": "scores", "weights": {"joint": 0.6, "bone": 0.6, "motion": 0.4}, "scores": "logits"},
    }
    only = ensemble.fused(given, ensemble.Options(bone=0, motion=0, joint=2))
    assert only.values.argmax() == 0
    with pytest.raises(ConfigError, match=r"fusion\.joint: every stream has weight 0"):
        ensemble.fused(given, ensemble.Options(joint=0, bone=0, motion=0))


def test_a_cosine_of_unit_parts_is_the_mean_of_the_cosines() -> None:
    draw = torch.Generator().manual_seed(0)
    parts = [
        Features(scale * torch.randn(5, width, generator=draw), torch.arange(5))
        for scale, width in ((1, 3), (100, 7))
    ]
    cosine = torch.nn.functional.cosine_similarity
    found = concatenated(parts, unit=True).values
    mean = sum(cosine(part.values[:1], part.values) for part in parts) / 2
    torch.testing.assert_close(cosine(found[:1], found), mean)
    raw = concatenated(parts).values
    assert torch.equal(raw, torch.cat([part.values for part in parts], dim=1))


def test_fusion_options_reach_the_result(run: Path, store: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(run, tmp_path / "run"))
    options: dict[str, Any] = {**SHORT, "fusion": {"scores": "logits", "motion": 0}}
    found = evaluate_run(mine, protocols=["linear"], device="cpu", options=options)
    assert found[-1].settings["fusion"]["weights"] == {"joint": 0.6, "motion": 0.0, "bone": 0.6}
    assert found[-1].settings["fusion"]["scores"] == "logits"
    with pytest.raises(ConfigError, match=r"fusion\.jiont: unknown option\. Did you mean 'joint'"):
        evaluate_run(mine, device="cpu", options={"fusion": {"jiont": 1}})
    with pytest.raises(UsageError, match="unknown protocol 'fusion'"):
        evaluate_run(mine, protocols=["fusion"], device="cpu")
    single = tmp_path / "single"
    loop.pretrain(tiny_config(store, optimise__epochs=1), out=single)
    with pytest.raises(UsageError, match="skeletonclr trains one encoder, there is nothing to fuse"):
        evaluate_run(single, device="cpu", options={"fusion": {"bone": 1}})
    (only, _) = evaluate_run(single, device="cpu")
    assert (only.encoder, only.stream) == ("joint", "joint")
    assert (single / "results" / "knn-few_6.json").exists()


def test_probes_of_three_streams_learn_together(
    run: Path, store: Path, results: dict[tuple[str, str], EvaluationResult], tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(run, tmp_path / "run"))
    options = {"linear": {**SHORT["linear"], "streams": "together"}}
    found = evaluate_run(mine, protocols=["linear"], device="cpu", options=options)
    assert [each.encoder for each in found] == [*THREE, "joint+motion+bone"]
    assert all(each.top1 == results["linear", each.encoder].top1 for each in found[:3]), (
        "one by one as before"
    )
    assert found[3].settings["fusion"] == {"of": "probes"}
    assert found[3].best_top1 is not None
    both = [features(run, store, stream) for stream in THREE]
    train, test = (concatenated([pair[half] for pair in both]) for half in (0, 1))
    assert train.widths == tuple(pair[0].values.shape[1] for pair in both)
    chosen = linear.Options(**options["linear"])
    (expected,) = linear.evaluate(train, test, classes=names(3), seed=0, options=chosen)
    scores = read_scores(mine / "results" / str(found[3].scores))
    assert scores.kind == "logits"
    torch.testing.assert_close(scores.values, expected.values)
    crop = {"linear": options["linear"] | {"crop": {"frames": 8}}}
    cut = evaluate_run(mine, protocols=["linear"], device="cpu", options=crop)
    assert cut[3].settings["crop"]["frames"] == 8
    assert not torch.allclose(read_scores(mine / "results" / str(cut[3].scores)).values, expected.values)
    single = tmp_path / "single"
    loop.pretrain(tiny_config(store, optimise__epochs=1), out=single)
    with pytest.raises(UsageError, match=r"linear\.streams: skeletonclr trains one stream"):
        evaluate_run(single, protocols=["linear"], device="cpu", options=options)


def test_untrained_weights_are_random_in_every_stream(run: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("results")))
    found = evaluate_run(mine, device="cpu", untrained=True)
    assert all(result.top1 == result.random_knn for result in found if result.protocol == "knn")
    assert {result.checkpoint for result in found} == {"random weights"}
    assert not (mine / "results").exists()


@pytest.mark.parametrize(
    ("there", "absent", "flags"),
    [(("joint",), "motion and no bone", "--bone --motion"), (("joint", "bone"), "motion", "--motion")],
)
def test_streams_that_are_not_stored_are_named_with_the_command(
    run: Path, there: tuple[str, ...], absent: str, flags: str, tmp_path: Path
) -> None:
    """A store's hash does not depend on its streams: this is the run's own, before they were added."""
    command = rf"skeltools streams .*toy\.zarr {flags} --frames 12"
    message = f"few_6 has no {absent} stream of 12 frames.*{command}"
    fewer = write_store(tmp_path / "toy.zarr", streams=there)
    with pytest.raises(StoreError, match=message):
        evaluate_run(run, store=fewer, device="cpu")


def test_the_monitor_looks_at_the_first_stream(store: Path, tmp_path: Path) -> None:
    changes = {"method__options__streams": ["bone", "joint"], "runtime__knn_every": 1, "optimise__epochs": 1}
    loop.pretrain(tiny_config(store, method="crosclr", **changes), out=tmp_path / "run")
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    (line,) = (line for line in lines if line["event"] == "epoch")
    train, test = features(tmp_path / "run", store, "bone")
    votes = knn.vote(train, test, classes=3, options=knn.Options())
    assert line["monitor_knn"] == accuracy(votes, test.labels)
    plain = write_store(tmp_path / "plain.zarr")
    with pytest.raises(StoreError, match="few_6 has no bone stream"):
        loop.pretrain(tiny_config(plain, method="crosclr", **changes), out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_representations_share_the_stream_and_their_features_go_together(store: Path, tmp_path: Path) -> None:
    graph = {"name": "agcn", "options": {"channels": [4, 8], "stride_blocks": [2]}}
    values: dict[str, Any] = {
        "data.frames": 12,
        "encoder.options.units": 4,
        "encoder.options.layers": 1,
        "method.options.queue": 16,
        "method.options.representations": {"seq": None, "graph": graph},
        "optimise.epochs": 1,
        "optimise.batch_size": 4,
        "runtime.device": "cpu",
        "runtime.knn_every": 0,
    }
    overrides = [config.Override(path, value) for path, value in values.items()]
    loop.pretrain(
        config.resolve(stores.open_store(store), method="isc", overrides=overrides).config,
        out=tmp_path / "run",
    )
    found = evaluate_run(tmp_path / "run", protocols=["linear"], device="cpu", options=SHORT)
    assert [(each.encoder, each.stream) for each in found] == [
        ("seq", "joint"),
        ("graph", "joint"),
        ("seq+graph", "joint"),
    ]
    assert found[2].settings["fusion"] == {"of": "features"}
    assert found[2].best_top1 is not None, "a probe of its own on the features of both"


def result(protocol: str, encoder: str, top1: float) -> EvaluationResult:
    return EvaluationResult(
        protocol=protocol, settings={}, dataset="toy", synthetic=False, store="s", store_hash="",
        split="xview", convention="few_6", stream=encoder, encoder=encoder, method="crosclr", checkpoint="",
        checkpoint_hash="", epoch=1, train_samples=2, test_samples=2, top1=top1, seconds=0, tool="test",
    )  # fmt: skip


def test_the_best_encoder_is_single_and_of_several() -> None:
    rows = [result("knn", "joint", 0.5), result("knn", "bone", 0.6), result("knn", "joint+bone", 0.7)]
    rows.append(result("knn", "joint", 0.9).model_copy(update={"convention": "many_8"}))
    found = ensemble.best_encoders([*rows, result("linear", "joint", 0.9)])
    assert found == {("knn", "few_6", "bone")}, "one encoder in two conventions has no rival"
    assert ensemble.best_encoders([result("knn", "joint", 0.5)]) == set()


def test_results_of_earlier_versions_are_read() -> None:
    old = result("knn", "joint", 0.5).model_dump(exclude={"encoder"})
    assert EvaluationResult.model_validate(old).encoder == ""
