"""``trainer report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from schemas.commands import echo, progress
from trainer.cli.options import DEVICE, PATH, STORE_OF_RUN


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=PATH)
@click.option("--out", type=PATH, default="report.html", show_default=True, help="HTML file to write.")
@click.option("--markdown", type=PATH, help="Also write the page as Markdown, with its drawings beside it.")
@click.option("--baseline", type=PATH, metavar="RUN", help="Run that the others are compared with.")
@click.option("--title", help="Title of the page.")
@STORE_OF_RUN
@DEVICE
@click.option(
    "--no-encoders",
    is_flag=True,
    help="Leave out the parts that need to encode clips: features, activation, neighbours.",
)
def command(
    runs: tuple[Path, ...], out: Path, markdown: Path | None, no_encoders: bool, **options: Any
) -> None:
    """Write one page about a run, or about several side by side: results, curves, confusion, features.

    The page is one HTML file that needs no network and suits screens, telephones, dark mode and paper. It
    begins with a verdict on the runs; clips play if scripts are enabled. Whatever is missing is listed with
    the command that makes it.

    \b
    Examples:
      trainer report runs/ms-clr
      trainer report runs/ms-clr --baseline runs/aimclr --out compared.html --markdown compared.md
      trainer report runs/a runs/b runs/c --no-encoders --title "Three seeds"
    """
    from trainer import report

    report.require_plots()
    from trainer.report import page
    from trainer.report.build import build

    with progress("encoding") as on_progress:
        built = build(runs, encoders=not no_encoders, on_progress=on_progress, **options)
    size = page.write_html(built, out)
    echo(f"{out}: {len(built.figures)} drawings, {size / 1e6:.1f} MB")
    for verdict in built.verdicts:
        click.echo(verdict)
    if size > page.LIMIT:
        echo(
            "note: that is a large page; name fewer runs, or leave drawings out with --no-encoders", err=True
        )
    if markdown is not None:
        page.write_markdown(built, markdown)
        echo(f"{markdown}, drawings in {markdown.with_name(f'{markdown.stem}-figures')}/")
    for note in built.notes:
        if note.kind != "info":
            echo(f"note: {note.text}{f' ({note.command})' if note.command else ''}", err=True)
