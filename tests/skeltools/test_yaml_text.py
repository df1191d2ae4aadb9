"""A key may be there once, in every file of settings, convention or recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas import ConfigError
from schemas.yaml_text import KeyTwiceError, load_json, load_yaml
from skeltools import skeletons
from skeltools.preprocess import load


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1",
        "- a\n- {b: [1, 2.5, yes]}",
        "a: {b: 1}\nc: {b: 1}",
        "x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}",
    ],
)
def test_other_text_is_as_the_standard_loader_reads_it(text: str) -> None:
    assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 1", "'a' is there twice, in lines 1 and 3"),
        ("b: {a: 1, a: 2}", "'a' is there twice, in line 1"),
        ("- x\n- b:\n    c: 1\n    c: 2", "'c' is there twice, in lines 3 and 4"),
    ],
)
def test_a_key_given_twice_is_named_with_its_lines(text: str, message: str) -> None:
    with pytest.raises(KeyTwiceError) as caught:
        load_yaml(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "a: !!python/name:os.system x"])
def test_nothing_but_plain_values_is_made(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


@pytest.mark.parametrize(
    "text", ["0x" + "f" * 4000, "0b" + "1" * 20_000, "9" * 5000, "a: [-0x" + "7" * 6000 + "]"]
)
def test_numbers_that_cannot_be_written_are_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="4300 digits"):
        load_yaml(text)


def test_json_of_many_values_is_refused() -> None:
    assert len(load_json("[" + "0," * 10_000 + "0]")) == 10_001
    with pytest.raises(ValueError, match="more than 50000 values"):
        load_json("[" + "0," * 60_000 + "0]")


def test_json_has_a_key_once() -> None:
    assert load_json('{"a": {"b": 1}, "c": {"b": 2}}') == {"a": {"b": 1}, "c": {"b": 2}}
    with pytest.raises(KeyTwiceError, match="'b' is there twice"):
        load_json('{"a": {"b": 1, "b": 2}}')


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_convention_with_a_key_twice_is_refused(tmp_path: Path, suffix: str) -> None:
    content: dict[str, Any] = skeletons.describe("coco_17") | {"name": "mine"}
    text = json.dumps(content)
    (tmp_path / f"mine{suffix}").write_text(f'{text[:-1]}, "units": "metres"}}')
    with pytest.raises(ConfigError, match="'units' is there twice"):
        skeletons.load(str(tmp_path / f"mine{suffix}"))


def test_a_recipe_with_an_option_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("- fill_gaps: {max_gap: 15, max_gap: 3}\n")
    with pytest.raises(ConfigError, match="'max_gap' is there twice"):
        load(str(tmp_path / "mine.yaml"))
