from __future__ import annotations

import pickle

import pytest

import schemas
from schemas import (
    CheckpointError,
    ConfigError,
    RawDataError,
    SkelError,
    StoreError,
    UsageError,
    unknown,
)

KINDS = [SkelError, UsageError, ConfigError, RawDataError, StoreError, CheckpointError]


def test_the_tree_and_its_exit_codes() -> None:
    assert {kind: kind.exit_code for kind in KINDS} == {
        SkelError: 1, UsageError: 2, ConfigError: 2, RawDataError: 1, StoreError: 1, CheckpointError: 1,
    }  # fmt: skip
    assert issubclass(ConfigError, UsageError)
    assert all(issubclass(kind, SkelError) for kind in KINDS)
    assert not issubclass(StoreError, UsageError)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_crosses_process_borders(kind: type[SkelError]) -> None:
    error = kind("truncated", where="a.skeleton::line 3", remedy="Fetch it again")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == str(error) == "a.skeleton::line 3: truncated. Fetch it again"
    assert (back.message, back.where, back.remedy) == ("truncated", "a.skeleton::line 3", "Fetch it again")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (SkelError("no store"), "no store"),
        (SkelError("no store", where="x.zarr"), "x.zarr: no store"),
        (SkelError("no store.", remedy="Make one"), "no store. Make one"),
        (SkelError("two\n  lines", where="a\tb", remedy="and\r\nmore"), "a b: two lines. and more"),
    ],
)
def test_a_message_is_one_line(error: SkelError, line: str) -> None:
    assert str(error) == line


def test_unknown_names_everything_and_the_closest() -> None:
    error = unknown("method", "aimcrl", ["ms-clr", "aimclr"], where="method.name")
    assert isinstance(error, UsageError)
    assert str(error) == (
        "method.name: unknown method 'aimcrl'. Did you mean 'aimclr'? Known: aimclr, ms-clr"
    )


def test_unknown_does_not_guess_wildly() -> None:
    assert str(unknown("method", "zzz", {"aimclr": 1})) == "unknown method 'zzz'. Known: aimclr"


def test_everything_listed_can_be_imported() -> None:
    assert all(hasattr(schemas, name) for name in schemas.__all__)


def test_a_list_that_goes_on_keeps_its_dots() -> None:
    assert str(SkelError("nose, left_eye, ...", remedy="Name one")) == "nose, left_eye, ... Name one"
    assert str(SkelError("is gone.", remedy="Name one")) == "is gone. Name one"
