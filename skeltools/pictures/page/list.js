// A virtual list of any length: only visible rows exist.

import { element } from "./dom.js";

const ROW = 76; // pixels, as in viewer.css
const SPARE = 6;

/**
 * `fill(row)` returns a row's children, `address(row)` its link; `drawn(rows)` is called with the visible
 * rows. Rows are the numbers passed to `show`.
 */
export class List {
  constructor({ fill, address, drawn, open }) {
    Object.assign(this, { fill, address, drawn, open, rows: [], made: new Map(), current: null });
    this.inside = element("div", { class: "inside" });
    this.element = element("div", { class: "list", role: "listbox", tabindex: 0, "aria-label": "samples" }, this.inside);
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(rows) {
    this.rows = rows;
    this.place = new Map();
    rows.forEach((row, place) => this.place.set(row, place));
    this.inside.style.height = `${rows.length * ROW}px`;
    this.inside.replaceChildren();
    this.made.clear();
    this.draw();
  }

  draw() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - SPARE);
    const last = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / ROW) + SPARE);
    for (const [place, made] of this.made) {
      if (place >= first && place < last) continue;
      made.remove();
      this.made.delete(place);
    }
    for (let place = first; place < last; place++) if (!this.made.has(place)) this.make(place);
    this.drawn?.(this.rows.slice(first, last));
  }

  make(place) {
    const row = this.rows[place];
    const made = element("a", { role: "option", id: `row-${row}`, href: this.address(row), tabindex: -1, "aria-posinset": place + 1, "aria-setsize": this.rows.length }, this.fill(row));
    made.style.top = `${place * ROW}px`;
    made.setAttribute("aria-selected", String(row === this.current));
    this.made.set(place, made);
    this.inside.append(made);
  }

  /** Mark a row and scroll it into view. */
  select(row) {
    this.current = row;
    for (const [place, made] of this.made) made.setAttribute("aria-selected", String(this.rows[place] === row));
    const place = this.place?.get(row);
    if (place === undefined) return;
    this.element.setAttribute("aria-activedescendant", `row-${row}`);
    const top = place * ROW;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.element.scrollTop = top + ROW - clientHeight;
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.move(steps[event.key]);
  }

  /** Open the row `steps` after the open one. */
  move(steps) {
    if (!this.rows.length) return;
    const place = this.place.get(this.current);
    const next = place === undefined ? 0 : Math.max(0, Math.min(this.rows.length - 1, place + steps));
    this.open(this.rows[next]);
  }
}
