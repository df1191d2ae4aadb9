"""A user's own recordings (arrays, text, JSON, motion capture), described by one ``dataset.yaml``.

docs/guides/custom-data.md explains the settings. ``discover`` reads the settings, file names, the table of
labels and the array names in multi-clip files; ``read`` returns one clip in canonical axes.

settings              dataset.yaml
tables, splits        clip fields from names and tables; train and test halves
discovery, cuts       listing clips; segments and windows of recordings
clip_files, registry  self-describing formats, each a module of ``skeltools/formats``
poses, text, ...      arrays and tables in the layout that the settings give
canonical, unseen     joint order, axes and units; unseen joints
reading               reading one clip with all of the above
"""

from skeltools.custom.discovery import discover, settings_file
from skeltools.custom.reading import read

__all__ = ["discover", "read", "settings_file"]
