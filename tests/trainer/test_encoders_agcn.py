from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from schemas import ConfigError, UsageError
from tests.trainer.clips import SMALL, clips, component, generator, skeleton
from trainer import encoders
from trainer.encoders.agcn import AGCN, AdaptiveGraphConvolution, Block, Convention

KINECT = {"kinectv2_25": skeleton("kinectv2_25")}


def build(**options: Any) -> AGCN:
    small = {"channels": SMALL["channels"], "stride_blocks": SMALL["stride_blocks"], **options}
    encoder = encoders.build(component("agcn", **small), KINECT, generator=generator())
    assert isinstance(encoder, AGCN)
    return encoder


def literal_layer(layer: AdaptiveGraphConvolution, x: Tensor, graph: Tensor) -> Tensor:
    """Eq. (3) of 2s-AGCN with its sums written out; one clip, one subset, one pair of joints at a time."""
    clips, _, frames, joints = x.shape
    theta, phi, mixed = (conv(x).chunk(3, dim=1) for conv in (layer.theta, layer.phi, layer.conv))
    out = torch.zeros(clips, mixed[0].shape[1], frames, joints)
    for n in range(clips):
        for k in range(3):
            size = theta[k].shape[1] * frames
            for w in range(joints):
                scores = [
                    float((theta[k][n, :, :, v] * phi[k][n, :, :, w]).sum()) / size for v in range(joints)
                ]
                total = sum(math.exp(score) for score in scores)
                for v in range(joints):
                    gives = float(graph[k, v, w]) + math.exp(scores[v]) / total
                    out[n, :, :, w] += gives * mixed[k][n, :, :, v]
    return out


def test_the_adaptive_layer_is_the_sum_over_subsets_and_joints() -> None:
    draw = generator()
    layer = AdaptiveGraphConvolution(4, 8)
    x, graph = torch.randn(2, 4, 3, 5, generator=draw), torch.rand(3, 5, 5, generator=draw)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, graph), literal_layer(layer, x, graph), rtol=1e-4, atol=1e-5)


def test_attention_is_a_distribution_over_the_joints_that_give() -> None:
    weights = AdaptiveGraphConvolution(4, 8).attention(torch.randn(2, 4, 6, 5))
    assert weights.shape == (2, 3, 5, 5)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 3, 5))


def test_the_graph_is_the_conventions_own_tree() -> None:
    encoder, spec = build(), KINECT["kinectv2_25"].spec
    own = encoder.conventions["kinectv2_25"]
    assert isinstance(own, Convention)
    assert torch.equal(own.graph[0], torch.eye(25))
    for child, parent in spec.edges:
        assert own.graph[1, parent, child] == 1
        assert own.graph[2, child, parent] == pytest.approx(1 / [p for _, p in spec.edges].count(parent))
    assert [int(subset.count_nonzero()) for subset in own.graph] == [25, 24, 24]
    assert "conventions.kinectv2_25.graph" in dict(encoder.named_buffers())
    assert all((learned == 1e-6).all() for learned in own.learned)


def test_the_learned_graph_and_the_attention_reach_the_feature() -> None:
    encoder, x = build().eval(), clips(2, 25)
    before = encoder(x, "kinectv2_25")
    own = encoder.conventions["kinectv2_25"]
    assert isinstance(own, Convention)
    with torch.no_grad():
        own.learned[1][2, 3, 4] += 5
        moved = encoder(x, "kinectv2_25")
        encoder.blocks[2].graph.theta.weight += 3  # type: ignore[union-attr, operator]
        attended = encoder(x, "kinectv2_25")
    assert not torch.allclose(before, moved, atol=1e-5)
    assert not torch.allclose(moved, attended, atol=1e-5)


def test_a_block_is_graph_shortcut_time_and_residual() -> None:
    block = Block(4, 6, kernel=3, stride=2, residual=True)
    x, graph = torch.randn(2, 4, 6, 5), torch.rand(3, 5, 5)
    block(3 * x, graph)  # running statistics other than those at the start
    block.eval()
    y = F.relu(block.graph_bn(block.graph(x, graph)) + block.shortcut(x))
    expected = F.relu(block.temporal_bn(block.temporal(y)) + block.residual(x[:, :, :: block.stride]))
    torch.testing.assert_close(block(x, graph), expected)
    assert expected.shape == (2, 6, 3, 5)
    first = Block(3, 3, kernel=3, stride=1, residual=False)
    assert isinstance(first.shortcut, nn.Identity)
    assert not first.has_residual


def test_the_default_is_the_published_size() -> None:
    encoder = encoders.build(component("agcn"), KINECT)
    assert encoder.feature_map(clips(1, 25, frames=64), "kinectv2_25").shape == (1, 256, 16, 25)
    assert encoder.feature_dim == 256


def test_bodies_are_averaged_with_the_absent_ones_or_only_those_present() -> None:
    x = clips(3, 25, bodies=2)
    x[..., 1] = 0
    for kind in ("average", "present"):
        encoder = build(bodies=kind).eval()
        single = [encoder(x[..., body : body + 1], "kinectv2_25") for body in range(2)]
        expected = (single[0] + single[1]) / 2 if kind == "average" else single[0]
        torch.testing.assert_close(encoder(x, "kinectv2_25"), expected)


def test_present_statistics_are_those_of_the_bodies_there() -> None:
    x = clips(6, 25)
    padded, plain = build(bodies="present"), build(bodies="average")
    padded(torch.cat([x, torch.zeros_like(x)], dim=4), "kinectv2_25")
    plain(x, "kinectv2_25")
    torch.testing.assert_close(padded.state_dict(), plain.state_dict())


def test_the_released_initialisation_starts_blocks_as_their_shortcut() -> None:
    encoder = build(init="released", channels=[32, 32], stride_blocks=[])
    for block in encoder.blocks:
        assert isinstance(block, Block)
        assert (block.graph_bn.weight == 1e-6).all()
        assert block.temporal.weight.std().item() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.05)
        weight = block.graph.conv.weight
        error = 4 / math.sqrt(2 * weight.numel())  # four standard errors
        assert weight.std().item() == pytest.approx(math.sqrt(2 / (3 * 32 * weight.shape[1])), rel=error)
        for embedding in (
            block.graph.theta,
            block.graph.phi,
        ):  # three subsets of 8, each with its own fan-out
            assert embedding.weight.std().item() == pytest.approx(math.sqrt(2 / 8), rel=0.2)
            assert not embedding.bias.any()
    normal = build(init="normal", channels=[32, 32], stride_blocks=[])
    assert normal.blocks[1].temporal.weight.std().item() == pytest.approx(0.02, rel=0.05)  # type: ignore[union-attr, operator]


def by_place(x: np.ndarray) -> np.ndarray:
    """[N,3,T,V,M] -> same: every coordinate of every joint of every place, minus its mean over clips and
    frames, over its standard deviation; epsilon is PyTorch's 1e-5."""
    out = np.empty_like(x)
    for m in range(x.shape[4]):
        for v in range(x.shape[3]):
            for c in range(3):
                values = x[:, c, :, v, m]
                mean = values.mean()
                out[:, c, :, v, m] = (values - mean) / np.sqrt(np.square(values - mean).mean() + 1e-5)
    return out


def into_blocks(encoder: AGCN, x: Tensor) -> Tensor:
    """What the first block is given for x, a body at a time."""
    given: list[Tensor] = []
    hook = encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    encoder(x, "kinectv2_25")
    hook.remove()
    return given[0]


def test_the_input_is_normalised_by_place_or_over_all_bodies() -> None:
    """The second body is absent in half of the clips, and elsewhere: its zeros are in its own statistics."""
    x = clips(6, 25, frames=5, bodies=2)
    x[..., 1] += 4
    x[3:, ..., 1] = 0
    slot, body = build(input_norm="slot"), build()
    expected = torch.from_numpy(by_place(x.numpy()))
    found = into_blocks(slot, x)
    torch.testing.assert_close(found, expected.permute(0, 4, 1, 2, 3).flatten(0, 1), rtol=1e-4, atol=1e-4)
    together = x.permute(0, 4, 1, 2, 3).flatten(0, 1)[..., None]
    torch.testing.assert_close(
        into_blocks(body, x), torch.from_numpy(by_place(together.numpy()))[..., 0], rtol=1e-4, atol=1e-4
    )
    own = slot.conventions["kinectv2_25"]
    assert isinstance(own, Convention)
    assert own.data_bn.num_features == 150
    mean = own.data_bn.running_mean
    assert mean is not None
    for channel, (m, v, c) in {0: (0, 0, 0), 77: (1, 0, 2), 149: (1, 24, 2)}.items():  # (m, v, c) in a row
        assert mean[channel].item() == pytest.approx(0.1 * x[:, c, :, v, m].mean().item(), abs=1e-5)


def test_clips_of_fewer_bodies_than_places_teach_all_places_the_same() -> None:
    x = clips(6, 25)
    slot, body = build(input_norm="slot"), build()
    torch.testing.assert_close(slot(x, "kinectv2_25"), body(x, "kinectv2_25"))
    own = slot.conventions["kinectv2_25"]
    assert isinstance(own, Convention)
    for statistic in (own.data_bn.running_mean, own.data_bn.running_var):
        assert statistic is not None
        assert torch.equal(statistic[:75], statistic[75:])
    slot.eval(), body.eval()
    both = clips(6, 25, bodies=2, seed=1)
    torch.testing.assert_close(slot(both, "kinectv2_25"), body(both, "kinectv2_25"))
    with pytest.raises(UsageError, match=r"max_bodies: the clips have 3 bodies, .* has room for 2"):
        slot(clips(2, 25, bodies=3), "kinectv2_25")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_norm": "slot", "bodies": "present"}, "input_norm slot counts absent bodies"),
        ({"channels": [8, 8]}, "stride_blocks must lie in 1..2"),
        ({"temporal_kernel": 4}, "temporal_kernel must be odd"),
        ({"init": "xavier"}, r"encoder\.options\.init"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**options)
