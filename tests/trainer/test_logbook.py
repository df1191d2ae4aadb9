"""The log: one JSON object a line, cut back where a checkpoint says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from schemas import CheckpointError
from trainer import logbook


def test_lines_are_json_and_mirrored(tmp_path: Path) -> None:
    seen = []
    with logbook.open_logbook(tmp_path / "m.jsonl", mirrors=(lambda r, s: seen.append((r, s)),)) as log:
        log.write({"event": "step", "loss": 1.5}, global_step=3)
        log.write({"event": "step", "loss": math.nan}, global_step=4)
    assert (tmp_path / "m.jsonl").read_text() == (
        '{"event": "step", "loss": 1.5}\n{"event": "step", "loss": null}\n'
    )
    assert seen == [({"event": "step", "loss": 1.5}, 3), ({"event": "step", "loss": None}, 4)]


def test_reopening_drops_what_came_after_the_position(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with logbook.open_logbook(path) as log:
        log.write({"n": 1}, global_step=1)
        position = log.position
        log.write({"n": 2}, global_step=2)
    with logbook.open_logbook(path, position=position) as log:
        assert log.position == position
        log.write({"n": 3}, global_step=2)
    assert logbook.read(path) == [{"n": 1}, {"n": 3}]


def test_a_log_shorter_than_its_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"m\.jsonl: the log has 0 bytes.*after 5.*--force"):
        logbook.open_logbook(tmp_path / "m.jsonl", position=5)


def test_every_line_is_complete_at_once(tmp_path: Path) -> None:
    with logbook.open_logbook(tmp_path / "m.jsonl") as log:
        log.write({"n": 1}, global_step=1)
        assert json.loads((tmp_path / "m.jsonl").read_text()) == {"n": 1}
