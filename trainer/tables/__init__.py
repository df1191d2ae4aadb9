"""The result tables of the five papers as data, and filling them from runs.

``names()``, ``load(name)``: the tables. ``published(method=..., ...)``: the published numbers that a figure
of ours can be compared with. ``fill(table, runs)``: a table with our figures beside the published ones, what
is missing, and the commands that produce it.
"""

from trainer.tables.compare import Verdict, share_of, verdict
from trainer.tables.fill import Cell, FilledTable, Ours, Unfit, fill
from trainer.tables.model import PaperTable, Published, Row
from trainer.tables.reader import load, names, published
from trainer.tables.sources import Source, read_sources

__all__ = [
    "Cell",
    "FilledTable",
    "Ours",
    "PaperTable",
    "Published",
    "Row",
    "Source",
    "Unfit",
    "Verdict",
    "fill",
    "load",
    "names",
    "published",
    "read_sources",
    "share_of",
    "verdict",
]
