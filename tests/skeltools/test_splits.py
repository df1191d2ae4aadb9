from __future__ import annotations

import numpy as np
import pytest

from skeltools.datasets import DATASETS
from skeltools.datasets.ntu import NTU60_TRAIN_SUBJECTS, NTU120_TRAIN_SUBJECTS
from skeltools.datasets.splits import TEST, TRAIN, UNUSED, assign, halves_of


def _assign(
    dataset: str, *, subject: object = 1, camera: object = 1, setup: object = 1
) -> dict[str, list[int]]:
    fields = np.broadcast_arrays(np.atleast_1d(subject), camera, setup)
    halves = assign(DATASETS[dataset].rules, subject=fields[0], camera=fields[1], setup=fields[2])
    assert all(half.dtype == np.uint8 for half in halves.values())
    return {name: half.tolist() for name, half in halves.items()}


def test_the_published_halves() -> None:
    xview = _assign("ntu60", camera=[1, 2, 3])["xview"]
    assert xview == [TEST, TRAIN, TRAIN]
    assert _assign("nw-ucla", camera=[1, 2, 3])["xview"] == [TRAIN, TRAIN, TEST]
    assert _assign("ntu120", setup=[1, 2, 31, 32])["xset"] == [TEST, TRAIN, TEST, TRAIN]
    assert _assign("ntu60", subject=[1, 2, 3, 38, 39, 40])["xsub"] == [1, 1, 2, 1, 2, 2]
    assert _assign("ntu120", subject=[1, 3, 45, 48, 103, 106])["xsub"] == [1, 2, 1, 2, 1, 2]


def test_half_of_the_subjects_train() -> None:
    assert len(NTU60_TRAIN_SUBJECTS) == 20
    assert len(NTU120_TRAIN_SUBJECTS) == 53
    assert NTU60_TRAIN_SUBJECTS == (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
    later = set(NTU120_TRAIN_SUBJECTS) - set(NTU60_TRAIN_SUBJECTS)
    runs = [
        (45, 48),
        (49, 51),
        (52, 60),
        (70, 71),
        (74, 75),
        (78, 79),
        (80, 87),
        (89, 90),
        (91, 96),
        (97, 99),
    ]
    assert later == {n for first, end in runs for n in range(first, end)} | {100, 103}


@pytest.mark.parametrize(("dataset", "protocol"), [(d, p) for d in DATASETS for p in DATASETS[d].rules])
def test_halves_are_disjoint_and_hold_every_known_value(dataset: str, protocol: str) -> None:
    rule = DATASETS[dataset].rules[protocol]
    assert not rule.train & rule.test
    assert rule.train | rule.test == set(range(1, len(rule.train | rule.test) + 1))
    outside = max(rule.test | rule.train) + 1
    assert _assign(dataset, **{rule.field: [-1, 0, outside]})[protocol] == [UNUSED] * 3
    assert rule.words or rule.field in rule.rule
    assert rule.words or all(str(number) in rule.rule for number in rule.train)


def test_a_rule_says_itself_in_words() -> None:
    assert DATASETS["nw-ucla"].rules["xview"].rule == "train: cameras 1, 2; test: the other cameras"
    assert DATASETS["pku-mmd-1"].rules["xsub"].rule == "train: the other videos; test: videos 0291 to 0334"


def test_splits_that_a_source_carries_go_before_the_rules() -> None:
    ids = ["a", "b", "c"]
    fields = {"subject": [1, 2, 3], "camera": [1, 2, 3], "setup": [1, 1, 1]}
    halves = halves_of(
        DATASETS["ntu60"].rules,
        {"xsub": {"b": TEST, "c": TRAIN}},
        {"xsub": "its list"},
        ids=ids,
        fields=fields,
    )
    assert list(halves) == ["xsub", "xview"]
    assert (halves["xsub"][0].tolist(), halves["xsub"][1]) == ([UNUSED, TEST, TRAIN], "its list")
    assert (halves["xview"][0].tolist(), halves["xview"][1]) == (
        [TEST, TRAIN, TRAIN],
        DATASETS["ntu60"].rules["xview"].rule,
    )


def test_without_carried_splits_there_are_all_rules_and_none_for_ones_own_data() -> None:
    fields = {"subject": [-1], "camera": [-1], "setup": [-1]}
    ruled = halves_of(DATASETS["ntu60"].rules, {}, {}, ids=["a"], fields=fields)
    assert {name: half.tolist() for name, (half, _) in ruled.items()} == {"xsub": [0], "xview": [0]}
    carried = halves_of(DATASETS["ntu60"].rules, {"file": {"a": TRAIN}}, {}, ids=["a"], fields=fields)
    assert {name: half.tolist() for name, (half, _) in carried.items()} == {"file": [1]}
    own = halves_of({}, {"all": {"a": TRAIN}}, {"all": "everything"}, ids=["a"], fields=fields)
    assert [(name, rule) for name, (_, rule) in own.items()] == [("all", "everything")]


def test_no_samples() -> None:
    assert _assign("ntu60", subject=np.zeros(0, int)) == {"xsub": [], "xview": []}
