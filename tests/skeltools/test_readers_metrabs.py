from __future__ import annotations

import io
import pickle
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from schemas import RawDataError
from skeltools import metrabs, skeletons
from skeltools.metrabs import MirrorCheck, containers, mirror_check
from skeltools.raw_items import RawItem
from skeltools.sequence import SkeletonSequence
from tests.skeltools.raw_files import SAMPLE, poses, write_h5, write_npz

CONVENTION = "smplx_42"
SPEC = skeletons.load(CONVENTION)
KINECT = skeletons.load("kinectv2_25")
SWAP = list(SPEC.left_right_swap)


def video(joints: np.ndarray, *, mirrored: bool = True, spec=SPEC) -> np.ndarray:
    """What MeTRAbs sees of people in canonical axes: millimetres, x right, y down; slowly, joint by joint."""
    seen = np.empty_like(joints, dtype=np.float32)
    for v in range(spec.num_joints):
        x, y, z = np.moveaxis(joints[..., v, :], -1, 0)
        label = spec.left_right_swap[v] if mirrored else v
        seen[..., label, :] = np.stack([x if mirrored else -x, -y, z], -1) * 1000
    return seen


def ragged(joints: np.ndarray, present: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """[P, V, 3] in random order within each frame, and people per frame."""
    rng = np.random.default_rng(seed)
    order = [(t, m) for t in range(len(joints)) for m in rng.permutation(np.flatnonzero(present[t]))]
    return np.array([joints[t, m] for t, m in order]), present.sum(axis=1)


def kinect(
    joints: np.ndarray, present: np.ndarray | None = None, ids: tuple[int, ...] = ()
) -> SkeletonSequence:
    """A native clip of the people of a SMPL-X clip: shared landmarks in place, others at the centre."""
    from skeltools import tracking

    own, theirs = tracking.shared_landmarks(SPEC, KINECT)
    native = np.repeat(joints.mean(axis=2, keepdims=True), 25, axis=2)
    native[:, :, theirs] = joints[:, :, own]
    seen = np.ones(native.shape[:2], bool) if present is None else present
    order = np.where(seen, np.cumsum(seen, axis=1) - 1, -1).astype(np.int8)
    ids = ids or tuple(range(100, 100 + native.shape[1]))
    native = np.where(seen[..., None, None], native, 0).astype(np.float32)
    return SkeletonSequence(SAMPLE, "kinectv2_25", native, seen, order, ids, 7, 6, 5, 4, 3)


def only(raw: Path) -> RawItem:
    (item,) = metrabs.discover(raw).items
    return pickle.loads(pickle.dumps(item))


# --- formats ------------------------------------------------------------------------------------------------


def test_dense_and_ragged_and_all_containers_give_the_same(tmp_path: Path) -> None:
    import torch

    joints = poses(10, 2, 42)
    present = np.ones((10, 2), bool)
    present[3, 0] = present[7] = False
    dense = np.where(present[..., None, None], video(joints), 0).astype(np.float32)
    people, counts = ragged(video(joints), present)
    write_npz(tmp_path / "dense", CONVENTION, SAMPLE, dense)
    write_npz(tmp_path / "nan", CONVENTION, SAMPLE, np.where(present[..., None, None], dense, np.nan))
    write_npz(
        tmp_path / "ragged", CONVENTION, SAMPLE, people, people_per_frame=counts, joint_names=SPEC.joints
    )
    write_h5(tmp_path / "h5", CONVENTION, SAMPLE, people, people=counts, names=SPEC.joints)
    write_h5(tmp_path / "h5dense", CONVENTION, SAMPLE, dense)
    folder = tmp_path / "torch" / "metrabs" / CONVENTION
    folder.mkdir(parents=True)
    torch.save(torch.from_numpy(dense), folder / f"{SAMPLE}.pt")

    clips = []
    for name in ("dense", "nan", "ragged", "h5", "h5dense", "torch"):
        item = only(tmp_path / name)
        assert (item.id, item.convention) == (SAMPLE, CONVENTION)
        assert item.size > 0
        clips.append(metrabs.read(item, native=kinect(joints, present)))
    for clip in clips:
        np.testing.assert_allclose(clip.joints, np.where(present[..., None, None], joints, 0), atol=1e-6)
        np.testing.assert_array_equal(clip.present, present)
        assert clip.findings == ()
        np.testing.assert_array_equal(clip.joints, clips[0].joints)


def test_fields_come_from_the_id_or_from_the_native_clip(tmp_path: Path) -> None:
    joints = poses(4, 1, 42)
    write_npz(tmp_path, CONVENTION, SAMPLE, video(joints))
    clip = metrabs.read(only(tmp_path))
    assert (clip.label, clip.subject, clip.camera, clip.setup, clip.repetition) == (49, 3, 2, 1, 1)
    assert (clip.id, clip.convention, clip.body_ids) == (SAMPLE, CONVENTION, (0,))
    clip = metrabs.read(only(tmp_path), native=kinect(joints))
    assert (clip.label, clip.subject, clip.camera, clip.setup, clip.repetition) == (7, 6, 5, 4, 3)
    assert clip.body_ids == (100,)


def test_permuted_joint_names_are_reordered(tmp_path: Path) -> None:
    joints = poses(4, 1, 42)
    mixed = np.random.default_rng(0).permutation(42)
    write_npz(
        tmp_path, CONVENTION, SAMPLE, video(joints)[:, :, mixed], joint_names=np.array(SPEC.joints)[mixed]
    )
    np.testing.assert_allclose(metrabs.read(only(tmp_path)).joints, joints, atol=1e-6)


def test_a_users_own_convention(tmp_path: Path) -> None:
    own = SPEC.model_copy(update={"name": "mine"})
    (tmp_path / "mine.json").write_text(own.model_dump_json())
    write_npz(tmp_path, "mine", SAMPLE, video(poses(4, 1, 42)))
    assert [f.problem for f in metrabs.discover(tmp_path).findings] == ["unknown convention"]
    listing = metrabs.discover(tmp_path, conventions=[str(tmp_path / "mine.json"), "smpl_24"])
    (item,) = listing.items
    assert listing.findings == ()
    clip = metrabs.read(item, spec=own, native=kinect(poses(4, 1, 42)))
    assert clip.convention == "mine"
    assert mirror_check(kinect(poses(4, 1, 42)), clip, spec=own).agrees


# --- left and right -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [True, False])
def test_both_kinds_of_video_come_back_to_canonical_axes(tmp_path: Path, mirrored: bool) -> None:
    joints = poses(8, 1, 42)
    write_npz(tmp_path, CONVENTION, SAMPLE, video(joints, mirrored=mirrored))
    item, native = only(tmp_path), kinect(joints)
    right = metrabs.read(item, native=native, mirrored=mirrored)
    np.testing.assert_allclose(right.joints, joints, atol=1e-6)
    check = mirror_check(native, right)
    assert check.agrees
    assert check.as_set < 1e-5 < 0.1 < check.as_other
    wrong = metrabs.read(item, native=native, mirrored=not mirrored)
    check = mirror_check(native, wrong)
    assert not check.agrees
    assert check.as_other < 1e-5 < 0.1 < check.as_set
    np.testing.assert_allclose(wrong.joints, joints[..., SWAP, :] * np.array([-1, 1, 1]), atol=1e-6)


def test_reading_keeps_a_person_a_person(tmp_path: Path) -> None:
    """Handedness: the triple product of left, up and forward is what it was in the video."""
    joints = poses(1, 1, 42)
    joints[0, 0, [SPEC.joints.index(n) for n in ("lsho", "rsho", "head", "nose", "pelv")]] = [
        [0.2, 0.5, 3.0], [-0.2, 0.5, 3.0], [0, 0.8, 3.0], [0, 0.8, 2.9], [0, 0, 3.0]
    ]  # fmt: skip

    def handedness(pose: np.ndarray) -> float:
        left, right, head, nose, pelvis = (
            pose[SPEC.joints.index(n)] for n in ("lsho", "rsho", "head", "nose", "pelv")
        )
        return float(np.sign(np.linalg.det([left - right, head - pelvis, nose - head])))

    for mirrored in (True, False):
        raw = tmp_path / str(mirrored)
        write_npz(raw, CONVENTION, SAMPLE, video(joints))
        clip = metrabs.read(only(raw), mirrored=mirrored)
        assert handedness(clip.joints[0, 0]) == handedness(joints[0, 0]) != 0


def test_the_other_reading_of_two_people_exchanges_their_places(tmp_path: Path) -> None:
    joints = poses(8, 2, 42)
    joints[..., 0] -= joints[..., 0].mean()  # one left, one right of the sensor
    write_npz(tmp_path, CONVENTION, SAMPLE, video(joints))
    native = kinect(joints)
    check = mirror_check(native, metrabs.read(only(tmp_path), native=native, mirrored=False))
    assert check.as_other < 1e-5 < 0.1 < check.as_set


def test_nothing_in_common_is_no_objection() -> None:
    native = kinect(poses(4, 1, 42), np.array([[True], [True], [False], [False]]))
    check = mirror_check(native, replace(native, present=~native.present))
    assert np.isnan([check.as_set, check.as_other]).all()
    assert check.agrees
    assert MirrorCheck(0.1, 0.2).agrees
    assert not MirrorCheck(0.2, 0.1).agrees


# --- people -------------------------------------------------------------------------------------------------


def test_tracks_follow_the_order_of_the_native_bodies(tmp_path: Path) -> None:
    joints = poses(30, 3, 42)
    present = np.ones((30, 3), bool)
    present[10:14, 1] = present[:3, 0] = present[:, 2] = False
    present[20:22, 2] = True  # somebody passes by
    people, counts = ragged(video(joints * 1.05), present)
    write_npz(tmp_path, CONVENTION, SAMPLE, people, people_per_frame=counts)
    native = kinect(joints[:, [1, 0]], ids=(72057594037931101, 72057594037931102))
    clip = metrabs.read(only(tmp_path), native=native)
    assert clip.body_ids == native.body_ids
    np.testing.assert_array_equal(clip.present, present[:, [1, 0]])
    seen = present[:, [1, 0]][..., None, None]
    np.testing.assert_allclose(clip.joints, np.where(seen, joints[:, [1, 0]] * 1.05, 0), atol=1e-5)
    np.testing.assert_array_equal(clip.order[[0, 5, 12]], [[0, -1], [0, 1], [-1, 0]])
    (found,) = clip.findings
    assert (found.problem, found.detail) == ("more people than bodies", "1 tracks of 2 poses")


def test_people_who_are_no_native_body_are_dropped(tmp_path: Path) -> None:
    joints = poses(12, 2, 42)
    write_npz(tmp_path, CONVENTION, SAMPLE, video(joints))
    clip = metrabs.read(only(tmp_path), native=kinect(joints[:, 1:]))
    np.testing.assert_allclose(clip.joints, joints[:, 1:], atol=1e-6)
    assert [f.problem for f in clip.findings] == ["more people than bodies"]


def test_without_a_native_clip_the_two_longest_are_kept(tmp_path: Path) -> None:
    joints = poses(30, 3, 42)
    present = np.ones((30, 3), bool)
    present[5:, 0] = present[25:, 2] = False
    people, counts = ragged(video(joints), present)
    write_npz(tmp_path, CONVENTION, SAMPLE, people, people_per_frame=counts)
    clip = metrabs.read(only(tmp_path))
    assert clip.body_ids == (0, 1)
    np.testing.assert_array_equal(clip.present.sum(axis=0), [30, 25])
    np.testing.assert_allclose(clip.joints[:, 0], joints[:, 1], atol=1e-6)


def test_poses_of_some_nan_are_absent_and_found(tmp_path: Path) -> None:
    dense = video(poses(6, 1, 42))
    dense[2, 0, 5, 1] = np.nan
    dense[3, 0, 5, 1] = np.inf
    dense[4] = np.nan
    write_npz(tmp_path, CONVENTION, SAMPLE, dense)
    clip = metrabs.read(only(tmp_path))
    np.testing.assert_array_equal(clip.present[:, 0], [True, True, False, False, False, True])
    assert [(f.problem, f.detail) for f in clip.findings] == [("not a number", "2 poses")]


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def test_another_length_than_the_native_clip(tmp_path: Path) -> None:
    path = write_npz(tmp_path, CONVENTION, SAMPLE, video(poses(29, 1, 42)))
    with pytest.raises(RawDataError, match="another length: 29 frames, the native clip has 100") as caught:
        metrabs.read(only(tmp_path), native=kinect(poses(100, 1, 42)))
    assert str(caught.value).startswith(str(path))


def test_the_mean_of_augmentations_is_taken(tmp_path: Path) -> None:
    joints = poses(6, 2, 42)
    noise = np.random.default_rng(0).normal(size=(6, 2, 4, 42, 3))
    several = video(joints)[:, :, None] + noise - noise.mean(axis=2, keepdims=True)
    write_npz(tmp_path / "dense", CONVENTION, SAMPLE, several.astype(np.float32))
    people = several.reshape(12, 4, 42, 3).astype(np.float32)
    write_npz(tmp_path / "ragged", CONVENTION, SAMPLE, people, people_per_frame=[2] * 6)
    for name in ("dense", "ragged"):
        clip = metrabs.read(only(tmp_path / name), native=kinect(joints))
        np.testing.assert_allclose(clip.joints, joints, atol=1e-5)


@pytest.mark.parametrize("rows", [3, 4])
def test_poses_of_the_worlds_frame_come_back_to_the_cameras(tmp_path: Path, rows: int) -> None:
    joints = poses(6, 2, 42)
    present = np.ones((6, 2), bool)
    present[2, 1] = False
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    extrinsic = np.eye(4)
    extrinsic[:3, :3], extrinsic[:3, 3] = turn, (500, -1200, 2000)
    world = (video(joints) - extrinsic[:3, 3]) @ turn  # camera = turn @ world + move
    world = np.where(present[..., None, None], world, 0).astype(np.float32)
    write_npz(tmp_path, CONVENTION, SAMPLE, world, extrinsic_matrix=extrinsic[:rows])
    clip = metrabs.read(only(tmp_path), native=kinect(joints, present))
    np.testing.assert_array_equal(clip.present, present)
    np.testing.assert_allclose(clip.joints, np.where(present[..., None, None], joints, 0), atol=1e-5)


# --- bad files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"poses3d": ones(4, 1, 24, 3)}, "poses3d has shape (4, 1, 24, 3), expected (frames, people, 42, 3)"),
        ({"poses3d": ones(4, 1, 5, 2, 42, 3)}, "poses3d has shape (4, 1, 5, 2, 42, 3)"),
        ({"poses3d": ones(4, 1, 0, 42, 3)}, "an axis of no test-time augmentation"),
        ({"poses3d": np.float32(1)}, "poses3d has shape ()"),
        ({"poses3d": ones(4, 1, 42, 3), "fps": [25, 30]}, "fps is int64 (2,), expected one number"),
        ({"poses3d": ones(4, 1, 42, 3), "fps": np.nan}, "fps is nan, expected 5 to 240"),
        ({"poses3d": ones(4, 1, 42, 3), "fps": 0.001}, "fps is 0.001, expected 5 to 240"),
        ({"poses3d": ones(4, 1, 42, 3), "extrinsic_matrix": np.eye(3)}, "extrinsic_matrix is no rotation"),
        ({"poses3d": ones(4, 1, 42, 3), "extrinsic_matrix": 2 * np.eye(4)}, "is no rotation and move"),
        ({"poses3d": ones(4, 42, 3)}, "poses3d has shape (4, 42, 3), expected (frames, people, 42, 3)"),
        (
            {"poses3d": ones(4, 1, 5, 42, 3), "people_per_frame": [2, 2]},
            "shape (4, 1, 5, 42, 3) with people_per_frame, expected (people of all frames, 42, 3)",
        ),
        ({"poses3d": ones(4, 42, 3), "people_per_frame": [2, 1]}, "adds up to 3, but poses3d holds 4"),
        ({"poses3d": ones(4, 42, 3), "people_per_frame": [5, -1]}, "expected counts, one per frame"),
        ({"poses3d": ones(4, 42, 3), "people_per_frame": [2.0, 2.0]}, "people_per_frame is float64 (2,)"),
        ({"poses3d": ones(4, 42, 3), "people_per_frame": [2**63 - 1, 2**63 - 1, 6]}, "adds up to"),
        (
            {"poses3d": ones(4, 42, 3), "people_per_frame": np.zeros(containers.MOST_FRAMES + 1, "u1")},
            "people_per_frame tells of 4000001 frames (limit 4000000)",
        ),
        ({"poses3d": np.ones((4, 1, 42, 3), "i4")}, "poses3d is int32, expected float32"),
        ({"poses3d": np.zeros((4, 2, 42, 3), "f4")}, "no person in any frame (4 frames)"),
        ({"poses3d": np.zeros((0, 2, 42, 3), "f4")}, "no person in any frame (0 frames)"),
        ({"poses3d": ones(4, 50, 42, 3)}, "50 people in a frame"),
        (
            {"poses3d": ones(4, 1, 42, 3), "joint_names": [*SPEC.joints[:-1], "tail"]},
            "joint_names are not those of smplx_42: rmiddle, tail",
        ),
        (
            {"poses3d": ones(4, 1, 42, 3), "joint_names": [*SPEC.joints[:-1], "pelv"]},
            "joint_names are not those of smplx_42: rmiddle",
        ),
        ({"poses3d": ones(4, 1, 42, 3), "joint_names": np.arange(42)}, "expected one name per joint"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict, message: str) -> None:
    path = write_npz(tmp_path, CONVENTION, SAMPLE, **arrays)
    with pytest.raises(RawDataError) as caught:
        metrabs.read(only(tmp_path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def npz_of(header: bytes, values: bytes = bytes(8)) -> bytes:
    """A file whose poses3d has this header in place of numpy's."""
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("poses3d.npy", member)
    return data.getvalue()


def pickled() -> bytes:
    data = io.BytesIO()
    np.savez(data, poses3d=np.array([{"a": 1}], dtype=object))
    return data.getvalue()


def without_poses() -> bytes:
    data = io.BytesIO()
    np.savez(data, other=np.ones(3))
    return data.getvalue()


CLAIM = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 2, 42, 3), }\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read as npz"),
        (b"\x00\x01binary" * 99, "cannot be read as npz"),
        (npz_of(CLAIM), "poses3d has shape (1000000000, 2, 42, 3) of float32, but 8 bytes of values"),
        (npz_of(CLAIM.replace(b"1000000000", b"-1")), "poses3d has shape (-1, 2, 42, 3)"),
        (
            npz_of(CLAIM.replace(b"1000000000, 2", b"0, 99999999999999999999"), b""),
            "poses3d has shape (0, 99999999999999999999, 42, 3)",
        ),
        (npz_of(b"{'descr': }"), "cannot be read as npz"),
        (npz_of(b"what"), "cannot be read as npz"),
        (npz_of(CLAIM)[:100], "cannot be read as npz"),
        (pickled(), "poses3d"),
        (without_poses(), "no array poses3d in it"),
    ],
    ids=[
        "empty",
        "binary",
        "claim",
        "negative",
        "nothing of much",
        "header",
        "no header",
        "truncated",
        "pickle",
        "no poses",
    ],
)
def test_damaged_npz_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = write_npz(tmp_path, CONVENTION, SAMPLE, np.ones(1))
    path.write_bytes(data)
    with pytest.raises(RawDataError) as caught:
        metrabs.read(only(tmp_path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_member_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path, CONVENTION, SAMPLE, video(poses(4, 1, 42)))
    write_h5(tmp_path / "h5", CONVENTION, SAMPLE, video(poses(4, 1, 42)))
    monkeypatch.setattr("skeltools.metrabs.containers.MAX_BYTES", 1000)
    for raw in (tmp_path, tmp_path / "h5"):
        with pytest.raises(RawDataError, match=r"poses3d claims .* too many for one clip"):
            metrabs.read(only(raw))


def test_an_hdf5_file_that_claims_a_lot(tmp_path: Path) -> None:
    path = tmp_path / "metrabs" / "x.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        group = file.create_group(f"{SAMPLE}/{CONVENTION}")
        group.create_dataset("poses3d", shape=(10**9, 2, 42, 3), dtype="f4", chunks=(1, 2, 42, 3))
        file.create_group(f"S001C002P003R001A051/{CONVENTION}")
        file["note"] = 1
    first, second = metrabs.discover(tmp_path).items
    with pytest.raises(RawDataError, match="poses3d claims"):
        metrabs.read(first)
    with pytest.raises(RawDataError, match="no array poses3d in it") as caught:
        metrabs.read(second)
    assert str(caught.value).startswith(f"{path}::S001C002P003R001A051/{CONVENTION}: ")


def test_torch_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    path = tmp_path / "metrabs" / CONVENTION / f"{SAMPLE}.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no tensor")
    with pytest.raises(RawDataError, match="cannot be read as a tensor"):
        metrabs.read(only(tmp_path))
    torch.save({"poses3d": torch.ones(3)}, path)
    with pytest.raises(RawDataError, match="holds a dict, expected one tensor"):
        metrabs.read(only(tmp_path))
    torch.save(torch.ones(1).expand(10**6, 10, 42, 3), path)
    with pytest.raises(RawDataError, match="the tensor claims"):
        metrabs.read(only(tmp_path))
    path.write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(RawDataError, match="cannot be read as a tensor"):
        metrabs.read(only(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RawDataError, match="needs torch"):
        metrabs.read(only(tmp_path))


# --- discovery ----------------------------------------------------------------------------------------------


def test_discovery(tmp_path: Path) -> None:
    assert metrabs.discover(tmp_path) == metrabs.Listing(())
    other = "S001C001P001R001A001"
    dense = video(poses(4, 1, 42))
    write_npz(tmp_path, CONVENTION, SAMPLE, dense)
    write_npz(tmp_path, CONVENTION, other, dense)
    write_npz(tmp_path, "smpl_24", SAMPLE, dense[:, :, :24])
    write_npz(tmp_path, "kinectv2_25", SAMPLE, dense[:, :, :25])
    write_npz(tmp_path, "smplx42", SAMPLE, dense)
    write_h5(tmp_path, CONVENTION, SAMPLE, dense)
    write_h5(tmp_path, "berkeley", SAMPLE, dense)
    (tmp_path / "metrabs" / "broken.h5").write_bytes(b"no HDF5")
    (tmp_path / "metrabs" / "README.txt").write_text("notes")
    listing = metrabs.discover(tmp_path)
    assert [(item.id, item.convention) for item in listing.items] == [
        (other, CONVENTION),
        (SAMPLE, "smpl_24"),
        (SAMPLE, CONVENTION),
    ]
    assert sorted(
        (f.problem, f.file.split("::")[0], f.detail.split("(")[0][:14]) for f in listing.findings
    ) == [
        ("duplicate sample id", f"{CONVENTION}/{SAMPLE}.npz", "kept poses.h5:"),
        ("unknown convention", "metrabs/kinectv2_25", "'kinectv2_25';"),
        ("unknown convention", "metrabs/poses.h5", "'berkeley'"),
        ("unknown convention", "metrabs/smplx42", "'smplx42'"),
        ("unreadable HDF5 file", "metrabs/broken.h5", "Unable to sync"),
    ]
    (hint,) = (f for f in metrabs.discover(tmp_path).findings if f.file == "metrabs/kinectv2_25")
    assert hint.detail == "'kinectv2_25'; MeTRAbs' own is metrabs_kinectv2_25"
    only_smpl = metrabs.discover(tmp_path, conventions=["smpl_24"])
    assert [item.convention for item in only_smpl.items] == ["smpl_24"]


def test_a_folder_in_other_letters_is_found_out(tmp_path: Path) -> None:
    write_npz(tmp_path, "SMPL_24", SAMPLE, ones(4, 1, 24, 3))
    (row,) = metrabs.discover(tmp_path).findings
    assert (row.problem, row.detail) == ("unknown convention", "'SMPL_24'; is it smpl_24?")
    write_npz(tmp_path, "smpl_24", SAMPLE, ones(4, 1, 24, 3))
    with pytest.raises(RawDataError, match="SMPL_24 and smpl_24 are one convention twice") as caught:
        metrabs.discover(tmp_path)
    assert "Put the files into one folder" in str(caught.value)
