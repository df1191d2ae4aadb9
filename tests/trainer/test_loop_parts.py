"""A batch worked on in parts: the same draws, the same step, one move of queue and key network."""

from __future__ import annotations

import copy
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer import ranks, tiny
from tests.trainer.clips import augment, batch, component, generator
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from tests.trainer.tiny import Case
from trainer import augment as augments
from trainer import batch as batches
from trainer import checkpoint, loop, optim, seeds
from trainer.augment.draws import uniform
from trainer.loop import step
from trainer.methods import Method
from trainer.methods.moco import MoCo
from trainer.methods.parts import Parts, make_views
from trainer.momentum import parameter_distance

SKELETONS = {"kinectv2_25": tiny.SKELETONS["kinectv2_25"]}
AUGMENTATIONS = sorted(augments.AUGMENTATIONS)


# --- parts and their draws


@pytest.mark.parametrize("of", [1, 2, 3])
def test_parts_behind_one_another_are_the_batch(of: int) -> None:
    whole = batch(SKELETONS, samples=6, epoch=3)
    parts = [batches.part(whole, index, of=of) for index in range(of)]
    assert torch.equal(torch.cat([part.rows for part in parts]), whole.rows)
    for name, clips in whole.clips.items():
        assert torch.equal(torch.cat([part.clips[name] for part in parts]), clips)
    draws = {int(torch.randint(1000, (), generator=part.host_generator)) for part in parts}
    assert len(draws) == 1, "numbers for Python are the same in all parts"
    assert {part.epoch for part in parts} == {3}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmented_parts_are_the_augmented_batch(name: str) -> None:
    """Bit for bit, and so is what comes behind it in a chain."""
    made = augment(extreme=(name, "shear"))
    views = make_views(Parts(component("stgcn"), SKELETONS, made, "joint", generator()))
    whole = batch(SKELETONS, samples=6, bodies=2, seed=4)
    parts = [batches.part(whole, index, of=3) for index in range(3)]
    found = torch.cat([views.extreme(part, "kinectv2_25") for part in parts])
    assert torch.equal(found, views.extreme(whole, "kinectv2_25"))


def test_a_draw_that_is_not_for_rows_is_the_same_in_every_part() -> None:
    parts = [seeds.part_generator(generator(5), start, start + 2, total=6) for start in (0, 2, 4)]
    assert torch.equal(uniform(parts[0], 7), uniform(parts[2], 7))


# --- accumulation


def frozen(method: nn.Module) -> nn.Module:
    """BatchNorm as a fixed map, in query and key networks: the only part that looks at other clips."""
    for each in method.modules():
        if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d):
            each.eval()
    return method


@pytest.mark.parametrize("accumulate", [2, 3])
@pytest.mark.parametrize("name", ["skeletonclr", "crosclr", "csclr", "isc", "ms-clr-skeletonclr"])
def test_parts_one_after_another_give_the_numbers_of_the_batch(name: str, accumulate: int) -> None:
    plain = {"intra": "infonce"} if name == "csclr" else {}  # EADM looks at other clips, too
    case = tiny.one_case_each()[name]
    case = Case(tiny.changed(case.method, **plain), case.encoder)
    one, many = frozen(case.build()), frozen(case.build())
    at_once = ranks.stepped(one, case, ranks.settings(case))
    in_parts = ranks.stepped(many, case, ranks.settings(case, accumulate=accumulate))
    assert in_parts["loss"] == pytest.approx(at_once["loss"], rel=1e-5)
    for (key, a), b in zip(one.state_dict().items(), many.state_dict().values(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-5, msg=key)
    assert all(torch.equal(a, b) for a, b in zip(at_once["mined"], in_parts["mined"], strict=True))


@pytest.mark.parametrize("name", tiny.with_queue())
def test_a_step_in_parts_moves_queue_and_key_network_once(name: str) -> None:
    case = tiny.one_case_each()[name]
    method = case.build()
    before = copy.deepcopy(method)
    ranks.stepped(method, case, ranks.settings(case, accumulate=2))
    for moco in method.moco_of.values():
        assert moco.queue.steps.max() == ranks.STEPS
        assert moco.queue.pointer == ranks.STEPS * ranks.CLIPS % len(moco.queue.keys)
        assert moco.held is None
    assert parameter_distance(before.key_networks, method.key_networks) > 0


def test_the_key_network_moves_once_however_many_parts() -> None:
    case = tiny.one_case_each()["skeletonclr"]
    moved = []
    for accumulate in (1, 3):
        method = frozen(case.build())
        with torch.no_grad():
            method.moco.query.projector[0].bias.fill_(1.0)
        start = method.moco.key.projector[0].bias.clone()
        step_once(method, case, accumulate)
        moved.append(method.moco.key.projector[0].bias - start)
    assert torch.equal(*moved)
    assert moved[0].abs().max() > 0


def step_once(method: Any, case: Case, accumulate: int) -> None:
    config = ranks.settings(case, accumulate=accumulate)
    given = batch(case.skeletons, samples=6, frames=12)
    step.take(method, optim.build(method.parameters(), config.optimise), given, config=config, step=0)


def test_an_error_in_a_step_leaves_nothing_held() -> None:
    method = tiny.one_case_each()["skeletonclr"].build()
    moco: MoCo = method.moco
    before = moco.queue.keys.clone()
    with suppress(KeyError), method.one_step():
        method(batch(SKELETONS, samples=4))
        assert moco.held
        raise KeyError("in the middle")
    assert moco.held is None
    assert torch.equal(moco.queue.keys, before)


def test_a_run_in_parts_is_told_of_batch_norm_and_resumes_exactly(tmp_path: Path) -> None:
    store = write_store(tmp_path / "toy.zarr")
    config = tiny_config(store, optimise__accumulate=2, encoder__options__dropout=0.5)
    told: list[str] = []
    loop.pretrain(config, out=tmp_path / "whole", on_progress=lambda state: told.extend(state.warnings))
    assert told[0].startswith("BatchNorm takes its statistics of 2 clips at a time, not of the batch of 4")
    shorter = tiny_config(store, optimise__accumulate=2, encoder__options__dropout=0.5, optimise__epochs=1)
    loop.pretrain(shorter, out=tmp_path / "parts")
    loop.pretrain(config, out=tmp_path / "parts", resume=True)
    one, other = (checkpoint.load(tmp_path / name / checkpoint.LAST).model for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_dropout_differs_between_parts() -> None:
    """The masks of a part are drawn for it alone, so the first part has those of an undivided batch."""
    seen: list[Tensor] = []

    class Noise(Method):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, given: batches.Batch) -> dict[str, Tensor]:
            seen.append(torch.rand(3))
            return {"loss": self.weight * 1.0}

    step_once(Noise(), tiny.one_case_each()["skeletonclr"], 3)
    step_once(Noise(), tiny.one_case_each()["skeletonclr"], 1)
    assert len({tuple(each.tolist()) for each in seen}) == 3
    assert torch.equal(seen[0], seen[3])
