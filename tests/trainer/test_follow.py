"""``Model.follow`` and ``trainer predict --follow``: a live stream answered window by window."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import trainer
from schemas import UsageError
from tests.trainer.command import call
from tests.trainer.own import CLASSES, FRAMES, own_store, raw_clips
from tests.trainer.runs import tiny_config
from trainer import loop
from trainer.run import open_run

COUNT = 45


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("follow")
    store, out = own_store(folder / "own.zarr", count=COUNT), folder / "run"
    loop.pretrain(tiny_config(store, data__frames=FRAMES), out=out)
    open_run(out, device="cpu").evaluate("linear", options={"linear": {"epochs": 20, "standardise": True}})
    return out


@pytest.fixture(scope="module")
def model(run: Path) -> trainer.Model:
    return trainer.load(run)


@pytest.fixture(scope="module")
def stream() -> NDArray[np.float32]:
    """[T, 2, 17, 3]: clips one after another, the second body in some frames only; some joints not seen."""
    clips = np.concatenate(list(raw_clips(4).values()))
    joints = np.concatenate([clips, np.full_like(clips, np.nan)], axis=1)
    joints[20:45, 1] = joints[20:45, 0] + 0.7
    joints[5, 0, 3] = np.nan
    return joints


def as_json(joints: NDArray[np.float32]) -> Any:
    """Nested lists with null for NaN; each number is the float32 exactly."""
    rows = joints.astype(np.float64).tolist()
    return json.loads(json.dumps(rows).replace("NaN", "null"))


def said(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str | bytes,
    *arguments: object,
) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, the answers, the error stream."""
    content = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, out, error = call(capsys, "predict", *arguments, "--follow")
    assert "Traceback" not in error
    assert "internal error" not in error
    return code, [json.loads(line) for line in out.splitlines()], error


def lines(joints: NDArray[np.float32]) -> str:
    return "".join(json.dumps({"joints": frame}) + "\n" for frame in as_json(joints))


def test_a_window_is_said_what_predict_says_of_the_same_clip(
    model: trainer.Model, stream: NDArray[np.float32]
) -> None:
    windows = list(model.follow(stream, window=16, stride=7))
    assert [(each.start, each.stop) for each in windows] == [
        (start, start + 16) for start in range(0, len(stream) - 15, 7)
    ]
    for each in windows:
        clip = stream[each.start : each.stop]
        expected = model.predict(clip)
        assert each.said is not None
        assert each.name == expected.names[0]
        assert np.abs(each.said.probabilities - expected.probabilities).max() < 1e-6
        assert np.abs(each.said.energy - expected.energy).max() < 1e-6


def test_lines_say_what_predict_says_of_a_file(
    run: Path,
    stream: NDArray[np.float32],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, answers, error = said(
        capsys, monkeypatch, lines(stream), run, "--window", 16, "--stride", 8, "--top", 3
    )
    assert (code, error) == (0, "")
    assert len(answers) == (len(stream) - 16) // 8 + 1
    for each in answers:
        file = tmp_path / "window.npy"
        np.save(file, stream[each["start"] : each["end"]])
        code, out, error = call(capsys, "predict", run, file, "--json", "--top", 3)
        assert code == 0, error
        (expected,) = json.loads(out)
        assert abs(each["probability"] - expected["probability"]) <= 1e-6
        assert {name: each[name] for name in ("class", "known", "calibrated")} == {
            name: expected[name] for name in ("class", "known", "calibrated")
        }
        assert [one["class"] for one in each["top"]] == [one["class"] for one in expected["top"]]
        assert not {"id", "label", "convention"} & set(each)


def test_forms_of_a_line_units_and_axes_give_the_same(
    run: Path,
    stream: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = stream[:16, :1]
    frames = as_json(one)
    turned = as_json(one[..., [2, 0, 1]] * np.array([1000, 1000, -1000], np.float32))
    forms = {
        "wrapped": "".join(json.dumps({"joints": frame}) + "\n" for frame in frames),
        "alone": "".join(json.dumps(frame) + "\n" for frame in frames),
        "one person": "".join(json.dumps({"joints": frame[0]}) + "\r\n" for frame in frames),
        "no last break": "\n".join(json.dumps([*frame, None]) for frame in frames),
        "turned": "".join(json.dumps(frame) + "\n" for frame in turned),
    }
    made = {}
    for name, text in forms.items():
        more = ["--units", "mm", "--axes", "forward,left,down"] if name == "turned" else []
        code, answers, error = said(capsys, monkeypatch, text, run, "--window", 16, *more)
        assert (code, error, len(answers)) == (0, "", 1), name
        made[name] = answers[0]["probability"], answers[0]["class"]
    assert {each for _, each in made.values()} == {made["wrapped"][1]}
    assert [value for value, _ in made.values()] == pytest.approx([made["wrapped"][0]] * 5, abs=1e-5)


def test_times_are_handed_on_and_nobody_is_an_answer(
    run: Path,
    stream: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = [{"t": place / 30, "joints": frame} for place, frame in enumerate(as_json(stream[:12]))]
    empty: list[Any] = [
        None,
        {"joints": None, "t": 5},
        {"joints": []},
        [],
        [None] * 17,
        [None, None],
        [[None] * 17],
    ]
    rows = [*frames, *empty * 2, *[None] * 10]
    text = "".join(json.dumps(each) + "\n" for each in rows)
    code, answers, error = said(capsys, monkeypatch, text, run, "--window", 12, "--stride", 12)
    assert (code, error, len(answers)) == (0, "", 3)
    assert answers[0]["t"] == [0, 11 / 30]
    assert answers[0]["class"] in CLASSES
    assert answers[1] == {"start": 12, "end": 24, "class": None, "problem": "nobody is seen"}


class Watched:
    """A stream that says how many of its lines were asked for."""

    def __init__(self, rows: list[bytes]) -> None:
        self.rows, self.read = rows, 0

    def readline(self, _limit: int) -> bytes:
        self.read += 1
        return self.rows[self.read - 1] if self.read <= len(self.rows) else b""


def test_an_answer_comes_when_its_last_frame_is_there(
    model: trainer.Model,
    run: Path,
    stream: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0

    def frames() -> Iterator[NDArray[np.float32]]:
        nonlocal asked
        for frame in stream:
            asked += 1
            yield frame

    came = [asked for _ in model.follow(frames(), window=20, stride=5)]
    assert came == list(range(20, len(stream) + 1, 5))
    watched = Watched([line.encode() + b"\n" for line in lines(stream[:30]).splitlines()])
    seen: list[int] = []
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": watched}))
    monkeypatch.setattr("trainer.cli.follow._said", lambda text: seen.append(watched.read))
    code, _, error = call(capsys, "predict", run, "--follow", "--window", 20, "--stride", 5)
    assert (code, error, seen) == (0, "", [20, 25, 30])


def test_a_window_is_the_encoders_frames_and_an_eighth_apart(
    model: trainer.Model, stream: NDArray[np.float32]
) -> None:
    first, second = list(model.follow(stream[: FRAMES + 1]))
    assert (first.start, first.stop, second.start) == (0, FRAMES, 1)


GOOD = json.dumps([[0.1 * place, 1.0 - 0.1 * place, 3.0] for place in range(17)])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1, 2", "line 3: is no JSON: .*null where a joint is not seen"),
        ("hello", "line 3: is no JSON"),
        (GOOD.replace("3.0", "NaN", 1), "line 3: is no JSON: NaN is no number, write null"),
        (GOOD.replace("3.0", "-Infinity", 1), "line 3: is no JSON: -Infinity is no number, write null"),
        (GOOD.replace("3.0", "1e999", 1), r"line 3: joint nose is \[0.0, 1.0, inf\], expected \[x, y, z\]"),
        (GOOD.replace("3.0", "1" + "0" * 400, 1), "line 3: joint nose is"),
        (GOOD.replace("3.0", '"3"', 1), "line 3: joint nose is .*expected"),
        (GOOD.replace("3.0", "true", 1), "line 3: joint nose is .*expected"),
        (json.dumps([[0, 1]] * 17), r"line 3: joint nose is \[0, 1\], expected \[x, y, z\]"),
        (json.dumps([[0, 1, 2]] * 16), "line 3: 16 joints, but coco_17 has 17: nose.*Write null"),
        (json.dumps([[[0, 1, 2]] * 17, [[0, 1, 2]] * 25]), "line 3: 25 joints, but coco_17 has 17"),
        (json.dumps([[[0, 1, 2]] * 17, 4]), "line 3: no list of joints, but coco_17"),
        ("[1, 2, 3]", "line 3: 3 joints, but coco_17 has 17"),
        ('{"pose": []}', "line 3: has no joints, only pose"),
        ('{"joints": "none"}', "line 3: its joints are of type str"),
        (
            GOOD.replace("3.0", "1e300", 1),
            "line 3: a coordinate is too large.*metres",
        ),
        ("7", "line 3: its joints are of type int"),
        ('{"joints": null, "t": "now"}', "line 3: the time t is 'now'.*Give a number"),
        ("[" * 100_000, "line 3: is no JSON"),
        (b"\xff\xfe\x00", "line 3: is no JSON"),
        ("[" + " " * 2**20 + "]", "line 3: has more than 1048576 bytes"),
    ],
)
def test_a_line_that_is_no_frame_is_a_sentence_with_its_number(
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: str | bytes,
    message: str,
) -> None:
    content = line.encode() if isinstance(line, str) else line
    text = (GOOD + "\n").encode() * 2 + content + b"\n" + GOOD.encode()
    code, answers, error = said(capsys, monkeypatch, text, run, "--window", 2, "--stride", 1)
    assert (code, len(answers)) == (1, 1), error
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1


def test_blank_lines_and_a_line_that_breaks_off_are_left_out(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{GOOD}\n\n{GOOD}\n{GOOD}\n{GOOD[:40]}"
    code, answers, error = said(capsys, monkeypatch, text, run, "--window", 2, "--stride", 1)
    assert (code, [each["start"] for each in answers]) == (0, [0, 1])
    blank, broken = error.splitlines()
    assert blank == "line 2: blank, left out. Write null for a frame in which nobody is seen"
    assert broken == "line 5: the stream stops in the middle of it; it is left out"


@pytest.mark.parametrize(
    ("text", "arguments", "code", "message"),
    [
        ("", [], 1, 'the stream is empty. A line is {"joints"'),
        ("\n\n", [], 1, "the stream is empty"),
        (GOOD[:30], [], 1, "the stream is empty"),
        (f"{GOOD}\n" * 5, [], 2, "ended after 5 frames, and a window has 12.*Choose --window 5"),
        (GOOD, ["clip.npy"], 2, "clip.npy is of files. Leave it out: --follow reads standard input"),
        (GOOD, ["--part", "test"], 2, "--part is of files"),
        (GOOD, ["--axes", "left,up"], 2, "'left,up' are not three axes. Say where x, y and z point"),
        (GOOD, ["--axes", "left,right,up"], 2, "are not three axes"),
        (GOOD, ["--convention", "h36m"], 2, "the encoder knows coco_17, not 'h36m'"),
        (GOOD, ["--classifier", "finetune"], 1, "no result of finetune"),
        (GOOD, ["--encoder", "bone"], 2, "unknown encoder"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    found, answers, error = said(capsys, monkeypatch, text, run, *arguments)
    assert (found, answers) == (code, []), error
    assert re.search(message.replace("{", r"\{"), error), error


def test_options_of_a_stream_without_one_and_no_clip_at_all(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = call(capsys, "predict", run, "clip.npy", "--window", 20)
    assert (code, "--window is of a stream. Add --follow" in error) == (2, True)
    code, _, error = call(capsys, "predict", run)
    assert (code, "Name stores or raw files, or add --follow" in error) == (2, True)


def test_a_run_without_a_classifier_says_how_to_get_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "results")
    code, answers, error = said(capsys, monkeypatch, GOOD, tmp_path / "bare")
    assert (code, answers) == (2, [])
    assert "no classifier of coco_17. Make one with `trainer evaluate RUN --protocol linear" in error


@pytest.mark.parametrize("given", [np.zeros((25, 3)), "x", np.zeros((17, 2)), {"joints": 1}, 3.0])
def test_a_frame_that_does_not_fit_is_refused_by_its_number(model: trainer.Model, given: Any) -> None:
    with pytest.raises(UsageError, match=r"frame 1: found .*expected \[M, 17, 3\] or \[17, 3\]"):
        list(model.follow([None, given], window=2))


def test_several_encoders_answer_together(
    run: Path,
    stream: NDArray[np.float32],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = own_store(tmp_path / "own.zarr", count=30)
    three = tmp_path / "three"
    loop.pretrain(tiny_config(store, method="crosclr", data__frames=FRAMES, optimise__epochs=1), out=three)
    open_run(three, device="cpu").evaluate("linear", options={"linear": {"epochs": 3}})
    code, answers, error = said(capsys, monkeypatch, lines(stream[:12]), three)
    assert (code, error, len(answers)) == (0, "", 1)
    np.save(tmp_path / "clip.npy", stream[:12])
    _, out, _ = call(capsys, "predict", three, tmp_path / "clip.npy", "--json")
    (expected,) = json.loads(out)
    assert answers[0]["probability"] == pytest.approx(expected["probability"], abs=1e-6)
    assert answers[0]["class"] == expected["class"]
