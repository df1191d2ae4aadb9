// Rows to list, and their order: search, filters and sorting over columns of the whole store.

import { element } from "./dom.js";

const UNKNOWN = -1;
const FIELDS = ["subject", "camera", "setup", "repetition"];

const SORTS = {
  store: { name: "Order of the store", by: null },
  id: { name: "Name", by: (rows) => (a, b) => (rows.id[a] < rows.id[b] ? -1 : rows.id[a] > rows.id[b] ? 1 : 0) },
  class: { name: "Class", by: (rows) => (a, b) => rows.label[a] - rows.label[b] },
  short: { name: "Shortest first", by: (rows) => (a, b) => rows.frames[a] - rows.frames[b] },
  long: { name: "Longest first", by: (rows) => (a, b) => rows.frames[b] - rows.frames[a] },
  findings: { name: "Most findings first", by: (rows) => (a, b) => rows.findings[b] - rows.findings[a] },
};

/** Indices of the rows that pass `wanted`, the form's value. Every search word must be in the id or class. */
export function chosen(rows, texts, wanted) {
  const words = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
  const tests = [];
  if (words.length) tests.push((row) => words.every((word) => texts[row].includes(word)));
  if (wanted.class !== "") tests.push((row) => rows.label[row] === Number(wanted.class));
  for (const field of FIELDS) if (wanted[field]) tests.push((row) => rows[field][row] === Number(wanted[field]));
  if (wanted.split) {
    const [, name, part] = /^(.*):(\d)$/.exec(wanted.split);
    tests.push((row) => rows.split[name][row] === Number(part));
  }
  if (wanted.findings) tests.push((row) => (rows.findings[row] > 0) === (wanted.findings === "some"));
  if (wanted.least !== "") tests.push((row) => rows.frames[row] >= Number(wanted.least));
  if (wanted.most !== "") tests.push((row) => rows.frames[row] <= Number(wanted.most));
  const found = [];
  for (let row = 0; row < rows.id.length; row++) if (tests.every((test) => test(row))) found.push(row);
  const by = SORTS[wanted.sort]?.by;
  return by ? found.sort(by(rows)) : found;
}

/** The text of each row that is searched. */
export function searched(rows, classes) {
  return rows.id.map((id, row) => `${id} ${classes[rows.label[row]] ?? ""}`.toLowerCase());
}

/** The form; calls `onchange(wanted)`. It has only fields in which the store's samples differ. */
export class Filters {
  constructor(store, rows, onchange) {
    const labelled = (name, field) => element("label", {}, element("span", {}, name), field);
    const menu = (name, title, choices) => labelled(title, element("select", { name }, element("option", { value: "" }, "All"), choices.map(([value, text]) => element("option", { value }, text))));
    const known = (column) => [...new Set(column ?? [])].filter((value) => value !== UNKNOWN && value !== null).sort((a, b) => a - b);
    const classes = known(rows.label).map((label) => [label, store.classes[label] ?? label]).sort((a, b) => String(a[1]).localeCompare(String(b[1])));
    if (classes.length && rows.label.includes(UNKNOWN)) classes.push([UNKNOWN, "not known"]);
    const menus = [
      classes.length > 1 && menu("class", "Class", classes),
      ...FIELDS.map((name) => [name, known(rows[name])]).filter(([, values]) => values.length > 1)
        .map(([name, values]) => menu(name, name[0].toUpperCase() + name.slice(1), values.map((value) => [value, value]))),
      store.splits.length && menu("split", "Split", store.splits.flatMap((name) => [[`${name}:1`, `${name}, training`], [`${name}:2`, `${name}, test`]])),
      rows.findings.some(Boolean) && menu("findings", "Findings", [["some", "with"], ["none", "without"]]),
    ].filter(Boolean);
    const length = (name, title) => element("input", { type: "number", name, min: 0, "aria-label": title, placeholder: title });
    const sort = labelled("Sort", element("select", { name: "sort" }, Object.entries(SORTS).map(([value, { name }]) => element("option", { value }, name))));
    this.search = element("input", { type: "search", name: "search", placeholder: "Search names and classes", "aria-label": "Search names and classes", autocomplete: "off" });
    this.mark = element("span", { class: "mark" });
    const fold = element("details", {}, element("summary", {}, "Filters and order", this.mark),
      element("div", { class: "fields" }, menus, labelled("Frames", element("div", { class: "pair" }, length("least", "from"), length("most", "to"))), sort,
        element("button", { type: "reset" }, "Clear")));
    this.element = element("form", { class: "filters", role: "search" }, this.search, fold);
    const tell = () => onchange(this.wanted());
    for (const event of ["input", "change"]) this.element.addEventListener(event, tell);
    this.element.addEventListener("reset", () => setTimeout(tell));
    this.element.addEventListener("submit", (event) => event.preventDefault());
  }

  wanted() {
    const empty = { search: "", class: "", split: "", findings: "", least: "", most: "", sort: "store" };
    const wanted = { ...empty, ...Object.fromEntries(new FormData(this.element)) };
    const used = Object.entries(wanted).filter(([name, value]) => name !== "search" && value !== (empty[name] ?? "")).length;
    this.mark.textContent = used ? ` (${used})` : "";
    return wanted;
  }
}
