"""What ``import skeltools`` offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import skeltools
from schemas import SkelError, SkeletonSpec, StoreError, UsageError
from skeltools import SkeletonSequence, store


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
    assert skeltools.open(tmp_path / "own.zarr").classes == ()
    some = [_of(ONE, "a", label=1), _of(ONE, "b"), _of(ONE, "c", label=0)]
    skeltools.write(some, tmp_path / "some.zarr", frames=(8,), recipe="raw")
    assert skeltools.open(tmp_path / "some.zarr").labels.tolist() == [1, -1, 0]
    skeltools.write(
        [ONE, ONE], tmp_path / "names.zarr", labels=["x", None], convention="kinectv2_25", frames=(8,)
    )
    assert skeltools.open(tmp_path / "names.zarr").labels.tolist() == [0, -1]


def _of(joints: np.ndarray, id: str = "a", **fields: int) -> SkeletonSequence:
    return SkeletonSequence.from_joints(id, joints, "kinectv2_25", **fields)


ONE = np.ones((4, 25, 3))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "there is no clip to write"),
        ([_of(ONE), _of(ONE)], "two clips have the id a"),
        ([_of(ONE, "a/b")], "'a/b' cannot be the id of a clip"),
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


def test_a_body_without_a_pose_is_absent_and_a_joint_without_a_position_unseen() -> None:
    joints = np.ones((3, 2, 25, 3))
    joints[0, 0, 4, 1] = np.nan
    joints[0, 1, 5:] = np.nan
    joints[1, 1] = 0
    clip = _of(joints)
    assert clip.present.tolist() == [[True, False], [True, False], [True, True]]
    assert clip.unseen is not None
    assert np.argwhere(clip.unseen).tolist() == [[0, 0, 4]]
    assert not clip.joints[0, 0, 4].any()
    assert not clip.joints[0, 1].any()
    assert clip.order.tolist() == [[0, -1], [0, -1], [0, 1]]


# --- reading ------------------------------------------------------------------------------------------------


def test_clips_come_in_the_order_of_the_store(written: Path) -> None:
    opened = skeltools.open(written)
    for clip, id in zip(opened.clips(), opened.ids, strict=True):
        assert clip.id == id
        np.testing.assert_array_equal(clip.joints, opened[id].joints)
        np.testing.assert_array_equal(clip.order, opened[id].order)


def test_rows_of_a_half_index_ids_labels_and_streams(written: Path) -> None:
    opened = skeltools.open(written)
    train, test = opened.rows("xsub"), opened.rows("xsub", "test")
    assert [opened.ids[row] for row in test] == ["clip2"]
    assert opened.labels[train].tolist() == [0, 1, 1, 0]
    assert opened.stream(in_memory=True)[train].shape == (4, 3, 16, 25, 2)
    with pytest.raises(UsageError, match=r"unknown split 'xsubb'. Did you mean 'xsub'"):
        opened.rows("xsubb")
    with pytest.raises(UsageError, match="expected 'train' or 'test'"):
        opened.rows("xsub", "val")  # type: ignore[arg-type]


def test_a_stream_that_is_not_stored_names_the_call_that_adds_it(written: Path) -> None:
    with pytest.raises(
        StoreError, match=r"no joint stream of 99 frames; there is one of 16\..*frames=\[99\]"
    ):
        skeltools.open(written).stream(frames=99)
    with pytest.raises(UsageError, match=r"unknown stream 'bon'. Did you mean 'bone'"):
        skeltools.open(written).stream("bon")


def test_a_clip_is_shown_in_a_line(written: Path) -> None:
    assert repr(skeltools.open(written)[0]) == "<clip clip0: sit, joints 12x2x25x3 in kinectv2_25>"


@pytest.mark.parametrize("id", ["clip33", 6, -7, 10**30])
def test_a_sample_that_is_not_there_is_a_key_error_and_ours(written: Path, id: str | int) -> None:
    for kind in (KeyError, IndexError, UsageError):
        with pytest.raises(kind, match=r"holds no (sample|row)"):
            skeltools.open(written)[id]


@pytest.mark.parametrize("id", [None, 1.5, b"clip1", slice(2), ("clip1",), ["clip1"]])
def test_what_is_no_id_is_refused(written: Path, id: object) -> None:
    with pytest.raises(UsageError, match="a clip has an id or the number of a row"):
        skeltools.open(written)[id]  # type: ignore[index]
    assert id not in skeltools.open(written)


def test_a_numpy_number_is_a_row(written: Path) -> None:
    opened = skeltools.open(written)
    assert [opened[row].id for row in opened.rows("xsub", "test")] == ["clip2"]


# --- writing arrays -----------------------------------------------------------------------------------------


def poses(frames: int = 9, *, seed: int = 0) -> np.ndarray:
    return np.array([0, 1, 3]) + np.random.default_rng(seed).normal(size=(frames, 25, 3))


def write(clips: object, path: Path, **options: Any) -> skeltools.OpenedStore:
    defaults: dict[str, Any] = {"convention": "kinectv2_25", "recipe": "raw", "frames": [8]}
    skeltools.write(clips, path, **defaults | options)  # type: ignore[arg-type]
    return skeltools.open(path)


def test_arrays_with_their_ids_and_labels_are_written(tmp_path: Path) -> None:
    opened = write({"b": poses(), "a": poses(5)[:, None]}, tmp_path / "own.zarr", labels=["sit", "go"])
    assert (opened.ids, opened.classes) == (("a", "b"), ("go", "sit"))
    assert opened["b"].class_name == "sit"
    np.testing.assert_array_equal(opened["b"].joints[:, 0], poses().astype(np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["own.zarr"]


def test_classes_are_named_in_any_script(tmp_path: Path) -> None:
    names = ("𝒳", "שלום", "挥手 👋", '"</script>')
    opened = write([poses() for _ in names], tmp_path / "own.zarr", labels=names, classes=names)
    assert [opened[id].class_name for id in opened.ids] == list(names)


@pytest.mark.parametrize("kind", ["list", "tuple", "array", "tensor", "generator", "nested lists"])
def test_arrays_come_in_any_collection(tmp_path: Path, kind: str) -> None:
    whole = np.stack([poses(seed=0), poses(seed=1)])[:, :, None]  # [N, T, M, V, 3]
    given: Any = {
        "list": list(whole),
        "tuple": tuple(whole),
        "array": whole,
        "tensor": torch.from_numpy(whole).requires_grad_(),
        "generator": (each for each in whole),
        "nested lists": whole.tolist(),
    }[kind]
    labels = torch.tensor([1, 0]) if kind == "tensor" else np.array([1, 0])
    opened = write(given, tmp_path / "own.zarr", labels=labels)
    assert opened.ids == ("clip0000", "clip0001")
    assert opened.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(opened[1].joints, whole[1].astype(np.float32))


def test_ids_go_with_arrays_in_their_order(tmp_path: Path) -> None:
    opened = write([poses(5), poses(6)], tmp_path / "own.zarr", ids=["z", "y"])
    assert [len(opened[id].joints) for id in ("z", "y")] == [5, 6]


def test_axes_and_units_of_arrays_are_turned_to_ours(tmp_path: Path) -> None:
    turned = write(
        {"a": poses() * 1000}, tmp_path / "own.zarr", axes=("right", "down", "forward"), units="mm"
    )
    np.testing.assert_allclose(turned["a"].joints[:, 0], poses() * [-1, -1, 1], atol=1e-5)
    with pytest.raises(UsageError, match="axes and units are those of arrays"):
        write([turned[0]], tmp_path / "more.zarr", units="mm")


def test_what_is_wrong_with_an_array_is_a_finding(tmp_path: Path) -> None:
    partly = poses()
    partly[3, 4] = np.nan
    opened = write({"a": partly, "b": poses()[:, :9], "c": poses()}, tmp_path / "own.zarr")
    assert opened.ids == ("a", "c")
    assert opened["a"].present.all()
    assert np.argwhere(opened["a"].unseen).tolist() == [[3, 0, 4]]
    assert {finding.file for finding in opened.findings} == {"a.npy", "b.npy"}


def test_clips_that_are_left_out_are_warnings(tmp_path: Path) -> None:
    nobody = np.full_like(poses(), np.nan)
    given = {"a": nobody, "b": poses()}
    summary = skeltools.write(given, tmp_path / "own.zarr", convention="kinectv2_25")
    assert [w for w in summary.warnings if w.startswith("a is not in the store: no body in any frame")]


def test_joints_that_were_not_seen_survive_writing_and_reading(tmp_path: Path) -> None:
    partly = poses()
    partly[3, 4] = np.nan
    partly[:, 7] = np.nan
    once = write({"a": partly}, tmp_path / "one.zarr")["a"]
    again = write([once], tmp_path / "two.zarr", convention=None)["a"]
    np.testing.assert_array_equal(once.unseen[:, 0], np.isnan(partly).any(axis=-1))
    np.testing.assert_array_equal(again.unseen, once.unseen)
    np.testing.assert_array_equal(again.joints, once.joints)
    prepared = skeltools.prepare([once, again], frames=9, bodies=1)
    np.testing.assert_array_equal(prepared[0], prepared[1])


def test_what_a_mask_hides_is_absent(tmp_path: Path) -> None:
    hidden = np.ma.masked_array(poses(), mask=np.zeros((9, 25, 3), bool))
    hidden[2] = np.ma.masked
    assert np.flatnonzero(~write({"a": hidden}, tmp_path / "own.zarr")["a"].present[:, 0]).tolist() == [2]


def test_the_clips_of_a_store_make_a_smaller_one(written: Path, tmp_path: Path) -> None:
    source = skeltools.open(written)
    chosen = [source["clip4"], source["clip1"]]
    opened = write(chosen, tmp_path / "two.zarr", convention=None, classes=source.classes)
    assert opened.ids == ("clip1", "clip4")
    for clip in chosen:
        np.testing.assert_array_equal(opened[clip.id].joints, clip.joints)
        assert (opened[clip.id].class_name, opened[clip.id].subject) == (clip.class_name, clip.subject)


def test_a_convention_comes_from_a_file(tmp_path: Path) -> None:
    content = skeltools.skeleton("kinectv2_25").model_dump_json().replace("kinectv2_25", "my_own")
    (tmp_path / "mine.json").write_text(content, encoding="utf-8")
    opened = write({"a": poses()}, tmp_path / "own.zarr", convention=tmp_path / "mine.json")
    assert opened.conventions == ("my_own",)


@pytest.mark.parametrize(
    ("clips", "options", "words"),
    [
        (None, {}, "found NoneType. Give a list or a mapping"),
        ("abc", {}, "found str. Give a list or a mapping"),
        ([5], {}, "found int among them"),
        ([None], {}, "found NoneType among them"),
        (poses()[:, None], {}, r"found one array of shape \(9, 1, 25, 3\). Put one clip into a list"),
        ([poses()], {"convention": None}, "arrays do not tell their convention"),
        ([poses()], {"convention": "kinect_25"}, "unknown skeleton convention 'kinect_25'. Did you mean"),
        ([poses()], {"convention": 5}, r"convention=...\): expected a path or a SkeletonSpec or None"),
        ([poses()[0]], {}, r"joints of shape \(25, 3\), expected"),
        ([poses()[:0]], {}, "none is empty"),
        ([poses() * 1j], {}, "found an array of complex128"),
        ([[["a"]]], {}, "found an array of <U1"),
        ([[[1], [2, 3]]], {}, "expected an array of numbers"),
        ([np.ones((2, 200, 25, 3))], {}, "200 bodies: is M the second axis"),
        ([poses()[:, :9]], {}, r"the clips: no sample could be read .*shape \(9, 1, 9, 3\)"),
        ({1: poses()}, {}, "1 cannot be the id of a clip"),
        ({"../a": poses()}, {}, "cannot be the id of a clip. Use printable text without /"),
        ({".a": poses()}, {}, "cannot be the id of a clip"),
        ({"#a": poses()}, {}, "cannot be the id of a clip"),
        ({"a ": poses()}, {}, "cannot be the id of a clip"),
        ({"": poses()}, {}, "cannot be the id of a clip"),
        ({"a" * 300: poses()}, {}, "cannot be the id of a clip"),
        ([poses(), poses()], {"ids": ["a", "a"]}, "two clips have the id a"),
        ([poses(), poses()], {"ids": ["a"]}, "fewer ids than clips: 1"),
        ([poses()], {"ids": ["a", "b"]}, "more ids than clips: 1"),
        ([poses()], {"ids": "a"}, r"ids=...\): expected a list of names or None, found 'a'"),
        ([poses(), poses()], {"labels": [1]}, "fewer labels than clips: 1"),
        ([poses()], {"labels": [0, 1]}, "more labels than clips: 1"),
        ([poses()], {"labels": "a"}, "expected a list of labels, one for each clip, found str"),
        ([poses()], {"labels": 0}, "expected a list of labels"),
        ([poses()], {"labels": [0.5]}, "labels are all whole numbers or all class names, found float"),
        ([poses(), poses()], {"labels": [0, "a"]}, "found int, str"),
        ([poses()], {"labels": [-1]}, "labels run from -1 to -1.*None is no label"),
        ([poses()[..., :2]], {}, "2D poses go through files and a dataset.yaml with coordinates: xy"),
        ([poses()], {"labels": [10**9]}, "label 1000000000 is larger than 32767"),
        ([poses()], {"labels": ["a"], "classes": ["b"]}, "label 'a' is none of the classes: b"),
        ([poses()], {"labels": [" a"]}, "' a' is no class name"),
        ([poses()], {"classes": "ab"}, r"classes=...\): expected a list of names or None"),
        ([poses()], {"labels": ["a"], "classes": ["a", "a"]}, "skeltools.write: classes: 'a' is there twice"),
        ([poses()], {"name": "My data"}, "'My data' is no name for a data set"),
        ([poses()], {"name": "../x"}, "'../x' is no name for a data set"),
        ([poses()], {"splits": ["a"]}, r"splits=...\): expected a mapping or None"),
        ([poses()], {"splits": {"x": {"test": ["a"]}}}, "split x needs train and may have test"),
        ([poses()], {"splits": {"x": {"train": ["clip0000"]}}}, "skeltools.write: splits.x: every clip"),
        ([poses()], {"splits": {"X": {"train": ["a"]}}}, "'X' is not a name for a split"),
        ([poses()], {"axes": ("left", "up", "up")}, "skeltools.write: axes: one each must lie along"),
        ([poses()], {"axes": ("left", "up")}, "expected a list of 3 names"),
        ([poses()], {"units": "km"}, "skeltools.write: units: expected 'm', 'cm', 'mm' or 'in'"),
        ([poses()], {"frames": [0]}, r"frames=...\): expected a list of whole numbers \(should be greater"),
        ([poses()], {"frames": 8}, "expected a list of whole numbers, found 8"),
        ([poses()], {"recipe": "defalt"}, "unknown recipe 'defalt'. Did you mean 'default'"),
        ([poses()], {"lables": [1]}, "takes no argument 'lables'. Did you mean 'labels'"),
    ],
)
def test_what_cannot_be_written_is_a_sentence(
    tmp_path: Path, clips: object, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SkelError, match=words) as caught:
        write(clips, tmp_path / "own.zarr", **options)
    assert "skeltools-" not in str(caught.value)
    assert ".clips-" not in str(caught.value)
    assert not (tmp_path / "own.zarr").exists()
    assert not [path for path in tmp_path.rglob("*") if ".clips-" in path.name]


def test_a_place_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SkelError, match="is no folder"):
        write([poses()], tmp_path / "file")
    with pytest.raises(SkelError, match="cannot write the store"):
        write([poses()], tmp_path / "file" / "own.zarr")


# --- preparing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["default", "raw", "crossclr"])
@pytest.mark.parametrize("stream", ["joint", "bone", "motion"])
def test_prepared_clips_are_the_rows_of_the_stored_stream(tmp_path: Path, recipe: str, stream: str) -> None:
    skeltools.write(clips(), tmp_path / "own.zarr", frames=[16], recipe=recipe)
    skeltools.add_streams(tmp_path / "own.zarr", kinds=["bone", "motion"])
    opened = skeltools.open(tmp_path / "own.zarr")
    prepared = skeltools.prepare(
        opened.clips(),
        frames=16,
        recipe=opened.manifest.recipe,
        stream=stream,  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(prepared, opened.stream(stream, in_memory=True))


def test_arrays_are_prepared_with_their_convention() -> None:
    prepared = skeltools.prepare([poses(), poses(30)], frames=12, bodies=1, convention="kinectv2_25")
    assert prepared.shape == (2, 3, 12, 25, 1)
    assert prepared.dtype == np.float32


@pytest.mark.parametrize(
    ("clips", "options", "words"),
    [
        ([], {}, "there is no clip to prepare"),
        ([poses()], {"convention": None}, "arrays do not tell their convention"),
        ([poses()[:, :9]], {}, "clip 0: 9 joints, but kinectv2_25 has 25"),
        ([poses() * np.nan], {}, "clip 0: recipe default leaves nothing of the clip"),
        ([poses()], {"recipe": 5}, "expected the name of a recipe"),
        ([poses()], {"recipe": "defalt"}, "unknown recipe"),
        ([poses()], {"frames": 0}, "expected a whole number"),
        ([poses()], {"bodies": 0}, "expected a whole number"),
        ([poses()], {"stream": "bon"}, "expected 'joint' or 'bone' or 'motion', found 'bon'"),
        ([SkeletonSequence.from_joints("a", np.ones((4, 17, 3)), "coco_17")], {}, "a: is in coco_17"),
    ],
)
def test_what_cannot_be_prepared_is_a_sentence(clips: object, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SkelError, match=words):
        skeltools.prepare(clips, **{"frames": 8, "convention": "kinectv2_25"} | options)  # type: ignore[arg-type]


def test_fields_of_a_clip_are_whole_numbers_with_known_names() -> None:
    with pytest.raises(UsageError, match=r"label is 1.5, expected a whole number"):
        _of(ONE, label=1.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"unknown field of a clip 'lable'. Did you mean 'label'"):
        _of(ONE, lable=1)
