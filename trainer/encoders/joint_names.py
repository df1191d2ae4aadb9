"""Joint names shared between conventions: ``ShoulderLeft``, ``LShoulder`` and ``lsho`` are one joint."""

from __future__ import annotations

import re

_SHORT = {
    "ank": "ankle",
    "cla": "clavicle",
    "ear": "ear",
    "elb": "elbow",
    "eye": "eye",
    "fin": "finger",
    "foo": "foot",
    "han": "hand",
    "hee": "heel",
    "hip": "hip",
    "kne": "knee",
    "sho": "shoulder",
    "thu": "thumb",
    "toe": "toe",
    "wri": "wrist",
}
"""Abbreviations of joints in the conventions of MeTRAbs, without the letter of the side."""

_WHOLE = {
    "hip_center": "pelvis",
    "hips": "pelvis",
    "htop": "head_top",
    "pelv": "pelvis",
    "spin": "spine",
    "spine_base": "pelvis",
    "shoulder_center": "neck",
    "thor": "thorax",
}
"""Other names of joints without a side: Kinect's, H36M's and those of MeTRAbs."""

_SIDES = {"l": "left", "r": "right", "left": "left", "right": "right"}
_WORD = re.compile(r"[^\W\d_a-z]+(?![a-z])|[^\W\d_a-z]?[^\W\d_A-Z]+|\d+")


def common_name(joint: str) -> str:
    """The shared name of a joint: words joined by ``_``, the side first.

    >>> common_name("ShoulderLeft"), common_name("LShoulder"), common_name("lsho")
    ('left_shoulder', 'left_shoulder', 'left_shoulder')
    """
    words = [part for word in _WORD.findall(joint) for part in _parted(word.casefold())]
    sides = [_SIDES[word] for word in words if word in _SIDES]
    whole = "_".join([*sides, *(word for word in words if word not in _SIDES)])
    return _WHOLE.get(whole, whole) or "_"


def _parted(word: str) -> tuple[str, ...]:
    """Split a word such as ``lsho`` into side and joint; any other word is returned as it is."""
    if word[:1] in ("l", "r") and word[1:] in _SHORT:
        return word[0], _SHORT[word[1:]]
    return (word,)
