"""Dropout by bytes is dropout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.kernels.dropout import Dropout


def ones(layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    return torch.ones(8, 16, 25, 20).contiguous(memory_format=layout)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_share_is_dropped_and_the_mean_stays(p: float, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    out = Dropout(p)(ones(layout))
    kept = (256 - round(256 * p)) / 256
    assert out.is_contiguous(memory_format=layout)
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 1 / kept]))
    spread = (p * (1 - p) / out.numel()) ** 0.5
    assert (out == 0).float().mean().item() == pytest.approx(1 - kept, abs=5 * spread)


def test_values_are_dropped_one_by_one() -> None:
    """No two neighbours in memory share their fate, nor any two that are eight apart, the bytes of a word."""
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(1 << 18)) == 0).float()
    for lag in (1, 2, 4, 8, 16, 64):
        both = (dropped[lag:] * dropped[:-lag]).mean().item()
        assert both == pytest.approx(0.25, abs=0.005)
    for place in range(8):
        assert dropped[place::8].mean().item() == pytest.approx(0.5, abs=0.015)


def test_it_repeats_by_the_global_seed_and_the_gradient_has_the_mask() -> None:
    x = ones().requires_grad_(True)
    torch.manual_seed(3)
    first = Dropout(0.5)(x)
    torch.manual_seed(3)
    again, another = Dropout(0.5)(x), Dropout(0.5)(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, another)
    (slope,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(slope, first.detach())


def test_nothing_is_dropped_in_evaluation_or_at_zero_and_everything_at_one() -> None:
    x = ones()
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert not Dropout(1.0)(x).any()


@pytest.mark.parametrize("shape", [(3,), (5, 7), (2, 3, 5), (1, 1, 1, 1), (0, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert Dropout(0.5)(torch.ones(shape)).shape == shape
