"""Formats of other code bases and of our own exports (docs/guides/interchange.md).

A format is one module that reads (``about``, ``discover``, ``read``) and writes (``write``), and says what it
can hold: ``FOLDER``, a folder or one file; ``ONE_CONVENTION`` (``discover`` then takes its ``spec``, else the
``specs`` of several), ``ONE_STREAM``, ``ONE_PROTOCOL``; ``ONLY_SEQUENCES``, no streams; ``NEEDS_LABELS``, no
sample without. A new one is a module here and its name in FORMATS.
"""

from types import ModuleType

from skeltools.formats import crossclr, ctrgcn, hdf5, pyskl

FORMATS: dict[str, ModuleType] = {"crossclr": crossclr, "ctrgcn": ctrgcn, "hdf5": hdf5, "pyskl": pyskl}
