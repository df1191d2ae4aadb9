"""Write a report as one self-contained HTML file, or as Markdown with its drawings beside it."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from schemas import SkelError, escaped
from schemas.system import remedy, replacing
from schemas.templates import template
from trainer.report.draw import themed
from trainer.report.parts import Figure, Note, Page, Part, Table

LIMIT = 3_000_000
"""Maximum recommended size of a page in bytes: it is also opened from mail and on phones."""

_FOLDER = Path(__file__).parent
_KINDS = {Figure: "figure", Table: "table", Note: "note"}


def html(page: Page) -> str:
    """The whole page, with style and drawings inline and no external resources."""
    script = player() if any(figure.scenes for figure in page.figures) else ""
    return template(_FOLDER / "page.html", shown=escaped).render(
        page=page,
        kind=_kind,
        drawing=_drawing,
        stacked=_stacked,
        style=Markup(_style()),
        policy=_policy(script),
        player=Markup(script),
        data=_data,
    )


def player() -> str:
    """The script that animates drawings: the viewer's player, and the button that starts it."""
    from skeltools.pictures import single_file

    return f"{single_file.script()}\n{_own('page.js')}"


def _policy(script: str) -> str:
    """A content security policy that loads nothing and runs no script but this one."""
    from skeltools.pictures.single_file import allowed

    source = allowed(script) if script else "'none'"
    return (
        f"default-src 'none'; script-src {source}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _style() -> str:
    from skeltools.pictures import design, single_file

    return f"{design.css()}\n{single_file.style()}\n{_own('page.css')}"


def _own(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _kind(part: Part) -> str:
    return _KINDS[type(part)]


def _stacked(table: Table) -> bool:
    """Whether a table has long cells in many columns, so that phones stack the cells of a row."""
    return len(table.columns) > 3 and any(len(cell) > 40 for row in table.rows for cell in row)


def _data(text: str) -> Markup:
    """JSON, escaped to stand inside an element of the page."""
    return Markup(text.replace("<", "\\u003c"))


def markdown(page: Page, *, figures: str) -> str:
    """Markdown that refers to the drawings as files ``figures/<name>.svg``."""
    return template(_FOLDER / "page.md", shown=escaped, cell=_cell).render(
        page=page, kind=_kind, figures=figures
    )


def write_html(page: Page, path: Path) -> int:
    """Write the file atomically; returns the number of bytes."""
    return _write(html(page), path)


def write_markdown(page: Page, path: Path) -> int:
    """Write the text and the folder ``<stem>-figures`` with the drawings; returns the bytes of the text."""
    folder = path.with_name(f"{path.stem}-figures")
    for figure in page.figures:
        _write(f'<?xml version="1.0" encoding="utf-8"?>\n{figure.svg}\n', folder / f"{figure.name}.svg")
    return _write(markdown(page, figures=folder.name), path)


def _cell(text: str) -> str:
    """Escape a cell of a Markdown table so that nothing in it is markup."""
    plain = escaped(text)
    for character in "\\|<>*_`[]":
        plain = plain.replace(character, f"\\{character}")
    return plain or " "


def _drawing(figure: Figure) -> Markup:
    """The drawing with title and description for screen readers; matplotlib escapes its own text."""
    start, end = themed(figure.svg).split(">", 1)
    named = Markup(
        ' role="img" aria-labelledby="{0}-title {0}-desc"><title id="{0}-title">{1}</title>'
        '<desc id="{0}-desc">{2}</desc>'
    ).format(figure.name, escaped(figure.title), escaped(figure.alt))
    return Markup(start) + named + Markup(end)


def _write(text: str, path: Path) -> int:
    data = text.encode("utf-8", "backslashreplace")
    try:
        with replacing(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise SkelError(
            f"cannot write the report ({error.strerror})", where=path, remedy=remedy(error)
        ) from error
    return len(data)
