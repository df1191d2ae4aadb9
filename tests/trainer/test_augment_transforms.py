from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from tests.trainer.clips import clips, component, generator, skeleton
from trainer.augment import AUGMENTATIONS, compile_chain, transforms
from trainer.augment.transforms import Transform, linear_map, pick_frames, pick_joints

KINECT = skeleton("kinectv2_25")
SWAP = torch.tensor(KINECT.spec.left_right_swap)
MOVING = (
    *("axis_mask", "pose_augmentation", "rotate", "rotate_y"),
    *("shear", "spatial_flip", "temporal_crop", "temporal_flip"),
)
OPTIONS = {name: {"p": 0.6} for name in ("axis_mask", "spatial_flip", "temporal_flip")}


def drawn(seed: int, size: int = 5, frames: int = 7) -> Transform:
    """Transforms of every kind."""
    draw = generator(seed)
    return Transform(
        matrices=torch.randn(size, 3, 3, generator=draw),
        frames=torch.randint(frames, (size, frames), generator=draw),
        swapped=torch.rand(size, generator=draw) < 0.5,
        swap=SWAP,
    )


def by_hand(x: Tensor, wanted: Transform) -> Tensor:
    """The formula, a value at a time."""
    assert wanted.matrices is not None
    assert wanted.frames is not None
    assert wanted.swapped is not None
    out = torch.empty_like(x)
    for n, t, v, m in torch.cartesian_prod(*(torch.arange(x.shape[dim]) for dim in (0, 2, 3, 4))).tolist():
        joint = int(SWAP[v]) if wanted.swapped[n] else v
        out[n, :, t, v, m] = wanted.matrices[n] @ x[n, :, wanted.frames[n, t], joint, m]
    return out


def test_moves_are_what_their_formula_says() -> None:
    x = clips(5, 25, frames=7, bodies=2)
    torch.testing.assert_close(drawn(1).of(x), by_hand(x, drawn(1)), rtol=1e-5, atol=1e-6)
    assert Transform().of(x) is x


def test_two_moves_as_one_are_the_one_after_the_other() -> None:
    x = clips(5, 25, frames=7, bodies=2)
    first, second = drawn(1), drawn(2)
    together = first.then(second)
    torch.testing.assert_close(together.of(x), second.of(first.of(x)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(Transform().then(first).of(x), first.of(x), rtol=0, atol=0)
    torch.testing.assert_close(first.then(Transform()).of(x), first.of(x), rtol=0, atol=0)


def test_the_input_stays_as_it_is() -> None:
    x = clips(5, 25, frames=7, bodies=2)
    kept = x.clone()
    for only in ("matrices", "frames", "swapped"):
        Transform(**{only: getattr(drawn(1), only)}, swap=SWAP).of(x)
    drawn(1).of(x)
    assert torch.equal(x, kept)


def test_clips_of_its_own_are_overwritten() -> None:
    x = clips(5, 25, frames=7, bodies=2)
    expected = Transform(swapped=drawn(1).swapped, swap=SWAP).of(x)
    assert Transform(swapped=drawn(1).swapped, swap=SWAP).of(x, own=True) is x
    assert torch.equal(x, expected)


@pytest.mark.parametrize(
    "names", [["gaussian_noise"], ["joint_jitter", "gaussian_blur"], ["choice", "spatial_flip"]]
)
def test_a_chain_never_overwrites_what_it_was_given(names: list[str]) -> None:
    x = clips(12, 25, bodies=2)
    kept = x.clone()
    chain = compile_chain([component(name) for name in [*names, "gaussian_noise", "spatial_flip"]])
    for seed in range(4):
        chain(x, KINECT, generator(seed))
    chain(x[:1], KINECT, generator())
    assert torch.equal(x, kept)


@pytest.mark.parametrize("seed", range(4))
def test_a_chain_equals_its_augmentations_one_by_one(seed: int) -> None:
    x, order = clips(12, 25, bodies=2), torch.randperm(len(MOVING), generator=generator(seed)).tolist()
    names = [MOVING[place] for place in order]
    names = [*names[:4], "gaussian_noise", *names[4:], "gaussian_blur", names[0]]
    chain = compile_chain([component(name, **OPTIONS.get(name, {})) for name in names])
    expected, draw = x, generator(seed)
    for name in names:
        expected = AUGMENTATIONS[name](expected, KINECT, draw, **OPTIONS.get(name, {}))
    torch.testing.assert_close(chain(x, KINECT, generator(seed)), expected, rtol=1e-4, atol=1e-4)


def test_moves_that_follow_one_another_are_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def counted(function: object) -> object:
        def call(*arguments: object) -> object:
            calls[function.__name__] += 1  # type: ignore[attr-defined]
            return function(*arguments)  # type: ignore[operator]

        return call

    for function in (linear_map, pick_frames, pick_joints):
        monkeypatch.setattr(transforms, function.__name__, counted(function))
    chain = compile_chain([component(name, **OPTIONS.get(name, {})) for name in MOVING])
    chain(clips(12, 25), KINECT, generator())
    assert calls == {"linear_map": 1, "pick_frames": 1, "pick_joints": 1}
