"""Contrastive pre-training and evaluation on a multi-skeleton store.

    store -> data -> augment -> encoder -> method (loss) -> loop -> checkpoint -> evaluate -> report

Interfaces:

    augmentation   (x [N,3,T,V,M], skeleton, generator, *, ...) -> x          augment/, AUGMENTATIONS
    encoder        feature_dim; feature_map(x, convention), pool(map), forward = both    encoders/, ENCODERS
    method         forward(batch) -> {"loss": ..., metrics}; has .encoder and .Options   methods/, METHODS
    protocol       (encoder, train, test, *, ...) -> scores and metrics      evaluate/, PROTOCOLS

Axis order is ``N C T V M`` (samples, coordinates, frames, joints, bodies), always. Nothing here imports
skeltools: the store is all the two halves share.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("skeltools")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"
