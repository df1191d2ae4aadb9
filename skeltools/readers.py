"""All readers of raw data by name, as recorded in a store's manifest."""

from typing import Any

from skeltools import custom, metrabs
from skeltools.datasets import ROOMS
from skeltools.formats import FORMATS

READERS: dict[str, Any] = {
    **{name: reader for room in ROOMS for name, reader in room.READERS.items()},
    "custom": custom,
    "metrabs": metrabs,
    **FORMATS,
}
"""Name -> an object with ``discover`` and ``read``, as in ``raw_items.Reader``."""
