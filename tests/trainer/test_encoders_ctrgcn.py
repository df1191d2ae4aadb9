"""CTR-GCN against its equations written out, subset by subset and branch by branch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from schemas import ConfigError, UsageError
from tests.trainer.clips import clips, component, generator, skeleton
from trainer import encoders
from trainer.encoders.ctrgcn import CTRGCN, Block, Convention, RefinedGraphConvolution, TemporalBranches

KINECT = {"kinectv2_25": skeleton("kinectv2_25")}


def build(**options: Any) -> CTRGCN:
    small = {"channels": [4, 8], "stride_blocks": [2], **options}
    encoder = encoders.build(component("ctrgcn", **small), KINECT, generator=generator())
    assert isinstance(encoder, CTRGCN)
    draw = generator(5)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return encoder


def literal_layer(layer: RefinedGraphConvolution, x: Tensor, graph: Tensor) -> Tensor:
    """Eq. (3) to (7) of CTR-GCN: one subset, one channel, one pair of joints at a time."""
    joints, out = x.shape[3], layer.conv.out_channels // 3
    phi, psi, mixed = (conv(x).chunk(3, dim=1) for conv in (layer.phi, layer.psi, layer.conv))
    weights = layer.xi.weight.chunk(3)
    assert layer.xi.bias is not None
    biases = layer.xi.bias.chunk(3)
    found = torch.zeros(len(x), out, x.shape[2], joints)
    for k in range(3):
        taking, giving = phi[k].mean(dim=2), psi[k].mean(dim=2)
        for u in range(joints):
            for v in range(joints):
                relation = torch.tanh(taking[..., u] - giving[..., v])
                refinement = relation @ weights[k][:, :, 0, 0].t() + biases[k]
                gives = graph[k, u, v] + layer.alpha * refinement
                found[..., u] += gives[..., None] * mixed[k][..., v]
    return found


def literal_branches(layer: TemporalBranches, x: Tensor) -> Tensor:
    """Four networks side by side, each with its own share of the weights."""
    width, found = layer.width, []
    for branch in range(3):
        own = slice(branch * width, (branch + 1) * width)
        y = F.relu(scaled(F.conv2d(x, layer.entry.weight[own], layer.entry.bias[own]), layer.entry_bn, own))  # type: ignore[index]
        if branch < 2:
            conv = layer.dilated[branch]
            assert isinstance(conv, nn.Conv2d)
            reach = (1, 2)[branch]
            y = F.conv2d(y, conv.weight, conv.bias, (layer.stride, 1), (2 * reach, 0), (reach, 1))
        else:
            y = F.max_pool2d(y, (3, 1), (layer.stride, 1), (1, 0))
        found.append(scaled(y, layer.exit_bn, own))
    plain = F.conv2d(x, layer.plain.weight, layer.plain.bias, (layer.stride, 1))
    return torch.cat([*found, scaled(plain, layer.plain_bn, slice(None))], dim=1)


def scaled(x: Tensor, norm: nn.BatchNorm2d, own: slice) -> Tensor:
    running = (norm.running_mean[own], norm.running_var[own])  # type: ignore[index]
    return F.batch_norm(x, *running, norm.weight[own], norm.bias[own], training=norm.training, momentum=0)


def test_the_refined_layer_is_the_sum_over_subsets_and_joints() -> None:
    draw = generator()
    layer = RefinedGraphConvolution(16, 8, reduction=8)
    x, graph = torch.randn(2, 16, 3, 5, generator=draw), torch.rand(3, 5, 5, generator=draw)
    with torch.no_grad():
        layer.alpha.fill_(0.7)
        torch.testing.assert_close(layer(x, graph), literal_layer(layer, x, graph), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_time_is_seen_by_four_branches(stride: int, training: bool) -> None:
    layer = TemporalBranches(8, kernel=5, dilations=(1, 2), stride=stride)
    x = torch.randn(3, 8, 7, 5, generator=generator())
    layer(2 * x)  # running statistics other than those at the start
    layer.train(training)
    expected = literal_branches(layer, x)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    assert expected.shape == (3, 8, -(-7 // stride), 5)


@pytest.mark.parametrize("input_norm", ["body", "slot"])
def test_the_network_is_norm_graph_and_time_block_by_block(input_norm: str) -> None:
    encoder, x = build(input_norm=input_norm), clips(3, 25, bodies=2)
    encoder(2 * x, "kinectv2_25")
    encoder.eval()
    own = encoder.conventions["kinectv2_25"]
    assert isinstance(own, Convention)
    slots = 2 if input_norm == "slot" else 1
    rows = x.permute(0, 4, 3, 1, 2).reshape(6 // slots, slots * 75, 16)
    y = own.data_bn(rows).view(6, 25, 3, 16).permute(0, 2, 3, 1)
    for block, graph in zip(encoder.blocks, own.graphs, strict=True):
        assert isinstance(block, Block)
        z = F.relu(block.graph_bn(literal_layer(block.graph, y, graph)) + block.shortcut(y))
        z = literal_branches(block.temporal, z)
        y = F.relu(z + block.residual(y[:, :, :: block.stride])) if block.has_residual else F.relu(z)
    expected = y.mean(dim=(2, 3)).view(3, 2, -1).mean(dim=1)
    torch.testing.assert_close(encoder(x, "kinectv2_25"), expected, rtol=1e-4, atol=1e-5)


def test_the_default_is_the_published_size() -> None:
    """1,431,252 weights: those of the released network for NTU RGB+D without its layer of classes."""
    encoder = encoders.build(component("ctrgcn", input_norm="slot"), KINECT)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 1_431_252
    assert encoder.feature_dim == 256
    related = [block.graph.phi.out_channels // 3 for block in encoder.blocks]  # type: ignore[union-attr, operator]
    assert related == [8, 8, 8, 8, 8, 16, 16, 16, 32, 32]


def test_it_starts_with_the_conventions_tree_unrefined_and_blocks_as_their_shortcut() -> None:
    encoder = encoders.build(component("ctrgcn"), KINECT, generator=generator())
    assert isinstance(encoder, CTRGCN)
    own, spec = encoder.conventions["kinectv2_25"], KINECT["kinectv2_25"].spec
    assert isinstance(own, Convention)
    for child, parent in spec.edges:
        graph = own.graphs[9].detach()
        assert graph[1, parent, child] == 1, "a parent takes all of its child"
        assert graph[2, child, parent] == pytest.approx(1 / [p for _, p in spec.edges].count(parent))
    block = encoder.blocks[5]
    assert isinstance(block, Block)
    assert not block.graph.alpha.any()
    assert (block.graph_bn.weight == 1e-6).all()
    for layer, deviation in (
        (block.graph.conv, (2 / 128) ** 0.5),
        (block.graph.phi, (2 / 16) ** 0.5),
        (block.graph.xi, (2 / 128) ** 0.5),
        (block.temporal.entry, (2 / 32) ** 0.5),
        (block.temporal.dilated[1], (2 / (5 * 32)) ** 0.5),
        (block.temporal.plain, (2 / 32) ** 0.5),
    ):
        assert isinstance(layer, nn.Conv2d)
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert layer.bias is not None
        assert not layer.bias.any()
    assert 0.01 < block.temporal.exit_bn.weight.std() < 0.03


def test_more_bodies_than_places_and_wrong_options_are_named() -> None:
    with pytest.raises(UsageError, match=r"3 bodies.*of ctrgcn has room for 2"):
        build(input_norm="slot")(clips(2, 25, bodies=3), "kinectv2_25")
    with pytest.raises(ConfigError, match=r"channels must be multiples of 4"):
        build(channels=[4, 6])
    with pytest.raises(ConfigError, match=r"temporal_kernel must be odd"):
        build(temporal_kernel=4)
    with pytest.raises(ConfigError, match=r"stride_blocks must lie in 1\.\.2"):
        build(stride_blocks=[3])
    with pytest.raises(ConfigError, match=r"input_norm slot counts absent bodies"):
        build(input_norm="slot", bodies="present")
