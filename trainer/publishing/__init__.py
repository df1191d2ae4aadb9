"""Publish a trained encoder as a folder for others, and verify its claims on a store.

    trainer publish runs/aimclr --to aimclr-xview
    trainer verify aimclr-xview --store store.zarr

``claims`` are evaluation results in citable form: figure, interval, settings, store and command. ``publish``
writes them beside an export, with a model card and the sha256 of every file; ``verify`` measures each of them
again.
"""

from trainer.publishing.compare import Check
from trainer.publishing.measure import verify
from trainer.publishing.write import publish

__all__ = ["Check", "publish", "verify"]
