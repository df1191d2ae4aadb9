"""What is drawn, and how it looks: one design for the viewer, the report and the pictures of clips.

    clip -> scene (what is drawn) -> viewer (a page), render (a file)

``design`` has the colours, ``scene`` what one picture shows as plain arrays and as JSON, ``sides``
which joints are left and right. They are light: NumPy and schemas alone.
``render`` writes files: a track is made ``flat``, then ``stick`` figures, placed by ``sheet`` or by
``film_strip``, drawn by ``film`` or ``painted``. ``plots`` draws a whole store, ``gallery`` writes it.
These need the extra ``plots``.

    store -> listing (what the page asks for) -> browsed (of a request) -> server -> page/ in the browser
"""

from __future__ import annotations

from importlib.util import find_spec

from schemas import UsageError

PLOTS = {"matplotlib": "matplotlib", "PIL": "pillow"}
"""What pictures need of the extra ``plots``: module -> package. Pillow comes with matplotlib."""


def require_plots() -> None:
    """Raises UsageError that names the extra when what draws pictures is not installed."""
    missing = [package for module, package in PLOTS.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"pictures need {' and '.join(missing)}", remedy="Install with: pip install 'skeltools[plots]'"
        )
