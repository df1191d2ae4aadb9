"""What a GPU that nobody measured could do: a projection from counts, and nothing else.

    python benchmarks/projection.py

Counts the operations and bytes of AimCLR's step as ``floor`` does, at the rates that data sheets print, and
says how long 300 epochs of NTU-60's size would take at the whole floor and at two fifths of it, the share
that this project aims for. Nothing is run and no share is claimed: small batches reach less, since a kernel
takes microseconds to start; ``launches_ms`` says how much. ``speed.py`` measures where there is a GPU. The
result goes to benchmarks/results/projection.json.
"""

from __future__ import annotations

import torch

import record
from floor import Rates
from speed_models import EPOCHS, NTU_CLIPS, floor_of
from timing import Setting

SHEETS = {
    "H100 SXM": Rates(products=989e12 / 2, copies=3.35e12),
    "H200 SXM": Rates(products=989e12 / 2, copies=4.8e12),
}
"""NVIDIA's data sheets: dense bf16 operations per second, two for a multiply-add, and bytes per second."""
SHARE = 0.4
"""Of the floor."""
BATCHES = (128, 1024)
KERNELS = 2000
"""Operations of an eager AimCLR step that compute something, about: 1,948 were counted by a dispatch mode."""
LAUNCH = 5e-6
"""Seconds from one kernel to the next, about, when Python starts them."""


def main() -> None:
    rows = [row(name, rates, batch) for name, rates in SHEETS.items() for batch in BATCHES]
    for found in rows:
        print(", ".join(f"{key} {value}" for key, value in found.items() if key != "projection"))
    title = "projection from counts and data sheets, not measured"
    result = {"benchmark": title, "share": SHARE, "clips": NTU_CLIPS, "epochs": EPOCHS, "rows": rows}
    print(f"written to {record.write('projection', result).name}")


def row(name: str, rates: Rates, batch: int) -> dict[str, object]:
    """One GPU and batch."""
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


if __name__ == "__main__":
    main()
