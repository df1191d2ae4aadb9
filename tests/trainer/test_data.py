"""Batches: seeded, resumable at any step, padded with zeros, every clip as often as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from schemas import StoreError
from tests.trainer.stores import write_store
from trainer import data, memory, seeds
from trainer import store as stores
from trainer.batch import Batch, Pairing
from trainer.store import Samples, Selection


def samples(count: int, joints: tuple[int, ...] = (3, 5)) -> Samples:
    """Clip n holds n + 1 everywhere, in every convention."""
    value = torch.arange(1.0, count + 1).view(-1, 1, 1, 1, 1)
    clips = {f"c{v}": value.expand(count, 3, 2, v, 1).clone() for v in joints}
    return Samples(
        clips, torch.zeros(count, dtype=torch.int64), tuple(map(str, range(count))), torch.arange(count)
    )


def epoch(found: Samples, *, passes: int = 1, **changes: int) -> list[Batch]:
    pairing = Pairing((("c2", "c2"),), passes=passes)
    return list(data.batches(found, pairing=pairing, **({"batch_size": 4, "seed": 0, "epoch": 0} | changes)))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 40), size=st.integers(2, 12), passes=st.integers(1, 3), number=st.integers(0, 5))
def test_an_epoch_shows_each_clip_at_most_once_a_pass(
    count: int, size: int, passes: int, number: int
) -> None:
    found = samples(count, joints=(2,))
    made = epoch(found, batch_size=size, passes=passes, epoch=number)
    assert len(made) == data.steps_per_epoch(found, batch_size=size, passes=passes)
    assert {len(batch.rows) for batch in made} == {min(size, count)}
    per_pass = len(made) // passes
    for turn in range(passes):
        rows = torch.cat([b.rows for b in made[turn * per_pass : (turn + 1) * per_pass]]).tolist()
        assert max(Counter(rows).values()) == 1
        assert count - len(rows) < size


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 9), passes=st.integers(1, 2))
def test_entering_at_a_step_gives_the_rest_of_the_epoch(start: int, passes: int) -> None:
    found = samples(22)
    whole, rest = epoch(found, passes=passes), epoch(found, passes=passes, start_step=start)
    assert len(rest) == max(0, len(whole) - start)
    for one, other in zip(whole[start:], rest, strict=True):
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(torch.rand(3, generator=one.generator), torch.rand(3, generator=other.generator))
        assert one.host_generator.initial_seed() == other.host_generator.initial_seed()


def test_clips_are_those_of_the_rows_with_the_joints_of_their_convention() -> None:
    for batch in epoch(samples(9)):
        shapes = {name: clip.shape for name, clip in batch.clips.items()}
        assert shapes == {"c3": (4, 3, 2, 3, 1), "c5": (4, 3, 2, 5, 1)}
        for clip in batch.clips.values():
            assert torch.equal(clip, (batch.rows + 1.0).view(-1, 1, 1, 1, 1).expand_as(clip))


def test_without_a_pairing_query_and_key_see_the_first_convention() -> None:
    made = list(data.batches(samples(9), batch_size=4, seed=0, epoch=0))
    assert [(batch.query, batch.key) for batch in made] == [("c3", "c3")] * 2


def test_epochs_passes_and_seeds_differ_and_runs_repeat() -> None:
    found = samples(30)

    def order(**changes: int) -> list[int]:
        return torch.cat([batch.rows for batch in epoch(found, **changes)]).tolist()

    both = order(passes=2)
    orders = [order(), order(epoch=1), order(seed=1), both[len(both) // 2 :]]
    assert len({tuple(each) for each in orders}) == 4
    assert order() == orders[0] == both[: len(both) // 2]
    made = [batch for number in range(3) for batch in epoch(found, epoch=number)]
    draws = {made_by.initial_seed() for b in made for made_by in (b.generator, b.host_generator)}
    assert len(draws) == 3 * 7 * 2


def test_one_clip_is_too_few() -> None:
    with pytest.raises(StoreError, match="needs 2 clips or more, the split has 1"):
        epoch(samples(1))


def test_seeds_are_stable_across_machines_and_versions() -> None:
    # A change of this number would make every saved run continue differently.
    assert seeds.derive(0, 3, 7, "augment") == 1175251644624108569
    assert 0 <= seeds.derive(2**40, "x") < 2**63
    assert seeds.derive(1, 23) != seeds.derive(12, 3)


def stored(path: Path) -> Selection:
    write_store(path)
    opened = stores.open_store(path)
    return stores.select(opened, split="xview", part="train", conventions=["few_6"], frames=12)


def test_what_does_not_fit_on_the_device_stays_in_host_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection, meta = stored(tmp_path / "s.zarr"), torch.device("meta")
    size = len(selection) * selection.clip_bytes
    for room, where in ((size, "meta"), (size - 1, "cpu")):
        monkeypatch.setattr(memory, "device_limit", lambda device, room=room: room)
        found = data.load(selection, device=meta)
        assert isinstance(found, Samples)
        assert (found.device.type, found.labels.device.type) == (where, "meta")


def test_batches_are_the_same_from_host_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection, cpu = stored(tmp_path / "s.zarr"), torch.device("cpu")
    resident = data.load(selection, device=cpu)
    monkeypatch.setattr(memory, "device_limit", lambda device: 0)
    for one, other in zip(epoch(resident), epoch(data.load(selection, device=cpu)), strict=True):
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.clips["few_6"], other.clips["few_6"])


def test_a_batch_is_sent_before_the_one_before_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for CUDA: what is sent when, and that whoever uses a batch waits for its arrival."""
    events: list[str] = []
    side, user = MagicMock(), MagicMock()
    numbers = iter(range(9))
    side.record_event.side_effect = lambda: next(numbers)
    user.wait_event.side_effect = lambda event: events.append(f"await {event}")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: user)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: events.append("held"))

    def made() -> Iterator[tuple[Tensor, data.Clips]]:
        for number in range(3):
            events.append(f"send {number}")
            yield torch.tensor([number]), {"c": torch.full((1, 3, 2, 4, 1), number)}

    for rows, clips in data._ahead(made(), torch.device("cpu")):
        assert (clips["c"] == rows).all()
        events.append(f"use {int(rows)}")
    used = [["await 0", "held", "held", "use 0"], ["await 1", "held", "held", "use 1"]]
    last = ["await 2", "held", "held", "use 2"]
    assert events == ["send 0", "send 1", *used[0], "send 2", *used[1], *last]


def test_the_order_of_batches_in_memory_is_that_of_earlier_versions() -> None:
    # A change of these numbers would make every saved run continue differently.
    assert torch.cat([batch.rows for batch in epoch(samples(12), epoch=2, seed=7)]).tolist() == [
        1,
        6,
        9,
        5,
        10,
        0,
        3,
        7,
        2,
        11,
        4,
        8,
    ]
