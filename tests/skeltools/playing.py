"""People in a player: scenes for it, and where their joints and colours are in the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import skeltools
from skeltools.pictures.scene import Scene, Track
from tests.browser import Page
from tests.skeltools.conftest import NATIVE

NASTY = "<img src=x onerror=alert(1)>"
SPEC = skeltools.skeleton(NATIVE)


def pose(frames: int = 6, bodies: int = 1, joints: int = 25) -> np.ndarray:
    """People whose joints stand apart from each other, moving: [T, M, V, 3]."""
    made = np.random.default_rng(3).uniform(-0.8, 0.8, (1, bodies, joints, 3)).astype(np.float32)
    moved = 0.05 * np.sin(np.arange(frames) / 5, dtype=np.float32)
    made[..., 2] += 3
    return made + moved[:, None, None, None] + 1.5 * np.arange(bodies, dtype=np.float32)[:, None, None]


def track(joints: np.ndarray, name: str = "here", **more: Any) -> Track:
    spec = more.pop("spec", SPEC)
    return Track(name, spec, joints, np.ones(joints.shape[:2], dtype=bool), **more)


def people_at_once(frames: int) -> np.ndarray:
    """[T, 1, 25, 3]: all joints in one point, three metres before the sensor."""
    made = np.zeros((frames, 1, 25, 3), np.float32)
    made[..., 2] = 3
    return made


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
