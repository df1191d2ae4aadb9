"""Evaluation protocols on a frozen encoder.

    protocol   evaluate(train: Features, test: Features, *, classes, seed, options) -> list[Outcome]

A protocol is a module with this function and the model ``Options``, and a line in ``PROTOCOLS``.
"""

from trainer.evaluate import knn, linear

PROTOCOLS = {"knn": knn, "linear": linear}

__all__ = ["PROTOCOLS"]
