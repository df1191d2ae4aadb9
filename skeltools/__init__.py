"""Raw skeleton data sets to one clean multi-skeleton store.

    raw files -> readers -> Sequence -> preprocess -> store

Interfaces:

    reader   a module in ``readers/``: ``discover(raw) -> Listing``, ``read(item) -> list[Sequence]``
    step     a function in ``preprocess.py``: ``(Sequence, *, ...) -> Sequence | None``
    store    ``store.py`` is the only module that touches zarr; the format is docs/store-format.md

Nothing here imports torch (one reader does, inside the function that opens ``.pt`` files).
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("skeltools")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"
