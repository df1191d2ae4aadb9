"""The viewer's page in Chromium with software rendering: the first list, a sample after a click, drawing.

Times are elapsed times, so other load on the machine increases them; ``cpu_ms`` is the processor time that
all processes of the browser spend on one picture.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.browser import CHROMIUM, Browser, Page

__all__ = ["CHROMIUM", "measure"]

CLICKS = 20
SECONDS = 5

_CLICK = """(async (place) => {
  const page = skeltoolsPage, link = document.querySelectorAll(".list a")[place];
  const id = link.querySelector("code").textContent, before = performance.now();
  link.click();
  while (page.player.scenes[0].id !== id || page.player.stale) await new Promise((done) => setTimeout(done));
  return performance.now() - before;
})"""
"""Returns the milliseconds from a click on a row to its first picture."""

_TWICE = """(async () => {
  const stage = document.querySelector(".stage");
  stage.style.cssText = "flex: none; width: 800px; height: 600px";
  const told = await skeltoolsPage.source.sample(skeltoolsPage.rows.id[0], []);
  skeltoolsPage.player.pause();
  skeltoolsPage.player.show([{ ...told, tracks: [told.tracks[0], told.tracks[0]] }]);
  await skeltoolsPage.player.measure(1);
})()"""
"""Shows two tracks of 25 joints on 800 x 600 pixels."""


def measure(url: str) -> dict[str, Any]:
    """Milliseconds to the first list and per click, pictures per second, and processor time per picture."""
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        warm = browser.open(url, (1440, 900))
        warm.wait("skeltoolsPage?.listed", 60)
        page = browser.open(url, (1440, 900))
        page.wait("skeltoolsPage?.player?.drawn > 0", 60)
        figures: dict[str, Any] = {"list_ms": round(page.run("skeltoolsPage.listed"))}
        page.run("skeltoolsPage.player.pause()")
        clicks = [page.run(f"{_CLICK}({1 + place % 8})") for place in range(CLICKS)]
        figures["click_ms"] = round(median(clicks), 1)
        page.run(_TWICE)
        return figures | pictures(page)


def pictures(page: Page) -> dict[str, Any]:
    """Measure continuous drawing over a few seconds."""
    drawn, spent = page.run("skeltoolsPage.player.drawn"), processor_seconds(os.getpid())
    rate = page.run(f"skeltoolsPage.player.measure({SECONDS})")
    drawn = page.run("skeltoolsPage.player.drawn") - drawn
    spent = processor_seconds(os.getpid()) - spent
    script = "((begun) => (skeltoolsPage.player.paint(), performance.now() - begun))(performance.now())"
    return {
        "pictures_a_second": round(rate, 1),
        "cpu_ms": round(1000 * spent / drawn, 1),
        "script_ms": round(median(page.run(script) for _ in range(30)), 1),
    }


def processor_seconds(parent: int) -> float:
    """Processor time of all descendants of a process."""
    children: dict[int, list[tuple[int, float]]] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text().rsplit(")", 1)[1].split()
        except OSError:  # the process has ended
            continue
        ticks = int(fields[11]) + int(fields[12])
        children.setdefault(int(fields[1]), []).append(
            (int(each.parent.name), ticks / os.sysconf("SC_CLK_TCK"))
        )
    waiting, spent = [parent], 0.0
    while waiting:
        for child, seconds in children.get(waiting.pop(), []):
            waiting.append(child)
            spent += seconds
    return spent
