"""Shuffled shards: every row once, in an order that can be entered anywhere, in bounded memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from schemas import ConfigError, StoreError, UsageError
from tests.trainer import learners
from tests.trainer.learners import Means
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import write_store
from trainer import data, logbook, loop, memory, shards
from trainer import store as stores
from trainer.batch import Batch, Pairing
from trainer.evaluate import fit, halves, semi
from trainer.evaluate.features import Split, extract
from trainer.evaluate.halves import open_half, open_halves
from trainer.evaluate.training import Training
from trainer.shards import Shards
from trainer.store import Selection

SHARD = 3
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 rows, 20 of them for training, in seven shards of three rows or two."""
    return write_store(
        tmp_path_factory.mktemp("shards") / "toy.zarr",
        conventions=("few_6", "many_8"),
        missing={"many_8": (4,)},
    )


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_BLOCK", SHARD)


def select(path: Path, *conventions: str) -> Selection:
    return stores.select(
        stores.open_store(path),
        split="xview",
        part="train",
        conventions=conventions or ("few_6", "many_8"),
        frames=12,
    )


def sharded(path: Path, *, per_buffer: int = 2) -> Shards:
    selection = select(path)
    limit = Shards(selection, selection.labels, per_buffer).peak_bytes
    found = data.load(selection, device=CPU, memory_limit=limit)
    assert isinstance(found, Shards)
    return found


def epoch(found: data.Source, *, passes: int = 1, **changes: int) -> list[Batch]:
    pairing = Pairing((("few_6", "many_8"),), passes=passes)
    return list(data.batches(found, pairing=pairing, **({"batch_size": 4, "seed": 0, "epoch": 0} | changes)))


def order(found: data.Source, **changes: int) -> list[int]:
    return torch.cat([batch.rows for batch in epoch(found, **changes)]).tolist()


@pytest.mark.parametrize("per_buffer", [1, 2, 5, 9])
@pytest.mark.parametrize("size", [2, 4, 5, 20])
def test_an_epoch_shows_every_row_once_with_its_own_clips(path: Path, per_buffer: int, size: int) -> None:
    selection = select(path)
    whole = stores.in_memory(selection).clips
    made = epoch(Shards(selection, selection.labels, per_buffer), batch_size=size)
    assert sorted(torch.cat([batch.rows for batch in made]).tolist()) == list(range(20))
    for batch in made:
        assert len(batch.rows) == size
        for name, clips in batch.clips.items():
            assert torch.equal(clips, whole[name][batch.rows])


def test_incomplete_batches_are_dropped_unless_there_is_no_other(path: Path) -> None:
    found = sharded(path)
    assert [len(batch.rows) for batch in epoch(found, batch_size=6)] == [6, 6, 6]
    assert [len(batch.rows) for batch in epoch(found, batch_size=50)] == [20]


@pytest.mark.parametrize("start", range(11))
def test_entering_at_a_step_gives_the_rest_of_the_epoch(path: Path, start: int) -> None:
    found = sharded(path)
    whole, rest = epoch(found, passes=2), epoch(found, passes=2, start_step=start)
    assert len(whole) == 10
    assert len(rest) == 10 - start
    for one, other in zip(whole[start:], rest, strict=True):
        assert torch.equal(one.rows, other.rows)
        assert all(torch.equal(one.clips[name], other.clips[name]) for name in one.clips)
        assert one.generator.initial_seed() == other.generator.initial_seed()


def test_orders_are_repeatable_and_differ_between_epochs_passes_and_seeds(path: Path) -> None:
    found = sharded(path)
    both = order(found, passes=2)
    orders = [order(found), order(found, epoch=1), order(found, seed=1), both[20:]]
    assert len({tuple(each) for each in orders}) == 4
    assert order(sharded(path)) == orders[0] == both[:20]


def test_shards_of_an_epoch_meet_in_other_buffers(path: Path) -> None:
    found = sharded(path)
    pairs = set()
    for number in range(20):
        buffers = shards.plan(found, seed=0, epoch=number, turn=0)
        assert [len(buffer.shards) for buffer in buffers] == [2, 2, 2, 1]
        pairs |= {frozenset(shard.start for shard in buffer.shards) for buffer in buffers[:3]}
    assert len(pairs) > 15  # of 21


def test_a_resume_reads_nothing_of_the_buffers_that_are_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, read = sharded(path), stores.read
    plan = shards.plan(found, seed=0, epoch=0, turn=0)
    asked: list[Sequence[range]] = []

    def noting(selection: Selection, chosen: Sequence[range]) -> dict[str, Tensor]:
        asked.append(chosen)
        return read(selection, chosen)

    monkeypatch.setattr(stores, "read", noting)
    epoch(found, start_step=4)
    done = [sum(len(buffer.order) for buffer in plan[: place + 1]) <= 16 for place in range(len(plan))]
    assert asked == [buffer.shards for buffer, over in zip(plan, done, strict=True) if not over]
    assert 1 <= len(asked) <= 2


def test_no_more_than_two_buffers_are_alive(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, read, ask = sharded(path), stores.read, shards._read
    alive: list[weakref.ref[Tensor]] = []
    asked: list[Any] = []
    peak = 0

    def counting(selection: Selection, chosen: Sequence[range]) -> dict[str, Tensor]:
        nonlocal peak
        clips = read(selection, chosen)
        alive.extend(map(weakref.ref, clips.values()))
        peak = max(peak, sum(tensor.nbytes for each in alive if (tensor := each()) is not None))
        return clips

    def noting(*arguments: Any) -> Any:
        asked[:] = [ask(*arguments)]
        return asked[0]

    monkeypatch.setattr(stores, "read", counting)
    monkeypatch.setattr(shards, "_read", noting)
    for number in range(3):
        for _ in data.batches(found, batch_size=3, seed=0, epoch=number):
            asked[0].exception()  # the next buffer is there while this one is used
        asked.clear()
    whole = len(found) * found.selection.clip_bytes
    assert len(alive) == 3 * 4 * 2  # epochs, buffers, conventions
    assert whole / 3 < peak <= found.peak_bytes - found.selection.shard_bytes < whole


def test_the_limit_decides_what_is_read_and_how_much_at_a_time(path: Path) -> None:
    selection = select(path)
    enough = shards.bytes_in_memory(selection)
    assert isinstance(data.load(selection, device=CPU, memory_limit=enough), stores.Samples)
    assert isinstance(data.load(selection, device=CPU), stores.Samples)
    just_less = data.load(selection, device=CPU, memory_limit=enough - 1)
    assert isinstance(just_less, Shards)
    assert just_less.per_buffer == 3
    assert just_less.peak_bytes < enough


def test_a_limit_below_two_shards_names_the_least_that_works(path: Path) -> None:
    selection = select(path)
    with pytest.raises(ConfigError, match=r"data\.memory_limit: 99 bytes are too few .* Set") as caught:
        data.load(selection, device=CPU, memory_limit=99)
    least = int(str(caught.value).split("the least is ")[1].split(".")[0])
    with pytest.raises(ConfigError):
        data.load(selection, device=CPU, memory_limit=least - 1)
    found = data.load(selection, device=CPU, memory_limit=least)
    assert len(order(found)) == 20


def test_a_damaged_shard_is_reported_from_the_thread(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = write_store(tmp_path / "broken.zarr")
    found = data.load(select(broken, "few_6"), device=CPU, memory_limit=30_000)
    assert isinstance(found, Shards)
    for chunk in (broken / "streams/few_6/t12/joint/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"\x00")
    with pytest.raises(StoreError, match=r"streams/few_6/t12/joint: a chunk is no frame.*skeltools validate"):
        epoch(found)


def test_a_run_with_a_limit_trains_on_shards_and_repeats(path: Path, tmp_path: Path) -> None:
    config = tiny_config(path, data__memory_limit="30 kB", data__conventions=["few_6"])
    assert config.data.memory_limit == 30_000
    assert isinstance(loop.load_training_half(stores.open_store(path), config), Shards)
    losses = [loop.pretrain(config, out=tmp_path / name).loss for name in ("one", "two")]
    assert losses[0] == losses[1] > 0


def test_a_run_with_a_limit_is_watched_and_evaluated_shard_by_shard(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = {"data__memory_limit": "30 kB", "data__conventions": ["few_6"], "runtime__knn_every": 1}
    loop.pretrain(tiny_config(path, **limit), out=tmp_path / "run")
    with monkeypatch.context() as roomy:
        roomy.setattr(memory, "given_limit", lambda limit: 10**9)
        whole = evaluate_run(tmp_path / "run", protocols=("knn", "linear"))
    looks = [line for line in logbook.read(tmp_path / "run" / "metrics.jsonl") if "monitor_knn" in line]
    assert looks

    real = stores.in_memory

    def small(selection: Selection) -> stores.Samples:
        assert shards.bytes_in_memory(selection) <= 30_000, "the training half was read into memory"
        return real(selection)

    monkeypatch.setattr(stores, "in_memory", small)
    limited = evaluate_run(tmp_path / "run", protocols=("knn", "linear"))
    assert [each.top1 for each in limited] == [each.top1 for each in whole]
    assert [each.random_knn for each in limited] == [each.random_knn for each in whole]


def test_an_evaluation_has_a_limit_of_its_own(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    loop.pretrain(tiny_config(path, data__conventions=["few_6"]), out=run)
    whole = evaluate_run(run, protocols=("knn",))
    monkeypatch.setattr(stores, "in_memory", lambda *_, **__: pytest.fail("a half was read into memory"))
    limited = evaluate_run(run, protocols=("knn",), memory_limit="1 kB")
    assert [each.top1 for each in limited] == [each.top1 for each in whole]
    with pytest.raises(UsageError, match="memory_limit"):
        evaluate_run(run, protocols=("knn",), memory_limit="much")


def both(path: Path) -> tuple[Selection, Selection]:
    split = Split(stores.open_store(path), "xview", tiny_config(path).data)
    return split.select("train", "few_6", "joint"), split.select("test", "few_6", "joint")


def test_two_halves_share_one_limit(path: Path) -> None:
    train, test = both(path)
    clips = (len(train) + len(test)) * train.clip_bytes
    for limit, where in (
        (clips + test.shard_bytes, (stores.Samples, stores.Samples)),
        (clips + test.shard_bytes - 1, (stores.Samples, Shards)),
        (len(train) * train.clip_bytes + test.shard_bytes, (Shards, Shards)),
        (1, (Shards, Shards)),
    ):
        found = open_halves(train, test, memory_limit=limit)
        assert tuple(map(type, found)) == where, limit
        taken = [data.held_bytes(half) for half in found]
        together = max(taken) if where[0] is Shards else sum(taken)
        assert limit == 1 or together <= limit


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Rows of every batch that a protocol learned from; once there are some, those in memory repeat them."""
    rows: list[list[int]] = []
    plain, place = fit._batches, count()

    def noting(train: data.Source, *args: Any, **named: Any) -> Iterator[Any]:
        if isinstance(train, Shards):
            for taken in plain(train, *args, **named):
                rows.append(taken[0].tolist())
                yield taken
        else:
            steps = list(plain(train, *args, **named))
            yield from data.indexed(train, [torch.tensor(rows[next(place)]) for _ in steps])

    monkeypatch.setattr(fit, "_batches", noting)
    return rows


@pytest.mark.parametrize("batches", ["shuffled", "balanced"])
def test_learning_from_the_store_is_learning_from_memory_in_that_order(
    path: Path, trained: list[list[int]], batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same scores, losses and probabilities to the last bit."""
    monkeypatch.setattr(fit.heads, "LEAST_HELD_OUT", 1)
    options = Training(epochs=3, batch_size=6, lr=0.05, batches=batches, calibrate=True, validation=0.2)
    train, test = both(path)
    least = shards.least_bytes(train)
    around, found = learners.around(convention="few_6"), []
    for limit in (least, 10**9):
        opened = open_halves(train, test, memory_limit=limit)
        found.append(fit.fit("finetune", Means(joints=6), *opened, options=options, **around))
    assert len(trained) > 3 * 3, "the second training, that tells how sure the first is, learned from shards"
    assert found[0].loss == found[1].loss
    assert torch.equal(found[0].scores, found[1].scores)
    assert found[0].curves() == found[1].curves()
    one, other = (each.head for each in found)
    assert one is not None
    assert other is not None
    assert one.sureness is not None
    assert other.sureness is not None
    assert torch.equal(one.weight, other.weight)
    assert one.sureness.temperature == other.sureness.temperature
    of_epoch = [[row for rows in trained[first : first + 3] for row in rows] for first in range(0, 9, 3)]
    learned = len(of_epoch[0])
    assert learned < len(train)
    assert all(sorted(rows) == list(range(learned)) for rows in of_epoch) == (batches == "shuffled")
    assert len({tuple(rows) for rows in of_epoch}) == 3


def test_balanced_batches_of_shards_draw_rows_as_often_as_those_in_memory(path: Path) -> None:
    found, counts = sharded(path), torch.arange(20) % 3
    buffers = shards.plan(found, seed=0, epoch=0, turn=0, counts=counts)
    rows = torch.cat([buffer.rows for buffer in buffers])
    assert torch.equal(rows.bincount(minlength=20), counts)
    taken = list(shards.batches(found, buffers, sizes=[7, 6, 6]))
    assert [len(each) for each, _ in taken] == [7, 6, 6]
    assert torch.equal(torch.cat([each for each, _ in taken]), rows)
    whole = stores.in_memory(found.selection).clips
    for each, clips in taken:
        assert all(torch.equal(clip, whole[name][each]) for name, clip in clips.items())


def test_a_small_share_of_a_half_in_the_store_is_read_into_memory(path: Path) -> None:
    """And so is the same to the bit: the clips of a draw follow from their ids, not from where they are."""
    options = semi.Options(epochs=2, batch_size=4, lr=0.05, shares=(20,), draws=2)
    train, test = both(path)
    around, found = learners.around(convention="few_6"), []
    for limit in (shards.least_bytes(train), 10**9):
        opened = open_halves(train, test, memory_limit=limit)
        assert isinstance(opened[0], Shards) == (limit < 10**9)
        found += semi.evaluate(Means(joints=6), *opened, options=options, **around)
    one, other = found
    assert one.details == other.details
    assert all(torch.equal(*pair) for pair in zip(one.draws, other.draws, strict=True))


def test_a_run_with_a_limit_is_finetuned_shard_by_shard(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(path, data__memory_limit="30 kB", data__conventions=["few_6"])
    loop.pretrain(config, out=tmp_path / "run")

    def refuse(selection: Selection) -> stores.Samples:
        raise AssertionError("a half was read into memory")

    monkeypatch.setattr(stores, "in_memory", refuse)
    protocols = ("finetune", "supervised")
    options = {name: {"schedule": "small", "epochs": 2} for name in protocols}
    one, other = (evaluate_run(tmp_path / "run", protocols=protocols, options=options) for _ in range(2))
    assert [each.top1 for each in one] == [each.top1 for each in other]
    assert {each.test_samples for each in one} == {len(both(path)[1])}


@pytest.mark.parametrize("chunk", [1, 2, 4, 20, 256])
def test_features_of_stored_clips_are_those_of_clips_in_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    selection = select(path, "few_6")
    held, stored = (open_half(selection, memory_limit=limit) for limit in (10**9, 1))
    assert isinstance(stored, Shards)
    monkeypatch.setattr(halves, "CHUNK", chunk)
    sizes = [[len(clips) for clips in halves.chunks(half, "few_6")] for half in (held, stored)]
    assert sizes[0] == sizes[1]
    encoder = torch.nn.Module()
    encoder.forward = lambda x, convention: x.flatten(1)  # type: ignore[method-assign]
    found = [extract(encoder, half, convention="few_6", device=CPU) for half in (held, stored)]
    assert torch.equal(found[0].values, found[1].values)
    assert torch.equal(found[0].labels, found[1].labels)
    assert found[0].ids == found[1].ids
