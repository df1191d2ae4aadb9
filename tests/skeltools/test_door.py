"""What ``import skeltools`` offers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import skeltools
from schemas import SkeletonSpec, StoreError, UsageError
from skeltools import SkeletonSequence, store

HEAVY = ("torch", "zarr", "numpy", "scipy", "cv2", "h5py", "pydantic")


def clips(count: int = 6, *, labelled: bool = True) -> list[SkeletonSequence]:
    draws = np.random.default_rng(0)
    return [
        SkeletonSequence.from_joints(
            f"clip{index}",
            np.array([0, 1, 3]) + draws.normal(size=(12 + index, 2, 25, 3)),
            "kinectv2_25",
            label=index % 2 if labelled else -1,
            subject=1 + index % 3,
        )
        for index in range(count)
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("door") / "store.zarr"
    splits = {"xsub": {"train": ["clip0", "clip1", "clip3", "clip4"], "test": ["clip2"]}}
    skeltools.write(clips(), path, classes=["sit", "stand"], splits=splits, frames=(16,), recipe="raw")
    return path


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import sys, json, skeltools; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) == []


def test_every_public_name_is_there_and_documented() -> None:
    assert set(skeltools.__all__) == set(skeltools._HOMES)
    assert {*skeltools.__all__, "__version__"} == set(dir(skeltools))
    for name in skeltools.__all__:
        assert getattr(skeltools, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'convrt'"):
        skeltools.convrt  # noqa: B018


def test_a_public_function_is_not_hidden_by_a_module_of_its_name() -> None:
    code = "import skeltools, skeltools.cli.convert, skeltools.conversion; assert callable(skeltools.convert)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_clip_comes_back_as_it_was_written(written: Path) -> None:
    opened = skeltools.open(written)
    given = clips()[3]
    clip = opened["clip3"]
    np.testing.assert_array_equal(clip.joints, given.joints)
    np.testing.assert_array_equal(clip.present, given.present)
    assert (clip.id, clip.label, clip.class_name, clip.subject, clip.camera) == ("clip3", 1, "stand", 1, None)
    assert clip.names == skeltools.skeleton("kinectv2_25").joints
    assert opened[-1].id == "clip5"


def test_a_store_is_a_mapping_from_ids_to_clips(written: Path) -> None:
    opened = skeltools.open(str(written))
    assert list(opened) == [f"clip{index}" for index in range(6)] == list(opened.ids)
    assert len(opened) == 6
    assert "clip3" in opened
    assert "clip9" not in opened
    assert (opened.conventions, opened.classes) == (("kinectv2_25",), ("sit", "stand"))
    assert opened.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert opened.splits["xsub"].tolist() == [1, 1, 2, 1, 1, 0]
    assert opened.findings == ()
    assert "6 samples" in repr(opened)


def test_streams_are_arrays_of_the_store(written: Path) -> None:
    skeltools.add_streams(written, kinds=("bone",))
    opened = skeltools.open(written)
    assert opened.stream().shape == (6, 3, 16, 25, 2)
    bones = opened.stream("bone", frames=16)[:2]
    assert isinstance(bones, np.ndarray)
    np.testing.assert_array_equal(
        bones, store.read(store.open_store(written), "streams/kinectv2_25/t16/bone")[:2]
    )
    assert skeltools.validate(written) == ()


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda opened: opened["clip33"], KeyError, "holds no sample 'clip33'. Its ids are such as clip3"),
        (lambda opened: opened.clip("clip1", "coco_17"), UsageError, "unknown convention 'coco_17'"),
        (lambda opened: opened[6], IndexError, "holds no row 6. Its rows are 0 to 5"),
        (lambda opened: opened.stream("motion"), StoreError, "has no motion stream"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(written: Path, ask, error, words) -> None:
    with pytest.raises(error, match=words):
        ask(skeltools.open(written))


def test_a_convention_of_ones_own_needs_no_file(tmp_path: Path) -> None:
    spec = SkeletonSpec.model_validate(
        {**skeltools.skeleton("kinectv2_25").model_dump(), "name": "mine", "source": "a test"}
    )
    given = [
        SkeletonSequence.from_joints(f"c{n}", np.full((8, 25, 3), n + 1.0), "mine", label=0) for n in range(2)
    ]
    skeltools.write(given, tmp_path / "own.zarr", convention=spec, frames=(8,), recipe="raw")
    opened = skeltools.open(tmp_path / "own.zarr")
    assert opened.spec() == spec
    assert opened["c1"].joints.shape == (8, 1, 25, 3)


def test_clips_without_labels_are_written(tmp_path: Path) -> None:
    skeltools.write(clips(labelled=False), tmp_path / "own.zarr", frames=(8,), recipe="raw")
    assert skeltools.open(tmp_path / "own.zarr").classes == ("unlabelled",)


def _of(joints: np.ndarray, id: str = "a", **fields: int) -> SkeletonSequence:
    return SkeletonSequence.from_joints(id, joints, "kinectv2_25", **fields)


ONE = np.ones((4, 25, 3))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "there is no clip to write"),
        ([_of(ONE), _of(ONE)], "two clips have the id a"),
        ([_of(ONE, "a/b")], "'a/b' cannot be the id of a clip"),
        ([_of(ONE), _of(ONE, "b", label=1)], "1 of 2 clips have no label"),
        ([_of(ONE, label=5)], "labels run from 5 to 5, expected numbers from 0 of 2 classes"),
        (
            [_of(ONE), SkeletonSequence.from_joints("b", np.ones((4, 17, 3)), "coco_17")],
            "b: is in coco_17, expected kinectv2_25",
        ),
    ],
)
def test_clips_that_cannot_be_written_are_refused(tmp_path: Path, given, words) -> None:
    with pytest.raises(UsageError, match=words):
        skeltools.write(given, tmp_path / "own.zarr", classes=["x", "y"])
    assert not list(tmp_path.iterdir())


def test_an_array_of_another_rank_is_refused() -> None:
    with pytest.raises(UsageError, match=r"joints of shape \(25, 3\), expected \[T, M, V, 3\]"):
        _of(np.ones((25, 3)))


def test_a_body_without_a_pose_is_absent() -> None:
    joints = np.ones((3, 2, 25, 3))
    joints[0, 0, 4, 1] = np.nan
    joints[1, 1] = 0
    clip = _of(joints)
    assert clip.present.tolist() == [[False, True], [True, False], [True, True]]
    assert not clip.joints[0, 0].any()
    assert clip.order.tolist() == [[-1, 1], [0, -1], [0, 1]]
