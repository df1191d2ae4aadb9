"""The sections of a report, and their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from trainer import __version__
from trainer import device as devices
from trainer.report import settings
from trainer.report.activation import INTRO as ACTIVE
from trainer.report.activation import activation
from trainer.report.collect import RunFolder, headline, read_runs
from trainer.report.confusion import confusion_section
from trainer.report.curves import curves_section
from trainer.report.embedding import INTRO as EMBEDDED
from trainer.report.embedding import embedding
from trainer.report.encoded import encode
from trainer.report.gains import gains_section
from trainer.report.parts import Note, Page, Part, Section, Table, percent
from trainer.report.retrieval import INTRO as NEAREST
from trainer.report.retrieval import retrieval
from trainer.report.tables import results_section
from trainer.report.verdict import facts, verdicts
from trainer.run import measured_on

SYNTHETIC = (
    "Built-in demo data: synthetic motion of a simulated body. Numbers made from it say nothing about "
    "NTU RGB+D or any other real data."
)

OnProgress = Callable[[int, int], None]


def build(
    paths: Sequence[Path],
    *,
    baseline: Path | None = None,
    store: Path | None = None,
    title: str | None = None,
    device: str = "auto",
    encoders: bool = True,
    on_progress: OnProgress | None = None,
) -> Page:
    """Everything in the folders, as sections.

    ``store``: the current path of the runs' store. ``encoders``: whether to include the drawings that encode
    the clips anew. Raises UsageError and SkelError for folders that are not runs; anything else that is
    missing or damaged becomes a note in the page.
    """
    devices.choose(device)  # unlike unreadable files, a wrong device is an error
    runs = read_runs([*paths, *([] if baseline is None else [baseline])], store=store, device=device)
    against = next((run for run in runs if baseline and run.path.resolve() == baseline.resolve()), None)
    sections = [
        _overview(runs, against),
        results_section(runs),
        curves_section(runs),
        confusion_section(runs),
        gains_section(runs, against),
        *(_encoder_sections(runs, on_progress) if encoders else ()),
        settings.settings_section(runs),
        settings.provenance_section(runs),
    ]
    return Page(
        title or f"Report: {', '.join(run.name for run in runs)}",
        tuple(sections),
        __version__,
        verdicts(runs, against),
        facts(runs),
    )


def _overview(runs: Sequence[RunFolder], baseline: RunFolder | None) -> Section:
    parts: list[Part] = [Note(SYNTHETIC, kind="warning")] if any(run.synthetic for run in runs) else []
    columns = ("run", "method", "preset", "trained on", "epochs", "top-1 % of its best-suited protocol")
    rows = tuple(_summary(run, run is baseline) for run in runs)
    parts.append(Table("Runs", columns, rows))
    parts += [Note(f"{run.name}: {note.text}", note.command, note.kind) for run in runs for note in run.notes]
    return Section("overview", "Overview", tuple(parts))


def _summary(run: RunFolder, is_baseline: bool) -> tuple[str, ...]:
    best = headline(run.results, run.reference)
    figure = (
        f"{percent(best.result.top1)} ({best.result.figure}; {measured_on(best.result)})"
        if best
        else "not evaluated"
    )
    epochs = f"{run.epoch} of {run.config.optimise.epochs}"
    return (
        f"{run.name} (baseline)" if is_baseline else run.name,
        run.config.method.name,
        run.config.preset,
        f"{', '.join(run.config.data.conventions)}; {run.config.data.split or ''}",
        epochs if run.finished else f"{epochs}, not finished",
        figure,
    )


def _encoder_sections(runs: Sequence[RunFolder], on_progress: OnProgress | None) -> tuple[Section, ...]:
    """The sections drawn from clips and features; only one run's are in memory at a time."""
    maps: list[Part] = []
    activations: list[Part] = []
    examples: list[Part] = []
    for run in runs:
        encoded = encode(run, on_progress=on_progress)
        if isinstance(encoded, Note):
            for parts in (maps, activations, examples):
                parts.append(encoded)
            continue
        maps.append(embedding(encoded))
        activations += activation(encoded)
        examples += retrieval(encoded)
    return (
        Section("embedding", "Features", tuple(maps), EMBEDDED),
        Section("activation", "What the encoder looks at", tuple(activations), ACTIVE),
        Section("retrieval", "Nearest neighbours", tuple(examples), NEAREST),
    )
