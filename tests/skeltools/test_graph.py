from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from schemas import SkeletonSpec
from skeltools import graph, skeletons

NAMES = skeletons.names()


def hops(spec: SkeletonSpec, start: int) -> list[int]:
    """Breadth first, one joint at a time."""
    distance = {start: 0}
    waiting = deque([start])
    while waiting:
        joint = waiting.popleft()
        for child, parent in spec.edges:
            for near, far in ((child, parent), (parent, child)):
                if near == joint and far not in distance:
                    distance[far] = distance[joint] + 1
                    waiting.append(far)
    return [distance[joint] for joint in range(spec.num_joints)]


def partition(spec: SkeletonSpec, *, full: bool) -> np.ndarray:
    """The three subsets entry by entry: [k, v, w], joint w gathers from v."""
    to_center = [float(hop) for hop in hops(spec, spec.center)]
    if not full:
        to_center = [hop if hop <= 1 else float("inf") for hop in to_center]
    neighbours = {(v, v) for v in range(spec.num_joints)}
    neighbours |= {pair for edge in spec.edges for pair in (edge, edge[::-1])}
    subsets = np.zeros((3, spec.num_joints, spec.num_joints))
    for v, w in neighbours:
        share = 1 / sum(1 for _, into in neighbours if into == w)
        if full:
            k = 0 if v == w else (1 if to_center[v] < to_center[w] else 2)
        else:
            k = 0 if v == w else (1 if to_center[v] >= to_center[w] else 2)
        subsets[k, v, w] = share
    return subsets


@pytest.mark.parametrize("name", NAMES)
def test_hops_are_those_of_a_breadth_first_search(name: str) -> None:
    spec = skeletons.load(name)
    expected = [hops(spec, start) for start in range(spec.num_joints)]
    np.testing.assert_array_equal(graph.hop_distance(spec), expected)


@pytest.mark.parametrize("name", NAMES)
def test_partitions_equal_the_entry_by_entry_ones(name: str) -> None:
    spec = skeletons.load(name)
    np.testing.assert_allclose(graph.spatial_partition(spec), partition(spec, full=True), atol=1e-7)
    np.testing.assert_allclose(graph.degenerate_partition(spec), partition(spec, full=False), atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_the_subsets_of_a_column_add_up_to_one_and_do_not_overlap(name: str) -> None:
    spec = skeletons.load(name)
    for subsets in (graph.spatial_partition(spec), graph.degenerate_partition(spec)):
        assert subsets.dtype == np.float32
        np.testing.assert_allclose(subsets.sum(axis=(0, 1)), 1, atol=1e-6)
        assert ((subsets != 0).sum(axis=0) <= 1).all()


def test_the_published_numbers_of_entries_for_25_joints() -> None:
    spec = skeletons.load("kinectv2_25")
    assert [int(np.count_nonzero(a)) for a in graph.degenerate_partition(spec)] == [25, 40, 8]
    assert [int(np.count_nonzero(a)) for a in graph.spatial_partition(spec)] == [25, 24, 24]


def test_centripetal_is_the_parent_and_centrifugal_are_the_children() -> None:
    spec = skeletons.load("kinectv2_25")
    root, inward, outward = graph.spatial_partition(spec)
    np.testing.assert_array_equal(root != 0, np.eye(25, dtype=bool))
    for child, parent in spec.edges:
        assert inward[parent, child] > 0
        assert outward[child, parent] > 0


def test_padding_adds_zeros_and_a_mask() -> None:
    spec = skeletons.load("kinectv2_25")
    subsets = graph.spatial_partition(spec)
    padded, mask = graph.pad(subsets, 43)
    assert padded.shape == (3, 43, 43)
    assert padded.dtype == np.float32
    np.testing.assert_array_equal(padded[:, :25, :25], subsets)
    assert np.count_nonzero(padded) == np.count_nonzero(subsets)
    assert mask.tolist() == [True] * 25 + [False] * 18
    same, everything = graph.pad(subsets, 25)
    np.testing.assert_array_equal(same, subsets)
    assert everything.all()


def test_padding_to_fewer_joints_is_refused() -> None:
    subsets = graph.spatial_partition(skeletons.load("kinectv2_25"))
    with pytest.raises(ValueError, match="cannot pad 25 joints to 24"):
        graph.pad(subsets, 24)
