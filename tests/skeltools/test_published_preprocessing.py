"""Recipe crossclr against what the released preprocessing of CrosSCLR and AimCLR made of the same files.

``tests/archives/published-preprocessing.zip`` holds the files and the arrays; its README says how they came.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skeltools import skeletons, store
from skeltools.conversion import convert
from skeltools.datasets import ntu
from skeltools.preprocess import Prepared, prepare
from tests.skeltools.figures import KINECT, clip_of, walking

ARCHIVE = Path(__file__).parents[1] / "archives" / "published-preprocessing.zip"
HANDED = Path(__file__).parents[3] / "shared" / "cases" / "published-preprocessing"
ALONE, OTHER, PAIR = "S002C001P002R001A001", "S002C001P002R001A003", "S002C001P002R001A050"
BODY_LINES = 27
"""A line about the body, the number of joints, 25 joints."""

Body = list[str]
Frames = list[list[Body]]


def parsed(text: str) -> Frames:
    lines, frames, at = text.splitlines(), [], 1
    for _ in range(int(lines[0])):
        bodies = int(lines[at])
        frames.append([lines[at + 1 + BODY_LINES * m :][:BODY_LINES] for m in range(bodies)])
        at += 1 + BODY_LINES * bodies
    return frames


def written(frames: Frames) -> str:
    lines = [str(len(frames))]
    for frame in frames:
        lines += [str(len(frame)), *(line for body in frame for line in body)]
    return "\n".join(lines) + "\n"


def somebody_else(body: Body) -> Body:
    """The same joints under another id."""
    return ["9" + body[0][1:], *body[1:]]


def between(first: int, last: int, change: Callable[[list[Body]], list[Body]]) -> Callable[[Frames], Frames]:
    return lambda frames: [change(f) if first <= t < last else f for t, f in enumerate(frames)]


DAMAGED: dict[str, tuple[str, Callable[[Frames], Frames]]] = {
    "gap": (ALONE, between(19, 29, lambda frame: [])),
    "begins_empty": (OTHER, between(0, 12, lambda frame: [])),
    "first_is_late": (PAIR, between(0, 14, lambda frame: frame[1:])),
    "second_leaves": (PAIR, between(40, 54, lambda frame: frame[:1])),
    "places_swap": (PAIR, between(20, 31, lambda frame: frame[::-1])),
    "third_in_front": (PAIR, between(5, 25, lambda frame: [somebody_else(frame[0]), *frame])),
    "nobody_at_times": (PAIR, lambda frames: [f if t % 7 else [] for t, f in enumerate(frames)]),
}
"""Kind -> file, and what is done to its frames."""


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder with the three files and those made of them, and the arrays by ``SAMPLE_T50``."""
    folder = tmp_path_factory.mktemp("published")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    raw = folder / "raw"
    for place, (sample, change) in enumerate(DAMAGED.values()):
        text = (raw / f"{sample}.skeleton").read_text()
        (raw / f"S003C001P001R001A{place + 1:03d}.skeleton").write_text(written(change(parsed(text))))
    with np.load(folder / "expected.npz") as arrays:
        return raw, dict(arrays)


CASES = {
    **{sample: sample for sample in (ALONE, OTHER, PAIR)},
    **{kind: f"S003C001P001R001A{place + 1:03d}" for place, kind in enumerate(DAMAGED)},
}
"""Case -> sample."""


@pytest.mark.parametrize("frames", [50, 64])
@pytest.mark.parametrize("case", CASES)
def test_crossclr_equals_the_released_arrays(
    published: tuple[Path, dict[str, np.ndarray]], case: str, frames: int
) -> None:
    raw, expected = published
    (item,) = (item for item in ntu.discover(raw).items if item.id == CASES[case])
    made = prepare(ntu.read(item), recipe="crossclr", spec=KINECT, frames=frames, bodies=2)
    assert isinstance(made, Prepared)
    np.testing.assert_allclose(made.joint, expected[f"{case}_T{frames}"], rtol=0, atol=1e-5)


def test_the_store_holds_the_released_arrays(
    published: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    raw, expected = published
    convert("ntu60", raw=raw, out=tmp_path / "s.zarr", recipe="crossclr", frames=(50, 64))
    opened = store.open_store(tmp_path / "s.zarr")
    rows = {sample: row for row, sample in enumerate(store.read(opened, "samples/id"))}
    for frames in (50, 64):
        stream = store.read(opened, store.stream_path("kinectv2_25", frames, "joint"))
        for case, sample in CASES.items():
            array = expected[f"{case}_T{frames}"]
            np.testing.assert_allclose(stream[rows[sample]], array, rtol=0, atol=1e-5, err_msg=case)


def test_the_archive_holds_the_handed_arrays(published: tuple[Path, dict[str, np.ndarray]]) -> None:
    """What was handed to the project, by whoever ran the released scripts, is what the archive says."""
    if not HANDED.exists():
        pytest.skip("needs shared/cases/published-preprocessing beside the project")
    raw, expected = published
    with np.load(HANDED / "expected.npz") as handed:
        for name, array in handed.items():
            np.testing.assert_allclose(expected[name], array, rtol=0, atol=1e-6)
    for sample in (ALONE, OTHER, PAIR):
        assert (raw / f"{sample}.skeleton").read_bytes() == (HANDED / f"{sample}.skeleton").read_bytes()


def test_a_frame_is_turned_by_the_arc_cosine_with_its_epsilon() -> None:
    """Shoulders a quarter of a metre apart along x: cos(a) is 0.25 / 0.2501, and a is negative."""
    joints = np.zeros((1, 1, 25, 3))
    left, right = KINECT.shoulders
    joints[0, 0, :, 1] = 1.0
    joints[0, 0, left], joints[0, 0, right] = (-0.125, 1.5, 0), (0.125, 1.4, 0)
    joints[0, 0, 3] = (0.2, 1.7, 0.1)
    made = prepare(clip_of(joints, np.ones((1, 1), bool)), recipe="crossclr", spec=KINECT, frames=1, bodies=1)
    assert isinstance(made, Prepared)
    cosine = 0.25 / 0.2501
    sine = -np.sqrt(1 - cosine**2)  # -0.02827: 1.6 degrees
    expected = (cosine * 0.2 - sine * 0.1, 0.7, sine * 0.2 + cosine * 0.1)
    np.testing.assert_allclose(made.joint[:, 0, 3, 0], expected, atol=1e-6)


def test_all_frames_of_a_body_have_the_sense_of_the_sum() -> None:
    """Two frames to +30 degrees, one to -30: the one is turned the wrong way, to -60."""
    left, right = KINECT.shoulders
    joints = np.zeros((3, 1, 25, 3))
    joints[:, 0, :, 1] = 1.0
    for frame, angle in enumerate(np.radians([30, 30, -30])):
        joints[frame, 0, right] = (np.cos(angle), 1, np.sin(angle))
    made = prepare(clip_of(joints, np.ones((3, 1), bool)), recipe="crossclr", spec=KINECT, frames=3, bodies=1)
    assert isinstance(made, Prepared)
    line = made.joint[:, :, right, 0] - made.joint[:, :, left, 0]
    np.testing.assert_allclose(np.degrees(np.arctan2(line[2], line[0])), [0, 0, -60], atol=0.02)


def test_every_convention_has_its_own_centre_and_shoulders() -> None:
    """The same people in another order of joints: what the convention names is used, not Kinect's numbers."""
    spec = skeletons.load("coco_17")
    clip = clip_of(walking(6, 2, spec=spec), np.ones((6, 2), bool))
    made = prepare(clip, recipe="crossclr", spec=spec, frames=6, bodies=2)
    assert isinstance(made, Prepared)
    np.testing.assert_array_equal(made.joint[:, :, spec.center], 0)
    left, right = spec.shoulders
    line = made.joint[:, :, right] - made.joint[:, :, left]  # [3, T, M]
    before = clip.joints[:, :, right] - clip.joints[:, :, left]
    length = np.hypot(before[..., 0], before[..., 2])
    turned_right = np.sign(before[..., 2]) == np.where(before[..., 2].sum(axis=0) >= 0, 1, -1)
    np.testing.assert_allclose(line[0][turned_right], length[turned_right], atol=1e-3)


@pytest.mark.parametrize(("frames", "kept"), [(300, (0, 300)), (330, (15, 315)), (331, (15, 315))])
def test_a_long_clip_keeps_its_middle(frames: int, kept: tuple[int, int]) -> None:
    """AimCLR's reader of PKU-MMD starts at (frames - 300) // 2."""
    clip = clip_of(walking(frames, 1), np.ones((frames, 1), bool))
    made = prepare(clip, recipe="crossclr", spec=KINECT, frames=50, bodies=1)
    part = clip_of(clip.joints[slice(*kept)], np.ones((300, 1), bool))
    same = prepare(part, recipe="crossclr", spec=KINECT, frames=50, bodies=1)
    assert isinstance(made, Prepared)
    assert isinstance(same, Prepared)
    np.testing.assert_array_equal(made.joint, same.joint)
    assert made.counts.get("frames cut", 0) == frames - 300
