// The page: a list of samples, the player, details. The address holds what is open: #id=...&with=a,b

import { element } from "./dom.js";
import { sampleDetails, storeDetails } from "./details.js";
import { Filters, chosen, searched } from "./filters.js";
import { act } from "./keys.js";
import { List } from "./list.js";
import { Player } from "./player.js";
import { embedded, served } from "./source.js";
import { Tabs } from "./tabs.js";
import { themeButton } from "./theme.js";
import { Thumbnails } from "./thumbnails.js";

const MOST_AT_FIRST = 4; // conventions shown by default

class App {
  constructor(source) {
    Object.assign(this, { source, player: null, conventions: null, loading: null });
    this.status = element("p", { class: "status", role: "status", hidden: true });
    this.head = element("header", {});
    this.side = element("aside", { class: "side", "aria-label": "samples" });
    this.stage = element("section", { class: "show", "aria-label": "picture" });
    this.details = element("aside", { class: "details", "aria-label": "details" });
    this.back = element("a", { class: "back", href: "#" }, "← All samples");
    this.main = element("main", {}, this.side,
      element("div", { class: "right" }, element("div", { class: "middle" }, this.back, this.status, this.stage), this.details));
    document.body.replaceChildren(this.head, this.main);
    addEventListener("hashchange", () => this.route());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  async start() {
    this.store = await this.source.store();
    document.title = `${this.store.name}, skeltools`;
    this.conventions = this.store.conventions.slice(0, this.store.conventions.length > MOST_AT_FIRST ? 1 : MOST_AT_FIRST).map(({ name }) => name);
    this.header();
    this.details.replaceChildren(...storeDetails(this.store));
    this.tabs = new Tabs(this);
    this.side.replaceChildren(element("p", { class: "count" }, "Reading the list…"));
    if (this.store.rows !== false) await this.list();
    this.tabs.show();
    this.listed = performance.now(); // milliseconds since navigation started
    this.route();
  }

  header() {
    const { name, dataset, samples, of, synthetic } = this.store;
    this.tabRow = element("nav", { "aria-label": "tabs", hidden: true });
    const told = [dataset, samples === undefined ? null : `${samples.toLocaleString("en")}${of > samples ? ` of ${of.toLocaleString("en")}` : ""} samples`, synthetic ? "synthetic" : null].filter(Boolean).join(", ");
    this.head.replaceChildren(element("strong", {}, name), element("span", { class: "told" }, told), this.tabRow, element("span", { class: "space" }), themeButton());
  }

  async list() {
    this.rows = await this.source.rows();
    this.texts = searched(this.rows, this.store.classes);
    this.rowOf = new Map(this.rows.id.map((id, row) => [id, row]));
    this.thumbnails = new Thumbnails(this.source);
    this.filters = new Filters(this.store, this.rows, (wanted) => this.filter(wanted));
    this.count = element("p", { class: "count", role: "status" });
    this.samples = new List({
      fill: (row) => this.rowOfList(row),
      address: (row) => this.address(this.rows.id[row]),
      drawn: (rows) => requestAnimationFrame(() => this.thumbnails.want(rows)),
      open: (row) => this.go(this.rows.id[row]),
    });
    this.side.replaceChildren(this.filters.element, this.count, this.samples.element);
    this.filter(this.filters.wanted());
    document.addEventListener("colours", () => this.samples.show(this.samples.rows));
  }

  filter(wanted) {
    const found = chosen(this.rows, this.texts, wanted);
    const all = this.rows.id.length;
    const number = (value) => value.toLocaleString("en");
    this.count.textContent = !all ? "The store is empty" : found.length === all ? `${number(all)} samples` : `${number(found.length)} of ${number(all)} samples`;
    this.samples.element.scrollTop = 0;
    this.samples.show(found);
  }

  rowOfList(row) {
    const { rows, store } = this;
    const canvas = element("canvas", { "aria-hidden": "true" });
    requestAnimationFrame(() => this.thumbnails.draw(row, canvas));
    const fields = [["subject", "subject"], ["camera", "camera"]].filter(([name]) => (rows[name]?.[row] ?? -1) >= 0).map(([name, text]) => `${text} ${rows[name][row]}`);
    const found = rows.findings[row];
    return [
      canvas,
      element("span", { class: "words" },
        element("strong", {}, store.classes[rows.label[row]] ?? rows.id[row]),
        element("code", {}, rows.id[row]),
        element("small", {}, [...fields, `${rows.frames[row]} ${rows.frames[row] === 1 ? "frame" : "frames"}`].join(" · "), found ? element("em", { title: `${found} findings` }, ` ▲ ${found}`) : null)),
    ];
  }

  address(id) {
    const shown = this.explicit ? `&with=${this.conventions.map(encodeURIComponent).join()}` : "";
    return `#id=${encodeURIComponent(id)}${shown}`;
  }

  /** Open a sample without a new history entry: key presses would add hundreds. */
  go(id) {
    history.replaceState(null, "", this.address(id));
    this.route();
  }

  route() {
    const asked = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
    const shown = asked.get("with")?.split(",").filter((name) => this.store.conventions.some((each) => each.name === name));
    if (shown?.length) [this.conventions, this.explicit] = [shown, true];
    if (this.tabs.route(asked)) return;
    const id = asked.get("id") ?? (matchMedia("(min-width: 60rem)").matches ? this.rows?.id[this.samples.rows[0]] : undefined);
    document.body.classList.toggle("open", id !== undefined);
    if (id === undefined) return this.player?.pause();
    this.samples?.select(this.rowOf.get(id));
    this.open(id);
  }

  /** Show a sample; of two requested in quick succession, the second. */
  async open(id, from) {
    this.loading?.abort();
    const { signal } = (this.loading = new AbortController());
    try {
      const told = await this.source.sample(id, this.conventions, from, signal);
      if (signal.aborted) return;
      this.play([told]);
      this.describe(told);
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message);
    }
  }

  /** Play scenes in the player, which is created on first use. */
  play(scenes, options = {}) {
    this.say("");
    if (!this.player) this.player = new Player(this.stage, scenes, options);
    else this.player.show(scenes, options);
  }

  describe(told) {
    this.details.replaceChildren(...sampleDetails(told, this.conventions, this.store, {
      onconventions: (names) => {
        [this.conventions, this.explicit] = [names, true];
        this.go(told.id);
        this.samples.show(this.samples.rows);
      },
      onframe: (frame) => (this.player.pause(), this.player.seek(frame)),
      onwindow: (from) => this.open(told.id, from),
    }).filter(Boolean));
  }

  say(sentence) {
    this.status.textContent = sentence;
    this.status.hidden = !sentence;
  }

  key(event) {
    if (event.defaultPrevented || event.target.closest("input, select, textarea, dialog")) return;
    if (event.key === "/") {
      event.preventDefault();
      this.filters?.search.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") (this.tabs?.current?.view ?? this.samples)?.key(event);
    else if (this.player) act(this.player, event);
  }
}

async function start() {
  const held = document.getElementById("clips");
  const app = new App(held ? await embedded(held.textContent) : served());
  window.skeltoolsPage = app;
  await app.start().catch((error) => app.say(error.message));
}

start();
