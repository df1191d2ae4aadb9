"""Formats of other code bases and of our own exports (docs/guides/interchange.md).

Each format is one module with functions to read (``about``, ``discover``, ``read``) and write (``write``),
and flags for what it can hold: ``FOLDER`` (a folder, not one file); ``ONE_CONVENTION`` (``discover`` then
takes a ``spec``, else ``specs``), ``ONE_STREAM``, ``ONE_PROTOCOL``; ``ONLY_SEQUENCES`` (no streams);
``NEEDS_LABELS`` (no unlabelled samples). To add a format, add a module here and list it in FORMATS.
"""

from types import ModuleType

from skeltools.formats import crossclr, ctrgcn, hdf5, pyskl

FORMATS: dict[str, ModuleType] = {"crossclr": crossclr, "ctrgcn": ctrgcn, "hdf5": hdf5, "pyskl": pyskl}
