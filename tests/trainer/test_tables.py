"""Published tables: numbers as printed, cells filled with what they are numbers of, commands that do it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import UsageError
from trainer import tables
from trainer.tables import reader

COLUMNS = (
    ("ntu60", "xsub"),
    ("ntu60", "xview"),
    ("ntu120", "xsub"),
    ("ntu120", "xset"),
    ("pku-mmd-1", "xsub"),
    ("pku-mmd-2", "xsub"),
)
THREE = "joint+bone+motion"
BOTH = "kinectv2_25+smplx_42"

ABLATIONS = ("aimclr-table1", "csclr-table7", "csclr-table8", "csclr-table9", "ms-clr-table4")
"""Their rows are variants of a method; ``test_ablations_are_those_of_the_papers``."""

# Linear evaluation: what the papers' authors print of their own method, or quote of SkeletonCLR and CrosSCLR.
KNOWN: list[tuple[str, str, str, dict[str, Any], tuple[float | None, ...]]] = [
    ("skeletonclr", "joint", "kinectv2_25", {}, (68.3, 76.4, 56.8, 55.9, 80.9, 35.2)),
    ("skeletonclr", THREE, "kinectv2_25", {}, (75.0, 79.8, 60.7, 62.6, 85.3, 40.4)),
    ("crosclr", THREE, "kinectv2_25", {}, (77.8, 83.4, 67.9, 66.7, 84.9, 21.2)),
    ("aimclr", "joint", "kinectv2_25", {}, (74.3, 79.7, 63.4, 63.4, 83.4, 36.8)),
    ("aimclr", THREE, "kinectv2_25", {}, (78.9, 83.8, 68.2, 68.8, 87.8, 38.5)),
    ("skelemixclr", "joint", "kinectv2_25", {"mixes": 3}, (80.7, 85.5, 69.0, 68.2, 88.1, 55.0)),
    ("skelemixclr", THREE, "kinectv2_25", {"mixes": 3}, (82.7, 87.1, 70.5, 70.7, 91.1, 57.1)),
    ("csclr", "joint", "kinectv2_25", {}, (75.7, 81.3, 64.5, 64.3, 85.3, 31.8)),
    ("csclr", THREE, "kinectv2_25", {}, (80.1, 85.2, 69.2, 70.2, 89.3, 45.1)),
    ("ms-clr", "joint", "kinectv2_25", {}, (76.1, 83.0, 63.9, 67.6, None, None)),
    ("ms-clr", THREE, "kinectv2_25", {}, (80.9, 86.7, 68.3, 70.1, None, None)),
    ("ms-clr", "joint", BOTH, {}, (86.6, 93.2, 74.3, 73.8, None, None)),
    ("ms-clr", THREE, BOTH, {}, (88.0, 94.2, 75.3, 75.1, None, None)),
]


@pytest.mark.parametrize(("method", "stream", "convention", "options", "values"), KNOWN)
def test_numbers_are_those_of_the_papers(
    method: str, stream: str, convention: str, options: dict[str, Any], values: tuple[float | None, ...]
) -> None:
    for (dataset, split), value in zip(COLUMNS, values, strict=True):
        found = tables.published(
            method=method,
            dataset=dataset,
            split=split,
            stream=stream,
            protocol="linear",
            convention=convention,
        )
        wanted = {f"method.options.{name}": each for name, each in options.items()}
        printed = {
            cell.value
            for cell in found
            if cell.origin != "reproduced"
            and cell.table not in ("aimclr-table3", "skelemixclr-table3", "skelemixclr-table4", *ABLATIONS)
            and (not wanted or cell.settings == wanted)
        }
        assert printed == ({value} if value is not None else set()), (dataset, split)


@pytest.mark.parametrize(
    ("name", "settings", "values"),
    [
        ("aimclr-table1", {"eadm": False, "mine_from": 300}, (77.4, 82.5)),
        ("aimclr-table1", {"eadm": True, "mine_from": 300}, (78.2, 82.8)),
        ("csclr-table7", {"inter": [], "transform_from": 500}, (78.6, 83.2, 85.4, 91.2)),
        ("csclr-table9", {"transform_alpha": 0.5, "transform_mu": 1.2}, (74.9, 80.8)),
        ("skelemixclr-table2", {"parts": [3, 4], "fragment": [5, 11]}, (78.3, 83.2)),
        ("skelemixclr-table5", {"filling": "zeros"}, (76.2, 81.1)),
        ("skelemixclr-table6", {"joints": "random"}, (77.7, 80.2)),
        ("skelemixclr-table7", {"hard": "view"}, (75.2, 79.4)),
        ("skelemixclr-table7", {"hard": "both", "between": "attached"}, (79.3, 84.3)),
    ],
)
def test_ablations_are_those_of_the_papers(
    name: str, settings: dict[str, Any], values: tuple[float, ...]
) -> None:
    wanted = {f"method.options.{option}": value for option, value in settings.items()}
    rows = [row.cells for row in tables.load(name).rows]
    found = [cell for row in rows for cell in row if cell and wanted.items() <= cell.settings.items()]
    assert tuple(cell.value for cell in found) == values
    assert all(cell.flags and cell.method for cell in found)


def test_isc_is_that_of_its_own_paper() -> None:
    """Other papers quote it with xsub and xset exchanged, or with another number: those are not offered."""
    row = next(row for row in tables.load("isc-table1").rows if row.label == "ISC")
    assert [cell.value for cell in row.cells if cell] == [85.2, 76.3, 67.9, 67.1, 80.9, 36.0]
    for split, value in (("xsub", 67.1), ("xset", 67.9)):
        found = tables.published(method="isc", dataset="ntu120", split=split, protocol="linear")
        assert {cell.value for cell in found} == {value}


def test_no_two_papers_disagree_on_a_number_that_can_be_filled() -> None:
    seen: dict[str, tuple[float, str]] = {}
    for cell in reader.cells():
        if cell.method is None or cell.origin == "reproduced":
            continue
        stream = "+".join(sorted((cell.stream or "").split("+")))
        what = cell.model_dump(
            exclude={"value", "std", "table", "source", "row", "column", "origin", "stream", "note", "flags"}
            | {"preset", "weights", "frames", "recipe", "probe_epochs"}
        )
        before = seen.setdefault(json.dumps([what, stream], sort_keys=True), (cell.value, cell.source))
        assert before[0] == cell.value, f"{cell.source} {cell.row}: {cell.value}, {before[1]}: {before[0]}"


@pytest.mark.parametrize("name", tables.names())
def test_a_table_is_whole(name: str) -> None:
    table = tables.load(name)
    assert table.name == name
    assert tables.load(f"paper/{name}") is table
    for row in table.rows:
        assert len(row.cells) == len(table.columns)
        for cell in filter(None, row.cells):
            assert cell.table == name
            if cell.method is not None:
                assert cell.stream is not None
                assert 0 < cell.value < 100
            assert (cell.share is not None) == (cell.protocol == "semi")


def test_rows_say_whose_numbers_they_are() -> None:
    rows = {row.label: row.cells[0] for row in tables.load("aimclr-table4").rows}
    origins = {label: cell.origin for label, cell in rows.items() if cell is not None}
    assert [label for label, origin in origins.items() if origin == "own"] == [
        "AimCLR",
        "3s-AimCLR with cross-stream mining",
        "3s-AimCLR",
    ]
    assert {origins["LongT GAN"], origins["SkeletonCLR"]} == {"quoted"}


def test_streams_and_fusions_of_a_table_add_up() -> None:
    """Gains that AimCLR's Table 2 prints beside its numbers."""
    gains = {"joint": (6.0, 3.3, 2.5, 6.6, 7.5), "motion": (13.5, 19.8, 8.6, 17.7, 14.2)}
    gains |= {"bone": (3.8, 9.6, 9.4, 14.5, 11.4), "joint+motion+bone": (3.9, 4.0, 2.5, 7.5, 6.2)}
    rows = tables.load("aimclr-table2").rows
    for base, own in zip(rows[::2], rows[1::2], strict=True):
        assert base.stream == own.stream
        pairs = zip(base.cells, own.cells, strict=True)
        assert tuple(round(b.value - a.value, 1) for a, b in pairs if a and b) == gains[own.stream or ""]


def test_an_unknown_table_names_the_closest() -> None:
    with pytest.raises(UsageError, match=r"unknown table 'ms-clr-tabel1'. Did you mean 'ms-clr-table1'"):
        tables.load("paper/ms-clr-tabel1")
