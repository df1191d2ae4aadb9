"""What else is told what ``metrics.jsonl`` is told: TensorBoard, or a module with the calls of wandb.

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
"""What a module must have, as wandb and trackio do: init(project=, name=, config=, ...), log(metrics, step=),
finish()."""

NAMED = "logged-as"
"""File in the run folder with the id that a resumed run goes on under."""

_PLACE = ("event", "epoch", "step")


def require(name: str) -> None:
    """Raises UsageError for a logger that is not installed, or that is none."""
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
    """The mirror of a run's log; what it opens is closed behind it. ``settings``: of the run, as plain JSON.

    Raises as ``require``, and SkelError for a module whose ``init`` fails.
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
    from torch.utils.tensorboard import SummaryWriter  # an extra; not needed unless asked for

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
    """Project ``skeltools``, the run named after its folder; optional arguments as far as init has them."""
    more = {"dir": str(folder), "id": _id(folder), "resume": "allow" if resumed else "never"}
    try:
        known = inspect.signature(module.init).parameters
        anything = any(each.kind is each.VAR_KEYWORD for each in known.values())
        chosen = {key: value for key, value in more.items() if anything or key in known}
        module.init(project="skeltools", name=folder.resolve().name, config=dict(settings), **chosen)
    except Exception as error:  # of any kind: no account, no network, another version
        raise SkelError(
            f"init failed: {' '.join(str(error).split()) or type(error).__name__}",
            where=f"--log {name}",
            remedy=f"See the documentation of {name}, or leave --log out: metrics.jsonl has everything",
        ) from error


def _id(folder: Path) -> str:
    """Of the run, drawn once: it holds no seed, for runs of one seed must not be taken for each other."""
    file = folder / NAMED
    if not file.is_file():
        file.write_text(uuid.uuid4().hex[:12] + "\n", encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()


def _mirror(module: Any, name: str) -> Mirror:
    """Hands the numbers on. Where that fails, it says so once: a training does not end for want of a plot."""
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
