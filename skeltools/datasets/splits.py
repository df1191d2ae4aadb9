"""Train and test halves, by rules over the fields of the samples or as given by a source."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNUSED, TRAIN, TEST = 0, 1, 2


@dataclass(frozen=True)
class Rule:
    """A rule over one field of a sample; a sample whose field is in neither half is unused."""

    field: Literal["subject", "camera", "setup"]
    train: frozenset[int]
    test: frozenset[int]
    words: str = ""
    """States the rule where a list of numbers would not."""

    @property
    def rule(self) -> str:
        """The rule in words, e.g. ``train: cameras 2, 3; test: the other cameras``."""
        if self.words:
            return self.words
        train = ", ".join(map(str, sorted(self.train)))
        return f"train: {self.field}s {train}; test: the other {self.field}s"


def rule(field: Literal["subject", "camera", "setup"], train: Collection[int], count: int) -> Rule:
    everything = frozenset(range(1, count + 1))
    return Rule(field, frozenset(train), everything - frozenset(train))


def halves_of(
    ruled: Mapping[str, Rule],
    given_halves: Mapping[str, Mapping[str, int]],
    rules: Mapping[str, str],
    *,
    ids: Sequence[str],
    fields: Mapping[str, ArrayLike],
) -> dict[str, tuple[NDArray[np.uint8], str]]:
    """All splits of a store: name of a split -> ([N] uint8, its origin in words).

    Splits given by the source itself (``given_halves``, by id, with their ``rules``) take precedence over the
    rules of the data set over ``fields`` (``subject``, ``camera``, ``setup``). Beside given splits, a rule
    that applies to no sample is left out: archives without names know no fields.
    """
    carried = {
        name: (half, rules.get(name, "as the source says")) for name, half in given(given_halves, ids).items()
    }
    if not ruled:
        return carried
    made = {
        name: (half, ruled[name].rule)
        for name, half in assign(
            ruled, **{name: fields[name] for name in ("subject", "camera", "setup")}
        ).items()
        if name not in carried and (half.any() or not carried)
    }
    order = [name for name in ruled if name in carried or name in made]
    both = carried | made
    return {name: both[name] for name in dict.fromkeys([*order, *carried])}


def given(halves: Mapping[str, Mapping[str, int]], ids: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Name of a split -> [N] uint8, from splits by id that a source provides; other ids are unused."""
    return {
        name: np.array([half.get(id, UNUSED) for id in ids], dtype=np.uint8) for name, half in halves.items()
    }


def assign(
    rules: Mapping[str, Rule], *, subject: ArrayLike, camera: ArrayLike, setup: ArrayLike
) -> dict[str, NDArray[np.uint8]]:
    """Name of a split -> [N] uint8 (0 unused, 1 train, 2 test), from [N] arrays of each sample's fields."""
    fields = {"subject": np.asarray(subject), "camera": np.asarray(camera), "setup": np.asarray(setup)}
    return {name: _halves(fields[rule.field], rule) for name, rule in rules.items()}


def _halves(field: NDArray[np.integer], rule: Rule) -> NDArray[np.uint8]:
    half = np.full(field.shape, UNUSED, dtype=np.uint8)
    half[np.isin(field, sorted(rule.train))] = TRAIN
    half[np.isin(field, sorted(rule.test))] = TEST
    return half
