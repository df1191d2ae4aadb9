from __future__ import annotations

import collections
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from schemas import AugmentConfig, ConfigError, UsageError
from tests.trainer.clips import SMALL, augment, batch, component, generator, skeleton, train
from trainer import losses, methods
from trainer.batch import Batch, Pairing
from trainer.methods import Method
from trainer.methods.aimclr import AimCLR, AimCLROptions
from trainer.methods.moco import MoCo
from trainer.methods.msclr import pairs_of
from trainer.momentum import parameter_distance
from trainer.skeleton import Skeleton

KINECT = {"kinectv2_25": skeleton("kinectv2_25")}
BOTH = {**KINECT, "smplx_42": skeleton("smplx_42")}
THREE = {**BOTH, "smpl_24": skeleton("smpl_24")}
MOCO = {"queue": 24, "dim": 8, "momentum": 0.9, "temperature": 0.2}

Case = tuple[str, Mapping[str, Skeleton], dict[str, Any]]
CASES: dict[str, Case] = {
    "skeletonclr": ("skeletonclr", KINECT, MOCO),
    "aimclr": ("aimclr", KINECT, {**MOCO, "mine_from": 5}),
    "ms-aimclr": ("ms-clr", BOTH, {"base": {"name": "aimclr", "options": {**MOCO, "mine_from": 5}}}),
    "ms-skeletonclr": ("ms-clr", BOTH, {"base": {"name": "skeletonclr", "options": MOCO}}),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def build(
    case: Case,
    *,
    seed: int = 0,
    augment_with: AugmentConfig | None = None,
    stream: str = "joint",
    encoder: dict[str, Any] | None = None,
    **more: Any,
) -> Method:
    name, skeletons, options = case
    return methods.build(
        component(name, **options, **more),
        encoder=component("stgcn", **{**SMALL, **(encoder or {})}),
        skeletons=skeletons,
        augment=augment_with or augment(),
        stream=stream,
        generator=generator(seed),
    )


def moco(method: Method) -> MoCo:
    assert isinstance(method.moco, MoCo)
    return method.moco


def steps(case: Case, count: int, *, start: int = 0) -> list[Batch]:
    return [batch(case[1], seed=seed) for seed in range(start, start + count)]


# --- learning


@every
def test_it_learns_to_tell_clips_apart(case: Case) -> None:
    """64 clips in batches of 16: the queue of the last 32 keys never holds another key of the same clip."""
    name, skeletons, options = case
    slow = {**MOCO, "queue": 32, "momentum": 0.99}
    options = {"base": {**options["base"], "options": slow}} if "base" in options else slow
    method = build((name, skeletons, options), augment_with=augment("temporal_crop", extreme=("shear",)))
    batches = (batch(skeletons, samples=16, start=16 * (i % 4), frames=8, seed=i) for i in range(100))
    found = train(method, batches)
    assert sum(found[-10:]) < 0.85 * sum(found[10:20])


# --- SkeletonCLR


def test_skeletonclr_is_info_nce_of_two_normal_views() -> None:
    case = CASES["skeletonclr"]
    method, twin = build(case), build(case)
    state, given = moco(twin), batch(KINECT, seed=3)
    views = twin.views  # type: ignore[union-attr]
    draws = batch(KINECT, seed=3)
    q = state.query(views.normal(draws, "kinectv2_25"), "kinectv2_25")
    k = state.key(views.normal(draws, "kinectv2_25"), "kinectv2_25")
    expected = losses.info_nce(q, k, state.queue.keys, temperature=0.2)
    out = method(given)
    torch.testing.assert_close(out["loss"], expected)
    torch.testing.assert_close(out["positive"], (q * k).sum(1).mean().detach())
    torch.testing.assert_close(out["negative"], (q @ state.queue.keys.t()).mean().detach())


def test_the_stream_is_derived_after_the_augmentation() -> None:
    case = CASES["skeletonclr"]
    method = build(case, stream="motion", augment_with=augment("gaussian_noise"))
    still = batch(KINECT)
    still = replace(still, clips={n: x[:, :, :1].expand_as(x) for n, x in still.clips.items()})
    seen = method.views.normal(still, "kinectv2_25")  # type: ignore[union-attr]
    assert seen.any(), "noise on joints moves them"
    bones = [build(case, stream=stream)(batch(KINECT))["loss"] for stream in ("joint", "bone", "motion")]
    assert len({float(loss.detach()) for loss in bones}) == 3


def test_an_independent_key_network_starts_unrelated_and_a_copy_equal() -> None:
    copied, released = (build(CASES["skeletonclr"], key_init=init) for init in ("copy", "independent"))
    assert parameter_distance(copied.networks, copied.key_networks) == 0
    assert parameter_distance(released.networks, released.key_networks) > 0.8
    assert not any(p.requires_grad for p in released.key_networks.parameters())
    given = batch(KINECT)
    assert copied(given)["positive"] > 0.9 > released(batch(KINECT))["positive"]


def test_the_degenerate_adjacency_changes_the_embeddings() -> None:
    x = batch(KINECT).clips["kinectv2_25"]
    ours, released = (
        build(CASES["skeletonclr"], encoder={"adjacency": kind}).networks["joint"](x, "kinectv2_25")
        for kind in ("spatial", "degenerate")
    )
    assert (ours - released).abs().max() > 1e-3


def test_projector_options_are_used() -> None:
    name, skeletons, options = CASES["skeletonclr"]
    wide = {**options, "hidden": 5, "projector_norm": "batch", "projector_init": "normal", "dim": 200}
    head = build((name, skeletons, wide)).networks["joint"].projector
    assert [tuple(p.shape) for p in head.parameters()] == [(5, 16), (5,), (5,), (5,), (200, 5), (200,)]
    assert head[-1].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not head[-1].bias.any()


# --- AimCLR


def aimclr_scores(method: AimCLR, given: Batch) -> list[Tensor]:
    """Normal, extreme and dropped scores of a step, from its parts."""
    state = method.moco
    z_hat = state.query(method.views.normal(given, "kinectv2_25"), "kinectv2_25")
    extreme = method._extreme_queries(given)
    z = state.keys(method.views.normal(given, "kinectv2_25"), "kinectv2_25")
    return [state.scores(q, z, given.rows) for q in (z_hat, *extreme)]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("epoch", [0, 4, 5, 200])
def test_aimclr_adds_contrast_and_divergence_and_mines_from_its_epoch(reduction: str, epoch: int) -> None:
    case = CASES["aimclr"]
    method, twin = (build(case, nnm_reduction=reduction) for _ in range(2))
    assert isinstance(twin, AimCLR)
    normal, extreme, dropped = (s.detach() for s in aimclr_scores(twin, batch(KINECT)))
    out = method(batch(KINECT, epoch=epoch))
    divergence = 0.0
    for other in (extreme, dropped):
        for row, row_other in zip(normal, other, strict=True):
            divergence += float(-(row.softmax(0) * row_other.softmax(0).log()).sum()) / len(normal) / 2
    contrast = 0.0
    for n, row in enumerate(normal):
        positives = {0}
        if epoch >= 5:
            positives |= {1 + int(s[n, 1:].argmax()) for s in (normal, extreme, dropped)}
        terms = [-float(row.softmax(0)[j].log()) for j in positives]
        contrast += sum(terms) / (len(terms) if reduction == "mean" else 1) / len(normal)
    assert float(out["divergence"]) == pytest.approx(divergence, abs=1e-4)
    assert float(out["contrast"]) == pytest.approx(contrast, abs=1e-4)
    assert float(out["loss"].detach()) == pytest.approx(contrast + divergence, abs=1e-4)


def test_the_dropped_query_is_not_the_extreme_one() -> None:
    method = build(CASES["aimclr"])
    assert isinstance(method, AimCLR)
    extreme, dropped = method._extreme_queries(batch(KINECT))
    assert (extreme - dropped).abs().max() > 1e-4


def test_alpha_and_beta_weigh_contrast_and_divergence() -> None:
    out = build(CASES["aimclr"], contrast_weight=0.5, divergence_weight=3.0)(batch(KINECT))
    plain = build(CASES["aimclr"])(batch(KINECT))
    assert all(torch.equal(out[name], plain[name]) for name in ("contrast", "divergence"))
    assert float(out["loss"].detach()) == pytest.approx(
        0.5 * float(plain["contrast"]) + 3 * float(plain["divergence"]), rel=1e-5
    )


def test_without_eadm_there_is_one_divergence_and_two_queries_mine() -> None:
    """AimCLR, Table 1: L_D is Eq. (7) alone; the nearest of the normal and the extreme query join."""
    twin = build(CASES["aimclr"], eadm=False)
    assert isinstance(twin, AimCLR)
    normal, extreme = (s.detach() for s in aimclr_scores(twin, batch(KINECT)))
    rows = zip(normal, extreme, strict=True)
    divergence = sum(float(-(a.softmax(0) * b.softmax(0).log()).sum()) for a, b in rows) / len(normal)
    contrast = 0.0
    for a, b in zip(normal, extreme, strict=True):
        positives = {0, 1 + int(a[1:].argmax()), 1 + int(b[1:].argmax())}
        contrast -= sum(float(a.softmax(0)[j].log()) for j in positives) / len(normal)
    out = build(CASES["aimclr"], eadm=False)(batch(KINECT, epoch=5))
    assert float(out["divergence"]) == pytest.approx(divergence, abs=1e-4)
    assert float(out["contrast"]) == pytest.approx(contrast, abs=1e-4)
    assert out["mined_rows"].shape == (8, 2)


@pytest.mark.parametrize("option", [{"temporal_map": "frame"}, {"eadm_threshold": 0.65}])
def test_eadm_options_reach_the_loss(option: dict[str, Any]) -> None:
    ours, other = (build(CASES["aimclr"], **o)(batch(KINECT))["divergence"] for o in ({}, option))
    assert not torch.equal(ours, other)


@pytest.mark.parametrize(
    ("name", "field"), [("spatial_flip", "mirror_axis"), ("gaussian_blur", "normalise_kernel")]
)
def test_released_augmentations_change_the_loss(name: str, field: str) -> None:
    ours, released = (
        build(
            CASES["aimclr"],
            augment_with=AugmentConfig(extreme=(component(name, p=1.0, **{field: value}),)),
        )(batch(KINECT))["divergence"]
        for value in (True, False)
    )
    assert not torch.equal(ours, released)


def test_aimclr_without_extreme_augmentations_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"augment\.extreme: aimclr needs extreme augmentations"):
        build(CASES["aimclr"], augment_with=augment(extreme=()))


# --- MS-CLR


def drawn(pairing: str, conventions: tuple[str, ...] = ("a", "b", "c")) -> collections.Counter[str]:
    draw, pairs = generator(), pairs_of(conventions, pairing=pairing, reference="a")
    return collections.Counter("".join(Pairing(pairs).draw(draw, epoch_seed=0)) for _ in range(9000))


@pytest.mark.parametrize(
    ("pairing", "allowed"),
    [
        ("cross", {"ab", "ac", "ba", "bc", "ca", "cb"}),
        ("anchored", {"ab", "ac", "ba", "ca"}),
        ("random", {"aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb", "cc"}),
    ],
)
def test_pairs_are_uniform_over_what_the_pairing_allows(pairing: str, allowed: set[str]) -> None:
    found = drawn(pairing)
    assert set(found) == allowed
    share = 9000 / len(allowed)
    assert all(abs(count - share) < 6 * share**0.5 for count in found.values())


def test_the_query_sees_one_convention_and_the_key_the_other() -> None:
    method = build(CASES["ms-skeletonclr"])
    seen: list[tuple[str, str]] = []
    networks = {"query": method.networks["joint"], "key": method.key_networks["joint"]}
    for side, network in networks.items():
        network.register_forward_hook(lambda _, given, __, side=side: seen.append((side, given[1])))
    for seed in range(8):
        method(batch(BOTH, seed=seed))
    pairs = {(seen[i][1], seen[i + 1][1]) for i in range(0, len(seen), 2)}
    assert [side for side, _ in seen] == ["query", "key"] * 8
    assert pairs == {("kinectv2_25", "smplx_42"), ("smplx_42", "kinectv2_25")}


def test_all_conventions_fill_one_queue_and_an_epoch_passes_each_once() -> None:
    case = ("ms-clr", THREE, CASES["ms-skeletonclr"][2])
    method = build(case)
    assert methods.pairing(component("ms-clr", **case[2]), tuple(THREE)).passes == 3
    assert methods.pairing(component("skeletonclr", **MOCO), tuple(KINECT)).passes == 1
    queues = [name for name in method.state_dict() if name.endswith("queue.keys")]
    assert len(queues) == 1
    train(method, steps(case, 12))
    touched = {n for n in THREE if not same_start(method, n)}
    assert touched == set(THREE), "every convention is trained"


def same_start(method: Method, convention: str) -> bool:
    importance = method.encoders["joint"].conventions[convention].importance[0]  # type: ignore[union-attr, index]
    return bool((importance == 1).all())


def test_ms_clr_on_one_convention_says_how_to_add_another() -> None:
    with pytest.raises(UsageError, match=r"needs two or more, found kinectv2_25.*skeltools convert"):
        build(("ms-clr", KINECT, {}))


def test_a_base_method_on_several_conventions_is_refused() -> None:
    with pytest.raises(UsageError, match=r"skeletonclr trains on one skeleton convention.*ms-clr"):
        methods.pairing(component("skeletonclr", **MOCO), tuple(BOTH))


# --- settings


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (("skeletonclr", KINECT, {"temprature": 1}), "method.options.temprature: .*'temperature'"),
        (("skeletonclr", KINECT, {"temperature": 0}), "method.options.temperature: "),
        (("skeletonclr", KINECT, {"key_norm": "sync"}), "method.options.key_norm: "),
        (("aimclr", KINECT, {"nnm_reduction": "max"}), "method.options.nnm_reduction: "),
        (("aimclr", KINECT, {"queue": 2, "neighbours": 3}), "neighbours must not exceed queue"),
        (("ms-clr", BOTH, {"pairing": "none"}), "method.options.pairing: "),
        (
            ("ms-clr", BOTH, {"base": {"name": "aimclr", "options": {"dims": 4}}}),
            r"method.options.base.options.dims",
        ),
        (("ms-clr", BOTH, {"base": {"name": "simclr"}}), "method.options.base.name: unknown base method"),
        (("ms-clr", BOTH, {"reference": "smplx"}), "method.options.reference: .*Did you mean 'smplx_42'"),
        (("aimcrl", KINECT, {}), "method.name: unknown method.*Did you mean 'aimclr'"),
    ],
)
def test_wrong_settings_are_named_with_their_path(case: Case, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(case)


def test_a_loss_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="must not both be 0: nothing is trained"):
        AimCLROptions(contrast_weight=0, divergence_weight=0)
