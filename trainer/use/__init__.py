"""Use a trained encoder: raw clips in, features, classes and probabilities out.

    import trainer

    model = trainer.load("runs/skeletonclr")
    model.embed(joints)                       # [T, M, V, 3] of any length -> [1, D]

Of the modules here, only ``raw`` calls skeltools: clips from outside a store are preprocessed by the same
code as those of a store. Prepared clips do not need skeltools.
"""

from trainer.use.dataset import SkeletonDataset
from trainer.use.follow import FollowedWindow
from trainer.use.model import Model, load
from trainer.use.predictions import Predictions

__all__ = ["FollowedWindow", "Model", "Predictions", "SkeletonDataset", "load"]
