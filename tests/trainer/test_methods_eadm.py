"""AimCLR's drop module against its Algorithm 1, written with loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.trainer.clips import generator
from trainer.methods.eadm import attention, drop


def features(bodies: int = 3, channels: int = 4, frames: int = 5, joints: int = 6) -> Tensor:
    """Some joints and some frames stand out, so that both masks drop something."""
    x = torch.randn(bodies, channels, frames, joints, generator=generator())
    x[..., 2] *= 4
    x[:, :, 1] *= 3
    return x


def literal_attention(x: Tensor) -> Tensor:
    out = torch.empty_like(x)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            values = x[b, c].flatten().tolist()
            mu = sum(values) / len(values)
            variance = sum((v - mu) ** 2 for v in values) / (len(values) - 1)
            for t in range(x.shape[2]):
                for v in range(x.shape[3]):
                    inverse = (x[b, c, t, v].item() - mu) ** 2 / (4 * (variance + 1e-4)) + 0.5
                    out[b, c, t, v] = 1 / (1 + math.exp(-inverse))
    return out


def literal_drop(x: Tensor, threshold: float, temporal_map: str) -> Tensor:
    """Lines 1 to 6 of Algorithm 1; the maps as METHODS describe the released ones, or coarser."""
    alpha = literal_attention(x)
    bodies, channels, frames, joints = x.shape
    spatial = torch.ones_like(x)
    temporal = torch.ones_like(x)
    for b in range(bodies):
        for v in range(joints):
            spatial[b, :, :, v] = float(alpha[b, :, :, v].mean() < threshold)
            for t in range(frames):
                for c in range(channels):
                    value = {
                        "neuron": alpha[b, c, t, v],
                        "joint": alpha[b, :, t, v].mean(),
                        "frame": alpha[b, :, t, :].mean(),
                    }[temporal_map]
                    temporal[b, c, t, v] = float(value < threshold)
    x = x * spatial
    x = x * spatial.numel() / spatial.sum()
    x = x * temporal
    return x * temporal.numel() / temporal.sum()


def test_attention_is_the_sigmoid_of_the_inverse_energy() -> None:
    x = features()
    torch.testing.assert_close(attention(x), literal_attention(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temporal_map", ["neuron", "joint", "frame"])
def test_drop_is_algorithm_1(temporal_map: str) -> None:
    x = features()
    expected = literal_drop(x, 0.7, temporal_map)
    assert (expected == 0).any()
    assert (expected != 0).any()
    found = drop(x, threshold=0.7, temporal_map=temporal_map)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_three_temporal_maps_drop_different_things() -> None:
    neuron, joint, frame = (drop(features(), temporal_map=kind) == 0 for kind in ("neuron", "joint", "frame"))
    assert not torch.equal(neuron, joint)
    assert not torch.equal(joint, frame)
    assert torch.equal(joint, joint[:, :1].expand_as(joint)), "a joint is dropped in all channels"


def test_a_body_is_never_dropped_whole() -> None:
    x = features()
    assert torch.equal(drop(x, threshold=0.5), x), "attention is never below sigmoid(0.5)"
    mixed = torch.cat([x, torch.zeros(1, *x.shape[1:])])
    assert torch.isfinite(drop(mixed, threshold=0.62)).all()


def test_gradients_pass_what_is_kept_and_only_that() -> None:
    x = features().requires_grad_(True)
    dropped = drop(x)
    dropped.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, dropped == 0)
    assert len(x.grad[x.grad != 0].unique()) == 1, "attention itself has no gradient"


def test_half_precision_features_are_judged_in_float32() -> None:
    assert drop(features().bfloat16()).dtype == torch.float32


def test_a_single_neuron_has_no_variance_and_is_kept() -> None:
    x = torch.ones(2, 3, 1, 1)
    assert torch.equal(drop(x), x)
