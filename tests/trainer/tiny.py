"""Tiny settings for every method and encoder. Tests that hold all of them go through the product's dicts: a
new method or encoder without settings here runs with its defaults, made small where they are MoCo's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas import Component
from tests.trainer.clips import augment, generator, skeleton
from trainer import methods
from trainer.encoders import ENCODERS
from trainer.methods import METHODS
from trainer.methods.moco import MoCoOptions
from trainer.skeleton import Skeleton

MOCO = {"queue": 24, "dim": 8, "momentum": 0.9, "temperature": 0.2}

ENCODER_OPTIONS: dict[str, dict[str, Any]] = {
    "stgcn": {"channels": [4, 8], "stride_blocks": [2], "dropout": 0.0},
    "agcn": {"channels": [4, 8], "stride_blocks": [2]},
    "bigru": {"units": 8, "layers": 1},
    "ctrgcn": {"channels": [4, 8], "stride_blocks": [2]},
    "vit": {"dim": 8, "layers": 1, "heads": 2},
    "hcn": {"point": 4, "row": 4, "channels": [4, 4, 8, 16], "dropout": 0.0},
}

METHOD_OPTIONS: dict[str, dict[str, Any]] = {
    "aimclr": {"mine_from": 2},
    "crosclr": {"mine_from": 2},
    "csclr": {"mine_from": 2, "transform_from": 4},
    "decorrelate": {"dim": 8, "hidden": 8},
    "nn-tune": {"queue": 24, "dim": 8, "hidden": 8, "predictor": 8, "temperature": 0.2},
    "masked": {"layers": 1, "width": 8, "heads": 2, "ratio": 0.6, "local_views": 1, "dim": 8},
    "isc": {
        "representations": {"seq": None, "graph": {"name": "agcn", "options": ENCODER_OPTIONS["agcn"]}},
    },
}
"""Stages a few epochs apart, so that one build reaches all of them."""

SKELETONS = {name: skeleton(name) for name in ("kinectv2_25", "smplx_42")}


@dataclass(frozen=True)
class Case:
    """A method with the encoder that it is tried with."""

    method: Component
    encoder: Component

    @property
    def conventions(self) -> tuple[str, ...]:
        return ("kinectv2_25", "smplx_42") if self.method.name == "ms-clr" else ("kinectv2_25",)

    @property
    def skeletons(self) -> dict[str, Skeleton]:
        return {name: SKELETONS[name] for name in self.conventions}

    @property
    def epochs(self) -> tuple[int, ...]:
        """An epoch of every stage."""
        return tuple(stage.start for stage in methods.stages(self.method))

    def build(
        self,
        *,
        seed: int = 0,
        skeletons: Mapping[str, Skeleton] | None = None,
        with_augment: Any = None,
        **more: Any,
    ) -> Any:
        return methods.build(
            changed(self.method, **more),
            encoder=self.encoder,
            skeletons=skeletons or self.skeletons,
            augment=with_augment or augment(),
            stream="joint",
            generator=generator(seed),
        )


def component(method: str, base: str | None = None) -> Component:
    """A method by name with tiny options; ms-clr around ``base``."""
    if base is not None:
        return Component(name=method, options={"base": component(base).model_dump()})
    common = MOCO if issubclass(methods.options_of(method), MoCoOptions) else {}
    return Component(name=method, options={**common, **METHOD_OPTIONS.get(method, {})})


def changed(method: Component, **options: Any) -> Component:
    """With other options, those of the base for ms-clr."""
    if "base" in method.options:
        base = changed(Component.model_validate(method.options["base"]), **options)
        return Component(name=method.name, options={**method.options, "base": base.model_dump()})
    return Component(name=method.name, options={**method.options, **options})


def named_methods() -> dict[str, Component]:
    """Every method, and ms-clr around every base."""
    plain = {name: component(name) for name in METHODS}
    bases = [name for name, kind in METHODS.items() if not kind.why_unpaired]
    return plain | {f"ms-clr-{base}": component("ms-clr", base) for base in bases}


TRIED_WITH = {
    "ctrgcn": ("aimclr", "skelemixclr"),
    "vit": ("aimclr", "decorrelate", "masked", "nn-tune", "skelemixclr"),
}
"""Encoders that are tried with some methods only, for the time of it: those that read and mask their map, and
one without a queue. To a method an encoder is a map and a feature, which test_encoders_shared.py holds."""


def encoders_of(method: str) -> Iterator[str]:
    """Encoders that a method is tried with: all that it takes and ``TRIED_WITH`` leaves; for ms-clr one."""
    if method == "ms-clr":
        return iter(["stgcn"])
    fit = (name for name, kind in ENCODERS.items() if not METHODS[method].needs_map or kind.map_axes == "TV")
    return (name for name in fit if method in TRIED_WITH.get(name, (method,)))


def encoder(name: str) -> Component:
    return Component(name=name, options=ENCODER_OPTIONS.get(name, {}))


def all_cases() -> dict[str, Case]:
    """Every method with every encoder that it takes."""
    return {
        f"{title}-{name}": Case(method, encoder(name))
        for title, method in named_methods().items()
        for name in encoders_of(method.name)
    }


def one_case_each() -> dict[str, Case]:
    """Every method with ST-GCN."""
    return {title: Case(method, encoder("stgcn")) for title, method in named_methods().items()}


def with_queue() -> dict[str, Case]:
    """Those of ``one_case_each`` whose method, or whose base, has a queue and a key network."""
    return {title: case for title, case in one_case_each().items() if "momentum" in innermost(case.method)}


def innermost(method: Component) -> dict[str, Any]:
    """Options of a method, those of the base for ms-clr."""
    base = method.options.get("base")
    return method.options if base is None else base["options"]
