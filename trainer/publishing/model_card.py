"""The model card: Markdown for readers, preceded by the metadata that Hugging Face reads.

Keys and their meaning: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from schemas import escaped
from schemas.templates import template
from schemas.yaml_text import load_yaml
from trainer import config
from trainer.export import EncoderCard
from trainer.publishing.claims import Claim
from trainer.publishing.manifest import FIGURES, MANIFEST, RECIPE, SETTINGS
from trainer.report.parts import interval, percent

_TASK = "skeleton-based-action-recognition"
_TAGS = ("skeleton", _TASK, "self-supervised-learning", "contrastive-learning", "pytorch")


def markdown(card: EncoderCard, claims: Sequence[Claim], *, title: str, licence: str, place: str) -> str:
    """The whole card, laid out by ``model_card.md``.

    ``licence``: a Hugging Face identifier, such as cc-by-nc-4.0; ``place``: the argument of ``trainer.load``.
    """
    path = Path(__file__).with_name("model_card.md")
    summary, paper = config.about(card.method)
    text = template(path, escaped=escaped, line=_line, digits=_digits).render(
        card=card,
        front=_front(card, claims, title=title, licence=licence),
        title=title,
        place=place,
        finetuned=next((each.figure for each in card.classifiers.values() if each.finetuned), ""),
        classes=next((len(each.classes) for each in card.classifiers.values()), 0),
        summary=summary.rstrip("."),
        paper=paper,
        rows=[row(claim) for claim in claims],
        commands=list(dict.fromkeys(claim.command for claim in claims)),
        notes=list(dict.fromkeys(note for claim in claims for note in claim.notes)),
        figures_file=FIGURES,
        manifest_file=MANIFEST,
        recipe_file=RECIPE,
        settings_file=SETTINGS,
    )
    return f"{text}\n"


def row(claim: Claim) -> str:
    """A claim as a row of the card's table."""
    spread = "" if len(claim.draws) < 2 else f" (mean of {len(claim.draws)} draws)"
    cells = (
        claim.figure,
        f"{claim.dataset} {claim.split}, {claim.convention}, {claim.stream}",
        percent(claim.top1) + spread,
        interval(claim.interval),
        percent(claim.top5),
        percent(claim.macro),
        str(claim.test_samples),
        f"`{_digits(claim.store_hash)}`",
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
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell).replace("|", "\\|") for cell in cells) + " |"


def _digits(fingerprint: str) -> str:
    """The first digits of a fingerprint: enough to distinguish stores."""
    return fingerprint[:12]
