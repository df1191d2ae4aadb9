"""Which joints indicate a class, and when: the skeleton activation map.

As in Fig. 7 of CSCLR, which uses the class activation map of Zhou et al. (CVPR 2016): the encoder's last
feature map, weighted by the linear classifier's weights for the class, ``sum_c w[class, c] f[c, t, v]``.
Features are the mean of that map over frames, joints and bodies, so the mean of the activations is the logit
without its bias.

The classifier is that of the run's linear evaluation, recomputed from its settings and seed. Without such a
result, the energy of the map is drawn: the root mean square over its channels, which is independent of the
class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from schemas import SkelError, escaped
from trainer.evaluate import linear
from trainer.evaluate.features import Features
from trainer.report import draw
from trainer.report.draw import WIDTH
from trainer.report.encoded import Encoded, in_seeded_order
from trainer.report.parts import Figure, Note, Part
from trainer.report.skeletons import draw_scale, draw_strip
from trainer.report.tracks import Array, scenes, track, upright

if TYPE_CHECKING:
    from skeltools.pictures.scene import Track

INTRO = (
    "Class activation for the true class, or the energy of the feature map where a note says so. One test "
    "clip of each of three classes, drawn by a fixed seed. The larger a joint, and the nearer its colour to "
    "the right end of the scale, the higher its value, relative to the clip's highest. Frames of the map are "
    "longer than those of the clip, and each has seen its neighbours. Bones: blue is the person's left, "
    "orange the right; numbers are frames."
)
SAMPLES = 3
_ROWS = 2
"""Rows of poses, one below the other."""


def activation(of: Encoded) -> list[Part]:
    """The map of one clip of each of three randomly drawn classes, and a note if it shows the energy."""
    if getattr(of.encoder, "map_axes", None) != "TV":
        kind = of.run.config.encoder.name
        return [
            Note(f"{of.run.name}: the map of encoder {kind} has no frames and joints to draw.", kind="info")
        ]
    classifier = _classifier(of)
    rows = _choose(of)
    poses = of.poses("test", rows).numpy()
    turn = upright(of.spec, poses)
    parts: list[Part] = []
    for place, (row, joints) in enumerate(zip(rows, poses, strict=True), start=1):
        seen = of.test.clips[of.convention][row].to(of.device)
        strength = _strength(of, seen, of.test.labels[row], classifier)
        people = track(_title(of, row, classifier), joints, of.spec, turn, shade=strength)
        parts.append(_figure(of, place, row, people, strength))
    if classifier is None:
        text = (
            f"{of.run.name}: without a linear evaluation of {of.name} on {of.convention}, the energy of "
            "the map is drawn and not the activation of a class."
        )
        parts.append(Note(text, of.run.command("linear")))
    return parts


def classifier_of(of: Encoded, settings: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Weights [classes, D] and biases [classes] of a linear evaluation, on unscaled features.

    The protocol returns only scores. They are affine in the features, so the scores of zero and of the unit
    vectors determine the classifier, whatever feature scaling it uses internally.
    """
    options = linear.Options(
        **{name: settings[name] for name in linear.Options.model_fields if name in settings}
    )
    width = of.train_features.values.shape[1]
    probes = Features(
        torch.cat([torch.zeros(1, width), torch.eye(width)]), torch.zeros(width + 1, dtype=torch.int64)
    )
    seed = of.run.config.runtime.seed
    (scores,) = linear.evaluate(of.train_features, probes, classes=of.classes, seed=seed, options=options)
    bias = scores.values[0]
    return (scores.values[1:] - bias).T, bias


def class_activation(feature_map: Tensor, weights: Tensor) -> Tensor:
    """[M, C, T', V] and [C] -> [M, T', V]: each place's share of the class's logit, times their number."""
    return torch.einsum("mctv,c->mtv", feature_map, weights)


def energy(feature_map: Tensor) -> Tensor:
    """[M, C, T', V] -> [M, T', V]: root mean square over the channels."""
    return feature_map.square().mean(dim=1).sqrt()


def _classifier(of: Encoded) -> tuple[Tensor, Tensor] | None:
    for saved in of.run.results:
        result = saved.result
        alone = result.encoder in ("", of.name) and result.convention == of.convention
        if result.protocol == "linear" and alone and result.checkpoint_hash == of.opened.checkpoint_hash:
            try:
                return classifier_of(of, result.settings)
            except SkelError:  # it diverged
                return None
    return None


def _choose(of: Encoded) -> list[int]:
    """The first clip in a seeded order of each of the randomly drawn classes."""
    order = in_seeded_order(of.test.ids, "activation")
    first = {int(of.test.labels[row]): row for row in reversed(order)}
    labels = sorted(first)
    return [
        first[labels[place]]
        for place in in_seeded_order([of.classes[label] for label in labels], "activation")[:SAMPLES]
    ]


@torch.no_grad()
def _strength(of: Encoded, clip: Tensor, label: Tensor, classifier: tuple[Tensor, Tensor] | None) -> Array:
    """[T, V, M] in 0..1 for a clip [3, T, V, M]: positive activation, or energy, over its maximum."""
    encoder: Any = of.encoder
    feature_map = encoder.feature_map(clip[None], of.convention).float().cpu()
    values = (
        energy(feature_map)
        if classifier is None
        else class_activation(feature_map, classifier[0][label]).clamp_min(0)
    )
    times = torch.arange(clip.shape[1]) * values.shape[1] // clip.shape[1]
    values = values[:, times].permute(1, 2, 0)
    there = (clip != 0).any(dim=0).any(dim=1, keepdim=True).cpu()  # absent bodies are encoded, not drawn
    values = values * there
    scaled: Array = (values / values.max().clamp_min(1e-12)).numpy()
    return scaled


def _figure(of: Encoded, place: int, row: int, people: Track, strength: Array) -> Figure:
    """The drawing of a test clip, with ``strength`` [T, V, M]; ``place`` counts the drawings from 1."""
    said, height = people.name, 1.25 * _ROWS

    def paint(canvas: Canvas) -> None:
        strip, scale = canvas.subplots(2, 1, height_ratios=(height, 0.2))
        draw_strip(strip, people, size=(WIDTH, height), rows=_ROWS)
        strip.axis("off")
        strip.set_title(said)
        draw_scale(scale)

    return draw.figure(
        draw.slug("activation", of.run.name, str(place)),
        (WIDTH, height + 0.6),
        paint,
        title=f"{_label(of, row)}: {of.run.name}, {of.name}",
        alt=f"{said}: most active {_strongest(of, strength)}.",
        caption=f"Test clip {escaped(of.test.ids[row])}.",
        scenes=scenes([people]),
    )


def _label(of: Encoded, row: int) -> str:
    return escaped(of.classes[int(of.test.labels[row])])


def _title(of: Encoded, row: int, classifier: tuple[Tensor, Tensor] | None) -> str:
    """The name of the true class, with the classifier's answer."""
    label = _label(of, row)
    if classifier is None:
        return label
    weights, bias = classifier
    answer = int((of.test_features.values[row] @ weights.T + bias).argmax())
    if answer == int(of.test.labels[row]):
        return f"{label} (✓ recognised)"
    return f"{label} (✗ taken for {escaped(of.classes[answer])})"


def _strongest(of: Encoded, values: Array) -> str:
    """The three joints with the highest mean over frames and bodies."""
    order = np.argsort(-values.mean(axis=(0, 2)), kind="stable")[:3]
    return ", ".join(of.spec.joints[joint] for joint in order)
