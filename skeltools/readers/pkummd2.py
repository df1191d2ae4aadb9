"""PKU-MMD part II: videos ``A01N02-L`` (sequence, subject, view), 1009 of them; see ``pkummd``."""

from __future__ import annotations

import re
from pathlib import Path

from skeltools.readers import pkummd
from skeltools.readers.items import Listing

PART = pkummd.Part(re.compile(r"A(?P<setup>\d{2})N(?P<subject>\d{2})-(?P<view>[LMR])", re.ASCII))


def discover(raw: Path) -> Listing:
    return pkummd.discover(raw, PART)


read = pkummd.read
