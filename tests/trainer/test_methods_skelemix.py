"""SkeleMixCLR: its losses and whole steps against literal sums, and what must not matter to them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas import OptimiseConfig, UsageError
from tests.trainer.clips import SMALL, augment, batch, component, generator, skeleton
from trainer import config, losses, methods, optim
from trainer.encoders.graph_network import inward_outward
from trainer.methods import mixing
from trainer.methods.mixing import Region
from trainer.methods.skelemixclr import SkeleMixCLR
from trainer.skeleton import Skeleton

KINECT = {"kinectv2_25": skeleton("kinectv2_25")}
BOTH = {**KINECT, "smplx_42": skeleton("smplx_42")}
SPEC = KINECT["kinectv2_25"].spec
MOCO = {"queue": 24, "dim": 8, "momentum": 0.9}


def build(
    *,
    of: Mapping[str, Skeleton] = KINECT,
    stream: str = "joint",
    seed: int = 0,
    encoder: dict[str, Any] | None = None,
    **options: Any,
) -> SkeleMixCLR:
    built = methods.build(
        component("skelemixclr", **MOCO, **options),
        encoder=component("stgcn", **SMALL, **(encoder or {})),
        skeletons=of,
        augment=augment(),
        stream=stream,
        generator=generator(seed),
    )
    assert isinstance(built, SkeleMixCLR)
    return built


# --- the loss


def literal_nce(
    view: NDArray[np.float64],
    key: NDArray[np.float64],
    queue: NDArray[np.float64],
    other: NDArray[np.float64] | None,
    tau: float,
) -> float:
    """Eq. (4) and (5), Eq. (1) without ``other``; batch mean."""
    total = 0.0
    for n in range(len(view)):
        positive = math.exp(float(view[n] @ key[n]) / tau)
        denominator = positive + sum(math.exp(float(view[n] @ m) / tau) for m in queue)
        if other is not None:
            denominator += math.exp(float(view[n] @ other[n]) / tau)
        total -= math.log(positive / denominator)
    return total / len(view)


def units(*shape: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(
        torch.randn(*shape, generator=generator(seed), dtype=torch.float64), dim=-1
    )


@pytest.mark.parametrize("samples", [1, 7])
@pytest.mark.parametrize("size", [1, 50])
@pytest.mark.parametrize("tau", [0.07, 0.2, 1.0])
def test_the_extra_negative_joins_the_denominator(samples: int, size: int, tau: float) -> None:
    view, key, other = (units(samples, 16, seed=seed) for seed in (1, 2, 3))
    queue = units(size, 16, seed=4)
    scores = losses.with_negative(losses.logits(view, key, queue, tau), view, other, temperature=tau)
    assert scores.shape == (samples, size + 2)
    expected = literal_nce(view.numpy(), key.numpy(), queue.numpy(), other.numpy(), tau)
    assert float(losses.nce(scores)) == pytest.approx(expected, abs=1e-9)


def test_no_gradient_flows_into_the_extra_negative() -> None:
    view, other = units(4, 8, seed=1).requires_grad_(), units(4, 8, seed=2).requires_grad_()
    scores = losses.logits(view, units(4, 8, seed=3), units(9, 8, seed=4), 0.2)
    losses.nce(losses.with_negative(scores, view, other, temperature=0.2)).backward()
    assert view.grad is not None
    assert view.grad.any()
    assert other.grad is None


def test_the_loss_of_a_half_is_smooth() -> None:
    key, queue, other = units(3, 5, seed=2), units(4, 5, seed=3), units(3, 5, seed=4)

    def loss(view: Tensor) -> Tensor:
        scores = losses.with_negative(losses.logits(view, key, queue, 0.2), view, other, temperature=0.2)
        return losses.nce(scores)

    assert torch.autograd.gradcheck(loss, (units(3, 5, seed=1).requires_grad_(),))


def literal_halves(
    method: SkeleMixCLR, x: Tensor, region: Region, shift: int, convention: str, *, present: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both views of each mixed clip, with loops over bodies, frames and joints; stride 2."""
    samples, _, frames, joints, bodies = x.shape
    mixed = x.clone()
    for n in range(samples):
        for t in range(2 * region.start, min(2 * region.stop, frames)):
            for v in region.joints:
                mixed[n, :, t, v] = x[(n - shift) % samples, :, t, v]
    network = method.moco.query
    features = network.encoder.feature_map(mixed, convention)
    pooled = []
    for side in (True, False):
        rows = []
        for n in range(samples):
            means = []
            for m in range(bodies):
                places = [
                    (t, v)
                    for t in range(features.shape[2])
                    for v in range(joints)
                    if (region.start <= t < region.stop and v in region.joints) == side
                ]
                there = any(mixed[n, :, frame, v, m].any() for t, v in places for frame in (2 * t, 2 * t + 1))
                if there or not present:
                    means.append(torch.stack([features[n * bodies + m, :, t, v] for t, v in places]).mean(0))
            rows.append(torch.stack(means).mean(0))
        pooled.append(network.embed(torch.stack(rows)).detach().double().numpy())
    return pooled[0], pooled[1]


@pytest.mark.parametrize(
    ("mixes", "reduction", "bodies"),
    [(1, "sum", "average"), (3, "sum", "present"), (3, "mean", "average")],
)
def test_a_step_is_eq_7(mixes: int, reduction: str, bodies: str) -> None:
    options = {"mixes": mixes, "mix_reduction": reduction, "mix_weight": 0.5}
    method, twin = (build(of=BOTH, encoder={"bodies": bodies}, **options) for _ in range(2))
    made = replace(batch(BOTH, samples=4, bodies=2, seed=3), query="kinectv2_25", key="smplx_42")
    for x in made.clips.values():
        x[1:3, ..., 1] = 0  # two clips of one person
    again = batch(BOTH, samples=4, bodies=2, seed=3)
    queue = method.moco.queue.keys.double().numpy()
    out = method(made)

    x = twin.views.normal(replace(made, generator=again.generator), "kinectv2_25")
    q = twin.moco.query(x, "kinectv2_25").detach().double().numpy()
    y = twin.views.normal(replace(made, generator=again.generator), "smplx_42")
    k = twin.moco.key(y, "smplx_42").double().numpy()
    hard = []
    for _ in range(mixes):
        shift = mixing.draw_shift(4, again.host_generator)
        region = mixing.draw_region(SPEC, 8, generator=again.host_generator)
        p, g = literal_halves(twin, x, region, shift, "kinectv2_25", present=bodies == "present")
        partner = k[[(n - shift) % 4 for n in range(4)]]
        hard.append((literal_nce(p, partner, queue, g, 0.2) + literal_nce(g, k, queue, p, 0.2)) / 2)
        if len(hard) == mixes == 1:
            assert float(out["trimmed"]) == pytest.approx((p * partner).sum(1).mean(), abs=1e-4)
            assert float(out["truncated"]) == pytest.approx((g * k).sum(1).mean(), abs=1e-4)
            assert float(out["between"]) == pytest.approx((p * g).sum(1).mean(), abs=1e-4)
    easy = literal_nce(q, k, queue, None, 0.2)
    total = sum(hard) if reduction == "sum" else sum(hard) / mixes
    assert float(out["info_nce"]) == pytest.approx(easy, abs=1e-4)
    assert float(out["mix"]) == pytest.approx(sum(hard) / mixes, abs=1e-4)
    assert float(out["loss"].detach()) == pytest.approx(easy + 0.5 * total, abs=2e-4)
    torch.testing.assert_close(method.moco.queue.keys[:4].double(), torch.from_numpy(k), atol=1e-5, rtol=0)


def test_mixes_are_added_or_averaged() -> None:
    """Paper and released code add them; a first version that the released scripts do not run averages."""
    out = {name: build(mixes=3, mix_reduction=name)(batch(KINECT)) for name in ("sum", "mean")}
    easy, hard = (float(out["sum"][name].detach()) for name in ("info_nce", "mix"))
    assert float(out["sum"]["loss"].detach()) == pytest.approx(easy + 3 * hard, rel=1e-5)
    assert float(out["mean"]["loss"].detach()) == pytest.approx(easy + hard, rel=1e-5)
    once = {name: build(mix_reduction=name)(batch(KINECT))["loss"] for name in ("sum", "mean")}
    assert torch.equal(once["sum"], once["mean"])


def test_the_normal_view_alone_is_skeletonclr() -> None:
    mixed = build(mix_weight=0.0)(batch(KINECT))
    plain = methods.build(
        component("skeletonclr", **MOCO, temperature=0.2, projector_norm="batch"),
        encoder=component("stgcn", **SMALL),
        skeletons=KINECT,
        augment=augment(),
        stream="joint",
        generator=generator(),
    )(batch(KINECT))
    assert torch.equal(mixed["loss"], plain["loss"])
    assert all(torch.equal(mixed[name], plain[name]) for name in ("positive", "negative", "info_nce"))


def test_what_is_mixed_is_the_augmented_view_in_the_runs_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    plain = mixing.mix
    monkeypatch.setattr(mixing, "mix", lambda x, mask, shift: seen.append(x) or plain(x, mask, shift))
    method, made = build(stream="bone", mixes=2), batch(KINECT)
    expected = method.views.normal(batch(KINECT), "kinectv2_25")
    method(made)
    assert len(seen) == 2
    assert all(torch.equal(x, expected) for x in seen)


def test_one_region_and_one_shift_serve_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another region for each mix and each step, the same for all clips of it."""
    masks: list[tuple[tuple[int, ...], int]] = []
    plain = mixing.mix

    def spy(x: Tensor, mask: Tensor, shift: int) -> Tensor:
        masks.append((tuple(mask.flatten().tolist()), shift))
        assert mask.shape == x.shape[2:4]
        return plain(x, mask, shift)

    monkeypatch.setattr(mixing, "mix", spy)
    method = build(mixes=3)
    for seed in range(4):
        method(batch(KINECT, seed=seed))
    assert len(masks) == 12
    assert len(set(masks)) > 9


def test_the_keys_are_computed_once_for_all_mixes() -> None:
    method, calls = build(mixes=3), []
    method.key_networks["joint"].register_forward_hook(lambda *_: calls.append(1))
    method(batch(KINECT))
    assert len(calls) == 1


def test_both_halves_and_the_normal_view_train_the_encoder() -> None:
    """What is left of the gradient when one of the three is gone differs from the whole."""
    gradients = {}
    for name in ("all", "p", "g"):
        method = build()
        halves = method._halves

        def without(*args: Any, _name: str = name, _halves: Any = halves, **kwargs: Any) -> Any:
            p, g = _halves(*args, **kwargs)
            return (p.detach() if _name == "p" else p), (g.detach() if _name == "g" else g)

        method._halves = without  # type: ignore[method-assign]
        method(batch(KINECT))["loss"].backward()
        gradients[name] = torch.cat([w.grad.flatten() for w in method.encoders["joint"].blocks.parameters()])  # type: ignore[union-attr]
    for name in ("p", "g"):
        assert (gradients["all"] - gradients[name]).abs().max() > 1e-4


# --- what must not matter


@pytest.mark.parametrize("stream", ["joint", "motion"])
def test_padding_is_inert_through_whole_steps(stream: str) -> None:
    plain, padded = (build(of=BOTH, stream=stream, mixes=2) for _ in range(2))
    for step, (query, key) in enumerate([("kinectv2_25", "smplx_42"), ("smplx_42", "kinectv2_25")]):
        outs = [
            plain(replace(batch(BOTH, seed=step), query=query, key=key)),
            padded(replace(batch(BOTH, seed=step, pad_to=60, padding=1e6), query=query, key=key)),
        ]
        torch.testing.assert_close(*outs, rtol=0, atol=1e-5)
        for out in outs:
            out["loss"].backward()
    pairs = zip(plain.networks.parameters(), padded.networks.parameters(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-4)
    torch.testing.assert_close(plain.state_dict(), padded.state_dict(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("adjacency", ["spatial", "inward_outward"])
def test_the_order_of_joints_does_not_matter(adjacency: str) -> None:
    order = torch.randperm(25, generator=generator(5))
    where = order.argsort().tolist()
    own = KINECT["kinectv2_25"]
    spec = own.spec.model_copy(
        update={
            "joints": tuple(SPEC.joints[v] for v in order.tolist()),
            "edges": tuple((where[child], where[parent]) for child, parent in SPEC.edges),
            "center": where[SPEC.center],
            "shoulders": tuple(where[v] for v in SPEC.shoulders),
            "left_right_swap": tuple(where[SPEC.left_right_swap[v]] for v in order.tolist()),
            "body_parts": {part: tuple(where[v] for v in vs) for part, vs in SPEC.body_parts.items()},
        }
    )
    graphs = (own.adjacency, own.adjacency_degenerate)
    turned = Skeleton(spec, *(graph[:, order][:, :, order] for graph in graphs))
    outs = []
    for of in (KINECT, {"kinectv2_25": turned}):
        made = batch(KINECT)
        if of is not KINECT:
            made = replace(made, clips={name: x[:, :, :, order] for name, x in made.clips.items()})
        outs.append(build(of=of, stream="bone", encoder={"adjacency": adjacency})(made))
    torch.testing.assert_close(*outs, rtol=0, atol=1e-4)


def test_a_restored_method_goes_on_exactly() -> None:
    straight, restored = build(mixes=2), build(mixes=2, seed=9)

    def train(method: SkeleMixCLR, start: int) -> list[float]:
        optimiser = torch.optim.SGD(method.networks.parameters(), lr=0.05)
        found = []
        for seed in range(start, start + 3):
            loss = method(batch(KINECT, seed=seed))["loss"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            found.append(float(loss.detach()))
        return found

    train(straight, 0)
    restored.load_state_dict(copy.deepcopy(straight.state_dict()))
    assert train(straight, 3) == train(restored, 3)


def test_absent_bodies_are_left_out_where_the_encoder_leaves_them_out() -> None:
    """Clips of one person give the same loss with an empty second place; averaging makes it another one."""
    found = {}
    for bodies in ("present", "average"):
        one, two = batch(KINECT), batch(KINECT, bodies=1)
        two = replace(two, clips={n: torch.cat([x, torch.zeros_like(x)], 4) for n, x in two.clips.items()})
        found[bodies] = [build(encoder={"bodies": bodies})(each)["loss"] for each in (one, two)]
    torch.testing.assert_close(*found["present"], rtol=0, atol=1e-5)
    assert (found["average"][0] - found["average"][1]).abs() > 1e-3


def test_a_batch_without_a_body_in_the_fragment_has_a_finite_loss() -> None:
    made = batch(KINECT, samples=4)
    for x in made.clips.values():
        x[...] = 0
    out = build(encoder={"bodies": "present"})(made)
    out["loss"].backward()
    assert torch.isfinite(out["loss"])


# --- ablations


def halves(method: SkeleMixCLR) -> tuple[NDArray[np.float64], ...]:
    """p, g, the partners' and the own keys, and the queue, of a step of one mix."""
    made, state, name = batch(KINECT), method.moco, "kinectv2_25"
    x = method.views.normal(made, name)
    _, frames = method._normal_query(x, name)
    k = state.keys(method.views.normal(made, name), name)
    shift = mixing.draw_shift(8, made.host_generator)
    p, g = method._halves(x, made, shift=shift, frames=frames)
    found = (p, g, k.roll(shift, 0), k, state.queue.keys)
    return tuple(each.detach().double().numpy() for each in found)


@pytest.mark.parametrize("hard", ["both", "trimmed", "truncated"])
@pytest.mark.parametrize("between", ["detached", "attached", "none"])
def test_the_rows_of_table_7_are_their_terms(hard: str, between: str) -> None:
    """L_p, L_g, and whether the halves are negatives of each other."""
    options = {"hard": hard, "between": between}
    p, g, partner, k, queue = halves(build(**options))
    terms = {
        "trimmed": literal_nce(p, partner, queue, None if between == "none" else g, 0.2),
        "truncated": literal_nce(g, k, queue, None if between == "none" else p, 0.2),
    }
    expected = sum(terms.values()) / 2 if hard == "both" else terms[hard]
    assert float(build(**options)(batch(KINECT))["mix"]) == pytest.approx(expected, abs=1e-4)


def test_attached_halves_push_each_other() -> None:
    """One number, two gradients: only with ``attached`` does a half's loss reach the other one."""
    view, other = units(4, 8, seed=1).requires_grad_(), units(4, 8, seed=2).requires_grad_()
    scores = losses.logits(view, units(4, 8, seed=3), units(9, 8, seed=4), 0.2)
    losses.nce(losses.with_negative(scores, view, other, temperature=0.2, detach=False)).backward()
    assert other.grad is not None
    assert other.grad.abs().min() > 0
    out = [build(between=kind)(batch(KINECT))["loss"] for kind in ("detached", "attached")]
    assert torch.equal(*out)


def test_the_control_of_table_7_is_another_normal_view() -> None:
    twin, made, name = build(), batch(KINECT), "kinectv2_25"
    state = twin.moco
    views = [twin.views.normal(made, name) for _ in range(3)]
    q, k, more = state.query(views[0], name), state.keys(views[1], name), state.query(views[2], name)
    q_, k_, more_, m = (t.detach().double().numpy() for t in (q, k, more, state.queue.keys))
    easy, extra = literal_nce(q_, k_, m, None, 0.2), literal_nce(more_, k_, m, None, 0.2)
    out = build(hard="view", mix_weight=0.5)(batch(KINECT))
    assert float(out["mix"]) == pytest.approx(extra, abs=1e-4)
    assert float(out["loss"].detach()) == pytest.approx(easy + 0.5 * extra, abs=1e-4)
    assert "between" not in out


def test_a_fragment_may_be_filled_with_zeros() -> None:
    """Table V: coordinates of the region are 0, all others the clip's own; nothing else changes."""
    seen = {}
    for filling in ("partner", "zeros"):
        method, made = build(filling=filling), batch(KINECT)
        maps: list[Tensor] = []
        whole = method.encoders["joint"].feature_map
        method.encoders["joint"].feature_map = lambda x, c, _w=whole, _m=maps: _m.append(x) or _w(x, c)  # type: ignore
        method(made)
        seen[filling] = maps
    x, mixed, zeros = seen["zeros"][0], seen["partner"][1], seen["zeros"][1]
    inside = (mixed != x).any(dim=4).any(dim=1).any(dim=0)
    assert inside.any()
    assert not zeros[:, :, inside].any()
    assert torch.equal(zeros[:, :, ~inside], x[:, :, ~inside])


@pytest.mark.parametrize(("name", "fewest", "most"), [("kinectv2_25", 10, 15), ("smplx_42", 17, 25)])
def test_random_joints_are_40_to_60_percent_of_all(name: str, fewest: int, most: int) -> None:
    """Table VI; the released code draws 10 to 15 of 25."""
    spec, draw = BOTH[name].spec, generator()
    regions = [mixing.draw_region(spec, 16, generator=draw, by_parts=False) for _ in range(1200)]
    sizes = [len(set(region.joints)) for region in regions]
    assert set(sizes) == set(range(fewest, most + 1))
    counts = np.bincount([joint for region in regions for joint in region.joints], minlength=spec.num_joints)
    assert np.abs(counts / 1200 - 0.5).max() < 0.06, "every joint alike"
    assert {region.stop - region.start for region in regions} == set(range(7, 12))
    outs = [build(joints=kind)(batch(KINECT))["loss"] for kind in ("parts", "random")]
    assert not torch.equal(*outs)


# --- A-GCN's graph


def test_the_inward_outward_graph_is_identity_parent_and_children() -> None:
    for each in BOTH.values():
        spec, found = each.spec, inward_outward(each.spec)
        expected = torch.zeros_like(found)
        for child, parent in spec.edges:
            expected[1, parent, child] = 1
            expected[2, child, parent] = 1 / sum(up == parent for _, up in spec.edges)
        expected[0] = torch.eye(spec.num_joints)
        assert torch.equal(found, expected)


def test_it_is_the_spatial_partition_with_another_normalisation() -> None:
    own = KINECT["kinectv2_25"]
    graph = inward_outward(SPEC)
    assert torch.equal(graph != 0, own.adjacency != 0)
    assert not torch.equal(graph, own.adjacency)
    x = batch(KINECT).clips["kinectv2_25"]
    ours, released = (
        build(encoder={"adjacency": kind}).networks["joint"](x, "kinectv2_25")
        for kind in ("spatial", "inward_outward")
    )
    assert (ours - released).abs().max() > 1e-4


# --- settings


def test_the_rate_is_constant_as_the_released_step_at_the_last_epoch_never_comes() -> None:
    tree = config.find_preset("skelemixclr", "paper").tree["optimise"]
    ours = OptimiseConfig.model_validate(tree)
    released = OptimiseConfig.model_validate({**tree, "schedule": "step", "milestones": [300]})
    moments = (0, 249.9, 250, 299.99)
    assert [optim.learning_rate(ours, epoch) for epoch in moments] == [0.1] * 4
    assert [optim.learning_rate(released, epoch) for epoch in moments] == [0.1] * 4
    assert (ours.epochs, ours.schedule) == (300, "constant")


def test_published_numbers() -> None:
    found = {
        name: config.find_preset("skelemixclr", name).tree for name in config.preset_names("skelemixclr")
    }
    options = {name: tree["method"]["options"] for name, tree in found.items()}
    paper = options["paper"]
    assert found["paper"]["data"]["frames"] == 64
    assert (paper["temperature"], paper["queue"], paper["dim"], paper["mix_weight"]) == (0.2, 32768, 128, 1)
    assert (paper["parts"], paper["fragment"]) == ([2, 3], [7, 11])
    assert {name for name in found if options[name]["mixes"] == 3} == {
        "plus",
        "plus-released",
        "nw-ucla-plus",
    }
    assert {each["mix_reduction"] for each in options.values()} == {"sum"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": [3, 2]}, r"method\.options\.parts: .*low, high"),
        ({"parts": [2, 5]}, "leave one of the 5 body parts outside"),
        ({"fragment": [0, 4]}, r"method\.options\.fragment: "),
        ({"fragment": [7, 17]}, "must not exceed the clip"),
        ({"mixes": 0}, r"method\.options\.mixes: "),
        ({"mix_reduction": "max"}, r"method\.options\.mix_reduction: "),
        ({"mixs": 2}, r"method\.options\.mixs: .*'mixes'"),
    ],
)
def test_wrong_settings_are_named_with_their_path(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(**options)


@pytest.mark.parametrize("name", ["bigru", "hcn"])
def test_an_encoder_without_frames_and_joints_is_refused(name: str) -> None:
    wanted = rf"encoder\.name: skelemixclr needs .*{name} has none.*agcn, ctrgcn, stgcn"
    with pytest.raises(UsageError, match=wanted):
        methods.build(
            component("skelemixclr", **MOCO),
            encoder=component(name),
            skeletons=KINECT,
            augment=augment(),
            stream="joint",
            generator=generator(),
        )


def test_empty_body_parts_are_never_drawn_and_must_leave_enough() -> None:
    def without(*names: str) -> Skeleton:
        parts = dict(SPEC.body_parts)
        for name in names:
            parts["trunk"] = tuple(sorted(parts["trunk"] + parts[name]))
            parts[name] = ()
        return replace(KINECT["kinectv2_25"], spec=SPEC.model_copy(update={"body_parts": parts}))

    few = without("left_leg")
    draw = generator()
    regions = [mixing.draw_region(few.spec, 16, generator=draw, parts=(1, 1)) for _ in range(100)]
    assert all(region.joints for region in regions)
    build(of={"kinectv2_25": few})(batch(KINECT))
    with pytest.raises(UsageError, match=r"leave one outside; kinectv2_25 has joints in trunk, left_arm, ri"):
        build(of={"kinectv2_25": without("left_leg", "right_leg")})
