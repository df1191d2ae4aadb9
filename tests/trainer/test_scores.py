"""Scores and results on disk: exact round trips, the same bytes, and every kind of wrong file refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import EvaluationResult, SkelError
from schemas.system import replacing
from tests.trainer.results import result, scores, write
from trainer.evaluate.scores import Scores, probabilities, read_scores, write_scores
from trainer.run import find_results, read_result, read_results


@settings(max_examples=20, deadline=None)
@given(
    ids=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, unique=True),
    classes=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_what_is_written_is_read(
    ids: list[str], classes: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (len(ids),), generator=draw)
    values = 100 * torch.randn(len(ids), classes, generator=draw)
    given = Scores(tuple(ids), labels, values, tuple(f"class {k}" for k in range(classes)), "logits")
    path = tmp_path_factory.mktemp("scores") / "s.npz"
    write_scores(given, path)
    found = read_scores(path)
    assert (found.ids, found.classes, found.kind) == (given.ids, given.classes, given.kind)
    assert torch.equal(found.labels, labels)
    assert torch.equal(found.values, values)
    first = path.read_bytes()
    write_scores(found, path)
    assert path.read_bytes() == first
    assert [each.name for each in path.parent.iterdir()] == ["s.npz"]


def test_probabilities_of_every_kind() -> None:
    values = torch.tensor([[1.0, 3.0]])
    odd = float(np.exp(1) / (np.exp(1) + np.exp(3)))
    assert probabilities(values, "logits")[0].tolist() == pytest.approx([odd, 1 - odd])
    assert probabilities(values, "votes")[0].tolist() == [0.25, 0.75]
    assert probabilities(torch.tensor([[0.2, 0.8]]), "probabilities")[0].tolist() == pytest.approx([0.2, 0.8])


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as partial:
        partial.write_text("half \udc00", encoding="utf-8")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("r.json", "old")]


def _archive(path: Path, **changes: Any) -> Path:
    content = {
        "ids": np.array(["a", "b"]),
        "labels": np.array([0, 1]),
        "scores": np.array([[0.5, 0.5], [0.1, 0.9]], np.float32),
        "classes": np.array(["x", "y"]),
        "kind": np.array("probabilities"),
    } | changes
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": None}, "kind is not a file in the archive"),
        ({"labels": np.array([0, 1, 1])}, r"labels \(3,\).* do not fit together"),
        ({"scores": np.zeros((2, 3), np.float32)}, r"scores \(2, 3\) do not fit together"),
        ({"scores": np.full((2, 2), 0.5)}, "scores float64, not int64 and float32"),
        ({"labels": np.array([0, 2])}, r"a label is outside 0\.\.1"),
        ({"labels": np.array([0, -1])}, r"a label is outside 0\.\.1"),
        ({"ids": np.array(["a", "a"])}, "no sample, or one of them twice"),
        ({"kind": np.array("guesses")}, "kind 'guesses', not logits, probabilities, votes"),
        ({"scores": np.full((2, 2), np.nan, np.float32)}, "a score is not finite"),
        ({"scores": np.full((2, 2), 0.4, np.float32)}, "probabilities do not sum to one"),
        ({"scores": np.array([[1.5, -0.5], [0, 1]], np.float32)}, "probabilities are negative"),
        (
            {"kind": np.array("votes"), "scores": np.zeros((2, 2), np.float32)},
            "votes are .*all zero in a row",
        ),
        ({"ids": np.array([{"a": 1}, "b"], dtype=object)}, "allow_pickle=False"),
    ],
)
def test_a_file_of_something_else_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = _archive(tmp_path / "s.npz", **changes)
    with pytest.raises(SkelError, match=rf"s\.npz: these are not scores.*{words}.*trainer evaluate"):
        read_scores(path)


def test_damaged_and_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SkelError, match=r"gone\.npz: no scores here\. Write them with `trainer evaluate"):
        read_scores(tmp_path / "gone.npz")
    whole = _archive(tmp_path / "s.npz").read_bytes()
    refused = 0
    for place in range(0, len(whole), 29):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        (tmp_path / "d.npz").write_bytes(changed)
        try:
            found = read_scores(tmp_path / "d.npz")
        except SkelError:
            refused += 1
        else:  # bytes that zip does not use, such as a time
            assert torch.equal(found.values, read_scores(tmp_path / "s.npz").values)
    assert refused > 20
    (tmp_path / "d.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SkelError, match=r"d\.npz: these are not scores"):
        read_scores(tmp_path / "d.npz")
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(SkelError, match=r"d\.npz: these are not scores"):
        read_scores(tmp_path / "d.npz")


def test_results_are_found_by_figure_convention_and_encoder(tmp_path: Path) -> None:
    for changes in (
        {"encoder": "joint"},
        {"encoder": "joint+bone"},
        {"encoder": "joint", "convention": "few_6+many_8"},
        {"protocol": "semi", "name": "semi-5", "encoder": "joint"},
    ):
        write(tmp_path / "run", **changes)
    every = [found.path.stem for found in read_results(tmp_path / "run")]
    assert every == [
        "linear-few_6+many_8-joint", "linear-few_6-joint+bone", "linear-few_6-joint", "semi-5-few_6-joint",
    ]  # fmt: skip

    def stems(**asked: Any) -> list[str]:
        return [found.path.stem for found in find_results(tmp_path / "run", **asked)]

    assert stems(protocol="linear") == every[:3]
    assert stems(protocol="linear", joined=False) == ["linear-few_6-joint"]
    assert stems(protocol="semi") == stems(protocol="semi-5") == ["semi-5-few_6-joint"]
    assert stems(protocol="linear", encoders=["joint+bone"]) == ["linear-few_6-joint+bone"]
    assert stems(protocol="linear", conventions=["few_6"]) == every[1:3]
    single = tmp_path / "run" / "results" / "semi-5-few_6-joint.json"
    assert [found.path for found in find_results(single, protocol="linear")] == [single]
    with pytest.raises(SkelError, match=r"no result of knn; there is linear-few_6.*--protocol knn"):
        stems(protocol="knn")
    with pytest.raises(SkelError, match="no run folder here"):
        read_results(tmp_path / "gone")


def test_results_that_cannot_be_used_say_so(tmp_path: Path) -> None:
    write(tmp_path / "run")
    path = tmp_path / "run" / "results" / "linear-few_6.json"
    found = read_result(path)
    assert torch.equal(found.scores().values, scores().values)
    (tmp_path / "run" / "results" / "linear-few_6.npz").unlink()
    with pytest.raises(SkelError, match=r"linear-few_6\.npz: no scores here"):
        found.scores()
    old = result(scores=None)
    path.write_text(old.model_dump_json(exclude={"scores", "classes", "confusion", "interval"}))
    assert read_result(path).result == old
    with pytest.raises(SkelError, match=r"has no scores; an earlier version wrote it.*linear` again"):
        read_result(path).scores()
    path.write_text("{")
    with pytest.raises(SkelError, match=r"linear-few_6\.json: this is not a result of `trainer evaluate`"):
        read_results(tmp_path / "run")
    with pytest.raises(SkelError, match="no result here"):
        read_result(tmp_path / "gone.json")


def test_files_of_the_first_version_are_read() -> None:
    """The fields that every version wrote, and no other."""
    old = {
        "protocol": "knn", "settings": {}, "dataset": "toy", "synthetic": False, "store": "s",
        "store_hash": "", "split": "xview", "convention": "few_6", "stream": "joint", "method": "isc",
        "checkpoint": "", "checkpoint_hash": "", "epoch": 1, "train_samples": 2, "test_samples": 2,
        "top1": 0.5, "seconds": 0, "tool": "test",
    }  # fmt: skip
    read = EvaluationResult.model_validate(old)
    assert (read.figure, read.scores, read.interval, read.draws, read.notes) == ("knn", None, None, (), ())
