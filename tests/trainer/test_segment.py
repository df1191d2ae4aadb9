"""``trainer segment``: recordings that are not cut, from a store with labels of frames to segments."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

import skeltools
import trainer
from schemas import EvaluationResult, StoreError, UsageError
from skeltools.conversion import convert
from tests.full_disk import content, full_disk
from tests.trainer.command import call
from tests.trainer.own import CLASSES, FRAMES, own_store, raw_clips
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from trainer import loop
from trainer import store as stores
from trainer.evaluate import detection
from trainer.evaluate.segments import NOTHING, segments_of
from trainer.export import export_run
from trainer.run import RESULTS, open_run, read_results
from trainer.use import segment, windows
from trainer.use.sources import Asked
from trainer.view.page import RunPage

IDLE = 18
"""Frames in which nobody moves, before each action and behind the last."""

QUICK = ("--epochs", 30, "--stride", 4)


def recording(number: int) -> tuple[NDArray[np.float32], list[tuple[int, int, str]]]:
    """[T, 17, 3] of five clips with idle frames around them, and (start, end, class) of each."""
    clips = list(raw_clips(18, seed=number).items())[number % 3 : number % 3 + 5]
    parts, rows, at = [], [], 0
    for id, clip in clips:
        joints = clip[:, 0]
        parts += [np.repeat(joints[:1], IDLE, axis=0), joints]
        rows.append((at + IDLE, at + IDLE + len(joints), CLASSES[int(id[1:]) % 3]))
        at += IDLE + len(joints)
    return np.concatenate([*parts, np.repeat(parts[-1][-1:], IDLE, axis=0)]), rows


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings as one's own files, with a table of what happens when."""
    folder = tmp_path_factory.mktemp("recordings")
    table = [["file", "start", "end", "label"]]
    for number in range(6):
        joints, rows = recording(number)
        np.save(folder / f"rec{number}.npy", joints)
        table += [[f"rec{number}.npy", str(start), str(end), label] for start, end, label in rows]
    (folder / "labels.csv").write_text("\n".join(map(",".join, table)) + "\n")
    told = {
        "name": "mine", "convention": "coco_17", "files": "*.npy", "layout": "T V C", "units": "m",
        "axes": {"x": "left", "y": "up", "z": "forward"}, "labels": "labels.csv", "uncut": True,
        "splits": {"xsub": {"train": {"pattern": r"rec[0-3]"}}},
    }  # fmt: skip
    (folder / "dataset.yaml").write_text(yaml.safe_dump(told))
    return folder


@pytest.fixture(scope="module")
def uncut(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uncut") / "uncut.zarr"
    convert("custom", raw=raw, out=out, frames=(FRAMES,))
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on cut clips of another store, with its linear classifier."""
    folder = tmp_path_factory.mktemp("segment")
    config = tiny_config(own_store(folder / "own.zarr"), data__frames=FRAMES, data__stream="motion")
    loop.pretrain(config, out=folder / "run")
    open_run(folder / "run", device="cpu").evaluate(
        "linear", options={"linear": {"epochs": 20, "standardise": True}}
    )
    return folder / "run"


@pytest.fixture(scope="module")
def run(trained: Path, uncut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with a classifier of windows that was learned on the recordings."""
    out = Path(shutil.copytree(trained, tmp_path_factory.mktemp("learned") / "run"))
    from trainer.use.segment_learned import learn

    learn(open_run(out, device="cpu"), uncut, options={"epochs": 30, "stride": 4})
    return out


def test_windows_cover_every_frame() -> None:
    for frames in (1, 5, 10, 11, 37, 40):
        for window, stride in ((10, 3), (10, 10), (7, 1), (64, 8)):
            made = windows.spans(frames, window, stride)
            assert sorted({frame for span in made for frame in span}) == list(range(frames))
            assert {len(span) for span in made} == {min(window, frames)}
            assert [span.start for span in made] == sorted({span.start for span in made})


def test_scores_of_frames_are_the_mean_of_the_windows_around_them() -> None:
    draws = np.random.default_rng(0)
    spans = [range(6), range(4, 10), range(5, 11)]
    scores = draws.dirichlet(np.ones(4), size=3)
    made = windows.averaged(scores, spans, 13)
    for frame in range(11):
        around = [row for row, span in zip(scores, spans, strict=True) if frame in span]
        assert made[frame] == pytest.approx(np.mean(around, axis=0))
    assert made[11:].tolist() == [[0, 0, 0, 1]] * 2


def test_damaged_labels_of_frames_are_reported(uncut: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(uncut, tmp_path / "uncut.zarr")
    for chunk in (damaged / "sequences/coco_17/frame_label/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(bytes(chunk.stat().st_size))
    with pytest.raises(StoreError, match=r"damaged store .sequences/coco_17/frame_label"):
        stores.frame_labels(stores.open_store(damaged), "coco_17")


def test_a_run_on_cut_clips_learns_and_is_measured_on_recordings(
    trained: Path, uncut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    out = tmp_path / "segments.csv"
    code, text, error = call(capsys, "segment", run, uncut, *QUICK, "--out", out)
    assert (code, error) == (0, "")
    assert "4 recordings to learn from, 2 to test" in text
    (saved,) = [each for each in read_results(run) if each.result.protocol == "segment"]
    assert saved.path.name == "segment-uncut-coco_17.json"
    result = saved.result
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {row["file"] for row in rows} == {"rec4", "rec5"}
    assert f"{len(rows)} segments in 2 recordings" in text
    truth = stores.frame_labels(stores.open_store(uncut), "coco_17")
    found = {id: np.full(len(truth[id]), NOTHING) for id in ("rec4", "rec5")}
    for row in rows:
        assert 0 < float(row["confidence"]) <= 1
        found[row["file"]][int(row["start"]) : int(row["end"])] = CLASSES.index(row["label"])
    own = {id: truth[id] for id in found}
    right = sum((found[id] == own[id]).sum() for id in own) / sum(map(len, own.values()))
    assert result.top1 == result.details["figures"]["frames"] == pytest.approx(right, abs=1e-6)
    segments = [s for id, labels in found.items() for s in segments_of(labels, recording=id)]
    assert result.details["figures"]["edit"] == detection.figures(found, own, segments)["edit"]
    assert result.confusion == tuple(map(tuple, detection.confusion(found, own, 3).tolist()))
    assert (result.train_samples, result.test_samples) == (4, 2)
    assert result.classes == (*CLASSES, "background")
    most = max(np.mean(np.concatenate([*own.values()]) == label) for label in range(-1, 3))
    assert right > most + 0.1, "better than the class of most frames"
    assert result.details["figures"]["map_actions@0.5"] > 0.3
    code, again, _ = call(capsys, "segment", run, uncut, *QUICK, "--json")
    (second,) = (EvaluationResult.model_validate(each) for each in json.loads(again))
    assert code == 0
    assert second == result.model_copy(update={"seconds": second.seconds})
    assert not list((run / RESULTS).glob(".*"))


def test_the_kept_classifier_says_the_same_of_raw_files_stores_and_an_export(
    run: Path, raw: Path, uncut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = ("--classifier", "segment-uncut-coco_17", "--part", "test", "--json")
    code, text, error = call(capsys, "segment", run, uncut, *half)
    assert (code, error) == (0, "")
    expected = json.loads(text)
    assert [each["id"] for each in expected] == ["rec4", "rec5"]
    for each in expected:
        ends = [0, *(one["end"] for one in each["segments"])]
        assert all(end <= one["start"] for end, one in zip(ends, each["segments"], strict=False))
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("rec4", "rec5"):
        shutil.copy(raw / f"{name}.npy", plain)
    files = [plain / "rec4.npy", plain / "rec5.npy"]
    code, text, error = call(capsys, "segment", run, *files, "--json")
    assert (code, error) == (0, "")
    assert json.loads(text) == expected
    export_run(run, tmp_path / "out", classifier="segment-uncut-coco_17")
    code, text, _ = call(capsys, "segment", tmp_path / "out", plain, "--json", "--out", tmp_path / "s.json")
    assert code == 0
    assert json.loads((tmp_path / "s.json").read_text()) == expected
    code, text, _ = call(capsys, "segment", tmp_path / "out", files[0])
    first = expected[0]["segments"][0]
    assert text.splitlines()[0].split("\t")[:4] == [
        "rec4",
        str(first["start"]),
        str(first["end"]),
        first["label"],
    ]


def test_a_classifier_of_whole_clips_knows_no_background(
    run: Path, uncut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, error = call(
        capsys, "segment", run, uncut, "--classifier", "linear", "--window", 24, "--json", "--penalty", 0
    )
    assert (code, error) == (0, "")
    for each in json.loads(text):
        assert sum(one["end"] - one["start"] for one in each["segments"]) == each["frames"]


def test_a_greater_penalty_makes_fewer_segments(
    run: Path, uncut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = []
    for penalty in (0, 5, 1e6):
        code, text, _ = call(
            capsys, "segment", run, uncut, "--classifier", "segment-uncut-coco_17", "--penalty", penalty
        )
        assert code == 0
        counts.append(len(text.splitlines()))
    assert counts[0] >= counts[1] > counts[2]
    assert counts[2] <= 6, "one for each recording at most"


def test_frames_in_which_nobody_is_seen_are_no_action(
    run: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    joints = np.load(raw / "rec4.npy")
    joints[60:] = np.nan
    np.save(tmp_path / "gone.npy", joints)
    np.save(tmp_path / "nobody.npy", np.full((40, 17, 3), np.nan))
    np.save(tmp_path / "short.npy", joints[:3])
    code, text, error = call(capsys, "segment", run, tmp_path / "gone.npy", tmp_path / "short.npy", "--json")
    assert (code, error) == (0, "")
    gone, short = json.loads(text)
    window = read_results(run)[-1].result.settings["window"]
    assert all(one["end"] <= 60 + window for one in gone["segments"])
    assert (short["frames"], len(short["segments"]) <= 1) == (3, True)
    assert call(capsys, "segment", run, tmp_path / "nobody.npy") == (0, "", "")
    (tmp_path / "text.npy").write_text("no array")
    code, _, error = call(capsys, "segment", run, tmp_path / "text.npy")
    assert (code, "left out: " in error, "no recording could be read" in error) == (1, True, True)


def test_several_encoders_are_measured_one_by_one_and_together(
    uncut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "three"
    config = tiny_config(
        own_store(tmp_path / "own.zarr"), method="crosclr", data__frames=FRAMES, optimise__epochs=1
    )
    loop.pretrain(config, out=run)
    code, text, error = call(capsys, "segment", run, uncut, "--epochs", 3, "--json", "--stride", 10)
    assert (code, error) == (0, "")
    results = json.loads(text)
    assert [each["encoder"] for each in results] == ["joint", "motion", "bone", "joint+motion+bone"]
    assert [each["classifier"] is None for each in results] == [False, False, False, True]
    one = [each["segments"] for each in json.loads(call(capsys, "segment", run, uncut, uncut, "--json")[1])]
    single = call(capsys, "segment", run, uncut, uncut, "--json", "--encoder", "bone")[1]
    assert one != [each["segments"] for each in json.loads(single)]


def test_reports_tables_and_comparisons_take_the_result(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = call(capsys, "report", run, "--out", tmp_path / "r.html", "--no-encoders")
    assert code == 0, error
    assert "segment" in (tmp_path / "r.html").read_text()
    code, _, error = call(capsys, "table", "aimclr-table2", run, "--json")
    assert code == 0, error
    code, _, error = call(capsys, "compare", run, run, "--protocol", "segment")
    assert (code, "has no scores" in error) == (1, True), error
    assert trainer.load(run).classifier("coco_17").card.figure == "linear", "predict asks it as before"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{own}"], 2, "no classifier of windows was kept for coco_17.*--uncut.*--classifier linear"),
        (["gone.npy"], 2, "no classifier of windows was kept"),
        (["{uncut}", "--classifier", "finetune"], 1, "no result of finetune"),
        (["{uncut}", "--split", "xview"], 1, "no split 'xview'"),
        (["{uncut}", "--convention", "h36m"], 1, "no convention 'h36m'"),
        (["{uncut}", "--encoder", "bone"], 2, "unknown encoder of skeletonclr 'bone'"),
        (["{uncut}", "--part", "test"], 2, "--part: .*learns on one half"),
        (["{uncut}", "--window", "10", "--stride", "11"], 2, "a stride of 11 frames leaves out frames"),
        (["{uncut}", "--window", "100000"], 1, "of one class: there is nothing to learn.*shorter --window"),
        (["{uncut}", "--lr", "1e30"], 2, "1e30|1e\\+30 is not in the range"),
        (["{uncut}", "--out", "s.txt"], 2, "neither .csv nor .json"),
        (["{uncut}", "--classifier", "linear", "--epochs", "3"], 2, "--epochs: .*learns nothing"),
        (["{few}", "--classifier", "linear"], 1, "the encoder knows coco_17, the store has few_6"),
        (["gone.npy", "--classifier", "linear"], 2, "no such file or folder"),
        (
            ["{empty}", "--classifier", "linear"],
            1,
            "neither a store nor a raw file|no recording could be read",
        ),
        (["{wrong}", "--classifier", "linear"], 2, "24 joints, but coco_17 has 17"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    trained: Path,
    uncut: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "wrong.npy", np.ones((9, 24, 3)))
    places = {"uncut": uncut, "empty": tmp_path / "empty", "wrong": tmp_path / "wrong.npy"}
    places |= {"own": trained.parent / "own.zarr", "few": tmp_path / "few.zarr"}
    if "{few}" in arguments:
        write_store(tmp_path / "few.zarr")
    found, out, error = call(capsys, "segment", trained, *(each.format(**places) for each in arguments))
    assert (found, out) == (code, ""), error
    assert re.search(message, error), error
    assert "Traceback" not in error
    assert not list((trained / RESULTS).glob("segment*"))


def test_a_half_without_labels_of_frames_is_refused(
    trained: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = Path(shutil.copytree(raw, tmp_path / "mine"))
    rows = (mine / "labels.csv").read_text().splitlines()
    (mine / "labels.csv").write_text("\n".join(row for row in rows if not row.startswith("rec4")) + "\n")
    told = yaml.safe_load((mine / "dataset.yaml").read_text())
    told["splits"] = {"xsub": {"train": {"pattern": r"rec[0-35]"}}}
    (mine / "dataset.yaml").write_text(yaml.safe_dump(told))
    convert("custom", raw=mine, out=tmp_path / "s.zarr", frames=(FRAMES,))
    assert skeltools.open(tmp_path / "s.zarr").classes
    code, _, error = call(capsys, "segment", trained, tmp_path / "s.zarr")
    assert code == 1
    assert "no recording of the test half of xsub has labels of frames. Choose another --split" in error


def test_follow_takes_the_classifier_of_windows_with_its_window(run: Path, raw: Path) -> None:
    model: Any = trainer.load(run, classifier="segment-uncut-coco_17")
    window = read_results(run)[-1].result.settings["window"]
    first = next(model.follow(np.load(raw / "rec4.npy")))
    assert (first.start, first.stop) == (0, window)
    assert first.name in (*CLASSES, "background")


def test_the_viewer_shows_recordings_with_their_labels_and_what_is_found(run: Path, uncut: Path) -> None:
    opened = open_run(run, device="cpu")
    tab = next(each for each in RunPage(opened, uncut).tabs if each.name == "recordings")
    items = tab.items()["items"]
    truth = stores.frame_labels(stores.open_store(uncut), "coco_17")
    assert [each["id"] for each in items] == list(truth)
    assert items[1]["note"] == f"{len(truth['rec1'])} frames, 5 actions labelled"
    scene = tab.scenes("rec1")["scenes"][0]
    labels = np.full(len(truth["rec1"]), NOTHING)
    for start, stop, name, _ in scene["ribbons"]["labels"]:
        labels[start:stop] = CLASSES.index(name)
    np.testing.assert_array_equal(labels, truth["rec1"])
    models = segment.kept_models(
        run, encoder=None, convention=None, classifier=None, device="cpu", store=(), unfinished=False
    )
    options = segment.settled(models, "coco_17", {})
    asked = Asked((uncut,), "coco_17")
    found = {each.id: each for each in segment.found_in(models, asked, options, on_problem=pytest.fail)}
    assert [each[:3] for each in scene["ribbons"]["found"]] == [
        [each.start, each.stop, CLASSES[each.label]] for each in found["rec1"].segments
    ]
    with pytest.raises(UsageError, match="has no labels of frames"):
        RunPage(opened, opened.store.path).tabs  # noqa: B018


def test_a_full_disk_leaves_what_there_was(
    trained: Path, uncut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = Path(shutil.copytree(trained, tmp_path / "run")), tmp_path / "found.csv"
    assert call(capsys, "segment", run, uncut, *QUICK, "--out", out)[0] == 0
    before = content(tmp_path)
    with full_disk(most=50):
        code, _, error = call(capsys, "segment", run, uncut, *QUICK, "--out", out)
    assert code == 1
    assert error.splitlines()[-1].startswith("error: ")
    assert "File too large" in error
    assert "internal" not in error
    assert content(tmp_path) == before
