"""Play a clip in a notebook: the viewer's player in an iframe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from schemas import checks_arguments
from skeltools.pictures import design, single_file
from skeltools.pictures.render import Look, choose, gap, length_of, save
from skeltools.pictures.scene import Scene, Track, to_json

HEIGHT = 440
"""Height of the iframe in points: people as large as in an animation, and the controls."""

_LAYOUT = "body { padding: 2px; } #player, .player { height: calc(100vh - 8px); }"

_VIEWS = {"three-quarter": "corner"}
"""View -> the player's name for it, where they differ."""

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>{style}</style></head><body><div id="player"></div>
<script type="application/json" id="scene">{scene}</script>
<script type="module">{script}
const scene = JSON.parse(document.getElementById("scene").textContent);
new Player(document.getElementById("player"), [scene], {options});
</script></body></html>"""


@dataclass(frozen=True, eq=False)
class Animation:
    """A clip that plays in a notebook, and that ``save`` writes to a file."""

    scene: Scene
    look: Look

    @checks_arguments
    def save(self, out: str | Path, *, force: bool = False) -> Path:
        """Write it in the format of the suffix: .mp4, .gif, .webp, .apng; .png, .svg, .pdf: a film strip."""
        return save(self.scene, Path(out), self.look, force=force)

    def _repr_html_(self) -> str:
        wide, tall = self.look.size or (None, HEIGHT)
        style = f"width: {f'{wide}px' if wide else '100%'}; height: {tall}px; border: 0"
        title = escape(f"{self.scene.title or self.scene.id}: a player of stick figures", quote=True)
        text = escape(page(self.scene, self.look), quote=True)
        return f'<iframe title="{title}" style="{style}" srcdoc="{text}"></iframe>'


def page(scene: Scene, look: Look) -> str:
    """A self-contained page with the player of one scene. Raises UsageError for frames that do not exist."""
    total = length_of(scene)
    chosen = choose(look.frames, total, all_of_them=True)
    part = _cut(scene, chosen, total)
    fps = (look.fps or scene.fps or 30.0) / gap(chosen)
    view = _VIEWS.get(look.view, look.view)
    kind = scene.tracks[0].kind
    options: dict[str, Any] = {"view": view, "kind": kind, "speed": look.speed, "fps": fps, "controls": "few"}
    return _PAGE.format(
        title=escape(scene.title or scene.id),
        style=design.css() + single_file.style() + _LAYOUT,
        scene=_safe(to_json(part)),
        script=single_file.script(),
        options=_safe(options),
    )


def _safe(value: Any) -> str:
    """JSON that is safe inside a script element: it cannot contain the closing tag."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _cut(scene: Scene, chosen: Sequence[int], total: int) -> Scene:
    """The scene with the chosen frames only; tracks of other lengths stay whole."""
    if len(chosen) == total:
        return scene
    tracks = tuple(_frames(track, chosen) if len(track.joints) == total else track for track in scene.tracks)
    return replace(scene, tracks=tracks, ribbons={}, findings=())


def _frames(track: Track, chosen: Sequence[int]) -> Track:
    rows = list(chosen)
    arrays = {
        name: values[rows]
        for name in ("joints", "present", "unseen", "vectors", "shade")
        if (values := getattr(track, name)) is not None
    }
    return replace(track, **arrays)
