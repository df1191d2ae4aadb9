"""SkeleMixCLR: clips mixed with fragments of other clips, both parts contrasted separately.

Source: Chen et al., "Contrastive Learning from Spatio-Temporal Mixed Skeleton Sequences for Self-Supervised
Skeleton-Based Action Recognition". SkeleMixCLR+ mixes three times. The equation numbers below are the
paper's.

The query's own view is mixed, after its augmentations (section III-B: "on x-hat") and in the run's stream, so
that no bone connects two persons and no motion jumps at the fragment's ends. The keys of clips and partners
are rows of one pass of the key network.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from schemas import UsageError, require
from schemas.skeleton import PARTS
from trainer import losses
from trainer.batch import Batch
from trainer.encoders import require_map
from trainer.encoders.bodies import leaves_out_absent
from trainer.methods import mixing
from trainer.methods.method import Stage
from trainer.methods.moco import MoCoOptions, Positive, SingleMoCoMethod, spread
from trainer.methods.parts import Parts
from trainer.span import QUERY, span


def _ordered(limits: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= limits[0] <= limits[1]:
        raise ValueError("must be (low, high) with 1 <= low <= high")
    return limits


Range = Annotated[tuple[int, int], AfterValidator(_ordered)]


class SkeleMixCLROptions(MoCoOptions):
    temperature: Positive = 0.2
    """Tau: similarities are divided by it. SkeleMixCLR, pretext training: 0.2."""
    mixes: int = Field(default=1, ge=1)
    """R, the number of mixed copies of a batch in each step: 1 in SkeleMixCLR, 3 in SkeleMixCLR+."""
    mix_weight: float = Field(default=1.0, ge=0)
    """Lambda of Eq. (7): weight of the hard pairs of mixed clips. Table III: 1."""
    mix_reduction: losses.Reduction = "sum"
    """Losses of several mixes: added as in Eq. (7) and in the released code behind the published numbers;
    ``mean`` averages them, like an early version that the released scripts do not run."""
    parts: Range = (2, 3)
    """Minimum and maximum number of body parts in a fragment, out of five. Table II: 2 and 3."""
    fragment: Range = (7, 11)
    """Shortest and longest fragment, in sixteenths of the clip. Table II: 7 and 11 of 16 feature frames."""
    joints: Literal["parts", "random"] = "parts"
    """Joints of a fragment. ``random``: 40 to 60 % of all joints, drawn regardless of body parts, Table VI;
    the released code draws 10 to 15 of 25."""
    filling: Literal["partner", "zeros"] = "partner"
    """Content of a fragment. ``zeros``: nothing, Table V; all else is unchanged, as in the released code, so
    the fragment's positive is still the partner's key."""
    hard: Literal["both", "trimmed", "truncated", "view"] = "both"
    """What is contrasted in addition to the normal view, Table VII: both halves of the mixed clip (their
    mean), one of them (L_p or L_g), or instead another normal view with the clip's key (Cont)."""
    between: Literal["detached", "attached", "none"] = "detached"
    """Whether the halves are negatives of each other (d_pg of Table VII), and whether no gradient flows into
    the other half (its detach)."""
    projector_norm: Literal["none", "batch"] = "batch"
    """``batch``: BatchNorm after the projector's first layer, as in the released code."""

    @model_validator(mode="after")
    def _check(self) -> SkeleMixCLROptions:
        if self.parts[1] >= len(PARTS):
            raise ValueError(f"parts must leave one of the {len(PARTS)} body parts outside the fragment")
        if self.fragment[1] > mixing.SCALE:
            raise ValueError(f"fragment must not exceed the clip, {mixing.SCALE} sixteenths")
        return self


class SkeleMixCLR(SingleMoCoMethod):
    """``forward(batch) -> {"loss", "mix", similarities...}``.

    ``positive`` and ``negative`` are the mean cosines of the easy pairs (query with key and queue);
    ``trimmed``, ``truncated`` (with their keys) and ``between`` (with each other) are those of the hard
    pairs.
    """

    Options = SkeleMixCLROptions
    needs_map = True

    def __init__(self, options: SkeleMixCLROptions, parts: Parts) -> None:
        require_map(parts.encoder, method="skelemixclr")
        _check_body_parts(parts, most=options.parts[1])
        super().__init__(options, parts)

    @staticmethod
    def stages(options: SkeleMixCLROptions) -> tuple[Stage, ...]:
        times = f", {options.mixes} times" if options.mixes > 1 else ""
        return (Stage("mix", 0, f"InfoNCE of the normal view and of both halves of mixed clips{times}"),)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.moco.advance()
        x = self.views.normal(batch, batch.query)
        q, frames = self._normal_query(x, batch.query)
        k = self.moco.keys(self.views.normal(batch, batch.key), batch.key)
        scores = self.moco.scores(q, k, batch.rows)
        # One pass per mix: every pass has its own BatchNorm statistics, like the normal view.
        if self.options.hard == "view":
            mixed = [self._another(batch, k) for _ in range(self.options.mixes)]
        else:
            mixed = [self._mix(x, k, frames=frames, batch=batch) for _ in range(self.options.mixes)]
        self.moco.remember(k, batch.rows)
        parts = {name: torch.stack([each[name] for each in mixed]) for name in mixed[0]}
        mix = parts.pop("loss")
        hard = mix.sum() if self.options.mix_reduction == "sum" else mix.mean()
        return {
            "loss": losses.nce(scores) + self.options.mix_weight * hard,
            "mix": mix.detach().mean(),
            **self.moco.similarities(scores),
            **{name: values.mean() for name, values in parts.items()},
        }

    def _normal_query(self, x: Tensor, convention: str) -> tuple[Tensor, int]:
        """Embeddings [N, dim] of the normal view and the number of frames of its feature map."""
        network = self.moco.query
        with span(QUERY):
            features = network.encoder.feature_map(x, convention)
            q = network.embed(network.encoder.pool(features, x.shape[4]))
        if self.training:
            network.spread = spread(q.detach())
        return q, features.shape[2]

    def _another(self, batch: Batch, k: Tensor) -> dict[str, Tensor]:
        """InfoNCE of another normal view."""
        q = self.moco.query(self.views.normal(batch, batch.query), batch.query)
        return {"loss": losses.nce(self.moco.scores(q, k, batch.rows))}

    def _mix(self, x: Tensor, k: Tensor, *, frames: int, batch: Batch) -> dict[str, Tensor]:
        """Eq. (6) for one mix of the views x, which have ``frames`` feature frames, and its mean cosines."""
        shift = mixing.draw_shift(len(x), batch.host_generator)
        p, g = self._halves(x, batch, shift=shift, frames=frames)
        partner = k.roll(shift, 0)
        terms = {
            "trimmed": self._nce(p, partner, batch.rows.roll(shift, 0), other=g),
            "truncated": self._nce(g, k, batch.rows, other=p),
        }
        if self.options.hard != "both":
            terms = {self.options.hard: terms[self.options.hard]}
        with torch.no_grad():
            pairs = {"trimmed": (p, partner), "truncated": (g, k), "between": (p, g)}
            cosines = {name: (a * b).sum(dim=1).mean() for name, (a, b) in pairs.items()}
        return {"loss": torch.stack(list(terms.values())).mean(), **cosines}

    def _halves(self, x: Tensor, batch: Batch, *, shift: int, frames: int) -> tuple[Tensor, Tensor]:
        """Embeddings of the trimmed and the truncated views, [N, dim] each."""
        region = mixing.draw_region(
            self.views.skeletons[batch.query].spec,
            frames,
            generator=batch.host_generator,
            parts=self.options.parts,
            fragment=self.options.fragment,
            by_parts=self.options.joints == "parts",
        )
        network, (joints, bodies) = self.moco.query, x.shape[3:]
        inside = region.stretched(x.shape[2], of=frames).mask(x.shape[2], joints, device=x.device)
        if self.options.filling == "partner":
            mixed = mixing.mix(x, inside, shift)
        else:
            mixed = x.masked_fill(inside[:, :, None], 0)
        with span(QUERY):
            features = network.encoder.feature_map(mixed, batch.query)
            halves = mixing.mask_pool(features, region.mask(frames, joints, device=x.device))
        if leaves_out_absent(network.encoder):
            counted = [mixing.has_fragment(mixed, mask) for mask in (inside, ~inside)]
        else:
            counted = [torch.ones(len(x), bodies, device=x.device)] * 2
        with span(QUERY):
            p, g = (network.embed(mixing.join_bodies(*each)) for each in zip(halves, counted, strict=True))
        return p, g

    def _nce(self, view: Tensor, keys: Tensor, rows: Tensor, *, other: Tensor) -> Tensor:
        """Eq. (4) and (5): InfoNCE with the clip's other half as an extra negative; keys are of ``rows``."""
        scores, between = self.moco.scores(view, keys, rows), self.options.between
        if between != "none":
            scores = losses.with_negative(
                scores,
                view,
                other,
                temperature=self.options.temperature,
                detach=between == "detached",
            )
        return losses.nce(scores)


def _check_body_parts(parts: Parts, *, most: int) -> None:
    for name, skeleton in parts.skeletons.items():
        require(
            skeleton.spec,
            ("body_parts",),
            by="method skelemixclr",
            where="method.name",
            remedy="Choose another method, or add them to the convention's file and convert again",
        )
        known = mixing.parts_with_joints(skeleton.spec)
        if len(known) <= most:
            raise UsageError(
                f"a fragment of {most} body parts must leave one outside; {name} has joints in "
                f"{', '.join(known)} only",
                where="method.options.parts",
                remedy="Ask for fewer parts, or train on another convention",
            )
