"""Tabs of the viewer's page, and the server answers that provide their content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import Any, Literal
from urllib.parse import quote

from schemas import UsageError

Answer = dict[str, Any]


@dataclass(frozen=True)
class Tab:
    """A list of items, or points of a map, each with scenes that play on a common clock."""

    name: str
    title: str
    about: str
    """What the tab shows, in one sentence."""
    items: Callable[[], Answer]
    """Returns ``items`` with id, title and note, or for a map ``points`` with x, y, label, id and title, and
    ``classes``."""
    scenes: Callable[[str], Answer]
    """Item id -> ``scenes``, ``layout`` and ``note``."""
    kind: Literal["items", "map"] = "items"

    @property
    def url(self) -> str:
        return f"api/{self._place}"

    @property
    def _place(self) -> str:
        return f"run/{self.name}"

    def entry(self) -> Answer:
        """The tab as ``api/store`` lists it."""
        return {
            "name": self.name,
            "title": self.title,
            "about": self.about,
            "url": self.url,
            "kind": self.kind,
        }

    def listed(self, *, most: int | None = None) -> Answer:
        """The first ``most`` items, each with the address of its scenes."""
        answer = self.items()
        name = "points" if self.kind == "map" else "items"
        some = [{**each, "scenes": self.address(each["id"])} for each in answer[name][:most]]
        return {**answer, name: some}

    def address(self, id: str) -> str:
        """The address of an item's scenes."""
        return f"{self.url}/scenes?id={quote(id, safe='')}"

    def answers(self, lock: RLock) -> dict[str, Callable[[Any], Any]]:
        """Name -> answer of the server, one at a time because methods are modified and features cached."""

        def listed(query: Any) -> Answer:
            with lock:
                return self.listed()

        def scenes(query: Any) -> Answer:
            given = query.get("id", [])
            if len(given) != 1:
                raise UsageError("the id of one item is needed")
            with lock:
                return self.scenes(given[0])

        return {self._place: listed, f"{self._place}/scenes": scenes}
