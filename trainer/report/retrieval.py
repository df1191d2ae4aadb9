"""Test clips and the training clips nearest to them, drawn as skeletons.

Retrieval as in ISC, section 4: cosine between features, the nearest counts. Examples are drawn by a seed,
half of them right and half wrong if there are such, so they say nothing about the accuracy; the caption does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from torch.nn.functional import normalize

from schemas import escaped
from trainer.report import draw
from trainer.report.draw import WIDTH
from trainer.report.encoded import Encoded, in_seeded_order
from trainer.report.parts import Figure
from trainer.report.skeletons import View, draw_clip, front, spread_frames

QUERIES = 4
NEAREST = 4
CANDIDATES = 200
"""Test clips that examples are drawn from, and that the caption's accuracy is of."""
_FRAMES = 3
"""Poses shown of every clip."""


@dataclass(frozen=True)
class Example:
    """A test clip and its nearest training clips, by row of their halves."""

    query: int
    nearest: tuple[int, ...]
    right: tuple[bool, ...]
    """Whether each has the query's class."""


def retrieval(of: Encoded) -> Figure:
    examples, right, tried = find(of)
    view = front(of.spec, of.poses("test", [example.query for example in examples]).numpy())
    caption = (
        f"Left: a test clip, three of its frames. Beside it the {NEAREST} training clips whose features have "
        "the highest cosine with it. ✓ and a solid frame: the same class; ✗ and a dashed frame: another one. "
        "Chosen by a fixed seed, clips whose nearest is right first, then those where it is wrong. Of "
        f"{tried} test clips drawn by that seed {right} have a nearest clip of their class."
    )
    rows = [
        f"{_label(of, 'test', example.query)}: "
        + ", ".join(_mark(of, row, same) for row, same in zip(example.nearest, example.right, strict=True))
        for example in examples
    ]
    return draw.figure(
        draw.slug("retrieval", of.run.name),
        (WIDTH, 1.35 * len(examples) + 0.2),
        lambda canvas: _paint(canvas, of, examples, view),
        title=f"Nearest training clips: {of.run.name}, {of.name}",
        alt="; ".join(rows),
        caption=caption,
    )


def find(of: Encoded) -> tuple[list[Example], int, int]:
    """Examples, and of how many of the candidates the nearest clip is of the same class."""
    order = in_seeded_order(of.test.ids, "queries")[:CANDIDATES]
    bank = normalize(of.train_features.values, dim=1)
    count = min(NEAREST, len(bank))
    queries = normalize(of.test_features.values[order], dim=1)
    index = torch.cat([(rows @ bank.T).topk(count, dim=1).indices for rows in queries.split(64)])
    same = of.train.labels[index] == of.test.labels[order][:, None]
    examples = [
        Example(row, tuple(near.tolist()), tuple(fits.tolist()))
        for row, near, fits in zip(order, index, same, strict=True)
    ]
    good, bad = [each for each in examples if each.right[0]], [each for each in examples if not each.right[0]]
    half = QUERIES // 2
    wrong = bad[: max(half, QUERIES - len(good))]
    return [*good[: QUERIES - len(wrong[:half])], *wrong][:QUERIES], len(good), len(examples)


def _label(of: Encoded, part: str, row: int) -> str:
    samples = of.train if part == "train" else of.test
    return escaped(of.classes[int(samples.labels[row])])


def _mark(of: Encoded, row: int, same: bool) -> str:
    return f"{'✓' if same else '✗'} {_label(of, 'train', row)}"


def _paint(canvas: Canvas, of: Encoded, examples: list[Example], view: View) -> None:
    grid: Any = canvas.subplots(len(examples), 1 + NEAREST, squeeze=False)
    queries = of.poses("test", [example.query for example in examples]).numpy()
    near = of.poses("train", [row for example in examples for row in example.nearest]).numpy()
    clips = iter(near)
    for example, query, axes in zip(examples, queries, grid, strict=True):
        frames = spread_frames(query.shape[1], _FRAMES)
        draw_clip(axes[0], query, of.spec, view, frames=frames)
        _frame(axes[0], f"test: {_label(of, 'test', example.query)}", width=1.6, style="-")
        for place, each in enumerate(axes[1:]):
            if place >= len(example.nearest):
                each.set_axis_off()
                continue
            draw_clip(each, next(clips), of.spec, view, frames=frames)
            same = example.right[place]
            _frame(
                each, _mark(of, example.nearest[place], same), width=0.8, style="-" if same else (0, (3, 2))
            )


def _frame(axes: Axes, text: str, *, width: float, style: Any) -> None:
    axes.set_title(text if len(text) <= 24 else f"{text[:23]}…", fontsize=7)
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=width, linestyle=style, edgecolor="black")
