"""Drawings made from the encoder: maps of features, activations, neighbours; and what stays without them."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from schemas import EvaluationResult
from tests.trainer.features import names
from tests.trainer.reports import result
from tests.trainer.runs import tiny_config
from tests.trainer.stores import CLASSES, FEW, write_store
from trainer import checkpoint, loop
from trainer.checkpoint import LAST
from trainer.evaluate import linear
from trainer.report import draw, page
from trainer.report.activation import activation, class_activation, classifier_of, energy
from trainer.report.build import build
from trainer.report.collect import read_runs
from trainer.report.embedding import choose, nmi, project
from trainer.report.encoded import Encoded, encode, in_seeded_order
from trainer.report.parts import Figure, Note, Page
from trainer.report.retrieval import find, retrieval
from trainer.report.skeletons import draw_strip
from trainer.report.tracks import track, upright

CPU = torch.device("cpu")
SETTINGS = {"epochs": 30, "lr": 0.5, "standardise": True}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr", samples=60, streams=("joint", "bone"))


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    loop.pretrain(tiny_config(store, data__stream="bone", runtime__knn_every=1), out=out)
    write_result(out, result(settings=SETTINGS, stream="bone", encoder="bone"))
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "one"))


@pytest.fixture(scope="module")
def encoded(trained: Path) -> Encoded:
    return of(trained)


def write_result(run: Path, of: EvaluationResult) -> None:
    (run / "results").mkdir(exist_ok=True)
    measured = of.model_copy(update={"checkpoint_hash": checkpoint.file_hash(run / LAST)})
    (run / "results" / "linear-few_6.json").write_text(measured.model_dump_json())


def of(run: Path, **options: Any) -> Encoded:
    found = encode(read_runs([run], **options)[0])
    assert isinstance(found, Encoded), found
    return found


def parts(of: Page, name: str) -> list[Any]:
    return [part for section in of.sections if section.name == name for part in section.parts]


def test_a_report_of_a_trained_run_has_every_drawing(trained: Path) -> None:
    built = build([trained], device="cpu")
    kinds = {figure.name.split("-one")[0] for figure in built.figures}
    assert kinds == {
        "knn-over-epochs", "loss", "similarity", "state", "confusion", "embedding", "activation", "retrieval",
    }  # fmt: skip
    text = page.html(built)
    assert len(text.encode()) < page.LIMIT / 4
    assert text == page.html(build([trained], device="cpu"))


def test_a_map_is_of_ten_seeded_classes(encoded: Encoded) -> None:
    chosen = choose(encoded.test, classes=encoded.classes)
    assert sorted(set(chosen.labels.tolist())) == [0, 1, 2]
    assert (encoded.test.labels[list(chosen.rows)].numpy() == chosen.labels).all()
    assert len(set(chosen.rows)) == len(chosen.rows) == len(encoded.test)
    (figure,) = parts(build([encoded.run.path], device="cpu"), "embedding")
    score = nmi(_unit(encoded, chosen.rows), chosen.labels)
    assert f"NMI {score:.3f} (random encoder " in figure.alt
    assert f"NMI {score:.3f}" in figure.svg
    for number, name in enumerate((CLASSES[label] for label in sorted(set(chosen.labels))), start=1):
        assert f">{number} {name}<" in figure.svg


def _unit(encoded: Encoded, rows: tuple[int, ...]) -> np.ndarray[Any, Any]:
    values = encoded.test_features.values[list(rows)].double().numpy()
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_seeded_order_depends_on_ids_alone() -> None:
    ids = [f"S{number:03}" for number in range(30)]
    order = [ids[place] for place in in_seeded_order(ids, "samples")]
    assert order != ids
    some = [name for number, name in enumerate(ids) if number % 3]
    assert [some[place] for place in in_seeded_order(some, "samples")] == [n for n in order if n in some]
    assert [ids[place] for place in in_seeded_order(ids, "queries")] != order


def test_projection_and_nmi_find_clusters_and_repeat() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 15)
    values = np.eye(3)[labels] * 8 + 0.1 * rng.standard_normal((45, 3))
    assert nmi(values, labels) == pytest.approx(1.0)
    assert nmi(rng.standard_normal((45, 3)), labels) < 0.5
    assert nmi(values, np.tile(np.arange(3), 15)) == pytest.approx(
        normalized_mutual_info_score(np.tile(np.arange(3), 15), labels)
    )
    points = project(values)
    assert points.shape == (45, 2)
    assert np.array_equal(points, project(values))
    centres = np.stack([points[labels == label].mean(axis=0) for label in range(3)])
    nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.95


def test_the_classifier_is_that_of_the_evaluation(encoded: Encoded) -> None:
    weights, bias = classifier_of(encoded, SETTINGS)
    (expected,) = linear.evaluate(
        encoded.train_features,
        encoded.test_features,
        classes=names(3),
        seed=encoded.run.config.runtime.seed,
        options=linear.Options(**SETTINGS),
    )
    assert torch.allclose(encoded.test_features.values @ weights.T + bias, expected.values, atol=1e-3)


def test_the_mean_activation_is_the_logit_without_its_bias(encoded: Encoded) -> None:
    weights, bias = classifier_of(encoded, SETTINGS)
    clip = encoded.test.clips["few_6"][:1]
    with torch.no_grad():
        feature_map = encoded.encoder.feature_map(clip, "few_6")
        logit = encoded.encoder(clip, "few_6")[0] @ weights[1] + bias[1]
    found = class_activation(feature_map, weights[1])
    slow = sum(weights[1, channel] * feature_map[:, channel] for channel in range(feature_map.shape[1]))
    assert torch.allclose(found, slow, atol=1e-5)
    assert encoded.encoder.options.bodies == "average"
    assert float(found.mean() + bias[1]) == pytest.approx(float(logit), abs=1e-4)


def test_without_a_linear_evaluation_the_energy_is_drawn(run: Path) -> None:
    shutil.rmtree(run / "results")
    *figures, note = activation(of(run))
    assert [type(figure) for figure in figures] == [Figure] * 3
    assert isinstance(note, Note)
    assert not any(mark in figure.svg for figure in figures for mark in "✓✗")
    assert "the energy of the map is drawn" in note.text
    assert note.command == f"trainer evaluate {run} --protocol linear"
    values = torch.arange(24.0).view(1, 2, 3, 4)
    assert torch.allclose(energy(values)[0, 1, 2], (values[0, :, 1, 2] ** 2).mean().sqrt())


def test_an_evaluation_of_another_checkpoint_is_not_taken(run: Path) -> None:
    write_result(run, result(settings=SETTINGS))
    path = run / "results" / "linear-few_6.json"
    stale = EvaluationResult.model_validate_json(path.read_text())
    path.write_text(stale.model_copy(update={"checkpoint_hash": "0" * 64}).model_dump_json())
    assert any(isinstance(part, Note) for part in activation(of(run)))
    said = [note.text for note in build([run], device="cpu", encoders=False).notes]
    assert any("earlier checkpoint than the run's last: linear-few_6.json" in text for text in said)


def test_an_activation_tells_whether_the_clip_was_recognised(encoded: Encoded) -> None:
    figures = [figure for figure in activation(encoded) if isinstance(figure, Figure)]
    assert len(figures) == 3
    for figure in figures:
        assert sum(mark in figure.svg for mark in ("✓ recognised", "✗ taken for")) == 1
        assert sum(joint in figure.alt for joint in FEW.joints) == 3
        assert {"nothing", "highest of the clip"} <= {*texts(figure)}, "what the shades mean"
    assert sorted(figure.title.split(":")[0] for figure in figures) == sorted(CLASSES)


def texts(figure: Figure) -> list[str]:
    """The words of a drawing."""
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", figure.svg)]


def test_the_drawings_have_the_numbers_of_their_frames(encoded: Encoded) -> None:
    figures = [part for part in [*activation(encoded), *retrieval(encoded)] if isinstance(part, Figure)]
    frames = encoded.test.clips["few_6"].shape[2]
    for figure in figures:
        numbers = [int(text) for text in texts(figure) if text.isdigit()]
        assert len(numbers) >= 2
        assert set(numbers) <= set(range(1, frames + 1))


def test_the_scenes_are_the_clips_that_are_drawn(encoded: Encoded) -> None:
    """Positions of the player's JSON, turned back, are the store's joints; shades are the activation."""
    figure = next(part for part in retrieval(encoded) if isinstance(part, Figure))
    (scene,) = json.loads(figure.scenes)
    example = find(encoded)[0][0]
    assert len(scene["tracks"]) == 1 + len(example.nearest)
    poses = encoded.poses("test", [example.query])
    turn = upright(encoded.spec, encoded.poses("test", [each.query for each in find(encoded)[0]]).numpy())
    track = scene["tracks"][0]
    shape = (track["frames"], track["bodies"], len(track["joints"]), 3)
    numbers = np.frombuffer(base64.b64decode(track["positions"]), "<i2").reshape(shape)
    seen = np.frombuffer(base64.b64decode(track["seen"]), np.uint8).reshape(shape[:3]).astype(bool)
    joints = (numbers * track["scale"] + track["origin"]) @ turn
    expected = poses[0].permute(1, 3, 2, 0).numpy()[:, : shape[1]]
    assert seen.any()
    assert np.allclose(joints[seen], expected[seen], atol=1e-3)
    active = next(part for part in activation(encoded) if isinstance(part, Figure))
    (scene,) = json.loads(active.scenes)
    shade = np.frombuffer(base64.b64decode(scene["tracks"][0]["shade"]), np.uint8)
    assert shade.max() == 255
    assert len(np.unique(shade)) > 5


@pytest.mark.parametrize("bodies", [0, 1, 3])
def test_people_are_tall_however_many_share_a_drawing(bodies: int) -> None:
    """Fewer frames are shown rather than smaller people; nobody at all is an empty drawing."""
    rest = np.zeros((3, 12, 6, 3), np.float32)
    for body in range(bodies):
        rest[0, ..., body] = np.array([0, 0, -0.3, 0.3, 0.1, -0.1]) + 1.5 * body
        rest[1, ..., body] = [0.9, 1.6, 0.8, 0.8, 0.05, 0.05]
    people = track("", rest, FEW, np.eye(3, dtype=np.float32))
    shown = []

    def paint(canvas: Any) -> None:
        axes = canvas.subplots()
        draw_strip(axes, people, size=(4, 1.25))
        shown.append((len(axes.texts), np.ptp(axes.get_ylim()), np.ptp(axes.get_xlim())))

    draw.figure("people", (4, 1.25), paint, title="", alt="", caption="")
    ((frames, high, wide),) = shown
    assert frames == {0: 4, 1: 4, 3: 1}[bodies]
    assert wide / high == pytest.approx(4 / 1.25, rel=0.02)
    assert 1.55 / high * 1.25 > {0: 0.5, 1: 0.9, 3: 0.9}[bodies], "inches of a person"


def test_neighbours_are_the_nearest_by_cosine(encoded: Encoded) -> None:
    examples, right, tried = find(encoded)
    train, test = (
        features.values / features.values.norm(dim=1, keepdim=True)
        for features in (encoded.train_features, encoded.test_features)
    )
    assert tried == len(encoded.test)
    nearest = (test @ train.T).argmax(dim=1)
    assert right == int((encoded.train.labels[nearest] == encoded.test.labels).sum())
    assert 1 <= len(examples) <= 4
    for example in examples:
        order = sorted(range(len(train)), key=lambda row, q=example.query: -float(train[row] @ test[q]))
        assert [float(train[row] @ test[example.query]) for row in example.nearest] == pytest.approx(
            [float(train[row] @ test[example.query]) for row in order[:4]]
        )
        same = encoded.train.labels[list(example.nearest)] == encoded.test.labels[example.query]
        assert example.right == tuple(same.tolist())


def test_wrong_neighbours_are_shown_when_there_are_any(encoded: Encoded) -> None:
    shuffled = encoded.train.labels.roll(1)
    samples = type(encoded.train)(encoded.train.clips, shuffled, encoded.train.ids, encoded.train.rows)
    mixed = Encoded(**{**vars(encoded), "train": samples})
    examples, right, tried = find(mixed)
    wrong = [example for example in examples if not example.right[0]]
    assert len(wrong) >= min(2, tried - right)


def test_poses_are_joints_whatever_the_stream(encoded: Encoded, store: Path) -> None:
    assert encoded.stream == "bone"
    poses = encoded.poses("test", [2, 0])
    bones = encoded.test.clips["few_6"][[2, 0]]
    assert torch.allclose(poses - poses[..., list(FEW.parents), :], bones, atol=1e-5)


def test_people_stand_whatever_the_recipe() -> None:
    rest = {"pelvis": (0, 0), "neck": (0, 1), "left_hand": (0.5, 0.9), "right_hand": (-0.5, 0.9)}
    rest |= {"left_foot": (0.2, -1), "right_foot": (-0.2, -1)}
    flat = np.array([rest[name] for name in FEW.joints], np.float32)
    for across, up in ((0, 1), (0, 2), (1, 2)):
        pose = np.full((3, len(flat)), 0.01, np.float32)
        pose[across], pose[up] = -flat[:, 0], flat[:, 1]
        poses = np.zeros((1, 3, 4, len(flat), 2), np.float32)
        poses[0, :, :, :, 0] = pose[:, None]
        turn = upright(FEW, poses)
        turned = track("", poses[0], FEW, turn).joints
        assert turned.shape == (4, 1, len(flat), 3), "bodies that never come are left out"
        assert np.allclose(turned[0, 0, :, :2] * [-1, 1], flat)
        assert np.linalg.det(turn) == pytest.approx(1)
    assert np.array_equal(upright(FEW, np.zeros((1, 3, 4, 6, 2), np.float32)), np.eye(3))
    hand = FEW.model_copy(update={"shoulders": None, "body_parts": None})
    assert np.array_equal(upright(hand, poses), np.eye(3)), "nothing says where up is"


@pytest.mark.parametrize("gone", ["store", "checkpoint", "stream"])
def test_what_is_gone_is_named_and_the_rest_stays(gone: str, run: Path, store: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(store, tmp_path / "moved.zarr"))
    if gone == "store":
        shutil.rmtree(moved)
    elif gone == "checkpoint":
        (run / LAST).write_bytes(b"rubbish")
    else:
        shutil.rmtree(moved / "streams" / "few_6" / "t12" / "bone")
    built = build([run], store=moved, device="cpu")
    said = " ".join(f"{note.text} {note.command}" for note in built.notes)
    expected = {
        "store": r"moved.zarr: no such store",
        "checkpoint": "last.pt: this is not a checkpoint",
        "stream": "streams/few_6/t12/bone: zarr.json is not there",
    }
    assert expected[gone] in said
    for name in ("embedding", "activation", "retrieval"):
        (part,) = parts(built, name)
        assert isinstance(part, Note)
    assert [figure.name for figure in built.figures if figure.name.startswith("loss")]
    assert page.html(built)


def test_another_store_is_not_taken_for_the_runs_own(run: Path, tmp_path: Path) -> None:
    other = write_store(tmp_path / "other.zarr", samples=33)
    said = [note.text for note in build([run], store=other, device="cpu").notes]
    assert any("the run was trained on store" in text for text in said)


def test_an_encoder_without_a_map_says_so(store: Path, tmp_path: Path) -> None:
    config = tiny_config(
        store, encoder__name="bigru", encoder__options={"units": 4, "layers": 1}, optimise__epochs=1
    )
    loop.pretrain(config, out=tmp_path / "gru")
    built = build([tmp_path / "gru"], device="cpu")
    (note,) = parts(built, "activation")
    assert "the map of encoder bigru has no frames and joints" in note.text
    assert isinstance(parts(built, "retrieval")[1], Figure)
