"""Contrastive pre-training and evaluation on a multi-skeleton store.

    store -> data -> augment -> encoder -> method (loss) -> loop -> checkpoint -> evaluate -> report

    import trainer

    run = trainer.pretrain("store.zarr", method="aimclr", out="runs/aimclr", epochs=100)
    run = trainer.open("runs/aimclr")
    run.evaluate("linear")                              # a list of EvaluationResult
    encoder = trainer.load_encoder("runs/aimclr")       # or what `trainer export` wrote
    model = trainer.load("runs/aimclr")                 # model.embed(joints): raw clips in, features out
    trainer.publish("runs/aimclr", "aimclr-xview")      # for others, who may trainer.verify its figures

The names in ``__all__`` are public: the calls above and the building blocks of a custom training script
(examples/pretrain.py). Every other module is private and may change between versions. The axis order is
always ``N C T V M`` (samples, coordinates, frames, joints, bodies). The two packages share only the store:
skeltools is imported solely for raw clips, which ``load`` prepares in the same way as those of a store, and
for pictures of clips in reports and viewers.
Importing the package is cheap: each name is loaded on first use, and torch with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schemas import EvaluationResult, SkelError
    from trainer.batch import Batch
    from trainer.blocks import accuracy, augmentation, batches, encoder, features, info_nce, knn, load_clips
    from trainer.export import LoadedEncoder, load_encoder
    from trainer.momentum import Queue, frozen_copy, projector, update_
    from trainer.pretraining import pretrain
    from trainer.publishing import Check, publish, verify
    from trainer.run import Run
    from trainer.run import open_run as open
    from trainer.store import open_store, skeletons
    from trainer.sweeping import Swept, sweep
    from trainer.use import FollowedWindow, Model, Predictions, SkeletonDataset, load
    from trainer.use.search import Bank, bank

_HOMES = {
    "Bank": ("trainer.use.search", "Bank"),
    "Batch": ("trainer.batch", "Batch"),
    "Check": ("trainer.publishing", "Check"),
    "EvaluationResult": ("schemas", "EvaluationResult"),
    "FollowedWindow": ("trainer.use", "FollowedWindow"),
    "LoadedEncoder": ("trainer.export", "LoadedEncoder"),
    "Model": ("trainer.use", "Model"),
    "Predictions": ("trainer.use", "Predictions"),
    "Queue": ("trainer.momentum", "Queue"),
    "Run": ("trainer.run", "Run"),
    "SkelError": ("schemas", "SkelError"),
    "SkeletonDataset": ("trainer.use", "SkeletonDataset"),
    "Swept": ("trainer.sweeping", "Swept"),
    "accuracy": ("trainer.blocks", "accuracy"),
    "augmentation": ("trainer.blocks", "augmentation"),
    "bank": ("trainer.use.search", "bank"),
    "batches": ("trainer.blocks", "batches"),
    "encoder": ("trainer.blocks", "encoder"),
    "features": ("trainer.blocks", "features"),
    "frozen_copy": ("trainer.momentum", "frozen_copy"),
    "info_nce": ("trainer.blocks", "info_nce"),
    "knn": ("trainer.blocks", "knn"),
    "load": ("trainer.use", "load"),
    "load_clips": ("trainer.blocks", "load_clips"),
    "load_encoder": ("trainer.export", "load_encoder"),
    "open": ("trainer.run", "open_run"),
    "open_store": ("trainer.store", "open_store"),
    "pretrain": ("trainer.pretraining", "pretrain"),
    "projector": ("trainer.momentum", "projector"),
    "publish": ("trainer.publishing", "publish"),
    "skeletons": ("trainer.store", "skeletons"),
    "sweep": ("trainer.sweeping", "sweep"),
    "update_": ("trainer.momentum", "update_"),
    "verify": ("trainer.publishing", "verify"),
}
"""Public name -> (module, name in that module)."""

__all__ = [
    "Bank",
    "Batch",
    "Check",
    "EvaluationResult",
    "FollowedWindow",
    "LoadedEncoder",
    "Model",
    "Predictions",
    "Queue",
    "Run",
    "SkelError",
    "SkeletonDataset",
    "Swept",
    "accuracy",
    "augmentation",
    "bank",
    "batches",
    "encoder",
    "features",
    "frozen_copy",
    "info_nce",
    "knn",
    "load",
    "load_clips",
    "load_encoder",
    "open",
    "open_store",
    "pretrain",
    "projector",
    "publish",
    "skeletons",
    "sweep",
    "update_",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    try:
        value = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        text = (
            f"PyTorch is not installed, and trainer.{name} needs it: pip install torch, version 2.11 or later"
        )
        raise ModuleNotFoundError(text, name="torch") from error
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
