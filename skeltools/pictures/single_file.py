"""One HTML file that plays: the page, its style, its script and its clips, and nothing from anywhere else."""

from __future__ import annotations

import re
from importlib.resources import files

MODULES = ("scene", "dom", "camera", "paint", "figure", "clock", "text", "keys", "panel", "player")
"""Files of the player's script: each imports from those before it alone, save for names used when it runs."""

STYLES = ("player",)


def script(modules: tuple[str, ...] = MODULES) -> str:
    """The page's modules as one script without imports: their top-level names are all different.

    A page that embeds it as ``<script type="module">`` can call ``new Player(element, scenes, options)``.
    """
    return "\n".join(_bare(_text(f"{name}.js")) for name in modules)


def style(sheets: tuple[str, ...] = STYLES) -> str:
    """The page's style sheets in one; ``design.css`` is not in them."""
    return "\n".join(_text(f"{name}.css") for name in sheets)


def _bare(module: str) -> str:
    without = re.sub(r"^import [^;]*;\n", "", module, flags=re.MULTILINE)
    return re.sub(r"^export (?=class|function|const|async|let)", "", without, flags=re.MULTILINE)


def _text(name: str) -> str:
    return files("skeltools.pictures").joinpath("page", name).read_text(encoding="utf-8")
