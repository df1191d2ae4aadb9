"""Masked prediction: most of a clip is hidden; a teacher's features of it, or its joints, are predicted.

Sources, from which no code was taken:

- ``target: features``: an encoder sees the visible cells, and a predictor estimates the features that a
  slowly following copy of it, the teacher, has of the whole clip: Abdelfattah and Alahi, "S-JEPA: A Joint
  Embedding Predictive Architecture for Skeletal Action Recognition", ECCV 2024. ``distance: cross_entropy``
  is its loss over centred and sharpened targets, by the formulas of Caron et al., "Emerging Properties in
  Self-Supervised Vision Transformers" (DINO), ICCV 2021.
- ``target: joints``: the motion of hidden cells, which are chosen by motion: Mao et al., "Masked Motion
  Predictors are Strong 3D Action Representation Learners" (MAMP), ICCV 2023.
- ``local_views``: in addition, the feature of a short view must identify the teacher's feature of its whole
  clip among those of other clips: Do et al., "Less is More: Decoder-Free Masked Modeling for Efficient
  Skeleton Representation Learning" (SLiM), arXiv:2603.10648, in outline.

The encoder's map must have frames and joints. An encoder with ``part_map`` (vit) reads only the visible
cells; for others, hidden joints are replaced by one learned point, so that they differ from joints at the
origin.

As a base of ``ms-clr``, it predicts in the query's convention, and local views are in the key's.

Absent bodies are not counted. A loss is the mean over clips of the mean over a clip's hidden cells, except
that local views are compared with the clips of all processes; each of ``optimise.accumulate`` parts has its
own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from schemas import SkeletonSpec, UsageError, require
from schemas._model import Model
from trainer import distributed, encoders
from trainer.batch import Batch
from trainer.encoders.bodies import present
from trainer.encoders.initial import draws_from
from trainer.encoders.vit import DEVIATION
from trainer.methods import masks
from trainer.methods.method import OneNetwork, Stage, wide
from trainer.methods.moco import Positive, spread
from trainer.methods.parts import Parts
from trainer.methods.predictor import Predictor
from trainer.momentum import frozen_copy, projector, update_
from trainer.span import KEY, MOMENTUM, QUERY, span
from trainer.streams import motion

Share = Annotated[float, Field(ge=0, le=1)]

PATCH = 4
"""Frames per cell if the encoder does not define them. MAMP: 4."""
SMALL = 1e-6
"""Added to a variance before taking the square root. Released MAMP."""


class MaskedOptions(Model):
    target: Literal["features", "joints"] = "features"
    """What is predicted for hidden cells: the teacher's features (S-JEPA) or their joints (MAMP)."""
    mask: masks.Kind = "tube"
    """What is hidden. ``tube``: the same joints for ``tube`` cells in time; ``parts``: likewise, whole body
    parts (after SLiM); ``random``: any cells; ``motion``: preferably those that move (MAMP)."""
    ratio: float = Field(default=0.9, gt=0, lt=1)
    """Share of a body's cells that is hidden. MAMP: 0.9."""
    tube: int = Field(default=2, ge=1)
    """Length of a tube in cells."""
    patch: int | None = Field(default=None, ge=1)
    """Frames per cell; None: those of the encoder's tokens, else 4. The map of an encoder without tokens is
    interpolated to the number of cells."""
    motion_temperature: Positive = 0.8
    """For ``mask: motion``: the lower, the more surely the cells that move most are hidden. MAMP: 0.8 for
    NTU-60."""
    momentum: Share = 0.996
    """Share of itself that the teacher keeps at every step. DINO's initial value."""
    distance: Literal["cross_entropy", "smooth_l1"] = "smooth_l1"
    """For ``target: features``. ``cross_entropy``: between softmaxes, with centred and sharpened targets
    (S-JEPA). ``smooth_l1``: with targets normalised as by LayerNorm."""
    teacher_temperature: Positive = 0.04
    """For ``cross_entropy``: targets are divided by it. DINO: 0.04."""
    student_temperature: Positive = 0.1
    """For ``cross_entropy``: predictions are divided by it. DINO: 0.1."""
    centre_momentum: Share = 0.9
    """For ``cross_entropy``: share of itself that the centre of the targets keeps. DINO: 0.9."""
    quantity: Literal["motion", "position"] = "motion"
    """For ``target: joints``: their motion from frame to frame (MAMP), or their positions."""
    normalise: Literal["cell", "axis", "none"] = "cell"
    """For ``target: joints``: to mean 0 and variance 1, over all values of a cell (MAMP), or for each axis
    over the whole body and clip."""
    layers: int = Field(default=5, ge=0)
    """Layers of the predictor, a transformer; 0: every hidden feature is predicted separately. MAMP: 5."""
    width: int = Field(default=256, ge=2)
    """Width of the predictor's tokens. MAMP: 256."""
    heads: int = Field(default=8, ge=1)
    """Attention heads per layer of the predictor. MAMP: 8."""
    local_views: int = Field(default=0, ge=0)
    """Number of views by the extreme chain whose features are contrasted with the teacher's of the whole
    clip."""
    contrast: float = Field(default=1.0, ge=0)
    """Weight of this contrast relative to the prediction."""
    temperature: Positive = 0.2
    """Temperature of the contrast of local views: SkeleMixCLR's for two views of a clip."""
    dim: int = Field(default=128, ge=1)
    """Dimensions in which local views are compared. MoCo v2 and related methods: 128."""

    @model_validator(mode="after")
    def _check(self) -> MaskedOptions:
        if self.width % self.heads or self.width % 2:
            raise ValueError("width must be even and a multiple of heads")
        return self


class Masked(OneNetwork):
    """``forward(batch) -> {"loss", "prediction"}``, and ``contrast`` with local views."""

    Options = MaskedOptions
    needs_map = True

    teacher: Any
    """A copy of ``network`` that follows it; None where nothing is compared with its features."""
    centre: Tensor
    """[C], for ``cross_entropy``: moving average of the targets."""
    step: list[Tensor] | None = None
    """Within ``one_step``: the centre and the targets' means of the passes so far."""

    def __init__(self, options: MaskedOptions, parts: Parts) -> None:
        encoders.require_map(parts.encoder, method="masked")
        super().__init__(options, parts)
        self.skeletons = parts.skeletons
        if options.mask == "parts":
            for skeleton in parts.skeletons.values():
                require(
                    skeleton.spec, ("body_parts",), by="mask parts", where="method.options.mask",
                    remedy="Hide tubes of single joints: --set method.options.mask=tube",
                )  # fmt: skip
        encoder = self.network.encoder
        self.patch = _patch(options.patch, encoder)
        width = encoder.feature_dim
        with draws_from(parts.generator):
            if options.local_views:
                self.network.projector = projector(width, width, options.dim)
            numbers = width if options.target == "features" else 3 * self.patch
            self.predictor = Predictor(
                width,
                numbers,
                parts.skeletons,
                width=options.width,
                layers=options.layers,
                heads=options.heads,
            )
            if not hasattr(encoder, "part_map"):
                self.point = nn.Parameter(DEVIATION * torch.randn(3))
        taught = options.target == "features" or options.local_views > 0
        self.teacher = frozen_copy(self.network) if taught else None
        self.register_buffer("centre", torch.zeros(width))

    @staticmethod
    def stages(options: MaskedOptions) -> tuple[Stage, ...]:
        what = "a teacher's features of" if options.target == "features" else f"the {options.quantity} of"
        return (Stage("masked", 0, f"{what} what is hidden, {options.ratio:.0%} of a clip"),)

    @property
    def compiled(self) -> list[nn.Module]:
        networks = (self.network, self.teacher)
        return [network.encoder for network in networks if network is not None]

    def follow(self) -> None:
        if self.teacher is not None:
            self.teacher.load_state_dict(self.network.state_dict())

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """The teacher is updated before the first pass, the centre of its features after the last."""
        self.step = []
        try:
            yield
            self._settle(self.step)
        finally:
            self.step = None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self._advance()
        convention, options = batch.query, self.options
        view = self.views.normal(batch, convention)
        spec, bodies = self.skeletons[convention].spec, view.shape[4]
        hidden = masks.draw(
            view, spec, batch.generator, kind=options.mask, ratio=options.ratio, patch=self.patch,
            tube=options.tube, temperature=options.motion_temperature,
        )  # fmt: skip
        with span(QUERY):
            features = self._seen(view, convention, hidden)
            predicted = self.predictor(features, hidden, convention)
        taught = self._taught(view, convention)
        with torch.autocast(view.device.type, enabled=False):
            if options.target == "features":
                apart = self._from_features(predicted, taught, hidden.shape[1])
            else:
                apart = (wide(predicted) - wide(self._joints(view, spec))).square().mean(dim=3)
            loss = mean_of_clips(apart, hidden & present(view)[:, None, None], bodies)
        losses = {"loss": loss, "prediction": loss.detach()}
        if options.local_views:
            contrast = self._contrast(batch, taught, bodies)
            losses |= {"loss": loss + options.contrast * contrast, "contrast": contrast.detach()}
        if self.training:
            pooled = self.network.encoder.pool(features.detach(), bodies)
            self.last_spread = spread(F.normalize(pooled.float(), dim=1))
        return losses

    def _seen(self, view: Tensor, convention: str, hidden: Tensor) -> Tensor:
        """[N*M, C, T', V]: the encoder's map of a view without its hidden cells, one position per cell."""
        encoder = self.network.encoder
        if hasattr(encoder, "part_map"):
            _, times, joints = hidden.shape
            count = masks.count_visible(self.options.mask, times, joints, self.options.ratio)
            part: Tensor = encoder.part_map(view, convention, masks.visible(hidden, count))
            return part
        frames = masks.frames_of(hidden & present(view)[:, None, None], self.patch, view.shape[2])
        out = frames.unflatten(0, (-1, view.shape[4])).permute(0, 2, 3, 1)[:, None]  # [N,1,T,V,M]
        shown = torch.where(out, self.point.to(view.dtype).view(3, 1, 1, 1), view)
        return stretched(encoder.feature_map(shown, convention), hidden.shape[1])

    @torch.no_grad()
    def _taught(self, view: Tensor, convention: str) -> Tensor | None:
        """[N*M, C, T', V]: the teacher's map of the whole view."""
        if self.teacher is None:
            return None
        with span(KEY):
            features: Tensor = self.teacher.encoder.feature_map(view, convention)
        return features

    def _from_features(self, predicted: Tensor, taught: Tensor | None, times: int) -> Tensor:
        """Distance [B,T',V] between predictions [B,T',V,C] and the teacher's map."""
        assert taught is not None
        options, predicted = self.options, wide(predicted)
        target = wide(stretched(taught, times).permute(0, 2, 3, 1))
        if options.distance == "smooth_l1":
            target = F.layer_norm(target, target.shape[-1:])
            return F.smooth_l1_loss(predicted, target, reduction="none").mean(dim=3)
        sharp = F.softmax((target - self.centre) / options.teacher_temperature, dim=3)
        self._remember(target)
        return -(sharp * F.log_softmax(predicted / options.student_temperature, dim=3)).sum(dim=3)

    def _joints(self, view: Tensor, spec: SkeletonSpec) -> Tensor:
        """[N*M, T', V, 3*patch]: the prediction target of every cell."""
        moved = motion(view, spec) if self.options.quantity == "motion" else view
        return normalised(masks.cells(moved, self.patch), self.options.normalise)

    def _contrast(self, batch: Batch, taught: Tensor | None, bodies: int) -> Tensor:
        """Scalar loss: local views must identify the teacher's feature of their clip among the batch's.

        Local views are in the key's convention, the whole clip in the query's.
        """
        assert self.teacher is not None
        with torch.no_grad():
            pooled = self.teacher.encoder.pool(taught, bodies)
            own = F.normalize(wide(self.teacher.projector(pooled)), dim=1)
        keys, first = distributed.gather(own), distributed.parts(1)[0].start * len(own)
        labels = first + torch.arange(len(own), device=own.device)
        losses = []
        for _ in range(self.options.local_views):
            view = self.views.extreme(batch, batch.key)
            with span(QUERY):
                local = self.network.projector(self.network.encoder(view, batch.key))
            with torch.autocast(local.device.type, enabled=False):
                scores = F.normalize(wide(local), dim=1) @ keys.t() / self.options.temperature
                losses.append(F.cross_entropy(scores, labels))
        return torch.stack(losses).mean()

    def _advance(self) -> None:
        """Move the teacher towards the network, once per step and only in training."""
        if self.training and not self.step and self.teacher is not None:
            with span(MOMENTUM):
                update_(self.teacher, self.network, self.options.momentum)
        if self.step is not None and not self.step:
            self.step.append(self.centre)

    def _remember(self, target: Tensor) -> None:
        """Record the mean of targets [B,T',V,C] for the centre; only in training."""
        mean = target.mean(dim=(0, 1, 2))
        if self.training and self.step is not None:
            self.step.append(mean)
        elif self.training:
            self._settle([self.centre, mean])

    @torch.no_grad()
    def _settle(self, means: list[Tensor]) -> None:
        """Update the centre from ``means``: the old centre and the passes' means, averaged over processes."""
        if len(means) > 1:
            share = self.options.centre_momentum
            mean = distributed.mean(torch.stack(means[1:]).mean(dim=0))
            self.centre = share * self.centre + (1 - share) * mean


def stretched(features: Tensor, times: int) -> Tensor:
    """[B,C,T',V] -> [B,C,times,V] by linear interpolation along time."""
    if features.shape[2] == times:
        return features
    size = (times, features.shape[3])
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


def normalised(cells: Tensor, how: str) -> Tensor:
    """[B,T',V,3*patch] -> same, with mean 0 and variance 1 over a ``cell`` or an ``axis`` of the body."""
    if how == "none":
        return cells
    split = cells if how == "cell" else cells.unflatten(3, (3, -1))
    over = (3,) if how == "cell" else (1, 2, 4)
    variance, mean = torch.var_mean(split, dim=over, keepdim=True)
    out: Tensor = (split - mean) / (variance + SMALL).sqrt()
    return out.reshape(cells.shape)


def mean_of_clips(apart: Tensor, counted: Tensor, bodies: int) -> Tensor:
    """apart, counted [N*M, T', V] -> scalar: the mean over clips of each clip's mean over counted cells."""
    of_clips = (each.view(-1, bodies * each[0].numel()) for each in (apart * counted, counted))
    total, number = (each.sum(dim=1) for each in of_clips)
    return (total / number.clamp_min(1)).mean()


def _patch(asked: int | None, encoder: nn.Module) -> int:
    """Frames per cell. Raises UsageError if the encoder's tokens have a different number."""
    own = getattr(encoder.options, "patch", None)
    if asked is not None and own is not None and asked != own:
        raise UsageError(
            f"cells of {asked} frames do not fit an encoder whose tokens have {own}",
            where="method.options.patch",
            remedy="Leave it out, or set encoder.options.patch to the same number",
        )
    return asked or own or PATCH
