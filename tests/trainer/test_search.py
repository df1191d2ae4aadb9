"""``trainer search`` and ``trainer.bank``: a store with known copies, wrong labels and garbage in it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skeltools
import trainer
from schemas import SkelError, UsageError
from tests.trainer.command import call
from tests.trainer.own import CLASSES, FRAMES, own_store, raw_clips
from tests.trainer.runs import tiny_config
from trainer import loop
from trainer.evaluate import knn
from trainer.export import export_run
from trainer.run import open_run

COUNT = 90
COPIES = {"d000": "c004", "d001": "c037", "d002": "c037"}
GARBAGE = ("g000", "g001")
SWAPPED = ("c011", "c030", "c055", "c076")


def spoilt() -> tuple[dict[str, Any], list[str]]:
    """Raw clips and their labels."""
    clips: dict[str, Any] = raw_clips(COUNT)
    labels = {id: CLASSES[number % 3] for number, id in enumerate(clips)}
    for copy, of in COPIES.items():
        clips[copy], labels[copy] = clips[of], labels[of]
    draws = np.random.default_rng(7)
    for id in GARBAGE:
        clips[id], labels[id] = draws.normal(size=(40, 1, 17, 3)).astype(np.float32), "wave"
    for id in SWAPPED:
        labels[id] = CLASSES[(CLASSES.index(labels[id]) + 1) % 3]
    return clips, [labels[id] for id in clips]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips, labels = spoilt()
    path = tmp_path_factory.mktemp("spoilt") / "spoilt.zarr"
    train = [id for number, id in enumerate(clips) if number % 9 < 6 and id not in COPIES]
    skeltools.write(
        clips, path, convention="coco_17", labels=labels, splits={"xsub": {"train": train}}, frames=[FRAMES]
    )
    skeltools.add_streams(path, kinds=["motion"])
    return path


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = {"data__frames": FRAMES, "data__stream": "motion", "optimise__lr": 0.02}
    loop.pretrain(tiny_config(store, **settings, optimise__epochs=4, optimise__batch_size=8), out=out)
    return out


@pytest.fixture(scope="module")
def bank(run: Path, store: Path) -> trainer.Bank:
    return trainer.bank(run, store)


def table(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[list[dict[str, Any]], str]:
    """The rows of the JSON, and the error stream."""
    code, out, error = call(capsys, "search", *arguments, "--json")
    assert code == 0, error
    return json.loads(out), error


def test_neighbours_are_those_of_retrieval(run: Path, store: Path) -> None:
    (result,) = open_run(run, device="cpu").evaluate("retrieval")
    asked = result.details["neighbours"]
    bank, opened = trainer.bank(run, store, split="xsub", part="train"), skeltools.open(store)
    queries = [opened.ids[row] for row in opened.rows("xsub", "test")]
    clips = [opened[id] for id in queries]
    found = bank.neighbours(clips, k=4)
    assert [list(each.ids) for each in found] == asked["ids"]
    assert np.abs(np.array([each.similarities for each in found]) - asked["similarities"]).max() < 1e-5


def test_a_clip_finds_others_a_file_finds_itself(
    run: Path, bank: trainer.Bank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (near,) = bank.neighbours("c037", k=5)
    assert set(near.ids[:2]) == {"d001", "d002"}
    assert "c037" not in near.ids
    assert near.label == CLASSES[37 % 3]
    values = bank.values.double().numpy()
    values /= np.sqrt((values**2).sum(axis=1, keepdims=True))
    cosines = values @ values[bank.ids.index("c037")]
    cosines[bank.ids.index("c037")] = -2
    assert np.abs(near.similarities - np.sort(cosines)[::-1][:5]).max() < 1e-12
    np.save(tmp_path / "new.npy", raw_clips(COUNT)["c020"])
    rows, _ = table(capsys, run, "--query", tmp_path / "new.npy", "--query", "c021", "-k", 2)
    assert [row["query"] for row in rows] == ["new", "new", "c021", "c021"]
    assert (rows[0]["id"], rows[0]["rank"], rows[0]["query_label"]) == ("c020", 1, None)
    assert rows[0]["similarity"] == pytest.approx(1, abs=1e-6)
    assert "c021" not in {row["id"] for row in rows[2:]}


def test_copies_are_found_with_the_split_that_they_leak_into(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, error = table(capsys, run, "--duplicates")
    pairs = [{row["first"], row["second"]} for row in rows]
    wanted = [{copy, of} for copy, of in COPIES.items()] + [{"d001", "d002"}]
    assert all(pair in pairs[: len(wanted)] for pair in wanted), "the closest pairs are the copies"
    assert len(rows) <= len(wanted) + 1
    assert len({row["group"] for row in rows[: len(wanted)]}) == 2
    assert re.search(r"split xsub: \d pairs have one clip in the training half", error)
    everything, _ = table(capsys, run, "--duplicates", "--threshold", "-1", "-k", 200)
    assert len(everything) == 95 * 94 // 2


def test_garbage_is_far_from_all_others(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, error = table(capsys, run, "--outliers", "--threshold", "0")
    assert {row["id"] for row in rows[:2]} == set(GARBAGE)
    assert rows[1]["score"] > 3.5
    assert f"{len(rows)} of 95 clips" in error


def test_swapped_labels_come_first(bank: trainer.Bank) -> None:
    found, right = bank.suspicious_labels()
    assert {each.id for each in found[:3]} <= set(SWAPPED), "precision at 3"
    assert len(found) < 15
    assert right > 0.75
    best = found[0]
    assert best.of_suggested > best.of_label
    assert best.neighbours == 9


def test_tables_and_csv_say_the_same(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "search", run, "--suspicious-labels", "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    code, shown, error = call(capsys, "search", run, "--suspicious-labels", "--top", 2)
    assert code == 0
    assert [line.split()[0] for line in shown.splitlines()] == ["id", rows[0]["id"], rows[1]["id"]]
    assert f"and {len(rows) - 2} more" in error
    code, shown, _ = call(capsys, "search", run, "--duplicates", "--threshold", "2")
    assert (code, shown) == (0, "nothing was found\n")
    code, shown, _ = call(capsys, "search", run, "--duplicates", "--threshold", "2", "--csv")
    assert (code, shown) == (0, "")


def test_several_encoders_are_searched_together(tmp_path: Path) -> None:
    store = own_store(tmp_path / "own.zarr")
    out = tmp_path / "three"
    loop.pretrain(tiny_config(store, method="crosclr", data__frames=FRAMES, optimise__epochs=1), out=out)
    bank, single = trainer.bank(out), trainer.bank(out, encoder="bone")
    assert bank.values.shape[1] == 3 * single.values.shape[1]
    alone = [trainer.bank(out, encoder=name) for name in ("joint", "motion", "bone")]
    near = bank.neighbours("c003", k=23)[0]
    found = [each.neighbours("c003", k=23)[0] for each in alone]
    cosines = [dict(zip(each.ids, each.similarities, strict=True)) for each in found]
    means = {id: np.mean([each[id] for each in cosines]) for id in near.ids}
    assert list(near.ids) == sorted(means, key=lambda id: -means[id])
    assert np.abs(near.similarities - list(means.values())).max() < 1e-6


def test_a_store_that_was_moved_an_export_and_another_store(
    run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_run(run, tmp_path / "out")
    expected, _ = table(capsys, run, "--query", "c001")
    moved = tmp_path / "moved.zarr"
    shutil.copytree(store, moved)
    for place in (run, tmp_path / "out"):
        assert table(capsys, place, "--query", "c001", "--store", moved)[0] == expected
    other = own_store(tmp_path / "other.zarr", streams=())
    rows, _ = table(capsys, run, "--query", "c001", "--store", other)
    assert {row["id"] for row in rows} <= set(raw_clips())
    code, _, error = call(capsys, "search", tmp_path / "out", "--query", "c001")
    assert code == 2
    assert "an export has no store of its own. Name one with --store" in error
    config = tmp_path / "alone" / "config.yaml"
    config.parent.mkdir()
    config.write_text((run / "config.yaml").read_text().replace(str(store), str(tmp_path / "gone.zarr")))
    code, _, error = call(capsys, "search", config.parent, "--outliers")
    assert code == 1
    assert "gone.zarr: the run's store is no longer there. Name it with --store PATH" in error


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give one of --query, --duplicates, --outliers and --suspicious-labels"),
        (["--query", "c001", "--outliers"], 2, "give one of"),
        (["--query", "c0011"], 2, "'c0011' is neither a clip of it nor a file. Did you mean 'c0"),
        (["--query", "!!"], 2, "Its ids are such as c000"),
        (["--query", "c001", "--threshold", "1"], 2, "--threshold is for --duplicates and --outliers"),
        (["--query", ""], 2, "--query is empty"),
        (["--outliers", "--threshold", "nan"], 2, "--threshold is nan"),
        (["--outliers", "--json", "--csv"], 2, "give one of --json and --csv"),
        (["--outliers", "--store", "gone.zarr"], 1, "no such store"),
        (["--outliers", "--convention", "h36m"], 2, "the encoder knows coco_17"),
        (["--outliers", "-k", "0"], 2, "not in the range"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    found, out, error = call(capsys, "search", run, *arguments)
    assert (found, out) == (code, ""), error
    assert message in error
    assert "Traceback" not in error


def test_arguments_in_python_are_checked(bank: trainer.Bank) -> None:
    for ask in (bank.outliers, bank.duplicates, bank.suspicious_labels):
        with pytest.raises(UsageError, match=r"k=...\): expected a whole number .*found 0"):
            ask(k=0)
    with pytest.raises(UsageError, match=r"neighbours\(k=...\): expected a whole number"):
        bank.neighbours("c001", k="three")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'' is neither a clip of it nor a file"):
        bank.neighbours("")


def test_without_labels_or_clips_there_is_nothing_to_compare(run: Path, tmp_path: Path) -> None:
    clips = raw_clips(3)
    skeltools.write(clips, tmp_path / "bare.zarr", convention="coco_17", frames=[FRAMES])
    with pytest.raises(SkelError, match="labels of two classes or more are needed"):
        trainer.bank(run, tmp_path / "bare.zarr").suspicious_labels()
    skeltools.write(
        dict(list(clips.items())[:2]), tmp_path / "two.zarr", convention="coco_17", frames=[FRAMES]
    )
    two = trainer.bank(run, tmp_path / "two.zarr")
    with pytest.raises(SkelError, match="2 clips cannot be compared"):
        two.outliers()
    assert len(two.neighbours("c000", k=5)[0].ids) == 1


def test_kNN_votes_with_the_same_cosines() -> None:
    """What ``search_nearest`` compares is what the protocol compares."""
    from trainer.use import search_nearest

    assert search_nearest.similarities is knn.similarities
