"""CrosSCLR and CSCLR: whole steps against literal transcriptions, queues in step, departures, resuming."""

from __future__ import annotations

import copy
import os
import signal
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from schemas import AugmentConfig, Component, ConfigError, UsageError
from tests.trainer.clips import SMALL, augment, batch, component, generator, skeleton
from tests.trainer.runs import tiny_config
from tests.trainer.stores import write_store
from tests.trainer.test_losses_streams import crosclr_term, pooled
from trainer import checkpoint, config, loop, losses, methods, streams
from trainer.methods import Stage
from trainer.methods.crosclr import CrosSCLR
from trainer.methods.csclr import CSCLR, strengths

KINECT = {"kinectv2_25": skeleton("kinectv2_25")}
BOTH = {**KINECT, "smplx_42": skeleton("smplx_42")}
MOCO: dict[str, Any] = {"queue": 24, "dim": 8, "momentum": 0.9, "temperature": 0.2, "mine_from": 2}
CSCLR_OPTIONS = {**MOCO, "transform_from": 4}
TAU = 0.2


def build(
    name: str,
    *,
    encoder: Component | None = None,
    stream: str = "joint",
    conventions: Any = None,
    augment_with: AugmentConfig | None = None,
    **options: Any,
) -> Any:
    return methods.build(
        component(name, **{**(CSCLR_OPTIONS if name == "csclr" else MOCO), **options}),
        encoder=encoder or component("stgcn", **SMALL),
        skeletons=conventions or KINECT,
        augment=augment_with or augment(),
        stream=stream,
        generator=generator(),
    )


def embedded(method: Any, given: Any) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """stream -> query, key, and the two extreme queries, drawn as a step draws them."""
    state, names, name = method.moco, method.options.streams, "kinectv2_25"
    q = state.queries(method.views.normal_streams(given, name, names), name)
    extreme = method._extreme_queries(given) if isinstance(method, CSCLR) else {}
    k = state.keys(method.views.normal_streams(given, name, names), name)
    return q, k, extreme


def rows(q: Tensor, k: Tensor, queue: Tensor) -> list[list[float]]:
    """Cosines to the own key and to the queue, clip by clip."""
    q_, k_, m = (t.detach().double().numpy() for t in (q, k, queue))
    return [[float(a @ b), *(m @ a).tolist()] for a, b in zip(q_, k_, strict=True)]


def same_state(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))


# --- CrosSCLR


@pytest.mark.parametrize("names", [("joint", "motion", "bone"), ("bone", "joint")])
@pytest.mark.parametrize(("neighbours", "context"), [(1, True), (3, True), (1, False)])
def test_crosclr_is_its_sums(names: tuple[str, ...], neighbours: int, context: bool) -> None:
    options = {"streams": names, "neighbours": neighbours, "context": context}
    twin = build("crosclr", **options)
    q, k, _ = embedded(twin, batch(KINECT))
    of = {s: rows(q[s], k[s], twin.moco.mocos[s].queue.keys) for s in names}
    own = {s: np.mean([pooled(row, [0], TAU) for row in of[s]]) for s in names}
    mined = {
        u: np.mean(
            [
                crosclr_term(a, b, k=neighbours, tau=TAU, context=context)
                for v in names
                if v != u
                for a, b in zip(of[u], of[v], strict=True)
            ]
        )
        for u in names
    }
    for epoch, expected in ((0, own), (1, own), (2, mined), (99, mined)):
        out = build("crosclr", **options)(batch(KINECT, epoch=epoch))
        assert float(out["loss"].detach()) == pytest.approx(sum(expected.values()), abs=1e-4)
        for stream in names:
            assert float(out[f"loss_{stream}"]) == pytest.approx(expected[stream], abs=1e-4)
            assert float(out[f"positive_{stream}"]) == pytest.approx(
                np.mean([r[0] for r in of[stream]]), abs=1e-4
            )
        assert ("mined_rows" in out) == (epoch >= 2)


def test_all_streams_are_the_same_view() -> None:
    views = build("crosclr").views
    spec = KINECT["kinectv2_25"].spec
    for make in (views.normal_streams, views.extreme_streams):
        found = make(batch(KINECT), "kinectv2_25", ("motion", "joint", "bone"))
        assert not torch.equal(found["joint"], batch(KINECT).clips["kinectv2_25"])
        for stream in ("motion", "bone"):
            torch.testing.assert_close(found[stream], streams.derive(found["joint"], stream, spec))
    once = views.normal_streams(batch(KINECT), "kinectv2_25", ("joint",))["joint"]
    assert torch.equal(once, views.normal(batch(KINECT), "kinectv2_25"))


@pytest.mark.parametrize("name", ["crosclr", "csclr"])
def test_slot_i_of_every_queue_is_the_same_view_of_the_same_clip(name: str) -> None:
    """Odd batches through a queue of 24, around its end twice; seen by what the key networks gave out."""
    method = build(name)
    given: dict[str, list[Tensor]] = {stream: [] for stream in method.options.streams}
    for stream, network in method.key_networks.items():
        network.register_forward_hook(lambda _, __, out, stream=stream: given[stream].append(out))
    slot, holds, clips = 0, {}, {}
    for step, size in enumerate((7, 5, 9, 7, 11, 3, 8)):
        method(batch(KINECT, samples=size, start=3 * step, seed=step, epoch=step))
        for place in range(size):
            holds[slot], clips[slot] = (step, place), 3 * step + place
            slot = (slot + 1) % 24
    for stream, moco in method.moco.mocos.items():
        assert moco.queue.pointer.item() == slot == 50 % 24
        assert moco.queue.rows.tolist() == [clips[i] for i in range(24)]
        expected = torch.stack([given[stream][step][place] for step, place in (holds[i] for i in range(24))])
        assert torch.equal(moco.queue.keys, expected)


@pytest.mark.parametrize("name", ["crosclr", "csclr"])
def test_query_and_key_may_be_of_two_conventions(name: str) -> None:
    method = build(name, conventions=BOTH)
    seen: dict[str, set[str]] = {"query": set(), "key": set()}
    for side, networks in (("query", method.networks), ("key", method.key_networks)):
        for network in networks.values():
            network.register_forward_hook(lambda _, x, __, side=side: seen[side].add(x[1]))
    given = replace(batch(BOTH, epoch=9), query="smplx_42", key="kinectv2_25")
    method(given)["loss"].backward()
    assert seen == {"query": {"smplx_42"}, "key": {"kinectv2_25"}}


def test_neighbours_are_those_of_the_other_stream() -> None:
    """By hand: with K = 2 and tau 1 the nearest of the other stream decides the positive of this one."""
    method = build("crosclr", temperature=1.0, queue=2, dim=2, context=False, streams=("joint", "bone"))
    scores = {"joint": torch.tensor([[0.0, 1.0, 0.0]]), "bone": torch.tensor([[0.0, 0.0, 1.0]])}
    log = float(torch.tensor([0.0, 1.0, 0.0]).exp().sum().log())
    assert float(method._mined("joint", scores)) == pytest.approx(log), "positives 0 and 2, both of score 0"


# --- where released code departs


def test_streams_have_heads_of_their_own_and_released_that_of_the_joints_behind_them() -> None:
    """16 features: a head of its own is 16 * 16 + 16 + 16 * 8 + 8 = 408 parameters. The released heads of
    motion and bone are a Linear of their own, 16 * 16 + 16 = 272, and that of the joints."""
    ours, released = (build("crosclr", heads=heads) for heads in ("independent", "shared"))
    heads = [[n.projector for n in each.networks.values()] for each in (ours, released)]
    assert [count(*each) for each in heads] == [3 * 408, 408 + 2 * 272]
    for network in (released.networks, released.key_networks):
        joint, *others = (each.projector for each in network.values())
        assert [each[2] is joint for each in others] == [True, True]
        assert len({id(each[0]) for each in (joint, *others)}) == 3
    whole = build(
        "crosclr", encoder=component("stgcn", channels=[256], stride_blocks=[]), heads="shared", dim=128
    )
    assert count(*(each.projector for each in whole.networks.values())) == 230_272
    assert count(whole.networks["joint"].projector) == 98_688


def count(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for p in {p for module in modules for p in module.parameters()})


def test_released_heads_are_five_layers_with_the_joints_three_in_the_end() -> None:
    method = build("crosclr", heads="shared")
    networks = dict(method.networks.items())
    features = torch.randn(4, 16, generator=generator())
    f = features.double().numpy()

    def layer(of: torch.nn.Module, x: Any) -> Any:
        weight, bias = (p.detach().double().numpy() for p in of.parameters())
        return np.array([[float(row @ w) + b for w, b in zip(weight, bias, strict=True)] for row in x])

    joint = networks["joint"].projector
    for stream, network in networks.items():
        x = f if stream == "joint" else np.maximum(layer(network.projector[0], f), 0)
        out = layer(joint[2], np.maximum(layer(joint[0], x), 0))
        expected = out / np.sqrt((out**2).sum(axis=1, keepdims=True))
        found = network.embed(features).detach().double().numpy()
        assert np.abs(found - expected).max() < 1e-6


def test_the_released_joint_head_learns_from_all_streams_and_follows_once_for_each() -> None:
    """Its gradient is the sum of those of three losses; its key moves three times in the first stage, and
    once, by motion, in the second: m^3 = 0.729 and m = 0.9 of itself remain."""
    method, twin = (build("crosclr", heads="shared") for _ in range(2))
    method(batch(KINECT))["loss"].backward()
    q, k, _ = embedded(twin, batch(KINECT))
    weight = twin.networks["joint"].projector[0].weight
    apart = [
        torch.autograd.grad(losses.nce(each), weight, retain_graph=True)[0]
        for each in twin.moco.scores(q, k, batch(KINECT).rows).values()
    ]
    assert all(grad.abs().max() > 0 for grad in apart)
    found = method.networks["joint"].projector[0].weight.grad
    torch.testing.assert_close(found, sum(apart), rtol=1e-4, atol=1e-6)
    for epoch, kept in ((0, 0.729), (2, 0.9)):
        method = build("crosclr", heads="shared", key_update="motion", key_init="independent")
        old = copy.deepcopy(method.key_networks)
        method(batch(KINECT, epoch=epoch))
        pairs = [(n["joint"].projector[2].weight) for n in (old, method.networks, method.key_networks)]
        torch.testing.assert_close(pairs[2], kept * pairs[0] + (1 - kept) * pairs[1].detach())


def test_a_hidden_layer_of_another_width_has_no_room_for_the_joint_head() -> None:
    with pytest.raises(ConfigError, match=r"method\.options\.hidden: heads shared puts .* 16 values.* 12"):
        build("crosclr", heads="shared", hidden=12)


@pytest.mark.parametrize(
    ("update", "epoch", "moved"),
    [
        ("all", 0, {"joint", "motion", "bone"}),
        ("all", 2, {"joint", "motion", "bone"}),
        ("motion", 1, {"joint", "motion", "bone"}),
        ("motion", 2, {"motion"}),
    ],
)
def test_all_key_encoders_follow_and_released_only_motion_in_the_second_stage(
    update: str, epoch: int, moved: set[str]
) -> None:
    method = build("crosclr", key_update=update, key_init="independent")
    keys = copy.deepcopy(method.key_networks)
    queries = method.networks
    method(batch(KINECT, epoch=epoch))
    for stream in method.options.streams:
        trio = zip(
            keys[stream].parameters(),
            method.key_networks[stream].parameters(),
            queries[stream].parameters(),
            strict=True,
        )
        for old, new, query in trio:
            expected = 0.9 * old + 0.1 * query.detach() if stream in moved else old
            torch.testing.assert_close(new, expected, rtol=1e-6, atol=1e-7)


# --- CSCLR


def divergence(target: list[float], row: list[float]) -> float:
    p, other = np.exp(np.array(target) / TAU), np.exp(np.array(row) / TAU)
    return float(-(p / p.sum() * np.log(other / other.sum())).sum())


def harder(row: list[float], strength: float) -> list[float]:
    changed = 2 * strength * (1 - strength) * (1 - row[0]) + row[0]
    return [row[0] if changed < 0 else changed, *row[1:]]


@pytest.mark.parametrize("epoch", [0, 2, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"intra": "infonce"},
        {"transform": "all"},
        {"inter": ()},
        {"inter": ("motion", "joint"), "transform_alpha": 0.5, "transform": "all"},
        {"neighbours": 3, "streams": ("motion", "joint"), "transform_alpha": 3, "transform_mu": 0.5},
    ],
)
def test_csclr_is_its_sums(options: dict[str, Any], epoch: int) -> None:
    twin = build("csclr", **options)
    given, names = batch(KINECT, epoch=epoch), twin.options.streams
    q, k, extreme = embedded(twin, given)
    queues = {s: twin.moco.mocos[s].queue.keys for s in names}

    def transformed(found: list[list[float]]) -> list[list[float]]:
        if epoch < 4:
            return found
        o = twin.options
        drawn = strengths(len(found), given.generator, alpha=o.transform_alpha, mu=o.transform_mu)
        return [harder(row, s) for row, s in zip(found, drawn.tolist(), strict=True)]

    contrast, diverging, inter = 0.0, 0.0, 0.0
    for s in names:
        plain = rows(q[s], k[s], queues[s])
        nearest = [np.argsort([-c for c in row[1:]])[: twin.options.neighbours] + 1 for row in plain]
        for row, near in zip(transformed(plain) if epoch >= 2 else plain, nearest, strict=True):
            contrast += pooled(row, [0, *near] if epoch >= 2 else [0], TAU) / len(plain)
        for z in extreme.get(s, ()):
            seen = rows(z, k[s], queues[s])
            diverging += sum(map(divergence, plain, seen)) / len(plain) / 2
    for u, v in permutations(options.get("inter", names), 2):
        found = rows(q[u], k[v], queues[v])
        found = transformed(found) if options.get("transform") == "all" else found
        inter += sum(pooled(row, [0], TAU) for row in found) / len(found)

    out = build("csclr", **options)(batch(KINECT, epoch=epoch))
    assert float(out["inter"]) == pytest.approx(inter, abs=1e-3)
    assert float(out["intra"]) == pytest.approx(contrast + diverging, abs=1e-3)
    assert float(out["loss"].detach()) == pytest.approx(contrast + diverging + inter, abs=1e-3)
    assert bool(extreme) == (options.get("intra") != "infonce")
    assert ("mined_rows" in out) == (epoch >= 2)


@pytest.mark.parametrize("inter", [("joint",), ("joint", "joint"), ("joint", "motion")])
def test_streams_across_are_two_or_more_of_the_streams(inter: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"inter must name two or more of the streams joint, bone, or none"):
        build("csclr", streams=("joint", "bone"), inter=inter)


def test_stages_are_as_long_as_the_options_say() -> None:
    def starts(kind: Any, **options: Any) -> list[tuple[str, int]]:
        found: tuple[Stage, ...] = kind.stages(kind.Options(**options))
        return [(stage.name, stage.start) for stage in found]

    assert starts(CrosSCLR) == [("contrast", 0), ("mining", 150)]
    assert starts(CrosSCLR, mine_from=0) == [("mining", 0)]
    assert starts(CSCLR) == [("contrast", 0), ("mining", 150), ("transform", 300)]
    assert starts(CSCLR, mine_from=0) == [("mining", 0), ("transform", 300)]
    assert starts(CSCLR, mine_from=7, transform_from=7) == [("contrast", 0), ("transform", 7)]


def test_infonce_needs_neither_extreme_views_nor_a_feature_map() -> None:
    plain = build(
        "csclr",
        intra="infonce",
        augment_with=augment(extreme=()),
        encoder=component("bigru", units=4, layers=1),
    )
    assert plain(batch(KINECT))["loss"].requires_grad
    with pytest.raises(
        ConfigError, match=r"augment\.extreme: csclr with intra: aimclr needs extreme.*infonce"
    ):
        build("csclr", augment_with=augment(extreme=()))
    with pytest.raises(
        UsageError, match=r"encoder\.name: csclr with intra: aimclr needs an encoder whose map"
    ):
        build("csclr", encoder=component("bigru"))


# --- both


@pytest.mark.parametrize("name", ["crosclr", "csclr"])
def test_every_stream_has_an_encoder_of_its_own(name: str) -> None:
    method = build(name)
    assert tuple(method.encoders) == method.options.streams
    assert tuple(method.encoders) == method.options.streams
    weights = [encoder.blocks[1].temporal.weight for encoder in method.encoders.values()]
    assert not torch.equal(weights[0], weights[1])
    for stream, network in method.networks.items():
        assert network.encoder is method.encoders[stream]


@pytest.mark.parametrize("name", ["crosclr", "csclr"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stream": "bone"}, r"data\.stream: \w+ trains several streams.*'bone'.*Leave --stream out"),
        ({"streams": ("joint",)}, r"method\.options\.streams: must name two or more"),
        ({"streams": ("joint", "joint")}, r"method\.options\.streams: must name two or more"),
        ({"streams": ("joint", "colour")}, r"method\.options\.streams"),
        ({"neighbours": 25}, "neighbours must not exceed queue"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, **wrong)


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="key_update motion needs motion among the streams"):
        build("crosclr", streams=("joint", "bone"), key_update="motion")
    with pytest.raises(UsageError, match="transform_from must not come before mine_from"):
        build("csclr", transform_from=1)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("crosclr", {}),
        ("crosclr", {"heads": "shared", "key_update": "motion"}),
        ("csclr", {}),
        ("csclr", {"transform_from": 1}),
    ],
)
def test_a_run_stopped_inside_a_later_stage_resumes_exactly(
    tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    store = write_store(tmp_path / "toy.zarr")
    changes = {f"method__options__{key}": value for key, value in ({"mine_from": 1} | options).items()}
    settings = tiny_config(store, method=method, encoder__options__dropout=0.5, **changes)

    def stop(state: loop.Progress) -> None:
        if (state.epoch, state.step) == (2, 2):
            os.kill(os.getpid(), signal.SIGTERM)

    loop.pretrain(settings, out=tmp_path / "whole")
    ended = loop.pretrain(settings, out=tmp_path / "parts", on_progress=stop)
    assert (ended.epoch, ended.step) == (1, 2)
    loop.pretrain(settings, out=tmp_path / "parts", resume=True)
    whole, parts = (checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("whole", "parts"))
    assert (whole.epoch, whole.step) == (parts.epoch, parts.step) == (2, 0)
    assert whole.model.keys() == parts.model.keys()
    for name, value in whole.model.items():
        assert torch.equal(value, parts.model[name]), name


@pytest.mark.parametrize("name", ["crosclr", "csclr"])
def test_evaluation_mode_moves_no_queue_and_no_key_network(name: str) -> None:
    method = build(name).eval()
    before = copy.deepcopy(method)
    method(batch(KINECT, epoch=9))
    assert same_state(before, method)


# --- settings


def preset(method: str, name: str) -> dict[str, Any]:
    return dict(config.leaves(config.find_preset(method, name).tree))


def test_published_settings() -> None:
    shared = {
        "method.options.temperature": 0.07,
        "method.options.momentum": 0.999,
        "method.options.queue": 32768,
        "method.options.dim": 128,
        "method.options.mine_from": 150,
        "method.options.neighbours": 1,
        "optimise.batch_size": 128,
        "optimise.lr": 0.1,
        "optimise.milestones": [250],
        "optimise.weight_decay": 1e-4,
    }
    own = {
        "crosclr": {"optimise.epochs": 300, "method.options.context": True},
        "csclr": {
            "optimise.epochs": 500,
            "method.options.transform_from": 300,
            "method.options.transform_alpha": 2,
            "method.options.transform_mu": 1.0,
            "method.options.intra": "aimclr",
        },
    }
    for method, more in own.items():
        for name in ("paper", "pku-1", "pku-2"):
            found = preset(method, name)
            assert {path: found[path] for path in shared | more} == shared | more
    aimclr = config.find_preset("aimclr", "paper").tree["augment"]
    assert config.find_preset("csclr", "paper").tree["augment"] == aimclr


def test_released_crosclr_differs_where_the_released_code_does() -> None:
    ours, released = preset("crosclr", "paper"), preset("crosclr", "released")
    assert {path: value for path, value in released.items() if ours.get(path) != value} == {
        "evaluate.linear.streams": "together",
        "encoder.options.adjacency": "degenerate",
        "method.options.key_init": "independent",
        "method.options.heads": "shared",
        "method.options.key_update": "motion",
    }
    assert "released" not in config.preset_names("csclr")


def test_stages_of_the_small_presets_keep_the_papers_proportions() -> None:
    crosclr, csclr = preset("crosclr", "nw-ucla"), preset("csclr", "nw-ucla")
    assert crosclr["method.options.mine_from"] == 150 / 300
    assert (csclr["method.options.mine_from"], csclr["method.options.transform_from"]) == (
        150 / 500,
        300 / 500,
    )
    assert crosclr["optimise.epochs"] == csclr["optimise.epochs"] == 60
