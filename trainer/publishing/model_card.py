"""The model card: Markdown for readers, preceded by the metadata that Hugging Face reads.

Keys and their meaning: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from schemas import escaped
from schemas.yaml_text import load_yaml
from trainer import config
from trainer.export import EncoderCard
from trainer.publishing.claims import Claim
from trainer.publishing.manifest import FIGURES, MANIFEST, RECIPE, SETTINGS
from trainer.report.parts import percent

_TASK = "skeleton-based-action-recognition"
_TAGS = ("skeleton", _TASK, "self-supervised-learning", "contrastive-learning", "pytorch")
_HEADINGS = ("figure", "measured on", "top-1 %", "95 %", "top-5 %", "class mean %", "test clips", "store")
_SHOWN = 12
"""Number of fingerprint digits shown: enough to distinguish stores."""


def markdown(card: EncoderCard, claims: Sequence[Claim], *, title: str, licence: str, place: str) -> str:
    """The whole card.

    ``licence``: a Hugging Face identifier, such as cc-by-nc-4.0; ``place``: the argument of ``trainer.load``.
    """
    parts = [
        _front(card, claims, title=title, licence=licence),
        f"# {escaped(title)}\n",
        _about(card),
        _use(card, place),
        _figures(claims, place),
        _training(card),
        f"## Terms\n\n{escaped(card.licence)}\n",
    ]
    return "\n".join(parts)


def row(claim: Claim) -> str:
    """A claim as a row of the card's table."""
    spread = "" if len(claim.draws) < 2 else f" (mean of {len(claim.draws)} draws)"
    ends = "–" if claim.interval is None else " to ".join(map(percent, claim.interval))
    cells = (
        claim.figure,
        f"{claim.dataset} {claim.split}, {claim.convention}, {claim.stream}",
        percent(claim.top1) + spread,
        ends,
        percent(claim.top5),
        percent(claim.macro),
        str(claim.test_samples),
        f"`{claim.store_hash[:_SHOWN]}`",
    )
    return _line(cells)


def metrics(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """``model-index`` results in percent, with the four digits that distinguish single clips."""
    return [
        {
            "task": {"type": _TASK, "name": "Skeleton-based action recognition"},
            "dataset": {"type": claim.dataset, "name": f"{claim.dataset} {claim.split}, {claim.convention}"},
            "metrics": [
                {"type": "accuracy", "name": f"{claim.figure}, top-1 %", "value": round(100 * claim.top1, 4)}
            ],
        }
        for claim in claims
    ]


def front_of(text: str) -> dict[str, Any]:
    """The mapping between the first two lines of ``---``; empty if that is not a mapping."""
    parts = text.split("---\n", 2)
    try:
        front = load_yaml(parts[1]) if len(parts) == 3 and not parts[0] else None
    except yaml.YAMLError:
        return {}
    return front if isinstance(front, dict) else {}


def _front(card: EncoderCard, claims: Sequence[Claim], *, title: str, licence: str) -> str:
    terms = {"license": licence} | ({"license_name": "see-the-card"} if licence == "other" else {})
    front: dict[str, Any] = {
        **terms,
        "library_name": "skeltools",
        "tags": [*_TAGS, card.encoder.name, card.method],
        **({"metrics": ["accuracy"]} if claims else {}),
        **({"model-index": [{"name": title, "results": metrics(claims)}]} if claims else {}),
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n"


def _about(card: EncoderCard) -> str:
    summary, paper = config.about(card.method)
    finetuned = [each.figure for each in card.classifiers.values() if each.finetuned]
    learned = f", then with labels ({finetuned[0]})" if finetuned else ""
    lines = [
        f"An encoder of human skeletons in motion ({card.encoder.name}, {card.feature_dim} features), "
        f"pre-trained without labels{learned} by {card.method} on {escaped(card.dataset)}, {card.split}.",
        f"{summary.rstrip('.')}. {paper and f'Paper: {paper}.'}".strip(),
    ]
    if card.synthetic:
        lines.append("**The data are the built-in, synthetic demo: the figures say nothing about people.**")
    return "\n\n".join(lines) + "\n"


def _use(card: EncoderCard, place: str) -> str:
    given = card.input
    known = "\n".join(
        _line((name, str(spec.num_joints), ", ".join(spec.joints[:4]) + ", ..."))
        for name, spec in card.conventions.items()
    )
    asks = [f"model.predict(joints).names  # of {len(_classes(card))} classes"] if card.classifiers else []
    code = [
        "import trainer  # of skeltools",
        "",
        f'model = trainer.load("{place}")',
        f"model.embed(joints)  # [T, M, V, 3] metres, NaN: not seen -> [1, {card.feature_dim}]",
        *asks,
    ]
    return "\n".join(
        [
            "## Use\n",
            "```python",
            *code,
            "```\n",
            f"Clips are resized to {given.frames} frames, and have up to {given.bodies} people; the "
            f"{given.stream} stream goes in, after the steps of `{RECIPE}`. Axes: x to the sensor's left, y "
            "up, z away from it.\n",
            _line(("skeleton", "joints", "the first are")),
            _rule(3),
            known + "\n",
        ]
    )


def _classes(card: EncoderCard) -> tuple[str, ...]:
    return next(iter(card.classifiers.values())).classes


def _figures(claims: Sequence[Claim], place: str) -> str:
    if not claims:
        return "## Figures\n\nNone were measured.\n"
    commands = "\n".join(dict.fromkeys(claim.command for claim in claims))
    notes = [f"- {escaped(note)}" for note in dict.fromkeys(note for each in claims for note in each.notes)]
    return "\n".join(
        [
            "## Figures\n",
            _line(_HEADINGS),
            _rule(len(_HEADINGS)),
            *map(row, claims),
            "",
            "Top-1 accuracy on the test half after the last epoch, 95 % bootstrap interval over the test "
            "clips; store: the first digits of its fingerprint. Measured by\n",
            f"```sh\n{commands}\n```\n",
            "and measured again, on a store of your own, by\n",
            f"```sh\ntrainer verify {place} --store store.zarr\n```\n",
            *([*notes, ""] if notes else []),
        ]
    )


def _training(card: EncoderCard) -> str:
    return (
        "## Training\n\n"
        f"{card.epoch} of {card.epochs} epochs, settings from preset {card.preset}; all of them are in "
        f"`{SETTINGS}`. Store `{card.store_hash[:_SHOWN]}`, checkpoint `{card.checkpoint_hash[:_SHOWN]}`, "
        f"weights `{card.weights_hash[:_SHOWN]}`. `{FIGURES}` has the figures with every digit and setting, "
        f"`{MANIFEST}` the sha256 of every file. Written by {card.tool}.\n"
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell).replace("|", "\\|") for cell in cells) + " |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
