"""BatchNorm in training on the CPU, in channels last beside float64, and where it stays PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.trainer.clips import SMALL, clips, component, generator, skeleton
from trainer import batch_norm, encoders
from trainer.encoders import stgcn
from trainer.kernels import conv_norm
from trainer.kernels.normalise import ChannelsLast, normalise

Passed = dict[str, Tensor]
LAST = torch.channels_last
TWO_RANKS = "trainer.distributed.size"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Every thread has a sum of its own in PyTorch's kernel: its error depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plain(x: Tensor, norm: nn.Module) -> Tensor:
    out: Tensor = norm(x)
    return out


def contiguous(x: Tensor, norm: nn.Module) -> Tensor:
    return plain(x.contiguous(), norm).contiguous(memory_format=LAST)


def clip_like(channels: int, frames: int, mean: float, *, bodies: int = 256) -> Tensor:
    """Values behind a ReLU of bodies half of which are absent: the same in every one of their frames."""
    draw = torch.Generator().manual_seed(channels)
    x = (torch.randn(bodies, channels, frames, 25, generator=draw) + mean).relu_()
    x[bodies // 2 :] = x[bodies // 2, :, :1, :1].clone()
    return x.contiguous(memory_format=LAST)


def layer(channels: int, **options: object) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 1.5, channels))
        norm.bias.copy_(torch.linspace(-1, 1, channels))
    return norm


def passed(call: Callable[[Tensor, nn.Module], Tensor], x: Tensor, slope: Tensor) -> Passed:
    """Output, statistics and gradients of one pass; the running statistics are the batch's."""
    norm = layer(x.shape[1], momentum=1.0, dtype=x.dtype)
    x = x.detach().requires_grad_(True)
    out = call(x, norm)
    out.backward(slope)
    found = {"out": out.detach(), "x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    found |= {"mean": norm.running_mean, "variance": norm.running_var}
    return {name: value for name, value in found.items() if value is not None}


def errors(found: Passed, right: Passed) -> dict[str, float]:
    """Values and means in standard deviations, where larger in themselves; gradients in their largest."""
    spread = right["variance"].sqrt()
    scale = {name: value.abs().max() for name, value in right.items()}
    scale |= {"out": right["out"].abs().clamp_min(1), "variance": right["variance"]}
    scale["mean"] = torch.maximum(right["mean"].abs(), spread)
    return {name: float(((found[name] - value).abs() / scale[name]).max()) for name, value in right.items()}


@pytest.mark.parametrize("mean", [0.0, 10.0])
@pytest.mark.parametrize(("channels", "frames"), [(16, 50), (32, 12), (256, 2)])
def test_channels_last_is_as_right_as_float64_to_rounding(channels: int, frames: int, mean: float) -> None:
    x = clip_like(channels, frames, mean)
    slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) + x.cos()
    slope = slope.contiguous(memory_format=LAST)
    right = passed(plain, x.double().contiguous(), slope.double())
    found = errors(passed(normalise, x, slope), right)
    assert max(found.values()) < 2e-6, found
    theirs = errors(passed(plain, x, slope), right)
    assert theirs["out"] > 1e-4, "PyTorch's kernel adds up right by now: this module can go"


def test_any_layout_of_the_gradient_and_odd_sizes() -> None:
    """Sizes that no chunk divides; a mean's gradient has no layout of its own."""
    x = torch.randn(7, 5, 11, 13, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=LAST)
    for slope in (torch.randn(7, 5, 11, 13), torch.randn(7, 5, 1, 1).expand(x.shape)):
        found = passed(normalise, x, slope)
        assert max(errors(found, passed(plain, x.double(), slope.double())).values()) < 2e-6
        assert found["out"].is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_move_as_pytorchs(momentum: float | None) -> None:
    ours, theirs = (layer(3, momentum=momentum) for _ in range(2))
    for seed in range(3):
        x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(seed)) + 2
        normalise(x.contiguous(memory_format=LAST), ours), theirs(x)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-6, atol=1e-6, msg=name)
    nameless = nn.BatchNorm2d(3, track_running_stats=False)
    assert normalise(x.contiguous(memory_format=LAST), nameless).shape == x.shape


def test_others_are_called_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluation, bf16, contiguous tensors, BatchNorm of several processes."""

    def never(*_: object) -> None:
        raise AssertionError("ours was taken")

    x = torch.randn(4, 3, 5, 6).contiguous(memory_format=LAST)
    joined = nn.Sequential(layer(3))
    batch_norm.join_(joined)
    with monkeypatch.context() as patch:
        patch.setattr(ChannelsLast, "apply", never)
        with pytest.raises(AssertionError, match="ours was taken"):
            normalise(x, layer(3))
        for given, norm in ((x, layer(3).eval()), (x.bfloat16(), layer(3)), (x.contiguous(), layer(3))):
            torch.testing.assert_close(normalise(given, norm), norm(given))
        assert normalise(x, joined[0]).shape == x.shape
    with pytest.raises(ValueError, match="more than 1 value"):
        normalise(torch.ones(1, 3, 1, 1).contiguous(memory_format=LAST), layer(3))


def test_the_joined_one_is_right_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes are claimed and nothing is exchanged, so the sums are those of one."""
    monkeypatch.setattr(TWO_RANKS, lambda: 2)

    def joined(x: Tensor, norm: nn.Module) -> Tensor:
        holder = nn.Sequential(norm)
        batch_norm.join_(holder)
        return plain(x, holder[0])

    x = clip_like(16, 50, 0.0)
    slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=LAST)
    monkeypatch.setattr(TWO_RANKS, lambda: 1)
    right = passed(plain, x.double().contiguous(), slope.double())
    monkeypatch.setattr(TWO_RANKS, lambda: 2)
    found = errors(passed(joined, x, slope), right)
    assert max(found.values()) < 2e-6, found


@pytest.mark.parametrize("shape", [(256, 75, 50), (128, 256)])
def test_input_and_projector_have_a_layout_that_pytorch_adds_up_right(shape: tuple[int, ...]) -> None:
    """ST-GCN's ``data_bn`` and the projector's BatchNorm, so that both stay PyTorch's."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 3
    x[len(x) // 2 :] = 0
    single, double = nn.BatchNorm1d(shape[1]), nn.BatchNorm1d(shape[1]).double()
    right = double(x.double())
    assert ((single(x) - right).abs() / right.abs().clamp_min(1)).max() < 2e-6
    torch.testing.assert_close(single.running_var.double(), double.running_var, rtol=1e-6, atol=1e-6)


def test_gradients_of_an_encoder_are_no_worse_than_with_contiguous_batch_norm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The distance to float64's, of all weights, over their length: ours 4.8e-4, contiguous 4.3e-4, 3.0e-3
    by PyTorch's kernel. What is left is of values near zero, which a ReLU cuts off or not."""
    ours, pytorchs, theirs = (gradient_error(monkeypatch, call) for call in (normalise, plain, contiguous))
    assert ours < 1.5 * theirs
    assert ours < 1e-3
    assert pytorchs > 3 * ours


def gradient_error(monkeypatch: pytest.MonkeyPatch, call: Callable[[Tensor, nn.Module], Tensor]) -> float:
    for user in (conv_norm, stgcn):
        monkeypatch.setattr(user, "normalise", call)
    single, right = (gradients(number_format) for number_format in (torch.float32, torch.float64))
    return float((single - right).norm() / right.norm())


def gradients(number_format: torch.dtype) -> Tensor:
    """Of a small ST-GCN that tells 64 clips apart, whose second bodies are absent: all weights in one row."""
    skeletons = {"kinectv2_25": skeleton("kinectv2_25")}
    encoder = encoders.build(component("stgcn", **SMALL), skeletons, generator=generator()).to(number_format)
    x = clips(64, 25, frames=50, bodies=2)
    x[..., 1] = 0
    features = encoder.train().feature_map(x.to(number_format), "kinectv2_25").mean((2, 3))
    features = F.normalize(features.view(64, 2, -1).mean(1), dim=1)
    F.cross_entropy(features @ features.t() / 0.2, torch.arange(64).roll(1)).backward()
    return torch.cat([each.grad.flatten().double() for each in encoder.parameters() if each.grad is not None])
