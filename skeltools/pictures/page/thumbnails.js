// Small pictures of single poses, seen from the front.

import { VIEWS, fit, newCamera, pixelsPerMetre, projector } from "./camera.js";
import { addPeople, palette, shares, spotsOf } from "./figure.js";
import { Batch, strokes } from "./paint.js";
import { cloud, readTrack } from "./scene.js";

const MOST = 3000; // most poses in the cache
const AT_ONCE = 64;

/** Poses of rows, requested when visible, and drawn on the canvases that wait for them. */
export class Thumbnails {
  constructor(source) {
    Object.assign(this, { source, held: new Map(), waiting: new Map(), asked: new Set() });
  }

  /** Draw a row on a canvas, now or when its pose arrives. */
  draw(row, canvas) {
    const pose = this.held.get(row);
    if (pose) drawPose(canvas, pose);
    else this.waiting.set(row, canvas);
  }

  /** Request the poses that canvases of these rows wait for. */
  async want(rows) {
    const missing = rows.filter((row) => this.waiting.has(row) && !this.asked.has(row)).slice(0, AT_ONCE);
    if (!missing.length) return;
    missing.forEach((row) => this.asked.add(row));
    const told = await this.source.poses(missing).catch(() => null);
    missing.forEach((row) => this.asked.delete(row));
    if (!told) return;
    const track = told.track && readTrack(told.track, true);
    told.rows.forEach((row, frame) => this.keep(row, track ? { track, frame } : { track: readTrack(told.held[row], true), frame: 0 }));
    this.want(rows);
  }

  keep(row, pose) {
    this.held.set(row, pose);
    if (this.held.size > MOST) this.held.delete(this.held.keys().next().value);
    const canvas = this.waiting.get(row);
    this.waiting.delete(row);
    if (canvas?.isConnected) drawPose(canvas, pose);
  }
}

/** One frame of a track on a canvas of any size. */
export function drawPose(canvas, { track, frame }) {
  const scale = Math.min(2, devicePixelRatio || 1);
  [canvas.width, canvas.height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
  const size = track.bodies * track.vertices;
  const part = { points: track.points.subarray(3 * frame * size, 3 * (frame + 1) * size), seen: track.seen.subarray(frame * size, (frame + 1) * size) };
  const box = { x: 0, y: 0, width: canvas.width, height: canvas.height };
  const camera = Object.assign(newCamera(), VIEWS.front, { yaw: track.coordinates === "xy" ? 0 : 0.3 });
  camera.distance = fit(camera, cloud(part), box.width / box.height, 0.9);
  const colours = palette(canvas);
  const [batch, project] = [new Batch(), projector(camera, box)];
  const look = { colours, scale: 0.75 * scale, kind: "joint", project, pixels: (far) => 0.8 * pixelsPerMetre(box, far) };
  addPeople(batch, track, frame, spotsOf(track, frame, project), look);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  strokes(pen, batch.sorted(0), { ground: shares(colours.ground), scale: 0.75 * scale });
}
