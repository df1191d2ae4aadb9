"""Few labels: draws that are balanced, apart from the test half, and the same everywhere."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import ConfigError, StoreError
from tests.trainer.learners import KINECT, Means, around, samples
from trainer.evaluate import semi
from trainer.evaluate.fit import fit
from trainer.metrics import accuracy
from trainer.options import checked
from trainer.store import Samples

QUICK = {"epochs": 3, "batch_size": 8, "lr": 0.05}


def labelled(labels: list[int], prefix: str = "S") -> Samples:
    """Samples of which only ids and labels matter; their ids are not in the order of the rows."""
    ids = tuple(f"{prefix}{(row * 7919) % 10007:05}" for row in range(len(labels)))
    return Samples(
        {KINECT: torch.zeros(len(labels), 1)}, torch.tensor(labels), ids, torch.arange(len(labels))
    )


def drawn_ids(train: Samples, share: float, *, seed: int = 0, draw: int = 0) -> set[str]:
    return {train.ids[row] for row in semi.drawn_rows(train, share=share, seed=seed, draw=draw)}


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=300),
    share=st.sampled_from([0.5, 1, 5, 10, 20, 50, 100]),
    seed=st.integers(0, 5),
    draw=st.integers(0, 5),
)
def test_a_draw_is_balanced_and_of_the_training_half(
    labels: list[int], share: float, seed: int, draw: int
) -> None:
    train, test = labelled(labels), labelled(labels, prefix="T")
    ids = drawn_ids(train, share, seed=seed, draw=draw)
    label_of = dict(zip(train.ids, labels, strict=True))
    there, taken = Counter(labels), Counter(label_of[each] for each in ids)
    each = max(1, int(share * len(labels) / (100 * len(there))))
    assert taken == {label: min(count, each) for label, count in there.items()}
    assert not ids & set(test.ids)
    assert len(ids) <= max(len(there), share * len(labels) / 100)


def counted(train: Samples, share: float, counts: Any) -> dict[int, int]:
    rows = semi.drawn_rows(train, share=share, seed=0, draw=0, counts=counts)
    return dict(Counter(train.labels[rows].tolist()))


def test_equal_counts_and_rounded_shares_are_different_draws() -> None:
    """Of 40, 25, 15, 6 and 4 clips, 90 in all, ten per cent are 4, 2.5, 1.5, 0.6 and 0.4."""
    sizes = (40, 25, 15, 6, 4)
    train = labelled([label for label, size in enumerate(sizes) for _ in range(size)])
    assert counted(train, 10, "equal") == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1}
    assert counted(train, 10, "rounded") == {0: 4, 1: 2, 2: 2, 3: 1}, "halves to the even number; none of 0.4"
    assert counted(train, 20, "equal") == {0: 3, 1: 3, 2: 3, 3: 3, 4: 3}
    assert counted(train, 20, "rounded") == {0: 8, 1: 5, 2: 3, 3: 1, 4: 1}
    assert counted(train, 100, "rounded") == dict(enumerate(sizes))
    with pytest.raises(ConfigError, match=r"semi\.counts: 1 % of no class is a clip, the largest has 40"):
        counted(train, 1, "rounded")


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=60, max_size=300),
    percent=st.sampled_from([5, 10, 20]),
    draw=st.integers(0, 5),
)
def test_rounded_shares_are_the_released_rule(labels: list[int], percent: int, draw: int) -> None:
    train = labelled(labels)
    fraction = {5: 0.05, 10: 0.1, 20: 0.2}[percent]
    expected = {label: round(fraction * count) for label, count in Counter(labels).items()}
    assert counted(train, percent, "rounded") == {label: count for label, count in expected.items() if count}
    small, large = (
        {train.ids[row] for row in semi.drawn_rows(train, share=share, seed=0, draw=draw, counts="rounded")}
        for share in (percent, 100)
    )
    assert small < large == set(train.ids)


def test_the_rule_of_a_draw_reaches_the_training() -> None:
    train, test = samples(40, classes=2), samples(8, first=100)
    train.labels[:30], train.labels[30:] = 0, 1
    found = {
        counts: semi.evaluate(
            Means(),
            train,
            test,
            options=semi.Options(**QUICK, shares=(20,), draws=1, counts=counts),
            **around(),
        )[0]
        for counts in ("equal", "rounded")
    }
    assert {counts: each.details["labels"] for counts, each in found.items()} == {"equal": 8, "rounded": 8}
    label_of = dict(zip(train.ids, train.labels.tolist(), strict=True))
    drawn = {
        counts: Counter(label_of[each] for each in outcome.details["drawn_ids"][0])
        for counts, outcome in found.items()
    }
    assert drawn == {"equal": {0: 4, 1: 4}, "rounded": {0: 6, 1: 2}}
    assert found["rounded"].settings["counts"] == "rounded"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), draw=st.integers(0, 4), order=st.randoms(use_true_random=False))
def test_a_draw_depends_on_ids_alone_and_smaller_shares_are_in_larger(
    seed: int, draw: int, order: object
) -> None:
    rows = list(range(200))
    order.shuffle(rows)  # type: ignore[attr-defined]
    train = labelled([row % 5 for row in range(200)])
    mixed = Samples(train.clips, train.labels[rows], tuple(train.ids[row] for row in rows), train.rows[rows])
    shares = (1, 5, 10, 20, 100)
    found = [drawn_ids(train, share, seed=seed, draw=draw) for share in shares]
    assert found == [drawn_ids(mixed, share, seed=seed, draw=draw) for share in shares]
    assert all(small < large for small, large in itertools.pairwise(found))
    assert found[-1] == set(train.ids)


def test_a_draw_is_the_lowest_hashes() -> None:
    """SHA-256 of seed, draw and id, worked out here: any machine and version must find the same."""
    train = labelled([row % 2 for row in range(40)])

    def place(sample: str) -> bytes:
        return hashlib.sha256(f"3/semi/1/{sample}".encode()).digest()[:8]

    expected: set[str] = set()
    for label in (0, 1):
        mine = [each for each, own in zip(train.ids, train.labels.tolist(), strict=True) if own == label]
        expected |= set(sorted(mine, key=lambda sample: int.from_bytes(place(sample), "big") >> 1)[:4])
    assert drawn_ids(train, 20, seed=3, draw=1) == expected


def test_draws_and_seeds_differ() -> None:
    train = labelled([row % 5 for row in range(500)])
    draws = [drawn_ids(train, 10, seed=seed, draw=draw) for seed in (0, 1) for draw in range(3)]
    assert len({frozenset(draw) for draw in draws}) == 6
    counts = Counter(each for draw in range(60) for each in drawn_ids(train, 10, draw=draw))
    assert len(counts) > 490, "a clip is left out of 60 draws with a chance of 0.2 %"
    assert max(counts.values()) < 20, "6 are expected"


def test_each_share_has_its_figure_and_keeps_what_was_drawn() -> None:
    train, test = samples(60), samples(12, first=100)
    options = semi.Options(**QUICK, shares=(10, 50), draws=2)
    outcomes = semi.evaluate(Means(), train, test, options=options, **around())
    assert [(outcome.protocol, outcome.name) for outcome in outcomes] == [
        ("semi", "semi-10"),
        ("semi", "semi-50"),
    ]
    for outcome, share, labels in zip(outcomes, (10, 50), (6, 30), strict=True):
        assert torch.equal(outcome.values, outcome.draws[0])
        assert not torch.equal(*outcome.draws)
        assert outcome.settings["shares"] == [share]
        assert outcome.details["share_percent"] == share
        assert outcome.details["labels"] == labels
        assert outcome.best_top1 is None, "the test half was looked at once"
        for draw, ids in enumerate(outcome.details["drawn_ids"]):
            assert set(ids) == drawn_ids(train, share, seed=5, draw=draw)
            assert ids == sorted(ids)
            assert len(outcome.details["trainings"][draw]["loss"]) == 3


def test_a_draw_is_a_training_on_its_clips_alone() -> None:
    train, test = samples(60), samples(12, first=100)
    options = semi.Options(**QUICK, shares=(20,), draws=2, test_every=1)
    (outcome,) = semi.evaluate(Means(), train, test, options=options, **around())
    (again,) = semi.evaluate(Means(), train, test, options=options, **around())
    assert all(torch.equal(one, other) for one, other in zip(outcome.draws, again.draws, strict=True))
    best = []
    for draw, scores in enumerate(outcome.draws):
        rows = [row for row, each in enumerate(train.ids) if each in outcome.details["drawn_ids"][draw]]
        chosen = Samples(
            {KINECT: train.clips[KINECT][rows]},
            train.labels[rows],
            tuple(train.ids[row] for row in rows),
            train.rows[rows],
        )
        seed = int.from_bytes(hashlib.sha256(f"5/semi/{draw}".encode()).digest()[:8], "big") >> 1
        alone = fit("semi", Means(), chosen, test, options=options, **around(seed=seed))
        assert torch.equal(scores, alone.scores)
        best.append(max(alone.test_top1.values()))
    assert outcome.best_top1 == pytest.approx(sum(best) / 2)
    assert 0 <= accuracy(outcome.values, test.labels) <= best[0]


def test_progress_is_that_of_all_draws() -> None:
    seen: list[float] = []
    options = semi.Options(**QUICK, shares=(10, 50), draws=2)
    watch = around(on_progress=lambda done, total: seen.append(done / total))
    semi.evaluate(Means(), samples(60), samples(12, first=100), options=options, **watch)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert 0 < seen[0] < 0.25


def test_a_sample_of_both_halves_is_refused() -> None:
    with pytest.raises(
        StoreError, match=r"2 samples are in both halves of the split, S0058 among them\. `skel"
    ):
        semi.evaluate(Means(), samples(60), samples(12, first=58), options=semi.Options(), **around())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shares": []}, r"semi\.shares: .*at least 1"),
        ({"shares": [0]}, r"semi\.shares\.0: .*greater than 0"),
        ({"shares": [101]}, r"semi\.shares\.0: .*less than or equal to 100"),
        ({"draws": 0}, r"semi\.draws: .*greater than or equal to 1"),
        ({"share": 1}, r"semi\.share: unknown option. Did you mean 'shares'"),
    ],
)
def test_shares_that_make_no_sense(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(semi.Options, given, where="semi")


def test_more_clips_than_the_share_are_told() -> None:
    options = semi.Options(**QUICK, shares=(1, 50), draws=1)
    few, half = semi.evaluate(Means(), samples(60), samples(12, first=100), options=options, **around())
    labels = few.details["labels"]
    assert few.details["notes"] == [
        f"semi-1: {labels} of 60 training samples, {100 * labels / 60:.1f} %: no class has less than one"
    ]
    assert not half.details["notes"]
