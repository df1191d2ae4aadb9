"""The settings of a sweep: the file that ``trainer sweep`` reads."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from schemas._model import Model

OPTIONS = (
    "store",
    "store_weight",
    "method",
    "preset",
    "base",
    "config",
    "split",
    "stream",
    "convention",
    "epochs",
    "batch_size",
    "accumulate",
    "precision",
    "seed",
    "init_from",
    "init_skip",
)
"""Settings that have their own option in ``trainer pretrain``; all others are dotted paths."""

Settings = dict[str, Any]
"""Name of an option, or dotted path -> value; None means that it is not given."""


Grid = dict[str, Any]
"""Axis -> its values, or its single value."""


class SweepEvaluation(Model):
    """One `trainer evaluate` of every run."""

    protocol: tuple[str, ...] = Field(min_length=1)
    convention: tuple[str, ...] = ()
    target: str | None = None
    target_split: str | None = None
    set: Settings = {}
    """Options of the protocols: ``linear.epochs: 50``."""

    @field_validator("protocol", "convention", mode="before", json_schema_input_type=str | tuple[str, ...])
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class SweepEnsemble(Model):
    """One `trainer ensemble` of the runs that differ only in one axis."""

    over: str
    """The axis, usually ``stream``."""
    protocol: str = "linear"
    convention: tuple[str, ...] = ()
    weights: str = "paper"
    scores: Literal["softmax", "logits"] = "softmax"


class SlurmConfig(Model):
    """How `trainer sweep --slurm` writes its script."""

    options: dict[str, str | int] = {}
    """Options of sbatch, by their long names: ``partition: gpu``, ``gpus: 1``, ``mem: 32G``."""
    at_once: int | None = Field(default=None, ge=1)
    """Runs at the same time; None: as many as the cluster allows."""
    setup: tuple[str, ...] = ()
    """Lines of bash before the run: ``module load cuda``, ``. .venv/bin/activate``."""

    @field_validator("options")
    @classmethod
    def _as_text(cls, options: dict[str, str | int]) -> dict[str, str | int]:
        if isinstance(options.get("time"), int):
            raise ValueError('expected a time in quotes, as "24:00:00": without them YAML reads a number')
        broken = [name for name, value in options.items() if "\n" in f"{name}{value}"]
        if broken:
            raise ValueError(f"expected options of one line each, {broken[0]!r} has more")
        return options


class SweepConfig(Model):
    """Every combination of the values of each grid is one run."""

    out: str | None = None
    """Folder of the runs; None: ``runs/`` and the name of the file."""
    given: Settings = {}
    """Settings of all runs."""
    grid: tuple[dict[str, tuple[Any, ...] | dict[str, Settings]], ...] = Field(min_length=1)
    """One or several independent grids: axis -> its values.

    For an axis that is no setting: name -> the settings that the name stands for.
    """
    evaluate: tuple[SweepEvaluation, ...] = ()
    ensemble: tuple[SweepEnsemble, ...] = ()
    launch: str = ""
    """Command that starts a training instead of Python: ``torchrun --nproc-per-node 4``."""
    slurm: SlurmConfig = SlurmConfig()

    @field_validator(
        "evaluate",
        mode="before",
        json_schema_input_type=str | SweepEvaluation | tuple[str, ...] | tuple[SweepEvaluation, ...],
    )
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """Read ``[knn, linear]`` as one evaluation with both protocols."""
        if isinstance(value, str | dict):
            value = [value]
        if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            return [{"protocol": value}]
        return value

    @field_validator(
        "ensemble", mode="before", json_schema_input_type=SweepEnsemble | tuple[SweepEnsemble, ...]
    )
    @classmethod
    def _one(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @field_validator("grid", mode="before", json_schema_input_type=Grid | tuple[Grid, ...])
    @classmethod
    def _several(cls, value: Any) -> Any:
        """Accept a single grid without a list, and a single value for an axis."""
        grids = [value] if isinstance(value, dict) else value
        if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
            return grids
        return [{axis: _values(axis, values) for axis, values in grid.items()} for grid in grids]

    @field_validator("given")
    @classmethod
    def _known(cls, given: Settings) -> Settings:
        return _checked(given)

    @field_validator("grid")
    @classmethod
    def _sound(cls, grids: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for axis, values in (pair for grid in grids for pair in grid.items()):
            if not values:
                raise ValueError(f"expected values of {axis}, found none")
            for settings in values.values() if isinstance(values, dict) else ({axis: None},):
                _checked(settings)
        return grids


def _values(axis: str, values: Any) -> Any:
    return values if isinstance(values, list | dict) else [values]


def _checked(settings: Settings) -> Settings:
    """Return the settings; raises ValueError for a name that is neither an option nor a dotted path."""
    for name in settings:
        if name not in OPTIONS and "." not in name:
            raise ValueError(
                f"expected {', '.join(OPTIONS)}, or a dotted path such as optimise.lr, found '{name}'"
            )
    return settings
