"""The viewer's page in a real browser: lists, filters, addresses, tabs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

import skeltools
from skeltools.pictures.browsed import Browsed
from skeltools.pictures.scene import to_json
from skeltools.pictures.server import PAGE, Server, StaleError
from tests.browser import Browser, Page, needs_chromium
from tests.skeltools.conftest import make_clip
from tests.skeltools.playing import NASTY, pose, scene


@contextmanager
def serving(answers: Mapping[str, Any]) -> Iterator[str]:
    with Server(answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    """A store of 9 clips in two classes of three cameras, one of them named like HTML."""
    clips = [
        make_clip(f"S001C00{n % 3 + 1}P00{n}R001A00{n % 2 + 1}", frames=10 + n, gaps=False)
        for n in range(1, 10)
    ]
    path = tmp_path_factory.mktemp("stores") / "toy.zarr"
    skeltools.write(
        clips, path, classes=["nod", "wave"], frames=[8], splits={"half": {"train": [clips[0].id]}}
    )
    told = json.loads((path / "zarr.json").read_text())
    told["attributes"]["classes"][0] = NASTY
    (path / "zarr.json").write_text(json.dumps(told))
    with serving(Browsed(path).answers()) as address:
        yield address


INKED = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"


def listed(browser: Browser, url: str, **how: Any) -> Page:
    page = browser.open(url, **how)
    page.wait("window.skeltoolsPage?.listed !== undefined")
    return page


def names(page: Page) -> list[str]:
    """Ids in the order in which they stand in the list."""
    found = page.run("[...document.querySelectorAll('.list a')].map((e) => [e.offsetTop, e.innerText])")
    return [text.split("\n")[1] for _, text in sorted(found)]


@needs_chromium
def test_the_list_finds_filters_and_sorts(browser: Browser, url: str) -> None:
    page = listed(browser, url)
    assert len(names(page)) == 9
    assert page.run("document.images.length") == 0, "a class name that looks like HTML is text"
    assert NASTY in page.run("document.querySelector('.list').textContent")

    def choose(**fields: str) -> list[str]:
        page.run("document.querySelector('form').reset()")
        for name, value in fields.items():
            page.run(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
        page.run("document.querySelector('form').dispatchEvent(new Event('change'))")
        return names(page)

    assert all(name.endswith("A002") for name in choose(**{"class": "1"}))
    assert len(choose(camera="2")) == 3
    assert choose(search="p003") == ["S001C001P003R001A002"]
    assert len(choose(search="wave c001")) == 2
    assert choose(split="half:1") == ["S001C002P001R001A002"]
    assert choose(least="18", most="18") == ["S001C003P008R001A001"]
    assert choose(sort="long")[0] == "S001C001P009R001A002"
    assert choose(search="nothing") == []
    assert page.run("document.querySelector('.count').textContent") == "0 of 9 samples"
    assert page.console == []
    page.close()


@needs_chromium
def test_the_address_names_the_sample_and_history_goes_back(browser: Browser, url: str) -> None:
    page = listed(browser, f"{url}#id=S001C001P003R001A002")
    page.wait("document.querySelector('.details code')?.textContent === 'S001C001P003R001A002'")
    page.click(".list a:nth-of-type(4)")
    page.wait("location.hash.includes('P001')")
    page.wait("document.querySelector('.details code')?.textContent === 'S001C002P001R001A002'")
    page.run("document.querySelector('.list').focus()")
    page.press("ArrowDown")
    page.wait("document.querySelector('.details code')?.textContent === 'S001C002P004R001A001'")
    page.run("history.back()")
    page.wait("document.querySelector('.details code')?.textContent === 'S001C001P003R001A002'")
    page.run("location.hash = '#id=nobody'")
    page.wait("!document.querySelector('.status').hidden")
    assert "no sample 'nobody'" in page.run("document.querySelector('.status').textContent")
    page.close()


@needs_chromium
def test_thumbnails_show_people(browser: Browser, url: str) -> None:
    page = listed(browser, url)
    page.wait(f"[...document.querySelectorAll('.list canvas')].every({INKED})")
    page.close()


@needs_chromium
def test_the_theme_is_switched(browser: Browser, url: str) -> None:
    page = listed(browser, url)
    page.wait("skeltoolsPage.player?.drawn > 0")
    shades = []
    for _ in range(3):
        page.click("header .theme")
        page.run("new Promise((done) => setTimeout(done, 100))")
        shades.append(
            page.run(
                "[getComputedStyle(document.body).backgroundColor, skeltoolsPage.player.state().background]"
            )
        )
    light, dark = ["rgb(255, 255, 255)", "#ffffff"], ["rgb(20, 23, 26)", "#14171a"]
    assert shades == [light, dark, light]
    page.close()


@needs_chromium
@pytest.mark.parametrize("width", [390, 1000, 1280, 1920])
def test_it_fits_the_screen(browser: Browser, url: str, width: int) -> None:
    page = listed(browser, f"{url}#id=S001C001P003R001A002", size=(width, 844), touch=width < 500)
    page.wait("skeltoolsPage.player?.drawn > 0")
    assert page.run("document.documentElement.scrollWidth") <= width
    left, _, wide, high = page.box(".stage")
    assert 0 <= left < left + wide <= width
    assert wide > 0.4 * width
    buttons = page.run("[...document.querySelectorAll('.run > *')].map(e => e.getBoundingClientRect().right)")
    assert max(buttons) <= left + wide + 1
    assert high > 300
    if width == 390:
        page.run("document.querySelector('.back').click()")
        page.wait("document.querySelector('.list').checkVisibility()")
        assert not page.run("document.querySelector('.stage').checkVisibility()")
    page.close()


def many(count: int) -> dict[str, Any]:
    """Answers of a store of so many samples, all of them alike."""
    told = to_json(scene(pose()))
    column = list(range(count))
    rows = {
        "from": 0, "count": count, "total": count, "id": [f"sample-{n:05d}" for n in column],
        "label": [n % 60 for n in column], "subject": [n % 40 for n in column], "camera": None, "setup": None,
        "repetition": None, "frames": [10 + n % 90 for n in column], "findings": [0] * count, "split": {},
    }  # fmt: skip
    store = {
        "name": "many", "dataset": "own", "samples": count, "classes": [f"class {n}" for n in range(60)],
        "conventions": [{"name": "here", "joints": 25, "coordinates": "xyz"}], "splits": [], "recipe": None,
        "streams": [], "findings": {}, "tabs": [],
    }  # fmt: skip
    return {
        "store": lambda query: store,
        "rows": lambda query: rows,
        "sample": lambda query: {**told, "id": query["id"][0], "title": query["id"][0]},
        "poses": lambda query: {
            "rows": (asked := [int(each) for each in query["rows"][0].split(",")]),
            "track": to_json(scene(pose(len(asked))))["tracks"][0],
        },
    }


@needs_chromium
def test_fifty_thousand_samples_are_a_list_of_a_few_rows(browser: Browser) -> None:
    with serving(many(50_000)) as address:
        page = listed(browser, address)
        assert page.run("document.querySelectorAll('.list a').length") < 40
        page.run("document.querySelector('.list').scrollTop = 1e9")
        page.wait("document.querySelector('.list').textContent.includes('sample-49999')")
        page.run("document.querySelector('[name=search]').value = '4242'")
        page.run("document.querySelector('form').dispatchEvent(new Event('input'))")
        assert names(page)[0] == "sample-04242"
        assert page.console == []
        page.close()


@needs_chromium
def test_an_empty_store_says_so(browser: Browser) -> None:
    with serving(many(0)) as address:
        page = listed(browser, address)
        assert page.text(".count") == "The store is empty"
        assert page.text(".details h1") == "many"
        assert page.console == []
        page.close()


def tabbed() -> dict[str, Any]:
    answers = many(3)
    first = answers["store"]({})
    tabs = [
        {
            "name": "errors",
            "title": "Errors",
            "about": "Clips of another class.",
            "url": "api/errors",
            "kind": "items",
        },
        {"name": "map", "title": "Map", "about": "Near points are alike.", "url": "api/map", "kind": "map"},
    ]
    items = [
        {"id": f"e{n}", "title": NASTY, "note": f"sure: 0.{n}", "scenes": f"api/error?id=e{n}"}
        for n in range(3)
    ]
    points = [{"id": f"p{n}", "x": n, "y": n * n, "label": n, "title": f"clip {n}"} for n in range(4)]
    return {
        **answers,
        "store": lambda query: {**first, "tabs": tabs},
        "errors": lambda query: {"items": items},
        "error": lambda query: {
            "scenes": [to_json(scene(pose(), name=f"{query['id'][0]} a")), to_json(scene(pose()))],
            "layout": "beside",
        },
        "map": lambda query: {"points": points, "classes": ["a", "b", "c", "d"], "scenes": "api/error?id="},
    }


@needs_chromium
def test_tabs_have_items_and_maps_whose_clips_play(browser: Browser) -> None:
    with serving(tabbed()) as address:
        page = listed(browser, address)
        page.click("header nav [data-tab=errors]")
        page.wait("skeltoolsPage.player?.scenes.length === 2")
        assert page.run("document.querySelectorAll('.list a').length") == 3
        assert page.run("document.images.length") == 0
        page.press("ArrowDown")
        page.wait("location.hash.includes('item=e1')")
        page.wait("skeltoolsPage.player.scenes[0].tracks[0].name === 'e1 a'")
        page.click("header nav [data-tab=map]")
        page.wait("document.querySelector('.map canvas')?.width > 100")
        spots = page.run(
            "[[0, 0], [1, 0], [0, 1]].map(([x, y]) => skeltoolsPage.tabs.current.view.place({x, y}))"
        )
        assert spots[1][0] - spots[0][0] == pytest.approx(spots[0][1] - spots[2][1]), "one scale"
        page.wait("skeltoolsPage.player.scenes[0].tracks[0].name === 'p0 a'")
        page.run("document.querySelector('.map canvas').focus()")
        page.press("ArrowRight")
        page.wait("location.hash.includes('item=p1')")
        page.wait("skeltoolsPage.player.scenes[0].tracks[0].name === 'p1 a'")
        page.click("header nav [data-tab='']")
        page.wait("document.querySelector('.list')?.textContent.includes('sample-00002')")
        assert page.console == []
        page.close()


@needs_chromium
def test_an_error_of_the_server_is_a_sentence(browser: Browser) -> None:
    def gone(query: Any) -> Any:
        raise StaleError("the store was changed", remedy="Load the page again")

    with serving({**many(3), "sample": gone}) as address:
        page = listed(browser, address)
        page.wait("!document.querySelector('.status').hidden")
        assert page.text(".status") == "the store was changed. Load the page again"
        page.close()


def test_the_page_is_small_and_its_modules_can_be_joined() -> None:
    modules = [path.read_text() for path in sorted(PAGE.glob("*.js"))]
    assert sum(map(len, modules)) < 100 * 1024
    named = re.findall(
        r"^(?:export )?(?:async )?(?:function|class|const|let) +(\w+)", "\n".join(modules), re.MULTILINE
    )
    assert len(named) == len(set(named)) > 100


def test_text_of_data_is_never_read_as_html() -> None:
    for path in PAGE.glob("*.js"):
        assert not re.search(
            "innerHTML|outerHTML|insertAdjacentHTML|document.write|eval\\(", path.read_text()
        ), path
