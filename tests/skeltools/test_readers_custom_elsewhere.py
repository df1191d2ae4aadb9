"""Files that are not read: the error says what makes files of them that are."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import ConfigError
from skeltools import custom
from skeltools.custom.registry import EXPORTS
from tests.skeltools import own_data


@pytest.mark.parametrize("suffix", [".pkl", ".pickle"])
def test_pickles_are_read_as_archives_or_opened_where_they_are_trusted(suffix: str) -> None:
    for words in (
        "--from pyskl --raw FILE",
        "--from crossclr",
        "pickle.load",
        "numpy.save(clip + '.npy', array)",
    ):
        assert words in EXPORTS[suffix]


@pytest.mark.parametrize("suffix", EXPORTS)
def test_the_way_out_is_named(tmp_path: Path, suffix: str) -> None:
    own_data.settings(tmp_path)
    (tmp_path / "readme.md").write_text("about")
    for name in ("a", "b"):
        (tmp_path / f"{name}{suffix.upper()}").write_bytes(b"x")
    with pytest.raises(ConfigError) as found:
        custom.discover(tmp_path)
    assert f"2 files end in {suffix}. {EXPORTS[suffix]}" in str(found.value)


def test_the_commonest_kind_counts_and_none_without_one(tmp_path: Path) -> None:
    own_data.settings(tmp_path)
    with pytest.raises(ConfigError, match="Put the files beside the settings"):
        custom.discover(tmp_path)
    for name in ("a.fbx", "b.fbx", "c.zip"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"2 files end in \.fbx\. Export it as \.bvh"):
        custom.discover(tmp_path)
