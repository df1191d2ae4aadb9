from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas import ConfigError, UsageError
from skeltools import skeletons

NAMES = skeletons.names()


def _side(name: str) -> str:
    """L, R or C, from the ways in which the conventions write sides."""
    if name.endswith("Left") or name.startswith("left_"):
        return "L"
    if name.endswith("Right") or name.startswith("right_"):
        return "R"
    return {"l": "L", "r": "R"}.get("" if name.startswith("low") else name[0], "C")


def _sideless(name: str) -> str:
    whole = re.sub(r"(Left|Right)$|^(left|right)_", "*", name)
    return whole if "*" in whole or _side(name) == "C" else "*" + name[1:]


def _example(**changes: Any) -> dict[str, Any]:
    spec = skeletons.load("kinectv1_20").model_dump(mode="json")
    return {**spec, **changes}


def test_all_conventions_ship() -> None:
    assert len(NAMES) == 15
    assert {"kinectv2_25", "kinectv1_20", "smplx_42", "smpl_24", "berkeley_mhad_43"} <= set(NAMES)
    assert list(NAMES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_convention_is_what_its_name_says(name: str) -> None:
    spec = skeletons.load(name)
    assert spec.name == name
    count = re.search(r"_(\d+)(_y4_2021)?$", name)
    assert count
    assert spec.num_joints == int(count[1])
    assert spec.source


@pytest.mark.parametrize("name", NAMES)
def test_the_swap_exchanges_left_and_right_names(name: str) -> None:
    spec = skeletons.load(name)
    other = {"L": "R", "R": "L", "C": "C"}
    for joint, mirror in enumerate(spec.left_right_swap):
        one, two = spec.joints[joint], spec.joints[mirror]
        assert _side(two) == other[_side(one)], (one, two)
        assert _sideless(one) == _sideless(two), (one, two)
        assert _side(one) != "C" or joint == mirror, one


@pytest.mark.parametrize("name", NAMES)
def test_mirror_images_have_mirrored_parts_and_bones(name: str) -> None:
    spec = skeletons.load(name)
    swap, parts = spec.left_right_swap, {part: set(joints) for part, joints in spec.body_parts.items()}
    for left, right in (("left_arm", "right_arm"), ("left_leg", "right_leg"), ("trunk", "trunk")):
        assert {swap[joint] for joint in parts[left]} == parts[right]
    assert all(_side(spec.joints[joint]) == "L" for joint in parts["left_arm"] | parts["left_leg"])
    assert {(swap[a], swap[b]) for a, b in spec.edges} == set(spec.edges)
    assert [_side(spec.joints[joint]) for joint in spec.shoulders] == ["L", "R"]


@pytest.mark.parametrize(
    ("suffix", "dump"), [(".json", json.dumps), (".yaml", yaml.safe_dump), (".yml", yaml.safe_dump)]
)
def test_a_users_own_file_works_like_a_name(suffix: str, dump: Any, tmp_path: Path) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_text(dump(_example(name="mine")), encoding="utf-8")
    spec = skeletons.load(str(path))
    assert spec.name == "mine"
    assert spec.joints == skeletons.load("kinectv1_20").joints


def test_an_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(UsageError, match=r"skeleton convention 'kinectv2-25'\. Did you mean 'kinectv2_25'"):
        skeletons.load("kinectv2-25")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot read the skeleton convention"):
        skeletons.load(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a valid skeleton convention"),
        ("[1, 2]", "not a valid skeleton convention"),
        (json.dumps(_example(colour="red")), "colour: Extra inputs are not permitted"),
        (json.dumps(_example(center=20)), "outside 0..19"),
        (json.dumps(_example(edges=[[0, 1]])), "exactly one parent"),
        (json.dumps(_example(left_right_swap=list(range(20)))), "does not exchange the two shoulders"),
        (json.dumps(_example(left_right_swap=[1, 2, 0, *range(3, 20)])), "be its own inverse"),
        (json.dumps(_example(body_parts={"trunk": list(range(20))})), "body_parts must be exactly"),
        (json.dumps(_example(axes=["left", "right", "up"])), "three different directions"),
        (json.dumps(_example(joints=["a"] * 20)), "joint names repeat"),
    ],
)
def test_a_file_that_is_no_skeleton_is_refused_on_one_line(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        skeletons.load(str(path))
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert problem in line
    assert "skeltools skeletons kinectv2_25 --json" in line
    assert "\n" not in line


def test_edges_must_be_one_tree(tmp_path: Path) -> None:
    edges = [list(edge) for edge in skeletons.load("kinectv1_20").edges]
    edges[edges.index([0, 1])] = [0, 16]  # the hips now hang on themselves
    path = tmp_path / "ring.json"
    path.write_text(json.dumps(_example(edges=edges)), encoding="utf-8")
    with pytest.raises(ConfigError, match="is not connected to the centre"):
        skeletons.load(str(path))


def test_one_name_for_two_conventions_is_refused(tmp_path: Path) -> None:
    own = skeletons.load("smpl_24")
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(own.model_dump_json())
    assert skeletons.load_all(["smpl_24", str(first), "lsp_14"]) == {
        "smpl_24": own,
        "lsp_14": skeletons.load("lsp_14"),
    }
    changed = own.model_copy(update={"source": "mine"})
    first.write_text(changed.model_dump_json())
    with pytest.raises(UsageError, match="two different conventions are named smpl_24: the package's and"):
        skeletons.load_all([str(first)])
    first.write_text(changed.model_copy(update={"name": "mine"}).model_dump_json())
    second.write_text(own.model_copy(update={"name": "mine"}).model_dump_json())
    assert list(skeletons.load_all([str(first), str(first)])) == ["mine"]
    with pytest.raises(UsageError, match=r"named mine: .*first\.json and .*second\.json"):
        skeletons.load_all([str(first), str(second)])
