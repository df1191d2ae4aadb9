"""PKU-MMD part I: videos ``0002-L``, 1076 of them; see ``pkummd``."""

from __future__ import annotations

import re
from pathlib import Path

from skeltools.readers import pkummd
from skeltools.readers.items import Listing

PART = pkummd.Part(re.compile(r"(?P<setup>\d{4})-(?P<view>[LMR])", re.ASCII))


def discover(raw: Path) -> Listing:
    return pkummd.discover(raw, PART)


read = pkummd.read
