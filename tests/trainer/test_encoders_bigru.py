from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas import ConfigError, UsageError
from tests.trainer.clips import clips, component, generator, skeleton
from trainer import encoders
from trainer.encoders.bigru import BiGRU

SKELETONS = {name: skeleton(name) for name in ("kinectv2_25", "smplx_42")}


def build(**options: Any) -> BiGRU:
    small = {"units": 6, "layers": 3, **options}
    encoder = encoders.build(component("bigru", **small), SKELETONS, generator=generator())
    assert isinstance(encoder, BiGRU)
    return encoder


def literal_gru(cell: nn.GRU, frames: Tensor, *, layer: int, suffix: str) -> Tensor:
    """[T, inputs] -> [T, units], one direction, in the order given: the GRU's equations frame by frame."""
    w_in, w_state, b_in, b_state = (
        getattr(cell, f"{kind}_l{layer}{suffix}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    state, states = torch.zeros(w_state.shape[1]), []
    for frame in frames:
        from_frame, from_state = (w_in @ frame + b_in).chunk(3), (w_state @ state + b_state).chunk(3)
        reset = torch.sigmoid(from_frame[0] + from_state[0])
        update = torch.sigmoid(from_frame[1] + from_state[1])
        candidate = torch.tanh(from_frame[2] + reset * from_state[2])
        state = (1 - update) * candidate + update * state
        states.append(state)
    return torch.stack(states)


def literal(encoder: BiGRU, x: Tensor, *, stepped: bool) -> Tensor:
    """The feature of one clip [3,T,V,M]; stepped: the backward halves run forward in time."""
    frames = torch.stack(
        [
            torch.cat([x[:, t, v, m] for m in range(x.shape[3]) for v in range(x.shape[2])])
            for t in range(x.shape[1])
        ]
    )
    first = encoder.first["kinectv2_25"]
    assert isinstance(first, nn.GRU)
    assert encoder.rest is not None
    for cell, layer in ((first, 0), (encoder.rest, 0), (encoder.rest, 1)):
        forward = literal_gru(cell, frames, layer=layer, suffix="")
        order = frames if stepped else frames.flip(0)
        backward = literal_gru(cell, order, layer=layer, suffix="_reverse")
        frames = torch.cat([forward, backward if stepped else backward.flip(0)], dim=1)
    units = encoder.options.units
    return torch.cat([frames[-1, :units], frames[-1 if stepped else 0, units:]])


@pytest.mark.parametrize("stepped", [False, True])
def test_it_is_the_equations_of_a_gru_in_both_directions(stepped: bool) -> None:
    encoder = build(unidirectional_inference=stepped)
    x = clips(2, 25, frames=5, bodies=2)
    with torch.no_grad():
        expected = torch.stack([literal(encoder, clip, stepped=stepped) for clip in x])
        torch.testing.assert_close(encoder(x, "kinectv2_25"), expected, rtol=1e-4, atol=1e-5)


def test_stepped_as_released_its_backward_half_never_sees_the_future() -> None:
    """The map at frame t: with the option it is a function of the frames up to t, without of all of them."""
    x = clips(1, 25, frames=8)
    later = x.clone()
    later[:, :, 5:] += 1.0
    for stepped in (False, True):
        encoder = build(unidirectional_inference=stepped)
        maps = [encoder.feature_map(clip, "kinectv2_25")[0, :, :5] for clip in (x, later)]
        assert torch.equal(*maps) == stepped
    ours, released = (build(unidirectional_inference=kind)(x, "kinectv2_25") for kind in (False, True))
    assert (ours - released).abs().max() > 1e-2


def test_the_last_states_read_the_whole_clip_from_both_ends() -> None:
    encoder = build(layers=1)
    x = clips(1, 25, frames=8).requires_grad_(True)
    features = encoder(x, "kinectv2_25")[0]
    for half in features.split(encoder.options.units):
        (gradient,) = torch.autograd.grad(half.sum(), x, retain_graph=True)
        assert gradient.abs().amax(dim=(0, 1, 3, 4)).min() > 0, "a frame has no say"


def test_the_mean_is_over_the_frames_of_the_map() -> None:
    encoder = build(pooling="mean")
    x = clips(3, 25, frames=7, bodies=2)
    expected = encoder.feature_map(x, "kinectv2_25").mean(dim=(2, 3))
    torch.testing.assert_close(encoder(x, "kinectv2_25"), expected)


def test_absent_bodies_are_zeros_of_the_frame_and_too_many_are_refused() -> None:
    encoder, x = build(), clips(2, 25)
    alone = torch.cat([x, torch.zeros_like(x)], dim=4)
    assert torch.equal(encoder(x, "kinectv2_25"), encoder(alone, "kinectv2_25"))
    with pytest.raises(UsageError, match=r"max_bodies: the clips have 3 bodies, bigru has room for 2"):
        encoder(clips(2, 25, bodies=3), "kinectv2_25")
    assert build(max_bodies=3)(clips(2, 25, bodies=3), "kinectv2_25").shape == (2, 12)


def test_only_the_first_layer_belongs_to_a_convention() -> None:
    encoder = build()
    assert [tuple(encoder.first[name].weight_ih_l0.shape) for name in SKELETONS] == [(18, 150), (18, 252)]  # type: ignore[union-attr]
    assert isinstance(encoder.rest, nn.GRU)
    assert encoder.rest.num_layers == 2
    assert build(layers=1).rest is None


def test_the_default_is_the_published_size() -> None:
    encoder = encoders.build(component("bigru"), {"kinectv2_25": SKELETONS["kinectv2_25"]})
    assert encoder.feature_dim == 2048
    assert encoder(clips(1, 25, frames=4, bodies=2), "kinectv2_25").shape == (1, 2048)


def test_xavier_fills_matrices_up_to_their_bound_and_leaves_biases() -> None:
    """The three gates are one matrix: 150 numbers of a frame into 3 x 40, then two directions of 40."""
    first, rest = (getattr(build(units=40, init="xavier"), name) for name in ("first", "rest"))
    matrices = {
        "first ih": (first["kinectv2_25"].weight_ih_l0, 150),
        "first hh, backward": (first["kinectv2_25"].weight_hh_l0_reverse, 40),
        "second ih": (rest.weight_ih_l0, 80),
        "third hh": (rest.weight_hh_l1, 40),
    }
    for name, (matrix, columns) in matrices.items():
        bound = math.sqrt(6 / (120 + columns))
        assert 0.98 * bound < matrix.abs().max().item() <= bound, name
        assert matrix.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05), name
    for bias in (first["kinectv2_25"].bias_ih_l0, rest.bias_hh_l1_reverse):
        assert 0.9 / math.sqrt(40) < bias.abs().max().item() <= 1 / math.sqrt(40)
    usual = build(units=40).first["kinectv2_25"]
    assert usual.weight_ih_l0.abs().max().item() <= 1 / math.sqrt(40)  # type: ignore[union-attr, operator]


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.options\.layers"):
        build(layers=0)
    with pytest.raises(ConfigError, match=r"encoder\.options\.pooling"):
        build(pooling="max")
