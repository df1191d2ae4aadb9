"""A user's convention that is no whole body, through both command lines: one hand of 21 joints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr

from skeltools import skeletons
from skeltools.cli import run as skeltools
from trainer import store as trained
from trainer.cli import main as trainer

HAND = Path(__file__).parents[1] / "examples" / "my_hand.yaml"
PLAIN = '[{"name": "shear"}, {"name": "temporal_crop"}]'
TINY = [
    "--epochs", "1", "--set", "optimise.batch_size=4", "--set", "method.options.queue=8",
    "--set", "data.frames=16",
    "--set", "encoder.options.channels=[4,8]", "--set", "encoder.options.stride_blocks=[1]",
    "--set", "runtime.knn_every=0",
]  # fmt: skip


def clip(action: str, person: int) -> np.ndarray:
    """[T, V, C] metres: fingers that close (``fist``) or spread (``open``), before the sensor."""
    rng = np.random.default_rng(person)
    joints = np.zeros((24, 21, 3))
    for finger in range(5):
        for k in range(4):
            reach = 0.05 + 0.02 * k * (
                np.linspace(1, 0.2, 24) if action == "fist" else np.linspace(0.2, 1, 24)
            )
            angle = 0.35 * (finger - 2)
            joints[:, 1 + 4 * finger + k, 0] = reach * np.sin(angle)
            joints[:, 1 + 4 * finger + k, 1] = -reach * np.cos(angle)
    joints += rng.normal(0, 0.001, joints.shape) + np.array([0.1 * person, 0, 0.6])
    return joints.astype(np.float32)


def raw(folder: Path, convention: str) -> Path:
    folder.mkdir()
    settings = {
        "name": "hands",
        "convention": convention,
        "layout": "T V C",
        "units": "m",
        "pattern": r"(?P<label>[a-z]+)_p(?P<subject>\d+)",
        "splits": {"xsub": {"train": {"subject": [1, 2, 3]}}},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(settings))
    for action in ("fist", "open"):
        for person in (1, 2, 3, 4):
            np.save(folder / f"{action}_p{person}.npy", clip(action, person))
    return folder


def convert(folder: Path, out: Path, *more: str) -> int:
    return skeltools(["convert", "custom", "--raw", str(folder), "--out", str(out), "--frames", "16", *more])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hand")
    out = folder / "hands.zarr"
    assert convert(raw(folder / "raw", str(HAND)), out, "--recipe", "centered") == 0
    return out


def test_the_default_recipe_says_what_the_hand_lacks_before_a_clip_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = raw(tmp_path / "raw", str(HAND))
    for path in folder.glob("*.npy"):
        path.write_bytes(b"no array at all")
    assert convert(folder, tmp_path / "hands.zarr") == 2
    error = capsys.readouterr().err
    assert error == (
        "error: step turn_upright of recipe default needs shoulders (a left and a right joint) and body "
        "parts, which convention hand_21 does not have. Choose --recipe centered or raw, or your own file "
        "without such steps, or add what is missing to the convention's file\n"
    )
    assert not list(tmp_path.glob("hands*"))


@pytest.mark.parametrize("recipe", ["raw", "centered"])
@pytest.mark.parametrize("convention", [str(HAND), "mediapipe_hand_21"])
def test_a_hand_converts_with_recipes_that_turn_nobody(recipe: str, convention: str, tmp_path: Path) -> None:
    folder, out = raw(tmp_path / "raw", convention), tmp_path / "hands.zarr"
    assert convert(folder, out, "--recipe", recipe) == 0
    assert skeltools(["validate", str(out)]) == 0
    assert skeltools(["streams", str(out), "--bone", "--motion"]) == 0
    name = skeletons.load(convention).name
    group = zarr.open_group(str(out), mode="r")
    attributes = dict(group[f"skeletons/{name}"].attrs)
    assert not attributes.keys() & {"shoulders", "left_right_swap", "body_parts", "synonyms"}
    joint, bone = (np.asarray(group[f"streams/{name}/t16/{kind}"]) for kind in ("joint", "bone"))
    parent = list(skeletons.load(convention).parents)
    np.testing.assert_allclose(bone, joint - joint[:, :, :, parent], atol=1e-6)
    assert not bone[:, :, :, attributes["center"]].any()
    if recipe == "centered":
        assert np.abs(joint[:, :, 0, attributes["center"], 0]).max() < 0.005, "resized from 24 frames"


def test_a_centre_that_is_not_the_root_is_the_root_of_the_store(store: Path) -> None:
    written = yaml.safe_load(HAND.read_text())
    assert written["center"] == 9
    assert 0 not in [child for child, _ in written["edges"]], "the file's own root is the wrist"
    (skeleton,) = trained.skeletons(trained.open_store(store), ["hand_21"]).values()
    assert skeleton.spec.parents[9] == 9
    assert skeleton.spec.parents[0] == 9
    assert skeleton.adjacency[1, 9, 0] > 0, "centripetal: from the centre to the wrist"


def test_another_recipe_for_the_store_is_refused_in_time(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (store / "zarr.json").read_bytes()
    assert skeltools(["streams", str(store), "--recipe", "default", "--force"]) == 2
    assert "step turn_upright of recipe default needs shoulders" in capsys.readouterr().err
    assert (store / "zarr.json").read_bytes() == before


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        trainer([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def pretrain(store: Path, method: str, *more: object) -> list[object]:
    return ["pretrain", "--store", store, "--method", method, "--preset", "demo", *TINY, *more]


def test_a_hand_trains_is_evaluated_and_reported_with_a_chain_that_needs_no_sides(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    plain = ("--set", f"augment.normal={PLAIN}", "--out", out)
    code, _, error = run(capsys, *pretrain(store, "skeletonclr", *plain))
    assert (code, error.count("error")) == (0, 0), error
    code, _, error = run(capsys, "evaluate", out, "--protocol", "knn")
    assert code == 0, error
    results = [json.loads(path.read_text()) for path in (out / "results").glob("knn*.json")]
    assert {result["convention"] for result in results} == {"hand_21"}
    code, _, error = run(capsys, "report", out, "--out", tmp_path / "report.html")
    assert code == 0, error


@pytest.mark.parametrize("method", ["aimclr", "crosclr", "csclr"])
def test_other_methods_train_on_a_hand(
    method: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chains = [f"augment.{chain}={PLAIN}" for chain in ("normal", "extreme")]
    sets = [word for setting in chains for word in ("--set", setting)]
    code, _, error = run(capsys, *pretrain(store, method, *sets, "--out", tmp_path / "run"))
    assert code == 0, error


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (
            "skeletonclr",
            'augment.normal=[{"name": "spatial_flip"}]',
            r"augment\.normal\.0: augmentation spatial_flip needs sides \(left_right_swap\), which "
            r"convention hand_21 does not have\. Set augment\.normal to a list without it",
        ),
        (
            "aimclr",
            'augment.extreme=[{"name": "choice", "options": {"of": [{"name": "shear"}, '
            '{"name": "spatial_flip"}]}}]',
            r"augment\.extreme\.0\.options\.of\.1: augmentation spatial_flip needs sides",
        ),
        (
            "skelemixclr",
            f"augment.normal={PLAIN}",
            r"method\.name: method skelemixclr needs body parts, which convention hand_21 does not have",
        ),
    ],
)
def test_what_needs_sides_or_parts_says_so_by_name_before_the_store_is_read(
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    settings: str,
    message: str,
) -> None:
    monkeypatch.setattr(trained, "select", None)  # nothing may be loaded
    code, _, error = run(capsys, *pretrain(store, method, "--set", settings, "--out", tmp_path / "run"))
    assert code == 2
    assert sum(line.startswith("error: ") for line in error.splitlines()) == 1
    assert re.search(message, error), error
    assert not (tmp_path / "run").exists()
