"""Communication between the processes that train one model.

    torchrun --nproc-per-node N -m trainer pretrain ...

Every function is the identity in a single process, so callers need not count processes. Gradients are
averaged by one flat ``all_reduce`` after the backward pass, and the method is not wrapped in
DistributedDataParallel: the networks are small (AimCLR's ST-GCN: 1.6 MB of gradients), methods call parts of
their networks and not only ``forward``, and MS-CLR skips different weights in every step. The running
statistics of BatchNorm are averaged in the same call, so all processes hold the same state after every step.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor

from schemas import ConfigError, SkelError, UsageError

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, e.g. while the first reads the test half for its monitor."""

_DECORATION = re.compile(r"\[\S+:\d+\]\s*|\s*GLHF!.*")
"""What gloo adds to its messages: a source location and ``GLHF!``."""


@contextmanager
def processes() -> Iterator[None]:
    """Inside this context, the processes of one launcher form a group; a single process needs none.

    They find each other by the variables that torchrun sets. CPU tensors are sent by gloo, CUDA tensors by
    NCCL. An existing group is used and left as it is. Raises SkelError when another process is gone.
    """
    if not _launched() or _joined():
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        fresh = fresh_part(dist.TCPStore(*place, timeout=PATIENCE), rank=_rank(), size=size())
        dist.init_process_group(backend, timeout=PATIENCE, store=fresh, rank=_rank(), world_size=size())
    else:
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    except RuntimeError as error:
        if not any(library in str(error).lower() for library in ("gloo", "nccl")):
            raise
        said = _DECORATION.sub("", str(error).splitlines()[0]).strip()
        raise SkelError(
            f"another process of this training is gone, or cannot be reached ({said})",
            remedy="`torchrun --max-restarts 3` and --resume=auto start all of them again",
        ) from error
    finally:
        dist.destroy_process_group()


def fresh_part(store: dist.Store, *, rank: int, size: int) -> dist.Store:
    """Wait for all processes, then return a prefix of the store that only they write to.

    When torchrun restarts processes (``--max-restarts``), it keeps its store with the addresses of the
    processes that are gone, and ``TORCHELASTIC_RESTART_COUNT`` differs between nodes (PyTorch issue 135712).
    So each process announces a unique name, and the first one replies to these names with its own until all
    have acknowledged it. Raises SkelError when that takes longer than ``PATIENCE``.
    """
    own, late = uuid4().hex, time.monotonic() + PATIENCE.total_seconds()
    if rank:
        store.set(f"new {rank}", own)
        part = store.get(own).decode()
        store.set(f"{part} {rank}", own)
        return dist.PrefixStore(part, store)
    waiting = set(range(1, size))
    while waiting:
        for other in tuple(waiting):
            if store.check([f"{own} {other}"]):
                waiting.remove(other)
            elif store.check([f"new {other}"]):
                store.set(store.get(f"new {other}").decode(), own)
        if time.monotonic() > late:
            raise SkelError(f"{len(waiting)} of {size} processes did not come within {PATIENCE}")
        time.sleep(0.01)
    return dist.PrefixStore(own, store)


def is_main() -> bool:
    """Whether this is the process that writes files and prints."""
    return _rank() == 0


def local_device(name: str) -> str:
    """The device of this process when the run requests ``name``: each process has its own GPU.

    Raises UsageError when several processes would have to share one GPU.
    """
    if size() > 1 and name == "mps":
        raise _shared(name)
    if size() == 1 or name == "cpu" or not torch.cuda.is_available():
        return name
    if name not in ("auto", "cuda"):
        raise _shared(name)
    return f"cuda:{os.environ.get('LOCAL_RANK', _rank())}"


def parts(micro_batches: int) -> tuple[range, int]:
    """The parts of a batch that this process works on, ``micro_batches`` of them, and the total number."""
    first = _rank() * micro_batches
    return range(first, first + micro_batches), size() * micro_batches


def _shared(name: str) -> UsageError:
    return UsageError(
        f"{size()} processes cannot share device '{name}'",
        where="runtime.device",
        remedy="Use --device cuda, which gives each process its own, or one process",
    )


def check_parts(batch_size: int, micro_batches: int) -> None:
    """Raises ConfigError when a batch of ``batch_size`` clips has no equal parts of two clips or more."""
    number = size() * micro_batches
    if batch_size % number or batch_size // number < 2:
        raise ConfigError(
            f"a batch of {batch_size} clips cannot be worked on in {number} equal parts of two clips or more "
            f"({size()} processes, optimise.accumulate {micro_batches})",
            where="optimise.batch_size",
            remedy=f"Choose a multiple of {number}, from {2 * number} to the clips of the split",
        )


def highest(number: int) -> int:
    """The highest ``number`` of all processes, which wait for each other."""
    if not _joined():
        return number
    maximum = torch.tensor(number)
    dist.all_reduce(maximum, op=dist.ReduceOp.MAX)
    return int(maximum)


def total(value: Tensor) -> Tensor:
    """The sum of ``value`` over the processes; its gradient is summed over their losses."""
    summed: Tensor = _Total.apply(value) if _joined() else value
    return summed


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        summed = value.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        dist.all_reduce(summed)
        return summed


def wait() -> None:
    """Return once all processes have called it."""
    highest(0)


@torch.no_grad()
def mean(value: Tensor) -> Tensor:
    """The mean of ``value`` over the processes, without a gradient."""
    return value if size() == 1 else total(value) / size()


@torch.no_grad()
def average_(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by their means over the processes, equal bit for bit (``test_distributed.py``)."""
    if not _joined():
        return
    own = list(tensors)
    pieces = mean(torch.cat([each.flatten() for each in own])).split([each.numel() for each in own])
    torch._foreach_copy_(own, [piece.view_as(each) for piece, each in zip(pieces, own, strict=True)])


@torch.no_grad()
def gather(rows: Tensor) -> Tensor:
    """[N, ...] of every process -> [processes * N, ...] in the order of the batch, without a gradient."""
    if not _joined():
        return rows
    rows = rows.contiguous()
    gathered = [torch.empty_like(rows) for _ in range(size())]
    dist.all_gather(gathered, rows)
    return torch.cat(gathered)


def joined(rows: Tensor) -> Tensor:
    """[N, ...] of every process -> [processes * N, ...], with a gradient summed over the losses of all."""
    if not _joined():
        return rows
    wide = rows.new_zeros(size(), *rows.shape)
    wide[_rank()] = rows
    return total(wide).flatten(0, 1)


@torch.no_grad()
def in_groups(work: Callable[[Tensor], Tensor], rows: Tensor, *, groups: int, width: int) -> Tensor:
    """Apply ``work([n, ...]) -> [n, width]`` to groups of every ``groups``-th row: [N, ...] -> [N, width].

    The result is float32, without a gradient. The groups are of the batch of all processes, each of which
    works on some of them; every group has at least two rows.
    """
    whole = gather(rows)
    groups = max(1, min(groups, len(whole) // 2))
    out = torch.zeros(len(whole), width, device=rows.device)
    for group in range(_rank(), groups, size()):
        out[group::groups] = work(whole[group::groups])
    if not _joined():
        return out
    dist.all_reduce(out)  # every row is zero in all processes but one
    return out[_rank() * len(rows) :][: len(rows)]


def size() -> int:
    """The number of processes."""
    return int(os.environ["WORLD_SIZE"]) if _launched() else 1


def _rank() -> int:
    return int(os.environ["RANK"]) if _launched() else 0


def _launched() -> bool:
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and "RANK" in os.environ


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
