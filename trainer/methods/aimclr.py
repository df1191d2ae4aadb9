"""AimCLR: extreme augmentations, dropped features and nearest neighbours on top of SkeletonCLR.

Source: Guo et al., "Contrastive Learning from Extremely Augmented Skeleton Sequences for Self-Supervised
Action Recognition", AAAI 2022. The equation numbers below are the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, model_validator
from torch import Tensor

from schemas import ConfigError
from trainer import losses
from trainer.batch import Batch
from trainer.encoders import require_map
from trainer.encoders.bodies import encoded
from trainer.methods.eadm import TemporalMap, drop
from trainer.methods.method import Stage, lasting
from trainer.methods.moco import MoCoOptions, Network, SingleMoCoMethod
from trainer.methods.parts import Parts
from trainer.span import QUERY, span


class AimCLROptions(MoCoOptions):
    contrast_weight: float = Field(default=1.0, ge=0)
    """Alpha in the loss of both stages (Two-stage Training Strategy): weight of InfoNCE, later of Eq. (9)."""
    divergence_weight: float = Field(default=1.0, ge=0)
    """Beta in the loss of both stages: weight of L_D."""
    eadm: bool = True
    """Whether the extreme query with dropped features is used. Without it, L_D is Eq. (7) alone and only two
    queries mine: Table 1, rows without EADM."""
    mine_from: int = Field(default=150, ge=0)
    """First epoch (0-based) of the second stage, in which nearest neighbours join the positives."""
    neighbours: int = Field(default=1, ge=1)
    """Nearest queue entries per query: k of NNM, 1 in the paper."""
    nnm_reduction: losses.Reduction = "sum"
    """Terms of several positives: added as in Eq. (9), or averaged as in the released code (``mean``)."""
    eadm_threshold: float = Field(default=0.7, gt=0, le=1)
    """Attention at and above which features are dropped. Released: 0.7."""
    temporal_map: TemporalMap = "neuron"
    """What EADM drops in its second step; see ``eadm.drop``. Released: ``neuron``."""

    @model_validator(mode="after")
    def _check(self) -> AimCLROptions:
        if self.neighbours > self.queue:
            raise ValueError("neighbours must not exceed queue")
        if self.contrast_weight == 0 and self.divergence_weight == 0:
            raise ValueError("contrast_weight and divergence_weight must not both be 0: nothing is trained")
        return self


class AimCLR(SingleMoCoMethod):
    """``forward(batch) -> {"loss", "contrast", "divergence", similarities..., "extreme"}``.

    The second stage adds ``mined_rows`` [N, 3 * neighbours], or [N, 2 * neighbours] without EADM.
    """

    Options = AimCLROptions
    needs_map = True

    def __init__(self, options: AimCLROptions, parts: Parts) -> None:
        require_map(parts.encoder, method="aimclr")
        if not parts.augment.extreme:
            raise ConfigError(
                "aimclr needs extreme augmentations, found none",
                where="augment.extreme",
                remedy="The preset aimclr/paper has the eight of the paper",
            )
        super().__init__(options, parts)

    @staticmethod
    def stages(options: AimCLROptions) -> tuple[Stage, ...]:
        contrast = "InfoNCE of the normal view, divergence of the extreme and the dropped one"
        mining = "the nearest keys of all three queries are positives too"
        return lasting(Stage("contrast", 0, contrast), Stage("mining", options.mine_from, mining))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.moco.advance()
        z_hat = self.moco.query(self.views.normal(batch, batch.query), batch.query)
        others = self._extreme_queries(batch)
        z = self.moco.keys(self.views.normal(batch, batch.key), batch.key)
        normal, *extreme = (self.moco.scores(q, z, batch.rows) for q in (z_hat, *others))
        contrast, mined = self._contrast(normal, extreme, epoch=batch.epoch)
        self.moco.remember(z, batch.rows)
        divergence = d3m(normal, *extreme)
        options = self.options
        return {
            "loss": options.contrast_weight * contrast + options.divergence_weight * divergence,
            "contrast": contrast.detach(),
            "divergence": divergence.detach(),
            **self.moco.similarities(normal),
            "extreme": extreme[0][:, 0].detach().mean() * options.temperature,
            **mined,
        }

    def _extreme_queries(self, batch: Batch) -> tuple[Tensor, ...]:
        """z~ and, with EADM, z~_drop, from one pass of the encoder."""
        options = self.options
        return extreme_queries(
            self.moco.query,
            self.views.extreme(batch, batch.query),
            batch.query,
            threshold=options.eadm_threshold,
            temporal_map=options.temporal_map,
            eadm=options.eadm,
        )

    def _contrast(
        self, normal: Tensor, others: Sequence[Tensor], *, epoch: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """InfoNCE, Eq. (1), in the first stage; in the second, Eq. (9) with the neighbours of all queries.

        The second stage adds ``mined_rows``, the rows of the neighbours.
        """
        if epoch < self.options.mine_from:
            return losses.nce(normal), {}
        k = self.options.neighbours
        positives = losses.nearest(normal, k)
        for other in others:
            positives |= losses.nearest(other, k)
        positives[:, 0] = True
        loss = losses.multi_positive_nce(normal, positives, reduction=self.options.nnm_reduction)
        return loss, {"mined_rows": self.moco.mined_rows(positives, (1 + len(others)) * k)}


def extreme_queries(
    network: Network,
    x: Tensor,
    convention: str,
    *,
    threshold: float,
    temporal_map: TemporalMap,
    eadm: bool = True,
) -> tuple[Tensor, ...]:
    """z~ and z~_drop of an extreme view x [N,3,T,V,M], [N, dim] each, from one pass of the encoder.

    Without ``eadm``, only z~.
    """
    encoder, bodies = network.encoder, x.shape[4]
    with span(QUERY):
        maps = [encoder.feature_map(x, convention)]
        if eadm:
            counted = encoded(x, join=getattr(encoder.options, "bodies", "average"))
            maps.append(drop(maps[0], threshold=threshold, temporal_map=temporal_map, counted=counted))
        return tuple(network.embed(encoder.pool(features, bodies)) for features in maps)


def d3m(normal: Tensor, *others: Tensor) -> Tensor:
    """L_D of the scores [N, 1+K] of the normal query and the others: the mean of Eq. (7) and (8)."""
    return torch.stack([losses.distribution_divergence(normal, other) for other in others]).mean()
