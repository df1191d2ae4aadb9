"""A user's own data made in code: settings and small clips."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from schemas import RawDataError, SkelError
from skeltools import custom
from skeltools.sequence import SkeletonSequence
from tests.skeltools import fuzzing
from tests.skeltools.raw_files import poses

BASE: dict[str, Any] = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C"}
PATTERN = r"(?P<label>[a-z]+)_s(?P<subject>\d+)_c(?P<camera>\d+)"
SIX = [f"wave_s{s}_c{c}" for s in (1, 2, 3) for c in (1, 2)]


def settings(folder: Path, **changes: Any) -> Path:
    """dataset.yaml of BASE and ``changes``; None takes a key away."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {key: value for key, value in (BASE | changes).items() if value is not None}
    path = folder / "dataset.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def clips(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", poses(4))
    return folder


def read(folder: Path) -> SkeletonSequence:
    (item,) = custom.discover(folder).items
    return custom.read(pickle.loads(pickle.dumps(item)))


def odd_values_are_refused_or_sound(folder: Path, path: Path) -> None:
    """Read a JSON file below ``folder`` 150 times, with values changed at random."""
    original, rng = path.read_text(), np.random.default_rng(0)
    outcomes = set()
    for _ in range(150):
        path.write_text(json.dumps(fuzzing.changed_json(json.loads(original), rng)))
        try:
            clips = [custom.read(item) for item in custom.discover(folder).items]
        except SkelError as error:
            outcomes.add(type(error))
            continue
        outcomes.add(bool)
        for clip in clips:
            assert np.isfinite(clip.joints).all()
            assert clip.present.any()
            assert clip.frames < 10_000
    assert outcomes >= {bool, RawDataError}
