"""What holds for every method, with every encoder that it takes. A new line in METHODS is tested here."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import nn

from schemas import SkeletonSpec, UsageError
from skeltools import graph
from tests.trainer import simclr, tiny
from tests.trainer.clips import augment, batch, clips, generator, train
from tests.trainer.tiny import Case
from trainer import methods
from trainer.batch import Batch
from trainer.encoders import ENCODERS
from trainer.methods import METHODS, Method, Stage
from trainer.methods.moco import MoCoMethod, Network
from trainer.momentum import Queue, parameter_distance
from trainer.skeleton import Skeleton

with simclr.registered():  # which is none of momentum contrast, and asks whether a test is of all methods
    ALL = tiny.all_cases()
    ONE = tiny.one_case_each()
every_pair = pytest.mark.parametrize("case", ALL.values(), ids=ALL.keys())
every = pytest.mark.parametrize("case", ONE.values(), ids=ONE.keys())


def has_moco(case: Case) -> bool:
    name = case.method.options.get("base", {}).get("name", case.method.name)
    return issubclass(METHODS[name], MoCoMethod)


def stages_of(cases: dict[str, Case]) -> pytest.MarkDecorator:
    with simclr.registered():
        found = [(f"{name}-{epoch}", case, epoch) for name, case in cases.items() for epoch in case.epochs]
    return pytest.mark.parametrize(
        ("case", "epoch"), [pytest.param(case, epoch, id=name) for name, case, epoch in found]
    )


with simclr.registered():
    MOCO = {name: case for name, case in ONE.items() if has_moco(case)}
with_moco = pytest.mark.parametrize("case", MOCO.values(), ids=MOCO.keys())
in_every_stage = stages_of(ONE)
moco_in_every_stage = stages_of(MOCO)


@pytest.fixture(autouse=True)
def _simclr() -> Iterator[None]:
    with simclr.registered():
        yield


def given(case: Case, **more: Any) -> Batch:
    return batch(case.skeletons, **{"epoch": case.epochs[-1], "frames": 12, **more})


def queues(method: nn.Module) -> list[Queue]:
    return [each for each in method.modules() if isinstance(each, Queue)]


def assert_same_state(a: nn.Module, b: nn.Module) -> None:
    for (name, left), right in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


# --- the interface


@every
def test_it_has_what_the_trainer_asks_of_a_method(case: Case) -> None:
    method = case.build()
    assert isinstance(method, Method)
    assert inspect.getdoc(type(method))
    assert not any(
        isinstance(module, Network) for each in method.encoders.values() for module in each.modules()
    )
    assert method.networks.keys() == method.encoders.keys()
    assert all(method.networks[name].encoder is encoder for name, encoder in method.encoders.items())
    still = {id(p) for name, p in method.named_parameters() if method.rates.get(name, 1) == 0}
    assert all(p.requires_grad != (id(p) in still) for p in method.networks.parameters())
    assert set(method.encoders.values()) <= set(method.compiled)
    for encoder in method.encoders.values():
        x = given(case).clips["kinectv2_25"]
        assert encoder(x, "kinectv2_25").shape == (8, encoder.feature_dim)


@every
def test_its_stages_begin_at_the_start_and_follow_each_other(case: Case) -> None:
    found = methods.stages(case.method)
    assert found[0].start == 0
    starts = [stage.start for stage in found]
    assert starts == sorted(set(starts))
    assert all(stage.name.split() == [stage.name] and stage.summary for stage in found)
    assert [methods.current(found, start) for start in starts] == list(range(len(found)))


def test_the_current_stage_is_the_last_one_that_has_begun() -> None:
    stages = (Stage("a", 0, ""), Stage("b", 3, ""), Stage("c", 5, ""))
    assert [methods.current(stages, epoch) for epoch in range(7)] == [0, 0, 0, 1, 1, 2, 2]


@with_moco
def test_its_key_networks_are_as_its_query_networks_and_take_no_gradient(case: Case) -> None:
    method = case.build()
    queries, keys = ([p.shape for p in n.parameters()] for n in (method.networks, method.key_networks))
    assert queries == keys
    assert not any(p.requires_grad for p in method.key_networks.parameters())


@pytest.mark.parametrize("name", methods.names())
def test_its_settings_have_defaults(name: str) -> None:
    options = methods.options_of(name)
    assert options() == options.model_validate({})


@pytest.mark.parametrize("name", sorted(n for n, kind in METHODS.items() if kind.needs_map))
@pytest.mark.parametrize("encoder", sorted(n for n, kind in ENCODERS.items() if kind.map_axes is None))
def test_an_encoder_without_a_map_is_refused_where_one_is_needed(name: str, encoder: str) -> None:
    with pytest.raises(UsageError, match=r"encoder\.name: .*agcn, ctrgcn, stgcn"):
        Case(tiny.component(name), tiny.encoder(encoder)).build()


# --- a step


@in_every_stage
def test_a_step_gives_a_loss_with_gradient_and_detached_scalars(case: Case, epoch: int) -> None:
    method = case.build()
    train(method, [given(case, epoch=epoch, seed=seed) for seed in range(2)])
    out = method(given(case, epoch=epoch, bodies=2))
    assert out["loss"].requires_grad
    mined = out.pop("mined_rows", None)
    assert all(value.shape == () and torch.isfinite(value) for value in out.values())
    assert not any(value.requires_grad for name, value in out.items() if name != "loss")
    if isinstance(method, MoCoMethod):
        assert {"positive", "negative", "info_nce"} <= out.keys()
    if mined is not None:
        assert mined.shape[0] == 8
        assert mined.dtype == torch.int64
        assert set(mined.flatten().tolist()) <= set(range(8)) | {-1}
        assert (mined >= 0).any()


@every_pair
def test_a_step_along_the_gradient_lowers_the_loss_on_its_batch(case: Case) -> None:
    """In the last stage, with a key network that stands still and the same views twice. Mining and EADM jump
    where another neighbour or feature is chosen, so one of three sizes of the step must do."""
    start = case.build(**({"momentum": 1.0} if has_moco(case) else {}))
    start(given(case, seed=3))
    method = copy.deepcopy(start)
    before = method(given(case))["loss"]
    before.backward()
    gradients = [p.grad for p in method.parameters()]
    assert any(
        loss_after(start, gradients, given(case), lr=lr) < float(before.detach()) for lr in (1e-3, 1e-2, 1e-4)
    )


def loss_after(start: nn.Module, gradients: list[Any], given: Batch, *, lr: float) -> float:
    """Of the batch, one step of gradient descent away from ``start``."""
    moved = copy.deepcopy(start)
    with torch.no_grad():
        for parameter, gradient in zip(moved.parameters(), gradients, strict=True):
            if gradient is not None:
                parameter -= lr * gradient
    return float(moved(given)["loss"].detach())


@every
def test_the_same_generators_give_the_same_training(case: Case) -> None:
    first, again, other = (case.build(seed=seed) for seed in (1, 1, 2))
    found = [train(method, [given(case, seed=s) for s in range(2)]) for method in (first, again, other)]
    assert found[0] == found[1] != found[2]
    assert_same_state(first, again)


@every_pair
def test_a_restored_method_goes_on_exactly(case: Case) -> None:
    straight = case.build()
    train(straight, [given(case, seed=seed) for seed in range(2)])
    restored = case.build(seed=9)
    restored.load_state_dict(copy.deepcopy(straight.state_dict()))
    ends = [train(each, [given(case, seed=2)]) for each in (straight, restored)]
    assert ends[0] == ends[1]
    assert_same_state(straight, restored)


@moco_in_every_stage
def test_the_key_network_follows_by_the_moving_average_alone(case: Case, epoch: int) -> None:
    method = case.build()
    train(method, [given(case, epoch=epoch)])
    assert parameter_distance(method.networks, method.key_networks) > 0
    before, queries = copy.deepcopy(method.key_networks), copy.deepcopy(method.networks)
    method(given(case, epoch=epoch, seed=7))["loss"].backward()
    pairs = zip(before.parameters(), method.key_networks.parameters(), queries.parameters(), strict=True)
    for old, new, query in pairs:
        torch.testing.assert_close(new, 0.9 * old + 0.1 * query.detach(), rtol=1e-6, atol=1e-7)
        assert new.grad is None


@with_moco
def test_every_queue_receives_the_same_rows_and_wraps_around_at_odd_batch_sizes(case: Case) -> None:
    method, rows, pushed = case.build(), [-1] * 24, 0
    start = [queue.keys for queue in queues(method)]
    for samples in (7, 7, 7, 5):
        each = given(case, samples=samples, seed=pushed)
        method(each)
        if pushed == 0:
            for queue, drawn in zip(queues(method), start, strict=True):
                assert torch.equal(queue.keys[7:], drawn[7:])
        for row in each.rows.tolist():
            rows[pushed % 24] = row
            pushed += 1
    for queue in queues(method):
        assert queue.rows.tolist() == rows
        assert queue.pointer.item() == 26 % 24
        assert queue.steps.tolist() == [4] * 2 + [1] * 5 + [2] * 7 + [3] * 7 + [4] * 3
        torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(24))


@every
def test_evaluation_mode_moves_nothing(case: Case) -> None:
    method = case.build()
    train(method, [given(case)])
    method.eval()
    before = copy.deepcopy(method)
    method(given(case))
    assert_same_state(before, method)


@every
def test_half_precision_is_near_and_its_loss_is_float32(case: Case) -> None:
    plain = case.build()(given(case))["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        half = case.build()(given(case))["loss"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0.1, atol=0.1)


# --- what must not reach the loss


@every_pair
def test_padding_is_inert_through_a_whole_step(case: Case) -> None:
    """Augmentation, stream, encoder, EADM, mixing, losses, mining: 60 joint slots with garbage are none."""
    plain, padded = case.build(), case.build()
    for seed in range(2):
        outs = [plain(given(case, seed=seed)), padded(given(case, seed=seed, pad_to=60, padding=1e6))]
        for out in outs:
            out["loss"].backward()
        torch.testing.assert_close(*outs, rtol=0, atol=1e-5)
    for (name, a), b in zip(plain.named_parameters(), padded.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None and b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-5, msg=name)
    torch.testing.assert_close(plain.state_dict(), padded.state_dict(), rtol=0, atol=1e-5)


def renumbered(skeleton: Skeleton, order: list[int]) -> Skeleton:
    """The convention with old joint ``order[i]`` as joint i."""
    old, place = skeleton.spec, {joint: index for index, joint in enumerate(order)}
    spec = SkeletonSpec.model_validate(
        old.model_dump()
        | {
            "joints": [old.joints[joint] for joint in order],
            "edges": [(place[a], place[b]) for a, b in old.edges],
            "center": place[old.center],
            "shoulders": [place[joint] for joint in old.shoulders],
            "left_right_swap": [place[old.left_right_swap[joint]] for joint in order],
            "body_parts": {part: sorted(place[j] for j in joints) for part, joints in old.body_parts.items()},
        }
    )
    graphs = (graph.spatial_partition(spec), graph.degenerate_partition(spec))
    return Skeleton(spec, *(torch.from_numpy(each) for each in graphs))


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=n) for n, c in ALL.items() if c.encoder.name in ("stgcn", "agcn")]
)
def test_the_numbering_of_joints_does_not_matter(case: Case) -> None:
    """Joints and spec permuted alike: only augmentations that draw per joint could tell."""
    quiet = augment(
        extreme=("shear", "temporal_crop", "spatial_flip", "rotate", "axis_mask", "gaussian_blur")
    )
    orders = {
        name: torch.randperm(each.num_joints, generator=generator(5)).tolist()
        for name, each in case.skeletons.items()
    }
    other = {name: renumbered(each, orders[name]) for name, each in case.skeletons.items()}
    plain, moved = case.build(with_augment=quiet), case.build(with_augment=quiet, skeletons=other)
    for seed in range(2):
        exact, again = given(case, seed=seed), given(case, seed=seed)
        shuffled = {}
        for name, x in again.clips.items():
            shuffled[name] = x.clone()
            shuffled[name][..., : len(orders[name]), :] = x[..., orders[name], :]
        a, b = (m(x)["loss"] for m, x in ((plain, exact), (moved, replace(again, clips=shuffled))))
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5)


def test_no_label_is_in_a_batch() -> None:
    assert {field.name for field in fields(Batch)} == {
        "clips",
        "query",
        "key",
        "rows",
        "epoch",
        "generator",
        "host_generator",
    }


@in_every_stage
def test_the_rows_of_a_batch_do_not_reach_the_loss(case: Case, epoch: int) -> None:
    """They could be traced to labels."""
    for_real, shuffled = case.build(), case.build()
    for seed in range(3):
        real = given(case, epoch=epoch, seed=seed)
        other = replace(given(case, epoch=epoch, seed=seed), rows=real.rows.flip(0) + 1000)
        assert torch.equal(for_real(real)["loss"], shuffled(other)["loss"])


def test_the_batches_of_these_tests_are_clips_that_differ() -> None:
    x = clips(4, 25)
    assert (x[0] - x[1]).abs().mean() > 0.5
