"""Metrics of segmentation and detection: frame accuracy, F1, edit score and mean average precision.

``F1@k`` and the edit score are those of Lea et al., Temporal Convolutional Networks for Action Segmentation
and Detection, CVPR 2017. Mean average precision over actions and over videos follows the protocol of PKU-MMD
(Liu et al., 2017): a segment is correct when its overlap with an annotated segment of the same class and
recording is at least a share ``theta`` of the time that the two span together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate.segments import Segment, segments_of

THETAS = (0.1, 0.3, 0.5, 0.7)
"""Overlap thresholds for which metrics are reported; PKU-MMD's is 0.5 (``theta`` in its released
evaluation)."""
SHARES = (0.1, 0.25, 0.5)
"""k of F1@k (Lea et al., section 4)."""

Precision = Literal["interpolated", "released"]
"""``interpolated``: the precision at a recall is the best at this or a higher recall (Everingham et al., IJCV
2010). ``released``: as in the evaluation code released by PKU-MMD's authors, which produced the published
figures. It removes segments one by one, least confident first, and evaluates the precision only after
removing a correct one, so a wrong segment ranked below all correct ones lowers the precision."""

Labels = Mapping[str, NDArray[np.int64]]
"""Recording -> [T] label of every frame, ``NOTHING`` where there is no action."""

_NAMES: dict[Literal["label", "recording"], str] = {"label": "actions", "recording": "videos"}


def overlap(one: Segment, other: Segment) -> float:
    """Frames in both segments over frames from first start to last stop; not above 0 for disjoint ones."""
    both = min(one.stop, other.stop) - max(one.start, other.start)
    return both / (max(one.stop, other.stop) - min(one.start, other.start))


def matches(predicted: Sequence[Segment], true: Sequence[Segment], theta: float) -> list[int]:
    """For each predicted segment, the index of the true one that it overlaps most, or -1 below ``theta``.

    Several may match the same one; among equal overlaps the later true segment counts, as in the released
    code.
    """
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for place, segment in enumerate(true):
        places[segment.recording, segment.label].append(place)
    matched = []
    for segment in predicted:
        shares = [(overlap(segment, true[at]), at) for at in places[segment.recording, segment.label]]
        share, at = max(shares, default=(-1.0, -1))
        matched.append(at if share >= theta else -1)
    return matched


def average_precision(
    predicted: Sequence[Segment], true: Sequence[Segment], theta: float, kind: Precision = "interpolated"
) -> float:
    """0..1: the sum over recalls of precision times gain in recall, the most confident segment first.

    Recall counts the true segments found at least once; precision divides that count by the number of
    segments predicted so far. 0 if nothing is predicted or nothing is annotated.
    """
    if not predicted or not true:
        return 0.0
    ranked = sorted(predicted, key=lambda segment: segment.confidence)[::-1]
    matched = np.array(matches(ranked, true, theta))
    new = np.zeros(len(ranked), np.int64)
    new[[int(np.argmax(matched == at)) for at in set(matched.tolist()) - {-1}]] = 1
    precision = new.cumsum() / np.arange(1, len(ranked) + 1)
    if kind == "interpolated":
        best = np.maximum.accumulate(precision[::-1])[::-1]
    else:
        best = _released(precision, matched >= 0)
    return float((best * new).sum() / len(true))


def _released(precision: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """From [n] precisions, one after each segment: the one that counts for the gain at each correct one."""
    before = np.concatenate([[0.0], precision[:-1]])
    seen = np.where(right, before, 0.0)
    seen[-1] = max(seen[-1], precision[-1])
    return np.asarray(np.maximum.accumulate(seen[::-1])[::-1])


def mean_precision(
    predicted: Sequence[Segment],
    true: Sequence[Segment],
    theta: float,
    by: Literal["label", "recording"],
    kind: Precision = "interpolated",
) -> float:
    """Mean of the average precisions of every class, or of every recording.

    Those without annotated segments do not count; in PKU-MMD's halves every class and video has actions.
    """
    ours, own = _parts(predicted, by), _parts(true, by)
    single = [average_precision(ours.get(part, []), each, theta, kind) for part, each in own.items()]
    return sum(single) / len(single) if single else 0.0


def _parts(segments: Iterable[Segment], by: str) -> dict[int | str, list[Segment]]:
    parts: dict[int | str, list[Segment]] = defaultdict(list)
    for segment in segments:
        parts[getattr(segment, by)].append(segment)
    return parts


def f1(predicted: Sequence[Segment], true: Sequence[Segment], share: float) -> float:
    """0..1: a true segment counts once, however many predicted segments match it."""
    hits = len(set(matches(predicted, true, share)) - {-1})
    wrong = len(predicted) - hits + len(true) - hits
    return 2 * hits / (2 * hits + wrong) if hits + wrong else 1.0


def edit(predicted: Sequence[int], true: Sequence[int]) -> float:
    """0..1: one minus the Levenshtein distance of two class sequences divided by the longer one's length."""
    row = list(range(len(true) + 1))
    for number, label in enumerate(predicted, start=1):
        left, row[0] = row[0], number
        for place, own in enumerate(true, start=1):
            left, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, left + (label != own))
    return 1 - row[-1] / max(len(predicted), len(true), 1)


def figures(predicted: Labels, true: Labels, segments: Sequence[Segment]) -> dict[str, float]:
    """All metrics of recordings, from predicted and annotated labels and the predicted ``segments``.

    ``frames``: share of correct frames; ``f1@10``, ``edit``; ``map_actions@0.5``, ``map_videos@0.5`` and
    their ``released_`` variants.
    """
    annotated = [segment for id, labels in true.items() for segment in segments_of(labels, recording=id)]
    right = sum(int((predicted[id] == labels).sum()) for id, labels in true.items())
    made = {"frames": right / sum(map(len, true.values()))}
    made |= {f"f1@{100 * share:g}": f1(segments, annotated, share) for share in SHARES}
    ours, own = _parts(segments, "recording"), _parts(annotated, "recording")
    edits = [edit(*([s.label for s in part.get(id, ())] for part in (ours, own))) for id in true]
    made["edit"] = sum(edits) / len(edits)
    for theta, kind, by in product(THETAS, get_args(Precision), _NAMES):
        name = f"{'released_' if kind == 'released' else ''}map_{_NAMES[by]}@{theta:g}"
        made[name] = mean_precision(segments, annotated, theta, by, kind)
    return {name: round(value, 6) for name, value in made.items()}


def confusion(predicted: Labels, true: Labels, classes: int) -> NDArray[np.int64]:
    """[classes + 1, classes + 1] frames by annotated (row) and predicted class; no action comes last."""
    size = classes + 1
    places = [(own % size) * size + predicted[id] % size for id, own in true.items()]
    return np.bincount(np.concatenate(places), minlength=size * size).reshape(size, size)
