"""A report as one HTML file that needs nothing else, or as Markdown with its drawings beside it."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from schemas import SkelError, escaped
from trainer.evaluate.scores import replacing
from trainer.report.parts import Figure, Note, Page, Table

LIMIT = 3_000_000
"""Bytes that a page should not exceed: it is opened from mail and on telephones, too."""

_KINDS = {Figure: "figure", Table: "table", Note: "note"}


def html(page: Page) -> str:
    """The whole page: style and drawings inside, no script, nothing from elsewhere."""
    return _template("page.html").render(page=page, kind=lambda part: _KINDS[type(part)], drawing=_drawing)


def markdown(page: Page, *, figures: str) -> str:
    """Markdown with the drawings as files ``figures/<name>.svg``."""
    return _template("page.md").render(page=page, kind=lambda part: _KINDS[type(part)], figures=figures)


def write_html(page: Page, path: Path) -> int:
    """The bytes written. The file is complete or absent."""
    return _write(html(page), path)


def write_markdown(page: Page, path: Path) -> int:
    """Also the folder ``<stem>-figures`` with the drawings. The bytes of the text."""
    folder = path.with_name(f"{path.stem}-figures")
    for figure in page.figures:
        _write(f'<?xml version="1.0" encoding="utf-8"?>\n{figure.svg}\n', folder / f"{figure.name}.svg")
    return _write(markdown(page, figures=folder.name), path)


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(("html",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": _shown, "cell": _cell}
    return environment.get_template(name)


def _shown(text: str) -> str:
    """Without characters that no file of text should have."""
    return escaped(text)


def _cell(text: str) -> str:
    """A cell of a Markdown table, in which no text is markup."""
    plain = escaped(text)
    for character in "\\|<>*_`[]":
        plain = plain.replace(character, f"\\{character}")
    return plain or " "


def _drawing(figure: Figure) -> Markup:
    """The drawing with its title and description for those who do not see it; matplotlib escapes its text."""
    start, end = figure.svg.split(">", 1)
    named = Markup(
        ' role="img" aria-labelledby="{0}-title {0}-desc"><title id="{0}-title">{1}</title>'
        '<desc id="{0}-desc">{2}</desc>'
    ).format(figure.name, _shown(figure.title), _shown(figure.alt))
    return Markup(start) + named + Markup(end)


def _write(text: str, path: Path) -> int:
    data = text.encode("utf-8", "backslashreplace")
    try:
        with replacing(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise SkelError(
            f"cannot write the report ({error.strerror})", where=path, remedy="Choose another file"
        ) from error
    return len(data)
