"""Retrieval against scikit-learn's nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from tests.trainer.features import blobs, names
from trainer.evaluate import knn, retrieval
from trainer.evaluate.features import Features
from trainer.metrics import accuracy


def test_neighbours_and_figure_equal_scikit_learn() -> None:
    train, test = blobs(0), blobs(1, rows=40)
    (found,) = retrieval.evaluate(train, test, classes=names(4), seed=0, options=retrieval.Options())
    oracle = NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute").fit(train.values.double())
    distance, index = oracle.kneighbors(test.values.double())
    assert found.details["neighbours"]["ids"] == [[train.ids[row] for row in rows] for rows in index]
    assert np.allclose(found.details["neighbours"]["similarities"], 1 - distance, atol=1e-6)
    nearest = KNeighborsClassifier(1, metric="cosine").fit(train.values.double(), train.labels)
    assert (found.values.argmax(1).numpy() == nearest.predict(test.values.double())).all()
    _, knn1 = knn.evaluate(train, test, classes=names(4), seed=0, options=knn.Options())
    assert accuracy(found.values, test.labels) == accuracy(knn1.values, test.labels)
    assert found.settings == {"k": 1, "metric": "cosine", "neighbours": 4, "crop": None}


def test_the_score_of_a_class_is_its_nearest_sample() -> None:
    train = Features(torch.tensor([[1.0, 0], [0, 2.0], [3.0, 3.0]]), torch.tensor([0, 1, 1]), ("a", "b", "c"))
    test = Features(torch.tensor([[1.0, 1.0], [-1.0, 0]]), torch.tensor([1, 2]), ("q", "r"))
    options = retrieval.Options(neighbours=2)
    (found,) = retrieval.evaluate(train, test, classes=names(3), seed=0, options=options)
    half = 0.5**0.5
    torch.testing.assert_close(found.values, torch.tensor([[half, 1, -1], [-1, 0, -1]]))
    assert found.details["neighbours"] == {"ids": [["c", "a"], ["b", "c"]], "similarities": [
        [1.0, pytest.approx(half, abs=1e-6)], [0.0, pytest.approx(-half, abs=1e-6)]
    ]}  # fmt: skip


def test_neighbours_may_be_few_or_none() -> None:
    train, test = blobs(0, rows=3), blobs(1, rows=5)
    (all_there_are,) = retrieval.evaluate(train, test, classes=names(4), seed=0, options=retrieval.Options())
    assert {len(ids) for ids in all_there_are.details["neighbours"]["ids"]} == {3}
    (none,) = retrieval.evaluate(
        train, test, classes=names(4), seed=0, options=retrieval.Options(neighbours=0)
    )
    assert none.details == {}
    assert torch.equal(none.values, all_there_are.values)
