from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from schemas import ConfigError, UsageError
from skeltools import skeletons

NAMES = skeletons.names()


_SIDES = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))
_LETTERS = (("L_", "R_"), ("L", "R"), ("l", "r"))


def _twin(name: str, joints: tuple[str, ...]) -> tuple[str, str]:
    """(L, R or C; the joint of the other side) by the ways in which the conventions write sides.

    A letter alone says a side only where the convention has the other one: ``root`` is no right ``loot``.
    """
    for pairs, swapped in (
        (_SIDES, lambda a, b: name.replace(a, b) if a in name else ""),
        (_LETTERS, lambda a, b: b + name.removeprefix(a) if name.startswith(a) else ""),
    ):
        for left, right in pairs:
            for side, a, b in (("L", left, right), ("R", right, left)):
                if (other := swapped(a, b)) in joints:
                    return side, other
    return "C", name


def _example(**changes: Any) -> dict[str, Any]:
    spec = skeletons.load("kinectv1_20").model_dump(mode="json")
    return {**spec, **changes}


FIRST = (
    "berkeley_mhad_43", "coco_17", "coco_19", "h36m_17", "h36m_25", "kinectv1_20", "kinectv2_25", "lsp_14",
    "metrabs_kinectv2_25", "mpi_inf_3dhp_17", "mpi_inf_3dhp_28", "smpl+head_30", "smpl+head_30_y4_2021",
    "smpl_24", "smplx_42",
)  # fmt: skip
"""Their sources are in words; stores hold them as they are."""


def test_all_conventions_ship() -> None:
    assert len(NAMES) == 43
    assert set(FIRST) < set(NAMES)
    assert list(NAMES) == sorted(NAMES)
    assert skeletons.names("hands") == ("interhand_21", "mediapipe_hand_21", "openpose_hand_21", "rhd_21")


def test_every_convention_is_in_one_group_that_has_a_heading() -> None:
    grouped = [name for group in skeletons.GROUPS for name in skeletons.names(group)]
    assert sorted(grouped) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_convention_is_what_its_name_says(name: str) -> None:
    spec = skeletons.load(name)
    assert spec.name == name
    count = re.search(r"_(\d+)(_y4_2021)?$", name)
    assert count
    assert spec.num_joints == int(count[1])
    assert len(set(spec.joints)) == spec.num_joints
    assert not any(re.search(r"\s", joint) for joint in spec.joints)


@pytest.mark.parametrize("name", NAMES)
def test_the_source_names_a_document(name: str) -> None:
    source = skeletons.load(name).source
    documents = (
        "MeTRAbs|Microsoft|COCO|SMPL|Leeds|MPI-INF-3DHP|MHAD" if name in FIRST else r"https?://\S+\.\S+"
    )
    assert re.search(documents, source)
    assert re.search("[Ee]dges|parents", source), "and says where the edges come from"


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_has_a_row_for_it(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "guides" / "custom-data.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    spec = skeletons.load(name)
    words = {"shoulders": "shoulders", "left_right_swap": "sides", "body_parts": "body parts"}
    absent = ", ".join(word for key, word in words.items() if getattr(spec, key) is None)
    assert row.endswith(f" | {spec.joints[spec.center]} | {absent} |")


@pytest.mark.parametrize("name", NAMES)
def test_the_joints_are_one_tree_from_the_centre(name: str) -> None:
    spec = skeletons.load(name)
    assert sorted(child for child, _ in spec.edges) == [v for v in range(spec.num_joints) if v != spec.center]
    for joint in range(spec.num_joints):
        for _ in range(spec.num_joints):
            joint = spec.parents[joint]
        assert joint == spec.center


@pytest.mark.parametrize("name", NAMES)
def test_the_swap_exchanges_left_and_right_names(name: str) -> None:
    spec = skeletons.load(name)
    twins = [spec.joints.index(_twin(joint, spec.joints)[1]) for joint in spec.joints]
    if spec.left_right_swap is None:
        assert twins == list(range(spec.num_joints)), "sides that its names tell"
    else:
        assert list(spec.left_right_swap) == twins


@pytest.mark.parametrize("name", [name for name in NAMES if skeletons.load(name).left_right_swap])
def test_mirror_images_have_mirrored_parts_and_bones(name: str) -> None:
    spec = skeletons.load(name)
    swap = spec.left_right_swap
    assert swap is not None
    side = [_twin(joint, spec.joints)[0] for joint in spec.joints]
    if spec.body_parts is not None:
        parts = {part: set(joints) for part, joints in spec.body_parts.items()}
        for left, right in (("left_arm", "right_arm"), ("left_leg", "right_leg"), ("trunk", "trunk")):
            assert {swap[joint] for joint in parts[left]} == parts[right]
        assert all(side[joint] == "L" for joint in parts["left_arm"] | parts["left_leg"])
    assert {(swap[a], swap[b]) for a, b in spec.edges} == set(spec.edges)
    if spec.shoulders is not None:
        assert [side[joint] for joint in spec.shoulders] == ["L", "R"]


@pytest.mark.parametrize("name", NAMES)
def test_synonyms_keep_sides_and_are_written_as_coco_writes(name: str) -> None:
    spec, naming = skeletons.load(name), skeletons.naming(name)
    for joint, others in naming.synonyms.items():
        for other in others:
            assert re.fullmatch("[a-z]+(_[a-z]+)*[1-4]?", other)
            begins = {"L": "left_", "R": "right_"}.get(_twin(joint, spec.joints)[0], "")
            assert other.startswith(begins)
            assert begins or not other.startswith(("left_", "right_"))


@pytest.mark.parametrize(
    "name", ["kinectv2_25", "azure_kinect_32", "openpose_25", "smpl_24", "soma_77", "cmu_31"]
)
def test_the_twelve_joints_of_the_limbs_have_names_in_common(name: str) -> None:
    """Without a rule for spelling: by own names and synonyms alone, as ``coco_17`` has them."""
    limbs = [joint for joint in skeletons.load("coco_17").joints if not re.search("eye|ear|nose", joint)]
    synonyms = skeletons.naming(name).synonyms
    known = {*skeletons.load(name).joints, *(other for others in synonyms.values() for other in others)}
    assert len(limbs) == 12
    assert set(limbs) <= known


def test_midpoints_lie_between_two_joints_of_both_sides() -> None:
    found = {name: skeletons.naming(name).midpoints for name in NAMES if skeletons.naming(name).midpoints}
    assert set(found) == {"openpose_18", "openpose_25"}
    assert found["openpose_25"] == {"Neck": ("LShoulder", "RShoulder"), "MidHip": ("LHip", "RHip")}


def test_a_users_own_convention_may_name_synonyms(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(_example(name="mine", synonyms={"Head": ["skull"]})), encoding="utf-8")
    assert skeletons.naming(str(path)).synonyms == {"Head": ("skull",)}
    assert skeletons.load(str(path)) == skeletons.load("kinectv1_20").model_copy(update={"name": "mine"})
    assert skeletons.describe(str(path)) == json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(_example(name="mine", synonyms={"skull": ["Head"]})), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.json: .*synonyms and midpoints name 'skull'"):
        skeletons.load(str(path))


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
        (json.dumps(_example(colour="red")), "colour: unknown key"),
        (json.dumps(_example(center=20)), "outside 0..19"),
        (
            json.dumps(_example(edges=[[0, 1]])),
            "edges are [child, parent]; they must give every joint but one",
        ),
        (json.dumps(_example(left_right_swap=list(range(20)))), "does not exchange the two shoulders"),
        (json.dumps(_example(left_right_swap=[1, 2, 0, *range(3, 20)])), "be its own inverse"),
        (json.dumps(_example(body_parts={"tail": list(range(20))})), "body_parts must be exactly"),
        (json.dumps(_example(body_parts={"trunk": list(range(19))})), "every joint exactly once"),
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


# ---- without some joints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", skeletons.names())
def test_any_joints_can_be_left_out_and_the_rest_hang_together(name: str) -> None:
    spec = skeletons.load(name)
    rng = np.random.default_rng(len(name))
    for count in (1, spec.num_joints // 3, spec.num_joints - 2):
        gone = set(rng.choice(spec.num_joints, count, replace=False).tolist())
        left = spec.without(spec.joints[v] for v in gone)
        assert left.name == f"{name}-{spec.num_joints - count}"
        assert left.joints == tuple(joint for v, joint in enumerate(spec.joints) if v not in gone)
        if spec.center not in gone:
            assert left.joints[left.center] == spec.joints[spec.center]
            for v, up in enumerate(left.parents):
                chain = [spec.joints.index(left.joints[v])]
                while spec.parents[chain[-1]] != chain[-1]:
                    chain.append(spec.parents[chain[-1]])
                above = [spec.joints[u] for u in chain[1:] if u not in gone]
                assert left.joints[up] == (above[0] if above else left.joints[v])


def test_what_cannot_be_left_out_is_said() -> None:
    spec = skeletons.load("coco_17")
    with pytest.raises(ValueError, match="'tail' is no joint of coco_17"):
        spec.without(["tail"])
    with pytest.raises(ValueError, match="leaves 1 of 17 joints"):
        spec.without(spec.joints[1:])
    assert spec.without(["left_shoulder"]).shoulders is None
    assert spec.without(["left_eye"]).left_right_swap[1] == 1  # the right eye, alone now
