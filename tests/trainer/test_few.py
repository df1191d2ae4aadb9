"""Stores of few clips: settings that fit are taken, told, and given up for what the user asks for."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

import trainer
from tests.trainer.command import call
from tests.trainer.runs import tiny_arguments
from tests.trainer.stores import write_store
from trainer import config, few, loop
from trainer import store as stores
from trainer.config import Override, Settings
from trainer.store import Store

METHODS = [name for name in config.preset_methods() if few.SMALL in config.preset_names(name)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("data")
    path = write_store(folder / "own.zarr", conventions=("few_6", "many_8"), samples=144, frames=(12, 30))
    return stores.open_store(path)


def resolved(store: Store, *pairs: tuple[str, Any], method: str = "skeletonclr", **more: Any) -> Settings:
    return config.resolve(store, method=method, overrides=[Override(*pair) for pair in pairs], **more)


def queue_of(settings: Settings) -> int | None:
    """None for a method without one."""
    return next(few.queues(settings.config.method.options, ""), ("", None))[1]


def test_the_examples_hold() -> None:
    assert doctest.testmod(few).failed == 0


@pytest.mark.parametrize("clips", [2, 3, 5, 9, 24, 48, 97, 227, 291, 800, 1020, 4999, 40000])
def test_a_fitted_run_has_steps_and_a_queue_below_an_epoch(clips: int) -> None:
    batch, queue = few.batch_for(clips), few.queue_for(clips)
    assert 2 <= batch <= min(clips, few.LARGEST)
    assert clips // batch >= few.LEAST_STEPS or batch <= few.SMALLEST
    assert queue <= max(2, 0.75 * clips)
    if clips >= 24:
        assert not few.warnings(clips=clips, batch_size=batch, steps=clips // batch, queue=queue)


def test_the_tuned_settings_are_points_on_the_rule() -> None:
    for clips, preset in ((1020, "nw-ucla"), (350, "demo")):
        tree = config.find_preset("skeletonclr", preset).tree
        assert few.batch_for(clips) == tree["optimise"]["batch_size"]
        assert few.queue_for(clips) == tree["method"]["options"]["queue"]


def test_every_method_has_the_preset() -> None:
    assert list(config.preset_methods()) == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_a_store_of_few_clips_gets_settings_that_fit(store: Store, method: str) -> None:
    settings = resolved(store, method=method)
    made = settings.config
    assert made.preset == f"{method}/small"
    queue = queue_of(settings)
    assert (made.optimise.batch_size, queue or 64) == (16, 64), "96 clips train"
    assert made.data.frames == 30, "of 12 and 30 frames the nearer to 24"
    assert made.evaluate["linear"]["standardise"] is True
    text = " ".join(settings.notes)
    assert "96 clips" in text
    assert "batch 16 (6 steps" in text
    assert ("queue 64 (0.7 of an epoch)" in text) is (queue is not None)
    assert "--preset paper" in text
    assert "96 clips" in settings.sources["optimise.batch_size"]
    loop.build(made)


def test_what_is_asked_for_is_obeyed(store: Store, tmp_path: Path) -> None:
    mine = resolved(store, ("optimise.batch_size", 8), ("data.frames", 12), ("method.options.queue", 500))
    assert (mine.config.optimise.batch_size, mine.config.data.frames, queue_of(mine)) == (8, 12, 500)
    named = resolved(store, preset="small")
    assert named.config == resolved(store).config
    assert not named.notes, "who asks for it is told nothing"
    paper = resolved(store, preset="paper")
    assert (paper.config.optimise.batch_size, queue_of(paper), paper.notes) == (128, 32768, ())
    file = tmp_path / "mine.yaml"
    file.write_text("optimise: {batch_size: 12}\n")
    assert resolved(store, file=file).config.optimise.batch_size == 12


@pytest.mark.parametrize(
    ("manifest", "preset"),
    [
        ({"dataset": "ntu60"}, "paper"),
        ({"dataset": "ntu120"}, "paper"),
        ({"dataset": "pku-mmd-2"}, "pku-2"),
        ({"dataset": "nw-ucla"}, "nw-ucla"),
        ({"synthetic": True}, "demo"),
    ],
)
def test_data_sets_with_settings_of_their_own_keep_them(
    tmp_path: Path, manifest: dict[str, Any], preset: str
) -> None:
    opened = stores.open_store(write_store(tmp_path / "s.zarr", manifest=manifest, frames=(24, 50)))
    settings = resolved(opened)
    assert settings.config.preset == f"skeletonclr/{preset}"
    assert not settings.notes
    tree = dict(config.leaves(config.find_preset("skeletonclr", preset).tree))
    made = dict(config.leaves(settings.config.model_dump(mode="json")))
    assert {path: made[path] for path in tree if path != "data.conventions"} == {
        path: value for path, value in tree.items() if path != "data.conventions"
    }


def test_many_clips_get_the_papers_settings(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "FEW", 96)
    assert resolved(store).config.preset == "skeletonclr/paper"


def test_the_split_that_is_trained_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = stores.open_store(write_store(tmp_path / "s.zarr", split=[1] * 4 + [2] * 26))
    monkeypatch.setattr(few, "FEW", 5)
    assert resolved(opened, ("data.split", "xview")).config.preset == "skeletonclr/small"
    assert resolved(opened).config.optimise.batch_size == 4


def test_weights_to_start_from_bring_the_papers_encoder(store: Store) -> None:
    init = Override("init_from", {"kind": "run", "path": "there", "sha256": "0" * 64}, "--init-from")
    assert config.resolve(store, method="skeletonclr", overrides=[init]).config.preset == "skeletonclr/paper"


def test_misfits_are_named() -> None:
    paper = few.warnings(clips=226, batch_size=128, steps=1, queue=32768)
    assert len(paper) == 3
    assert "256.0 epochs" in paper[0]
    assert "--set method.options.queue=128" in paper[0]
    assert "1 step an epoch" in paper[1]
    assert "--batch-size 32 makes it 7" in paper[1]
    assert "98 of 226 clips are left out" in paper[2]
    assert not few.warnings(clips=40091, batch_size=128, steps=313, queue=32768)
    whole = few.warnings(clips=48, batch_size=128, steps=1, queue=None)
    assert len(whole) == 1, "a batch larger than the set is the set: no clip is left out"


def test_the_command_says_what_it_took_and_what_does_not_fit(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    start = ("pretrain", "--store", store.path, "--method", "skeletonclr", "--epochs", 1, "--device", "cpu")
    small = ("--set", "encoder.options.channels=[4,8]", "--set", "encoder.options.stride_blocks=[2]")
    code, told, err = call(capsys, *start, *small, "--out", out)
    assert code == 0, err
    assert "note: 96 clips to train on: preset skeletonclr/small" in err
    assert "warning: the queue" not in err
    (finished,) = [line for line in told.splitlines() if line.startswith("next: ")]
    assert finished == f"next: trainer evaluate {out} --protocol knn --protocol linear"
    code, _, err = call(
        capsys, *start, "--preset", "paper", *tiny_arguments(), "--set", "method.options.queue=500",
        "--batch-size", 60, "--out", tmp_path / "other",
    )  # fmt: skip
    assert code == 0, err
    assert "note: 96 clips" not in err
    assert "warning: the queue of 500 keys is 8.3 epochs" in err
    assert "warning: 1 step an epoch" in err
    assert "warning: 36 of 96 clips are left out" in err


def test_python_says_what_the_command_says(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"encoder.options.channels": [4, 8], "encoder.options.stride_blocks": [2]}
    given = [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    command = ["pretrain", "--store", store.path, "--method", "skeletonclr", "--epochs", "1", *given]
    code, _, error = call(capsys, *command, "--batch-size", "64", "--out", tmp_path / "command")
    assert code == 0, error
    told: dict[str, Any] = {"method": "skeletonclr", "epochs": 1, "settings": settings, "batch_size": 64}
    trainer.pretrain(store.path, **told, out=tmp_path / "python")
    expected = [line for line in error.splitlines() if line.startswith(("note: ", "warning: "))]
    assert any("96 clips to train on: preset skeletonclr/small" in line for line in expected)
    assert any(line.startswith("warning: ") for line in expected)
    assert caplog.messages == expected
    caplog.clear()
    trainer.pretrain(store.path, **told, out=tmp_path / "shown", on_progress=lambda _: None)
    assert caplog.messages == [line for line in expected if line.startswith("note: ")]


def test_what_comes_next_names_the_streams_that_are_missing(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = tiny_arguments(optimise__epochs=1)
    start = ("pretrain", "--store", store.path, "--method", "crosclr", "--out", tmp_path / "run", *arguments)
    code, told, err = call(capsys, *start)
    assert code == 0, err
    *_, first, last = told.splitlines()
    assert first == f"first: skeltools streams {store.path} --motion --bone --frames 12"
    assert last.startswith("next: trainer evaluate")


def test_resume_auto_starts_goes_on_and_ends(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "job"
    job = ("pretrain", "--store", store.path, "--method", "skeletonclr", "--out", out, "--resume=auto")
    arguments = tiny_arguments(optimise__epochs=1, optimise__schedule="constant")
    code, _, err = call(capsys, *job, *arguments)
    assert code == 0, err
    first = (out / "checkpoints" / "last.pt").read_bytes()
    assert call(capsys, *job, *arguments)[0] == 0, "the same command again is the same run"
    assert (out / "checkpoints" / "last.pt").read_bytes() == first
    longer = tiny_arguments(optimise__epochs=2, optimise__schedule="constant")
    code, told, err = call(capsys, *job, *longer)
    assert code == 0, err
    assert "2 epochs done" in told
    assert "epoch 1/2" not in err
    (out / "checkpoints" / "last.pt").unlink()
    assert call(capsys, *job, *arguments)[0] == 0, "stopped before its first checkpoint: it begins again"
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").touch()
    code, _, err = call(capsys, *job[:-2], other, "--resume=auto", *arguments)
    assert code == 2
    assert "is not a run folder" in err


def test_another_length_is_asked_for_once_with_all_streams(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ("pretrain", "--store", store.path, "--out", tmp_path / "run", "--preset", "paper", "--method")
    code, _, err = call(capsys, *start, "crosclr", "--device", "cpu")
    assert code == 1
    assert f"`skeltools streams {store.path} --motion --bone --frames 50`" in err
    assert "--set data.frames=12 or 30" in err
    assert not (tmp_path / "run").exists()
    code, _, err = call(capsys, *start, "skeletonclr", "--device", "cpu")
    assert f"`skeltools streams {store.path} --frames 50`" in err
