"""What is kept of a file: read once while the file is the same, again when it has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skeltools.files.unchanged import while_unchanged


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    read: list[tuple[str, str]] = []

    @while_unchanged(2)
    def words(path: Path, ending: str) -> str:
        read.append((path.name, ending))
        return path.read_text() + ending

    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    other.write_text("b")
    assert [words(one, "!"), words(one, "!"), words(one, "?"), words(one, "!")] == ["a!", "a!", "a?", "a!"]
    assert read == [("one", "!"), ("one", "?")]
    one.write_text("longer")
    assert words(one, "!") == "longer!"
    os.utime(one, ns=(0, 0))
    assert words(one, "!") == "longer!"
    assert read[2:] == [("one", "!")] * 2
    assert [words(other, "!"), words(other, "?"), words(one, "!")] == ["b!", "b?", "longer!"]
    assert read[4:] == [("other", "!"), ("other", "?"), ("one", "!")]  # the two last ones are kept


def test_a_file_that_is_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    size = while_unchanged(1)(lambda path: path.stat().st_size)
    (tmp_path / "one").write_text("a")
    assert size(tmp_path / "one") == 1
    (tmp_path / "one").unlink()
    with pytest.raises(FileNotFoundError):
        size(tmp_path / "one")
