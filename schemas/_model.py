"""The settings that all our models share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Unknown keys are refused; instances are immutable; numbers may come as text from YAML (``1e-4``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stored(Model):
    """A model read from a store.

    Unknown keys, which later versions of a format may add, are kept as they are: an older program preserves
    them when it writes the store again.
    """

    model_config = ConfigDict(extra="allow")
