"""``trainer publish`` and ``trainer verify``: what is written, and what is found when it is measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import trainer
from schemas import CheckpointError, SkelError, UsageError
from skeltools.preprocess import recipes
from tests.trainer.command import call
from tests.trainer.own import FRAMES, own_store, raw_clips
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, loop
from trainer.publishing.manifest import FIGURES, MANIFEST, MODEL_CARD, write_manifest
from trainer.run import open_run, read_results

COUNT = 90


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_store(tmp_path_factory.mktemp("own") / "own.zarr", count=COUNT, streams=())


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    loop.pretrain(tiny_config(store, data__frames=FRAMES), out=out)
    quick = {"linear": {"epochs": 20, "standardise": True}, "finetune": {"epochs": 1, "schedule": "small"}}
    open_run(out, device="cpu").evaluate("knn", "linear", "retrieval", "finetune", options=quick)
    return out


@pytest.fixture(scope="module")
def published(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "published"
    trainer.publish(run, out, licence="mit", title="Tiny")
    return out


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Path:
    return shutil.copytree(published, tmp_path / "copied")


def claims(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / FIGURES).read_text())["claims"]
    return found


def rehashed(folder: Path) -> None:
    """As somebody would who changes a folder and hides it."""
    (folder / MANIFEST).unlink()
    write_manifest(folder)


# --- publish ------------------------------------------------------------------------------------------------


def test_a_folder_is_an_export_with_figures_settings_and_hashes(run: Path, published: Path) -> None:
    manifest = json.loads((published / MANIFEST).read_text())["files"]
    files = {path.name for path in published.iterdir()} - {MANIFEST}
    assert set(manifest) == files
    assert all(checkpoint.file_hash(published / name) == digest for name, digest in manifest.items())
    clips = list(raw_clips(6).values())
    model, own = trainer.load(published), trainer.load(run)
    assert np.array_equal(model.embed(clips), own.embed(clips))
    assert model.predict(clips).names == own.predict(clips).names
    for saved in read_results(run):
        told = [each for each in claims(published) if each["figure"] == saved.result.figure]
        assert len(told) == (saved.result.protocol != "finetune"), "finetuned is another encoder"
        for claim in told:
            assert claim["top1"] == saved.result.top1
            assert tuple(claim["interval"]) == saved.result.interval
            assert claim["store_hash"] == saved.result.store_hash
            assert claim["command"].startswith("trainer evaluate RUN --protocol ")
    settings = yaml.safe_load((published / "settings.yaml").read_text())
    assert settings["data"]["store"] == "own.zarr", "no folder of the machine"
    assert str(run.parents[1]) not in "".join(path.read_text() for path in published.glob("*[nml]"))
    assert recipes.load(str(published / "recipe.yaml")).steps == model.card.recipe.steps


def test_the_card_has_the_figures_for_readers_and_for_hugging_face(published: Path) -> None:
    text = (published / MODEL_CARD).read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "mit"
    assert {"skeleton-based-action-recognition", "stgcn", "skeletonclr"} < set(front["tags"])
    index = front["model-index"][0]
    assert index["name"] == "Tiny"
    told = [each["metrics"][0]["value"] for each in index["results"]]
    assert told == [round(100 * each["top1"], 4) for each in claims(published)]
    for each in claims(published):
        low, high = (f"{100 * end:.1f}" for end in each["interval"])
        assert f"| {100 * each['top1']:.1f} | {low} to {high} |" in text
    assert "`linear.lr" not in text
    assert "--set linear.epochs=20 --set linear.standardise=true" in text


def test_hugging_face_reads_the_card(published: Path) -> None:
    cards = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    card = cards.ModelCard.load(published / MODEL_CARD)
    results = card.data.eval_results
    assert [each.metric_value for each in results] == [
        round(100 * each["top1"], 4) for each in claims(published)
    ]


def test_the_classifier_of_finetune_brings_its_own_figure_alone(
    run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = call(capsys, "publish", run, "--to", tmp_path / "f", "--classifier", "finetune")
    assert code == 0, error
    assert "1 figures" in out
    assert [each["figure"] for each in claims(tmp_path / "f")] == ["finetune"]
    found = trainer.verify(tmp_path / "f", store, device="cpu", tolerance=0)
    assert [check.verdict for check in found] == ["holds"] * 3
    assert "by the kept classifier" in found[-1].text


def test_a_folder_with_other_files_is_refused_and_one_that_was_published_is_replaced(
    run: Path, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = call(capsys, "publish", run, "--to", copied)
    assert code == 2
    assert "something was published here already. Replace it with --force" in error
    (copied / "notes.txt").write_text("mine")
    before = (copied / MANIFEST).read_bytes()
    (copied / MODEL_CARD).write_text("changed")
    code, _, error = call(capsys, "publish", run, "--to", copied, "--force", "--title", "Tiny")
    assert code == 0, error
    assert (copied / "notes.txt").read_text() == "mine"
    assert json.loads(before)["files"].keys() == json.loads((copied / MANIFEST).read_bytes())["files"].keys()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    code, _, error = call(capsys, "publish", run, "--to", other, "--force")
    assert code == 2
    assert "holds something else than `trainer publish` wrote. Name a new folder" in error


def test_nothing_is_left_of_a_publication_that_fails(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainer.publishing.write.write_manifest", full)
    with pytest.raises(OSError, match="No space"):
        trainer.publish(run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_run_without_results_is_published_without_figures(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop.pretrain(tiny_config(store, data__frames=FRAMES, optimise__epochs=1), out=tmp_path / "run")
    code, out, error = call(capsys, "publish", tmp_path / "run", "--to", tmp_path / "out")
    assert code == 0, error
    assert "0 figures" in out
    assert "no figures: `trainer evaluate" in error
    assert "None were measured." in (tmp_path / "out" / MODEL_CARD).read_text()
    code, _, error = call(capsys, "verify", tmp_path / "out", "--store", store)
    assert code == 1
    assert "no figure was measured" in error
    code, _, error = call(capsys, "verify", tmp_path / "run", "--store", store)
    assert code == 1
    assert "the run has no results. Make some with `trainer evaluate" in error


# --- verify -------------------------------------------------------------------------------------------------


def test_every_figure_is_found_again_exactly(
    run: Path, published: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = call(capsys, "verify", published, "--store", store, "--tolerance", 0)
    assert code == 0, out + error
    assert error == "7 hold\n"
    assert out.count(": equal\n") == 5
    assert "measured again" in out
    assert "by the kept classifier" in out
    code, out, error = call(capsys, "verify", run, "--store", store, "--json")
    assert code == 0, out + error
    found = {(each["what"], each["verdict"]) for each in json.loads(out)}
    assert {("finetune, coco_17, joint", "holds"), ("knn1, coco_17, joint", "holds")} < found
    assert {verdict for _, verdict in found} == {"holds"}


def _other_weights(folder: Path) -> None:
    path = folder / "encoder.safetensors"
    weights = load_file(path)
    save_file({name: value * 1.5 for name, value in weights.items()}, path, metadata={"format": "pt"})


def _other_card(folder: Path) -> None:
    path = folder / MODEL_CARD
    path.write_text(path.read_text().replace("license: mit", "license: other"))


def _without_card(folder: Path) -> None:
    (folder / MODEL_CARD).unlink()
    rehashed(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_other_weights, "files: encoder.safetensors: was changed: sha256"),
        (_other_card, "files: README.md: was changed: sha256"),
        (lambda folder: (folder / FIGURES).unlink(), "files: figures.json: is missing"),
        (_without_card, "files: README.md: is not in published.json"),
    ],
)
def test_files_that_were_changed_are_told_and_nothing_is_measured(
    copied: Path,
    store: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    told: str,
) -> None:
    change(copied)
    code, out, _ = call(capsys, "verify", copied, "--store", store)
    assert code == 1
    assert f"fails        {told}" in out
    assert "figures: the files are not those that were published" in out
    assert "claimed" not in out


def test_better_figures_with_new_hashes_are_found_out(
    copied: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads((copied / FIGURES).read_text())
    first = told["claims"][0]
    first["top1"], first["interval"] = 0.99, [0.98, 1.0]
    (copied / FIGURES).write_text(json.dumps(told))
    rehashed(copied)
    code, out, _ = call(capsys, "verify", copied, "--store", store)
    assert code == 1
    assert "fails        README.md: says otherwise than figures.json: linear" in out
    assert "fails        linear, coco_17, joint: 99.0 % claimed, " in out
    assert "top1 differs by " in out


def test_a_card_that_flatters_with_new_hashes_is_found_out(copied: Path, store: Path) -> None:
    text = (copied / MODEL_CARD).read_text()
    value = f"value: {round(100 * claims(copied)[0]['top1'], 4)}"
    assert value in text
    (copied / MODEL_CARD).write_text(text.replace(value, "value: 99.9", 1))
    rehashed(copied)
    found = trainer.verify(copied, store, device="cpu")
    assert [check.verdict for check in found if check.what == MODEL_CARD] == ["fails"]


def test_other_weights_with_new_hashes_do_not_give_the_figures(copied: Path, store: Path) -> None:
    path = copied / "encoder.safetensors"
    draws = torch.Generator().manual_seed(1)
    weights = load_file(path)
    for name, value in weights.items():
        if value.is_floating_point() and "adjacency" not in name:
            weights[name] = torch.rand(value.shape, generator=draws)
    save_file(weights, path, metadata={"format": "pt"})
    card = json.loads((copied / "encoder.json").read_text())
    card["weights_hash"] = checkpoint.file_hash(path)
    (copied / "encoder.json").write_text(json.dumps(card))
    rehashed(copied)
    assert "fails" in [check.verdict for check in trainer.verify(copied, store, device="cpu")]


def test_on_another_store_the_interval_decides(
    published: Path, copied: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = own_store(tmp_path / "other.zarr", count=72, streams=())
    code, out, _ = call(capsys, "verify", published, "--store", other)
    assert "another store" in out
    assert ("outside of the claimed interval" in out) == bool(code)
    assert "by the kept classifier" not in out
    told = json.loads((copied / FIGURES).read_text())
    for claim in told["claims"]:
        claim |= {"top1": 0.01, "interval": [0.0, 0.02]}
    (copied / FIGURES).write_text(json.dumps(told))
    rehashed(copied)
    code, out, _ = call(capsys, "verify", copied, "--store", other)
    assert code == 1
    assert "outside of the claimed interval, 0.0 to 2.0 %" in out
    code, out, _ = call(capsys, "verify", published, "--store", other, "--store", store)
    assert code == 0, "each figure takes the store that it was measured on"


def test_a_store_of_another_data_set_says_which_is_wanted(published: Path, tmp_path: Path) -> None:
    found = trainer.verify(published, write_store(tmp_path / "toy.zarr"), device="cpu")
    assert {check.verdict for check in found[2:]} == {"not checked"}
    assert "--store own.zarr" in found[-1].text


def test_results_that_cannot_be_measured_are_told(run: Path, store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    path = next(copy.glob("results/knn-*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checkpoint_hash": "0" * 64}))
    (check,) = [each for each in trainer.verify(copy, store, device="cpu") if each.verdict == "not checked"]
    assert check.text == "is of another checkpoint than the run's last"


def test_what_was_not_published_is_refused(store: Path, tmp_path: Path, published: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no published.json here.*trainer publish"):
        trainer.verify(tmp_path, store)
    with pytest.raises(UsageError, match="no fraction"):
        trainer.verify(published, store, tolerance=1.5)
    with pytest.raises(UsageError, match="no store to measure on"):
        trainer.verify(published, [])
    with pytest.raises(SkelError):
        trainer.verify(published, tmp_path / "gone.zarr")
