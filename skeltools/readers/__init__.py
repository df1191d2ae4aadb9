"""Readers: one module per source of raw data.

    discover(raw) -> Listing      what there is, by file name only; cheap, opens no clip
    read(item)    -> Sequence     one clip in canonical axes; raises RawDataError, which names file and line

A RawItem is small and can be pickled, so workers of another process read what this one discovered.
A new source is a module here and its line in READERS.
"""

from skeltools.readers import metrabs, ntu, nwucla
from skeltools.readers.items import Listing, RawItem

READERS = {"ntu": ntu, "nwucla": nwucla, "metrabs": metrabs}

__all__ = ["READERS", "Listing", "RawItem", "metrabs", "ntu", "nwucla"]
