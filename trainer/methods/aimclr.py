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
from trainer.methods.eadm import TemporalMap, drop
from trainer.methods.moco import MoCo, MoCoOptions, Network
from trainer.methods.parts import Parts, make_views, only_convention


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
    """``forward(batch) -> {"loss", "contrast", "divergence", "positive", "negative", "extreme"}``."""

    Options = AimCLROptions
    passes_per_epoch = 1

    def __init__(self, options: AimCLROptions, parts: Parts) -> None:
        super().__init__()
        if not parts.augment.extreme:
            raise ConfigError(
                "aimclr needs extreme augmentations, found none",
                where="augment.extreme",
                remedy="The preset aimclr/paper has the eight of the paper",
            )
        self.options = options
        self.views = make_views(parts)
        self.moco = MoCo(options, parts)

    @property
    def query_network(self) -> Network:
        return self.moco.query

    @property
    def key_network(self) -> Network:
        return self.moco.key

    @property
    def encoder(self) -> nn.Module:
        return self.moco.query.encoder

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
        self.moco.remember(z, batch.rows)
        contrast = self._contrast(normal, extreme, dropped, epoch=batch.epoch)
        divergence = (
            losses.distribution_divergence(normal, extreme) + losses.distribution_divergence(normal, dropped)
        ) / 2
        return {
            "loss": contrast + divergence,  # alpha = beta = 1
            "contrast": contrast.detach(),
            "divergence": divergence.detach(),
            **self.moco.similarities(normal),
            "extreme": self.moco.similarities(extreme)["positive"],
        }

    def _extreme_queries(self, batch: Batch, convention: str) -> tuple[Tensor, Tensor]:
        """z~ and z~_drop, from one pass of the encoder."""
        x = self.views.extreme(batch, convention)
        encoder, bodies = self.moco.query.encoder, x.shape[4]
        features = encoder.feature_map(x, convention)
        dropped = drop(
            features, threshold=self.options.eadm_threshold, temporal_map=self.options.temporal_map
        )
        z_extreme, z_dropped = (self.moco.query.embed(encoder.pool(m, bodies)) for m in (features, dropped))
        return z_extreme, z_dropped

    def _contrast(self, normal: Tensor, extreme: Tensor, dropped: Tensor, *, epoch: int) -> Tensor:
        """InfoNCE in the first stage, Eq. (1); with the mined neighbours of all queries after, Eq. (9)."""
        if epoch < self.options.mine_from:
            return losses.nce(normal)
        k = self.options.neighbours
        positives = losses.nearest(normal, k) | losses.nearest(extreme, k) | losses.nearest(dropped, k)
        positives[:, 0] = True
        return losses.multi_positive_nce(normal, positives, reduction=self.options.nnm_reduction)
