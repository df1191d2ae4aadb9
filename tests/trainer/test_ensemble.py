"""Ensembles against sums by hand; scores of different samples refused; both commands, from files alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from schemas import ConfigError, EvaluationResult, SkelError, UsageError
from tests.trainer.command import call
from tests.trainer.results import scores, write
from trainer.evaluate.ensemble import WEIGHTS, aligned, combined, ensemble_of
from trainer.evaluate.scores import Scores, read_scores
from trainer.run import find_results, read_result

PAPER = WEIGHTS["paper"]


def member(stream: str, seed: int, convention: str = "few_6", **changes: Any) -> Scores:
    of = {"origin": f"{stream}-{convention}", "stream": stream, "convention": convention}
    return replace(scores(seed=seed, **changes), **of)


def by_hand(*parts: tuple[float, Scores], logits: bool = False) -> np.ndarray:
    values = [(weight, m.values.double().numpy()) for weight, m in parts]
    total = sum(weight * (each if logits else softmax(each, axis=1)) for weight, each in values)
    return total / sum(weight for weight, _ in parts)


def test_three_streams_have_the_papers_weights() -> None:
    joint, bone, motion = (member(stream, seed) for seed, stream in enumerate(("joint", "bone", "motion")))
    found = combined([motion, joint, bone], weights=PAPER, scores="softmax")
    expected = by_hand((0.6, joint), (0.6, bone), (0.4, motion))
    assert np.allclose(found.values.numpy(), expected, atol=1e-6)
    assert found.kind == "probabilities"
    raw = combined([joint, bone, motion], weights=WEIGHTS["equal"], scores="logits")
    expected = by_hand((1, joint), (1, bone), (1, motion), logits=True)
    assert np.allclose(raw.values.numpy(), expected, atol=1e-6)
    assert raw.kind == "logits"


def test_streams_first_then_conventions() -> None:
    """A convention that lacks a stream weighs as much as the others."""
    one, two, other = member("joint", 0), member("motion", 1), member("joint", 2, "many_8")
    found = combined([one, two, other], weights=PAPER, scores="softmax")
    first = by_hand((0.6, one), (0.4, two))
    assert np.allclose(found.values.numpy(), (first + by_hand((1, other))) / 2, atol=1e-6)


def test_runs_of_one_stream_share_its_weight() -> None:
    seeds = [member("joint", 0), member("joint", 1)]
    motion = member("motion", 2)
    found = combined([*seeds, motion], weights=PAPER, scores="softmax")
    assert np.allclose(
        found.values.numpy(), by_hand((0.3, seeds[0]), (0.3, seeds[1]), (0.4, motion)), atol=1e-6
    )


def test_votes_are_shares_and_no_logits() -> None:
    votes = replace(member("joint", 0, kind="votes"), origin="knn")
    doubled = replace(votes, values=votes.values * 7)
    found = combined([doubled, doubled], weights={}, scores="softmax")
    torch.testing.assert_close(found.values, votes.values)
    with pytest.raises(UsageError, match=r"knn: these are votes, not logits\. .*--scores softmax"):
        combined([votes, votes], weights={}, scores="logits")
    with pytest.raises(ConfigError, match="every stream has weight 0: joint"):
        combined([votes, votes], weights={"joint": 0}, scores="softmax")


def test_the_order_of_the_samples_does_not_matter() -> None:
    one, two = member("joint", 0), member("bone", 1)
    shuffled = two.rows([5, 3, 0, 1, 2, 4, 11, 6, 7, 8, 9, 10])
    plain, mixed = (combined([one, other], weights=PAPER, scores="softmax") for other in (two, shuffled))
    assert mixed.ids == plain.ids == one.ids
    assert torch.equal(mixed.values, plain.values)
    assert torch.equal(mixed.labels, plain.labels)


def changed(**fields: Any) -> Scores:
    return replace(scores(seed=1), **fields)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (scores(samples=13), r"12 samples and 13, 1 only in the second \(S012\)"),
        (
            scores(ids=["S000", "S077", "S078"]),
            r".*11 only in the first \(S001, \.\.\.\) and 2 only in",
        ),
        (changed(classes=("wave", "sit", "jump")), "class 1 is 'kick' and 'sit'"),
        (scores(classes=("wave", "kick")), "3 classes and 2"),
        (
            changed(labels=torch.zeros(12, dtype=torch.int64)),
            "8 samples .*, S001 'kick' and 'wave'",
        ),
    ],
)
def test_scores_of_different_samples_are_refused(other: Scores, words: str) -> None:
    with pytest.raises(SkelError, match=f"b: these scores are of different samples than those of a: {words}"):
        aligned([replace(scores(), origin="a"), replace(other, origin="b")])


def test_the_samples_that_all_have_on_request() -> None:
    one, two = member("joint", 0), member("bone", 1, ids=["S007", "S003", "S099"])
    first, second = aligned([one, two], common=True)
    assert first.ids == second.ids == ("S003", "S007")
    assert torch.equal(second.values, two.values[[1, 0]])
    with pytest.raises(SkelError, match="they have no sample in common"):
        aligned([one, member("bone", 1, ids=["S099"])], common=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three streams and what they gave together."""
    for seed, stream in enumerate(("joint", "bone", "motion")):
        write(tmp_path / "run", of=scores(seed=seed), encoder=stream, stream=stream)
    write(tmp_path / "run", of=scores(seed=9), encoder="joint+bone", stream="joint+bone")
    return tmp_path / "run"


def test_the_command_writes_what_it_prints(run: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out" / "three.json"
    code, text, _ = call(capsys, "ensemble", run, "--out", out)
    assert code == 0
    assert "3 results, toy xview, 12 test samples" in text
    assert "softmax scores; weights: bone 0.6, joint 0.6, motion 0.4" in text
    found = read_result(out)
    members = [replace(scores(seed=n), stream=s) for n, s in enumerate(("joint", "bone", "motion"))]
    expected = combined(members, weights=PAPER, scores="softmax")
    torch.testing.assert_close(found.scores().values, expected.values)
    result = found.result
    assert (result.protocol, result.convention, result.scores_kind) == ("ensemble", "few_6", "probabilities")
    assert result.stream == "bone+joint+motion"
    assert result.settings["of"] == "linear"
    assert [each["file"] for each in result.settings["members"]] == [
        f"run/linear-few_6-{stream}" for stream in ("bone", "joint", "motion")
    ]
    right = expected.values.argmax(1) == expected.labels
    assert result.top1 == pytest.approx(float(right.double().mean()))
    assert np.trace(result.confusion) == right.sum()
    assert result.interval is not None
    assert result.interval[0] <= result.top1 <= result.interval[1]


def test_the_command_takes_weights_scores_and_files(run: Path, capsys: Any) -> None:
    files = [run / "results" / f"linear-few_6-{stream}.json" for stream in ("joint", "bone")]
    arguments = ["--weights", "joint=1,bone=0.5", "--scores", "logits", "--json"]
    code, text, _ = call(capsys, "ensemble", *files, *arguments)
    assert code == 0
    (printed,) = json.loads(text)
    result = EvaluationResult.model_validate(printed)
    assert result.settings["weights"] == {"bone": 0.5, "joint": 1.0}
    assert (result.settings["scores"], result.scores_kind, result.scores) == ("logits", "logits", None)
    _, by_encoder, _ = call(capsys, "ensemble", run, "--encoder", "joint", "--encoder", "bone", *arguments)
    assert json.loads(by_encoder)[0]["confusion"] == printed["confusion"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ensemble", "RUN", "--weights", "paperr"], 2, "--weights: expected paper, equal or STREAM=NUMBER"),
        (["ensemble", "RUN", "--weights", "joint=-1"], 2, "numbers from 0 on"),
        (["ensemble", "RUN", "--weights", "joint=0"], 2, "weights: every stream has weight 0"),
        (["ensemble", "RUN", "--out", "x.txt"], 2, "--out: expected a .json file"),
        (["ensemble", "RUN", "--encoder", "joint"], 1, "an ensemble needs two results or more"),
        (["ensemble", "RUN", "--protocol", "knn"], 1, "no result of knn; there is linear-few_6-bone"),
        (["ensemble", "GONE"], 1, "no run folder here"),
        (["ensemble"], 2, "Missing argument 'RUN...'"),
        (["compare", "RUN", "RUN", "--protocol", "semi"], 1, "no result of semi"),
        (["compare", "RUN", "TWO"], 1, "several results fit: linear-few_6-bone, linear-few_6-joint"),
        (["compare", "RUN", "OTHER"], 1, "different samples than those of"),
    ],
)
def test_a_mistake_is_one_line(
    run: Path, tmp_path: Path, capsys: Any, arguments: list[str], code: int, words: str
) -> None:
    write(tmp_path / "other", of=scores(samples=9))
    for stream in ("joint", "bone"):
        write(tmp_path / "two", encoder=stream, stream=stream)
    places = {"RUN": run, "OTHER": tmp_path / "other", "TWO": tmp_path / "two", "GONE": tmp_path / "gone"}
    found, out, err = call(capsys, *(places.get(argument, argument) for argument in arguments))
    assert (found, out) == (code, "")
    assert err.count("\n") == 1
    assert words in err


def test_figures_of_different_kinds_are_no_ensemble(tmp_path: Path) -> None:
    for share in ("1", "5"):
        write(tmp_path / "run", protocol="semi", name=f"semi-{share}", encoder="joint")
    found = find_results(tmp_path / "run", protocol="semi")
    with pytest.raises(SkelError, match=r"result of semi-5, .*semi-1-few_6-joint\.json of semi-1"):
        ensemble_of(found, weights={})


def test_compare_prints_the_test(run: Path, tmp_path: Path, capsys: Any) -> None:
    """Of runs with several encoders the figure of all together stands for them."""
    other = tmp_path / "other"
    reversed_ = scores(seed=4).rows(list(range(11, -1, -1)))
    write(other, of=reversed_, encoder="bone+joint", stream="bone+joint")
    write(other, of=scores(seed=5), encoder="joint", stream="joint")
    code, text, _ = call(capsys, "compare", run, other)
    assert code == 0
    a, b = (scores(seed=seed).values.argmax(1) == scores().labels for seed in (9, 4))
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    assert f"only A {only_a}, only B {only_b}" in text
    assert f"A - B = {100 * (only_a - only_b) / 12:+.1f} points; McNemar (exact binomial): p = " in text
    assert "not significant" in text
    code, text, _ = call(capsys, "compare", run, other, "--json")
    assert json.loads(text)["only_first"] == only_a
    single = run / "results" / "linear-few_6-joint.json"
    _, text, _ = call(capsys, "compare", single, run, "--encoder", "joint", "--json")
    assert (json.loads(text)["p"], json.loads(text)["difference"]) == (1.0, 0.0)


def test_compare_takes_like_with_like(tmp_path: Path, capsys: Any) -> None:
    for convention, seed in (("few_6", 1), ("many_8", 2), ("few_6+many_8", 3)):
        write(tmp_path / "a", of=scores(seed=seed), convention=convention, encoder="joint")
    write(tmp_path / "b", of=scores(seed=4), convention="few_6", encoder="joint")
    code, text, err = call(capsys, "compare", tmp_path / "a", tmp_path / "b")
    assert (code, err) == (0, "")
    assert "A: few_6, joint; B: few_6, joint" in text
    code, text, _ = call(capsys, "compare", tmp_path / "a", tmp_path / "b", "--json")
    assert json.loads(text)["alike"] is True
    assert json.loads(text)["first"].endswith("linear-few_6-joint.json")


def test_compare_warns_of_another_convention_or_stream(tmp_path: Path, capsys: Any) -> None:
    write(tmp_path / "a", of=scores(seed=1), convention="few_6+many_8", encoder="joint")
    write(tmp_path / "b", of=scores(seed=4), convention="few_6", encoder="joint")
    code, text, err = call(capsys, "compare", tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert "A: few_6+many_8, joint; B: few_6, joint" in text
    assert "warning: not like with like" in err
    _, text, _ = call(capsys, "compare", tmp_path / "a", tmp_path / "b", "--json")
    assert (json.loads(text)["alike"], json.loads(text)["second_of"]) == (False, "few_6, joint")


def test_results_whose_scores_are_gone_name_the_file(run: Path, capsys: Any) -> None:
    (run / "results" / "linear-few_6-bone.npz").unlink()
    code, _, err = call(capsys, "ensemble", run)
    assert code == 1
    assert "linear-few_6-bone.npz: no scores here" in err
    assert read_scores(run / "results" / "linear-few_6-joint.npz").kind == "logits"
