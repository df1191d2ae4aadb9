"""``skeltools render``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.commands import show
from skeltools.cli.terminal import PATH, PLACE

if TYPE_CHECKING:
    from skeltools.opened import Clip, OpenedStore


def _size(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", value.strip())
    if match is None:
        raise click.BadParameter(f"a size is WIDTHxHEIGHT, such as 1280x720, found '{value}'")
    return int(match[1]), int(match[2])


@click.command("render")
@click.argument("store_path", metavar="STORE", type=PLACE)
@click.argument("id")
@click.option(
    "--out",
    required=True,
    type=PATH,
    help="The file: .mp4, .gif, .webp or .apng moves; .png, .svg or .pdf is a film strip.",
)
@click.option(
    "--convention", "conventions", multiple=True, help="Repeat for several side by side; all  [the first]."
)
@click.option("--kind", type=click.Choice(("joint", "bone", "motion")), default="joint", show_default=True)
@click.option(
    "--view",
    type=click.Choice(("front", "side", "top", "three-quarter")),
    default="front",
    show_default=True,
    help="front is what the sensor saw.",
)
@click.option(
    "--ground", type=click.Choice(("white", "dark", "transparent")), default="white", show_default=True
)
@click.option(
    "--frames",
    metavar="FRAMES",
    help="8: so many, evenly spread; 10:60, 10:60:5, 3,7,9: these  [all; film strip: 8].",
)
@click.option("--size", callback=_size, metavar="WxH", help="Dots  [what the clip needs].")
@click.option("--fps", type=float, metavar="FPS", help="Frames a second of the recording  [30].")
@click.option("--speed", type=float, default=1.0, metavar="FACTOR", help="0.5 is half as fast  [1].")
@click.option("--names", is_flag=True, help="Write the joints' names.")
@click.option("--plain", is_flag=True, help="Without words: no titles, no frame numbers.")
@click.option("--force", is_flag=True, help="Replace the file at OUT.")
def command(
    store_path: Path,
    id: str,
    out: Path,
    conventions: tuple[str, ...],
    kind: str,
    plain: bool,
    force: bool,
    **look: Any,
) -> None:
    """Draw the clip ID of STORE: an animation, or a film strip for a paper.

    ID is a sample id or a row number. Blue is a person's left and orange the right; joints of the right side
    are hollow, and joints that were not seen are crosses at their likely positions. All conventions are drawn
    to one scale.

    \b
    Example:
      skeltools render store.zarr S001C001P001R001A023 --out wave.gif
      skeltools render store.zarr 0 --out strip.svg --frames 10 --view three-quarter
      skeltools render store.zarr 0 --out grid.mp4 --convention all --speed 0.5
      skeltools render store.zarr 0 --out motion.webp --kind motion --ground transparent

    Pictures need the extra plots: pip install 'skeltools[plots]'
    """
    from skeltools import open as open_store
    from skeltools.pictures import require_plots

    require_plots()
    from skeltools.pictures.render import Look, kind_of, save
    from skeltools.pictures.scene import of_clips

    kind_of(out)
    opened = open_store(store_path)
    clips = _clips(opened, id, conventions)
    scene = of_clips(clips, kind, classes=opened.classes)  # type: ignore[arg-type]
    show(str(save(scene, out, Look(**look, words=not plain), force=force)))


def _clips(opened: OpenedStore, id: str, conventions: tuple[str, ...]) -> list[Clip]:
    """The clip in the requested conventions; ``all`` means those that have it."""
    from schemas import StoreError

    place: str | int = int(id) if id not in opened and re.fullmatch(r"\d{1,9}", id) else id
    if conventions != ("all",):
        return [opened.clip(place, name) for name in dict.fromkeys(conventions or opened.conventions[:1])]
    clips = []
    for name in opened.conventions:
        try:
            clips.append(opened.clip(place, name))
        except StoreError as error:
            missing = error
    if not clips:
        raise missing
    return clips
