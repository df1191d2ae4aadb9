"""Agreement of two views in decorrelated dimensions, without queue, key network or negatives.

Objectives, each from its own paper:

- ``vicreg``: Bardes, Ponce and LeCun, "VICReg", ICLR 2022, Eq. (1) to (6);
- ``barlow``: Zbontar et al., "Barlow Twins", ICML 2021, Eq. (1) and (2); on skeletons the baseline SkeletonBT
  of Zhou et al., "Self-supervised Action Representation Learning from Partial Spatio-Temporal Skeleton
  Sequences" (PSTL), AAAI 2023;
- ``sigreg``: Balestriero and LeCun, "LeJEPA", arXiv:2511.08544: views close to their mean, and embeddings
  that follow an isotropic Gaussian by the test of Epps and Pulley along random directions.

Losses are computed over the clips of all processes; each of ``optimise.accumulate`` parts has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas._model import Model
from trainer import distributed
from trainer.batch import Batch
from trainer.encoders.initial import draws_from
from trainer.methods.method import OneNetwork, Stage, wide
from trainer.methods.moco import spread
from trainer.methods.parts import Parts
from trainer.span import QUERY, span

Weight = Annotated[float, Field(ge=0)]

SMALL = 1e-4
"""Added to a variance before taking the square root: VICReg, section 4.1, epsilon."""

KNOTS, RANGE = 17, 3.0
"""Number of quadrature points t and the largest one, for a function even in t: LeJEPA, released minimal
example."""


class DecorrelateOptions(Model):
    objective: Literal["vicreg", "barlow", "sigreg"] = "vicreg"
    """What keeps the embeddings from collapsing to a single point."""
    dim: int = Field(default=1024, ge=2)
    """Dimensions of an embedding."""
    hidden: int = Field(default=1024, ge=1)
    """Width of the two layers between the feature and the embedding, each with BatchNorm and ReLU."""
    invariance: Weight = 25.0
    """For ``vicreg``: weight of the mean squared distance between two views."""
    variance: Weight = 25.0
    """For ``vicreg``: weight of the hinge on standard deviations below 1."""
    covariance: Weight = 1.0
    """For ``vicreg``: weight of squared covariances between dimensions."""
    off_diagonal: Weight = 5e-3
    """For ``barlow``: weight of squared correlations between dimensions, lambda; SkeletonBT has 2e-4."""
    share: float = Field(default=0.05, ge=0, le=1)
    """For ``sigreg``: share of the Gaussian term in the loss, lambda; the rest is the views' distance."""
    slices: int = Field(default=256, ge=1)
    """For ``sigreg``: number of random directions per step."""


class Decorrelate(OneNetwork):
    """``forward(batch) -> {"loss", ...}`` with the unweighted terms of the objective."""

    Options = DecorrelateOptions

    def __init__(self, options: DecorrelateOptions, parts: Parts) -> None:
        super().__init__(options, parts)
        with draws_from(parts.generator):
            self.network.projector = expander(self.network.encoder.feature_dim, options.hidden, options.dim)

    @staticmethod
    def stages(options: DecorrelateOptions) -> tuple[Stage, ...]:
        return (Stage("decorrelate", 0, SUMMARIES[options.objective]),)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        one, other = (self._embedded(batch, convention) for convention in (batch.query, batch.key))
        with torch.autocast(one.device.type, enabled=False):
            terms = OBJECTIVES[self.options.objective](one, other, self.options, batch.host_generator)
        if self.training:
            self.last_spread = spread(F.normalize(one.detach(), dim=1))
        return {name: term if name == "loss" else term.detach() for name, term in terms.items()}

    def _embedded(self, batch: Batch, convention: str) -> Tensor:
        """Embeddings [N of all processes, dim] of one view, in float32 or better."""
        view = self.views.normal(batch, convention)
        with span(QUERY):
            z: Tensor = self.network.projector(self.network.encoder(view, convention))
        return distributed.joined(wide(z))


def expander(features: int, hidden: int, dim: int) -> nn.Sequential:
    """Two hidden layers with BatchNorm and ReLU, then a linear one: VICReg, section 4.2, and Barlow Twins."""
    return nn.Sequential(
        nn.Linear(features, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, dim, bias=False),
    )


def vicreg(one: Tensor, other: Tensor, options: DecorrelateOptions, _: Any) -> dict[str, Tensor]:
    """VICReg, Eq. (1) to (6): ``{"loss", "invariance", "variance", "covariance"}`` of views [N, D]."""
    terms = {
        "invariance": F.mse_loss(one, other),
        "variance": (hinge(one) + hinge(other)) / 2,
        "covariance": covariance(one) + covariance(other),
    }
    weights = (options.invariance, options.variance, options.covariance)
    loss = sum(weight * term for weight, term in zip(weights, terms.values(), strict=True))
    return {"loss": loss, **terms}  # type: ignore[dict-item]


def hinge(z: Tensor) -> Tensor:
    """[N, D] -> scalar: mean shortfall of the dimensions' standard deviations below 1."""
    return F.relu(1 - (z.var(dim=0) + SMALL).sqrt()).mean()


def covariance(z: Tensor) -> Tensor:
    """[N, D] -> scalar: the sum of squared covariances of different dimensions, divided by D."""
    z = z - z.mean(dim=0)
    return apart(z.t() @ z / (len(z) - 1)).square().sum() / z.shape[1]


def apart(square: Tensor) -> Tensor:
    """[D, D] -> the same with zeros on the diagonal."""
    return square - torch.diag(square.diagonal())


def barlow(one: Tensor, other: Tensor, options: DecorrelateOptions, _: Any) -> dict[str, Tensor]:
    """Barlow Twins, Eq. (1) and (2): ``{"loss", "on_diagonal", "off_diagonal"}`` of views [N, D].

    Views are normalised over the batch before they are correlated, as by BatchNorm without scale and shift.
    """
    correlation = whitened(one).t() @ whitened(other) / len(one)
    terms = {
        "on_diagonal": (correlation.diagonal() - 1).square().sum(),
        "off_diagonal": apart(correlation).square().sum(),
    }
    return {"loss": terms["on_diagonal"] + options.off_diagonal * terms["off_diagonal"], **terms}


def whitened(z: Tensor) -> Tensor:
    """[N, D] -> each dimension with mean 0 and variance 1 over N."""
    return F.batch_norm(z, None, None, training=True)


def lejepa(
    one: Tensor, other: Tensor, options: DecorrelateOptions, generator: torch.Generator
) -> dict[str, Tensor]:
    """LeJEPA, Algorithms 1 and 2: ``{"loss", "invariance", "gaussian"}`` of views [N, D].

    ``generator`` (CPU) draws the directions, the same in all processes.
    """
    directions = torch.randn(one.shape[1], options.slices, generator=generator)
    directions = F.normalize(directions, dim=0).to(one)
    terms = {
        "invariance": (one - other).square().mean() / 4,  # distance of each view to the mean of both
        "gaussian": (gaussian(one, directions) + gaussian(other, directions)) / 2,
    }
    loss = (1 - options.share) * terms["invariance"] + options.share * terms["gaussian"]
    return {"loss": loss, **terms}


def gaussian(z: Tensor, directions: Tensor) -> Tensor:
    """[N, D] projected on the columns of [D, S] -> scalar: N times the mean distance to a standard Gaussian.

    Epps and Pulley: the integral over t of ``|phi_N(t) - exp(-t^2/2)|^2 exp(-t^2/2)``, with phi_N the
    empirical characteristic function, by the trapezoidal rule over t in -RANGE..RANGE.
    """
    t = torch.linspace(0, RANGE, KNOTS, dtype=z.dtype, device=z.device)
    bell = torch.exp(-t.square() / 2)
    angles = (z @ directions)[..., None] * t  # [N, S, KNOTS]
    distance = (angles.cos().mean(dim=0) - bell).square() + angles.sin().mean(dim=0).square()
    return 2 * len(z) * torch.trapezoid(distance * bell, t).mean()


OBJECTIVES: dict[str, Callable[[Tensor, Tensor, DecorrelateOptions, Any], dict[str, Tensor]]] = {
    "vicreg": vicreg,
    "barlow": barlow,
    "sigreg": lejepa,
}
SUMMARIES = {
    "vicreg": "distance of two views, standard deviations below 1, covariances",
    "barlow": "cross-correlations of two views towards the identity",
    "sigreg": "distance of two views, and of their embeddings from an isotropic Gaussian",
}
