// An orbit camera. World axes: x to the sensor's left, y up, z away from the sensor.

export const VIEWS = {
  corner: { yaw: 0.5, pitch: 0.22 },
  front: { yaw: 0, pitch: 0 },
  side: { yaw: Math.PI / 2, pitch: 0 },
  top: { yaw: 0, pitch: Math.PI / 2 },
};
/** Radians. At yaw 0 the camera is at the sensor; a positive yaw moves it to the picture's right. */

const HALF = Math.tan((26 / 2) * (Math.PI / 180));
/** For the vertical angle of view of a 50 mm lens, which keeps people in proportion. */

export function newCamera() {
  return { ...VIEWS.corner, target: [0, 0, 0], distance: 4 };
}

/** Unit vectors to the right, up and back: the rows of the rotation from the world to the camera. */
export function basis({ yaw, pitch }) {
  const [s, c, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  return [[-c, 0, s], [s * sp, cp, c * sp], [-s * cp, sp, -c * cp]];
}

/**
 * Returns a function (x, y, z, out) that writes pixels to the right, pixels down, and metres of depth.
 * `box`: {x, y, width, height} of a part of the canvas, in its pixels.
 */
export function projector(camera, box) {
  const [right, up, back] = basis(camera);
  const [tx, ty, tz] = camera.target;
  const focal = box.height / 2 / HALF;
  const [middle, centre] = [box.x + box.width / 2, box.y + box.height / 2];
  return (x, y, z, out) => {
    const [dx, dy, dz] = [x - tx, y - ty, z - tz];
    const far = camera.distance - (back[0] * dx + back[1] * dy + back[2] * dz);
    const pixels = focal / far;
    out[0] = middle + pixels * (right[0] * dx + right[1] * dy + right[2] * dz);
    out[1] = centre - pixels * (up[0] * dx + up[1] * dy + up[2] * dz);
    out[2] = far;
    return out;
  };
}

/** Pixels per metre at a distance of `far` metres. */
export function pixelsPerMetre(box, far) {
  return box.height / 2 / HALF / far;
}

/** Aim at the centre of points and step back until all are in the picture. Returns the distance. */
export function fit(camera, points, aspect, margin = 0.94) {
  if (!points.length) return 4;
  const axes = basis(camera);
  const turned = points.map((point) => axes.map((axis) => axis[0] * point[0] + axis[1] * point[1] + axis[2] * point[2]));
  let middle = axes.map((_, place) => halfway(turned.map((point) => point[place])));
  let distance = 1;
  for (let round = 0; round < 4; round++) {
    distance = needed(turned, middle, aspect, margin);
    middle = recentred(turned, middle, distance);
  }
  camera.target = [0, 1, 2].map((axis) => axes.reduce((sum, row, place) => sum + row[axis] * middle[place], 0));
  return needed(turned, middle, aspect, margin);
}

/** Width and height of points as seen by the camera, in metres. */
export function extent(camera, points) {
  return basis(camera).slice(0, 2).map((axis) => {
    let [low, high] = [Infinity, -Infinity];
    for (const [x, y, z] of points) {
      const at = axis[0] * x + axis[1] * y + axis[2] * z;
      [low, high] = [Math.min(low, at), Math.max(high, at)];
    }
    return high - low;
  });
}

function needed(turned, middle, aspect, margin) {
  let most = 0.3;
  for (const point of turned) {
    const [x, y, z] = point.map((value, axis) => value - middle[axis]);
    most = Math.max(most, z + Math.abs(y) / (HALF * margin), z + Math.abs(x) / (HALF * aspect * margin));
  }
  return most;
}

/** Correct for perspective: nearer things look larger, so the centre of the picture is not that of the room. */
function recentred(turned, middle, distance) {
  const shares = [0, 1].map((axis) => halfway(turned.map((point) =>
    (point[axis] - middle[axis]) / (distance - point[2] + middle[2]))));
  return [middle[0] + shares[0] * distance, middle[1] + shares[1] * distance, middle[2]];
}

function halfway(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return (low + high) / 2;
}

/** Move the target by pixels of the picture. */
export function pan(camera, box, right, down) {
  const [across, up] = basis(camera);
  const metres = 1 / pixelsPerMetre(box, camera.distance);
  camera.target = camera.target.map((value, axis) => value + metres * (down * up[axis] - right * across[axis]));
}
