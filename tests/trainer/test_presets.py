"""Presets: complete, buildable, sourced, and different from each other exactly where they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schemas import Component, UsageError
from tests.trainer.stores import write_store
from trainer import config, loop, methods
from trainer import store as stores
from trainer.config import Override
from trainer.encoders import ENCODERS
from trainer.methods import METHODS

TUNED = re.compile("nw-ucla|demo|small").match
ALL = [(method, name) for method in config.preset_methods() for name in config.preset_names(method)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return write_store(folder / "toy.zarr", conventions=("few_6", "many_8"), frames=(12, 50, 64))


def values(method: str, name: str, *, base: str | None = None) -> dict[str, Any]:
    return dict(config.leaves(config.find_preset(method, name, base=base).tree))


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {path: after.get(path) for path in {*before, *after} if before.get(path) != after.get(path)}


def test_every_method_has_the_papers_preset_first() -> None:
    assert set(config.preset_methods()) == set(methods.names())
    for method in config.preset_methods():
        summary, paper = config.about(method)
        assert summary
        assert config.preset_names(method)[0] == ("paper" if paper else "default")


@pytest.mark.parametrize(("method", "name"), ALL)
def test_a_preset_builds(store: Path, method: str, name: str) -> None:
    settings = config.resolve(stores.open_store(store), method=method, preset=name)
    _, built, _ = loop.build(settings.config)
    base = settings.config.method.options.get("base", {}).get("name", method)
    assert type(built) is METHODS[base]
    assert settings.config.preset == f"{method}/{name}"


@pytest.mark.parametrize(("method", "name"), ALL)
def test_a_preset_leaves_no_option_to_the_code(method: str, name: str) -> None:
    tree = config.find_preset(method, name).tree
    assert tree["encoder"]["options"].keys() == ENCODERS[tree["encoder"]["name"]].Options.model_fields.keys()
    component = tree["method"]
    while component is not None:
        assert component["options"].keys() == methods.options_of(component["name"]).model_fields.keys()
        component = component["options"].get("base")


@pytest.mark.parametrize(("method", "name"), ALL)
def test_every_value_has_a_source_and_every_source_a_value(method: str, name: str) -> None:
    preset = config.find_preset(method, name)
    paths = dict(config.leaves(preset.tree))
    for path in paths:
        assert preset.sources.get(path), path
        assert preset.sources[path].startswith("tuned") <= bool(TUNED(name)), (
            f"{path} has no source but the preset"
        )
    for path in preset.sources:
        assert any(f"{known}.".startswith(f"{path}.") for known in paths), path


PLACES = {
    "AimCLR": r"Data Augmentations [12]|Experimental Settings|Pretext training|Two-stage Training Strategy"
    r"|Finetune Protocol|Algorithm 1|Eq\. [1-9]|Table [1-8]",
    "CSCLR": r"3\.[1-4]|4\.[1-4]|Eq\. \d+|Tables? [1-9]",
    "MS-CLR": r"3\.[1-5]|4\.[1-3]|Eq\. [1-6]|Table [1-4]",
    "SkeleMixCLR": r"III-[A-C]|IV-[A-E]|Data Augmentation|Experiments Settings|Finetune Protocol"
    r"|Self-Supervised Pretext Training|Semi-Supervised|Eq\. [1-8]|Table (X|X?(IX|IV|V?I{1,3}|V))",
}
"""The sections, equations and tables that the papers have, as they are headed there."""

CITED = re.compile(
    rf"({'|'.join(PLACES)})(?:, | )(?!is silent)(.+?)(?=[:;]|, following| and its released|, of |$)"
)


@pytest.mark.parametrize(("method", "name"), [title for title in ALL if not TUNED(title[1])])
def test_a_source_names_a_place_that_its_paper_has(method: str, name: str) -> None:
    for path, said in config.find_preset(method, name).sources.items():
        assert not said.startswith("CrosSCLR"), f"{path}: that paper was not read; its released code was"
        if cited := CITED.match(said):
            paper, places = cited.groups()
            for place in re.split(", | and ", places):
                assert re.fullmatch(rf"{PLACES[paper]}|\d+", place), f"{path}: {paper} has no {place!r}"


@pytest.mark.parametrize(("method", "name"), [title for title in ALL if not TUNED(title[1])])
def test_a_number_is_the_one_that_its_source_quotes(method: str, name: str) -> None:
    """Of a list the first and the last. ISC's shares are printed as counts: see ``test_presets_isc``."""
    preset = config.find_preset(method, name)
    for path, value in config.leaves(preset.tree):
        items = value if isinstance(value, list) else [value]
        numeric = bool(items) and all(type(item) in (int, float) for item in items)
        quoted = re.findall(
            r"(?<![\w.])\d+(?:\.\d+)?(?:e-\d+)?(?!\w)", preset.sources[path].partition(":")[2]
        )
        if numeric and quoted and method != "isc":
            assert {items[0], items[-1]} <= {float(number) for number in quoted}, (path, preset.sources[path])


OF_PAPERS = ("aimclr", "crosclr", "csclr", "isc", "ms-clr", "skelemixclr", "skeletonclr")


@pytest.mark.parametrize("method", OF_PAPERS)
def test_the_presets_that_a_data_set_picks(method: str) -> None:
    names = set(config.preset_names(method))
    assert {"paper", "demo"} <= names
    assert config.about(method)[1]
    if method != "ms-clr":  # no poses of other conventions are published for these
        assert {"nw-ucla", "pku-1", "pku-2"} <= names
    if method not in ("csclr",):  # no code was released
        assert "released" in names


NUMBERS = {
    # lr, queue, temperature, epochs, momentum of the key network, milestones
    "skeletonclr/paper": (0.1, 32768, 0.07, 300, 0.999, [250]),
    "aimclr/paper": (0.1, 32768, 0.07, 300, 0.999, [250]),
    "crosclr/paper": (0.1, 32768, 0.07, 300, 0.999, [250]),
    "csclr/paper": (0.1, 32768, 0.07, 500, 0.999, [250]),
    "skelemixclr/paper": (0.1, 32768, 0.2, 300, 0.999, []),
    "isc/paper": (0.01, 16384, 0.07, 450, 0.999, [350]),
    "isc/pku-1": (0.01, 8192, 0.07, 600, 0.999, [350]),
    "isc/pku-2": (0.01, 2048, 0.07, 600, 0.999, [350]),
    "skeletonclr/pku-1": (0.1, 32768, 0.07, 300, 0.999, [250]),
    "aimclr/pku-2": (0.1, 32768, 0.07, 300, 0.999, [250]),
}


@pytest.mark.parametrize("title", NUMBERS)
def test_the_numbers_of_every_method(title: str) -> None:
    found = values(*title.split("/"))
    keys = ("optimise.lr", "method.options.queue", "method.options.temperature", "optimise.epochs")
    keys += ("method.options.momentum", "optimise.milestones")
    assert tuple(found[key] for key in keys) == NUMBERS[title]
    assert (found["optimise.momentum"], found["optimise.weight_decay"]) == (0.9, 1e-4)


def test_the_stages_of_the_papers() -> None:
    def starts(title: str) -> list[int]:
        component = Component(**config.find_preset(*title.split("/")).tree["method"])
        return [stage.start for stage in methods.stages(component)]

    assert starts("skeletonclr/paper") == [0]
    assert starts("aimclr/paper") == starts("aimclr/released") == starts("crosclr/paper") == [0, 150]
    assert starts("csclr/paper") == [0, 150, 300]


def test_published_numbers() -> None:
    for method in ("skeletonclr", "aimclr"):
        found = values(method, "paper")
        expected = {
            "data.frames": 50,
            "encoder.options.channels": [16, 16, 16, 16, 32, 32, 32, 64, 64, 256],
            "encoder.options.dropout": 0.5,
            "method.options.temperature": 0.07,
            "method.options.momentum": 0.999,
            "method.options.queue": 32768,
            "method.options.dim": 128,
            "optimise.epochs": 300,
            "optimise.batch_size": 128,
            "optimise.lr": 0.1,
            "optimise.momentum": 0.9,
            "optimise.weight_decay": 1e-4,
            "optimise.schedule": "step",
            "optimise.milestones": [250],
        }
        assert {path: found[path] for path in expected} == expected
    assert values("aimclr", "paper")["method.options.mine_from"] == 150
    assert values("aimclr", "paper")["method.options.nnm_reduction"] == "sum"
    assert values("ms-clr", "paper")["data.conventions"] == ["kinectv2_25", "smplx_42"]
    extreme = config.find_preset("aimclr", "paper").tree["augment"]["extreme"]
    assert [item["name"] for item in extreme] == [
        "shear", "temporal_crop", "spatial_flip", "rotate", "axis_mask", "temporal_flip", "gaussian_noise",
        "gaussian_blur",
    ]  # fmt: skip


def test_released_presets_differ_where_the_released_code_does() -> None:
    assert changed(values("skeletonclr", "paper"), values("skeletonclr", "released")) == {
        "encoder.options.adjacency": "degenerate",
        "method.options.key_init": "independent",
    }
    found = values("aimclr", "released")
    assert found["encoder.options.adjacency"] == "degenerate"
    assert found["method.options.key_init"] == "independent"
    assert found["method.options.nnm_reduction"] == "mean"
    extreme = config.find_preset("aimclr", "released").tree["augment"]["extreme"]
    options = {item["name"]: item["options"] for item in extreme}
    assert "temporal_flip" not in options
    assert options["spatial_flip"]["mirror_axis"] is False
    assert options["gaussian_blur"]["normalise_kernel"] is False
    ms = values("ms-clr", "released")
    assert ms["method.options.pairing"] == "random"
    assert ms["method.options.base.options.key_init"] == "independent"
    assert changed(values("skeletonclr", "paper"), values("skeletonclr", "t02")) == {
        "data.frames": 64,
        "method.options.temperature": 0.2,
        "optimise.schedule": "constant",
        "optimise.milestones": [],
    }


def test_ms_clr_is_its_base_with_other_conventions() -> None:
    aimclr, ms = values("aimclr", "paper"), values("ms-clr", "paper")
    moved = {
        path.replace("method.", "method.options.base.", 1) if path.startswith("method.") else path: value
        for path, value in aimclr.items()
    }
    assert changed(moved, ms) == {
        "data.conventions": ["kinectv2_25", "smplx_42"],
        "method.name": "ms-clr",
        "method.options.pairing": "cross",
        "method.options.draw": "batch",
    }
    assert ms["method.options.reference"] is None


def test_another_base_brings_its_own_preset(store: Path) -> None:
    found = values("ms-clr", "demo", base="skeletonclr")
    assert found["method.options.base.name"] == "skeletonclr"
    own = values("skeletonclr", "demo")
    assert found["method.options.base.options.queue"] == own["method.options.queue"]
    assert "method.options.base.options.mine_from" not in found
    assert not any(path.startswith("augment.extreme") for path in found)
    settings = config.resolve(
        stores.open_store(store), method="ms-clr", base="skeletonclr", overrides=[Override("data.frames", 12)]
    )
    _, built, _ = loop.build(settings.config)
    assert type(built) is METHODS["skeletonclr"]
    assert settings.sources["method.options.base.name"] == "--base"
    with pytest.raises(UsageError, match="aimclr/paper has no base method"):
        config.find_preset("aimclr", "paper", base="skeletonclr")
    with pytest.raises(UsageError, match="unknown method 'simclr'"):
        config.find_preset("ms-clr", "paper", base="simclr")
