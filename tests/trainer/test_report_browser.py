"""The page in a real browser, headless and offline: on a telephone, a screen and paper, in light and dark."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skeltools.pictures.design import BLACK, WHITE
from tests.browser import Browser, needs_chromium
from tests.browser import Page as Tab
from tests.trainer.reports import epoch, result, write_run
from tests.trainer.stores import CLASSES, FEW, write_store
from trainer.report import draw, page
from trainer.report.build import build
from trainer.report.parts import Page, Section, Table
from trainer.report.skeletons import draw_strip
from trainer.report.tracks import scenes, track

pytestmark = needs_chromium

LONG = "a/rather/long/name of a run that somebody gave it/skeletonclr-seed-0"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Two runs, every kind of drawing, long cells, and people that move."""
    folder = tmp_path_factory.mktemp("runs")
    store = write_store(folder / "toy.zarr")
    log = [epoch(number, monitor_knn=0.1 * number) for number in range(1, 5)]
    printed = result(
        dataset="ntu60", split="xsub", convention="kinectv2_25", epoch=300, notes=("beware " * 30,)
    )
    one = write_run(folder / LONG, store, log=log, results=[result(protocol="knn"), printed])
    other = write_run(folder / "other", store, log=log, results=[printed])
    made = build([one], baseline=other, device="cpu", encoders=False)
    people = Section("people", "People", tuple(_moving(place) for place in range(6)))
    return replace(made, sections=(*made.sections, people))


def _moving(place: int) -> Any:
    """Two clips that walk across the drawing."""
    rest = np.zeros((3, 12, 6, 2), np.float32)
    rest[0] = (np.array([0, 0, -0.3, 0.3, 0.1, -0.1]) + 0.1 * np.arange(12)[:, None])[..., None]
    rest[1] = np.array([0.9, 1.6, 0.8, 0.8, 0.05, 0.05])[None, :, None]
    rest[..., 1] = 0
    strength = np.linspace(0, 1, rest[0].size, dtype=np.float32).reshape(rest[0].shape)
    people = [track(name, rest, FEW, np.eye(3, dtype=np.float32), shade=strength) for name in CLASSES[:2]]

    def paint(canvas: Any) -> None:
        draw_strip(canvas.subplots(), people[0], size=(4, 1.25))

    name, told = f"people-{place}", scenes(people)
    return draw.figure(name, (4, 1.25), paint, title="People", alt="", caption="", scenes=told)


@pytest.fixture(scope="module")
def address(built: Page, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    page.write_html(built, path)
    return path.as_uri()


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_every_drawing_is_there_and_nothing_is_wider_than_the_page(
    width: int, browser: Browser, built: Page, address: str
) -> None:
    tab = browser.open(address, (width, 900))
    sizes = tab.run(
        "[...document.querySelectorAll('figure svg')].map(each => each.getBoundingClientRect())"
        ".map(box => [box.width, box.height, box.left, box.right])"
    )
    assert len(sizes) == len(built.figures)
    assert all(wide > 200 and high > 60 and left >= 0 and right <= width for wide, high, left, right in sizes)
    assert tab.run("document.documentElement.scrollWidth - innerWidth") <= 0
    tab_is_quiet(tab, address)


def tab_is_quiet(tab: Tab, address: str) -> None:
    """No word in the console, no file but the page, nothing that its policy forbids."""
    assert tab.console == []
    assert [each for each in tab.requests if not each.startswith("data:")] == [address]
    tab.close()


def test_letters_of_drawings_have_eleven_points_on_a_telephone(browser: Browser, address: str) -> None:
    tab = browser.open(address, (390, 844), density=3, touch=True)
    sizes = tab.run(
        "[...document.querySelectorAll('figure svg text')].map(each => "
        "parseFloat(getComputedStyle(each).fontSize) * each.ownerSVGElement.getScreenCTM().a)"
    )
    assert len(sizes) > 100
    assert min(sizes) >= 11
    tab_is_quiet(tab, address)


def test_tables_stay_in_their_boxes_on_a_telephone(browser: Browser, address: str) -> None:
    """Wide ones are moved sideways below the first column; rows with long cells become lists."""
    tab = browser.open(address, (390, 844), touch=True)
    rows = tab.run("[...document.querySelectorAll('tr')].map(each => each.getBoundingClientRect().height)")
    assert max(rows) < 700, "no row is a screen of nothing"
    wide = "[...document.querySelectorAll('.scroll')].find(each => each.scrollWidth > each.clientWidth + 50)"
    assert tab.run(f"!!{wide} && getComputedStyle({wide}).backgroundImage.split('gradient').length > 4")
    assert tab.run(f"{wide}.tabIndex") == 0, "arrow keys move it"
    left = f"{wide}.querySelector('td').getBoundingClientRect().left - {wide}.getBoundingClientRect().left"
    assert tab.run(f"({wide}.scrollLeft = 60, Math.abs({left})) < 1"), "the first column stays"
    assert tab.run("getComputedStyle(document.querySelector('.stacked thead')).display") == "none"
    assert tab.run("getComputedStyle(document.querySelector('.stacked td'), '::before').content") == '"run: "'
    tab_is_quiet(tab, address)


@pytest.mark.parametrize("dark", [False, True])
def test_drawings_follow_light_and_dark(dark: bool, browser: Browser, address: str) -> None:
    """Ground, letters and lines of the drawings are the page's, and what is drawn stands out."""
    tab = browser.open(address, dark=dark)
    design = BLACK if dark else WHITE
    colours = tab.run(
        "(() => { const svg = document.querySelector('#knn-over-epochs svg');"
        "const look = name => getComputedStyle(svg.querySelector(name)).fill;"
        "return [getComputedStyle(document.body).backgroundColor, look('path'), look('text')]"
        ".map(each => each.match(/\\d+/g).map(Number)) })()"
    )
    ground, text = _rgb(design.ground or ""), _rgb(design.text)
    assert colours == [ground, ground, text]
    picture = tab.screenshot()
    assert (picture.reshape(-1, 3) == ground).all(axis=1).mean() > 0.5
    used = tab.run(
        "[...new Set([...document.querySelectorAll('#knn-over-epochs svg path, #loss-other svg path')]"
        ".map(each => getComputedStyle(each).stroke).filter(each => each.startsWith('rgb')))]"
    )
    strong = [_contrast([int(part) for part in re.findall(r"\d+", each)], ground) for each in used]
    assert len(strong) >= 2
    assert min(strong) >= 3, "WCAG 2.1, 1.4.11"
    tab_is_quiet(tab, address)


def _rgb(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _contrast(one: list[int], other: list[int]) -> float:
    """WCAG 2.1: of the relative luminances of two sRGB colours."""
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 255 / 12.92 for c in (*one, *other)]
    low, high = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear[:3], linear[3:]))
    return (high + 0.05) / (low + 0.05)


def test_people_move_when_they_are_asked_to(browser: Browser, address: str) -> None:
    tab = browser.open(address, (390, 844))
    still = "getComputedStyle(document.querySelector('#people-0 .drawing')).display"
    assert tab.run("document.querySelectorAll('canvas').length") == 0, "nothing moves by itself"
    tab.run("document.querySelector('#people-0 button.play').focus()")
    tab.press("Enter")
    tab.wait("document.querySelector('#people-0').player?.drawn > 0")
    assert tab.run(still) == "none"
    first = tab.run("document.querySelector('#people-0').player.frame")
    tab.wait(f"document.querySelector('#people-0').player.frame !== {first}")
    state = tab.run("document.querySelector('#people-0').player.state()")
    assert [each["tracks"] for each in state["cells"]] == [[name] for name in CLASSES[:2]]
    assert tab.run("document.querySelector('#people-0 button.play').getAttribute('aria-pressed')") == "true"
    assert tab.run("document.documentElement.scrollWidth - innerWidth") <= 0
    tab.run("document.querySelector('#people-0 button.play').click()")
    assert tab.run("document.querySelectorAll('canvas').length") == 0
    assert tab.run(still) == "block"
    for place in range(6):
        tab.run(f"document.querySelector('#people-{place} button.play').click()")
    assert tab.run("document.querySelectorAll('.player').length") == 4, "a browser has few contexts of WebGL"
    tab_is_quiet(tab, address)


def test_who_wants_no_motion_gets_none(browser: Browser, address: str) -> None:
    tab = browser.open(address, still=True)
    tab.run("document.querySelector('#people-0 button.play').click()")
    tab.wait("document.querySelector('#people-0').player.drawn > 0")
    assert tab.run("document.querySelector('#people-0').player.playing") is False
    tab_is_quiet(tab, address)


def test_without_script_the_page_is_whole(browser: Browser, built: Page, address: str) -> None:
    tab = browser.open(address)
    assert tab.run("document.querySelectorAll('button').length") == 6
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    tab.send("Page.reload")
    tab.wait("document.readyState === 'complete' && !document.querySelector('button')")
    assert tab.run("document.querySelectorAll('figure svg').length") == len(built.figures)
    assert tab.console == []
    tab.close()


def test_another_script_does_not_run(browser: Browser, built: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page.html(built).replace("</main>", "<script>document.title = 'wrong'</script></main>"))
    tab = browser.open(path.as_uri())
    assert tab.run("document.title") == built.title
    assert any("Content Security Policy" in each for each in tab.console)
    tab.close()


def test_on_paper_what_is_folded_is_open_and_what_moves_stands(browser: Browser, address: str) -> None:
    tab = browser.open(address)
    tab.run("document.querySelector('#people-0 button.play').click()")
    tab.wait("document.querySelector('#people-0').player.drawn > 0")
    tab.send("Emulation.setEmulatedMedia", media="print")
    assert tab.run("getComputedStyle(document.querySelector('.moving')).display") == "none"
    assert tab.run("getComputedStyle(document.querySelector('#people-0 .drawing')).display") == "block"
    assert tab.run("document.querySelector('details td').checkVisibility({contentVisibilityAuto: true})")
    assert tab.run("document.querySelector('details td').getBoundingClientRect().height") > 0
    pdf = base64.b64decode(tab.send("Page.printToPDF", preferCSSPageSize=True)["data"])
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert pages <= 8
    tab.close()


def test_a_wide_drawing_is_moved_sideways_on_a_telephone(browser: Browser, tmp_path: Path) -> None:
    def paint(canvas: Any) -> None:
        canvas.subplots().plot([1, 2])

    wide = draw.figure("wide", (draw.WIDE, 3), paint, title="Wide", alt="", caption="")
    table = Table("One", ("a", "b"), (("x" * 90, "y"),))
    path = tmp_path / "report.html"
    page.write_html(Page("T", (Section("s", "S", (wide, table)),), "t"), path)
    tab = browser.open(path.as_uri(), (390, 844))
    box = "document.querySelector('.wide .drawing')"
    assert tab.run(f"{box}.scrollWidth > {box}.clientWidth")
    assert tab.run("document.documentElement.scrollWidth - innerWidth") <= 0
    assert tab.run("document.querySelectorAll('script').length") == 0, "nothing moves, so there is no script"
    tab_is_quiet(tab, path.as_uri())
