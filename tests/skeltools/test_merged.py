"""Several stores as one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

import skeltools
from schemas import SkeletonSpec, StoreError, UsageError
from skeltools import skeletons, store
from skeltools.conversion import convert
from skeltools.conversion.derive import add_streams
from skeltools.inspect.validate import validate
from skeltools.preprocess import prepare

A, B, C = "S001C001P001R001A001", "S001C002P003R001A002", "S001C003P002R002A050"
NATIVE, SMPLX = "kinectv2_25", "smplx_42"


@pytest.fixture
def ntu(serving, clip, tmp_path) -> Path:
    """Three samples, of which smplx_42 lacks the first; two lengths."""
    with serving(tmp_path / "ntu") as recordings:
        recordings.add(clip(A), clip(B, bodies=2), clip(C), clip(B, SMPLX), clip(C, SMPLX, bodies=2))
        recordings.fail("S001C001P001R001A003", "truncated")
        convert("ntu60", raw=recordings.raw, out=tmp_path / "ntu.zarr", frames=(10, 7))
    return tmp_path / "ntu.zarr"


def own(
    path: Path,
    *ids: str,
    convention: str = "coco_17",
    name: str = "lab",
    seed: int = 0,
    labels: list[str] | None = None,
    frames: tuple[int, ...] = (10,),
    **more: object,
) -> Path:
    """A store of clips of one person, in which the first half of the clips trains ``xsub``."""
    joints = skeletons.load(convention).num_joints
    rng = np.random.default_rng(seed)
    clips = {id: rng.normal(size=(9 + n, joints, 3)) for n, id in enumerate(ids)}
    half = list(ids[: len(ids) // 2])
    skeltools.write(
        clips,
        path,
        convention=convention,
        name=name,
        labels=labels or ["wave"] * len(ids),
        frames=frames,
        splits=more.pop("splits", {"xsub": {"train": half}}),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )
    return path


@pytest.fixture
def lab(tmp_path) -> Path:
    return own(tmp_path / "lab.zarr", "a", "b", "c", labels=["Wave", "sit", "DRINK WATER"])


def test_rows_are_those_of_all_stores_by_id(ntu: Path, lab: Path, tmp_path: Path) -> None:
    done = skeltools.merge([ntu, lab], out=tmp_path / "both.zarr")
    assert validate(done.path) == ()
    s = skeltools.open(done.path)
    assert s.ids == ("lab-a", "lab-b", "lab-c", f"ntu60-{A}", f"ntu60-{B}", f"ntu60-{C}")
    assert s.manifest.dataset == "ntu60+lab"
    for path, name in ((ntu, "ntu60"), (lab, "lab")):
        old = skeltools.open(path)
        for convention in old.conventions:
            for clip in old.clips(convention):
                new = s.clip(f"{name}-{clip.id}", convention)
                for part in ("joints", "present", "order"):
                    assert np.array_equal(getattr(new, part), getattr(clip, part))
                assert str(new.class_name).casefold() == str(clip.class_name).casefold()
                assert new.spec == clip.spec


def test_a_row_has_the_conventions_that_its_store_has(ntu: Path, lab: Path, tmp_path: Path) -> None:
    manifest = skeltools.merge([ntu, lab], out=tmp_path / "both.zarr").manifest
    assert list(manifest.conventions) == [NATIVE, SMPLX, "coco_17"]
    assert manifest.conventions[NATIVE].missing == ("lab-a", "lab-b", "lab-c")
    assert manifest.conventions[SMPLX].missing == ("lab-a", "lab-b", "lab-c", f"ntu60-{A}")
    assert manifest.conventions["coco_17"].missing == (f"ntu60-{A}", f"ntu60-{B}", f"ntu60-{C}")
    assert manifest.conventions[SMPLX].mirrored_video is True
    assert manifest.conventions[NATIVE].reader == "ntu"


def test_streams_are_made_of_the_sequences_with_as_many_bodies_as_the_most(
    ntu: Path, lab: Path, tmp_path: Path
) -> None:
    s = skeltools.open(skeltools.merge([lab, ntu], out=tmp_path / "both.zarr").path)
    paths = [path for path in s.manifest.arrays if path.startswith("streams/")]
    assert paths == [f"streams/{name}/t10/joint" for name in sorted(("coco_17", NATIVE, SMPLX))]
    for name in s.conventions:
        stream = s.stream("joint", convention=name, in_memory=True)
        assert stream.shape[-1] == 2
        for row, id in enumerate(s.ids):
            if id in s.manifest.conventions[name].missing:
                assert not stream[row].any()
                continue
            made = prepare(s.clip(id, name).sequence, spec=s.spec(name), frames=10, bodies=2)
            assert np.array_equal(stream[row], made.joint)  # type: ignore[union-attr]
    old = skeltools.open(ntu)
    assert np.array_equal(s.stream("joint", convention=NATIVE)[3:], old.stream("joint", frames=10)[:])


def test_classes_of_one_name_are_one_whatever_their_case(ntu: Path, lab: Path, tmp_path: Path) -> None:
    done = skeltools.merge([ntu, lab], out=tmp_path / "both.zarr")
    s = skeltools.open(done.path)
    assert s.classes == (*skeltools.open(ntu).classes, "Wave", "sit")
    assert [s.clip(id, "coco_17").class_name for id in ("lab-a", "lab-b", "lab-c")] == [
        "Wave",
        "sit",
        "drink water",
    ]
    assert "classes of several data sets by name: drink water" in done.warnings
    apart = skeltools.merge([ntu, lab], out=tmp_path / "apart.zarr", classes="apart")
    s = skeltools.open(apart.path)
    assert len(s.classes) == 63
    assert s.clip("lab-c", "coco_17").class_name == "lab: DRINK WATER"
    assert s[f"ntu60-{A}"].class_name == "ntu60: drink water"
    assert not [text for text in apart.warnings if text.startswith("classes")]


def test_two_classes_of_one_store_stay_two(tmp_path: Path) -> None:
    one = own(tmp_path / "one.zarr", "a", "b", labels=["Sit", "sit"], name="one")
    two = own(tmp_path / "two.zarr", "a", "b", labels=["sit", "SIT"], name="two")
    s = skeltools.open(skeltools.merge([one, two], out=tmp_path / "both.zarr").path)
    assert s.classes == ("Sit", "sit")
    assert s.labels.tolist() == [0, 1, 1, 0]


def test_numbers_are_no_names_of_classes(tmp_path: Path) -> None:
    one = own(tmp_path / "one.zarr", "a", "b", labels=["0", "1"], name="one")
    two = own(tmp_path / "two.zarr", "a", "b", labels=["1", "2"], name="two")
    with pytest.raises(UsageError, match=r"class '1' is in more than one data set, .*--classes apart"):
        skeltools.merge([one, two], out=tmp_path / "both.zarr")
    merged = skeltools.merge([one, two], out=tmp_path / "both.zarr", classes="by-name")
    assert merged.manifest.classes == ("0", "1", "2")
    merged = skeltools.merge([one, two], out=tmp_path / "apart.zarr", classes="apart")
    assert merged.manifest.classes == ("one: 0", "one: 1", "two: 1", "two: 2")
    same = skeltools.merge([one, one], out=tmp_path / "same.zarr", prefixes=["", "other"], classes="by-name")
    assert same.manifest.classes == ("0", "1")


def test_splits_are_by_name(ntu: Path, tmp_path: Path) -> None:
    lab = own(tmp_path / "lab.zarr", "a", "b", splits={"mine": {"train": ["b"]}})
    done = skeltools.merge([ntu, lab], out=tmp_path / "both.zarr")
    s, old = skeltools.open(done.path), skeltools.open(ntu)
    assert set(s.splits) == {*old.splits, "mine"}
    for name, half in old.splits.items():
        assert s.splits[name].tolist() == [0, 0, *half]
    assert s.splits["mine"].tolist() == [2, 1, 0, 0, 0]
    assert s.manifest.protocols["mine"].train == s.manifest.protocols["mine"].test == 1
    assert s.manifest.protocols["xsub"].rule.startswith("ntu60: train: subjects 1, 2, 4")
    assert "split xsub: 2 samples of lab, which has none of the name, are in neither half" in done.warnings
    done = skeltools.merge([ntu, lab], out=tmp_path / "more.zarr", split_missing="train")
    s = skeltools.open(done.path)
    assert s.splits["mine"].tolist() == [2, 1, 1, 1, 1]
    assert s.manifest.protocols["mine"].train == 4
    assert "split mine: 3 samples of ntu60, which has none of the name, are to train" in done.warnings


def test_people_of_different_data_sets_are_different(ntu: Path, tmp_path: Path) -> None:
    done = skeltools.merge([ntu, ntu], out=tmp_path / "both.zarr", prefixes=["one", "two"])
    assert validate(done.path) == ()
    s = skeltools.open(done.path)
    people = [[s[f"{name}-{id}"].subject for id in (A, B, C)] for name in ("one", "two")]
    assert people == [[1, 3, 2], [4, 6, 5]]
    assert [s[f"two-{id}"].camera for id in (A, B, C)] == [4, 5, 6]
    assert [s[f"two-{id}"].repetition for id in (A, B, C)] == [1, 1, 2]
    assert [part.shifts for part in s.manifest.parts] == [{}, {"subject": 3, "camera": 3, "setup": 1}]


def test_stores_of_one_prefix_are_one_data_set(recordings, clip, tmp_path: Path) -> None:
    for number, id in enumerate((A, B)):
        recordings.served.clear()
        recordings.add(clip(id))
        convert("ntu60", raw=recordings.raw, out=tmp_path / f"{number}.zarr", frames=(7,))
    done = skeltools.merge(
        [tmp_path / "1.zarr", tmp_path / "0.zarr"], out=tmp_path / "both.zarr", prefixes=["", ""]
    )
    recordings.add(clip(A))
    whole = convert("ntu60", raw=recordings.raw, out=tmp_path / "whole.zarr", frames=(7,))
    assert validate(done.path) == ()
    assert done.manifest.hash == whole.manifest.hash
    assert done.manifest.arrays == whole.manifest.arrays
    assert done.manifest.protocols == whole.manifest.protocols
    assert done.manifest.dataset == "ntu60"


def test_where_it_is_from_is_in_the_manifest(ntu: Path, lab: Path, tmp_path: Path) -> None:
    olds = [store.open_store(path).manifest for path in (ntu, lab)]
    manifest = skeltools.merge([ntu, lab], out=tmp_path / "both.zarr").manifest
    assert [(part.name, part.dataset, part.hash, part.samples) for part in manifest.parts] == [
        (old.dataset, old.dataset, old.hash, 3) for old in olds
    ]
    assert [part.source for part in manifest.parts] == [old.source for old in olds]
    assert manifest.source["files"] == sum(int(old.source["files"]) for old in olds)
    attributes = json.loads((ntu / "zarr.json").read_text())["attributes"]
    assert "parts" not in attributes


def test_findings_have_the_name_of_their_store_in_front(ntu: Path, lab: Path, tmp_path: Path) -> None:
    done = skeltools.merge([lab, ntu], out=tmp_path / "both.zarr")
    (row,) = skeltools.open(ntu).findings
    assert done.findings == (row.model_copy(update={"file": f"ntu60/{row.file}"}),)
    assert skeltools.open(done.path).findings == done.findings
    assert done.manifest.findings == {"unreadable file": 1}


def test_bones_are_there_where_all_have_them(ntu: Path, lab: Path, tmp_path: Path) -> None:
    for path in (ntu, lab):
        add_streams(path, kinds=("bone", "motion") if path == ntu else ("bone",))
    manifest = skeltools.merge([ntu, lab], out=tmp_path / "both.zarr", frames=[6]).manifest
    assert [path for path in manifest.arrays if path.startswith(f"streams/{NATIVE}")] == [
        f"streams/{NATIVE}/t6/bone",
        f"streams/{NATIVE}/t6/joint",
    ]
    assert manifest.recipe.counts
    assert validate(tmp_path / "both.zarr") == ()


def test_a_convention_in_both_is_one(tmp_path: Path) -> None:
    one = own(tmp_path / "one.zarr", "a", "b", name="one")
    two = own(tmp_path / "two.zarr", "a", "b", name="two", seed=1)
    manifest = skeltools.merge([one, two], out=tmp_path / "both.zarr").manifest
    assert list(manifest.conventions) == ["coco_17"]
    assert manifest.conventions["coco_17"].missing == ()
    assert validate(tmp_path / "both.zarr") == ()


def test_unseen_joints_stay_unseen(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 9, 17, 3))
    values[0, 3, 4] = np.nan
    for name, clip in zip(("one", "two"), values, strict=True):
        skeltools.write({"a": clip}, tmp_path / f"{name}.zarr", convention="coco_17", name=name, frames=[9])
    done = skeltools.merge([tmp_path / "one.zarr", tmp_path / "two.zarr"], out=tmp_path / "both.zarr")
    first, second = store.read_sequences(store.open_store(done.path), "coco_17")
    assert first is not None
    assert second is not None
    assert first.unseen is not None
    assert np.argwhere(first.unseen).tolist() == [[3, 0, 4]]
    assert second.unseen is None
    assert validate(done.path) == ()


def labelled(path: Path, convention: str) -> Path:
    """The store with a label for each frame: those of the clip, but for its first frame, which has none."""
    opened = store.open_store(path)
    place = f"sequences/{convention}"
    lengths = np.diff(store.read(opened, f"{place}/offsets"))
    labels = np.repeat(store.read(opened, "samples/label"), lengths)
    labels[np.cumsum(lengths) - lengths] = -1
    root = store.reopen(path)
    store.write_array(root, f"{place}/frame_label", labels, ("F",))
    arrays = {
        **opened.manifest.arrays,
        f"{place}/frame_label": store.describe_at(root, f"{place}/frame_label"),
    }
    store.write_manifest(path, opened.manifest.model_copy(update={"arrays": dict(sorted(arrays.items()))}))
    return path


def test_labels_of_frames_are_of_the_new_classes(tmp_path: Path) -> None:
    one = labelled(own(tmp_path / "one.zarr", "a", "b", name="one", labels=["x", "y"]), "coco_17")
    two = labelled(own(tmp_path / "two.zarr", "a", "b", name="two", labels=["z", "x"]), "coco_17")
    bare = own(tmp_path / "bare.zarr", "a", "b", name="bare", labels=["x", "x"])
    path = skeltools.merge([one, two, bare], out=tmp_path / "all.zarr").path
    assert validate(path) == ()
    s = store.open_store(path)
    labels = store.read(s, "sequences/coco_17/frame_label")
    offsets = store.read(s, "sequences/coco_17/offsets")
    ids = store.read(s, "samples/id").tolist()
    for row, label in enumerate(store.read(s, "samples/label").tolist()):
        found = labels[offsets[row] : offsets[row + 1]].tolist()
        assert found[0] == -1
        assert set(found[1:]) == {-1 if ids[row].startswith("bare") else label}
    assert s.manifest.classes == ("x", "y", "z")
    mapped = skeltools.map_store(path, to="smpl_22", out=tmp_path / "m.zarr", partial=True)
    same = store.read(store.open_store(mapped.path), "sequences/smpl_22-of-coco_17/frame_label")
    assert np.array_equal(same, labels)


def test_a_damaged_store_is_an_error(ntu: Path, lab: Path, tmp_path: Path) -> None:
    root = store.reopen(lab)
    store.remove(root, "samples/label")
    store.write_array(root, "samples/label", np.array([0, 1, 9], np.int16), ("N",))
    with pytest.raises(
        StoreError, match=r"lab\.zarr: damaged store \(samples/label: a label is outside 0\.\.2\)"
    ):
        skeltools.merge([ntu, lab], out=tmp_path / "both.zarr")
    store.remove(root, "samples/id")
    store.write_array(root, "samples/id", np.array(["b", "a", "c"], object), ("N",))
    with pytest.raises(StoreError, match=r"lab\.zarr: damaged store \(samples/id: ids are not sorted"):
        skeltools.merge([ntu, lab], out=tmp_path / "both.zarr")
    assert not (tmp_path / "both.zarr").exists()


@pytest.mark.parametrize("place", ["samples/camera", "sequences/coco_17/joints", "skeletons", "splits/xsub"])
def test_damaged_metadata_are_an_error_or_do_no_harm(place: str, lab: Path, tmp_path: Path) -> None:
    other = own(tmp_path / "other.zarr", "a", "b", name="other")
    file = lab / place / "zarr.json"
    whole = file.read_text()
    for damaged in (
        "",
        "{",
        "[]",
        "null",
        whole[: len(whole) // 2],
        whole.replace("3", "1e9"),
        whole.replace("3", '"x"'),
    ):
        file.write_text(damaged)
        for run in (
            lambda: skeltools.merge([lab, other], out=tmp_path / "out.zarr", force=True),
            lambda: skeltools.map_store(
                lab, to="smpl_22", out=tmp_path / "out.zarr", partial=True, force=True
            ),
        ):
            with contextlib.suppress(skeltools.SkelError):
                run()
    assert not [path.name for path in tmp_path.iterdir() if ".partial" in path.name]


def test_the_terms_of_all_data_sets_are_told(ntu: Path, lab: Path, tmp_path: Path, run) -> None:
    first = skeltools.merge([ntu, lab], out=tmp_path / "both.zarr")
    other = own(tmp_path / "other.zarr", "a", "b", name="other")
    nested = skeltools.merge([first.path, other], out=tmp_path / "all.zarr")
    assert nested.manifest.data_sets == (("ntu60", False), ("lab", False), ("other", False))
    assert [part.name for part in nested.manifest.parts] == ["ntu60+lab", "other"]
    _, out, _ = run("card", nested.path)
    assert "### NTU RGB+D\n\nFor research only" in out
    assert "### other\n\nState your licence here" in out
    _, out, _ = run("inspect", nested.path)
    assert "of ntu60+lab: 6 samples, hash" in out


def renamed(**changes: object) -> SkeletonSpec:
    return skeletons.load("sbu_15").model_copy(update={"name": "mine", **changes})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"center": 2}, "parents"),
        ({"joints": tuple(f"j{v}" for v in range(15))}, "joints"),
        ({"shoulders": None}, "shoulders"),
    ],
)
def test_two_conventions_of_one_name_are_refused(change: dict, what: str, tmp_path: Path) -> None:
    for name, spec in (("one", renamed()), ("two", renamed(**change))):
        path = tmp_path / f"{name}.json"
        path.write_text(spec.model_dump_json())
        values = np.random.default_rng(0).normal(size=(8, 15, 3))
        skeltools.write(
            {"a": values},
            tmp_path / f"{name}.zarr",
            convention=path,
            name=name,
            recipe="centered",
            frames=[8],
        )
    with pytest.raises(UsageError, match=f"two different conventions are named mine: their {what} differ"):
        skeltools.merge([tmp_path / "one.zarr", tmp_path / "two.zarr"], out=tmp_path / "both.zarr")


def test_2d_and_3d_poses_of_one_convention_are_refused(tmp_path: Path) -> None:
    one = own(tmp_path / "one.zarr", "a", "b", name="one")
    two = own(tmp_path / "two.zarr", "a", "b", name="two")
    manifest = store.open_store(two).manifest
    flat = manifest.conventions["coco_17"].model_copy(update={"coordinates": "xy"})
    store.write_manifest(two, manifest.model_copy(update={"conventions": {"coco_17": flat}}))
    with pytest.raises(UsageError, match=r"coco_17 of \S+one.zarr is 3D and coco_17 of \S+two.zarr is 2D"):
        skeltools.merge([one, two], out=tmp_path / "both.zarr")


def test_2d_and_3d_poses_of_different_conventions_are_refused_too(tmp_path: Path) -> None:
    one = own(tmp_path / "one.zarr", "a", "b", name="one", recipe="centered")
    two = own(tmp_path / "two.zarr", "a", "b", name="two", convention="openpose_18", recipe="centered")
    manifest = store.open_store(two).manifest
    flat = manifest.conventions["openpose_18"].model_copy(update={"coordinates": "xy"})
    store.write_manifest(two, manifest.model_copy(update={"conventions": {"openpose_18": flat}}))
    with pytest.raises(
        UsageError, match=r"coco_17 of \S+one.zarr is 3D and openpose_18 of \S+two.zarr is 2D"
    ):
        skeltools.merge([one, two], out=tmp_path / "both.zarr")


def test_flat_poses_are_not_turned_in_depth(tmp_path: Path) -> None:
    two = own(tmp_path / "two.zarr", "a", "b", name="two", convention="openpose_18", recipe="centered")
    manifest = store.open_store(two).manifest
    flat = manifest.conventions["openpose_18"].model_copy(update={"coordinates": "xy"})
    store.write_manifest(two, manifest.model_copy(update={"conventions": {"openpose_18": flat}}))
    mapped = skeltools.map_store(two, to="coco_17", out=tmp_path / "m.zarr")
    assert mapped.manifest.conventions["coco_17"].coordinates == "xy"
    with pytest.raises(UsageError, match="2D"):
        skeltools.map_store(two, to="coco_17", out=tmp_path / "n.zarr", recipe="default")


def test_recipes_that_differ_need_one(ntu: Path, tmp_path: Path) -> None:
    lab = own(tmp_path / "lab.zarr", "a", "b", recipe="centered")
    with pytest.raises(UsageError, match=r"lab\.zarr: .*recipe centered, those of \S+ntu\.zarr with default"):
        skeltools.merge([ntu, lab], out=tmp_path / "both.zarr")
    done = skeltools.merge([ntu, lab], out=tmp_path / "both.zarr", recipe="raw")
    assert done.manifest.recipe.name == "raw"
    assert validate(done.path) == ()


def test_lengths_are_those_that_all_have(ntu: Path, tmp_path: Path) -> None:
    lab = own(tmp_path / "lab.zarr", "a", "b", frames=(12,))
    with pytest.raises(
        UsageError, match=r"no length .*: 7, 10 in \S+ntu\.zarr; 12 in \S+lab\.zarr\. .*--frames"
    ):
        skeltools.merge([ntu, lab], out=tmp_path / "both.zarr")
    assert skeltools.merge([ntu, lab], out=tmp_path / "both.zarr", frames=[12, 7]).manifest


def test_the_same_ids_are_refused(ntu: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"3 ids are in two stores, such as ntu60-{A} in .*--prefix"):
        skeltools.merge([ntu, ntu], out=tmp_path / "both.zarr")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefixes": ["a"]}, "1 prefixes of 2 stores"),
        ({"prefixes": ["a", "../b"]}, r"'\.\./b' cannot stand before an id"),
        ({"name": "Two words"}, "'Two words' is no name for a data set"),
        ({"recipe": "defualt"}, "unknown recipe 'defualt'"),
        (
            {"classes": "both"},
            r"merge\(classes=\.\.\.\): expected 'by-name' or 'apart' or None, found 'both'",
        ),
    ],
)
def test_bad_options_are_refused(options: dict, message: str, ntu: Path, lab: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=message):
        skeltools.merge([ntu, lab], out=tmp_path / "both.zarr", **options)
    assert sorted(tmp_path.iterdir()) == before


def test_one_store_is_no_merge_and_a_place_may_be_taken(ntu: Path, lab: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes two stores or more, found 1"):
        skeltools.merge([ntu], out=tmp_path / "both.zarr")
    with pytest.raises(StoreError, match="no such store"):
        skeltools.merge([ntu, tmp_path / "nothing"], out=tmp_path / "both.zarr")
    with pytest.raises(StoreError, match="there is a store already"):
        skeltools.merge([ntu, lab], out=lab)
    skeltools.merge([ntu, lab], out=lab, force=True)
    assert len(skeltools.open(lab)) == 6
    assert validate(lab) == ()


def test_what_is_stopped_leaves_nothing(ntu: Path, lab: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for share in (0.1, 0.5, 1.0):

        def stop(done: int, total: int, share: float = share) -> None:
            if done >= share * total:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            skeltools.merge([ntu, lab], out=tmp_path / "both.zarr", on_progress=stop)
        assert sorted(tmp_path.iterdir()) == before


def test_merging_takes_the_memory_of_a_file_not_of_the_stores(tmp_path: Path, monkeypatch) -> None:
    """Rows are asked for in their order, and no block is larger than a file."""
    monkeypatch.setattr("skeltools.store.layout.FRAME_CHUNK", 5)
    monkeypatch.setattr("skeltools.store.layout.FRAME_SHARD", 20)
    read: list[int] = []
    plain = store.reading.read

    def counted(opened, path, start=0, stop=None):
        values = plain(opened, path, start, stop)
        if path.endswith("/joints"):
            read.append(len(values))
        return values

    one = own(tmp_path / "one.zarr", *"abcdefgh", name="one")
    two = own(tmp_path / "two.zarr", *"abcdefgh", name="one-x")
    monkeypatch.setattr("skeltools.store.reading.read", counted)
    skeltools.merge([one, two], out=tmp_path / "both.zarr")
    assert max(read) <= 20
    assert sum(read) == 2 * 2 * sum(range(9, 17))  # once to be written, once for the stream


def test_the_command(ntu: Path, lab: Path, run) -> None:
    code, out, err = run("merge", ntu, lab, "--out", "both.zarr", "--name", "all")
    assert code == 0
    assert "both.zarr: 6 samples of all in kinectv2_25, smplx_42, coco_17" in out
    assert "62 classes; splits: xsub" in out
    assert "warning: classes of several data sets by name: drink water" in err
    code, out, _ = run("merge", ntu, ntu, "--prefix", "a", "--prefix", "b", "--out", "c.zarr", "--frames", 7)
    assert code == 0
    assert "b: 3 samples, subject + 3, camera + 3, setup + 1" in out
    code, _, err = run("merge", ntu, "--out", "d.zarr")
    assert (code, err) == (2, "error: to merge takes two stores or more, found 1\n")
    code, _, err = run("merge", ntu, lab)
    assert code == 2
    assert "--out" in err
