"""The page in a real browser, headless and offline: no console error, every drawing there and not empty."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.trainer.reports import epoch, result, write_run
from tests.trainer.stores import write_store
from trainer.report import page
from trainer.report.build import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--v=0",
    "--window-size=900,1200",
)

_MEASURE = """<script>
for (const each of document.querySelectorAll("figure svg")) {
  const box = each.getBoundingClientRect();
  each.setAttribute("data-size", Math.round(box.width) + "x" + Math.round(box.height));
}
document.body.setAttribute("data-overflow", document.documentElement.scrollWidth - window.innerWidth);
</script>"""
"""Appended to the page: it has no script of its own."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")


def opened(path: Path, profile: Path) -> tuple[str, str]:
    """The document as the browser has it, and what it wrote to its console."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, "\n".join(console)


@needs_chromium
def test_the_page_opens_without_an_error_and_shows_every_drawing(tmp_path: Path) -> None:
    store = write_store(tmp_path / "toy.zarr")
    log = [epoch(number, monitor_knn=0.1 * number) for number in range(1, 5)]
    one = write_run(tmp_path / "one", store, log=log, results=[result()])
    other = write_run(tmp_path / "other", store, log=log, results=[result()])
    built = build([one], baseline=other, device="cpu", encoders=False)
    text = page.html(built)
    path = tmp_path / "report.html"
    path.write_text(text.replace("</body>", f"{_MEASURE}</body>"))
    document, console = opened(path, tmp_path / "profile")
    assert console == ""
    sizes = re.findall(r'<svg [^>]*data-size="(\d+)x(\d+)"', document)
    assert len(sizes) == len(built.figures) == 10
    assert all(int(width) > 200 and int(height) > 100 for width, height in sizes)
    for figure in built.figures:
        assert f'<figure id="{figure.name}">' in document
    overflow = re.search(r'data-overflow="(-?\d+)"', document)
    assert overflow is not None
    assert int(overflow[1]) <= 0


@needs_chromium
def test_the_browser_would_tell_of_an_error(tmp_path: Path) -> None:
    path = tmp_path / "wrong.html"
    path.write_text('<script>console.error("wrong")</script><img src="absent.png">')
    _, console = opened(path, tmp_path / "profile")
    assert "wrong" in console
