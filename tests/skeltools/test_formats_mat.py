"""MATLAB's files, versions 5 to 7.3."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from schemas import RawDataError, SkelError
from skeltools import skeletons
from skeltools.formats.mat import UTD_JOINTS
from tests.skeltools import fuzzing, own_data
from tests.skeltools.raw_files import poses


def save_73(path: Path, arrays: dict[str, NDArray[Any]], kinds: dict[str, str] | None = None) -> None:
    """As MATLAB writes version 7.3: HDF5 behind 512 bytes of its own, axes the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
            kind = (kinds or {}).get(name, "single" if array.dtype == np.float32 else "double")
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
        file.create_group("#refs#")
    data = bytearray(path.read_bytes())
    data[:116] = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116)
    data[124:128] = b"\x00\x02IM"
    path.write_bytes(data)


def _save(path: Path, arrays: dict[str, Any], version: str) -> None:
    if version == "7.3":
        save_73(path, arrays)
    else:
        scipy.io.savemat(path, arrays, format="4" if version == "4" else "5", do_compression=version == "7")


@pytest.mark.parametrize("version", ["5", "7", "7.3"])
def test_utd_mhad_is_read_in_its_own_order_of_joints(tmp_path: Path, version: str) -> None:
    held = poses(6, 1, 20)[:, 0]
    _save(tmp_path / "a1_s1_t1_skeleton.mat", {"d_skel": held.transpose(1, 2, 0)}, version)
    own_data.settings(tmp_path, convention="kinectv1_20", layout=None)
    clip = own_data.read(tmp_path)
    order = [UTD_JOINTS.index(name) for name in skeletons.load("kinectv1_20").joints]
    np.testing.assert_allclose(clip.joints[:, 0], held[:, order], atol=1e-6)


@pytest.mark.parametrize("version", ["4", "5", "7", "7.3"])
def test_the_only_array_of_numbers_lies_as_layout_says(tmp_path: Path, version: str) -> None:
    held = poses(6, 1, 25)[:, 0].reshape(6, 75).astype(np.float64)
    told = {"fps": np.array([[30.0]]), "skeleton": held}
    _save(tmp_path / "a.mat", told, version)
    own_data.settings(tmp_path, layout="T VC")
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0].reshape(6, 75), held, atol=1e-6)


def test_of_several_arrays_the_settings_name_one(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"one": poses(3), "two": poses(4)})
    own_data.settings(tmp_path)
    with pytest.raises(
        RawDataError, match=r"it has one \(single .*`key: two` in dataset\.yaml reads the largest"
    ):
        own_data.read(tmp_path)
    own_data.settings(tmp_path, key="two")
    assert len(own_data.read(tmp_path).joints) == 4


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"skel": {"joints": np.zeros((3, 4))}}, "struct"),
        ({"skel": np.array([np.zeros(3), "x"], dtype=object)}, "cell"),
        ({"skel": "text"}, "char"),
    ],
)
def test_structures_and_cells_are_named(tmp_path: Path, content: dict[str, Any], kind: str) -> None:
    scipy.io.savemat(tmp_path / "a.mat", content)
    own_data.settings(tmp_path)
    with pytest.raises(RawDataError, match=rf"has skel \({kind} .*In MATLAB, take the array out"):
        own_data.read(tmp_path)
    own_data.settings(tmp_path, key="skel")
    with pytest.raises(RawDataError, match=f"'skel' is a MATLAB {kind}"):
        own_data.read(tmp_path)


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    bomb = b"".join(packer.compress(block) for _ in range(200)) + packer.flush()
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "a.mat").write_bytes(head + np.array([15, len(bomb)], "<u4").tobytes() + bomb)
    own_data.settings(tmp_path)
    with pytest.raises(RawDataError, match="holds more than"):
        own_data.read(tmp_path)


def test_an_array_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("d", shape=(10**6, 75), dtype="f8", chunks=True)
    data = bytearray((tmp_path / "a.mat").read_bytes())
    data[:20] = b"MATLAB 7.3 MAT-file "
    (tmp_path / "a.mat").write_bytes(data)
    own_data.settings(tmp_path)
    with pytest.raises(RawDataError, match="too large for one clip"):
        own_data.read(tmp_path)


@pytest.mark.parametrize("version", ["4", "5", "7", "7.3"])
def test_damaged_files_are_refused_or_sound(tmp_path: Path, version: str) -> None:
    _save(tmp_path / "a.mat", {"d": poses(3).reshape(3, 75).astype(np.float64)}, version)
    sound, rng = (tmp_path / "a.mat").read_bytes(), np.random.default_rng(0)
    own_data.settings(tmp_path, layout="T VC")
    done = 0
    for _ in range(60):
        (tmp_path / "a.mat").write_bytes(fuzzing.mutate(sound, rng))
        try:
            assert np.isfinite(own_data.read(tmp_path).joints).all()
            done += 1
        except SkelError:
            pass
    assert done < 60


@pytest.mark.parametrize("dtype", ["f4", "i2", "u1", "i4", "f8"])
def test_arrays_of_every_class_and_the_other_byte_order(tmp_path: Path, dtype: str) -> None:
    held = np.random.default_rng(0).integers(1, 100, (4, 75)).astype(dtype)
    scipy.io.savemat(tmp_path / "a.mat", {"a_long_name_of_an_array": held})
    own_data.settings(tmp_path, layout="T VC", units=1.0)
    expected = own_data.read(tmp_path).joints
    np.testing.assert_array_equal(expected[:, 0].reshape(4, 75), held)
    parts = [struct.pack(">IIII", 6, 8, {"f4": 7, "i2": 10, "u1": 9, "i4": 12, "f8": 6}[dtype], 0)]
    parts += [struct.pack(">IIii", 5, 8, 4, 75), struct.pack(">I4s", 1 << 16 | 1, b"d")]
    kind = {"f4": 7, "i2": 3, "u1": 2, "i4": 5, "f8": 9}[dtype]
    numbers = held.astype(held.dtype.newbyteorder(">")).tobytes(order="F")
    parts += [struct.pack(">II", kind, len(numbers)), numbers, bytes(-len(numbers) % 8)]
    element = b"".join(parts)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    (tmp_path / "a.mat").write_bytes(head + struct.pack(">II", 14, len(element)) + element)
    np.testing.assert_array_equal(own_data.read(tmp_path).joints, expected)


def test_what_is_no_mat_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"x" * 300)
    own_data.settings(tmp_path)
    with pytest.raises(RawDataError, match=r"cannot be read as \.mat"):
        own_data.read(tmp_path)


@pytest.mark.parametrize("flags", [b"", b"\6"])
def test_an_array_without_its_flags_is_refused(tmp_path: Path, flags: bytes) -> None:
    own_data.settings(tmp_path, layout="T V C")
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    element = struct.pack("<II", 6, len(flags)) + flags.ljust(-(-len(flags) // 8) * 8, b"\0")
    (tmp_path / "a.mat").write_bytes(head + struct.pack("<II", 14, len(element)) + element)
    with pytest.raises(RawDataError, match="flags of an array are cut off"):
        own_data.read(tmp_path)
