"""Write the plots of a store as files, with a page that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from operator import methodcaller
from pathlib import Path

from schemas import UsageError
from skeltools import store
from skeltools.files import durable
from skeltools.inspect.card import SYNTHETIC, title_of
from skeltools.pictures import design
from skeltools.pictures.painted import DPI, in_bytes
from skeltools.pictures.plots import Plot, draw

PAGE = "index.html"


def write(path: Path, out: Path, *, force: bool = False) -> list[Path]:
    """Write all plots of a store as PNG and SVG to a folder, with a page; returns the files, the page first.

    Raises UsageError for a folder that is not empty, unless ``force``; StoreError for a damaged store.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (force and out.is_dir()):
        raise UsageError("is there already", where=out, remedy="Name another folder, or give --force")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}", where=out, remedy="Make it first")
    plots = list(draw(path))
    files = {PAGE: page(path, plots).encode()}
    for plot in plots:
        for kind in ("svg", "png"):
            files[f"{plot.name}.{kind}"] = in_bytes(plot.figure, kind, 2 * DPI)
    out.mkdir(exist_ok=True)
    for name, content in files.items():
        durable.write(out / name, methodcaller("write", content))
    return [out / name for name in files]


def page(path: Path, plots: Sequence[Plot]) -> str:
    """The HTML page of all plots, whose files are beside it."""
    manifest = store.open_store(path).manifest
    title = escape(title_of(manifest.dataset, synthetic=manifest.synthetic))
    summary = f"{manifest.samples} samples; hash {manifest.hash[:16]}."
    note = f"<p><strong>{escape(SYNTHETIC)}</strong></p>" if manifest.synthetic else ""
    pictures = "\n".join(
        f'<figure id="{plot.name}"><h2>{escape(plot.title)}</h2>'
        f'<a href="{plot.name}.svg"><img src="{plot.name}.svg" alt="{escape(plot.title)}"></a>'
        f"<figcaption>{escape(plot.caption)} "
        f'<a href="{plot.name}.png">PNG</a>, <a href="{plot.name}.svg">SVG</a></figcaption></figure>'
        for plot in plots
    )
    return _PAGE.format(
        title=title, style=design.css() + _STYLE, summary=summary, note=note, pictures=pictures
    )


_STYLE = """main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
figure { margin: 2rem 0; } figcaption { color: var(--quiet); max-width: 45rem; }
img { display: block; width: 100%; height: auto; padding: .5rem; margin-bottom: .5rem;
  background: #fff; border: 1px solid var(--line); border-radius: var(--radius); }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1><p>{summary}</p>{note}
{pictures}
</main></body>
</html>
"""
