"""MS-CLR over every base: pairs of conventions, what each network sees, and padding that never matters."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from schemas import Component, RunConfig, UsageError
from tests.trainer.clips import SMALL, augment, batch, component, generator, skeleton, train
from tests.trainer.stores import write_store
from trainer import checkpoint, config, data, loop, methods
from trainer import store as stores
from trainer.batch import Pairing
from trainer.config import Override
from trainer.methods import METHODS, Method
from trainer.methods.moco import MoCoMethod
from trainer.store import Samples

BOTH = {name: skeleton(name) for name in ("kinectv2_25", "smplx_42")}
THREE = {**BOTH, "smpl_24": skeleton("smpl_24")}
MOCO: dict[str, Any] = {"queue": 24, "dim": 8, "momentum": 0.9, "temperature": 0.2}
OPTIONS: dict[str, dict[str, Any]] = {
    "aimclr": {"mine_from": 5},
    "crosclr": {"mine_from": 5},
    "csclr": {"mine_from": 5, "transform_from": 7},
    "skelemixclr": {"mixes": 2},
    "skeletonclr": {},
}
every_base = pytest.mark.parametrize("base", sorted(OPTIONS))


def around(base: str, **options: Any) -> Component:
    return component("ms-clr", base={"name": base, "options": {**MOCO, **OPTIONS.get(base, {})}}, **options)


def build(base: str, *, of: Any = BOTH, stream: str = "joint", seed: int = 0) -> Method:
    return methods.build(
        around(base),
        encoder=component("stgcn", **SMALL),
        skeletons=of,
        augment=augment(),
        stream=stream,
        generator=generator(seed),
    )


def pairing(*, of: Any = THREE, **options: Any) -> Pairing:
    return methods.pairing(around("skeletonclr", **options), tuple(of))


def test_every_method_but_isc_can_be_the_base_and_those_with_key_networks_are_tried_here() -> None:
    """The others as all methods: ``test_every_method``."""
    bases = {name: kind for name, kind in METHODS.items() if not kind.why_unpaired}
    assert set(METHODS) - set(bases) == {"isc"}
    assert {name for name, kind in bases.items() if issubclass(kind, MoCoMethod)} == set(OPTIONS)


@every_base
def test_ms_clr_is_its_base_in_pairs_of_conventions(base: str) -> None:
    method = build(base)
    assert type(method) is METHODS[base]
    alone = component(base, **MOCO, **OPTIONS[base])
    assert methods.stages(component("ms-clr", base=alone.model_dump())) == methods.stages(alone)
    assert methods.pairing(around(base), tuple(BOTH)).passes == 2
    one = methods.pairing(alone, ("kinectv2_25",))
    assert one.draw(generator(), epoch_seed=0) == ("kinectv2_25", "kinectv2_25")
    assert one.passes == 1


@every_base
def test_queries_see_one_convention_and_keys_the_other(base: str) -> None:
    """In every pass of every network, in all stages."""
    method = build(base)
    seen: dict[str, set[str]] = {"query": set(), "key": set()}
    for side, network in (("query", method.networks), ("key", method.key_networks)):
        for name, each in network.named_modules():
            if name.rpartition(".")[2] in BOTH and isinstance(each.data_bn, nn.BatchNorm1d):
                convention = name.rpartition(".")[2]
                each.data_bn.register_forward_hook(lambda *_, s=side, c=convention: seen[s].add(c))
    pairs = Counter()
    for epoch in (0, 6, 9):
        for step in range(4):
            seen["query"].clear(), seen["key"].clear()
            method(batch(BOTH, epoch=epoch, seed=step))["loss"].backward()
            assert len(seen["query"]) == len(seen["key"]) == 1
            pairs[(*seen["query"], *seen["key"])] += 1
    assert set(pairs) == {("kinectv2_25", "smplx_42"), ("smplx_42", "kinectv2_25")}


@every_base
def test_padding_is_inert_through_whole_steps(base: str) -> None:
    """With 60 joint slots full of garbage as without any to spare, in every stage."""
    stream = "joint" if base in ("crosclr", "csclr") else "bone"
    plain, padded = (build(base, stream=stream) for _ in range(2))
    for step, epoch in enumerate((0, 6, 9, 9)):
        outs = [
            plain(batch(BOTH, epoch=epoch, seed=step)),
            padded(batch(BOTH, epoch=epoch, seed=step, pad_to=60, padding=1e6)),
        ]
        for out in outs:
            out["loss"].backward()
        torch.testing.assert_close(*outs, rtol=0, atol=1e-5)
    for (name, a), b in zip(plain.named_parameters(), padded.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-4, msg=name)
    torch.testing.assert_close(plain.state_dict(), padded.state_dict(), rtol=0, atol=1e-5)


@every_base
def test_a_restored_method_goes_on_exactly_in_every_stage(base: str) -> None:
    straight, restored = build(base), build(base, seed=9)
    train(straight, [batch(BOTH, epoch=6, seed=seed) for seed in range(2)])
    restored.load_state_dict(copy.deepcopy(straight.state_dict()))
    rest = [(6, 2), (8, 3), (8, 4)]
    ends = [train(m, [batch(BOTH, epoch=e, seed=s) for e, s in rest]) for m in (straight, restored)]
    assert ends[0] == ends[1]
    assert len(set(ends[0])) == 3


@every_base
def test_all_conventions_are_trained_and_share_what_is_not_their_own(base: str) -> None:
    method = build(base, of=THREE)
    before = copy.deepcopy(next(iter(method.encoders.values())).state_dict())
    train(method, [batch(THREE, seed=seed) for seed in range(10)])
    moved = {
        name
        for name, value in next(iter(method.encoders.values())).state_dict().items()
        if not torch.equal(value, before[name])
    }
    for name in THREE:
        assert f"conventions.{name}.data_bn.weight" in moved
    # BatchNorm takes off again what these add: they have no gradient.
    cancelled = ("temporal.bias", "residual.0.bias", "num_batches_tracked")
    assert {n for n in before if n.startswith("blocks") and not n.endswith(cancelled)} <= moved


# --- how often a pair is drawn


def drawn(
    pairing: Pairing, epoch: int, *, steps: int = 6, seed: int = 3, start: int = 0
) -> list[tuple[str, str]]:
    """The pairs of an epoch's steps from ``start`` on, in a run of this seed."""
    clips = {name: batch({name: each}).clips[name] for name, each in THREE.items()}
    ids = tuple(map(str, range(8)))
    samples = Samples(clips, torch.zeros(8, dtype=torch.int64), ids, torch.arange(8))
    made = data.batches(samples, batch_size=2, seed=seed, epoch=epoch, pairing=pairing, start_step=start)
    return [(each.query, each.key) for each, _ in zip(made, range(steps), strict=False)]


@pytest.mark.parametrize("allowed", ["cross", "anchored", "random"])
def test_a_pair_is_drawn_for_every_batch_or_kept_for_an_epoch(allowed: str) -> None:
    ours, released = (pairing(pairing=allowed, draw=draw) for draw in ("batch", "epoch"))
    by_batch = [drawn(ours, epoch) for epoch in range(30)]
    by_epoch = [drawn(released, epoch) for epoch in range(30)]
    assert all(len(set(pairs)) > 1 for pairs in by_batch)
    assert all(len(set(pairs)) == 1 for pairs in by_epoch)
    assert len({pairs[0] for pairs in by_epoch}) > 2
    assert by_epoch == [drawn(released, epoch) for epoch in range(30)], "the same when a run is repeated"
    assert by_epoch != [drawn(released, epoch, seed=4) for epoch in range(30)]


def test_pairs_of_epochs_are_uniform_over_what_the_pairing_allows() -> None:
    found = Counter(drawn(pairing(draw="epoch"), epoch, steps=1)[0] for epoch in range(240))
    assert len(found) == 6
    assert all(abs(count - 40) < 30 for count in found.values())


@pytest.mark.parametrize("draw", ["epoch", "batch"])
def test_a_resumed_epoch_keeps_its_pairs(draw: str) -> None:
    """They hang on seed, epoch and step alone, not on the step at which the epoch is entered."""
    whole = drawn(pairing(draw=draw), 4)
    assert whole[2:] == drawn(pairing(draw=draw), 4, steps=4, start=2)


# --- settings


def test_isc_is_refused_with_the_reason() -> None:
    with pytest.raises(
        UsageError, match=r"method\.options\.base\.name: ms-clr cannot wrap isc.*representation"
    ):
        build("isc")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draw": "worker"}, r"method\.options\.draw: "),
        ({"base": {"name": "skelemixclr", "options": {"mixs": 2}}}, r"base\.options\.mixs: .*'mixes'"),
        ({"base": {"name": "skelemix"}}, r"unknown base method 'skelemix'.*skelemixclr"),
        ({"base": {"name": "ms-clr"}}, "unknown base method 'ms-clr'"),
    ],
)
def test_wrong_settings_are_named_with_their_path(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        methods.build(
            component("ms-clr", **options),
            encoder=component("stgcn", **SMALL),
            skeletons=BOTH,
            augment=augment(),
            stream="joint",
            generator=generator(),
        )
    with pytest.raises(UsageError, match=message):
        methods.stages(component("ms-clr", **options))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return write_store(folder / "toy.zarr", conventions=("few_6", "many_8"), frames=(50, 64))


@every_base
@pytest.mark.parametrize("name", config.preset_names("ms-clr"))
def test_every_base_has_presets(store: Path, base: str, name: str) -> None:
    small = [Override("encoder.options.channels", [4, 8]), Override("encoder.options.stride_blocks", [2])]
    settings = config.resolve(
        stores.open_store(store), method="ms-clr", preset=name, base=base, overrides=small
    )
    _, built, _ = loop.build(settings.config)
    assert type(built) is METHODS[base]
    pairs = methods.pairing(settings.config.method, settings.config.data.conventions).pairs
    assert {name for pair in pairs for name in pair} == {"few_6", "many_8"}
    own = config.find_preset(base, name if name in config.preset_names(base) else "paper")
    usual = config.find_preset("ms-clr", name, base=base)
    assert usual.tree["method"]["options"]["base"] == own.tree["method"]
    assert usual.tree["optimise"] == own.tree["optimise"]


def test_sources_of_another_base_are_its_own() -> None:
    mixed = config.find_preset("ms-clr", "paper", base="skelemixclr")
    assert mixed.tree["data"]["frames"] == 64
    assert mixed.sources["data.frames"].startswith("SkeleMixCLR")
    assert mixed.sources["optimise.schedule"].startswith("SkeleMixCLR")
    assert mixed.sources["optimise.lr"].startswith("MS-CLR")
    assert mixed.sources["method.options.base.name"] == "--base"
    assert config.find_preset("ms-clr", "paper").sources["data.frames"].startswith("MS-CLR")


def test_the_released_preset_keeps_a_pair_for_an_epoch() -> None:
    found = [config.find_preset("ms-clr", name).tree["method"]["options"] for name in ("paper", "released")]
    assert [(each["pairing"], each["draw"]) for each in found] == [("cross", "batch"), ("random", "epoch")]


@every_base
def test_a_run_from_when_ms_clr_was_a_module_around_its_base_goes_on(
    store: Path, tmp_path: Path, base: str
) -> None:
    """Names of weights began with ``base.`` then."""
    small = {
        "encoder.options.channels": [4, 8],
        "encoder.options.stride_blocks": [2],
        "method.options.base.options.queue": 16,
        "optimise.batch_size": 8,
    }

    def settings(epochs: int) -> RunConfig:
        values = {**small, "optimise.epochs": epochs}
        overrides = [Override(path, value) for path, value in values.items()]
        opened = stores.open_store(store)
        return config.resolve(opened, method="ms-clr", preset="paper", base=base, overrides=overrides).config

    loop.pretrain(settings(2), out=tmp_path / "whole")
    loop.pretrain(settings(1), out=tmp_path / "parts")
    path = tmp_path / "parts" / checkpoint.LAST
    content = torch.load(path, weights_only=True)
    content["model"] = {f"base.{name}": value for name, value in content["model"].items()}
    torch.save(content, path)
    loop.pretrain(settings(2), out=tmp_path / "parts", resume=True)
    whole, parts = (checkpoint.load(tmp_path / run / checkpoint.LAST).model for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
