"""The picture of the viewer in docs/guides/view.md, taken by Chromium from a store of the built-in demo data.

    skeltools demo raw/ --subjects 2
    skeltools convert ntu60 --out store.zarr
    PYTHONPATH=. python website/viewer.py store.zarr

Writes docs/images/view.png.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image

from skeltools.pictures.browsed import Browsed
from skeltools.pictures.server import Server
from tests.browser import Browser

CLIP = "#id=S004C002P001R001A024&with=kinectv2_25,smplx_42"
"""Kicking something, seen by camera 2."""

FRAME = 29
SIZE = (1360, 800)


def main(store: str) -> None:
    path = Path(__file__).parents[1] / "docs" / "images" / "view.png"
    with (
        Server(Browsed(Path(store)).answers()) as server,
        tempfile.TemporaryDirectory() as profile,
        Browser(Path(profile)) as browser,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.open(server.url + CLIP, SIZE, still=True)
        page.wait("window.skeltoolsPage?.player?.drawn > 0", 60)
        page.run(f"skeltoolsPage.player.seek({FRAME})")
        inked = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
        page.wait(f"[...document.querySelectorAll('.list canvas')].every({inked})", 60)
        Image.fromarray(page.screenshot()).quantize(128).save(path, optimize=True)
        server.shutdown()
    print(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "store.zarr")
