"""Train and test halves of every protocol, from the fields of the samples.

Sources: Shahroudy et al. (CVPR 2016) and the authors' README for NTU RGB+D; Liu et al. (PAMI 2019) for
NTU RGB+D 120; CTR-GCN's data loader for Northwestern-UCLA; PKU-MMD's official cross-subject_v2.txt and
cross-view_v2.txt, which the rules of part II equal name by name, and the test list of part I in gen_v1.py of
Adamink/ViewAdaptiveLSTM. What is not in training is the test half.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas import unknown

UNUSED, TRAIN, TEST = 0, 1, 2

# fmt: off
NTU120_TRAIN_SUBJECTS = (
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38, 45, 46, 47, 49, 50, 52, 53,
    54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)
# fmt: on
NTU60_TRAIN_SUBJECTS = tuple(subject for subject in NTU120_TRAIN_SUBJECTS if subject <= 40)


@dataclass(frozen=True)
class Protocol:
    """A rule over one field of a sample. A sample whose field is in neither half is not used."""

    field: Literal["subject", "camera", "setup"]
    train: frozenset[int]
    test: frozenset[int]
    words: str = ""
    """Says the rule where a list of numbers would not."""

    @property
    def rule(self) -> str:
        """The rule in words, e.g. ``train: cameras 2, 3; test: the other cameras``."""
        if self.words:
            return self.words
        train = ", ".join(map(str, sorted(self.train)))
        return f"train: {self.field}s {train}; test: the other {self.field}s"


def _rule(field: Literal["subject", "camera", "setup"], train: Collection[int], count: int) -> Protocol:
    everything = frozenset(range(1, count + 1))
    return Protocol(field, frozenset(train), everything - frozenset(train))


PKU1_TEST_VIDEOS = range(291, 335)
_PKU_XVIEW = _rule("camera", (2, 3), 3)
"""Cameras L 1, M 2, R 3; for part I the rule of part II, whose official file was seen."""

PROTOCOLS: dict[str, dict[str, Protocol]] = {
    "ntu60": {
        "xsub": _rule("subject", NTU60_TRAIN_SUBJECTS, 40),
        "xview": _rule("camera", (2, 3), 3),
    },
    "ntu120": {
        "xsub": _rule("subject", NTU120_TRAIN_SUBJECTS, 106),
        "xset": _rule("setup", range(2, 33, 2), 32),
    },
    "nw-ucla": {
        "xview": _rule("camera", (1, 2), 3),
    },
    "pku-mmd-1": {
        "xsub": Protocol(
            "setup",
            frozenset(range(1, 365)) - frozenset(PKU1_TEST_VIDEOS),
            frozenset(PKU1_TEST_VIDEOS),
            words="train: the other videos; test: videos 0291 to 0334",
        ),
        "xview": _PKU_XVIEW,
    },
    "pku-mmd-2": {
        "xsub": _rule("subject", (1, 4, 5, 6, 8, 9, 10, 11, 12, 13), 13),
        "xview": _PKU_XVIEW,
    },
}


def halves_of(
    dataset: str,
    given_halves: Mapping[str, Mapping[str, int]],
    rules: Mapping[str, str],
    *,
    ids: Sequence[str],
    fields: Mapping[str, ArrayLike],
) -> dict[str, tuple[NDArray[np.uint8], str]]:
    """Protocol name -> ([N] uint8, where it comes from in words): all splits of a store.

    What the source itself carries (``given_halves``, by id, with its ``rules``) goes before the rules of the
    data set over ``fields`` (``subject``, ``camera``, ``setup``). Beside given splits a rule that no sample
    falls under is left out: archives without names know no fields.
    """
    carried = {
        name: (half, rules.get(name, "as the source says")) for name, half in given(given_halves, ids).items()
    }
    if dataset not in PROTOCOLS:
        return carried
    ruled = assign(dataset, **{name: fields[name] for name in ("subject", "camera", "setup")})
    made = {
        name: (half, PROTOCOLS[dataset][name].rule)
        for name, half in ruled.items()
        if name not in carried and (half.any() or not carried)
    }
    order = [name for name in PROTOCOLS[dataset] if name in carried or name in made]
    both = carried | made
    return {name: both[name] for name in dict.fromkeys([*order, *carried])}


def given(halves: Mapping[str, Mapping[str, int]], ids: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Protocol name -> [N] uint8, from splits by id that a source carries; other ids are not used."""
    return {
        name: np.array([half.get(id, UNUSED) for id in ids], dtype=np.uint8) for name, half in halves.items()
    }


def assign(
    dataset: str, *, subject: ArrayLike, camera: ArrayLike, setup: ArrayLike
) -> dict[str, NDArray[np.uint8]]:
    """Protocol name -> [N] uint8 (0 not used, 1 train, 2 test), from [N] arrays of each sample's fields."""
    if dataset not in PROTOCOLS:
        raise unknown("data set", dataset, PROTOCOLS)
    fields = {"subject": np.asarray(subject), "camera": np.asarray(camera), "setup": np.asarray(setup)}
    return {name: _halves(fields[rule.field], rule) for name, rule in PROTOCOLS[dataset].items()}


def _halves(field: NDArray[np.integer], rule: Protocol) -> NDArray[np.uint8]:
    half = np.full(field.shape, UNUSED, dtype=np.uint8)
    half[np.isin(field, sorted(rule.train))] = TRAIN
    half[np.isin(field, sorted(rule.test))] = TEST
    return half
