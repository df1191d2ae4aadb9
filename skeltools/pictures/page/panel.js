// The controls of a player.

import { ICONS, element, icon, segments } from "./dom.js";
import { KEYS } from "./keys.js";

const SPEEDS = [0.125, 0.25, 0.5, 1, 2, 4, 8];
const VIEW_CHOICES = [["corner", "¾", "Three-quarter view (1)"], ["front", "Front", "As the sensor saw it (2)"], ["side", "Side", "From the side (3)"], ["top", "Top", "From above (4)"]];
const KIND_CHOICES = [["joint", "Joints", "Where joints are"], ["bone", "Bones", "Arrows from each parent to its joint"], ["motion", "Motion", "Arrows from each joint to where it goes"]];
const LAYOUT_CHOICES = [["beside", "Beside", "Beside each other (O)"], ["over", "Over", "Over each other, on one place (O)"]];

export class Panel {
  constructor(player) {
    this.player = player;
    const button = (name, path, act) => element("button", { type: "button", class: "round", "aria-label": name, title: name, onclick: act }, icon(path));
    const switched = (name, key, title) => element("button", { type: "button", title, "data-switch": key, onclick: () => player.set({ [key]: !player.look[key] }) }, name);
    this.play = button("Play (space)", ICONS.play, () => player.toggle());
    this.play.classList.add("main");
    this.time = element("output", { class: "time" });
    this.speed = element("select", { "aria-label": "speed", onchange: () => player.setSpeed(Number(this.speed.value)) },
      SPEEDS.map((speed) => element("option", { value: speed }, `${speed}×`)));
    this.views = segments("view", VIEW_CHOICES, player.look.view, (view) => player.setView(view));
    this.kinds = segments("what is shown", KIND_CHOICES, player.look.kind, (kind) => player.set({ kind }));
    this.layouts = segments("layout", LAYOUT_CHOICES, player.look.layout, (layout) => player.set({ layout }));
    this.arrow = element("input", { type: "range", min: 1, max: 20, step: 1, "aria-label": "length of arrows", oninput: () => player.set({ arrow: Number(this.arrow.value) }) });
    this.arrows = element("label", { class: "arrows" }, this.arrow, element("span", {}, ""));
    this.switches = [switched("Loop", "loop", "Start again at the end (L)"), switched("Follow", "follow", "Keep people in the middle (F)"), switched("Letters", "names", "L and R at the hands, units (N)")];
    const steps = [button("One frame back (←)", ICONS.back, () => player.step(-1)), this.play, button("One frame on (→)", ICONS.forth, () => player.step(1))];
    const help = element("button", { type: "button", class: "round", "aria-label": "Keys", title: "Keys (?)", onclick: () => this.help() }, "?");
    const few = player.look.controls === "few";
    this.element = element("div", { class: "controls" },
      element("div", { class: "run" }, steps, this.time, this.speed, few ? null : help),
      few ? [] : element("div", { class: "looks" }, this.views, this.kinds, this.arrows, this.layouts, element("div", { class: "segments", role: "group", "aria-label": "options" }, this.switches)),
      this.dialog = keys());
  }

  /** Show the controls that apply to the player's scenes. */
  show() {
    const tracks = this.player.scenes.flatMap((scene) => scene.tracks);
    const own = tracks[0]?.kind ?? "joint";
    const { look } = this.player;
    if (own !== "joint") [this.before, look.kind] = [this.before ?? look.kind, own];
    else if (this.before) [this.before, look.kind] = [null, this.before];
    this.layouts.hidden = tracks.length < 2;
    this.views.hidden = tracks.length > 0 && tracks.every(({ coordinates }) => coordinates === "xy");
    this.update();
  }

  update() {
    const { look, playing, frame, frames, fps, timed } = this.player;
    this.speed.title = `Speed ([ and ]); 1× is ${fps} frames a second${timed ? "" : ", since the recording does not tell its own"}`;
    this.play.replaceChildren(icon(playing ? ICONS.pause : ICONS.play));
    this.play.setAttribute("aria-label", playing ? "Pause (space)" : "Play (space)");
    this.time.textContent = frames ? `${frame + 1} / ${frames}${timed ? `   ${(frame / fps).toFixed(2)} s` : ""}` : "no frames";
    this.speed.value = look.speed;
    this.views.choose(look.view);
    this.kinds.choose(look.kind);
    this.layouts.choose(look.layout);
    this.arrows.hidden = look.kind === "joint";
    this.arrow.value = look.arrow ?? 1;
    this.arrows.lastChild.textContent = `arrows ×${look.arrow ?? 1}`;
    for (const each of this.switches) each.setAttribute("aria-pressed", String(look[each.dataset.switch]));
  }

  help() {
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
  }
}

function keys() {
  const rows = KEYS.map(({ name, does }) => [element("dt", {}, element("kbd", {}, name)), element("dd", {}, does)]);
  const close = element("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = element("dialog", { class: "keys", "aria-label": "Keys" }, element("h2", {}, "Keys"), element("dl", {}, rows),
    element("p", {}, "Drag to turn, Shift and drag to move, wheel or pinch to zoom, double click to fit. "
      + "Blue and solid is the person's left, orange and hollow the right. A ring is the last place of a joint that is not seen."), close);
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  return dialog;
}
