"""A step, a format, an augmentation and an encoder, each one module and one line, do what others do.

Data sets, methods and protocols: ``test_new_data_set``, ``test_new_method``, ``test_protocols``; conventions:
``test_own_conventions``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import skeltools
from schemas import Component, SkeletonSpec
from schemas._model import Model
from skeltools import preprocess, store
from skeltools.cli import run
from skeltools.formats import FORMATS, export
from skeltools.formats.archives import About
from skeltools.formats.selection import Selection
from skeltools.preprocess.clip import Counts, Goal, Prepared
from skeltools.preprocess.steps import STEPS
from skeltools.raw_items import Listing, RawItem
from skeltools.readers import READERS
from skeltools.sequence import SkeletonSequence
from tests.trainer.runs import evaluate_run, tiny_config
from tests.trainer.stores import write_store
from trainer import augment, encoders, loop
from trainer import store as stores
from trainer.augment.planned import Planned
from trainer.augment.transforms import Transform
from trainer.skeleton import Skeleton


def lift(clip: SkeletonSequence, goal: Goal, *, metres: float = 1.0) -> tuple[SkeletonSequence, Counts]:
    """Everybody is that much higher."""
    joints = clip.joints + np.where(clip.present[..., None, None], [0, metres, 0], 0)
    return replace(clip, joints=joints), {}


def test_a_preprocessing_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STEPS, "lift", lift)
    recipe = tmp_path / "high.yaml"
    recipe.write_text("- first_tracks\n- lift: {metres: 2.0}\n- resize\n")
    joints = np.random.default_rng(0).normal(size=(6, 17, 3)).astype(np.float32)
    clip, spec = SkeletonSequence.from_joints("a", joints, "coco_17"), skeltools.skeleton("coco_17")
    without = tuple(Component(name=name) for name in ("first_tracks", "resize"))
    low, high = (
        preprocess.prepare(clip, recipe=each, spec=spec, frames=6, bodies=1)
        for each in (without, str(recipe))
    )
    assert isinstance(low, Prepared)
    assert isinstance(high, Prepared)
    np.testing.assert_allclose(high.joint[1] - low.joint[1], 2, atol=1e-5)
    np.testing.assert_array_equal(high.joint[0], low.joint[0])


def as_lines() -> ModuleType:
    """A format: a line of JSON a clip, in one convention, with a label, at full length."""

    def write(partial: Path, selection: Selection) -> None:
        opened = selection.opened
        labels = store.read_column(opened, "samples/label").tolist()
        ids = store.read_column(opened, "samples/id").tolist()
        clips = list(store.read_sequences(opened, selection.conventions[0]))
        rows = [(ids[row], labels[row], clips[row]) for row in selection.rows]
        lines = [json.dumps([id, label, clip.joints.tolist()]) for id, label, clip in rows if clip]
        partial.write_text("\n".join(lines), encoding="utf-8")

    def about(raw: Path) -> About:
        return About((25,), 2, 60)

    def discover(raw: Path, *, spec: SkeletonSpec) -> Listing:
        lines = enumerate(raw.read_text(encoding="utf-8").splitlines())
        return Listing(
            tuple(RawItem(json.loads(line)[0], spec.name, raw, member=str(n)) for n, line in lines)
        )

    def read(item: RawItem) -> SkeletonSequence:
        line = Path(item.path).read_text(encoding="utf-8").splitlines()[int(item.member or 0)]
        id, label, joints = json.loads(line)
        return SkeletonSequence.from_joints(id, np.array(joints, np.float32), item.convention, label=label)

    made = ModuleType("as_lines")
    made.__dict__.update(about=about, discover=discover, read=read, write=write)
    made.__dict__.update(FOLDER=False, ONE_STREAM=False, ONE_PROTOCOL=False)
    made.__dict__.update(ONE_CONVENTION=True, ONLY_SEQUENCES=True, NEEDS_LABELS=True)
    return made


def test_a_format(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = as_lines()
    for registry in (FORMATS, READERS, export.TARGETS):
        monkeypatch.setitem(registry, "lines", made)
    few, lines, back = tmp_path / "ids.txt", tmp_path / "clips.jsonl", tmp_path / "back.zarr"
    before = skeltools.open(demo_data / "store.zarr")
    few.write_text("\n".join(before.ids[:3]))
    words = ["export", str(demo_data / "store.zarr"), "--to", "lines", "--out", str(lines)]
    assert run([*words, "--ids", str(few), "--frames", "24"]) == 2
    assert "lines holds sequences at full length" in capsys.readouterr().err
    assert run([*words, "--ids", str(few)]) == 0
    assert run(["convert", "ntu60", "--from", "lines", "--raw", str(lines), "--out", str(back)]) == 0
    after = skeltools.open(back)
    assert after.ids == before.ids[:3]
    for id in after.ids:
        np.testing.assert_array_equal(after[id].joints, before[id].joints)
        assert after[id].label == before[id].label


@Planned
def sink(x: Tensor, skeleton: Skeleton, generator: torch.Generator, *, share: float = 0.5) -> Transform:
    """Heights are a share of what they were. x [N,3,T,V,M] -> same."""
    scale = torch.diag(torch.tensor([1.0, share, 1.0]))
    return Transform(matrices=scale.expand(len(x), 3, 3).contiguous())


class Means(nn.Module):
    """The mean over frames and bodies of each joint, and a layer for each convention."""

    class Options(Model):
        width: int = 8

    map_axes = None

    def __init__(self, skeletons: Mapping[str, Skeleton], *, options: Means.Options) -> None:
        super().__init__()
        self.feature_dim = options.width
        self.joints = {name: each.num_joints for name, each in skeletons.items()}
        self.layers = nn.ModuleDict(
            {name: nn.Linear(3 * v, options.width) for name, v in self.joints.items()}
        )

    @property
    def steps(self) -> tuple[str, ...]:
        return (r"layers\..*",)

    def feature_map(self, x: Tensor, convention: str) -> Tensor:
        means = x[..., : self.joints[convention], :].mean(dim=2).permute(0, 3, 1, 2)
        out: Tensor = self.layers[convention](means.flatten(0, 1).flatten(1))
        return out

    def pool(self, features: Tensor, bodies: int) -> Tensor:
        return features.view(-1, bodies, self.feature_dim).mean(dim=1).float()

    def forward(self, x: Tensor, convention: str) -> Tensor:
        return self.pool(self.feature_map(x, convention), x.shape[4])


def test_an_augmentation_and_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(augment.AUGMENTATIONS, "sink", sink)
    monkeypatch.setitem(encoders.ENCODERS, "means", Means)  # type: ignore[arg-type]
    path = write_store(tmp_path / "s.zarr")
    config = tiny_config(
        path,
        encoder={"name": "means", "options": {"width": 6}},
        augment__normal=[{"name": "shear"}, {"name": "sink", "options": {"share": 0.25}}],
    )
    assert [each.name for each in config.augment.normal] == ["shear", "sink"]
    chain = augment.compile_chain([Component(name="sink", options={"share": 0.25})])
    x = torch.randn(2, 3, 4, 6, 1)
    skeleton = stores.skeletons(stores.open_store(path), ["few_6"])["few_6"]
    torch.testing.assert_close(chain(x, skeleton, torch.Generator())[:, 1], 0.25 * x[:, 1])
    loop.pretrain(config, out=tmp_path / "run")
    results = evaluate_run(tmp_path / "run", protocols=["knn"], device="cpu")
    assert all(0 <= result.top1 <= 100 for result in results)
    assert {"knn"} <= {result.protocol for result in results}
