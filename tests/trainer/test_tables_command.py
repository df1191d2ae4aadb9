"""``trainer table``: what it prints, and one line for every mistake."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from schemas import SkelError
from tests.trainer.published import ntu_store, result, settings_of, write_run
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from trainer import cli, loop, tables
from trainer.store import Store
from trainer.tables import Source
from trainer.tables.compare import protocol


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return ntu_store(tmp_path_factory.mktemp("data"))


Capture = pytest.CaptureFixture[str]


def call(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["table", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Path:
    settings = settings_of(store, "aimclr", data__split="xview")
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
    assert "this is neither a run folder nor the result of an ensemble" in err
    bare = write_run(tmp_path / "bare", settings_of(store, "aimclr"))
    code, _, err = call(capsys, "aimclr-table4", bare)
    assert code == 1
    assert (
        f"this run has not been evaluated yet. Evaluate it with `trainer evaluate {bare} --protocol linear`"
        in err
    )
    code, _, err = call(capsys, "aimclr-table4", run, "--markdown", "--json")
    assert code == 2
    (run / "results" / "linear-0.json").write_text("{")
    code, _, err = call(capsys, "aimclr-table4", run)
    assert code == 1
    assert "damaged" in err
    (run / "config.yaml").write_text("preset: [")
    (run / "results" / "linear-0.json").unlink()
    with pytest.raises(SkelError, match="not the settings of a run, or they are damaged"):
        tables.read_sources([run])


def test_what_evaluation_and_ensembles_write_is_understood(tmp_path: Path, capsys: Capture) -> None:
    path = write_store(
        tmp_path / "toy.zarr", streams=("joint", "bone"), manifest={"dataset": "ntu60", "synthetic": True}
    )
    runs, file = [tmp_path / "joint", tmp_path / "bone"], tmp_path / "two.json"
    for run in runs:
        loop.pretrain(tiny_config(path, data__stream=run.name, optimise__epochs=1), out=run)
        cli.cli.main(["evaluate", str(run), "--protocol", "linear"], standalone_mode=False)
    cli.cli.main(["ensemble", *map(str, runs), "--out", str(file)], standalone_mode=False)
    capsys.readouterr()
    code, out, _ = call(capsys, "aimclr-table4", runs[0], file)
    assert code == 0
    assert "joint/results/linear-few_6.json: convention few_6, not kinectv2_25" in out
    assert "two.json: stream joint+bone, not joint; convention few_6, not kinectv2_25" in out
    first, together = tables.read_sources([runs[0], file])
    assert together.config == first.config
    assert protocol(together.results[0].result) == "linear"


def test_given_results_know_whether_they_can_be_evaluated_again(run: Path, tmp_path: Path) -> None:
    file = run / "results" / "linear-0.json"
    as_run, as_file = tables.read_sources([run, file])
    assert as_run.trained
    assert not as_file.trained
    assert as_file == Source(file, as_run.config, as_file.results)


def test_latex_and_csv_have_the_figures(run: Path, store: Store, tmp_path: Path, capsys: Capture) -> None:
    settings = settings_of(store, "aimclr", optimise__lr=0.5)
    demo = write_run(tmp_path / "demo", settings, result(synthetic=True))
    code, out, _ = call(capsys, "aimclr-table4", run, demo, "--latex")
    assert code == 0
    lines = out.splitlines()
    assert "\\begin{tabular}{ll" in out
    (row,) = [line for line in lines if line.startswith("AimCLR &")]
    assert "79.7 \\textbar{} 75.0 (-4.7), 75.0 *" in row
    assert row.endswith("\\\\")
    assert all(line.count(" & ") == row.count(" & ") for line in lines if line.endswith("\\\\"))
    assert any(line.startswith("% AimCLR joint, xview: data comparable") for line in lines)
    code, out, _ = call(capsys, "aimclr-table4", run, demo, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    ours = [each for each in rows if each["ours"]]
    assert [(each["published"], each["ours"], each["difference"], each["comparable"]) for each in ours] == [
        ("79.7", "75.00", "-4.70", "yes"),
        ("79.7", "75.00", "", "no"),
    ]
    assert len(rows) > len(ours), "printed numbers without ours have a line, too"


def test_one_form_at_a_time(capsys: Capture) -> None:
    code, _, err = call(capsys, "aimclr-table4", "--latex", "--csv")
    assert code == 2
    assert "give one of" in err
