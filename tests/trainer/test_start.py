"""``--init-from``: what a training starts from, what is refused, and what a run keeps of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from schemas import CheckpointError, ConfigError, InitConfig, UsageError
from tests.trainer import released as old
from tests.trainer.command import call
from tests.trainer.runs import evaluate_run, tiny_arguments, tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, loop, start
from trainer import store as stores
from trainer.checkpoint import LAST
from trainer.config import Override
from trainer.export import export_run
from trainer.released import import_released

Trained = Callable[..., Path]
CPU: dict[str, Any] = {"device": "cpu", "options": {"finetune": {"epochs": 1, "schedule": "small"}}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "toy.zarr"
    return write_store(path, conventions=("few_6", "many_8"), streams=("joint", "bone", "motion"))


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SkeletonCLR, one epoch."""
    out = tmp_path_factory.mktemp("runs") / "first"
    loop.pretrain(tiny_config(store, optimise__epochs=1, runtime__seed=3), out=out)
    return out


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "encoder"
    export_run(run, out)
    return out


def begun(store: Path, path: Path, *, skip: tuple[str, ...] = (), **changes: Any) -> Any:
    """A method that starts from ``path``, before its first step."""
    settings = tiny_config(store, **changes)
    settings = settings.model_copy(update={"init_from": start.describe(path, skip=skip)})
    return loop.build(settings)[1]


def weights_of(run: Path, inside: str) -> dict[str, Tensor]:
    model = checkpoint.load(run / LAST).model
    return {name.partition(inside)[2]: value for name, value in model.items() if inside in name}


def same(module: nn.Module, weights: dict[str, Tensor]) -> bool:
    own = module.state_dict()
    return own.keys() == weights.keys() and all(torch.equal(own[name], weights[name]) for name in own)


def test_a_training_starts_from_the_query_network_of_a_run(store: Path, run: Path) -> None:
    moco = begun(store, run).moco_of["joint"]
    assert same(moco.query, weights_of(run, "moco.query."))
    assert same(moco.key, moco.query.state_dict())
    assert not torch.equal(moco.queue.keys, weights_of(run, "queue.")["keys"])
    assert not any(parameter.requires_grad for parameter in moco.key.parameters())


def test_keys_follow_even_where_the_preset_draws_them_anew(store: Path, run: Path) -> None:
    moco = begun(store, run, method__options__key_init="independent").moco_of["joint"]
    assert same(moco.key, weights_of(run, "moco.query."))


def test_another_method_and_a_method_of_several_streams_take_what_has_their_names(
    store: Path, run: Path, tmp_path: Path
) -> None:
    assert same(begun(store, run, method="aimclr").encoders["joint"], weights_of(run, "moco.query.encoder."))
    with pytest.raises(CheckpointError, match=r"motion\.encoder\.\* \(43\), .*bone\.projector\.\* \(4\)\. "):
        begun(store, run, method="crosclr")
    skip = ("motion.*", "bone.*")
    method = begun(store, run, method="crosclr", skip=skip)
    assert same(method.encoders["joint"], weights_of(run, "moco.query.encoder."))
    loop.pretrain(tiny_config(store, method="crosclr", optimise__epochs=1), out=tmp_path / "three")
    with pytest.raises(CheckpointError, match=r"unexpected: motion\.encoder\."):
        begun(store, tmp_path / "three")
    begun(store, tmp_path / "three", skip=skip)


def test_an_export_has_no_projector_and_that_must_be_said(store: Path, run: Path, exported: Path) -> None:
    with pytest.raises(CheckpointError) as stopped:
        begun(store, exported)
    for name in ("0.weight", "0.bias", "2.weight", "2.bias"):
        assert f"joint.projector.{name}" in str(stopped.value)
    assert "An export has an encoder alone: leave out" in str(stopped.value)
    method = begun(store, exported, skip=("*.projector.*",))
    assert same(method.encoders["joint"], weights_of(run, "moco.query.encoder."))
    fresh = loop.build(tiny_config(store))[1]
    assert same(method.networks["joint"].projector, fresh.networks["joint"].projector.state_dict())


def test_every_weight_that_does_not_fit_is_named(store: Path, run: Path) -> None:
    with pytest.raises(CheckpointError, match=f"--preset, or --config {run}/config.yaml") as stopped:
        begun(store, run, encoder__options__channels=[4, 16], encoder__options__edge_importance=False)
    told = str(stopped.value)
    for place in (0, 1):
        assert f"joint.encoder.conventions.few_6.importance.{place}" in told
    assert "joint.encoder.blocks.1.temporal.weight (8, 8, 9, 1) instead of (16, 16, 9, 1)" in told
    assert "joint.projector.2.weight (128, 8) instead of (128, 16)" in told


def test_a_pattern_that_matches_nothing_is_an_error(store: Path, run: Path) -> None:
    with pytest.raises(UsageError, match=r"'\*\.head\.\*' matches no weight .*joint\.encoder\.blocks"):
        begun(store, run, skip=("*.head.*",))


def test_something_must_be_left_to_start_from(store: Path, run: Path) -> None:
    with pytest.raises(UsageError, match="leave out every weight of the run"):
        begun(store, run, skip=("*",))


def test_weights_of_another_partition_are_not_slipped_in(store: Path, run: Path) -> None:
    with pytest.raises(CheckpointError, match=r"graphs of the spatial partition.* name degenerate"):
        begun(store, run, encoder__options__adjacency="degenerate")
    method = begun(store, run, encoder__options__adjacency="degenerate", skip=("*.adjacency",))
    graph = stores.skeletons(stores.open_store(store), ["few_6"])["few_6"].adjacency_degenerate
    assert torch.equal(method.encoders["joint"].conventions["few_6"].adjacency, graph)


def test_what_is_neither_run_nor_export_is_refused(store: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"found neither\. A released .pt file becomes a run"):
        start.describe(tmp_path)
    released = InitConfig(kind="released", path=str(run), sha256="0" * 64, code="aimclr")
    with pytest.raises(CheckpointError, match="Name the imported run with --init-from RUN"):
        start.read_start(released)


def test_weights_that_changed_since_are_refused(run: Path) -> None:
    init = start.describe(run).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CheckpointError, match="the settings name weights of sha256 000000000000, found"):
        start.read_start(init)


def test_a_resumed_run_does_not_read_them_again(
    store: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "source", tmp_path / "run"
    run.rename(source)
    try:
        given = ["--store", store, "--method", "skeletonclr", "--preset", "paper", *tiny_arguments()]
        status, _, err = call(capsys, "pretrain", *given, "--init-from", source, "--out", out, "--epochs", 1)
        assert status == 0, err
    finally:
        source.rename(run)
    kept = yaml.safe_load((out / "config.yaml").read_text())["init_from"]
    assert kept["sha256"] == checkpoint.file_hash(run / LAST)
    before = checkpoint.load(out / LAST).model
    status, _, err = call(capsys, "pretrain", "--out", out, "--resume", "--epochs", 2)
    assert status == 0, err
    saved = checkpoint.load(out / LAST)
    assert saved.config.init_from is not None
    assert saved.config.init_from.path == kept["path"]
    name = "moco.query.encoder.blocks.0.graph.conv.weight"
    assert not torch.equal(saved.model[name], before[name])
    status, _, err = call(capsys, "pretrain", "--out", out, "--resume", "--init-from", run)
    assert status == 2
    assert "init_from" in err


def test_dry_run_and_settings_files_know_it(
    store: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--store", store, "--method", "skeletonclr", "--preset", "paper", *tiny_arguments()]
    status, out, err = call(capsys, "pretrain", *given, "--init-from", run, "--dry-run")
    assert status == 0, err
    assert "# --init-from" in out
    (tmp_path / "again.yaml").write_text(out)
    status, _, err = call(
        capsys, "pretrain", "--config", tmp_path / "again.yaml", "--store", store, "--dry-run"
    )
    assert status == 0, err
    status, _, err = call(
        capsys, "pretrain", *given, "--init-from", run, "--init-skip", "nothing", "--dry-run"
    )
    assert (status, "'nothing' matches no weight" in err) == (2, True)
    status, _, err = call(capsys, "pretrain", *given, "--init-skip", "*", "--dry-run")
    assert (status, "Add --init-from PATH" in err) == (2, True)


# --- evaluation


def test_finetuning_from_an_export_is_finetuning_its_run(
    store: Path, run: Path, exported: Path, tmp_path: Path
) -> None:
    """Another run of the same architecture gives the figure of the run whose weights it takes."""
    loop.pretrain(
        tiny_config(store, optimise__epochs=1, runtime__seed=3, optimise__lr=0.05), out=tmp_path / "other"
    )
    (expected,) = evaluate_run(run, protocols=["finetune"], **CPU)
    (found,) = evaluate_run(tmp_path / "other", protocols=["finetune"], init_from=exported, **CPU)
    (own,) = evaluate_run(tmp_path / "other", protocols=["finetune"], **CPU)
    assert found.details["loss"] == expected.details["loss"] != own.details["loss"]
    assert found.figure == f"finetune-from-{checkpoint.file_hash(exported / 'encoder.safetensors')[:8]}"
    assert found.settings["init_from"]["path"] == str(exported.resolve())
    assert found.notes[0] == f"started from {exported.resolve()}, not from the run's weights"
    files = {path.name for path in (tmp_path / "other" / "results").glob("*.json")}
    assert files == {"finetune-few_6.json", f"{found.figure}-few_6.json"}


@pytest.mark.parametrize("protocol", ["supervised", "semi"])
def test_supervised_and_semi_start_there_too(protocol: str, store: Path, run: Path, exported: Path) -> None:
    options = {protocol: {"epochs": 1, "schedule": "small", "test_every": 0}}
    if protocol == "semi":
        options[protocol] |= {"shares": [50], "draws": 2}  # type: ignore[dict-item]
    (plain,) = evaluate_run(run, protocols=[protocol], device="cpu", options=options)
    (found,) = evaluate_run(run, protocols=[protocol], device="cpu", options=options, init_from=exported)
    losses = [
        each.details.get("loss") or [part["loss"] for part in each.details["trainings"]]
        for each in (plain, found)
    ]
    # The export is of this run: only what starts at random otherwise changes.
    assert (losses[0] == losses[1]) == (protocol == "semi")
    assert "-from-" in found.figure


def test_frozen_protocols_are_refused(run: Path, exported: Path) -> None:
    with pytest.raises(UsageError, match="--init-from is for finetune, semi, supervised, found knn"):
        evaluate_run(run, protocols=["finetune", "knn"], init_from=exported)
    with pytest.raises(UsageError, match="Add --init-from PATH"):
        evaluate_run(run, protocols=["finetune"], init_skip=["*"])


def test_the_whole_way_of_a_released_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """import, export, pretrain and finetune from both, on the command line."""
    data = old.named_store(tmp_path / "toy.zarr", monkeypatch)
    torch.save(old.single(old.stgcn), tmp_path / "file.pt")
    settings = old.STGCN | {"method.options.dim": old.DIM}
    overrides = [Override(path, value) for path, value in settings.items()]
    run = tmp_path / "run"
    import_released(tmp_path / "file.pt", "aimclr", store=data, out=run, overrides=overrides)
    status, _, err = call(capsys, "export", run, "--out", tmp_path / "encoder")
    assert status == 0, err
    given = [part for path, value in settings.items() for part in ("--set", f"{path}={json.dumps(value)}")]
    given += ["--set", "method.options.queue=16", "--epochs", "1", "--store", str(data)]
    for source, more in ((run, []), (tmp_path / "encoder", ["--init-skip", "*.projector.*"])):
        out = tmp_path / f"from-{source.name}"
        arguments = ["--method", "aimclr-released", "--init-from", source, *more, "--out", out, *given]
        status, _, err = call(capsys, "pretrain", *arguments)
        assert status == 0, err
        status, text, err = call(
            capsys, "evaluate", out, "--protocol", "finetune", "--init-from", source, "--json",
            "--set", "finetune.epochs=1", "--set", "finetune.batch_size=8", "--set", "finetune.lr=0.0001",
        )  # fmt: skip
        assert status == 0, err
        assert json.loads(text)[0]["settings"]["init_from"]["path"] == str(source.resolve())
    for command in ("pretrain", "evaluate"):
        _, text, _ = call(capsys, command, "--help")
        assert "--init-skip PATTERN" in text
    with pytest.raises(ConfigError):
        import_released(
            tmp_path / "file.pt",
            "aimclr",
            store=data,
            out=tmp_path / "no",
            overrides=[Override("data.frame", 3)],
        )
