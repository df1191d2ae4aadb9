"""Joints of one convention from those of another: by name, synonym, in the middle of two; never by index."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np
import pytest

from schemas import Naming, SkeletonSpec, UsageError
from skeltools import skeletons
from skeltools.skeletons.mapping import Mapping, apply, find, mapping, naming_of, normalised

NAMES = skeletons.names()


@cache
def between(source: str, target: str) -> Mapping:
    return mapping(*find(source), *find(target))


def told(source: str, target: str) -> dict[str, str]:
    return dict(between(source, target).rows())


def line(name: str, *joints: str) -> SkeletonSpec:
    """A chain of joints, the first of which is the centre."""
    return SkeletonSpec(
        name=name, joints=joints, edges=tuple((v, v - 1) for v in range(1, len(joints))), center=0
    )


@cache
def pairs() -> list[tuple[str, str]]:
    """Pairs of shipped conventions that have something in common."""
    found = []
    for one, other in permutations(NAMES, 2):
        try:
            between(one, other)
        except UsageError:
            continue
        found.append((one, other))
    return found


def test_most_conventions_of_a_body_have_joints_in_common() -> None:
    bodies = [name for name in NAMES if skeletons.load(name).shoulders and "animal" not in name]
    assert len(pairs()) > 1000
    assert {("kinectv1_20", "msr_action3d_20"), ("openpose_25", "coco_17")} <= set(pairs())
    assert not {pair for pair in pairs() if pair[0] == "openpose_hand_21" and pair[1] in {*bodies, "coco_17"}}


def test_there_and_back_over_all_pairs_gives_the_same_coordinates() -> None:
    for one, other in pairs():
        there = between(one, other)
        back = mapping(there.result, naming_of(there.result), *find(one))
        joints = np.random.default_rng(0).normal(size=(3, there.source.num_joints, 3)).astype(np.float32)
        returned = apply(back, apply(there, joints))
        for place, name in enumerate(back.result.joints):
            (origin, *more) = back.origins[back.target.joints.index(name)]
            came_from = there.origins[there.mapped[origin]]
            if more or len(came_from) > 1:
                continue  # a middle is another point than the joint of that name
            assert came_from == (there.source.joints.index(name),), (one, other, name)
            assert np.array_equal(returned[:, place], joints[:, there.source.joints.index(name)])


def test_the_absent_joints_of_all_pairs_have_no_name_of_the_source() -> None:
    for one, other in pairs():
        made = between(one, other)
        _, naming = find(one)
        theirs, named = find(other)
        free = {
            normalised(name)
            for joint in made.unused
            for name in (*naming.synonyms.get(joint, ()), *(() if joint in naming.own else (joint,)))
        }
        for joint in made.absent:
            known = {
                normalised(name)
                for name in (*named.synonyms.get(joint, ()), *(() if joint in named.own else (joint,)))
            }
            assert not known & free, (one, other, joint)
            ends = set(named.midpoints.get(joint, ()))
            assert not ends or ends & set(made.absent), "of a middle that is absent an end is"
        assert len(made.mapped) + len(made.absent) == theirs.num_joints
        assert len(set(made.absent)) == len(made.absent)


def test_the_other_direction_is_the_same_pairs_of_joints() -> None:
    for one, other in pairs():
        there, back = between(one, other), between(other, one)
        for joint, origin in enumerate(there.origins):
            if len(origin) == 1 and len(back.origins[origin[0]]) == 1:
                assert back.origins[origin[0]] == (joint,)


def test_a_convention_to_itself_is_every_joint() -> None:
    for name in NAMES:
        spec, naming = find(name)
        made = mapping(spec, naming, spec, naming)
        assert made.origins == tuple((v,) for v in range(spec.num_joints))
        assert made.result is spec


def test_two_orders_of_the_same_sensor() -> None:
    made = between("msr_action3d_20", "kinectv1_20")
    assert made.absent == made.unused == ()
    assert made.result is made.target
    assert all(name == origin for name, origin in made.rows())


def test_estimated_joints_of_the_second_kinect_are_those_of_the_sensor() -> None:
    rows = told("kinectv2_25", "metrabs_kinectv2_25")
    assert rows["neck"] == "Neck"
    assert rows["spineshoulder"] == "SpineShoulder"
    assert rows["lhandtip"] == "HandTipLeft"
    assert "absent" not in rows.values()


def test_a_middle_is_taken_where_the_target_is_defined_so() -> None:
    rows = told("kinectv2_25", "openpose_25")
    assert rows["MidHip"] == "middle of HipLeft and HipRight"
    assert rows["Neck"] == "middle of ShoulderLeft and ShoulderRight"
    assert rows["Nose"] == "absent"
    assert told("openpose_25", "openpose_18")["Neck"] == "Neck"


def test_nothing_is_in_the_middle_that_is_not_defined_so() -> None:
    assert told("coco_17", "kinectv2_25")["SpineBase"] == "absent"
    assert told("coco_17", "smpl_22")["neck"] == "absent"


@pytest.mark.parametrize(
    ("source", "target", "joint", "origin"),
    [
        ("cmu_31", "openpose_18", "LWrist", "lradius"),
        ("h36m_32", "smpl_22", "left_foot", "absent"),
        ("h36m_32", "smpl_22", "left_ankle", "LeftFoot"),
        ("h36m_32", "soma_30", "LeftLeg", "LeftUpLeg"),
        ("soma_30", "smpl_22", "left_shoulder", "LeftArm"),
        ("soma_30", "smpl_22", "spine1", "absent"),
        ("mediapipe_33", "kinectv2_25", "ThumbLeft", "absent"),
        ("berkeley_mhad_43", "h36m_17", "lank", None),
        ("smplx_42", "mpi_inf_3dhp_28", "thor", "absent"),
        ("kinectv2_25", "smpl_22", "neck", "SpineShoulder"),
    ],
)
def test_names_that_mean_another_point_elsewhere(
    source: str, target: str, joint: str, origin: str | None
) -> None:
    if origin is None:
        with pytest.raises(UsageError, match="has none of the 17 joints of h36m_17"):
            between(source, target)
    else:
        assert told(source, target)[joint] == origin


def test_the_spelling_of_a_name_does_not_matter() -> None:
    mine, theirs = line("mine", "LEFT-HIP", "left knee", "Other"), line("theirs", "leftHip", "LEFT_KNEE", "x")
    made = mapping(mine, Naming(), theirs, Naming())
    assert dict(made.rows()) == {"leftHip": "LEFT-HIP", "LEFT_KNEE": "left knee", "x": "absent"}
    assert made.unused == ("Other",)


def test_a_synonym_is_stronger_than_the_own_name_of_another_joint() -> None:
    mine = line("mine", "Neck", "upper", "hip")
    theirs = line("theirs", "neck", "hip")
    made = mapping(mine, Naming(synonyms={"upper": ("neck",)}), theirs, Naming())
    assert dict(made.rows()) == {"neck": "upper", "hip": "hip"}
    with pytest.raises(ValueError, match="synonyms give 'Neck' to two joints"):
        Naming(synonyms={"upper": ("Neck",)}).check(mine.joints)
    Naming(synonyms={"upper": ("Neck",)}, own=("Neck",)).check(mine.joints)
    with pytest.raises(ValueError, match="own names 'nothing', which is none of the joints"):
        Naming(own=("nothing",)).check(mine.joints)


def test_a_middle_is_computed_in_float64_and_rounded_once() -> None:
    target = line("target", "middle", "a", "b")
    naming = Naming(midpoints={"middle": ("a", "b")})
    made = mapping(line("source", "b", "a"), Naming(), target, naming)
    joints = np.array([[[1e8, 1, 0.1], [3, 1 + 2**-23, 0.2]]], np.float32)
    got = apply(made, joints)
    assert got.dtype == np.float32
    assert got.shape == (1, 3, 3)
    for axis in range(3):
        expected = np.float32((float(joints[0, 0, axis]) + float(joints[0, 1, axis])) / 2)
        assert got[0, 0, axis] == expected
    assert np.array_equal(got[0, 1:], joints[0, ::-1])


def test_what_has_no_two_joints_in_common_is_refused() -> None:
    with pytest.raises(UsageError, match="coco_17 has none of the 21 joints of openpose_hand_21"):
        between("coco_17", "openpose_hand_21")
    with pytest.raises(UsageError, match=r"one has 1 of the 2 joints of other\. .*synonyms"):
        mapping(line("one", "hip", "a"), Naming(), line("other", "hip", "b"), Naming())


def test_what_is_left_of_a_convention_is_a_skeleton() -> None:
    for one, other in pairs():
        made = between(one, other)
        left, whole = made.result, made.target
        if not made.absent:
            assert left is whole
            continue
        assert left.name == f"{other}-of-{one}"
        assert left.joints == tuple(joint for joint in whole.joints if joint not in made.absent)
        assert SkeletonSpec.model_validate(left.model_dump()) == left
        above = {whole.joints[v]: whole.joints[up] for v, up in enumerate(whole.parents)}
        for place, up in enumerate(left.parents):
            joint = above[left.joints[place]]
            while joint not in left.joints and joint != above[joint]:
                joint = above[joint]
            if place != left.center and joint in left.joints:
                assert left.joints[up] == joint
        for place, twin in enumerate(left.left_right_swap or ()):
            assert whole.left_right_swap
            mirrored = whole.joints[whole.left_right_swap[whole.joints.index(left.joints[place])]]
            assert left.joints[twin] == (mirrored if mirrored in left.joints else left.joints[place])
        for part, joints in (left.body_parts or {}).items():
            assert whole.body_parts
            assert {left.joints[v] for v in joints} <= {whole.joints[v] for v in whole.body_parts[part]}


def test_a_reduced_convention_is_found_by_its_name() -> None:
    spec, naming = find("coco_17-of-kinectv2_25")
    assert spec == between("kinectv2_25", "coco_17").result
    assert spec.num_joints == 12
    assert naming == naming_of(spec)
    assert naming_of(spec.without(["left_wrist"])).midpoints == naming.midpoints
    made = between("coco_17", "coco_17-of-kinectv2_25")
    assert made.absent == ()
    assert made.result.name == "coco_17-of-kinectv2_25"
    with pytest.raises(UsageError, match="unknown skeleton convention 'kinect'"):
        find("coco_17-of-kinect")
