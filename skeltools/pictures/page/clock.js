// The clock below the picture: a slider over all frames, rows of ribbons, and marks of findings.

import { element } from "./dom.js";
import { framesOf, isThere, stretches } from "./scene.js";

/** A slider to drag; calls `onseek(frame)`. The player handles keys. */
export class Clock {
  constructor(onseek) {
    this.onseek = onseek;
    this.head = element("div", { class: "head" });
    this.rail = element("div", { class: "rail", role: "slider", tabindex: 0, "aria-label": "frame", "aria-valuemin": 1 }, this.head);
    this.rows = element("div", { class: "rows" });
    this.names = element("div", { class: "names" });
    this.line = element("div", { class: "line" });
    this.lanes = element("div", { class: "lanes" }, this.rail, this.rows, this.line);
    this.element = element("div", { class: "clock" }, this.names, this.lanes);
    this.lanes.addEventListener("pointerdown", (event) => this.drag(event));
    this.lanes.addEventListener("pointermove", (event) => event.buttons && this.lanes.hasPointerCapture(event.pointerId) && this.drag(event));
  }

  drag(event) {
    if (event.type === "pointerdown") this.lanes.setPointerCapture(event.pointerId);
    const box = this.rail.getBoundingClientRect();
    const share = Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width));
    this.onseek(Math.floor(share * this.frames));
  }

  /** Show rows and marks of scenes on a clock of `frames`. */
  show(scenes, frames) {
    this.frames = frames;
    this.rail.replaceChildren(this.head, ...scenes.flatMap((scene) => marks(scene, frames)));
    this.rail.setAttribute("aria-valuemax", frames);
    const rows = scenes.flatMap((scene) => [...ribbons(scene), ...gaps(scene)].map((row) => ({ ...row, length: scene.frames || 1 })));
    this.names.replaceChildren(...rows.map(({ name }) => element("div", { title: name }, name)));
    this.rows.replaceChildren(...rows.map((row) => element("div", { class: `row ${row.kind}` }, row.parts.map((part) => stretch(part, row.length)))));
    this.element.classList.toggle("plain", !rows.length);
  }

  at(frame, text) {
    const left = `${(100 * (frame + 0.5)) / Math.max(1, this.frames)}%`;
    this.head.style.left = this.line.style.left = left;
    this.rail.setAttribute("aria-valuenow", frame + 1);
    this.rail.setAttribute("aria-valuetext", text);
  }
}

function stretch([start, stop, name, score, tone], frames) {
  const told = score === null || score === undefined ? name : `${name}, ${score.toFixed(2)}`;
  const made = element("div", { title: `${told && `${told}: `}frames ${Math.floor(start) + 1} to ${Math.ceil(stop)}`, "data-tone": tone }, name);
  made.style.left = `${(100 * start) / frames}%`;
  made.style.width = `${(100 * (stop - start)) / frames}%`;
  return made;
}

/** Give each name one of four tones, by first appearance in the scene, so that rows can be compared. */
function ribbons({ ribbons }) {
  const tones = new Map();
  const tone = (name) => tones.get(name) ?? tones.set(name, tones.size % 4).get(name);
  return Object.entries(ribbons).map(([name, parts]) => ({
    name, kind: "ribbon", parts: parts.map(([start, stop, text, score]) => [start, stop, text, score, tone(text)]),
  }));
}

/** Rows for the frames with each person and with unseen joints, where these change over time. */
function gaps({ tracks, frames }) {
  const rows = new Map();
  for (const track of tracks.filter((track) => track.frames)) {
    for (const row of gapsOf(track)) {
      const stretch = frames / track.frames;
      const parts = row.parts.map(([start, stop, ...rest]) => [start * stretch, stop * stretch, ...rest]);
      const key = JSON.stringify([row.name, parts]);
      if (!rows.has(key)) rows.set(key, { ...row, parts, of: [] });
      rows.get(key).of.push(track.name);
    }
  }
  return [...rows.values()].map((row) => (row.of.length === tracks.length ? row : { ...row, name: `${row.name}, ${row.of.join(", ")}` }));
}

function gapsOf(track) {
  const people = Array.from({ length: track.bodies }, (_, body) =>
    ({ name: `person ${body + 1}`, body, kind: "there", parts: stretches(track.frames, (frame) => isThere(track, frame, body)) }));
  const lasting = people.every(({ parts }) => parts.length === 1 && parts[0][1] - parts[0][0] === track.frames);
  const missed = stretches(track.frames, (frame) => people.some(({ body }) => misses(track, frame, body)));
  return [
    ...(lasting ? [] : people.filter(({ parts }) => parts.length).map((row) => ({ ...row, parts: toned(row.parts, row.body % 4) }))),
    ...(missed.length ? [{ name: "joints not seen", kind: "missed", parts: toned(missed) }] : []),
  ];
}

function toned(parts, tone) {
  return parts.map(([start, stop]) => [start, stop, "", null, tone]);
}

function misses(track, frame, body) {
  const start = (frame * track.bodies + body) * track.vertices;
  const seen = track.seen.subarray(start, start + track.vertices);
  return seen.includes(1) && seen.includes(0);
}

function marks(scene, frames) {
  return scene.findings.flatMap((finding) => {
    const first = scene.window?.from ?? 0;
    const named = framesOf(finding)?.map((frame) => frame - first);
    if (!named || named[1] < 0 || named[0] >= frames) return [];
    const mark = element("div", { class: "mark", title: `${finding.problem}: frame ${named[0] + first + 1}` });
    const from = Math.max(0, named[0]);
    mark.style.left = `${(100 * from) / frames}%`;
    mark.style.width = `${(100 * (Math.min(named[1], frames - 1) - from + 1)) / frames}%`;
    return [mark];
  });
}
