"""Evaluation protocols.

A protocol is a module with an ``evaluate`` function, an ``Options`` model and ``NEEDS`` (``protocol.Needs``),
registered in ``PROTOCOLS``. ``evaluate`` is called once for every encoder of the run, each on its own stored
stream and in one convention:

    evaluate(train: Features, test: Features, *, classes, seed, options) -> list[Scores]
    evaluate(encoder, train: Source, test: Source, *, convention, classes, seed, options, device, augment,
             on_progress) -> list[Scores]          with Needs(clips=True)

``classes`` holds the class names; ``seed`` is the run's. The encoder is on ``device`` and is evaluated by
other protocols afterwards: train a deepcopy of it. A ``Source`` holds the clips of ``convention`` only:
``Samples`` on the CPU, or ``Shards``, which stay in the store. ``augment(clips, generator) -> clips`` is the
run's normal augmentation chain, which a protocol applies if its options request it.
``on_progress(done, total)`` may be None.

If the options have a ``crop`` (trainer.evaluate.crop), the protocol sees temporal crops of the clips: a
protocol on clips cuts them itself, one on features receives the features of the crops. With ``streams``
together, it receives the features of all streams side by side.
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
"""Ordered by how much they say about the features: the papers' tables use linear evaluation. Reports list
results in this order and comment on the first."""


def protocol_options(names: Iterable[str], *layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Options of the named protocols or of ``fusion``: the defaults, overridden by each layer in turn.

    A layer maps names to options. One that names a ``schedule`` selects that schedule as published: the
    values of earlier layers are dropped. Raises UsageError for an unknown protocol, also in a layer, and
    ConfigError for invalid options.
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
    """``upper`` merged over ``lower``; nested mappings such as ``crop`` are merged key by key."""
    merged = dict(lower)
    for key, value in upper.items():
        below = lower.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = _over(below, value)
        merged[key] = value
    return merged


__all__ = ["PROTOCOLS", "protocol_options"]
