"""Test clips and their nearest training clips, drawn as skeletons.

Retrieval as in ISC, section 4: cosine between features, of which the nearest counts. Examples are drawn by a
seed, half of them correct and half wrong where possible, so they say nothing about the accuracy, which the
note states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from torch.nn.functional import normalize

from schemas import escaped
from trainer.report import draw
from trainer.report.draw import WIDTH
from trainer.report.encoded import Encoded, in_seeded_order
from trainer.report.parts import Figure, Note, Part
from trainer.report.skeletons import draw_strip
from trainer.report.tracks import scenes, track, upright

if TYPE_CHECKING:
    from skeltools.pictures.scene import Track

QUERIES = 4
NEAREST = 4
CANDIDATES = 200
"""Number of test clips from which examples are drawn and on which the stated accuracy is computed."""
INTRO = (
    f"A test clip, and the {NEAREST} training clips whose features have the highest cosine with it. ✓ and a "
    "solid frame: the same class; ✗ and a dashed frame: another one. Two clips whose nearest is right, then "
    "two where it is wrong, if there are such: they say nothing about the accuracy. Bones: blue is the "
    "person's left, orange the right; numbers are frames."
)
_TALL = 1.05
"""Height of a row of poses in inches."""


@dataclass(frozen=True)
class Example:
    """A test clip and its nearest training clips, by their rows in the halves."""

    query: int
    nearest: tuple[int, ...]
    right: tuple[bool, ...]
    """Whether each is of the query's class."""


def retrieval(of: Encoded) -> list[Part]:
    """A drawing for each example, and a note on how often the nearest clip is of the same class."""
    examples, right, tried = find(of)
    poses = of.poses("test", [example.query for example in examples]).numpy()
    near = iter(of.poses("train", [row for example in examples for row in example.nearest]).numpy())
    turn = upright(of.spec, poses)
    text = (
        f"{of.run.name}: of {tried} test clips drawn by a fixed seed {right} have a nearest training clip of "
    )
    parts: list[Part] = [Note(f"{text}their class.", kind="info")]
    for place, (example, joints) in enumerate(zip(examples, poses, strict=True), start=1):
        clips = [joints, *(next(near) for _ in example.nearest)]
        people = [
            track(draw.shortened(name, 18), clip, of.spec, turn)
            for name, clip in zip(_names(of, example), clips, strict=True)
        ]
        parts.append(_figure(of, place, example, people))
    return parts


def find(of: Encoded) -> tuple[list[Example], int, int]:
    """Examples, the number of candidates whose nearest clip is of the same class, and of candidates."""
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


def _names(of: Encoded, example: Example) -> list[str]:
    """The titles of the query and of each neighbour."""
    near = [
        f"{'✓' if same else '✗'} {_label(of, 'train', row)}"
        for row, same in zip(example.nearest, example.right, strict=True)
    ]
    return [f"test: {_label(of, 'test', example.query)}", *near]


def _figure(of: Encoded, place: int, example: Example, people: Sequence[Track]) -> Figure:
    names = _names(of, example)
    lines = -(-len(example.nearest) // 2)

    def paint(canvas: Canvas) -> None:
        grid = canvas.add_gridspec(1 + lines, 2)
        for index, (each, name) in enumerate(zip(people, names, strict=True)):
            spot = grid[0, :] if index == 0 else grid[(index + 1) // 2, (index + 1) % 2]
            axes, width = canvas.add_subplot(spot), WIDTH if index == 0 else WIDTH / 2
            draw_strip(axes, each, size=(width, _TALL), most=5 if index == 0 else 3)
            _frame(axes, name, right=index == 0 or example.right[index - 1], query=index == 0)

    return draw.figure(
        draw.slug("retrieval", of.run.name, str(place)),
        (WIDTH, (_TALL + 0.3) * (1 + lines)),
        paint,
        title=f"{_label(of, 'test', example.query)}: {of.run.name}, {of.name}",
        alt=f"{names[0]}; nearest: {', '.join(names[1:])}.",
        caption=f"Test clip {escaped(of.test.ids[example.query])}; training clips "
        f"{', '.join(escaped(of.train.ids[row]) for row in example.nearest)}.",
        scenes=scenes(people),
    )


def _frame(axes: Axes, name: str, *, right: bool, query: bool) -> None:
    axes.set_title(draw.shortened(name, 50 if query else 24))
    for spine in axes.spines.values():
        style: Any = "-" if right else (0, (3, 2))
        spine.set(visible=True, linewidth=1.6 if query else 0.8, linestyle=style, edgecolor="black")
