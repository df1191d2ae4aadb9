"""The report's content from run folders made by hand: figures, tables, notes, and that it repeats."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from schemas import SkelError, UsageError
from tests.trainer.reports import CONFUSION, epoch, result, write_run
from tests.trainer.stores import CLASSES, write_store
from trainer.config import Override, parse_override, resolve
from trainer.report import draw, page
from trainer.report.build import build
from trainer.report.collect import headline, read_runs
from trainer.report.gains import class_gains
from trainer.report.lines import Line, line, merged, whole_ticks
from trainer.report.parts import Figure, Note, Page, Section, Table
from trainer.report.tables import best_match, differences
from trainer.run import read_config
from trainer.store import open_store
from trainer.tables import verdict


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr")


def made(*runs: Path, **options: Any) -> Page:
    return build(runs, device="cpu", encoders=False, **options)


def section(of: Page, name: str) -> Section:
    return next(each for each in of.sections if each.name == name)


def tables(of: Section) -> dict[str, Table]:
    return {part.title: part for part in of.parts if isinstance(part, Table)}


def notes(of: Section) -> list[str]:
    return [f"{part.text} | {part.command}" for part in of.parts if isinstance(part, Note)]


def texts(figure: Figure) -> list[str]:
    """The words of a drawing."""
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", figure.svg)]


class Reader(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_results_stand_with_interval_best_epoch_and_random_encoder(store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", store, results=[result(), result(protocol="knn", best_top1=None)])
    table = tables(section(made(run), "results"))["Results"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["protocol"] for row in rows] == ["linear", "knn"]
    assert rows[0]["top-1 %"] == "80.0"
    assert rows[0]["95 % interval"] == "60.0 to 93.0"
    assert rows[0]["random encoder kNN %"] == "37.5"
    assert rows[0]["best epoch % (not the result)"] == "87.5"
    assert rows[1]["best epoch % (not the result)"] == "–"
    assert "never the result" in table.caption


def test_a_note_of_several_results_stands_once(store: Path, tmp_path: Path) -> None:
    noted = [result(notes=("beware",)), result(protocol="knn", notes=("beware",))]
    said = notes(section(made(write_run(tmp_path / "one", store, results=noted)), "results"))
    assert said[0] == "one linear, one knn: beware | "
    assert sum("beware" in text for text in said) == 1


def test_classes_that_never_occur_are_left_out_of_the_matrix(store: Path, tmp_path: Path) -> None:
    counts = ((4, 0, 1), (0, 0, 0), (0, 0, 5))
    sparse = result().model_copy(update={"confusion": counts})
    matrix = section(made(write_run(tmp_path / "one", store, results=[sparse])), "confusion").parts[0]
    assert isinstance(matrix, Figure)
    assert [text for text in texts(matrix) if text[:-2] in CLASSES] == ["wave 1", "jump 2"]
    assert "2 of 3 classes occur" in matrix.caption


def test_several_draws_stand_with_their_deviation(store: Path, tmp_path: Path) -> None:
    drawn = result(protocol="semi", name="semi-10", top1=0.5, std=0.021, draws=(0.48, 0.52))
    table = tables(section(made(write_run(tmp_path / "one", store, results=[drawn])), "results"))["Results"]
    assert (table.rows[0][1], table.rows[0][4]) == ("semi-10", "50.0 ± 2.1")


def test_a_published_number_stands_beside_with_what_differs(store: Path, tmp_path: Path) -> None:
    real = result(dataset="ntu60", split="xsub", convention="kinectv2_25", top1=0.7, epoch=300)
    run = write_run(tmp_path / "one", store, results=[real])
    table = tables(section(made(run), "results"))["Beside the papers"]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["ours %"], row["published %"], row["difference"]) == ("70.0", "68.3", "+1.7")
    assert row["comparable?"].startswith(f"no: {real.test_samples} of 16487 test samples; ")
    assert "encoder.options.channels [4, 8] instead of [16, 16," in row["comparable?"]
    assert "optimise.batch_size 4 instead of 128" in row["comparable?"]


def test_what_keeps_numbers_from_being_compared_is_named(store: Path, tmp_path: Path) -> None:
    values = {"dataset": "ntu60", "split": "xsub", "convention": "kinectv2_25", "epoch": 300}
    (run,) = read_runs([write_run(tmp_path / "one", store)])
    same = result(**values)
    printed = best_match(run, same)
    assert printed is not None
    other = result(**values | {"epoch": 40, "epochs": 50, "recipe": "default"})
    judged = verdict(printed, other)
    assert "recipe default, the paper's is crossclr" in judged.data
    assert judged.schedule[:2] == ("unfinished: epoch 40 of 50", "40 epochs, published after 300")
    said = differences(run, other, printed)
    assert said[: len(judged.data) + len(judged.schedule)] == [*judged.data, *judged.schedule]
    probed = result(**values, settings={"epochs": 100, "lr": 0.1, "standardise": True})
    said = differences(run, probed, printed)
    assert {"standardised features, which no paper uses", "linear.lr 0.1 instead of 3.0"} <= set(said)
    assert said[-1] == "and 2 more settings"
    assert differences(run, result(**values, synthetic=True), printed)[0] == "synthetic data"
    assert best_match(run, result(**values | {"split": "elsewhere"})) is None


def test_synthetic_data_get_no_difference_and_a_warning(store: Path, tmp_path: Path) -> None:
    demo = result(dataset="ntu60", split="xsub", convention="kinectv2_25", synthetic=True)
    made_up = write_store(tmp_path / "demo.zarr", manifest={"synthetic": True})
    page_ = made(write_run(tmp_path / "one", made_up, results=[demo]))
    table = tables(section(page_, "results"))["Beside the papers"]
    assert table.rows[0][5] == "–"
    assert table.rows[0][7].startswith("no: synthetic data")
    assert "say nothing about" in notes(section(page_, "overview"))[0]


def test_the_confusion_has_its_counts_and_its_worst_pairs(store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", store, results=[result()])
    matrix, pairs = section(made(run), "confusion").parts
    assert isinstance(matrix, Figure)
    assert isinstance(pairs, Table)
    numbers = [text for text in texts(matrix) if text.isdigit()]
    counts = [str(count) for row in CONFUSION for count in row if count]
    assert sorted(numbers) == sorted([*counts, "1", "2", "3"]), "of the cells, and of the columns"
    assert "12 of 15" in matrix.alt
    assert pairs.rows == (("jump", "wave", "2", "40.0"), ("wave", "kick", "1", "20.0"))


def test_many_classes_stay_a_small_vector_drawing(store: Path, tmp_path: Path) -> None:
    size = 120
    counts = tuple(tuple((row * column) % 4 for column in range(size)) for row in range(size))
    names = tuple(f"class {index}" for index in range(size))
    large = result().model_copy(update={"confusion": counts, "classes": names})
    matrix = section(made(write_run(tmp_path / "one", store, results=[large])), "confusion").parts[0]
    assert isinstance(matrix, Figure)
    assert len(matrix.svg) < 700_000
    assert "<image" not in matrix.svg


def test_gains_are_sorted_and_signed(store: Path, tmp_path: Path) -> None:
    better = result(confusion=((5, 0, 0), (0, 4, 1), (0, 0, 5)))
    gains = class_gains(better, result())
    assert [name for name, _ in gains] == ["jump", "wave", "kick"]
    assert [round(points, 6) for _, points in gains] == [40.0, 20.0, -20.0]
    one = write_run(tmp_path / "one", store, results=[better])
    other = write_run(tmp_path / "other", store, results=[result()])
    page_ = made(one, baseline=other)
    (chart,) = section(page_, "gains").parts
    assert isinstance(chart, Figure)
    assert [text for text in texts(chart) if text in CLASSES] == ["jump", "wave", "kick"]
    assert {"+40.0", "+20.0", "-20.0", "all: +13.3"} <= {*texts(chart)}
    assert "2 classes gain, 1 lose" in chart.alt
    overview = tables(section(page_, "overview"))["Runs"]
    assert [row[0] for row in overview.rows] == ["one", "other (baseline)"]


def test_the_headline_is_of_the_reference_convention_and_says_so(store: Path, tmp_path: Path) -> None:
    both = result(convention="few_6+many_8", confusion=((5, 0, 0), (0, 5, 0), (0, 0, 5)))
    other = result(convention="a_convention", confusion=((5, 0, 0), (0, 5, 0), (0, 0, 5)))
    run = write_run(tmp_path / "one", store, results=[both, other, result()])
    (row,) = tables(section(made(run), "overview"))["Runs"].rows
    assert row[-1] == "80.0 (linear; few_6, joint)"


def test_gains_are_of_like_with_like(store: Path, tmp_path: Path) -> None:
    perfect = ((5, 0, 0), (0, 5, 0), (0, 0, 5))
    both = result(convention="few_6+many_8", confusion=perfect)
    one = write_run(tmp_path / "one", store, results=[both, result()])
    other = write_run(tmp_path / "other", store, results=[result()])
    (chart,) = section(made(one, baseline=other), "gains").parts
    assert isinstance(chart, Figure)
    assert "over all +0.0 points" in chart.alt
    assert "one: few_6, joint; other: few_6, joint." in chart.caption
    assert "Not like with like" not in chart.caption
    (one / "results" / "linear-few_6.json").unlink()
    (chart,) = section(made(one, baseline=other), "gains").parts
    assert isinstance(chart, Figure)
    assert "one: few_6+many_8, joint; other: few_6, joint. Not like with like" in chart.caption


def test_runs_that_differ_by_seed_have_mean_and_deviation(store: Path, tmp_path: Path) -> None:
    perfect = ((5, 0, 0), (0, 5, 0), (0, 0, 5))
    first = write_run(tmp_path / "first", store, results=[result()], runtime__seed=0)
    second = write_run(tmp_path / "second", store, results=[result(confusion=perfect)], runtime__seed=1)
    third = write_run(tmp_path / "third", store, results=[result()], optimise__lr=0.3, runtime__seed=2)
    found = tables(section(made(first, second, third), "results"))["Over seeds"]
    (row,) = found.rows
    assert row[0] == "first, second"
    assert row[2:] == ("linear", "few_6, joint", "2", "90.0 ± 14.1", "80.0 to 100.0")
    assert "Over seeds" not in tables(section(made(first, third), "results"))


def test_gains_need_a_baseline_and_the_same_test_half(store: Path, tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", store, results=[result()])
    assert notes(section(made(one), "gains")) == [
        f"No baseline was named. | trainer report {one} --baseline RUN"
    ]
    other = write_run(tmp_path / "other", store, results=[result(store_hash="6" * 64)])
    (said,) = notes(section(made(one, baseline=other), "gains"))
    assert "no result of the same protocol on the same test half" in said
    assert f"trainer evaluate {other} --protocol linear" in said


def test_curves_have_the_metrics_of_the_log(store: Path, tmp_path: Path) -> None:
    log = [epoch(number, monitor_knn=0.2 * number, monitor_knn1=0.1 * number) for number in (1, 2, 3, 4)]
    log[3] |= {"monitor_rankme": 12.5, "monitor_lidar": 9.5}
    log[1]["loss"] = None  # what the log has for a number that JSON lacks
    run = write_run(tmp_path / "one", store, log=log, results=[result()])
    (collected,) = read_runs([run])
    found = line(collected, "loss")
    assert found is not None
    assert (found.epochs, found.values) == ((1, 3, 4), (5.0, 5.0 / 3, 1.25))
    drawn = {figure.name: figure for figure in made(run).figures}
    assert {"loss", "info_nce", "mix"} <= {*texts(drawn["loss-one"])}
    assert {"query and its key", "query and queue", "trimmed view and its key"} <= {
        *texts(drawn["similarity-one"])
    }
    assert "stroke-dasharray" in drawn["similarity-one"].svg
    assert {"spread of the embeddings", "alarm below"} <= {*texts(drawn["state-one"])}
    assert any("RankMe" in text for text in texts(drawn["state-one"]))
    assert "LiDAR: dimensions that tell clips apart: 9.5" in drawn["state-one"].alt
    assert {"k = 20", "k = 1", "random encoder"} <= {*texts(drawn["knn-over-epochs"])}
    assert "k = 20: 20 to 80" in drawn["knn-over-epochs"].alt


def test_lines_that_lie_on_one_another_are_told_once(store: Path, tmp_path: Path) -> None:
    log = [epoch(number, loss=3.0 / number) for number in (1, 2, 3, 4)]
    run = write_run(tmp_path / "one", store, log=log)
    loss = next(figure for figure in made(run).figures if figure.name == "loss-one")
    assert "loss = info_nce" in texts(loss)
    assert "mix" in texts(loss)
    one, other = Line("a", (1, 2), (0.0, 1.0)), Line("b", (1, 2), (0.0, 1.004))
    assert [each.label for each in merged([one, other])] == ["a = b"]
    assert len(merged([one, replace(other, values=(0.0, 1.1))])) == 2
    assert len(merged([one, replace(other, epochs=(1, 3))])) == 2


def test_ticks_are_whole_epochs_and_have_the_last_one(store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", store, log=[epoch(1), epoch(2)])  # two of four: in progress
    for figure in made(run).figures:
        numbers = [text for text in texts(figure) if re.fullmatch(r"[\d.]+", text)]
        assert [*numbers[:4]] == ["1", "2", "3", "4"] or figure.name == "state-one", figure.name
    single = write_run(tmp_path / "single", store, log=[epoch(1)], optimise__epochs=1)
    loss = next(figure for figure in made(single).figures if figure.name == "loss-single")
    assert texts(loss)[:2] == ["1", "epoch"], "0.950 to 1.050 are no epochs"
    for epochs in range(1, 400):
        ticks = whole_ticks(epochs)
        assert ticks[0] == 1
        assert ticks[-1] == epochs
        assert len(ticks) <= 8
        assert ticks == sorted(set(ticks))


def test_letters_are_large_enough_for_a_telephone(store: Path, tmp_path: Path) -> None:
    """358 of 390 points are the drawing's, and 11 a letter should have."""
    one = write_run(tmp_path / "one", store, results=[result()])
    other = write_run(tmp_path / "other", store, results=[result()])
    for figure in made(one, baseline=other).figures:
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", figure.svg)]
        assert sizes
        assert min(sizes) * 358 / (72 * draw.WIDTH) >= 11
        assert not figure.wide


def test_a_drawing_has_the_colours_of_the_page_and_alone_its_own(store: Path, tmp_path: Path) -> None:
    built = made(write_run(tmp_path / "one", store, results=[result()]))
    for figure in built.figures:
        assert "var(" not in figure.svg
        assert "#0072b2" in figure.svg or figure.name.startswith("confusion")
    text = page.html(built)
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    found = {colour for each in drawings for colour in re.findall(r": (#[0-9a-f]{6})", each)}
    assert found <= {"#009e73", "#cc79a7"}, "what is neither grey nor the design's is seen on both grounds"
    assert "var(--left-leg)" in text
    assert "color-mix(in srgb, var(--text) 54%, var(--ground))" in text


def test_stages_and_alarms_are_marked(store: Path, tmp_path: Path) -> None:
    alarm = {"event": "warning", "epoch": 2, "step": 5, "kind": "collapse", "text": "all the same"}
    log = [epoch(1), epoch(2), alarm, epoch(3), epoch(4)]
    run = write_run(tmp_path / "one", store, log=log, method="aimclr", method__options__mine_from=2)
    page_ = made(run)
    loss = next(figure for figure in page_.figures if figure.name == "loss-one")
    assert {"stage 1: contrast", "stage 2: mining", "! collapse"} <= {*texts(loss)}
    assert tables(section(page_, "curves"))["Alarms from the log"].rows == (
        ("one", "2", "collapse", "all the same"),
    )


def test_a_run_with_its_preset_alone_says_so_in_place_of_an_empty_table(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.report.settings.of_preset", lambda own, preset: own)
    parts = section(made(write_run(tmp_path / "one", store)), "settings").parts
    assert [part.text for part in parts if isinstance(part, Note)] == [
        "All settings are those of preset skeletonclr/paper."
    ]
    assert [part.title for part in parts if isinstance(part, Table)] == ["All settings"]


def test_settings_show_what_was_changed_and_what_differs(store: Path, tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", store)
    other = write_run(tmp_path / "other", store, optimise__lr=0.25)
    (changed, every) = tables(section(made(one), "settings")).values()
    rows = {row[0]: row[1:] for row in changed.rows}
    assert rows["optimise.batch_size"][0] == "4"
    assert rows["optimise.batch_size"][0] != rows["optimise.batch_size"][1]
    assert "optimise.weight_decay" not in rows
    assert ("optimise.weight_decay", "0.0001") in every.rows
    (different, _) = tables(section(made(one, other), "settings")).values()
    lr = {row[0]: row[1:] for row in different.rows}["optimise.lr"]
    assert lr[1] == "0.25"
    assert {row[0] for row in different.rows} == {"optimise.lr"}


def test_provenance_comes_from_the_store_or_from_the_results(store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", store, results=[result()])
    rows = dict(tables(section(made(run), "data"))["Where the figures come from"].rows)
    assert rows["data set"] == "toy"
    assert rows["split"] == "xview: 21 train, 9 test (row)"
    assert len(rows["store hash"]) == 64
    text = (run / "config.yaml").read_text().replace(str(store), "/gone/s.zarr")
    (run / "config.yaml").write_text(text)
    page_ = made(run)
    rows = dict(tables(section(page_, "data"))["Where the figures come from"].rows)
    assert (rows["store"], rows["store hash"], rows["recipe"]) == ("toy.zarr", "5" * 64, "crossclr")
    assert any(
        "/gone/s.zarr" in text and "--store PATH" in text for text in notes(section(page_, "overview"))
    )
    found = dict(tables(section(made(run, store=store), "data"))["Where the figures come from"].rows)
    assert found["made by"] == "test"


def test_a_run_in_progress_says_so_and_its_half_line_is_left_out(store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", store, log=[epoch(1), epoch(2)])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epoch", "epo')
    page_ = made(run)
    said = notes(section(page_, "overview"))
    assert any("2 of 4 epochs are done: the run is in progress" in text for text in said)
    assert not any("metrics.jsonl" in text for text in said)
    assert tables(section(page_, "overview"))["Runs"].rows[0][4] == "2 of 4, not finished"


def test_a_run_without_an_epoch_has_a_page(store: Path, tmp_path: Path) -> None:
    page_ = made(write_run(tmp_path / "one", store, log=[]))
    assert any("no epoch is finished yet" in text for text in notes(section(page_, "curves")))
    assert notes(section(page_, "results"))[0].endswith("--protocol knn --protocol linear")
    assert notes(section(page_, "confusion"))[0].endswith("--protocol linear")
    assert page.html(page_)


def test_damaged_lines_and_results_are_named(store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", store, results=[result()])
    log = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([log[0], "rubbish", "[1]", *log[1:]]) + "\n")
    (run / "results" / "knn-few_6.json").write_text("{")
    page_ = made(run)
    said = " ".join(notes(section(page_, "overview")))
    assert re.search(r"metrics\.jsonl: line 2 is no record of the log \(2 such lines", said)
    assert re.search(r"knn-few_6\.json: this is not a result.*Evaluate the run again", said)
    assert [row[1] for row in tables(section(page_, "results"))["Results"].rows] == ["linear"]
    (run / "metrics.jsonl").unlink()
    assert any("no log" in text for text in notes(section(made(run), "overview")))


@pytest.mark.parametrize("damage", ["absent", "yaml", "model"])
def test_a_folder_that_is_no_run_is_an_error(damage: str, store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", store)
    config = run / "config.yaml"
    if damage == "absent":
        config.unlink()
        with pytest.raises(UsageError, match=r"one: no run folder here.*trainer pretrain"):
            made(run)
        return
    config.write_text("a: [" if damage == "yaml" else "preset: 3")
    with pytest.raises(SkelError, match=r"config\.yaml: these are not the settings.*Restore the file"):
        made(run)


def test_runs_of_the_same_name_are_told_apart_and_named_once(store: Path, tmp_path: Path) -> None:
    one, other = (write_run(tmp_path / name / "run", store) for name in ("a", "b"))
    names = [row[0] for row in tables(section(made(one, other, one), "overview"))["Runs"].rows]
    assert names == ["a/run", "b/run"]


def test_the_linear_result_of_all_encoders_speaks_for_a_run(store: Path, tmp_path: Path) -> None:
    single, all_ = result(convention="many_8"), result(encoder="joint+motion", stream="joint+motion")
    run = write_run(tmp_path / "one", store, results=[result(protocol="knn"), single, all_])
    (collected,) = read_runs([run])
    found = headline(collected.results)
    assert found is not None
    assert (found.result.protocol, found.result.encoder) == ("linear", "joint+motion")
    assert headline([]) is None


def test_the_head_says_what_how_good_and_whether_it_is_clear(store: Path, tmp_path: Path) -> None:
    sure = result(protocol="knn", interval=(0.5, 0.9))
    one = write_run(tmp_path / "one", store, results=[result(), sure])
    page_ = made(one)
    assert page_.verdicts == (
        "one: skeletonclr on toy xview, 80.0 % (linear, few_6, joint, 95 % 60.0 to 93.0); "
        "kNN 80.0 %, random encoder 37.5 %: clearly better; no published figure to compare with.",
    )
    unsure = result(protocol="knn", interval=(0.3, 0.9))
    other = write_run(tmp_path / "other", store, results=[result(), unsure], optimise__lr=0.3)
    assert "random encoder 37.5 %: not clearly better" in made(other).verdicts[0]
    (against,) = made(one, baseline=other).verdicts
    assert "+0.0 points against other: not tested, the scores of the same samples are not at hand" in against
    bare = write_run(tmp_path / "bare", store, log=[epoch(1)])
    assert made(bare).verdicts == ("bare: not evaluated yet, so nothing is known of how good it is.",)


def test_the_head_has_one_line_for_runs_that_differ_by_seed(store: Path, tmp_path: Path) -> None:
    perfect = ((5, 0, 0), (0, 5, 0), (0, 0, 5))
    runs = [
        write_run(tmp_path / name, store, results=[result(confusion=counts)], runtime__seed=seed)
        for seed, (name, counts) in enumerate({"first": CONFUSION, "second": perfect}.items())
    ]
    (said,) = made(*runs).verdicts
    assert said.startswith("first, second: skeletonclr on toy xview, 90.0 ± 14.1 % over 2 seeds")
    seeds = dict(made(*runs).facts)["seed"]
    assert seeds == "first: 0\nsecond: 1"


def test_a_published_figure_of_other_conditions_is_not_compared(store: Path, tmp_path: Path) -> None:
    real = result(dataset="ntu60", split="xsub", convention="kinectv2_25", top1=0.7, epoch=300)
    (said,) = made(write_run(tmp_path / "one", store, results=[real])).verdicts
    assert said.endswith("): not comparable, 15 of 16487 test samples.")
    assert "published 68.3 %" in said
    demo = result(dataset="ntu60", split="xsub", convention="kinectv2_25", synthetic=True)
    (said,) = made(write_run(tmp_path / "demo", store, results=[demo])).verdicts
    assert "skeletonclr on demo data in place of ntu60 xsub" in said


def test_the_facts_have_time_versions_and_a_command_that_makes_the_same_run(
    store: Path, tmp_path: Path
) -> None:
    log = [epoch(number, clips_per_second=10.0) for number in range(1, 5)]
    run = write_run(tmp_path / "one", store, log=log, results=[result()], runtime__seed=7, optimise__lr=0.5)
    told = dict(made(run).facts)
    assert told["seed"] == "7"
    assert told["device"] == "cpu, fp32"
    assert told["training"] == "4 epochs in about 0:08 min"  # four times five steps of four clips
    assert told["evaluation"] == "1.0 s"
    assert told["versions"] == "results by test, store by test"
    words = shlex.split(told["command"])
    assert words[:2] == ["trainer", "pretrain"]
    flags = list(zip(words[2::2], words[3::2], strict=True))
    assert ("--store", "toy.zarr") in flags
    paths = {
        "--split": "data.split",
        "--stream": "data.stream",
        "--epochs": "optimise.epochs",
        "--seed": "runtime.seed",
    }
    given = [parse_override(value) for flag, value in flags if flag == "--set"]
    given += [parse_override(f"{paths[flag]}={value}") for flag, value in flags if flag in paths]
    given.append(Override("data.conventions", [value for flag, value in flags if flag == "--convention"]))
    named = dict(flags)
    again = resolve(open_store(store), method=named["--method"], preset=named["--preset"], overrides=given)
    assert again.config == read_config(run)


def test_the_same_input_gives_the_same_bytes(store: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", store, results=[result()])
    first = page.html(made(run))
    assert first == page.html(made(run))
    assert not re.search(r"20\d\d-\d\d-\d\d", first)


def test_the_page_is_whole_and_needs_nothing_else(store: Path, tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", store, results=[result()])
    other = write_run(tmp_path / "other", store, results=[result()])
    built = made(one, baseline=other)
    size = page.write_html(built, tmp_path / "out" / "report.html")
    text = (tmp_path / "out" / "report.html").read_text()
    assert size == len(text.encode()) < page.LIMIT
    read = Reader(text)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len({*ids})
    for tag, attributes in read.tags:
        assert tag not in ("script", "link", "img", "iframe") or attributes.get("href") == "data:,"
        policy = attributes.get("content") or ""
        assert attributes.get("http-equiv") is None or "default-src 'none'; script-src 'none'" in policy
        for name in ("href", "xlink:href", "src"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), attributes
            target = attributes.get(name) or ""
            assert not target.startswith("#") or target[1:] in ids
    drawings = [attributes for tag, attributes in read.tags if tag == "svg"]
    assert len(drawings) == len(built.figures) >= 8
    assert all(attributes["role"] == "img" for attributes in drawings)
    assert {f"{figure.name}-desc" for figure in built.figures} <= {*ids}


def test_names_are_text_not_markup(store: Path, tmp_path: Path) -> None:
    evil = '<script>alert("x")</script> $x_1$ & \x1b'
    names = (evil, "| b", "c")
    odd = result(classes=names, per_class=dict(zip(names, (0.5, 0.5, 0.5), strict=True)))
    one = write_run(tmp_path / "<b>one", store, results=[odd])
    other = write_run(tmp_path / "other", store, results=[odd])
    built = made(one, baseline=other, title="<i>T</i>")
    read = Reader(page.html(built))
    assert not [tag for tag, _ in read.tags if tag in ("script", "b") and tag == "script"]
    assert "i" not in {tag for tag, _ in read.tags}
    words = "".join(read.words)
    assert '<script>alert("x")</script> $x_1$ & \\x1b' in words
    assert "\x1b" not in words
    markdown = page.markdown(built, figures="f")
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "\\| b" in markdown


def test_markdown_has_the_same_with_drawings_beside(store: Path, tmp_path: Path) -> None:
    built = made(write_run(tmp_path / "one", store, results=[result()]))
    page.write_markdown(built, tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    for figure in built.figures:
        assert f"](r-figures/{figure.name}.svg)" in text
        assert (tmp_path / "r-figures" / f"{figure.name}.svg").read_text().startswith("<?xml")
    row = next(line for line in text.splitlines() if line.startswith("| one | linear |"))
    header = text[: text.index(row)].splitlines()[-2:]
    assert row.count(" | ") == header[0].count(" | ")
    assert header[1].count("---") == header[0].count(" | ")
    assert "80.0 | 60.0 to 93.0" in row


def test_a_place_that_cannot_be_written_is_an_error(store: Path, tmp_path: Path) -> None:
    built = made(write_run(tmp_path / "one", store))
    (tmp_path / "file").write_text("")
    with pytest.raises(SkelError, match=r"cannot write the report.*part of the path is a file: name another"):
        page.write_html(built, tmp_path / "file" / "report.html")
