"""Published tables: numbers as printed, cells filled with what they are numbers of, commands that do it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from schemas import EvaluationResult, RunConfig, SkelError, UsageError, unknown
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from trainer import cli, config, loop, tables
from trainer.cli import evaluate, pretrain
from trainer.evaluate import protocol_options
from trainer.store import Store, open_store
from trainer.tables import Given, Published, reader
from trainer.tables.commands import TOGETHER, missing
from trainer.tables.compare import mismatches, verdict

COLUMNS = (
    ("ntu60", "xsub"),
    ("ntu60", "xview"),
    ("ntu120", "xsub"),
    ("ntu120", "xset"),
    ("pku-mmd-1", "xsub"),
    ("pku-mmd-2", "xsub"),
)
THREE = "joint+bone+motion"
BOTH = "kinectv2_25+smplx_42"

# Linear evaluation: what the papers' authors print of their own method, or quote of SkeletonCLR and CrosSCLR.
KNOWN: list[tuple[str, str, str, dict[str, Any], tuple[float | None, ...]]] = [
    ("skeletonclr", "joint", "kinectv2_25", {}, (68.3, 76.4, 56.8, 55.9, 80.9, 35.2)),
    ("skeletonclr", THREE, "kinectv2_25", {}, (75.0, 79.8, 60.7, 62.6, 85.3, 40.4)),
    ("crosclr", THREE, "kinectv2_25", {}, (77.8, 83.4, 67.9, 66.7, 84.9, 21.2)),
    ("aimclr", "joint", "kinectv2_25", {}, (74.3, 79.7, 63.4, 63.4, 83.4, 36.8)),
    ("aimclr", THREE, "kinectv2_25", {}, (78.9, 83.8, 68.2, 68.8, 87.8, 38.5)),
    ("skelemixclr", "joint", "kinectv2_25", {"mixes": 3}, (80.7, 85.5, 69.0, 68.2, 88.1, 55.0)),
    ("skelemixclr", THREE, "kinectv2_25", {"mixes": 3}, (82.7, 87.1, 70.5, 70.7, 91.1, 57.1)),
    ("csclr", "joint", "kinectv2_25", {}, (75.7, 81.3, 64.5, 64.3, 85.3, 31.8)),
    ("csclr", THREE, "kinectv2_25", {}, (80.1, 85.2, 69.2, 70.2, 89.3, 45.1)),
    ("ms-clr", "joint", "kinectv2_25", {}, (76.1, 83.0, 63.9, 67.6, None, None)),
    ("ms-clr", THREE, "kinectv2_25", {}, (80.9, 86.7, 68.3, 70.1, None, None)),
    ("ms-clr", "joint", BOTH, {}, (86.6, 93.2, 74.3, 73.8, None, None)),
    ("ms-clr", THREE, BOTH, {}, (88.0, 94.2, 75.3, 75.1, None, None)),
]


@pytest.mark.parametrize(("method", "stream", "convention", "options", "values"), KNOWN)
def test_numbers_are_those_of_the_papers(
    method: str, stream: str, convention: str, options: dict[str, Any], values: tuple[float | None, ...]
) -> None:
    for (dataset, split), value in zip(COLUMNS, values, strict=True):
        found = tables.published(
            method=method,
            dataset=dataset,
            split=split,
            stream=stream,
            protocol="linear",
            convention=convention,
        )
        wanted = {f"method.options.{name}": each for name, each in options.items()}
        printed = {
            cell.value
            for cell in found
            if cell.origin != "reproduced"
            and cell.table not in ("aimclr-table3", "skelemixclr-table3", "skelemixclr-table4")
            and (not wanted or cell.settings == wanted)
        }
        assert printed == ({value} if value is not None else set()), (dataset, split)


def test_isc_is_that_of_its_own_paper() -> None:
    """Other papers quote it with xsub and xset exchanged, or with another number: those are not offered."""
    row = next(row for row in tables.load("isc-table1").rows if row.label == "ISC")
    assert [cell.value for cell in row.cells if cell] == [85.2, 76.3, 67.9, 67.1, 80.9, 36.0]
    for split, value in (("xsub", 67.1), ("xset", 67.9)):
        found = tables.published(method="isc", dataset="ntu120", split=split, protocol="linear")
        assert {cell.value for cell in found} == {value}


def test_no_two_papers_disagree_on_a_number_that_can_be_filled() -> None:
    seen: dict[str, tuple[float, str]] = {}
    for cell in reader.cells():
        if cell.method is None or cell.origin == "reproduced":
            continue
        stream = "+".join(sorted((cell.stream or "").split("+")))
        what = cell.model_dump(
            exclude={"value", "std", "table", "source", "row", "column", "origin", "stream", "note", "flags"}
            | {"preset", "weights", "frames", "recipe", "probe_epochs"}
        )
        before = seen.setdefault(json.dumps([what, stream], sort_keys=True), (cell.value, cell.source))
        assert before[0] == cell.value, f"{cell.source} {cell.row}: {cell.value}, {before[1]}: {before[0]}"


@pytest.mark.parametrize("name", tables.names())
def test_a_table_is_whole(name: str) -> None:
    table = tables.load(name)
    assert table.name == name
    assert tables.load(f"paper/{name}") is table
    for row in table.rows:
        assert len(row.cells) == len(table.columns)
        for cell in filter(None, row.cells):
            assert cell.table == name
            if cell.method is not None:
                assert cell.stream is not None
                assert 0 < cell.value < 100
            assert (cell.share is not None) == (cell.protocol == "semi")


def test_streams_and_fusions_of_a_table_add_up() -> None:
    """Gains that AimCLR's Table 2 prints beside its numbers."""
    gains = {"joint": (6.0, 3.3, 2.5, 6.6, 7.5), "motion": (13.5, 19.8, 8.6, 17.7, 14.2)}
    gains |= {"bone": (3.8, 9.6, 9.4, 14.5, 11.4), "joint+motion+bone": (3.9, 4.0, 2.5, 7.5, 6.2)}
    rows = tables.load("aimclr-table2").rows
    for base, own in zip(rows[::2], rows[1::2], strict=True):
        assert base.stream == own.stream
        pairs = zip(base.cells, own.cells, strict=True)
        assert tuple(round(b.value - a.value, 1) for a, b in pairs if a and b) == gains[own.stream or ""]


def test_an_unknown_table_names_the_closest() -> None:
    with pytest.raises(UsageError, match=r"unknown table 'ms-clr-tabel1'. Did you mean 'ms-clr-table1'"):
        tables.load("paper/ms-clr-tabel1")


# Filling


def published(**changes: Any) -> Published:
    """AimCLR, joint, NTU-60 xview."""
    found = tables.published(
        method="aimclr", dataset="ntu60", split="xview", stream="joint", protocol="linear"
    )[0]
    return found.model_copy(update=changes)


def result(**changes: Any) -> EvaluationResult:
    """One that is comparable in everything with ``published()``."""
    values: dict[str, Any] = {
        "protocol": "linear", "settings": {"epochs": 100}, "dataset": "ntu60", "synthetic": False,
        "store": "ntu60.zarr", "store_hash": "0", "recipe": "crossclr", "frames": 50, "split": "xview",
        "convention": "kinectv2_25", "stream": "joint", "encoder": "joint", "method": "aimclr",
        "checkpoint": "last.pt", "checkpoint_hash": "0", "preset": "aimclr/paper", "epoch": 300,
        "epochs": 300, "train_samples": 37646, "test_samples": 18932, "top1": 0.75, "seconds": 1.0,
        "tool": "test",
    }  # fmt: skip
    return EvaluationResult(**(values | changes))


def ntu(tmp_path: Path, **manifest: Any) -> Store:
    """A store that calls itself NTU-60 and has what the papers need; only its manifest is meant."""
    path = write_store(tmp_path / "ntu60-crossclr.zarr", conventions=("few_6",))
    store = open_store(path)
    half = store.manifest.protocols["xview"]
    there = store.manifest.conventions["few_6"]
    changed = store.manifest.model_copy(
        update={
            "dataset": "ntu60",
            "protocols": {"xsub": half, "xview": half, "xset": half},
            "conventions": {
                "kinectv2_25": there,
                "smplx_42": there.model_copy(update={"reader": "metrabs"}),
            },
        }
        | manifest
    )
    return Store(store.path, changed, store.group)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return ntu(tmp_path_factory.mktemp("data"))


def write_run(folder: Path, settings: RunConfig, *results: EvaluationResult) -> Path:
    """A run folder as far as tables read it."""
    (folder / "results").mkdir(parents=True)
    loop.session.write_config(settings, folder)
    for number, each in enumerate(results):
        (folder / "results" / f"{each.protocol}-{number}.json").write_text(each.model_dump_json())
    return folder


def settings_of(store: Store, method: str, **changes: Any) -> RunConfig:
    overrides = [config.Override(path.replace("__", "."), value) for path, value in changes.items()]
    return config.resolve(store, method=method, overrides=overrides).config


def test_a_comparable_figure_is_called_so(store: Store, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", settings_of(store, "aimclr"), result())
    filled = tables.fill(tables.load("aimclr-table4"), tables.read_given([run]))
    cells = [cell for cell in filled.cells() if cell.ours]
    assert [(cell.published.row, cell.published.column) for cell in cells] == [("AimCLR", "xview")]
    ours = cells[0].ours[0]
    assert (ours.value, round(ours.difference, 6), ours.comparable) == (75.0, -4.7, True)
    assert not filled.unfit


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
    filled = tables.fill(tables.load("aimclr-table4"), tables.read_given([run]))
    assert not [cell for cell in filled.cells() if cell.ours]
    assert [each.reason.startswith(reason) for each in filled.unfit] == [True], filled.unfit


def rows_of(table: str, *given: Path) -> list[str]:
    filled = tables.fill(tables.load(table), tables.read_given(given))
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
    filled = tables.fill(tables.load("aimclr-table3"), tables.read_given([odd]))
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
    alone = tables.fill(tables.load("skelemixclr-table11"), tables.read_given([file]))
    assert alone.unfit[0].reason == "the settings of the run are not known"
    plus = settings_of(store, "skelemixclr-plus")
    run = write_run(tmp_path / "plus", plus, result(method="skelemixclr", checkpoint_hash="abc"))
    filled = tables.fill(tables.load("skelemixclr-table11"), tables.read_given([run, file.parent]))
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


# Commands


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
            assert found.data.protocol == cell.split
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
    assert any("--target pku-mmd-2-isc.zarr --target-protocol xsub" in line for line in lines)
    assert any("--set semi.schedule=skelemix" in line for line in lines)


def test_every_line_is_a_command_that_exists() -> None:
    from skeltools.cli import cli as skeltools

    groups: dict[str, click.Group] = {"trainer": cli.cli, "skeltools": skeltools}
    lines = {tuple(shlex.split(line)) for cell in FILLABLE for line in missing(cell, []).commands}
    for program, name, *arguments in sorted(lines):
        if name not in groups[program].commands:
            raise unknown("command", f"{program} {name}", groups[program].commands)
        groups[program].commands[name].make_context(name, list(arguments))


def test_what_is_there_is_not_made_again(store: Store, tmp_path: Path) -> None:
    settings = {"dataset": "ntu60", "method": "aimclr"}
    joint = write_run(
        tmp_path / "joint", settings_of(store, "aimclr", data__protocol="xview"), result(**settings)
    )
    three = next(
        cell
        for cell in tables.published(method="aimclr", split="xview", protocol="linear")
        if cell.stream != "joint" and "+" in str(cell.stream)
    )
    found = missing(three, tables.read_given([joint]))
    assert found.what == "no run of aimclr on ntu60 xview: motion, bone"
    assert not [line for line in found.commands if line.startswith(f"trainer evaluate {joint}")]
    assert len([line for line in found.commands if line.startswith("trainer pretrain")]) == 2
    assert found.commands[-1].startswith(
        f"trainer ensemble {joint} runs/ntu60-xview-aimclr-motion-300-epochs"
    )
    tuned = published(protocol="finetune", stream="joint")
    found = missing(tuned, tables.read_given([joint]))
    assert found == type(found)(
        "no result of finetune: joint", (f"trainer evaluate {joint} --protocol finetune",)
    )


# The command


Capture = pytest.CaptureFixture[str]


def call(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["table", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Path:
    settings = settings_of(store, "aimclr", data__protocol="xview")
    return write_run(tmp_path / "run", settings, result(), result(protocol="knn", synthetic=True))


def test_the_list_names_every_table(capsys: Capture) -> None:
    code, out, _ = call(capsys)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(tables.names())


def test_the_text_has_all_three_numbers_and_what_is_missing(run: Path, capsys: Capture) -> None:
    code, out, _ = call(capsys, "paper/aimclr-table4", run)
    assert code == 0
    lines = out.splitlines()
    assert "79.7 | 75.0 (-4.7)" in next(line for line in lines if line.startswith("AimCLR "))
    assert f"  AimCLR joint, xview: 75.0 (-4.7), {run}/results/linear-0.json" in lines
    assert "      data comparable" in lines
    assert "      schedule comparable" in lines
    assert f"  {run}/results/knn-1.json: protocol knn, not linear" in lines
    start = lines.index("  AimCLR joint, xsub: no run of aimclr on ntu60 xsub: joint")
    assert [line.split()[:2] for line in lines[start + 1 : start + 4]] == [
        ["skeltools", "convert"],
        ["trainer", "pretrain"],
        ["trainer", "evaluate"],
    ]


def test_markdown_and_json_hold_the_same(run: Path, capsys: Capture) -> None:
    _, markdown, _ = call(capsys, "aimclr-table4", run, "--markdown")
    row = next(line for line in markdown.splitlines() if line.startswith("| AimCLR |"))
    assert row == "| AimCLR | joint | 74.3 | 79.7 \\| 75.0 (-4.7) |"
    _, text, _ = call(capsys, "aimclr-table4", run, "--json")
    content = json.loads(text)
    filled = [cell for cell in content["cells"] if cell["ours"]]
    assert [cell["published"]["value"] for cell in filled] == [79.7]
    assert filled[0]["ours"][0]["data"] == {"comparable": True, "differs": []}
    assert len(content["cells"]) == 22
    assert sum(cell["missing"] is not None for cell in content["cells"]) == 9
    assert content["unfit"][0]["reason"] == "protocol knn, not linear"


def test_mistakes_are_one_line(run: Path, store: Store, tmp_path: Path, capsys: Capture) -> None:
    code, _, err = call(capsys, "paper/aimclr-table44", run)
    assert (code, err.count("\n")) == (2, 1)
    assert "Did you mean 'aimclr-table4'" in err
    code, _, err = call(capsys, "aimclr-table4", tmp_path / "nowhere")
    assert code == 1
    assert "this is no run folder, and no result of an ensemble" in err
    bare = write_run(tmp_path / "bare", settings_of(store, "aimclr"))
    code, _, err = call(capsys, "aimclr-table4", bare)
    assert code == 1
    assert (
        f"this run was not evaluated yet. Evaluate it with `trainer evaluate {bare} --protocol linear`" in err
    )
    code, _, err = call(capsys, "aimclr-table4", run, "--markdown", "--json")
    assert code == 2
    (run / "results" / "linear-0.json").write_text("{")
    code, _, err = call(capsys, "aimclr-table4", run)
    assert code == 1
    assert "damaged" in err
    (run / "config.yaml").write_text("preset: [")
    (run / "results" / "linear-0.json").unlink()
    with pytest.raises(SkelError, match="no settings of a run, or they are damaged"):
        tables.read_given([run])


def test_a_real_run_fills_a_cell(tmp_path: Path, capsys: Capture) -> None:
    """From training to table, with what evaluation writes and not with what this file thinks it writes."""
    path = write_store(tmp_path / "toy.zarr", manifest={"dataset": "ntu60", "synthetic": True})
    loop.pretrain(tiny_config(path), out=tmp_path / "run")
    with pytest.raises(SystemExit):
        cli.main(["evaluate", str(tmp_path / "run"), "--protocol", "linear"])
    capsys.readouterr()
    code, out, _ = call(capsys, "aimclr-table4", tmp_path / "run")
    assert code == 0
    assert "linear-few_6.json: convention few_6, not kinectv2_25" in out


def test_given_results_know_whether_they_can_be_evaluated_again(run: Path, tmp_path: Path) -> None:
    file = run / "results" / "linear-0.json"
    as_run, as_file = tables.read_given([run, file])
    assert as_run.trained
    assert not as_file.trained
    assert as_file == Given(file, as_run.config, as_file.results)
    assert not mismatches(published(), as_file.results[0].result, None)
