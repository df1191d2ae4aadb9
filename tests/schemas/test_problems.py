"""What pydantic finds wrong, in the words of the settings: the path, what is allowed, what was found."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, field_validator, model_validator

from schemas import config_error, problem
from schemas._model import Model


class Inner(Model):
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    span: tuple[float, float] | None = None


class Options(Model):
    epochs: int = 1
    flag: bool = False
    streams: tuple[Literal["joint", "bone"], ...] | None = None
    milestones: tuple[int, ...] = ()
    kind: Literal["a"] = "a"
    name: str = "x"
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    needed: int

    @field_validator("name")
    @classmethod
    def _no_spaces(cls, value: str) -> str:
        if " " in value:
            raise ValueError("no space is allowed")
        return value

    @model_validator(mode="after")
    def _check(self) -> Options:
        if self.flag and self.epochs == 1:
            raise ValueError("flag needs more epochs")
        return self


def error_of(values: dict[str, Any]) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate({"needed": 1} | values)
    return caught.value


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"epochs": 2.5}, "epochs: expected a whole number, found 2.5"),
        ({"epochs": None}, "epochs: expected a whole number, found null"),
        ({"flag": "perhaps"}, "flag: expected true or false, found 'perhaps'"),
        (
            {"streams": False},
            "streams: expected a list of names out of 'joint' or 'bone' or null, found false",
        ),
        ({"streams": ["joint", "bon"]}, "streams.1: expected 'joint' or 'bone', found 'bon'"),
        ({"milestones": 3}, "milestones: expected a list of whole numbers, found 3"),
        ({"kind": 1}, "kind: expected 'a', found 1"),
        ({"name": "x y"}, "name: no space is allowed, found 'x y'"),
        ({"inner": True}, "inner: expected options (share, span) or null, found true"),
        ({"inner": {"share": 2}}, "inner.share: expected a number less than or equal to 1, found 2"),
        ({"inner": {"span": [1]}}, "inner.span: expected a list of 2 numbers or null, found [1]"),
        ({"inner": {"span": [1, 2, 3]}}, "inner.span: expected a list of 2 numbers or null, found [1, 2, 3]"),
        ({"many": [{}, {"span": "x"}]}, "many.1.span: expected a list of 2 numbers or null, found 'x'"),
        ({"named": {"one": {"share": "all"}}}, "named.one.share: expected a number, found 'all'"),
        ({"named": {2: {}}}, "named: expected text as the key, found 2"),
        ({"needed": {}}, "needed: expected a whole number, found {}"),
        ({"flag": True}, "flag needs more epochs"),
        (
            {"inner": [{"a": None}, "x"]},
            "inner: expected options (share, span) or null, found [{a: null}, 'x']",
        ),
        ({"epochs": "x" * 99}, f"epochs: expected a whole number, found '{'x' * 59}..."),
        ({"epochs": [0] * 99}, "epochs: expected a whole number, found [0, 0, 0, 0, 0, 0, 0, 0, ...]"),
    ],
)
def test_a_problem_says_what_is_allowed_and_what_was_found(values: dict[str, Any], text: str) -> None:
    assert str(problem(error_of(values), Options)) == text


@pytest.mark.parametrize("values", [{"name": True}, {"named": {False: {}}}])
def test_words_that_yaml_takes_for_true_and_false_are_to_be_quoted(values: dict[str, Any]) -> None:
    assert "write the word in quotes" in problem(error_of(values), Options).remedy


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        Options.model_validate({})
    assert str(problem(caught.value, Options)) == "needed: is missing"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"epoch": 1}, "a.b.epoch: unknown option. Did you mean 'epochs'? Known: epochs, flag,"),
        (
            {"inner": {"shares": 1}},
            "a.b.inner.shares: unknown option. Did you mean 'share'? Known: share, span",
        ),
        ({"named": {"one": {"q": 1}}}, "a.b.named.one.q: unknown option. Known: share, span"),
    ],
)
def test_an_unknown_option_comes_with_those_of_its_own_model(values: dict[str, Any], text: str) -> None:
    assert str(config_error(error_of(values), Options, section="a.b")).startswith(text)


def test_a_problem_of_a_file_names_the_file_first() -> None:
    found = config_error(
        error_of({"epoch": 1}), Options, file="mine.yaml", noun="key", remedy="Read the manual"
    )
    assert str(found).startswith("mine.yaml: epoch: unknown key. Did you mean 'epochs'? Known: epochs")
    assert str(found).endswith("needed. Read the manual")


def test_a_value_that_multiplies_is_cut_and_not_walked() -> None:
    value: list[Any] = []
    for _ in range(60):
        value = [value] * 9
    assert str(problem(error_of({"epochs": value}), Options)).endswith("...")
