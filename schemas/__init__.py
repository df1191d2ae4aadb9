"""The types that skeltools and trainer share, as pydantic models.

This package imports only the standard library and pydantic (``commands``: click), so either side may depend
on it without importing the other. The models refuse unknown keys and check their ranges. Names are loaded on
first use, so that `--help` needs no pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schemas.arguments import Count, Length, checks_arguments
    from schemas.errors import (
        CheckpointError,
        ConfigError,
        RawDataError,
        SkelError,
        StoreError,
        UnknownSampleError,
        UsageError,
        unknown,
    )
    from schemas.problems import config_error, problem
    from schemas.results import EvaluationResult
    from schemas.run import (
        AugmentConfig,
        Component,
        DataConfig,
        InitConfig,
        OptimiseConfig,
        OtherStore,
        RunConfig,
        RuntimeConfig,
    )
    from schemas.skeleton import Naming, SkeletonSpec, require
    from schemas.store import (
        FORMAT,
        ArrayInfo,
        ConventionInfo,
        Finding,
        PartInfo,
        ProtocolInfo,
        RecipeRecord,
        StoreManifest,
    )
    from schemas.text import escaped, shown

_HOMES = {
    "ArrayInfo": "schemas.store",
    "AugmentConfig": "schemas.run",
    "CheckpointError": "schemas.errors",
    "Component": "schemas.run",
    "ConfigError": "schemas.errors",
    "ConventionInfo": "schemas.store",
    "Count": "schemas.arguments",
    "DataConfig": "schemas.run",
    "EvaluationResult": "schemas.results",
    "FORMAT": "schemas.store",
    "Finding": "schemas.store",
    "InitConfig": "schemas.run",
    "Length": "schemas.arguments",
    "Naming": "schemas.skeleton",
    "OptimiseConfig": "schemas.run",
    "OtherStore": "schemas.run",
    "PartInfo": "schemas.store",
    "ProtocolInfo": "schemas.store",
    "RawDataError": "schemas.errors",
    "RecipeRecord": "schemas.store",
    "RunConfig": "schemas.run",
    "RuntimeConfig": "schemas.run",
    "SkelError": "schemas.errors",
    "SkeletonSpec": "schemas.skeleton",
    "StoreError": "schemas.errors",
    "StoreManifest": "schemas.store",
    "UnknownSampleError": "schemas.errors",
    "UsageError": "schemas.errors",
    "checks_arguments": "schemas.arguments",
    "config_error": "schemas.problems",
    "escaped": "schemas.text",
    "problem": "schemas.problems",
    "require": "schemas.skeleton",
    "shown": "schemas.text",
    "unknown": "schemas.errors",
}
"""Name -> module."""

__all__ = [
    "FORMAT",
    "ArrayInfo",
    "AugmentConfig",
    "CheckpointError",
    "Component",
    "ConfigError",
    "ConventionInfo",
    "Count",
    "DataConfig",
    "EvaluationResult",
    "Finding",
    "InitConfig",
    "Length",
    "Naming",
    "OptimiseConfig",
    "OtherStore",
    "PartInfo",
    "ProtocolInfo",
    "RawDataError",
    "RecipeRecord",
    "RunConfig",
    "RuntimeConfig",
    "SkelError",
    "SkeletonSpec",
    "StoreError",
    "StoreManifest",
    "UnknownSampleError",
    "UsageError",
    "checks_arguments",
    "config_error",
    "escaped",
    "problem",
    "require",
    "shown",
    "unknown",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'schemas' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
