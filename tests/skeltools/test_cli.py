from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import click
import numpy as np
import pytest

from skeltools import __version__, cli, demo, skeletons, store
from skeltools.cli.terminal import SYNTHETIC
from skeltools.conversion import convert
from tests.commands import in_the_foreground

ROOT = Path(__file__).parents[2]
UCLA_ZIP = Path(os.environ.get("SKELTOOLS_NWUCLA", ROOT / ".." / "shared" / "data" / "nw-ucla.zip"))


@pytest.fixture
def made(write_ucla, tmp_path) -> Path:
    convert(
        "nw-ucla", raw=write_ucla(tmp_path / "raw" / "nw-ucla"), out=tmp_path / "store.zarr", frames=(10,)
    )
    return tmp_path / "store.zarr"


def one_line(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text


# --------------------------------------------------------------------------------------------- whole way


@pytest.fixture(scope="module")
def demo_store(tmp_path_factory) -> Path:
    """A store of real files: the built-in data, small, made by the commands of the README."""
    folder = tmp_path_factory.mktemp("demo")
    demo.write_demo(folder / "raw", subjects=2, actions=(23, 50))
    out = folder / "store.zarr"
    assert cli.run(["convert", "ntu60", "--raw", str(folder / "raw"), "--out", str(out)]) == 0
    assert cli.run(["streams", str(out), "--bone", "--motion"]) == 0
    return out


def test_demo_store(run, demo_store):
    manifest = store.open_store(demo_store).manifest
    assert manifest.synthetic
    assert list(manifest.conventions) == ["kinectv2_25", "berkeley_mhad_43", "smpl_24", "smplx_42"]
    assert manifest.samples == 2 * 2 * 3
    assert sum(path.startswith("streams/") for path in manifest.arrays) == 4 * 3 * 2, "24 and 50 frames"
    assert manifest.findings.get("left and right look exchanged", 0) == 0
    code, out, err = run("validate", demo_store)
    assert (code, out.splitlines()[-1], err) == (0, f"{demo_store}: sound", "")
    code, out, err = run("inspect", demo_store)
    assert (code, err) == (0, "")
    assert SYNTHETIC in out


def test_bad_files_among_good_ones(run, demo_store):
    """Every kind of bad input becomes a row of the findings; everything else is converted as before."""
    shutil.copytree(demo_store.parent / "raw", "raw")
    native, estimated = Path("raw/ntu60/nturgb+d_skeletons"), Path("raw/ntu60/metrabs/smplx_42")
    (native / "copy").mkdir()
    clips = sorted(native.glob("*.skeleton"))
    text = clips[0].read_text()
    clips[0].write_text(text[: len(text) // 2])
    clips[1].write_bytes(b"")
    clips[2].write_bytes(bytes(range(256)) * 9)
    clips[3].write_text(clips[3].read_text().replace("\n25\n", "\n24\n", 1))
    clips[4].write_text("1000000000\n")
    clips[5].write_text("2\n0\n0\n")
    shutil.copy(clips[6], native / "copy")
    shutil.copy(clips[6], native / "walking.skeleton")
    with np.load(estimated / f"{clips[7].stem}.npz") as poses:
        people = poses["people_per_frame"][:-5]
        shorter = {"poses3d": poses["poses3d"][: people.sum()], "people_per_frame": people}
    np.savez(estimated / f"{clips[7].stem}.npz", **shorter)
    code, _, err = run("convert", "ntu60")
    assert (code, err) == (0, "")
    found = json.loads(run("inspect", "--json")[1])
    problems = {row["file"]: row["problem"] for row in found["findings"]["rows"]}
    unreadable = {file for file, problem in problems.items() if problem == "unreadable file"}
    assert unreadable == {clip.name for clip in clips[:6]} | {f"smplx_42/{clips[7].stem}.npz"}
    assert sum(problem == "duplicate sample id" for problem in problems.values()) == 1
    assert sum(problem == "unknown file name" for problem in problems.values()) == 1
    assert found["samples"] == 12  # the estimated poses of the six are still there
    assert found["conventions"]["kinectv2_25"]["samples"] == 6
    assert found["conventions"]["smplx_42"]["samples"] == 11
    assert run("validate")[0] == 0


def test_a_convention_of_ones_own(run, demo_store):
    shutil.copytree(demo_store.parent / "raw", "raw")
    shutil.move("raw/ntu60/metrabs/smpl_24", "raw/ntu60/metrabs/mine")
    own = skeletons.load("smpl_24").model_dump(mode="json") | {"name": "mine"}
    Path("mine.json").write_text(json.dumps(own))
    options = ("--convention", "mine.json", "--convention", "kinectv2_25")
    code, out, err = run("convert", "ntu60", *options)
    assert (code, err) == (0, "")
    assert list(store.open_store("store.zarr").manifest.conventions) == ["kinectv2_25", "mine"]
    assert run("streams", "--bone")[0] == run("validate")[0] == 0
    code, out, _ = run("convert", "ntu60", "--out", "other.zarr")
    assert "1 x unknown convention" in out


def test_the_wrong_mirror_reading_is_told(run, demo_store):
    raw = demo_store.parent / "raw"
    code, out, err = run("convert", "ntu60", "--raw", raw, "--out", "s.zarr", "--no-mirrored-video")
    assert code == 0
    assert SYNTHETIC in out
    assert err.count("warning: ") == 3
    assert "convert with --mirrored-video" in err


def test_demo_command(run, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(demo, "write_demo", lambda out, **options: calls.append((out, options)))
    code, out, _ = run("demo", "raw/", "--seed", 3, "--subjects", 4)
    assert code == 0
    assert calls == [(Path("raw"), {"seed": 3, "subjects": 4, "repetitions": 1, "on_progress": None})]
    assert SYNTHETIC in out


@pytest.mark.slow
@pytest.mark.skipif(not UCLA_ZIP.is_file(), reason="NW-UCLA is not here: set SKELTOOLS_NWUCLA to nw-ucla.zip")
def test_nw_ucla_has_its_published_halves(run):
    code, out, _ = run("convert", "nw-ucla", "--raw", UCLA_ZIP, "--out", "ucla.zarr")
    assert code == 0
    assert "1020 train, 464 test" in out
    assert store.open_store("ucla.zarr").manifest.findings == {}


# ---------------------------------------------------------------------------------------------- commands


def test_convert_finds_raw_by_option_variable_and_folder(run, made, monkeypatch):
    assert run("convert", "nw-ucla", "--raw", "raw/nw-ucla", "--out", "a.zarr")[0] == 0
    assert run("convert", "nw-ucla", "--out", "b.zarr", "--workers", 1)[0] == 0
    Path("raw").rename("elsewhere")
    monkeypatch.setenv("SKELTOOLS_RAW", "elsewhere")
    code, out, err = run("convert", "nw-ucla", "--out", "c.zarr", "--frames", 8, "--frames", 16)
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [
        "c.zarr: 12 samples of nw-ucla in kinectv1_20",
        "splits: xview 8 train, 4 test",
    ]
    arrays = store.open_store("c.zarr").manifest.arrays
    assert {"streams/kinectv1_20/t8/joint", "streams/kinectv1_20/t16/joint"} <= set(arrays)
    hashes = {store.open_store(name).manifest.hash for name in ("a.zarr", "b.zarr", "c.zarr")}
    assert len(hashes) == 1


def test_streams_takes_the_store_from_variable_or_folder(run, made, monkeypatch):
    code, out, _ = run("streams", "--bone", "--motion")
    assert code == 0
    assert out.splitlines() == [f"added streams/kinectv1_20/t10/{kind}" for kind in ("bone", "motion")]
    monkeypatch.setenv("SKELTOOLS_STORE", str(made))
    monkeypatch.chdir("/")
    code, out, _ = run("streams", "--bone")
    assert code == 0
    assert out == "already there: streams/kinectv1_20/t10/bone (--force rewrites it)\n"


def test_inspect_as_json(run, made):
    code, out, err = run("inspect", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["samples"] == 12
    assert found["store"] == "store.zarr"


def test_tables_are_whole_when_piped(run, made):
    code, out, _ = run("inspect", made)
    assert code == 0
    assert "train: cameras 1, 2; test: the other cameras" in out
    assert "pick up with two hands" in out
    assert "\x1b" not in out


def test_inspect_lists_findings(run, write_ucla):
    raw = write_ucla(Path("raw"))
    (raw / "a01_s09_e00_v01.json").write_text("{")
    (raw / "notes.json").write_text("{}")
    code, out, _ = run("convert", "nw-ucla")
    assert code == 0
    assert "findings: 1 x unknown file name, 1 x unreadable file" in out
    code, out, _ = run("inspect")
    assert "a01_s09_e00_v01.json" in out
    assert "notes.json" in out


def test_validate_exits_1_on_a_fault(run, made):
    store.reopen(made)["samples/label"][0] = 5
    code, out, err = run("validate")
    assert code == 1
    assert out == "samples/label: its values have changed: the checksum is not the manifest's\n"
    assert err.startswith("error: store.zarr: 1 fault")


def test_skeletons(run):
    code, out, _ = run("skeletons")
    assert code == 0
    assert all(name in out for name in skeletons.names())
    code, out, _ = run("skeletons", "kinectv2_25")
    assert "SpineShoulder" in out
    code, out, _ = run("skeletons", "kinectv2_25", "--json")
    Path("copy.json").write_text(out)
    code, out, _ = run("skeletons", "copy.json")
    assert code == 0
    assert "SpineShoulder" in out
    assert json.loads(run("skeletons", "--json")[1]) == list(skeletons.names())


def test_version_and_help(run):
    code, out, err = run("--version")
    assert (code, out.splitlines()[0], err) == (0, f"skeltools {__version__}", "")
    assert out.splitlines()[1].startswith("store format 1, Python 3.")
    code, _, err = run()
    assert code == 2
    assert err.startswith("Usage: skeltools")
    for name, command in cli.cli.commands.items():
        assert isinstance(command, click.Command)
        code, out, _ = run(name, "--help")
        assert code == 0
        assert f"Example:\n    skeltools {name}" in out


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["frobnicate"], 2, "No such command 'frobnicate'"),
        (["convert"], 2, "Missing argument 'DATASET'"),
        (["convert", "ntu61"], 2, "unknown data set 'ntu61'. Did you mean 'ntu60'"),
        (["convert", "ntu60"], 2, "rose1.ntu.edu.sg"),
        (["convert", "ntu60"], 2, "skeltools demo raw/"),
        (["convert", "ntu60", "--raw", "nowhere"], 2, "nowhere: no raw data for ntu60"),
        (["convert", "ntu60", "--recipe", "x"], 2, "unknown recipe 'x'. Known: centered, crossclr, default"),
        (["convert", "ntu60", "--convention", "smplx"], 2, "Did you mean 'smplx_42'"),
        (["convert", "ntu60", "--frames", "0"], 2, "Invalid value for '--frames'"),
        (["convert", "ntu60", "--workers", "-1"], 2, "Invalid value for '--workers'"),
        (["streams"], 2, "nothing to add: give --bone, --motion or --frames T"),
        (["streams", "--bone"], 1, "store.zarr: no such store. `skeltools convert DATASET"),
        (["inspect", "nowhere"], 1, "nowhere: no such store"),
        (["validate", "."], 1, "is not a skeleton store"),
        (["skeletons", "kinect_25"], 2, "Did you mean 'kinectv2_25'"),
        (["skeletons", "mine.yaml"], 2, "mine.yaml: cannot read the skeleton convention"),
    ],
)
def test_usage_and_data_errors_are_one_line(run, args, code, message):
    found, out, err = run(*args)
    assert (found, out) == (code, "")
    assert one_line(err)
    assert message in err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"3\n1\n", b"\x00\xff\x12" * 50, b"1000000000\n", b"1\n0\n", b"{}"],
    ids=["empty", "truncated", "binary", "billion frames", "no body", "other text"],
)
def test_a_folder_with_one_bad_file_only(run, content):
    folder = Path("raw/ntu60")
    folder.mkdir(parents=True)
    (folder / "S001C001P001R001A001.skeleton").write_bytes(content)
    code, out, err = run("convert", "ntu60")
    assert (code, out) == (1, "")
    assert one_line(err)
    assert "no sample could be read (1 x unreadable file, e.g. S001C001P001R001A001.skeleton" in err
    code, out, err = run("convert", "ntu60", "--strict")
    assert code == 1
    assert one_line(err)
    assert "S001C001P001R001A001.skeleton" in err
    assert [path.name for path in Path.cwd().iterdir()] == ["raw"]


def test_duplicate_ids_are_findings_and_fatal_when_strict(run, write_ucla):
    raw = write_ucla(Path("raw"))
    write_ucla(raw / "copy", ["a01_s01_e00_v01"])
    code, out, _ = run("convert", "nw-ucla")
    assert code == 0
    assert "1 x duplicate sample id" in out
    code, _, err = run("convert", "nw-ucla", "--out", "t.zarr", "--strict")
    assert code == 1
    assert one_line(err)
    assert "duplicate sample id" in err
    assert not Path("t.zarr").exists()


def test_newer_store_and_taken_targets(run, made):
    metadata = json.loads((made / "zarr.json").read_text())
    metadata["attributes"]["format"] = 7
    (made / "zarr.json").write_text(json.dumps(metadata))
    for command in (["inspect"], ["validate"], ["streams", "--bone"]):
        code, _, err = run(*command)
        assert code == 1
        assert one_line(err)
        assert "written by a newer version: format 7, this one reads up to 1" in err
    code, _, err = run("convert", "nw-ucla")
    assert code == 1
    assert "there is a store already. --force replaces it" in err
    code, _, err = run("convert", "nw-ucla", "--out", "raw", "--force")
    assert code == 1
    assert "nothing but a store is ever replaced" in err
    assert run("convert", "nw-ucla", "--force")[0] == 0


def test_raw_zip_that_is_none(run):
    Path("bad.zip").write_bytes(b"PK\x03\x04 not really")
    code, _, err = run("convert", "nw-ucla", "--raw", "bad.zip")
    assert code in (1, 2)
    assert one_line(err)
    assert "bad.zip" in err
    with zipfile.ZipFile("empty.zip", "w"):
        pass
    code, _, err = run("convert", "nw-ucla", "--raw", "empty.zip")
    assert code == 2
    assert one_line(err)


def test_unexpected_errors_are_one_line_and_debug_shows_them(run, made, monkeypatch):
    def fail(path: Path) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("skeltools.inspect.statistics", fail)
    code, out, err = run("inspect")
    assert (code, out) == (1, "")
    assert (
        err == "error: internal error (ZeroDivisionError: two lines); run again with --debug to see where\n"
    )
    line = err
    code, _, err = run("--debug", "inspect")
    assert code == 1
    assert err.startswith("Traceback")
    assert err.endswith(line)
    monkeypatch.setenv("SKELTOOLS_DEBUG", "1")
    assert run("inspect")[2] == err


def test_interrupt_is_one_line(run, monkeypatch):
    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("skeltools.inspect.statistics", stop)
    code, out, err = run("inspect")
    assert (code, out) == (130, "")
    assert one_line(err.removeprefix("\n"))  # click ends the line on which the terminal shows ^C


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_signals_keep_what_is_done_and_tell_how_to_go_on(write_ucla, tmp_path, number, code):
    raw = write_ucla(tmp_path / "raw", [f"a01_s{i:02}_e{j:02}_v01" for i in range(10) for j in range(20)], 20)
    command = [*in_the_foreground("skeltools"), "convert", "nw-ucla", "--raw", str(raw)]
    command += ["--workers", "1", "--out", str(tmp_path / "s.zarr")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while (
        process.poll() is None
        and not list(tmp_path.glob("s.zarr.partial/parts-*/*.json"))
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "s.zarr.partial: the same command continues, --fresh starts again" in err
    assert [path.name for path in tmp_path.glob("s.zarr*")] == ["s.zarr.partial"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "of 200 samples were done" in done.stderr
    assert [path.name for path in tmp_path.glob("s.zarr*")] == ["s.zarr"]


def test_adding_poses_to_a_store(run, demo_store):
    raw = demo_store.parent / "raw"
    assert run("convert", "ntu60", "--raw", raw, "--out", "s", "--convention", "kinectv2_25")[0] == 0
    code, _, err = run("convert", "ntu60", "--raw", raw, "--out", "s", "--add-metrabs")
    assert (code, err) == (0, "")
    mine, direct = store.open_store("s").manifest, store.open_store(demo_store).manifest
    assert all(direct.arrays[path] == info for path, info in mine.arrays.items())
    assert mine.hash == direct.hash
    code, _, err = run("convert", "ntu60", "--raw", raw, "--out", "s", "--add-metrabs", "--frames", 64)
    assert code == 2
    assert "--frames does not go with --add-metrabs" in err
    assert run("convert", "ntu60", "--raw", raw, "--out", "s", "--add-metrabs")[0] == 2
    assert run("validate", "s")[0] == 0
