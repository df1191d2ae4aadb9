"""Convert raw skeleton data sets into one clean multi-skeleton store.

    raw files -> readers -> SkeletonSequence -> preprocess -> store

    import skeltools

    skeltools.convert("ntu60", raw="raw", out="store.zarr")
    s = skeltools.open("store.zarr")
    clip = s["S002C001P002R001A001"]
    clip.joints, clip.names, clip.class_name        # [T, M, V, 3] metres, joint names, "drink water"
    s.stream("joint", frames=24)                    # [N, 3, T, V, M], a zarr array

The names in ``__all__`` are public; every other module is private and may change between versions. Importing
the package is cheap, because each name is loaded on first use. PyTorch is needed only for ``.pt`` files of
poses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schemas import SkelError, SkeletonSpec
    from skeltools.conversion import Summary, convert
    from skeltools.conversion.append import add_metrabs
    from skeltools.conversion.derive import add_streams
    from skeltools.conversion.mapped import map_store
    from skeltools.conversion.merged import merge
    from skeltools.conversion.shards import plan_shards, publish_shards, read_shard
    from skeltools.demo import write_demo
    from skeltools.from_memory import write
    from skeltools.inspect.validate import validate
    from skeltools.opened import Clip, OpenedStore, open
    from skeltools.prepared import prepare
    from skeltools.sequence import SkeletonSequence
    from skeltools.skeletons import names as skeleton_names
    from skeltools.skeletons import skeleton

_HOMES = {
    "Clip": ("skeltools.opened", "Clip"),
    "OpenedStore": ("skeltools.opened", "OpenedStore"),
    "SkelError": ("schemas", "SkelError"),
    "SkeletonSequence": ("skeltools.sequence", "SkeletonSequence"),
    "SkeletonSpec": ("schemas", "SkeletonSpec"),
    "Summary": ("skeltools.conversion", "Summary"),
    "add_metrabs": ("skeltools.conversion.append", "add_metrabs"),
    "add_streams": ("skeltools.conversion.derive", "add_streams"),
    "convert": ("skeltools.conversion", "convert"),
    "map_store": ("skeltools.conversion.mapped", "map_store"),
    "merge": ("skeltools.conversion.merged", "merge"),
    "open": ("skeltools.opened", "open"),
    "plan_shards": ("skeltools.conversion.shards", "plan_shards"),
    "prepare": ("skeltools.prepared", "prepare"),
    "publish_shards": ("skeltools.conversion.shards", "publish_shards"),
    "read_shard": ("skeltools.conversion.shards", "read_shard"),
    "skeleton": ("skeltools.skeletons", "skeleton"),
    "skeleton_names": ("skeltools.skeletons", "names"),
    "validate": ("skeltools.inspect.validate", "validate"),
    "write": ("skeltools.from_memory", "write"),
    "write_demo": ("skeltools.demo", "write_demo"),
}
"""Public name -> module and name there."""

__all__ = [
    "Clip",
    "OpenedStore",
    "SkelError",
    "SkeletonSequence",
    "SkeletonSpec",
    "Summary",
    "add_metrabs",
    "add_streams",
    "convert",
    "map_store",
    "merge",
    "open",
    "plan_shards",
    "prepare",
    "publish_shards",
    "read_shard",
    "skeleton",
    "skeleton_names",
    "validate",
    "write",
    "write_demo",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'skeltools' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("skeltools")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+source"
