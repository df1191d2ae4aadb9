"""The location of a store: a folder, or an address such as ``s3://bucket/store.zarr``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

SCHEMES = ("s3", "gs", "az", "http", "https")
"""Schemes of object stores: Amazon's protocol, Google's, Azure's; the last two can only be read."""

_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/+(?=[^/])")
"""Matches an address, also with the single slash that a ``Path`` of it has."""

if TYPE_CHECKING:
    _Path = Path
else:  # Python 3.11 can subclass only the concrete Path of the system
    _Path = type(Path())


class Place(_Path):
    """A path, or an address, which keeps its two slashes and has no links, no drive and no current folder.

    >>> str(Place(Path("s3://bucket/a")) / "store.zarr"), Place("s3://bucket/store.zarr").name
    ('s3://bucket/a/store.zarr', 'store.zarr')
    >>> Place("store.zarr").is_address, Place("s3:store.zarr").is_address
    (False, False)
    """

    @property
    def is_address(self) -> bool:
        return _ADDRESS.match(super().__str__()) is not None

    def __str__(self) -> str:
        return _ADDRESS.sub(r"\1://", super().__str__(), count=1)

    def resolve(self, strict: bool = False) -> Place:
        """``Path.resolve``; an address is the same from everywhere."""
        return self if self.is_address else Place(super().resolve(strict))

    def exists(self, **named: bool) -> bool:
        """Whether a file or folder exists; for an address, whether it has a store.

        Raises StoreError if an object store does not answer.
        """
        if not self.is_address:
            return super().exists(**named)
        from schemas import objects

        return objects.connect(self).find("zarr.json") is not None


ADDRESSES = f"Addresses are {', '.join(f'{name}://' for name in SCHEMES)}, then bucket and name"


def is_wrong_address(path: Path) -> bool:
    """Whether a path was meant as an address, of another kind than those or without a name: a part of it
    ends with a colon and is no folder here.

    >>> is_wrong_address(Path("gcs://bucket/store.zarr")), is_wrong_address(Path("s3://"))
    (True, True)
    >>> is_wrong_address(Path("12:30/store.zarr")), is_wrong_address(Place("s3://bucket/store.zarr"))
    (False, False)
    """
    parts = () if is_address(path) else (path, *path.parents)
    return any(part.name.endswith(":") and not part.is_dir() for part in parts)


def is_address(path: object) -> bool:
    """Whether this is the address of a store, or a ``Path`` made from one."""
    return _ADDRESS.match(str(path)) is not None
