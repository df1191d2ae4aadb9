from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas import ConfigError, UsageError
from tests.trainer.clips import augment, batch, component, generator, skeleton
from tests.trainer.tiny import ENCODER_OPTIONS
from trainer import methods
from trainer.augment import compile_chain
from trainer.encoders import AGCN, HCN, BiGRU
from trainer.methods import METHODS
from trainer.methods.isc import ISC, ISCOptions
from trainer.methods.moco import MoCo

KINECT = {"kinectv2_25": skeleton("kinectv2_25")}
BOTH = {**KINECT, "smplx_42": skeleton("smplx_42")}
MOCO = {"queue": 24, "dim": 8, "momentum": 0.9, "temperature": 0.2}
ENCODER_OF = {"seq": "bigru", "img": "hcn", "graph": "agcn"}


def build(*names: str, seed: int = 0, **options: Any) -> ISC:
    """With the named representations, the first of which is the run's encoder; seq and graph by default."""
    names = names or ("seq", "graph")
    parts = {name: component(ENCODER_OF[name], **ENCODER_OPTIONS[ENCODER_OF[name]]) for name in names}
    representations = {name: None if name == names[0] else part for name, part in parts.items()}
    method = methods.build(
        component("isc", **{**MOCO, "representations": representations, **options}),
        encoder=parts[names[0]],
        skeletons=KINECT,
        augment=augment("temporal_crop_resize", "choice"),
        stream="joint",
        generator=generator(seed),
    )
    assert isinstance(method, ISC)
    return method


def literal_info_nce(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> float:
    """Eq. (7), one query and one negative at a time."""
    total = 0.0
    for query, own in zip(q, k, strict=True):
        positive = math.exp(float(query @ own) / temperature)
        negatives = sum(math.exp(float(query @ past) / temperature) for past in queue)
        total -= math.log(positive / (positive + negatives)) / len(q)
    return total


def embedded(method: ISC) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Queries and keys of the step that ``batch(KINECT, seed=3)`` makes."""
    given = batch(KINECT, seed=3)
    seen, kept = (method.views.normal(given, "kinectv2_25") for _ in range(2))
    mocos = method.moco_of
    q = {name: moco.query(seen, "kinectv2_25").detach() for name, moco in mocos.items()}
    return q, {name: moco.key(kept, "kinectv2_25") for name, moco in mocos.items()}


@pytest.mark.parametrize("mode", ["inter", "intra"])
@pytest.mark.parametrize("names", [("seq", "graph"), ("img", "seq", "graph")])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_loss_is_the_sum_over_ordered_pairs(
    mode: str, names: tuple[str, ...], temperature: float
) -> None:
    method, twin = (build(*names, mode=mode, temperature=temperature) for _ in range(2))
    q, k = embedded(twin)
    pairs = [(a, b) for a, b in itertools.product(names, names) if (a == b) == (mode == "intra")]
    expected = {
        pair: literal_info_nce(q[pair[0]], k[pair[1]], twin.moco_of[pair[1]].queue.keys, temperature)
        for pair in pairs
    }
    out = method(batch(KINECT, seed=3))
    assert float(out["loss"].detach()) == pytest.approx(sum(expected.values()), rel=1e-5, abs=1e-6)
    for (a, b), term in expected.items():
        assert float(out[f"contrast_{a}_{b}"]) == pytest.approx(term, rel=1e-5, abs=1e-6)
    assert len([name for name in out if name.startswith("contrast_")]) == len(names) * (
        len(names) - 1 if mode == "inter" else 1
    )
    positive = sum(float((q[a] * k[b]).sum(dim=1).mean()) for a, b in pairs) / len(pairs)
    assert float(out["positive"]) == pytest.approx(positive, abs=1e-5)


def test_sequence_and_image_train_together() -> None:
    """The combination on which the released code stops with an undefined name."""
    method = build("seq", "img")
    assert [type(encoder) for encoder in method.encoders.values()] == [BiGRU, HCN]
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.02)
    state = copy.deepcopy(method.state_dict())
    losses = []
    for _ in range(5):  # the same views, keys and queue each time: what the queries alone can gain
        loss = method(batch(KINECT))["loss"]
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in method.networks.parameters())
        optimiser.step()
        losses.append(float(loss.detach()))
        own = {f"mocos.{name}" for name, _ in method.mocos.named_parameters() if ".query." in name}
        method.load_state_dict({**state, **{n: v for n, v in method.state_dict().items() if n in own}})
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.1


def test_inter_contrast_learns_to_tell_clips_apart() -> None:
    """64 clips in batches of 16: the queue of the last 32 keys never holds another key of the same clip."""
    method = build(queue=32, momentum=0.99, projector_norm="batch")
    method.views = replace(method.views, normal_chain=compile_chain([component("temporal_crop")]))
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    losses = []
    for step in range(140):
        loss = method(batch(KINECT, samples=16, start=16 * (step % 4), frames=8, seed=step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) / 10 < 0.9 * 2 * math.log(33), "better than telling nothing apart"


def test_one_representation_alone_is_contrasted_with_itself() -> None:
    method = build("graph", mode="intra")
    out = method(batch(KINECT))
    assert set(method.encoders) == {"graph"}
    assert isinstance(next(iter(method.encoders.values())), AGCN)
    torch.testing.assert_close(out["loss"].detach(), out["contrast_graph_graph"])
    torch.testing.assert_close(out["loss"].detach(), out["info_nce"])


def test_inter_queries_learn_from_the_others_alone() -> None:
    """The gradient of a representation's term reaches the query's weights, not those of the key's encoder."""
    method = build()
    q, k = embedded(method)
    assert not any(key.requires_grad for key in k.values())
    method(batch(KINECT))["loss"].backward()
    assert not any(p.requires_grad or p.grad is not None for p in method.key_networks.parameters())
    assert set(q) == {"seq", "graph"}


def test_all_representations_see_the_same_views_and_query_and_key_different_ones() -> None:
    method = build("seq", "img", "graph")
    seen: dict[str, list[Tensor]] = {"query": [], "key": []}
    for moco in method.moco_of.values():
        moco.query.register_forward_hook(lambda _, given, __: seen["query"].append(given[0]))
        moco.key.register_forward_hook(lambda _, given, __: seen["key"].append(given[0]))
    method(batch(KINECT))
    for views in seen.values():
        assert len(views) == 3
        assert all(torch.equal(view, views[0]) for view in views)
    assert not torch.equal(seen["query"][0], seen["key"][0])


def test_slot_i_of_every_queue_is_the_same_clip() -> None:
    method = build("seq", "img", "graph")
    for step, samples in enumerate((7, 5, 8, 3, 6)):  # 29 keys into 24 slots
        method(batch(KINECT, samples=samples, start=step * 8, seed=step))
    queues = [moco.queue for moco in method.moco_of.values()]
    assert all(torch.equal(queue.rows, queues[0].rows) for queue in queues)
    assert all(queue.pointer.item() == 29 % 24 for queue in queues)
    assert (queues[0].rows >= 0).all()
    assert not torch.equal(queues[0].keys, queues[1].keys)


def test_every_representation_has_networks_of_its_own_that_follow() -> None:
    method = build()
    before = {name: p.clone() for name, p in method.key_networks.named_parameters()}
    with torch.no_grad():
        for parameter in method.networks.parameters():
            parameter.add_(0.1)
    method(batch(KINECT))
    for (name, new), query in zip(
        method.key_networks.named_parameters(), method.networks.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.9 * before[name] + 0.1 * query.detach())
    assert {name.split(".")[0] for name in before} == {"seq", "graph"}


def test_a_projector_ends_as_the_released_encoder_begins_its_layer_of_classes() -> None:
    """Into 128 numbers: agcn N(0, sqrt(2 / 128)), an eighth; bigru and hcn up to sqrt(6 / (inputs + 128))."""
    method = build("seq", "img", "graph", dim=128, projector_end="released")
    last = {name: moco.query.projector[-1] for name, moco in method.moco_of.items()}
    assert all(isinstance(layer, nn.Linear) for layer in last.values())
    assert last["graph"].weight.std().item() == pytest.approx(1 / 8, rel=0.1)
    for name in ("seq", "img"):
        bound = math.sqrt(6 / (last[name].in_features + 128))
        assert 0.98 * bound < last[name].weight.abs().max().item() <= bound
    assert not last["img"].bias.any()
    assert last["seq"].bias.any()
    for query, key in zip(method.networks.parameters(), method.key_networks.parameters(), strict=True):
        assert torch.equal(query, key), "the key network is a copy of what the query network begins with"
    apart = build("graph", mode="intra", dim=128, projector_end="released", key_init="independent")
    ends = [network["graph"].projector[-1].weight for network in (apart.networks, apart.key_networks)]
    assert not torch.equal(*ends)
    assert all(end.std().item() == pytest.approx(1 / 8, rel=0.1) for end in ends)
    usual = build("graph", mode="intra", dim=128)
    assert usual.networks["graph"].projector[-1].weight.abs().max().item() <= 1 / math.sqrt(8) + 1e-6


def test_encoders_are_named_and_the_first_is_the_runs() -> None:
    method = build("img", "seq", "graph")
    assert [*method.encoders] == ["img", "seq", "graph"]
    assert next(iter(method.encoders)) == "img"
    assert isinstance(method.networks, nn.ModuleDict)
    assert all(isinstance(moco, MoCo) for moco in method.moco_of.values())
    assert method.encoders["seq"] is method.networks["seq"].encoder


def test_a_step_may_have_query_and_key_in_two_conventions() -> None:
    method = methods.build(
        component("isc", **{**MOCO, "mode": "intra", "representations": {"graph": None}}),
        encoder=component("agcn", **ENCODER_OPTIONS["agcn"]),
        skeletons=BOTH,
        augment=augment("temporal_crop_resize", "choice"),
        stream="joint",
        generator=generator(),
    )
    out = method(replace(batch(BOTH), query="kinectv2_25", key="smplx_42"))
    assert torch.isfinite(out["loss"])
    with pytest.raises(UsageError, match="isc trains on one skeleton convention"):
        methods.pairing(component("isc"), tuple(BOTH))


def test_a_view_may_be_shorter_than_the_clips_of_the_store() -> None:
    """The released preset: clips of 32 frames here, of which the encoders see 8."""
    method = methods.build(
        component("isc", **{**MOCO, "representations": {"seq": None, "img": component("hcn").model_dump()}}),
        encoder=component("bigru", units=8, layers=1),
        skeletons=KINECT,
        augment=augment().model_copy(
            update={"normal": (component("temporal_crop_resize", frames=8), component("choice"))}
        ),
        stream="joint",
        generator=generator(),
    )
    given = batch(KINECT, frames=32)
    assert method.views.normal(given, "kinectv2_25").shape[2] == 8
    assert torch.isfinite(method(given)["loss"])
    assert next(iter(method.encoders.values()))(given.clips["kinectv2_25"], "kinectv2_25").shape == (8, 16)


def test_stages_say_what_is_contrasted() -> None:
    (inter,) = ISC.stages(ISCOptions())
    (intra,) = ISC.stages(ISCOptions(mode="intra"))
    assert inter.start == intra.start == 0
    assert "other representations" in inter.summary
    assert "its own" in intra.summary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"representations": {}}, "the first of representations must be null"),
        ({"representations": {"seq": {"name": "bigru"}}}, "the first of representations must be null"),
        ({"representations": {"seq": None, "graph": None}}, "only the first of representations may be null"),
        ({"representations": {"seq": None}}, "mode inter .* needs two or more; intra takes one"),
        ({"representations": {"seq.a": None}, "mode": "intra"}, "method.options.representations"),
        (
            {"representations": {"seq": None, "graph": {"name": "gcn"}}},
            "method.options.representations.graph.name: unknown encoder 'gcn'.*Did you mean 'agcn'",
        ),
        (
            {"representations": {"seq": None, "graph": {"name": "agcn", "options": {"chanels": [4]}}}},
            "method.options.representations.graph.options.chanels: unknown option.*'channels'",
        ),
        ({"mode": "both"}, "method.options.mode"),
    ],
)
def test_wrong_settings_are_named_with_their_path(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(**options)


def test_options_of_the_run_are_checked_under_encoder() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.options\.unit: unknown option.*'units'"):
        METHODS["isc"](
            ISCOptions.model_validate(MOCO),
            methods.Parts(
                encoder=component("bigru", unit=3),
                skeletons=KINECT,
                augment=augment("choice"),
                stream="joint",
                generator=generator(),
            ),
        )
