"""A trained encoder at work: raw clips through the card's recipe, features, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import skeltools
import trainer
from schemas import SkelError, UsageError
from tests.trainer.own import FRAMES, own_store, raw_clips
from tests.trainer.runs import tiny_config
from trainer import loop
from trainer.export import export_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_store(tmp_path_factory.mktemp("own") / "own.zarr")


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    loop.pretrain(tiny_config(store, data__frames=FRAMES), out=out)
    return out


@pytest.fixture(scope="module")
def model(run: Path) -> trainer.Model:
    return trainer.load(run)


@pytest.mark.parametrize("stream", ["joint", "bone", "motion"])
def test_raw_clips_become_what_the_store_has_bit_for_bit(store: Path, tmp_path: Path, stream: str) -> None:
    loop.pretrain(tiny_config(store, data__stream=stream, optimise__epochs=1), out=tmp_path / "run")
    loaded = trainer.load(tmp_path / "run")
    opened = skeltools.open(store)
    expected = opened.stream(stream, frames=FRAMES)[:]
    clips = [clip for _, clip in sorted(raw_clips().items())]
    assert sorted(raw_clips()) == list(opened.ids)
    assert np.array_equal(loaded.preprocess(clips), expected)
    assert np.array_equal(loaded.preprocess(list(opened.clips())), expected)
    assert np.array_equal(loaded.preprocess(clips[0]), expected[:1])


def test_features_of_an_export_a_run_and_the_bare_encoder_are_equal(
    run: Path, model: trainer.Model, tmp_path: Path
) -> None:
    export_run(run, tmp_path / "out")
    clips = list(raw_clips().values())
    prepared = model.preprocess(clips)
    expected = trainer.load_encoder(run)(prepared)
    assert np.array_equal(model.embed(clips), expected)
    assert np.array_equal(model.embed(prepared), expected)
    assert np.array_equal(trainer.load(tmp_path / "out").embed(raw_clips()), expected)


def test_tensors_give_tensors_and_arrays_give_arrays(model: trainer.Model) -> None:
    array = next(iter(raw_clips().values()))
    tensor = torch.from_numpy(array)
    for given in (array, [array], {"one": array}, model.preprocess(array)):
        assert isinstance(model.embed(given), np.ndarray)
    for given in (tensor, [tensor], model.preprocess(tensor)):
        assert isinstance(model.embed(given), torch.Tensor)
        assert not model.embed(given).requires_grad
    assert np.array_equal(model.embed(tensor).numpy(), model.embed(array))


def test_one_person_without_an_axis_of_bodies(model: trainer.Model) -> None:
    clip = next(iter(raw_clips().values()))
    assert np.array_equal(model.embed(clip[:, 0]), model.embed(clip[:, :1]))


def test_joints_that_were_not_seen_are_filled(model: trainer.Model) -> None:
    clip = next(iter(raw_clips().values())).copy()
    clip[3:5, 0, 9] = np.nan
    assert np.isfinite(model.preprocess(clip)).all()
    assert np.isfinite(model.embed(clip)).all()


PREPARED = np.zeros((2, 3, FRAMES, 17, 1), np.float32)
NOBODY = np.full((9, 1, 17, 3), np.nan)


def _changed(value: float) -> NDArray[np.float32]:
    clips = PREPARED.copy()
    clips[1, 0, 3] = value
    return clips


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((9, 24, 3)), "24 joints, but coco_17 has 17: nose, left_eye, right_eye.*skeltools map"),
        (PREPARED[:, :, :, :16], r"shape \[2, 3, 12, 16, 1\], expected \[N, 3, T, 17, M\] for coco_17"),
        (PREPARED[:, :, :8], "8 frames, the encoder was trained on 12.*preprocess"),
        (np.zeros((2, 3, FRAMES, 17, 4), np.float32), "4 bodies, the encoder was trained on 1"),
        (PREPARED.astype(np.float64), r"float64, expected float32.*astype"),
        (_changed(np.nan), "clip 1 has values that are not finite.*model.preprocess"),
        (torch.from_numpy(_changed(np.inf)), "clip 1 has values that are not finite"),
        (np.zeros((2, 9, 1, 17, 3), np.float32), r"raw joints \[N, T, M, V, 3\].*preprocess\(list"),
        ([], "there is no clip"),
        ("clip.npy", "expected joints .*found str.*`trainer predict` reads files"),
        (7, "expected joints .*found int"),
        (
            [next(iter(raw_clips().values())) * np.float32(1e36)],
            "clip 0 has features .*metres",
        ),
        ([np.zeros((9, 17))], r"joints of shape \(9, 17\), expected"),
    ],
)
def test_what_does_not_fit_is_a_sentence(model: trainer.Model, given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model.embed(given)


def test_nobody_and_unknown_conventions_are_refused(model: trainer.Model) -> None:
    with pytest.raises(SkelError, match="leaves nothing of the clip"):
        model.embed(NOBODY)
    with pytest.raises(UsageError, match=r"the encoder knows coco_17, not 'kinectv2_25'.*skeltools map"):
        model.embed(next(iter(raw_clips().values())), convention="kinectv2_25")
    with pytest.raises(UsageError, match="the encoder knows coco_17, not 'h36m'"):
        model.embed(PREPARED, convention="h36m")


def test_the_model_says_what_it_takes(model: trainer.Model) -> None:
    assert repr(model).startswith("<model of skeletonclr joint: coco_17, 12 frames, 1 bodies, ")
    assert (model.card.input.frames, list(model.conventions)) == (FRAMES, ["coco_17"])
