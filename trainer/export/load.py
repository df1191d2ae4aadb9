"""A trained encoder ready for use, from an export or directly from a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from schemas import UsageError, checks_arguments
from trainer import checkpoint, hub
from trainer.export.card import CARD
from trainer.export.read import LoadedEncoder, read_encoder
from trainer.export.write import take_encoder
from trainer.run import open_run


@checks_arguments
def load_encoder(
    path: str | Path,
    *,
    encoder: str | None = None,
    device: Any = "cpu",
    store: str | Path | Sequence[str | Path] | None = None,
) -> LoadedEncoder:
    """The trained encoder of an export or a run folder, frozen and in eval mode, with its card.

    ``path``: the folder of an export, which needs neither run nor store, or of a finished run, whose store is
    read for its skeletons and recipe, at ``store`` or where the run has it; ``hf://user/name`` is a published
    one on Hugging Face (extra ``hub``). ``encoder``: which one, for a method that trains several. ``device``:
    where to place it, as in PyTorch. No code in the files is run.

    Raises CheckpointError when weights or card are absent, damaged, newer, or do not belong together;
    StoreError when a run's store is gone; UsageError for an unknown encoder or device.

        >>> import trainer
        >>> encoder = trainer.load_encoder("encoder")
        >>> encoder.stream, encoder.convention, encoder.frames
        ('joint', 'kinectv2_25', 24)
    """
    path, device = hub.local(path), chosen_device(device)
    if (path / CARD).is_file() or not (path / checkpoint.LAST).is_file():
        loaded = read_encoder(path)
        if encoder not in (None, loaded.card.name):
            raise UsageError(f"the export is of encoder {loaded.card.name}, not of '{encoder}'", where=path)
    else:
        run = open_run(path, store=store, device="cpu")
        card, network, _ = take_encoder(run, encoder)
        loaded = LoadedEncoder(card, network)
    return placed(loaded, device)


def placed(loaded: LoadedEncoder, device: Any) -> LoadedEncoder:
    """The encoder on a device, frozen and in eval mode; raises as ``chosen_device``."""
    return loaded.to(chosen_device(device)).eval().requires_grad_(False)


def chosen_device(name: Any) -> torch.device:
    """The device of a PyTorch device name; raises UsageError if it is not available."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {name!r}: {reason}", remedy="Choose cpu, cuda, cuda:N or mps") from error
    return device
