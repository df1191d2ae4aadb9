"""Stores that come from elsewhere: what is refused before it is read, and what ``validate`` says of it."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import skeltools
from benchmarks import hostile_store
from schemas import StoreError, arrays, received, regular, shown
from schemas.chunk_files import FLOOR, RATIO
from skeltools import cli, store
from skeltools.inspect.validate import validate
from tests.skeltools import hostile_stores as hostile

JOINTS = "sequences/kinectv2_25/joints"
STREAM = f"streams/kinectv2_25/t{hostile.FRAMES}/joint"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.write_sound(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def made(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "s.zarr")


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def told(path: Path, manifest: Callable[[dict], object], name: str, array: Callable[[dict], object]) -> None:
    """Change what the manifest and the metadata of an array say alike."""
    edit(path / "zarr.json", lambda content: manifest(content["attributes"]["arrays"][name]))
    edit(path / name / "zarr.json", array)


def refused(path: Path, place: str, what: str) -> None:
    """Opening says so, and ``validate`` has it as a fault of its place."""
    with pytest.raises(StoreError, match=what) as caught:
        store.open_store(path)
    assert place in str(caught.value)
    assert "skeltools validate" in str(caught.value)
    faults = {fault.place: fault.problem for fault in validate(path)}
    assert place in faults, faults


def test_the_sound_store_is_sound(sound: Path) -> None:
    assert validate(sound) == ()


# ------------------------------------------------------------------------------------------- metadata


@pytest.mark.parametrize(
    ("name", "key", "value", "what"),
    [
        ("samples/label", "shape", [10**12], "shape is"),
        ("samples/label", "shape", [6.0], "shape are"),
        ("samples/label", "data_type", "int64", "dtype is int64"),
        ("samples/label", "data_type", {"name": "numpy.datetime64"}, "dtype is"),
        ("samples/label", "fill_value", "NaN", "fill value is NaN"),
        ("samples/label", "fill_value", 7, "fill value is 7"),
        ("samples/label", "zarr_format", 2, "format 3"),
        ("samples/label", "node_type", "group", "is no array"),
        ("samples/label", "codecs", [{"name": "bytes"}, {"name": "blosc"}], "its codecs are"),
        ("samples/label", "codecs", [{"name": "numcodecs.pickle"}], "its codecs are"),
        ("samples/label", "codecs", [], "its codecs are"),
        ("samples/label", "codecs", "zstd", "its codecs are"),
        ("samples/label", "storage_transformers", [{"name": "x"}], "other names"),
        ("samples/label", "chunk_key_encoding", {"name": "v2"}, "other names"),
        ("samples/label", "chunk_grid", {"name": "rectangular"}, "not regular"),
        ("samples/label", "must_understand", True, "unknown key"),
        ("samples/id", "codecs", [{"name": "bytes"}, {"name": "zstd"}], "its codecs are"),
    ],
)
def test_metadata_that_lie(made: Path, name: str, key: str, value: object, what: str) -> None:
    edit(made / name / "zarr.json", lambda content: content.update({key: value}))
    refused(made, name, what)


@pytest.mark.parametrize("size", [0, -1, 10**13, 2.5, True, None])
@pytest.mark.parametrize("name", ["samples/label", JOINTS])
def test_chunks_of_other_sizes(made: Path, name: str, size: object) -> None:
    grid = {
        "name": "regular",
        "configuration": {"chunk_shape": [size, 4, 25, 3][: 1 if "label" in name else 4]},
    }
    edit(made / name / "zarr.json", lambda content: content.update(chunk_grid=grid))
    refused(made, name, "chunks")


@pytest.mark.parametrize("size", [0, 1, 3, 10**9])
def test_chunks_of_a_shard_that_do_not_fill_it(made: Path, size: int) -> None:
    def change(content: dict) -> None:
        content["codecs"][0]["configuration"]["chunk_shape"][0] = size

    edit(made / JOINTS / "zarr.json", change)
    refused(made, JOINTS, "chunks|shards")


@pytest.mark.parametrize(
    ("name", "axis", "size", "what"),
    [
        ("samples/label", 0, 5, "axis N has 5 places, not 6"),
        ("splits/xsub", 0, 10**12, "axis N has 10+ places"),
        (f"{JOINTS[:-6]}offsets", 0, 6, r"axis N\+1 has 6 places, not 7"),
        (JOINTS, 2, 24, "axis V has 24 places, not 25"),
        (JOINTS, 3, 2, "axis C has 2 places, not 3"),
        (STREAM, 2, 7, "axis T has 7 places, not 6"),
        (STREAM, 4, 10**9, "people"),
        ("skeletons/smpl_24/adjacency", 1, 24, "axis V has 24 places, not 25"),
        (f"{JOINTS[:-6]}present", 0, 10**9, "axis F has 10+ places"),
    ],
)
def test_shapes_that_agree_with_the_manifest_but_not_with_the_format(
    made: Path, name: str, axis: int, size: int, what: str
) -> None:
    def change(content: dict) -> None:
        content["shape"][axis] = size

    told(made, change, name, change)
    refused(made, name, what)


def test_rows_that_no_file_holds(made: Path) -> None:
    def change(content: dict) -> None:
        content["shape"][0] = 10**9

    for part in ("joints", "present", "order"):
        told(made, change, f"sequences/kinectv2_25/{part}", change)
    opened = store.open_store(made)
    with pytest.raises(
        StoreError, match=r"joints: its shape promises 300000000000 bytes, but its files have"
    ):
        store.read(opened, JOINTS, 0, 10)
    assert any(fault.place == JOINTS for fault in validate(made))


def test_samples_that_no_file_names(made: Path) -> None:
    def change(content: dict) -> None:
        content["shape"][0] = 10**12

    edit(made / "zarr.json", lambda content: content["attributes"].update(samples=10**12))
    told(made, change, "samples/id", change)
    with pytest.raises(StoreError, match=r"damaged store .samples"):
        store.open_store(made)
    faults = {fault.place: fault.problem for fault in validate(made)}
    assert "is cut into" in faults["samples/id"]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "samples/../../x", "samples//id", ".hidden/x", "a\\b", ""]
)
def test_arrays_with_paths_that_go_elsewhere(made: Path, name: str) -> None:
    edit(
        made / "zarr.json",
        lambda content: content["attributes"]["arrays"].update({name: {
            "dimensions": ["N"], "shape": [6], "dtype": "int16", "sha256": ""
        }}),
    )  # fmt: skip
    refused(made, name, "is no path in a store|is not there")


def test_a_manifest_without_an_array_that_all_have(made: Path) -> None:
    edit(made / "zarr.json", lambda content: content["attributes"]["arrays"].pop(JOINTS))
    refused(made, JOINTS, "does not list it")


def test_consolidated_metadata_are_not_believed(made: Path) -> None:
    edit(made / "samples/zarr.json", lambda content: content.update(consolidated_metadata={"metadata": {}}))
    refused(made, "samples", "consolidated")


def test_metadata_of_the_format_before_are_not_read(made: Path) -> None:
    hostile.older_format(made, np.random.default_rng(0))
    with pytest.raises(StoreError):
        skeltools.open(made).stream(in_memory=True)
    assert not list(made.rglob("owned"))


@pytest.mark.parametrize("levels", [regular.DEEPEST + 1, 900, 10**6])
@pytest.mark.parametrize("place", ["zarr.json", "samples/zarr.json", "findings/zarr.json"])
def test_deep_json(made: Path, place: str, levels: int) -> None:
    edit(made / place, lambda content: content["attributes"].update(x="HERE"))
    text = (made / place).read_text()
    (made / place).write_text(text.replace('"HERE"', "[" * levels + "]" * levels))
    with pytest.raises(StoreError, match=r"nested too deeply|has more than"):
        store.read_findings(store.open_store(made))


# ------------------------------------------------------------------------------------------- chunk files


@pytest.mark.parametrize("name", ["samples/label", "samples/id", JOINTS, STREAM])
@pytest.mark.parametrize("case", range(4))
def test_what_grows_beyond_its_shape_is_not_decoded(made: Path, name: str, case: int) -> None:
    (path,) = (file for file in (made / name / "c").rglob("*") if file.is_file())
    hostile.bomb(made, np.random.default_rng(case), path)
    with pytest.raises(StoreError, match=r"a chunk|claim to hold|cannot (be read|reshape)"):
        store.read(store.open_store(made), name)
    assert any(fault.place == name for fault in validate(made))


@pytest.mark.parametrize("case", range(4))
def test_streams_are_not_derived_from_what_grows(made: Path, case: int) -> None:
    hostile.bomb(made, np.random.default_rng(case), made / STREAM / "c/0/0/0/0/0")
    with pytest.raises(StoreError, match=r"a chunk|claim to hold"):
        skeltools.add_streams(made, kinds=["motion"])


@pytest.mark.parametrize("numbers", [(2**40, 10), (0, 2**63), (2**64 - 2, 2**64 - 1), (5, 100), (0, 1)])
def test_an_index_that_points_elsewhere(made: Path, numbers: tuple[int, int]) -> None:
    path = made / STREAM / "c/0/0/0/0/0"
    hostile.point(path, 0, numbers, chunks=32)
    with pytest.raises(StoreError, match=r"index of its shard|a chunk"):
        store.read(store.open_store(made), STREAM)
    assert [fault.place for fault in validate(made)] == [STREAM]


def test_what_an_index_says_of_rows_that_there_are_not(made: Path) -> None:
    """It changes no value."""
    hostile.point(made / STREAM / "c/0/0/0/0/0", 31, (2**64 - 1, 2**64 - 1), chunks=32)
    assert validate(made) == ()


def test_ratio_and_floor_take_what_this_program_writes() -> None:
    poses = np.zeros((3, 1, 17, 3), np.float32) + np.linspace(0.1, 1, 51).reshape(17, 3).astype(np.float32)
    assert poses.nbytes * 10_000 < FLOOR + RATIO * 1000


@pytest.mark.parametrize("file", [f"{STREAM}/c/0/0/0/0/0", "samples/id/c/0", "samples/id/zarr.json"])
@pytest.mark.parametrize("kind", ["empty", "short", "gone"])
def test_files_that_are_cut_short(made: Path, file: str, kind: str) -> None:
    path = made / file
    if kind == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if kind == "empty" else path.stat().st_size // 2])
    place = file.partition("/c/")[0].removesuffix("/zarr.json")
    assert place in {fault.place for fault in validate(made)}


@pytest.mark.parametrize("kind", ["empty", "short", "gone"])
def test_every_metadata_file_is_missed(sound: Path, tmp_path: Path, kind: str) -> None:
    names = [path.relative_to(sound) for path in sound.rglob("zarr.json")]
    for name in names:
        made = shutil.copytree(sound, tmp_path / "s.zarr", copy_function=os.link)
        content = (made / name).read_bytes()
        (made / name).unlink()
        if kind != "gone":
            (made / name).write_bytes(content[: 0 if kind == "empty" else len(content) // 2])
        if name == Path("zarr.json"):
            with pytest.raises(StoreError):
                validate(made)
        else:
            _, faults = store.open_damaged(made)
            findings = [] if faults else [fault.place for fault in validate(made)]
            assert faults or findings, name
            assert name.parent.as_posix() in {*faults, *findings}, (name, faults, findings)
        shutil.rmtree(made)


# ------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "file", ["zarr.json", "samples/id/zarr.json", "samples/id/c/0", "findings.csv", STREAM]
)
@pytest.mark.parametrize("kind", ["pipe", "device", "link out", "link inside", "folder", "itself"])
def test_no_regular_file(made: Path, file: str, kind: str) -> None:
    path, moved = made / file, made.parent / "moved"
    path.rename(moved)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        inside = path.with_name("beside")
        if kind == "link inside":
            moved.rename(inside)
        targets = {"device": "/dev/zero", "link out": moved, "link inside": inside, "itself": path.name}
        path.symlink_to(targets[kind])
    begin = time.monotonic()
    for name, use in hostile.uses(made):
        if name in ("inspect", "open"):
            use()
    try:
        assert validate(made)
    except StoreError:
        assert file == "zarr.json"
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_nothing_is_added_to_a_store_with_pipes(made: Path, kind: str) -> None:
    path = made / "samples/x"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="is a link, a pipe or a device"):
        skeltools.add_streams(made, kinds=["motion"])
    assert [fault.place for fault in validate(made)] == ["samples/x"]


# ------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("samples/label", [0, 0, 0, 60, 0, 0], "outside 0..59"),
        ("splits/xsub", [0, 1, 2, 3, 0, 0], "other values than 0, 1 and 2"),
        ("sequences/kinectv2_25/offsets", [0, 9, 10**12, 30, 40, 50, 69], "never fall"),
        ("sequences/kinectv2_25/offsets", [0, 9, 19, 30, 42, 55, 10**12], "ends at"),
        ("sequences/kinectv2_25/offsets", [-5, 9, 19, 30, 42, 55, 69], "start at 0"),
    ],
)
def test_columns_that_lead_astray(made: Path, name: str, values: list[int], what: str) -> None:
    dtype = store.read_as_it_is(store.open_store(made), name).dtype
    hostile.rewrite(made, name, np.array(values).astype(dtype))
    with pytest.raises(StoreError, match=what):
        store.read(store.open_store(made), name)
    assert any(fault.place == name for fault in validate(made))


def test_an_id_that_is_there_twice(made: Path) -> None:
    ids = store.read(store.open_store(made), "samples/id")
    hostile.rewrite(made, "samples/id", np.array([ids[0], *ids[:-1]], dtype=object))
    with pytest.raises(StoreError, match="an id is there twice"):
        skeltools.open(made).ids  # noqa: B018


# ------------------------------------------------------------------------------------------- all of it


def test_no_text_of_a_store_commands_the_terminal(made: Path) -> None:
    for seed in range(4):
        hostile.texts(made, np.random.default_rng(seed))
    card = made.parent / "card.md"
    for arguments in (
        ["inspect", made],
        ["inspect", made, "--findings"],
        ["inspect", made, "--json"],
        ["card", made],
        ["card", made, "--out", card, "--croissant", card.with_suffix(".json")],
        ["validate", made],
        ["export", made, "--to", "hdf5", "--out", made.parent / "x.h5"],
    ):
        hostile.command(*arguments)
    assert not {"\x1b", "\x07"} & set(card.read_text() + card.with_suffix(".json").read_text())


def test_text_for_a_terminal_keeps_lines_and_json() -> None:
    assert shown("a\tb\n" + hostile.ESCAPE) == "a\tb\n\\u001b[2J\\u001b]0;owned\\u0007"
    for text in ("\x9b", "\udcff", "\U000e0001", "\u202e", "ä"):
        assert shown(text).isprintable()
        assert json.loads(shown(json.dumps(text, ensure_ascii=False))) == text


def test_changed_stores_end_in_answers_or_errors(sound: Path) -> None:
    """What benchmarks/hostile_store.py does with 2,000."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = hostile_store.run(sound, range(10_000, 10_012), 0)
    assert [case["failures"] for case in done] == [[]] * 12
    assert hostile_store.summary(done)["cases"] == 12


def test_flipped_bits_are_found(sound: Path) -> None:
    done = hostile_store.run(sound, range(6), 1, use=hostile_store.flipped)
    assert [case["failures"] for case in done] == [[]] * 6


def test_a_store_that_changes_while_it_is_opened(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers go on while something is added: manifest and metadata are read anew."""
    before = (made / "zarr.json").read_text()
    skeltools.add_streams(made, kinds=["motion"])
    after = (made / "zarr.json").read_text()
    look, tries = received.look, []

    def late(*arguments: object, **options: object) -> object:
        tries.append(1)
        found = look(*arguments, **options)
        if len(tries) == 1:
            arguments[2]["samples"] = "as it was before"
            (made / "zarr.json").write_text(after)
        return found

    (made / "zarr.json").write_text(before)
    monkeypatch.setattr(received, "look", late)
    assert f"{STREAM[:-5]}motion" in store.open_store(made).manifest.arrays
    assert len(tries) == 2


def test_opening_does_not_look_at_every_sample(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata, and of the values the ids alone."""
    read: list[str] = []
    inside = regular.inside
    monkeypatch.setattr(regular, "inside", lambda root, name: read.append(name) or inside(root, name))
    store.open_store(made)
    assert {name for name in read if not name.endswith("zarr.json")} == {"samples/id/c/0"}
    assert len(read) < 3 * len(store.open_store(made).manifest.arrays)


def test_the_table_of_arrays_is_that_of_the_format() -> None:
    page = Path(__file__).parents[2] / "docs/reference/store-format.md"
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`") and cells[2] in (*arrays.SIZES, "string"):
            for name in cells[0].replace("`", "").split(", "):
                folder = (
                    cells[0].strip("`").rpartition("/")[0].replace("`", "").split(",")[0].rpartition("/")[0]
                )
                path = name if "/" in name else f"samples/{name}"
                path = path.replace("<c>", "coco_17").replace("<name>", "mine").replace("<T>", "50")
                found = arrays.rule(path)
                assert found is not None, (path, folder)
                assert found[0].upper() == cells[1].replace(",", "").upper(), path
                assert found[1] == cells[2], path


@pytest.mark.parametrize("command", ["inspect", "validate", "card"])
def test_commands_tell_what_is_wrong_in_a_line(
    made: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (made / "samples/label/zarr.json").write_text("[" * 10**5)
    assert cli.run([command, str(made)]) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "internal error" not in error
