"""Masked prediction: what is hidden is counted, losses are loops over their formulas, the teacher follows."""

from __future__ import annotations

import copy
import math
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas import Component, ConfigError, OptimiseConfig, UsageError
from tests.trainer import ranks, tiny
from tests.trainer.clips import batch, clips, generator, skeleton
from tests.trainer.tiny import Case
from trainer import optim
from trainer.loop import step
from trainer.methods import masked, masks

KINECT = skeleton("kinectv2_25")
KINDS: tuple[masks.Kind, ...] = ("tube", "parts", "random", "motion")
SMALL = {"layers": 1, "width": 8, "heads": 2, "ratio": 0.6}


def case(encoder: str = "vit", **options: Any) -> Case:
    return Case(Component(name="masked", options={**SMALL, **options}), tiny.encoder(encoder))


def given(**more: Any) -> Any:
    return batch({"kinectv2_25": KINECT}, **{"frames": 12, "bodies": 2, **more})


def drawn(kind: masks.Kind, *, frames: int = 24, ratio: float = 0.6, **more: Any) -> Tensor:
    x = clips(5, 25, frames=frames, bodies=2)
    settings = {"patch": 4, "tube": 2, "temperature": 0.8, **more}
    return masks.draw(x, KINECT.spec, generator(3), kind=kind, ratio=ratio, **settings)


# --- what is hidden


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("frames", "ratio"), [(24, 0.6), (22, 0.9), (4, 0.9), (24, 0.01), (24, 0.999)])
def test_every_body_has_as_many_hidden_and_one_to_see(kind: masks.Kind, frames: int, ratio: float) -> None:
    hidden = drawn(kind, frames=frames, ratio=ratio)
    times = math.ceil(frames / 4)
    assert hidden.shape == (10, times, 25)
    left = (~hidden).flatten(1).sum(dim=1)
    single = kind in ("random", "motion")
    expected = max(1, int(times * 25 * (1 - ratio))) if single else times * max(1, int(25 * (1 - ratio)))
    assert set(left.tolist()) == {expected}
    assert masks.count_visible(kind, times, 25, ratio) == expected
    assert len({tuple(row.flatten().tolist()) for row in hidden}) > 5, "drawn for every body"


def test_a_tube_hides_the_same_joints_and_the_next_one_others() -> None:
    hidden = drawn("tube", frames=40, tube=4)
    assert torch.equal(hidden[:, 0], hidden[:, 3])
    assert torch.equal(hidden[:, 4], hidden[:, 7])
    assert torch.equal(hidden[:, 8], hidden[:, 9]), "the last one is shorter"
    assert not torch.equal(hidden[:, 3], hidden[:, 4])


def test_parts_are_hidden_whole_but_for_one() -> None:
    hidden = drawn("parts")
    parts = (KINECT.spec.body_parts or {}).values()
    for body in hidden[:, 0]:
        shares = [float(body[list(part)].float().mean()) for part in parts]
        assert sum(0 < share < 1 for share in shares) <= 1


def test_what_moves_is_hidden_rather_than_what_stands() -> None:
    x = clips(200, 25, frames=24)
    x[:, :, :, :20] = x[:, :, :1, :20]
    hidden = masks.draw(
        x, KINECT.spec, generator(1), kind="motion", ratio=0.5, patch=4, tube=1, temperature=0.2
    )
    assert float(hidden[..., 20:].float().mean()) > 0.85
    assert float(hidden[..., :20].float().mean()) < 0.45


def test_motion_is_the_mean_absolute_step_of_a_cell_over_the_largest() -> None:
    cells = torch.randn(2, 3, 4, 6, generator=generator(), dtype=torch.float64)
    found = masks.intensity(cells)
    for body in range(2):
        steps = [
            [sum(abs(float(a - b)) for a, b in zip(cells[body, t, v], cells[body, t - 1, v], strict=True)) / 6
             for v in range(4)]
            for t in (1, 2)
        ]  # fmt: skip
        most = max(max(row) for row in steps)
        expected = [[step / most for step in row] for row in (steps[0], steps[0], steps[1])]
        torch.testing.assert_close(found[body], torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(masks.intensity(cells[:, :1]), torch.zeros(2, 1, 4, dtype=torch.float64))


def test_cells_are_drawn_by_the_softmax_of_their_scores() -> None:
    scores = torch.tensor([0.0, 1.0, 2.0])
    noise = masks.gumbel(torch.rand(40_000, 3, generator=generator(5)))
    first = (scores + noise).argmax(dim=1).bincount(minlength=3) / 40_000
    torch.testing.assert_close(first, scores.softmax(dim=0), rtol=0, atol=0.01)


def test_a_cell_has_its_frames_axis_by_axis_and_a_frame_its_cell() -> None:
    x = torch.arange(2 * 3 * 6 * 4 * 2, dtype=torch.float32).view(2, 3, 6, 4, 2)
    found = masks.cells(x, 4)
    assert found.shape == (4, 2, 4, 12)
    for n, m, v in ((0, 0, 0), (1, 1, 3)):
        body = x[n, :, :, v, m]
        assert found[2 * n + m, 0, v].tolist() == body[:, :4].flatten().tolist()
        assert found[2 * n + m, 1, v].tolist() == body[:, [4, 5, 5, 5]].flatten().tolist()
    hidden = torch.tensor([[[True], [False]]])
    assert masks.frames_of(hidden, 4, 6).flatten().tolist() == [True] * 4 + [False] * 2


# --- what is told


def test_the_loss_is_the_mean_over_clips_of_what_is_hidden_of_present_bodies() -> None:
    apart = torch.rand(6, 2, 3, generator=generator(), dtype=torch.float64)
    counted = torch.rand(6, 2, 3, generator=generator(1)) < 0.5
    counted[2:5] = False  # the second body of the second clip, and both of the last but one
    counted[5] = True
    total = 0.0
    for n in range(3):
        of = [float(apart[2 * n + m, t, v]) for m in range(2) for t in range(2) for v in range(3)
              if counted[2 * n + m, t, v]]  # fmt: skip
        total += sum(of) / max(1, len(of)) / 3
    assert masked.mean_of_clips(apart, counted, 2).item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("how", ["cell", "axis"])
def test_joints_are_normalised_over_a_cell_or_an_axis(how: str) -> None:
    cells = 3 + torch.randn(2, 3, 4, 12, generator=generator(), dtype=torch.float64)
    found = masked.normalised(cells, how)
    groups = {"cell": [(t, v, range(12)) for t in range(3) for v in range(4)]}
    one = cells[1]
    if how == "cell":
        for t, v, _ in groups["cell"]:
            numbers = one[t, v].tolist()
            mean = sum(numbers) / 12
            variance = sum((x - mean) ** 2 for x in numbers) / 11
            expected = [(x - mean) / math.sqrt(variance + 1e-6) for x in numbers]
            assert found[1, t, v].tolist() == pytest.approx(expected, rel=1e-9)
        return
    for axis in range(3):
        numbers = one[..., 4 * axis : 4 * axis + 4].flatten().tolist()
        mean = sum(numbers) / len(numbers)
        variance = sum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1)
        expected = [(x - mean) / math.sqrt(variance + 1e-6) for x in numbers]
        assert found[1][..., 4 * axis : 4 * axis + 4].flatten().tolist() == pytest.approx(expected, rel=1e-9)


def test_cross_entropy_is_its_formula_and_the_centre_the_moving_mean_of_targets() -> None:
    method = case(distance="cross_entropy", centre_momentum=0.7).build().double()
    draw = generator(2)
    told, taught = (torch.randn(2, 3, 25, 8, generator=draw, dtype=torch.float64) for _ in range(2))
    method.centre = torch.randn(8, generator=draw, dtype=torch.float64)
    centre = method.centre.clone()
    found = method._from_features(told, taught.permute(0, 3, 1, 2), 3)
    for b, t, v in ((0, 0, 0), (1, 2, 24)):
        sharp = [math.exp((float(x) - float(c)) / 0.04) for x, c in zip(taught[b, t, v], centre, strict=True)]
        soft = [math.exp(float(x) / 0.1) for x in told[b, t, v]]
        expected = -sum(p / sum(sharp) * math.log(q / sum(soft)) for p, q in zip(sharp, soft, strict=True))
        assert found[b, t, v].item() == pytest.approx(expected, rel=1e-9)
    expected = 0.7 * centre + 0.3 * taught.flatten(0, 2).mean(dim=0)
    torch.testing.assert_close(method.centre, expected)


def test_smooth_l1_is_its_formula_on_normalised_targets() -> None:
    method = case().build().double()
    draw = generator(2)
    told, taught = (2 * torch.randn(1, 1, 25, 8, generator=draw, dtype=torch.float64) for _ in range(2))
    found = method._from_features(told, taught.permute(0, 3, 1, 2), 1)
    for v in (0, 24):
        target = taught[0, 0, v].tolist()
        mean = sum(target) / 8
        scale = math.sqrt(sum((x - mean) ** 2 for x in target) / 8 + 1e-5)
        steps = [abs(float(a) - (b - mean) / scale) for a, b in zip(told[0, 0, v], target, strict=True)]
        expected = sum(s * s / 2 if s < 1 else s - 0.5 for s in steps) / 8
        assert found[0, 0, v].item() == pytest.approx(expected, rel=1e-9)


@torch.no_grad()
def test_local_views_find_their_clip_among_those_of_the_batch() -> None:
    method = case("stgcn", local_views=2, temperature=0.5, dim=4).build().eval()
    found = method(given())
    again = given()
    view = method.views.normal(again, "kinectv2_25")
    masks.draw(view, KINECT.spec, again.generator, kind="tube", ratio=0.6, patch=4, tube=2, temperature=0.8)
    unit = nn.functional.normalize
    keys = unit(method.teacher.projector(method.teacher.encoder(view, "kinectv2_25")), dim=1)
    total = 0.0
    for _ in range(2):
        local = method.views.extreme(again, "kinectv2_25")
        q = unit(method.network.projector(method.network.encoder(local, "kinectv2_25")), dim=1)
        for n in range(8):
            scores = [math.exp(float(q[n] @ keys[k]) / 0.5) for k in range(8)]
            total -= math.log(scores[n] / sum(scores)) / 8 / 2
    assert found["contrast"].item() == pytest.approx(total, rel=1e-4)
    expected = found["prediction"] + found["contrast"]
    torch.testing.assert_close(found["loss"], expected)


@pytest.mark.parametrize("target", ["features", "joints"])
@pytest.mark.parametrize("encoder", ["vit", "stgcn"])
def test_what_is_hidden_does_not_reach_the_encoder(encoder: str, target: str) -> None:
    """Neither does the prediction change with it, nor has the encoder a gradient through it."""
    method = case(encoder, target=target).build().eval()
    x = clips(4, 25, frames=12)
    hidden = masks.draw(x, KINECT.spec, generator(), kind="random", ratio=0.6, patch=4, tube=1, temperature=1)
    method.options = method.options.model_copy(update={"mask": "random"})
    other = torch.where(masks.frames_of(hidden, 4, 12)[:, None, ..., None], 100.0, x)
    one, two = (method._seen(each, "kinectv2_25", hidden) for each in (x, other))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    shown = torch.where(masks.frames_of(hidden, 4, 12)[:, None, ..., None], x, x + 1)
    assert (method._seen(shown, "kinectv2_25", hidden) - one).abs().max() > 1e-3


def test_the_map_of_a_part_is_that_of_a_sequence_of_its_tokens_alone() -> None:
    encoder = case().build().network.encoder
    x = clips(2, 25, frames=12, bodies=2)
    kept = torch.rand(4, 75, generator=generator()).argsort(dim=1)[:, :20].sort(dim=1).values
    found = encoder.part_map(x, "kinectv2_25", kept).flatten(2)
    tokens = encoder._tokens(x.permute(0, 4, 1, 2, 3).flatten(0, 1), encoder.embedded("kinectv2_25"))
    for body in range(4):
        alone = encoder._read(tokens.flatten(1, 2)[body : body + 1, kept[body]])[0]
        torch.testing.assert_close(found[body][:, kept[body]].t(), alone)
    assert found.ne(0).any(dim=1).sum(dim=1).tolist() == [20] * 4
    every = torch.arange(75).expand(4, -1)
    whole = encoder.part_map(x, "kinectv2_25", every)
    torch.testing.assert_close(whole, encoder.feature_map(x, "kinectv2_25"))


@pytest.mark.parametrize("join", ["average", "present"])
@pytest.mark.parametrize("encoder", ["vit", "stgcn"])
def test_absent_bodies_count_for_nothing(encoder: str, join: str) -> None:
    options = {**tiny.ENCODER_OPTIONS[encoder], "bodies": join}
    method = Case(case().method, Component(name=encoder, options=options)).build().eval()
    method.options = method.options.model_copy(update={"mask": "motion"})
    without = given(bodies=2)
    for x in without.clips.values():
        x[..., 1] = 0
    view = method.views.normal(without, "kinectv2_25")
    hidden = masks.draw(
        view, KINECT.spec, generator(), kind="motion", ratio=0.6, patch=4, tube=1, temperature=1
    )
    assert masked.present(view).tolist() == [True, False] * 8
    features = method._seen(view, "kinectv2_25", hidden)
    if join == "present":
        assert not features[1::2].any()
    apart = torch.ones(hidden.shape)
    apart[1::2] = torch.nan
    loss = masked.mean_of_clips(apart.nan_to_num(7), hidden & masked.present(view)[:, None, None], 2)
    assert loss == 1
    assert torch.isfinite(method(without)["loss"])


# --- the teacher


@pytest.mark.parametrize("encoder", ["vit", "stgcn"])
def test_the_teacher_follows_by_the_moving_average_once_a_step(encoder: str) -> None:
    method = case(encoder, momentum=0.9, local_views=1).build()
    assert not any(p.requires_grad for p in method.teacher.parameters())
    for accumulate in (1, 2):
        before = copy.deepcopy(method)
        config = ranks.settings(case(encoder), accumulate=accumulate)
        optimiser = optim.build(method.parameters(), config.optimise)
        for number in range(2):
            expected = [
                0.9 * old + 0.1 * new.detach()
                for old, new in zip(method.teacher.parameters(), method.network.parameters(), strict=True)
            ]

            step.take(method, optimiser, given(seed=number), config=config, step=number)
            for found, wanted in zip(method.teacher.parameters(), expected, strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)
        assert method.step is None
        assert any(
            not torch.equal(a, b)
            for a, b in zip(before.teacher.parameters(), method.teacher.parameters(), strict=True)
        )


def test_joints_alone_need_no_teacher() -> None:
    method = case(target="joints").build()
    assert method.teacher is None
    assert method.compiled == [method.network.encoder]


def test_an_error_in_a_step_leaves_nothing_held() -> None:
    method = case(distance="cross_entropy").build()
    before = method.centre.clone()
    with suppress(KeyError), method.one_step():
        method(given())
        assert len(method.step) == 2
        raise KeyError("in the middle")
    assert method.step is None
    assert torch.equal(method.centre, before)


@pytest.mark.parametrize("options", [{"distance": "cross_entropy"}, {"target": "joints"}, {}])
@pytest.mark.parametrize("accumulate", [2, 3])
def test_parts_one_after_another_give_the_numbers_of_the_batch(
    options: dict[str, Any], accumulate: int
) -> None:
    """The transformer has no BatchNorm, and without local views no clip looks at others."""
    tried = case(**options)
    one, many = tried.build(), tried.build()
    at_once = ranks.stepped(one, tried, ranks.settings(tried))
    in_parts = ranks.stepped(many, tried, ranks.settings(tried, accumulate=accumulate))
    assert in_parts["loss"] == pytest.approx(at_once["loss"], rel=1e-5)
    for (key, a), b in zip(one.state_dict().items(), many.state_dict().values(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-5, msg=key)


@pytest.mark.parametrize(
    "options", [{}, {"distance": "cross_entropy"}, {"target": "joints", "mask": "motion"}]
)
def test_training_tells_more_and_more_of_what_is_hidden(options: dict[str, Any]) -> None:
    method = case(**options).build()
    optimiser = optim.build(method.parameters(), OptimiseConfig(optimiser="adamw", lr=3e-3))
    losses = []
    for number in range(40):
        loss = method(given(seed=number % 4, bodies=1))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-8:]) < 0.95 * sum(losses[:8])
    assert float(method.spread()) > 0


# --- what it refuses


def test_cells_of_another_length_than_tokens_are_refused() -> None:
    with pytest.raises(UsageError, match="cells of 3 frames do not fit an encoder whose tokens have 4"):
        case(patch=3).build()
    assert case("stgcn", patch=3).build().patch == 3
    assert case("stgcn").build().patch == case().build().patch == 4


def test_parts_need_a_convention_that_has_some() -> None:
    bare = KINECT.spec.model_copy(update={"body_parts": None})
    without = type(KINECT)(bare, KINECT.adjacency, KINECT.adjacency_degenerate)
    with pytest.raises(UsageError, match=r"method\.options\.mask: mask parts needs .*mask=tube"):
        case(mask="parts").build(skeletons={"kinectv2_25": without})


def test_a_width_that_heads_do_not_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="width must be even and a multiple of heads"):
        case(width=10, heads=4).build()
