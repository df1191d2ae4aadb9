"""What the viewer's page draws, in a real browser: which joint where, and in what colour."""

from __future__ import annotations

import numpy as np
import pytest

import skeltools
from skeltools.pictures import design
from skeltools.pictures.scene import Kind, Scene, Track
from tests.browser import needs_chromium
from tests.skeltools.playing import (
    SPEC,
    alike,
    at_rest,
    colour_at,
    people_at_once,
    pose,
    projected,
    scene,
    spots,
    track,
)

pytestmark = needs_chromium


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
    joints = people_at_once(1)
    joints[0, 0, 3], joints[0, 0, 4], joints[0, 0, 8] = [0, 1, 3], [-0.5, 0, 3], [0.5, 0, 3]
    page = play(scene(joints), options={"view": "front"})
    found = spots(at_rest(page))
    assert found[3, 1] < found[0, 1], "up is up"
    assert found[4, 0] > found[0, 0] > found[8, 0], "who faces the sensor has the left hand at our right"


def test_left_is_solid_and_right_has_a_light_core(play) -> None:
    joints = people_at_once(1)
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
    joints = people_at_once(2)
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


@pytest.mark.parametrize("span", [0.95, 9.5])
def test_floors_of_any_width_have_a_grid(play, span: float) -> None:
    joints = pose()
    joints[..., 0, 0], joints[..., 1, 0] = 0, span
    page = play(scene(joints))
    assert page.run("player.cells[0].floor.step") > 0


@pytest.mark.parametrize("name", _strange())
def test_strange_scenes_are_drawn(play, name: str) -> None:
    page = play(_strange()[name])
    for act in ("player.seek(5)", "player.set({kind: 'motion'})", "player.setView('top')", "player.toggle()"):
        page.run(act)
    page.run("player.pause()")
    at_rest(page)
    said = page.run("player.canvas.getAttribute('aria-label')")
    assert said == "no frames" if name in ("no frames", "no tracks") else "people" in said


def test_without_webgl_the_same_joints_are_drawn(play) -> None:
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
