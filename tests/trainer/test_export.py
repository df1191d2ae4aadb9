"""Exported encoders: bit-equal features, cards that say everything, files that do not fit, ONNX."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from schemas import CheckpointError, Component, SkelError, StoreError, UsageError
from tests.trainer import tiny
from tests.trainer.clips import clips, generator
from tests.trainer.runs import tiny_config
from tests.trainer.stores import SPECS, write_store
from trainer import checkpoint, encoders, loop
from trainer import store as stores
from trainer.cli import cli
from trainer.evaluate.features import extract
from trainer.evaluate.heads import Recipe
from trainer.export import CARD, WEIGHTS, export_run, load_encoder, onnx
from trainer.export.card import EncoderCard, Input

Changes = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "toy.zarr"
    return write_store(path, conventions=("few_6", "many_8"), streams=("joint", "bone", "motion"))


def train(store: Path, out: Path, *, method: str = "skeletonclr", **changes: Any) -> Path:
    loop.pretrain(tiny_config(store, method=method, **changes), out=out)
    return out


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(store, tmp_path_factory.mktemp("runs") / "one", encoder__options__bodies="present")


@pytest.fixture(scope="module")
def two(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MS-CLR, two conventions."""
    out = tmp_path_factory.mktemp("runs") / "two"
    return train(store, out, method="ms-clr", data__conventions=["few_6", "many_8"], optimise__epochs=1)


@pytest.fixture
def exported(run: Path, tmp_path: Path) -> Path:
    export_run(run, tmp_path / "out")
    return tmp_path / "out"


def stored_features(run: Path, store: Path, convention: str, encoder: str = "joint") -> tuple[Tensor, Tensor]:
    """The test half's clips, and their features as an evaluation computes them."""
    saved, opened = checkpoint.load(run / checkpoint.LAST), stores.open_store(store)
    test = stores.load(
        opened, split="xview", part="test", conventions=[convention], frames=12, stream=encoder
    )
    method = checkpoint.fresh_method(
        saved.config, stores.skeletons(opened, saved.config.data.conventions), seed=1
    )
    checkpoint.load_weights(method, saved.model, where=run)
    trained = method.encoders[encoder]
    return test.clips[convention], extract(trained, test, convention=convention, device="cpu").values  # type: ignore[arg-type]


def test_features_are_those_of_an_evaluation_bit_for_bit(run: Path, store: Path, exported: Path) -> None:
    given, expected = stored_features(run, store, "few_6")
    features = load_encoder(exported)(given)
    assert torch.equal(features, expected)
    assert not features.requires_grad


@pytest.mark.parametrize("convention", ["few_6", "many_8"])
def test_every_convention_of_a_run_goes_along(
    two: Path, store: Path, tmp_path: Path, convention: str
) -> None:
    export_run(two, tmp_path / "out")
    given, expected = stored_features(two, store, convention)
    assert torch.equal(load_encoder(tmp_path / "out")(given, convention), expected)


def test_one_convention_alone_has_only_its_weights(two: Path, store: Path, tmp_path: Path) -> None:
    card = export_run(two, tmp_path / "out", conventions=["many_8"])
    given, expected = stored_features(two, store, "many_8")
    assert list(card.conventions) == ["many_8"]
    assert torch.equal(load_encoder(tmp_path / "out")(given), expected)
    assert not [key for key in load_file(tmp_path / "out" / WEIGHTS) if "few_6" in key]


def test_the_encoder_of_a_stream(store: Path, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", method="crosclr", optimise__epochs=1)
    with pytest.raises(UsageError, match=r"several encoders: joint, motion, bone. .* --encoder joint"):
        export_run(run, tmp_path / "out")
    with pytest.raises(UsageError, match=r"unknown encoder of crosclr 'bones'. Did you mean 'bone'"):
        export_run(run, tmp_path / "out", encoder="bones")
    card = export_run(run, tmp_path / "out", encoder="bone")
    given, expected = stored_features(run, store, "few_6", "bone")
    assert card.input.stream == "bone"
    assert torch.equal(load_encoder(tmp_path / "out")(given), expected)


def test_a_representation_has_its_own_architecture(store: Path, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", method="isc", optimise__epochs=1)
    for name, kind, graph in (("seq", "bigru", None), ("graph", "agcn", "inward_outward")):
        card = export_run(run, tmp_path / name, encoder=name)
        assert (card.encoder.name, card.adjacency, card.input.stream) == (kind, graph, "joint")
        assert load_encoder(tmp_path / name)(clips(2, 6, frames=12, bodies=2)).shape == (2, card.feature_dim)


def test_the_card_says_what_the_weights_do_not(run: Path, store: Path, exported: Path) -> None:
    card = load_encoder(exported).card
    saved, opened = checkpoint.load(run / checkpoint.LAST), stores.open_store(store)
    assert card.conventions == {"few_6": SPECS["few_6"]}
    assert (card.encoder.name, card.encoder.options["channels"], card.feature_dim) == ("stgcn", [4, 8], 8)
    assert (card.input.frames, card.input.bodies, card.input.stream) == (12, 2, "joint")
    assert (card.adjacency, card.recipe.name) == ("spatial", opened.manifest.recipe.name)
    assert (card.method, card.preset, card.epoch, card.epochs) == ("skeletonclr", saved.config.preset, 2, 2)
    assert (card.dataset, card.split, card.store_hash) == ("toy", "xview", opened.hash)
    assert card.checkpoint_hash == hashlib.sha256((run / checkpoint.LAST).read_bytes()).hexdigest()
    assert "not known here" in card.licence


def test_the_same_run_gives_the_same_bytes(run: Path, exported: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "again")
    for name in (CARD, WEIGHTS):
        assert (exported / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_it_can_be_trained_further(exported: Path) -> None:
    encoder = load_encoder(exported).requires_grad_(True).train()
    encoder(clips(4, 6, frames=12, bodies=2)).sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


def change_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | changes))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    """Other weights, with the hash of the card made right again."""
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)
    change_card(folder, weights_hash=checkpoint.file_hash(folder / WEIGHTS))


FIRST = "conventions.few_6.adjacency"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop(FIRST), f"{FIRST} is missing"),
        (lambda weights: weights.update(extra=torch.zeros(1)), "extra is unexpected"),
        (
            lambda weights: weights.update({FIRST: torch.zeros(3, 5, 5)}),
            rf"{FIRST} has shape \(3, 5, 5\) instead of \(3, 6, 6\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(exported: Path, change: Any, message: str) -> None:
    change_weights(exported, change)
    with pytest.raises(CheckpointError, match=message + ".* Copy both files of one export"):
        load_encoder(exported)


def test_a_card_and_weights_of_two_exports_are_refused(two: Path, exported: Path, tmp_path: Path) -> None:
    export_run(two, tmp_path / "other")
    shutil.copy(tmp_path / "other" / WEIGHTS, exported / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"not the weights of the card, or they are damaged: sha256"):
        load_encoder(exported)


def test_damaged_and_absent_files_are_refused(exported: Path) -> None:
    content = (exported / WEIGHTS).read_bytes()
    (exported / WEIGHTS).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="or they are damaged"):
        load_encoder(exported)
    (exported / WEIGHTS).write_bytes(b"something else")
    change_card(exported, weights_hash=checkpoint.file_hash(exported / WEIGHTS))
    with pytest.raises(CheckpointError, match="this is not a safetensors file"):
        load_encoder(exported)
    (exported / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=rf"no {WEIGHTS} beside the card. Copy the whole folder"):
        load_encoder(exported)
    (exported / CARD).unlink()
    with pytest.raises(CheckpointError, match=rf"no {CARD} here. Name a folder that `trainer export` wrote"):
        load_encoder(exported)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 4}, r"newer version: format 4, this one reads up to 3. Update this package"),
        ({"kind": "poem"}, "this is not a card of `trainer export`"),
        ({"feature_dim": 0}, "or it is damaged: feature_dim: "),
        ({"surprise": 1}, "or it is damaged: surprise: "),
        ({"encoder": {"name": "stgnc", "options": {}}}, "does not know the encoder: .*Did you mean 'stgcn'"),
        (
            {"encoder": {"name": "stgcn", "options": {"widths": [1]}}},
            "does not know the encoder: .*unknown option",
        ),
    ],
)
def test_a_card_that_cannot_be_used_says_why(exported: Path, changes: Changes, message: str) -> None:
    change_card(exported, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_encoder(exported)


def test_text_that_is_no_card_is_refused(exported: Path) -> None:
    for text in ("", "[1, 2", "[]", "\x00"):
        (exported / CARD).write_text(text)
        with pytest.raises(CheckpointError, match="this is not a card of `trainer export`"):
            load_encoder(exported)


@pytest.mark.parametrize(
    ("given", "convention", "message"),
    [
        (
            torch.zeros(2, 3, 12, 7, 2),
            None,
            r"shape \[2, 3, 12, 7, 2\], expected \[N, 3, T, 6, M\]",
        ),
        (torch.zeros(3, 12, 6, 2), None, "Axes are samples, coordinates, frames, joints, bodies"),
        (torch.zeros(2, 3, 12, 6, 2).double(), None, r"torch.float64, expected torch.float32"),
        (torch.zeros(2, 3, 12, 6, 2), "many_8", "the encoder knows few_6, not 'many_8'"),
    ],
)
def test_clips_that_do_not_fit_are_refused(
    exported: Path, given: Tensor, convention: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load_encoder(exported)(given, convention)


def test_an_unfinished_run_wants_a_flag(store: Path, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", optimise__epochs=1)
    saved = checkpoint.load(run / checkpoint.LAST)
    longer = saved.config.optimise.model_copy(update={"epochs": 9})
    changed = saved.config.model_copy(update={"optimise": longer})
    checkpoint.save(checkpoint.Checkpoint(**(vars(saved) | {"config": changed})), run / checkpoint.LAST)
    with pytest.raises(CheckpointError, match=r"not finished: .* epoch 1 of 9.*--unfinished"):
        export_run(run, tmp_path / "out")
    assert export_run(run, tmp_path / "out", unfinished=True).epoch == 1


def test_what_the_run_does_not_have_is_refused(run: Path, store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the encoder was trained on few_6, not on 'many_8'"):
        export_run(run, tmp_path / "out", conventions=["many_8"])
    other = write_store(tmp_path / "other.zarr", seed=1)
    with pytest.raises(CheckpointError, match="the run was trained on store"):
        export_run(run, tmp_path / "out", store=other)
    with pytest.raises(StoreError, match="no such store"):
        export_run(run, tmp_path / "out", store=tmp_path / "nowhere.zarr")
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        export_run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_an_export_is_replaced_and_only_if_asked(run: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"exported here already. Replace it with --force"):
        export_run(run, exported)
    (exported / "notes.txt").write_text("mine")
    (exported / "encoder-old_1.onnx").write_text("of an older export")
    export_run(run, exported, force=True)
    assert sorted(path.name for path in exported.iterdir()) == [CARD, WEIGHTS, "notes.txt"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="exists and is not an exported encoder"):
        export_run(run, tmp_path / "mine", force=True)


def test_the_command_says_what_it_wrote(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["export", str(run), "--out", str(tmp_path / "out")], standalone_mode=False)
    out = capsys.readouterr().out
    assert "stgcn, 8 features, of skeletonclr joint" in out
    assert "clips: N C T V M, float32, joint stream in metres, 12 frames, 2 bodies, recipe default" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [CARD, WEIGHTS]


# ONNX


def network(name: str, **options: Any) -> Any:
    component = Component(name=name, options=tiny.ENCODER_OPTIONS[name] | options)
    built = encoders.build(component, tiny.SKELETONS, generator=generator())
    return built.eval().requires_grad_(False)


def with_absent_bodies(samples: int = 4, *, frames: int = 16) -> Tensor:
    given = clips(samples, 25, frames=frames, bodies=2)
    given[1::2, ..., 1] = 0
    return given


@pytest.mark.parametrize("name", ["stgcn", "agcn", "ctrgcn", "hcn", "vit"])
def test_masking_absent_bodies_equals_leaving_them_out(name: str) -> None:
    own = network(name, bodies="present")
    if name != "hcn":  # statistics of a trained encoder, far from mean 0 and variance 1
        for norm in (m for m in own.modules() if hasattr(m, "running_var")):
            norm.running_mean.uniform_(-1, 1, generator=generator())
            norm.running_var.uniform_(0.5, 2, generator=generator())
    given = with_absent_bodies()
    static = onnx.StaticEncoder(own, "kinectv2_25")
    torch.testing.assert_close(static(given), own(given, "kinectv2_25"), rtol=0, atol=1e-6)
    usual = network(name)(given, "kinectv2_25")
    if name != "hcn":  # a maximum over bodies hardly notices the absent
        assert (usual - static(given)).abs().max() > 1e-4


def card_of(encoder: Any, name: str, *, frames: int = 16) -> EncoderCard:
    return EncoderCard(
        format=1, tool="test", encoder=Component(name=name), name="joint", feature_dim=encoder.feature_dim,
        input=Input(stream="joint", frames=frames, bodies=2), adjacency=None,
        conventions={"kinectv2_25": tiny.SKELETONS["kinectv2_25"].spec}, recipe=Recipe(name="raw", steps=()),
        method="test", preset="", epoch=0, epochs=1, dataset="toy", synthetic=True, split="", store="",
        store_hash="", checkpoint_hash="", weights_hash="", licence="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "frames"),
    [
        ("stgcn", {"bodies": "present"}, 16),
        ("bigru", {}, 16),
        ("hcn", {"segments": 1}, 16),
        pytest.param("ctrgcn", {}, 16, marks=pytest.mark.slow),
        ("vit", {}, 18),
    ],
)
def test_onnx_equals_pytorch_for_any_number_of_clips(
    name: str, options: dict[str, Any], frames: int, tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    own = network(name, **options)
    file = onnx.write_onnx(own, card_of(own, name, frames=frames), "kinectv2_25", tmp_path)
    assert file.max_abs_difference < 1e-5
    assert file.sha256 == checkpoint.file_hash(tmp_path / file.file)
    session = runtime.InferenceSession(str(tmp_path / file.file), providers=["CPUExecutionProvider"])
    for samples in (1, 7):
        given = with_absent_bodies(samples, frames=frames)
        found = torch.from_numpy(session.run(None, {"clips": given.numpy()})[0])
        torch.testing.assert_close(found, own(given, "kinectv2_25"), rtol=0, atol=1e-5)


def test_hcn_says_for_which_lengths_onnx_has_no_operation(tmp_path: Path) -> None:
    own = network("hcn", segments=4)
    with pytest.raises(UsageError, match=r"brings 16 frames, 1 after its poolings, to 4 segments .*=64"):
        onnx.write_onnx(own, card_of(own, "hcn", frames=16), "kinectv2_25", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_graph_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    monkeypatch.setattr(onnx, "TOLERANCE", -1.0)
    own = network("bigru")
    with pytest.raises(SkelError, match="features differ from PyTorch's by"):
        onnx.write_onnx(own, card_of(own, "bigru"), "kinectv2_25", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_names_the_command(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"needs onnx, onnxscript, onnxruntime. pip install 'skeltools\[onnx\]'"
    ):
        export_run(run, tmp_path / "out", onnx=True)
    assert not (tmp_path / "out").exists()


def test_the_command_checks_and_tells_the_difference(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    arguments = ["export", str(two), "--convention", "many_8", "--out", str(tmp_path / "out"), "--onnx"]
    cli.main(arguments, standalone_mode=False)
    assert "encoder-many_8.onnx: many_8, differs from PyTorch by" in capsys.readouterr().out
    assert list(load_encoder(tmp_path / "out").card.onnx) == ["many_8"]
