// Tabs of a page with more than samples: lists of items, each with scenes, and maps of points.

import { element } from "./dom.js";
import { facts } from "./details.js";
import { List } from "./list.js";
import { PointMap } from "./map.js";

/** `store.tabs`: [{name, title, about, url, kind: "items" | "map"}]. An address is #tab=NAME&item=ID. */
export class Tabs {
  constructor(app) {
    Object.assign(this, { app, made: new Map(), all: app.store.tabs ?? [] });
  }

  show() {
    const names = [...(this.app.store.rows === false ? [] : [["", "Samples"]]), ...this.all.map(({ name, title }) => [name, title])];
    this.links = names.map(([name, title]) => element("a", { href: name ? `#tab=${encodeURIComponent(name)}` : "#", "data-tab": name }, title));
    this.app.tabRow.replaceChildren(...this.links);
    this.app.tabRow.hidden = names.length < 2;
    this.samples = [...this.app.side.childNodes];
  }

  /** Show the tab of an address; returns whether it is one. */
  route(asked) {
    const name = asked.get("tab") ?? (this.app.store.rows === false ? this.all[0]?.name : null) ?? "";
    const tab = this.all.find((each) => each.name === name);
    for (const link of this.links) link.toggleAttribute("aria-current", link.dataset.tab === (tab ? name : ""));
    if (tab) this.enter(tab, asked.get("item")).catch((error) => this.app.say(error.message));
    else if (this.current) {
      this.app.side.replaceChildren(...this.samples);
      this.app.player?.set({ layout: "beside" });
    }
    if (!tab) this.current = null;
    return Boolean(tab);
  }

  async enter(tab, id) {
    const known = this.made.get(tab.name) ?? (await this.make(tab));
    this.made.set(tab.name, known);
    if (this.current !== known) this.app.side.replaceChildren(element("p", { class: "about" }, tab.about), known.view.element);
    this.current = known;
    known.view.show?.(known.order);
    const wide = matchMedia("(min-width: 60rem)").matches;
    const item = known.items.get(id ?? (wide ? known.first : null));
    document.body.classList.toggle("open", Boolean(item));
    if (item) await this.open(known, item);
  }

  async make(tab) {
    const told = await this.app.source.ask(tab.url);
    const address = (id) => `#tab=${encodeURIComponent(tab.name)}&item=${encodeURIComponent(id)}`;
    const items = new Map((told.items ?? told.points).map((item) => [String(item.id), item]));
    const go = (id) => {
      history.replaceState(null, "", address(id));
      this.app.route();
    };
    if (tab.kind === "map") return { items, told, first: items.keys().next().value, view: new PointMap(told, go) };
    const ids = [...items.keys()];
    const fill = (place) => [element("span", { class: "words" }, element("strong", {}, items.get(ids[place]).title), element("small", {}, items.get(ids[place]).note ?? ""))];
    const view = new List({ fill, address: (place) => address(ids[place]), open: (place) => go(ids[place]) });
    return { items, told, ids, first: ids[0], order: ids.map((_, place) => place), view };
  }

  async open(known, item) {
    known.view.select(known.ids ? known.ids.indexOf(String(item.id)) : item.id);
    const address = item.scenes ?? known.told.scenes + encodeURIComponent(item.id);
    const told = await this.app.source.ask(address);
    this.app.play(told.scenes, { layout: told.layout ?? "beside" });
    const notes = told.scenes.map((scene) => element("section", {}, element("h2", {}, scene.title), facts(scene.facts ?? {})));
    this.app.details.replaceChildren(element("h1", {}, item.title), element("p", {}, told.note ?? item.note ?? ""), ...notes);
  }
}
