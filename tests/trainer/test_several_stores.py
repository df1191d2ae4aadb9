"""One encoder trained on several stores: settings, batches, resumed runs, evaluation, exports."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer
from schemas import ConfigError, RunConfig, SkelError, StoreError, UsageError
from tests.trainer.command import call
from tests.trainer.runs import TINY, TINY_PARTS, WITHOUT_QUEUE, evaluate_run, tiny_arguments, tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, config, data, loop, methods
from trainer import store as stores
from trainer.config import Override
from trainer.data import Together
from trainer.export import export_run, load_encoder
from trainer.loop import pretrain
from trainer.methods import METHODS
from trainer.run import open_run
from trainer.shards import Shards

QUEUE = {"method.options.queue": 16}
SHORT = {name: {"epochs": 1} for name in ("linear", "finetune", "supervised", "transfer")} | {
    "semi": {"epochs": 1, "draws": 1, "shares": [50]}
}


def pair(folder: Path, **second: Any) -> tuple[Path, Path]:
    """few_6 with two bodies and 21 training clips; many_8 with one body, other classes' rows, 14 of them."""
    one = write_store(folder / "one", manifest={"dataset": "one"})
    given = {"samples": 20, "bodies": 1, "seed": 1, "protocol": "xsub", "manifest": {"dataset": "two"}}
    return one, write_store(folder / "two", conventions=["many_8"], **(given | second))


def both(*paths: Path, method: str = "skeletonclr", **changes: Any) -> RunConfig:
    queue = {"method.options.base.options.queue": 16} if method == "ms-clr" else QUEUE
    values = TINY | WITHOUT_QUEUE.get(method, queue)
    if method in TINY_PARTS:
        values = {path: value for path, value in values.items() if not path.startswith("encoder.")}
        values |= TINY_PARTS[method]
    values |= {name.replace("__", "."): value for name, value in changes.items()}
    first, *more = map(stores.open_store, paths)
    overrides = [Override(*each) for each in values.items()]
    return config.resolve(
        first, more=more, method=method, preset=config.preset_names(method)[0], overrides=overrides
    ).config


def training(settings: RunConfig) -> Together:
    opened, _, _ = loop.build(settings)
    found = loop.session.load_training(opened, settings)
    assert isinstance(found, Together)
    return found


def epoch_of(samples: Together, **more: Any) -> list[data.Batch]:
    return list(data.batches(samples, **({"batch_size": 4, "seed": 0, "epoch": 0} | more)))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return open_run(run, unfinished=True).checkpoint.model


# --- settings


def test_every_store_gets_its_split_its_conventions_and_room_for_the_bodies_of_all(tmp_path: Path) -> None:
    settings = both(*pair(tmp_path)).data
    (other,) = settings.more
    assert (settings.split, settings.conventions, settings.bodies) == ("xview", ("few_6",), 2)
    assert (other.split, other.conventions) == ("xsub", ("many_8",))
    assert (Path(settings.store).name, Path(other.store).name) == ("one", "two")


def test_conventions_are_taken_where_a_store_has_them(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", conventions=["few_6", "many_8"])
    two = write_store(tmp_path / "two", conventions=["many_8"], seed=1)
    asked = both(one, two, data__conventions=["many_8"]).data
    assert (asked.conventions, asked.more[0].conventions) == (("many_8",), ("many_8",))
    asked = both(one, two, data__conventions=["few_6", "many_8"]).data
    assert (asked.conventions, asked.more[0].conventions) == (("few_6",), ("many_8",))
    with pytest.raises(StoreError, match="two: no convention 'few_6'"):
        both(one, two, data__conventions=["few_6"])
    with pytest.raises(StoreError, match="no convention 'other'"):
        both(one, two, data__conventions=["few_6", "many_8", "other"])


def test_a_list_of_stores_in_a_settings_file_is_that_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = pair(tmp_path)
    file = tmp_path / "settings.yaml"
    file.write_text(f"data: {{store: [{one}, {two}], weights: [1, 2]}}\n", encoding="utf-8")
    named = ("--store", one, "--store", two, "--store-weight", 1, "--store-weight", 2)
    arguments = ("--method", "skeletonclr", "--dry-run", *tiny_arguments())
    code, told, _ = call(capsys, "pretrain", *named, *arguments)
    again, from_file, _ = call(capsys, "pretrain", "--config", file, *arguments)
    assert (code, again) == (0, 0)
    strip = [line.partition("  #")[0] for line in told.splitlines()]
    assert strip == [line.partition("  #")[0] for line in from_file.splitlines()]
    (tmp_path / "again.yaml").write_text(told, encoding="utf-8")
    _, repeated, _ = call(capsys, "pretrain", "--config", tmp_path / "again.yaml", "--dry-run")
    assert strip == [line.partition("  #")[0] for line in repeated.splitlines()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__weights": [1]}, "1 weights for 2 stores"),
        ({"data__weights": [1, 0]}, "data.weights"),
        ({"data__frames": 16}, "one: few_6 has no joint stream of 16 frames.*--frames 16"),
        ({"data__bodies": 1}, "places for 2 bodies"),
        ({"data__memory_limit": 99}, r"99 bytes are too few .* the least is \d{5}"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    paths = pair(tmp_path)
    with pytest.raises(SkelError, match=message):
        training(both(*paths, **changes))


def test_a_store_without_the_stream_is_named_with_the_command(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", frames=[12, 16])
    two = write_store(tmp_path / "two", conventions=["many_8"], frames=[12])
    with pytest.raises(
        StoreError, match=r"two: many_8 has no joint stream of 16.*`skeltools streams .*two --"
    ):
        both(one, two, data__frames=16)


def test_a_store_named_twice_is_refused(tmp_path: Path) -> None:
    one, _ = pair(tmp_path)
    with pytest.raises(ConfigError, match="named twice"):
        both(one, one)


def test_2d_and_3d_are_refused_together(tmp_path: Path) -> None:
    flat = {"many_8": {"reader": "custom", "axes": "", "coordinates": "xy"}}
    one, two = pair(tmp_path, manifest={"conventions": flat})
    with pytest.raises(StoreError, match="few_6 of one is 3D and many_8 of two is 2D"):
        loop.build(both(one, two))


def test_one_name_for_two_skeletons_is_refused(tmp_path: Path) -> None:
    import zarr

    one = write_store(tmp_path / "one")
    two = write_store(tmp_path / "two", seed=1)
    group = zarr.open_group(str(two))["skeletons/few_6"]
    group.attrs["joints"] = ["pelvis", "neck", "right_hand", "left_hand", "left_foot", "right_foot"]
    with pytest.raises(StoreError, match="two: few_6 is another skeleton here"):
        loop.build(both(one, two))


def test_ms_clr_names_the_store_that_has_one_convention(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", conventions=["few_6", "many_8"])
    two = write_store(tmp_path / "two", conventions=["many_8"], seed=1)
    with pytest.raises(UsageError, match="two: ms-clr contrasts skeleton conventions and needs two"):
        loop.build(both(one, two, method="ms-clr"))


# --- batches


def test_one_store_in_a_list_is_that_store(tmp_path: Path) -> None:
    one, _ = pair(tmp_path)
    assert both(one) == tiny_config(one)
    made = {"method": "skeletonclr", "preset": "paper", "settings": TINY | QUEUE}
    alone = trainer.pretrain(one, out=tmp_path / "a", **made)
    listed = trainer.pretrain([one], out=tmp_path / "b", **made)
    assert alone.config == listed.config
    assert all(value.equal(weights(tmp_path / "b")[name]) for name, value in weights(tmp_path / "a").items())


def test_an_epoch_shows_every_clip_of_each_store_once(tmp_path: Path) -> None:
    samples = training(both(*pair(tmp_path)))
    found = epoch_of(samples)
    assert (len(samples), samples.steps(batch_size=4), len(found)) == (35, (5, 3), 8)
    assert Counter(batch.query for batch in found) == {"few_6": 5, "many_8": 3}
    rows = [row for batch in found for row in batch.rows.tolist()]
    assert len(set(rows)) == len(rows) == 32
    for batch in found:
        assert {*batch.clips} == {batch.query} == {batch.key}
        source = samples.sources[batch.query == "many_8"]
        own = batch.rows - samples.starts[batch.query == "many_8"]
        assert isinstance(source, stores.Samples)
        assert batch.clips[batch.query].equal(source.clips[batch.query][own])
        assert batch.clips[batch.query].shape[4] == 2
    assert not any(batch.clips["many_8"][..., 1].any() for batch in found if batch.query == "many_8")


@pytest.mark.parametrize(
    ("ratio", "steps"), [((1, 1), (4, 4)), ((1, 3), (2, 6)), ((1, 1000), (1, 7)), ((5, 3), (5, 3))]
)
def test_weights_divide_the_steps_of_an_epoch(
    tmp_path: Path, ratio: tuple[int, int], steps: tuple[int, int]
) -> None:
    samples = training(both(*pair(tmp_path), data__weights=ratio))
    assert samples.steps(batch_size=4) == steps
    for epoch in range(2):
        found = epoch_of(samples, epoch=epoch)
        assert tuple(Counter(batch.query for batch in found)[name] for name in ("few_6", "many_8")) == steps
        for name in ("few_6", "many_8"):  # no clip twice before every other one was seen
            whole = [row for batch in found if batch.query == name for row in batch.rows.tolist()]
            per_pass = {"few_6": 20, "many_8": 12}[name]
            assert all(
                len(set(whole[start : start + per_pass])) == len(whole[start : start + per_pass])
                for start in range(0, len(whole), per_pass)
            )


@pytest.mark.parametrize("limit", [None, 80_000])
def test_an_epoch_can_be_entered_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr(stores, "_BLOCK", 4)  # rows of a shard
    settings = both(*pair(tmp_path), data__weights=[1, 2], data__memory_limit=limit)
    samples = training(settings)
    assert all(isinstance(each, Shards) == (limit is not None) for each in samples.sources)
    whole = epoch_of(samples, epoch=3)
    for start in range(len(whole) + 1):
        for late, early in zip(epoch_of(samples, epoch=3, start_step=start), whole[start:], strict=True):
            assert late.rows.equal(early.rows)
            assert (late.query, late.key) == (early.query, early.key)
            assert late.clips[late.query].equal(early.clips[early.query])
            assert late.generator.initial_seed() == early.generator.initial_seed()


def test_labels_of_two_stores_are_not_mixed_up(tmp_path: Path) -> None:
    labels = [row % 3 if row % 2 else -1 for row in range(20)]
    samples = training(both(*pair(tmp_path, labels=labels)))
    assert set(samples.labels[:21].tolist()) == {0, 1, 2}
    assert set(samples.labels[21:].tolist()) == {-1, 3, 4, 5}


def test_ms_clr_pairs_the_conventions_of_each_store(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", conventions=["few_6", "many_8"])
    two = write_store(tmp_path / "two", conventions=["many_8", "few_6"], seed=1, samples=20)
    samples = training(both(one, two, method="ms-clr", method__options__pairing="anchored"))
    assert samples.steps(batch_size=4) == (10, 6)
    assert all({batch.query, batch.key} == {"few_6", "many_8"} for batch in epoch_of(samples))
    settings = both(one, two, method="ms-clr", method__options__reference="few_6")
    assert len(methods.pairings(settings.method, settings.data)) == 2


# --- runs


@pytest.mark.parametrize("method", [*sorted(METHODS), "ms-clr"])
def test_every_method_trains_on_several_stores(tmp_path: Path, method: str) -> None:
    conventions = ["few_6", "many_8"] if method == "ms-clr" else ["many_8"]
    one = write_store(tmp_path / "one", conventions=["few_6", "many_8"] if method == "ms-clr" else ["few_6"])
    two = write_store(tmp_path / "two", conventions=conventions, samples=20, seed=1, bodies=1)
    settings = both(one, two, method=method, optimise__epochs=1)
    ended = pretrain(settings, out=tmp_path / "r")
    assert ended.epoch == 1
    assert open_run(tmp_path / "r").method.encoders


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    settings = both(*pair(tmp_path), data__weights=[1, 2], optimise__epochs=3)
    pretrain(settings, out=tmp_path / "whole")

    def stop(progress: loop.Progress) -> None:
        if (progress.epoch, progress.step) == (2, 3):
            os.kill(os.getpid(), signal.SIGTERM)

    ended = pretrain(settings, out=tmp_path / "parts", on_progress=stop)
    assert (ended.epoch, ended.signal is not None) == (1, True)
    pretrain(settings, out=tmp_path / "parts", resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(value.equal(parts[name]) for name, value in whole.items())


def test_stores_that_moved_are_named_in_their_order_on_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = pair(tmp_path)
    pretrain(both(one, two), out=tmp_path / "r")
    moved = one.rename(tmp_path / "moved"), two.rename(tmp_path / "elsewhere")
    arguments = ("pretrain", "--out", tmp_path / "r", "--resume", "--epochs", 3)
    code, _, errors = call(capsys, *arguments, "--store", moved[1], "--store", moved[0])
    assert code == 1
    assert "the run was trained on store" in errors
    code, _, _ = call(capsys, *arguments, "--store", moved[0], "--store", moved[1])
    assert code == 0
    assert Path(open_run(tmp_path / "r").config.data.more[0].store) == moved[1]
    code, _, errors = call(capsys, *arguments, *("--store", moved[0]) * 3)
    assert "the run has 2 stores, found 3" in errors


def test_each_store_is_evaluated_by_its_own_probe_in_files_of_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = pair(tmp_path)
    pretrain(both(one, two), out=tmp_path / "r")
    protocols = ("--protocol", "knn", "--protocol", "finetune", "--set", "finetune.epochs=1")
    for named in ((), ("--store", two)):
        code, _, errors = call(capsys, "evaluate", tmp_path / "r", *named, *protocols)
        assert code == 0, errors
    files = {path.name for path in (tmp_path / "r/results").glob("*.json")}
    assert files == {
        f"{figure}-{name}-{convention}.json"
        for figure in ("knn", "knn1", "finetune")
        for name, convention in (("one", "few_6"), ("two", "many_8"))
    }
    of = {saved.result.dataset: saved.result for saved in open_run(tmp_path / "r").results}
    assert (of["one"].test_samples, of["two"].test_samples) == (9, 6)
    assert (of["one"].split, of["two"].split) == ("xview", "xsub")
    assert (of["one"].convention, of["two"].convention) == ("few_6", "many_8")
    code, _, errors = call(capsys, "evaluate", tmp_path / "r", "--store", two, "--convention", "few_6")
    assert "trained on many_8, not on 'few_6'" in errors
    stranger = write_store(tmp_path / "stranger", samples=24)
    code, _, errors = call(capsys, "evaluate", tmp_path / "r", "--store", stranger)
    assert "the run was trained on store" in errors


def test_data_sets_of_one_name_are_numbered(tmp_path: Path) -> None:
    one, two = pair(tmp_path, manifest={"dataset": "one"})
    pretrain(both(one, two), out=tmp_path / "r")
    evaluate_run(tmp_path / "r", store=two)
    assert (tmp_path / "r/results/knn-one-2-many_8.json").is_file()


def test_a_store_that_is_gone_is_named_and_found_again(tmp_path: Path) -> None:
    one, two = pair(tmp_path)
    pretrain(both(one, two), out=tmp_path / "r")
    moved = two.rename(tmp_path / "moved")
    with pytest.raises(StoreError, match=r"two: a store that the run was trained on.*one more --store"):
        evaluate_run(tmp_path / "r")
    assert open_run(tmp_path / "r", store=[one, moved]).evaluate("knn")[0].dataset == "one"
    assert open_run(tmp_path / "r", store=[moved, one]).evaluate("knn")[0].dataset == "two"


def test_more_stores_than_a_run_has_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = pair(tmp_path)
    pretrain(tiny_config(one, optimise__epochs=1), out=tmp_path / "r")
    code, _, errors = call(capsys, "evaluate", tmp_path / "r", "--store", one, "--store", two)
    assert code == 2
    assert "the run was trained on 1 store(s), found 2" in errors


def test_features_are_those_of_a_run_on_one_store(tmp_path: Path) -> None:
    """Of the encoder itself on the second store, and of what is loaded from the run."""
    one, two = pair(tmp_path)
    pretrain(both(one, two), out=tmp_path / "r")
    run = open_run(tmp_path / "r", store=two)
    half = stores.load(run.store, split="xsub", part="test", conventions=["many_8"], frames=12, bodies=2)
    features = run.encoder()(half.clips["many_8"], "many_8")
    exported = load_encoder(tmp_path / "r")
    assert exported(half.clips["many_8"][..., :1].contiguous(), "many_8").allclose(features, atol=1e-6)


def test_an_export_knows_all_conventions_and_names_all_data_sets(tmp_path: Path) -> None:
    one, two = pair(tmp_path)
    pretrain(both(one, two), out=tmp_path / "r")
    card = export_run(tmp_path / "r", tmp_path / "e")
    assert ([*card.conventions], card.dataset, card.input.bodies) == (["few_6", "many_8"], "one+two", 2)
    card = export_run(tmp_path / "r", tmp_path / "f", store=two)
    assert ([*card.conventions], card.split) == (["many_8", "few_6"], "xsub")
    card = export_run(tmp_path / "r", tmp_path / "g", store=two, conventions=["many_8"])
    assert [*card.conventions] == ["many_8"]


def test_the_monitor_is_of_the_first_store(tmp_path: Path) -> None:
    one, two = pair(tmp_path, labels=[-1] * 20)
    pretrain(both(one, two, runtime__knn_every=2), out=tmp_path / "r")
    last = next(each for each in open_run(tmp_path / "r").metrics if "monitor_knn" in each)
    (knn, _) = evaluate_run(tmp_path / "r")
    assert last["monitor_knn"] == pytest.approx(knn.top1)


def test_transfer_from_a_run_of_several_stores(tmp_path: Path) -> None:
    one, two = pair(tmp_path)
    pretrain(both(one, two), out=tmp_path / "r")
    target = write_store(tmp_path / "t", conventions=["many_8"], bodies=1, seed=5, protocol="xsub")
    found = evaluate_run(tmp_path / "r", store=two, protocols=["transfer"], target=target, options=SHORT)
    assert found[0].dataset == "toy"


def test_a_convention_that_was_not_seen_starts_from_what_conventions_share(tmp_path: Path) -> None:
    target = write_store(tmp_path / "t", conventions=["many_8"], seed=5)
    alone = write_store(tmp_path / "alone", seed=2)
    pretrain(tiny_config(alone, optimise__epochs=1), out=tmp_path / "few")
    trainer.pretrain(
        target,
        method="skeletonclr",
        out=tmp_path / "on",
        settings=TINY | QUEUE,
        init_from=tmp_path / "few",
        init_skip=["*.conventions.*"],
    )
    (result,) = evaluate_run(
        tmp_path / "on",
        protocols=["finetune"],
        options=SHORT,
        init_from=tmp_path / "few",
        init_skip=["*.conventions.*"],
    )
    assert result.settings["init_from"]["skip"] == ["*.conventions.*"]


def test_old_checkpoints_have_one_store(tmp_path: Path) -> None:
    one, _ = pair(tmp_path)
    pretrain(tiny_config(one), out=tmp_path / "r")
    path = tmp_path / "r" / checkpoint.LAST
    content = torch.load(path, weights_only=True)
    del content["more_hashes"]
    torch.save(content, path)
    assert open_run(tmp_path / "r").checkpoint.hashes == [stores.open_store(one).hash]


def test_a_report_tells_of_all_stores(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from trainer.report import build

    one, two = pair(tmp_path)
    pretrain(both(one, two), out=tmp_path / "r")
    evaluate_run(tmp_path / "r")
    evaluate_run(tmp_path / "r", store=two)
    page = str(build.build([tmp_path / "r"], device="cpu", encoders=False))
    assert "trained on as well" in page
