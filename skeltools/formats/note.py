"""What an export says about itself, so that it can be imported again as what it was."""

from __future__ import annotations

import json

from skeltools import __version__
from skeltools.formats.selection import Selection


def stream_note(selection: Selection, path: str, protocol: str) -> str:
    """JSON beside an exported stream. ``full_length``: zeros at a clip's end are frames of it, no padding."""
    _, convention, length, kind = path.split("/")
    manifest = selection.opened.manifest
    return json.dumps(
        {
            "tool": f"skeltools {__version__}",
            "dataset": manifest.dataset,
            "synthetic": manifest.synthetic,
            "store": manifest.hash,
            "convention": convention,
            "stream": kind,
            "frames": int(length.removeprefix("t")),
            "recipe": manifest.recipe.name,
            "protocol": protocol,
            "full_length": True,
        },
        indent=1,
    )
