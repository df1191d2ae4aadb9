"""Graphs of a convention: hop distances, the three-subset spatial partition, padding to V_max.

Source: ST-GCN (Yan et al., AAAI 2018), section 3.3 "Spatial configuration partitioning": neighbours of a
joint are its root (itself), centripetal (nearer to the centre of gravity) or centrifugal (further away).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas import SkeletonSpec

Adjacency = NDArray[np.float32]


def hop_distance(spec: SkeletonSpec) -> NDArray[np.int64]:
    """[V, V]: number of bones on the path between two joints. The tree is connected, so all are finite."""
    size = spec.num_joints
    distance = np.full((size, size), size, dtype=np.int64)
    np.fill_diagonal(distance, 0)
    for child, parent in spec.edges:
        distance[child, parent] = distance[parent, child] = 1
    for via in range(size):  # Floyd-Warshall
        distance = np.minimum(distance, distance[:, via, None] + distance[None, via, :])
    return distance


def spatial_partition(spec: SkeletonSpec) -> Adjacency:
    """[3, V, V] float32: root, centripetal, centrifugal; joint w gathers ``sum_v x[v] * A[k, v, w]``.

    In a tree the root subset is the joint itself, the centripetal one its parent, the centrifugal one its
    children. The subsets add up to the column-normalised adjacency with self-loops, ``A D^-1``.
    """
    source, target = _distance_to_center(spec)
    return _subsets(spec, source == target, source < target, source > target)


def degenerate_partition(spec: SkeletonSpec) -> Adjacency:
    """[3, V, V]: the partition of the released code bases, where hop distances above one count as infinite.

    All joints more than one bone from the centre are then equally far. Subset 0 is the joint itself; subset 1
    the neighbours that are as far or further, which are most edges; subset 2 those that are nearer. For 25
    joints they hold 25, 40 and 8 entries. Weights trained with released code need this partition.
    """
    source, target = (np.where(distance <= 1, distance, np.inf) for distance in _distance_to_center(spec))
    itself = np.eye(spec.num_joints, dtype=np.bool_)
    return _subsets(spec, itself, (source >= target) & ~itself, source < target)


def _distance_to_center(spec: SkeletonSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    to_center = hop_distance(spec)[spec.center].astype(np.float64)
    return to_center[:, None], to_center[None, :]


def _subsets(spec: SkeletonSpec, *subsets: NDArray[np.bool_]) -> Adjacency:
    adjacency = hop_distance(spec) <= 1
    normalised = adjacency / adjacency.sum(axis=0)
    return np.stack([np.where(subset, normalised, 0.0) for subset in subsets]).astype(np.float32)


def pad(adjacency: Adjacency, size: int) -> tuple[Adjacency, NDArray[np.bool_]]:
    """Pad [3, V, V] with zeros to [3, size, size]; also returns a [size] mask, True for the V real joints."""
    joints = adjacency.shape[-1]
    if size < joints:
        raise ValueError(f"cannot pad {joints} joints to {size}")
    behind = (0, size - joints)
    return np.pad(adjacency, ((0, 0), behind, behind)), np.arange(size) < joints
