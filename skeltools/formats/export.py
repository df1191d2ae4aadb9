"""Export a store, or a part of it, to the formats of other code bases or to a new store."""

from __future__ import annotations

from collections.abc import Sequence as Names
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from schemas import StoreManifest, UsageError, unknown
from skeltools import store
from skeltools.formats import FORMATS, archives, pyskl, subset, target
from skeltools.formats.selection import Selection, choose

TARGETS: dict[str, ModuleType] = {**FORMATS, "zarr": subset}
"""Format -> module with ``write`` and the flags described in ``skeltools.formats``."""


@dataclass(frozen=True)
class Exported:
    """Summary of an export."""

    path: Path
    samples: int
    conventions: tuple[str, ...]
    protocols: tuple[str, ...]
    streams: tuple[str, ...]
    manifest: StoreManifest
    """The manifest of the source store."""


def export(
    source: Path,
    *,
    to: str,
    out: Path,
    conventions: Names[str] = (),
    streams: Names[str] = (),
    frames: Names[int] = (),
    protocols: Names[str] = (),
    part: str | None = None,
    ids: Path | None = None,
    force: bool = False,
) -> Exported:
    """Write the store at ``source`` to ``out`` in the format ``to``, a key of TARGETS.

    ``conventions``, ``streams`` (kinds), ``frames`` (lengths) and ``protocols`` restrict the selection
    (default: all; formats limited to one take the store's first convention and its joint stream). ``part``:
    only the train or test samples of the single split. ``ids``: a file with the ids of the samples to export.
    ``force`` replaces an existing target.

    Raises UsageError (unknown names, choices that the format cannot hold) or StoreError (no store, ``out``
    exists, disk full). After any error ``out`` is unchanged.
    """
    if to not in TARGETS:
        raise unknown("export format", to, TARGETS)
    made = TARGETS[to]
    opened = store.open_store(source)
    _check_choice(to, conventions, streams, frames, protocols)
    target.check(out, source, folder=made.FOLDER, force=force)
    selection = choose(
        opened,
        conventions=conventions or (tuple(opened.manifest.conventions)[:1] if made.ONE_CONVENTION else ()),
        streams=streams or (("joint",) if made.ONE_STREAM else ()),
        frames=frames,
        protocols=protocols,
        part=part,
        ids=ids,
    )
    if made.ONE_PROTOCOL:
        selection = replace(selection, protocols=(_protocol(selection, out),))
    if made.ONE_STREAM:
        selection = replace(selection, rows=_used(selection))
    _check_labels(to, selection)
    with target.writing(out, source, folder=made.FOLDER, force=force) as partial:
        made.write(partial, selection)
    return Exported(
        out,
        len(selection.rows),
        selection.conventions,
        selection.protocols,
        () if made is pyskl else selection.streams,
        opened.manifest,
    )


def _check_choice(
    to: str, conventions: Names[str], streams: Names[str], frames: Names[int], protocols: Names[str]
) -> None:
    """Refuse choices that a format cannot hold."""
    made = TARGETS[to]
    if made.ONLY_SEQUENCES and (streams or frames):
        raise UsageError(f"{to} holds sequences at full length", remedy="Leave out --stream and --frames")
    asked = {"--convention": conventions, "--stream": streams, "--frames": frames, "--split": protocols}
    one = {"--convention": made.ONE_CONVENTION, "--split": made.ONE_PROTOCOL}
    one |= dict.fromkeys(("--stream", "--frames"), made.ONE_STREAM)
    for option, values in asked.items():
        if one[option] and len(values) > 1:
            raise UsageError(f"{to} holds one at a time", where=option, remedy="Give it once, export twice")


def _check_labels(to: str, selection: Selection) -> None:
    """Refuse unlabelled samples if the format cannot represent them."""
    without = sum(label < 0 for label in selection.column("label"))
    if without and TARGETS[to].NEEDS_LABELS:
        raise UsageError(
            f"{without} of {len(selection.rows)} samples have no label, and {to} can hold none without",
            where=selection.opened.path,
            remedy="Export to hdf5 or zarr, or name those with a label in a file for --ids",
        )


def _protocol(selection: Selection, out: Path) -> str:
    """The only split, or the one named by the output file."""
    named = archives.protocol_of(out.stem)
    if len(selection.protocols) == 1:
        return selection.protocols[0]
    if named in selection.protocols:
        return str(named)
    raise UsageError(
        f"an archive of CTR-GCN holds one split, the store has {', '.join(selection.protocols) or 'none'}",
        where=out,
        remedy="Choose one with --split",
    )


def _used(selection: Selection) -> NDArray[np.int64]:
    """The rows that any split uses: formats with train and test files hold no others."""
    used = np.zeros(len(selection.rows), np.bool_)
    for protocol in selection.protocols:
        used |= selection.half(protocol) > 0
    if not used.any():
        raise UsageError(
            "no sample is in the train or test half of a split",
            where=selection.opened.path,
            remedy="Export to hdf5, pyskl or zarr",
        )
    return selection.rows[used]
