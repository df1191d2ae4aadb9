"""Evaluation protocols.

A protocol is a module with ``evaluate``, the model ``Options``, ``NEEDS`` and ``FUSES``, and a line in
``PROTOCOLS``. ``NEEDS`` says what ``evaluate`` is called with, once for every encoder of the run, each on its
own stored stream and in one convention:

    "features"   of the frozen encoder, computed once for all protocols
                 evaluate(train: Features, test: Features, *, classes, seed, options) -> list[Outcome]
    "clips"      for protocols that train the encoder
                 evaluate(encoder, train: Samples, test: Samples, *, convention, classes, seed, options,
                          device, augment, on_progress) -> list[Outcome]

``classes`` is the number of classes, ``seed`` the run's. A protocol on clips may also have
``WEIGHTS = "random"``: its encoder then comes with fresh random weights instead of the trained ones; and
``SAMPLES = "target"``: its halves are those of the store that ``--target`` names. The encoder is on
``device`` and others evaluate it afterwards: train a deepcopy. ``Samples`` are on the CPU, their ``clips``
hold ``convention`` alone. ``augment(clips, generator) -> clips`` is the run's normal chain of augmentations;
a protocol uses it when its options say so. ``on_progress(done, total)`` may be None.

Options with a ``crop`` (trainer.evaluate.crop) have the protocol see stretches of the clips: a protocol on
clips cuts them itself, one on features is handed those of stretches. ``linear`` is also called with ``anew``
and ``widths``, which it documents.

``FUSES`` says what of several streams goes together into one figure: their ``scores`` or their ``features``
(only with ``NEEDS = "features"``). The outcomes of every encoder then are equally many, in the same order.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from schemas import unknown
from trainer.evaluate import finetune, fusion, knn, linear, retrieval, semi, supervised, transfer
from trainer.options import checked

PROTOCOLS = {
    "finetune": finetune,
    "knn": knn,
    "linear": linear,
    "retrieval": retrieval,
    "semi": semi,
    "supervised": supervised,
    "transfer": transfer,
}

_SECTIONS = {**PROTOCOLS, "fusion": fusion}
"""What settings of an evaluation may be about."""


def protocol_options(names: Iterable[str], *layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Options of the named protocols or of ``fusion``: defaults, each layer (name -> options) over them.

    A layer that names a ``schedule`` asks for that one as published: what earlier layers say is left out.
    Raises UsageError for a protocol that does not exist, in the layers too, and ConfigError for options.
    """
    for name in [*names, *(name for layer in layers for name in layer)]:
        if name not in _SECTIONS:
            raise unknown("protocol", name, PROTOCOLS)
    merged = {name: _merged(layer.get(name, {}) for layer in layers) for name in names}
    return {name: checked(_SECTIONS[name].Options, given, where=name) for name, given in merged.items()}


def _merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _over({} if "schedule" in layer else merged, layer)
    return merged


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
