"""Import checkpoints of the papers' published code as runs: ``trainer import``."""

from trainer.released.bring import Imported, import_released
from trainer.released.sources import SOURCES

__all__ = ["SOURCES", "Imported", "import_released"]
