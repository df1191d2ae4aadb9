"""Whole conversions of what cannot be converted: one line that says what to do, or a finding."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from skeltools import cli
from tests.skeltools.raw_files import SAMPLE, poses, write_npz, write_ntu, write_nwucla, write_pku

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder; returns exit code and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKELTOOLS_RAW", raising=False)

    def command(*args: str) -> tuple[int, str]:
        code = cli.run(list(args))
        return code, capfd.readouterr().err

    return command


def refused(found: tuple[int, str], code: int, *told: str) -> None:
    assert found[0] == code
    assert found[1].startswith("error: ")
    assert found[1].count("\n") == 1
    assert "internal error" not in found[1]
    for text in told:
        assert text in found[1], found[1]


def findings() -> dict[str, str]:
    from skeltools import store

    return {row.file: row.problem for row in store.read_findings(store.open_store("store.zarr"))}


def test_labels_without_skeletons_and_the_reverse(run: Run) -> None:
    write_pku(Path("raw"), "0002-L", poses(9), [(3, 1, 4)])
    write_pku(Path("raw"), "0003-L", poses(9), [(3, 1, 4)])[0].unlink()
    write_pku(Path("raw"), "0004-L", poses(9), [(3, 1, 4)])[1].unlink()
    assert run("convert", "pku-mmd-1") == (0, "")
    assert findings() == {
        "Train_Label_PKU_final/0003-L.txt": "labels without skeletons",
        "PKU_Skeleton_Renew/0004-L.txt": "skeletons without labels",
    }


def test_only_labels(run: Run) -> None:
    write_pku(Path("raw"), "0003-L", poses(9), [(3, 1, 4)])[0].unlink()
    refused(
        run("convert", "pku-mmd-1"), 1, "no sample could be read", "labels without skeletons", "Check that"
    )


def test_classes_out_of_range(run: Run) -> None:
    write_pku(Path("raw"), "0002-L", poses(9), [(3, 1, 4), (52, 1, 4), (0, 1, 4)])
    assert run("convert", "pku-mmd-1") == (0, "")
    assert findings() == {"Train_Label_PKU_final/0002-L.txt": "unknown action"}
    write_nwucla(Path("other"), "a08_s03_e02_v01", poses(5, 1, 20)[:, 0], 99)
    refused(run("convert", "nw-ucla", "--raw", "other", "--out", "o.zarr"), 1, "label 99", "Check that")


def test_two_conventions_of_one_name(run: Run) -> None:
    write_ntu(Path("raw") / f"{SAMPLE}.skeleton", poses(5))
    write_npz(Path("raw"), "smplx_42", SAMPLE, 1000 * poses(5, 1, 42))
    if Path("raw/metrabs/SMPLX_42").exists():
        pytest.skip("the file system takes these names for one")
    shutil.copytree("raw/metrabs/smplx_42", "raw/metrabs/SMPLX_42")
    refused(
        run("convert", "ntu60"), 1, "SMPLX_42 and smplx_42 are one convention twice", "Put the files into"
    )


def test_recipes_that_do_not_exist(run: Run) -> None:
    write_ntu(Path("raw") / f"{SAMPLE}.skeleton", poses(5))
    refused(run("convert", "ntu60", "--recipe", "defualt"), 2, "defualt", "Did you mean 'default'")
    Path("own.yaml").write_text("- centre_on_the_moon\n")
    refused(run("convert", "ntu60", "--recipe", "own.yaml"), 2, "centre_on_the_moon", "own.yaml")
    Path("own.yaml").write_text("- resize: {no_such_option: 3}\n")
    refused(run("convert", "ntu60", "--recipe", "own.yaml"), 2, "no_such_option", "own.yaml")


@pytest.mark.parametrize("dataset", ["ntu60", "nw-ucla", "pku-mmd-1", "pku-mmd-2", "custom"])
def test_an_empty_folder(run: Run, dataset: str) -> None:
    Path("raw").mkdir()
    refused(run("convert", dataset), 2, "raw", "--raw")
    refused(run("convert", dataset, "--raw", "nowhere"), 2, "no such folder", "--raw")


@pytest.mark.parametrize("source", ["crossclr", "ctrgcn", "hdf5", "pyskl"])
def test_an_empty_archive(run: Run, source: str) -> None:
    Path("raw").mkdir()
    refused(run("convert", "ntu60", "--from", source), 1, "raw")
    Path("empty").write_bytes(b"")
    refused(run("convert", "ntu60", "--from", source, "--raw", "empty"), 1, "empty")


def test_strict_stops_at_the_first_bad_file(run: Run) -> None:
    write_ntu(Path("raw") / f"{SAMPLE}.skeleton", poses(5))
    Path("raw/S001C001P001R001A001.skeleton").write_text("3\n1\n")
    refused(
        run("convert", "ntu60", "--strict"),
        1,
        "S001C001P001R001A001",
        "promises 3 frames",
        "without --strict",
    )
    assert not Path("store.zarr").exists()
    assert run("convert", "ntu60") == (0, "")
    assert findings() == {"S001C001P001R001A001.skeleton": "unreadable file"}


def test_a_folder_that_is_no_folder(run: Run) -> None:
    Path("raw").write_text("text")
    refused(run("convert", "ntu60"), 2, "raw")
