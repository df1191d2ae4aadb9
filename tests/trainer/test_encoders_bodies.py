"""The mean over a feature map is PyTorch's, and its gradient has the layout that the map has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.trainer.clips import generator
from trainer.encoders.bodies import map_mean, pool_map

LAYOUTS = (torch.channels_last, torch.contiguous_format)


def features(*, layout: torch.memory_format, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(4, 6, 5, 3, generator=generator()).to(dtype)
    return x.contiguous(memory_format=layout).requires_grad_(True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_mean_of_a_map_and_its_gradient(layout: torch.memory_format, dtype: torch.dtype) -> None:
    x, plain = features(layout=layout, dtype=dtype), features(layout=layout, dtype=dtype)
    towards = torch.randn(2, 6, generator=generator(1))
    pool_map(x, 2, join="average").backward(towards)
    plain.mean(dim=(2, 3), dtype=torch.float32).view(2, 2, 6).mean(dim=1).backward(towards)
    torch.testing.assert_close(x.grad, plain.grad, rtol=2**-8 if dtype == torch.bfloat16 else 1e-6, atol=1e-8)
    mean = map_mean(x)
    assert mean.dtype == torch.float32
    assert torch.equal(mean, x.mean(dim=(2, 3), dtype=torch.float32))
    assert x.grad is not None
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradient_of_a_map_has_its_layout(layout: torch.memory_format) -> None:
    x, strides = features(layout=layout) * 1, []
    x.register_hook(lambda slope: strides.append(slope.stride()))
    map_mean(x).view(2, 2, 6).mean(dim=1).sum().backward()
    assert strides == [x.stride()]
