"""Transforms of clips: joints are swapped, frames are selected, points are mapped linearly.

Consecutive transforms can be merged, because joints, frames and coordinates do not mix. A chain does so, so
values are copied once or twice in all instead of once per transform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.augment.draws import Drawn
from trainer.augment.planned import Plan


@dataclass(frozen=True)
class Transform(Plan):
    """A transform of the N clips of a batch, each with its own parameters; None is the identity.

    ``out[n, :, t, v] = matrices[n] @ x[n, :, frames[n, t], v']`` with ``v' = swap[v]`` where ``swapped[n]``,
    else ``v``.
    """

    matrices: Tensor | None = None
    """[N,3,3] float32."""
    frames: Tensor | None = None
    """[N,T] int64."""
    swapped: Tensor | None = None
    """[N] bool."""
    swap: Tensor | None = None
    """[V] int64, with ``swapped``: the joint of the other side. An involution, unique for a skeleton."""

    def then(self, later: Transform) -> Transform:
        """Merge this transform and ``later``, applied in this order."""
        return Transform(
            _both(self.matrices, later.matrices, lambda first, second: second @ first),
            _both(self.frames, later.frames, lambda first, second: first.gather(1, second)),
            _both(self.swapped, later.swapped, torch.logical_xor),
            self.swap if later.swap is None else later.swap,
        )

    def of(self, x: Tensor, *, own: bool = False) -> Tensor:
        """x [N,3,T,V,M] -> same. ``own``: x is not needed elsewhere and may be overwritten."""
        if torch.compiler.is_compiling():
            return self._at_once(x)
        if self.frames is not None:
            x, own = pick_frames(x, self.frames), True
        if self.matrices is not None:
            x, own = linear_map(x, self.matrices), True
        if self.swapped is None or self.swap is None:
            return x
        swap = self.swap
        return Drawn.among(self.swapped).change(x, lambda part, _: pick_joints(part, swap), own=own)

    def _at_once(self, x: Tensor) -> Tensor:
        """The formula as written, which compiled code evaluates in one pass over x."""
        size, _, frames, joints, _ = x.shape
        sample = torch.arange(size, device=x.device)[:, None, None]
        frame, joint = (torch.arange(each, device=x.device).expand(size, each) for each in (frames, joints))
        if self.frames is not None:
            frame = self.frames
        if self.swapped is not None and self.swap is not None:
            joint = torch.where(self.swapped[:, None], self.swap, joint)
        points = x.permute(0, 2, 3, 1, 4)[sample, frame[:, :, None], joint[:, None]]  # [N,T,V,3,M]
        if self.matrices is not None:
            points = (self.matrices[:, None, None, :, :, None] * points[:, :, :, None]).sum(dim=4)
        return points.permute(0, 3, 1, 2, 4).contiguous()


def linear_map(x: Tensor, matrices: Tensor) -> Tensor:
    """``matrices[n] @ point`` for every point of sample n. x [N,3,T,V,M], matrices [N,3,3]."""
    return torch.bmm(matrices, x.flatten(2)).view_as(x)


def pick_frames(x: Tensor, index: Tensor) -> Tensor:
    """Select frames [N,T] of x [N,3,T,V,M], individually for each sample -> same."""
    # A frame is a contiguous row of V*M values: copying rows is much faster than gathering values.
    first = torch.arange(len(x) * x.shape[1], device=x.device).view(len(x), -1, 1) * x.shape[2]
    return x.flatten(3).flatten(0, 2).index_select(0, (first + index[:, None]).flatten()).view_as(x)


def pick_joints(x: Tensor, order: Tensor) -> Tensor:
    """Select the joints ``order`` of x [N,3,T,V,M]."""
    if x.shape[4] != 2 or x.element_size() != 4:
        return x.index_select(3, order)
    # Two bodies are adjacent and copied as one integer, a row of joints at a time: a fifth of the time.
    joints = x.contiguous().view(torch.int64).view(-1, len(order))
    return joints.gather(1, order.expand(len(joints), -1)).view(x.dtype).view_as(x)


def _both(
    first: Tensor | None, second: Tensor | None, merged: Callable[[Tensor, Tensor], Tensor]
) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return merged(first, second)
