"""Stretches of clips: against a literal resampling, PyTorch's own, and the loops that see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import interpolate

from schemas import ConfigError
from tests.trainer.clips import clips, generator
from tests.trainer.learners import KINECT, Means, samples
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import write_store
from trainer import checkpoint, config, loop, optim, seeds
from trainer import store as stores
from trainer.evaluate import halves, linear, protocol_options
from trainer.evaluate.crop import Crop
from trainer.evaluate.features import Features, concatenated, cropped
from trainer.evaluate.scores import read_scores
from trainer.options import checked
from trainer.shards import Shards

CPU = torch.device("cpu")


def time_itself(frames: int, count: int = 1) -> Tensor:
    """Clips whose coordinates are the number of the frame, from 1: where a stretch lies can be read off."""
    return torch.arange(1.0, frames + 1).view(1, 1, -1, 1, 1).expand(count, 3, -1, 2, 1)


def resampled(clip: np.ndarray, start: int, length: int, frames: int, *, centres: bool) -> np.ndarray:
    """[T, D] -> [frames, D], coordinate by coordinate."""
    part, found = clip[start : start + length], np.empty((frames, clip.shape[1]))
    for frame in range(frames):
        if centres:
            at = min(max((frame + 0.5) * length / frames - 0.5, 0), length - 1)
        else:
            at = frame * (length - 1) / max(frames - 1, 1)
        for column in range(clip.shape[1]):
            found[frame, column] = np.interp(at, np.arange(length), part[:, column])
    return found


def flat(x: Tensor) -> np.ndarray:
    """[N,3,T,V,M] -> [N, T, D]."""
    return x.permute(0, 2, 1, 3, 4).flatten(2).double().numpy()


@pytest.mark.parametrize("sampling", ["ends", "centres"])
@pytest.mark.parametrize(
    ("total", "share", "frames"), [(64, 0.95, None), (100, 0.95, 64), (23, 0.5, 40), (7, 1.0, 1)]
)
def test_the_centre_is_a_literal_resampling(
    total: int, share: float, frames: int | None, sampling: Any
) -> None:
    x = clips(3, 5, frames=total)
    found = Crop(test=share, frames=frames, sampling=sampling).centre(x)
    start = int((1 - share) * total / 2)
    assert found.shape == (3, 3, frames or total, 5, x.shape[4])
    for clip, ours in zip(flat(x), flat(found), strict=True):
        expected = resampled(clip, start, total - 2 * start, frames or total, centres=sampling == "centres")
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_the_centre_of_64_frames_leaves_out_one_at_either_end() -> None:
    """floor(0.05 * 64 / 2) = 1 and of 100 frames floor(2.5) = 2."""
    for total, first, last in ((64, 2, 63), (100, 3, 98)):
        found = Crop(frames=64).centre(time_itself(total))[0, 0, :, 0, 0]
        assert (found[0].item(), found[-1].item()) == pytest.approx((first, last))
    assert torch.equal(Crop(test=1.0).centre(time_itself(64)), time_itself(64))
    assert Crop(test=0.01, frames=2).centre(time_itself(4))[0, 0, :, 0, 0].tolist() == [2.0, 3.0]


def test_a_body_that_comes_late_is_masked_or_starts_from_zero() -> None:
    """Four frames, the body in the last two at 1, made to seven: a half between the second and the third."""
    x = torch.zeros(1, 3, 4, 2, 1)
    x[:, :, 2:] = 1
    for absent, expected in (("masked", [0, 0, 0, 1, 1, 1, 1]), ("zeros", [0, 0, 0, 0.5, 1, 1, 1])):
        found = Crop(test=1.0, frames=7, absent=absent).centre(x)
        assert found[0, 0, :, 0, 0].tolist() == expected


@pytest.mark.parametrize("total", [128, 90])
def test_released_stretches_are_pytorchs_interpolation(total: int) -> None:
    """0.5 to 1 of the clip, rounded down, never below 64 frames, resized to 64 without aligned corners."""
    crop = Crop(frames=64, min_frames=64, sampling="centres")
    x = clips(40, 5, frames=total)
    lengths = set()
    for clip, found in zip(x, crop.drawn(x, generator(3)), strict=True):
        fitting = [
            length
            for length in range(max(64, total // 2), total + 1)
            for start in range(total - length + 1)
            if torch.allclose(
                interpolate(clip[:, start : start + length].flatten(2).permute(0, 2, 1), 64, mode="linear"),
                found.flatten(2).permute(0, 2, 1),
                atol=1e-4,
            )
        ]
        assert fitting
        lengths.add(fitting[0])
    assert len(lengths) > 5


def test_lengths_and_places_of_drawn_stretches_are_uniform() -> None:
    found = Crop().drawn(time_itself(200, 2000), generator(1))[:, 0, :, 0, 0]
    first, length = found[:, 0] - 1, found[:, -1] - found[:, 0] + 1
    assert length.min() >= 100 - 1e-3
    assert length.max() <= 200
    assert length.mean().item() == pytest.approx(149.5, rel=0.02), "0.75 of 200, rounded down"
    assert length.std().item() == pytest.approx(100 / np.sqrt(12), rel=0.05)
    slack = 200 - length
    place = (first / slack)[slack > 20]
    assert place.min() >= 0
    assert place.max() <= 1 + 1e-4
    assert place.mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(
        Crop().drawn(time_itself(30, 5), generator(2)), Crop().drawn(time_itself(30, 5), generator(2))
    )
    assert torch.equal(
        Crop(train=None).drawn(time_itself(64, 2), generator()), Crop().centre(time_itself(64, 2))
    )
    assert torch.equal(Crop(min_frames=99).drawn(time_itself(30), generator()), time_itself(30))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": [0.5, 1.5]}, r"linear\.crop\.train: .*low <= high <= 1"),
        ({"test": 0}, r"linear\.crop\.test: .*greater than 0"),
        ({"sampling": "middle"}, r"linear\.crop\.sampling: .*'ends' or 'centres'"),
        ({"tset": 0.9}, r"linear\.crop\.tset"),
    ],
)
def test_mistakes_in_a_crop_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(linear.Options, {"crop": given}, where="linear")


def test_a_probe_sees_other_stretches_in_every_epoch_and_a_frozen_encoder() -> None:
    encoder, train, test, crop = Means().train(), samples(20), samples(6, first=50), Crop(frames=5)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    learned, tested = cropped(encoder, (train, test), crop, convention=KINECT, device=CPU, seed=4)
    assert learned.anew is not None
    first, again, other = learned.values, learned.anew(0), learned.anew(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert encoder.modes == [False] * 4, "evaluation mode"
    assert encoder.training, "and left as it was"
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    encoder.eval()
    with torch.no_grad():
        cut = crop.drawn(train.clips[KINECT], seeds.generator("cpu", 4, "crop", 1, 0))
        assert torch.equal(other, encoder(cut, KINECT))
        assert torch.equal(tested.values, encoder(crop.centre(test.clips[KINECT]), KINECT))


def test_features_of_several_lie_side_by_side() -> None:
    def of(scale: float) -> Features:
        values, labels = torch.full((1, 3), scale), torch.tensor([0])
        return Features(values, labels, anew=lambda epoch: torch.full((2, 3), scale * (epoch + 1)))

    both = concatenated([of(1.0), of(10.0)])
    assert both.anew is not None
    assert both.anew(1).tolist() == [[2, 2, 2, 20, 20, 20]] * 2
    assert both.values.tolist() == [[1, 1, 1, 10, 10, 10]]
    unit = concatenated([of(1.0), of(10.0)], unit=True)
    assert unit.values[0].tolist() == pytest.approx([3**-0.5] * 6)
    assert unit.anew is not None
    assert unit.anew(1)[1].tolist() == pytest.approx([3**-0.5] * 6)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("data") / "toy.zarr")


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    loop.pretrain(tiny_config(store, optimise__epochs=1), out=out)
    return out


def test_stretches_are_the_same_wherever_the_clips_are(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor, convention: str) -> Tensor:
            return x.mean(dim=(2, 4)).flatten(1)

    monkeypatch.setattr(halves, "CHUNK", 3)
    chosen = stores.select(
        stores.open_store(store),
        split="xview", part="train", conventions=["few_6"], frames=12, stream="joint",
    )  # fmt: skip
    found = []
    for limit in (None, 0):
        half = halves.open_half(chosen, memory_limit=limit)
        assert isinstance(half, Shards) == (limit == 0)
        train, test = cropped(Plain(), (half, half), Crop(), convention="few_6", device=CPU, seed=0)
        assert train.anew is not None
        found.append((train.anew(2), test.values))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


SHORT = {"epochs": 4, "lr": 0.5, "milestones": [2], "batch_size": 5, "crop": {"frames": 8}}


def test_linear_evaluation_with_crops_is_a_literal_loop(run: Path, store: Path) -> None:
    """Encoded anew in every epoch, then PyTorch's own layer and optimiser."""
    (found,) = evaluate_run(run, protocols=["linear"], device="cpu", options={"linear": SHORT})
    scores = read_scores(run / "results" / str(found.scores))
    saved, opened = checkpoint.load(run / checkpoint.LAST), stores.open_store(store)
    method = checkpoint.fresh_method(saved.config, stores.skeletons(opened, ["few_6"]), seed=0)
    checkpoint.load_weights(method, saved.model, where=run)
    encoder, crop = method.encoders["joint"].eval(), Crop(frames=8)
    train, test = (
        stores.load(opened, split="xview", part=part, conventions=["few_6"], frames=12, stream="joint")
        for part in ("train", "test")
    )
    options = linear.Options(**SHORT)
    width = encoder.feature_dim
    start = linear._initial((width,), 3, 0)
    layer = nn.Linear(width, 3)
    layer.load_state_dict({"weight": start.weight, "bias": start.bias})
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.5, momentum=0.9)
    for epoch in range(4):
        optimiser.param_groups[0]["lr"] = 0.5 if epoch < 2 else 0.05
        cut = crop.drawn(train.clips["few_6"], seeds.generator("cpu", 0, "crop", epoch, 0))
        with torch.no_grad():
            x = encoder(cut, "few_6")
        order = torch.randperm(len(x), generator=seeds.generator("cpu", 0, "linear", epoch))
        for rows in order.split(options.batch_size):
            optimiser.zero_grad()
            nn.functional.cross_entropy(layer(x[rows]), train.labels[rows]).backward()
            optimiser.step()
    with torch.no_grad():
        expected = layer(encoder(crop.centre(test.clips["few_6"]), "few_6"))
    torch.testing.assert_close(scores.values, expected, rtol=1e-4, atol=1e-5)
    assert found.settings["crop"] == {
        "train": [0.5, 1.0], "test": 0.95, "frames": 8, "min_frames": 2, "sampling": "ends",
        "absent": "masked",
    }  # fmt: skip


def test_crops_change_every_protocol_that_takes_them(run: Path) -> None:
    crop = {"crop": {"frames": 8}}
    protocols = ["linear", "retrieval", "finetune", "semi"]
    quick: dict[str, dict[str, Any]] = {
        "linear": {"epochs": 2}, "finetune": {"epochs": 1}, "semi": {"epochs": 1, "shares": [50], "draws": 1},
    }  # fmt: skip
    values = []
    for more in ({}, crop):
        options = {name: quick.get(name, {}) | more for name in protocols}
        found = evaluate_run(run, protocols=protocols, device="cpu", options=options)
        values.append([read_scores(run / "results" / str(each.scores)).values for each in found])
    for whole, cut in zip(*values, strict=True):
        assert whole.shape == cut.shape
        assert not torch.allclose(whole, cut)


def options_of(title: str) -> dict[str, Any]:
    """Protocol -> its options in runs of a preset."""
    sections = config.find_preset(*title.split("/")).tree.get("evaluate", {})
    return protocol_options(["linear", "retrieval", "finetune", "semi", "supervised", "transfer"], sections)


def rates(options: Any) -> list[float]:
    settled = options.rates() if hasattr(options, "rates") else linear._rates(options)
    return [optim.learning_rate(settled, epoch) for epoch in range(options.epochs)]


@pytest.mark.parametrize("name", ["paper", "pku-1", "pku-2"])
def test_iscs_evaluation_has_the_numbers_of_its_appendix(name: str) -> None:
    found = options_of(f"isc/{name}")
    assert rates(found["linear"]) == pytest.approx([0.1] * 50 + [0.01] * 20 + [0.001] * 10)
    assert (found["linear"].momentum, found["linear"].weight_decay) == (0.9, 0)
    for protocol in ("finetune", "semi", "supervised", "transfer"):
        assert found[protocol].optimiser == "adam"
        assert rates(found[protocol]) == pytest.approx([1e-4] * 30 + [1e-5] * 10 + [1e-6] * 10)
        assert found[protocol].crop == found["linear"].crop == Crop()
        assert found[protocol].mode == "train"
    assert (found["semi"].shares, found["semi"].draws) == ((1, 5, 10, 20), 5)
    assert found["retrieval"].crop == Crop(train=None)


def test_released_isc_cuts_64_of_its_raw_frames() -> None:
    found = options_of("isc/released")
    released = Crop(train=(0.5, 1.0), test=0.95, frames=64, min_frames=64, sampling="centres", absent="zeros")
    assert {protocol: options.crop for protocol, options in found.items()} == {
        protocol: released if protocol != "retrieval" else released.model_copy(update={"train": None})
        for protocol in found
    }
    assert (found["linear"].batch_size, options_of("isc/paper")["linear"].batch_size) == (64, 128)


def test_skelemixclrs_evaluation_has_the_papers_schedules() -> None:
    warm = [epoch / 100 for epoch in range(10)]
    for title in ("skelemixclr/paper", "skelemixclr/plus", "skelemixclr/pku-2", "skelemixclr/released"):
        found = options_of(title)
        assert rates(found["finetune"]) == pytest.approx(
            warm + [0.1] * 40 + [0.01] * 20 + [0.001] * 20 + [0.0001] * 20
        )
        assert rates(found["semi"]) == pytest.approx([e / 200 for e in range(20)] + [0.1] * 60 + [0.01] * 20)
        assert found["finetune"].weight_decay == found["semi"].weight_decay == 1e-4
        assert rates(found["linear"]) == pytest.approx([3.0] * 80 + [0.3] * 20)


def test_csclrs_and_aimclrs_evaluation_is_the_default() -> None:
    for title in ("aimclr/paper", "csclr/paper", "ms-clr/paper", "skeletonclr/paper", "crosclr/paper"):
        found = options_of(title)
        assert rates(found["linear"]) == pytest.approx([3.0] * 80 + [0.3] * 20)
        assert rates(found["finetune"]) == rates(found["semi"]) == pytest.approx([0.1] * 80 + [0.01] * 20)
        assert found["finetune"].weight_decay == 1e-4


def test_released_code_learns_in_eval_mode_and_draws_rounded_shares() -> None:
    for title in ("aimclr/released", "skelemixclr/released", "skelemixclr/plus-released", "ms-clr/released"):
        found = options_of(title)
        assert (found["finetune"].mode, found["semi"].mode, found["semi"].counts) == (
            "eval",
            "eval",
            "rounded",
        )
        assert found["finetune"].nesterov == title.startswith("skelemixclr")
    assert options_of("crosclr/released")["linear"].streams == "together"
    assert options_of("crosclr/paper")["linear"].streams == "apart"


@pytest.mark.parametrize("name", ["demo", "nw-ucla"])
def test_tuned_presets_of_isc_keep_whole_clips_and_their_schedules(name: str) -> None:
    found = options_of(f"isc/{name}")
    assert not any(options.crop for options in found.values())
    probe = linear.Options(standardise=True, lr=0.1)
    assert found["linear"] == probe
    assert {found[each].schedule for each in ("finetune", "semi", "supervised", "transfer")} == {"small"}


def test_a_part_of_a_presets_crop_can_be_replaced() -> None:
    preset = {"linear": {"lr": 0.1, "crop": {"frames": 64, "min_frames": 64}}}
    found = protocol_options(["linear"], preset, {"linear": {"crop": {"test": 0.9}}})["linear"]
    assert found.crop == Crop(frames=64, min_frames=64, test=0.9)
    assert protocol_options(["linear"], preset, {"linear": {"crop": None}})["linear"].crop is None


@pytest.mark.parametrize("option", ["frames", "min_frames"])
def test_no_clip_is_longer_than_a_store_may_have(option: str) -> None:
    with pytest.raises(ValidationError, match="less than or equal to 10000"):
        Crop(**{option: 10**8})
