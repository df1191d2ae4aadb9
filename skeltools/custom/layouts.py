"""Rearrange arrays of any layout to [T, M, V, C], and guess what is wrong with one that does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from numpy.typing import NDArray

from schemas import RawDataError, SkeletonSpec
from skeltools import skeletons
from skeltools.custom.settings import COORDINATES, Settings
from skeltools.raw_items import RawItem

DEFAULT = "T VC"
"""The default layout: one row per frame."""
MAX_BODIES = 32

_LIKELY_BODIES = 2
"""Guesses consider at most this many bodies per row."""
_LAYOUTS = (
    *("T V C", "T VC", "TV C"),
    *("T MVC", "T VMC", "T M V C", "T MV C", "T M VC", "M T V C"),
    *("C T V M", "C T V", "V T C", "VC T", "C V T"),
)
"""Other layouts that are tried, the likeliest first."""
_ASKED = {
    "xyzs": "is there a score?",
    "xys": "are poses 2D with a score?",
    "xy": "are poses 2D?",
    "xyz": "are there x, y, z and no score?",
}
REMEDY = "Mend the file, or what dataset.yaml says about it"


def laid_out(array: NDArray[Any], item: RawItem, settings: Settings, spec: SkeletonSpec) -> NDArray[Any]:
    """Rearrange any layout to [T, M, V, C]. Raises RawDataError, with a likely cause, if the shape does not
    fit.

    2D poses may have a third coordinate that is the same for all joints of a pose; it is dropped.
    """
    layout = settings.layout or DEFAULT
    sizes = fitted(array.shape, layout, settings, spec)
    third = sizes is None and settings.coordinates == "xy"
    if third:
        sizes = fitted(array.shape, layout, settings, spec, coordinates="xyz")
    if sizes is None:
        raise misfit(array.shape, item, settings, spec)
    letters = layout.replace(" ", "")
    order = [letters.index(letter) for letter in "TMVC" if letter in letters]
    whole = array.reshape([sizes[letter] for letter in letters]).transpose(order)
    whole = whole if "M" in letters else whole[:, None]
    if third and not (whole[..., 2] == whole[:, :, :1, 2]).all():
        raise misfit(array.shape, item, settings, spec)
    whole = whole[..., :2] if third else whole
    if whole.shape[1] > MAX_BODIES:
        raise wrong(item, f"{whole.shape[1]} bodies, at most {MAX_BODIES} make sense: is M the right axis?")
    return whole


def fitted(
    shape: tuple[int, ...],
    layout: str,
    settings: Settings,
    spec: SkeletonSpec,
    *,
    coordinates: str | None = None,
) -> dict[str, int] | None:
    """The size of each letter of a layout; None if the shape does not fit it."""
    known = {"V": spec.num_joints, "C": len(coordinates or settings.coordinates)}
    axes = layout.split()
    sizes = dict(known)
    if len(shape) != len(axes):
        return None
    for axis, size in zip(axes, shape, strict=True):
        free = [letter for letter in axis if letter not in known]
        if len(free) == 2:
            sizes["M"] = settings.bodies or 1
            free = ["T"]
        product = prod(sizes[letter] for letter in axis if letter not in free)
        if (size != product) if not free else size % product:
            return None
        sizes |= dict.fromkeys(free, size // product)
    return sizes


def misfit(
    shape: tuple[int, ...], item: RawItem, settings: Settings, spec: SkeletonSpec, guess: str | None = None
) -> RawDataError:
    """The error for a shape that does not fit. ``guess``: its cause, by default the first of ``guesses``."""
    layout = settings.layout or DEFAULT
    guess = next(guesses(shape, settings, spec), "") if guess is None else guess
    known = {"V": spec.num_joints, "C": len(settings.coordinates)}
    expected = ", ".join(_expected(axis, known) for axis in layout.split())
    return wrong(
        item,
        f"has shape {shape}, expected ({expected}) for layout '{layout}' and {spec.name} "
        f"({spec.num_joints} joints)" + (f". {guess}" if guess else ""),
    )


def _expected(axis: str, known: dict[str, int]) -> str:
    names = {"T": "frames", "M": "bodies"}
    return " * ".join(str(known.get(letter, names.get(letter))) for letter in axis)


def guesses(shape: tuple[int, ...], settings: Settings, spec: SkeletonSpec) -> Iterator[str]:
    """Likely causes of a misfit, the likeliest first: a question, and the setting that would fix it."""
    layout = settings.layout or DEFAULT
    if len(shape) > 1 and fitted(shape[1:], layout, settings, spec) is not None:
        yield f"{shape[0]} clips in one array? `convert custom --from crossclr` reads it with its labels"
    for coordinates in COORDINATES:
        if coordinates != settings.coordinates and _likely(shape, layout, settings, spec, coordinates):
            counted = _counted(shape, layout, spec, len(coordinates))
            yield f"{counted}{_ASKED[coordinates]} `coordinates: {coordinates}`"
    for other in _LAYOUTS:
        for coordinates in (settings.coordinates, f"{settings.coordinates}s"):
            if coordinates in COORDINATES and _likely(shape, other, settings, spec, coordinates):
                score = f" and `coordinates: {coordinates}`" if coordinates != settings.coordinates else ""
                yield f"Is it another layout? `layout: {other}`{score}"
    for axis, size in zip(layout.split(), shape, strict=False):
        divisor = len(settings.coordinates) if "C" in axis else 1
        if "V" in axis and not size % divisor and size // divisor > 1:
            yield _other_joints(size, divisor, spec)


def _likely(
    shape: tuple[int, ...], layout: str, settings: Settings, spec: SkeletonSpec, coordinates: str
) -> bool:
    sizes = fitted(shape, layout, settings, spec, coordinates=coordinates)
    if sizes is None:
        return False
    most = MAX_BODIES if "M" in layout.split() else _LIKELY_BODIES
    return 1 <= sizes.get("M", 1) <= most and sizes["T"] > 0


def _counted(shape: tuple[int, ...], layout: str, spec: SkeletonSpec, size: int) -> str:
    """The size of the axis with the coordinates as a product, ``80 = 20 x 4: ``."""
    for axis, length in zip(layout.split(), shape, strict=True):
        if "C" in axis and axis != "C":
            return f"{length} = {length // size} x {size}: "
        if axis == "C":
            return f"C has {length}: "
    return ""


def _other_joints(size: int, divisor: int, spec: SkeletonSpec) -> str:
    count = size // divisor
    known = [name for group in skeletons.GROUPS for name in skeletons.names(group)]
    same = [name for name in known if name.rsplit("_", 1)[-1] == str(count)]
    counted = f"{size} = {count} x {divisor}: " if divisor > 1 else ""
    others = f" {', '.join(same[:3])} {'have' if same[1:] else 'has'} as many" if same else ""
    return f"{counted}is it another convention, of {count} joints?{others}".rstrip("?")


def wrong(item: RawItem, message: str, *, remedy: str = REMEDY) -> RawDataError:
    return RawDataError(message, where=item.where, remedy=remedy)
