"""Write eight small clips beside dataset.yaml: two people wave or walk in front of two cameras.

Run `python make_clips.py FOLDER` (default: the script's folder), then convert the folder:
`skeltools convert custom --raw FOLDER --out my-lab.zarr`.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np

# Joints of ../my_skeleton.yaml in the camera's axes, millimetres: x right, y down, z forward.
STANDING = np.array(
    [(0, 0, 0), (0, -500, 0), (0, -750, 0), (180, -480, 0), (220, 0, 0), (-180, -480, 0), (-220, 0, 0),
     (100, 850, 0), (-100, 850, 0)],
    dtype=np.float32,
)  # fmt: skip
LEFT_HAND, LEFT_FOOT, RIGHT_FOOT = 4, 7, 8


def clip(action: str, subject: int, camera: int, frames: int = 40) -> np.ndarray:
    """One clip [T, M, V, C] with one person; the second place is empty, that is, NaN."""
    phase = np.arange(frames) / 6 + subject
    body = np.repeat(STANDING[None], frames, axis=0)
    if action == "wave":
        body[:, LEFT_HAND] = (250, -700, 0)
        body[:, LEFT_HAND, 0] += 120 * np.sin(2 * phase)
    else:
        body[:, LEFT_FOOT, 2] += 250 * np.sin(phase)
        body[:, RIGHT_FOOT, 2] -= 250 * np.sin(phase)
    angle = 0.6 * (camera - 1)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    whole = np.full((frames, 2, *STANDING.shape), np.nan, np.float32)
    whole[:, 0] = body @ turn + (0, 0, 3000)
    return whole


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for action, subject, camera in itertools.product(("wave", "walk"), (1, 2), (1, 2)):
        np.save(folder / f"{action}_p{subject}_c{camera}.npy", clip(action, subject, camera))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
