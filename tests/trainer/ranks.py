"""Two processes that train together, and what they were left with: ``train_together`` starts them.

Run as a program this file is one of them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from schemas import Component, DataConfig, OptimiseConfig, RunConfig
from tests.trainer import simclr, tiny
from tests.trainer.clips import batch
from tests.trainer.runs import tiny_config
from tests.trainer.tiny import Case
from trainer import distributed, loop, optim
from trainer.loop import step


class SimCLRCase(Case):
    """A method that the package does not have."""

    epochs = (0,)

    def build(self, **options: Any) -> Any:
        with simclr.registered():
            return super().build(**options)


PLAIN = ("aimclr", "crosclr", "csclr", "isc", "skeletonclr")
CASES: dict[str, Case] = {
    **{name: Case(tiny.component(name), tiny.encoder("stgcn")) for name in PLAIN},
    "masked": Case(tiny.changed(tiny.component("masked"), distance="cross_entropy"), tiny.encoder("stgcn")),
    "nn-tune": Case(
        tiny.changed(tiny.component("nn-tune"), temperature=1.0, hidden=64, dim=64, predictor=64),
        tiny.encoder("stgcn"),
    ),
    "ms-clr": Case(tiny.component("ms-clr", "aimclr"), tiny.encoder("stgcn")),
    "own-rows": Case(
        tiny.changed(tiny.component("crosclr"), own_rows="mask", heads="shared"), tiny.encoder("stgcn")
    ),
    "shuffled": Case(
        tiny.changed(tiny.component("skeletonclr"), key_norm="shuffle", key_groups=3), tiny.encoder("stgcn")
    ),
    "simclr": SimCLRCase(Component(name="simclr", options={"temperature": 1.0}), tiny.encoder("stgcn")),
}
"""What two processes do as one would; SkeleMixCLR mixes clips within a part of the batch."""

LOCAL = Case(tiny.component("skelemixclr"), tiny.encoder("stgcn"))
CLIPS = 12
STEPS = 3


def settings(case: Case, *, accumulate: int = 1) -> RunConfig:
    """A run of the case: nothing of it but the optimiser's part matters to ``step.take``."""
    optimise = OptimiseConfig(lr=0.05, accumulate=accumulate)
    return RunConfig(
        preset="", data=DataConfig(store=""), encoder=case.encoder, method=case.method, optimise=optimise
    )


def trained(case: Case, *, joined: bool = True, accumulate: int = 1) -> dict[str, Any]:
    """Weights, buffers, losses and mined rows after some steps in the case's last stage."""
    method, config = case.build(), settings(case, accumulate=accumulate)
    if joined and distributed.size() > 1:
        method.join_batch_norm()
    return {**stepped(method, case, config), "state": method.state_dict()}


def stepped(method: Any, case: Case, config: RunConfig) -> dict[str, Any]:
    optimiser = optim.build(method.parameters(), config.optimise)
    metrics = []
    for number in range(STEPS):
        given = batch(case.skeletons, samples=CLIPS, frames=12, epoch=case.epochs[-1], seed=number)
        metrics.append(step.take(method, optimiser, given, config=config, step=number))
    return {
        "loss": [float(distributed.mean(each["loss"])) for each in metrics],
        "mined": [each["mined_rows"] for each in metrics if "mined_rows" in each],
    }


def in_parts(store: Path, **changes: Any) -> RunConfig:
    """A run that is resumed on other numbers of processes."""
    return tiny_config(store, method="skeletonclr", **{**RUN, **changes})


RUN = {
    "optimise__batch_size": 6,
    "optimise__epochs": 3,
    "optimise__lr": 0.02,
    "method__options__temperature": 0.2,
    "encoder__options__bodies": "present",
    "runtime__batch_norm": "sync",
    "runtime__knn_every": 1,
    "encoder__options__dropout": 0.0,
}


def train_together(folder: Path, store: Path) -> None:
    """Starts this file twice. ``folder`` has CASE-RANK.pt of both and the run ``parts`` after it."""
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    common |= {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", __file__, str(folder), str(store), *_free_ports(2)]
    workers = [
        subprocess.Popen(command, env={**common, "RANK": rank}, stderr=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]
    try:
        errors = [worker.communicate(timeout=240)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)


def _free_ports(count: int) -> list[str]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in sockets]


@contextmanager
def _meeting(port: str) -> Iterator[None]:
    os.environ["MASTER_PORT"] = port
    with distributed.processes():
        yield


@contextmanager
def _alone() -> Iterator[None]:
    """As if this process had been started by itself."""
    size = os.environ.pop("WORLD_SIZE")
    yield
    os.environ["WORLD_SIZE"] = size


def _work(folder: Path, store: Path, *, ports: list[str]) -> None:
    rank, out = os.environ["RANK"], folder / "parts"
    with _meeting(ports[0]):
        for name, case in CASES.items():
            torch.save(trained(case), folder / f"{name}-{rank}.pt")
        torch.save(trained(LOCAL, joined=False), folder / f"local-{rank}.pt")
        loop.pretrain(in_parts(store, optimise__epochs=1), out=out)
    if rank == "0":
        with _alone():
            loop.pretrain(in_parts(store, optimise__epochs=2), out=out, resume=True)
    with _meeting(ports[1]):  # the second process waits here until the first has done its epoch
        loop.pretrain(in_parts(store), out=out, resume=True)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), Path(sys.argv[2]), ports=sys.argv[3:])
