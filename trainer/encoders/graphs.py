"""Graphs that are not in the store, built from a convention's tree."""

from __future__ import annotations

import torch
from torch import Tensor

from schemas import SkeletonSpec


def inward_outward(spec: SkeletonSpec) -> Tensor:
    """[3, V, V] float32: A-GCN's identity, inward and outward edges; ``A[k, v, w]`` weights v's input to w.

    A joint gathers itself (0), its parent (1) and the mean of its children (2): each subset is normalised by
    columns separately, while the spatial partition normalises the three together. Source: 2s-AGCN (Shi et
    al., CVPR 2019); the normalisation is that of its released code.
    """
    joints = torch.arange(spec.num_joints)
    child = joints[joints != spec.center]
    parent = torch.tensor(spec.parents)[child]
    graph = torch.zeros(3, spec.num_joints, spec.num_joints)
    graph[0, joints, joints] = 1
    graph[1, parent, child] = 1
    graph[2, child, parent] = 1
    return graph / graph.sum(dim=1, keepdim=True).clamp_min(1)
