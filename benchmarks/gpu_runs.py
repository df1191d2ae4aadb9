"""Trainings for benchmarks.gpu: stopped and resumed ones, two processes, and NW-UCLA's table."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks import bulk, many, methods
from trainer import checkpoint, config, loop
from trainer import store as stores
from trainer.checkpoint import LAST
from trainer.config import Override

UCLA = ("skeletonclr", "aimclr", "skelemixclr", "crosclr", "isc", "csclr")
ROUNDING = 1e-3
"""Largest permitted difference of two processes' weights from one's, relative to the largest weight."""
PATIENCE = 400.0
"""Time limit in seconds for two processes; if one fails, the other waits for it."""
AT_ONCE = 30.0
"""Seconds that a run has at the end of a command to save its state."""


def resume(device: torch.device, work: Path, *, quick: bool) -> dict[str, Any]:
    """Compare the weights of a run stopped in its second epoch and resumed with an uninterrupted run's."""
    store, folder = _store(work, quick=quick), work / "resume"
    shutil.rmtree(folder, ignore_errors=True)
    settings = _settings(store, device, quick=quick)
    loop.pretrain(settings, out=folder / "whole")

    def stop(progress: loop.Progress) -> None:
        if (progress.epoch, progress.step) == (2, 2):
            signal.raise_signal(signal.SIGTERM)

    loop.pretrain(settings, out=folder / "parts", on_progress=stop)
    loop.pretrain(settings, out=folder / "parts", resume=True)
    apart = difference(folder / "whole", folder / "parts")
    return {"largest_difference": apart, "beyond": [f"resume {apart:.2g}"] if apart else []}


def processes(device: torch.device, work: Path, *, quick: bool) -> dict[str, Any]:
    """Compare the weights after training with two processes sharing a device, by gloo, and with one."""
    store, folder = _store(work, quick=quick), work / "processes"
    shutil.rmtree(folder, ignore_errors=True)
    more = {"runtime.batch_norm": "sync"}
    loop.pretrain(_settings(store, device, quick=quick, **more), out=folder / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    around = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
    }
    command = [
        sys.executable,
        "-m",
        "benchmarks.gpu_runs",
        str(store),
        device.type,
        str(folder / "two"),
        str(int(quick)),
    ]
    children = [subprocess.Popen(command, env={**around, "RANK": str(rank)}) for rank in range(2)]
    try:
        codes = [child.wait(timeout=PATIENCE) for child in children]
    finally:
        for child in children:
            child.kill()
    if any(codes):
        raise RuntimeError(f"the two processes ended with {codes}")
    apart = difference(folder / "one", folder / "two")
    return {"backend": "gloo", "relative_difference": apart, "beyond": _beyond(apart, ROUNDING)}


def child(store: str, device: str, out: str, quick: str) -> None:
    """One of two processes; gloo moves CUDA tensors through the host, so both may share a GPU."""
    dist.init_process_group("gloo")
    settings = _settings(
        Path(store), torch.device(device), quick=quick == "1", **{"runtime.batch_norm": "sync"}
    )
    loop.pretrain(settings, out=Path(out))
    dist.destroy_process_group()


def ucla(method: str, seed: int, options: argparse.Namespace, until: float) -> dict[str, Any]:
    """Train on NW-UCLA with the preset's schedule while time permits; once finished, return the figures."""
    work = options.work.resolve() / "ucla"
    work.mkdir(exist_ok=True)
    store = methods.prepare(work, options.raw, "default")
    out = work / f"{method}-{seed}"
    command = [sys.executable, "-m", "trainer", "pretrain", "--store", store, "--method", method]
    command += [
        "--preset",
        "nw-ucla",
        "--seed",
        seed,
        "--device",
        options.device,
        "--out",
        out,
        "--resume=auto",
    ]
    command += ["--epochs", 2] if options.quick else []
    run = subprocess.Popen([str(each) for each in command], stdout=subprocess.DEVNULL)
    try:
        run.wait(timeout=max(until - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        run.terminate()
        run.wait(timeout=AT_ONCE)
    saved = checkpoint.load(out / LAST)
    if saved.epoch < saved.config.optimise.epochs:
        return {"unfinished": True, "epochs": saved.epoch, "of": saved.config.optimise.epochs}
    return {
        "epochs": saved.epoch,
        "trained": many.probe(work, out),
        "random": many.probe(work, out, "--untrained"),
    }


def difference(one: Path, other: Path) -> float:
    """Largest difference between the weights of two runs, relative to the largest weight."""
    first, second = (checkpoint.load(run / LAST).model for run in (one, other))
    pairs = [(first[name].double(), second[name].double()) for name in first]
    return max(float((a - b).abs().max()) for a, b in pairs) / max(float(a.abs().max()) for a, _ in pairs)


def _beyond(apart: float, most: float) -> list[str]:
    return [] if apart <= most else [f"{apart:.2g}"]


def _store(work: Path, *, quick: bool) -> Path:
    store = work / "noise.zarr"
    if not store.exists():
        bulk.write_store(store, count=32 if quick else 1024)
    return store


def _settings(store: Path, device: torch.device, *, quick: bool, **more: Any) -> Any:
    """Settings of a small SkeletonCLR run: three epochs, no dropout."""
    values: dict[str, Any] = {
        "encoder.options.channels": [8, 16] if quick else [32, 32, 64, 128],
        "encoder.options.stride_blocks": [2],
        "encoder.options.dropout": 0.0,
        "method.options.queue": 32 if quick else 512,
        "optimise.epochs": 3,
        "optimise.batch_size": 8 if quick else 64,
        "runtime.device": str(device) if device.type == "cpu" else device.type,
        "runtime.knn_every": 0,
        **more,
    }
    overrides = [Override(path, value) for path, value in values.items()]
    opened = stores.open_store(store)
    return config.resolve(opened, method="skeletonclr", preset="paper", overrides=overrides).config


if __name__ == "__main__":
    child(*sys.argv[1:])
