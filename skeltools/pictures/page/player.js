// Plays scenes: `new Player(element, scenes, options)`, where scenes are results of scene.to_json.
//
// Options: view "corner" | "front" | "side" | "top", layout "beside" | "over", kind "joint" | "bone" | "motion",
// speed, loop, autoplay, controls "all" | "few". Events: "frame", "play", "pause", "look". Only recorded
// frames are drawn, without interpolation.

import { VIEWS, extent, fit, newCamera, pan, pixelsPerMetre, projector } from "./camera.js";
import { Clock } from "./clock.js";
import { element } from "./dom.js";
import { addAxes, addFloor, addPeople, floorOf, hex, palette, shares, spotsOf } from "./figure.js";
import { Batch, painter } from "./paint.js";
import { cloud, isThere, readScene } from "./scene.js";
import { act } from "./keys.js";
import { Panel } from "./panel.js";
import { drawText } from "./text.js";

const FPS = 30; // default frame rate, that of Kinect
const ARROWS = { joint: 1, bone: 1, motion: 5 };

export class Player extends EventTarget {
  constructor(host, scenes, options = {}) {
    super();
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.look = { view: "corner", layout: "beside", kind: "joint", speed: 1, loop: true, names: true, follow: false, ...options };
    this.playing = (options.autoplay ?? true) && !calm;
    Object.assign(this, { frame: 0, frames: 0, time: 0, drawn: 0, cells: [], camera: newCamera(), batch: new Batch() });
    Object.assign(this.camera, VIEWS[this.look.view]);
    this.build(host);
    this.show(scenes);
  }

  build(host) {
    this.canvas = element("canvas", { class: "picture", role: "img" });
    this.text = element("canvas", { class: "text", "aria-hidden": "true" });
    this.tip = element("div", { class: "tip", role: "status", hidden: true });
    this.stage = element("div", { class: "stage" }, this.canvas, this.text, this.tip);
    this.clock = new Clock((frame) => this.seek(frame));
    this.panel = new Panel(this);
    this.element = element("div", { class: "player", role: "group", tabindex: -1, "aria-label": "player" }, this.stage, this.clock.element, this.panel.element);
    host.append(this.element);
    this.painter = painter(this.canvas);
    this.listen();
  }

  listen() {
    this.ending = new AbortController();
    const { signal } = this.ending;
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.stage);
    this.sight = new IntersectionObserver(([entry]) => {
      this.away = !entry.isIntersecting;
      this.wake();
    });
    this.sight.observe(this.stage);
    document.addEventListener("visibilitychange", () => this.wake(), { signal });
    document.addEventListener("colours", () => this.recolour(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour(), { signal });
    this.element.addEventListener("keydown", (event) => act(this, event));
    this.canvas.addEventListener("webglcontextrestored", () => this.draw());
    steer(this);
  }

  /** Show scenes; view, speed, playback and everything else that `look` does not set stay as they are. */
  show(scenes, look = {}) {
    Object.assign(this.look, look);
    this.scenes = scenes.map(readScene);
    this.frames = Math.max(0, ...this.scenes.map(({ frames }) => frames));
    const told = this.look.fps ?? this.scenes.find(({ fps }) => fps)?.fps;
    [this.timed, this.fps] = [Boolean(told), told ?? FPS];
    this.frame = this.time = 0;
    this.clock.show(this.scenes, this.frames);
    this.panel.show();
    this.arrange();
    this.recolour();
    if (this.playing) this.play();
  }

  /** Lay out the tracks: side by side, or on top of each other. */
  arrange() {
    const tracks = this.scenes.flatMap((scene) => scene.tracks.map((track) => ({ track, scene })));
    const over = this.look.layout === "over";
    const groups = over && tracks.length ? [tracks] : tracks.map((each) => [each]);
    this.cells = groups.map((group) => ({
      tracks: group.map(({ track }) => track),
      names: group.map(({ track, scene }) => cellName(track, scene, this.scenes)),
      points: group.flatMap(({ track }) => cloud(track)),
      flat: group.every(({ track }) => track.coordinates === "xy"),
      spots: [],
    }));
    this.told = this.cells.findLast(({ points, flat }) => points.length && !flat) ?? this.cells.findLast(({ points }) => points.length);
    for (const cell of this.cells) cell.floor = cell.points.length ? floorOf(cell.points, cell.flat) : null;
    this.resize();
    this.refit();
  }

  /** Assign each cell its box of the canvas, in the grid that makes people largest. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    this.scale = Math.min(2, devicePixelRatio || 1);
    for (const canvas of [this.canvas, this.text]) {
      [canvas.width, canvas.height] = [Math.round(width * this.scale), Math.round(height * this.scale)];
    }
    const columns = this.columns(width, height);
    const rows = Math.ceil(this.cells.length / columns) || 1;
    const [wide, tall] = [Math.floor(this.canvas.width / columns), Math.floor(this.canvas.height / rows)];
    this.cells.forEach((cell, place) => {
      const [x, y] = [(place % columns) * wide, Math.floor(place / columns) * tall];
      cell.box = { x, y, width: wide, height: tall };
      const [above, below] = [26 * this.scale, 20 * this.scale]; // space for names and units
      cell.view = { x, y: y + above, width: wide, height: Math.max(1, tall - above - below) };
    });
    if (!this.touched) this.refit();
    this.draw();
  }

  columns(width, height) {
    const count = this.cells.length || 1;
    const sizes = this.cells.filter(({ points }) => points.length).map((cell) => extent(this.cameraOf(cell, true), cell.points));
    const [wide, tall] = [0, 1].map((axis) => Math.max(0.3, ...sizes.map((size) => size[axis])));
    const room = (columns) => Math.min(width / columns / wide, height / Math.ceil(count / columns) / tall);
    return Array.from({ length: count }, (_, place) => place + 1).reduce((best, each) => (room(each) > room(best) ? each : best), 1);
  }

  /** Fit all frames of all people into every cell, at one scale. */
  refit() {
    this.touched = false;
    const boxed = this.cells.filter(({ box }) => box);
    const distances = boxed.map((cell) => {
      const camera = this.cameraOf(cell, true);
      const distance = fit(camera, cell.points, cell.view.width / cell.view.height);
      cell.target = camera.target;
      return distance;
    });
    this.camera.distance = Math.max(0.5, ...distances) * (distances.length ? 1 : 4);
    this.camera.target = [0, 0, 0];
    this.draw();
  }

  /** The camera of a cell: the shared one, moved to the cell's people; 2D tracks are seen from the front. */
  cameraOf(cell, alone = false) {
    const turned = cell.flat ? { ...this.camera, ...VIEWS.front } : { ...this.camera };
    if (alone) return turned;
    const middle = this.look.follow ? this.middle(cell) ?? cell.target : cell.target ?? [0, 0, 0];
    turned.target = this.camera.target.map((value, axis) => value + middle[axis]);
    return turned;
  }

  /** The current position of a cell's people, to follow them. */
  middle({ tracks, target }) {
    const [sum, count] = [[0, 0, 0], { seen: 0 }];
    const [track, frame] = [tracks[0], this.frameOf(tracks[0])];
    const size = track.bodies * track.vertices;
    for (let place = frame * size; place < (frame + 1) * size; place++) {
      if (!track.seen[place]) continue;
      count.seen++;
      for (let axis = 0; axis < 3; axis++) sum[axis] += track.points[3 * place + axis];
    }
    return count.seen ? [sum[0] / count.seen, target[1], sum[2] / count.seen] : null;
  }

  /** The frame of a track on the common clock. */
  frameOf(track) {
    return Math.max(0, Math.min(track.frames - 1, Math.floor((this.frame * track.frames) / Math.max(1, this.frames))));
  }

  /** Pause drawing while the picture is not visible. */
  wake() {
    this.asleep = this.away || document.hidden;
    this.before = null;
    if (!this.asleep) this.draw();
  }

  play() {
    if (!this.playing && this.frame >= this.frames - 1) this.seek(0);
    this.playing = true;
    this.before = null;
    this.next();
    this.tell("play");
  }

  pause() {
    this.playing = false;
    this.tell("pause");
  }

  toggle() {
    this.playing ? this.pause() : this.play();
  }

  /** Show a frame, 0-based. */
  seek(frame) {
    this.time = this.frame = Math.max(0, Math.min(this.frames - 1, Math.round(frame)));
    this.draw();
    this.tell("frame");
  }

  step(frames) {
    this.pause();
    this.seek((this.frame + frames + this.frames) % Math.max(1, this.frames));
  }

  setSpeed(speed) {
    this.set({ speed });
  }

  /** "corner", "front", "side" or "top". */
  setView(view) {
    Object.assign(this.camera, VIEWS[view]);
    this.look.view = view;
    this.refit();
    this.tell("look");
  }

  /** Change display options: layout, kind, speed, loop, names, follow, arrow. */
  set(change) {
    Object.assign(this.look, change);
    if ("kind" in change) this.look.arrow = ARROWS[change.kind];
    if ("layout" in change) this.arrange();
    this.draw();
    this.tell("look");
  }

  recolour() {
    this.colours = palette(this.element);
    this.draw();
  }

  tell(event) {
    this.panel?.update();
    this.dispatchEvent(new Event(event));
  }

  /** Request a redraw before the browser's next frame. */
  draw() {
    this.stale = true;
    this.next();
  }

  next() {
    this.request ??= requestAnimationFrame((now) => {
      this.request = null;
      if (this.gone) return;
      this.advance(now);
      if (this.stale && this.colours) this.paint();
      if (this.playing && !this.asleep) this.next();
    });
  }

  advance(now) {
    const passed = this.before === null ? 0 : Math.min(0.25, (now - this.before) / 1000);
    this.before = now;
    if (!this.playing || this.asleep || this.frames < 2) return;
    this.time += passed * this.fps * this.look.speed;
    if (this.time >= this.frames && !this.look.loop) {
      this.seek(this.frames - 1);
      this.pause();
    } else if (Math.floor(this.time) !== this.frame) {
      this.time %= this.frames;
      this.frame = Math.floor(this.time);
      this.stale = true;
      this.tell("frame");
    }
  }

  paint() {
    this.stale = false;
    const { colours, scale, batch } = this;
    if (!this.canvas.width || !scale) return;
    batch.clear();
    const ground = shares(colours.ground);
    this.painter.clear(ground);
    for (const cell of this.cells.filter(({ box }) => box)) {
      const first = batch.count;
      this.fill(cell);
      this.painter.paint(batch.sorted(first), cell.box, { ground, scale, halo: 3 * (cell.tracks[0].radii[0] || 0.02) });
    }
    drawText(this);
    this.drawn++;
    const said = this.said();
    this.canvas.setAttribute("aria-label", said);
    this.clock.at(this.frame, said);
  }

  fill(cell) {
    const camera = this.cameraOf(cell);
    const project = projector(camera, cell.view);
    const { colours, scale } = this;
    const { kind, arrow = ARROWS[kind] } = this.look;
    const pixels = (far) => pixelsPerMetre(cell.view, far);
    cell.camera = camera;
    if (cell.floor) addFloor(this.batch, cell.floor, { colours, scale, project });
    cell.labels = cell === this.told ? addAxes(this.batch, camera, cell.box, cell.flat, { colours, scale }) : [];
    cell.spots = cell.tracks.map((track, place) => {
      if (!track.frames) return [];
      const spots = spotsOf(track, this.frameOf(track), project);
      const tone = place ? colours.persons[place % colours.persons.length] : undefined;
      addPeople(this.batch, track, this.frameOf(track), spots, { colours, scale, project, pixels, kind, arrow, tone });
      return spots;
    });
  }

  /** A description of the picture in words. */
  said() {
    if (!this.frames) return "no frames";
    const people = (track) => Array.from({ length: track.bodies }, (_, body) => body).filter((body) => isThere(track, this.frameOf(track), body)).length;
    const names = this.cells.map(({ tracks }) => tracks.map((track) => `${people(track)} in ${track.name}`).join(", "));
    return `frame ${this.frame + 1} of ${this.frames}; people: ${names.join(", ")}`;
  }

  /** Pictures drawn per second if every frame of the browser is redrawn. */
  async measure(seconds = 2) {
    const [start, before] = [performance.now(), this.drawn];
    while (performance.now() - start < 1000 * seconds) {
      this.stale = true;
      this.frame = (this.frame + 1) % Math.max(1, this.frames);
      this.paint();
      await new Promise(requestAnimationFrame);
    }
    return (1000 * (this.drawn - before)) / (performance.now() - start);
  }

  /** The contents of the canvas, in CSS pixels, for tests and other scripts of a page. */
  state() {
    const css = (spot) => spot && { x: spot[0] / this.scale, y: spot[1] / this.scale, seen: spot.seen };
    return {
      frame: this.frame, frames: this.frames, drawn: this.drawn, playing: this.playing, painter: this.painter.kind,
      background: hex(this.colours.ground),
      cells: this.cells.map(({ names, view, camera, spots, tracks }) => ({
        names, view, camera, scale: this.scale, tracks: tracks.map(({ name }) => name), spots: spots.map((each) => each.map(css)),
      })),
    };
  }

  /** Remove the player from the page and free its resources. */
  remove() {
    this.gone = true;
    this.ending.abort();
    this.sizes.disconnect();
    this.sight.disconnect();
    this.painter.forget();
    this.element.remove();
  }
}

/** For several scenes, their titles, with the convention if they differ in it. */
function cellName(track, scene, scenes) {
  if (scenes.length < 2) return track.name;
  const names = new Set(scenes.flatMap(({ tracks }) => tracks.map(({ name }) => name)));
  return names.size > 1 ? `${scene.title}, ${track.name}` : scene.title;
}

/** Rotate, pan and zoom by mouse, pen and touch; show the joint under the pointer. */
function steer(player) {
  const { canvas, camera } = player;
  const fingers = new Map();
  const zoom = (factor) => {
    camera.distance *= factor;
    player.touched = true;
    player.draw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const from = fingers.get(event.pointerId);
    if (!from) return point(player, event);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    const [right, down] = [event.clientX - from[0], event.clientY - from[1]];
    if (other) zoom(spread(from, other) / spread([event.clientX, event.clientY], other));
    if (other || event.shiftKey || event.buttons > 1) pan(camera, player.cells[0].view, right * player.scale, down * player.scale);
    else turn(player, right, down);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    player.touched = true;
    player.draw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => point(player, null));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => player.refit());
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !player.element.contains(document.activeElement)) return;
    event.preventDefault();
    zoom(Math.exp(event.deltaY * 0.001));
  }, { passive: false });
  player.zoom = zoom;
}

function spread(one, other) {
  return Math.max(1, Math.hypot(one[0] - other[0], one[1] - other[1]));
}

function turn(player, right, down) {
  player.camera.yaw -= right * 0.008;
  player.camera.pitch = Math.max(-1.57, Math.min(1.57, player.camera.pitch + down * 0.008));
  player.look.view = "";
  player.panel.update();
}

/** Show the joint nearest to the pointer, with its coordinates in the frame. */
function point(player, event) {
  const found = event && nearest(player, event.offsetX * player.scale, event.offsetY * player.scale);
  player.tip.hidden = !found;
  if (player.hovered !== found?.spot) {
    player.hovered = found?.spot;
    player.draw();
  }
  if (!found) return;
  const { track, place, spot } = found;
  const number = (axis) => track.points[3 * spot.place + axis].toFixed(3);
  const axes = track.coordinates === "xy" ? ["x", "y"] : ["x", "y", "z"];
  const where = axes.map((name, axis) => `${name} ${number(axis)}`).join("  ");
  const when = spot.seen ? `frame ${player.frameOf(track) + 1}` : `not seen; last in frame ${track.last[spot.place] + 1}`;
  player.tip.replaceChildren(
    element("strong", {}, track.joints[place % track.vertices]),
    element("span", {}, `person ${Math.floor(place / track.vertices) + 1}, ${track.name}, ${when}`),
    element("code", {}, where),
  );
  const { width } = player.stage.getBoundingClientRect();
  player.tip.style.left = `${Math.min(event.offsetX + 14, width - player.tip.offsetWidth - 4)}px`;
  player.tip.style.top = `${event.offsetY + 14}px`;
}

function nearest(player, x, y) {
  let best = null;
  for (const cell of player.cells) {
    cell.spots.forEach((spots, number) => spots.forEach((spot, place) => {
      const off = spot ? Math.hypot(spot[0] - x, spot[1] - y) : Infinity;
      if (off < (best?.off ?? 14 * player.scale)) best = { off, spot, place, track: cell.tracks[number] };
    }));
  }
  return best;
}
