from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeltools import skeletons, tracking
from tests.skeltools.raw_files import poses


def mixed(joints: np.ndarray, present: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People end to end in random order within each frame, how many per frame, and who they really are."""
    rng = np.random.default_rng(seed)
    people, who = [], []
    for frame in range(len(joints)):
        for body in rng.permutation(np.flatnonzero(present[frame])):
            people.append(joints[frame, body])
            who.append(body)
    return np.array(people).reshape(-1, *joints.shape[2:]), present.sum(axis=1), np.array(who, int)


@settings(max_examples=40, deadline=None)
@given(bodies=st.integers(1, 4), seed=st.integers(0, 1000), seen=st.floats(0.6, 1))
def test_people_in_random_order_are_told_apart(bodies: int, seed: int, seen: float) -> None:
    present = np.random.default_rng(seed).random((25, bodies)) < seen
    people, counts, who = mixed(poses(25, bodies, 24, seed=seed), present, seed)
    track = tracking.link(people, counts)
    pairs = set(zip(who.tolist(), track.tolist(), strict=True))
    assert len(pairs) == len(set(who.tolist())) == len(set(track.tolist()))
    assert [t for i, t in enumerate(track) if t not in track[:i]] == list(range(len(pairs)))


def test_assignment_is_the_best_of_all_not_greedy() -> None:
    # b stands nearest to where a was, but a can only be the other one.
    first, second = np.zeros((2, 3, 3)), np.zeros((2, 3, 3))
    first[:, :, 0] = [[0.0], [0.4]]
    second[:, :, 0] = [[0.3], [0.8]]
    track = tracking.link(np.concatenate([first, second]), np.array([2, 2]))
    np.testing.assert_array_equal(track, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("gap", "distance", "same"),
    [
        (1, 0.45, True),
        (1, 0.55, False),
        (2, 0.9, True),
        (3, 1.4, True),
        (10, 1.6, False),
        (tracking.MAX_GAP, 0.1, True),
        (tracking.MAX_GAP + 1, 0.1, False),
    ],
)
def test_the_gate_grows_with_the_gap_up_to_a_limit(gap: int, distance: float, same: bool) -> None:
    people = np.zeros((2, 5, 3))
    people[1, :, 0] = distance
    counts = np.array([1, *[0] * (gap - 1), 1])
    assert (len(set(tracking.link(people, counts).tolist())) == 1) == same


def test_no_people_at_all() -> None:
    assert tracking.link(np.zeros((0, 5, 3)), np.zeros(4, int)).shape == (0,)


@pytest.mark.parametrize("name", [*skeletons.names("metrabs"), "kinectv1_20", "kinectv2_25"])
def test_landmarks_of_every_convention_keep_their_sides(name: str) -> None:
    spec = skeletons.load(name)
    found = tracking.landmarks(spec)
    assert len(found) == 12
    for landmark, joint in found.items():
        side, limb = landmark.split()
        name_of_joint = spec.joints[joint].lower()
        assert limb[:2] in name_of_joint
        assert name_of_joint.startswith(side[0]) or side in name_of_joint
        other = {"left": "right", "right": "left"}[side]
        assert spec.left_right_swap[joint] == found[f"{other} {limb}"]


def test_shared_landmarks_come_in_the_same_order() -> None:
    a, b = skeletons.load("smplx_42"), skeletons.load("kinectv2_25")
    pairs = {(a.joints[v], b.joints[w]) for v, w in zip(*tracking.shared_landmarks(a, b), strict=True)}
    assert len(pairs) == 12
    assert {("lsho", "ShoulderLeft"), ("rwri", "WristRight"), ("lhip", "HipLeft")} < pairs


SPECS = (skeletons.load("kinectv2_25"),) * 2


def test_tracks_are_matched_in_spite_of_a_wrong_scale_and_offset() -> None:
    bodies = poses(20, 3)
    present = np.ones((20, 3), bool)
    tracks = bodies[:, [2, 0, 1]] * 1.2 + np.array([0.1, -0.1, 0.3], np.float32)
    found = tracking.match((tracks, present), (bodies, present), specs=SPECS)
    assert found == {0: 1, 1: 2, 2: 0}


def test_presence_decides_between_equal_poses() -> None:
    body = poses(20, 1)
    bodies, tracks = np.repeat(body, 2, axis=1), np.repeat(body, 2, axis=1)
    early = np.arange(20) < 12
    seen_bodies, seen_tracks = np.stack([early, early[::-1]], 1), np.stack([early[::-1], early], 1)
    assert tracking.match((tracks, seen_tracks), (bodies, seen_bodies), specs=SPECS) == {0: 1, 1: 0}


def test_a_false_detection_does_not_take_the_track_of_a_body() -> None:
    """Three tracks and three bodies: assigning all of them must not cost the two pairs that are sure."""
    people = poses(40, 4)
    briefly = np.arange(40) < 6
    seen = np.stack([np.ones(40, bool), np.ones(40, bool), briefly], 1)
    tracks, bodies = people[:, [0, 1, 2]], people[:, [1, 0, 3]]
    found = tracking.match((tracks, seen), (bodies, seen), specs=SPECS)
    assert found == {0: 1, 1: 0}


def test_the_surest_pair_is_kept_however_unlike_and_comes_first() -> None:
    people = poses(10, 4)
    present = np.ones((10, 2), bool)
    present[4:, 1] = False
    assert tracking.mismatch(people[:, 0], people[:, 2]) > tracking.FOREIGN
    assert tracking.match((people[:, 2:], present), (people[:, :2], present), specs=SPECS) == {0: 0}
    found = tracking.match((people[:, :2], present), (people[:, :2], present), specs=SPECS)
    assert list(found.items()) == [(0, 0), (1, 1)]


def test_who_is_never_seen_together_is_not_matched() -> None:
    joints = poses(10, 1)
    early = (np.arange(10) < 5)[:, None]
    assert tracking.match((joints, early), (joints, ~early), specs=SPECS) == {}


def test_rank_prefers_the_long_then_the_moving() -> None:
    joints = np.repeat(poses(20, 1), 3, axis=1)
    joints[:, 0] = joints[:1, 0]  # stands still
    joints[:, 2] += np.arange(20)[:, None, None] * np.float32(3)  # jumps, but is seen briefly
    present = np.ones((20, 3), bool)
    present[4:, 2] = False
    np.testing.assert_array_equal(tracking.rank(joints, present), [1, 0, 2])


# ---- joints that were not seen, and bodies of any size -----------------------------------------------------


def _literal(poses: np.ndarray, people: np.ndarray, relative: bool) -> list[int]:
    """Slow: every pair by itself, all assignments tried."""
    track: list[int] = []
    last: dict[int, tuple[int, np.ndarray]] = {}
    begin = 0
    for frame, count in enumerate(people.tolist()):
        last = {n: seen for n, seen in last.items() if frame - seen[0] <= tracking.MAX_GAP}
        here, numbers = poses[begin : begin + count], list(last)
        cost = {}
        for row, number in enumerate(numbers):
            for i in range(count):
                both = ~np.isnan(here[i, :, 0]) & ~np.isnan(last[number][1][:, 0])
                apart = [np.linalg.norm(here[i, v] - last[number][1][v]) for v in np.flatnonzero(both)]
                gate = min(tracking.GATE * (frame - last[number][0]), tracking.GATE_LIMIT)
                if relative:
                    boxes = [
                        np.linalg.norm(np.nanmax(p, 0) - np.nanmin(p, 0)) for p in (here[i], last[number][1])
                    ]
                    gate *= max(boxes) / tracking.BODY
                if apart and np.mean(apart) <= gate:
                    cost[row, i] = np.mean(apart)
        choices = [
            dict(zip(rows, columns, strict=True))
            for size in range(min(len(numbers), count) + 1)
            for rows in itertools.combinations(range(len(numbers)), size)
            for columns in itertools.permutations(range(count), size)
        ]
        possible = [pairs for pairs in choices if pairs.items() <= cost.keys()]
        best = min(possible, key=lambda pairs: (-len(pairs), sum(cost[pair] for pair in pairs.items())))
        given = {i: numbers[row] for row, i in best.items()}
        for i in range(count):
            number = given.get(i, max(track, default=-1) + 1)
            track.append(number)
            before = last[number][1] if number in last else here[i]
            last[number] = (frame, np.where(np.isnan(here[i]), before, here[i]))
        begin += count
    return track


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_links_are_those_of_a_literal_reading(relative: bool, missing: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, 25)
    size = 0.2 if relative else 1.0
    walk = np.cumsum(rng.normal(0, 0.2 * size, (25, 3, 1, 3)), axis=0)
    body = size * rng.normal(0, 0.4, (3, 6, 3))
    everybody = walk + body[None]
    poses = np.concatenate(
        [frame[rng.permutation(3)[:n]] for frame, n in zip(everybody, counts, strict=True)]
    )
    poses = poses.astype(np.float32)
    poses[rng.random(poses.shape[:2]) < missing] = np.nan
    poses[np.isnan(poses).all(axis=(1, 2)), 0] = 0
    assert tracking.link(poses, counts, relative=relative).tolist() == _literal(poses, counts, relative)


def test_a_relative_gate_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.4, (1, 8, 3)) + np.cumsum(rng.normal(0, 0.3, (20, 1, 3)), axis=0)
    counts = np.ones(20, np.int64)
    expected = tracking.link(poses, counts, relative=True)
    for unit in (1e-3, 7.0):
        np.testing.assert_array_equal(tracking.link(poses * unit, counts, relative=True), expected)


@settings(max_examples=40, deadline=None)
@given(number=st.lists(st.integers(0, 6), max_size=30), most=st.integers(1, 5))
def test_the_longest_tracks_get_slots_the_earlier_one_of_equals_first(number: list[int], most: int) -> None:
    expected = sorted(set(number), key=lambda track: (-number.count(track), track))[:most]
    tracks = tracking.longest(np.array(number, np.int64), most)
    assert [track for track in tracks.tolist() if track in number] == expected
    slot = tracking.slots(np.array(number, np.int64), tracks)
    assert slot.tolist() == [expected.index(track) if track in expected else -1 for track in number]
