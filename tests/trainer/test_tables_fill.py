"""Filling published tables: what a result is a number of, what differs, which commands make the rest."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from schemas import RunConfig
from tests.trainer.published import ntu_store, published, result, settings_of, write_run
from trainer import cli, config, tables
from trainer.cli import evaluate, pretrain
from trainer.evaluate import protocol_options
from trainer.store import Store
from trainer.tables import reader
from trainer.tables.commands import TOGETHER, missing
from trainer.tables.compare import verdict

THREE = "joint+bone+motion"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return ntu_store(tmp_path_factory.mktemp("data"))


def test_a_comparable_figure_is_called_so(store: Store, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", settings_of(store, "aimclr"), result())
    filled = tables.fill(tables.load("aimclr-table4"), tables.read_sources([run]))
    cells = [cell for cell in filled.cells() if cell.ours]
    assert [(cell.published.row, cell.published.column) for cell in cells] == [("AimCLR", "xview")]
    ours = cells[0].ours[0]
    assert (ours.value, round(ours.difference, 6), ours.comparable) == (75.0, -4.7, True)
    assert not filled.unfit


def test_runs_that_differ_by_seed_are_one_figure(store: Store, tmp_path: Path) -> None:
    for seed, top1 in enumerate((0.70, 0.74, 0.78)):
        settings = settings_of(store, "aimclr", runtime__seed=seed, runtime__device="cpu")
        write_run(tmp_path / str(seed), settings, result(top1=top1))
    write_run(tmp_path / "other", settings_of(store, "aimclr", optimise__lr=0.05), result(top1=0.5))
    runs = [tmp_path / name for name in ("0", "1", "2", "other")]
    filled = tables.fill(tables.load("aimclr-table4"), tables.read_sources(runs))
    ((seeds, alone),) = [cell.ours for cell in filled.cells() if cell.ours]
    assert (round(seeds.value, 6), len(seeds.files)) == (74.0, 3)
    assert seeds.std == pytest.approx(4.0)
    assert seeds.difference == pytest.approx(74.0 - 79.7)
    assert (alone.value, alone.std, alone.files) == (50.0, None, ())


def test_synthetic_data_have_no_difference(store: Store, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", settings_of(store, "aimclr"), result(synthetic=True))
    filled = tables.fill(tables.load("aimclr-table4"), tables.read_sources([run]))
    (ours,) = [each for cell in filled.cells() for each in cell.ours]
    assert (ours.value, ours.difference, ours.comparable) == (75.0, None, False)


@pytest.mark.parametrize(
    ("changes", "data", "schedule"),
    [
        ({"synthetic": True}, ["synthetic data"], []),
        ({"test_samples": 900}, ["900 of 18932 test samples"], []),
        ({"test_samples": 18931}, [], []),
        ({"recipe": "default"}, ["recipe default, the paper's is crossclr"], []),
        ({"frames": 64}, ["clips of 64 frames, published 50"], []),
        ({"epoch": 200, "epochs": 200}, [], ["200 epochs, published after 300"]),
        ({"epoch": 299}, [], ["unfinished: epoch 299 of 300", "299 epochs, published after 300"]),
        ({"preset": "aimclr/demo"}, [], ["preset aimclr/demo, no paper's"]),
        ({"preset": "aimclr/released"}, [], []),
        ({"settings": {"standardise": True}}, [], ["standardised features, which no paper uses"]),
    ],
)
def test_what_differs_is_said(changes: dict[str, Any], data: list[str], schedule: list[str]) -> None:
    found = verdict(published(), result(**changes))
    assert [list(found.data), list(found.schedule)] == [data, schedule]


def test_weights_and_epochs_on_labels_count(store: Store) -> None:
    three = published(stream=THREE, weights={"joint": 0.6, "bone": 0.6, "motion": 0.4}, probe_epochs=80)
    fused = {"fusion": {"weights": {"joint": 3.0, "bone": 3.0, "motion": 2.0}}, "epochs": 80}
    assert verdict(three, result(settings=fused)).schedule == ()
    fused = {"fusion": {"weights": {"joint": 1.0, "bone": 1.0, "motion": 1.0}}, "epochs": 100}
    differs = verdict(three, result(settings=fused)).schedule
    assert differs[0] == "100 epochs on the labels, published 80"
    assert differs[1].startswith("streams weighted joint 1 bone 1 motion 1, published joint 0.6")


def test_options_of_the_protocol_count() -> None:
    crop = {"train": [0.5, 1.0], "test": 0.95}
    cropped = published(options={"epochs": 80, "lr": 0.1, "crop": crop})
    whole = {"epochs": 80, "lr": 0.1, "crop": crop | {"frames": 64, "min_frames": 64}}
    assert verdict(cropped, result(settings=whole)).schedule == ()
    assert verdict(cropped, result(settings={"lr": 3.0})).schedule == (
        "lr 3.0, published 0.1",
        "crop -, published train [0.5, 1.0] test 0.95",
    )
    assert verdict(cropped, result(protocol="ensemble", settings={"of": "linear"})).schedule == ()


QUOTED = {"protocol": "linear", "dataset": "ntu60", "split": "xview"}


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        (QUOTED | {"method": "crosclr"}, "--set linear.streams=together"),
        (QUOTED | {"method": "isc"}, """--set 'linear.crop={"train": [0.5, 1.0], "test": 0.95}'"""),
        ({"method": "isc", "protocol": "semi"}, """--set 'semi.crop={"train": [0.5, 1.0], "test": 0.95}'"""),
        ({"method": "isc", "protocol": "semi"}, "--set semi.schedule=isc"),
        ({"method": "isc", "protocol": "retrieval"}, """'retrieval.crop={"train": null, "test": 0.95}'"""),
        ({"method": "isc", "protocol": "transfer"}, "--set transfer.schedule=isc"),
        ({"method": "aimclr", "protocol": "semi"}, "--set semi.counts=rounded"),
        (
            {"method": "skelemixclr", "protocol": "semi"},
            "--set semi.schedule=skelemix --set semi.counts=rounded",
        ),
        ({"method": "skelemixclr", "protocol": "finetune"}, "--set finetune.schedule=skelemix"),
    ],
)
def test_commands_name_the_options_of_the_papers(asked: dict[str, Any], option: str) -> None:
    cells = [
        cell
        for cell in tables.published(**asked)
        if cell.origin != "reproduced" and "csclr" not in cell.table
    ]
    assert cells
    for cell in cells:
        lines = [line for line in missing(cell, []).commands if line.startswith("trainer evaluate ")]
        assert all(option in line for line in lines), (cell.table, cell.row)


def test_a_joint_probe_fills_crosclrs_quoted_numbers(store: Store, tmp_path: Path) -> None:
    fused = {"method": "crosclr", "stream": "joint+motion+bone", "encoder": "joint+motion+bone"}
    together = {"epochs": 100, "streams": "together", "fusion": {"of": "probes"}}
    apart = {"epochs": 100, "streams": "apart", "fusion": {"of": "scores", "weights": {"joint": 0.6}}}
    for folder, settings, differs in (
        ("together", together, ()),
        ("apart", apart, ("streams apart, published together",)),
    ):
        run = write_run(tmp_path / folder, settings_of(store, "crosclr"), result(**fused, settings=settings))
        filled = tables.fill(tables.load("aimclr-table4"), tables.read_sources([run]))
        (cell,) = (cell for cell in filled.cells() if cell.ours)
        assert (cell.published.row, cell.published.value) == ("3s-CrosSCLR", 83.4)
        assert cell.ours[0].verdict.schedule == differs


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "knn"}, "protocol knn, not linear"),
        ({"method": "isc"}, "method isc, not "),
        ({"dataset": "nw-ucla"}, "dataset nw-ucla, not ntu60"),
        ({"split": "xset"}, "split xset, not "),
        ({"stream": "bone"}, "stream bone, not joint"),
        ({"convention": "smplx_42"}, "convention smplx_42, not kinectv2_25"),
    ],
)
def test_a_result_for_no_cell_says_what_differs(
    store: Store, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    run = write_run(tmp_path / "run", settings_of(store, "aimclr"), result(**changes))
    filled = tables.fill(tables.load("aimclr-table4"), tables.read_sources([run]))
    assert not [cell for cell in filled.cells() if cell.ours]
    assert [each.reason.startswith(reason) for each in filled.unfit] == [True], filled.unfit


def rows_of(table: str, *given: Path) -> list[str]:
    filled = tables.fill(tables.load(table), tables.read_sources(given))
    return [f"{cell.published.row}, {cell.published.column}" for cell in filled.cells() if cell.ours]


def test_variants_are_told_apart_by_the_settings_of_the_run(store: Store, tmp_path: Path) -> None:
    mixed = result(method="skelemixclr", frames=64)
    one = write_run(tmp_path / "one", settings_of(store, "skelemixclr"), mixed)
    plus = write_run(tmp_path / "plus", settings_of(store, "skelemixclr-plus"), mixed)
    assert rows_of("skelemixclr-table11", one) == ["SkeleMixCLR, xview"]
    assert rows_of("skelemixclr-table11", plus) == ["SkeleMixCLR+, xview"]
    baseline = result(method="skeletonclr")
    first = write_run(tmp_path / "first", settings_of(store, "skeletonclr"), baseline)
    t02 = write_run(tmp_path / "t02", settings_of(store, "skeletonclr-t02"), baseline)
    assert rows_of("skelemixclr-table1", first) == ["SkeletonCLR, NTU-60 xview"]
    assert rows_of("skelemixclr-table1", t02) == ["SkeletonCLR (repro.), NTU-60 xview"]


def test_epochs_choose_the_column(store: Store, tmp_path: Path) -> None:
    fused = {"split": "xsub", "stream": "joint+motion+bone", "epochs": 150}
    run = write_run(tmp_path / "run", settings_of(store, "aimclr"), result(**fused, epoch=150))
    assert rows_of("aimclr-table3", run) == ["3s-AimCLR, 150 epochs"]
    odd = write_run(tmp_path / "odd", settings_of(store, "aimclr"), result(**fused, epoch=149))
    filled = tables.fill(tables.load("aimclr-table3"), tables.read_sources([odd]))
    assert filled.unfit[0].reason == "149 epochs, the table has 100, 150, 200, 300"


def test_conventions_shares_and_sources_are_coordinates(store: Store, tmp_path: Path) -> None:
    ensemble = result(method="ms-clr", convention="smplx_42+kinectv2_25", stream=THREE)
    run = write_run(tmp_path / "ms", settings_of(store, "ms-clr"), ensemble)
    assert rows_of("ms-clr-table1", run) == ["3s-MS-AimCLR ensemble, NTU-60 xview"]
    few = result(protocol="semi", name="semi-10", method="csclr", stream=THREE)
    run = write_run(tmp_path / "few", settings_of(store, "csclr"), few)
    assert rows_of("csclr-table5", run) == ["3s-CSCLR, NTU-60 xview, 10 %"]
    moved = {
        "method": "isc",
        "encoder": "seq",
        "dataset": "pku-mmd-2",
        "split": "xsub",
        "protocol": "transfer",
    }
    for dataset, column in (("ntu60", "from NTU-60"), ("pku-mmd-1", "from PKU I")):
        details = {"transfer": {"source": {"dataset": dataset}}}
        run = write_run(tmp_path / dataset, settings_of(store, "isc"), result(**moved, details=details))
        assert rows_of("isc-table4", run) == [f"ISC, {column}"]


def test_an_ensemble_has_the_settings_of_its_runs(store: Store, tmp_path: Path) -> None:
    how = {"of": "linear", "weights": {"joint": 1.0, "bone": 1.0, "motion": 1.0}}
    how["members"] = [{"checkpoint_hash": "abc"}]
    three = result(method="skelemixclr", protocol="ensemble", settings=how, stream=THREE, frames=64)
    file = tmp_path / "ensemble" / "three.json"
    file.parent.mkdir()
    file.write_text(three.model_dump_json())
    alone = tables.fill(tables.load("skelemixclr-table11"), tables.read_sources([file]))
    assert alone.unfit[0].reason == "the settings of the run are not known"
    plus = settings_of(store, "skelemixclr-plus")
    run = write_run(tmp_path / "plus", plus, result(method="skelemixclr", checkpoint_hash="abc"))
    filled = tables.fill(tables.load("skelemixclr-table11"), tables.read_sources([run, file.parent]))
    cells = [cell for cell in filled.cells() if cell.ours]
    assert [cell.published.row for cell in cells] == ["SkeleMixCLR+", "3s-SkeleMixCLR+"]
    assert cells[1].ours[0].comparable
    few = three.model_copy(update={"settings": how | {"of": "semi-10"}})
    file.write_text(few.model_dump_json())
    assert rows_of("skelemixclr-table14", run, file) == ["3s-SkeleMixCLR+, NTU-60 xview, 10 %"]


def test_published_leaves_out_other_variants(store: Store) -> None:
    asked: dict[str, Any] = {"method": "skelemixclr", "dataset": "ntu60", "split": "xview", "stream": "joint"}
    plus = tables.published(**asked, protocol="linear", config=settings_of(store, "skelemixclr-plus"))
    assert {cell.value for cell in plus} == {85.5}
    t02 = tables.published(
        **asked | {"method": "skeletonclr"}, protocol="linear", config=settings_of(store, "skeletonclr-t02")
    )
    assert (t02[0].value, t02[0].origin, t02[-1].origin) == (78.9, "reproduced", "quoted")


FILLABLE = [cell for cell in reader.cells() if cell.method is not None]


def test_every_fillable_number_has_commands_that_train_what_it_asks_for(store: Store) -> None:
    """Settings, stream, epochs, frames and conventions of every distinct `trainer pretrain` line."""
    tried: dict[str, RunConfig] = {}
    for cell in FILLABLE:
        lines = missing(cell, []).commands
        training = [line for line in lines if line.startswith("trainer pretrain ")]
        assert training, cell
        for line in training:
            if line not in tried:
                tried[line] = _resolved(line, store)
            found = tried[line]
            assert not reader.unmet(cell, found), (cell.source, cell.row, line)
            assert found.data.split == cell.split
            assert cell.epochs in (None, found.optimise.epochs)
            assert cell.frames in (None, found.data.frames)
            assert set(cell.conventions) <= set(found.data.conventions)
            assert cell.method in (*TOGETHER, "any", found.method.name)
    streams = {(line.split("--method ")[1].split()[0], found.data.stream) for line, found in tried.items()}
    assert {("aimclr", "bone"), ("skelemixclr-plus", "motion"), ("ms-clr", "bone")} <= streams


def _resolved(line: str, store: Store) -> RunConfig:
    context = pretrain.command.make_context("pretrain", shlex.split(line)[2:])
    given = context.params
    overrides = pretrain._overrides(given)
    return config.resolve(store, method=given["method"], preset=given["preset"], overrides=overrides).config


def test_every_evaluation_line_is_one_that_the_command_takes() -> None:
    lines = {line for cell in FILLABLE for line in missing(cell, []).commands if "trainer evaluate" in line}
    for line in sorted(lines):
        context = evaluate.command.make_context("evaluate", shlex.split(line)[2:])
        options: dict[str, dict[str, Any]] = {}
        for text in context.params["assignments"]:
            override = config.parse_override(text)
            protocol, _, key = override.path.partition(".")
            options.setdefault(protocol, {})[key] = override.value
        protocol_options(context.params["protocols"], options)
    assert any("--target pku-mmd-2-isc-t64.zarr --target-split xsub" in line for line in lines)
    assert any("--set semi.schedule=skelemix" in line for line in lines)


def test_every_line_is_one_of_a_command_that_exists() -> None:
    from skeltools.cli import cli as skeltools

    groups: dict[str, click.Group] = {"trainer": cli.cli, "skeltools": skeltools}
    lines = {tuple(shlex.split(line)) for cell in FILLABLE for line in missing(cell, []).commands}
    for program, name, *arguments in sorted(lines):
        assert name in groups[program].commands
        groups[program].commands[name].make_context(name, list(arguments))  # raises for an unknown option
    used = {(program, name) for program, name, *_ in lines}
    assert used == {
        ("skeltools", "convert"),
        ("skeltools", "streams"),
        ("trainer", "pretrain"),
        ("trainer", "evaluate"),
        ("trainer", "ensemble"),
        ("trainer", "segment"),
    }


def test_what_is_there_is_not_made_again(store: Store, tmp_path: Path) -> None:
    settings = {"dataset": "ntu60", "method": "aimclr"}
    joint = write_run(
        tmp_path / "joint", settings_of(store, "aimclr", data__split="xview"), result(**settings)
    )
    three = next(
        cell
        for cell in tables.published(method="aimclr", split="xview", protocol="linear")
        if cell.stream != "joint" and "+" in str(cell.stream) and not cell.settings
    )
    found = missing(three, tables.read_sources([joint]))
    assert found.what == "no run of aimclr on ntu60 xview: motion, bone"
    assert not [line for line in found.commands if line.startswith(f"trainer evaluate {joint}")]
    assert len([line for line in found.commands if line.startswith("trainer pretrain")]) == 2
    assert found.commands[-1].startswith(
        f"trainer ensemble {joint} runs/ntu60-xview-aimclr-motion-300-epochs"
    )
    tuned = published(protocol="finetune", stream="joint")
    found = missing(tuned, tables.read_sources([joint]))
    assert found == type(found)(
        "no result of finetune: joint", (f"trainer evaluate {joint} --protocol finetune",)
    )


def test_runs_of_all_streams_are_evaluated_on_all_streams() -> None:
    joint = next(iter(tables.published(method="csclr", split="xview", stream="joint", protocol="linear")))
    streams = [line for line in missing(joint, []).commands if line.startswith("skeltools streams")]
    assert streams == ["skeltools streams ntu60-crossclr-t50.zarr --frames 50 --bone --motion"]


def test_another_number_of_epochs_is_trained_anew_where_epochs_are_the_columns(
    store: Store, tmp_path: Path
) -> None:
    settings = settings_of(store, "skelemixclr", data__split="xview")
    run = write_run(tmp_path / "run", settings, result(method="skelemixclr"))
    filled = tables.fill(tables.load("skelemixclr-table4"), tables.read_sources([run]))
    row = next(cells for cells in filled.rows if cells[0] and cells[0].published.row == "SkeleMixCLR, xview")
    hundred, _, three_hundred = row
    assert hundred is not None
    assert hundred.missing is not None
    assert "--epochs 100 " in hundred.missing.commands[1]
    assert three_hundred is not None
    assert three_hundred.missing is None


def test_detection_is_compared_by_its_own_figure(store: Store, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "protocol": "segment", "dataset": "pku-mmd-1", "split": "xsub", "settings": {"window": 60},
        "train_samples": 944, "test_samples": 132, "method": "skeletonclr", "top1": 0.9,
    }  # fmt: skip
    measured = result(**changes, details={"figures": {"released_map_actions@0.5": 0.604}})
    run = write_run(tmp_path / "run", settings_of(store, "skeletonclr"), measured)
    filled = tables.fill(tables.load("pku-mmd-table1"), tables.read_sources([run]))
    (ours,) = [each for cell in filled.cells() for each in cell.ours]
    assert (ours.value, ours.difference) == (pytest.approx(60.4), pytest.approx(60.4 - 90.4))
    assert not ours.verdict.data
    few = result(**changes | {"test_samples": 12}, details=measured.details)
    cell = next(cell.published for cell in filled.cells())
    assert verdict(cell, few).data == ("12 of 132 test recordings",)
    without = write_run(tmp_path / "none", settings_of(store, "skeletonclr"), result(**changes))
    (unfit,) = tables.fill(tables.load("pku-mmd-table1"), tables.read_sources([without])).unfit
    assert unfit.reason == "the result has no released_map_actions@0.5"
    other = next(cell for cell in filled.cells() if not cell.ours)
    assert other.missing is not None
    assert other.missing.commands[-2:] == (
        "skeltools convert pku-mmd-1 --uncut --out pku-mmd-1-uncut.zarr",
        "trainer segment runs/pku-mmd-1-xview-skeletonclr-joint pku-mmd-1-uncut.zarr --split xview",
    )
