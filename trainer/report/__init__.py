"""One page about one run, or about several side by side: from their folders to HTML and Markdown.

    collect     what the folders hold; what cannot be read becomes a note
    settings, tables, curves, confusion, gains          sections from settings, log and results alone
    encoded -> embedding, activation, retrieval         drawings that need the store and the checkpoint
    draw, lines, skeletons, parts                       how drawings look, and what sections are made of
    verdict     the head: what it all comes to, and the facts
    page        sections to one HTML file or to Markdown

docs/guides/report.md says what each part shows and how it is computed. matplotlib, scikit-learn and Jinja
come with the extra ``plots``; ``require_plots`` says so before anything of theirs is imported.
"""

from __future__ import annotations

import importlib.util

from schemas import UsageError

_NEEDED = {"matplotlib": "matplotlib", "sklearn": "scikit-learn", "jinja2": "jinja2"}


def require_plots() -> None:
    """Raises UsageError when something that reports are made with is not installed."""
    missing = [title for module, title in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"reports need {' and '.join(missing)}", remedy="Install with: pip install 'skeltools[plots]'"
        )
