"""A trained encoder at work: raw clips in, features, classes and probabilities out.

    import trainer

    model = trainer.load("runs/skeletonclr")
    model.embed(joints)                       # [T, M, V, 3] of any length -> [1, D]

``raw`` is the one place where the trainer calls skeltools: clips that are in no store go through the same
preprocessing as those of a store, so it is the same code. Clips that are prepared need no skeltools.
"""

from trainer.use.dataset import SkeletonDataset
from trainer.use.follow import FollowedWindow
from trainer.use.model import Model, load
from trainer.use.predictions import Predictions

__all__ = ["FollowedWindow", "Model", "Predictions", "SkeletonDataset", "load"]
