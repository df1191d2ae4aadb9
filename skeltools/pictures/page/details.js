// The details beside the picture: facts, conventions, findings.

import { element } from "./dom.js";
import { framesOf } from "./scene.js";

/** Details of a sample; `told` answers `api/sample`. Calls `onconventions(names)`, `onframe(frame)`, `onwindow(first)`. */
export function sampleDetails(told, chosen, store, { onconventions, onframe, onwindow }) {
  return [
    element("h1", {}, told.title),
    told.title === told.id ? null : element("p", { class: "id" }, element("code", {}, told.id)),
    facts({ ...told.facts, class: told.facts.class === told.title ? null : told.facts.class, frames: told.window?.of ?? told.frames }),
    windows(told.window, onwindow),
    conventions(told, chosen, store, onconventions),
    findings(told.findings, told.window?.from ?? 0, onframe),
  ];
}

export function facts(named) {
  const known = Object.entries(named).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", { class: "facts" }, known.map(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))]));
}

function windows(window, onwindow) {
  if (!window || window.count >= window.of) return null;
  const { from, count, of } = window;
  const button = (name, first, can) => element("button", { type: "button", disabled: !can, onclick: () => onwindow(Math.max(0, first)) }, name);
  return element("section", {}, element("h2", {}, "Part of the recording"),
    element("p", {}, `Frames ${from + 1} to ${from + count} of ${of}.`),
    element("div", { class: "pair" }, button("Earlier", from - count, from > 0), button("Later", from + count, from + count < of)));
}

function conventions(told, chosen, store, onconventions) {
  const names = store.conventions.map(({ name }) => name);
  const held = told.conventions ?? names;
  const boxes = store.conventions.map(({ name, joints, coordinates }) => {
    const box = element("input", { type: "checkbox", value: name, disabled: !held.includes(name) });
    box.checked = chosen.includes(name) && held.includes(name);
    const note = held.includes(name) ? `${joints} joints${coordinates === "xy" ? ", flat" : ""}` : "not of this sample";
    return element("label", {}, box, element("span", {}, name), element("small", {}, note));
  });
  const section = element("section", {}, element("h2", {}, "Conventions"), element("div", { class: "boxes" }, boxes));
  section.addEventListener("change", (event) => {
    const now = [...section.querySelectorAll("input:checked")].map(({ value }) => value);
    if (now.length) onconventions(now);
    else event.target.checked = true;
  });
  return names.length > 1 ? section : null;
}

function findings(found, first, onframe) {
  const items = found.map((finding) => {
    const frames = framesOf(finding);
    const jump = frames && element("button", { type: "button", onclick: () => onframe(frames[0] - first) }, `frame ${frames[0] + 1}`);
    const more = [finding.place, finding.detail].filter(Boolean).join("; ");
    return element("li", {}, element("strong", {}, finding.problem), more && element("span", {}, more), element("small", {}, `${finding.file}: ${finding.action}`), jump);
  });
  return element("section", {}, element("h2", {}, items.length ? `Findings (${items.length})` : "No findings"), items.length ? element("ul", { class: "findings" }, items) : null);
}

/** Details of the store, until a sample is open. */
export function storeDetails(store) {
  const findings = Object.values(store.findings ?? {}).reduce((sum, count) => sum + count, 0);
  return [element("h1", {}, store.name), facts({ "data set": store.dataset, samples: store.samples, classes: store.classes.length, recipe: store.recipe, findings })];
}
