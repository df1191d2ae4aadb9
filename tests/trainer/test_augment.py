from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from schemas import ConfigError, UsageError
from tests.trainer.clips import clips, component, generator, skeleton
from trainer.augment import AUGMENTATIONS, NEEDS, apply, check_fits, compile_chain
from trainer.augment.draws import Rows, draw
from trainer.augment.spatial import turn

KINECT = skeleton("kinectv2_25")
ALWAYS = {"p": 1.0}
HAS_P = {"axis_mask", "gaussian_blur", "gaussian_noise", "spatial_flip", "temporal_flip"}


def run(name: str, x: Tensor, *, seed: int = 0, **options: Any) -> Tensor:
    return apply([component(name, **options)], x, KINECT, generator(seed))


def always(name: str) -> dict[str, float]:
    return ALWAYS if name in HAS_P else {}


# --- what holds for all of them


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_a_convention_without_sides_or_parts_will_do_where_they_are_not_needed(name: str) -> None:
    absent = dict.fromkeys(("shoulders", "left_right_swap", "body_parts"))
    hand = replace(KINECT, spec=KINECT.spec.model_copy(update=absent))
    chain = [component(name, **always(name))]
    if name not in NEEDS:
        check_fits(chain, [KINECT, hand], where="augment.normal")
        given, expected = (apply(chain, clips(4, 25), each, generator(0)) for each in (hand, KINECT))
        assert torch.equal(given, expected)
        return
    check_fits(chain, [KINECT], where="augment.normal")
    with pytest.raises(UsageError, match=rf"^augment\.normal\.0: .*{name} needs sides"):
        check_fits(chain, [KINECT, hand], where="augment.normal")
    with pytest.raises(UsageError, match=rf"{name} needs sides"):
        apply(chain, clips(4, 25), hand, generator(0))


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_same_seed_same_result_another_seed_another(name: str) -> None:
    x = clips(8, 25, bodies=2)
    kept = x.clone()
    first, again, other = (run(name, x, seed=seed) for seed in (1, 1, 2))
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(x, kept), "the input was changed in place"


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_every_sample_has_parameters_of_its_own(name: str) -> None:
    x = clips(1, 25, frames=24).repeat(16, 1, 1, 1, 1)
    changed = run(name, x)
    assert len({tuple(sample.flatten()[:200].tolist()) for sample in changed}) > 1


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_absent_bodies_and_padded_joints_stay_zero(name: str) -> None:
    x = clips(6, 25, bodies=2)
    x[2, ..., 1] = 0
    padded = torch.nn.functional.pad(x, (0, 0, 0, 18))
    changed = run(name, padded, **always(name))
    assert changed[..., :25, 0].any()
    assert not changed[2, ..., 1].any()
    assert not changed[..., 25:, :].any()


@pytest.mark.parametrize("name", sorted(HAS_P))
def test_the_share_of_changed_samples_is_p(name: str) -> None:
    x = clips(400, 25, frames=4)
    shares = {
        p: (run(name, x, p=p) != x).flatten(1).any(dim=1).float().mean().item() for p in (0.0, 0.25, 1.0)
    }
    assert shares[0.0] == 0
    assert shares[0.25] == pytest.approx(0.25, abs=0.1)
    assert shares[1.0] > 0.95  # a blur of a tenth of a frame may change nothing


@pytest.mark.parametrize("name", sorted(HAS_P - {"gaussian_noise"}))
def test_a_drawn_sample_gets_what_it_would_get_if_all_were_drawn(name: str) -> None:
    x = clips(24, 25, bodies=2)
    everywhere, drawn = run(name, x, p=1.0), run(name, x, p=0.5)
    changed = (drawn != x).flatten(1).any(1)
    assert 0 < changed.sum() < len(x)
    torch.testing.assert_close(drawn[changed], everywhere[changed], rtol=1e-6, atol=1e-7)
    assert torch.equal(drawn[~changed], x[~changed])
    assert torch.equal(run(name, x, p=0.0), x)


def test_on_a_gpu_all_samples_are_computed_and_the_drawn_ones_taken() -> None:
    x, factors = clips(6, 25), torch.arange(6.0).view(-1, 1, 1, 1, 1)
    on_cpu = draw(0.5, generator(1), 6)
    elsewhere = replace(on_cpu, rows=slice(None))
    assert 0 < on_cpu.count < 6

    def times(part: Tensor, rows: Rows) -> Tensor:
        return part * factors[rows]

    torch.testing.assert_close(elsewhere.change(x, times), on_cpu.change(x, times), rtol=0, atol=0)
    assert elsewhere.normal(generator(), 3, 2).shape == (6, 3, 2)
    assert on_cpu.normal(generator(), 3, 2).shape == (on_cpu.count, 3, 2)


def test_half_precision_around_a_chain_changes_nothing() -> None:
    x = clips(4, 25)
    chain = compile_chain([component(name) for name in sorted(AUGMENTATIONS)])
    plain = chain(x, KINECT, generator())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(chain(x, KINECT, generator()), plain)


def test_a_chain_runs_in_its_order() -> None:
    x = clips(4, 25)
    both = apply([component("temporal_flip", p=1.0), component("axis_mask", p=1.0)], x, KINECT, generator(3))
    draw = generator(3)
    flipped = AUGMENTATIONS["temporal_flip"](x, KINECT, draw, p=1.0)
    assert torch.equal(both, AUGMENTATIONS["axis_mask"](flipped, KINECT, draw, p=1.0))
    assert torch.equal(apply([], x, KINECT, generator()), x)


# --- one by one


def test_shear_is_one_matrix_per_sample_with_a_unit_diagonal() -> None:
    x = clips(200, 25, frames=2)
    sheared = run("shear", x, amplitude=0.5)
    matrices = _fitted(x, sheared)
    torch.testing.assert_close(matrices.diagonal(dim1=1, dim2=2), torch.ones(200, 3), atol=1e-3, rtol=0)
    off = matrices[:, ~torch.eye(3, dtype=torch.bool)]
    assert off.abs().max() <= 0.5 + 1e-3
    assert off.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.02)
    assert torch.corrcoef(off.t()).fill_diagonal_(0).abs().max() < 0.3, "six independent entries"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turn_is_right_handed(axis: int) -> None:
    quarter = turn(axis, torch.tensor([math.pi / 2]))[0]
    first, second = torch.eye(3)[(axis + 1) % 3], torch.eye(3)[(axis + 2) % 3]
    torch.testing.assert_close(quarter @ first, second)
    torch.testing.assert_close(quarter @ second, -first)
    torch.testing.assert_close(quarter @ torch.eye(3)[axis], torch.eye(3)[axis])


def test_rotate_turns_about_one_main_axis_by_up_to_thirty_degrees() -> None:
    x = clips(300, 25, frames=2)
    matrices = _fitted(x, run("rotate", x))
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3).expand(300, 3, 3), atol=1e-3, rtol=0)
    cosine = (matrices.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    degrees = torch.rad2deg(cosine.clamp(-1, 1).acos())
    assert degrees.max() < 32
    assert degrees.max() > 25
    # The least moved axis is the main one; each is chosen about as often.
    main = matrices.diagonal(dim1=1, dim2=2).argmax(dim=1).bincount(minlength=3)
    assert main.min() > 60


def test_a_turn_to_the_left_is_the_released_sense_of_rotation() -> None:
    """About one axis alone: M - M^T is twice the sine times the axis, positive for a right-handed turn."""
    x = clips(60, 25, frames=2)
    right, left = (_fitted(x, run("rotate", x, others=0.0, sense=sense)) for sense in ("right", "left"))
    torch.testing.assert_close(left, right.mT, atol=1e-3, rtol=0)
    for matrices, sign in ((right, 1), (left, -1)):
        odd = matrices - matrices.mT
        about = torch.stack([odd[:, 2, 1], odd[:, 0, 2], odd[:, 1, 0]], dim=1) * sign
        assert (about > -1e-3).all()
        assert (about.max(dim=1).values > 0.2).sum() > 30


def test_rotate_y_keeps_heights_and_distances() -> None:
    x = clips(100, 25, frames=2)
    turned = run("rotate_y", x, angle=0.8)
    torch.testing.assert_close(turned[:, 1], x[:, 1])
    torch.testing.assert_close(turned.norm(dim=1), x.norm(dim=1))
    matrices = _fitted(x, turned)
    angles = torch.atan2(matrices[:, 0, 2], matrices[:, 0, 0])
    assert angles.abs().max() <= 0.8
    assert angles.min() < -0.6
    assert angles.max() > 0.6


def test_flip_is_a_mirror_or_the_released_exchange_of_sides() -> None:
    x = clips(2, 25)
    mirrored, released = (run("spatial_flip", x, p=1.0, mirror_axis=mirror) for mirror in (True, False))
    for v, other in enumerate(KINECT.spec.left_right_swap):
        assert torch.equal(released[..., v, :], x[..., other, :])
        assert torch.equal(mirrored[:, 0, :, v], -x[:, 0, :, other])
        assert torch.equal(mirrored[:, 1:, :, v], x[:, 1:, :, other])
    assert torch.equal(run("spatial_flip", mirrored, p=1.0), x), "a mirror twice is nothing"


@pytest.mark.parametrize("bodies", [1, 2, 3])
def test_flip_picks_the_joints_of_the_other_side_for_any_number_of_bodies(bodies: int) -> None:
    x = clips(2, 25, frames=3, bodies=bodies)
    expected = x[:, :, :, list(KINECT.spec.left_right_swap)]
    apart = x.transpose(2, 3).contiguous().transpose(2, 3)  # joints and frames not in their usual places
    for given in (x, apart):
        assert torch.equal(run("spatial_flip", given, p=1.0, mirror_axis=False), expected)


def test_axis_mask_zeroes_one_axis_each_about_as_often() -> None:
    x = clips(300, 25, frames=2)
    masked = run("axis_mask", x, p=1.0)
    zero = ~masked.flatten(2).any(dim=2)
    assert (zero.sum(dim=1) == 1).all()
    assert zero.sum(dim=0).min() > 60
    assert torch.equal(masked, torch.where(zero.view(300, 3, 1, 1, 1), 0.0, x))


@pytest.mark.parametrize("frames", [1, 5, 6, 13, 50])
def test_crop_is_a_window_of_the_mirrored_clip(frames: int) -> None:
    x = clips(40, 25, frames=frames)
    border = frames // 6
    seen = set()
    for clip, cropped in zip(x, run("temporal_crop", x, ratio=6), strict=True):
        head = clip[:, :border].flip(1)
        tail = clip[:, frames - border :].flip(1)
        longer = torch.cat([head, clip, tail], dim=1)
        starts = [s for s in range(2 * border + 1) if torch.equal(longer[:, s : s + frames], cropped)]
        assert len(starts) == 1
        seen.add(starts[0])
    assert len(seen) > border, "the starts vary"


def test_temporal_flip_reverses_time() -> None:
    x = clips(2, 25, frames=4)
    assert torch.equal(run("temporal_flip", x, p=1.0)[:, :, 0], x[:, :, 3])


def test_noise_has_the_standard_deviation_asked_for_and_spares_absent_frames() -> None:
    x = clips(10, 25, frames=20)
    x[:, :, 5] = 0  # nobody in frame 5
    x[:, :, :, 20] = 0  # a joint at the origin is still a joint
    added = run("gaussian_noise", x, p=1.0, std=0.01) - x
    assert not added[:, :, 5].any()
    assert added[:, :, 6:, 20].all()
    assert added[:, :, 6:].std().item() == pytest.approx(0.01, rel=0.05)


def test_released_noise_reaches_absent_bodies_and_frames() -> None:
    x = clips(10, 25, frames=20, bodies=2)
    x[..., 1] = 0
    x[:, :, 5] = 0
    kept, released = (run("gaussian_noise", x, p=1.0, absent=absent) - x for absent in ("keep", "noise"))
    assert not kept[..., 1].any()
    assert not kept[:, :, 5].any()
    assert released.all()
    assert released[..., 1].std().item() == pytest.approx(0.01, rel=0.05)
    there = x != 0
    assert torch.equal(kept[there], released[there]), "the same draws"
    padded = torch.cat([x, torch.zeros_like(x[:, :, :, :3])], dim=3)
    assert not run("gaussian_noise", padded, p=1.0, absent="noise")[:, :, :, 25:].any()


def test_noise_is_normal() -> None:
    x = torch.ones(64, 3, 50, 25, 1)
    drawn = (run("gaussian_noise", x, p=1.0, std=1.0) - x).flatten()
    assert drawn.mean().item() == pytest.approx(0, abs=0.01)
    for moment, expected in ((2, 1), (3, 0), (4, 3)):
        assert drawn.double().pow(moment).mean().item() == pytest.approx(expected, abs=0.05)
    for point in (-3.0, -1.0, 0.0, 0.5, 2.0):  # the distribution function; 240,000 draws
        expected = torch.special.ndtr(torch.tensor(point)).item()
        assert (drawn < point).double().mean().item() == pytest.approx(expected, abs=0.005)
    assert 4 < drawn.abs().max().item() < 4.4
    neighbours = torch.stack([drawn[:-1], drawn[1:]])
    assert torch.corrcoef(neighbours)[0, 1].abs().item() < 0.01


def test_blur_is_the_weighted_mean_or_the_released_sum() -> None:
    """With sigma fixed, against the sums written out."""
    x, sigma = clips(2, 25, frames=20), 1.7
    mean, total = (
        run("gaussian_blur", x, p=1.0, sigma=(sigma, sigma), normalise_kernel=normalise)
        for normalise in (True, False)
    )
    for t in range(20):
        weight = {s: math.exp(-((s - t) ** 2) / (2 * sigma**2)) for s in range(max(0, t - 7), min(20, t + 8))}
        added = sum(w * x[:, :, s] for s, w in weight.items())
        torch.testing.assert_close(total[:, :, t], added, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mean[:, :, t], added / sum(weight.values()), rtol=1e-4, atol=1e-5)


def test_a_still_clip_survives_the_blur_but_the_released_one_amplifies_it_five_times() -> None:
    x = clips(3, 25, frames=1).repeat(1, 1, 40, 1, 1)
    kept = run("gaussian_blur", x, p=1.0, sigma=(2.0, 2.0))
    torch.testing.assert_close(kept, x, rtol=1e-4, atol=1e-5)
    released = run("gaussian_blur", x, p=1.0, sigma=(2.0, 2.0), normalise_kernel=False)
    torch.testing.assert_close(released[:, :, 20], 5.012 * x[:, :, 20], rtol=1e-3, atol=1e-3)


def test_blur_neither_fills_gaps_nor_lets_them_pull_at_their_neighbours() -> None:
    x = clips(2, 25, frames=1).repeat(1, 1, 30, 1, 1)
    x[:, :, 10:13] = 0
    blurred = run("gaussian_blur", x, p=1.0)
    torch.testing.assert_close(blurred, x, rtol=1e-4, atol=1e-5)


# --- ISC's


def test_pose_augmentation_is_the_shear_of_twice_the_amplitude() -> None:
    x = clips(200, 25, frames=2)
    assert torch.equal(run("pose_augmentation", x), run("shear", x, amplitude=1.0))
    off = _fitted(x, run("pose_augmentation", x))[:, ~torch.eye(3, dtype=torch.bool)]
    assert 0.9 < off.abs().max() <= 1 + 1e-3
    assert off.std().item() == pytest.approx(1 / math.sqrt(3), abs=0.04)


@pytest.mark.parametrize(("name", "moved"), [("kinectv2_25", 15), ("kinectv1_20", 12), ("smplx_42", 25)])
def test_jitter_moves_three_joints_of_five_by_one_matrix(name: str, moved: int) -> None:
    of = skeleton(name)
    x = clips(100, of.num_joints, frames=6, bodies=2)
    jittered = apply([component("joint_jitter")], x, of, generator())
    still = (jittered == x).flatten(1, 2).all(dim=1).all(dim=2)  # [N, V]
    assert ((~still).sum(dim=1) == moved).all()
    for clip, changed, kept in zip(x, jittered, still, strict=True):
        points, targets = (each[:, :, ~kept].flatten(1) for each in (clip, changed))
        matrix = torch.linalg.lstsq(points.T, targets.T).solution.T
        assert matrix.abs().max() <= 1 + 1e-3
        torch.testing.assert_close(matrix @ points, targets, rtol=1e-3, atol=1e-3)
    assert (~still).float().mean(dim=0).std() < 0.1, "every joint is drawn about as often"
    assert len({tuple(row.tolist()) for row in still}) > 90


def test_the_released_jitter_zeroes_the_joints_of_half_the_samples() -> None:
    x = clips(400, 25, frames=2)
    ours, released = (run("joint_jitter", x, zero_p=p) for p in (0.0, 0.5))
    zeroed = [((y == 0).flatten(1, 2).all(dim=1).sum(dim=(1, 2)) == 15) for y in (ours[..., 0:1], released)]
    assert not zeroed[0].any()
    assert zeroed[1].float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert torch.equal(released[~zeroed[1]], ours[~zeroed[1]])


def stretch(clip: Tensor, start: int, length: int, frames: int) -> Tensor:
    """[3,T,V,M] -> [3,F,V,M], frame by frame: the first and the last of the stretch stay."""
    found = []
    for i in range(frames):
        at = start + (i * (length - 1) / (frames - 1) if frames > 1 else 0)
        low = min(int(at + 1e-6), clip.shape[1] - 1)
        part = max(at - low, 0.0)
        found.append(clip[:, low] * (1 - part) + clip[:, min(low + 1, clip.shape[1] - 1)] * part)
    return torch.stack(found, dim=1)


@pytest.mark.parametrize(("frames", "out"), [(1, None), (2, None), (13, None), (20, 7), (10, 25), (12, 1)])
def test_crop_and_resize_is_a_stretch_of_the_clip(frames: int, out: int | None) -> None:
    x = clips(30, 25, frames=frames)
    ratio = (0.3, 0.9)
    changed = run("temporal_crop_resize", x, ratio=ratio, frames=out)
    assert changed.shape[2] == (out or frames)
    shortest = min(max(round(0.3 * frames), 2), frames)
    longest = max(round(0.9 * frames), shortest)
    seen = set()
    for clip, found in zip(x, changed, strict=True):
        fitting = [
            (start, length)
            for length in range(shortest, longest + 1)
            for start in range(frames - length + 1)
            if torch.allclose(stretch(clip, start, length, found.shape[1]), found, atol=1e-4)
        ]
        assert fitting
        seen.add(fitting[0])
    assert frames < 10 or len(seen) > 5, "lengths and starts vary"


def test_crop_lengths_and_starts_are_uniform() -> None:
    """Time itself as the coordinate: the first and the last frame tell where the stretch lies."""
    frames = 101
    x = torch.arange(1.0, frames + 1).view(1, 1, -1, 1, 1).expand(1000, 3, -1, 25, 1)
    found = run("temporal_crop_resize", x)[:, 0, :, 0, 0]
    first, last = found[:, 0] - 1, found[:, -1] - 1
    length = last - first + 1
    assert length.min() >= 10
    assert length.max() <= frames
    assert length.mean().item() == pytest.approx(0.55 * frames, rel=0.06)
    slack = frames - length
    place = (first / slack)[slack > 20]
    assert place.min() >= 0
    assert place.max() <= 1
    assert place.mean().item() == pytest.approx(0.5, abs=0.04)
    assert place.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.04)


def test_the_released_crop_is_never_below_its_least_number_of_frames() -> None:
    x = clips(50, 25, frames=40)
    whole = run("temporal_crop_resize", x, min_frames=64)
    torch.testing.assert_close(whole, x)
    ours = run("temporal_crop_resize", x)
    assert not torch.allclose(ours, x)
    time = torch.arange(1.0, 41).view(1, 1, -1, 1, 1).expand(50, 3, -1, 25, 1)
    found = run("temporal_crop_resize", time, min_frames=30)[:, 0, :, 0, 0]
    assert (found[:, -1] - found[:, 0] + 1).min() >= 30 - 1e-3


def test_a_resized_body_is_never_pulled_to_where_it_is_absent() -> None:
    x = clips(20, 25, frames=1, bodies=2).repeat(1, 1, 30, 1, 1)
    x[:, :, 10:14, :, 1] = 0
    found = run("temporal_crop_resize", x, frames=50)
    gone = ~(found != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)
    assert not gone[..., 0].any()
    assert gone[..., 1].any()
    expected = torch.where(gone, 0.0, x[:, :, :1])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


TIME = torch.arange(1.0, 13).view(1, 1, 12, 1, 1).expand(400, 3, -1, 25, 1)
"""Twelve frames that hold their own number: what is sampled tells where."""


def test_a_stretch_is_sampled_between_its_ends_or_at_the_centres_of_wider_frames() -> None:
    """All twelve frames as four: 0, 11/3, 22/3, 11; or, frames three wide, the middle ones 1, 4, 7, 10. As
    24: from 0 to 11 in steps of 11/23; or from -1/4, held at 0, in steps of a half."""
    whole = {"ratio": (1.0, 1.0)}
    expected = {
        ("ends", 4): [0, 11 / 3, 22 / 3, 11],
        ("centres", 4): [1, 4, 7, 10],
        ("ends", 24): [t * 11 / 23 for t in range(24)],
        ("centres", 24): [0, *(t / 2 + 0.25 for t in range(22)), 11],
    }
    for (sampling, frames), places in expected.items():
        found = run("temporal_crop_resize", TIME, **whole, frames=frames, sampling=sampling)[0, 0, :, 0, 0]
        torch.testing.assert_close(found, torch.tensor(places) + 1.0)
    part = run("temporal_crop_resize", TIME, ratio=(0.3, 0.9), frames=24, sampling="centres")[:, 0, :, 0, 0]
    starts = part.min(dim=1).values
    assert (starts == starts.round()).all(), (
        "what is before the first centre is the first frame, not its neighbour"
    )


def test_lengths_are_rounded_or_rounded_down() -> None:
    """Shares of 0.4 to 0.415 of 12 frames: 4.8 to 4.98, which are five, or four."""
    for rounding, length in (("nearest", 5), ("down", 4)):
        found = run("temporal_crop_resize", TIME, ratio=(0.4, 0.415), rounding=rounding)[:, 0, :, 0, 0]
        torch.testing.assert_close(found[:, -1] - found[:, 0] + 1, torch.full((400,), float(length)))


def test_released_an_absent_body_is_a_skeleton_at_the_origin() -> None:
    """Two frames at 8, two without the body, resized to eight: places 0, 1/4, 3/4, 5/4, 7/4, 9/4, 11/4, 3."""
    x = torch.tensor([8.0, 8, 0, 0]).view(1, 1, 4, 1, 1).expand(2, 3, -1, 25, 1)
    options = {"ratio": (1.0, 1.0), "frames": 8, "sampling": "centres"}
    zeros, masked = (
        run("temporal_crop_resize", x, **options, absent=a)[0, 0, :, 0, 0] for a in ("zeros", "masked")
    )
    assert zeros.tolist() == [8, 8, 8, 6, 2, 0, 0, 0]
    assert masked.tolist() == [8, 8, 8, 8, 0, 0, 0, 0]


def test_time_and_joints_are_not_mixed_up() -> None:
    """A clip whose coordinate is its joint stays so in time; one that is its frame stays so over joints."""
    for name in ("temporal_crop_resize", "temporal_crop"):
        joint = torch.arange(1.0, 26).view(1, 1, 1, 25, 1).expand(8, 3, 25, 25, 1)
        torch.testing.assert_close(run(name, joint), joint)
        frame = torch.arange(1.0, 26).view(1, 1, 25, 1, 1).expand(8, 3, 25, 25, 1)
        assert (run(name, frame).std(dim=3) == 0).all()
    changed = (run("joint_jitter", frame) != frame).any(dim=1)
    assert torch.equal(changed.any(dim=1), changed.all(dim=1)), "a joint moves in all frames or in none"


def test_choice_draws_one_for_every_sample() -> None:
    x = clips(300, 25, frames=4)
    of = [{"name": "temporal_flip", "options": {"p": 1.0}}, {"name": "spatial_flip", "options": {"p": 1.0}}]
    changed = run("choice", x, of=of)
    flipped, mirrored = (run(each["name"], x, p=1.0) for each in of)
    kinds = [(changed == other).flatten(1).all(dim=1) for other in (flipped, mirrored)]
    assert (kinds[0] ^ kinds[1]).all()
    assert kinds[0].float().mean().item() == pytest.approx(0.5, abs=0.1)
    three = run("choice", x, of=[*of, {"name": "axis_mask", "options": {"p": 0.0}}])
    assert (three == x).flatten(1).all(dim=1).float().mean().item() == pytest.approx(1 / 3, abs=0.1)


def test_choice_is_iscs_by_default_and_the_same_called_directly() -> None:
    x = clips(40, 25, frames=4)
    of = (component("pose_augmentation"), component("joint_jitter"))
    assert torch.equal(run("choice", x), AUGMENTATIONS["choice"](x, KINECT, generator(), of=of))
    jittered = (run("choice", x) == x).flatten(1, 2).all(dim=1).all(dim=2).sum(dim=1)
    assert set(jittered.tolist()) == {0, 10}, "all joints sheared, or ten of them left"


def test_a_choice_of_different_lengths_is_refused() -> None:
    of = [{"name": "temporal_crop_resize", "options": {"frames": 5}}, {"name": "shear"}]
    with pytest.raises(UsageError, match="clips of one length, found 5, 16 frames"):
        run("choice", clips(4, 25), of=of)


# --- options


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("shear", {"amplitud": 1}, "augment.normal.0.options.amplitud: unknown option.*'amplitude'"),
        ("shear", {"amplitude": -1}, "augment.normal.0.options.amplitude: .*greater than or equal to 0"),
        ("spatial_flip", {"p": 2}, "options.p: .*less than or equal to 1, found 2"),
        ("gaussian_blur", {"sigma": [2, 1]}, "options.sigma: .*low <= high"),
        ("gaussian_blur", {"kernel_size": "wide"}, "options.kernel_size: .*found 'wide'"),
        ("temporal_crop", {"ratio": 0}, "options.ratio"),
        ("temporal_crop_resize", {"ratio": [0.1, 1.5]}, "options.ratio: .*low <= high <= 1"),
        ("temporal_crop_resize", {"frames": 0}, "options.frames"),
        ("joint_jitter", {"share": 1.2}, "options.share: .*less than or equal to 1"),
        ("choice", {"of": [{"name": "shear"}]}, "options.of: .*at least 2 items"),
        (
            "choice",
            {"of": [{"name": "shear"}, {"name": "joint_jitter", "options": {"p": 1}}]},
            "augment.normal.0.options.of.1.options.p: unknown option.*'zero_p'|share, amplitude, zero_p",
        ),
    ],
)
def test_wrong_options_are_named_before_anything_runs(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compile_chain([component(name, **options)], where="augment.normal")


def test_an_unknown_augmentation_names_its_place_and_the_closest_one() -> None:
    with pytest.raises(UsageError, match=r"augment.extreme.1.name: .*Did you mean 'shear'"):
        compile_chain([component("rotate"), component("sheer")], where="augment.extreme")
    nested = component("choice", of=[{"name": "shear"}, {"name": "sheer"}])
    with pytest.raises(UsageError, match=r"augment.normal.0.options.of.1.name: .*Did you mean 'shear'"):
        compile_chain([nested], where="augment.normal")


def test_numbers_may_come_as_text_from_yaml() -> None:
    x = clips(2, 25)
    assert torch.equal(run("shear", x, amplitude="1e-1"), run("shear", x, amplitude=0.1))


def _fitted(x: Tensor, changed: Tensor) -> Tensor:
    """[N,3,3]: the matrices that map x to ``changed``, by least squares."""
    return torch.linalg.lstsq(x.flatten(2).mT, changed.flatten(2).mT).solution.mT
