"""ISC: a clip's embeddings by encoders of different kinds are contrasted with each other.

Source: Thoker et al., "Skeleton-Contrastive 3D Action Representation Learning", ACM MM 2021, section 3.3.
The "skeletons" of its inter-skeleton contrast are representations of one convention: a series for a GRU, an
image for a CNN, a graph for a graph network. All of them see the same two views of a clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from schemas import Component
from trainer import encoders, losses
from trainer.batch import Batch
from trainer.encoders.initial import draws_from
from trainer.methods.method import Stage
from trainer.methods.moco import MoCo, MoCoMethod, MoCoOptions, Network
from trainer.methods.parts import Parts, make_views

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class ISCOptions(MoCoOptions):
    queue: int = Field(default=16384, ge=1)
    """Past keys of every representation; slot i of all queues is the same clip. ISC: 16384 on NTU RGB+D."""
    representations: dict[Name, Component | None] = {"seq": None, "graph": Component(name="agcn")}
    """Name -> encoder, each with its own projector, key network and queue. The first is null and stands for
    the run's ``encoder``. ISC trains bigru (seq) with agcn (graph), and has hcn (img) as the third."""
    mode: Literal["inter", "intra"] = "inter"
    """``inter``: queries of one representation are contrasted with the keys and the queue of every other one,
    Eq. (6). ``intra``: with those of the same representation, the ablation of section 3.2."""
    projector_end: Literal["projector_init", "released"] = "projector_init"
    """Initial weights of a projector's last layer. ``projector_init``: like the layers before it.
    ``released``: as the released encoders initialise the classification layer that it replaces, by encoder:
    bigru U(-a, a), a = sqrt(6 / (inputs + dim)); hcn the same, and biases 0; agcn N(0, sqrt(2 / dim))."""

    @model_validator(mode="after")
    def _check(self) -> ISCOptions:
        given = list(self.representations.values())
        if not given or given[0] is not None:
            raise ValueError("the first of representations must be null: it is the run's encoder")
        if None in given[1:]:
            raise ValueError("only the first of representations may be null, the others name their encoder")
        if self.mode == "inter" and len(given) < 2:
            raise ValueError("mode inter contrasts representations and needs two or more; intra takes one")
        return self


class ISC(MoCoMethod):
    """``forward(batch) -> {"loss", "positive", "negative", "info_nce", "contrast_<query>_<key>"...}``."""

    Options = ISCOptions
    why_unpaired = (
        "whose query and key already differ in their representation and go through encoders of different "
        "kinds; ms-clr contrasts conventions within one encoder"
    )

    def __init__(self, options: ISCOptions, parts: Parts) -> None:
        super().__init__()
        self.views = make_views(parts)
        self.moco_of = {
            name: _moco(options, replace(parts, encoder=component))
            for name, component in _components(options, parts.encoder).items()
        }
        self.mocos = nn.ModuleDict(self.moco_of)
        names = list(self.moco_of)
        if options.mode == "inter":
            self.pairs = [(query, key) for query in names for key in names if query != key]
        else:
            self.pairs = [(name, name) for name in names]

    @staticmethod
    def stages(options: ISCOptions) -> tuple[Stage, ...]:
        others = "of the other representations" if options.mode == "inter" else "of its own representation"
        return (Stage("contrast", 0, f"InfoNCE of every query with the key and the queue {others}"),)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        mocos = self.moco_of
        for moco in mocos.values():
            moco.advance()
        query_view = self.views.normal(batch, batch.query)
        key_view = self.views.normal(batch, batch.key)
        q = {name: moco.query(query_view, batch.query) for name, moco in mocos.items()}
        k = {name: moco.keys(key_view, batch.key) for name, moco in mocos.items()}
        scores = {(a, b): mocos[b].scores(q[a], k[b], batch.rows) for a, b in self.pairs}
        terms = {pair: losses.nce(each) for pair, each in scores.items()}
        similarities = [mocos[b].similarities(scores[a, b]) for a, b in self.pairs]
        for name, moco in mocos.items():
            moco.remember(k[name], batch.rows)
        means = {name: torch.stack([each[name] for each in similarities]).mean() for name in similarities[0]}
        named = {f"contrast_{a}_{b}": term.detach() for (a, b), term in terms.items()}
        return {"loss": torch.stack(list(terms.values())).sum(), **means, **named}


def _moco(options: ISCOptions, parts: Parts) -> MoCo:
    moco = MoCo(options, parts)
    if options.projector_end == "released":
        with draws_from(parts.generator):
            _begin_as_released(moco.query, parts.encoder.name)
            if options.key_init == "copy":
                moco.key.load_state_dict(moco.query.state_dict())
            else:
                _begin_as_released(moco.key, parts.encoder.name)
    return moco


@torch.no_grad()
def _begin_as_released(network: Network, encoder: str) -> None:
    """In place, apply ``projector_end: released``; encoders that ISC has not released keep their weights."""
    last = network.projector[-1]
    assert isinstance(last, nn.Linear)
    if encoder in ("bigru", "hcn"):
        nn.init.xavier_uniform_(last.weight)
    if encoder == "hcn":
        nn.init.zeros_(last.bias)
    if encoder == "agcn":
        nn.init.normal_(last.weight, 0, math.sqrt(2 / last.out_features))


def _components(options: ISCOptions, own: Component) -> Mapping[str, Component]:
    """Every representation's encoder, checked; errors name its place in the settings."""
    components = {}
    for name, component in options.representations.items():
        if component is not None:
            encoders.check(component, where=f"method.options.representations.{name}")
        components[name] = component or own
    return components
