"""AimCLR: extreme augmentations, dropped features and nearest neighbours on top of SkeletonCLR.

Source: Guo et al., "Contrastive Learning from Extremely Augmented Skeleton Sequences for Self-Supervised
Action Recognition", AAAI 2022. The equation numbers below are the paper's.
"""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import Tensor, nn

from schemas import ConfigError
from trainer import losses
from trainer.batch import Batch
from trainer.encoders import require_map
from trainer.methods.eadm import TemporalMap, drop
from trainer.methods.moco import MoCo, MoCoOptions, Network
from trainer.methods.parts import Parts, make_views, only_convention
from trainer.methods.stages import Stage
from trainer.span import QUERY, span


class AimCLROptions(MoCoOptions):
    mine_from: int = Field(default=150, ge=0)
    """First epoch (0-based) of the second stage, in which nearest neighbours join the positives."""
    neighbours: int = Field(default=1, ge=1)
    """Nearest queue entries per query: k of NNM, 1 in the paper."""
    nnm_reduction: losses.Reduction = "sum"
    """Terms of several positives: added as in Eq. (9), or averaged as in the released code (``mean``)."""
    eadm_threshold: float = Field(default=0.7, gt=0, le=1)
    """Attention from which features are dropped. Released: 0.7."""
    temporal_map: TemporalMap = "neuron"
    """What EADM drops in its second step; see ``eadm.drop``. Released: ``neuron``."""

    @model_validator(mode="after")
    def _check(self) -> AimCLROptions:
        if self.neighbours > self.queue:
            raise ValueError("neighbours must not exceed queue")
        return self


class AimCLR(nn.Module):
    """``forward(batch) -> {"loss", "contrast", "divergence", similarities..., "extreme"}``.

    In the second stage also ``mined_rows`` [N, 3 * neighbours].
    """

    Options = AimCLROptions
    passes_per_epoch = 1
    needs_map = True

    def __init__(self, options: AimCLROptions, parts: Parts) -> None:
        super().__init__()
        require_map(parts.encoder, method="aimclr")
        if not parts.augment.extreme:
            raise ConfigError(
                "aimclr needs extreme augmentations, found none",
                where="augment.extreme",
                remedy="The preset aimclr/paper has the eight of the paper",
            )
        self.options = options
        self.stream = parts.stream
        self.views = make_views(parts)
        self.moco = MoCo(options, parts)

    @staticmethod
    def stages(options: AimCLROptions) -> tuple[Stage, ...]:
        contrast = "InfoNCE of the normal view, divergence of the extreme and the dropped one"
        mining = "the nearest keys of all three queries are positives too"
        stages = (Stage("contrast", 0, contrast), Stage("mining", options.mine_from, mining))
        return stages if options.mine_from else stages[1:]

    @property
    def query_network(self) -> Network:
        return self.moco.query

    @property
    def key_network(self) -> Network:
        return self.moco.key

    @property
    def encoder(self) -> nn.Module:
        return self.moco.query.encoder

    @property
    def encoders(self) -> dict[str, nn.Module]:
        return {self.stream: self.encoder}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        convention = only_convention(batch, method="aimclr")
        return self.step(batch, query=convention, key=convention)

    def step(self, batch: Batch, *, query: str, key: str) -> dict[str, Tensor]:
        """The loss with the three queries in one convention and the key in the same or another."""
        self.moco.advance()
        z_hat = self.moco.query(self.views.normal(batch, query), query)
        z_extreme, z_dropped = self._extreme_queries(batch, query)
        z = self.moco.keys(self.views.normal(batch, key), key)
        normal, extreme, dropped = (self.moco.scores(q, z) for q in (z_hat, z_extreme, z_dropped))
        contrast, mined = self._contrast(normal, extreme, dropped, epoch=batch.epoch)
        self.moco.remember(z, batch.rows)
        divergence = d3m(normal, extreme, dropped)
        return {
            "loss": contrast + divergence,  # alpha = beta = 1
            "contrast": contrast.detach(),
            "divergence": divergence.detach(),
            **self.moco.similarities(normal),
            "extreme": extreme[:, 0].detach().mean() * self.options.temperature,
            **mined,
        }

    def _extreme_queries(self, batch: Batch, convention: str) -> tuple[Tensor, Tensor]:
        """z~ and z~_drop, from one pass of the encoder."""
        options = self.options
        return extreme_queries(
            self.moco.query,
            self.views.extreme(batch, convention),
            convention,
            threshold=options.eadm_threshold,
            temporal_map=options.temporal_map,
        )

    def _contrast(
        self, normal: Tensor, extreme: Tensor, dropped: Tensor, *, epoch: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """InfoNCE in the first stage, Eq. (1); with the mined neighbours of all queries after, Eq. (9).

        In the second stage also ``mined_rows``, the rows of the neighbours.
        """
        if epoch < self.options.mine_from:
            return losses.nce(normal), {}
        k = self.options.neighbours
        positives = losses.nearest(normal, k) | losses.nearest(extreme, k) | losses.nearest(dropped, k)
        positives[:, 0] = True
        loss = losses.multi_positive_nce(normal, positives, reduction=self.options.nnm_reduction)
        return loss, {"mined_rows": self.moco.mined_rows(positives, 3 * k)}


def extreme_queries(
    network: Network, x: Tensor, convention: str, *, threshold: float, temporal_map: TemporalMap
) -> tuple[Tensor, Tensor]:
    """z~ and z~_drop of an extreme view x [N,3,T,V,M], [N, dim] each, from one pass of the encoder."""
    encoder, bodies = network.encoder, x.shape[4]
    with span(QUERY):
        features = encoder.feature_map(x, convention)
        dropped = drop(features, threshold=threshold, temporal_map=temporal_map)
        return network.embed(encoder.pool(features, bodies)), network.embed(encoder.pool(dropped, bodies))


def d3m(normal: Tensor, extreme: Tensor, dropped: Tensor) -> Tensor:
    """L_D on the scores [N, 1+K] of the three queries: the mean of Eq. (7) and (8)."""
    return (
        losses.distribution_divergence(normal, extreme) + losses.distribution_divergence(normal, dropped)
    ) / 2
