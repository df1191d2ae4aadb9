"""Transfer: the same skeleton in both stores or an error that says what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr

import trainer
from schemas import StoreError
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import FEW, write_store
from trainer import checkpoint, loop
from trainer import store as stores
from trainer.evaluate import transfer


def opened(path: Path, **changes: Any) -> stores.Store:
    """A store of its own whose spec of few_6 is changed as its file may be."""
    write_store(path, **{key: changes.pop(key) for key in ("conventions", "samples") if key in changes})
    group = zarr.open_group(str(path), mode="r+")
    if changes:
        group["skeletons/few_6"].attrs.update(changes)
    return stores.open_store(path)


@pytest.fixture
def source(tmp_path: Path) -> stores.Store:
    return opened(tmp_path / "a.zarr", conventions=("few_6", "many_8"))


def check(source: stores.Store, target: stores.Store, convention: str = "few_6") -> None:
    transfer.check_target(source, target, convention, trained=("few_6", "many_8"))


def test_other_samples_of_the_same_skeleton_fit(source: stores.Store, tmp_path: Path) -> None:
    for target in (
        opened(tmp_path / "b.zarr", samples=18),
        opened(tmp_path / "c.zarr", source="another camera"),
    ):
        assert target.group != source.group
        check(source, target)


def test_2d_and_3d_poses_of_one_name_are_refused(source: stores.Store, tmp_path: Path) -> None:
    flat = {"few_6": {"reader": "custom", "axes": "", "coordinates": "xy"}}
    target = stores.open_store(
        write_store(tmp_path / "b.zarr", conventions=["few_6"], manifest={"conventions": flat})
    )
    with pytest.raises(StoreError, match=r"few_6 is 2D here, and 3D in \S+a.zarr"):
        check(source, target)
    with pytest.raises(StoreError, match=r"few_6 is 3D here, and 2D in \S+b.zarr"):
        check(target, source)


NAMES = list(FEW.joints)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (
            {"joints": [*NAMES[:2], "right_hand", "left_hand", *NAMES[4:]]},
            "joint 2 is left_hand there, right_hand here",
        ),
        ({"joints": ["hips", *NAMES[1:]]}, "pelvis only there, hips only here"),
        (
            {"edges": [[1, 0], [2, 0], [3, 1], [4, 0], [5, 0]]},
            "the parent of left_hand is neck there, pelvis here",
        ),
    ],
)
def test_another_skeleton_of_the_same_name_is_refused(
    changes: dict[str, Any], difference: str, source: stores.Store, tmp_path: Path
) -> None:
    with pytest.raises(StoreError) as refused:
        check(source, opened(tmp_path / "b.zarr", **changes))
    text = str(refused.value)
    assert text.startswith(
        f"{tmp_path / 'b.zarr'}: few_6 is not the same skeleton in {source.path} and here: "
    )
    assert f"{difference}. Convert one of them again with the few_6 of the other" in text


def test_another_number_of_joints_is_told(source: stores.Store, tmp_path: Path) -> None:
    spec = {
        "joints": NAMES[:4],
        "edges": [[1, 0], [2, 1], [3, 1]],
        "left_right_swap": [0, 1, 3, 2],
        "body_parts": {"trunk": [0, 1], "left_arm": [2], "right_arm": [3], "left_leg": [], "right_leg": []},
    }
    with pytest.raises(StoreError, match="its axis V has 6 places, not 4"):
        check(source, opened(tmp_path / "b.zarr", **spec))


def test_an_absent_convention_names_what_both_have(source: stores.Store, tmp_path: Path) -> None:
    target = opened(tmp_path / "b.zarr", conventions=("many_8",))
    told = r"trained on few_6, many_8, the target has many_8 and no few_6\. Choose --convention many_8"
    with pytest.raises(StoreError, match=told):
        check(source, target)
    with pytest.raises(
        StoreError,
        match=r"no few_6\. Add few_6 to it \(`skeltools convert`, or `skeltools map`\), or pre-train on",
    ):
        transfer.check_target(source, target, "few_6", trained=("few_6",))


def test_both_stores_are_kept(source: stores.Store, tmp_path: Path) -> None:
    target = opened(tmp_path / "b.zarr", samples=18)
    kept = transfer.provenance(source, target)["transfer"]
    assert (kept["source"]["store"], kept["target"]["store"]) == ("a.zarr", "b.zarr")
    assert kept["source"]["store_hash"] == source.hash != target.hash == kept["target"]["store_hash"]
    assert kept["target"] == {
        "store": "b.zarr",
        "store_hash": target.hash,
        "dataset": "toy",
        "recipe": "default",
        "synthetic": False,
    }


def test_frozen_encoders_are_measured_on_another_store(tmp_path: Path) -> None:
    own, other = write_store(tmp_path / "own.zarr"), write_store(tmp_path / "other.zarr", seed=4, samples=36)
    for name, store in (("run", own), ("there", other)):
        loop.pretrain(tiny_config(store, optimise__epochs=1), out=tmp_path / name)
    options = {"linear": {"epochs": 3}}
    protocols = ["knn", "linear", "retrieval"]
    results = evaluate_run(tmp_path / "run", protocols=protocols, target=other, options=options, device="cpu")
    assert [each.figure for each in results] == ["knn", "knn1", "linear", "retrieval"]
    # The same weights, as a run of the other store: the figures must be those of its own evaluation.
    saved = [checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("run", "there")]
    checkpoint.save(replace(saved[1], model=saved[0].model), tmp_path / "there" / checkpoint.LAST)
    expected = evaluate_run(tmp_path / "there", protocols=protocols, options=options, device="cpu")
    for found, wanted in zip(results, expected, strict=True):
        assert found.store_hash == stores.open_store(other).hash
        assert (found.top1, found.confusion, found.test_samples) == (
            wanted.top1,
            wanted.confusion,
            wanted.test_samples,
        )
        assert found.details["transfer"]["source"]["store"] == "own.zarr"
        assert found.random_knn is not None
        assert (tmp_path / "run" / "results" / f"{found.figure}-other-few_6.json").is_file()
    assert not trainer.load(tmp_path / "run").classifiers, "that of a target is none of the run's own"
    there = trainer.load(tmp_path / "run", classifier="linear-other-few_6")
    assert there.classifier("few_6").card.store_hash == results[0].store_hash


def test_own_and_other_store_are_told_apart_in_one_call(tmp_path: Path) -> None:
    own, other = write_store(tmp_path / "own.zarr"), write_store(tmp_path / "other.zarr", seed=4)
    loop.pretrain(tiny_config(own, optimise__epochs=1), out=tmp_path / "run")
    quick = {"epochs": 1, "batch_size": 8, "lr": 0.01}
    options = {"finetune": quick, "transfer": quick}
    protocols = ["knn", "finetune", "transfer"]
    results = evaluate_run(tmp_path / "run", protocols=protocols, target=other, options=options, device="cpu")
    where = {each.figure: each.store for each in results}
    assert where == {
        "knn": "other.zarr",
        "knn1": "other.zarr",
        "finetune": "own.zarr",
        "transfer": "other.zarr",
    }
    tried = {each.figure: each.random_knn is not None for each in results}
    assert tried == {"knn": True, "knn1": True, "finetune": False, "transfer": False}
