"""What is kept of weights: the same bits, made anew whenever the weights are other ones."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import Tensor, nn

from schemas import Component
from tests.trainer.clips import generator
from tests.trainer.tiny import SKELETONS
from trainer import encoders
from trainer.encoders import Encoder
from trainer.kernels import kept as keeping
from trainer.kernels.kept import cached

NAMES = tuple(SKELETONS)
FRAMES = 13


def made() -> Encoder:
    """An ST-GCN of two conventions with statistics as after a training, and a layer by frequencies."""
    options = {"channels": [4, 64, 64], "stride_blocks": [2], "dropout": 0.0, "init": "default"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = encoders.build(Component(name="stgcn", options=options), SKELETONS)
        for module in built.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                assert module.running_mean is not None
                module.running_mean.normal_()
    return built.eval()


def clips(name: str, *, count: int = 3) -> Tensor:
    """The second body is there in the first clip alone."""
    x = torch.randn(count, 3, FRAMES, SKELETONS[name].num_joints, 2, generator=generator())
    x[1:, ..., 1] = 0
    return x


def anew(encoder: Encoder, x: Tensor, name: str) -> Tensor:
    """Without anything that was kept."""
    with torch.no_grad():
        return copy.deepcopy(encoder)(x, name)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_second_time_gives_the_bits_of_the_first(frozen: bool) -> None:
    encoder = made().requires_grad_(not frozen)
    with torch.set_grad_enabled(frozen):
        for name in (*NAMES, *NAMES):
            assert torch.equal(encoder(clips(name), name), anew(encoder, clips(name), name))


@pytest.mark.parametrize(
    "changed", ["blocks.1.temporal.weight", "blocks.2.graph_bn.running_var", "importance.0"]
)
def test_other_weights_give_other_features(changed: str) -> None:
    encoder, name = made().requires_grad_(False), NAMES[0]
    before = encoder(clips(name), name)
    for key, value in encoder.state_dict().items():
        if key.endswith(changed):
            value.mul_(1.5)
    after = encoder(clips(name), name)
    assert not torch.allclose(before, after)
    assert torch.equal(after, anew(encoder, clips(name), name))
    encoder.load_state_dict(made().state_dict())
    assert torch.equal(encoder(clips(name), name), before)


def test_weights_in_other_memory_give_other_features() -> None:
    encoder, name = made().requires_grad_(False), NAMES[0]
    before = encoder(clips(name), name)
    for _ in range(3):
        for parameter in encoder.parameters():
            parameter.data = parameter.data * 1.5
        assert torch.equal(encoder(clips(name), name), anew(encoder, clips(name), name))
    assert not torch.allclose(before, encoder(clips(name), name))


def test_gradients_and_training_are_as_without() -> None:
    name = NAMES[0]
    encoder, other = made(), made()
    with torch.no_grad():
        encoder(clips(name), name)
    for each in (encoder, other):
        each(clips(name), name).square().sum().backward()
    for own, theirs in zip(encoder.parameters(), other.parameters(), strict=True):
        assert (own.grad is None) == (theirs.grad is None)
        assert own.grad is None or torch.equal(own.grad, theirs.grad)
    encoder.train(), other.train()
    assert torch.equal(encoder(clips(name), name), other(clips(name), name))


@pytest.mark.parametrize("bodies", ["average", "present"])
def test_absent_bodies_have_the_features_that_they_have_in_a_batch(bodies: str) -> None:
    """As a slow encoder gives them that is told of no body that it is absent."""
    encoder, name = made(), NAMES[0]
    encoder.options = encoder.options.model_copy(update={"bodies": bodies})  # type: ignore[union-attr, operator]
    x = clips(name, count=4)
    x[3] = 0
    for rows in (slice(0, 1), slice(1, 2), slice(3, 4), slice(0, 4), slice(1, 3)):
        with torch.no_grad():
            found = encoder(x[rows], name)
        torch.testing.assert_close(found, encoder(x[rows], name), rtol=1e-5, atol=1e-6)


def test_nothing_stays_of_an_encoder_that_is_gone() -> None:
    gc.collect()
    before = len(keeping._KEPT)
    encoder, name = made().requires_grad_(False), NAMES[0]
    encoder(clips(name), name)
    assert len(keeping._KEPT) > before
    assert not [key for key in encoder.state_dict() if "kept" in key]
    del encoder
    gc.collect()
    assert len(keeping._KEPT) == before


def test_it_is_made_once_for_the_same_weights() -> None:
    layer, calls = nn.Linear(2, 2).eval().requires_grad_(False), []

    def once(weights: list[Tensor]) -> object:
        return cached(layer, "it", weights, lambda: calls.append(1))

    for _ in range(3):
        once([layer.weight])
    assert len(calls) == 1
    with torch.autocast("cpu"):
        once([layer.weight])
    assert len(calls) == 2, "another number format"
    layer.train()
    once([layer.weight])
    assert len(calls) == 3, "in training"
    with torch.inference_mode():
        inside = torch.ones(2)
    layer.eval()
    once([inside]), once([inside])
    assert len(calls) == 5, "nothing says whether such a tensor was changed"
