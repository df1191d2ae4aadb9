from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.trainer.clips import generator
from trainer.momentum import Queue, frozen_copy, parameter_distance, projector, update_


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_the_copy_is_equal_separate_and_takes_no_gradient() -> None:
    query = network(0)
    key = frozen_copy(query)
    assert parameter_distance(query, key) == 0
    assert not any(p.requires_grad for p in key.parameters())
    assert all(p.requires_grad for p in query.parameters())
    with torch.no_grad():
        query[0].weight.add_(1)
    assert parameter_distance(query, key) > 0


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.999, 1.0])
def test_the_moving_average_is_exact_in_place_and_leaves_buffers(momentum: float) -> None:
    query, key = network(0), frozen_copy(network(1))
    query(torch.randn(8, 4))  # moves the query's running statistics
    before, held = copy.deepcopy(key), list(key.parameters())
    update_(key, query, momentum)
    for old, new, q in zip(before.parameters(), key.parameters(), query.parameters(), strict=True):
        torch.testing.assert_close(new, momentum * old + (1 - momentum) * q.detach(), rtol=1e-6, atol=1e-7)
    assert all(a is b for a, b in zip(held, key.parameters(), strict=True))
    for name, buffer in before.named_buffers():
        assert torch.equal(buffer, key.get_buffer(name))


def test_the_distance_is_relative_to_the_query() -> None:
    query, key = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        query.weight.copy_(torch.tensor([[3.0, 4.0]]))
        key.weight.copy_(torch.tensor([[3.0, 2.0]]))
    assert parameter_distance(query, key).item() == pytest.approx(2 / 5)


def test_scales_and_biases_do_not_hide_the_distance() -> None:
    query, key = network(0), network(1)
    near = parameter_distance(query, key)
    with torch.no_grad():
        query[1].weight.fill_(1000)
    assert parameter_distance(query, key) == near
    assert near > 0.8


@pytest.mark.parametrize("batches", [(3, 3, 3), (4, 7, 1, 5), (10,), (11, 2), (25, 3)])
def test_the_queue_holds_the_last_keys_whatever_the_batch_sizes(batches: tuple[int, ...]) -> None:
    queue = Queue(10, 2, generator=generator())
    slots = queue.keys.tolist()
    pushed = 0
    for size in batches:
        keys = torch.arange(pushed, pushed + size, dtype=torch.float32)[:, None].repeat(1, 2)
        queue.enqueue(keys, torch.arange(len(keys)))
        for value in keys.tolist():
            slots[pushed % 10] = value
            pushed += 1
    assert queue.keys.tolist() == slots
    assert queue.pointer.item() == pushed % 10


def test_the_queue_starts_with_seeded_unit_vectors() -> None:
    first, again, other = (Queue(7, 5, generator=generator(seed)).keys for seed in (1, 1, 2))
    torch.testing.assert_close(first.norm(dim=1), torch.ones(7))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_loss_can_be_differentiated_after_its_keys_went_into_the_queue() -> None:
    queue = Queue(6, 3, generator=generator())
    q = torch.randn(2, 3, requires_grad=True)
    held = queue.keys.clone()
    loss = (q @ queue.keys.t()).sum()
    queue.enqueue(torch.ones(2, 3), torch.arange(2))
    loss.backward()
    torch.testing.assert_close(q.grad, held.sum(0).repeat(2, 1))


def test_filling_in_place_gives_the_same_queue_without_a_copy() -> None:
    copied, placed = (Queue(6, 3, generator=generator()) for _ in range(2))
    held = placed.keys
    for start in (0, 4):
        rows = torch.arange(start, start + 4)
        copied.enqueue(torch.ones(4, 3) * start, rows)
        placed.enqueue(torch.ones(4, 3) * start, rows, in_place=True)
    assert placed.keys is held
    for name, value in copied.state_dict().items():
        assert torch.equal(value, placed.state_dict()[name]), name


def test_queue_and_pointer_are_part_of_the_state() -> None:
    queue, other = (Queue(6, 3, generator=generator(seed)) for seed in (0, 1))
    queue.enqueue(torch.ones(4, 3), torch.arange(4))
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.keys, queue.keys)
    assert other.pointer.item() == 4


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_projector_is_two_linear_layers_with_an_optional_norm(norm: str) -> None:
    head = projector(6, 5, 4, norm=norm)  # type: ignore[arg-type]
    kinds = [type(layer).__name__ for layer in head]
    middle = ["BatchNorm1d"] if norm == "batch" else []
    assert kinds == ["Linear", *middle, "ReLU", "Linear"]
    assert head(torch.randn(3, 6)).shape == (3, 4)
