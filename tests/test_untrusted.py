"""Every reader of files from elsewhere: whatever they hold or parsers raise, one error of ours comes out."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import skeltools
from schemas import RawDataError, SkelError, regular, tensors, yaml_text
from schemas.parsing import LIMITS, reason, refusing
from skeltools import cli, skeletons
from skeltools.conversion import convert
from skeltools.custom import settings
from skeltools.inspect.validate import validate
from skeltools.preprocess import recipes
from skeltools.readers import READERS
from skeltools.single import read_clips
from tests.skeltools.raw_files import poses
from tests.trainer.stores import write_store
from trainer import checkpoint, config, logbook
from trainer.config import trees
from trainer.evaluate import heads, scores
from trainer.export import card
from trainer.export import read as exported
from trainer.publishing import manifest, measure
from trainer.released import read as released
from trainer.report import collect
from trainer.run import read_config, read_result
from trainer.store import open_store

DOORS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "config of a run": ("config.yaml", lambda file: read_config(file.parent)),
    "result": ("linear.json", read_result),
    "scores": ("linear.npz", scores.read_scores),
    "classifier": ("linear.safetensors", heads.read_head),
    "card": (card.CARD, lambda file: card.read_card(file.parent)),
    "publication": (manifest.MANIFEST, lambda file: manifest.read_manifest(file.parent)),
    "figures": (manifest.FIGURES, lambda file: manifest.read_figures(file.parent)),
    "checkpoint": ("last.pt", checkpoint.load),
    "released weights": ("released.pt", released.read_released),
    "log": ("metrics.jsonl", logbook.read),
    "settings": ("mine.yaml", trees.read_file),
    "data set": ("dataset.yaml", settings.load),
    "convention, JSON": ("mine.json", lambda file: skeletons.load(str(file))),
    "convention, YAML": ("mine.yaml", lambda file: skeletons.load(str(file))),
    "recipe": ("mine.yaml", lambda file: recipes.load(str(file))),
    "model card": ("README.md", measure._text),
}
"""What -> name of the file, and its reader."""

RAISED = [
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    OverflowError("int too large to convert to float"),
    ValueError("Exceeds the limit (4300 digits) for integer string conversion"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    EOFError(),
    KeyError("x"),
    TypeError("no number"),
    AttributeError("none"),
    OSError(5, "Input/output error"),
    zipfile.BadZipFile("no"),
    zlib.error("no"),
    yaml.YAMLError("no"),
]
PARSERS: list[tuple[Any, str]] = [
    (json, "loads"),
    (yaml_text, "_Loader"),
    (np, "load"),
    (torch, "load"),
    (heads, "safe_open"),
    (regular, "read"),
    (zipfile, "ZipFile"),
]

CONTENT = {
    "empty": b"",
    "zeros": bytes(100),
    "deep JSON": b"[" * 100_000,
    "deep objects": b'{"kind":' * 5_000,
    "digits": b'{"kind": ' + b"9" * 5000 + b"}",
    "infinite": b'{"kind": 1e999, "format": NaN, "name": -Infinity}',
    "surrogate": b'{"kind": "\\ud800", "name": "\\udfff", "joints": ["\\ud800"]}',
    "no text": b"\xff\xfe\xff",
    "UTF-16": '{"kind": 1}'.encode("utf-16"),
    "list": b"[1, 2]",
    "number": b"7",
    "null": b"null",
    "odd types": b'{"kind": [], "format": {}, "name": {}, "joints": 3, "edges": null, "version": "x"}',
    "zip": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_parsers_raise_is_an_error_of_ours(
    door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, read = DOORS[door]
    (tmp_path / name).write_bytes(b'{"kind": 1}')
    for error in RAISED:
        with monkeypatch.context() as patch:
            for module, attribute in PARSERS:
                patch.setattr(module, attribute, _raising(error))
            _refused_or_read(lambda: read(tmp_path / name), must=door not in ("model card", "log"))


def _raising(error: Exception) -> Callable[..., Any]:
    def parse(*_: object, **__: object) -> None:
        raise error

    return parse


def _refused_or_read(read: Callable[[], object], *, must: bool = False) -> None:
    try:
        read()
    except SkelError as error:
        told = str(error)
        assert "\n" not in told
        assert len(told) < 1000
        return
    assert not must


@pytest.mark.parametrize("door", DOORS)
def test_what_files_hold_is_read_or_an_error_of_ours(door: str, tmp_path: Path) -> None:
    name, read = DOORS[door]
    for content in CONTENT.values():
        (tmp_path / name).write_bytes(content)
        _refused_or_read(lambda: read(tmp_path / name))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to itself"])
def test_what_is_no_file_is_an_error_of_ours(door: str, kind: str, tmp_path: Path) -> None:
    name, read = DOORS[door]
    file = tmp_path / name
    {
        "pipe": lambda: os.mkfifo(file),
        "device": lambda: file.symlink_to("/dev/zero"),
        "folder": lambda: file.mkdir(),
        "link to itself": lambda: file.symlink_to(file),
    }[kind]()
    with pytest.raises(SkelError):
        read(file)


def test_packed_files_of_tensors_and_scores_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(10**7))
    with pytest.raises(SkelError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "x.pt")
    np.savez_compressed(tmp_path / "x.npz", ids=np.zeros(10**6))
    with pytest.raises(SkelError, match="are packed"):
        scores.read_scores(tmp_path / "x.npz")


_FILLS = b"\x80\x02cbuiltins\nbytearray\n\x8a\x04" + (2**28).to_bytes(4, "little") + b"\x85R."


@pytest.mark.parametrize("kind", ["zip", "old", "zeros"])
def test_pickles_that_fill_memory_are_not_given_to_torch(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.pt"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo("x/data.pkl"), _FILLS)
    elif kind == "old":
        path.write_bytes(b"".join(pickle.dumps(n, 2) for n in (0x1950A86A20F9469CFC6C, 1001, {})) + _FILLS)
    else:
        path.touch()
        os.truncate(path, 2**40)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("was loaded"))
    for read in (checkpoint.load_with_hash, released.read_released):
        with pytest.raises(SkelError):
            read(path)
    with pytest.raises(ValueError, match=r"calls bytearray|no file of torch"):
        tensors.check(path)


def test_logs_and_results_of_too_much_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    os.truncate(tmp_path / "metrics.jsonl", 2**40)
    with pytest.raises(SkelError, match="more than"):
        logbook.read(tmp_path / "metrics.jsonl")
    records, notes = collect._read_log(tmp_path / "metrics.jsonl")
    assert not records
    assert "cannot be read (has more than" in notes[0].text
    (tmp_path / "x.json").write_text("[" + "[]," * 2_100_000 + "[]]")
    with pytest.raises(SkelError, match="too many values"):
        read_result(tmp_path / "x.json")


def test_weights_that_are_none_are_not_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "read_card", lambda folder: None)
    (tmp_path / "encoder.safetensors").touch()
    os.truncate(tmp_path / "encoder.safetensors", 2**40)
    with pytest.raises(SkelError, match="not a safetensors file"):
        exported.read_weights(tmp_path)


@pytest.mark.parametrize("changed", ["epoch", "model", "optimiser", "meter", "format", "config"])
def test_checkpoints_of_other_types_are_refused(tmp_path: Path, changed: str) -> None:
    content = {"kind": checkpoint._MARK, "format": 1, "config": "{}", changed: ["odd"]}
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(SkelError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "x.pt")


def _own_data(raw: Path) -> None:
    for name in ("walk", "wave"):
        np.save(raw / f"{name}.npy", poses(6))
    about = {"name": "mine", "convention": "kinectv2_25", "layout": "T M V C"}
    (raw / "dataset.yaml").write_text(json.dumps(about))


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_raw_file_that_a_library_cannot_read_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What the system and the bounds of Python refuse is the file's; all else is a fault of the reader."""
    _own_data(tmp_path)
    monkeypatch.setattr(READERS["custom"], "read", _raising(error))
    if isinstance(error, LIMITS):
        told = rf"2 x unreadable file, e\.g\. walk\.npy: {re.escape(reason(error))}"
    else:
        told = rf"2 x reader failed, e\.g\. walk\.npy: {type(error).__name__}.*, in \w+\.py, line \d+"
    with pytest.raises(SkelError, match=told):
        convert("custom", raw=tmp_path, out=tmp_path / "s.zarr")


def test_a_reader_that_fails_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _own_data(tmp_path)
    read = READERS["custom"].read
    monkeypatch.setattr(
        READERS["custom"], "read", lambda item: 1 // 0 if item.file == "walk.npy" else read(item)
    )
    out = tmp_path / "s.zarr"
    assert cli.run(["convert", "custom", "--raw", str(tmp_path), "--out", str(out)]) == 1
    said, told = capfd.readouterr()
    assert "findings: 1 x reader failed" in said
    assert re.search(
        r"^error: the store lacks 1 raw file whose reader failed, e\.g\. walk\.npy: ZeroDivisionError: .*"
        r", in \w+\.py, line \d+\. This is a fault of the program: please report it with the file",
        told,
        re.MULTILINE,
    )
    assert "internal error" not in told
    assert validate(out) == ()
    assert [row.problem for row in skeltools.open(out).findings] == ["reader failed"]
    with pytest.raises(
        RawDataError, match=r"walk\.npy: reader failed .ZeroDivisionError.*report it with the file"
    ):
        convert("custom", raw=tmp_path, out=tmp_path / "strict.zarr", strict=True)
    clip = {clip.id: clip for clip in read_clips(tmp_path, skeletons.load("kinectv2_25"))}["walk"]
    assert "ZeroDivisionError" in clip.problem


def test_a_listing_that_fails_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _own_data(tmp_path)
    monkeypatch.setattr(READERS["custom"], "discover", lambda raw: {}["absent"])
    with pytest.raises(RawDataError, match=r"cannot be listed .KeyError: 'absent', in \w+\.py, line \d+"):
        convert("custom", raw=tmp_path, out=tmp_path / "s.zarr")


@pytest.mark.parametrize(
    "text",
    [
        "method: true",
        "method: {name: skeletonclr, options: 3}",
        "data: x",
        "2001-01-01: 1",
        "data: {more: 1}",
    ],
)
def test_settings_of_other_forms_are_refused(tmp_path: Path, text: str) -> None:
    store = open_store(write_store(tmp_path / "s.zarr"))
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SkelError):
        config.resolve(store, method="skeletonclr", file=tmp_path / "mine.yaml")


def test_errors_of_ours_stay_as_they_are() -> None:
    own = RawDataError("own", where="here", remedy="Do")
    with pytest.raises(RawDataError, match=r"here: own\. Do"), refusing(lambda why: SkelError(why)):
        raise own
    assert {reason(error) for error in RAISED if str(error)} >= {"no", "Input/output error", "KeyError: 'x'"}
