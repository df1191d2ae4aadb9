"""What holds for every encoder in ENCODERS, whatever it is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from schemas import Component, ConfigError, UsageError
from tests.trainer.clips import clips, component, generator, skeleton
from tests.trainer.tiny import ENCODER_OPTIONS
from trainer import encoders
from trainer.encoders import ENCODERS
from trainer.encoders.joint_names import common_name

SKELETONS = {name: skeleton(name) for name in ("kinectv2_25", "smplx_42")}

every = pytest.mark.parametrize("name", sorted(ENCODERS))


def build(name: str, seed: int = 0, **options: Any) -> Any:
    """Tiny, with weights away from their special starting values."""
    chosen = {**ENCODER_OPTIONS.get(name, {}), **options}
    encoder = encoders.build(component(name, **chosen), SKELETONS, generator=generator(seed))
    draw = generator(seed + 100)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return encoder


def padded(x: Tensor, joints: int, value: float = 0.0) -> Tensor:
    return F.pad(x, (0, 0, 0, joints - x.shape[3]), value=value)


@every
@pytest.mark.parametrize("convention", sorted(SKELETONS))
@pytest.mark.parametrize(("frames", "bodies"), [(1, 1), (2, 2), (13, 1), (64, 2)])
def test_any_number_of_frames_bodies_and_joints_gives_the_feature(
    name: str, convention: str, frames: int, bodies: int
) -> None:
    encoder = build(name)
    x = clips(3, SKELETONS[convention].num_joints, frames=frames, bodies=bodies)
    features = encoder(x, convention)
    assert features.shape == (3, encoder.feature_dim)
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()


@every
def test_the_feature_is_the_pooled_map_and_tells_clips_apart(name: str) -> None:
    encoder = build(name).eval()
    x = clips(4, 25, bodies=2)
    features = encoder(x, "kinectv2_25")
    assert torch.equal(encoder.pool(encoder.feature_map(x, "kinectv2_25"), 2), features)
    assert features.std(dim=0).max() > 1e-4


@every
def test_a_map_with_axes_of_frames_and_joints_has_them(name: str) -> None:
    encoder = build(name)
    features = encoder.feature_map(clips(3, 42, frames=16, bodies=2), "smplx_42")
    assert encoder.map_axes in ("TV", None)
    if encoder.map_axes == "TV":
        assert features.shape[:2] == (6, encoder.feature_dim)
        assert features.shape[3] == 42


@every
@pytest.mark.parametrize("garbage", [0.0, 1e6, float("nan")])
def test_padding_is_inert_in_outputs_state_and_gradients(name: str, garbage: float) -> None:
    x = clips(4, 25, bodies=2)
    plain, other = build(name), build(name)
    wide = padded(x, 43, garbage).requires_grad_(True)
    outputs = [plain(x, "kinectv2_25"), other(wide, "kinectv2_25")]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    assert wide.grad is not None
    assert not wide.grad[..., 25:, :].any()
    assert wide.grad[..., :25, :].any()
    for (title, a), b in zip(plain.named_parameters(), other.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), title
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5, msg=title)
    torch.testing.assert_close(plain.state_dict(), other.state_dict(), rtol=0, atol=1e-5)


@every
def test_a_batch_without_anybody_is_encoded(name: str) -> None:
    assert torch.isfinite(build(name)(torch.zeros(4, 3, 16, 25, 2), "kinectv2_25")).all()


@every
def test_absent_bodies_that_are_left_out_change_nothing(name: str) -> None:
    if not build(name).options.__dict__.get("bodies"):
        pytest.skip("joins the bodies in one frame: an absent one is a row of zeros")
    encoder = build(name, bodies="present").eval()
    x = clips(4, 25)
    alone = torch.cat([x, torch.zeros_like(x)], dim=4)
    torch.testing.assert_close(encoder(alone, "kinectv2_25"), encoder(x, "kinectv2_25"))
    swapped = encoder(alone.flip(4), "kinectv2_25")
    torch.testing.assert_close(swapped, encoder(x, "kinectv2_25"))


@every
def test_in_evaluation_absent_bodies_are_encoded_once_and_as_before(name: str) -> None:
    encoder = build(name).eval()
    x = clips(6, 25, bodies=2)
    x[:4, ..., 1:] = 0
    x[5] = 0
    together = encoder(x, "kinectv2_25")
    one_by_one = torch.cat([encoder(clip, "kinectv2_25") for clip in x.split(1)])
    torch.testing.assert_close(together, one_by_one, rtol=1e-5, atol=1e-6)
    if not encoder.options.__dict__.get("bodies"):
        return  # joins the bodies in one frame
    for training, expected in ((False, 7), (True, 12)):
        # Six are there, and one stands for the other six; in training all count in the statistics.
        rows: set[int] = set()
        hooks = [
            module.register_forward_pre_hook(lambda _, inputs, rows=rows: rows.add(len(inputs[0])))
            for module in encoder.modules()
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.Conv2d)
        ]
        encoder.train(training)(x, "kinectv2_25")
        assert rows == {expected}
        for hook in hooks:
            hook.remove()


@every
def test_conventions_share_weights_and_keep_their_own(name: str) -> None:
    encoder = build(name)
    encoder(clips(4, 25, bodies=2), "kinectv2_25").square().sum().backward()
    titles = [title for title, _ in encoder.named_parameters()]
    touched = {title for title, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert not any("smplx_42" in title for title in touched)
    if name == "vit":  # a joint's embedding belongs to all conventions that have the joint
        assert {f"joints.{common_name(joint)}" for joint in SKELETONS["kinectv2_25"].spec.joints} <= touched
        titles = [title for title in titles if not title.startswith("joints.")]
    else:
        assert any("kinectv2_25" in title for title in touched)
    assert {title for title in titles if not set(SKELETONS) & set(title.split("."))} <= touched


@every
def test_every_weight_is_used(name: str) -> None:
    encoder = build(name)
    for convention, each in SKELETONS.items():
        encoder(clips(4, each.num_joints, bodies=2), convention).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@every
def test_weights_come_from_the_generator_and_leave_the_global_state_alone(name: str) -> None:
    options = ENCODER_OPTIONS.get(name, {})
    before = torch.random.get_rng_state()
    first, again, other = (
        encoders.build(component(name, **options), SKELETONS, generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    states = [torch.cat([p.detach().flatten() for p in e.parameters()]) for e in (first, again, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@every
def test_the_joints_of_a_clip_and_its_frames_are_not_exchangeable(name: str) -> None:
    """A square clip: 25 frames of 25 joints. Exchanging the axes must not give the same feature."""
    encoder = build(name).eval()
    x = clips(2, 25, frames=25)
    exchanged = x.transpose(2, 3)
    assert not torch.allclose(encoder(x, "kinectv2_25"), encoder(exchanged, "kinectv2_25"), atol=1e-3)


@every
def test_half_precision_stays_close_and_learns(name: str) -> None:
    encoder, x = build(name), clips(8, 25, bodies=2)
    plain = encoder(x, "kinectv2_25").detach()
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(x, "kinectv2_25")
    assert half.dtype == torch.float32
    scale = float(plain.abs().max())
    torch.testing.assert_close(half / scale, plain / scale, rtol=0.05, atol=0.05)
    half.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


@every
def test_a_copy_computes_the_same_and_is_independent(name: str) -> None:
    encoder = build(name).eval()
    x = clips(2, 25)
    copied = build(name, seed=9).eval()
    copied.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(copied(x, "kinectv2_25"), encoder(x, "kinectv2_25"), rtol=0, atol=0)


@every
def test_options_are_checked_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.options\.depht: unknown option"):
        encoders.build(component(name, depht=3), SKELETONS)
    options = ENCODERS[name].Options
    assert options() == options.model_validate({})


def test_a_check_says_where_the_encoder_stands() -> None:
    place = "method.options.representations.graph"
    with pytest.raises(ConfigError, match=rf"{place}\.options\.channels\.0"):
        encoders.check(component("agcn", channels=[0]), where=place)
    with pytest.raises(UsageError, match=rf"{place}\.name: unknown encoder 'gcn'"):
        encoders.check(component("gcn"), where=place)


def test_encoders_without_a_map_of_joints_are_refused_where_one_is_needed() -> None:
    fitting = {name for name, kind in ENCODERS.items() if kind.map_axes == "TV"}
    assert fitting == {"agcn", "ctrgcn", "stgcn", "vit"}
    for name in ENCODERS:
        if name in fitting:
            encoders.require_map(Component(name=name), method="aimclr")
            continue
        with pytest.raises(
            UsageError, match=f"aimclr needs an encoder.*{name} has none.*agcn, ctrgcn, stgcn, vit"
        ):
            encoders.require_map(Component(name=name), method="aimclr")
