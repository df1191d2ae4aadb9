"""Evaluation protocols.

A protocol is a module with ``evaluate``, the model ``Options`` and ``NEEDS`` (``protocol.Needs``), and a line
in ``PROTOCOLS``. ``evaluate`` is called once for every encoder of the run, each on its own stored stream and
in one convention:

    evaluate(train: Features, test: Features, *, classes, seed, options) -> list[Scores]
    evaluate(encoder, train: Source, test: Source, *, convention, classes, seed, options, device, augment,
             on_progress) -> list[Scores]          with Needs(clips=True)

``classes`` are the names, ``seed`` is the run's. The encoder is on ``device`` and others evaluate it
afterwards: train a deepcopy. A ``Source`` holds the clips of ``convention`` alone: ``Samples`` on the CPU, or
``Shards``, which stay in the store.
``augment(clips, generator) -> clips`` is the run's normal chain of augmentations; a protocol uses it when its
options say so. ``on_progress(done, total)`` may be None.

Options with a ``crop`` (trainer.evaluate.crop) have the protocol see stretches of the clips: a protocol on
clips cuts them itself, one on features is handed those of stretches. With ``streams`` together, the features
of all streams side by side.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from schemas import RunConfig, UsageError, unknown
from trainer.evaluate import ensemble, finetune, knn, linear, retrieval, semi, supervised, transfer
from trainer.options import checked

PROTOCOLS: dict[str, Any] = {
    "linear": linear,
    "finetune": finetune,
    "supervised": supervised,
    "transfer": transfer,
    "semi": semi,
    "retrieval": retrieval,
    "knn": knn,
}
"""That which says most about the features first: the papers' tables are of linear evaluation. Reports have
their results in this order, and speak of the first."""


def protocol_options(names: Iterable[str], *layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Options of the named protocols or of ``fusion``: defaults, each layer (name -> options) over them.

    A layer that names a ``schedule`` asks for that one as published: what earlier layers say is left out.
    Raises UsageError for a protocol that does not exist, in the layers too, and ConfigError for options.
    """
    for name in [*names, *(name for layer in layers for name in layer)]:
        if name in RunConfig.model_fields:
            raise UsageError(
                f"{name} is a setting of the training, and no protocol has it",
                remedy="Its settings stay as they were; --memory-limit and --device say what is used here",
            )
        if name not in PROTOCOLS and name != "fusion":
            raise unknown("protocol", name, PROTOCOLS)
    options = {}
    for name in names:
        merged: dict[str, Any] = {}
        for layer in layers:
            own = layer.get(name, {})
            merged = _over({} if "schedule" in own else merged, own)
        model = ensemble.Options if name == "fusion" else PROTOCOLS[name].Options
        options[name] = checked(model, merged, where=name)
    return options


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """``upper`` over ``lower``, mappings such as ``crop`` key by key."""
    merged = dict(lower)
    for key, value in upper.items():
        below = lower.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = _over(below, value)
        merged[key] = value
    return merged


__all__ = ["PROTOCOLS", "protocol_options"]
