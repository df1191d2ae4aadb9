from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from schemas import ConfigError, UsageError
from tests.trainer.clips import SMALL, clips, component, generator, skeleton
from trainer import encoders
from trainer.encoders import ENCODERS, STGCN
from trainer.encoders.stgcn import Block, Convention, GraphConvolution

NAMES = ("kinectv2_25", "smplx_42")
SKELETONS = {name: skeleton(name) for name in NAMES}


def build(seed: int = 0, **options: Any) -> STGCN:
    return encoders.build(component("stgcn", **{**SMALL, **options}), SKELETONS, generator=generator(seed))


def own(encoder: STGCN, name: str) -> Convention:
    convention = encoder.conventions[name]
    assert isinstance(convention, Convention)
    return convention


def randomised(encoder: STGCN, *, seed: int = 5) -> STGCN:
    """Weights and importances away from their special starting values."""
    draw = generator(seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return encoder


# --- against slow code


def test_graph_convolution_is_the_sum_over_subsets_and_neighbours() -> None:
    layer, adjacency = GraphConvolution(4, 6), torch.rand(3, 5, 5)
    x = torch.randn(2, 4, 3, 5)
    weight, bias = layer.conv.weight.view(3, 6, 4), layer.conv.bias
    assert bias is not None
    expected = torch.zeros(2, 6, 3, 5)
    for k in range(3):
        for w in range(5):
            for v in range(5):
                moved = torch.einsum("oc,nct->not", weight[k], x[..., v]) + bias.view(3, 6)[k][:, None]
                expected[..., w] += moved * adjacency[k, v, w]
    norm = nn.BatchNorm2d(6)
    torch.testing.assert_close(layer(x, adjacency, norm), norm(expected), rtol=1e-4, atol=1e-5)
    norm.eval()
    torch.testing.assert_close(layer(x, adjacency, norm), norm(expected), rtol=1e-4, atol=1e-5)


def literal(encoder: STGCN, x: Tensor, name: str) -> Tensor:
    """ST-GCN as its paper's code orders it: reshape, BatchNorm1d, then conv, einsum, ... per block."""
    convention = own(encoder, name)
    n, c, t, v, m = x.shape
    x = x.permute(0, 4, 3, 1, 2).contiguous().view(n * m, v * c, t)
    x = convention.data_bn(x).view(n, m, v, c, t).permute(0, 1, 3, 4, 2).contiguous().view(n * m, c, t, v)
    for place, block in enumerate(encoder.blocks):
        assert isinstance(block, Block)
        weighted = convention.adjacency * convention.importance[place]
        y = block.graph.conv(x)
        y = torch.einsum("nkctv,kvw->nctw", y.view(n * m, 3, -1, *y.shape[2:]), weighted)
        y = block.temporal_bn(block.temporal(F.relu(block.graph_bn(y))))
        x = F.relu(y + block.residual(x[:, :, :: block.stride])) if place else F.relu(y)
    return F.avg_pool2d(x, (x.shape[2], x.shape[3])).view(n, m, -1).mean(dim=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bodies", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_the_encoder_computes_what_the_published_order_of_operations_does(
    name: str, bodies: int, training: bool
) -> None:
    encoder = randomised(build())
    x = clips(4, SKELETONS[name].num_joints, bodies=bodies)
    encoder(2 * x, name)  # running statistics other than those at the start
    encoder.train(training)
    found, expected = encoder(x, name), literal(encoder, x, name)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    if training:
        return  # BatchNorm takes biases away: their gradients are noise around zero
    parameters = list(encoder.parameters())
    slopes = [
        torch.autograd.grad(output.square().sum(), parameters, allow_unused=True)
        for output in (found, expected)
    ]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-5)


# --- absent bodies


def test_with_bodies_present_absent_ones_change_nothing() -> None:
    """Three clips of one person and three of two equal nine clips of one, averaged by hand."""
    encoder = randomised(build(bodies="present"))
    x = clips(6, 25, bodies=2)
    x[:3, ..., 1] = 0
    alone = torch.cat([x[..., :1], x[3:, ..., 1:]])
    features = encoder(alone, "kinectv2_25")
    expected = torch.cat([features[:3], (features[3:6] + features[6:]) / 2])
    torch.testing.assert_close(encoder(x, "kinectv2_25"), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(randomised(build())(x, "kinectv2_25"), expected, atol=1e-2)


def test_with_bodies_present_statistics_and_gradients_are_those_of_the_bodies_there() -> None:
    padded, plain = (randomised(build(bodies=kind)) for kind in ("present", "average"))
    x = clips(6, 25)
    padded(torch.cat([x, torch.zeros_like(x)], dim=4), "kinectv2_25").square().sum().backward()
    plain(x, "kinectv2_25").square().sum().backward()
    for (name, one), other in zip(padded.named_parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None and other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)
    mean = own(padded, "kinectv2_25").data_bn.running_mean
    torch.testing.assert_close(mean, own(plain, "kinectv2_25").data_bn.running_mean)


@pytest.mark.parametrize("kind", ["present", "average"])
def test_a_batch_without_anybody_is_encoded(kind: str) -> None:
    features = build(bodies=kind)(torch.zeros(4, 3, 16, 25, 2), "kinectv2_25")
    assert features.shape == (4, 16)
    assert torch.isfinite(features).all()


# --- padding


@pytest.mark.parametrize("garbage", [0.0, 1e6, float("nan")])
def test_padding_is_inert_in_outputs_statistics_and_gradients(garbage: float) -> None:
    x = clips(4, 25, bodies=2)
    padded = torch.cat([x, torch.full((4, 3, 16, 18, 2), garbage)], dim=3)
    plain, other = (randomised(build()) for _ in range(2))
    outputs = []
    for encoder, clip in ((plain, x), (other, padded)):
        output = encoder(clip, "kinectv2_25")
        (output**2).sum().backward()
        outputs.append(output)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)
    for (name, a), b in zip(plain.named_parameters(), other.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None and b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-5, msg=name)
    for (name, a), b in zip(plain.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5, msg=name)


def test_padding_gets_no_gradient_itself() -> None:
    padded = F.pad(clips(2, 25), (0, 0, 0, 18)).requires_grad_(True)
    build()(padded, "kinectv2_25").sum().backward()
    assert padded.grad is not None
    assert not padded.grad[..., 25:, :].any()


# --- what conventions share


def test_conventions_share_convolutions_and_nothing_of_their_own() -> None:
    encoder = build()
    encoder(clips(4, 25), "kinectv2_25").pow(2).sum().backward()
    touched = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert not any("smplx_42" in name for name in touched)
    assert any("kinectv2_25.importance" in name for name in touched)
    assert {name for name, _ in encoder.named_parameters() if name.startswith("blocks")} <= touched


def test_shapes_of_map_and_feature() -> None:
    encoder = build(channels=(4, 4, 6), stride_blocks=(2, 3))
    features = encoder.feature_map(clips(5, 42, frames=17, bodies=2), "smplx_42")
    assert encoder.feature_dim == 6
    assert features.shape == (10, 6, 5, 42)
    assert encoder.pool(features, 2).shape == (5, 6)


def test_bodies_are_averaged_with_the_absent_ones() -> None:
    encoder = build().eval()
    x = clips(3, 25, bodies=2)
    x[..., 1] = 0
    single = [encoder(x[..., body : body + 1], "kinectv2_25") for body in range(2)]
    torch.testing.assert_close(encoder(x, "kinectv2_25"), (single[0] + single[1]) / 2)


def test_a_single_frame_is_enough() -> None:
    assert build()(clips(3, 25, frames=1), "kinectv2_25").shape == (3, 16)


def test_half_precision_stays_close_and_pools_in_float32() -> None:
    encoder, x = build(), clips(8, 25)
    plain = encoder(x, "kinectv2_25")
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(x, "kinectv2_25")
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0.05, atol=0.05)


# --- options


def test_the_degenerate_adjacency_gives_other_numbers() -> None:
    x = clips(3, 25)
    spatial, degenerate = (build(adjacency=kind) for kind in ("spatial", "degenerate"))
    held = own(degenerate, "kinectv2_25").adjacency
    assert [int(subset.count_nonzero()) for subset in held] == [25, 40, 8]
    assert [int(s.count_nonzero()) for s in own(spatial, "kinectv2_25").adjacency] == [25, 24, 24]
    assert not torch.allclose(spatial(x, "kinectv2_25"), degenerate(x, "kinectv2_25"), atol=1e-3)


def test_edge_importance_is_learnt_or_absent() -> None:
    assert len(own(build(), "kinectv2_25").importance) == 3
    without = build(edge_importance=False)
    assert not own(without, "kinectv2_25").importance
    torch.testing.assert_close(build()(clips(2, 25), "kinectv2_25"), without(clips(2, 25), "kinectv2_25"))


def test_normal_init_is_the_released_one() -> None:
    encoder = build(init="normal", channels=(32, 64, 64))
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in encoder.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    weights = torch.cat([m.weight.detach().flatten() for m in convolutions])
    scales = torch.cat([m.weight.detach().flatten() for m in norms])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert scales.mean().item() == pytest.approx(1, abs=0.01)
    assert scales.std().item() == pytest.approx(0.02, rel=0.2)
    assert not any(m.bias.any() for m in (*convolutions, *norms) if m.bias is not None)


def test_dropout_is_in_every_block_but_the_first() -> None:
    encoder = build(dropout=0.5)
    assert [block.dropout.p for block in encoder.blocks if isinstance(block, Block)] == [0.0, 0.5, 0.5]


def test_the_default_is_the_quarter_width_encoder_of_the_papers() -> None:
    encoder = encoders.build(component("stgcn"), {"kinectv2_25": SKELETONS["kinectv2_25"]})
    assert encoder.feature_map(clips(1, 25, frames=50), "kinectv2_25").shape == (1, 256, 13, 25)


def test_weights_come_from_the_generator_and_leave_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = build(1), build(1), build(2)
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [encoder.state_dict()["blocks.0.graph.conv.weight"] for encoder in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chanels": [8]}, "encoder.options.chanels: unknown option.*'channels'"),
        ({"channels": [8, 0]}, "encoder.options.channels.1: "),
        ({"channels": [8, 8]}, "stride_blocks must lie in 1..2"),
        ({"temporal_kernel": 4}, "temporal_kernel must be odd"),
        ({"dropout": 1.0}, "encoder.options.dropout"),
        ({"init": "xavier"}, "encoder.options.init"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        encoders.build(component("stgcn", **options), SKELETONS)


def test_an_unknown_encoder_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="Did you mean 'stgcn'"):
        encoders.build(component("st-gcn"), SKELETONS)
    assert set(ENCODERS) == {"agcn", "bigru", "ctrgcn", "hcn", "stgcn", "vit"}


def test_padded_joints_are_in_no_statistic_or_in_all_but_the_inputs() -> None:
    """Released MS-CLR: 25 joints are filled up to 42. Behind the first graph convolution the other 17 are 0,
    so that its mean is 25/42 of that of the joints. No joint sees them, and evaluation has none."""
    x = clips(6, 42, bodies=2)
    found = {}
    for padding in ("inert", "counted"):
        used, fresh = (build(padding=padding).train() for _ in range(2))
        maps = {
            name: used.feature_map(x[..., : each.num_joints, :], name) for name, each in SKELETONS.items()
        }
        assert [out.shape[3] for out in maps.values()] == [25, 42]
        fresh(x[..., :25, :], "kinectv2_25")
        found[padding] = (fresh.blocks[0].graph_bn.running_mean, maps, fresh)
    (inert, a, _), (counted, b, late) = found["inert"], found["counted"]
    torch.testing.assert_close(counted, inert * 25 / 42)
    assert (a["kinectv2_25"] - b["kinectv2_25"]).abs().max() > 1e-3
    late.eval()
    filled = torch.cat([x[..., :25, :], torch.zeros(6, 3, 16, 17, 2)], dim=3)
    assert torch.equal(late(x[..., :25, :], "kinectv2_25"), late(filled, "kinectv2_25"))
