from __future__ import annotations

import re

import pytest

from skeltools import skeletons
from skeltools.skeletons.drawing import tree


@pytest.mark.parametrize("name", skeletons.names())
def test_every_joint_hangs_below_its_parent(name: str) -> None:
    spec = skeletons.load(name)
    head, body = tree(spec).split("\n\n")
    assert head.startswith(f"{name}: {spec.num_joints} joints")
    seen: dict[int, int] = {}  # depth -> joint last drawn there
    drawn = []
    for line in body.split("\n"):
        match = re.match(r"((?:│   |    )*(?:[├└]── )?)(\d+) (\S+)", line)
        assert match, line
        depth, joint = len(match[1]) // 4, int(match[2])
        assert match[3] == spec.joints[joint]
        assert spec.parents[joint] == (seen[depth - 1] if depth else joint)
        seen[depth] = joint
        drawn.append(joint)
    assert sorted(drawn) == list(range(spec.num_joints))


def test_branches_parts_and_mirror_images_are_shown() -> None:
    lines = tree(skeletons.load("kinectv1_20")).split("\n")
    assert "centre 2 ShoulderCenter; shoulders 4 ShoulderLeft and 8 ShoulderRight" in lines
    body = lines[lines.index("") + 1 :]
    assert body[0].split() == ["2", "ShoulderCenter", "trunk"]
    cells = [re.split(r"  +", line) for line in body]
    assert ["├── 4 ShoulderLeft", "left arm", "<-> 8"] in cells
    assert ["└── 8 ShoulderRight", "right arm", "<-> 4"] in cells
    assert body[-1].startswith("            └── 11 HandRight")
    assert all(line == line.rstrip() for line in lines)


def test_the_source_is_shown_and_what_a_convention_lacks() -> None:
    spec = skeletons.load("mediapipe_hand_21")
    head, body = tree(spec).split("\n\n")
    assert head.split("\n")[1:] == [
        "centre 0 WRIST",
        "without shoulders (a left and a right joint), sides (left_right_swap), body parts",
        f"source: {spec.source}",
    ]
    assert body.split("\n")[1] == "├── 1 THUMB_CMC"
    assert "without" not in tree(skeletons.load("kinectv2_25"))
