"""Damaged raw files of every format: an error of ours or a sound clip, never anything else."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skeltools.readers import READERS
from tests.skeltools import fuzzing, raw_files
from tests.skeltools.grammars import GRAMMARS

ROOT = Path(__file__).parents[2]
COUNT = 100
NEED_TORCH = ("metrabs pt", "YAML of settings", "zip of tensors", "zip of a checkpoint")
TORCH = importlib.util.find_spec("torch") is not None
FORMATS = [name for name in (*fuzzing.FORMATS, *GRAMMARS) if TORCH or name not in NEED_TORCH]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of all formats, read in one process of little memory: a crash there is none here."""
    out = tmp_path_factory.mktemp("fuzz") / "found.jsonl"
    command = [
        sys.executable,
        "-m",
        "tests.skeltools.fuzz_runs",
        *FORMATS,
        "--count",
        str(COUNT),
        "--out",
        str(out),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert done.returncode == 0, f"stopped after {len(rows)} formats: {done.stderr[-2000:]}"
    return {row["format"]: row for row in rows}


def test_every_reader_has_a_format() -> None:
    assert {reader for reader, _ in fuzzing.FORMATS.values()} == set(READERS)


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_refused_or_sound(name: str, found: dict[str, dict[str, Any]]) -> None:
    row = found[name]
    assert (row["hangs"], row["tracebacks"], row["out_of_memory"]) == (0, 0, 0), row["failures"]
    assert row["accepted"] + row["refused"] == COUNT
    assert row["accepted"] > 0  # else the mutations are too coarse to reach what lies behind the first check
    assert row["refused"] > 0
    assert row["megabytes_above_baseline"] < 500


def test_mutation_depends_on_its_seed_alone() -> None:
    data = raw_files.ntu_text(raw_files.poses(2)).encode()
    one, same, other = (fuzzing.mutate(data, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same != data
    assert one != other


# -------------------------------------------------------------------------------------------- structured

ODD = st.sampled_from(
    ["", "-1", "0", "1", "2", "25", "nan", "1e309", "9" * 20, "-0.0", "x", "3.5", "٣", "1_0"]
)
KEYS = [
    "layout",
    "units",
    "splits",
    "csv",
    "classes",
    "pattern",
    "key",
    "files",
    "bodies",
    "convention",
    "axes",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def _ntu(tokens: list[list[str]], end: str) -> str:
    """The lines of a clip, of which some are replaced by made ones."""
    lines = raw_files.ntu_text(raw_files.poses(2)).splitlines()
    for number, made in enumerate(tokens):
        lines[number * 7 % len(lines)] = " ".join(made)
    return end.join(lines)


STRUCTURED: dict[str, tuple[str, str, Callable[[list[list[str]], str], str]]] = {
    "ntu": ("ntu", f"{raw_files.SAMPLE}.skeleton", _ntu),
    "pkummd labels": (
        "pkummd1",
        "Train_Label_PKU_final/0002-L.txt",
        lambda tokens, end: end.join(map(",".join, tokens)),
    ),
    "custom table": (
        "custom",
        "labels.csv",
        lambda tokens, end: end.join(["id,label", *map(",".join, tokens)]),
    ),
    "custom csv": ("custom", "clip.csv", lambda tokens, end: end.join(map(",".join, tokens))),
}


@pytest.mark.parametrize("name", STRUCTURED)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    tokens=st.lists(st.lists(ODD, max_size=5), max_size=6), end=st.sampled_from(["\n", "\r\n", "\r", "\n\n"])
)
def test_structured_text(tmp_path: Path, name: str, tokens: list[list[str]], end: str) -> None:
    reader, file, make = STRUCTURED[name]
    if reader == "pkummd1":
        raw_files.write_pku(tmp_path, "0002-L", raw_files.poses(9, 2), [(3, 1, 4)])
    if reader == "custom":
        labels = {"labels": "labels.csv"} if file == "labels.csv" else {"layout": "T VC"}
        told = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C", **labels}
        (tmp_path / "dataset.yaml").write_text(json.dumps(told))
        if labels.get("labels"):
            np.save(tmp_path / "1.npy", raw_files.poses(4, 2))
    (tmp_path / file).write_text(make(tokens, end), encoding="utf-8", newline="")
    assert fuzzing.outcome(reader, tmp_path)[0] in ("accepted", "refused")


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=JSON, skeletons=JSON)
def test_structured_json(tmp_path: Path, content: Any, skeletons: Any) -> None:
    for value in (content, {"label": 7, "skeletons": skeletons}, {"label": content, "skeletons": []}):
        (tmp_path / "a08_s03_e02_v01.json").write_text(json.dumps(value))
        assert fuzzing.outcome("nwucla", tmp_path)[0] == "refused"


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=2))
def test_structured_settings(tmp_path: Path, changes: dict[str, Any]) -> None:
    told = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C", **changes}
    (tmp_path / "dataset.yaml").write_text(json.dumps(told))
    np.save(tmp_path / "clip.npy", raw_files.poses(4, 2))
    assert fuzzing.outcome("custom", tmp_path)[0] in ("accepted", "refused")
