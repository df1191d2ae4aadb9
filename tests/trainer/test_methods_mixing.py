"""SkeleMix: regions and mixed clips by their properties, mask pooling against literal sums."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.skeleton import PARTS
from tests.trainer.clips import clips, generator, skeleton
from trainer.methods import mixing
from trainer.methods.mixing import Region

SPECS = {name: skeleton(name).spec for name in ("kinectv2_25", "smplx_42")}
SPEC = SPECS["kinectv2_25"]


# --- regions


@settings(max_examples=200, deadline=None)
@given(frames=st.integers(1, 40), seed=st.integers(0, 2**31), name=st.sampled_from(sorted(SPECS)))
def test_a_region_fits_and_is_made_of_whole_parts(frames: int, seed: int, name: str) -> None:
    spec = SPECS[name]
    region = mixing.draw_region(spec, frames, generator=generator(seed))
    assert 0 <= region.start < region.stop <= frames
    chosen = [part for part in PARTS if set(spec.body_parts[part]) <= set(region.joints)]
    assert sorted(region.joints) == sorted(v for part in chosen for v in spec.body_parts[part])
    assert len(chosen) in (2, 3)
    length = region.stop - region.start
    shortest, longest = (max(1, math.floor(n * frames / 16 + 0.5)) for n in (7, 11))
    assert shortest <= length <= longest


def test_every_part_count_length_and_start_comes_up_equally_often() -> None:
    draw, size = generator(), 6000
    regions = [mixing.draw_region(SPEC, 16, generator=draw) for _ in range(size)]
    lengths = [region.stop - region.start for region in regions]
    counts = [sum(set(SPEC.body_parts[p]) <= set(r.joints) for p in PARTS) for r in regions]
    starts = [r.start for r in regions if r.stop - r.start == 11]
    parts = [part for part in PARTS for r in regions if set(SPEC.body_parts[part]) <= set(r.joints)]
    for found, values in [(lengths, range(7, 12)), (counts, (2, 3)), (starts, range(6)), (parts, PARTS)]:
        assert set(found) == set(values)
        share = len(found) / len(values)
        assert all(abs(found.count(value) - share) < 5 * share**0.5 for value in values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frames", "lengths"),
    [(16, {7, 8, 9, 10, 11}), (13, {6, 7, 8, 9}), (8, {4, 5, 6}), (2, {1}), (1, {1})],
)
def test_lengths_scale_with_the_feature_map(frames: int, lengths: set[int]) -> None:
    draw = generator()
    regions = [mixing.draw_region(SPEC, frames, generator=draw) for _ in range(300)]
    assert {region.stop - region.start for region in regions} == lengths


def test_the_ranges_are_options() -> None:
    draw = generator()
    regions = [
        mixing.draw_region(SPEC, 16, generator=draw, parts=(1, 1), fragment=(16, 16)) for _ in range(50)
    ]
    assert {(r.start, r.stop) for r in regions} == {(0, 16)}
    assert {frozenset(r.joints) for r in regions} == {frozenset(SPEC.body_parts[p]) for p in PARTS}


@pytest.mark.parametrize(
    ("frames", "of", "region", "expected"),
    [
        (64, 16, (3, 12), (12, 48)),
        (50, 13, (0, 6), (0, 24)),
        (50, 13, (7, 13), (28, 50)),  # the last feature frame stands for two frames only
        (16, 16, (3, 9), (3, 9)),
    ],
)
def test_input_frames_are_the_stride_times_feature_frames(
    frames: int, of: int, region: tuple[int, int], expected: tuple[int, int]
) -> None:
    stretched = Region((1, 2), *region).stretched(frames, of=of)
    assert stretched == Region((1, 2), *expected)


@settings(max_examples=100, deadline=None)
@given(frames=st.integers(2, 100), halvings=st.integers(0, 3), seed=st.integers(0, 2**31))
def test_a_stretched_region_is_never_empty_and_fits(frames: int, halvings: int, seed: int) -> None:
    of = frames
    for _ in range(halvings):
        of = (of + 1) // 2
    region = mixing.draw_region(SPEC, of, generator=generator(seed)).stretched(frames, of=of)
    assert 0 <= region.start < region.stop <= frames


@settings(max_examples=50, deadline=None)
@given(samples=st.integers(2, 9), seed=st.integers(0, 2**31))
def test_a_partner_is_never_the_clip_itself(samples: int, seed: int) -> None:
    shift = mixing.draw_shift(samples, generator(seed))
    partners = torch.arange(samples).roll(shift)
    assert not (partners == torch.arange(samples)).any()
    assert sorted(partners.tolist()) == list(range(samples))


def test_every_shift_comes_up() -> None:
    draw = generator()
    assert {mixing.draw_shift(5, draw) for _ in range(200)} == {1, 2, 3, 4}


# --- mixing


def test_mixing_changes_exactly_the_region() -> None:
    """As many frames as joints: exchanging the two axes would go unnoticed by shapes."""
    x = clips(4, 25, frames=25, bodies=2)
    region = Region((2, 3, 20), 5, 9)
    mixed = mixing.mix(x, region.mask(25, 25, device=x.device), 1)
    for n in range(4):
        for t in range(25):
            for v in range(25):
                source = (n - 1) % 4 if t in range(5, 9) and v in (2, 3, 20) else n
                assert torch.equal(mixed[n, :, t, v], x[source, :, t, v])


def test_a_mask_of_the_wrong_shape_is_an_error() -> None:
    x = clips(2, 25, frames=16)
    with pytest.raises(RuntimeError):
        mixing.mix(x, Region((1,), 0, 3).mask(25, 16, device=x.device), 1)


def test_a_body_counts_where_it_has_coordinates() -> None:
    x = torch.zeros(2, 3, 8, 6, 2)
    x[0, 1, 2, 3, 1] = 0.5
    x[1, 0, 7, 3, 0] = -0.5
    inside = Region((3, 4), 1, 4).mask(8, 6, device=x.device)
    assert mixing.has_fragment(x, inside).tolist() == [[False, True], [False, False]]
    assert mixing.has_fragment(x, ~inside).tolist() == [[False, False], [True, False]]


def test_mask_pooling_is_the_mean_of_each_side() -> None:
    features = torch.randn(4, 3, 5, 6, generator=generator())
    mask = Region((0, 4), 1, 4).mask(5, 6, device=features.device)
    inside, outside = mixing.mask_pool(features.contiguous(memory_format=torch.channels_last), mask)
    for b in range(4):
        for c in range(3):
            values: dict[bool, list[float]] = {True: [], False: []}
            for t in range(5):
                for v in range(6):
                    values[t in (1, 2, 3) and v in (0, 4)].append(float(features[b, c, t, v]))
            assert float(inside[b, c]) == pytest.approx(sum(values[True]) / 6, abs=1e-6)
            assert float(outside[b, c]) == pytest.approx(sum(values[False]) / 24, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(frames=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_both_sides_together_are_the_whole(frames: int, seed: int) -> None:
    features = torch.randn(2, 4, frames, 25, generator=generator(seed))
    mask = mixing.draw_region(SPEC, frames, generator=generator(seed)).mask(
        frames, 25, device=features.device
    )
    inside, outside = mixing.mask_pool(features, mask)
    share = mask.float().mean()
    torch.testing.assert_close(share * inside + (1 - share) * outside, features.mean(dim=(2, 3)))


def test_pooling_is_done_in_float32() -> None:
    features = (torch.rand(2, 4, 6, 25, generator=generator()) + 100).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        inside, _ = mixing.mask_pool(features, Region((1, 2), 1, 5).mask(6, 25, device=features.device))
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, features[:, :, 1:5, 1:3].float().mean(dim=(2, 3)))


def test_bodies_are_averaged_over_those_that_count() -> None:
    means = torch.arange(8.0).view(4, 2)
    counted = torch.tensor([[True, True], [False, True]])
    assert mixing.join_bodies(means, counted).tolist() == [[1, 2], [6, 7]]
    assert mixing.join_bodies(means, ~counted).tolist() == [[0, 0], [4, 5]]
