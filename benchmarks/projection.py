"""Projected speed of GPUs that were not measured, from operation counts alone.

    python -m benchmarks.projection

Counts the operations and bytes of AimCLR's step like ``floor``, at the rates in data sheets, and projects the
time of 300 epochs of NTU-60's size at the full floor and at two fifths of it, the share that this project
aims for. No share is claimed: small batches reach less, since a kernel takes microseconds to start;
``launches_ms`` estimates this. The memory of a step is counted while one runs on the CPU along the GPU's code
paths: tensors only, without the workspaces of CUDA's libraries. ``speed.py`` measures actual GPUs. The result
is written to benchmarks/results/projection.json.
"""

from __future__ import annotations

from unittest import mock

import torch
from torch import nn

from benchmarks import record
from benchmarks.floor import Rates
from benchmarks.live import Live
from benchmarks.speed_models import EPOCHS, NTU_CLIPS, config_of, floor_of, our_steps
from benchmarks.timing import Setting
from trainer.kernels import temporal
from trainer.kernels.dropout import Dropout

SHEETS = {
    "H100 SXM": Rates(products=989e12 / 2, copies=3.35e12),
    "H200 SXM": Rates(products=989e12 / 2, copies=4.8e12),
}
"""From NVIDIA's data sheets: dense bf16 operations per second, two per multiply-add, and bytes per second."""
SHARE = 0.4
"""The share of the floor that is aimed for."""
BATCHES = (128, 1024)
KERNELS = 2000
"""Approximate number of kernels in an eager AimCLR step: a dispatch mode counted 1,948 operations."""
LAUNCH = 5e-6
"""Approximate seconds between kernels launched from Python."""


def main() -> None:
    rows = [row(name, rates, batch) for name, rates in SHEETS.items() for batch in BATCHES]
    for each in rows:
        print(", ".join(f"{key} {value}" for key, value in each.items() if key != "projection"))
    memory = step_memory(BATCHES[0])
    print(", ".join(f"{key} {value}" for key, value in memory.items()))
    title = "projection from counts and data sheets, not measured"
    result = {"benchmark": title, "share": SHARE, "clips": NTU_CLIPS, "epochs": EPOCHS, "rows": rows}
    result["memory"] = memory
    print(f"written to {record.write('projection', result).name}")


def row(name: str, rates: Rates, batch: int) -> dict[str, object]:
    """The projection for one GPU and batch size."""
    setting = Setting(torch.device("cpu"), "bf16", 1, batch)
    bound = floor_of("aimclr", setting, rates)
    assert bound is not None
    steps = EPOCHS * (NTU_CLIPS // batch)
    launches = KERNELS * LAUNCH
    return {
        "gpu": name,
        "batch": batch,
        "projection": True,
        "step_ms_at_floor": round(1e3 * bound, 2),
        "step_ms_at_share": round(1e3 * bound / SHARE, 2),
        "launches_ms": round(1e3 * launches, 1),
        "minutes_at_floor": round(steps * bound / 60, 1),
        "minutes_at_share": round(steps * bound / SHARE / 60, 1),
        "minutes_bound_by_launches": round(steps * max(bound / SHARE, launches) / 60, 1),
    }


def step_memory(batch: int) -> dict[str, object]:
    """Peak megabytes of live tensors in a bf16 step of AimCLR, including weights and queue."""
    setting = Setting(torch.device("cpu"), "bf16", 1, batch)
    direct = mock.patch.object(temporal, "LEAST_CHANNELS", float("inf"))
    whole_masks = mock.patch.object(Dropout, "forward", nn.Dropout.forward)
    with direct, whole_masks, Live() as live:
        steps = our_steps("aimclr", setting)
        next(steps)  # creates gradients and the optimiser's state
        live.most = live.now
        next(steps)
    return {
        "batch": batch,
        "keys": config_of("aimclr", setting).method.options["queue"],
        "precision": "bf16",
        "counted_on_the_cpu": True,
        "most_megabytes_of_tensors": round(live.most / 1e6),
        "megabytes_between_steps": round(live.now / 1e6),
    }


if __name__ == "__main__":
    main()
