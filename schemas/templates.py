"""Texts laid out by jinja2 templates, which lie beside the modules that fill them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2


def template(path: Path, **filters: Callable[..., object]) -> jinja2.Template:
    """The template in a file; ``.html`` escapes all values. A value that it lacks is an error.

    The newline at the end of the file is no part of the text.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=jinja2.select_autoescape(("html",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(path.name)
