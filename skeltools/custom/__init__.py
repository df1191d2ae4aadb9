"""A user's own recordings: arrays, text, JSON, motion capture, described by one ``dataset.yaml``.

The settings are explained in docs/guides/custom-data.md. ``discover`` reads the settings, names, the table of
labels and the names of arrays in files of many clips; ``read`` turns one clip into canonical axes.

settings, tables     dataset.yaml; what names and tables tell of clips
discovery, cuts      which clips there are; segments and windows of recordings
clip_files, known    formats that describe themselves, each a module of ``skeltools/formats``
poses, text, ...     arrays and tables, laid out as the settings say
canonical, unseen    joints by name, axes, units; what was not seen
reading              one clip of all that
"""

from skeltools.custom.discovery import discover, settings_file
from skeltools.custom.reading import read

__all__ = ["discover", "read", "settings_file"]
