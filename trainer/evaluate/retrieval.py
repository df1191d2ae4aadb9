"""Retrieval: every test sample is a query, and its nearest training sample should be of its class.

Source: ISC, "3D Action Retrieval" (k = 1, cosine) and Figure 8 (the four nearest). The figure is that of
``knn1``; the result adds which samples were retrieved.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from schemas._model import Model
from trainer.evaluate.crop import Crop
from trainer.evaluate.features import Features
from trainer.evaluate.knn import similarities
from trainer.evaluate.protocol import Needs
from trainer.evaluate.scores import Scores

NEEDS = Needs(fuse="features")

_DIGITS = 6
"""Decimals of the similarities in the result file: as many as float32 features carry."""


class Options(Model):
    neighbours: int = Field(default=4, ge=0)
    """Nearest training samples of every query that the result names; 0: none."""
    crop: Crop | None = None
    """Temporal crops instead of whole clips. ISC: the centre of both halves, ``train: null``."""


def evaluate(
    train: Features, test: Features, *, classes: tuple[str, ...], seed: int, options: Options
) -> list[Scores]:
    """The score of a class is the cosine of its nearest training sample; -1 for a class that has none.

    ``details["neighbours"]`` holds ``ids`` and ``similarities``, [N_test, neighbours] each, nearest first, in
    the order of the test samples. ``seed`` is not used.
    """
    best, ids, cosines = [], [], []
    count = min(options.neighbours, len(train.labels))
    for block in similarities(train.values, test.values):
        best.append(_nearest_of_class(block, train.labels, len(classes)))
        similarity, index = block.topk(count, dim=1)
        ids += [[train.ids[row] for row in rows] for rows in index.tolist()]
        cosines += [[round(value, _DIGITS) for value in row] for row in similarity.tolist()]
    settings = {"k": 1, "metric": "cosine", **options.model_dump(mode="json")}
    details = {"neighbours": {"ids": ids, "similarities": cosines}} if count else {}
    values = torch.cat(best)
    return [
        Scores(
            test.ids, test.labels, values, classes, protocol="retrieval", settings=settings, details=details
        )
    ]


def _nearest_of_class(similarity: Tensor, labels: Tensor, classes: int) -> Tensor:
    """[n, train] -> [n, classes] float32: the highest similarity for each class."""
    best = similarity.new_full((len(similarity), classes), -1.0)
    return best.scatter_reduce(1, labels.expand(len(similarity), -1), similarity, "amax").float()
