"""A store in another convention."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import skeltools
from schemas import Finding, StoreError, UsageError
from skeltools import skeletons, store
from skeltools.conversion import convert, mapped
from skeltools.conversion.derive import add_streams
from skeltools.inspect.validate import validate
from skeltools.preprocess import prepare
from skeltools.sequence import SkeletonSequence
from skeltools.skeletons.mapping import find, mapping

A, B, C = "S001C001P001R001A001", "S001C002P003R001A002", "S001C003P002R002A050"
NATIVE, SMPLX = "kinectv2_25", "smplx_42"
TWELVE = "coco_17-of-kinectv2_25"


@pytest.fixture
def made(recordings, clip, tmp_path) -> Path:
    """Three samples, of which smplx_42 lacks the first; two lengths, bones at both, one finding."""
    recordings.add(clip(A), clip(B, bodies=3), clip(C), clip(B, SMPLX), clip(C, SMPLX, bodies=2))
    recordings.listed.append(Finding(file="x", problem="unknown file name", action="skipped"))
    convert("ntu60", raw=recordings.raw, out=tmp_path / "s.zarr", frames=(10, 7))
    add_streams(tmp_path / "s.zarr", kinds=("bone",))
    return tmp_path / "s.zarr"


def test_the_result_is_a_store_of_the_same_samples(made: Path, tmp_path: Path) -> None:
    done = skeltools.map_store(made, to="coco_17", out=tmp_path / "m.zarr", partial=True)
    assert validate(done.path) == ()
    old, new = skeltools.open(made), skeltools.open(done.path)
    assert new.conventions == (TWELVE,)
    assert new.ids == old.ids
    assert np.array_equal(new.labels, old.labels)
    assert new.splits.keys() == old.splits.keys()
    for name, half in old.splits.items():
        assert np.array_equal(new.splits[name], half)
    for column in ("subject", "camera", "setup", "repetition", "frames", "bodies"):
        values = [store.read(store.open_store(path), f"samples/{column}") for path in (made, done.path)]
        assert np.array_equal(*values)
    assert new.classes == old.classes
    assert new.findings == old.findings
    assert new.manifest.recipe.steps == old.manifest.recipe.steps
    assert new.manifest.source["store"] == old.manifest.hash
    assert done.warnings == ("coco_17 without nose, left_eye, right_eye, left_ear, right_ear",)


def test_joints_are_those_of_the_same_name_to_the_bit(made: Path, tmp_path: Path) -> None:
    skeltools.map_store(made, to="coco_17", out=tmp_path / "m.zarr", partial=True)
    pairs = {"left_shoulder": "ShoulderLeft", "right_wrist": "WristRight", "left_ankle": "AnkleLeft"}
    for old, new in zip(
        skeltools.open(made).clips(), skeltools.open(tmp_path / "m.zarr").clips(), strict=True
    ):
        assert np.array_equal(old.present, new.present)
        assert np.array_equal(old.order, new.order)
        for ours, theirs in pairs.items():
            there, here = new.names.index(ours), old.names.index(theirs)
            assert np.array_equal(new.joints[:, :, there], old.joints[:, :, here])


def test_streams_are_what_the_recipe_makes_of_the_mapped_sequences(made: Path, tmp_path: Path) -> None:
    skeltools.map_store(made, to="openpose_18", convention=SMPLX, out=tmp_path / "m.zarr")
    s = skeltools.open(tmp_path / "m.zarr")
    assert {path for path in s.manifest.arrays if path.startswith("streams/")} == {
        f"streams/openpose_18/t{length}/{kind}" for length in (7, 10) for kind in ("joint", "bone")
    }
    for row, clip in enumerate(s.clips()):
        expected = prepare(clip.sequence, spec=skeletons.load("openpose_18"), frames=10, bodies=2)
        assert np.array_equal(s.stream("joint", frames=10)[row], expected.joint)
    assert s.spec() == skeletons.load("openpose_18")
    assert (
        s.manifest.recipe.counts
        == {key: count for key, count in s.manifest.recipe.counts.items() if count}
        != {}
    )


def test_another_recipe_and_other_lengths(made: Path, tmp_path: Path) -> None:
    done = skeltools.map_store(
        made, to="coco_17", out=tmp_path / "m.zarr", partial=True, recipe="centered", frames=[5]
    )
    assert done.manifest.recipe.name == "centered"
    assert [path for path in done.manifest.arrays if path.startswith("streams/")] == [
        f"streams/{TWELVE}/t5/bone",
        f"streams/{TWELVE}/t5/joint",
    ]
    assert validate(done.path) == ()


def test_absent_joints_are_an_error_that_names_them_all(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        skeltools.map_store(made, to="coco_17", out=tmp_path / "m.zarr")
    text = str(caught.value)
    assert "kinectv2_25 has 12 of the 17 joints of coco_17" in text
    assert "absent are nose, left_eye, right_eye, left_ear, right_ear" in text
    assert f"--partial maps the others; the convention is then {TWELVE}" in text
    assert not (tmp_path / "m.zarr").exists()


def test_the_convention_says_how_it_was_mapped(made: Path, tmp_path: Path) -> None:
    done = skeltools.map_store(made, to="openpose_25", out=tmp_path / "m.zarr", partial=True)
    (info,) = done.manifest.conventions.values()
    assert info.reader == "ntu"
    assert info.axes.startswith("Kinect camera space as recorded")
    assert (
        "then mapped from kinectv2_25 by name: Neck = middle of ShoulderLeft and ShoulderRight" in info.axes
    )
    assert "absent: Nose, REye" in info.axes
    assert info.missing == ()


def test_samples_that_the_convention_lacks_are_left_out_and_told(made: Path, tmp_path: Path) -> None:
    done = skeltools.map_store(made, to="openpose_18", convention=SMPLX, out=tmp_path / "m.zarr")
    s = skeltools.open(done.path)
    assert s.ids == (B, C)
    assert [(row.file, row.problem, row.action) for row in done.findings] == [
        (f"openpose_18/{A}", "not in the convention that is mapped", "left out")
    ]
    assert s.manifest.findings["not in the convention that is mapped"] == 1
    assert {name: info.train + info.test for name, info in s.manifest.protocols.items()} == {
        "xsub": 2,
        "xview": 2,
    }
    assert validate(done.path) == ()


def test_kept_conventions_stay_as_they_are(made: Path, tmp_path: Path) -> None:
    done = skeltools.map_store(made, to="openpose_18", convention=SMPLX, out=tmp_path / "m.zarr", keep=True)
    old, new = store.open_store(made).manifest, done.manifest
    assert list(new.conventions) == [NATIVE, SMPLX, "openpose_18"]
    assert new.conventions["openpose_18"].missing == (A,)
    assert done.findings == ()
    assert validate(done.path) == ()
    same = [path for path in old.arrays if path.startswith(("samples", "splits", "sequences", "streams"))]
    assert {path: new.arrays[path] for path in same} == {path: old.arrays[path] for path in same}
    assert validate(made) == ()
    assert store.open_store(made).manifest == old


def test_what_keeping_cannot_have_is_refused(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.zarr"
    with pytest.raises(UsageError, match="made with recipe default, and a store holds one recipe"):
        skeltools.map_store(made, to="coco_17", out=out, partial=True, keep=True, recipe="raw")
    skeltools.map_store(made, to="coco_17", out=out, partial=True, keep=True)
    with pytest.raises(UsageError, match=f"has {TWELVE} already"):
        skeltools.map_store(out, to="coco_17", out=tmp_path / "n.zarr", partial=True, keep=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "coco_71"}, r"unknown skeleton convention 'coco_71'. Did you mean 'coco_19'"),
        ({"to": NATIVE}, "is in kinectv2_25 already"),
        ({"to": "openpose_hand_21"}, "has none of the 21 joints of openpose_hand_21"),
        ({"to": "coco_17", "convention": "smpl_24"}, "unknown convention of this store 'smpl_24'"),
        ({"to": "coco_17", "partial": True, "recipe": "defualt"}, "unknown recipe 'defualt'"),
        ({"to": "nothing.json"}, "cannot read the skeleton convention"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_written(
    options: dict, message: str, made: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=message):
        skeltools.map_store(made, out=tmp_path / "m.zarr", **options)
    assert sorted(tmp_path.iterdir()) == before


def test_a_place_that_is_taken(made: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is a store already"):
        skeltools.map_store(made, to="coco_17", partial=True, out=made)
    skeltools.map_store(made, to="coco_17", partial=True, out=made, force=True)
    assert skeltools.open(made).conventions == (TWELVE,)
    assert validate(made) == ()
    assert [path.name for path in tmp_path.iterdir() if ".partial" in path.name] == []


def test_what_is_stopped_leaves_nothing(made: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        skeltools.map_store(made, to="coco_17", partial=True, out=tmp_path / "m.zarr", on_progress=stop)
    assert sorted(tmp_path.iterdir()) == before


def test_progress_ends_at_its_total(made: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    skeltools.map_store(
        made, to="coco_17", partial=True, out=tmp_path / "m.zarr", on_progress=lambda *n: told.append(n)
    )
    assert told[-1] == (3 + 3 * 2 * 2,) * 2
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_file_gives_synonyms_to_a_users_own_convention(tmp_path: Path) -> None:
    spec = skeletons.load("sbu_15").model_copy(update={"name": "mine"})
    path = tmp_path / "mine.json"
    joints = [f"j{v}" for v in range(15)]
    renamed = spec.model_copy(update={"joints": tuple(joints)})
    path.write_text(renamed.model_dump_json())
    values = np.random.default_rng(0).normal(size=(8, 15, 3))
    skeltools.write({"a": values}, tmp_path / "own.zarr", convention=path, frames=[8])
    with pytest.raises(UsageError, match="mine has none of the 17 joints of coco_17"):
        skeltools.map_store(tmp_path / "own.zarr", to="coco_17", out=tmp_path / "m.zarr", partial=True)
    named = renamed.model_dump(mode="json") | {
        "synonyms": {"j3": ["left_shoulder"], "j6": ["right_shoulder"]}
    }
    path.write_text(json.dumps(named))
    done = skeltools.map_store(
        tmp_path / "own.zarr", to="coco_17", out=tmp_path / "m.zarr", partial=True, convention=path
    )
    (clip,) = skeltools.open(done.path).clips()
    assert clip.names == ("left_shoulder", "right_shoulder")
    assert np.array_equal(clip.joints[:, 0], values[:, [3, 6]].astype(np.float32))


# ------------------------------------------------------------------------------------------------ clips


def test_a_middle_is_unseen_where_one_of_its_ends_is() -> None:
    plan = mapping(*find("coco_17"), *find("openpose_18"))
    spec = skeletons.load("coco_17")
    joints = np.random.default_rng(0).normal(size=(3, 1, 17, 3)).astype(np.float32)
    left = spec.joints.index("left_shoulder")
    joints[1, 0, left] = np.nan
    clip = SkeletonSequence.from_joints("a", joints, "coco_17")
    clip = replace(clip, score=np.linspace(0.1, 1, 51, dtype=np.float32).reshape(3, 1, 17))
    made = mapped.mapped(clip, plan)
    neck, shoulder = (plan.target.joints.index(name) for name in ("Neck", "LShoulder"))
    assert made.unseen is not None
    assert {tuple(place) for place in np.argwhere(made.unseen)} == {(1, 0, neck), (1, 0, shoulder)}
    assert not made.joints[1, 0, [neck, shoulder]].any()
    assert made.score is not None
    right = spec.joints.index("right_shoulder")
    assert np.array_equal(
        made.score[:, :, neck],
        np.minimum(clip.score[:, :, left], clip.score[:, :, right]),  # type: ignore[index]
    )
    assert made.present.all()


def test_a_body_of_which_nothing_is_left_is_absent() -> None:
    part = mapping(*find("coco_17"), *find("coco_17-of-kinectv2_25"))
    joints = np.random.default_rng(0).normal(size=(3, 1, 17, 3)).astype(np.float32)
    joints[1, 0, 5:] = np.nan
    joints[2, 0, 5:] = 0
    clip = SkeletonSequence.from_joints("a", joints, "coco_17")
    assert clip.present.tolist() == [[True], [True], [True]]
    made = mapped.mapped(clip, part)
    assert made.present.tolist() == [[True], [False], [False]]
    assert made.order.tolist() == [[0], [-1], [-1]]
    assert made.unseen is None
    assert not made.joints[1:].any()
    assert np.array_equal(made.joints[0], joints[0, :, 5:])


def test_what_unseen_joints_take_with_them_is_a_finding(tmp_path: Path) -> None:
    some, none = np.random.default_rng(0).normal(size=(2, 6, 17, 3))
    some[1, 5:] = np.nan
    for frame in range(6):  # two of the twelve limbs are seen at a time
        none[frame, [v for v in range(5, 17) if (v - 5) // 2 != frame]] = np.nan
    skeltools.write({"some": some, "none": none}, tmp_path / "s.zarr", convention="coco_17", frames=[6])
    done = skeltools.map_store(tmp_path / "s.zarr", to="coco_17-of-kinectv2_25", out=tmp_path / "m.zarr")
    assert skeltools.open(done.path).ids == ("some",)
    assert [(row.problem, row.detail) for row in done.findings] == [
        ("nobody left by the mapping", ""),
        ("bodies lost by the mapping", "1 of 6 have too few joints that are seen"),
    ]
    assert validate(done.path) == ()


# ------------------------------------------------------------------------------------------------ command


def test_the_command_lists_the_joints_without_a_place_to_write_to(made: Path, run) -> None:
    code, out, err = run("map", made, "--to", "openpose_18")
    assert (code, err) == (0, "")
    assert "middle of ShoulderLeft and ShoulderRight" in out
    assert "13 of 18 joints, 5 absent: the result is openpose_18-of-kinectv2_25; not used: SpineBase" in out
    assert sorted(path.name for path in made.parent.glob("*.zarr")) == ["s.zarr"]


def test_the_list_is_there_for_programs(made: Path, run) -> None:
    code, out, err = run("map", made, "--to", "openpose_18", "--json")
    found = json.loads(out)
    assert (code, err, found["to"], found["result"]) == (0, "", "openpose_18", "openpose_18-of-kinectv2_25")
    assert len(found["joints"]) == 18
    assert len(found["absent"]) == 5
    assert "SpineBase" in found["unused"]
    code, _, err = run("map", made, "--to", "openpose_18", "--json", "--out", "m.zarr")
    assert (code, err) == (2, "error: --json is of the list, which --out does not print. Give one of them\n")


def test_the_command_writes_the_store(made: Path, run) -> None:
    code, out, err = run(
        "map", made, "--to", "openpose_18", "--convention", SMPLX, "--out", "m.zarr", "--frames", 5
    )
    assert code == 0
    assert "m.zarr: 2 samples of ntu60 in openpose_18" in out
    assert "findings: 1 of the mapping" in out
    assert err == ""
    code, _, err = run("map", made, "--to", "coco_17", "--out", "n.zarr")
    assert code == 2
    assert err.startswith("error: ")
    assert "--partial" in err
