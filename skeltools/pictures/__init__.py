"""Drawing: one design for the viewer, the report and the pictures of clips.

    clip -> scene (the content of a picture) -> viewer (a page), render (a file)

``design`` has the colours, ``scene`` the content of one picture as plain arrays and as JSON, ``sides`` the
left and right joints. These modules need only NumPy and schemas.
``render`` writes files: a track is projected (``flat``), turned into ``stick`` figures, laid out by ``sheet``
or ``film_strip``, and drawn by ``film`` or ``painted``. ``plots`` draws a whole store, ``gallery`` writes
the files. These need the extra ``plots``.

    store -> listing (data for the page) -> browsed (requests) -> server -> page/ in the browser
"""

from __future__ import annotations

from importlib.util import find_spec

from schemas import UsageError

PLOTS = {"matplotlib": "matplotlib", "PIL": "pillow"}
"""Modules of the extra ``plots`` that pictures need -> package. Pillow comes with matplotlib."""


def require_plots() -> None:
    """Raise UsageError that names the extra if the drawing packages are not installed."""
    missing = [package for module, package in PLOTS.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"pictures need {' and '.join(missing)}", remedy="Install with: pip install 'skeltools[plots]'"
        )
