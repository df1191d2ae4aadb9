"""Effective rank of features: two metrics that need no labels.

RankMe: Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
Representations by Their Rank", ICML 2023. LiDAR: Thilak et al., "LiDAR: Sensing Linear Probing Performance in
Joint Embedding SSL Architectures", ICLR 2024. Both are comparable only at equal widths and numbers of clips.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALL = 1e-7
"""Added to every share to keep its logarithm finite; RankMe's value for float32."""

MOST = 25_600
"""Maximum number of clips for RankMe; more change it little (RankMe)."""

RIDGE = 1e-4
"""Added to the within-clip variances, which have to be inverted. LiDAR's is small and positive; this value is
ours."""


@torch.no_grad()
def rankme(features: Tensor) -> float:
    """exp of the entropy of the singular values of [N, D] over their sum: between 1 and min(N, D).

    Of more than ``MOST`` rows, ``MOST`` evenly spread ones are used. nan if all features are zero or one is
    not finite.
    """
    rows = features[spread(len(features), MOST)].double()
    small = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return _effective(_eigenvalues(small).sqrt())


@torch.no_grad()
def lidar(features: Tensor) -> float:
    """exp of the entropy of the eigenvalues of ``W^-1/2 B W^-1/2``: between 1 and min(N - 1, D).

    ``features`` [N, Q, D] are those of Q views of N clips; B is the covariance [D, D] of the clips' means, W
    that of the views around the mean of their clip, plus ``RIDGE`` on the diagonal. nan as for ``rankme``.
    """
    views = features.double()
    means = views.mean(dim=1)
    if not bool(views.isfinite().all()):
        return float("nan")
    apart = (views - means[:, None]).flatten(0, 1)
    within = apart.T @ apart / len(apart)
    within.diagonal().add_(RIDGE)
    between = (means - means.mean(dim=0)) / len(means) ** 0.5
    # Eigenvalues of W^-1/2 B W^-1/2 are the squared singular values of L^-1 b, where W = L L', B = b b'.
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(within), between.T, upper=False)
    small = whitened.T @ whitened if len(means) < len(within) else whitened @ whitened.T
    return _effective(_eigenvalues(small))


def _eigenvalues(symmetric: Tensor) -> Tensor:
    if not bool(symmetric.isfinite().all()):
        return symmetric.new_full((1,), float("nan"))
    return torch.linalg.eigvalsh(symmetric).clamp_min(0)


def _effective(values: Tensor) -> float:
    """exp of the entropy of values >= 0 over their sum."""
    shares = values / values.sum() + SMALL
    return float(torch.exp(-(shares * shares.log()).sum()))


def spread(rows: int, most: int) -> Tensor:
    """Indices of at most ``most`` out of ``rows`` rows, evenly spread."""
    count = min(rows, most)
    return torch.arange(count) * rows // max(count, 1)
