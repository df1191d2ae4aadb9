"""Formats of other code bases and of our own exports (docs/guides/interchange.md).

A format is one module that reads (``discover``, ``read``) and writes (``write(partial, selection)``, and what
it can hold: ``FOLDER``, ``ONE_CONVENTION``, ``ONE_STREAM``, ``ONE_PROTOCOL``). A new one is a module here and
its name in FORMATS.
"""

from types import ModuleType

from skeltools.formats import crossclr, ctrgcn, hdf5, pyskl

FORMATS: dict[str, ModuleType] = {"crossclr": crossclr, "ctrgcn": ctrgcn, "hdf5": hdf5, "pyskl": pyskl}
