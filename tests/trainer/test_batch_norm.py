"""BatchNorm over processes; that two processes give the statistics of one is in test_distributed.py."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainer import batch_norm
from trainer.batch_norm import JoinedBatchNorm


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))
    nn.init.uniform_(made[1][0].weight)
    return made


def test_conversion_keeps_tensors_names_and_mode() -> None:
    made = network().eval()
    before, names = dict(made.named_parameters()), list(made.state_dict())
    batch_norm.join_(made)
    assert isinstance(made[1][0], JoinedBatchNorm)
    assert not made[1][0].training
    assert list(made.state_dict()) == names
    assert all(before[name] is parameter for name, parameter in made.named_parameters())
    held = made[1][0]
    batch_norm.join_(made)
    assert made[1][0] is held, "once is enough"


@pytest.mark.parametrize("training", [True, False])
def test_one_process_has_plain_batch_norm(training: bool) -> None:
    plain = network().train(training)
    joined = copy.deepcopy(plain)
    batch_norm.join_(joined)
    x = torch.randn(4, 2, 5, 6)
    assert torch.equal(joined(x), plain(x))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, joined.state_dict()[name]), name


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 5), (4, 3, 5, 6)])
def test_the_arithmetic_is_that_of_batch_norm(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], momentum: float | None
) -> None:
    """Two processes are claimed and nothing is exchanged, so the sums are those of one."""
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    plain = kind(3, momentum=momentum)
    joined = nn.Sequential(copy.deepcopy(plain))
    batch_norm.join_(joined)
    monkeypatch.setattr("trainer.distributed.size", lambda: 2)
    for seed in range(2):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3 + 5
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outs = [each(given) for each, given in zip((plain, joined), inputs, strict=True)]
        torch.testing.assert_close(outs[1], outs[0], rtol=1e-5, atol=1e-5)
        for out in outs:
            (out**3 * x.cos()).sum().backward()
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-4)
    for (name, a), b in zip(plain.state_dict().items(), joined[0].state_dict().values(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5, msg=name)


def test_running_statistics_are_those_of_every_batch_norm() -> None:
    found = batch_norm.running_statistics(nn.Sequential(network(), nn.BatchNorm1d(7), nn.Linear(2, 2)))
    assert [len(each) for each in found] == [3, 3, 7, 7]
    assert batch_norm.running_statistics(nn.BatchNorm1d(4, track_running_stats=False)) == []
