"""Exported HDF5 files, damaged in every way; whole ones are read in test_export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from schemas import RawDataError
from skeltools import skeletons
from skeltools.formats import hdf5 as hdf5_reader
from skeltools.formats.export import export
from tests.skeltools.archives import (
    NAMES,
    NATIVE,
    SMPLX,
    make_store,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory, serving, clip) -> Path:
    return make_store(tmp_path_factory.mktemp("export"), serving, clip)


DAMAGE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no manifest": (lambda file: file.attrs.__delitem__("manifest"), "is no exported store"),
    "manifest of text": (lambda file: file.attrs.__setitem__("manifest", "x"), "manifest"),
    "manifest of another form": (lambda file: file.attrs.__setitem__("manifest", "{}"), "manifest"),
    "no ids": (lambda file: file.__delitem__("samples/id"), "no column samples/id"),
    "an id twice": (lambda file: file["samples/id"].__setitem__(1, NAMES[0]), "an id is unusable"),
    "an id of two lines": (lambda file: file["samples/id"].__setitem__(1, "a\nb"), "an id is unusable"),
    "no offsets": (lambda file: file.__delitem__(f"sequences/{NATIVE}/offsets"), "no column"),
    "falling offsets": (
        lambda file: file[f"sequences/{NATIVE}/offsets"].__setitem__(1, 10**6),
        "do not lead",
    ),
    "no joints": (lambda file: file.__delitem__(f"sequences/{NATIVE}/joints"), "is no array"),
    "no order": (lambda file: file.__delitem__(f"sequences/{NATIVE}/order"), "is no int8 array"),
    "a split of sevens": (lambda file: file["splits/xsub"].__setitem__(0, 7), "is no column of 12 values"),
    "no split": (lambda file: file.__delitem__("splits/xsub"), "no column splits/xsub"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_hdf5_files(made, tmp_path, name):
    export(made, to="hdf5", out=tmp_path / "o.h5")
    harm, message = DAMAGE[name]
    with h5py.File(tmp_path / "o.h5", "a") as file:
        harm(file)
    with pytest.raises(RawDataError, match=message):
        hdf5_reader.discover(tmp_path / "o.h5")


def test_truncated_and_foreign_hdf5_files(made, tmp_path):
    path = export(made, to="hdf5", out=tmp_path / "o.h5").path
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(RawDataError, match="damaged HDF5 file"):
            hdf5_reader.discover(path)


def test_columns_that_claim_more_than_they_hold(made, tmp_path):
    export(made, to="hdf5", out=tmp_path / "o.h5")
    with h5py.File(tmp_path / "o.h5", "a") as file:
        del file["samples/id"]
        file.create_dataset("samples/id", (10**12,), "S8", chunks=(1024,))
    with pytest.raises(RawDataError, match=r"claims 8000000000000 bytes"):
        hdf5_reader.discover(tmp_path / "o.h5")


def test_text_in_heaps_is_not_touched(made, tmp_path):
    """A damaged heap makes the library go round in circles, out of reach of any time limit."""
    export(made, to="hdf5", out=tmp_path / "o.h5")
    with h5py.File(tmp_path / "o.h5", "a") as file:
        ids = file["samples/id"].asstr()[()]
        del file["samples/id"]
        file.create_dataset("samples/id", data=ids, dtype=h5py.string_dtype())
    with pytest.raises(RawDataError, match="samples/id has text of variable length"):
        hdf5_reader.discover(tmp_path / "o.h5")
    with h5py.File(tmp_path / "o.h5", "a") as file:
        file.attrs["manifest"] = file.attrs["manifest"].decode()
    with pytest.raises(RawDataError, match="no attribute manifest of fixed length"):
        hdf5_reader.discover(tmp_path / "o.h5")


def test_conventions_that_do_not_ship_with_the_package(made, tmp_path):
    export(made, to="hdf5", out=tmp_path / "o.h5")
    with h5py.File(tmp_path / "o.h5", "a") as file:
        text = file.attrs["manifest"].decode().replace(f'"{SMPLX}":{{"reader"', '"mine":{"reader"')
        file.attrs["manifest"] = np.bytes_(text.encode())
        file.move(f"sequences/{SMPLX}", "sequences/mine")
    listing = hdf5_reader.discover(tmp_path / "o.h5")
    assert [row.problem for row in listing.findings] == ["unknown convention"]
    assert {item.convention for item in listing.items} == {NATIVE}
    own = skeletons.load(SMPLX).model_copy(update={"name": "mine"})
    assert {
        item.convention for item in hdf5_reader.discover(tmp_path / "o.h5", specs={"mine": own}).items
    } == {
        NATIVE,
        "mine",
    }
    with pytest.raises(RawDataError, match="42 joints, but mine has 25"):
        hdf5_reader.discover(
            tmp_path / "o.h5", specs={"mine": skeletons.load(NATIVE).model_copy(update={"name": "mine"})}
        )
