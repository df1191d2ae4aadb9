"""Build a page about one run, or several side by side: from run folders to HTML and Markdown.

    collect     reads the folders; whatever cannot be read becomes a note
    settings, tables, curves, confusion, gains          sections from settings, log and results alone
    encoded -> embedding, activation, retrieval         drawings that need the store and the checkpoint
    tracks      clips as people to draw, here and in the viewer
    draw, lines, skeletons, parts                       the style of drawings, and the elements of sections
    verdict     the head of the page: a conclusion for each run, and the facts
    page        writes sections as a single HTML file or as Markdown

docs/guides/report.md describes each part and how it is computed. matplotlib and scikit-learn come with
the extra ``plots``; ``require_plots`` checks for them before any is imported.
"""

from __future__ import annotations

import importlib.util

from schemas import UsageError

_NEEDED = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}


def require_plots() -> None:
    """Raises UsageError if a package that reports need is not installed."""
    missing = [title for module, title in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"reports need {' and '.join(missing)}", remedy="Install with: pip install 'skeltools[plots]'"
        )
