"""Most of a clip is hidden, and what is there is predicted: features of a teacher, or the joints themselves.

Sources, from which no code was taken:

- ``target: features``: an encoder sees what is not hidden, a predictor tells the features that a slowly
  following copy of it, the teacher, has of the whole clip: Abdelfattah and Alahi, "S-JEPA: A Joint Embedding
  Predictive Architecture for Skeletal Action Recognition", ECCV 2024. ``distance: cross_entropy`` is its loss
  over centred and sharpened targets, by the formulas of Caron et al., "Emerging Properties in Self-Supervised
  Vision Transformers" (DINO), ICCV 2021.
- ``target: joints``: the motion of what is hidden, hidden by motion: Mao et al., "Masked Motion Predictors
  are Strong 3D Action Representation Learners" (MAMP), ICCV 2023.
- ``local_views``: the feature of a short view is told from those of other clips by what the teacher has of
  the whole one, besides: Do et al., "Less is More: Decoder-Free Masked Modeling for Efficient Skeleton
  Representation Learning" (SLiM), arXiv:2603.10648, in outline.

It needs an encoder whose map has frames and joints. One with ``part_map`` (vit) reads only what is seen; to
others the rest is put in as one learned point, so that hidden joints are told from those at the origin.

As a base of ``ms-clr`` what is hidden is told in the query's convention, and local views are of the key's.

Absent bodies count for nothing. A loss is the mean over clips of the mean over what is hidden of a clip, but
local views are told from the clips of all processes; of ``optimise.accumulate`` parts each has its own.
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
from trainer.encoders.initial import draws_from
from trainer.encoders.vit import DEVIATION
from trainer.methods import masks
from trainer.methods.method import OneNetwork, Stage
from trainer.methods.moco import Positive, spread
from trainer.methods.parts import Parts, make_views
from trainer.methods.predictor import Predictor
from trainer.momentum import frozen_copy, projector, update_
from trainer.span import KEY, MOMENTUM, QUERY, span
from trainer.streams import motion

Share = Annotated[float, Field(ge=0, le=1)]

PATCH = 4
"""Frames of a cell where the encoder has none of its own. MAMP: 4."""
SMALL = 1e-6
"""Added to a variance before its root. Released MAMP."""


class MaskedOptions(Model):
    target: Literal["features", "joints"] = "features"
    """What is predicted of hidden cells: the teacher's features (S-JEPA), or their joints (MAMP)."""
    mask: masks.Kind = "tube"
    """What is hidden. ``tube``: the same joints for ``tube`` cells of time; ``parts``: likewise, whole parts
    of the body (after SLiM); ``random``: any cells; ``motion``: those that move first (MAMP)."""
    ratio: float = Field(default=0.9, gt=0, lt=1)
    """Share of the cells of a body that is hidden. MAMP: 0.9."""
    tube: int = Field(default=2, ge=1)
    """Cells of time that a tube is long."""
    patch: int | None = Field(default=None, ge=1)
    """Frames of a cell; None: those of the encoder's tokens, else 4. The map of another encoder is stretched
    to as many."""
    motion_temperature: Positive = 0.8
    """Of ``mask: motion``: lower takes what moves most more surely. MAMP: 0.8 for NTU-60."""
    momentum: Share = 0.996
    """Share of itself that the teacher keeps at every step. DINO's at the start."""
    distance: Literal["cross_entropy", "smooth_l1"] = "smooth_l1"
    """Of ``target: features``. ``cross_entropy``: between softmaxes, of targets that are centred and
    sharpened (S-JEPA). ``smooth_l1``: of targets normalised as by LayerNorm."""
    teacher_temperature: Positive = 0.04
    """Of ``cross_entropy``: targets are divided by it. DINO: 0.04."""
    student_temperature: Positive = 0.1
    """Of ``cross_entropy``: predictions are divided by it. DINO: 0.1."""
    centre_momentum: Share = 0.9
    """Of ``cross_entropy``: share of itself that the centre of the targets keeps. DINO: 0.9."""
    quantity: Literal["motion", "position"] = "motion"
    """Of ``target: joints``: their steps from frame to frame (MAMP), or where they are."""
    normalise: Literal["cell", "axis", "none"] = "cell"
    """Of ``target: joints``: to mean 0 and variance 1, all numbers of a cell together (MAMP), or each axis
    over the whole body and clip."""
    layers: int = Field(default=5, ge=0)
    """Of the predictor, which is a transformer; 0: hidden features are told one by one. MAMP: 5."""
    width: int = Field(default=256, ge=2)
    """Numbers of a token of the predictor. MAMP: 256."""
    heads: int = Field(default=8, ge=1)
    """Attentions of a layer of the predictor. MAMP: 8."""
    local_views: int = Field(default=0, ge=0)
    """Views of the extreme chain whose features are contrasted with the teacher's of the whole clip."""
    contrast: float = Field(default=1.0, ge=0)
    """Weight of that beside the prediction."""
    temperature: Positive = 0.2
    """Of the contrast of local views: SkeleMixCLR's of two views of a clip."""
    dim: int = Field(default=128, ge=1)
    """Dimensions that local views are compared in. MoCo v2's and all of its kind: 128."""

    @model_validator(mode="after")
    def _check(self) -> MaskedOptions:
        if self.width % self.heads or self.width % 2:
            raise ValueError("width must be even and a multiple of heads")
        return self


class Network(nn.Module):
    """What the teacher is a copy of."""

    encoder: Any
    projector: Any
    """With local views alone."""


class Masked(OneNetwork):
    """``forward(batch) -> {"loss", "prediction"}``, with local views ``contrast`` as well."""

    Options = MaskedOptions
    needs_map = True

    centre: Tensor
    """[C], of ``cross_entropy``: where targets are on average."""
    step: list[Tensor] | None = None
    """In ``one_step``: what its passes found the centre to be."""

    def __init__(self, options: MaskedOptions, parts: Parts) -> None:
        super().__init__()
        encoders.require_map(parts.encoder, method="masked")
        self.options, self.stream, self.views = options, parts.stream, make_views(parts)
        self.skeletons = parts.skeletons
        if options.mask == "parts":
            for skeleton in parts.skeletons.values():
                require(
                    skeleton.spec, ("body_parts",), by="mask parts", where="method.options.mask",
                    remedy="Hide tubes of single joints: --set method.options.mask=tube",
                )  # fmt: skip
        self.network = Network()
        encoder = encoders.build(parts.encoder, parts.skeletons, generator=parts.generator)
        self.network.encoder = encoder
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
        """The teacher moves before the first pass, the centre of its features after the last."""
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
        """[N*M, C, T', V]: the encoder's map of a view without what is hidden, one place a cell."""
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
        """predicted [B,T',V,C], the teacher's map -> [B,T',V]: how far from each other."""
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
        """[N*M, T', V, 3*patch]: what is to be told of every cell."""
        moved = motion(view, spec) if self.options.quantity == "motion" else view
        return normalised(masks.cells(moved, self.patch), self.options.normalise)

    def _contrast(self, batch: Batch, taught: Tensor | None, bodies: int) -> Tensor:
        """Scalar: local views are to find the teacher's feature of their clip among those of the batch.

        They are of the key's convention, the whole clip of the query's.
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
        """Move the teacher towards the network, once a step; nothing outside of training."""
        if self.training and not self.step and self.teacher is not None:
            with span(MOMENTUM):
                update_(self.teacher, self.network, self.options.momentum)
        if self.step is not None and not self.step:
            self.step.append(self.centre)

    def _remember(self, target: Tensor) -> None:
        """The mean of targets [B,T',V,C], for the centre; only in training."""
        mean = target.mean(dim=(0, 1, 2))
        if self.training and self.step is not None:
            self.step.append(mean)
        elif self.training:
            self._settle([self.centre, mean])

    @torch.no_grad()
    def _settle(self, means: list[Tensor]) -> None:
        """``means``: the centre, and the means of a step's passes. Of several processes the mean of all."""
        if len(means) > 1:
            share = self.options.centre_momentum
            mean = distributed.mean(torch.stack(means[1:]).mean(dim=0))
            self.centre = share * self.centre + (1 - share) * mean


def stretched(features: Tensor, times: int) -> Tensor:
    """[B,C,T',V] -> [B,C,times,V], linearly along time."""
    if features.shape[2] == times:
        return features
    size = (times, features.shape[3])
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


def normalised(cells: Tensor, how: str) -> Tensor:
    """[B,T',V,3*patch] -> same, to mean 0 and variance 1 over a ``cell``, or over an ``axis`` of the body."""
    if how == "none":
        return cells
    split = cells if how == "cell" else cells.unflatten(3, (3, -1))
    over = (3,) if how == "cell" else (1, 2, 4)
    variance, mean = torch.var_mean(split, dim=over, keepdim=True)
    out: Tensor = (split - mean) / (variance + SMALL).sqrt()
    return out.reshape(cells.shape)


def present(x: Tensor) -> Tensor:
    """[N,3,T,V,M] -> [N*M] bool: the bodies that are there; an absent one is all zeros."""
    return (x != 0).flatten(1, 3).any(dim=1).flatten()


def mean_of_clips(apart: Tensor, counted: Tensor, bodies: int) -> Tensor:
    """apart, counted [N*M, T', V] -> scalar: the mean over clips of the mean over what is counted of each."""
    of_clips = (each.view(-1, bodies * each[0].numel()) for each in (apart * counted, counted))
    total, number = (each.sum(dim=1) for each in of_clips)
    return (total / number.clamp_min(1)).mean()


def wide(x: Tensor) -> Tensor:
    """In float32 or better."""
    return x if x.dtype == torch.float64 else x.float()


def _patch(asked: int | None, encoder: nn.Module) -> int:
    """Frames of a cell. Raises UsageError where an encoder's tokens have another number."""
    own = getattr(encoder.options, "patch", None)
    if asked is not None and own is not None and asked != own:
        raise UsageError(
            f"cells of {asked} frames do not fit an encoder whose tokens have {own}",
            where="method.options.patch",
            remedy="Leave it out, or set encoder.options.patch to the same number",
        )
    return asked or own or PATCH
