"""The benchmark scripts' parts on tiny sizes, and that the baseline computes what ours does."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks import (
    baseline,
    bases,
    bulk,
    floor,
    gpu,
    gpu_equal,
    live,
    plain_views,
    projection,
    record,
    several_stores,
    speed,
    speed_compiled,
    speed_data,
    speed_models,
    timing,
    turns,
)
from schemas import Component
from skeltools.preprocess import load
from tests.trainer.clips import clips, generator, skeleton
from trainer import augment, encoders, losses
from trainer.methods import eadm

KINECT = skeleton("kinectv2_25")


def both_encoders() -> tuple[encoders.Encoder, baseline.STGCN]:
    """Ours, with statistics and importances unlike those of the start, and the baseline with its weights."""
    ours = encoders.build(Component(name="stgcn"), {"kinectv2_25": KINECT}, generator=generator())
    with torch.no_grad():
        for name, value in ours.state_dict().items():
            if value.is_floating_point() and "adjacency" not in name:
                noise = torch.rand(value.shape, generator=generator(1)) * 0.1
                value.add_(noise if "weight" not in name else noise * 0.1)
    plain = baseline.STGCN(KINECT.adjacency)
    plain.load_state_dict(baseline.weights_from(ours.state_dict()))
    return ours, plain


def test_the_baseline_has_our_features_with_our_weights() -> None:
    ours, plain = both_encoders()
    x = clips(3, 25, frames=20, bodies=2)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(x), ours.eval()(x, "kinectv2_25"), atol=1e-4, rtol=1e-4)
        ours.train()
        plain.train()
        for module in (*ours.modules(), *plain.modules()):
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        torch.testing.assert_close(plain(x), ours(x, "kinectv2_25"), atol=1e-4, rtol=1e-4)


def test_the_baselines_dropped_features_are_ours() -> None:
    features = torch.randn(4, 6, 5, 7, generator=generator()).relu()
    torch.testing.assert_close(baseline.drop(features), eadm.drop(features))


@pytest.mark.parametrize("name", sorted(baseline.LOSSES))
def test_a_step_of_the_baseline_moves_both_networks_and_the_queue(name: str) -> None:
    torch.manual_seed(0)
    moco = baseline.MoCo(KINECT.adjacency, queue=8)
    before = {key: value.clone() for key, value in moco.state_dict().items()}
    views = tuple(clips(4, 25, frames=16, bodies=2, seed=seed) for seed in range(3))
    loss = baseline.step(name, moco, baseline.sgd(moco), views, device=torch.device("cpu"))
    after = moco.state_dict()
    assert np.isfinite(loss)
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert {"queue", "pointer", "query.projector.0.weight", "query.encoder.blocks.3.temporal.weight"} <= moved
    assert torch.equal(after["queue"][:, 4:], before["queue"][:, 4:])
    baseline.step(name, moco, baseline.sgd(moco), views, device=torch.device("cpu"))
    assert not torch.equal(moco.key.projector[0].weight, before["key.projector.0.weight"])


def test_the_baselines_loss_is_ours_on_the_same_embeddings() -> None:
    moco = baseline.MoCo(KINECT.adjacency, queue=16)
    q, k = (F.normalize(torch.randn(5, baseline.DIM, generator=generator(seed)), dim=1) for seed in (1, 2))
    ours = losses.logits(q, k, moco.queue.t(), baseline.TEMPERATURE)
    torch.testing.assert_close(moco.logits(q, k), ours, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", sorted({*vars(plain_views)} & {*augment.AUGMENTATIONS}))
def test_a_plain_augmentation_keeps_shape_and_absent_bodies(name: str) -> None:
    random.seed(0)
    clip = bulk.clips(1, frames=18)[0]
    clip[..., 1] = 0
    swap = tuple(KINECT.spec.left_right_swap)
    for _ in range(5):
        made = getattr(plain_views, name)(clip, *[swap] * (name == "spatial_flip"))
        assert made.shape == clip.shape
        assert np.isfinite(made).all()
        assert name == "gaussian_noise" or (made[..., 1] == 0).all()


def test_linear_maps_of_views_are_linear_maps() -> None:
    clip = bulk.clips(1, frames=6)[0]
    points = clip[:, :, :, 0].reshape(3, -1)
    sheared = plain_views.shear(clip)[:, :, :, 0].reshape(3, -1)
    matrix = sheared @ np.linalg.pinv(points)
    np.testing.assert_allclose(matrix @ points, sheared, atol=1e-4)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-4)
    turned = plain_views.rotate(clip)
    np.testing.assert_allclose((turned**2).sum(axis=0), (clip**2).sum(axis=0), rtol=1e-3, atol=1e-5)


def test_workers_give_batches_of_three_different_views() -> None:
    batch = bulk.clips(6, frames=12)
    made = list(plain_views.loader(batch, tuple(KINECT.spec.left_right_swap), batch_size=3, workers=0))
    assert [view.shape for view in made[0]] == [(3, 3, 12, 25, 2)] * 3
    assert not torch.equal(made[0][0], made[0][1])


def test_counts_of_the_floor_by_hand() -> None:
    adjacency = torch.eye(2).expand(3, 2, 2)
    first, temporal, second, _, residual = floor.stgcn(
        adjacency, frames=4, bodies=1, channels=(5, 7), stride_blocks=(2,), kernel=3
    )
    assert first.products == 4 * 6 * 3 + 8 * 3 * 3 * 5  # gathered with 3 channels, mixed to 5
    assert (first.read, first.written) == (8 * 3, 8 * 5)
    assert temporal.products == 8 * 3 * 5 * 5
    assert second.products == 4 * 6 * 5 + 8 * 3 * 5 * 7
    assert residual.products == 4 * 5 * 7  # every other frame


def test_the_floor_is_the_longer_of_products_and_bytes() -> None:
    rates = floor.Rates(products=100.0, copies=40.0)
    layer = floor.Layer(products=300, read=10, written=5)
    assert floor.forward([layer], rates) == 3
    assert floor.training([layer], rates) == 3 + 6
    assert floor.forward([layer], floor.Rates(1e9, 40.0)) == 15 * 4 / 40


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of a few noise clips, and a table measured once."""
    monkeypatch.setattr(speed_data, "BATCH", 4)
    monkeypatch.setattr(timing, "LEAST", 0.0)
    return bulk.write_store(tmp_path / "store.zarr", count=24)


SETTING = timing.Setting(torch.device("cpu"), "fp32", repeats=1, batch=2, quick=True)
RATES = floor.Rates(1e9, 1e9)


def test_rows_about_data(quick: Path) -> None:
    rows = [
        *speed_data.loading(SETTING, RATES, quick),
        *speed_data.assembly(SETTING, RATES),
        *speed_data.augmentations(SETTING, RATES),
    ]
    names = [row.name for row in rows]
    assert set(augment.AUGMENTATIONS) < set(names)
    assert rows[1].size.startswith("18 of")
    for row in rows:
        found = row.as_json()
        assert found["seconds"]["median"] > 0
        assert row.name in speed.line(row)
    shear = rows[names.index("shear")]
    assert shear.as_json()["times_as_fast"] == pytest.approx(shear.times_as_fast, rel=1e-3)


def test_rows_about_encoder_and_steps_and_their_projection() -> None:
    steps = speed_models.steps(SETTING, RATES, ("skeletonclr", "skelemixclr"))
    rows = [*speed_models.encoder(SETTING, RATES), *steps]
    assert [row.baseline is not None for row in rows] == [True, True, True, True, False]
    assert [row.floor is not None for row in rows] == [True, True, False, True, False]
    (epoch,) = speed_models.projected(rows, SETTING)
    assert epoch.as_json()["projection"]
    assert epoch.ours[0] == pytest.approx(rows[3].ours[0] * (40_091 // 2))
    assert epoch.note.startswith("projection: 20045 steps of 2; 300 epochs")


def test_the_projection_is_the_floor_at_the_rates_of_the_sheets_and_says_so() -> None:
    rates = projection.SHEETS["H200 SXM"]
    small, large = (projection.row("H200 SXM", rates, batch) for batch in projection.BATCHES)
    assert small["projection"] is True
    bound = speed_models.floor_of("aimclr", timing.Setting(torch.device("cpu"), "bf16", 1, 1024), rates)
    assert large["step_ms_at_floor"] == pytest.approx(1e3 * bound, abs=0.01)
    assert large["minutes_at_share"] == pytest.approx(300 * 39 * bound / 0.4 / 60, abs=0.1)
    assert small["minutes_bound_by_launches"] > small["minutes_at_share"]


def test_live_counts_what_is_made_until_it_is_gone() -> None:
    with live.Live() as count:
        first = torch.zeros(1000)
        second = first + 1
        part = second.view(10, 100)[:5]
        first.add_(1)
        assert (count.now, count.most) == (8000, 8000)
        del second
        assert count.now == 8000, "a view keeps all of it"
        del part
        assert (count.now, count.most) == (4000, 8000)


def test_the_memory_of_a_step_grows_with_its_clips_and_ends_with_it() -> None:
    small, large = (projection.step_memory(batch) for batch in (2, 4))
    queue = 128 * 32_768 * 4 / 1e6
    for found in (small, large):
        assert queue < found["megabytes_between_steps"] < 4 * queue
        assert found["keys"] == 32_768
    most = [found["most_megabytes_of_tensors"] for found in (small, large)]
    assert small["megabytes_between_steps"] + 30 < most[0] < most[1] - 30


def test_rows_about_compiled_code_name_what_they_are_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def stand_in(function: Any, **_: Any) -> Any:
        compiled.append(function.__name__)
        return function

    monkeypatch.setattr(torch, "compile", stand_in)
    rows = list(speed_compiled.compiled(SETTING))
    assert compiled == ["do", "feature_map", "feature_map"]
    for row in rows:
        assert row.name.endswith("compiled")
        assert row.note.startswith("baseline: ours, eager; with compiling the first took")
        assert row.as_json()["warm_up_seconds"] >= 0
        assert row.times_as_fast


def test_a_result_says_on_which_processor_it_was_measured() -> None:
    name, *instructions = record.machine()["processor"].split(", ")
    assert name
    assert set(instructions) <= set(record.INSTRUCTIONS)


def test_the_base_alone_gets_the_updates_of_ms_clr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, tuple[object, ...]] = {}
    monkeypatch.setattr(
        bases.many,
        "train_and_probe",
        lambda work, name, seed, *, begin, options, random, probes: seen.update(
            {name: (*begin, *options, *probes, random)}
        ),
    )
    for name in bases.names_of("aimclr"):
        bases.run(tmp_path, tmp_path / "s.zarr", "aimclr", name, 0, epochs=4, device="cpu")
    over, alone, short = seen["ms-aimclr"], seen["aimclr"], seen["aimclr-short"]
    assert short[short.index("--epochs") + 1] == 4
    assert "method.options.mine_from=4" in short
    assert over[over.index("--epochs") + 1] == 4
    assert alone[alone.index("--epochs") + 1] == 4 * bases.CONVENTIONS
    assert over[over.index("--base") + 1] == "aimclr"
    assert alone[alone.index("--convention") + 1] == "kinectv2_25"
    assert "method.options.base.options.mine_from=4" in over
    assert "method.options.mine_from=8" in alone
    assert (over[-1], alone[-1], short[-1]) == (False, True, False), "one random encoder is enough"
    assert over[-3:-1] == ("--convention", "all"), "MS-CLR's ensemble"


def test_other_conventions_and_their_ensemble_have_rows_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        {"protocol": protocol, "encoder": encoder, "stream": "joint", "convention": convention, "top1": top1}
        for protocol in ("linear", "knn")
        for convention, top1 in (("a", 0.5), ("b", 0.25), ("a+b", 0.75))
        for encoder in ("joint", None)
    ]
    monkeypatch.setattr(bases.many.runs, "command", lambda *_, **__: (json.dumps(found), 0.0))
    expected = {"joint": 50.0, "joint, b": 25.0, "joint, a+b": 75.0}
    assert bases.many.probe(tmp_path, tmp_path / "run") == {"linear": expected, "knn": expected}


def test_a_table_of_runs_of_which_some_have_no_random_encoder(tmp_path: Path) -> None:
    for seed, percent in enumerate((70.0, 74.0)):
        run: dict[str, Any] = {"seed": seed, "trained": {"linear": {"joint": percent}}}
        (tmp_path / f"ms-x-{seed}.json").write_text(json.dumps({"method": "ms-x", **run}))
        run["random"] = {"linear": {"joint": percent - 20}}
        (tmp_path / f"x-{seed}.json").write_text(json.dumps({"method": "x", **run}))
    collected = bases.many.collect(tmp_path, ("ms-x", "x", "not-yet"))
    assert len(collected["runs"]) == 4
    assert collected["knn"] == {}
    assert list(bases.many.table(collected["linear"]))[2:] == [
        "| ms-x | joint | 72.0 ± 2.8 |  |",
        "| x | joint | 72.0 ± 2.8 | 52.0 ± 2.8 |",
    ]


def test_resident_memory_after_each_epoch(tmp_path: Path) -> None:
    (row,) = speed_data.memory_of_a_run(SETTING, tmp_path, count=24)
    assert len(row.more["resident_megabytes_after_each_epoch"]) == 3
    assert min(row.more["resident_megabytes_after_each_epoch"]) > 50


def test_an_epoch_of_batches_in_memory_and_from_a_mapped_copy(quick: Path) -> None:
    for seconds, _ in (speed_data._epoch(quick, None, 4, 1), speed_data._mapped_epoch(quick, 4, True, 1)):
        assert seconds > 0


def test_what_is_emulated_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = timing.Setting(torch.device("cpu"), "bf16", 1, 2)
    monkeypatch.setattr(speed.devices, "computes_bf16", lambda device: False)
    assert speed.emulated(slow)
    assert not speed.emulated(SETTING)
    assert speed.file_name(slow) == "speed_bf16"
    assert speed.file_name(SETTING) == "speed_quick"
    assert speed.file_name(SETTING, ["data"]) == "speed_data_quick"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.00012, "120 us"), (0.5, "500 ms"), (2.0, "2 s"), (4321.0, "4321 s")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert speed.duration(seconds) == text


def test_the_turns_that_are_compared_are_recipes(tmp_path: Path) -> None:
    for name, steps in turns.VARIANTS.items():
        path = tmp_path / f"{name}_turns.yaml"
        path.write_text(json.dumps([*turns.BEFORE, *(steps or []), "resize"]))
        assert load(name if steps is None else str(path)).steps


def test_figures_of_several_stores_are_collected_by_set_and_encoder(tmp_path: Path) -> None:
    def probes(linear: float) -> dict[str, dict[str, float]]:
        return {"trained": {"linear": linear, "knn": 1.0}, "random": {"linear": 5.0, "knn": 2.0}}

    for seed in (0, 1):
        alone = {"encoder": "one", "seed": seed, "sets": {"one": probes(10.0 + seed)}}
        together = {"encoder": "together", "sets": {"one": probes(20.0 + seed), "two": probes(30.0)}}
        (tmp_path / f"one-{seed}.json").write_text(json.dumps(alone))
        (tmp_path / f"together-{seed}.json").write_text(json.dumps(together))
        (tmp_path / f"few-labels-{seed}.json").write_text(json.dumps({"few": {"random weights": 3.0}}))
    found = several_stores.collect(tmp_path)
    linear = found["sets"]["one"]["linear"]
    assert linear["one"] == {"mean": 10.5, "std": 0.7}
    assert linear["together"]["mean"] == 20.5
    assert linear["random, as one"]["mean"] == 5.0
    assert "one" not in found["sets"]["two"]["linear"]
    lines = several_stores.table(found)
    assert "| one | together | 20.5 ± 0.7 | 1.0 ± 0.0 |" in lines
    assert "| unseen, 10 % of the labels | random weights | 3.0 ± 0.0 | |" in lines


def test_an_encoder_of_several_stores_is_trained_on_all_of_them(tmp_path: Path) -> None:
    stores = {"one": tmp_path / "one.zarr", "two": tmp_path / "two.zarr"}
    plan = several_stores.Plan(tmp_path, stores, (), epochs=1, unseen=tmp_path / "unseen.zarr")
    assert plan.trained_on("together") == list(stores.values())
    assert plan.trained_on("two x1.50") == [stores["two"]]
    assert plan.trained_on("unseen") == [tmp_path / "unseen.zarr"]


def test_a_step_on_a_device_is_compared_with_the_cpus() -> None:
    cpu = torch.device("cpu")
    found = gpu_equal.step("ms-clr", "vit", cpu, quick=True)
    assert found["fp32"] == {"loss": 0, "gradients": 0}
    assert 0 < found["bf16"]["loss"] < gpu_equal.BOUNDS["bf16"]["loss"]
    assert gpu_equal.beyond(found) == []
    found["fp32"]["gradients"] = float("nan")
    assert gpu_equal.beyond(found) == ["fp32 gradients nan"]
    assert set(gpu_equal.augmentations(cpu, samples=2).values()) == {0.0}


def test_the_same_draws_come_from_every_generator_inside_host_draws() -> None:
    views = []
    for seed in (1, 2):
        with gpu_equal.host_draws(7):
            chain = [Component(name=name) for name in ("shear", "gaussian_noise")]
            views.append(augment.apply(chain, clips(3, 25), KINECT, generator(seed)))
    assert torch.equal(*views)


def test_pieces_that_failed_or_are_unfinished_are_not_done(tmp_path: Path) -> None:
    def fails() -> dict[str, Any]:
        raise ValueError("no such kernel")

    found = gpu.measured(fails)
    assert found["error"] == "ValueError: no such kernel"
    path = tmp_path / "pieces" / "equal_a.json"
    path.parent.mkdir()
    assert not gpu.done(path, retry=False)
    for content, done, retried in (
        (found, False, False),
        ({"unfinished": True}, False, False),
        ({"beyond": ["loss"]}, True, False),
        ({"beyond": []}, True, True),
    ):
        path.write_text(json.dumps(content))
        assert (gpu.done(path, retry=False), gpu.done(path, retry=True)) == (done, retried)
    assert gpu.collect(path.parent, {"equal a": fails}, torch.device("cpu"), quick=True) == 0
    assert (
        gpu.collect(path.parent, {"equal a": fails, "equal b": fails}, torch.device("cpu"), quick=True) == 1
    )
    assert json.loads((tmp_path / "gpu_quick.json").read_text())["pieces"] == {"equal a": {"beyond": []}}
