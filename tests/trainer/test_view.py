"""What the viewer shows of a run: what its encoders are given, its errors, nearest clips, the page of all."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
import torch
from torch import Tensor

import skeltools
from schemas import UnknownSampleError, UsageError
from skeltools.pictures.upright import turn
from tests.trainer import simclr, tiny
from tests.trainer.clips import batch
from tests.trainer.runs import TINY, tiny_config
from tests.trainer.stores import write_store
from tests.trainer.tiny import Case
from trainer import encoders, loop
from trainer.evaluate.scores import Scores, write_scores
from trainer.run import open_run
from trainer.streams import derive
from trainer.view import features, mistakes
from trainer.view.inputs import MIXED, distinct_inputs, inputs
from trainer.view.page import FIRST, POINTS, RunPage
from trainer.view.views import CLIPS, DRAWS, Views

with simclr.registered():
    CASES = tiny.one_case_each()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What encoders are given while a test runs, in their order."""
    found: list[Tensor] = []

    def noting(feature_map: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(self: Any, x: Tensor, convention: str) -> Tensor:
            found.append(x.detach().clone())
            return feature_map(self, x, convention)

        return call

    for kind in encoders.ENCODERS.values():
        monkeypatch.setattr(kind, "feature_map", noting(kind.feature_map))
    return found


# What a method sees


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_shown_is_what_the_encoders_of_every_method_are_given(
    case: Case, given: list[Tensor]
) -> None:
    with simclr.registered():
        for epoch in case.epochs:
            case.build().train()(batch(case.skeletons, samples=4, bodies=2, epoch=epoch))
            trained = given.copy()
            method = case.build().eval()
            before = {name: value.clone() for name, value in method.state_dict().items()}
            seen = inputs(method, batch(case.skeletons, samples=4, bodies=2, epoch=epoch))
            assert len(seen) == len(trained) > 1
            for sight, x in zip(seen, trained, strict=True):
                assert torch.equal(sight.values, x)
                if sight.name != MIXED:
                    spec = case.skeletons[sight.convention].spec
                    assert torch.equal(derive(sight.joints, sight.stream, spec), x)
            after = method.state_dict()
            assert all(torch.equal(value, after[name]) for name, value in before.items())
            assert not any("feature_map" in vars(module) for module in method.modules())
            given.clear()


def test_names_and_roles_of_views() -> None:
    shown = {
        name: [
            (each.role, each.name)
            for each in distinct_inputs(CASES[name].build().eval(), batch(CASES[name].skeletons))
        ]
        for name in ("skeletonclr", "aimclr", "crosclr", "isc", "skelemixclr", "decorrelate")
    }
    assert shown["skeletonclr"] == [("query", "normal"), ("key", "normal")]
    assert shown["aimclr"] == [("query", "normal"), ("query", "extreme"), ("key", "normal")]
    assert shown["crosclr"] == shown["isc"] == shown["skeletonclr"]
    assert shown["skelemixclr"] == [("query", "normal"), ("key", "normal"), ("query", MIXED)]
    assert shown["decorrelate"] == [("view", "normal"), ("view", "normal")]


def test_pairs_of_conventions_are_shown_in_their_own() -> None:
    case = CASES["ms-clr-skeletonclr"]
    one = batch(case.skeletons, seed=3)
    query, key = distinct_inputs(case.build().eval(), one)
    assert (query.convention, key.convention) == (one.query, one.key)
    assert query.convention != key.convention
    assert query.joints.shape[3] == case.skeletons[query.convention].num_joints


@pytest.mark.parametrize("filling", ["partner", "zeros"])
def test_of_a_mixed_view_what_is_marked_is_from_another_clip(filling: str) -> None:
    case = CASES["skelemixclr"]
    seen = distinct_inputs(case.build(filling=filling).eval(), batch(case.skeletons, bodies=2))
    normal, mixed = (next(each for each in seen if each.name == name) for name in ("normal", MIXED))
    assert mixed.taken is not None
    inside = mixed.taken[:, :, None]
    assert 0.1 < inside.float().mean() < 0.9
    assert torch.equal(mixed.values.masked_fill(inside, 0), normal.values.masked_fill(inside, 0))
    shifts = range(1, len(normal.values)) if filling == "partner" else [0]
    fill = normal.values if filling == "partner" else torch.zeros_like(normal.values)
    assert any(
        torch.equal(mixed.values.masked_fill(~inside, 0), fill.roll(shift, 0).masked_fill(~inside, 0))
        for shift in shifts
    )


def read(track: dict[str, Any], name: str = "positions", scale: str = "scale") -> np.ndarray:
    """Positions or vectors [T, M, V, 3] of a track's JSON."""
    numbers = np.frombuffer(base64.b64decode(track[name]), "<i2")
    values = numbers.reshape(track["frames"], track["bodies"], len(track["joints"]), 3) * track[scale]
    return values + np.array(track["origin"]) if name == "positions" else values


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, list[Tensor], int]:
    """A run of SkeletonCLR on bones, what its encoders were given in training, and the steps of an epoch."""
    folder = tmp_path_factory.mktemp("trained")
    store = write_store(folder / "toy.zarr", streams=("joint", "bone"))
    config = tiny_config(store, data__stream="bone")
    found: list[Tensor] = []
    feature_map = encoders.STGCN.feature_map

    def noting(self: Any, x: Tensor, convention: str) -> Tensor:
        found.append(x.detach().clone())
        return feature_map(self, x, convention)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders.STGCN, "feature_map", noting)
        loop.pretrain(config, out=folder / "run")
    return folder / "run", found, len(found) // (2 * config.optimise.epochs)


def test_views_are_those_of_the_training(trained: tuple[Path, list[Tensor], int]) -> None:
    path, found, steps = trained
    views = Views(open_run(path, device="cpu"))
    for epoch in (0, 1):
        for step, one in enumerate(views.batches(epoch)):
            seen = inputs(views._method, one)
            begin = 2 * (epoch * steps + step)
            for sight, x in zip(seen, found[begin : begin + 2], strict=True):
                assert torch.equal(sight.values, x)


def test_scenes_are_the_views_turned_upright(trained: tuple[Path, list[Tensor], int]) -> None:
    path, found, _ = trained
    views = Views(open_run(path, device="cpu"))
    items = views.items()
    assert len(items) == min(CLIPS, TINY["optimise.batch_size"])
    assert {each["title"] for each in items} <= {"wave", "kick", "jump"}
    told = views.scenes(items[1]["id"])
    titles = [f"{epoch + 1}: {role}, normal" for epoch in range(DRAWS) for role in ("query", "key")]
    assert [scene["title"] for scene in told["scenes"]] == ["the clip", *titles]
    track = told["scenes"][1]["tracks"][0]
    assert (track["kind"], track["name"]) == ("bone", "few_6")
    turned = found[0][1].permute(1, 3, 2, 0).numpy() @ views._turn("few_6").T
    size = track["vector_scale"]
    assert np.abs(read(track, "vectors", "vector_scale") - turned)[:, 0].max() < size
    json.dumps(told, allow_nan=False)
    with pytest.raises(UnknownSampleError, match="'nobody' is none of the clips"):
        views.scenes("nobody")


def test_a_mixed_view_is_shaded(tmp_path: Path) -> None:
    store = write_store(tmp_path / "toy.zarr")
    loop.pretrain(tiny_config(store, method="skelemixclr", optimise__epochs=1), out=tmp_path / "run")
    views = Views(open_run(tmp_path / "run", device="cpu"))
    scenes = views.scenes(views.items()[0]["id"])["scenes"]
    mixed = next(scene for scene in scenes if scene["title"].endswith("query, mixed"))
    shade = np.frombuffer(base64.b64decode(mixed["tracks"][0]["shade"]), np.uint8)
    assert set(shade) == {0, 255}
    assert mixed["facts"] == {"shaded": "from another clip, or taken out"}


def rotations() -> Iterator[np.ndarray]:
    """The 24 rotations by quarter turns."""
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((-1, 1), repeat=3):
            made = np.zeros((3, 3))
            made[range(3), axes] = signs
            if np.linalg.det(made) > 0:
                yield made


def test_people_are_stood_up_whatever_a_recipe_did() -> None:
    spec = skeltools.skeleton("kinectv2_25")
    assert spec.shoulders is not None
    rng = np.random.default_rng(0)
    standing = rng.normal(scale=0.02, size=(9, 25, 3))
    standing[:, list(spec.shoulders), 1] += 1
    standing[:, spec.shoulders[0], 0] -= 0.4
    standing[:, spec.shoulders[1], 0] += 0.4
    found = 0
    for rotation in rotations():
        poses = standing @ rotation.T
        turned = poses @ turn(spec, poses).T
        upward = (turned[:, list(spec.shoulders)].mean(axis=1) - turned.mean(axis=1))[:, 1]
        assert (upward > 0.5).all()
        if not np.array_equal(turn(spec, poses), np.eye(3)):
            found += 1
            assert (turned[:, spec.shoulders[0], 0] < turned[:, spec.shoulders[1], 0]).all()
            assert np.linalg.det(turn(spec, poses)) == pytest.approx(1)
    assert found == 20  # where y is up already, nothing is turned


def test_what_says_nothing_turns_nothing() -> None:
    spec, hand = skeltools.skeleton("kinectv2_25"), skeltools.skeleton("mediapipe_hand_21")
    nothing = np.zeros((3, 25, 3))
    wrong = np.full((3, 25, 3), np.nan)
    for poses in (nothing, wrong, nothing[:0]):
        np.testing.assert_array_equal(turn(spec, poses), np.eye(3))
    np.testing.assert_array_equal(turn(hand, np.ones((2, 21, 3))), np.eye(3))


# A run as a page


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> RunPage:
    """A run on a store of 24 clips of two classes, evaluated."""
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    pose = rng.normal(size=(1, 25, 3))
    clips = {
        f"clip{n:02}": pose
        + 0.3 * np.sin((1 + 4 * (n % 2)) * np.arange(20) / 5)[:, None, None]
        + 0.05 * rng.normal(size=(20, 25, 3))
        for n in range(24)
    }
    labels = [f"{'swing' if n % 2 else 'sway'} <b>" for n in range(24)]
    splits = {"half": {"train": [id for n, id in enumerate(clips) if n % 3]}}
    options: dict[str, Any] = {"convention": "kinectv2_25", "recipe": "raw", "frames": [12]}
    skeltools.write(clips, folder / "s.zarr", labels=labels, splits=splits, **options)
    loop.pretrain(tiny_config(folder / "s.zarr", data__split="half"), out=folder / "run")
    run = open_run(folder / "run", device="cpu")
    run.evaluate("knn", options={"knn": {"k": 3}})
    return RunPage(run)


def ask(page: RunPage, address: str) -> Any:
    """As the server does."""
    name, _, query = address.removeprefix("api/").partition("?")
    return page.answers()[name](parse_qs(query))


def test_every_tab_has_items_and_every_item_scenes(page: RunPage) -> None:
    tabs = {tab["name"]: tab for tab in ask(page, "api/store")["tabs"]}
    assert list(tabs)[:1] == ["views"]
    assert {"neighbours", "map"} <= set(tabs)
    for tab in tabs.values():
        told = ask(page, tab["url"])
        items = told["points" if tab["kind"] == "map" else "items"]
        for item in items[:2]:
            where = f"{tab['url']}/scenes?id={item['id']}"
            answer = ask(page, where)
            json.dumps(answer, allow_nan=False)
            assert answer["scenes"]
            assert all(scene["tracks"] for scene in answer["scenes"])
        with pytest.raises((UsageError, UnknownSampleError)):
            ask(page, f"{tab['url']}/scenes?id=nobody")
        with pytest.raises(UsageError, match="the id of one item"):
            ask(page, f"{tab['url']}/scenes")


def test_the_samples_of_the_store_are_there_as_well(page: RunPage) -> None:
    assert json.loads(ask(page, "api/rows"))["total"] == 24
    assert ask(page, "api/sample?id=clip03")["title"].startswith("swing")


def test_neighbours_are_the_nearest_by_cosine(page: RunPage) -> None:
    space = features.FeatureSpace(page.run)
    values = torch.nn.functional.normalize(space.bank.values.double(), dim=1).numpy()
    ids = list(space.bank.ids)
    for row in (0, 5, 23):
        cosines = values @ values[row]
        cosines[row] = -2
        order = np.argsort(-cosines, kind="stable")[: features.NEAREST]
        near = space.near(ids[row])
        assert list(near.ids) == [ids[other] for other in order]
        scenes = ask(page, f"api/run/neighbours/scenes?id={ids[row]}")["scenes"]
        assert [scene["id"] for scene in scenes] == [ids[row], *near.ids]
        marks = ["✓" if int(id[4:]) % 2 == row % 2 else "✗" for id in near.ids]
        assert [scene["title"][0] for scene in scenes[1:]] == marks


def test_the_map_has_a_point_for_every_clip(page: RunPage) -> None:
    told = ask(page, "api/run/map")
    assert {point["id"] for point in told["points"]} == {f"clip{n:02}" for n in range(24)}
    for point in told["points"]:
        assert told["classes"][point["label"]].startswith("swing" if int(point["id"][4:]) % 2 else "sway")


def test_few_points_and_no_extras_give_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    line = np.linspace(-1, 1, 40)[:, None] * np.array([[3.0, 4.0, 0.0]])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    flat = features.plane(line)
    assert flat.shape == (40, 2)
    np.testing.assert_allclose(np.abs(flat[:, 0]), np.abs(np.linspace(-5, 5, 40)), atol=1e-12)
    np.testing.assert_allclose(flat[:, 1], 0, atol=1e-12)


def test_errors_are_those_of_the_scores_the_surest_first(page: RunPage) -> None:
    saved = mistakes.chosen(page.run)
    assert saved is not None
    rng = np.random.default_rng(1)
    classes = ("sway <b>", "swing <b>", "rest")
    values = torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 3, 8))
    ids = tuple(f"clip{n:02}" for n in range(8))
    path = saved.path.with_name(str(saved.result.scores))
    kept = path.read_bytes()
    write_scores(Scores(ids, labels, values, classes), path)
    try:
        found, total = mistakes.mistakes(saved)
        expected = []
        for row in range(8):
            shares = np.exp(values[row].double().numpy())
            shares /= shares.sum()
            if shares.argmax() != labels[row]:
                expected.append((ids[row], classes[shares.argmax()], shares.max()))
        expected.sort(key=lambda each: -each[2])
        assert total == 8
        assert [(each.id, each.said) for each in found] == [each[:2] for each in expected]
        np.testing.assert_allclose(
            [each.confidence for each in found], [each[2] for each in expected], rtol=1e-5
        )
        shown = RunPage(page.run)
        first = ask(shown, "api/run/errors")["items"][0]
        assert first["title"] == f"{found[0].true} → {found[0].said}"
        assert (
            ask(shown, f"api/run/errors/scenes?id={found[0].id}")["scenes"][0]["facts"]["said"]
            == found[0].said
        )
    finally:
        path.write_bytes(kept)


def test_a_run_without_results_has_no_errors_to_show(trained: tuple[Path, list[Tensor], int]) -> None:
    run = open_run(trained[0], device="cpu")
    assert mistakes.chosen(run) is None


def test_one_file_has_the_first_items_of_every_tab(page: RunPage, tmp_path: Path) -> None:
    size = page.write(tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text()
    assert size == len(text.encode())
    packed = re.search(r'id="clips">([^<]+)<', text)
    assert packed is not None
    held = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    assert held["store"]["rows"] is False
    for tab in held["store"]["tabs"]:
        listed = held["items"][tab["url"]]
        items = listed["points" if tab["kind"] == "map" else "items"]
        assert 0 < len(items) <= (POINTS if tab["kind"] == "map" else FIRST)
        for item in items:
            assert held["items"][item["scenes"]]["scenes"]
    assert "<b>" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    with pytest.raises(UsageError, match="is there already"):
        page.write(tmp_path / "run.html")
