"""From a kept classifier to an answer: the same in memory, from a run, from an export and from ONNX."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import skeltools
import trainer
from schemas import CheckpointError, SkelError, UsageError
from tests.trainer.command import call
from tests.trainer.own import CLASSES, FRAMES, own_store, raw_clips
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import write_store
from trainer import loop
from trainer import store as stores
from trainer.cli import cli
from trainer.evaluate import heads
from trainer.evaluate.heads import ClassifierCard, Head, Recipe, Sureness
from trainer.export import export_run
from trainer.export.classifier import Kept
from trainer.run import RESULTS, open_run
from trainer.use.answers import answers
from trainer.use.model import every
from trainer.use.predictions import Predictions, predicted, threshold, together
from trainer.use.sources import Asked

COUNT = 90
RAW = {
    "name": "raw",
    "steps": [{"name": "first_tracks", "options": {}}, {"name": "resize", "options": {"absent": "masked"}}],
}
QUICK = {
    "linear": {"epochs": 30, "standardise": True},
    "finetune": {"epochs": 2, "batch_size": 16, "lr": 0.02, "calibrate": True},
    "supervised": {"epochs": 1, "batch_size": 16, "lr": 0.02},
    "semi": {"epochs": 1, "batch_size": 8, "lr": 0.02, "shares": [20], "draws": 2},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_store(tmp_path_factory.mktemp("own") / "own.zarr", count=COUNT)


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluated by all protocols that learn something."""
    out = tmp_path_factory.mktemp("runs") / "run"
    loop.pretrain(tiny_config(store, data__frames=FRAMES), out=out)
    open_run(out, device="cpu").evaluate(*QUICK, options=QUICK)
    return out


@pytest.fixture(scope="module")
def half(store: Path) -> list[Any]:
    """The raw clips of the test half, in the store's order."""
    opened, clips = skeltools.open(store), raw_clips(COUNT)
    return [clips[opened.ids[row]] for row in opened.rows("xsub", "test")]


@pytest.mark.parametrize("figure", ["linear", "finetune", "supervised", "semi-20"])
def test_raw_clips_get_the_scores_of_the_evaluation(run: Path, half: list[Any], figure: str) -> None:
    result = next(each.result for each in open_run(run, device="cpu").results if each.result.figure == figure)
    assert result.classifier == f"{figure}-coco_17.safetensors"
    assert result.classes == CLASSES
    scores = np.load(run / RESULTS / f"{figure}-coco_17.npz")["scores"]
    model = trainer.load(run, classifier=figure)
    found = model.predict(half)
    assert found.calibrated == (figure in ("linear", "finetune"))
    head = model.classifier("coco_17").head
    temperature = head.sureness.temperature if head.sureness else 1.0
    expected = torch.from_numpy(scores / np.float32(temperature)).softmax(dim=1).numpy()
    assert np.abs(found.probabilities - expected).max() < 1e-6
    assert np.array_equal(found.labels, scores.argmax(1))
    assert found.names == tuple(CLASSES[label] for label in scores.argmax(1))


def test_an_export_and_its_graph_answer_as_the_run(run: Path, half: list[Any], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    for figure in ("linear", "finetune"):
        out = tmp_path / figure
        card = export_run(run, out, classifier=figure, onnx=True)
        assert (card.format, card.classifiers["coco_17"].figure) == (2, figure)
        assert card.classifiers["coco_17"].finetuned == (figure == "finetune")
        exported, own = trainer.load(out), trainer.load(run, classifier=figure)
        expected = own.predict(half)
        assert np.array_equal(exported.predict(half).probabilities, expected.probabilities)
        assert exported.classes == CLASSES
        session = onnxruntime.InferenceSession(str(out / "classifier-coco_17.onnx"))
        for clips in (half, half[:1]):
            prepared = exported.preprocess(clips)
            features, _, probabilities = session.run(None, {"clips": prepared})
            assert np.abs(features - exported.embed(prepared)).max() < 1e-5
            assert np.abs(probabilities - exported.predict(prepared).probabilities).max() < 1e-5


def test_the_first_protocol_is_asked_when_none_is_named(run: Path) -> None:
    assert trainer.load(run).classifier("coco_17").card.figure == "linear"


def test_a_run_without_a_classifier_embeds_and_says_how_to_get_one(
    run: Path, tmp_path: Path, half: list[Any]
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(run, bare, ignore=shutil.ignore_patterns(RESULTS))
    model = trainer.load(bare)
    assert model.embed(half[:1]).shape == (1, model.card.feature_dim)
    with pytest.raises(UsageError, match=r"no classifier of coco_17. Make one with `trainer evaluate RUN"):
        model.predict(half[:1])
    with pytest.raises(SkelError, match=r"no result of linear coco_17 joint; there is none"):
        trainer.load(bare, classifier="linear")
    export_run(bare, tmp_path / "out")
    assert '"classifiers"' not in (tmp_path / "out" / "encoder.json").read_text()
    with pytest.raises(UsageError, match="the export has none, not that of linear"):
        trainer.load(tmp_path / "out", classifier="linear")


def test_a_figure_that_learns_nothing_is_refused_with_those_that_learn(run: Path, tmp_path: Path) -> None:
    both = Path(shutil.copytree(run, tmp_path / "both"))
    evaluate_run(both, protocols=["knn"], device="cpu")
    with pytest.raises(
        SkelError, match=r"nothing is learned\. Choose one of linear, finetune, supervised, semi"
    ):
        trainer.load(both, classifier="knn")


def test_a_classifier_of_another_checkpoint_is_refused(run: Path, store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    loop.pretrain(tiny_config(store, data__frames=FRAMES, runtime__seed=5, optimise__epochs=1), out=other)
    shutil.copytree(run / RESULTS, other / RESULTS)
    assert not trainer.load(other).classifiers, "results of other weights are not this run's"
    with pytest.raises(SkelError, match=r"of another checkpoint.*trainer evaluate .* --protocol linear"):
        trainer.load(other, classifier="linear")


def test_a_damaged_classifier_of_an_export_is_refused(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "out", classifier="linear")
    file = tmp_path / "out" / "classifier-coco_17.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="not the classifier of the card, or it is damaged"):
        trainer.load(tmp_path / "out")
    file.unlink()
    with pytest.raises(CheckpointError, match=r"no classifier-coco_17.safetensors beside the card"):
        trainer.load(tmp_path / "out")


def test_the_command_takes_the_classifier_along(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli.main(["export", str(run), "--classifier", "semi-20", "--out", str(out)], standalone_mode=False)
    assert trainer.load(out).classifier("coco_17").card.figure == "semi-20"
    with pytest.raises(SkelError, match="no result of knn"):
        export_run(run, tmp_path / "knn", classifier="knn")


def test_unknown_clips_are_told_by_energy_or_distance(run: Path, half: list[Any]) -> None:
    model = trainer.load(run)
    strange = [clip[..., [2, 0, 1]] * np.float32(40) for clip in half[:8]]
    for by in ("energy", "distance"):
        everyone = model.predict(half, unknown=by, keep=1.0)
        some = model.predict(half, unknown=by, keep=0.5)
        assert some.known.sum() <= everyone.known.sum()
        assert all(name == "unknown" for name, known in zip(some.names, some.known, strict=True) if not known)
    assert model.predict(half).known.all()
    assert (model.predict(strange).distance > np.median(model.predict(half).distance)).any()
    with pytest.raises(UsageError, match=r"semi-20 saw all training clips.*semi.calibrate=true"):
        trainer.load(run, classifier="semi-20").predict(half[:1], unknown="energy")


def kept(width: int = 3) -> Kept:
    shares = torch.linspace(0, 1, heads.SHARES)
    card = ClassifierCard(
        format=1, tool="test", figure="linear", settings={}, classes=("a", "b"), convention="c",
        stream="joint", encoder="joint", frames=1, bodies=1, recipe=Recipe(name="default", steps=()),
        dataset="d", synthetic=False, split="s", store_hash="", checkpoint_hash="",
        train_samples=1, test_top1=0, temperature=2.0, held_out=50,
    )  # fmt: skip
    sure = Sureness(2.0, 50, shares * 10 - 5, shares * 2)
    return Kept(
        Head(
            torch.eye(2, width),
            torch.zeros(2),
            centre=torch.zeros(width),
            means=torch.eye(2, width),
            sureness=sure,
        ),
        card,
    )


def test_thresholds_are_quantiles_between_the_kept_ones() -> None:
    each = kept()
    assert threshold(each.head.sureness, "energy", 0.95, each, where=None) == pytest.approx(4.5)
    assert threshold(each.head.sureness, "distance", 0.555, each, where=None) == pytest.approx(1.11)
    for share in (0.0, 1.5):
        with pytest.raises(UsageError, match="expected a share"):
            threshold(each.head.sureness, "energy", share, each, where=None)
    with pytest.raises(UsageError, match="Did you mean 'energy'"):
        threshold(each.head.sureness, "enery", 0.5, each, where=None)


def test_probabilities_are_those_of_the_temperature_and_streams_are_weighed() -> None:
    features = torch.tensor([[2.0, 0, 0], [0, 0, 5]])
    one = predicted(kept(), features, by="distance", keep=0.25)
    assert torch.allclose(one.probabilities, torch.tensor([[2.0, 0], [0, 0]]).div(2).softmax(1))
    assert one.known.tolist() == [True, False]
    assert one.names == ("a", "unknown")
    assert one.top(1)[0][0][0] == "a"
    other: Predictions = predicted(kept(), features.flip(1), by=None, keep=1)
    both = together([one, other], [0.6, 0.4])
    assert torch.allclose(both.probabilities, one.probabilities * 0.6 + other.probabilities * 0.4)
    with pytest.raises(UsageError, match="other classes"):
        together([one, Predictions(("x", "y"), *[one.probabilities] * 4, True)], [1, 1])


def test_stretches_of_the_clips_are_cut_as_in_the_evaluation(
    run: Path, half: list[Any], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    crop = {"train": [0.5, 1.0], "test": 0.7}
    options = {"linear": {"epochs": 3, "crop": crop}, "finetune": {**QUICK["finetune"], "crop": crop}}
    open_run(copy, device="cpu").evaluate("linear", "finetune", options=options)
    for figure in ("linear", "finetune"):
        scores = np.load(copy / RESULTS / f"{figure}-coco_17.npz")["scores"]
        model = trainer.load(copy, classifier=figure)
        found = model.predict(half)
        head = model.classifier("coco_17").head
        assert head.sureness is not None
        expected = torch.from_numpy(scores / np.float32(head.sureness.temperature)).softmax(dim=1).numpy()
        assert np.abs(found.probabilities - expected).max() < 1e-6
        with pytest.raises(UsageError, match="saw stretches of the clips, which the graph cannot cut"):
            export_run(copy, tmp_path / figure, classifier=figure, onnx=True)


def test_every_convention_of_a_run_has_its_own_classifier(tmp_path: Path) -> None:
    store = write_store(tmp_path / "two.zarr", conventions=("few_6", "many_8"), samples=90)
    run = tmp_path / "run"
    loop.pretrain(tiny_config(store, method="ms-clr", optimise__epochs=1), out=run)
    quick = {"linear": {"epochs": 3}, "finetune": {"epochs": 1, "batch_size": 16, "lr": 0.01}}
    open_run(run, device="cpu").evaluate("linear", "finetune", conventions=["all"], options=quick)
    test = stores.load(
        stores.open_store(store), split="xview", part="test", conventions=["few_6", "many_8"], frames=12
    )
    for figure in ("linear", "finetune"):
        model = trainer.load(run, classifier=figure)
        for name, clips in test.clips.items():
            scores = np.load(run / RESULTS / f"{figure}-{name}.npz")["scores"]
            assert np.array_equal(model.predict(clips.numpy(), name).labels, scores.argmax(1))
    card = export_run(run, tmp_path / "out", classifier="linear")
    assert sorted(card.classifiers) == ["few_6", "many_8"]
    with pytest.raises(UsageError, match=r"finetune has an encoder of its own for each of few_6, many_8"):
        export_run(run, tmp_path / "tuned", classifier="finetune")
    export_run(run, tmp_path / "tuned", classifier="finetune", conventions=["many_8"])
    scores = np.load(run / RESULTS / "finetune-many_8.npz")["scores"]
    tuned = trainer.load(tmp_path / "tuned").predict(test.clips["many_8"].numpy())
    assert np.array_equal(tuned.labels, scores.argmax(1))
    assert not tuned.calibrated


def test_representations_of_one_stream_answer_together(tmp_path: Path) -> None:
    store = write_store(tmp_path / "toy.zarr", samples=90)
    run = tmp_path / "isc"
    loop.pretrain(tiny_config(store, method="isc", optimise__epochs=1), out=run)
    open_run(run, device="cpu").evaluate("linear", options={"linear": {"epochs": 3}})
    models = every(run)
    assert list(models) == ["seq", "graph"]
    asked = Asked((store,), part="test")
    (answer,) = answers(models, asked, on_problem=pytest.fail)
    alone = [next(answers({name: each}, asked, on_problem=pytest.fail)) for name, each in models.items()]
    mean = (alone[0].said.probabilities + alone[1].said.probabilities) / 2
    assert np.abs(answer.said.probabilities - mean).max() < 1e-6


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store whose second convention lacks some clips, and a run with a classifier for each."""
    folder = tmp_path_factory.mktemp("two")
    store = write_store(
        folder / "two.zarr",
        conventions=("few_6", "many_8"),
        samples=90,
        streams=("joint", "bone", "motion"),
        missing={"many_8": (6, 7, 15)},
        manifest={"recipe": RAW},
    )
    changes = {"method__options__base__name": "crosclr", "optimise__epochs": 1}
    loop.pretrain(tiny_config(store, method="ms-clr", **changes), out=folder / "run")
    open_run(folder / "run", device="cpu").evaluate(
        "linear", conventions=["all"], options={"linear": {"epochs": 3}}
    )
    return folder / "run", store


def shares(found: Any) -> dict[str, Any]:
    return {
        id: row
        for each in found
        for id, row in zip(each.ids, np.asarray(each.said.probabilities), strict=True)
    }


def test_streams_and_conventions_answer_together(two: tuple[Path, Path]) -> None:
    run, store = two
    models, asked = every(run), Asked((store,), part="test")
    found = list(answers(models, asked, conventions=["all"], on_problem=pytest.fail))
    weights = {"joint": 0.6, "bone": 0.6, "motion": 0.4}
    by_name = {
        name: {
            stream: shares(answers({stream: model}, asked, conventions=[name], on_problem=pytest.fail))
            for stream, model in models.items()
        }
        for name in ("few_6", "many_8")
    }
    ids = {each.convention: set(each.ids) for each in found}
    assert ids["few_6"] == {"S006", "S007", "S015"}
    assert set(ids) == {"few_6+many_8", "few_6"}
    for id, row in shares(found).items():
        names = [name for name in by_name if id in by_name[name]["joint"]]
        assert len(names) == (1 if id in ids["few_6"] else 2)
        expected = sum(
            weights[stream] / 1.6 / len(names) * by_name[name][stream][id]
            for name in names
            for stream in weights
        )
        assert np.abs(row - expected).max() < 1e-6
    only = answers(
        models,
        asked,
        conventions=["few_6"],
        weights={"joint": 1, "bone": 0, "motion": 0},
        on_problem=pytest.fail,
    )
    joint = by_name["few_6"]["joint"]
    assert all(np.abs(row - joint[id]).max() < 1e-6 for id, row in shares(only).items())
    plain = shares(answers(models, asked, on_problem=pytest.fail))
    first = shares(answers(models, asked, conventions=["few_6"], on_problem=pytest.fail))
    assert all(np.array_equal(row, first[id]) for id, row in plain.items())


def test_conventions_from_the_command_line(
    two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, store = two
    np.save(tmp_path / "eight.npy", np.random.default_rng(0).normal(size=(30, 8, 3)))
    both = ("--convention", "few_6", "--convention", "many_8")
    code, out, error = call(capsys, "predict", run, store, tmp_path / "eight.npy", *both, "--json")
    assert code == 0, error
    records = json.loads(out)
    assert records[-1]["id"] == "eight"
    assert records[-1]["convention"] == "many_8", "a raw file is in one convention"
    assert {each["convention"] for each in records[:-1]} == {"few_6+many_8", "few_6"}
    code, out, error = call(capsys, "predict", run, tmp_path / "eight.npy", "--convention", "all")
    assert (code, out.split("\t")[0]) == (0, "eight"), error
    for given, message in [
        (
            ("--convention", "all", "--encoder", "bone", "--unknown", "energy"),
            "Choose one, as --convention few_6",
        ),
        (("--weights", "joint=0"), "every stream has weight 0"),
        (("--weights", "legs=1"), "expected paper, equal or STREAM=NUMBER"),
        (("--convention", "coco_17"), "the encoder knows few_6, many_8, not 'coco_17'"),
        (("--follow", "--convention", "all"), "one --convention"),
    ]:
        code, _, error = call(capsys, "predict", run, *([] if "--follow" in given else [store]), *given)
        assert code == 2, error
        assert message in error
