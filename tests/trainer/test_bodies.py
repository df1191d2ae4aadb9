"""Clips of fewer or more bodies than the encoder was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from schemas import StoreError, UsageError
from tests.trainer.clips import clips
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import write_store
from trainer import store as stores
from trainer.export import export_run, load_encoder
from trainer.loop import load_training_half, pretrain

ENCODERS = {
    "stgcn": {},
    "agcn": {"encoder.options": {"channels": [4, 8], "stride_blocks": [2]}},
    "ctrgcn": {"encoder.options": {"channels": [4, 8], "stride_blocks": [2]}},
    "vit": {"encoder.options": {"dim": 8, "layers": 1, "heads": 2}},
    "bigru": {"encoder.options": {"units": 4, "layers": 1}},
    "hcn": {"encoder.options": {"point": 4, "row": 4, "channels": [4, 4, 8, 16], "dropout": 0.0}},
}
SHORT = {"transfer": {"epochs": 1}}


def train(store: Path, out: Path, **changes: object) -> Path:
    pretrain(tiny_config(store, optimise__epochs=1, **changes), out=out)
    return out


@pytest.mark.parametrize("join", ["average", "present"])
def test_fewer_bodies_have_the_features_of_the_padded_clip(tmp_path: Path, join: str) -> None:
    run = train(write_store(tmp_path / "s"), tmp_path / "r", encoder__options__bodies=join)
    export_run(run, tmp_path / "e")
    one = clips(5, 6, frames=12, bodies=1)
    for path in (run, tmp_path / "e"):
        encoder = load_encoder(path)
        padded = encoder(pad(one, (0, 1)))
        assert encoder.bodies == 2
        assert encoder(one).equal(padded)
        assert np.array_equal(encoder(one.numpy()), padded.numpy())
        if join == "average":  # what the network says of one body in one place is another thing
            assert not encoder.network(one, "few_6").allclose(padded, atol=1e-3)


@pytest.mark.parametrize("name", ["agcn", "bigru", "ctrgcn", "hcn", "vit"])
def test_every_encoder_pads(tmp_path: Path, name: str) -> None:
    options = ENCODERS[name]["encoder.options"]
    config = tiny_config(write_store(tmp_path / "s"), optimise__epochs=1)
    component = config.encoder.model_copy(update={"name": name, "options": options})
    pretrain(config.model_copy(update={"encoder": component}), out=tmp_path / "r")
    encoder = load_encoder(tmp_path / "r")
    one = clips(3, 6, frames=12, bodies=1)
    assert encoder(one).equal(encoder(pad(one, (0, 1))))


def test_more_bodies_are_refused_with_what_to_do(tmp_path: Path) -> None:
    encoder = load_encoder(train(write_store(tmp_path / "s", bodies=1), tmp_path / "r"))
    with pytest.raises(UsageError, match=r"2 bodies, the encoder was trained on 1.*data\.bodies=2"):
        encoder(clips(5, 6, frames=12, bodies=2))


def test_transfer_to_one_person_is_that_to_one_person_and_an_absent_one(tmp_path: Path) -> None:
    run = train(write_store(tmp_path / "s"), tmp_path / "r")
    single, double = (write_store(tmp_path / f"t{m}", bodies=m, seed=1) for m in (1, 2))
    one, two = (
        evaluate_run(run, protocols=["transfer"], target=target, options=SHORT)[0]
        for target in (single, double)
    )
    assert (one.top1, one.confusion) == (two.top1, two.confusion)
    assert one.details["loss"] == two.details["loss"]


def test_transfer_to_more_bodies_is_refused(tmp_path: Path) -> None:
    run = train(write_store(tmp_path / "s", bodies=1), tmp_path / "r")
    target = write_store(tmp_path / "t", seed=1)
    with pytest.raises(StoreError, match=r"places for 2 bodies, .* trained on 1.*data\.bodies=2"):
        evaluate_run(run, protocols=["transfer"], target=target, options=SHORT)
    wider = train(tmp_path / "s", tmp_path / "w", data__bodies=2)
    assert evaluate_run(wider, protocols=["transfer"], target=target, options=SHORT)
    assert load_encoder(wider).bodies == 2


def test_absent_bodies_are_zero_wherever_clips_are_read(tmp_path: Path) -> None:
    store = stores.open_store(write_store(tmp_path / "s", bodies=1))
    config = tiny_config(store.path, data__bodies=3)
    selection = stores.select(store, split="xview", part="train", conventions=["few_6"], frames=12, bodies=3)
    plain = stores.load(store, split="xview", part="train", conventions=["few_6"], frames=12)
    found = stores.read(selection, selection.shards)["few_6"]
    assert found.shape[4] == 3
    assert found[..., :1].equal(plain.clips["few_6"])
    assert not found[..., 1:].any()
    assert selection.clip_bytes == 3 * 4 * plain.clips["few_6"][0].numel()
    half = load_training_half(store, config)
    assert isinstance(half, stores.Samples)
    assert torch.equal(half.clips["few_6"], found)
