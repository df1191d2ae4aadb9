"""2D and 3D poses, and the number of bodies: what does not fit is said wherever weights or clips come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skeltools
import trainer
from schemas import CheckpointError, StoreError, UsageError
from tests.trainer.command import call
from tests.trainer.own import FRAMES, raw_clips
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from trainer import loop, start
from trainer.export import export_run
from trainer.run import open_run

FLAT = {"conventions": {"few_6": {"reader": "custom", "axes": "", "coordinates": "xy"}}}
QUICK = {"linear": {"epochs": 2}}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """2D and 3D: a store, and a run on it."""
    folder = tmp_path_factory.mktemp("kinds")
    made = {}
    for name, manifest in (("2D", FLAT), ("3D", {})):
        store = write_store(folder / f"{name}.zarr", manifest=manifest)
        made[name] = store, folder / name
        loop.pretrain(tiny_config(store, optimise__epochs=1), out=folder / name)
        open_run(folder / name, device="cpu").evaluate("linear", options=QUICK)
    return made


@pytest.mark.parametrize("exported", [False, True])
def test_weights_of_the_other_kind_are_refused(
    kinds: dict[str, tuple[Path, Path]], tmp_path: Path, exported: bool
) -> None:
    for own, other in (("2D", "3D"), ("3D", "2D")):
        weights = kinds[other][1]
        if exported:
            export_run(weights, tmp_path / other)
            weights = tmp_path / other
        skip = ("*.projector.*",) if exported else ()
        settings = tiny_config(kinds[own][0])
        wrong = settings.model_copy(update={"init_from": start.describe(weights, skip=skip)})
        message = rf"trained on {other} poses, and the poses of \S+ are {own}\. Start from weights of {own}"
        with pytest.raises(CheckpointError, match=message):
            loop.build(wrong)
        right = settings.model_copy(update={"init_from": start.describe(kinds[own][1])})
        loop.build(right)
        with pytest.raises(CheckpointError, match=message):
            open_run(kinds[own][1], device="cpu").evaluate("finetune", init_from=weights)


def test_a_card_says_2d_and_that_of_3d_stays_as_it_is(
    kinds: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    for name, coordinates, number in (("2D", "xy", 3), ("3D", None, 1)):
        card = export_run(kinds[name][1], tmp_path / name)
        written = json.loads((tmp_path / name / "encoder.json").read_text())
        assert (written["input"].get("coordinates"), written["format"]) == (coordinates, number)
        assert trainer.load(tmp_path / name).card == card


def test_where_the_store_is_gone_a_run_says_that_the_kind_is_not_known(
    kinds: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    store = write_store(tmp_path / "gone.zarr")
    loop.pretrain(tiny_config(store, optimise__epochs=1), out=tmp_path / "first")
    store.rename(tmp_path / "moved.zarr")
    settings = tiny_config(kinds["3D"][0], optimise__epochs=1)
    settings = settings.model_copy(update={"init_from": start.describe(tmp_path / "first")})
    told: list[str] = []
    loop.pretrain(settings, out=tmp_path / "second", on_progress=lambda state: told.extend(state.warnings))
    assert any("of 2D or of 3D poses is not known: their store is gone" in text for text in told)


def test_clips_of_the_other_kind_are_refused(
    kinds: dict[str, tuple[Path, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for own, other in (("2D", "3D"), ("3D", "2D")):
        for command in (["predict"], ["embed", "--out", tmp_path / "f.npz"]):
            code, _, error = call(capsys, *command, kinds[own][1], kinds[other][0])
            assert code == 1
            assert (
                f"few_6 is {other} here, and the encoder was trained on {own} poses. Choose a store" in error
            )
        with pytest.raises(StoreError, match=f"few_6 is {other} here, and {own} in"):
            open_run(kinds[own][1], device="cpu").evaluate("knn", target=kinds[other][0])


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store of one person in every clip, and a run on it."""
    folder = tmp_path_factory.mktemp("single")
    clips = raw_clips(24)
    labels = ["abc"[number % 3] for number in range(24)]
    train = [id for number, id in enumerate(clips) if number % 9 < 6]
    store = folder / "one.zarr"
    skeltools.write(
        clips, store, convention="coco_17", labels=labels, splits={"xsub": {"train": train}}, frames=[FRAMES]
    )
    loop.pretrain(
        tiny_config(store, data__frames=FRAMES, data__bodies=2, optimise__epochs=1), out=folder / "two"
    )
    loop.pretrain(tiny_config(store, data__frames=FRAMES, optimise__epochs=1), out=folder / "one")
    for name in ("one", "two"):
        open_run(folder / name, device="cpu").evaluate("linear", options=QUICK)
    return folder, store


def together(count: int = 6) -> dict[str, Any]:
    """Clips of two people."""
    clips = list(raw_clips(count).values())
    return {
        f"p{number}": np.concatenate([clip, clip[:, :, ::-1] + (1, 0, 0)], axis=1).astype(np.float32)
        for number, clip in enumerate(clips)
    }


def test_raw_2d_poses_are_no_clips_of_a_3d_encoder(single: tuple[Path, Path]) -> None:
    model = trainer.load(single[0] / "one")
    flat = next(iter(raw_clips(1).values())) * (1, 1, 0)
    for call_ in (model.embed, model.predict):
        with pytest.raises(UsageError, match="is a 2D pose, and the encoder was trained on 3D ones"):
            call_(flat)


def test_fewer_bodies_are_padded_as_in_training(
    single: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with places for two people, clips of one: stores, raw files and evaluations agree."""
    folder, store = single
    clips = raw_clips(24)
    np.save(tmp_path / "c003.npy", clips["c003"])
    bank = trainer.bank(folder / "two", store)
    model = trainer.load(folder / "two")
    assert model.card.input.bodies == 2
    row = bank.ids.index("c003")
    prepared = model.preprocess(clips["c003"])
    assert prepared.shape[-1] == 2
    assert not prepared[..., 1].any()
    assert np.abs(model.embed(clips["c003"]) - bank.values[row].numpy()).max() < 1e-6
    assert np.array_equal(model.embed(prepared[..., :1]), model.embed(prepared))
    for command in (["predict"], ["embed", "--out", tmp_path / "f.npz"]):
        for place in (store, tmp_path / "c003.npy"):
            code, _, error = call(capsys, *command, folder / "two", place)
            assert code == 0, error
            assert "people beyond" not in error
    assert open_run(folder / "two", device="cpu").evaluate("knn", target=store)


def test_more_people_than_places_are_told(
    single: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = single
    pairs = together()
    store = tmp_path / "pairs.zarr"
    labels = ["abc"[number % 3] for number in range(6)]
    skeltools.write(
        pairs,
        store,
        convention="coco_17",
        labels=labels,
        splits={"xsub": {"train": list(pairs)[:3]}},
        frames=[FRAMES],
    )
    np.save(tmp_path / "p1.npy", pairs["p1"])
    for command in (["predict"], ["embed", "--out", tmp_path / "f.npz"]):
        code, _, error = call(capsys, *command, folder / "one", store, tmp_path / "p1.npy")
        assert code == 0, error
        told = "people beyond the 1 that the encoder was trained on, in"
        assert f"{store}: {told} 6 clips, p0 first" in error
        assert f"p1.npy: {told} 1 clips, p1 first" in error
    code, _, error = call(
        capsys, "evaluate", folder / "one", "--protocol", "knn", "--target", store, "--device", "cpu"
    )
    assert code == 1
    assert "places for 2 bodies, the encoder was trained on 1. Pre-train with --set data.bodies=2" in error
