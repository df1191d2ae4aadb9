"""Chains draw first and do then, and what is done compiles in one piece with the eager numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.clips import EXTREME, clips, component, generator, skeleton
from tests.trainer.compiler import needs_compiler, torchs_own
from trainer.augment import AUGMENTATIONS, compile_chain, draws
from trainer.augment.chain import Chain, do
from trainer.augment.draws import Drawn
from trainer.augment.planned import Everywhere
from trainer.augment.transforms import Transform

KINECT = skeleton("kinectv2_25")
ISC = ("temporal_crop_resize", "choice")


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def chain_of(*names: str, **options: dict[str, Any]) -> Chain:
    return compile_chain([component(name, **options.get(name, {})) for name in names])


def recorded(chain: Chain, done: list[tuple[tuple[int, ...], list[str], bool]]) -> Chain:
    def doing(x: Tensor, plans: Any, own: bool) -> Tensor:
        done.append((tuple(x.shape), [type(plan).__name__ for plan in plans], own))
        return do(x, plans, own)

    return replace(chain, do=doing)


def test_all_is_drawn_before_anything_is_done() -> None:
    done: list[Any] = []
    x = clips(4, 25)
    chain = chain_of("shear", "gaussian_noise", "joint_jitter", "choice")
    assert torch.equal(recorded(chain, done)(x, KINECT, generator()), chain(x, KINECT, generator()))
    assert done == [((4, 3, 16, 25, 1), ["Transform", "Sometimes", "Everywhere", "Everywhere"], False)]


def test_what_follows_a_change_of_length_is_drawn_for_the_new_length() -> None:
    done: list[Any] = []
    crop = {"temporal_crop_resize": {"frames": 10}}
    chain = chain_of("shear", "temporal_crop_resize", "gaussian_noise", **crop)
    assert recorded(chain, done)(clips(4, 25), KINECT, generator()).shape == (4, 3, 10, 25, 1)
    assert done == [
        ((4, 3, 16, 25, 1), ["Transform", "Everywhere"], False),
        ((4, 3, 10, 25, 1), ["Sometimes"], True),
    ]


def test_only_moves_that_follow_one_another_are_one() -> None:
    x, turn = clips(4, 25), torch.linalg.qr(torch.randn(4, 3, 3, generator=generator())).Q
    seen: list[Tensor] = []

    def look(x: Tensor) -> Tensor:
        seen.append(x)
        return x + 1

    first, second = Transform(matrices=turn), Transform(matrices=turn.transpose(1, 2))
    torch.testing.assert_close(do(x, [first, second, Everywhere(look)], False), x + 1, rtol=0, atol=1e-5)
    torch.testing.assert_close(do(x, [first, Everywhere(look)], False), first.of(x) + 1)
    torch.testing.assert_close(seen[0], x, rtol=0, atol=1e-5)
    assert do(x, [], False) is x


@torchs_own
@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("names", [*([name] for name in sorted(AUGMENTATIONS)), EXTREME, ISC], ids="-".join)
def test_what_is_done_compiles_in_one_piece(
    monkeypatch: pytest.MonkeyPatch, names: list[str], everywhere: bool
) -> None:
    """``everywhere``: all samples are computed and the drawn ones taken, as on a GPU."""
    chain, x = chain_of(*names), clips(6, 25, bodies=2)
    expected = [chain(x, KINECT, generator(seed)) for seed in range(3)]
    if everywhere:
        _compute_all_samples(monkeypatch)
        expected = [chain(x, KINECT, generator(seed)) for seed in range(3)]
    fast = replace(chain, do=torch.compile(do, backend="eager", fullgraph=True))
    for seed, wanted in enumerate(expected):
        torch.testing.assert_close(fast(x, KINECT, generator(seed)), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@needs_compiler
@torchs_own
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_compiled_chain_gives_the_eager_numbers(monkeypatch: pytest.MonkeyPatch, everywhere: bool) -> None:
    if everywhere:
        _compute_all_samples(monkeypatch)
    chain = chain_of(*EXTREME)
    fast = replace(chain, do=torch.compile(do, fullgraph=True))
    for seed in range(3):
        x = clips(6, 25, bodies=2, seed=seed)
        x[0, ..., 1] = 0
        expected = chain(x, KINECT, generator(seed))
        torch.testing.assert_close(fast(x, KINECT, generator(seed)), expected, rtol=1e-5, atol=1e-5)


def _compute_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    def among(chosen: Tensor) -> Drawn:
        return Drawn(chosen, slice(None), 0, len(chosen))

    monkeypatch.setattr(draws.Drawn, "among", among)
