"""Encoders compiled for training by ``torch.compile``: the same weights under the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from schemas import ConfigError, RuntimeConfig
from trainer.methods.moco import Network

FeatureMap = Callable[[Tensor, str], Tensor]

_VARIANTS = 64
"""Compiled forms of one encoder's code: for every convention, with and without gradient."""


def compile_encoders(method: nn.Module, runtime: RuntimeConfig, *, device: torch.device) -> None:
    """In place: every encoder's ``feature_map`` is compiled at its first use in training.

    Evaluation stays as it is, for its batches have other sizes. Augmentations stay as they are, too: they
    draw from explicit generators, which the compiler does not know. Raises ConfigError for
    ``runtime.cuda_graphs`` where shapes or device do not allow it.
    """
    encoders: list[Any] = [each.encoder for each in method.modules() if isinstance(each, Network)]
    if runtime.cuda_graphs:
        _check_graphs(encoders, device)
    torch.compiler.config.recompile_limit = _VARIANTS
    mode = "reduce-overhead" if runtime.cuda_graphs else None
    for encoder in encoders:
        encoder.feature_map = _in_training(encoder, mode=mode, dynamic=_dynamic(encoder))


def _in_training(encoder: Any, *, mode: str | None, dynamic: bool | None) -> FeatureMap:
    plain: FeatureMap = encoder.feature_map
    fast: FeatureMap = torch.compile(plain, mode=mode, dynamic=dynamic)

    def feature_map(x: Tensor, convention: str) -> Tensor:
        return (fast if encoder.training else plain)(x, convention)

    return feature_map


def _dynamic(encoder: Any) -> bool | None:
    """Whether the number of bodies in a batch changes from step to step; else the compiler finds out."""
    return True if _skips_bodies(encoder) else None


def _skips_bodies(encoder: Any) -> bool:
    return getattr(encoder.options, "bodies", "average") == "present"


def _check_graphs(encoders: list[Any], device: torch.device) -> None:
    if device.type != "cuda":
        raise ConfigError(
            f"graphs of kernels are CUDA's, the run is on {device}",
            where="runtime.cuda_graphs",
            remedy="Leave it off, or train with --device cuda",
        )
    if any(_skips_bodies(encoder) for encoder in encoders):
        raise ConfigError(
            "an encoder that leaves absent bodies out has batches of changing shape, a graph has one",
            where="runtime.cuda_graphs",
            remedy="Leave it off, or set encoder.options.bodies=average",
        )
