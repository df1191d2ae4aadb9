"""Temporal crops of the clips: random in training, centred in tests (ISC, A.1)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from schemas._model import Model
from trainer.augment.draws import ShareRange, uniform
from trainer.augment.temporal import stretched

LONGEST = 10_000
"""Maximum number of frames of a clip, as in ``skeltools convert --frames``."""
Share = Annotated[float, Field(gt=0, le=1)]


class Crop(Model):
    """ISC, A.1: "a temporal crop of length 64": random in training, centred in evaluation.

    The paper gives no shares; these are the released code's. A clip in a store is the whole action, resized
    to data.frames without padding, so a share of its frames is that share of the action; the released code
    crops the unpadded action before any resizing.
    """

    train: ShareRange | None = (0.5, 1.0)
    """Share of the clip that is seen in training, drawn from U(low, high) for every clip and epoch, at a
    random position; rounded down to whole frames. None: the centre, as in tests."""
    test: Share = 0.95
    """Share in tests: ``floor((1 - test) T / 2)`` frames are cut off at either end."""
    frames: int | None = Field(default=None, ge=1, le=LONGEST)
    """Frames that the encoder sees; None: as many as the clip has. Released: 64."""
    min_frames: int = Field(default=2, ge=1, le=LONGEST)
    """Minimum length of a random crop, in frames of the clip. Released: 64 raw frames."""
    sampling: Literal["ends", "centres"] = "ends"
    """Resampling of the crop. ``ends``: its first and last frame are kept, as in ``temporal_crop_resize``.
    ``centres``: as released, PyTorch's ``interpolate`` without aligned corners."""
    absent: Literal["masked", "zeros"] = "masked"
    """Bodies that are present in only some frames, as in ``stretched``. ``zeros``: as released."""

    def drawn(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Crop training clips [N,3,T,V,M] -> [N,3,frames,V,M] at random, drawing only from ``generator``."""
        if self.train is None:
            return self.centre(x)
        total = x.shape[2]
        share = uniform(generator, len(x), low=self.train[0], high=self.train[1])
        length = (share * total).floor().clamp(min(self.min_frames, total), total)
        start = (uniform(generator, len(x)) * (total - length + 1)).floor().minimum(total - length)
        return self._resized(x, start, length)

    def centre(self, x: Tensor) -> Tensor:
        """Crop the centre of test clips [N,3,T,V,M] -> [N,3,frames,V,M]."""
        total = x.shape[2]
        start = min(int((1 - self.test) * total / 2), (total - 1) // 2)
        place = torch.full((len(x),), start, device=x.device)
        length = torch.full_like(place, total - 2 * start)
        return self._resized(x, place, length)

    def _resized(self, x: Tensor, start: Tensor, length: Tensor) -> Tensor:
        frames = self.frames or x.shape[2]
        return stretched(x, start, length, frames=frames, sampling=self.sampling, absent=self.absent)
