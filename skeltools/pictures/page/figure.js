// Strokes for a frame of a track: people, arrows, the floor. Shared by the picture and the thumbnails.

import { basis } from "./camera.js";
import { FAINT, FLAT, HOLLOW, SOLID } from "./paint.js";
import { index, isThere, vectors } from "./scene.js";

const NEAR = 0.05; // nearest depth that is drawn, metres
const PARTS = ["trunk", "left-arm", "left-leg", "right-arm", "right-leg"];

/** An element's current colours of design.css, as 0xRRGGBB. */
export function palette(element) {
  const style = getComputedStyle(element);
  const colour = (name) => parseInt(style.getPropertyValue(`--${name}`).trim().slice(1), 16) || 0;
  return {
    parts: Object.fromEntries(PARTS.map((part) => [part.replace("-", "_"), colour(part)])),
    persons: [1, 2, 3, 4].map((number) => colour(`person-${number}`)),
    ground: colour("ground"),
    line: colour("line"),
    quiet: colour("quiet"),
    text: colour("text"),
    warn: colour("warn"),
  };
}

/** 0xRRGGBB as three numbers in 0..1. */
export function shares(rgb) {
  return [rgb >> 16, (rgb >> 8) & 255, rgb & 255].map((part) => part / 255);
}

export function hex(rgb) {
  return `#${rgb.toString(16).padStart(6, "0")}`;
}

function mixed(one, other, share) {
  const [a, b] = [shares(one), shares(other)];
  return a.reduce((sum, part, place) => (sum << 8) | Math.round(255 * (part + share * (b[place] - part))), 0);
}

/** [M * V] spots of a frame, each [x, y, distance], or null for a joint that was never seen or is behind the camera. */
export function spotsOf(track, frame, project) {
  const spots = [];
  for (let body = 0; body < track.bodies; body++) {
    const there = isThere(track, frame, body);
    for (let joint = 0; joint < track.vertices; joint++) {
      const place = index(track, frame, body, joint);
      const last = there ? track.last[place] : -1;
      spots.push(last < 0 ? null : spot(track, index(track, last, body, joint), last === frame, project));
    }
  }
  return spots;
}

function spot(track, place, seen, project) {
  const found = project(...track.points.subarray(3 * place, 3 * place + 3), [0, 0, 0]);
  return found[2] > NEAR ? Object.assign(found, { seen, place }) : null;
}

/** Strokes of the people of one frame. `look`: {colours, scale, kind, arrow, tone, pixels(distance), project}. */
export function addPeople(batch, track, frame, spots, look) {
  for (let body = 0; body < track.bodies; body++) {
    const at = (joint) => spots[body * track.vertices + joint];
    track.parents.forEach((parent, joint) => {
      const spot = at(joint);
      if (!spot) return;
      if (parent !== joint && at(parent)) addBone(batch, track, joint, at(parent), spot, look);
      addJoint(batch, track, body, joint, spot, look);
    });
  }
  if (look.kind !== "joint") addArrows(batch, track, spots, look);
}

function addBone(batch, track, joint, from, to, look) {
  const metres = 0.8 * Math.min(track.radii[joint], track.radii[track.parents[joint]]);
  const wide = (spot) => Math.max(1.1 * look.scale, look.pixels(spot[2]) * metres);
  const own = look.tone ?? look.colours.parts[track.parts[joint]];
  if (!from.seen || !to.seen) batch.add(from, to, 0.7 * look.scale, 0.7 * look.scale, look.colours.quiet, FAINT);
  else if (look.kind !== "joint") batch.add(from, to, look.scale, look.scale, look.colours.line, SOLID);
  else batch.add(from, to, wide(from), wide(to), own, track.sides[joint] === "right" ? HOLLOW : SOLID);
}

function addJoint(batch, track, body, joint, spot, look) {
  const { colours } = look;
  const strength = track.shade ? track.shade[spot.place] / 255 : 0;
  const metres = track.radii[joint] * (1 + 1.3 * strength);
  const wide = Math.max(1.7 * look.scale, look.pixels(spot[2]) * metres);
  const person = look.tone ?? colours.persons[body % colours.persons.length];
  if (!spot.seen) batch.add(spot, spot, Math.max(wide, 3 * look.scale), wide, colours.quiet, FAINT, 0.02);
  else if (look.kind !== "joint") batch.add(spot, spot, 0.6 * wide, 0.6 * wide, colours.quiet, SOLID, 0.02);
  else batch.add(spot, spot, wide, wide, track.shade ? mixed(colours.line, colours.warn, strength) : person, SOLID, 0.03);
}

/** Add arrows: a bone's arrow, at true length, ends at its joint; a motion's starts at its joint. */
function addArrows(batch, track, spots, look) {
  const arrows = vectors(track, look.kind);
  spots.forEach((spot, place) => {
    if (!spot?.seen) return;
    const joint = place % track.vertices;
    const vector = arrows.subarray(3 * spot.place, 3 * spot.place + 3);
    if (!Math.hypot(...vector)) return;
    const point = track.points.subarray(3 * spot.place, 3 * spot.place + 3);
    const tail = look.kind === "bone" ? point.map((value, axis) => value - vector[axis]) : point;
    const tip = tail.map((value, axis) => value + look.arrow * vector[axis]);
    const ends = [tail, tip].map((end) => look.project(...end, [0, 0, 0]));
    if (ends.some((end) => end[2] <= NEAR)) return;
    addArrow(batch, ends, look, look.tone ?? look.colours.parts[track.parts[joint]], track.sides[joint] === "right" ? HOLLOW : SOLID);
  });
}

function addArrow(batch, [tail, tip], look, colour, fill) {
  const length = Math.hypot(tip[0] - tail[0], tip[1] - tail[1]);
  const head = Math.min(0.6 * length, 11 * look.scale);
  const share = length ? 1 - head / length : 0;
  const neck = tail.map((value, axis) => value + share * (tip[axis] - value));
  batch.add(tail, neck, 1.6 * look.scale, 1.6 * look.scale, colour, fill, 0.05);
  batch.add(neck, tip, Math.min(5 * look.scale, 0.5 * head), 0.3 * look.scale, colour, SOLID, 0.05);
}

/** The floor below people: {low, high, step} of the grid in x and z, and its height. */
export function floorOf(points, flat) {
  const range = (axis) => points.reduce(([low, high], point) => [Math.min(low, point[axis]), Math.max(high, point[axis])], [Infinity, -Infinity]);
  const [x, y, z] = [0, 1, 2].map(range);
  const span = Math.max(x[1] - x[0], z[1] - z[0], 0.6 * (y[1] - y[0]), 1e-3);
  const step = 10 ** Math.floor(Math.log10(span)) * [0.1, 0.25, 0.5, 1, 2].find((part) => span / 10 ** Math.floor(Math.log10(span)) / part < 9);
  const grid = ([low, high]) => [step * Math.floor(low / step - 0.5), step * Math.ceil(high / step + 0.5)];
  return { y: y[0], x: grid(x), z: flat ? [z[0], z[0]] : grid(z), step, flat };
}

/** Strokes of the floor. */
export function addFloor(batch, floor, look) {
  const { x, y, z, step, flat } = floor;
  const faint = mixed(look.colours.line, look.colours.ground, 0.1);
  const rows = (range) => Array.from({ length: Math.round((range[1] - range[0]) / step) + 1 }, (_, place) => range[0] + place * step);
  const line = (from, to) => {
    const ends = beforeUs(from, to, look.project);
    if (ends) batch.add(...ends, 0.5 * look.scale, 0.5 * look.scale, faint, FLAT);
  };
  for (const at of flat ? [] : rows(x)) line([at, y, z[0]], [at, y, z[1]]);
  for (const at of rows(z)) line([x[0], y, at], [x[1], y, at]);
}

/** The ends, as spots, of the part of a line in front of the camera; null if all is behind it. */
function beforeUs(from, to, project) {
  const [start, stop] = [from, to].map((end) => project(...end, [0, 0, 0]));
  if (start[2] > NEAR && stop[2] > NEAR) return [start, stop];
  if (start[2] <= NEAR && stop[2] <= NEAR) return null;
  const share = (NEAR - start[2]) / (stop[2] - start[2]);
  const cut = project(...from.map((value, axis) => value + share * (to[axis] - value)), [0, 0, 0]);
  return start[2] > NEAR ? [start, cut] : [cut, stop];
}

/** Strokes of the axes in the lower right corner of a box, and their labels: [{text, x, y}]. */
export function addAxes(batch, camera, box, flat, { colours, scale }) {
  const [right, up] = basis(camera);
  const [length, x, y] = [30 * scale, box.x + box.width - 52 * scale, box.y + box.height - 48 * scale];
  const named = [["x", [1, 0, 0]], ["y", [0, 1, 0]], ...(flat ? [] : [["z", [0, 0, 1]], ["sensor", [0, 0, -1]]])];
  return named.flatMap(([text, axis]) => {
    const [across, rise] = [right, up].map((row) => row[0] * axis[0] + row[1] * axis[1] + row[2] * axis[2]);
    if (Math.hypot(across, rise) < 0.25) return [];
    const end = (share) => [x + share * length * across, y - share * length * rise, 1];
    batch.add(end(0), end(1), scale, scale, text === "sensor" ? colours.line : colours.quiet, FLAT);
    const [wide, tall] = end(text === "sensor" ? 1.9 : 1.32);
    return [{ text, x: wide, y: tall }];
  });
}
