"""Older keys of a query's own clip in the queue: how often they are there, and masking them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.trainer import tiny
from tests.trainer.clips import batch, generator
from tests.trainer.tiny import Case
from trainer import data, losses
from trainer.methods import mixing
from trainer.methods.moco import MoCoOptions
from trainer.momentum import Queue
from trainer.store import Samples

CASES = tiny.with_queue()


# --- how often


def share(clips: int, *, batch_size: int, queue: int) -> float:
    """Share of the queries whose clip has an older key in the queue.

    An epoch has b batches, of which a clip is in each with the same probability or in none. A key from batch
    i of the e-th epoch before is b e - i + j batches old for a query in batch j; the queue holds q of them.
    """
    b, q = clips // batch_size, queue // batch_size
    shown = b * batch_size / clips
    met = []
    for j in range(b):
        missed = 1.0
        for e in range(1, q // b + 2):
            missed *= 1 - shown * sum(b * e - i + j <= q for i in range(b)) / b
        met.append(1 - missed)
    return sum(met) / b


@pytest.mark.parametrize(("size", "expected"), [(256, 5), (512, 18), (1024, 61)])
def test_a_queue_shorter_than_an_epoch_holds_own_keys_since_epochs_are_shuffled(
    size: int, expected: int
) -> None:
    """NW-UCLA: 1020 clips in batches of 128, by the loader and the queue themselves and in closed form."""
    found = share(1020, batch_size=128, queue=size)
    assert round(100 * found) == expected
    clips = {"a": torch.zeros(1020, 1, 1, 1, 1)}
    samples = Samples(clips, torch.zeros(1020).long(), ("x",) * 1020, torch.arange(1020))
    queue = Queue(size, 1, generator=generator())
    met = []
    for epoch in range(60):
        for each in data.batches(samples, batch_size=128, seed=0, epoch=epoch):
            if epoch > 2:
                met.append(torch.isin(each.rows, queue.rows).float().mean())
            queue.enqueue(torch.zeros(128, 1), each.rows)
    assert float(torch.stack(met).mean()) == pytest.approx(found, abs=0.01)


def test_with_small_batches_it_is_half_the_square_of_the_queue_in_epochs() -> None:
    for size in (5000, 10000, 20000, 40000):
        found = share(40000, batch_size=100, queue=size)
        assert found == pytest.approx((size / 40000) ** 2 / 2, abs=0.003)
    assert share(40091, batch_size=128, queue=32768) == pytest.approx(0.335, abs=0.005), "NTU-60, xsub"
    assert share(5332, batch_size=128, queue=32768) > 0.999, "PKU-MMD II: six epochs are in the queue"


# --- masking


def random_scores(seed: int) -> Tensor:
    return torch.randn(5, 13, generator=generator(seed), dtype=torch.float64)


OWN = torch.rand(5, 12, generator=generator(9)) < 0.3


def literal(name: str, scores: Tensor, other: Tensor) -> Tensor:
    """Clip by clip, of the entries that are left."""
    terms = []
    for a, b, own in zip(scores, other, OWN, strict=True):
        left = [0, *(1 + j for j in range(12) if not own[j])]
        a, b = a[left], b[left]
        log = a - torch.logsumexp(a, 0)
        nearest = [1 + int(j) for j in b[1:].topk(2).indices]
        if name == "nce":
            terms.append(-log[0])
        elif name == "sum":
            terms.append(-log[[0, *nearest]].sum())
        elif name == "pooled":
            terms.append(-torch.logsumexp(log[[0, *nearest]], 0))
        elif name == "divergence":
            terms.append(-(b.detach().softmax(0) * log).sum())
        else:
            products = a[1:] * b[1:] * 0.5
            both = torch.cat([a, products]) - torch.logsumexp(torch.cat([a, products]), 0)
            chosen = [0, *nearest, *(len(a) - 1 + j for j in nearest)]
            terms.append(-both[chosen].mean())
    return torch.stack(terms).mean()


def masked(name: str, scores: Tensor, other: Tensor) -> Tensor:
    scores, other = losses.without(scores, OWN), losses.without(other, OWN)
    positives = losses.nearest(other, 2)
    positives[:, 0] = True
    if name == "nce":
        return losses.nce(scores)
    if name == "sum":
        return losses.multi_positive_nce(scores, positives)
    if name == "pooled":
        return losses.pooled_nce(scores, positives)
    if name == "divergence":
        return losses.distribution_divergence(other, scores)
    return losses.cross_stream_nce(scores, other, neighbours=2, temperature=0.5, masked=True)


@pytest.mark.parametrize("name", ["nce", "sum", "pooled", "divergence", "context"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_loss_is_that_of_the_entries_that_are_left(name: str, dtype: torch.dtype) -> None:
    found = []
    for of in (literal, masked):
        given = [random_scores(seed).to(dtype).requires_grad_() for seed in (1, 2)]
        loss = of(name, *given)
        loss.backward()
        grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in given]
        found.append([loss.detach(), *grads])
    torch.testing.assert_close(found[0], found[1])
    assert not found[1][1][:, 1:][OWN].any(), "no gradient"


def test_an_own_key_is_never_mined_even_when_nothing_else_is_there() -> None:
    scores = losses.without(
        torch.tensor([[0.0, 3.0, 1.0], [0.0, 3.0, 1.0]]), torch.tensor([[True, False], [True, True]])
    )
    assert losses.nearest(scores, 2).tolist() == [[False, False, True], [False, False, False]]


@pytest.mark.parametrize("name", CASES)
def test_a_queue_with_own_keys_is_the_queue_without_them(name: str) -> None:
    """All clips of a batch are of row 5, and so are 8 of 24 keys: as good as the other 16, in every stage."""
    case = CASES[name]
    own = torch.arange(24) % 3 == 0
    for epoch in case.epochs:
        found = []
        for options, kept in (
            ({"own_rows": "mask"}, torch.ones(24, dtype=torch.bool)),
            ({"queue": 16}, ~own),
            ({}, torch.ones(24, dtype=torch.bool)),
        ):
            method = case.build(**options)
            whole = case.build().state_dict()
            rows = torch.where(own, 5, 100 + torch.arange(24))
            state = {
                key: rows[kept] if key.endswith("queue.rows")
                else value[kept] if key.endswith(("queue.keys", "queue.steps"))
                else value
                for key, value in whole.items()
            }  # fmt: skip
            method.load_state_dict(state)
            given = batch(case.skeletons, epoch=epoch)
            out = method(replace(given, rows=torch.full_like(given.rows, 5)))
            out["loss"].backward()
            grads = [p.grad for p in method.networks.parameters() if p.grad is not None]
            found.append((out, grads))
        (mask, left), (less, right), (keep, _) = found
        assert set(mask) == set(less)
        for key in mask:
            torch.testing.assert_close(mask[key], less[key], rtol=1e-4, atol=1e-5, msg=key)
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)
        assert (mask["loss"] - keep["loss"]).abs() > 1e-4
        if "mined_rows" in mask:
            assert (mask["mined_rows"] != 5).all()


def test_the_own_row_of_a_fragment_is_its_partners() -> None:
    """SkeleMixCLR: the trimmed view's positive is the partner's key, so the partner's older keys are masked;
    the truncated view's are those of the clip."""
    case = Case(tiny.component("skelemixclr"), tiny.encoder("stgcn"))
    method, twin = (case.build(own_rows="mask") for _ in range(2))
    for each in (method, twin):
        each.moco.queue.rows.copy_(torch.arange(24) % 8)  # three older keys of each of 8 clips
    given, again = batch(case.skeletons), batch(case.skeletons)
    out = method(given)
    name = "kinectv2_25"
    x = twin.views.normal(again, name)
    _, frames = twin._normal_query(x, name)
    k = twin.moco.keys(twin.views.normal(again, name), name)
    shift = mixing.draw_shift(8, again.host_generator)
    p, g = twin._halves(x, again, shift=shift, frames=frames)
    p_, g_, k_, m = (t.detach().double().numpy() for t in (p, g, k, twin.moco.queue.keys))
    terms = []
    for n in range(8):
        partner = (n - shift) % 8
        for view, other, row in ((p_[n], g_[n], partner), (g_[n], p_[n], n)):
            negatives = [float(view @ m[j]) for j in range(24) if j % 8 != row] + [float(view @ other)]
            logits = np.array([float(view @ k_[row]), *negatives]) / 0.2
            terms.append(np.log(np.exp(logits).sum()) - logits[0])
    assert float(out["mix"]) == pytest.approx(np.mean(terms), abs=1e-4)


def test_unknown_rows_are_no_ones_own_and_keeping_is_the_default() -> None:
    assert MoCoOptions().own_rows == "keep"
    case = CASES["skeletonclr"]
    both: list[dict[str, Any]] = [
        case.build(own_rows=kind)(batch(case.skeletons)) for kind in ("keep", "mask")
    ]
    assert all(torch.equal(both[0][key], both[1][key]) for key in ("loss", "positive", "info_nce"))
    torch.testing.assert_close(both[0]["negative"], both[1]["negative"])


def test_keeping_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(losses, "without", never)
    for name in ("skeletonclr", "crosclr", "aimclr", "csclr"):
        case = CASES[name]
        for epoch in case.epochs:
            assert torch.isfinite(case.build()(batch(case.skeletons, epoch=epoch))["loss"])


def test_the_mean_cosine_to_the_queue_leaves_masked_keys_out() -> None:
    case = CASES["skeletonclr"]
    moco = next(iter(case.build(own_rows="mask").moco_of.values()))
    q = F.normalize(torch.randn(2, 8, generator=generator()), dim=1)
    moco.queue.rows.fill_(3)
    moco.queue.rows[4:6] = 7
    scores = moco.scores(q, q, torch.tensor([3, 7]))
    cosines = q @ moco.queue.keys.t()
    expected = torch.cat([cosines[0, 4:6], cosines[1, :4], cosines[1, 6:]]).mean()
    torch.testing.assert_close(moco.similarities(scores)["negative"], expected)
