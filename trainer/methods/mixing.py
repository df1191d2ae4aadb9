"""SkeleMix: mixing clips, and separate features of the two halves of a mixed clip.

Source: Chen et al., "Contrastive Learning from Spatio-Temporal Mixed Skeleton Sequences" (SkeleMixCLR),
section III-B, and Eq. (3) for the mask pooling. The *trimmed* view is the fragment that a clip received from
its partner, some body parts for some frames; the *truncated* view is the rest of the clip itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from schemas import SkeletonSpec
from schemas.skeleton import PARTS

SCALE = 16
"""Feature frames of a clip in the paper (64 input frames, stride 4); fragment lengths are in these units."""


@dataclass(frozen=True)
class Region:
    """Joints and frames [start, stop) of a fragment, the same for a whole batch."""

    joints: tuple[int, ...]
    start: int
    stop: int

    def stretched(self, frames: int, *, of: int) -> Region:
        """Convert a region in ``of`` feature frames to the ``frames`` input frames at their centres.

        The encoder's stride is ``ceil(frames / of)``; where it does not divide the clip, the last feature
        frame covers the remaining frames.
        """
        stride = -(-frames // of)
        return Region(self.joints, self.start * stride, min(self.stop * stride, frames))

    def mask(self, frames: int, joints: int, *, device: torch.device) -> Tensor:
        """[T, V] bool: True inside the region."""
        inside = torch.zeros(frames, joints, dtype=torch.bool)
        inside[self.start : self.stop, list(self.joints)] = True
        return inside.to(device, non_blocking=True)


def draw_region(
    spec: SkeletonSpec,
    frames: int,
    *,
    generator: torch.Generator,
    parts: tuple[int, int] = (2, 3),
    fragment: tuple[int, int] = (7, 11),
    by_parts: bool = True,
) -> Region:
    """Draw a region in ``frames`` feature frames: ~U(parts) body parts, length ~U(fragment), uniform start.

    Both ranges include their ends. ``fragment`` is in sixteenths of the clip, which are the feature frames
    of the paper; for another clip length both ends are scaled and rounded (13 frames: 6 to 9), to at least
    one frame. Without ``by_parts``, joints are drawn individually, ~U(40 %, 60 %) of them: 10 to 15 of 25.
    ``generator`` is on the CPU.
    """
    shortest, longest = (max(1, (2 * length * frames + SCALE) // (2 * SCALE)) for length in fragment)
    known = [(spec.body_parts or {})[part] for part in parts_with_joints(spec)]
    if not by_parts:
        known = [(joint,) for joint in range(spec.num_joints)]
        parts = (round(0.4 * len(known)), round(0.6 * len(known)))
    count = _between(parts[0], parts[1], generator)
    chosen = torch.randperm(len(known), generator=generator)[:count].tolist()
    length = _between(shortest, longest, generator)
    start = _between(0, frames - length, generator)
    joints = sorted(joint for part in chosen for joint in known[part])
    return Region(tuple(joints), start, start + length)


def parts_with_joints(spec: SkeletonSpec) -> tuple[str, ...]:
    """The body parts that a fragment can have: a convention may leave a part empty, or define none."""
    return tuple(part for part in PARTS if spec.body_parts and spec.body_parts[part])


def draw_shift(samples: int, generator: torch.Generator) -> int:
    """Draw a shift ~U(1, samples - 1): clip n is mixed with clip n - shift, which is never n itself."""
    return _between(1, samples - 1, generator)


def mix(x: Tensor, mask: Tensor, shift: int) -> Tensor:
    """Give each clip its partner's coordinates where ``mask`` [T, V] is set. x [N,3,T,V,M] -> same.

    Bodies are exchanged slot by slot, including absent ones: the fragment of an absent body is zero.
    """
    return torch.where(mask[:, :, None], x.roll(shift, 0), x)


def has_fragment(x: Tensor, mask: Tensor) -> Tensor:
    """[N, M] bool: the bodies of x [N,3,T,V,M] that are present somewhere inside ``mask`` [T, V]."""
    return (x.ne(0).any(dim=1) & mask[:, :, None]).flatten(1, 2).any(dim=1)


def mask_pool(features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Means inside and outside ``mask`` [T', V], Eq. (3): [B, C, T', V] -> two of [B, C], float32."""
    inside = mask.flatten().float()
    weights = torch.stack([inside / inside.sum(), (1 - inside) / (1 - inside).sum()])
    with torch.autocast(features.device.type, enabled=False):
        # Channels last, as encoders return it, so nothing is copied.
        means = weights @ features.permute(0, 2, 3, 1).flatten(1, 2).float()
    return means[:, 0], means[:, 1]


def join_bodies(means: Tensor, counted: Tensor) -> Tensor:
    """[N*M, C] -> [N, C]: mean over the bodies marked in ``counted`` [N, M]; zero if there are none."""
    weights = counted.to(means.dtype)
    total = (means.view(*counted.shape, -1) * weights[:, :, None]).sum(dim=1)
    return total / weights.sum(dim=1, keepdim=True).clamp_min(1)


def _between(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))
