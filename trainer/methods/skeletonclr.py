"""SkeletonCLR: momentum contrast between two normal views of a clip, the baseline of all methods.

Source: Li et al., "3D Human Action Representation Learning via Cross-View Consistency Pursuit" (CrosSCLR),
CVPR 2021, section 3.2; as AimCLR sums it up in Eq. (1) and (2).
"""

from __future__ import annotations

from torch import Tensor, nn

from trainer import losses
from trainer.batch import Batch
from trainer.methods.moco import MoCo, MoCoOptions, Network
from trainer.methods.parts import Parts, make_views, only_convention
from trainer.methods.stages import Stage


class SkeletonCLR(nn.Module):
    """``forward(batch) -> {"loss", "positive", "negative", "info_nce"}``."""

    Options = MoCoOptions
    passes_per_epoch = 1

    def __init__(self, options: MoCoOptions, parts: Parts) -> None:
        super().__init__()
        self.stream = parts.stream
        self.views = make_views(parts)
        self.moco = MoCo(options, parts)

    @staticmethod
    def stages(options: MoCoOptions) -> tuple[Stage, ...]:
        return (Stage("contrast", 0, "InfoNCE between two normal views"),)

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
        convention = only_convention(batch, method="skeletonclr")
        return self.step(batch, query=convention, key=convention)

    def step(self, batch: Batch, *, query: str, key: str) -> dict[str, Tensor]:
        """The loss with the query in one convention and the key in the same or another."""
        self.moco.advance()
        q = self.moco.query(self.views.normal(batch, query), query)
        k = self.moco.keys(self.views.normal(batch, key), key)
        scores = self.moco.scores(q, k, batch.rows)
        self.moco.remember(k, batch.rows)
        return {"loss": losses.nce(scores), **self.moco.similarities(scores)}
