"""Where released code departs from its paper: ours and the released way, each with its own value by hand.

Departures of a single method or encoder that has a test file of its own are tested there.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from schemas import AugmentConfig, CheckpointError, Component
from skeltools import skeletons
from tests.trainer import tiny
from tests.trainer.clips import batch, clips, generator, skeleton
from tests.trainer.stores import FEW
from tests.trainer.tiny import Case
from trainer import checkpoint, config, data, losses, seeds, streams
from trainer.augment import apply
from trainer.encoders import bodies
from trainer.methods.eadm import drop
from trainer.methods.moco import MoCo, MoCoOptions
from trainer.momentum import Queue, parameter_distance, update_
from trainer.store import Samples

SKELETONCLR = Case(tiny.component("skeletonclr"), tiny.encoder("stgcn"))
NO_VIEWS = AugmentConfig()


def test_key_weights_copied_after_initialisation_or_drawn_anew() -> None:
    """Copied: distance 0, and a clip's key is its query. Drawn anew: as far apart as unrelated weights,
    sqrt(2) of their own length, and the two embeddings of a clip have nothing to do with each other."""
    ours, released = (SKELETONCLR.build(with_augment=NO_VIEWS, key_init=k) for k in ("copy", "independent"))
    distances = [float(parameter_distance(m.networks, m.key_networks)) for m in (ours, released)]
    assert distances == [0, pytest.approx(2**0.5, abs=0.15)]
    assert float(ours(batch(SKELETONCLR.skeletons))["positive"]) == pytest.approx(1, abs=1e-5)
    assert float(released(batch(SKELETONCLR.skeletons))["positive"]) < 0.9


def test_moving_average_of_the_key_network_or_of_a_replica_that_is_thrown_away() -> None:
    query, key = (nn.Linear(1, 1, bias=False) for _ in range(2))
    with torch.no_grad():
        query.weight.fill_(3), key.weight.fill_(1)
    replica = copy.deepcopy(key)
    for value in (1.2, 1.38):
        update_(key, query, 0.9)
        assert key.weight.item() == pytest.approx(value), "0.9 key + 0.1 * 3"
    assert float(parameter_distance(query, key)) == pytest.approx((3 - 1.38) / 3)
    released = replica  # what DataParallel leaves of a key network whose replicas were updated
    assert released.weight.item() == 1
    assert float(parameter_distance(query, released)) == pytest.approx(2 / 3)


def test_the_distance_of_the_key_network_is_logged() -> None:
    method = SKELETONCLR.build(key_init="independent")
    logged = method.diagnostics(1)["query_key_distance"]
    assert logged == float(parameter_distance(method.networks, method.key_networks)) > 1


def test_queue_that_wraps_around_or_one_that_the_batch_must_divide() -> None:
    """Ten slots, batches of four. Released code asserts that 10 % 4 == 0."""
    queue = Queue(10, 1, generator=generator())
    for first in (0, 4, 8):
        queue.enqueue(torch.arange(first, first + 4.0)[:, None], torch.arange(first, first + 4))
    assert queue.keys[:, 0].tolist() == [10, 11, 2, 3, 4, 5, 6, 7, 8, 9]
    assert queue.rows.tolist() == [10, 11, 2, 3, 4, 5, 6, 7, 8, 9]
    assert queue.pointer.item() == 2
    assert 10 % 4 != 0


class Normalised(nn.Module):
    """A key network of one BatchNorm: [N] numbers -> [N, 1], whitened."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1, eps=1e-9, affine=False)

    def forward(self, x: torch.Tensor, convention: str) -> torch.Tensor:
        out: torch.Tensor = self.norm(x[:, None])
        return out


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ("none", [-1.0945, -0.8955, 0.8955, 1.0945]),  # mean 5.5, variance 25.25
        ("shuffle", [-1.0, -1.0, 1.0, 1.0]),  # every other clip: means 5 and 6, variances 25
    ],
)
def test_keys_normalised_with_their_whole_batch_or_in_groups(norm: str, expected: list[float]) -> None:
    method = SKELETONCLR.build(key_norm=norm, key_groups=2)
    moco: MoCo = method.moco
    moco.key = Normalised()
    keys = moco.keys(torch.tensor([0.0, 1.0, 10.0, 11.0]), "any")
    assert keys[:, 0].tolist() == pytest.approx(expected, abs=1e-4)


def test_key_groups_hold_two_clips_or_more_and_evaluation_has_none() -> None:
    method = SKELETONCLR.build(key_norm="shuffle", key_groups=4)
    sizes: list[int] = []
    method.moco.key.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    for samples in (8, 5, 3, 2):
        method(batch(SKELETONCLR.skeletons, samples=samples))
        assert sum(sizes) == samples
        assert samples < 4 or min(sizes) >= 2
        sizes.clear()
    method.eval()
    method(batch(SKELETONCLR.skeletons))
    assert sizes == [8]
    assert MoCoOptions().key_norm == "none"


def test_draws_of_every_epoch_of_its_own_or_the_same_every_epoch() -> None:
    samples = Samples(
        {"a": torch.zeros(8, 3, 2, 2, 1)}, torch.zeros(8).long(), tuple("abcdefgh"), torch.arange(8)
    )

    def draws(epoch: int) -> list[float]:
        each = data.batches(samples, batch_size=4, seed=0, epoch=epoch)
        return [float(torch.rand((), generator=one.generator)) for one in each]

    assert draws(0) == draws(0), "a run repeats"
    assert len({*draws(0), *draws(1)}) == 4, "epochs and steps differ"
    assert seeds.derive(0, 0, 0, "augment") != seeds.derive(0, 1, 0, "augment")
    released = [
        float(torch.rand((), generator=generator(worker))) for _epoch in range(2) for worker in (0, 1)
    ]
    assert released[:2] == released[2:], "a worker seeded by its number draws the same in every epoch"


def test_partition_by_full_distances_or_by_distances_cut_at_one() -> None:
    """25 Kinect joints: 24 bones towards the centre and 24 away, or most of them among the roots."""
    kinect = skeleton("kinectv2_25")
    assert [int(part.count_nonzero()) for part in kinect.adjacency] == [25, 24, 24]
    assert [int(part.count_nonzero()) for part in kinect.adjacency_degenerate] == [25, 40, 8]


KINECT_BONES = dict(skeletons.load("kinectv2_25").edges)


def test_bones_and_mirror_of_the_convention_or_of_the_kinect() -> None:
    """Joint v at x = v: a bone's x is v - parent. Six joints of a convention with the pelvis as joint 0."""
    x = torch.arange(6.0).view(1, 1, 1, 6, 1).expand(1, 3, 1, 6, 1)
    ours = streams.derive(x, "bone", FEW)[0, 0, 0, :, 0].tolist()
    assert ours == [0, 1, 1, 2, 4, 5], "parents 0 0 1 1 0 0"
    released = [float(v - KINECT_BONES.get(v, v)) for v in range(6)]
    assert released == [-1, -19, -18, 1, -16, 1], "parents 1 20 20 2 20 4: joints that are not there"
    assert x[0, 0, 0, list(FEW.left_right_swap), 0].tolist() == [0, 1, 3, 2, 5, 4]


def test_eadm_drops_neurons_joints_or_frames_and_rescales_over_the_batch() -> None:
    """Channel 0 is 1, 1, 1, 11: its inverse energies are 0.5625 three times and 1.0625, their sigmoids 0.637
    and 0.743. Channel 1 is constant: sigmoid(0.5) = 0.622. Only the neuron of 11 alone reaches 0.7."""
    x = torch.ones(1, 2, 2, 2)
    x[0, 0, 1, 1] = 11
    released = drop(x, temporal_map="neuron")
    expected = torch.full_like(x, 8 / 7)
    expected[0, 0, 1, 1] = 0
    torch.testing.assert_close(released, expected)
    assert torch.equal(drop(x, temporal_map="joint"), x), "(0.743 + 0.622) / 2 = 0.683"
    assert torch.equal(drop(x, temporal_map="frame"), x)
    both = drop(torch.cat([x, torch.ones_like(x)]), temporal_map="neuron")
    assert float(both[1, 0, 0, 0]) == pytest.approx(16 / 15), "the share kept is that of the batch"
    assert torch.equal(drop(x, threshold=0.6, temporal_map="neuron"), x), "a body never loses everything"


@pytest.mark.parametrize(("preset", "axis", "absent"), [("paper", 0.25, 0.0), ("released", 0.5, 0.5)])
def test_the_axis_mask_comes_last_in_released_views_and_noise_reaches_absent_bodies(
    preset: str, axis: float, absent: float
) -> None:
    """Masked with probability 1/2; noise that comes after, with 1/2, fills the axis again."""
    extreme = AugmentConfig(**config.find_preset("aimclr", preset).tree["augment"]).extreme
    x = clips(4000, 25, frames=8, bodies=2)
    x[..., 1] = 0
    view = apply(extreme, x, skeleton("kinectv2_25"), generator())
    there = view[..., 0].flatten(2).any(dim=2)
    assert float((~there).any(dim=1).float().mean()) == pytest.approx(axis, abs=0.025)
    assert float(view[..., 1].flatten(1).any(dim=1).float().mean()) == pytest.approx(absent, abs=0.025)


def test_eadm_counts_the_bodies_that_are_encoded() -> None:
    """The body of the test above beside an absent one, whose features are zeros where it is left out: it
    must be scaled by 8/7 as if it were alone; zeros that count as kept make 16/15 of it, 0.933 of that."""
    x = torch.ones(1, 2, 2, 2)
    x[0, 0, 1, 1] = 11
    two = torch.cat([x, torch.zeros_like(x)])
    alone, counted = drop(x), drop(two, counted=torch.tensor([True, False]))
    torch.testing.assert_close(counted[:1], alone)
    assert not counted[1].any()
    wrong = drop(two)
    assert float(wrong[0, 0, 0, 0] / alone[0, 0, 0, 0]) == pytest.approx(14 / 15)
    three = torch.cat([two, torch.ones_like(x)])
    found = drop(three, counted=torch.tensor([True, False, True]))
    assert float(found[2, 0, 0, 0]) == pytest.approx(16 / 15), "the other present body counts"


def test_absent_bodies_count_as_kept_where_they_are_encoded() -> None:
    """``average`` encodes the zeros, whose features are not zero: they count, as in the released code.
    ``present`` leaves them out, and a clip's second place that is empty changes nothing."""
    x = clips(6, 25, bodies=2)
    x[2:, ..., 1] = 0
    x[5] = 0
    assert bodies.encoded(x, join="average") is None
    found = bodies.encoded(x, join="present")
    assert found is not None
    assert found.view(6, 2).tolist() == [[True, True]] * 2 + [[True, False]] * 3 + [[False, False]]
    nobody = bodies.encoded(torch.zeros_like(x), join="present")
    assert nobody is not None
    assert nobody.all(), "a batch without anybody is encoded as it is"
    views = AugmentConfig(extreme=(Component(name="axis_mask"),))
    for join, same in (("present", True), ("average", False)):
        encoder = Component(name="stgcn", options={**tiny.ENCODER_OPTIONS["stgcn"], "bodies": join})
        case = Case(tiny.component("aimclr"), encoder)
        one, two = (batch(case.skeletons, bodies=1) for _ in range(2))
        two = replace(two, clips={n: torch.cat([x, torch.zeros_like(x)], 4) for n, x in two.clips.items()})
        a, b = (case.build(with_augment=views)(each)["divergence"] for each in (one, two))
        assert (abs(float(a - b)) < 1e-5) == same


def test_divergence_in_log_space_or_as_a_logarithm_of_probabilities() -> None:
    """Target (1/2, 1/2), scores (20, 0): 0.5 * 2e-9 + 0.5 * 20 = 10. In half precision softmax gives 0."""
    target, scores = torch.zeros(1, 2), torch.tensor([[20.0, 0.0]])
    assert float(losses.distribution_divergence(target, scores)) == pytest.approx(10, abs=1e-6)
    released = -(target.softmax(1) * scores.softmax(1).half().log()).sum()
    assert released == float("inf")


def test_neighbours_of_features_without_augmentation_or_of_augmented_embeddings() -> None:
    """The monitor sees what the encoder makes of the stored clips: as wide as the encoder, twice the same."""
    method = SKELETONCLR.build()
    method.eval()
    given = batch(SKELETONCLR.skeletons)
    x = given.clips["kinectv2_25"]
    ours = [method.encoders["joint"](x, "kinectv2_25") for _ in range(2)]
    released = [
        method.networks["joint"](method.views.normal(given, "kinectv2_25"), "kinectv2_25") for _ in range(2)
    ]
    assert ours[0].shape == (8, method.encoders["joint"].feature_dim)
    assert torch.equal(ours[0], ours[1])
    assert released[0].shape == (8, 8), "the projector's dimensions"
    assert not torch.equal(released[0], released[1])


def test_bones_of_a_tree_or_an_edge_list_read_as_child_and_parent() -> None:
    """Edges 0-1, 0-2, 1-3 without direction: joint 0 is overwritten once, joints 2 and 3 get no bone."""
    edges = [(0, 1), (0, 2), (1, 3)]
    released = dict(edges)
    assert len(edges) - len(released) == 1
    assert {0, 1, 2, 3} - set(released) == {2, 3}
    for name in skeletons.names():
        spec = skeletons.load(name)
        bones = [v for v, parent in enumerate(spec.parents) if parent != v]
        assert len(bones) == spec.num_joints - 1, f"{name}: every joint but the root has one bone"
        swap = spec.left_right_swap
        assert swap is None or [swap[swap[v]] for v in range(len(swap))] == list(range(spec.num_joints)), name
    smpl = skeletons.load("smpl_24")
    hands = [v for v, joint in enumerate(smpl.joints) if "hand" in joint or "hnd" in joint or "han" in joint]
    assert hands
    assert all(smpl.left_right_swap[v] != v for v in hands)


def test_absent_weights_are_an_error_or_a_random_encoder(tmp_path: Path) -> None:
    method, other = SKELETONCLR.build(), SKELETONCLR.build(seed=5)
    weights = {name: value for name, value in other.state_dict().items() if "encoder.blocks.0" not in name}
    block = method.encoders["joint"].blocks[0]
    before = block.gcn if hasattr(block, "gcn") else block
    held = copy.deepcopy(before.state_dict())
    with pytest.raises(CheckpointError, match=r"encoder\.blocks\.0.* is missing"):
        checkpoint.load_weights(method, weights, where=tmp_path)
    released = method.load_state_dict(weights, strict=False)
    assert released.missing_keys, "logged, and training goes on"
    assert all(torch.equal(value, held[name]) for name, value in before.state_dict().items())
