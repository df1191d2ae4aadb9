"""A published table as data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas._model import Model

REFERENCE = ("kinectv2_25",)
"""The convention of all published figures except MS-CLR's ensembles (MS-CLR 4.2; the other papers use no
other)."""


class Published(Model):
    """One published number and what it measures."""

    value: float = Field(ge=0, le=100)
    """In percent, as printed: top-1 accuracy, or what ``measure`` names."""
    measure: str = "top1"
    """The quantity of a result: ``top1``, or a name among the ``figures`` of its details."""
    std: float | None = None
    """Standard deviation in points, if printed."""
    table: str
    """Name of its table, e.g. ``aimclr-table2``."""
    source: str
    """In words: ``AimCLR, Table 2``."""
    row: str
    column: str
    origin: Literal["own", "quoted", "reproduced"] = "own"
    """Whose number it is: the authors' own, one they quote, or their reproduction of another paper."""
    method: str | None = None
    """Method of this project; ``any`` if only the encoder counts; None if this project cannot produce the
    number."""
    settings: dict[str, Any] = {}
    """Settings that the run must have, by dotted path. A list stands for the keys of a mapping."""
    preset: str = ""
    """Preset of the method, for the command that trains it; empty selects the one that suits the store."""
    flags: str = ""
    """Further flags of that command."""
    options: dict[str, Any] = {}
    """Options of the protocol it was measured with, where they differ from the protocol's defaults."""
    protocol: str
    dataset: str
    """Data set it was tested on, by this project's name."""
    from_dataset: str | None = None
    """Data set of the pre-training, for transfer."""
    split: str
    stream: str | None = None
    """joint, bone, motion, or several joined by ``+``. None for numbers that this project cannot produce."""
    conventions: tuple[str, ...] = REFERENCE
    encoder: str | None = None
    """Representation, for methods that train several on one stream."""
    share: float | None = None
    """Share of the training labels, for protocol semi."""
    epochs: int | None = None
    """Epochs of the pre-training."""
    probe_epochs: int | None = None
    """Epochs of the training on labels, if the paper states them."""
    frames: int | None = None
    recipe: str | None = None
    """Recipe of this project that is the paper's preprocessing."""
    weights: dict[str, float] | None = None
    """Weights of the streams' scores."""
    note: str = ""


class Row(Model):
    """One printed row; a cell is None if the paper, or the text that was read, has no number."""

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
    """Unit of the numbers, for the line above them."""
