"""Mirrors of ``metrics.jsonl``: TensorBoard, or any module with the calls of wandb.

with loggers.opened("wandb", folder, settings) as mirror:
    mirror({"event": "epoch", "loss": 1.5}, global_step)
"""

from __future__ import annotations

import inspect
import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from schemas import SkelError, UsageError
from trainer.logbook import Mirror, Record

TENSORBOARD = "tensorboard"
CALLS = ("init", "log", "finish")
"""Functions that a module must have, as wandb and trackio do: init(project=, name=, config=, ...),
log(metrics, step=), finish()."""

NAMED = "logged-as"
"""File in the run folder with the logging id that a resumed run continues under."""

_PLACE = ("event", "epoch", "step")


def require(name: str) -> None:
    """Raises UsageError for a logger that is not installed and for a module that is not a logger."""
    module = _module(name)
    missing = [call for call in CALLS if not callable(getattr(module, call, None))]
    if name != TENSORBOARD and missing:
        raise UsageError(
            f"the module has no {', '.join(missing)}",
            where=f"--log {name}",
            remedy=f"Name {TENSORBOARD}, or a module with {', '.join(CALLS)}, such as wandb or trackio",
        )


@contextmanager
def opened(
    name: str, folder: Path, settings: Mapping[str, Any], *, resumed: bool = False
) -> Iterator[Mirror]:
    """A context with a mirror of a run's log, closed on exit. ``settings``: the run's, as plain JSON.

    Raises like ``require``, and SkelError for a module whose ``init`` fails.
    """
    require(name)
    if name == TENSORBOARD:
        with _tensorboard(folder / TENSORBOARD) as mirror:
            yield mirror
        return
    module = _module(name)
    _start(module, name, folder, settings, resumed=resumed)
    try:
        yield _mirror(module, name)
    finally:
        module.finish()


def scalars(record: Record) -> dict[str, float]:
    """The numbers of a record, named after its event and key."""
    return {
        f"{record['event']}/{key}": value
        for key, value in record.items()
        if isinstance(value, float | int) and key not in _PLACE
    }


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        extra = f"'skeltools[{TENSORBOARD}]'" if name == TENSORBOARD else name.partition(".")[0]
        raise UsageError(
            f"{error.name} is not installed", where=f"--log {name}", remedy=f"pip install {extra}"
        ) from error
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"cannot be imported: {error}",
            where=f"--log {name}",
            remedy="Install it again, or leave --log out",
        ) from error


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Mirror]:
    from torch.utils.tensorboard import SummaryWriter  # an extra; imported only on request

    writer = SummaryWriter(str(folder))

    def mirror(record: Record, global_step: int) -> None:
        for key, value in scalars(record).items():
            writer.add_scalar(key, value, global_step)
        writer.flush()

    try:
        yield mirror
    finally:
        writer.close()


def _start(module: Any, name: str, folder: Path, settings: Mapping[str, Any], *, resumed: bool) -> None:
    """Call ``init`` with project ``skeltools``, the folder's name and the optional arguments it supports."""
    more = {"dir": str(folder), "id": _id(folder), "resume": "allow" if resumed else "never"}
    try:
        known = inspect.signature(module.init).parameters
        anything = any(each.kind is each.VAR_KEYWORD for each in known.values())
        chosen = {key: value for key, value in more.items() if anything or key in known}
        module.init(project="skeltools", name=folder.resolve().name, config=dict(settings), **chosen)
    except Exception as error:  # any kind: no account, no network, another version
        raise SkelError(
            f"init failed: {' '.join(str(error).split()) or type(error).__name__}",
            where=f"--log {name}",
            remedy=f"See the documentation of {name}, or leave --log out: metrics.jsonl has everything",
        ) from error


def _id(folder: Path) -> str:
    """The run's logging id, drawn once and independent of the seed: runs with equal seeds stay distinct."""
    file = folder / NAMED
    if not file.is_file():
        file.write_text(uuid.uuid4().hex[:12] + "\n", encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()


def _mirror(module: Any, name: str) -> Mirror:
    """A mirror that logs the numbers; the first failure is warned of and ends logging, not the training."""
    failed: list[Exception] = []

    def mirror(record: Record, global_step: int) -> None:
        numbers = scalars(record)
        if failed or not numbers:
            return
        try:
            module.log(numbers, step=global_step)
        except Exception as error:
            failed.append(error)
            logging.getLogger("trainer").warning("%s.log failed, the run goes on without it: %s", name, error)

    return mirror
