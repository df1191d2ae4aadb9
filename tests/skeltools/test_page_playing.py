"""How the viewer's page plays, in a real browser: time, keys, pointer, clock."""

from __future__ import annotations

import re

import numpy as np
import pytest

from schemas import Finding
from skeltools.pictures.scene import Scene, Stretch, Track
from tests.browser import needs_chromium
from tests.skeltools.playing import NASTY, SPEC, at_rest, colour_at, pose, scene, spots, track

pytestmark = needs_chromium


def test_it_plays_at_its_speed_and_starts_again(play) -> None:
    page = play(Scene("one", (track(pose(4)),), fps=50), options={"autoplay": True})
    page.wait("player.drawn > 5")
    shown = page.run(
        "new Promise((done) => { const seen = new Set(); player.addEventListener('frame', () => {"
        " seen.add(player.frame); if (seen.size === 4) done(seen.size); }); })"
    )
    assert shown == 4


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
    left, top, width, height = page.box(".rail")
    for kind in ("mousePressed", "mouseReleased"):
        page.mouse(kind, left + 0.55 * width, top + height / 2)
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
        "[...document.querySelectorAll('button, select, [role=slider], input')]"
        ".filter((e) => e.checkVisibility())"
        ".map((e) => e.getAttribute('aria-label') || e.textContent)"
    )
    assert all(named)
    assert set(named) <= reached
    assert page.run("player.canvas.getAttribute('aria-label')").startswith(
        "frame 1 of 6; people: 1 in a, 1 in b"
    )
