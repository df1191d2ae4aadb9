"""Compare a claimed figure with the measured one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from trainer.evaluate.results import accuracies
from trainer.evaluate.scores import Scores
from trainer.publishing.claims import Claim
from trainer.report.parts import interval, percent
from trainer.store import Store

Verdict = Literal["holds", "fails", "not checked"]

_EXACT = 1e-9
"""Tolerance for fractions that are summed in a different order."""


@dataclass(frozen=True)
class Check:
    """A claim and the outcome of checking it."""

    what: str
    """``linear, kinectv2_25, joint``, ``files``, or the name of a file."""
    verdict: Verdict
    text: str
    """The finding, in words."""
    claimed: float | None = None
    """Top-1 accuracy in 0..1; None for files."""
    found: float | None = None


def compared(claim: Claim, scores: Scores, how: str, store: Store, *, what: str, tolerance: float) -> Check:
    """Check a claim against measured scores.

    On the claim's store, every measured figure must equal the claimed one up to ``tolerance``, a fraction of
    the test clips, or one clip; on another store, top-1 must lie in the claim's interval.
    """
    figures = accuracies(scores)
    if store.hash == claim.store_hash:
        holds, text = _same(claim, figures, _least(scores), tolerance)
        place = f"on {store.path}"
    else:
        holds, text = _inside(claim, figures["top1"])
        place = f"on {store.path}, another store ({store.hash[:12]}, not {claim.store_hash[:12]})"
    of = f", the first of {len(claim.draws)} draws" if len(claim.draws) > 1 else ""
    sentence = f"{percent(claim.first)} % claimed{of}, {percent(figures['top1'])} % {how} {place}: {text}"
    return Check(what, "holds" if holds else "fails", sentence, claim.first, figures["top1"])


def _least(scores: Scores) -> float:
    """The largest effect of one clip on the mean over the classes."""
    counts = torch.bincount(scores.labels)
    counts = counts[counts > 0]
    return 1 / (len(counts) * int(counts.min()))


def _same(claim: Claim, figures: dict[str, object], least: float, tolerance: float) -> tuple[bool, str]:
    if figures["test_samples"] != claim.test_samples:
        return False, f"{figures['test_samples']} test clips, {claim.test_samples} claimed"
    clip = max(tolerance, 1 / claim.test_samples)
    limits = {"top1": clip, "top5": clip, "macro": max(clip, least)}
    claimed = {"top1": claim.first, "top5": claim.top5, "macro": claim.macro}
    apart = {name: _apart(claimed[name], figures[name]) for name in claimed}
    if claim.interval is not None and len(claim.draws) < 2:
        limits["interval"] = clip
        apart["interval"] = max(map(_apart, claim.interval, figures["interval"]))  # type: ignore[call-overload]
    over = [name for name, value in apart.items() if value > limits[name] + _EXACT]
    if over:
        return False, ", ".join(f"{name} differs by {100 * apart[name]:.2f} points" for name in over)
    most = max(apart.values())
    return True, "equal" if most < _EXACT else f"within {100 * most:.2f} points, of {100 * clip:.2f} allowed"


def _apart(claimed: object, measured: object) -> float:
    """Difference of two fractions; 1 if only one of them exists."""
    if claimed is None or measured is None:
        return float(claimed is not measured)
    return abs(float(claimed) - float(measured))  # type: ignore[arg-type]


def _inside(claim: Claim, top1: float) -> tuple[bool, str]:
    if claim.interval is None:
        return False, "no interval is claimed"
    low, high = claim.interval
    inside = low - _EXACT <= top1 <= high + _EXACT
    ends = f"the claimed interval, {interval(claim.interval)} %"
    return inside, f"{'inside' if inside else 'outside of'} {ends}"
