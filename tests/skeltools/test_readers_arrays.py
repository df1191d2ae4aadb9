"""Array files that are mapped, and broken ones."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from schemas import RawDataError
from skeltools.files import arrays


def npy_bytes(header: bytes, data: bytes = b"") -> bytes:
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


def declared(shape: str, descr: str = "'<f4'") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()


BROKEN = {
    "empty": b"",
    "text": b"hello",
    "huge shape": npy_bytes(declared("(1000000000, 3, 300, 25, 2)"), b"x" * 400),
    "shape beyond all numbers": npy_bytes(declared(f"({10**30}, 3, 300, 25, 2)"), b"x" * 400),
    "negative shape": npy_bytes(declared("(-1, 3, 300, 25, 2)"), b"x" * 400),
    "truncated": npy_bytes(declared("(2, 3, 1, 25, 2)"), bytes(1199)),
    "objects": npy_bytes(declared("(1,)", "'|O'"), pickle.dumps(None)),
    "header of code": npy_bytes(b"__import__('os')"),
    "nested header": npy_bytes(b"(" * 900 + b")" * 900),
    "no dict": npy_bytes(b"[1]"),
    "version 9": b"\x93NUMPY\x09\x00" + bytes(100),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_arrays(tmp_path, name):
    (tmp_path / "x.npy").write_bytes(BROKEN[name])
    with pytest.raises(
        RawDataError, match=r"x\.npy: (cannot be read|is an array of objects|.* takes \d+ bytes)"
    ):
        arrays.npy_file(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", BROKEN[name])
    with pytest.raises(RawDataError, match=r"x\.npz::x\.npy: "):
        arrays.npz_file(tmp_path / "x.npz", wanted=("x",))
    with zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", BROKEN[name])
    with pytest.raises(RawDataError, match=r"y\.npz::x\.npy: "):
        arrays.npz_file(tmp_path / "y.npz", wanted=("x",))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_members_are_what_numpy_reads(tmp_path, save):
    rng = np.random.default_rng(0)
    content = {
        "a": rng.standard_normal((3, 4)).astype(">f4"),
        "b": np.asfortranarray(rng.standard_normal((5, 2, 3))),
        "c": np.zeros((0, 4)),
        "d": np.array("text"),
        "e": np.arange(7),
    }
    save(tmp_path / "x.npz", **content)
    found = arrays.npz_file(tmp_path / "x.npz", wanted=tuple("abcd"))
    assert set(found) == set("abcd")
    for name, values in found.items():
        assert (values.dtype, values.shape) == (content[name].dtype, content[name].shape)
        assert np.array_equal(values, content[name])
    assert isinstance(found["a"], np.memmap) == (save is np.savez)


def test_every_truncation_of_an_npz_is_told(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(4.0))
    whole = buffer.getvalue()
    for length in range(0, len(whole), 7):
        (tmp_path / "x.npz").write_bytes(whole[:length])
        with pytest.raises(RawDataError):
            arrays.npz_file(tmp_path / "x.npz", wanted=("x",))


@pytest.mark.parametrize(
    ("x", "limit"),
    [(np.zeros(1000), "MAX_INFLATED"), (np.random.default_rng(0).normal(size=1000), "MAX_COMPRESSED")],
)
def test_large_compressed_members_are_refused(tmp_path, monkeypatch, x, limit):
    np.savez_compressed(tmp_path / "x.npz", x=x)
    assert np.array_equal(arrays.npz_file(tmp_path / "x.npz", wanted=("x",))["x"], x)
    monkeypatch.setattr(arrays, limit, 1000)
    with pytest.raises(RawDataError, match=r"Write the archive again with numpy.savez"):
        arrays.npz_file(tmp_path / "x.npz", wanted=("x",))
