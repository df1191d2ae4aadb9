"""The viewer's page in a real browser: what is drawn where, what plays, what keys and lists do."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skeltools
from schemas import Finding
from skeltools.pictures import design
from skeltools.pictures.browsed import Browsed
from skeltools.pictures.scene import Kind, Scene, Stretch, Track, to_json
from skeltools.pictures.server import PAGE, Server
from skeltools.pictures.single_file import script, style
from tests.browser import Browser, Page, needs_chromium
from tests.skeltools.conftest import NATIVE, make_clip

pytestmark = needs_chromium

NASTY = "<img src=x onerror=alert(1)>"
SPEC = skeltools.skeleton(NATIVE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def play(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Scenes in a player that stands; ``options`` are the player's, others those of the browser."""
    opened: list[Page] = []

    def opening(*scenes: Scene | dict[str, Any], options: Mapping[str, Any] = {}, **how: Any) -> Page:
        told = [each if isinstance(each, dict) else to_json(each) for each in scenes]
        given = {"autoplay": False, **options}
        path = tmp_path / f"{len(opened)}.html"
        path.write_text(
            f"<!doctype html><meta charset=utf-8><style>{design.css()}{style()}"
            ".player { height: 600px; width: 800px }</style><body><script type=module>"
            f"{script()}\nwindow.player = new Player(document.body, {json.dumps(told)}, {json.dumps(given)});"
            "</script>",
            encoding="utf-8",
        )
        page = browser.open(path.as_uri(), how.pop("size", (820, 620)), **how)
        opened.append(page)
        page.wait("window.player?.drawn > 0")
        return page

    yield opening
    for page in opened:
        assert page.console == []
        page.close()


def pose(frames: int = 6, bodies: int = 1, joints: int = 25) -> np.ndarray:
    """People whose joints stand apart from each other, moving: [T, M, V, 3]."""
    made = np.random.default_rng(3).uniform(-0.8, 0.8, (1, bodies, joints, 3)).astype(np.float32)
    moved = 0.05 * np.sin(np.arange(frames) / 5, dtype=np.float32)
    made[..., 2] += 3
    return made + moved[:, None, None, None] + 1.5 * np.arange(bodies, dtype=np.float32)[:, None, None]


def track(joints: np.ndarray, name: str = "here", **more: Any) -> Track:
    spec = more.pop("spec", SPEC)
    return Track(name, spec, joints, np.ones(joints.shape[:2], dtype=bool), **more)


def scene(joints: np.ndarray, **more: Any) -> Scene:
    return Scene("one", (track(joints, **more),))


def at_rest(page: Page) -> dict[str, Any]:
    """The player's state once nothing waits to be drawn."""
    page.wait("player.request === null && !player.stale")
    return page.run("player.state()")


def projected(points: np.ndarray, cell: Mapping[str, Any]) -> np.ndarray:
    """[V, 3] metres -> [V, 2] CSS pixels of the canvas, by a look-at matrix and a lens of 26 degrees."""
    camera, view = cell["camera"], cell["view"]
    eye = np.array(camera["target"]) + camera["distance"] * np.array(
        [
            -np.sin(camera["yaw"]) * np.cos(camera["pitch"]),
            np.sin(camera["pitch"]),
            -np.cos(camera["yaw"]) * np.cos(camera["pitch"]),
        ]
    )
    forward = (np.array(camera["target"]) - eye) / camera["distance"]
    right = np.array([-np.cos(camera["yaw"]), 0, np.sin(camera["yaw"])])
    up = np.cross(right, forward)
    x, y, z = ((points - eye) @ np.stack([right, up, forward], axis=1)).T
    focal = view["height"] / 2 / np.tan(np.radians(13))
    pixels = [view["x"] + view["width"] / 2 + focal * x / z, view["y"] + view["height"] / 2 - focal * y / z]
    return np.stack(pixels, axis=1) / cell["scale"]


def spots(state: Mapping[str, Any], cell: int = 0, place: int = 0) -> np.ndarray:
    """[M * V, 2] CSS pixels of the canvas; NaN where nothing is drawn."""
    drawn = state["cells"][cell]["spots"][place]
    return np.array([[np.nan, np.nan] if each is None else [each["x"], each["y"]] for each in drawn])


def colour_at(page: Page, point: np.ndarray, density: float = 1) -> str:
    """The colour of a point of the canvas as it is seen."""
    left, top = page.run("(({x, y}) => [x, y])(player.canvas.getBoundingClientRect())")
    across, down = np.floor((point + np.array([left, top])) * density).astype(int)
    return "#" + bytes(page.screenshot()[down, across]).hex()


def alike(one: str, other: str) -> bool:
    """Whether two colours differ by less than the shade that the edge of a stroke has."""
    parts = [np.frombuffer(bytes.fromhex(each[1:]), np.uint8).astype(int) for each in (one, other)]
    return int(np.abs(parts[0] - parts[1]).max()) < 24


# What is drawn where


@pytest.mark.parametrize("view", ["corner", "front", "side", "top"])
@pytest.mark.parametrize("density", [1, 2])
def test_joints_are_where_the_camera_projects_them_and_have_their_colour(
    play, view: str, density: int
) -> None:
    joints = pose()
    page = play(scene(joints), options={"view": view, "names": False}, density=density)
    page.run("player.seek(4)")
    state = at_rest(page)
    cell = state["cells"][0]
    expected = projected(joints[4, 0], cell)
    assert np.abs(spots(state) - expected).max() < 1
    room = np.array([cell["view"][key] for key in ("x", "y", "width", "height")]) / cell["scale"]
    assert ((expected > room[:2]) & (expected < room[:2] + room[2:])).all()
    eye_first = np.argsort([spot[2] for spot in page.run("player.cells[0].spots[0].map((s) => [...s])")])
    free = next(
        j for j in eye_first if all(np.hypot(*(expected[j] - expected[o])) > 24 for o in range(25) if o != j)
    )
    assert colour_at(page, expected[free], density) == design.PERSONS[0]


def test_the_front_is_what_the_sensor_saw(play) -> None:
    joints = np.zeros((1, 1, 25, 3), np.float32) + [0, 0, 3]
    joints[0, 0, 3], joints[0, 0, 4], joints[0, 0, 8] = [0, 1, 3], [-0.5, 0, 3], [0.5, 0, 3]
    page = play(scene(joints), options={"view": "front"})
    found = spots(at_rest(page))
    assert found[3, 1] < found[0, 1], "up is up"
    assert found[4, 0] > found[0, 0] > found[8, 0], "who faces the sensor has the left hand at our right"


def test_left_is_solid_and_right_has_a_light_core(play) -> None:
    joints = np.zeros((1, 1, 25, 3), np.float32) + [0, 0, 3]
    joints[0, 0, :, 1] = np.linspace(-1, 1, 25)  # far from each other
    left, right = SPEC.joints.index("KneeLeft"), SPEC.joints.index("KneeRight")
    parents = [SPEC.parents[left], SPEC.parents[right]]
    joints[0, 0, [left, right]], joints[0, 0, parents] = (
        [[-0.9, 0, 3], [0.9, 0, 3]],
        [[-0.9, 0.7, 3], [0.9, 0.7, 3]],
    )
    page = play(scene(joints), options={"view": "front", "names": False})
    found = spots(at_rest(page))
    middle = [
        (found[joint] + found[parent]) / 2 for joint, parent in zip((left, right), parents, strict=True)
    ]
    assert colour_at(page, middle[0]) == design.LIGHT["left_leg"]
    assert colour_at(page, middle[1]) == "#ffffff"


def test_a_joint_that_is_not_seen_is_a_ring_at_its_last_place(play) -> None:
    joints = pose(3)
    unseen = np.zeros((3, 1, 25), dtype=bool)
    unseen[1:, 0, 3] = unseen[:, 0, 7] = True
    page = play(scene(joints, unseen=unseen), options={"names": False})
    page.run("player.seek(2)")
    state = at_rest(page)
    drawn = state["cells"][0]["spots"][0]
    assert drawn[7] is None, "never seen"
    assert drawn[3]["seen"] is False
    expected = projected(joints[0, 0], state["cells"][0])[3]
    assert np.abs(spots(state)[3] - expected).max() < 1
    assert colour_at(page, expected) != design.PERSONS[0]
    assert page.run("document.querySelector('.names').textContent") == "joints not seen"


@pytest.mark.parametrize("kind", ["bone", "motion"])
def test_arrows_are_the_vectors_of_the_track(play, kind: Kind) -> None:
    joints = np.zeros((2, 1, 25, 3), np.float32) + [0, 0, 3]
    joints[..., 0] = np.linspace(-0.9, 0.9, 25)
    vectors = np.zeros_like(joints)
    vectors[0, 0, 12] = [0, 0.25, 0]
    page = play(scene(joints, kind=kind, vectors=vectors), options={"view": "front", "names": False})
    page.run("player.set({arrow: 2})")
    cell = at_rest(page)["cells"][0]
    tail = joints[0, 0, 12] - (vectors[0, 0, 12] if kind == "bone" else 0)
    along = projected(np.stack([tail + 2 * share * vectors[0, 0, 12] for share in (0.75, 1.1)]), cell)
    assert alike(colour_at(page, along[0]), design.LIGHT["left_leg"])
    assert colour_at(page, along[1]) == "#ffffff"


def test_bones_and_motion_are_derived_where_a_track_brings_none(play) -> None:
    joints = pose(3)
    page = play(scene(joints))
    for kind, expected in (
        ("bone", joints - joints[:, :, list(SPEC.parents)]),
        ("motion", np.concatenate([np.diff(joints, axis=0), np.zeros_like(joints[:1])])),
    ):
        page.run(f"player.set({{kind: '{kind}'}})")
        at_rest(page)
        found = page.run(f"[...player.scenes[0].tracks[0].derived.{kind}]")
        np.testing.assert_allclose(np.reshape(found, joints.shape), expected, atol=2e-4)


def test_several_tracks_stand_beside_or_over_each_other_on_one_clock(play) -> None:
    long, short = pose(10), pose(5)
    both = Scene("one", (track(long, "long"), track(short, "short")))
    page = play(both)
    page.run("player.seek(9)")
    state = at_rest(page)
    assert [cell["names"] for cell in state["cells"]] == [["long"], ["short"]]
    boxes = [cell["view"] for cell in state["cells"]]
    assert boxes[0]["x"] != boxes[1]["x"] or boxes[0]["y"] != boxes[1]["y"]
    assert np.abs(spots(state, 1) - projected(short[4, 0], state["cells"][1])).max() < 1
    page.run("player.clock.rail.focus()")
    page.press("o")
    state = at_rest(page)
    assert [cell["tracks"] for cell in state["cells"]] == [["long", "short"]]
    assert np.abs(spots(state, 0, 1) - projected(short[4, 0], state["cells"][0])).max() < 1


def test_flat_conventions_are_seen_from_the_front_alone(play) -> None:
    joints = pose()
    joints[..., 2] = 0
    page = play(scene(joints, coordinates="xy"), options={"view": "side"})
    camera = at_rest(page)["cells"][0]["camera"]
    assert (camera["yaw"], camera["pitch"]) == (0, 0)


def _strange() -> dict[str, Scene]:
    nobody = Track("here", SPEC, pose(), np.zeros((6, 1), dtype=bool))
    broken = pose()
    broken[2], broken[3, 0, 5], broken[4, 0, 6] = np.nan, np.inf, 1e30
    never = np.zeros((6, 1, 25), dtype=bool)
    never[:, :, 4] = True
    many = skeltools.skeleton("soma_77")
    crowd = np.tile(pose(20, 6, 77), (1, 1, 1, 1))
    return {
        "no frames": scene(pose(0)),
        "no tracks": Scene("one", ()),
        "one frame": scene(pose(1)),
        "nobody": Scene("one", (nobody,)),
        "not a number": scene(broken),
        "one joint never": scene(pose(), unseen=never),
        "2,000 frames": scene(pose(2000)),
        "six with 77 joints": scene(crowd, spec=many),
        "a point": scene(np.ones((4, 1, 25, 3), np.float32)),
        "a hand": scene(pose(3, 1, 21), spec=skeltools.skeleton("mediapipe_hand_21")),
    }


@pytest.mark.parametrize("name", _strange())
def test_strange_scenes_are_drawn(play, name: str) -> None:
    page = play(_strange()[name])
    for act in ("player.seek(5)", "player.set({kind: 'motion'})", "player.setView('top')", "player.toggle()"):
        page.run(act)
    page.wait("player.drawn > 3")
    said = page.run("player.canvas.getAttribute('aria-label')")
    assert said == "no frames" if name in ("no frames", "no tracks") else "people" in said


def test_without_webgl_the_same_joints_are_drawn(browser: Browser, play) -> None:
    joints = pose()
    page = play(scene(joints), options={"names": False})
    one = spots(at_rest(page))
    page.send(
        "Page.addScriptToEvaluateOnNewDocument",
        source="const get = HTMLCanvasElement.prototype.getContext; HTMLCanvasElement.prototype.getContext = "
        "function (kind, ...more) { return kind === 'webgl2' ? null : get.call(this, kind, ...more); };",
    )
    page.send("Page.reload")
    page.wait("window.player?.painter?.kind === '2d' && player.drawn > 0")
    state = at_rest(page)
    np.testing.assert_allclose(spots(state), one)
    nearest = min(range(25), key=lambda j: page.run(f"player.cells[0].spots[0][{j}][2]"))
    assert colour_at(page, one[nearest]) == design.PERSONS[0]


# What plays


def test_it_plays_at_its_speed_and_starts_again(play) -> None:
    page = play(Scene("one", (track(pose(10)),), fps=50), options={"autoplay": True})
    page.wait("player.drawn > 5")
    shown = page.run(
        "new Promise((done) => { const seen = new Set(); player.addEventListener('frame', () => {"
        " seen.add(player.frame); if (seen.size === 10) done(seen.size); }); })"
    )
    assert shown == 10


def test_without_loop_it_ends_at_the_last_frame(play) -> None:
    page = play(Scene("one", (track(pose(5)),), fps=60), options={"autoplay": True, "loop": False})
    page.wait("!player.playing")
    assert at_rest(page)["frame"] == 4


def test_it_stands_still_for_who_prefers_that_and_where_nobody_looks(play) -> None:
    page = play(scene(pose(50)), options={"autoplay": True}, still=True)
    assert page.run("player.playing") is False
    page.run("player.play()")
    page.wait("player.frame > 1")
    page.run(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.run("new Promise((done) => setTimeout(done, 100))")
    before = page.run("[player.frame, player.drawn]")
    page.run("new Promise((done) => setTimeout(done, 300))")
    assert page.run("[player.frame, player.drawn]") == before
    page.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait(f"player.frame !== {before[0]}")


def test_keys(play) -> None:
    page = play(scene(pose(9)))
    page.run("player.clock.rail.focus()")
    for key, script_, value in (
        ("ArrowRight", "player.frame", 1),
        (".", "player.frame", 2),
        ("ArrowLeft", "player.frame", 1),
        ("2", "player.look.view", "front"),
        ("3", "player.look.view", "side"),
        ("4", "player.camera.pitch > 1.5", True),
        ("1", "player.look.view", "corner"),
        ("l", "player.look.loop", False),
        ("f", "player.look.follow", True),
        ("]", "player.look.speed", 2),
        (" ", "player.playing", True),
        (" ", "player.playing", False),
        ("?", "document.querySelector('dialog').open", True),
    ):
        page.press(key)
        assert page.run(script_) == value, key
    far = page.run("player.camera.distance")
    page.press("Escape")
    page.wait("!document.querySelector('dialog').open")
    page.run("player.clock.rail.focus()")
    page.press("+")
    assert page.run("player.camera.distance") < far


def test_pointer_turns_zooms_moves_and_names_joints(play) -> None:
    joints = pose()
    page = play(scene(joints), options={"view": "front"})
    state = at_rest(page)
    place = spots(state)[3] + page.run("(({x, y}) => [x, y])(player.canvas.getBoundingClientRect())")
    page.mouse("mouseMoved", *place)
    told = page.run("player.tip.innerText")
    x, y, z = joints[0, 0, 3]
    assert re.search(rf"Head\s+person 1, here, frame 1\s+x {x:.3f}  y {y:.3f}  z {z:.3f}", told), told
    page.mouse("mousePressed", 400, 200)
    page.mouse("mouseMoved", 460, 200, buttons=1)
    page.mouse("mouseReleased", 460, 200)
    turned = at_rest(page)["cells"][0]["camera"]
    assert turned["yaw"] == pytest.approx(-0.48)
    page.mouse("mouseWheel", 400, 200, deltaX=0, deltaY=-200)
    assert at_rest(page)["cells"][0]["camera"]["distance"] < turned["distance"]


def test_the_clock_shows_ribbons_findings_and_who_is_there(play) -> None:
    present = np.ones((10, 2), dtype=bool)
    present[4:7, 1] = False
    shown = Scene(
        "one",
        (Track("here", SPEC, pose(10, 2), present),),
        findings=(Finding(file="a", place="frame 3", problem="odd", action="kept"),),
        ribbons={"labels": (Stretch(0, 5, NASTY), Stretch(5, 10, "wave", 0.5))},
    )
    page = play(shown)
    assert page.run("[...document.querySelectorAll('.names div')].map((e) => e.textContent)") == [
        "labels",
        "person 1",
        "person 2",
    ]
    assert page.run("[...document.querySelectorAll('.ribbon div')].map((e) => e.textContent)") == [
        NASTY,
        "wave",
    ]
    assert page.run("document.images.length") == 0
    assert page.run("document.querySelector('.mark').style.left") == "20%"
    spans = page.run("[...document.querySelectorAll('.there')].at(-1).children.length")
    assert spans == 2
    rail = page.run(
        "(({x, y, width, height}) => [x + 0.55 * width, y + height / 2])(player.clock.rail.getBoundingClientRect())"
    )
    page.mouse("mousePressed", *rail)
    page.mouse("mouseReleased", *rail)
    assert at_rest(page)["frame"] == 5
    assert page.run("player.clock.rail.getAttribute('aria-valuenow')") == "6"


@pytest.mark.parametrize("dark", [False, True])
def test_colours_follow_the_system(play, dark: bool) -> None:
    page = play(scene(pose()), dark=dark)
    assert at_rest(page)["background"] == ("#14171a" if dark else "#ffffff")
    assert colour_at(page, np.array([4, 300])) == ("#14171a" if dark else "#ffffff")


def test_every_control_has_a_name_and_is_reached_by_tab(play) -> None:
    page = play(Scene("one", (track(pose(), "a"), track(pose(), "b"))))
    reached = set()
    for _ in range(40):
        page.press("Tab")
        reached.add(
            page.run(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
            )
        )
    named = page.run(
        "[...document.querySelectorAll('button, select, [role=slider], input')].filter((e) => e.checkVisibility())"
        ".map((e) => e.getAttribute('aria-label') || e.textContent)"
    )
    assert all(named)
    assert set(named) <= reached
    assert page.run("player.canvas.getAttribute('aria-label')").startswith(
        "frame 1 of 6; people: 1 in a, 1 in b"
    )


# The page of a store


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


def listed(browser: Browser, url: str, **how: Any) -> Page:
    page = browser.open(url, **how)
    page.wait("window.skeltoolsPage?.listed !== undefined")
    return page


def names(page: Page) -> list[str]:
    return page.run(
        "[...document.querySelectorAll('.list a')].sort((a, b) => a.offsetTop - b.offsetTop).map((e) => e.querySelector('code').textContent)"
    )


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


def test_thumbnails_show_people(browser: Browser, url: str) -> None:
    page = listed(browser, url)
    inked = "[...document.querySelectorAll('.list canvas')].map((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean))"
    page.wait(f"{inked}.every(Boolean)")
    page.close()


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


@pytest.mark.parametrize("width", [390, 1000, 1280, 1920])
def test_it_fits_the_screen(browser: Browser, url: str, width: int) -> None:
    page = listed(browser, f"{url}#id=S001C001P003R001A002", size=(width, 844), touch=width < 500)
    page.wait("skeltoolsPage.player?.drawn > 0")
    assert page.run("document.documentElement.scrollWidth") <= width
    stage = page.run(
        "(({x, right, width, height}) => [x, right, width, height])(document.querySelector('.stage').getBoundingClientRect())"
    )
    assert 0 <= stage[0] < stage[1] <= width
    assert stage[2] > 0.4 * width
    assert stage[3] > 300
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
        "name": "many", "dataset": "own", "samples": count, "conventions": [{"name": "here", "joints": 25, "coordinates": "xyz"}],
        "classes": [f"class {n}" for n in range(60)], "splits": [], "recipe": None, "streams": [], "findings": {}, "tabs": [],
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
        page.run("document.querySelector('.map canvas').focus()")
        page.press("ArrowRight")
        page.wait("location.hash.includes('item=p0')")
        page.wait("skeltoolsPage.player.scenes[0].tracks[0].name === 'p0 a'")
        page.click("header nav [data-tab='']")
        page.wait("document.querySelector('.list')?.textContent.includes('sample-00002')")
        assert page.console == []
        page.close()


def test_an_error_of_the_server_is_a_sentence(browser: Browser) -> None:
    def gone(query: Any) -> Any:
        raise skeltools.StoreError("the store was removed") if hasattr(skeltools, "StoreError") else OSError

    with serving({**many(3), "sample": gone}) as address:
        page = listed(browser, address)
        page.wait("!document.querySelector('.status').hidden")
        assert "could not be read" in page.run(
            "document.querySelector('.status').textContent"
        ) or "removed" in page.run("document.querySelector('.status').textContent")
        page.close()


def test_the_page_is_small_and_its_modules_can_be_joined() -> None:
    modules = [path.read_text() for path in sorted(PAGE.glob("*.js"))]
    assert sum(map(len, modules)) < 100_000
    named = re.findall(
        r"^(?:export )?(?:async )?(?:function|class|const|let) +(\w+)", "\n".join(modules), re.MULTILINE
    )
    assert len(named) == len(set(named)) > 100


def test_text_of_data_is_never_read_as_html() -> None:
    for path in PAGE.glob("*.js"):
        assert not re.search(
            "innerHTML|outerHTML|insertAdjacentHTML|document.write|eval\\(", path.read_text()
        ), path
