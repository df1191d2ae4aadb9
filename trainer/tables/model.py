"""A published table as data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas._model import Model

REFERENCE = ("kinectv2_25",)
"""The convention of all published figures but MS-CLR's ensembles (MS-CLR 4.2; the others know no other)."""


class Published(Model):
    """One printed number and what it is the number of."""

    value: float = Field(ge=0, le=100)
    """Percent, as printed: of top-1 accuracy, or of what ``measure`` names."""
    measure: str = "top1"
    """Of a result: ``top1``, or a name among the ``figures`` of its details."""
    std: float | None = None
    """Standard deviation in points, where it is printed."""
    table: str
    """Name of its table, e.g. ``aimclr-table2``."""
    source: str
    """In words: ``AimCLR, Table 2``."""
    row: str
    column: str
    origin: Literal["own", "quoted", "reproduced"] = "own"
    """Whose number it is: the authors' own, one they quote, or their reproduction of another paper."""
    method: str | None = None
    """Method of this project; ``any`` where only the encoder counts; None when nothing here makes it."""
    settings: dict[str, Any] = {}
    """Settings that the run must have, by dotted path. A list stands for the names of a mapping."""
    preset: str = ""
    """Of the method, for the command that trains it; empty takes the one that suits the store."""
    flags: str = ""
    """What else that command needs."""
    options: dict[str, Any] = {}
    """Of the protocol that it was measured with, where the protocol's own defaults are others."""
    protocol: str
    dataset: str
    """Data set that is tested, by this project's name."""
    from_dataset: str | None = None
    """Data set of the pre-training, for transfer."""
    split: str
    stream: str | None = None
    """joint, bone, motion, or several joined by ``+``. None for numbers that nothing here makes."""
    conventions: tuple[str, ...] = REFERENCE
    encoder: str | None = None
    """Representation, for methods that train several on one stream."""
    share: float | None = None
    """Of the training labels, for protocol semi."""
    epochs: int | None = None
    """Of the pre-training."""
    probe_epochs: int | None = None
    """Of the training on labels, where the paper states them."""
    frames: int | None = None
    recipe: str | None = None
    """Recipe of this project that is the paper's preprocessing."""
    weights: dict[str, float] | None = None
    """Of the streams' scores."""
    note: str = ""


class Row(Model):
    """One printed row; None where the paper, or the text that was read, has no number."""

    label: str
    stream: str | None = None
    note: str = ""
    cells: tuple[Published | None, ...]


class PaperTable(Model):
    name: str
    source: str
    """In words: ``AimCLR, Table 2``."""
    title: str
    """The paper."""
    caption: str
    """What the table shows, in this project's words."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    unit: str = "Top-1 %"
    """What the numbers are, for the line above them."""
