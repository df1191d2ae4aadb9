"""Progress of the commands: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from schemas import shown, verbosity
from schemas.commands import echo

if TYPE_CHECKING:
    from trainer import loop

    OnLoad = Callable[[int, int], None]
    OnStep = Callable[[loop.Progress], None]


@contextmanager
def training_display(title: str) -> Iterator[tuple[OnLoad | None, OnStep]]:
    """Bars for reading and for all steps on a terminal; one line per epoch elsewhere."""
    if not (sys.stderr.isatty() and verbosity.shows_progress()):
        yield None, _epoch_line(title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        reading = progress.add_task("reading the store", text="")
        training = progress.add_task(title, text="", visible=False)

        def show_load(done: int, total: int) -> None:
            progress.update(reading, completed=done, total=total)

        def show_step(state: loop.Progress) -> None:
            progress.update(reading, visible=False)
            done, total = (state.epoch - 1) * state.steps + state.step, state.epochs * state.steps
            progress.update(training, completed=done, total=total, text=_state_text(state), visible=True)
            for text in state.warnings:
                progress.console.print(f"warning: {shown(text)}", markup=False, highlight=False)

        yield show_load, show_step


def _epoch_line(title: str) -> OnStep:
    untold = [title]

    def show(state: loop.Progress) -> None:
        while untold:
            echo(untold.pop(), err=True)
        if state.step == state.steps:
            echo(_state_text(state), err=True)
        for text in state.warnings:
            echo(f"warning: {text}", err=True)

    return show


def _state_text(state: loop.Progress) -> str:
    stage = f"stage {state.stage}  " if state.stage else ""
    loss = f"loss {state.loss:.4f}  " if state.loss == state.loss else ""
    return (
        f"epoch {state.epoch}/{state.epochs}  {stage}{loss}"
        f"{state.clips_per_second:.0f} clips/s  {duration(state.eta)} left"
    )


def left_out(text: str) -> None:
    """Print why a clip is not used."""
    echo(f"left out: {text}", err=True)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
