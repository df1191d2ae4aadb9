"""Graphs of a convention that the store does not hold, from its own tree."""

from __future__ import annotations

import torch
from torch import Tensor

from schemas import SkeletonSpec


def inward_outward(spec: SkeletonSpec) -> Tensor:
    """[3, V, V] float32: identity, inward and outward edges of A-GCN; ``A[k, v, w]`` is what v gives to w.

    A joint gathers itself (0), its parent (1) and the mean of its children (2): each subset by itself is
    normalised by columns, while the spatial partition normalises the three together. Source: 2s-AGCN (Shi et
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
