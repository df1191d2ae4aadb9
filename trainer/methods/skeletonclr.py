"""SkeletonCLR: momentum contrast between two normal views of a clip, the baseline of all methods.

Source: Li et al., "3D Human Action Representation Learning via Cross-View Consistency Pursuit" (CrosSCLR),
CVPR 2021, section 3.2; summarised in AimCLR, Eq. (1) and (2).
"""

from __future__ import annotations

from torch import Tensor

from trainer import losses
from trainer.batch import Batch
from trainer.methods.method import Stage
from trainer.methods.moco import MoCoOptions, SingleMoCoMethod


class SkeletonCLR(SingleMoCoMethod):
    """``forward(batch) -> {"loss", "positive", "negative", "info_nce"}``."""

    Options = MoCoOptions

    @staticmethod
    def stages(options: MoCoOptions) -> tuple[Stage, ...]:
        return (Stage("contrast", 0, "InfoNCE between two normal views"),)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.moco.advance()
        q = self.moco.query(self.views.normal(batch, batch.query), batch.query)
        k = self.moco.keys(self.views.normal(batch, batch.key), batch.key)
        scores = self.moco.scores(q, k, batch.rows)
        self.moco.remember(k, batch.rows)
        return {"loss": losses.nce(scores), **self.moco.similarities(scores)}
