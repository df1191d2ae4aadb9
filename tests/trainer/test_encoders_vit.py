"""The plain transformer against PyTorch's own, and joints that conventions share by their names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas import ConfigError
from tests.trainer.clips import clips, component, generator, skeleton
from trainer import encoders
from trainer.encoders.joint_names import common_name
from trainer.encoders.vit import Layer, ViT, attend, waves

KINECT = {"kinectv2_25": skeleton("kinectv2_25")}
BOTH = {**KINECT, "smplx_42": skeleton("smplx_42")}


def build(skeletons: Any = None, **options: Any) -> ViT:
    small = {"dim": 8, "layers": 2, "heads": 2, "mlp_ratio": 2, **options}
    encoder = encoders.build(component("vit", **small), skeletons or KINECT, generator=generator())
    assert isinstance(encoder, ViT)
    draw = generator(5)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return encoder


def pytorchs(layer: Layer) -> nn.TransformerEncoderLayer:
    """PyTorch's layer with the same weights."""
    first, second = layer.perceptron[1], layer.perceptron[3]
    assert isinstance(first, nn.Linear)
    made = nn.TransformerEncoderLayer(
        first.in_features,
        layer.heads,
        first.out_features,
        dropout=0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    made.self_attn.in_proj_weight.data = layer.query_key_value.weight.data
    made.self_attn.in_proj_bias.data = layer.query_key_value.bias.data
    for own, theirs in (
        (layer.joined, made.self_attn.out_proj),
        (layer.attention_norm, made.norm1),
        (layer.perceptron[0], made.norm2),
        (first, made.linear1),
        (second, made.linear2),
    ):
        theirs.load_state_dict(own.state_dict())
    return made


def literal(encoder: ViT, x: Tensor, convention: str) -> Tensor:
    """Token by token: four frames of a joint, its name and its time; PyTorch's layers; the mean."""
    spec, patch = BOTH[convention].spec, encoder.options.patch
    weight, bias = encoder.patches.weight, encoder.patches.bias
    assert bias is not None
    features = []
    for clip in x.unbind(4)[0] if x.shape[4] == 1 else x.permute(0, 4, 1, 2, 3).flatten(0, 1):
        frames = [clip[:, min(t, clip.shape[1] - 1)] for t in range(-(-clip.shape[1] // patch) * patch)]
        tokens = []
        for start in range(0, len(frames), patch):
            for joint, name in enumerate(spec.joints):
                seen = torch.stack([frame[:, joint] for frame in frames[start : start + patch]], dim=1)
                token = (weight[..., 0] * seen).sum(dim=(1, 2)) + bias
                tokens.append(token + encoder.joints[common_name(name)] + encoder.at(99)[start // patch])
        sequence = torch.stack(tokens)[None]
        for layer in encoder.layers:
            assert isinstance(layer, Layer)
            sequence = pytorchs(layer)(sequence)
        features.append(encoder.norm(sequence)[0].mean(dim=0))
    return torch.stack(features).view(len(x), x.shape[4], -1).mean(dim=1)


@pytest.mark.parametrize(("convention", "bodies"), [("kinectv2_25", 2), ("smplx_42", 1)])
def test_it_is_pytorchs_transformer_on_patches_of_single_joints(convention: str, bodies: int) -> None:
    encoder = build(BOTH, time="sinusoidal")
    x = clips(2, BOTH[convention].num_joints, frames=10, bodies=bodies)
    torch.testing.assert_close(encoder(x, convention), literal(encoder, x, convention), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
def test_bf16_attention_with_a_gradient_is_that_of_float32_rounded(autocast: bool) -> None:
    drawn = torch.randn(3, 2, 2, 7, 4, generator=generator(3)).to(torch.bfloat16)
    theirs = drawn.float().requires_grad_()
    expected = nn.functional.scaled_dot_product_attention(*theirs)
    expected.sum().backward()
    ours = drawn.clone().requires_grad_()
    with torch.autocast("cpu", enabled=autocast, dtype=torch.bfloat16):
        attended = attend(*ours)
    attended.sum().backward()
    assert theirs.grad is not None
    assert ours.grad is not None
    assert torch.equal(attended, expected.to(torch.bfloat16))
    assert torch.equal(ours.grad, theirs.grad.to(torch.bfloat16))


def test_the_default_is_the_size_of_mamp() -> None:
    encoder = encoders.build(component("vit"), KINECT, generator=generator())
    assert isinstance(encoder, ViT)
    shape = [encoder.options.dim, len(encoder.layers), encoder.options.heads, encoder.options.patch]
    assert shape == [256, 8, 8, 4]
    layer = 12 * 256**2 + 13 * 256  # weights and biases of a layer of a perceptron of 1024
    embedded = 3 * 4 * 256 + 256 + (25 + 30) * 256
    assert sum(each.numel() for each in encoder.parameters()) == 8 * layer + embedded + 2 * 256
    assert torch.stack([*encoder.joints.values()]).std().item() == pytest.approx(0.02, rel=0.1)
    assert not encoder.layers[3].joined.bias.any()  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("names", "common"),
    [
        (("ShoulderLeft", "LShoulder", "lsho", "left_shoulder", "L_Shoulder"), "left_shoulder"),
        (("SpineBase", "pelv", "Hips", "HipCenter"), "pelvis"),
        (("rwri", "WristRight"), "right_wrist"),
        (("Spine1", "spine1"), "spine_1"),
        (("rear", "right_ear"), "right_ear"),
        (("рука.Левая",), "рука_левая"),
        (("...",), "_"),
    ],
)
def test_a_joint_has_one_name_in_all_conventions(names: tuple[str, ...], common: str) -> None:
    assert {common_name(name) for name in names} == {common}


def test_conventions_share_the_joints_that_have_one_name() -> None:
    encoder = build(BOTH)
    kinect, smplx = (encoder.sources[name] for name in BOTH)
    places = [
        BOTH[name].spec.joints.index(joint)
        for name, joint in (("kinectv2_25", "WristLeft"), ("smplx_42", "lwri"))
    ]
    assert kinect[places[0]] == smplx[places[1]] == ("left_wrist",)
    assert len(encoder.joints) == len({*kinect, *smplx}) < 25 + 42
    assert all(len(names) == 1 for names in kinect + smplx)


def test_a_convention_that_was_never_trained_on_is_read_by_its_names() -> None:
    """COCO's joints by a network of Kinect's: what it knows as it is, eyes and ears as the head."""
    encoder, coco = build().eval(), skeleton("coco_17")
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert encoder.adopt("coco_17", coco.spec) == ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    embedded = dict(zip(coco.spec.joints, encoder.embedded("coco_17"), strict=True))
    assert torch.equal(embedded["left_knee"], encoder.joints["left_knee"])
    sources = dict(zip(coco.spec.joints, encoder.sources["coco_17"], strict=True))
    neighbours = [a if b == "nose" else b for a, b in named(coco.spec) if "nose" in (a, b)]
    nearest = [each for each in neighbours if common_name(each) in encoder.joints]
    assert sources["nose"] == tuple(common_name(each) for each in nearest)
    assert len(nearest) == 2
    mean = (encoder.joints[common_name(nearest[0])] + encoder.joints[common_name(nearest[1])]) / 2
    torch.testing.assert_close(embedded["nose"], mean)
    assert encoder(clips(2, 17), "coco_17").shape == (2, 8)
    assert encoder.state_dict().keys() == weights.keys()


def named(spec: Any) -> list[tuple[str, str]]:
    return [(spec.joints[a], spec.joints[b]) for a, b in spec.edges]


def test_a_convention_without_a_known_joint_has_embeddings_of_zero() -> None:
    encoder, hand = build(), skeleton("interhand_21")
    assert encoder.adopt("hand", hand.spec) == hand.spec.joints
    assert not encoder.embedded("hand").any()
    assert torch.isfinite(encoder(clips(2, 21), "hand")).all()


def test_a_joint_is_known_by_its_name_and_not_by_its_place() -> None:
    """The same skeleton with its joints in another order: the same feature."""
    encoder, spec = build().eval(), KINECT["kinectv2_25"].spec
    order = torch.randperm(25, generator=generator(3)).tolist()
    place = {old: new for new, old in enumerate(order)}
    other = spec.model_copy(
        update={
            "joints": tuple(spec.joints[old] for old in order),
            "edges": tuple((place[a], place[b]) for a, b in spec.edges),
        }
    )
    assert encoder.adopt("other", other) == ()
    x = clips(2, 25, bodies=2)
    torch.testing.assert_close(
        encoder(x[:, :, :, order], "other"), encoder(x, "kinectv2_25"), rtol=1e-4, atol=1e-5
    )


def test_times_are_the_first_ones_or_stretched_over_a_longer_clip() -> None:
    encoder = build(positions=3)
    assert encoder.times is not None
    assert torch.equal(encoder.at(2), encoder.times[:2])
    stretched = encoder.at(5)
    torch.testing.assert_close(stretched[[0, 2, 4]], encoder.times)
    torch.testing.assert_close(stretched[1], (encoder.times[0] + encoder.times[1]) / 2)
    sinusoidal = build(time="sinusoidal")
    assert sinusoidal.times is None
    found = waves(4, 8, device=torch.device("cpu"))
    for t in range(4):
        for i in range(4):
            angle = torch.tensor(t / 10_000 ** (i / 4))
            torch.testing.assert_close(found[t, [i, i + 4]], torch.stack([angle.sin(), angle.cos()]))


def test_with_bodies_present_absent_ones_are_in_no_mean() -> None:
    """The features of a transformer may be negative: a body is absent where all of them are zero."""
    x = clips(3, 25, bodies=2)
    x[:2, ..., 1] = 0
    encoder = build(bodies="present").eval()
    single = [encoder(x[..., body : body + 1], "kinectv2_25") for body in range(2)]
    expected = torch.cat([single[0][:2], ((single[0] + single[1]) / 2)[2:]])
    torch.testing.assert_close(encoder(x, "kinectv2_25"), expected)
    assert (expected < 0).any()


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"dim must be a multiple of heads"):
        build(dim=8, heads=3)
    with pytest.raises(ConfigError, match=r"dim must be even"):
        build(dim=3, heads=1)
