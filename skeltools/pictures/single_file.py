"""Write a self-contained HTML file that plays clips: the page, its style, its script and its clips."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from schemas import UsageError, unknown
from skeltools.files import durable
from skeltools.pictures import design
from skeltools.pictures.listing import Listing

PLAYER = ("scene", "dom", "camera", "paint", "figure", "clock", "text", "keys", "panel", "player")
"""Modules of the player alone, each after those that it needs when loaded."""

PAGE = (*PLAYER, "list", "map", "details", "tabs", "filters", "thumbnails", "source", "theme", "app")
"""Modules of the whole page."""

FIRST = 10
"""Number of samples in a file if none are named."""

MOST = 500
"""Most samples in a file; all are in memory at once."""


def script(modules: Sequence[str] = PLAYER) -> str:
    """The page's modules as one script without imports; their top-level names are all distinct.

    A page with it in ``<script type="module">`` can then call ``new Player(element, scenes, options)``, where
    scenes are results of ``scene.to_json``.
    """
    return "\n".join(_bare(_text(f"{name}.js")) for name in modules)


def style(sheets: Sequence[str] = ("player",)) -> str:
    """The page's style sheets, concatenated; they need the variables of ``design.css``."""
    return "\n".join(_text(f"{name}.css") for name in sheets)


def write(
    store: str | Path,
    out: str | Path,
    *,
    samples: Sequence[str] = (),
    conventions: Sequence[str] = (),
    classes: Sequence[str] = (),
    force: bool = False,
) -> int:
    """Write chosen samples of a store as one page, and return its size in bytes.

    ``samples``: ids; by default the first ten. ``conventions``: by default all of the store. ``classes``:
    only samples of these classes, or all of them if no samples are named. Raises UsageError for unknown
    samples, conventions or classes, for more than 500 samples, and if ``out`` exists without ``force``.
    """
    listing, target = Listing(store), Path(out)
    check_free(target, force=force)
    return save(page(held(listing, _rows(listing, samples, classes), conventions)), target)


def check_free(target: Path, *, force: bool) -> None:
    """Raise UsageError for a folder, and without ``force`` for an existing file."""
    if target.is_dir():
        raise UsageError("is a folder", where=target, remedy="Name the file, such as clips.html")
    if target.exists() and not force:
        raise UsageError("is there already", where=target, remedy="Choose another name, or add --force")


def save(text: str, target: Path) -> int:
    """Write a page atomically and return its size in bytes. Raises UsageError on failure."""
    try:
        durable.write(target, lambda file: file.write(text.encode()))
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})",
            where=target,
            remedy="Choose a folder that is there and that you may write to",
        ) from error
    return target.stat().st_size


def held(listing: Listing, rows: Sequence[int], conventions: Sequence[str] = ()) -> dict[str, Any]:
    """The data of a page of these rows: the answers that a server would give."""
    header, columns = listing.store(), listing.rows()
    names = [listing.opened.spec(name).name for name in conventions] or list(listing.opened.conventions)
    header["conventions"] = [each for each in header["conventions"] if each["name"] in names]
    chosen = [columns["id"][row] for row in rows]
    header |= {"samples": len(chosen), "of": len(columns["id"])}
    return {
        "store": header,
        "rows": _picked(columns, rows),
        "samples": {id: listing.sample(id, names) for id in chosen},
        "poses": [listing.poses([row])["track"] for row in rows],
    }


def page(data: Mapping[str, Any]) -> str:
    """The page with ``data`` (see ``held``) in it; ``items`` has the answers to the addresses of tabs.

    The same data give the same text. The page's policy forbids loading anything and running other scripts.
    """
    code, look = script(PAGE), design.css() + style(("player", "viewer"))
    packed = base64.b64encode(gzip.compress(json.dumps(data, allow_nan=False).encode(), mtime=0)).decode()
    icon = base64.b64encode(_text("icon.svg").encode()).decode()
    policy = (
        f"default-src 'none'; script-src {allowed(code)}; style-src {allowed(look)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    text = _text("index.html")
    text = re.sub(r'<link rel="stylesheet".*?>\n', "", text)
    first = '<meta charset="utf-8">\n'
    meta = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
    text = text.replace(first, first + meta)
    text = text.replace("icon.svg", f"data:image/svg+xml;base64,{icon}")
    text = text.replace("</head>", f"<style>{look}</style>\n</head>")
    text = text.replace('<script type="module" src="app.js"></script>\n', "")
    clips = f'<script type="application/octet-stream" id="clips">{packed}</script>'
    return text.replace("</body>", f'{clips}\n<script type="module">{code}</script>\n</body>')


def _rows(listing: Listing, samples: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Rows of the requested samples."""
    known = listing.opened.classes
    for name in classes:
        if name not in known:
            raise unknown("class", name, known, where=listing.opened.path)
    rows = [_row(listing, id) for id in dict.fromkeys(samples)] or list(range(len(listing.opened)))
    if classes:
        labels = {known.index(name) for name in classes}
        rows = [row for row in rows if int(listing.opened.labels[row]) in labels]
    if not samples and not classes:
        rows = rows[:FIRST]
    if not rows:
        raise UsageError("none of the samples is of these classes", where=listing.opened.path)
    if len(rows) > MOST:
        raise UsageError(
            f"{len(rows)} samples are too many for one file", remedy=f"Name up to {MOST} with --sample"
        )
    return rows


def _row(listing: Listing, id: str) -> int:
    """The row of a sample. Raises UnknownSampleError, with the closest ids."""
    return listing.row(id if id in listing.opened else listing.opened.clip(id).id)


def _picked(columns: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """The chosen rows of all columns; those of splits are one level down."""
    part = {
        name: [values[row] for row in rows] if isinstance(values, list) else values
        for name, values in columns.items()
    }
    split = {name: [values[row] for row in rows] for name, values in columns["split"].items()}
    return part | {"split": split, "from": 0, "count": len(rows), "total": len(rows)}


def allowed(text: str) -> str:
    """The source of a content security policy that permits this script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _bare(module: str) -> str:
    without = re.sub(r"^import [^;]*;\n", "", module, flags=re.MULTILINE)
    return re.sub(r"^export (?=class|function|const|async)", "", without, flags=re.MULTILINE)


def _text(name: str) -> str:
    return files("skeltools.pictures").joinpath("page", name).read_text(encoding="utf-8")
