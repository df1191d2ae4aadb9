"""``trainer report``: what it prints and writes, and its one-line errors."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.reports import result, write_run
from tests.trainer.stores import write_store
from tests.trainer.test_cli import call
from trainer.report import page

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "one", write_store(tmp_path / "toy.zarr"), results=[result()])


def test_it_writes_the_page_and_names_what_is_missing(run: Path, tmp_path: Path, capsys: Capture) -> None:
    out, text = tmp_path / "page.html", tmp_path / "page.md"
    code, said, err = call(
        capsys, "report", run, "--out", out, "--markdown", text, "--title", "Three <seeds>", "--device", "cpu"
    )
    assert code == 0
    assert said.splitlines()[0] == f"{out}: 4 drawings, 0.1 MB"
    assert said.splitlines()[1].startswith("one: skeletonclr on toy xview, 80.0 % (linear")
    assert said.splitlines()[2].startswith(f"{text}, drawings in ")
    assert "<h1>Three &lt;seeds&gt;</h1>" in out.read_text()
    assert text.read_text().startswith("# Three \\<seeds\\>")
    assert len(list((tmp_path / "page-figures").glob("*.svg"))) == 4
    assert f"note: No baseline was named. (trainer report {run} --baseline RUN)" in err.splitlines()
    assert "last.pt: no checkpoint here" in err


def test_the_page_is_report_html_where_nothing_else_is_said(
    run: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(capsys, "report", run, "--no-encoders")[0] == 0
    assert "Nearest neighbours" not in (tmp_path / "report.html").read_text()


def test_a_large_page_says_so(run: Path, tmp_path: Path, capsys: Capture, monkeypatch: Any) -> None:
    monkeypatch.setattr(page, "LIMIT", 1000)
    _, _, err = call(capsys, "report", run, "--no-encoders", "--out", tmp_path / "r.html")
    assert "note: that is a large page" in err


def test_errors_are_one_line(run: Path, tmp_path: Path, capsys: Capture, monkeypatch: Any) -> None:
    code, _, err = call(capsys, "report", tmp_path / "nothing")
    assert code == 2
    assert err == (
        f"error: {tmp_path / 'nothing'}: no run folder here: it has no config.yaml. "
        "Name the --out folder of a `trainer pretrain`\n"
    )
    code, _, err = call(capsys, "report", run, "--device", "gpu")
    assert (code, err) == (2, "error: unknown device 'gpu'. Known: auto, cpu, cuda, cuda:N, mps\n")
    code, _, err = call(capsys, "report", run, "--baseline", tmp_path / "nothing")
    assert (code, err.startswith("error: ")) == (2, True)
    assert call(capsys, "report")[0] == 2
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sklearn" else find_spec(name, *rest)
    )
    code, _, err = call(capsys, "report", run)
    assert code == 2
    assert err == "error: reports need scikit-learn. Install with: pip install 'skeltools[plots]'\n"
