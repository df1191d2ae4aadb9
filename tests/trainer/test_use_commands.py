"""``trainer embed`` and ``trainer predict``: stores and raw files in, features and classes out."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import skeltools
import trainer
from schemas import SkelError
from tests.trainer.command import call
from tests.trainer.own import CLASSES, FRAMES, own_store, raw_clips
from tests.trainer.runs import tiny_config
from trainer import loop
from trainer.evaluate.features import Split, extract
from trainer.export import export_run
from trainer.run import RESULTS, open_run

COUNT = 90


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_store(tmp_path_factory.mktemp("own") / "own.zarr", count=COUNT)


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    loop.pretrain(tiny_config(store, data__frames=FRAMES), out=out)
    open_run(out, device="cpu").evaluate("linear", options={"linear": {"epochs": 20, "standardise": True}})
    return out


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw clips as .npy files."""
    folder = tmp_path_factory.mktemp("files")
    for id, clip in list(raw_clips(COUNT).items())[:6]:
        np.save(folder / f"{id}.npy", clip)
    return folder


def embed(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> dict[str, Any]:
    code, _, error = call(capsys, "embed", *arguments, "--out", out)
    assert code == 0, error
    with np.load(out, allow_pickle=False) as archive:
        return dict(archive)


def test_features_of_a_half_are_those_of_the_evaluation(
    run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_run(run, device="cpu")
    half = Split(opened.store, "xsub", opened.data).half("test", "coco_17", "joint")
    expected = extract(opened.encoder(), half, convention="coco_17", device=torch.device("cpu"))
    found = embed(capsys, tmp_path / "f.npz", run, store, "--part", "test")
    assert tuple(found["ids"]) == expected.ids
    assert np.abs(found["features"] - expected.values.numpy()).max() < 1e-6
    assert found["labels"].tolist() == expected.labels.tolist()
    assert tuple(found["classes"]) == CLASSES
    everything = embed(capsys, tmp_path / "all.npz", run, store)
    assert len(everything["ids"]) == COUNT
    assert not list(tmp_path.glob(".*")), "nothing is left beside the file"


def test_the_command_python_onnx_and_the_evaluation_give_the_same_features(
    run: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    export_run(run, tmp_path / "out", onnx=True)
    opened = open_run(run, device="cpu")
    half = Split(opened.store, "xsub", opened.data).half("test", "coco_17", "joint")
    expected = extract(
        opened.encoder(), half, convention="coco_17", device=torch.device("cpu")
    ).values.numpy()
    by_command = embed(capsys, tmp_path / "f.npz", tmp_path / "out", store, "--part", "test")["features"]
    raw = raw_clips(COUNT)
    clips = [raw[id] for id in half.ids]
    model = trainer.load(tmp_path / "out")
    by_python = model.embed(clips)
    one_by_one = np.concatenate([model.embed(clip) for clip in clips])
    session = runtime.InferenceSession(tmp_path / "out" / "encoder-coco_17.onnx")
    (by_onnx,) = session.run(["features"], {"clips": model.preprocess(clips)})
    for found in (by_command, by_python, one_by_one, by_onnx):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-6


def test_files_an_export_and_a_store_of_another_recipe_give_the_same(
    run: Path, store: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_run(run, tmp_path / "out")
    of_store = embed(capsys, tmp_path / "s.npz", run, store)
    of_files = embed(capsys, tmp_path / "f.npz", tmp_path / "out", *sorted(files.iterdir()))
    assert of_files["ids"].tolist() == of_store["ids"][:6].tolist()
    assert np.abs(of_files["features"] - of_store["features"][:6]).max() < 1e-6
    assert of_files["labels"].tolist() == [-1] * 6
    other = tmp_path / "other.zarr"
    skeltools.write(raw_clips(9), other, convention="coco_17", recipe="raw", frames=[20])
    of_other = embed(capsys, tmp_path / "o.npz", run, other)
    assert np.abs(of_other["features"] - of_store["features"][:9]).max() < 1e-6


def test_every_encoder_of_a_method_has_features(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "three"
    loop.pretrain(tiny_config(store, method="crosclr", data__frames=FRAMES, optimise__epochs=1), out=run)
    found = embed(capsys, tmp_path / "f.npz", run, store)
    assert sorted(found) == sorted(
        ["ids", "labels", "classes", *(f"features_{name}" for name in ("joint", "motion", "bone"))]
    )
    single = embed(capsys, tmp_path / "b.npz", run, store, "--encoder", "bone")
    assert np.array_equal(single["features"], found["features_bone"])
    open_run(run, device="cpu").evaluate("linear", options={"linear": {"epochs": 5}})
    code, out, error = call(capsys, "predict", run, store, "--part", "test", "--json")
    assert code == 0, error
    with np.load(run / RESULTS / "linear-coco_17-joint+motion+bone.npz") as fused:
        expected = fused["scores"].argmax(1)
    said = [CLASSES.index(each["class"]) for each in json.loads(out)]
    assert np.mean(np.array(said) == expected) > 0.9, "but for temperatures the fusion of the evaluation"
    code, _, error = call(capsys, "predict", run, store, "--unknown", "energy")
    assert code == 2
    assert "told by one encoder in one convention. Choose one, as --encoder joint" in error


def test_a_line_or_json_for_each_clip(
    run: Path, store: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = call(capsys, "predict", run, store, "--part", "test")
    assert code == 0, error
    scores = np.load(run / RESULTS / "linear-coco_17.npz")
    lines = [line.split("\t") for line in out.splitlines()]
    assert [line[0] for line in lines] == scores["ids"].tolist()
    assert [line[1] for line in lines] == [CLASSES[label] for label in scores["scores"].argmax(1)]
    right = int((scores["scores"].argmax(1) == scores["labels"]).sum())
    assert f"{right} of the 30 clips whose class is known" in error
    code, out, error = call(capsys, "predict", run, files / "c000.npy", "--json", "--top", 2)
    assert code == 0, error
    (record,) = json.loads(out)
    assert (record["id"], record["label"], record["calibrated"], record["known"]) == (
        "c000",
        None,
        True,
        True,
    )
    assert len(record["top"]) == 2
    assert record["top"][0] == {"class": record["class"], "probability": record["probability"]}


def test_a_settings_file_describes_what_it_is_given(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in files.iterdir():
        np.save(folder / f"{file.stem}_wave.npy", np.load(file)[:, 0] * 1000)
    described = {
        "name": "mine", "convention": "coco_17", "files": "*.npy", "layout": "T V C", "units": "mm",
        "axes": {"x": "left", "y": "up", "z": "forward"}, "pattern": r".*_(?P<label>\w+)",
    }  # fmt: skip
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described))
    plain = embed(capsys, tmp_path / "p.npz", run, *sorted(files.iterdir()))
    for number, given in enumerate([[folder], [folder / "dataset.yaml"]]):
        found = embed(capsys, tmp_path / f"{number}.npz", run, *given)
        assert np.abs(found["features"] - plain["features"]).max() < 1e-4
        assert found["classes"][found["labels"]].tolist() == ["wave"] * 6
    one = embed(capsys, tmp_path / "one.npz", run, folder / "c001_wave.npy")
    assert one["ids"].tolist() == ["c001_wave"]
    assert np.abs(one["features"] - plain["features"][1]).max() < 1e-4
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(folder / "c002_wave.npy", elsewhere / "new_wave.npy")
    for given in (elsewhere / "new_wave.npy", elsewhere):
        new = embed(capsys, tmp_path / "new.npz", run, given, "--settings", folder / "dataset.yaml")
        assert new["ids"].tolist() == ["new_wave"]
        assert np.abs(new["features"] - plain["features"][2]).max() < 1e-4


def test_a_bad_file_is_told_and_the_others_are_answered(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "nobody.npy", np.full((9, 17, 3), np.nan))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    bad = sorted(tmp_path.glob("*.npy"))
    code, out, error = call(capsys, "predict", run, *bad, files / "c003.npy")
    assert code == 0, error
    assert [line.split("\t")[0] for line in out.splitlines()] == ["c003"]
    assert error.count("left out: ") == 3
    assert "leaves nothing of the clip" in error
    code, _, error = call(capsys, "predict", run, *bad)
    assert code == 1
    assert "no clip could be read" in error


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gone.npy"], 2, "no such file or folder"),
        (["{empty}"], 1, "no clip could be read|neither a store nor a raw file"),
        (["{empty}/notes.txt"], 1, "neither a store nor a raw file|no clip could be read"),
        (["{store}", "--convention", "h36m"], 2, "the encoder knows coco_17, not 'h36m'"),
        (["{store}", "--classifier", "finetune"], 1, "no result of finetune"),
        (["{store}", "--encoder", "bone"], 2, "unknown encoder of skeletonclr 'bone'"),
        (["{store}", "--split", "xview"], 1, "no split 'xview'"),
        (["{wrong}"], 2, "24 joints, but coco_17 has 17"),
        (["{few}"], 1, "the encoder knows coco_17, the store has few_6.*skeltools map"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    run: Path,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    import re

    from tests.trainer.stores import write_store

    (tmp_path / "empty").mkdir()
    if "notes" in arguments[0]:
        (tmp_path / "empty" / "notes.txt").write_text("hello")
    np.save(tmp_path / "wrong.npy", np.ones((9, 24, 3)))
    if "{few}" in arguments:
        write_store(tmp_path / "few.zarr")
    places = {"store": store, "empty": tmp_path / "empty", "wrong": tmp_path / "wrong.npy"}
    given = [each.format(few=tmp_path / "few.zarr", **places) for each in arguments]
    found, out, error = call(capsys, "predict", run, *given)
    assert (found, out) == (code, ""), error
    assert re.search(message, error), error
    assert "Traceback" not in error


def read_parquet(path: Path) -> dict[str, Any]:
    """As the arrays of an ``.npz``."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    table = parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"skeltools"])
    rows = table.to_pydict()
    classes = about.pop("classes")
    assert rows["class"] == [None if label is None else classes[label] for label in rows["label"]]
    features = {name: np.array(rows[name], np.float32) for name in rows if name.startswith("features")}
    assert str(table.schema.field(next(iter(features))).type).startswith("fixed_size_list<element: float")
    labels = np.array([-1 if label is None else label for label in rows["label"]])
    return {"ids": np.array(rows["id"]), "labels": labels, "classes": np.array(classes), **features} | {
        "about": about
    }


def read_zarr(path: Path) -> dict[str, Any]:
    import zarr

    group = zarr.open_group(str(path), mode="r")
    return {name: np.asarray(group[name][:]) for name in group} | {"about": group.attrs.asdict()}


@pytest.mark.parametrize("suffix", ["zarr", "parquet"])
def test_every_format_has_equal_numbers(
    run: Path,
    store: Path,
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    expected = embed(capsys, tmp_path / "f.npz", run, store, files / "c003.npy")
    out = tmp_path / f"f.{suffix}"
    for _ in range(2):  # the second time it is replaced
        code, _, error = call(capsys, "embed", run, store, files / "c003.npy", "--out", out)
        assert code == 0, error
    found = (read_zarr if suffix == "zarr" else read_parquet)(out)
    about = found.pop("about")
    assert sorted(found) == sorted(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert found["features"].dtype == np.float32
    assert found["labels"][-1] == -1
    assert (about["kind"], about["conventions"], about["fused"]) == ("skeltools features", ["coco_17"], False)
    assert about["checkpoint"] == open_run(run, device="cpu").checkpoint_hash
    assert not list(tmp_path.glob(".*")), "nothing is left beside the file"


def test_streams_and_conventions_side_by_side_or_fused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.trainer.stores import write_store

    store = write_store(
        tmp_path / "two.zarr",
        conventions=("few_6", "many_8"),
        streams=("joint", "bone", "motion"),
        missing={"many_8": (4, 8)},
    )
    run = tmp_path / "run"
    changes = {"method__options__base__name": "crosclr", "optimise__epochs": 1}
    loop.pretrain(tiny_config(store, method="ms-clr", **changes), out=run)
    apart = embed(capsys, tmp_path / "f.npz", run, store, "--convention", "all")
    names = [f"{stream}_{name}" for name in ("few_6", "many_8") for stream in ("joint", "motion", "bone")]
    assert sorted(apart) == sorted(["ids", "labels", "classes", *(f"features_{name}" for name in names)])
    assert len(apart["ids"]) == 28, "the clips that both conventions have"
    one = embed(capsys, tmp_path / "o.npz", run, store, "--convention", "many_8")
    assert np.array_equal(one["features_bone"], apart["features_bone_many_8"])
    assert np.array_equal(one["ids"], apart["ids"])
    fused = embed(capsys, tmp_path / "u.npz", run, store, "--convention", "all", "--fused")
    parts = [apart[f"features_{name}"] for name in names]
    units = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    assert np.abs(fused["features"] - np.concatenate(units, axis=1)).max() < 1e-6
    np.save(tmp_path / "clip.npy", np.zeros((20, 8, 3)))
    code, _, error = call(
        capsys, "embed", run, store, tmp_path / "clip.npy", "--convention", "all", "--out", tmp_path / "x.npz"
    )
    assert code == 2
    assert "clip.npy: is not in the same conventions as" in error


def test_what_cannot_be_written_is_said_first(
    run: Path,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, error = call(capsys, "embed", run, store, "--out", tmp_path / "f.csv")
    assert code == 2
    assert "is no .npz, .parquet, .zarr. Name a file such as features.npz" in error
    for other in (store, tmp_path):
        shutil.copytree(store, tmp_path / "s.zarr") if other is store else (tmp_path / "f.npz").mkdir()
        name = "s.zarr" if other is store else "f.npz"
        code, _, error = call(capsys, "embed", run, store, "--out", tmp_path / name)
        assert code == 2
        assert "is a folder of something else. Name another" in error
    skeltools.open(tmp_path / "s.zarr")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, error = call(capsys, "embed", run, store, "--out", tmp_path / "f.parquet")
    assert code == 2
    assert "pyarrow, which is not installed. pip install 'skeltools[parquet]'" in error
    with pytest.raises(SkelError):
        trainer.load(tmp_path / "nothing")


@pytest.mark.parametrize(("folder", "words"), [("nope", "no such folder"), (".", "neither a run")])
def test_what_is_neither_run_nor_export_is_told(
    folder: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = call(capsys, "embed", tmp_path / folder, tmp_path, "--out", tmp_path / "f.npz")
    assert code == 1
    assert words in error
    assert "`trainer pretrain` or `trainer export`" in error
