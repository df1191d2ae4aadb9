"""The protocols that train the encoder, from a run folder to its results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas import EvaluationResult, StoreError, UsageError
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, cli, config, loop
from trainer import store as stores
from trainer.evaluate import PROTOCOLS, protocol_options
from trainer.methods import METHODS

SHORT = {"epochs": 2, "batch_size": 8, "lr": 0.05}
TRAINING = sorted(name for name, module in PROTOCOLS.items() if module.NEEDS.clips)


def short(*protocols: str, **more: Any) -> dict[str, dict[str, Any]]:
    semi = {"shares": (20, 50), "draws": 2}
    return {name: SHORT | more | (semi if name == "semi" else {}) for name in protocols}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr", streams=("joint", "motion", "bone"))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other samples of the same convention, two classes more."""
    return write_store(
        tmp_path_factory.mktemp("data") / "other.zarr",
        samples=45,
        seed=3,
        streams=("joint", "motion", "bone"),
        manifest={"dataset": "other", "classes": ("wave", "kick", "jump", "sit", "run")},
    )


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    loop.pretrain(tiny_config(store, encoder__options__channels=[8, 16]), out=out)
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def figures(run: Path, *protocols: str, **more: Any) -> dict[str, EvaluationResult]:
    options = short(*(name for name in protocols if name in TRAINING))
    found = evaluate_run(run, protocols=protocols, device="cpu", options=options, **more)
    return {result.name or result.protocol: result for result in found}


SCHEDULED = ["finetune", "semi", "supervised", "transfer"]


def test_every_protocol_that_trains_is_tested_here() -> None:
    assert {*SCHEDULED} <= {*TRAINING}


def test_results_say_how_they_came_about(run: Path) -> None:
    found = figures(run, "finetune", "supervised", "semi")
    assert set(found) == {"finetune", "supervised", "semi-20", "semi-50"}
    for name, result in found.items():
        assert (
            EvaluationResult.model_validate_json((run / f"results/{name}-few_6.json").read_text()) == result
        )
        assert (run / f"results/{name}-few_6.npz").exists()
        assert result.settings["epochs"] == 2
        assert result.settings["mode"] == "train"
        assert result.random_knn is not None
    assert found["finetune"].best_top1 is not None
    assert len(found["finetune"].details["loss"]) == 2
    semi = found["semi-50"]
    assert len(semi.draws) == 2
    assert semi.top1 == pytest.approx(sum(semi.draws) / 2)
    assert semi.std is not None
    assert semi.details["labels"] == 9
    opened = stores.open_store(Path(checkpoint.load(run / checkpoint.LAST).config.data.store))
    test = stores.load(opened, split="xview", part="test", conventions=["few_6"], frames=12)
    assert not {each for ids in semi.details["drawn_ids"] for each in ids} & set(test.ids)


def test_finetuning_changes_no_later_protocol(run: Path) -> None:
    alone = figures(run, "knn", "linear")
    after = figures(run, "finetune", "semi", "knn", "linear")
    for name in ("knn", "knn1", "linear"):
        assert after[name].model_copy(update={"seconds": 0}) == alone[name].model_copy(update={"seconds": 0})
    again = figures(run, "finetune")["finetune"]
    assert again.model_copy(update={"seconds": 0}) == after["finetune"].model_copy(update={"seconds": 0})


def test_only_supervised_forgets_the_weights(run: Path) -> None:
    before = figures(run, "finetune", "supervised")
    content = torch.load(run / checkpoint.LAST, weights_only=True)
    for name, weight in content["model"].items():
        if "encoder.blocks" in name and weight.is_floating_point() and weight.dim() > 1:
            weight.mul_(-1)
    torch.save(content, run / checkpoint.LAST)
    after = figures(run, "finetune", "supervised")
    assert after["supervised"].details == before["supervised"].details
    assert after["finetune"].details != before["finetune"].details


def test_the_normal_chain_is_used_when_asked_for(run: Path) -> None:
    plain, augmented = (
        evaluate_run(run, protocols=["finetune"], device="cpu", options=short("finetune", augment=each))[0]
        for each in ("none", "normal")
    )
    assert plain.details["loss"] != augmented.details["loss"]
    assert augmented.settings["augment"] == "normal"


def test_streams_learn_for_themselves_and_are_fused(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "crosclr"
    loop.pretrain(tiny_config(store, method="crosclr", optimise__epochs=1), out=out)
    options = short("finetune", "semi")
    found = evaluate_run(out, protocols=["finetune", "semi"], device="cpu", options=options)
    streams = ("joint", "motion", "bone", "joint+motion+bone")
    names = ("finetune", "semi-20", "semi-50")
    by_name = {(result.name or result.protocol, result.encoder): result for result in found}
    assert set(by_name) == {(name, stream) for name in names for stream in streams}
    drawn = [by_name["semi-20", stream].details["drawn_ids"] for stream in streams[:3]]
    assert drawn[0] == drawn[1] == drawn[2], "all streams learn from the same clips"
    assert len(by_name["semi-20", streams[3]].draws) == 2
    losses = {tuple(by_name["finetune", stream].details["loss"]) for stream in streams[:3]}
    assert len(losses) == 3


def test_transfer_is_about_the_target_and_names_both(run: Path, store: Path, target: Path) -> None:
    (result,) = figures(run, "transfer", target=target).values()
    opened = stores.open_store(target)
    assert (result.dataset, result.store, result.split) == ("other", "other.zarr", "xview")
    assert result.store_hash == opened.hash
    assert result.classes == opened.manifest.classes
    assert (result.train_samples, result.test_samples) == (30, 15)
    both = result.details["transfer"]
    assert both["source"]["store_hash"] == stores.open_store(store).hash
    assert both["target"]["store_hash"] == opened.hash
    assert result.random_knn is None, "the random encoder was tried on the run's own store"
    assert (result.settings["schedule"], result.settings["optimiser"]) == ("isc", "adam")
    (path,) = (run / "results").glob("*.json")
    assert path.name == "transfer-other-few_6.json"


def test_transfer_to_the_own_store_is_finetuning(run: Path, store: Path) -> None:
    options = {name: {"schedule": "aimclr", **SHORT} for name in ("finetune", "transfer")}
    finetune, transfer = evaluate_run(
        run, protocols=["finetune", "transfer"], device="cpu", options=options, target=store
    )
    assert transfer.details["loss"] == finetune.details["loss"]
    assert transfer.top1 == finetune.top1


def test_a_target_that_does_not_fit_is_refused(run: Path, tmp_path: Path) -> None:
    foreign = write_store(tmp_path / "foreign.zarr", conventions=("many_8",))
    with pytest.raises(
        StoreError, match=r"foreign\.zarr: .*trained on few_6, the target has many_8 and no few_6"
    ):
        figures(run, "transfer", target=foreign)
    longer = write_store(tmp_path / "longer.zarr", frames=(20,))
    with pytest.raises(StoreError, match=r"no joint stream of 12 frames.*`skeltools streams .*longer\.zarr"):
        figures(run, "transfer", target=longer)
    with pytest.raises(StoreError, match=r"no split 'xset'; there is xview\. .*--target-split"):
        figures(run, "transfer", target=longer, target_split="xset")
    with pytest.raises(UsageError, match=r"transfer learns on another store.*--target STORE"):
        figures(run, "transfer")
    with pytest.raises(UsageError, match=r"--target is for transfer"):
        figures(run, "finetune", target=longer)
    assert not (run / "results").exists()


def test_a_stream_that_the_target_lacks_is_named(target: Path, tmp_path: Path, store: Path) -> None:
    joints = write_store(tmp_path / "joints.zarr")
    loop.pretrain(tiny_config(store, data__stream="bone", optimise__epochs=1), out=tmp_path / "run")
    with pytest.raises(
        StoreError, match=r"no bone stream of 12 frames.*`skeltools streams .*joints\.zarr --bone"
    ):
        figures(tmp_path / "run", "transfer", target=joints)


def test_a_named_schedule_stands_as_published() -> None:
    preset = {"finetune": {"epochs": 12, "decay": "cosine", "lr": 0.03}}
    chosen = protocol_options(["finetune"], preset)["finetune"]
    assert (chosen.epochs, chosen.decay, chosen.lr) == (12, "cosine", 0.03)
    chosen = protocol_options(["finetune"], preset, {"finetune": {"batch_size": 16}})["finetune"]
    assert (chosen.epochs, chosen.batch_size) == (12, 16)
    chosen = protocol_options(["finetune"], preset, {"finetune": {"schedule": "skelemix", "lr": 0.2}})[
        "finetune"
    ]
    assert (chosen.epochs, chosen.decay, chosen.lr, chosen.milestones) == (110, "step", 0.2, (50, 70, 90))


@pytest.mark.parametrize("preset", ["demo", "nw-ucla"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_presets_for_small_stores_have_the_small_schedule(method: str, preset: str) -> None:
    if preset not in config.preset_names(method):
        pytest.skip(f"{method} has no preset {preset}")
    suited = config.find_preset(method, preset).tree["evaluate"]
    chosen = protocol_options(SCHEDULED, suited)
    assert {name: (each.epochs, each.batch_size, each.decay) for name, each in chosen.items()} == {
        "finetune": (30, 32, "cosine"),
        "supervised": (30, 32, "cosine"),
        "transfer": (30, 32, "cosine"),
        "semi": (30, 16, "cosine"),
    }
    assert chosen["semi"].shares == ((5, 20) if preset == "demo" else (1, 5, 10, 20))


@pytest.mark.parametrize("protocol", TRAINING)
def test_the_command_line(protocol: str, run: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [f"{protocol}.{key}={value}" for key, value in SHORT.items()]
    settings += ["semi.draws=2", "semi.shares=[50]"] if protocol == "semi" else []
    more = ["--target", target, "--target-split", "xview"] if protocol == "transfer" else []
    arguments = ["evaluate", run, "--protocol", protocol, "--device", "cpu", "--json", *more]
    for setting in settings:
        arguments += ["--set", setting]
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    assert ended.value.code == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["protocol"] == protocol
    assert result["settings"]["epochs"] == 2
    assert 0 <= result["top1"] <= 1
