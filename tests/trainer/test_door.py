"""What ``import trainer`` offers."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainer
from schemas import CheckpointError, ConfigError, SkelError, UsageError
from tests.trainer.runs import TINY
from tests.trainer.stores import write_store
from trainer.export import export_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("door") / "store.zarr")


def test_a_run_is_trained_opened_and_evaluated(store: Path, tmp_path: Path) -> None:
    made = trainer.pretrain(
        store,
        method="skeletonclr",
        out=tmp_path / "run",
        epochs=1,
        device="cpu",
        settings=TINY | {"method.options.queue": 16},
    )
    run = trainer.open(tmp_path / "run", device="cpu")
    assert (run.config, run.checkpoint_hash) == (made.config, made.checkpoint_hash)
    assert run.config.optimise.epochs == 1
    (linear,) = run.evaluate("linear", options={"linear": {"epochs": 1}})
    assert linear.protocol == "linear"
    assert 0 <= linear.top1 <= 1
    encoder = run.encoder()
    spec = next(iter(run.skeletons.values()))
    clips = torch.zeros(2, 3, run.config.data.frames, spec.num_joints, 2)
    assert encoder(clips, next(iter(run.skeletons))).shape[0] == 2


def test_wrong_settings_are_named_by_their_paths(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'aimclr'"):
        trainer.pretrain(store, method="aimcrl", out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"optimise\.lr"):
        trainer.pretrain(store, method="skeletonclr", out=tmp_path / "run", settings={"optimise.lr": "fast"})
    with pytest.raises(CheckpointError):
        trainer.open(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_blocks_are_checked_by_name(store: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'shear'"):
        trainer.augmentation("sheer")
    skeletons = trainer.skeletons(trainer.open_store(store), ["few_6"])
    with pytest.raises(UsageError, match="Did you mean 'stgcn'"):
        trainer.encoder("st-gcn", skeletons)
    with pytest.raises(ConfigError, match=r"encoder\.options\.layers"):
        trainer.encoder("stgcn", skeletons, layers=3)


def test_the_seed_of_an_encoder_is_its_weights(store: Path) -> None:
    skeletons = trainer.skeletons(trainer.open_store(store), ["few_6"])
    one, same, other = (
        trainer.encoder("stgcn", skeletons, seed=seed, channels=[4, 8], stride_blocks=[2])
        for seed in (1, 1, 2)
    )
    weights = [torch.cat([p.flatten() for p in each.parameters()]) for each in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


# --- training -----------------------------------------------------------------------------------------------

SHORT = TINY | {"method.options.queue": 16, "runtime.knn_every": 0, "optimise.schedule": "step"}


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("door") / "run"
    trainer.pretrain(store, method="skeletonclr", out=out, epochs=2, device="cpu", settings=SHORT)
    return out


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    export_run(run, run.parent / "exported")
    return run.parent / "exported"


def test_settings_are_dotted_nested_or_in_a_file(store: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("optimise: {lr: 0.5, epochs: 7}\n", encoding="utf-8")
    nested = {
        "data": {"frames": 12},
        "optimise": {"lr": 0.25, "momentum": 0.5, "batch_size": 8},
        "encoder": {"options": {"channels": [4, 6], "stride_blocks": [2]}, "name": "stgcn"},
        "method.options.queue": 16,
        "runtime.knn_every": 0,
    }
    made = trainer.pretrain(
        store,
        method="skeletonclr",
        out=tmp_path / "run",
        config=tmp_path / "run.yaml",
        epochs=1,
        settings=nested,
    )
    assert (made.config.optimise.epochs, made.config.optimise.lr, made.config.optimise.momentum) == (
        1,
        0.25,
        0.5,
    )
    assert made.config.encoder.options["channels"] == [4, 6]


def test_a_run_goes_on_where_it_was(store: Path, tmp_path: Path, run: Path) -> None:
    options: dict[str, Any] = {"device": "cpu", "settings": SHORT}
    trainer.pretrain(store, method="skeletonclr", out=tmp_path / "run", epochs=1, **options)
    resumed = trainer.pretrain(out=tmp_path / "run", resume=True, epochs=2)
    whole = trainer.open(run, device="cpu")
    assert resumed.config.optimise.epochs == 2
    for name, weight in whole.checkpoint.model.items():
        assert torch.equal(weight, resumed.checkpoint.model[name]), name


def test_a_stop_saves_everything_and_is_python_s_own(store: Path, tmp_path: Path) -> None:
    def stop(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"everything is saved; .*resume=True"):
        trainer.pretrain(
            store, method="skeletonclr", out=tmp_path / "run", epochs=2, settings=SHORT, on_progress=stop
        )
    with pytest.raises(CheckpointError, match="the run is not finished"):
        trainer.open(tmp_path / "run")
    assert trainer.pretrain(out=tmp_path / "run", resume=True).checkpoint.epoch == 2


def test_a_run_says_what_it_is_and_how_it_went(run: Path) -> None:
    opened = trainer.open(run, device="cpu")
    assert (
        repr(opened)
        == f"<run {run}: skeletonclr/{opened.config.preset.split('/')[1]} on few_6, 2 of 2 epochs>"
    )
    losses = [record["loss"] for record in opened.metrics if record["event"] == "epoch"]
    assert len(losses) == 2
    (run / "metrics.jsonl").rename(run / "away")
    assert opened.metrics == ()
    (run / "away").rename(run / "metrics.jsonl")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"store": None}, "needs a store. Make one with skeltools.convert"),
        ({"method": None}, "no method given"),
        ({"method": 5}, r"method=...\): expected text or None, found 5"),
        ({"epochs": 0}, "optimise.epochs: expected a number greater than or equal to 1"),
        ({"epochs": "many"}, r"epochs=...\): expected a whole number or None"),
        ({"conventions": "few_6"}, "expected a list of names or None, found 'few_6'"),
        ({"conventions": ["few_7"]}, "no convention 'few_7'"),
        ({"split": "xsubb"}, "no split 'xsubb'"),
        ({"stream": "bon"}, "data.stream: expected 'joint', 'bone' or 'motion'"),
        ({"settings": 5}, "expected a mapping or None"),
        ({"settings": {"optimise": {"lrr": 1}}}, "optimise.lrr: unknown key. Did you mean 'lr'"),
        ({"settings": {"optimise": 5}}, "optimise: is a value"),
        ({"config": "nowhere.yaml"}, "cannot read the settings"),
        ({"init_from": "nowhere"}, "expected a run folder"),
        ({"init_skip": ["x"]}, "no weights to leave out. Add init_from"),
        ({"resume": True}, "no checkpoint here"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"lr": 0.1}, "takes no argument 'lr'"),
        ({"on_progress": 5}, "expected a function or None"),
    ],
)
def test_a_training_that_cannot_be_is_a_sentence(
    store: Path, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    given = {"store": store, "method": "skeletonclr", "out": tmp_path / "run", "epochs": 1}
    with pytest.raises(SkelError, match=words):
        trainer.pretrain(**given | options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("protocols", "options", "words"),
    [
        (["linaer"], {}, "unknown protocol 'linaer'. Did you mean 'linear'"),
        ([5], {}, "expected text, found 5"),
        (["knn"], {"options": {"knn": {"q": 1}}}, "knn.q: unknown option"),
        (["knn"], {"options": {"knn": 1}}, "expected a mapping or None, found 1"),
        (["knn"], {"conventions": "few_6"}, "expected a list of names"),
        (["knn"], {"conventions": ["q"]}, "the encoder was trained on few_6"),
        (["knn"], {"target": 5}, "expected a path or None, found 5"),
    ],
)
def test_an_evaluation_that_cannot_be_is_a_sentence(
    run: Path, protocols: list[Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SkelError, match=words):
        trainer.open(run, device="cpu").evaluate(*protocols, **options)


# --- encoders -----------------------------------------------------------------------------------------------


def test_an_encoder_is_the_same_from_its_run_and_its_export(run: Path, exported: Path) -> None:
    one, other = trainer.load_encoder(run), trainer.load_encoder(exported)
    clips = torch.randn(3, 3, one.frames, 6, one.bodies, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one(clips), other(clips))
    assert torch.equal(one(clips), trainer.open(run, device="cpu").encoder()(clips, "few_6"))
    assert one.card.model_copy(update={"weights_hash": ""}) == other.card.model_copy(
        update={"weights_hash": ""}
    )
    assert (one.stream, one.convention, list(one.conventions)) == ("joint", "few_6", ["few_6"])
    assert (one.feature_dim, one.recipe.name) == (one(clips).shape[1], other.card.recipe.name)
    assert not one.training
    assert not any(parameter.requires_grad for parameter in one.parameters())


def test_arrays_give_arrays(exported: Path) -> None:
    encoder = trainer.load_encoder(exported)
    clips = np.random.default_rng(0).normal(size=(4, 3, 12, 6, 2)).astype(np.float32)
    features = encoder(clips)
    assert isinstance(features, np.ndarray)
    np.testing.assert_array_equal(features, encoder(torch.from_numpy(clips)).numpy())
    np.testing.assert_array_equal(encoder(clips[::-1]), features[::-1])
    clips.flags.writeable = False
    np.testing.assert_array_equal(encoder(clips), features)
    encoder.requires_grad_(True)
    assert isinstance(encoder(clips), np.ndarray)


CLIPS = np.ones((2, 3, 12, 6, 2), np.float32)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((None,), "expected a tensor or a NumPy array, found NoneType"),
        ((CLIPS.tolist(),), "found list. np.stack"),
        ((CLIPS.astype(float),), r"the clips are float64, expected float32. Call clips.astype\(np.float32\)"),
        ((torch.ones(CLIPS.shape).double(),), r"expected torch.float32. Call clips.float\(\)"),
        ((CLIPS.astype(object),), "the clips are object"),
        ((CLIPS[0],), r"shape \[3, 12, 6, 2\], expected \[N, 3, T, 6, M\] for few_6"),
        ((CLIPS[:, :, :, :4],), "expected"),
        ((CLIPS[:0],), "expected"),
        ((CLIPS, "coco_17"), "the encoder knows few_6, not 'coco_17'"),
        ((CLIPS, 5), "the encoder knows few_6, not '5'"),
        (
            (torch.ones(CLIPS.shape, device="meta"),),
            r"the clips are on meta, the encoder on cpu. Call clips.to",
        ),
    ],
)
def test_clips_that_do_not_fit_are_a_sentence(exported: Path, given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        trainer.load_encoder(exported)(*given)


def test_an_export_is_no_run_and_the_other_way_round(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"is an exported encoder, no run. Open it with trainer.load_encoder"
    ):
        trainer.open(exported)
    with pytest.raises(CheckpointError, match=r"no encoder.json here"):
        trainer.load_encoder(tmp_path)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", None, [], "cpu:x"])
def test_a_device_that_is_not_there_is_a_sentence(exported: Path, device: Any) -> None:
    with pytest.raises(UsageError, match="Choose cpu, cuda, cuda:N or mps"):
        trainer.load_encoder(exported, device=device)


def test_an_encoder_is_asked_for_by_its_name(run: Path, exported: Path) -> None:
    for path in (run, exported):
        assert trainer.load_encoder(path, encoder="joint").card.name == "joint"
        with pytest.raises(UsageError, match="'bone'"):
            trainer.load_encoder(path, encoder="bone")


# --- blocks -------------------------------------------------------------------------------------------------


def test_neighbours_vote_for_arrays_as_for_tensors() -> None:
    draws = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(20, 4, generator=draws), torch.randn(5, 4, generator=draws)
    labels = torch.arange(20) % 3
    votes = trainer.knn(bank, labels, queries, classes=3, k=5)
    arrays = trainer.knn(bank.numpy(), labels.numpy(), queries.numpy(), classes=3, k=5)
    assert isinstance(arrays, np.ndarray)
    np.testing.assert_array_equal(arrays, votes.numpy())
    truth = votes.argmax(dim=1)
    assert trainer.accuracy(votes, truth) == trainer.accuracy(arrays, truth.numpy()) == 1.0


ROWS, LABELS = np.eye(4), np.arange(4)
UNIT = torch.eye(4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: trainer.knn(ROWS, LABELS[:3], ROWS, classes=4), "do not fit"),
        (lambda: trainer.knn(ROWS, LABELS, ROWS[:, :2], classes=4), "do not fit"),
        (lambda: trainer.knn(ROWS[0], LABELS, ROWS, classes=4), r"train has shape \[4\], expected 2 axes"),
        (
            lambda: trainer.knn(ROWS, LABELS, ROWS, classes=2),
            "labels run from 0 to 3, but there are 2 classes",
        ),
        (lambda: trainer.knn(ROWS, LABELS + 0.5, ROWS, classes=4), "expected whole numbers"),
        (lambda: trainer.knn(ROWS, LABELS, ROWS, classes=4, k=0), "knn.k: expected a number"),
        (
            lambda: trainer.knn(ROWS, LABELS, ROWS, classes=4, temperature=0),
            "knn.temperature: expected a number",
        ),
        (lambda: trainer.accuracy(ROWS, LABELS[:2]), "do not fit"),
        (lambda: trainer.accuracy(ROWS, LABELS, top=0), "expected a whole number"),
        (lambda: trainer.augmentation(("shear",)), "expected the name of an augmentation, or its name and"),
        (lambda: trainer.augmentation(("shear", {"amplitude": "x"})), "amplitude: expected a number"),
        (lambda: trainer.encoder("stgcn", {}), "an encoder needs a skeleton"),
        (lambda: trainer.info_nce(UNIT, UNIT[:1], UNIT, temperature=0.1), "do not fit"),
        (lambda: trainer.info_nce(UNIT, UNIT, UNIT[:, :1], temperature=0.1), "do not fit"),
        (lambda: trainer.info_nce(UNIT, UNIT, UNIT, temperature=0), "expected a number larger than 0"),
    ],
)
def test_blocks_that_do_not_fit_are_a_sentence(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"part": "val"}, "expected 'train' or 'test', found 'val'"),
        ({"split": "q"}, "no split 'q'"),
        ({"conventions": []}, "should have at least 1 item"),
        ({"conventions": "few_6"}, "expected a list of names"),
        ({"frames": 7}, "no joint stream of 7 frames"),
        ({"stream": "bon"}, "expected 'joint' or 'bone' or 'motion'"),
    ],
)
def test_clips_that_cannot_be_loaded_are_a_sentence(store: Path, options: dict[str, Any], words: str) -> None:
    opened = trainer.open_store(store)
    given = {
        "split": next(iter(opened.manifest.protocols)),
        "part": "train",
        "conventions": ["few_6"],
        "frames": 12,
    }
    assert len(trainer.load_clips(opened, **given)) > 1
    with pytest.raises(SkelError, match=words):
        trainer.load_clips(opened, **given | options)
