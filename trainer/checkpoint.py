"""Checkpoints: everything a run needs to continue, in one file that is either complete or absent."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from schemas import CheckpointError, RunConfig, tensors
from schemas.parsing import refusing
from schemas.system import replacing
from trainer import methods, seeds
from trainer.methods import Method
from trainer.skeleton import Skeleton
from trainer.store import Store

FORMAT = 1
LAST = Path("checkpoints", "last.pt")
"""Location of the newest checkpoint in a run folder."""

KEPT = "epoch-{:04}.pt"
"""File name, in the same folder, of the checkpoints that ``runtime.keep_every`` keeps."""

_MARK = "skeltools trainer checkpoint"
_WRAPPED = "base."
"""Prefix of MS-CLR's weight names in earlier versions, where it was a module around its base."""


@dataclass(frozen=True)
class Checkpoint:
    """State after ``step`` steps of epoch ``epoch`` (both counted from 0)."""

    config: RunConfig
    store_hash: str
    epoch: int
    step: int
    model: dict[str, Tensor]
    optimiser: dict[str, Any]
    meter: list[dict[str, float]]
    """Metrics of the steps done in the unfinished epoch."""
    log_position: int
    """Size of ``metrics.jsonl`` in bytes at the time of saving."""
    more_hashes: list[str] = field(default_factory=list)
    """Hashes of the other stores of a run on several stores, in their order."""

    @property
    def hashes(self) -> list[str]:
        """Hashes of all stores of the run."""
        return [self.store_hash, *self.more_hashes]


def epoch_file(epoch: int) -> Path:
    """Location in a run folder of the checkpoint kept after an epoch, counted from 1."""
    return LAST.with_name(KEPT.format(epoch))


def kept_epochs(run: Path) -> list[int]:
    """Epochs whose checkpoints the run folder has kept, ascending."""
    names = [path.stem.removeprefix("epoch-") for path in (run / LAST).parent.glob("epoch-*.pt")]
    return sorted(int(name) for name in names if name.isdigit())


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write to a temporary file, then rename it: a crash leaves the previous checkpoint untouched."""
    content = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    content |= {"kind": _MARK, "format": FORMAT, "config": checkpoint.config.model_dump_json()}
    with replacing(path) as partial, partial.open("wb") as file:
        _dump(content, file)
        file.flush()
        os.fsync(file.fileno())


def _dump(content: dict[str, Any], file: IO[bytes]) -> None:
    """Save ``content``. Raises the OSError of a full disk, which PyTorch hides behind a RuntimeError."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load(path: Path, *, device: torch.device | str = "cpu") -> Checkpoint:
    """Load a checkpoint.

    Raises CheckpointError when the file is absent, damaged, of a newer format or not a checkpoint. Only
    tensors and plain values are read; no code in the file is executed.
    """
    if not path.is_file():
        raise CheckpointError(
            "no checkpoint here", where=path, remedy="Is this a run folder of `trainer pretrain`?"
        )
    with refusing(lambda _: _unreadable(path)):
        check_sums(path)
        tensors.check(path)
        content = torch.load(path, map_location=device, weights_only=True)
        if content["kind"] != _MARK:
            raise _unreadable(path)
        if content["format"] > FORMAT:
            raise CheckpointError(
                f"written by a newer version: format {content['format']}, this one reads up to {FORMAT}",
                where=path,
                remedy="Update this package",
            )
        content["config"] = RunConfig.model_validate_json(content["config"])
        if all(name.startswith(_WRAPPED) for name in content["model"]):
            content["model"] = {
                name.removeprefix(_WRAPPED): value for name, value in content["model"].items()
            }
        content.setdefault("more_hashes", [])  # not in checkpoints of earlier versions
        saved = Checkpoint(**{field.name: content[field.name] for field in fields(Checkpoint)})
        _check(saved)
        return saved


def _check(saved: Checkpoint) -> None:
    """Raises TypeError for a value whose type differs from what ``save`` writes."""
    counts = (saved.epoch, saved.step, saved.log_position)
    if any(type(value) is not int or value < 0 for value in counts):
        raise TypeError("a count is none")
    if not all(isinstance(value, Tensor) for value in saved.model.values()):
        raise TypeError("a weight is no tensor")
    lists = (saved.meter, saved.more_hashes)
    if not isinstance(saved.optimiser, dict) or not all(isinstance(value, list) for value in lists):
        raise TypeError("a list or a mapping is none")
    if not all(isinstance(value, str) for value in saved.hashes):
        raise TypeError("a hash is no text")


def load_with_hash(path: Path) -> tuple[Checkpoint, str]:
    """Load a checkpoint together with the hash of its file.

    Raises like ``load``, and also when a run in progress replaces the file meanwhile.
    """
    digest = file_hash(path) if path.is_file() and zipfile.is_zipfile(path) else ""  # others are refused
    checkpoint = load(path)
    if file_hash(path) != digest:
        raise CheckpointError(
            "the file was replaced while it was read", where=path, remedy="The run goes on; try again"
        )
    return checkpoint, digest


def check_sums(path: Path) -> None:
    """Raises for a file that is not a zip archive or has a damaged member; torch.load does not check.

    Nor does torch.load read a member that is marked as a folder, which takes one flipped bit in its
    attributes: the tensor is then uninitialised memory. torch.save writes neither attributes nor compressed
    members, so both are refused; a compressed member may expand to a thousand times the size of the file.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        marked = (each.filename for each in members if each.external_attr or each.compress_type)
        damaged = next(marked, None) or archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)


def _unreadable(path: Path) -> CheckpointError:
    return CheckpointError(
        "this is not a checkpoint of `trainer pretrain`, or it is damaged",
        where=path,
        remedy="Restore the file from a copy, or train again",
    )


def fresh_method(config: RunConfig, skeletons: Mapping[str, Skeleton], *, seed: int) -> Method:
    """The method of a configuration on the CPU, with initial random weights drawn from ``seed`` alone."""
    return methods.build(
        config.method,
        encoder=config.encoder,
        skeletons=skeletons,
        augment=config.augment,
        stream=config.data.stream,
        generator=seeds.generator("cpu", seed, "weights"),
    )


def check_store(saved: Checkpoint, store: Store, *, where: object, remedy: str, place: int = 0) -> None:
    """Raises CheckpointError when ``store`` is not the ``place``-th store that the run was trained on."""
    own = saved.hashes[place] if place < len(saved.hashes) else "of none"
    if own != store.hash:
        raise CheckpointError(
            f"the run was trained on store {own[:12]}, {store.path} is {store.hash[:12]}",
            where=where,
            remedy=remedy,
        )


def load_weights(module: nn.Module, weights: dict[str, Tensor], *, where: object) -> None:
    """Load weights strictly.

    Raises CheckpointError that names the first missing, unexpected or misshapen weights.
    """
    own = module.state_dict()
    problems = [f"{name} is missing" for name in own if name not in weights]
    problems += [f"{name} is unexpected" for name in weights if name not in own]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"the weights do not fit the model: {'; '.join(problems[:3])}{more}",
            where=where,
            remedy="Use the config.yaml and the store with which the checkpoint was made",
        )
    module.load_state_dict(weights)


def file_hash(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
