"""Stores behind addresses: an S3 server on 127.0.0.1 that drops connections, and a web server."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import skeltools
import trainer
from schemas import ConfigError, SkelError, StoreError, UsageError, cache, guarded, objects
from schemas.mirror import AT_ONCE, Mirror
from schemas.places import Place
from skeltools import cli
from skeltools.conversion.derive import DERIVED
from skeltools.pictures.browsed import Browsed
from tests.object_server import BUCKET, DROPPED, Server, s3_server, web_server
from tests.trainer.command import call
from tests.trainer.runs import tiny_arguments
from tests.workers import in_worker
from trainer import store as stores

CLIPS, FRAMES = 12, 12
JOINT = f"streams/coco_17/t{FRAMES}/joint"
SEQUENCES = "sequences/coco_17/joints"


def write(out: Path | str, *, clips: int = CLIPS, seed: int = 0, **options: Any) -> Path:
    joints = np.random.default_rng(seed).normal(size=(clips, 15, 1, 17, 3))
    labels = [("walk", "sit", "wave")[clip % 3] for clip in range(clips)]
    ids = [f"clip{clip:02}" for clip in range(clips)]
    told = {"frames": [FRAMES], "splits": {"halves": {"train": ids[: 2 * clips // 3]}}} | options
    skeltools.write(joints, out, ids=ids, labels=labels, convention="coco_17", **told)
    return Path(out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("here") / "own.zarr")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKELTOOLS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield server


@pytest.fixture(scope="module")
def address(running: Server, folder: Path) -> str:
    """A store that no test changes."""
    place = f"s3://{BUCKET}/lab/own.zarr"
    put(place, folder)
    return place


@pytest.fixture
def server(running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """With an empty cache."""
    monkeypatch.setenv("SKELTOOLS_CACHE", str(tmp_path / "cache"))
    running.forget()
    return running


@pytest.fixture
def changing(server: Server, folder: Path, request: pytest.FixtureRequest) -> str:
    """A store of this test's own."""
    place = f"s3://{BUCKET}/{request.node.name}/own.zarr"
    put(place, folder)
    server.forget()
    return place


def put(place: str, folder: Path) -> None:
    target = objects.connect(Place(place))
    for file in folder.rglob("*"):
        if file.is_file():
            target.write(file.relative_to(folder).as_posix(), file)


def contents(place: str) -> dict[str, bytes]:
    found = objects.connect(Place(place))
    return {name: (found.read(name, most=10**9) or (b"",))[0] for name in found.list()}


def files(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objects._RETRIES, "max_retries", 1)


# --- reading ------------------------------------------------------------------------------------------------


def test_an_address_reads_as_the_folder_does(server: Server, address: str, folder: Path) -> None:
    here, there = skeltools.open(folder), skeltools.open(address)
    assert there.ids == here.ids
    assert there.manifest == here.manifest
    assert str(there.path) == address
    for one, other in zip(here.clips(), there.clips(), strict=True):
        np.testing.assert_array_equal(one.joints, other.joints)
    np.testing.assert_array_equal(here.stream(in_memory=True), there.stream(in_memory=True))
    assert there[3].joints.shape == (15, 1, 17, 3)
    assert Browsed(address).answers()["rows"]({}) == Browsed(folder).answers()["rows"]({})


def test_the_trainer_reads_the_same_clips(server: Server, address: str, folder: Path) -> None:
    options: dict[str, Any] = {
        "split": "halves",
        "part": "train",
        "conventions": ["coco_17"],
        "frames": FRAMES,
    }
    here, there = (stores.load(stores.open_store(place), **options) for place in (folder, address))
    torch.testing.assert_close(here.clips, there.clips, rtol=0, atol=0)
    assert here.ids == there.ids
    assert len(trainer.SkeletonDataset(address, frames=FRAMES)) == CLIPS


def test_what_was_read_once_is_not_asked_for_again(server: Server, address: str) -> None:
    skeltools.open(address).stream(in_memory=True)
    server.forget()
    skeltools.open(address).stream(in_memory=True)
    assert server.asked == [f"GET /{BUCKET}/lab/own.zarr/zarr.json", f"GET /{BUCKET}"]


def test_files_come_whole_and_so_many_at_a_time(server: Server, address: str) -> None:
    opened = skeltools.open(address)
    list(opened.clips())
    opened.stream(in_memory=True)
    values = [each for each in server.asked if "/c/" in each]
    assert len(values) == len(set(values)) > AT_ONCE
    assert not server.ranges
    assert 1 < server.at_once <= AT_ONCE


def test_dropped_connections_and_busy_servers(server: Server, address: str, folder: Path) -> None:
    server.faults |= {
        f"GET /{BUCKET}/lab/own.zarr/zarr.json": [503],
        f"{JOINT}/c/": [503, DROPPED, 500, DROPPED],
        f"{SEQUENCES}/c/": [DROPPED, 429],
        "samples/": [503, DROPPED, 503],
    }
    opened = skeltools.open(address)
    np.testing.assert_array_equal(
        opened.stream(in_memory=True), skeltools.open(folder).stream(in_memory=True)
    )
    np.testing.assert_array_equal(opened[5].joints, skeltools.open(folder)[5].joints)
    assert server.ranges, "what was dropped goes on where it was"
    assert not any(server.faults.values())


def test_a_server_that_never_answers(server: Server, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    opened = skeltools.open(address)
    server.faults[f"{JOINT}/c/"] = [503] * 9
    with pytest.raises(StoreError, match=r"own.zarr: does not answer \(503 .*run the same command again"):
        opened.stream(in_memory=True)
    server.forget()
    assert opened.stream(in_memory=True).any(), "what failed once is asked for again"


def test_a_store_that_is_exchanged_while_it_is_read(server: Server, changing: str, tmp_path: Path) -> None:
    opened = skeltools.open(changing)
    put(changing, write(tmp_path / "other.zarr", seed=1, clips=2))
    with pytest.raises(StoreError, match="was changed while it was being read"):
        opened.stream(in_memory=True)
    assert len(skeltools.open(changing)) == 2


def test_validate_looks_at_what_is_there_now(server: Server, changing: str) -> None:
    skeltools.open(changing).stream(in_memory=True)
    assert skeltools.validate(changing) == ()
    name = next(name for name in contents(changing) if name.startswith(f"{JOINT}/c/"))
    content = bytearray(contents(changing)[name])
    content[40] ^= 1
    target = objects.connect(Place(changing))
    target.put(name, bytes(content))
    target.put("streams/coco_17/t9/joint/zarr.json", b'{"node_type": "array"}')
    assert {fault.place for fault in skeltools.validate(changing)} >= {JOINT, "streams/coco_17/t9/joint"}
    assert not list((cache.folder("stores")).glob("*-anew-*"))


def test_objects_that_are_too_large_are_not_taken(
    server: Server, changing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.chunk_files.most", lambda chunks: 9)
    with pytest.raises(StoreError, match=r"samples/id.* more than the 9"):
        skeltools.open(changing)


def test_names_that_lead_elsewhere_are_left_there(server: Server, changing: str, tmp_path: Path) -> None:
    listed = dict.fromkeys(("../../evil", ".hidden", "a/../../../evil"), objects.Found(1, None))
    source = objects.connect(Place(changing))
    mirror = Mirror(source, tmp_path / "root", ("zarr.json", objects.Found(1, None)), listed)
    mirror.bring_all(listed, most=lambda name: 9)
    assert not list(tmp_path.rglob("evil")) + list(tmp_path.rglob(".hidden"))
    assert mirror.sizes(()) == {}


def test_over_the_web(server: Server, folder: Path) -> None:
    with web_server(folder.parent) as site:
        opened = skeltools.open(f"{site}/own.zarr")
        np.testing.assert_array_equal(
            opened.stream(in_memory=True), skeltools.open(folder).stream(in_memory=True)
        )
        assert skeltools.validate(f"{site}/own.zarr") == ()
        with pytest.raises(StoreError, match="a web server is read, and not written to"):
            write(f"{site}/new.zarr")
        with pytest.raises(StoreError, match="no such store"):
            skeltools.open(f"{site}/other.zarr")


# --- the cache ----------------------------------------------------------------------------------------------


def test_the_cache_keeps_its_size(server: Server, address: str, changing: str, monkeypatch: Any) -> None:
    skeltools.open(changing)
    held = skeltools.open(address)
    monkeypatch.setenv("SKELTOOLS_CACHE_GB", "0")
    again = skeltools.open(address)
    assert len([*cache.folder("stores").glob("own.zarr-*/")]) == 1, "that which is open"
    assert again.ids == held.ids
    monkeypatch.setenv("SKELTOOLS_CACHE_GB", "much")
    with pytest.raises(ConfigError, match="SKELTOOLS_CACHE_GB: expected a number, found 'much'"):
        skeltools.open(address)


def test_no_room_in_the_cache(server: Server, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(StoreError, match=r"do not fit on its disk.*SKELTOOLS_CACHE"):
        skeltools.open(address)


# --- writing ------------------------------------------------------------------------------------------------


def test_a_store_is_sent_with_its_root_last(server: Server, folder: Path) -> None:
    place = f"s3://{BUCKET}/sent/own.zarr"
    write(place)
    sent = [each for each in server.asked if each.startswith(("PUT", "POST", "DELETE"))]
    assert contents(place) == files(folder)
    assert sent[0] == f"PUT /{BUCKET}/sent/own.zarr/.upload"
    assert sent[-2] == f"PUT /{BUCKET}/sent/own.zarr/zarr.json"
    assert 1 < server.at_once <= AT_ONCE
    with pytest.raises(StoreError, match="there is a store already"):
        write(place)
    assert not list(cache.folder("work").iterdir())


def test_an_upload_that_is_stopped_leaves_no_store(server: Server, folder: Path) -> None:
    place = f"s3://{BUCKET}/stopped/own.zarr"
    server.faults[f"PUT /{BUCKET}/stopped/own.zarr/{JOINT}/c/"] = [403]
    with pytest.raises(StoreError, match="access is denied"):
        write(place)
    assert contents(place)
    assert not Place(place).exists()
    with pytest.raises(StoreError, match="no such store"):
        skeltools.open(place)
    write(place)
    assert contents(place) == files(folder)


def test_busy_servers_take_a_store_nevertheless(server: Server, folder: Path) -> None:
    place = f"s3://{BUCKET}/busy/own.zarr"
    server.faults |= {"PUT": [503, 500, 503, 503], "list-type": [503]}
    write(place)
    assert contents(place) == files(folder)


def test_a_store_is_replaced_as_a_whole(server: Server, changing: str) -> None:
    write(changing, clips=2, frames=[9], force=True)
    assert skeltools.validate(changing) == ()
    assert not [name for name in contents(changing) if f"/t{FRAMES}/" in name]


def test_other_objects_are_never_replaced(server: Server) -> None:
    objects.connect(Place(f"s3://{BUCKET}/thesis")).put("chapter.tex", b"text")
    with pytest.raises(StoreError, match="nothing but a store is ever replaced"):
        write(f"s3://{BUCKET}/thesis", force=True)


def test_streams_are_added_there_as_in_a_folder(
    server: Server, changing: str, folder: Path, tmp_path: Path
) -> None:
    here = shutil.copytree(folder, tmp_path / "own.zarr")
    for place in (here, changing):
        added = skeltools.add_streams(place, kinds=["bone"], frames=[FRAMES, 9])
        assert len(added.written) == 3
    assert contents(changing) == files(here)
    assert not [each for each in server.asked if each.startswith("PUT") and f"{JOINT}/c" in each]


def test_streams_that_are_written_again(
    server: Server, changing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should that stop, there is the store without them."""
    skeltools.add_streams(changing, kinds=["bone"])
    bone = JOINT.replace("joint", "bone")
    server.faults[f"PUT /{BUCKET}/{Place(changing).parts[2]}/own.zarr/{bone}/c/"] = [403]
    with monkeypatch.context() as patch:
        patch.setitem(DERIVED, "bone", lambda joint, spec: 2 * joint)
        with pytest.raises(StoreError, match="access is denied"):
            skeltools.add_streams(changing, kinds=["bone"], force=True)
    left = skeltools.open(changing)
    assert bone not in left.manifest.arrays
    assert left.stream(in_memory=True).any()
    skeltools.add_streams(changing, kinds=["bone"])
    assert skeltools.validate(changing) == ()


def test_another_recipe_is_for_folders(server: Server, address: str) -> None:
    """All streams are written again, and for a while there would be none."""
    with pytest.raises(UsageError, match="remakes all streams, which is done in a folder"):
        skeltools.add_streams(address, recipe="raw", force=True)


# --- commands and errors ------------------------------------------------------------------------------------


def test_the_commands_take_addresses(
    server: Server, address: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for name, place in (("here", folder), ("there", address)):
        run = tmp_path / name
        arguments = tiny_arguments(optimise__epochs=1)
        trained = ("--store", place, "--method", "skeletonclr", "--out", run, *arguments)
        assert call(capsys, "pretrain", *trained)[0] == 0
        assert call(capsys, "evaluate", run, "--protocol", "knn")[0] == 0
        assert call(capsys, "embed", run, place, "--out", tmp_path / f"{name}.npz")[0] == 0
        found[name] = np.load(tmp_path / f"{name}.npz")["features"]
    np.testing.assert_array_equal(found["here"], found["there"])
    assert f"store: {address}\n" in (tmp_path / "there" / "config.yaml").read_text()


def test_inspect_says_what_is_there(
    server: Server, address: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for place in (folder, address):
        assert cli.run(["inspect", str(place), "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[1]["store"] == address
    assert told[0] | {"store": address} == told[1]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (
            f"s3://{BUCKET}/none.zarr",
            "no such store. `skeltools convert DATASET --out s3://bucket/none.zarr`",
        ),
        ("s3://nowhere/none.zarr", "there is no bucket nowhere"),
        ("az://box/none.zarr", "there are no credentials for it. Set AZURE_STORAGE_ACCOUNT_NAME"),
        ("ftp://box/none.zarr", "no such store. Addresses are s3://, gs://"),
    ],
)
def test_errors_are_a_sentence(
    place: str, told: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["inspect", place]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_credentials_that_are_wrong(server: Server, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    server.faults["GET"] = [403]
    assert cli.run(["inspect", address]) == 1
    assert "access is denied. Set AWS_ACCESS_KEY_ID" in capsys.readouterr().err
    server.faults["GET"] = [403]  # a list, which is the first thing that who writes asks for
    with pytest.raises(StoreError, match=r"access is denied\. Set AWS_ACCESS_KEY_ID"):
        write(f"s3://{BUCKET}/none.zarr")


@pytest.mark.parametrize("place", ["gcs://box/own.zarr", "S3://box/own.zarr", "s3://"])
def test_addresses_of_no_kind_are_not_written_as_folders(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"is no address of a store\. Addresses are s3://, gs://"):
        write(place)
    with pytest.raises(StoreError, match=r"is no address of a store\. Addresses are s3://, gs://"):
        skeltools.plan_shards("ntu60", out=place, shards=1)
    assert not [*tmp_path.iterdir()]


def test_a_host_that_is_not_there_is_given_up_within_a_minute() -> None:
    backoff, tries = objects._RETRIES["backoff"], objects._RETRIES["max_retries"]
    assert isinstance(backoff, dict)
    assert isinstance(tries, int)
    waits = sum(backoff["init_backoff"].total_seconds() * backoff["base"] ** (n + 1) for n in range(tries))
    connects = (tries + 1) * float(objects._CLIENT["connect_timeout"].removesuffix("s"))
    assert waits + connects < 60


def test_without_the_extra(
    server: Server, address: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    assert cli.run(["inspect", address]) == 1
    assert "obstore is not installed" in (told := capsys.readouterr().err)
    assert "pip install 'skeltools[cloud]'" in told


def test_what_is_damaged_there_is_told_with_its_address(server: Server, changing: str) -> None:
    name = next(name for name in contents(changing) if name.startswith(f"{JOINT}/c/"))
    objects.connect(Place(changing)).put(name, b"no shard")
    with pytest.raises(StoreError, match=rf"{changing}: damaged store \({JOINT}.*validate {changing}"):
        skeltools.open(changing).stream(in_memory=True)


def test_poses_are_not_added_there(server: Server, changing: str) -> None:
    with pytest.raises(UsageError, match="poses are added to a store in a folder"):
        skeltools.add_metrabs("ntu60", out=changing)


def test_a_mirror_goes_to_other_processes(server: Server, address: str) -> None:
    import pickle

    received = stores.open_store(address).received
    copy = pickle.loads(pickle.dumps(received))
    copy.bring(f"{SEQUENCES}/c/0/0/0/0")
    assert (Path(copy.root) / f"{SEQUENCES}/c/0/0/0/0").is_file()
    assert isinstance(copy, guarded.Received)


def joints_of(opened: skeltools.OpenedStore) -> np.ndarray:
    return np.stack([opened[id].joints for id in opened])


def joints_or_words(opened: skeltools.OpenedStore) -> Any:
    try:
        return joints_of(opened)
    except SkelError as error:
        return str(error)


def test_spawned_workers_read_an_address_and_forked_ones_say_why_not(
    address: str, folder: Path, server: Server
) -> None:
    opened = skeltools.open(address)
    told = in_worker("fork", joints_or_words, opened)
    assert told.startswith(f"{address}: a forked process cannot ask for objects")
    assert "multiprocessing_context='spawn'" in told
    expected = joints_of(skeltools.open(folder))
    assert np.array_equal(in_worker("spawn", joints_or_words, opened), expected)
    assert np.array_equal(joints_of(opened), expected)
    assert np.array_equal(in_worker("fork", joints_or_words, opened), expected), "all files are here now"


def test_a_tag_is_the_same_with_quotes_and_without_them() -> None:
    """Azure's lists leave them out, as its emulator does; without them no store there would ever open."""
    listed, asked = ({"size": 3, "e_tag": tag} for tag in ("0x25", '"0x25"'))
    assert objects._entry(listed) == objects._entry(asked) == objects.Found(3, '"0x25"')
    assert objects._entry({"size": 3, "e_tag": 'W/"5"'}).tag == 'W/"5"'
    assert objects._entry({"size": 3, "e_tag": None}).tag is None


def test_a_store_that_always_changes_is_given_up(
    address: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"zarr.json": objects.Found(1, "other")}
    monkeypatch.setattr(objects.Objects, "list", lambda self: other)
    with pytest.raises(StoreError, match=r"is being changed\. Run the same command again"):
        skeltools.open(address)
