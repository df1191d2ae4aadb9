"""Arguments of public functions: converted where that is safe, else refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import InstanceOf, ValidationError

from schemas import Component, Count, UsageError, checks_arguments


class Thing:
    pass


@checks_arguments
def build(
    path: str | Path,
    *,
    frames: Sequence[Count] = (1,),
    axes: tuple[str, str] = ("left", "up"),
    part: Literal["train", "test"] | None = None,
    options: Mapping[str, Any] | None = None,
    thing: InstanceOf[Thing] | None = None,
    on_progress: Callable[[int], None] | None = None,
    size: int = 3,
) -> tuple[Any, ...]:
    """Builds."""
    return path, frames, axes, size


def test_what_fits_is_passed_on() -> None:
    path = Path("a")
    assert build(path) == (path, (1,), ("left", "up"), 3)
    assert build("a", frames=[2], axes=["x", "y"], size=np.int64(4)) == ("a", [2], ("x", "y"), 4)


def test_it_stays_the_function_that_it_was() -> None:
    assert build.__doc__ == "Builds."
    assert list(inspect.signature(build).parameters)[:2] == ["path", "frames"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, r"build\(\) needs the argument 'path'"),
        ({"path": 5}, r"build\(path=...\): expected a path, found 5"),
        ({"path": None}, r"build\(path=...\): expected a path, found None"),
        ({"path": "a", "frames": 5}, r"frames=...\): expected a list of whole numbers, found 5"),
        ({"path": "a", "frames": "ab"}, r"expected a list of whole numbers, found 'ab'"),
        ({"path": "a", "frames": [0]}, r"whole numbers \(should be greater than or equal to 1\), found 0"),
        ({"path": "a", "axes": ["x"]}, r"axes=...\): expected a list of 2 names"),
        ({"path": "a", "part": "val"}, r"expected 'train' or 'test' or None, found 'val'"),
        ({"path": "a", "options": 3}, r"expected a mapping or None, found 3"),
        ({"path": "a", "thing": 3}, r"expected a Thing or None, found 3"),
        ({"path": "a", "on_progress": 3}, r"expected a function or None, found 3"),
        ({"path": "a", "size": 1.5}, r"size=...\): expected a whole number, found 1.5"),
        (
            {"path": "a", "farmes": 3},
            r"takes no argument 'farmes'. Did you mean 'frames'\? Known: path, frames",
        ),
        ({"farmes": 3}, r"takes no argument 'farmes'"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(**given)


def test_an_argument_too_many_is_counted() -> None:
    with pytest.raises(UsageError, match=r"build\(\) takes no argument at place 2"):
        build("a", "b")  # type: ignore[call-arg, misc]


def test_what_is_long_is_shown_in_part() -> None:
    with pytest.raises(UsageError) as caught:
        build("a", size="9" * 10_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


def test_errors_of_models_inside_are_not_touched() -> None:
    @checks_arguments
    def inside(name: str) -> Component:
        return Component.model_validate({"nome": name})

    with pytest.raises(ValidationError):
        inside("a")
