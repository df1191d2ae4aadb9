// Decode scenes of skeltools/pictures/scene.py. A track has T frames, M bodies, V joints.

/** A scene whose tracks have arrays in place of base64. */
export function readScene(json) {
  return { facts: {}, findings: [], ribbons: {}, ...json, tracks: json.tracks.map((track) => readTrack(track)) };
}

/**
 * A track with `points` [T, M, V, 3] in metres, `seen` [T, M, V], `last` [T, M, V] and `vectors` by kind.
 * `apart`: its frames are poses of different clips, not one clip.
 */
export function readTrack(json, apart = false) {
  const track = { ...json, vertices: json.joints.length, seen: bytes(json.seen), derived: {} };
  track.points = scaled(json.positions, json.scale, json.origin);
  track.shade = json.shade ? bytes(json.shade) : null;
  if (json.vectors) track.derived[json.kind] = scaled(json.vectors, json.vector_scale, [0, 0, 0]);
  track.last = lastSeen(track, apart);
  track.letters = letters(track);
  track.radii = radii(track);
  return track;
}

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function scaled(text, scale, origin) {
  const numbers = new Int16Array(bytes(text).buffer);
  return Float32Array.from(numbers, (number, place) => origin[place % 3] + scale * number);
}

/** For each joint, the last frame so far in which it was seen; -1 before the first. */
function lastSeen({ seen, bodies, vertices }, apart) {
  const last = new Int32Array(seen.length);
  const width = bodies * vertices;
  for (let place = 0; place < seen.length; place++) {
    const frame = Math.floor(place / width);
    last[place] = seen[place] ? frame : frame && !apart ? last[place - width] : -1;
  }
  return last;
}

/** Index of a joint in a frame in arrays of [T, M, V]. */
export function index(track, frame, body, joint) {
  return (frame * track.bodies + body) * track.vertices + joint;
}

/** Whether any joint of a body was seen in a frame. */
export function isThere(track, frame, body) {
  const start = index(track, frame, body, 0);
  for (let joint = 0; joint < track.vertices; joint++) if (track.seen[start + joint]) return true;
  return false;
}

/** Arrows [T, M, V, 3] of "bone" or "motion": those of the track, else derived as streams are. */
export function vectors(track, kind) {
  return (track.derived[kind] ??= kind === "bone" ? bones(track) : motion(track));
}

function bones(track) {
  return differences(track, (place, joint) => place - joint + track.parents[joint], -1);
}

function motion(track) {
  return differences(track, (place) => place + track.bodies * track.vertices, 1);
}

function differences({ points, seen, vertices }, other, sign) {
  const out = new Float32Array(points.length);
  for (let place = 0; place < seen.length; place++) {
    const to = other(place, place % vertices);
    if (!seen[place] || !seen[to]) continue;
    for (let axis = 0; axis < 3; axis++) out[3 * place + axis] = sign * (points[3 * to + axis] - points[3 * place + axis]);
  }
  return out;
}

/** The joints labelled L and R: the hands, else the outermost joint of each arm. */
function letters({ joints, parents, parts }) {
  const depth = joints.map((_, joint) => {
    let steps = 0;
    for (let at = joint; parents[at] !== at && steps < joints.length; at = parents[at]) steps++;
    return steps;
  });
  const rank = (joint) => depth[joint] + (/han|wri|palm/i.test(joints[joint]) ? joints.length : 0);
  const outermost = (part) =>
    joints.map((_, joint) => joint).filter((joint) => parts[joint] === part).sort((a, b) => rank(b) - rank(a))[0];
  return [["left_arm", "L"], ["right_arm", "R"]]
    .map(([part, letter]) => ({ joint: outermost(part), letter }))
    .filter(({ joint }) => joint !== undefined);
}

/** Radius of each joint in metres: a share of people's height, less for short bones. */
function radii(track) {
  const { joints, parents } = track;
  const base = 0.0135 * height(track);
  const lengths = boneLengths(track);
  return joints.map((_, joint) => {
    const near = lengths.filter((length, other) => length && (other === joint || parents[other] === joint));
    return Math.max(0.3 * base, Math.min(base, 0.36 * Math.min(...near, Infinity)));
  });
}

function boneLengths(track) {
  return track.parents.map((parent, joint) => median(samples(track, (place) => {
    const other = place + parent - joint;
    return track.seen[place] && track.seen[other] ? distance(track.points, place, other) : NaN;
  }, joint)));
}

/** Values of one joint for every body in up to 40 frames, where they are numbers. */
function samples(track, value, joint) {
  const found = [];
  for (let frame = 0; frame < track.frames; frame += Math.ceil(track.frames / 40))
    for (let body = 0; body < track.bodies; body++) found.push(value(index(track, frame, body, joint), frame, body));
  return found.filter(Number.isFinite);
}

function height(track) {
  const tall = samples(track, (start) => {
    let [low, high, left, right] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let place = start; place < start + track.vertices; place++) {
      if (!track.seen[place]) continue;
      low = Math.min(low, track.points[3 * place + 1]);
      high = Math.max(high, track.points[3 * place + 1]);
      left = Math.min(left, track.points[3 * place]);
      right = Math.max(right, track.points[3 * place]);
    }
    return Math.max(high - low, right - left);
  }, 0);
  return median(tall) || 1;
}

function distance(points, one, other) {
  return Math.hypot(...[0, 1, 2].map((axis) => points[3 * one + axis] - points[3 * other + axis]));
}

function median(values) {
  return values.length ? values.sort((a, b) => a - b)[Math.floor(values.length / 2)] : 0;
}

/** [n, 3]: up to `most` seen points, evenly spaced, without the few outliers. */
export function cloud(track, most = 6000) {
  const step = Math.max(1, Math.ceil(track.seen.length / most));
  const places = [];
  for (let place = 0; place < track.seen.length; place += step) if (track.seen[place]) places.push(place);
  const limits = [0, 1, 2].map((axis) => inner(places.map((place) => track.points[3 * place + axis])));
  const kept = places.filter((place) =>
    limits.every(([low, high], axis) => track.points[3 * place + axis] >= low && track.points[3 * place + axis] <= high));
  return kept.map((place) => [...track.points.subarray(3 * place, 3 * place + 3)]);
}

/** Range of the values that are within twice the span of the middle 98 %. */
function inner(values) {
  const sorted = Float32Array.from(values).sort();
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  const span = 2 * (at(0.99) - at(0.01)) + 1e-6;
  return [at(0.01) - span, at(0.99) + span];
}

/** Stretches [start, stop) of frames that pass a test. */
export function stretches(frames, holds) {
  const found = [];
  for (let frame = 0; frame < frames; frame++) {
    if (!holds(frame)) continue;
    const open = found.at(-1);
    if (open && open[1] === frame) open[1]++;
    else found.push([frame, frame + 1]);
  }
  return found;
}

/** The frames that a finding names, as [first, last], 0-based (findings count from 1); null if it names none. */
export function framesOf({ place = "", detail = "" }) {
  const found = /\bframes? (\d+)(?:\s*(?:to|-|–)\s*(\d+))?/.exec(`${place} ${detail}`);
  return found ? [Number(found[1]) - 1, Number(found[2] ?? found[1]) - 1] : null;
}
