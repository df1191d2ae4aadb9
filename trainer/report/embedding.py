"""A 2D map of the features of ten classes, and the agreement of unsupervised clusters with classes.

As in Fig. 5 of SkeleMixCLR: t-SNE (van der Maaten and Hinton, 2008) of ten classes drawn by a seed, and the
normalised mutual information of k-means clusters and classes. Clusters are computed on the features, not on
the map; features have unit length, as for kNN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import normalized_mutual_info_score
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import normalize

from schemas import escaped
from trainer.evaluate.features import calibrate, extract
from trainer.report import draw
from trainer.report.draw import WIDTH
from trainer.report.encoded import Encoded, in_seeded_order
from trainer.report.parts import Figure, Note
from trainer.store import Samples

CLASSES = 10
PER_CLASS = 40
"""Maximum number of samples per class: 400 points can be told apart, and t-SNE takes seconds."""
PERPLEXITY = 30.0
_FEWEST = 12
"""Number of samples below which a map is not informative."""

INTRO = (
    f"Ten classes drawn by a fixed seed, at most {PER_CLASS} samples of each; a number stands in the middle "
    "of its class. NMI compares classes with as many k-means clusters of the features, not of the picture: 1 "
    "is the same partition, 0 none in common. Distances between groups mean little in such a map."
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Chosen:
    """Test samples of the drawn classes."""

    rows: tuple[int, ...]
    labels: NDArray[np.int64]


def embedding(of: Encoded) -> Figure | Note:
    """The map of one run's encoder."""
    chosen = choose(of.test, classes=of.classes)
    if len(chosen.rows) < _FEWEST:
        return Note(f"{of.run.name}: {len(chosen.rows)} test samples are too few for a map.", kind="info")
    values = _unit(of.test_features.values[list(chosen.rows)])
    points, score = project(values), nmi(values, chosen.labels)
    untrained = nmi(_untrained(of, chosen), chosen.labels)
    names = {label: escaped(of.classes[label]) for label in dict.fromkeys(chosen.labels.tolist())}
    result = f"NMI {score:.3f} (random encoder {untrained:.3f})"
    caption = (
        f"t-SNE of {len(chosen.rows)} test samples of {len(names)} classes; perplexity "
        f"{_perplexity(len(values)):g}."
    )
    return draw.figure(
        draw.slug("embedding", of.run.name),
        (WIDTH, 3.3 + draw.legend_height(_numbered(names))),
        lambda canvas: _scatter(canvas, points, chosen.labels, names, result),
        title=f"Features of ten classes: {of.run.name}, {of.name}",
        alt=f"{result}. Classes: {', '.join(names.values())}.",
        caption=caption,
    )


def choose(samples: Samples, *, classes: tuple[str, ...]) -> Chosen:
    """Select ten of the classes that have samples, and samples of each, seeded by their names and ids."""
    labels = samples.labels.numpy()
    there = [label for label in range(len(classes)) if (labels == label).any()]
    drawn = [there[place] for place in in_seeded_order([classes[label] for label in there], "classes")][
        :CLASSES
    ]
    order = np.array(in_seeded_order(samples.ids, "samples"))
    rows = [row for label in sorted(drawn) for row in order[labels[order] == label][:PER_CLASS].tolist()]
    return Chosen(tuple(rows), labels[rows])


def project(values: Array) -> Array:
    """t-SNE [N, D] -> [N, 2], exact and single-threaded, so that a report is reproducible."""
    with threadpool_limits(1):
        model = TSNE(
            2,
            perplexity=_perplexity(len(values)),
            init="pca",
            method="exact",
            learning_rate="auto",
            random_state=0,
        )
        points: Array = model.fit_transform(values)
    return points


def _perplexity(count: int) -> float:
    """Bounded by a third of the samples, the usual limit; scikit-learn requires fewer than the samples."""
    return min(PERPLEXITY, (count - 1) // 3)


def nmi(values: Array, labels: NDArray[np.int64]) -> float:
    """Normalised mutual information of the classes and as many k-means clusters of ``values`` [N, D]."""
    with threadpool_limits(1):
        clusters = KMeans(len(set(labels.tolist())), n_init=10, random_state=0).fit_predict(values)
    return float(normalized_mutual_info_score(labels, clusters))


def _untrained(of: Encoded, chosen: Chosen) -> Array:
    """Features of the chosen samples from random weights, with BatchNorm statistics of these samples."""
    index = list(chosen.rows)
    clips = {of.convention: of.test.clips[of.convention][index]}
    some = Samples(
        clips, of.test.labels[index], tuple(of.test.ids[row] for row in index), of.test.rows[index]
    )
    encoder = of.opened.untrained_method().encoders[of.name].to(of.device)
    calibrate(encoder, some, convention=of.convention, device=of.device)
    return _unit(extract(encoder, some, convention=of.convention, device=of.device).values)


def _unit(values: Tensor) -> Array:
    unit: Array = normalize(values.to(torch.float64), dim=1).numpy()
    return unit


def _scatter(
    canvas: Canvas, points: Array, labels: NDArray[np.int64], names: dict[int, str], result: str
) -> None:
    axes = canvas.subplots()
    for index, (label, name) in enumerate(zip(names, _numbered(names), strict=True)):
        mine = points[labels == label]
        colour, filled = draw.COLOURS[index % len(draw.COLOURS)], "full" if index % 2 else "none"
        look: dict[str, Any] = {
            "color": colour,
            "marker": draw.MARKERS[index],
            "fillstyle": filled,
            "markersize": 4.5,
        }
        axes.plot(*mine.T, linestyle="none", markeredgewidth=0.8, label=name, **look)
        middle = np.median(mine, axis=0)
        nearest = mine[np.argmin(((mine - middle) ** 2).sum(axis=1))]
        axes.annotate(
            str(index + 1),
            nearest,
            (5, 4),
            textcoords="offset points",
            weight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            zorder=3,
        )
    axes.set(xticks=[], yticks=[])
    axes.set_title(result)
    axes.spines[["top", "right"]].set_visible(True)
    axes.margins(0.06)
    draw.legend(canvas, axes)


def _numbered(names: dict[int, str]) -> list[str]:
    return [f"{place} {draw.shortened(name, 40)}" for place, name in enumerate(names.values(), start=1)]
