"""The words that skeltools and trainer share, as pydantic models.

This package imports nothing but the standard library and pydantic, so either side may depend on it
without pulling in the other. The models refuse unknown keys and check their ranges.
"""

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
    escaped,
    shown,
)

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
