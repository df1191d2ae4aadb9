from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from schemas import ConfigError
from tests.trainer.clips import clips, component, generator, skeleton
from trainer import encoders
from trainer.encoders.hcn import HCN, Branch, halved, moved

KINECT = {"kinectv2_25": skeleton("kinectv2_25")}
TINY = {"point": 4, "row": 16, "channels": [4, 4, 8, 16], "dropout": 0.0}


def build(**options: Any) -> HCN:
    encoder = encoders.build(component("hcn", **{**TINY, **options}), KINECT, generator=generator())
    assert isinstance(encoder, HCN)
    return encoder


def literal(encoder: HCN, x: Tensor, *, fourth_relu: bool = True) -> Tensor:
    """The layers in HCN's order, one person of one clip at a time: [N,3,64,V,M] -> [N, feature_dim]."""
    features = []
    for clip in x:
        persons = []
        for m in range(x.shape[4]):
            person = clip[None, ..., m]
            halves = []
            for branch, image in ((encoder.position, person), (encoder.motion, moved(person))):
                y = branch.time(branch.point(image).relu())
                y = torch.stack([y[:, :, :, v].transpose(1, 2) for v in range(y.shape[3])], dim=1)
                y = F.max_pool2d(branch.together["kinectv2_25"](y), 2)
                fourth = branch.fourth(y)
                halves.append(F.max_pool2d(fourth.relu() if fourth_relu else fourth, 2))
            y = F.max_pool2d(encoder.fifth(torch.cat(halves, dim=1)).relu(), 2)
            persons.append(F.max_pool2d(encoder.sixth(y).relu(), 2).flatten())
        features.append(torch.stack(persons).max(dim=0).values)
    return torch.stack(features)


def test_it_computes_the_published_order_of_operations() -> None:
    encoder = build()
    x = clips(3, 25, frames=64, bodies=2)
    torch.testing.assert_close(encoder(x, "kinectv2_25"), literal(encoder, x), rtol=1e-4, atol=1e-5)


def test_the_released_one_has_no_relu_behind_the_fourth_convolution() -> None:
    encoder, usual = build(fourth_relu=False), build()
    x = clips(3, 25, frames=64, bodies=2)
    found = encoder(x, "kinectv2_25")
    torch.testing.assert_close(found, literal(encoder, x, fourth_relu=False), rtol=1e-4, atol=1e-5)
    assert (found - usual(x, "kinectv2_25")).abs().max() > 1e-2 * found.abs().max()


def test_fourth_map_of_minus_one_is_zero_behind_a_relu() -> None:
    """All of the fourth convolution is a bias of -1: its map is 0 with a ReLU and -1 without."""
    for relu, expected in ((True, 0.0), (False, -1.0)):
        branch = build(fourth_relu=relu).motion
        with torch.no_grad():
            branch.fourth.weight.zero_(), branch.fourth.bias.fill_(-1)  # type: ignore[union-attr]
        assert (branch(clips(2, 25)[..., 0], "kinectv2_25") == expected).all()


def test_xavier_starts_within_its_bound_and_without_biases() -> None:
    encoder = build(init="xavier", row=32, channels=[8, 16, 32, 64])
    for layer, bound in (
        (encoder.sixth, math.sqrt(6 / (9 * (32 + 64)))),  # 3 x 3 of 32 inputs and 64 outputs
        (encoder.position.time, math.sqrt(6 / (3 * (4 + 32)))),
        (encoder.motion.together["kinectv2_25"], math.sqrt(6 / (9 * (25 + 8)))),
    ):
        assert isinstance(layer, torch.nn.Conv2d)
        assert 0.97 * bound < layer.weight.abs().max().item() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.07)
        assert layer.bias is not None
        assert not layer.bias.any()
    assert all(layer.bias.any() for layer in build().modules() if isinstance(layer, torch.nn.Conv2d))  # type: ignore[union-attr]


def test_the_default_gives_the_published_4096_numbers() -> None:
    encoder = encoders.build(component("hcn"), KINECT)
    assert encoder.feature_dim == 4096
    assert encoder.feature_map(clips(1, 25, frames=64, bodies=2), "kinectv2_25").shape == (2, 256, 4, 4)


@pytest.mark.parametrize("frames", [1, 15, 64, 100])
@pytest.mark.parametrize("row", [4, 16, 40])
def test_clips_of_any_length_give_one_feature_size(frames: int, row: int) -> None:
    encoder = build(row=row, segments=3)
    assert encoder(clips(2, 25, frames=frames), "kinectv2_25").shape == (2, encoder.feature_dim)
    assert encoder.feature_dim == 16 * 3 * -(-row // 16)


def test_motion_is_the_step_between_frames_resized_to_as_many() -> None:
    even = torch.arange(6.0).view(1, 1, 6, 1).expand(1, 3, 6, 4)
    torch.testing.assert_close(moved(even), torch.ones(1, 3, 6, 4))
    x = clips(1, 5, frames=9)[..., 0]
    steps = x[:, :, 1:] - x[:, :, :-1]
    # Between the centres of 8 frames stretched over 9: frame t stands at (t + 0.5) * 8 / 9 - 0.5.
    for t in range(9):
        at = min(max((t + 0.5) * 8 / 9 - 0.5, 0), 7)
        low = int(at)
        expected = steps[:, :, low] + (at - low) * (steps[:, :, min(low + 1, 7)] - steps[:, :, low])
        torch.testing.assert_close(moved(x)[:, :, t], expected, rtol=1e-4, atol=1e-5)
    assert not moved(x[:, :, :1]).any()


def test_pooling_keeps_an_odd_end() -> None:
    x = torch.arange(15.0).view(1, 1, 3, 5)
    assert halved(x).tolist() == [[[[6, 8, 9], [11, 13, 14]]]]


def test_joints_become_channels_and_single_joints_are_read_alike() -> None:
    """Before the third convolution a joint is read by itself: exchanging joints exchanges its channels."""
    branch = build().position
    assert isinstance(branch, Branch)
    seen: list[Tensor] = []
    branch.together["kinectv2_25"].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    x = clips(2, 25)[..., 0]
    branch(x, "kinectv2_25")
    branch(x.flip(3), "kinectv2_25")
    assert seen[0].shape == (2, 25, 16, 16)
    torch.testing.assert_close(seen[1], seen[0].flip(1))


def test_persons_join_by_the_maximum() -> None:
    encoder = build()
    x = clips(3, 25, bodies=2)
    single = [encoder(x[..., body : body + 1], "kinectv2_25") for body in range(2)]
    torch.testing.assert_close(encoder(x, "kinectv2_25"), torch.maximum(*single))
    torch.testing.assert_close(encoder(x.flip(4), "kinectv2_25"), torch.maximum(*single))


def test_with_bodies_present_absent_ones_are_in_no_maximum() -> None:
    x = clips(3, 25, bodies=2)
    x[..., 1] = 0
    present, maximum = (build(bodies=kind) for kind in ("present", "maximum"))
    torch.testing.assert_close(present(x, "kinectv2_25"), present(x[..., :1], "kinectv2_25"))
    assert not torch.allclose(maximum(x, "kinectv2_25"), present(x, "kinectv2_25"))


def test_dropout_is_of_the_training_alone_and_drawn_from_the_global_state() -> None:
    encoder, x = build(dropout=0.5), clips(2, 25)
    features = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            features.append(encoder(x, "kinectv2_25"))
    assert torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])
    encoder.eval()
    assert torch.equal(encoder(x, "kinectv2_25"), encoder(x, "kinectv2_25"))


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.options\.channels"):
        build(channels=[4, 4, 8])
    with pytest.raises(ConfigError, match=r"encoder\.options\.bodies"):
        build(bodies="average")
