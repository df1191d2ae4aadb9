"""What holds for every protocol, a new one included; and a new one on its way through all commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from schemas import EvaluationResult, SkelError
from tests.trainer import means
from tests.trainer.command import call
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import CLASSES, write_store
from trainer import loop, tables
from trainer.evaluate import PROTOCOLS, protocol_options
from trainer.evaluate.protocol import Needs
from trainer.report.collect import headline, rank, read_runs
from trainer.report.tables import results_section
from trainer.run import open_run, read_results
from trainer.tables import reader
from trainer.tables.model import PaperTable, Published, Row

Capture = pytest.CaptureFixture[str]
THREE = ("joint", "motion", "bone")
ALL = "joint+motion+bone"
BOTH = ("few_6", "many_8")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return write_store(folder / "toy.zarr", conventions=BOTH, streams=THREE, manifest={"dataset": "ntu60"})


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one encoder in one convention, in both conventions, and of three encoders."""
    folder = tmp_path_factory.mktemp("runs")
    for name, method in (("one", "skeletonclr"), ("both", "ms-clr"), ("three", "crosclr")):
        more = {} if name == "both" else {"data__conventions": ["few_6"]}
        loop.pretrain(tiny_config(store, method=method, optimise__epochs=1, **more), out=folder / name)
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def quick(protocol: str) -> dict[str, Any]:
    """Options with which a protocol takes no time."""
    short = {"epochs": 2, "draws": 2, "shares": [50], "batch_size": 8, "lr": 0.05}
    fields = PROTOCOLS[protocol].Options.model_fields
    return {name: value for name, value in short.items() if name in fields}


def measured(run: Path, store: Path, protocol: str, **more: Any) -> list[EvaluationResult]:
    target = store if PROTOCOLS[protocol].NEEDS.target else None
    options = {protocol: quick(protocol)}
    return evaluate_run(run, protocols=[protocol], device="cpu", options=options, target=target, **more)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocol_says_what_it_needs(protocol: str) -> None:
    module = PROTOCOLS[protocol]
    assert isinstance(module, ModuleType)
    assert isinstance(module.NEEDS, Needs)
    assert not (module.NEEDS.random_weights or module.NEEDS.target) or module.NEEDS.clips
    assert not module.NEEDS.clips or module.NEEDS.fuse == "scores"
    assert protocol_options([protocol])[protocol] == module.Options()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_result_is_written_and_the_same_again(protocol: str, runs: Path, store: Path) -> None:
    results = measured(runs / "one", store, protocol)
    assert results[0].protocol == protocol
    assert {each.result.figure: each.result for each in read_results(runs / "one")} == {
        result.figure: result for result in results
    }
    for saved in read_results(runs / "one"):
        scores = saved.scores()
        assert (scores.classes, scores.kind) == (CLASSES, saved.result.scores_kind)
        assert len(scores) == saved.result.test_samples == 9
        right = (scores.values.argmax(1) == scores.labels).double().mean()
        assert saved.result.draws or saved.result.top1 == pytest.approx(float(right))
    again = measured(runs / "one", store, protocol)
    assert again == [
        result.model_copy(update={"seconds": other.seconds})
        for result, other in zip(results, again, strict=True)
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_encoder_is_left_as_it_was(protocol: str, runs: Path, store: Path) -> None:
    run = open_run(runs / "one", device="cpu")
    before = {name: value.clone() for name, value in run.method.state_dict().items()}
    state = torch.get_rng_state()
    options: dict[str, dict[str, Any]] = {protocol: quick(protocol)}
    run.evaluate(protocol, options=options, target=store if PROTOCOLS[protocol].NEEDS.target else None)
    assert all(torch.equal(value, before[name]) for name, value in run.method.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_streams_and_conventions_go_together(protocol: str, runs: Path, store: Path) -> None:
    results = measured(runs / "three", store, protocol)
    figures = list(dict.fromkeys(result.figure for result in results))
    assert [(result.figure, result.encoder) for result in results] == [
        *((figure, stream) for stream in THREE for figure in figures),
        *((figure, ALL) for figure in figures),
    ]
    of = PROTOCOLS[protocol].NEEDS.fuse
    assert {result.settings["fusion"]["of"] for result in results if result.encoder == ALL} == {of}
    results = measured(runs / "both", store, protocol, conventions=["all"])
    assert {result.convention for result in results} == {*BOTH, "few_6+many_8"}
    assert {result.figure for result in results} == set(figures)
    target = "-toy" if PROTOCOLS[protocol].NEEDS.target else ""
    for result in results:
        stem = f"{result.figure}{target}-{result.convention}"
        assert result.scores == f"{stem}.npz"
        assert (runs / "both" / "results" / f"{stem}.npz").exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_random_weights_have_a_folder_of_their_own(protocol: str, runs: Path, store: Path) -> None:
    results = measured(runs / "one", store, protocol, untrained=True)
    assert {result.checkpoint for result in results} == {"random weights"}
    assert all(result.notes[0] == "of random weights, not of the run's" for result in results)
    assert not (runs / "one" / "results").exists()
    untrained = runs / "one" / "untrained"
    assert {saved.result.figure for saved in read_results(untrained)} == {each.figure for each in results}
    for path in (untrained / "results", next((untrained / "results").glob("*.json"))):
        with pytest.raises(SkelError, match="results of random weights"):
            tables.read_sources([path])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_results_are_in_ensembles_comparisons_and_tables(
    protocol: str, runs: Path, store: Path, capsys: Capture
) -> None:
    results = measured(runs / "three", store, protocol)
    code, text, err = call(capsys, "ensemble", runs / "three", "--protocol", results[0].figure, "--json")
    assert code == 0, err
    assert json.loads(text)[0]["settings"]["of"] == results[0].figure
    arguments = (runs / "three", runs / "three", "--protocol", results[0].figure, "--json")
    code, text, err = call(capsys, "compare", *arguments)
    assert code == 0, err
    assert json.loads(text)["difference"] == 0
    code, text, err = call(capsys, "table", "aimclr-table2", runs / "three", "--json")
    assert code == 0, err
    given = tables.read_sources([runs / "three"])
    assert {saved.result.protocol for saved in given[0].results} >= {protocol}


def test_reports_have_the_order_of_the_registry(runs: Path, store: Path) -> None:
    for protocol in sorted(PROTOCOLS):
        measured(runs / "one", store, protocol)
    ordered = [saved.result.protocol for saved in sorted(read_results(runs / "one"), key=rank)]
    assert list(dict.fromkeys(ordered)) == [*PROTOCOLS, "knn1"]
    best = headline(read_results(runs / "one"))
    assert best is not None
    assert best.result.protocol == next(iter(PROTOCOLS))


@pytest.fixture
def registered() -> Iterator[str]:
    """One file and one line, here in front of all others; afterwards they are in their order again."""
    others = dict(PROTOCOLS)
    PROTOCOLS.clear()
    PROTOCOLS.update({"means": means, **others})
    yield "means"
    PROTOCOLS.clear()
    PROTOCOLS.update(others)


def test_a_new_protocol_passes_what_all_pass(
    registered: str, runs: Path, store: Path, capsys: Capture
) -> None:
    test_a_protocol_says_what_it_needs(registered)
    test_a_result_is_written_and_the_same_again(registered, runs, store)
    test_the_encoder_is_left_as_it_was(registered, runs, store)
    test_streams_and_conventions_go_together(registered, runs, store)
    test_results_are_in_ensembles_comparisons_and_tables(registered, runs, store, capsys)


def test_a_new_protocol_goes_through_every_command(
    registered: str, runs: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs / "one"
    arguments = ("--protocol", registered, "--protocol", "knn", "--device", "cpu", "--set", "means.power=2")
    code, text, err = call(capsys, "evaluate", run, *arguments, "--json")
    assert code == 0, err
    result = EvaluationResult.model_validate(json.loads(text)[0])
    assert (result.protocol, result.settings, result.scores) == ("means", {"power": 2.0}, "means-few_6.npz")
    code, _, err = call(capsys, "evaluate", run, "--protocol", "mean")
    assert code == 2
    assert "unknown protocol 'mean'. Did you mean 'means'?" in err

    code, _, err = call(capsys, "report", run, "--out", tmp_path / "r.html", "--no-encoders")
    assert code == 0, err
    page = (tmp_path / "r.html").read_text()
    assert f"{100 * result.top1:.1f} (means;" in page, (
        "it stands first in the registry: it speaks for the run"
    )
    table: Any = results_section(read_runs([run])).parts[0]
    assert [row[1] for row in table.rows] == ["means", "knn", "knn1"]

    cell = Published(
        value=50, table="new-table1", source="New, Table 1", row="r", column="c", method="skeletonclr",
        protocol="means", dataset="ntu60", split="xview", stream="joint", conventions=("few_6",),
    )  # fmt: skip
    new = PaperTable(
        name="new-table1", source=cell.source, title="", caption="", columns=("c",),
        rows=(Row(label="r", cells=(cell,)),),
    )  # fmt: skip
    monkeypatch.setattr(reader, "_tables", lambda: {new.name: new})
    code, text, err = call(capsys, "table", new.name, run, "--json")
    assert code == 0, err
    content = json.loads(text)
    assert [ours["value"] for ours in content["cells"][0]["ours"]] == [pytest.approx(100 * result.top1)]
    shutil.rmtree(run / "results")
    measured_again = ("evaluate", run, "--protocol", "knn", "--device", "cpu", "--json")
    assert call(capsys, *measured_again)[0] == 0
    _, text, _ = call(capsys, "table", new.name, run, "--json")
    (missing,) = (each["missing"]["commands"] for each in json.loads(text)["cells"])
    assert missing == [f"trainer evaluate {run} --protocol means --convention all"]
