"""The convolution along time by frequencies is the direct one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.trainer.clips import clips, component, generator, skeleton
from trainer import device, encoders
from trainer.kernels import temporal
from trainer.kernels.temporal import ByFrequencies, conv_time, direct_products, frequencies


def given(
    channels: int, out: int, frames: int, taps: int, *, samples: int = 3, joints: int = 5, seed: int = 0
) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, channels, frames, joints, generator=draw)
    weight = torch.randn(out, channels, taps, 1, generator=draw) / math.sqrt(channels * taps)
    return x.contiguous(memory_format=torch.channels_last), weight


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 13, 25, 50])
@pytest.mark.parametrize("taps", [1, 3, 5, 9, 15])
def test_every_length_and_kernel_gives_the_direct_result_and_slopes(frames: int, taps: int) -> None:
    x, weight = (each.double().requires_grad_(True) for each in given(3, 4, frames, taps))
    direct, found = F.conv2d(x, weight, padding=(taps // 2, 0)), ByFrequencies.apply(x, weight)
    torch.testing.assert_close(found, direct, rtol=1e-10, atol=1e-10)
    towards = torch.randn(direct.shape, dtype=torch.float64)
    slopes = [torch.autograd.grad(out, (x, weight), towards) for out in (found, direct)]
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-10)


def test_the_gradient_is_that_of_small_differences() -> None:
    x, weight = (each.double().requires_grad_(True) for each in given(2, 3, 5, 3, samples=2, joints=2))
    assert torch.autograd.gradcheck(ByFrequencies.apply, (x, weight))


@pytest.mark.parametrize("samples", [1, 7, 8, 9, 17])
@pytest.mark.parametrize("joints", [20, 25, 300])
def test_portions_cover_every_clip(samples: int, joints: int) -> None:
    x, weight = (each.double() for each in given(2, 2, 4, 3, samples=samples, joints=joints))
    torch.testing.assert_close(
        ByFrequencies.apply(x, weight), F.conv2d(x, weight, padding=(1, 0)), rtol=1e-9, atol=1e-10
    )


def test_in_single_precision_it_is_as_exact_as_the_direct_way() -> None:
    x, weight = given(128, 128, 13, 9, joints=25)
    exact = F.conv2d(x.double(), weight.double(), padding=(4, 0))
    ours, direct = ByFrequencies.apply(x, weight), F.conv2d(x, weight, padding=(4, 0))
    assert (ours - exact).abs().max() < max(2 * (direct - exact).abs().max().item(), 1e-5)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_result_has_the_layout_of_the_clips(layout: torch.memory_format) -> None:
    x, weight = given(64, 64, 13, 9)
    x = x.contiguous(memory_format=layout)
    out = conv_time(x, weight, torch.zeros(64), stride=1)
    assert out.is_contiguous(memory_format=layout)
    torch.testing.assert_close(out, F.conv2d(x, weight, padding=(4, 0)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "frames", "taps", "stride", "pays"),
    [
        (64, 13, 9, 1, True),
        (256, 7, 9, 1, True),
        (32, 13, 9, 1, False),
        (64, 13, 9, 2, False),
        (64, 4, 9, 1, False),  # as many products as the few pairs of frames
        (64, 13, 1, 1, False),
    ],
)
def test_the_faster_way_is_taken_where_it_is_one(
    monkeypatch: pytest.MonkeyPatch, channels: int, frames: int, taps: int, stride: int, pays: bool
) -> None:
    taken = []
    real = ByFrequencies.apply
    monkeypatch.setattr(ByFrequencies, "apply", lambda *given: taken.append(1) or real(*given))
    x, weight = given(channels, channels, frames, taps)
    bias = torch.arange(channels).float()
    out = conv_time(x, weight, bias, stride=stride)
    expected = F.conv2d(x, weight, bias, (stride, 1), (taps // 2, 0))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    assert bool(taken) is pays


def test_doubles_and_bf16_with_amx_take_the_direct_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ByFrequencies, "apply", lambda *_: pytest.fail("by frequencies"))
    monkeypatch.setattr(device, "multiplies_tiles", lambda: True)
    x, weight = given(64, 64, 13, 9)
    conv_time(x.double(), weight.double(), torch.zeros(64, dtype=torch.float64), stride=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv_time(x, weight, torch.zeros(64), stride=1).dtype == torch.bfloat16


@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16])
def test_under_autocast_only_clips_and_result_are_rounded(
    monkeypatch: pytest.MonkeyPatch, number_format: torch.dtype
) -> None:
    monkeypatch.setattr(device, "multiplies_tiles", lambda: False)
    x, weight = given(64, 64, 13, 9)
    x, weight = x.to(number_format).requires_grad_(True), weight.requires_grad_(True)
    bias, towards = torch.linspace(-1, 1, 64), torch.randn(3, 64, 13, 5, generator=generator())
    with torch.autocast("cpu", torch.bfloat16):
        out = conv_time(x, weight, bias, stride=1)
        slopes = torch.autograd.grad(out, (x, weight), towards.to(out.dtype))
    assert out.dtype == torch.bfloat16
    assert [each.dtype for each in slopes] == [number_format, torch.float32]
    exact_x, exact_weight = x.detach().bfloat16().double().requires_grad_(True), weight.detach().double()
    exact_weight.requires_grad_(True)
    exact = F.conv2d(exact_x, exact_weight, bias.double(), padding=(4, 0))
    exact_slopes = torch.autograd.grad(exact, (exact_x, exact_weight), towards.bfloat16().double())
    torch.testing.assert_close(out.double(), exact, rtol=2**-7, atol=2**-7)  # the bias is a second rounding
    torch.testing.assert_close(slopes[0].double(), exact_slopes[0], rtol=2**-8, atol=1e-5)
    torch.testing.assert_close(slopes[1].double(), exact_slopes[1], rtol=1e-5, atol=1e-4)


def test_counts_of_products() -> None:
    assert direct_products(13, 9) == 13 * 9 - 2 * (4 + 3 + 2 + 1)
    assert direct_products(2, 9) == 4
    assert frequencies(13, 9) == 9  # of a period of 17


@pytest.mark.parametrize("name", ["stgcn", "agcn"])
@pytest.mark.parametrize("training", [True, False])
def test_an_encoder_is_the_same_both_ways(monkeypatch: pytest.MonkeyPatch, name: str, training: bool) -> None:
    options = {"channels": [8, 64, 64], "stride_blocks": [2]} | ({"dropout": 0.0} if name == "stgcn" else {})
    encoder = encoders.build(component(name, **options), {"kinectv2_25": skeleton("kinectv2_25")})
    encoder.train(training)
    x = clips(4, 25, frames=26)
    found = []
    for least in (temporal.LEAST_CHANNELS, 10_000):
        monkeypatch.setattr(temporal, "LEAST_CHANNELS", least)
        encoder.zero_grad()
        encoder(x, "kinectv2_25").square().sum().backward()
        slopes = [parameter.grad for parameter in encoder.parameters() if parameter.grad is not None]
        found.append((encoder(x, "kinectv2_25").detach(), torch.cat([each.flatten() for each in slopes])))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    largest = found[1][1].abs().max()
    torch.testing.assert_close(found[0][1] / largest, found[1][1] / largest, rtol=1e-3, atol=1e-4)
