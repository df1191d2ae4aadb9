"""A conversion in three steps, plan, read shards and publish: the store is that of ``convert``."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import RawDataError, SkelError, StoreError, UsageError
from skeltools import convert, plan_shards, publish_shards, read_shard
from skeltools.cli import cli
from skeltools.cli import run as cli_run
from skeltools.conversion import chunks, fingerprint, publish
from skeltools.conversion.shards import in_words

SHARDS = 4
ROOT = Path(__file__).parents[2]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def raw(write_ucla, tmp_path, monkeypatch) -> Path:
    """Twelve clips in three parts."""
    monkeypatch.setattr(chunks, "SAMPLES", 4)
    monkeypatch.chdir(tmp_path)
    return write_ucla(tmp_path / "raw")


def plan(**options: Any) -> Any:
    return plan_shards("nw-ucla", raw="raw", out="s", **{"shards": SHARDS, "frames": (5,), **options})


def whole(folder: str = "whole", **options: Any) -> dict[str, bytes]:
    convert("nw-ucla", raw="raw", out=folder, frames=(5,), **options)
    return files(Path(folder))


def test_shards_in_any_order_and_twice(raw):
    planned = plan()
    assert (planned.shards, planned.samples, planned.filled) == (4, 12, 3)
    assert [read(number) for number in (3, 1, 0, 3)] == [4, 4, 0, 0]
    with pytest.raises(
        StoreError, match=r"s: of 4 shards 2 is missing. .*convert shard .*/s 2; then publish"
    ):
        publish_shards("s")
    assert read(2) == 4
    assert publish_shards("s").manifest.samples == 12
    assert files(Path("s")) == whole()
    assert not publish.work_folder(Path("s")).exists()
    assert read_shard("s", 1) is None
    assert publish_shards("s").manifest.samples == 12


def read(number: int, **options: Any) -> int:
    """Samples that a shard was read of now."""
    found = read_shard("s", number, **options)
    assert found is not None
    return found.read


def test_a_shard_that_is_read_twice_at_once(raw):
    plan(shards=1)
    with ThreadPoolExecutor(3) as pool:
        assert max(pool.map(read, [0, 0, 0])) == 12
    publish_shards("s")
    assert files(Path("s")) == whole()


def test_what_other_machines_are_told_is_enough(raw, monkeypatch):
    """From another folder: the plan has whole paths, also of the recipe."""
    shutil.copy(ROOT / "skeltools" / "recipes" / "crossclr.yaml", "mine.yaml")
    options = {"recipe": "mine.yaml", "conventions": ["kinectv1_20"], "mirrored": True}
    plan(**options)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    for number in range(SHARDS):
        read_shard("../s", number)
    publish_shards("../s")
    monkeypatch.chdir("..")
    assert files(Path("s")) == whole(**options)


def test_of_ones_own_data_and_of_archives(raw, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(6):
        np.save(folder / f"clip{number}.npy", np.random.default_rng(number).normal(size=(6, 20, 3)))
    settings = folder / "dataset.yaml"
    settings.write_text("name: lab\nconvention: kinectv1_20\nunits: m\nlayout: T V C\nfiles: '*.npy'\n")
    convert("custom", raw=folder, out="whole", frames=(5,))
    plan_shards("custom", raw="own", out="s", shards=2, frames=(5,))
    read_shard("s", 0)
    settings.write_text(settings.read_text() + "fps: 20\n")
    with pytest.raises(RawDataError, match=r"dataset.yaml: was changed since the conversion was planned"):
        read_shard("s", 1)
    settings.write_text(settings.read_text().replace("fps: 20\n", ""))
    plan_shards("custom", raw="own", out="s", shards=2, frames=(5,))
    for number in range(2):
        read_shard("s", number)
    publish_shards("s")
    assert files(Path("s")) == files(Path("whole"))
    assert cli_run(["export", "s", "--to", "hdf5", "--out", "a.h5"]) == 0
    options: dict[str, Any] = {"raw": "a.h5", "source": "hdf5", "classes": ["one", "two"], "name": "lab"}
    convert("custom", out="from", **options)
    plan_shards("custom", out="from-shards", shards=1, **options)
    read_shard("from-shards", 0)
    publish_shards("from-shards")
    assert files(Path("from-shards")) == files(Path("from"))


# ----------------------------------------------------------------------------- what is no longer the same


def test_a_raw_file_that_is_another_one_than_planned(raw):
    plan()
    first, last = sorted(raw.iterdir())[0], sorted(raw.iterdir())[-1]
    first.write_bytes(first.read_bytes() + b" ")
    with pytest.raises(RawDataError, match=rf"{first.name}: was changed since .* then plan again"):
        read(1)
    assert read(3) == 4
    last.rename("aside")
    Path(publish.parts_folder(Path("s"), common()["digest"]), "000002.json").unlink()
    with pytest.raises(RawDataError, match=rf"{last.name}: is not to be seen here"):  # and no finding
        read(3)


def test_a_raw_file_that_changes_while_its_shard_is_read(raw):
    plan(shards=1)
    last = sorted(raw.iterdir())[3]

    def change(done: int, total: int) -> None:
        last.write_bytes(last.read_bytes() + b" ")

    with pytest.raises(RawDataError, match=rf"{last.name}: was changed since"):
        read(0, on_progress=change)
    assert not chunks.finished(publish.parts_folder(Path("s"), common()["digest"]))


def test_raw_files_that_change_before_the_store_is_published(raw):
    plan()
    for number in range(SHARDS):
        read(number)
    first = sorted(raw.iterdir())[0]
    kept = first.read_bytes()
    first.write_bytes(kept + b" ")
    with pytest.raises(RawDataError, match=rf"{first.name}: was changed since"):
        publish_shards("s")
    shutil.copy(first, raw / "a01_s09_e00_v01.json")
    plan()
    for number in range(SHARDS):
        read(number)
    (raw / "a01_s08_e00_v01.json").write_bytes(kept)
    with pytest.raises(RawDataError, match="raw: there are other raw files or settings"):
        publish_shards("s")
    assert not Path("s").exists()


def test_another_version_than_planned(raw, monkeypatch):
    plan()
    monkeypatch.setattr(fingerprint, "program", lambda: "another")
    for call in (lambda: read_shard("s", 1), lambda: publish_shards("s")):
        with pytest.raises(
            SkelError, match=r"planned by another version, .* one environment on all machines"
        ):
            call()


def test_the_program_is_all_that_decides_about_a_byte():
    """Also what lies outside of the folder that computes the hash."""
    seen = []
    plain = Path.read_bytes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: seen.append(path.name) or plain(path))
        fingerprint.program.__wrapped__()
    assert {"shards.py", "ntu_text.py", "steps.py", "kinectv2_25.json", "default.yaml"} <= set(seen)


def common() -> dict[str, Any]:
    return dict(json.loads((publish.shards_folder(Path("s")) / "plan.json").read_text()))


def test_a_plan_keeps_what_was_read_by_the_same_one(raw):
    said: list[str] = []
    plan()
    read(1)
    plan(shards=2, on_note=said.append)
    assert (said, [read(number) for number in range(2)]) == ([], [0, 8])
    plan(frames=(6,), on_note=said.append)
    assert said[0].startswith("starting over: ")
    assert read(1) == 4
    plan(frames=(6,), fresh=True)
    assert read(1) == 4
    convert("nw-ucla", raw="raw", out="s", frames=(6,), on_note=said.append)
    assert said[-1] == "resuming: 4 of 12 samples were done"  # the same conversion in one go


def test_strict_and_findings(raw):
    bad = sorted(raw.iterdir())[5]
    bad.write_text("no JSON")
    plan(strict=True)
    assert read(1) == 4
    with pytest.raises(RawDataError, match=bad.name):
        read(2)
    plan()
    for number in range(SHARDS):
        read(number)
    assert publish_shards("s").manifest.findings == {"unreadable file": 1}
    assert files(Path("s")) == whole()


def test_a_store_that_is_there_is_replaced_by_force_alone(raw):
    whole("s")
    with pytest.raises(StoreError, match="there is a store already"):
        plan()
    plan(force=True)
    for number in range(SHARDS):
        read(number)
    publish_shards("s")
    assert files(Path("s")) == whole()


# -------------------------------------------------------------------------------------------- commands


def test_the_commands_say_what_comes_next(run, raw, tmp_path):
    code, out, err = run("convert", "plan", "nw-ucla", "--out", "s", "--shards", 4, "--frames", 5)
    assert (code, err) == (0, "")
    assert out.startswith("12 samples in 4 shards, 0 to 3, of which 3 have something to read. Next")
    assert f"\n  for n in $(seq 0 3); do skeltools convert shard {tmp_path}/s $n; done\n" in out
    assert out.endswith(f"\n  skeltools convert publish {tmp_path}/s\n")
    assert run("convert", "shard", "s", 1)[1] == "shard 1: 4 samples read\n"
    assert run("convert", "shard", "s", 1)[1] == "shard 1: 0 samples read, 4 had been\n"
    code, _, err = run("convert", "publish", "s")
    assert (code, "of 4 shards 2, 3 are missing" in err) == (1, True)
    for number in (2, 3):
        assert run("convert", "shard", "s", number)[0] == 0
    assert run("convert", "publish", "s")[1].startswith(
        f"{tmp_path}/s: 12 samples of nw-ucla in kinectv1_20\n"
    )
    assert run("convert", "shard", "s", 3)[1] == "s: is published, there is nothing to do\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["shard", "s", "4"], 2, "there is no shard 4. They are 0 to 3"),
        (["shard", "t", "0"], 2, "no conversion in shards is planned. Begin with skeltools convert plan"),
        (["publish", "a t"], 2, "/a t' --shards N"),
        (["shard", "s3://bucket/t", "0"], 2, "s3://bucket/t: shards are read to a folder"),
        (["publish", "t"], 2, "no conversion in shards is planned"),
        (["plan", "nw-ucla", "--out", "s", "--shards", "0"], 2, "Invalid value for '--shards'"),
        (["plan", "nw-ucla"], 2, "Missing option '--shards'"),
        (["plan", "nw-ucla", "--shards", "2", "--shards", "3"], 2, "--shards is given twice"),
        (["plan", "nowhere", "--shards", "2"], 2, "unknown data set 'nowhere'"),
        (["publisch"], 2, "unknown data set 'publisch'"),
    ],
)
def test_bad_input_is_told_in_a_sentence(run, raw, arguments, code, said):
    plan()
    found, _, err = run("convert", *arguments)
    assert (found, err.count("\n")) == (code, 1)
    assert said in err


def test_the_help_of_convert_names_the_steps_and_theirs_has_an_example(run):
    text = run("convert", "--help")[1]
    for name, step in cli.commands["convert"].steps.items():  # type: ignore[attr-defined]
        assert f"\n  {name} " in text
        assert f"skeltools convert {name} " in run("convert", name, "--help")[1]
        assert step.get_short_help_str(80).endswith(".")


def test_numbers_of_shards_in_words():
    assert in_words([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9, 10"


def test_a_damaged_plan(raw):
    plan()
    (publish.shards_folder(Path("s")) / "plan.json").write_text("{")
    with pytest.raises(UsageError, match=r"plan.json: is damaged .* Plan again"):
        read_shard("s", 0)
