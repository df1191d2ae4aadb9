"""A run as a page: tabs over the store that it was trained on, served to the browser or in one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from schemas import SkelError, UnknownSampleError, UsageError
from trainer import store as stores
from trainer.run import Run
from trainer.view import features, mistakes
from trainer.view.features import FeatureSpace
from trainer.view.mistakes import Mistake
from trainer.view.recordings import Recordings
from trainer.view.tabs import Answer, Tab
from trainer.view.views import Views

if TYPE_CHECKING:
    from skeltools.pictures.browsed import Browsed
    from skeltools.pictures.listing import Listing

FIRST = 6
"""Number of items per tab in a single file."""

POINTS = 60
"""Number of points of the map in a single file, each with its clip."""


@dataclass(frozen=True)
class RunPage:
    """A run and the content of its page."""

    run: Run
    recordings: Path | None = None
    """A store of uncut recordings; None: the run's, if it has any."""

    @cached_property
    def browsed(self) -> Browsed:
        from skeltools.pictures.browsed import Browsed

        return Browsed(self.run.store.path)

    @property
    def listing(self) -> Listing:
        return self.browsed.listing

    @cached_property
    def tabs(self) -> list[Tab]:
        """The tabs for which the run has content."""
        return [self._views(), *self._errors(), *self._features(), *self._recordings()]

    def answers(self) -> dict[str, Callable[[Any], Any]]:
        """Name -> answer of the server, for the store and for the tabs."""
        plain, lock = self.browsed.answers(), RLock()
        calls = {name: answer for tab in self.tabs for name, answer in tab.answers(lock).items()}
        return {**plain, **calls, "store": lambda query: {**plain["store"](query), **self._entry(self.tabs)}}

    def _entry(self, tabs: Sequence[Tab]) -> Answer:
        """What ``api/store`` states about a run besides its store."""
        return {"name": self.run.path.name, "tabs": [tab.entry() for tab in tabs]}

    def serve(self, *, port: int = 0, browser: bool = True, say: Callable[[str], None]) -> None:
        """Serve the page until Ctrl-C; see ``skeltools.pictures.server.serve``."""
        from skeltools.pictures.server import serve

        serve(self.answers(), port=port, browser=browser, say=say)

    def write(self, out: Path, *, force: bool = False) -> int:
        """Write a single file with the first items of every available tab; returns its size in bytes.

        Raises UsageError for an existing file without ``force``, and for a run of which nothing can be shown.
        """
        from skeltools.pictures import single_file

        single_file.check_free(out, force=force)
        shown: list[Tab] = []
        items: dict[str, Answer] = {}
        problems: list[str] = []
        for tab in self.tabs:
            try:
                items |= _held(tab)
                shown.append(tab)
            except SkelError as error:
                problems.append(str(error))
        if not shown:
            raise UsageError("nothing of it can be shown", where=self.run.path, remedy="; ".join(problems))
        data = single_file.held(self.listing, [])
        data["store"] = {**self.listing.store(), **self._entry(shown), "rows": False}
        return single_file.save(single_file.page({**data, "items": items}), out)

    # ------------------------------------------------------------------------------------------------ tabs

    def _views(self) -> Tab:
        views = Views(self.run)
        return Tab(
            "views",
            "Views",
            f"What {self.run.config.method.name} sees: clips of its first batch, and what its augmentations "
            "make of them.",
            lambda: {"items": views.items()},
            views.scenes,
        )

    def _errors(self) -> list[Tab]:
        saved = mistakes.chosen(self.run)
        if saved is None:
            return []
        wrong, total = mistakes.mistakes(saved)
        about = (
            f"{len(wrong)} of {total} test clips that {saved.result.figure} names wrong, the surest first."
        )
        listed = {each.id: each for each in wrong[: mistakes.MOST]}
        items = [each.item() for each in listed.values()]
        tab = Tab("errors", "Errors", about, lambda: {"items": items}, lambda id: self._error(listed, id))
        return [tab] if wrong else []

    def _features(self) -> list[Tab]:
        space = FeatureSpace(self.run)
        near = f"Clips, and the {features.NEAREST} whose features are the nearest to theirs by cosine."
        plane = "Features in the plane: points that lie together are clips that the encoder takes for alike."
        return [
            Tab("neighbours", "Neighbours", near, space.items, lambda id: self._near(space, id)),
            Tab("map", "Map", plane, space.points, lambda id: self._near(space, id), kind="map"),
        ]

    def _recordings(self) -> list[Tab]:
        store = self.recordings or self.run.store.path
        convention = self.run.config.data.conventions[0]
        if self.recordings is None and not _is_uncut(store, convention):
            return []
        if not _is_uncut(store, convention):
            raise UsageError(
                f"has no labels of frames in {convention}",
                where=store,
                remedy="Convert recordings with --uncut, or with `uncut: true` in dataset.yaml",
            )
        recordings = Recordings(self.run, store)
        about = "Recordings that are not cut: what is labelled, and what the classifier of windows finds."
        return [Tab("recordings", "Recordings", about, recordings.items, recordings.scenes)]

    def clip(self, id: str, title: str, facts: dict[str, str] | None = None) -> Answer:
        """A clip of the run's store in the run's first convention, as a scene."""
        scene = self.listing.sample(id, [self.run.data.conventions[0]])
        return {**scene, "title": title, "facts": {**(facts or {}), **scene["facts"]}}

    def _error(self, listed: Mapping[str, Mistake], id: str) -> Answer:
        mistake = listed.get(id)
        if mistake is None:
            raise UnknownSampleError(f"'{id}' is none of the clips that were named wrong")
        facts = {"said": mistake.said, "true": mistake.true}
        facts |= {
            f"{place}. {name}": f"{share:.1%}" for place, (name, share) in enumerate(mistake.closest, 1)
        }
        scene = self.clip(id, f"{mistake.true}, named {mistake.said}", facts)
        return {"scenes": [scene], "layout": "beside", "note": mistake.item()["note"]}

    def _near(self, space: FeatureSpace, id: str) -> Answer:
        near = space.near(id)
        named = zip(near.ids, features.titles(near), strict=True)
        scenes = [self.clip(id, near.label or id), *(self.clip(each, title) for each, title in named)]
        note = "First the clip, then its neighbours, the nearest first. ✓ has its class, ✗ another one."
        return {"scenes": scenes, "layout": "beside", "note": note}


def _held(tab: Tab) -> dict[str, Answer]:
    """Address -> answer for a tab and its first items; raises as these do."""
    is_map = tab.kind == "map"
    listed = tab.listed(most=POINTS if is_map else FIRST)
    held = {each["scenes"]: tab.scenes(each["id"]) for each in listed["points" if is_map else "items"]}
    if is_map:  # only the clips: with their neighbours there would be five times as many
        held = {address: {**each, "scenes": each["scenes"][:1]} for address, each in held.items()}
    return {tab.url: listed, **held}


def _is_uncut(store: Path, convention: str) -> bool:
    opened = stores.open_store(store)
    return convention in opened.manifest.conventions and bool(stores.frame_labels(opened, convention))
