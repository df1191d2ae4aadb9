"""Bone and motion streams of augmented joints, on the device; the store has those of the original joints."""

from __future__ import annotations

import torch
from torch import Tensor

from schemas import SkeletonSpec, unknown


def joint(x: Tensor, spec: SkeletonSpec) -> Tensor:
    """The joints themselves."""
    return x


def bone(x: Tensor, spec: SkeletonSpec) -> Tensor:
    """``x[v] - x[parent(v)]`` in the convention's tree, zero at the centre. x [..., V, M] -> same."""
    parents = [*spec.parents, *range(spec.num_joints, x.shape[-2])]
    return x - x[..., torch.tensor(parents, device=x.device), :]


def motion(x: Tensor, spec: SkeletonSpec) -> Tensor:
    """``x[t + 1] - x[t]``, zero at the last frame. x [..., T, V, M] -> same."""
    step = torch.zeros_like(x)
    step[..., :-1, :, :] = x[..., 1:, :, :] - x[..., :-1, :, :]
    return step


STREAMS = {"joint": joint, "bone": bone, "motion": motion}


def derive(x: Tensor, kind: str, spec: SkeletonSpec) -> Tensor:
    """Derive the stream ``kind`` of joints x [N,3,T,V,M] -> same. Raises UsageError for an unknown kind."""
    if kind not in STREAMS:
        raise unknown("stream", kind, STREAMS)
    return STREAMS[kind](x, spec)
