"""Figures of segmentation against slow literal oracles."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.evaluate import detection
from trainer.evaluate.segments import NOTHING, Segment, decoded, segments_of

CLASSES, RECORDINGS = 3, ("a", "b")


def drawn(seed: int, count: int = 9) -> list[Segment]:
    """Segments of two recordings of 60 frames; some overlap each other."""
    draws = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        start = int(draws.integers(0, 50))
        length, label = int(draws.integers(2, 14)), int(draws.integers(CLASSES))
        sure = round(float(draws.random()), 1)  # so that some are equal
        made.append(Segment(RECORDINGS[int(draws.integers(2))], label, start, start + length, sure))
    return made


def slow_overlap(one: Segment, other: Segment) -> float:
    """Frames counted one by one. Both together are an interval wherever they overlap."""
    ours, theirs = (set(range(each.start, each.stop)) for each in (one, other))
    return len(ours & theirs) / len(ours | theirs)


def slow_match(segment: Segment, true: list[Segment], theta: float) -> int:
    best, at = 0.0, -1
    for place, other in enumerate(true):
        same = (segment.label, segment.recording) == (other.label, other.recording)
        share = slow_overlap(segment, other) if same else 0.0
        if share >= theta and share >= best:
            best, at = share, place
    return at


def slow_interpolated(found: list[Segment], true: list[Segment], theta: float) -> float:
    """The area under the best precision at a recall or more, at a million recalls' worth of steps: exact."""
    points = []
    for count in range(1, len(found) + 1):
        kept = sorted(found, key=lambda segment: segment.confidence)[::-1][:count]
        hit = {slow_match(segment, true, theta) for segment in kept} - {-1}
        points.append((len(hit) / len(true), len(hit) / count))
    area = 0.0
    for step in range(len(true)):  # recall lies on n/len(true)
        recall = (step + 1) / len(true)
        area += max([p for r, p in points if r >= recall - 1e-9], default=0.0) / len(true)
    return area


def slow_released(found: list[Segment], true: list[Segment], theta: float) -> float:
    """Take segments away one by one, the least sure first; look only behind those that were right."""

    def state(kept: list[Segment]) -> tuple[float, float]:
        hit = {slow_match(segment, true, theta) for segment in kept} - {-1}
        return (len(hit) / len(kept) if kept else 0.0), len(hit) / len(true)

    kept = sorted(found, key=lambda segment: segment.confidence)
    best, before = state(kept)
    area = 0.0
    while kept:
        gone = kept.pop(0)
        if slow_match(gone, true, theta) < 0:
            continue
        precision, recall = state(kept)
        best = max(best, precision)
        area += best * (before - recall)
        before = recall
    return area


@pytest.mark.parametrize("seed", range(12))
def test_average_precision_is_the_area_counted_point_by_point(seed: int) -> None:
    found, true = drawn(seed), drawn(seed + 100, 6)
    found += [Segment(s.recording, s.label, s.start + 1, s.stop, 0.75) for s in true[:4]]
    for theta in (0.1, 0.5):
        for kind, slow in (("interpolated", slow_interpolated), ("released", slow_released)):
            value = detection.average_precision(found, true, theta, kind)  # type: ignore[arg-type]
            assert value == pytest.approx(slow(found, true, theta)), (theta, kind)
    assert slow_released(found, true, 0.1) > 0


@pytest.mark.parametrize("seed", range(6))
def test_overlap_and_matches_are_those_of_sets_of_frames(seed: int) -> None:
    found, true = drawn(seed, 20), drawn(seed + 50, 20)
    for one, other in product(found, true):
        assert max(detection.overlap(one, other), 0) == pytest.approx(slow_overlap(one, other))
    for theta in (0.1, 0.25, 0.5):
        slow = [slow_match(segment, true, theta) for segment in found]
        assert detection.matches(found, true, theta) == slow


def test_where_the_released_precision_departs_from_the_interpolated_one() -> None:
    true = [Segment("a", 0, 0, 10)]
    found = [Segment("a", 0, 0, 10, 0.9), Segment("a", 0, 30, 40, 0.2)]
    assert detection.average_precision(found, true, 0.5) == 1
    assert detection.average_precision(found, true, 0.5, "released") == 0.5
    assert detection.average_precision(found[:1], true, 0.5, "released") == 1
    assert detection.average_precision([], true, 0.5) == detection.average_precision(found, [], 0.5) == 0


def test_means_are_over_what_is_annotated() -> None:
    true = [Segment("a", 0, 0, 10), Segment("b", 1, 0, 10), Segment("b", 1, 20, 30)]
    found = [Segment("a", 0, 0, 10, 0.5), Segment("b", 2, 0, 10, 0.9), Segment("b", 1, 20, 30, 0.4)]
    assert detection.mean_precision(found, true, 0.5, "label") == pytest.approx((1 + 0.5) / 2)
    # In b class 2 comes first and is wrong: precision 1/2 at recall 1/2.
    assert detection.mean_precision(found, true, 0.5, "recording") == pytest.approx((1 + 0.25) / 2)


def slow_f1(found: list[Segment], true: list[Segment], share: float) -> float:
    hit = [False] * len(true)
    right = wrong = 0
    for segment in found:
        at = slow_match(segment, true, share)
        if at >= 0 and not hit[at]:
            right, hit[at] = right + 1, True
        else:
            wrong += 1
    precision, recall = right / (right + wrong), right / len(true)
    return 2 * precision * recall / (precision + recall) if right else 0.0


def slow_edit(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Levenshtein by recursion."""
    if not one or not other:
        return len(one) + len(other)
    swap = slow_edit(one[1:], other[1:]) + (one[0] != other[0])
    return min(swap, slow_edit(one[1:], other) + 1, slow_edit(one, other[1:]) + 1)


@pytest.mark.parametrize("seed", range(8))
def test_f1_and_edit_are_those_of_their_definitions(seed: int) -> None:
    found, true = drawn(seed), drawn(seed + 7, 6)
    for share in detection.SHARES:
        assert detection.f1(found, true, share) == pytest.approx(slow_f1(found, true, share))
    one, other = (tuple(s.label for s in each[:5]) for each in (found, true[: seed % 6]))
    expected = 1 - slow_edit(one, other) / max(len(one), len(other))
    assert detection.edit(one, other) == pytest.approx(expected)


def slow_decoded(scores: NDArray[np.float64], penalty: float) -> float:
    """The value of the best of all sequences."""
    frames, classes = scores.shape
    return max(value_of(labels, scores, penalty) for labels in product(range(classes), repeat=frames))


def value_of(labels: tuple[int, ...], scores: NDArray[np.float64], penalty: float) -> float:
    changes = sum(one != other for one, other in pairwise(labels))
    return float(sum(np.log(scores[t, c]) for t, c in enumerate(labels)) - penalty * changes)


@pytest.mark.parametrize("penalty", [0.0, 0.3, 2.0])
def test_the_decoded_sequence_is_the_best_of_all(penalty: float) -> None:
    for seed in range(5):
        scores = np.random.default_rng(seed).dirichlet(np.ones(3), size=7)
        labels = decoded(scores, penalty=penalty)
        assert value_of(tuple(labels.tolist()), scores, penalty) == pytest.approx(
            slow_decoded(scores, penalty)
        )
        assert penalty or labels.tolist() == scores.argmax(1).tolist()


def test_segments_are_the_runs_of_equal_labels() -> None:
    labels = np.array([NOTHING, 1, 1, 0, NOTHING, NOTHING, 2])
    scores = np.linspace(0, 1, 21).reshape(7, 3)
    found = segments_of(labels, scores, recording="r")
    assert [(s.label, s.start, s.stop) for s in found] == [(1, 1, 3), (0, 3, 4), (2, 6, 7)]
    assert found[0].confidence == pytest.approx(scores[1:3, 1].mean())
    assert found[1].confidence == scores[3, 0]
    assert segments_of(np.zeros(0, np.int64)) == segments_of(np.full(4, NOTHING)) == []
    assert [s.confidence for s in segments_of(labels)] == [1, 1, 1]


def test_figures_and_confusion_of_frames() -> None:
    true = {"a": np.array([NOTHING, 0, 0, 1]), "b": np.array([1, 1, NOTHING, NOTHING])}
    found = {"a": np.array([0, 0, 0, 1]), "b": np.array([1, NOTHING, NOTHING, NOTHING])}
    segments = [s for id, labels in found.items() for s in segments_of(labels, recording=id)]
    made = detection.figures(found, true, segments)
    assert made["frames"] == 6 / 8
    assert made["edit"] == 1
    assert made["f1@50"] == 1
    assert made["f1@25"] == made["map_actions@0.5"] == made["released_map_videos@0.5"] == 1
    # Class 1 has two equally sure segments; the later one, which is wrong, comes first.
    assert made["map_actions@0.7"] == pytest.approx((0 + 0.25) / 2)
    table = detection.confusion(found, true, 2)
    assert table.tolist() == [[2, 0, 0], [0, 2, 1], [1, 0, 2]]
