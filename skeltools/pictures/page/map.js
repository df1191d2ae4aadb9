// Points on a plane, coloured by class: near points have similar features. A click opens the clip.

import { element } from "./dom.js";
import { hex, palette } from "./figure.js";

const SHAPES = 4; // with four colours, these distinguish sixteen classes

export class PointMap {
  constructor({ points, classes = [] }, open) {
    Object.assign(this, { points, classes, open, current: null });
    this.canvas = element("canvas", { role: "img", tabindex: 0, "aria-label": `map of ${points.length} clips; left and right go from one to the next` });
    this.told = element("p", { class: "told", role: "status" }, "Click a point to see its clip.");
    this.element = element("div", { class: "map" }, this.canvas, this.told);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    document.addEventListener("colours", () => this.draw());
    this.canvas.addEventListener("pointermove", (event) => this.tell(this.nearest(event)));
    this.canvas.addEventListener("click", (event) => this.choose(this.nearest(event)));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** A point's position on the canvas; both axes share one scale, as only distances are meaningful. */
  place({ x, y }) {
    const { width, height } = this.canvas;
    const [across, down] = [this.range("x"), this.range("y")];
    const room = (pixels, [low, high]) => (pixels - 28 * this.scale) / (high - low || 1);
    const zoom = Math.min(room(width, across), room(height, down));
    const middle = ([low, high]) => (low + high) / 2;
    return [width / 2 + zoom * (x - middle(across)), height / 2 - zoom * (y - middle(down))];
  }

  range(axis) {
    this.ranges ??= {};
    return (this.ranges[axis] ??= this.points.reduce(([low, high], point) => [Math.min(low, point[axis]), Math.max(high, point[axis])], [Infinity, -Infinity]));
  }

  draw() {
    const { canvas } = this;
    if (!canvas.clientWidth) return;
    this.scale = Math.min(2, devicePixelRatio || 1);
    [canvas.width, canvas.height] = [canvas.clientWidth * this.scale, canvas.clientHeight * this.scale];
    const colours = palette(canvas);
    const pen = canvas.getContext("2d");
    for (const point of this.points) this.mark(pen, point, hex(colours.persons[Math.max(0, point.label) % 4]), 3.2);
    const open = this.points.find(({ id }) => id === this.current);
    if (!open) return;
    this.mark(pen, open, hex(colours.ground), 8);
    this.mark(pen, open, hex(colours.warn), 6);
  }

  mark(pen, point, colour, size) {
    const [x, y] = this.place(point);
    const radius = size * this.scale;
    const shape = Math.floor(Math.max(0, point.label) / 4) % SHAPES;
    const corners = { 1: 4, 2: 3, 3: 6 }[shape];
    pen.fillStyle = colour;
    pen.beginPath();
    if (!corners) pen.arc(x, y, radius, 0, 2 * Math.PI);
    else for (let corner = 0; corner < corners; corner++) pen.lineTo(x + 1.25 * radius * Math.sin((2 * Math.PI * corner) / corners), y - 1.25 * radius * Math.cos((2 * Math.PI * corner) / corners));
    pen.fill();
  }

  nearest(event) {
    let best = { off: 20 * this.scale, point: null };
    for (const point of this.points) {
      const [x, y] = this.place(point);
      const off = Math.hypot(x - event.offsetX * this.scale, y - event.offsetY * this.scale);
      if (off < best.off) best = { off, point };
    }
    return best.point;
  }

  tell(point) {
    if (point) this.told.textContent = `${point.title ?? point.id}: ${this.classes[point.label] ?? "no class"}`;
  }

  choose(point) {
    if (point) this.open(String(point.id));
  }

  select(id) {
    this.current = id;
    this.tell(this.points.find((point) => point.id === id));
    this.draw();
  }

  key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!steps) return;
    event.preventDefault();
    event.stopPropagation();
    const place = this.points.findIndex(({ id }) => id === this.current);
    this.choose(this.points[(place + steps + this.points.length) % this.points.length]);
  }
}
