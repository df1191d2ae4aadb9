"""C3D and the tables of motion capture suites: named points of one or several subjects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import RawDataError
from tests.skeltools import fuzzing, mocap_files, own_data

JOINTS = ("HEAD", "LSHO", "RSHO", "LWRI", "RWRI", "SACR")
OWN = """
name: markers_6
joints: [HEAD, LSHO, RSHO, LWRI, RWRI, SACR]
edges: [[0, 5], [1, 5], [2, 5], [3, 1], [4, 2]]
center: 5
shoulders: [1, 2]
left_right_swap: [0, 2, 1, 4, 3, 5]
"""
Z_UP = {"x": "right", "y": "forward", "z": "up"}
SHIPPED = "sbu_15"


def points(frames: int = 5, count: int = 6) -> NDArray[Any]:
    """Millimetres, z up."""
    return np.random.default_rng(1).uniform(100, 1800, (frames, count, 3)).round(2)


def canonical(held: NDArray[Any], scale: float = 0.001) -> NDArray[Any]:
    """x right, y forward, z up -> x left, y up, z forward."""
    return held[..., [0, 2, 1]] * [-scale, scale, scale]


def settings(folder: Path, **told: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.yaml").write_text(OWN)
    own_data.settings(folder, **({"convention": "own.yaml", "layout": None} | told))


WRITERS: dict[str, Callable[[Path, NDArray[Any], list[str]], None]] = {
    "a.c3d": lambda path, held, names: _bytes(path, mocap_files.c3d(held, names)),
    "a.trc": lambda path, held, names: _text(path, mocap_files.trc(held, names)),
    "motive.csv": lambda path, held, names: _text(path, mocap_files.motive(held, names, "Millimeters")),
    "nexus.csv": lambda path, held, names: _text(path, mocap_files.nexus(held, names)),
    "a.tsv": lambda path, held, names: _text(path, mocap_files.qualisys(held, names)),
}


def _bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _text(path: Path, text: str) -> None:
    path.write_text(text, newline="")


@pytest.mark.parametrize("name", WRITERS)
def test_points_come_back_by_name_in_the_order_of_the_convention(tmp_path: Path, name: str) -> None:
    held = points(count=8)
    labels = ["RWRI", "SACR", "*1", "LWRI", "HEAD", "RSHO", "Ball", "LSHO"]
    WRITERS[name](tmp_path / name, held, labels)
    settings(tmp_path, axes=Z_UP)
    clip = own_data.read(tmp_path)
    order = [labels.index(joint) for joint in JOINTS]
    np.testing.assert_allclose(clip.joints[:, 0], canonical(held[:, order]), atol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_several_subjects_are_several_bodies(tmp_path: Path, name: str) -> None:
    held = points(count=14)
    labels = [f"{who}:{joint}" for who in ("anna", "bob") for joint in JOINTS] + ["racket:tip", "racket:grip"]
    WRITERS[name](tmp_path / name, held, labels)
    settings(tmp_path, axes=Z_UP)
    clip = own_data.read(tmp_path)
    np.testing.assert_allclose(clip.joints, canonical(held[:, :12].reshape(5, 2, 6, 3)), atol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_markers_that_are_called_otherwise_are_named_in_the_settings(tmp_path: Path, name: str) -> None:
    held = points()
    WRITERS[name](tmp_path / name, held, ["anna:C7", *(f"anna:{joint}" for joint in JOINTS[1:])])
    settings(tmp_path, axes=Z_UP, csv={"joints": {"HEAD": "c7"}})
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], canonical(held), atol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_a_marker_that_is_absent_is_named_and_one_that_is_there_twice(tmp_path: Path, name: str) -> None:
    settings(tmp_path, axes=Z_UP)
    WRITERS[name](tmp_path / name, points(count=5), [joint for joint in JOINTS if joint != "LWRI"])
    with pytest.raises(RawDataError, match=r"LWRI: seen in none of 5 frames.*leave_out: \[LWRI\]"):
        own_data.read(tmp_path)
    WRITERS[name](tmp_path / name, points(count=7), [*JOINTS, "LSHO"])
    with pytest.raises(RawDataError, match="has joint LSHO twice"):
        own_data.read(tmp_path)
    WRITERS[name](tmp_path / name, points(count=2), ["M1", "M2"])
    with pytest.raises(RawDataError, match=r"its joints .* are none of markers_6"):
        own_data.read(tmp_path)


@pytest.mark.parametrize("name", WRITERS)
def test_a_gap_is_a_joint_that_was_not_seen(tmp_path: Path, name: str) -> None:
    held = points()
    held[2, 3] = np.nan
    if name == "a.c3d":
        seen = ~np.isnan(held).any(axis=2)
        (tmp_path / name).write_bytes(mocap_files.c3d(held, JOINTS, seen=seen))
    else:
        WRITERS[name](tmp_path / name, held, list(JOINTS))
    settings(tmp_path, axes=Z_UP)
    clip = own_data.read(tmp_path)
    assert clip.unseen is not None
    assert [tuple(map(int, place)) for place in np.argwhere(clip.unseen)] == [(2, 0, 3)]


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "a.c3d"])
def test_which_axis_is_up_must_be_told(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, points(count=15), [f"M{n}" for n in range(15)])
    settings(tmp_path, convention=SHIPPED)
    with pytest.raises(RawDataError, match=r"which of its axes is up.*axes: \{x: right, y: forward, z: up\}"):
        own_data.read(tmp_path)


# --- C3D ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["pc", "vax", "mips"])
@pytest.mark.parametrize("scale", [-1.0, 0.125])
@pytest.mark.parametrize("analog", [0, 12])
def test_c3d_of_every_machine_as_integers_and_reals(
    tmp_path: Path, machine: str, scale: float, analog: int
) -> None:
    held = np.round(points() * 8) / 8
    data = mocap_files.c3d(held, JOINTS, machine=machine, scale=scale, analog=analog)
    (tmp_path / "a.c3d").write_bytes(data)
    settings(tmp_path)
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], canonical(held), atol=1e-6)


def test_c3d_tells_its_axes_by_the_screen(tmp_path: Path) -> None:
    held = points()
    (tmp_path / "a.c3d").write_bytes(mocap_files.c3d(held, JOINTS, screen=("-Y", "+Z"), units="m"))
    settings(tmp_path)
    joints = own_data.read(tmp_path).joints[:, 0]
    # right is -y, up z, so towards the spectator is right x up = -x, and forward is x
    np.testing.assert_allclose(joints, held[..., [1, 2, 0]], rtol=1e-6)


@pytest.mark.parametrize("screen", [None, ("-X", "-Z"), ("+X", "+X"), ("X", "Z")])
def test_c3d_without_a_screen_that_can_be_trusted(tmp_path: Path, screen: tuple[str, str] | None) -> None:
    data = mocap_files.c3d(points(count=15), [f"M{n}" for n in range(15)], screen=screen)
    (tmp_path / "a.c3d").write_bytes(data)
    settings(tmp_path, convention=SHIPPED)
    with pytest.raises(RawDataError, match="which of its axes is up"):
        own_data.read(tmp_path)


def test_c3d_of_more_frames_than_its_header_can_count(tmp_path: Path) -> None:
    held = np.broadcast_to(points(1), (65600, 6, 3))
    (tmp_path / "a.c3d").write_bytes(mocap_files.c3d(held, JOINTS, long=True, scale=0.125))
    settings(tmp_path)
    assert len(own_data.read(tmp_path).joints) == 65600


def test_c3d_of_more_labels_than_one_parameter_holds(tmp_path: Path) -> None:
    held = points(3, 300)
    labels = [f"M{n}" for n in range(294)] + list(JOINTS)
    (tmp_path / "a.c3d").write_bytes(mocap_files.c3d(held, labels))
    settings(tmp_path)
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], canonical(held[:, 294:]), atol=1e-6)


def test_c3d_that_is_cut_off_or_without_points(tmp_path: Path) -> None:
    data = mocap_files.c3d(points(), JOINTS)
    settings(tmp_path)
    (tmp_path / "a.c3d").write_bytes(data[:-40])
    with pytest.raises(RawDataError, match="promises 5 frames, 4 are there"):
        own_data.read(tmp_path)
    (tmp_path / "a.c3d").write_bytes(data[:2] + b"\0\0" + data[4:])
    with pytest.raises(RawDataError, match="holds no points"):
        own_data.read(tmp_path)


# --- tables -------------------------------------------------------------------------------------------------


def test_units_are_those_of_the_file(tmp_path: Path) -> None:
    held = points() / 1000
    (tmp_path / "a.csv").write_text(mocap_files.motive(held, JOINTS))
    settings(tmp_path, axes=Z_UP)
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], canonical(held, 1), atol=1e-6)
    (tmp_path / "a.csv").write_text(mocap_files.motive(held, JOINTS, "Ells"))
    with pytest.raises(RawDataError, match="its unit is 'Ells'"):
        own_data.read(tmp_path)


@pytest.mark.parametrize("name", ["a.trc", "motive.csv", "a.tsv"])
def test_a_table_that_was_written_anew_with_another_delimiter(tmp_path: Path, name: str) -> None:
    held = points()
    WRITERS[name](tmp_path / name, held, list(JOINTS))
    text = (tmp_path / name).read_text()
    _text(tmp_path / name, text.replace("\t", ",") if "\t" in text else text.replace(",", ";"))
    settings(tmp_path, axes=Z_UP)
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], canonical(held), atol=1e-6)


def test_nexus_with_another_section_first(tmp_path: Path) -> None:
    held = points()
    text = mocap_files.nexus(
        held, JOINTS, before="Devices\n1000\n,,Force\nFrame,Sub Frame,Fx\n,,N\n1,0,5\n\n"
    )
    (tmp_path / "a.csv").write_text(text)
    settings(tmp_path, axes=Z_UP)
    np.testing.assert_allclose(own_data.read(tmp_path).joints[:, 0], canonical(held), atol=1e-6)


def test_qualisys_without_titles_and_with_zeros_for_gaps(tmp_path: Path) -> None:
    held = points()
    held[1, 2] = np.nan
    (tmp_path / "a.txt").write_text(mocap_files.qualisys(held, JOINTS, titles=False))
    settings(tmp_path, axes=Z_UP)
    clip = own_data.read(tmp_path)
    np.testing.assert_allclose(clip.joints[0, 0], canonical(held[0]), atol=1e-6)
    assert clip.unseen is not None
    assert clip.unseen.sum() == 1


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("a.c3d", "nexus.csv")])
def test_a_table_of_fewer_frames_than_it_promises(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, points(), list(JOINTS))
    lines = (tmp_path / name).read_text().splitlines()
    (tmp_path / name).write_text("\n".join(lines[:-2]))
    settings(tmp_path, axes=Z_UP)
    with pytest.raises(RawDataError, match=r"has 3 frames of 6 points, but promises 5"):
        own_data.read(tmp_path)


def test_what_is_no_number_is_said_with_its_line(tmp_path: Path) -> None:
    text = mocap_files.trc(points(), JOINTS).splitlines()
    text[8] = text[8].replace("\t", "\tx", 3)
    (tmp_path / "a.trc").write_text("\n".join(text))
    settings(tmp_path, axes=Z_UP)
    with pytest.raises(RawDataError, match=r"line 9: expected a number, found 'x"):
        own_data.read(tmp_path)


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files_are_refused_or_sound(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, points(3), list(JOINTS))
    settings(tmp_path, axes=Z_UP)
    done = fuzzing.sound_after_damage(tmp_path, name, 80)
    assert 0 < done < 80
