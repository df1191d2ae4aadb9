"""A user's own data in archives of other code bases, and back from our own exports."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from schemas import ConfigError, RawDataError, SkelError, UsageError
from skeltools import skeletons, store
from skeltools.conversion import convert
from skeltools.formats import FORMATS, own
from skeltools.formats.export import export
from skeltools.inspect.validate import validate
from skeltools.readers import READERS
from skeltools.sequence import SkeletonSequence
from tests.skeltools import fuzzing
from tests.skeltools.archives import write_pickle

STICK: dict[str, Any] = {
    "name": "stick_9",
    "source": "test",
    "joints": ["hip", "neck", "head", "ls", "lh", "rs", "rh", "lf", "rf"],
    "edges": [[0, 1], [2, 1], [3, 1], [4, 3], [5, 1], [6, 5], [7, 0], [8, 0]],
    "center": 1,
    "shoulders": [3, 5],
    "left_right_swap": [0, 1, 2, 5, 6, 3, 4, 8, 7],
    "body_parts": {
        "trunk": [0, 1, 2],
        "left_arm": [3, 4],
        "right_arm": [5, 6],
        "left_leg": [7],
        "right_leg": [8],
    },
}
CLASSES = ("stand", "walk", "wave")
IDS = tuple(f"clip{number}" for number in range(6))


def clip(number: int, *, joints: int = 9, bodies: int = 1, size: int = 3) -> np.ndarray:
    """[M, T, V, C] float32, of 5 to 7 frames."""
    rng = np.random.default_rng([number, joints, bodies, size])
    return rng.normal(0, 1, (bodies, 5 + number % 3, joints, size)).astype(np.float32)


def annotations(**options: int) -> list[dict[str, Any]]:
    return [
        {"frame_dir": id, "label": n % 3, "keypoint": clip(n, **options), "total_frames": 5 + n % 3}
        for n, id in enumerate(IDS)
    ]


def write_pyskl(path: Path, content: list[dict[str, Any]] | None = None, **options: int) -> Path:
    told = annotations(**options) if content is None else content
    split = {"train": list(IDS[:4]), "val": list(IDS[4:])}
    return write_pickle(path, {"split": split, "annotations": told})


def stick(folder: Path) -> str:
    (folder / "stick.yaml").write_text(yaml.safe_dump(STICK))
    return str(folder / "stick.yaml")


def settings(path: Path, **told: Any) -> Path:
    content = {"name": "mine", "convention": "kinectv2_25", "classes": list(CLASSES), **told}
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def made(source: str, raw: Path, out: Path, **options: Any) -> store.Store:
    convert("custom", source=source, raw=raw, out=out, **{"recipe": "raw", "frames": (7,), **options})
    assert [fault for fault in validate(out) if "bones" not in str(fault)] == []
    return store.open_store(out)


def sequences(opened: store.Store) -> dict[str, SkeletonSequence]:
    (name,) = opened.manifest.conventions
    return {found.id: found for found in store.read_sequences(opened, name) if found is not None}


# --- round trips --------------------------------------------------------------------------------------------

OUT = {"crossclr": "cross", "ctrgcn": "a_xsub.npz", "hdf5": "a.h5", "pyskl": "a.pkl"}


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of up to two bodies in a convention of one's own, some joints unseen; three named classes."""
    folder = tmp_path_factory.mktemp("own")
    convention = stick(folder)
    (folder / "raw").mkdir()
    for number, id in enumerate(IDS):
        values = clip(number, bodies=2).transpose(1, 0, 2, 3).copy()
        values[1:3, 0, 4] = np.nan
        values[2, 1] = 0
        np.save(folder / "raw" / f"{CLASSES[number % 3]}_s{number % 2}_{id}.npy", values)
    settings(
        folder / "raw" / "dataset.yaml",
        convention=convention,
        layout="T M V C",
        pattern=r"(?P<label>[a-z]+)_s(?P<subject>\d)_(?P<id>.*)",
        splits={"xsub": {"train": {"subject": [1]}}},
    )
    convert("custom", raw=folder / "raw", out=folder / "s.zarr", recipe="raw", frames=(7,))
    return folder / "s.zarr"


@pytest.mark.parametrize("told", ["nothing", "settings"])
@pytest.mark.parametrize("to", OUT)
def test_a_store_of_own_data_comes_back_from_its_exports(own_store, tmp_path, to, told):
    raw = export(own_store, to=to, out=tmp_path / "x" / OUT[to]).path
    if told == "settings":  # as they were for the raw files: what was exported is in canonical axes already
        convention = stick(tmp_path)
        beside = raw / "dataset.yaml" if raw.is_dir() else raw.with_name("dataset.yaml")
        settings(beside, convention=convention, units="mm", axes={"x": "right", "y": "down", "z": "forward"})
    old, new = store.open_store(own_store), made(to, raw, tmp_path / "back.zarr")
    assert (new.manifest.dataset, new.manifest.classes) == ("mine", CLASSES)
    assert new.manifest.protocols["xsub"].train == old.manifest.protocols["xsub"].train == 3
    assert store.read_spec(new, "stick_9") == store.read_spec(old, "stick_9")
    path = store.stream_path("stick_9", 7, "joint")
    rows = np.arange(6)
    if to == "ctrgcn":  # test sorts before train
        rows = np.argsort(store.read(old, "splits/xsub"), kind="stable")
        rows = rows[np.argsort(-store.read(old, "splits/xsub")[rows].astype(int), kind="stable")]
    assert np.array_equal(store.read(new, path), store.read(old, path)[rows])
    assert np.array_equal(store.read(new, "samples/label"), store.read(old, "samples/label")[rows])
    if to in ("pyskl", "hdf5"):
        for part in ("joints", "present", "order", "unseen"):
            name = f"sequences/stick_9/{part}"
            assert new.manifest.arrays[name].sha256 == old.manifest.arrays[name].sha256


def test_scores_come_back(tmp_path):
    (tmp_path / "raw").mkdir()
    for number, id in enumerate(IDS):
        values = clip(number, joints=17).transpose(1, 0, 2, 3)[:, 0] * 50 + 300
        values[..., 2] = np.linspace(0, 1, 17)
        np.save(tmp_path / "raw" / f"walk_{id}.npy", values)
    pattern = r"(?P<label>[a-z]+)_(?P<id>.*)"
    told = {"convention": "coco_17", "classes": None, "never_seen": "keep", "pattern": pattern}
    flat = {"coordinates": "xys", "image_size": [640, 480], "layout": "T V C"}
    settings(tmp_path / "raw" / "dataset.yaml", **told, **flat)
    convert("custom", raw=tmp_path / "raw", out=tmp_path / "s.zarr", frames=(7,))
    old = store.open_store(tmp_path / "s.zarr")
    for to in ("pyskl", "hdf5"):
        new = made(to, export(old.path, to=to, out=tmp_path / OUT[to]).path, tmp_path / to)
        assert new.manifest.conventions["coco_17"].coordinates == "xy"
        for part in ("joints", "unseen", "score"):
            name = f"sequences/coco_17/{part}"
            assert new.manifest.arrays[name].sha256 == old.manifest.arrays[name].sha256, to


# --- name, classes, convention ------------------------------------------------------------------------------


def test_without_settings_name_and_classes_are_told_by_the_archive(tmp_path):
    notes: list[str] = []
    raw = write_pyskl(tmp_path / "My Clips.pkl", joints=25)
    opened = made("pyskl", raw, tmp_path / "s", on_note=notes.append)
    assert opened.manifest.dataset == "my-clips"
    assert opened.manifest.classes == ("0", "1", "2")
    assert list(opened.manifest.conventions) == ["kinectv2_25"]
    assert (opened.manifest.protocols["file"].train, opened.manifest.protocols["file"].test) == (4, 2)
    assert notes[0].startswith("25 joints are taken as kinectv2_25 (others of so many joints: ")
    for n, found in enumerate(sequences(opened).values()):
        assert np.array_equal(found.joints[:, 0], clip(n, joints=25)[0])


def test_options_go_before_settings_and_archive(tmp_path, run):
    write_pyskl(tmp_path / "a.pkl", joints=17)
    settings(tmp_path / "dataset.yaml", convention="coco_17")
    (tmp_path / "names.txt").write_text("one\ntwo\n\nthree four\n", encoding="utf-8")
    args = ["--raw", str(tmp_path / "a.pkl"), "--name", "other", "--classes", str(tmp_path / "names.txt")]
    code, out, _ = run("convert", "custom", "--from", "pyskl", *args, "--convention", "h36m_17", "--out", "s")
    assert (code, out.splitlines()[0]) == (0, "s: 6 samples of other in h36m_17")
    assert store.open_store(tmp_path / "s").manifest.classes == ("one", "two", "three four")


@pytest.mark.parametrize("where", ["inside", "beside", "named", "other name", "custom folder"])
def test_settings_beside_an_archive(tmp_path, where):
    folder = tmp_path / "custom" if where == "custom folder" else tmp_path
    write_pyskl(folder / "a.pkl", joints=25)
    path = settings(folder / ("my.yaml" if where == "other name" else "dataset.yaml"), bodies=2)
    raw = {"beside": tmp_path / "a.pkl", "named": path, "other name": path}.get(where, tmp_path)
    opened = made("pyskl", raw, tmp_path / "s")
    assert (opened.manifest.dataset, opened.manifest.classes) == ("mine", CLASSES)
    assert opened.manifest.arrays["streams/kinectv2_25/t7/joint"].shape[-1] == 2


@pytest.mark.parametrize(
    ("joints", "convention"), [(17, "coco_17"), (18, "openpose_18"), (20, "kinectv1_20"), (42, "smplx_42")]
)
def test_the_convention_by_the_number_of_joints(tmp_path, joints, convention):
    opened = made("pyskl", write_pyskl(tmp_path / "a.pkl", joints=joints), tmp_path / "s")
    assert list(opened.manifest.conventions) == [convention]


@pytest.mark.parametrize(
    ("joints", "message"), [(9, "joints are. Name the conv"), (21, "interhand_21, media")]
)
def test_joints_of_which_nothing_tells_the_convention(tmp_path, joints, message):
    with pytest.raises(UsageError, match=message):
        made("pyskl", write_pyskl(tmp_path / "a.pkl", joints=joints), tmp_path / "s")


def test_an_archive_without_a_sample_that_can_be_used_says_so(tmp_path):
    write_pickle(tmp_path / "a.pkl", [{"frame_dir": "a", "keypoint": None, "label": 0}])
    with pytest.raises(UsageError, match="none of its samples can be used as it is, so its number of joints"):
        made("pyskl", tmp_path / "a.pkl", tmp_path / "s")


def test_usual_conventions_have_so_many_joints():
    assert {name: skeletons.load(name).num_joints for name in own.USUAL.values()} == {
        name: count for count, name in own.USUAL.items()
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "ntu60"}, "ntu60 is the name of a built-in data set"),
        ({"name": "My Data"}, "'My Data' is no name"),
        ({"classes": "absent.txt"}, "cannot read the class names"),
        ({"classes": []}, "there is no class name"),
        ({"classes": ["a", "a"]}, "class name 'a' is there twice"),
        ({"classes": ["a\nb"]}, "no printable text"),
        ({"conventions": ["coco_17", "h36m_17"]}, "holds one convention, but 2 are asked for"),
        ({"conventions": ["kinectv1_20"]}, "25 joints, but kinectv1_20 has 20"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    with pytest.raises(SkelError, match=message):
        made("pyskl", write_pyskl(tmp_path / "a.pkl", joints=25), tmp_path / "s", **options)


@pytest.mark.parametrize("option", ["name", "classes"])
def test_names_are_for_archives_of_own_data(tmp_path, option):
    for dataset, source in (("ntu60", "pyskl"), ("custom", None)):
        settings(tmp_path / "dataset.yaml", layout="T V C")
        with pytest.raises(UsageError, match=f"--{option} is for archives of your own data"):
            convert(dataset, source=source, raw=tmp_path, out=tmp_path / "s", **{option: "x"})


def test_a_file_called_like_a_data_set(tmp_path):
    opened = made("pyskl", write_pyskl(tmp_path / "ntu60.pkl", joints=25), tmp_path / "s")
    assert opened.manifest.dataset == "own-ntu60"
    settings(tmp_path / "dataset.yaml", name="ntu120")
    with pytest.raises(ConfigError, match="ntu120 is the name of a built-in data set"):
        made("pyskl", tmp_path / "ntu60.pkl", tmp_path / "t")


# --- what settings say --------------------------------------------------------------------------------------


def test_axes_units_and_the_first_label(tmp_path):
    told = annotations(joints=25)
    for each in told:
        each["label"] += 1
    write_pyskl(tmp_path / "a.pkl", told)
    axes = {"x": "right", "y": "down", "z": "forward"}
    settings(tmp_path / "dataset.yaml", axes=axes, units="mm", label_base=1)
    opened = made("pyskl", tmp_path, tmp_path / "s")
    assert "in mm" in opened.manifest.conventions["kinectv2_25"].axes
    for n, found in enumerate(sequences(opened).values()):
        expected = (clip(n, joints=25)[0].astype(np.float64) * [-0.001, -0.001, 0.001]).astype(np.float32)
        assert np.array_equal(found.joints[:, 0], expected)
        assert found.label == n % 3


def test_assumed_axes_are_told_and_are_not_those_of_the_convention(tmp_path):
    raw = write_pyskl(tmp_path / "a.pkl", joints=17)
    for units, words in ((None, "x left, y up, z forward, metres"), ("mm", "x left, y up, z forward, in mm")):
        settings(tmp_path / "dataset.yaml", convention="coco_17", **({"units": units} if units else {}))
        notes: list[str] = []
        opened = made("pyskl", raw, tmp_path / f"s{units}", on_note=notes.append)
        assert words in notes[0]
        assert words in opened.manifest.conventions["coco_17"].axes


def test_joints_at_zero_were_not_seen(tmp_path):
    told = annotations(joints=25)
    for each in told:
        each["keypoint"] += 5  # else the one joint at zero lies amid the others, as a root does
    told[0]["keypoint"][0, 1:3, 7] = 0
    opened = made("pyskl", write_pyskl(tmp_path / "a.pkl", told), tmp_path / "s")
    unseen = sequences(opened)["clip0"].unseen
    assert np.argwhere(unseen).tolist() == [[1, 0, 7], [2, 0, 7]]
    assert opened.manifest.findings == {"joints not seen": 1}


def test_joints_that_the_store_shall_not_have(tmp_path):
    write_pyskl(tmp_path / "a.pkl", joints=25)
    settings(tmp_path / "dataset.yaml", leave_out=["HandTipLeft", "ThumbLeft"])
    opened = made("pyskl", tmp_path, tmp_path / "s")
    assert list(opened.manifest.conventions) == ["kinectv2_25-23"]
    kept = [v for v in range(25) if v not in (21, 22)]
    assert np.array_equal(sequences(opened)["clip0"].joints[:, 0], clip(0, joints=25)[0][:, kept])


def test_splits_of_settings_where_the_archive_has_none(tmp_path):
    write_pickle(tmp_path / "a.pkl", annotations(joints=25))  # as mmaction2 had it first: no dict around
    assert made("pyskl", tmp_path, tmp_path / "s").manifest.protocols["all"].train == 6
    settings(tmp_path / "dataset.yaml", splits={"half": {"train": {"pattern": "clip[012]"}}})
    protocol = made("pyskl", tmp_path, tmp_path / "t").manifest.protocols["half"]
    assert (protocol.train, protocol.test) == (3, 3)


def test_labels_beyond_the_classes_are_findings(tmp_path):
    opened = made("pyskl", write_pyskl(tmp_path / "a.pkl", joints=25), tmp_path / "s", classes=["a", "b"])
    assert (opened.manifest.samples, opened.manifest.findings) == (4, {"unreadable file": 2})


def test_samples_without_a_label(tmp_path):
    told = annotations(joints=25)
    told[0]["label"] = -1
    told[1]["label"] = None
    del told[2]["label"]
    write_pyskl(tmp_path / "a.pkl", told)
    np.savez(tmp_path / "a.npz", x=X, y=np.array([-1, -1, -1, 0, 1, 2]))
    np.savez(tmp_path / "b.npz", x=X, y=np.concatenate([np.zeros((3, 3)), np.eye(3)]))
    write_pair(tmp_path / "c", (list(IDS), [-1, None, -1, 0, 1, 2]))
    write_pair(tmp_path / "d", np.concatenate([np.zeros((3, 3)), np.eye(3)]), name="train_label.npy")
    for raw, source in (
        ("a.pkl", "pyskl"),
        ("a.npz", "ctrgcn"),
        ("b.npz", "ctrgcn"),
        ("c", "crossclr"),
        ("d", "crossclr"),
    ):
        opened = made(source, tmp_path / raw, tmp_path / f"{raw}.zarr")
        assert store.read(opened, "samples/label").tolist() == [-1, -1, -1, 0, 1, 2]
        assert opened.manifest.classes == ("0", "1", "2")
    for each in told:
        each["label"] = None
    assert made("pyskl", write_pyskl(tmp_path / "e.pkl", told), tmp_path / "e").manifest.classes == ()


def test_names_like_those_of_ntu_do_not_tell_the_label(tmp_path):
    told = annotations(joints=25)
    for n, each in enumerate(told):
        each["frame_dir"] = f"S001C001P00{n + 1}R001A0{n + 20}"
    opened = made("pyskl", write_pyskl(tmp_path / "a.pkl", told), tmp_path / "s")
    assert store.read(opened, "samples/label").tolist() == [0, 1, 2, 0, 1, 2]
    assert store.read(opened, "samples/subject").tolist() == [1, 2, 3, 4, 5, 6]


# --- never renamed ------------------------------------------------------------------------------------------


def arrays_of(count: int = 6, *, frames: int = 7, joints: int = 25, bodies: int = 2) -> np.ndarray:
    """[N, 3, T, V, M]"""
    rng = np.random.default_rng(count)
    return rng.normal(0, 1, (count, 3, frames, joints, bodies)).astype(np.float32)


def flat(x: np.ndarray) -> np.ndarray:
    """[N, T, M * V * 3]"""
    return x.transpose(0, 2, 4, 3, 1).reshape(len(x), x.shape[2], -1)


def write_pair(
    folder: Path, labels: Any, *, data: str = "train_data.npy", name: str = "train_label.pkl"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / data, arrays_of())
    if name.endswith(".npy"):
        np.save(folder / name, labels)
    else:
        write_pickle(folder / name, labels)
    return folder


@pytest.mark.parametrize("dataset", ["ntu60", "ntu120", "nw-ucla", "pku-mmd-1"])
def test_own_data_never_get_the_class_names_of_a_data_set(tmp_path, dataset):
    joints = {"nw-ucla": 20}.get(dataset, 25)
    x, y = arrays_of(joints=joints, bodies=1), np.eye(5, dtype=np.float32)[[0, 1, 2, 3, 4, 0]]
    np.savez(tmp_path / "a.npz", x_train=flat(x), y_train=y)
    write_pyskl(tmp_path / "a.pkl", joints=joints)
    for folder, labels in (("named", (list(IDS), [0, 1, 2, 0, 1, 2])), ("nameless", [0, 1, 2, 0, 1, 2])):
        np.save(write_pair(tmp_path / folder, labels) / "train_data.npy", x)
    for source, raw in (
        ("ctrgcn", "a.npz"),
        ("pyskl", "a.pkl"),
        ("crossclr", "named"),
        ("crossclr", "nameless"),
    ):
        with pytest.raises(RawDataError, match=f"convert custom --from {source}"):
            convert(dataset, source=source, raw=tmp_path / raw, out=tmp_path / "s")
        assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("to", OUT)
def test_an_export_of_own_data_is_not_of_another_data_set(own_store, tmp_path, to):
    raw = export(own_store, to=to, out=tmp_path / OUT[to]).path
    with pytest.raises(SkelError, match=r"mine|9 joints|stick_9|part of this data set"):
        convert("ntu60", source=to, raw=raw, out=tmp_path / "s", conventions=[stick(tmp_path)])


# --- arrays of many clips -----------------------------------------------------------------------------------

NUMBERS = [0, 1, 2, 0, 1, 2]
LABELS: dict[str, Any] = {
    "names and labels": (list(IDS), NUMBERS),
    "labels alone": NUMBERS,
    "an array": np.array(NUMBERS),
    "an array of floats": np.array(NUMBERS, np.float32),
    "one-hot rows": np.eye(3)[NUMBERS],
    "a column": np.array(NUMBERS)[:, None],
}


@pytest.mark.parametrize(
    ("data", "label"),
    [
        ("train_data.npy", "train_label"),
        ("all_data.npy", "all_label"),
        ("data.npy", "labels"),
        ("mine_data_joint.npy", "mine_labels"),
        ("X.npy", "y"),
        ("lab_data.npy", "label"),
    ],
)
@pytest.mark.parametrize("suffix", [".pkl", ".npy"])
def test_pairs_of_any_name(tmp_path, data, label, suffix):
    kinds = LABELS if data == "data.npy" else {"an array": LABELS["an array"]}
    for kind, labels in kinds.items():
        if suffix == ".npy" and kind == "names and labels":
            continue
        raw = write_pair(tmp_path / "lab" / kind, labels, data=data, name=f"{label}{suffix}")
        opened = made("crossclr", raw, tmp_path / f"{kind}.zarr", force=True)
        assert store.read(opened, "samples/label").tolist() == NUMBERS
        ids = store.read(opened, "samples/id").tolist()
        assert ids == list(IDS) if kind == "names and labels" else ids[0].endswith("-000001")
        expected = arrays_of().transpose(0, 2, 4, 3, 1)
        for found, poses in zip(sequences(opened).values(), expected, strict=True):
            assert np.array_equal(found.joints, poses)
        halves = {"file": (6, 0)} if data.startswith("train") else {"all": (6, 0)}
        assert {k: (v.train, v.test) for k, v in opened.manifest.protocols.items()} == halves


def test_halves_by_name(tmp_path):
    write_pair(tmp_path, NUMBERS, data="ntu_train_data.npy", name="ntu_train_label.npy")
    write_pair(tmp_path, NUMBERS, data="ntu_test_data.npy", name="ntu_test_label.npy")
    protocol = made("crossclr", tmp_path, tmp_path / "s").manifest.protocols["file"]
    assert (protocol.train, protocol.test) == (6, 6)


X = arrays_of()
NPZ: dict[str, tuple[dict[str, np.ndarray], dict[str, tuple[int, int]]]] = {
    "x and y": ({"x": X, "y": np.array(NUMBERS)}, {"all": (6, 0)}),
    "data and labels": ({"data": X, "labels": np.eye(3)[NUMBERS]}, {"all": (6, 0)}),
    "flat": ({"data": flat(X), "label": np.array(NUMBERS)}, {"all": (6, 0)}),
    "halves": (
        {
            "x_train": X[:4],
            "y_train": np.array(NUMBERS[:4]),
            "x_test": X[4:],
            "y_test": np.array(NUMBERS[4:]),
        },
        {"file": (4, 2)},
    ),
    "halves before": (
        {
            "train_data": X[:4],
            "train_label": np.array(NUMBERS[:4]),
            "val_data": X[4:],
            "val_label": np.eye(3)[[1, 2]],
        },
        {"file": (4, 2)},
    ),
    "as CTR-GCN": (
        {
            "x_train": flat(X[:4]),
            "y_train": np.eye(3)[NUMBERS[:4]],
            "x_test": flat(X[4:]),
            "y_test": np.eye(3)[[1, 2]],
        },
        {"file": (4, 2)},
    ),
}


@pytest.mark.parametrize("source", ["crossclr", "ctrgcn"])
@pytest.mark.parametrize("name", NPZ)
def test_one_npz_of_all_clips(tmp_path, source, name):
    content, halves = NPZ[name]
    np.savez(tmp_path / "mine.npz", **content)
    folders = [tmp_path] if name == "x and y" else []
    for raw in (*folders, tmp_path / "mine.npz"):
        opened = made(source, raw, tmp_path / f"{raw.name}.zarr")
        assert opened.manifest.classes == ("0", "1", "2")
        assert {k: (v.train, v.test) for k, v in opened.manifest.protocols.items()} == halves
        found = sequences(opened)
        order = sorted(found, key=lambda id: (id.startswith(("test", "val")), id))
        assert [found[id].label for id in order] == NUMBERS
        for id, poses in zip(order, X.transpose(0, 2, 4, 3, 1), strict=True):
            assert np.array_equal(found[id].joints, poses)


@pytest.mark.parametrize("axes", ["NCTV", "NTVC"])
def test_one_person_without_an_axis_of_bodies(tmp_path, axes):
    one = X[..., 0]
    np.savez(tmp_path / "a.npz", x=one if axes == "NCTV" else one.transpose(0, 2, 3, 1), y=np.array(NUMBERS))
    opened = made("ctrgcn", tmp_path, tmp_path / "s")
    assert np.array_equal(sequences(opened)["clip-000001"].joints[:, 0], one[0].transpose(1, 2, 0))
    assert opened.manifest.arrays["streams/kinectv2_25/t7/joint"].shape[-1] == 1


@pytest.mark.parametrize("label", [-2, 1.5, np.nan, 2**15])
def test_numbers_that_are_no_label(tmp_path, label):
    y = np.array(NUMBERS, np.float64)
    y[3] = label
    np.savez(tmp_path / "a.npz", x=X, y=y)
    assert made("ctrgcn", tmp_path, tmp_path / "s").manifest.samples == 5
    np.save(write_pair(tmp_path / "c", y, name="train_label.npy") / "train_data.npy", X)
    opened = made("crossclr", tmp_path / "c", tmp_path / "t")
    assert (opened.manifest.samples, opened.manifest.findings) == (5, {"label out of range": 1})


def test_a_row_that_is_not_one_hot(tmp_path):
    y = np.eye(3)[NUMBERS]
    y[2] = [1, 0, 1]
    opened = made("crossclr", write_pair(tmp_path / "c", y, name="train_label.npy"), tmp_path / "s")
    assert (opened.manifest.samples, opened.manifest.findings) == (5, {"label out of range": 1})


def test_a_label_pickle_that_is_an_array(tmp_path):
    raw = write_pair(tmp_path / "xsub", NUMBERS)
    np.save(raw / "x.npy", np.array(NUMBERS))
    (raw / "x.npy").rename(raw / "train_label.pkl")
    with pytest.raises(RawDataError, match=r"this is a numpy array.*, not the label pickle"):
        made("crossclr", raw, tmp_path / "s")


def test_lone_files_of_a_pair(tmp_path):
    raw = write_pair(tmp_path / "a", NUMBERS, data="a_data.npy", name="a_label.npy")
    np.save(raw / "b_label.npy", np.array(NUMBERS))
    with pytest.raises(RawDataError, match=r"b_label\.npy: there are no data beside it"):
        made("crossclr", raw, tmp_path / "s")


def test_a_layout_with_an_axis_of_clips(tmp_path):
    raw = write_pair(tmp_path / "c", NUMBERS)
    settings(raw / "dataset.yaml", layout="N C T V M")
    for source in (None, "crossclr"):
        with pytest.raises(ConfigError, match="convert custom --from crossclr`"):
            convert("custom", source=source, raw=raw, out=tmp_path / "s")


def test_other_pickles_are_named_for_what_they_are(tmp_path):
    write_pickle(tmp_path / "a.pkl", (list(IDS), NUMBERS))
    with pytest.raises(RawDataError, match="but a pair of lists of 6 and 6, as a label file of CrosSCLR is"):
        made("pyskl", tmp_path / "a.pkl", tmp_path / "s")
    write_pyskl(write_pair(tmp_path / "c", NUMBERS) / "train_label.pkl", joints=25)
    with pytest.raises(RawDataError, match=r"but a dict of 2 keys \('split', 'annotations'\)"):
        made("crossclr", tmp_path / "c", tmp_path / "s")


# --- true lengths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train_num_frame.npy", "num_frame.npy"])
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_true_lengths(tmp_path, name, dtype):
    raw = write_pair(tmp_path / "c", (list(IDS), NUMBERS))
    lengths = [7, 6, 5, 4, 3, 1]
    data = arrays_of()
    data[1, :, 4:6] = 0  # frames without a body at the end, which are the clip's
    np.save(raw / "train_data.npy", data)
    np.save(raw / name, np.array(lengths, dtype))
    found = sequences(made("crossclr", raw, tmp_path / "s"))
    assert [each.frames for each in found.values()] == lengths
    assert found["clip1"].present.any(axis=1).tolist() == [True] * 4 + [False] * 2


@pytest.mark.parametrize("lengths", [[7] * 5, [8] * 6, [0] * 6, [1.5] * 6, ["a"] * 6])
def test_lengths_that_do_not_fit(tmp_path, lengths):
    raw = write_pair(tmp_path / "c", (list(IDS), NUMBERS))
    np.save(raw / "train_num_frame.npy", np.array(lengths))
    opened = made("crossclr", raw, tmp_path / "s")
    assert opened.manifest.findings == {"lengths that do not fit": 1}
    assert {found.frames for found in sequences(opened).values()} == {7}


def test_exports_have_lengths(own_store, tmp_path):
    export(own_store, to="crossclr", out=tmp_path / "c")
    for half in ("train", "val"):
        assert np.load(tmp_path / "c" / "xsub" / f"{half}_num_frame.npy").tolist() == [7, 7, 7]


# --- 2D poses -----------------------------------------------------------------------------------------------


def flat_annotations(**changes: Any) -> list[dict[str, Any]]:
    told = annotations(joints=17, size=2)
    for each in told:
        pixels = (each["keypoint"] * 50 + 300).astype(np.float16)
        score = np.full(pixels.shape[:3], 0.9, np.float16)
        each |= {"keypoint": pixels, "keypoint_score": score, "img_shape": (480, 640)} | changes
    return told


def test_2d_pickles(tmp_path):
    told = flat_annotations()
    told[0]["keypoint_score"][0, 1:3, 5] = 0
    opened = made("pyskl", write_pyskl(tmp_path / "a.pkl", told), tmp_path / "s", recipe=None)
    info = opened.manifest.conventions["coco_17"]
    assert (info.coordinates, opened.manifest.recipe.name) == ("xy", "centered")
    found = sequences(opened)["clip0"]
    pixels = told[0]["keypoint"][0].astype(np.float64)
    expected = np.stack([(320 - pixels[..., 0]) / 240, (240 - pixels[..., 1]) / 240], axis=-1)
    expected[1:3, 5] = 0
    assert np.allclose(found.joints[:, 0, :, :2], expected, atol=1e-6)
    assert not found.joints[..., 2].any()
    assert np.argwhere(found.unseen).tolist() == [[1, 0, 5], [2, 0, 5]]
    assert np.array_equal(found.score[0, 0], told[0]["keypoint_score"][0, 0].astype(np.float32))


@pytest.mark.parametrize("key", ["original_shape", "img_shape"])
@pytest.mark.parametrize("shape", [(100, 200), [100, 200], np.array([100, 200])])
def test_the_size_of_the_picture(tmp_path, key, shape):
    told = flat_annotations(**{"img_shape": None, key: shape})
    found = sequences(made("pyskl", write_pyskl(tmp_path / "a.pkl", told), tmp_path / "s"))["clip0"]
    pixels = told[0]["keypoint"][0, :, :, 0].astype(np.float64)
    assert np.allclose(found.joints[:, 0, :, 0], (100 - pixels) / 50, atol=1e-5)


def test_2d_poses_without_a_scale(tmp_path):
    write_pyskl(tmp_path / "a.pkl", flat_annotations(img_shape=None))
    with pytest.raises(SkelError, match="nothing says how large a pixel is"):
        made("pyskl", tmp_path / "a.pkl", tmp_path / "s")
    told = {"convention": "coco_17", "coordinates": "xy"}
    settings(tmp_path / "dataset.yaml", **told, image_size=[640, 480], min_score=0.95, never_seen="keep")
    with pytest.raises(SkelError, match="too low a score"):
        made("pyskl", tmp_path, tmp_path / "s")
    settings(tmp_path / "dataset.yaml", **told, units=0.01)
    assert made("pyskl", tmp_path, tmp_path / "s").manifest.samples == 6


@pytest.mark.parametrize("options", [{}, {"conventions": ["coco_17"]}])
def test_2d_poses_are_not_of_a_data_set_of_3d_poses(tmp_path, options):
    write_pyskl(tmp_path / "a.pkl", flat_annotations())
    with pytest.raises(
        RawDataError, match="2D poses go through `skeltools convert custom --from pyskl`, or lift"
    ):
        convert("ntu60", source="pyskl", raw=tmp_path / "a.pkl", out=tmp_path / "s", **options)


def test_scores_of_another_form_are_findings(tmp_path):
    told = flat_annotations()
    told[2]["keypoint_score"] = np.ones((1, 3, 17), np.float16)
    told[3]["keypoint"] = clip(3, joints=17)
    opened = made("pyskl", write_pyskl(tmp_path / "a.pkl", told), tmp_path / "s")
    assert opened.manifest.samples == 4
    assert opened.manifest.findings == {"keypoint of another form": 1, "keypoint_score of another form": 1}


def test_scores_behind_coordinates(tmp_path):
    data = np.concatenate([arrays_of(joints=17, bodies=1), np.ones((6, 1, 7, 17, 1), np.float32)], axis=1)
    data[0, 3, 2, 4] = 0
    raw = write_pair(tmp_path / "c", NUMBERS)
    np.save(raw / "train_data.npy", data)
    found = sequences(made("crossclr", raw, tmp_path / "s"))["train-000001"]
    assert np.argwhere(found.unseen).tolist() == [[2, 0, 4]]
    np.save(raw / "train_data.npy", data[:, [0, 1, 3]] * 100)  # x, y and score, as of OpenPose
    flat_ones = {"convention": "coco_17", "coordinates": "xys", "image_size": [640, 480]}
    settings(raw / "dataset.yaml", **flat_ones)
    opened = made("crossclr", raw, tmp_path / "t")
    assert opened.manifest.conventions["coco_17"].coordinates == "xy"
    assert np.argwhere(sequences(opened)["train-000001"].unseen).tolist() == [[2, 0, 4]]


NOTES: dict[str, tuple[dict[str, Any], str]] = {
    "dataset": ({"dataset": "a/b"}, "dataset is no name"),
    "classes": ({"classes": ["a", "a"]}, "classes are no list of names"),
    "bodies": ({"bodies": 99}, "bodies is no number"),
    "skeleton": ({"skeleton": {}}, "skeleton: Field required"),
    "text of a skeleton": ({"skeleton": STICK | {"source": "\ud800"}}, "surrogates not allowed"),
    "keys of a skeleton": ({"skeleton": STICK | {"\ud800": 1}}, "surrogates not allowed"),
    "bytes in a skeleton": ({"skeleton": STICK | {"source": b"x"}}, "not JSON serializable"),
}


@pytest.mark.parametrize("name", NOTES)
def test_damaged_notes(tmp_path, name):
    changes, message = NOTES[name]
    note = {"tool": "skeltools 0.1.0", "dataset": "mine", "skeleton": STICK, **changes}
    write_pickle(tmp_path / "a.pkl", {"annotations": annotations(), "split": {}, "note": note})
    with pytest.raises(RawDataError, match=f"its note is damaged .*{message}"):
        made("pyskl", tmp_path / "a.pkl", tmp_path / "s")


def test_notes_of_others_do_not_count(tmp_path):
    content = {"annotations": annotations(joints=25), "split": {}, "note": {"dataset": 7, "classes": "x"}}
    assert made("pyskl", write_pickle(tmp_path / "a.pkl", content), tmp_path / "s").manifest.dataset == "a"


# --- damage -------------------------------------------------------------------------------------------------


def sound(source: str, folder: Path, own_store: Path) -> Path:
    if source == "hdf5":
        return export(own_store, to="hdf5", out=folder / "a.h5").path.parent
    if source == "crossclr":
        write_pair(folder, (list(IDS), NUMBERS))
        np.save(folder / "train_num_frame.npy", np.array([7, 6, 5, 4, 3, 2]))
    if source == "ctrgcn":
        np.savez(folder / "a.npz", x=X[:2], y=np.array([0, 1]))
    if source == "pyskl":
        write_pyskl(folder / "a.pkl", flat_annotations()[:2])
    return folder


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize("source", OUT)
def test_damaged_archives_are_refused_or_sound(own_store, tmp_path, source, exported, monkeypatch):
    monkeypatch.setattr(fuzzing.skeletons, "load", _load(skeletons.load))
    (tmp_path / "sound").mkdir()
    if exported:
        export(own_store, to=source, out=tmp_path / "sound" / OUT[source])
    else:
        sound(source, tmp_path / "sound", own_store)
    files = {
        p.relative_to(tmp_path / "sound"): p.read_bytes()
        for p in (tmp_path / "sound").rglob("*")
        if p.is_file()
    }
    outcomes = set()
    for case in range(60):
        rng = np.random.default_rng([case, len(source)])
        chosen = list(files)[rng.integers(len(files))]
        raw = tmp_path / str(case)
        for path, data in files.items():
            (raw / path).parent.mkdir(parents=True, exist_ok=True)
            (raw / path).write_bytes(fuzzing.mutate(data, rng) if path == chosen else data)
        outcomes.add(outcome(source, raw / OUT["crossclr"] if exported and source == "crossclr" else raw))
    assert outcomes == {"accepted", "refused"}


def _load(load: Any) -> Any:
    from schemas import SkeletonSpec

    return lambda name: SkeletonSpec.model_validate(STICK) if name == "stick_9" else load(name)


def outcome(source: str, raw: Path) -> str:
    try:
        opened = own.open_archive(source, raw, asked={})
    except SkelError:
        return "refused"
    accepted = 0
    for item in opened.listing.items[:3]:
        try:
            found = READERS[source].read(pickle.loads(pickle.dumps(item)))
        except SkelError:
            continue
        assert found.joints.shape[2] == opened.asked[item.convention].num_joints
        assert np.isfinite(found.joints).all()
        assert found.present.any()
        assert np.array_equal(found.order >= 0, found.present)
        assert found.unseen is None or not found.joints[found.unseen].any()
        accepted += 1
    return "accepted" if accepted else "refused"


def test_every_format_tells_about_itself():
    assert all(callable(module.about) for module in FORMATS.values())
