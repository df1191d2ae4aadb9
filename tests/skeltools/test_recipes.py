"""Recipes as files: what ships, what a user may write, and what every recipe keeps to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Component, ConfigError, RecipeRecord, SkeletonSpec, StoreManifest, UsageError
from skeltools import skeletons, store
from skeltools.cli import run
from skeltools.conversion import convert
from skeltools.conversion.derive import add_streams
from skeltools.preprocess import (
    RECIPES,
    STEPS,
    Dropped,
    Prepared,
    Recipe,
    load,
    prepare,
    recorded,
    resize_time,
)
from skeltools.preprocess.recipes import FOLDER, to_yaml
from skeltools.preprocess.steps import options_of
from skeltools.sequence import SkeletonSequence
from tests.skeltools.figures import KINECT, clip_of, clips, walking

# ---- what ships -----------------------------------------------------------------------------------------


def test_default_comes_first_and_every_file_is_there() -> None:
    assert list(RECIPES) == ["default", "centered", "crossclr", "denoised", "isc", "raw"]
    assert {path.stem for path in FOLDER.iterdir()} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_file_says_every_option(name: str) -> None:
    """So that a later default cannot change what a published recipe does."""
    written = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert yaml.safe_load(to_yaml(RECIPES[name])) == written


@pytest.mark.parametrize("name", RECIPES)
def test_a_printed_recipe_is_a_file_of_the_same_steps(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recipes", name]) == 0
    path = tmp_path / "mine.yaml"
    path.write_text(capsys.readouterr().out)
    assert load(str(path)) == Recipe("mine", RECIPES[name])
    assert run(["recipes", name, "--json"]) == 0
    path.write_text(capsys.readouterr().out)
    assert load(str(path)).steps == RECIPES[name]


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in RECIPES)
    assert run(["recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == list(RECIPES)


def test_what_older_stores_record_is_completed() -> None:
    steps = (
        Component(name="rank_by_motion"),
        Component(name="crop_to_presence"),
        Component(name="fill_gaps"),
        Component(name="center_clip"),
        Component(name="turn_clip"),
        Component(name="resize", options={"absent": "masked"}),
    )
    made = recorded(RecipeRecord(name="default", steps=steps))
    assert [step.name for step in made.steps] == [step.name for step in steps]
    options = {step.name: step.options for step in made.steps if step.options}
    assert options == {"fill_gaps": {"max_gap": None}, "resize": {"absent": "masked"}}


# ---- what a user writes ---------------------------------------------------------------------------------


@st.composite
def written(draw: st.DrawFn) -> list[object]:
    """Any valid list of steps, with some of their options."""
    names = draw(
        st.lists(st.sampled_from(sorted(set(STEPS) - {"resize", "file_order", "fill_joints"})), max_size=5)
    )
    items: list[object] = []
    first = ["fill_joints"] if draw(st.booleans()) else []
    for name in [*first, "file_order", *names, "rank_by_motion", "resize"]:
        defaults = options_of(name)().model_dump()
        kept = draw(st.sets(st.sampled_from(sorted(defaults)))) if defaults else set()
        items.append({name: {key: defaults[key] for key in sorted(kept)}} if kept else name)
    return items


@settings(deadline=None, max_examples=60)
@given(items=written())
def test_every_recipe_survives_the_round_trip(items: list[object], tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("recipe") / "mine.yaml"
    path.write_text(yaml.safe_dump(items))
    once = load(str(path))
    for step in once.steps:
        assert step.options == options_of(step.name)().model_dump()
    path.write_text(to_yaml(once.steps))
    assert load(str(path)) == once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a list of steps, found nothing"),
        ("[]", "expected a list of steps, found an empty list"),
        ("steps: [resize]", "expected a list of steps, found a mapping"),
        ("- [resize", "not valid YAML"),
        ("- !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("- 3", "step 1: expected the name of a step, or name: {option: value}, found int: 3"),
        ("- {resize: {}, fill_gaps: {}}", "step 1: expected the name"),
        ("- resize: [masked]", "step 1: expected the name"),
        ("- {name: [resize]}", "step 1: expected the name"),
        ("- rank_by_motion\n- rezise", "step 2: unknown preprocessing step 'rezise'. Did you mean 'resize'?"),
        ("- rank_by_motion\n- fill_gaps\n- resize: {absant: zeros}", "step 3 resize.absant: unknown option"),
        ("- rank_by_motion: {by: x}\n- resize", "step 1 rank_by_motion.by: unknown option. It takes none"),
        ("- resize: {absent: nan}", "step 1 resize.absent: expected 'masked' or 'zeros', found 'nan'"),
        ("- fill_gaps: {max_gap: '3'}", "step 1 fill_gaps.max_gap: expected a whole number or null"),
        ("- fill_gaps: {max_gap: 0}", "step 1 fill_gaps.max_gap: expected a number greater than or equal"),
        ("- fill_gaps: {max_gap: true}", "step 1 fill_gaps.max_gap: expected a whole number or null"),
        ("- denoise_spread: {share: 1.5}", "step 1 denoise_spread.share: expected a number less than or"),
        ("- denoise_motion: {low: .nan}", "step 1 denoise_motion.low: expected a finite number"),
        ("- denoise_motion: {keep_best: 1}", "step 1 denoise_motion.keep_best: expected true or false"),
        ("- resize", "no step chooses the bodies. Add one of rank_by_motion"),
        ("- file_order: {slots: 4}\n- resize", "no step chooses the bodies"),
        ("- rank_by_motion", "no step makes the length of the stream. Add resize"),
        ("- rank_by_motion\n- resize\n- crop_to_presence", "crop_to_presence changes the length after"),
        ("- " + "a" * 70_000, "cannot read the recipe (has more than 65536 bytes)"),
        ("- &a [*a]", "not valid YAML: is nested too deeply"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_on_one_line_before_any_raw_file_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    assert str(caught.value).startswith(f"{path}: {message}")
    nowhere = ["--raw", str(tmp_path / "nowhere"), "--out", str(tmp_path / "s.zarr")]
    assert run(["convert", "ntu60", "--recipe", str(path), *nowhere]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {caught.value}"
    assert not (tmp_path / "s.zarr").exists()


def test_aliases_that_multiply_are_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    rows = ["- &l0 [x, x]", *(f"- &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12))]
    path.write_text("\n".join(["- fill_gaps:", "    max_gap:", *(f"      {row}" for row in rows)]))
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    assert len(str(caught.value)) < 400


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'denoised'.*or your own file\.yaml"):
        load("denoise")
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        load(str(tmp_path / "none.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        load(str(tmp_path / "folder.yaml"))


def test_a_file_may_not_take_a_shipped_name_for_something_else(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_text(to_yaml(RECIPES["default"]))
    assert load(str(path)) == load("default")
    path.write_text("- rank_by_motion\n- resize\n")
    with pytest.raises(ConfigError, match="'default' is the name of a shipped recipe, and this one differs"):
        load(str(path))


# ---- what every recipe keeps to -------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(clip=clips(), name=st.sampled_from(list(RECIPES)), frames=st.integers(1, 40), bodies=st.integers(1, 3))
def test_every_clip_gives_a_sound_stream_or_a_reason(
    clip: SkeletonSequence, name: str, frames: int, bodies: int
) -> None:
    made = prepare(clip, recipe=name, spec=KINECT, frames=frames, bodies=bodies)
    if isinstance(made, Dropped):
        assert "body" in made.reason
        return
    assert made.joint.shape == (3, frames, 25, bodies)
    assert np.isfinite(made.joint).all()
    people = int(clip.present.any(axis=0).sum()) if name not in ("crossclr", "isc") else bodies
    if name != "raw":
        assert not made.joint[..., people:].any()
    assert all(n > 0 for n in made.counts.values())
    again = prepare(clip, recipe=name, spec=KINECT, frames=frames, bodies=bodies)
    assert isinstance(again, Prepared)
    np.testing.assert_array_equal(made.joint, again.joint)


def shuffled(spec: SkeletonSpec, old: np.ndarray) -> SkeletonSpec:
    """The convention with joint ``old[v]`` at place v."""
    new = np.argsort(old).tolist()
    return spec.model_copy(
        update={
            "joints": tuple(spec.joints[v] for v in old),
            "edges": tuple((new[child], new[parent]) for child, parent in spec.edges),
            "center": new[spec.center],
            "shoulders": tuple(new[v] for v in spec.shoulders),
            "left_right_swap": tuple(new[spec.left_right_swap[v]] for v in old),
            "body_parts": {part: tuple(new[v] for v in joints) for part, joints in spec.body_parts.items()},
        }
    )


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(list(RECIPES)),
    convention=st.sampled_from(["kinectv2_25", "berkeley_mhad_43", "coco_17", "smpl_24"]),
    seed=st.integers(0, 10**6),
)
def test_the_order_of_joints_means_nothing(name: str, convention: str, seed: int) -> None:
    spec, rng = skeletons.load(convention), np.random.default_rng(seed)
    present = rng.random((14, 3)) < 0.8
    clip = clip_of(walking(14, 3, spec=spec, seed=seed), present)
    old = rng.permutation(spec.num_joints)
    mixed = replace(clip, joints=clip.joints[:, :, old])
    one = prepare(clip, recipe=name, spec=spec, frames=9, bodies=2)
    two = prepare(mixed, recipe=name, spec=shuffled(spec, old), frames=9, bodies=2)
    assert type(one) is type(two)
    if isinstance(one, Prepared) and isinstance(two, Prepared):
        np.testing.assert_allclose(two.joint, one.joint[:, :, old], atol=1e-5)
        assert one.counts == two.counts


# ---- raw ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(clip=clips(), bodies=st.integers(1, 5))
def test_raw_at_its_own_length_is_the_clip_bit_for_bit(clip: SkeletonSequence, bodies: int) -> None:
    made = prepare(clip, recipe="raw", spec=KINECT, frames=clip.frames, bodies=bodies)
    kept = min(bodies, clip.bodies)
    if isinstance(made, Dropped):
        assert not clip.present[:, :kept].any()
        return
    np.testing.assert_array_equal(made.joint[..., :kept], clip.joints[:, :kept].transpose(3, 0, 2, 1))
    assert not made.joint[..., kept:].any()
    assert made.counts.get("bodies dropped", 0) == clip.present[:, bodies:].any(axis=0).sum()


def test_the_same_length_is_the_same_values() -> None:
    x = np.random.default_rng(0).normal(size=(37, 4)) * 1e9
    np.testing.assert_array_equal(resize_time(x, 37), x)
    assert resize_time(x, 37) is not x


# ---- in a store -----------------------------------------------------------------------------------------


def test_a_store_records_a_users_recipe_and_goes_on_with_it(recordings, clip, tmp_path: Path) -> None:
    one = clip("S001C001P001R001A001", frames=30)
    recordings.add(one)
    path, out = tmp_path / "mine.yaml", tmp_path / "s.zarr"
    path.write_text("- first_tracks\n- fill_gaps: {max_gap: 1}\n- resize\n")
    manifest = convert("ntu60", raw=recordings.raw, out=out, recipe=str(path)).manifest
    assert manifest.recipe.name == "mine"
    assert [step.options for step in manifest.recipe.steps] == [{}, {"max_gap": 1}, {"absent": "masked"}]
    made = load(str(path))
    path.unlink()
    add_streams(out, frames=(20,))
    with pytest.raises(UsageError, match="made with recipe mine, and a store holds one recipe"):
        add_streams(out, recipe="raw")
    path.write_text("- first_tracks\n- resize\n")
    with pytest.raises(UsageError, match="made with recipe mine, of which these steps differ"):
        add_streams(out, recipe=str(path))
    opened = store.open_store(out)
    for frames in (20, 50):
        expected = prepare(one, recipe=made, spec=KINECT, frames=frames, bodies=2)
        assert isinstance(expected, Prepared)
        row = store.read(opened, store.stream_path("kinectv2_25", frames, "joint"))[0]
        np.testing.assert_array_equal(row, expected.joint)


def test_options_that_are_off_leave_the_hash_of_older_stores_as_it_was() -> None:
    def hashed(options: dict[str, object]) -> str:
        steps = (Component(name="fill_gaps", options=options), Component(name="resize"))
        record = RecipeRecord(name="x", steps=steps)
        return StoreManifest.model_construct(arrays={}, recipe=record).hash

    assert hashed({}) == hashed({"max_gap": None}) != hashed({"max_gap": 3})


def test_the_documentation_has_every_step_and_option() -> None:
    text = (Path(__file__).parents[2] / "docs" / "guides" / "recipes.md").read_text(encoding="utf-8")
    for name in STEPS:
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        for option in options_of(name).model_fields:
            assert f"`{option}`" in row
    assert all(f"| `{name}`" in text for name in RECIPES)
