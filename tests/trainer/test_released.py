"""Published checkpoints as runs: names, equations, and everything that is refused."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas import CheckpointError, ConfigError, StoreError, UsageError
from tests.trainer import released as old
from tests.trainer.command import call
from trainer import checkpoint
from trainer import store as stores
from trainer.checkpoint import LAST
from trainer.config import Override
from trainer.export import export_run
from trainer.methods.moco import MoCo
from trainer.released import Imported, import_released

ISC = old.SETTINGS | {
    "encoder.options.units": 4,
    "encoder.options.layers": 2,
    "method.options.representations.graph.options.channels": list(old.CHANNELS),
    "method.options.representations.graph.options.stride_blocks": [2],
    "method.options.representations.graph.options.temporal_kernel": old.KERNEL,
}
DIM = {"method.options.dim": old.DIM}
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "aimclr": (lambda: old.single(old.stgcn), old.STGCN | DIM),
    "crosclr": (old.crosclr, old.STGCN | DIM),
    "skelemixclr": (lambda: old.single(old.stgcn, norm=True), old.STGCN | DIM),
    "ms-clr": (lambda: old.single(old.flexible), old.STGCN | {"method.options.base.options.dim": old.DIM}),
    "skeleton-contrast": (old.isc, ISC | DIM),
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return old.named_store(tmp_path / "toy.zarr", monkeypatch)


def bring(content: Any, code: str, store: Path, out: Path, **more: Any) -> Imported:
    """Import what is saved as torch.save does it, with the settings of the tiny networks."""
    file = out.with_suffix(".pt")
    torch.save(content, file)
    settings = [Override(path, value) for path, value in CASES[code][1].items()]
    return import_released(file, code, store=store, out=out, **{"overrides": settings, **more})


def loaded(run: Path, store: Path) -> Any:
    """The method of a run, its weights loaded strictly."""
    saved = checkpoint.load(run / LAST)
    skeletons = stores.skeletons(stores.open_store(store), saved.config.data.conventions)
    method = checkpoint.fresh_method(saved.config, skeletons, seed=5)
    checkpoint.load_weights(method, saved.model, where=run)
    return method


def moco_of(method: Any, name: str) -> MoCo:
    return method.moco_of[name]


def clips(joints: int, *, samples: int = 6) -> Tensor:
    """Two bodies, the second of which half of the clips lack."""
    x = torch.randn(samples, 3, old.FRAMES, joints, 2, generator=torch.Generator().manual_seed(3))
    x[samples // 2 :, ..., 1] = 0
    return x


def network(weights: Mapping[str, Tensor], prefix: str) -> dict[str, NDArray[np.float64]]:
    start = f"{prefix}."
    return old.arrays({n.removeprefix(start): w for n, w in weights.items() if n.startswith(start)})


def check_close(found: Tensor, expected: NDArray[np.float64], *, of_scale: float) -> None:
    apart = np.abs(found.detach().double().numpy() - expected).max()
    assert apart <= of_scale * np.abs(expected).max()


# --- copied weights compute what the equations say


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("aimclr", {"joint": ""}),
        ("skelemixclr", {"joint": ""}),
        ("crosclr", {"joint": "", "motion": "_motion", "bone": "_bone"}),
    ],
)
def test_stgcn_features_are_those_of_the_equations(
    code: str, names: dict[str, str], training: bool, store: Path, tmp_path: Path
) -> None:
    weights, x = CASES[code][0](), clips(6)
    bring(weights, code, store, tmp_path / "run")
    method = loaded(tmp_path / "run", store).train(training)
    for name, mark in names.items():
        for side, ours in (("q", "query"), ("k", "key")):
            expected = old.stgcn_features(
                network(weights, f"encoder_{side}{mark}"), x.double().numpy(), training=training
            )
            check_close(
                getattr(moco_of(method, name), ours).encoder(x, "kinectv2_25"), expected, of_scale=1e-5
            )


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(("convention", "layout"), [("kinectv2_25", "ntu-rgb+d"), ("smplx_42", "smplx_42")])
def test_ms_clr_features_are_those_of_the_equations(
    convention: str, layout: str, training: bool, store: Path, tmp_path: Path
) -> None:
    weights, x = CASES["ms-clr"][0](), clips(old.JOINTS[convention])
    bring(weights, "ms-clr", store, tmp_path / "run")
    encoder = loaded(tmp_path / "run", store).train(training).encoders["joint"]
    expected = old.stgcn_features(
        network(weights, "encoder_q"),
        x.double().numpy(),
        training=training,
        graph=f"A_{layout}",
        norm=f"data_bn.{layout}",
        edges=f"{layout}.",
    )
    check_close(encoder(x, convention), expected, of_scale=1e-5)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_isc_features_are_those_of_the_equations(training: bool, store: Path, tmp_path: Path) -> None:
    weights, x = old.isc(), clips(6)
    bring(weights, "skeleton-contrast", store, tmp_path / "run")
    method = loaded(tmp_path / "run", store).train(training)
    seq, graph = (moco_of(method, name) for name in ("seq", "graph"))
    values = x.double().numpy()
    tree = graph.query.encoder.conventions["kinectv2_25"].graph.double().numpy()  # type: ignore[union-attr, index]
    for side, moco_side in (("q", seq.query), ("k", seq.key)):
        expected = old.bigru_features(network(weights, f"encoder_{side}"), values)
        check_close(moco_side.encoder(x, "kinectv2_25"), expected, of_scale=1e-5)
    for side, moco_side in (("r", graph.query), ("l", graph.key)):
        expected = old.agcn_features(network(weights, f"encoder_{side}"), values, tree, training=training)
        check_close(moco_side.encoder(x, "kinectv2_25"), expected, of_scale=1e-5)


@pytest.mark.parametrize(
    ("released", "ours"),
    [
        ("data_bn.weight", "conventions.kinectv2_25.data_bn.weight"),
        ("edge_importance.1", "conventions.kinectv2_25.importance.1"),
        ("st_gcn_networks.0.gcn.conv.weight", "blocks.0.graph.conv.weight"),
        ("st_gcn_networks.1.tcn.2.weight", "blocks.1.temporal.weight"),
        ("st_gcn_networks.2.residual.1.bias", "blocks.2.residual.1.bias"),
    ],
)
def test_gradients_in_training_are_differences_of_the_equations(
    released: str, ours: str, store: Path, tmp_path: Path
) -> None:
    weights, x = old.single(old.stgcn), clips(6).double()
    bring(weights, "aimclr", store, tmp_path / "run")
    encoder = loaded(tmp_path / "run", store).encoders["joint"].double().train()
    direction = torch.randn(6, old.CHANNELS[-1], generator=torch.Generator().manual_seed(4))
    (encoder(x, "kinectv2_25") * direction).sum().backward()
    slopes = encoder.get_parameter(ours).grad.flatten()
    own, step = network(weights, "encoder_q"), 1e-6
    scale = float(slopes.abs().max())
    for place in (0, len(slopes) // 2, len(slopes) - 1):
        ends = []
        for sign in (1, -1):
            moved = own[released].copy()
            moved.flat[place] += sign * step
            features = old.stgcn_features(own | {released: moved}, x.numpy(), training=True)
            ends.append(float((features * direction.numpy()).sum()))
        assert float(slopes[place]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-5 * scale)


def test_heads_embed_as_the_equations_say(store: Path, tmp_path: Path) -> None:
    """CrosSCLR's motion head is an own layer and ReLU, and the whole head of the joints behind it."""
    weights, x = old.crosclr(), clips(6)
    bring(weights, "crosclr", store, tmp_path / "run")
    method = loaded(tmp_path / "run", store).eval()
    w = network(weights, "encoder_q_motion")
    y = old.stgcn_features(w, x.double().numpy(), training=False)
    for name in ("fc.0", "fc.2.0"):
        y = np.maximum(y @ w[f"{name}.weight"].T + w[f"{name}.bias"], 0)
    y = y @ w["fc.2.2.weight"].T + w["fc.2.2.bias"]
    check_close(
        moco_of(method, "motion").query(x, "kinectv2_25"),
        y / np.linalg.norm(y, axis=1, keepdims=True),
        of_scale=1e-5,
    )


# --- what becomes of a file


@pytest.mark.parametrize("code", CASES)
def test_every_weight_has_its_place_and_the_queue_too(code: str, store: Path, tmp_path: Path) -> None:
    weights = CASES[code][0]()
    done = bring(weights, code, store, tmp_path / "run")
    assert set(done.names) == set(weights)
    first = next(iter(loaded(tmp_path / "run", store).moco_of.values())).queue
    expected = weights["Queue_S1" if code == "skeleton-contrast" else "queue"]
    assert torch.equal(first.keys, expected.t())
    assert (int(first.pointer), set(first.rows.tolist())) == (12, {-1})
    assert done.config.preset.endswith("/released")
    assert len(expected.t()) == old.QUEUE


def test_the_run_knows_where_its_weights_are_from(store: Path, tmp_path: Path) -> None:
    done = bring(old.single(old.stgcn), "aimclr", store, tmp_path / "run")
    digest = checkpoint.file_hash(tmp_path / "run.pt")
    assert done.config.init_from is not None
    assert (done.config.init_from.kind, done.config.init_from.code) == ("released", "aimclr")
    assert done.config.init_from.sha256 == digest
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert (record["event"], record["code"], record["sha256"]) == ("imported", "aimclr", digest)


def test_wrappers_of_training_scripts_are_taken_off(store: Path, tmp_path: Path) -> None:
    weights = {f"module.{name}": value for name, value in old.isc().items()}
    content = {"epoch": 351, "arch": "isc", "state_dict": weights, "optimizer": {"state": {}}}
    done = bring(content, "skeleton-contrast", store, tmp_path / "run")
    assert done.left_out == ("epoch", "arch", "optimizer")
    assert (done.epoch, done.config.optimise.epochs) == (351, 351)


def test_files_of_old_versions_of_pytorch_are_read(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "old.pt"
    torch.save(old.single(old.stgcn), file, _use_new_zipfile_serialization=False)
    settings = [Override(path, value) for path, value in CASES["aimclr"][1].items()]
    assert import_released(file, "aimclr", store=store, out=tmp_path / "run", overrides=settings).names


def test_one_stream_of_crosclr_is_skeletonclr(store: Path, tmp_path: Path) -> None:
    done = bring(old.single(old.stgcn), "crosclr", store, tmp_path / "run")
    assert done.config.preset == "skeletonclr/released"


def test_one_representation_is_contrasted_with_itself(store: Path, tmp_path: Path) -> None:
    settings = [Override(path, value) for path, value in (ISC | DIM).items() if "graph" not in path]
    weights = old.single(old.bigru)
    done = bring(weights, "skeleton-contrast", store, tmp_path / "run", overrides=settings)
    assert done.config.method.options["mode"] == "intra"
    assert list(loaded(tmp_path / "run", store).encoders) == ["seq"]


def test_the_graph_of_the_file_counts_and_a_difference_is_told(store: Path, tmp_path: Path) -> None:
    weights = old.single(old.stgcn)
    done = bring(weights, "aimclr", store, tmp_path / "run")
    assert "the file's graph differs from the convention's in 108 of 108 entries" in done.notes[-1]
    assert done.notes[0].startswith("the weights were trained on recipe crossclr, the store's is default")
    encoder = loaded(tmp_path / "run", store).encoders["joint"]
    assert torch.equal(encoder.conventions["kinectv2_25"].adjacency, weights["encoder_q.A"])


# --- what is refused


def refused(content: Any, code: str, store: Path, tmp_path: Path, **more: Any) -> str:
    with pytest.raises((CheckpointError, UsageError)) as stopped:
        bring(content, code, store, tmp_path / "run", **more)
    assert not (tmp_path / "run").exists()
    return str(stopped.value)


@pytest.mark.parametrize("code", CASES)
def test_an_unknown_name_is_refused_by_name(code: str, store: Path, tmp_path: Path) -> None:
    weights = CASES[code][0]() | {"encoder_q.attention.weight": torch.zeros(3)}
    told = refused(weights, code, store, tmp_path)
    assert "encoder_q.attention.weight" in told
    assert "expected encoder_q.*, encoder_k.*" in told


@pytest.mark.parametrize("code", CASES)
def test_another_shape_is_refused_by_name_with_ours(code: str, store: Path, tmp_path: Path) -> None:
    weights = CASES[code][0]()
    weights["encoder_q.fc.0.weight"] = torch.zeros(5, 8)
    assert "encoder_q.fc.0.weight (5, 8) instead of (8, 8)" in refused(weights, code, store, tmp_path)


def test_missing_weights_are_refused_by_name(store: Path, tmp_path: Path) -> None:
    weights = old.single(old.stgcn)
    del weights["encoder_q.st_gcn_networks.1.tcn.2.weight"]
    assert "moco.query.encoder.blocks.1.temporal.weight" in refused(weights, "aimclr", store, tmp_path)


def test_a_classifier_of_the_same_code_is_told_apart(store: Path, tmp_path: Path) -> None:
    weights = {n: w for n, w in old.single(old.stgcn).items() if n.startswith("encoder_q.")}
    assert "and scripts that save the query encoder alone" in refused(weights, "aimclr", store, tmp_path)


def test_another_number_of_joints_is_refused(store: Path, tmp_path: Path) -> None:
    told = refused(old.single(old.stgcn), "aimclr", store, tmp_path, conventions=["smplx_42"])
    assert "encoder_q was trained on a skeleton of 6 joints, smplx_42 has 8" in told


def test_edges_beyond_the_skeleton_are_refused(store: Path, tmp_path: Path) -> None:
    weights = old.single(old.flexible)
    weights["encoder_q.A_ntu-rgb+d"][0, 7, 7] = 1
    assert "edges beyond the 6 joints" in refused(weights, "ms-clr", store, tmp_path)


def test_skeletons_that_ms_clr_does_not_have_are_refused(store: Path, tmp_path: Path) -> None:
    weights = {name.replace("smplx_42", "coco_19"): w for name, w in old.single(old.flexible).items()}
    assert "found coco_19" in refused(weights, "ms-clr", store, tmp_path)


REPEATED = {
    "zeros": torch.zeros(1).expand(10**7, 10**6),
    "infinities": torch.full((1,), torch.inf).expand(50_000, 50_000),
}


@pytest.mark.parametrize("value", REPEATED.values(), ids=REPEATED)
def test_numbers_that_are_repeated_are_refused_before_they_are_read(
    value: torch.Tensor, store: Path, tmp_path: Path
) -> None:
    told = refused(old.single(old.stgcn) | {"encoder_q.fc.0.weight": value}, "aimclr", store, tmp_path)
    assert "encoder_q.fc.0.weight: expected" in told
    assert "fewer that are repeated" in told


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("encoder_q.fc.0.bias", torch.zeros(8, dtype=torch.complex64), "real numbers"),
        ("encoder_q.fc.0.bias", torch.zeros(8, device="meta"), "real numbers"),
        ("encoder_q.A", torch.zeros(3, 6, 6, dtype=torch.bool), "of another type: encoder_q.A torch.bool"),
        ("queue", torch.tensor(1.0), "queue"),
        ("queue_ptr", torch.tensor([1.5]), "queue_ptr"),
        ("x" * 200_000, torch.zeros(1), "xxx... "),
    ],
)
def test_strange_values_are_refused_by_name(
    name: str, value: torch.Tensor, message: str, store: Path, tmp_path: Path
) -> None:
    told = refused(old.single(old.stgcn) | {name: value}, "aimclr", store, tmp_path)
    assert message in told.replace("...;", "... ;")
    assert len(told) < 1500


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_weights_of_another_precision_become_float32(dtype: torch.dtype, store: Path, tmp_path: Path) -> None:
    weights = {n: v.to(dtype) if v.is_floating_point() else v for n, v in old.single(old.stgcn).items()}
    bring(weights, "aimclr", store, tmp_path / "run")
    found = loaded(tmp_path / "run", store).state_dict()["moco.query.projector.0.weight"]
    assert torch.equal(found, weights["encoder_q.fc.0.weight"].float())


def test_buffers_that_no_step_reads_are_left_out(store: Path, tmp_path: Path) -> None:
    weights = old.single(old.stgcn, norm=True) | {"queue_label": torch.zeros(16)}
    assert bring(weights, "skelemixclr", store, tmp_path / "run").left_out == ("queue_label",)


def test_an_export_of_released_weights_does_not_claim_the_terms_of_the_store(
    store: Path, tmp_path: Path
) -> None:
    bring(old.single(old.stgcn), "aimclr", store, tmp_path / "run")
    card = export_run(tmp_path / "run", tmp_path / "encoder")
    assert card.licence.startswith("Weights of the released code aimclr (sha256 ")


def test_a_pointer_outside_of_the_queue_is_refused(store: Path, tmp_path: Path) -> None:
    weights = old.single(old.stgcn) | {"queue_ptr": torch.tensor([16])}
    assert "queue_ptr is 16, outside of a queue of 16 keys" in refused(weights, "aimclr", store, tmp_path)


def test_values_that_are_not_finite_are_refused(store: Path, tmp_path: Path) -> None:
    weights = old.single(old.stgcn)
    weights["encoder_q.fc.0.bias"][2] = torch.nan
    assert "encoder_q.fc.0.bias has values that are not finite" in refused(weights, "aimclr", store, tmp_path)


class Malicious:
    """Makes a file when it is unpickled by pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(zipped: bool, store: Path, tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", tmp_path / "file.pt"
    content = old.single(old.stgcn) | {"hook": Malicious(mark)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"found a call of \w+\.mkdir; nothing was run"):
        import_released(file, "aimclr", store=store, out=tmp_path / "run")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Malicious(mark)))
    assert mark.exists()  # it would have been


def test_what_is_no_regular_file_is_refused_without_waiting(store: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, found in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), (tmp_path / "no", "nothing")):
        with pytest.raises(CheckpointError, match=found):
            import_released(path, "aimclr", store=store, out=tmp_path / "run")


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {"a": "text"}}, {"a": 3}])
def test_what_is_no_state_dict_is_refused(content: Any, store: Path, tmp_path: Path) -> None:
    refused(content, "aimclr", store, tmp_path)


@pytest.mark.parametrize("damage", [0.3, 0.9])
def test_a_damaged_file_is_refused(damage: float, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.pt"
    torch.save(old.single(old.stgcn), file)
    file.write_bytes(file.read_bytes()[: int(damage * file.stat().st_size)])
    with pytest.raises(CheckpointError, match="found a damaged file or another kind"):
        import_released(file, "aimclr", store=store, out=tmp_path / "run")


def test_names_of_code_convention_preset_and_folder_are_checked(store: Path, tmp_path: Path) -> None:
    weights = old.single(old.stgcn)
    torch.save(weights, tmp_path / "run.pt")
    with pytest.raises(UsageError, match=r"unknown code base 'aimcrl'. Did you mean 'aimclr'"):
        import_released(tmp_path / "run.pt", "aimcrl", store=store, out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"unknown preset of aimclr 'relased'. Did you mean 'released'"):
        bring(weights, "aimclr", store, tmp_path / "run", preset="relased")
    with pytest.raises(StoreError, match="no convention 'smpl_24'"):
        bring(weights, "aimclr", store, tmp_path / "run", conventions=["smpl_24"])
    with pytest.raises(ConfigError, match="one skeleton convention"):
        bring(weights, "aimclr", store, tmp_path / "run", conventions=["kinectv2_25", "smplx_42"])
    bring(weights, "aimclr", store, tmp_path / "run")
    with pytest.raises(UsageError, match="this run exists already"):
        bring(weights, "aimclr", store, tmp_path / "run")
    bring(weights, "aimclr", store, tmp_path / "run", force=True)


# --- the command


def arguments(code: str) -> list[str]:
    return [
        part for path, value in CASES[code][1].items() for part in ("--set", f"{path}={json.dumps(value)}")
    ]


def test_help_tells_the_code_bases(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "import", "--help")
    assert code == 0
    for name in CASES:
        assert name in out


@pytest.mark.parametrize("code", CASES)
def test_an_imported_run_is_a_run(
    code: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """import, evaluate, report and resume, without special cases."""
    torch.save(CASES[code][0](), tmp_path / "file.pt")
    run = tmp_path / "run"
    status, out, err = call(
        capsys,
        "import",
        tmp_path / "file.pt",
        "--from",
        code,
        "--store",
        store,
        "--out",
        run,
        *arguments(code),
    )
    assert status == 0, err
    assert "encoder_q.fc.* -> " in out
    assert "left out: nothing" in out
    status, out, err = call(capsys, "evaluate", run, "--protocol", "knn", "--json")
    assert status == 0, err
    assert json.loads(out)[0]["method"] in {"aimclr", "crosclr", "skelemixclr", "isc", "ms-clr"}
    status, _, err = call(capsys, "report", run, "--no-encoders", "--out", tmp_path / "a.html")
    assert status == 0, err
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert f"released {code}: " in page
    assert "imported weights have no log" in page
    epochs = 1 + checkpoint.load(run / LAST).epoch
    status, _, err = call(capsys, "pretrain", "--out", run, "--resume", "--epochs", epochs)
    assert status == 0, err
    assert checkpoint.load(run / LAST).epoch == epochs
