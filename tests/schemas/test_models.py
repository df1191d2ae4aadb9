"""The models refuse what they do not know, check ranges, and survive JSON and YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from schemas import (
    AugmentConfig,
    Component,
    ConventionInfo,
    DataConfig,
    EvaluationResult,
    Finding,
    Naming,
    OptimiseConfig,
    ProtocolInfo,
    RecipeRecord,
    RunConfig,
    RuntimeConfig,
    SkeletonSpec,
    StoreManifest,
    UsageError,
    require,
)
from schemas._model import Stored

PARTS = {"trunk": (0,), "left_arm": (1,), "right_arm": (2,), "left_leg": (3,), "right_leg": (4,)}
SPEC: dict[str, Any] = {
    "name": "star_5",
    "joints": ("c", "la", "ra", "ll", "rl"),
    "edges": ((1, 0), (2, 0), (3, 0), (4, 0)),
    "center": 0,
    "shoulders": (1, 2),
    "left_right_swap": (0, 2, 1, 4, 3),
    "body_parts": PARTS,
}
RECIPE: dict[str, Any] = {"name": "default", "steps": [{"name": "resize"}]}
MANIFEST: dict[str, Any] = {
    "format": 1,
    "dataset": "ntu60",
    "tool": "skeltools 0",
    "samples": 2,
    "classes": ["a", "b"],
    "protocols": {"xsub": {"rule": "r", "train": 1, "test": 1}},
    "conventions": {"star_5": {"reader": "ntu", "axes": "unchanged"}},
    "recipe": RECIPE,
    "arrays": {"samples/id": {"dimensions": ["N"], "shape": [2], "dtype": "str", "sha256": "0"}},
}
RUN: dict[str, Any] = {
    "preset": "aimclr/paper",
    "data": {"store": "x.zarr"},
    "encoder": {"name": "stgcn"},
    "method": {"name": "aimclr"},
}
RESULT: dict[str, Any] = {
    "protocol": "knn", "settings": {"k": 20}, "dataset": "ntu60", "synthetic": True, "store": "s",
    "store_hash": "0", "split": "xsub", "convention": "star_5", "stream": "joint", "method": "aimclr",
    "checkpoint": "c", "checkpoint_hash": "0", "epoch": 1, "train_samples": 1, "test_samples": 1,
    "top1": 0.5, "seconds": 1, "tool": "t",
}  # fmt: skip

COMPLETE: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (SkeletonSpec, SPEC),
    (StoreManifest, MANIFEST),
    (ProtocolInfo, MANIFEST["protocols"]["xsub"]),
    (ConventionInfo, MANIFEST["conventions"]["star_5"]),
    (RecipeRecord, RECIPE),
    (Finding, {"file": "f", "problem": "p", "action": "skipped"}),
    (RunConfig, RUN),
    (DataConfig, RUN["data"]),
    (Component, RUN["encoder"]),
    (AugmentConfig, {}),
    (OptimiseConfig, {}),
    (RuntimeConfig, {}),
    (EvaluationResult, RESULT),
]


@pytest.mark.parametrize(("model", "values"), COMPLETE, ids=lambda x: getattr(x, "__name__", ""))
def test_a_model_survives_json_and_yaml_and_cannot_be_changed(model: type[BaseModel], values: dict) -> None:
    made = model.model_validate(values)
    assert model.model_validate_json(made.model_dump_json()) == made
    assert model.model_validate(yaml.safe_load(yaml.safe_dump(made.model_dump(mode="json")))) == made
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, next(iter(model.model_fields)), None)


@pytest.mark.parametrize(("model", "values"), COMPLETE, ids=lambda x: getattr(x, "__name__", ""))
def test_an_unknown_key_is_refused_and_kept_in_a_store(model: type[BaseModel], values: dict) -> None:
    more = {**values, "colour": "red"}
    if issubclass(model, Stored):
        assert model.model_validate(more).model_dump(mode="json")["colour"] == "red"
        return
    with pytest.raises(ValidationError) as caught:
        model.model_validate(more)
    assert caught.value.errors()[0]["loc"] == ("colour",)


@pytest.mark.parametrize(
    ("model", "values", "changes"),
    [
        (OptimiseConfig, {}, {"epochs": 0}),
        (OptimiseConfig, {}, {"batch_size": 1}),
        (OptimiseConfig, {}, {"lr": 0}),
        (OptimiseConfig, {}, {"momentum": 1}),
        (OptimiseConfig, {}, {"weight_decay": -1e-9}),
        (OptimiseConfig, {}, {"schedule": "linear"}),
        (OptimiseConfig, {}, {"gamma": 1.5}),
        (OptimiseConfig, {}, {"warmup_epochs": -1}),
        (OptimiseConfig, {}, {"nesterov": True, "momentum": 0}),
        (OptimiseConfig, {}, {"epochs": 2.5}),
        (RuntimeConfig, {}, {"precision": "fp16"}),
        (RuntimeConfig, {}, {"seed": -1}),
        (RuntimeConfig, {}, {"log_every": 0}),
        (RuntimeConfig, {}, {"checkpoint_every": 0}),
        (RuntimeConfig, {}, {"knn_every": -1}),
        (DataConfig, RUN["data"], {"frames": 0}),
        (DataConfig, RUN["data"], {"stream": "view"}),
        (StoreManifest, MANIFEST, {"format": 0}),
        (StoreManifest, MANIFEST, {"samples": -1}),
        (EvaluationResult, RESULT, {"top1": 50.0}),
        (EvaluationResult, RESULT, {"seconds": -1}),
        (SkeletonSpec, SPEC, {"name": "../up"}),
        (SkeletonSpec, SPEC, {"units": "feet"}),
        (SkeletonSpec, SPEC, {"center": -1}),
        (SkeletonSpec, SPEC, {"edges": ((1, 0), (2, 0), (3, 0), (3, 4))}),
        (SkeletonSpec, SPEC, {"edges": ((1, 2), (2, 1), (3, 0), (4, 0))}),
        (SkeletonSpec, SPEC, {"left_right_swap": (0, 2, 3, 1, 4)}),
        (SkeletonSpec, SPEC, {"left_right_swap": (0, 1, 2, 4, 3)}),
        (SkeletonSpec, SPEC, {"body_parts": {**PARTS, "trunk": (0, 1)}}),
        (SkeletonSpec, SPEC, {"body_parts": {**PARTS, "tail": ()}}),
        (SkeletonSpec, SPEC, {"axes": ("left", "right", "forward")}),
        (SkeletonSpec, SPEC, {"joints": ("c", "c", "ra", "ll", "rl")}),
    ],
)
def test_ranges_are_checked(model: type[BaseModel], values: dict, changes: dict) -> None:
    model.model_validate(values)
    with pytest.raises(ValidationError):
        model.model_validate({**values, **changes})


def test_yaml_reads_1e_minus_4_as_text_and_the_models_take_it() -> None:
    read = yaml.safe_load("{weight_decay: 1e-4, lr: 1e-1, epochs: '3'}")
    assert isinstance(read["weight_decay"], str)
    config = OptimiseConfig.model_validate(read)
    assert (config.weight_decay, config.lr, config.epochs) == (1e-4, 0.1, 3)


def test_defaults_are_those_that_the_papers_share() -> None:
    run = RunConfig.model_validate(RUN)
    assert run.data.frames == 50
    assert (run.optimise.lr, run.optimise.momentum, run.optimise.weight_decay) == (0.1, 0.9, 1e-4)
    assert (run.optimise.epochs, run.optimise.batch_size, run.optimise.nesterov) == (300, 128, False)


def test_stored_runs_of_earlier_versions_call_the_split_a_protocol() -> None:
    run = RunConfig.model_validate({**RUN, "data": {"store": "x.zarr", "protocol": "xsub"}})
    assert run.data.split == "xsub"
    assert "protocol" not in run.model_dump()["data"]
    with pytest.raises(ValidationError, match="protocol"):
        DataConfig.model_validate({"store": "x.zarr", "protocol": "xsub", "split": "xview"})


def test_parents_follow_from_edges_and_the_centre_is_its_own() -> None:
    spec = SkeletonSpec.model_validate({**SPEC, "edges": ((1, 0), (2, 0), (3, 1), (4, 2))})
    assert spec.parents == (0, 0, 0, 1, 2)
    assert spec.num_joints == 5


def test_a_stores_hash_follows_its_samples_and_not_its_streams() -> None:
    def hashed(**sums: str) -> str:
        arrays = {
            path.replace("__", "/"): {**MANIFEST["arrays"]["samples/id"], "sha256": value}
            for path, value in sums.items()
        }
        return StoreManifest.model_validate({**MANIFEST, "arrays": arrays}).hash

    base = hashed(samples__id="0", samples__label="1", splits__xsub="2", sequences__star_5__joints="3")
    assert len(base) == 64
    assert base == hashed(
        streams__x="9", sequences__star_5__joints="3", splits__xsub="2", samples__label="1", samples__id="0"
    )
    assert base != hashed(
        samples__id="0", samples__label="7", splits__xsub="2", sequences__star_5__joints="3"
    )


@pytest.mark.parametrize(
    ("name", "step", "options", "earlier"),
    [
        ("crossclr", "turn_frames", {}, True),
        ("crossclr", "turn_frames_about_y", {}, False),
        ("default", "turn_clip", {}, True),
        ("isc", "center_spine", {"origin": "first_frame"}, True),
        ("isc", "center_spine", {"origin": "every_frame"}, False),
        ("mine", "turn_clip", {}, False),
    ],
)
def test_a_shipped_recipe_of_before_is_told_from_the_present_one(
    name: str, step: str, options: dict[str, str], earlier: bool
) -> None:
    record = RecipeRecord(name=name, steps=(Component(name=step, options=options), Component(name="resize")))
    assert record.label == (f"{name} (an earlier form)" if earlier else name)


HAND = {key: SPEC[key] for key in ("name", "joints", "edges", "center")}


def test_shoulders_sides_and_body_parts_are_optional_and_not_written_when_absent() -> None:
    spec = SkeletonSpec.model_validate(HAND)
    assert (spec.shoulders, spec.left_right_swap, spec.body_parts) == (None, None, None)
    written = spec.model_dump(mode="json")
    assert written.keys() == {"name", "joints", "edges", "center", "units", "axes", "source"}
    assert SkeletonSpec.model_validate(written) == spec
    assert SkeletonSpec.model_validate_json(spec.model_dump_json()) == spec
    assert list(SkeletonSpec.model_validate(SPEC).model_dump()) == list(SkeletonSpec.model_fields)


@pytest.mark.parametrize("key", ["shoulders", "left_right_swap", "body_parts"])
def test_each_of_them_may_be_absent_on_its_own(key: str) -> None:
    spec = SkeletonSpec.model_validate({k: v for k, v in SPEC.items() if k != key})
    require(spec, {"shoulders", "left_right_swap", "body_parts"} - {key}, by="a step", remedy="")
    with pytest.raises(UsageError) as caught:
        require(spec, (key,), by="step turn_clip", where="mine.yaml", remedy="Choose another")
    words = {"shoulders": "shoulders", "left_right_swap": "sides", "body_parts": "body parts"}[key]
    assert str(caught.value).startswith(f"mine.yaml: step turn_clip needs {words}")
    assert str(caught.value).endswith("which convention star_5 does not have. Choose another")


def test_a_body_part_that_is_left_out_is_empty() -> None:
    upper = {"trunk": (0, 3, 4), "left_arm": (1,), "right_arm": (2,)}
    spec = SkeletonSpec.model_validate({**SPEC, "body_parts": upper})
    assert spec.body_parts == {**upper, "left_leg": (), "right_leg": ()}


def test_a_centre_that_is_not_the_root_of_the_tree_becomes_it() -> None:
    """The hip is the root of knee, chest and head, as motion capture writes it; the centre is the chest."""
    tree = {"name": "rig", "joints": ("hip", "chest", "head", "knee"), "edges": ((1, 0), (2, 1), (3, 0))}
    spec = SkeletonSpec.model_validate({**tree, "center": 1})
    assert spec.edges == ((0, 1), (2, 1), (3, 0)), "in their order, turned from the old root to the centre"
    assert spec.parents == (1, 1, 1, 0)
    assert SkeletonSpec.model_validate(spec.model_dump()) == spec
    same = SkeletonSpec.model_validate({**tree, "center": 0})
    assert same.edges == tree["edges"]


@pytest.mark.parametrize(
    ("naming", "problem"),
    [
        ({"synonyms": {"c": ("a",), "tail": ("b",)}}, "'tail'"),
        ({"synonyms": {"la": ("arm",), "ra": ("arm",)}}, "'arm'"),
        ({"synonyms": {"la": ("ra",)}}, "'ra'"),
        ({"midpoints": {"c": ("ll", "tail")}}, "'tail'"),
    ],
)
def test_names_of_joints_elsewhere_are_checked_against_the_joints(naming: Any, problem: str) -> None:
    Naming(synonyms={"la": ("left_arm",)}, midpoints={"c": ("ll", "rl")}).check(SPEC["joints"])
    with pytest.raises(ValueError, match=problem):
        Naming.model_validate(naming).check(SPEC["joints"])
