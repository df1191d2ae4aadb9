"""Readers: one module per source of raw data.

    discover(raw) -> Listing      what there is, by names and small tables only; cheap, parses no clip
    read(item)    -> Sequence     one clip in canonical axes; raises RawDataError, which names file and line

A RawItem is small and can be pickled, so workers of another process read what this one discovered.
A new source is a module here and its line in READERS.
"""

from skeltools.readers import crossclr, ctrgcn, custom, hdf5, metrabs, ntu, nwucla, pkummd1, pkummd2, pyskl
from skeltools.readers.items import Listing, RawItem

READERS = {
    "ntu": ntu,
    "nwucla": nwucla,
    "pkummd1": pkummd1,
    "pkummd2": pkummd2,
    "custom": custom,
    "metrabs": metrabs,
}

IMPORTS = {"crossclr": crossclr, "ctrgcn": ctrgcn, "hdf5": hdf5, "pyskl": pyskl}
"""Archives of other code bases and of our own export, instead of a data set's own format."""
READERS |= IMPORTS

__all__ = ["IMPORTS", "READERS", "Listing", "RawItem", "metrabs", "ntu", "nwucla"]
