"""Compilation of training by ``torch.compile``; weights, their names and draws stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from schemas import ConfigError, RuntimeConfig
from trainer.augment.chain import Doing, do
from trainer.encoders.bodies import leaves_out_absent
from trainer.methods import Method
from trainer.methods.parts import Views

FeatureMap = Callable[[Tensor, str], Tensor]

_VARIANTS = 64
"""Limit on compiled variants of a function: per convention, with and without gradient, per chain."""


def compile_method(method: Method, runtime: RuntimeConfig, *, device: torch.device) -> None:
    """In place, have encoders and augmentations compiled at their first use in training.

    For encoders, ``feature_map`` is compiled; evaluation is not, since its batches have other sizes. For
    augmentations, the operations are compiled but not the draws, because the compiler does not support
    explicit generators. On the CPU augmentations are not compiled: there they process only the samples that
    were drawn, in place, which is faster than the compiled form (benchmarks/results/speed.json). Raises
    ConfigError for ``runtime.cuda_graphs`` where shapes or device do not allow it.
    """
    encoders: list[Any] = list(method.compiled)
    if runtime.cuda_graphs:
        _check_graphs(encoders, device)
    torch.compiler.config.recompile_limit = _VARIANTS
    mode = "reduce-overhead" if runtime.cuda_graphs else None
    for encoder in encoders:
        # None leaves it to the compiler whether sizes are dynamic.
        changing = True if leaves_out_absent(encoder) else None
        encoder.feature_map = _in_training(encoder, mode=mode, dynamic=changing)
    if device.type != "cpu":
        _compile_views(method)


def _compile_views(method: Method) -> None:
    """In place, have the operations of every augmentation chain compiled at their first use."""
    fast: Doing = torch.compile(do)
    for module in method.modules():
        views = {name: each for name, each in vars(module).items() if isinstance(each, Views)}
        for name, each in views.items():
            setattr(module, name, each.done_by(fast))


def _in_training(encoder: Any, *, mode: str | None, dynamic: bool | None) -> FeatureMap:
    plain: FeatureMap = encoder.feature_map
    fast: FeatureMap = torch.compile(plain, mode=mode, dynamic=dynamic)

    def feature_map(x: Tensor, convention: str) -> Tensor:
        return (fast if encoder.training else plain)(x, convention)

    return feature_map


def _check_graphs(encoders: list[Any], device: torch.device) -> None:
    if device.type != "cuda":
        raise ConfigError(
            f"CUDA graphs need CUDA, the run is on {device}",
            where="runtime.cuda_graphs",
            remedy="Leave it off, or train with --device cuda",
        )
    if any(leaves_out_absent(encoder) for encoder in encoders):
        raise ConfigError(
            "an encoder that leaves absent bodies out has batches of changing shape, a graph has one",
            where="runtime.cuda_graphs",
            remedy="Leave it off, or set encoder.options.bodies=average",
        )
