"""Speed table, rows about ``--compile``: AimCLR's step and views against eager, and the compilation time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch

from benchmarks import bulk
from benchmarks.speed_data import aimclr_chains
from benchmarks.speed_models import our_steps
from benchmarks.timing import Row, Setting, gpu_megabytes, in_turn, synchronise
from trainer.augment import Chain
from trainer.augment.chain import do

NOTE = "baseline: ours, eager"


def compiled(setting: Setting) -> Iterator[Row]:
    """AimCLR's three views, compiled on every device though runs leave them eager on the CPU; its step."""
    yield views(setting)
    yield step(setting)


def views(setting: Setting) -> Row:
    """The three views of a batch, on the device."""
    x = torch.from_numpy(bulk.clips(setting.batch)).to(setting.device)
    skeleton, eager = bulk.skeleton(bulk.CONVENTION), aimclr_chains()
    generator = torch.Generator(setting.device).manual_seed(0)
    function = torch.compile(do)
    fast = {kind: replace(chain, do=function) for kind, chain in eager.items()}

    def made_by(chains: Mapping[str, Chain]) -> None:
        for kind in ("normal", "normal", "extreme"):
            chains[kind](x, skeleton, generator)

    # Twice: on the CPU, a different number of drawn samples triggers recompilation with a dynamic size.
    first = seconds_of(lambda: made_by(fast), setting) + seconds_of(lambda: made_by(fast), setting)
    seconds = in_turn({"ours": lambda: made_by(fast), "plain": lambda: made_by(eager)}, setting)
    return _row("AimCLR's three views, compiled", setting, seconds, first)


def step(setting: Setting) -> Row:
    """A whole step of AimCLR, as in ``trainer pretrain --compile``."""
    fast, eager = our_steps("aimclr", setting, compiled=True), our_steps("aimclr", setting)
    first = seconds_of(lambda: next(fast), setting)
    seconds = in_turn({"ours": lambda: next(fast), "plain": lambda: next(eager)}, setting)
    row = _row("step of aimclr, compiled", setting, seconds, first)
    row.more |= gpu_megabytes(setting.device, lambda: next(fast))
    return row


def seconds_of(call: Callable[[], object], setting: Setting) -> float:
    synchronise(setting.device)
    begin = time.perf_counter()
    call()
    synchronise(setting.device)
    return time.perf_counter() - begin


def _row(name: str, setting: Setting, seconds: dict[str, list[float]], first: float) -> Row:
    warm_up = round(first, 1)
    return Row(
        name,
        f"{setting.batch} clips",
        seconds["ours"],
        seconds["plain"],
        note=f"{NOTE}; with compiling the first took {warm_up} s",
        more={"warm_up_seconds": warm_up},
    )
