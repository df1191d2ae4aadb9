// Strokes on a canvas: capsules in pixels and depth, drawn by WebGL2, or by the 2D context without it.

export const FLAT = 0, SOLID = 1, HOLLOW = 2, FAINT = 3;
/** Fills of a stroke: plain; lit, with a halo; the same with a light core; a thin ring or dashes. */

const WIDTH = 10;
/** Numbers per stroke: x, y of both ends, both radii, both inverse distances, colour as 0xRRGGBB, fill. */

/** A growing list of strokes. */
export class Batch {
  constructor() {
    this.numbers = new Float32Array(WIDTH * 512);
    this.count = 0;
  }

  clear() {
    this.count = 0;
  }

  /** Ends are [x, y, distance] in pixels and metres, radii in pixels; `nearer` moves the stroke forward, in metres. */
  add(from, to, radius, tip, colour, fill, nearer = 0) {
    if (WIDTH * (this.count + 1) > this.numbers.length) this.grow();
    const near = Math.max(1e-3, from[2] - nearer);
    const far = Math.max(1e-3, to[2] - nearer);
    this.numbers.set([from[0], from[1], to[0], to[1], radius, tip, 1 / near, 1 / far, colour, fill], WIDTH * this.count++);
  }

  grow() {
    const more = new Float32Array(2 * this.numbers.length);
    more.set(this.numbers);
    this.numbers = more;
  }

  /** Numbers of the strokes from `first` on, the farthest first, flat ones before all others. */
  sorted(first) {
    const { numbers } = this;
    const depth = (place) => numbers[WIDTH * place + 6] + numbers[WIDTH * place + 7] - (numbers[WIDTH * place + 9] === FLAT ? 1e6 : 0);
    const order = Array.from({ length: this.count - first }, (_, place) => first + place).sort((a, b) => depth(a) - depth(b));
    const out = new Float32Array(WIDTH * order.length);
    order.forEach((place, row) => out.set(numbers.subarray(WIDTH * place, WIDTH * (place + 1)), WIDTH * row));
    return out;
  }
}

/** The best painter that this browser supports: {clear(ground), paint(numbers, box, scale), kind}. */
export function painter(canvas) {
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: false });
  return gl ? withWebGL(gl) : on2D(canvas.getContext("2d"));
}

const VERTEX = `#version 300 es
layout(location=0) in vec4 ends; layout(location=1) in vec4 sizes; layout(location=2) in vec2 looks;
uniform vec2 size; uniform float scale;
out vec2 at; flat out vec4 line; flat out vec4 sized; flat out vec3 colour; flat out int fill;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  vec2 along = ends.zw - ends.xy;
  float len = length(along);
  vec2 unit = len > 1e-4 ? along / len : vec2(1.0, 0.0);
  float room = max(sizes.x, sizes.y) + (looks.y < 0.5 ? 0.5 : 0.5 + 1.4 * scale);
  at = (corner.x < 0.0 ? ends.xy : ends.zw) + corner.x * room * unit + corner.y * room * vec2(-unit.y, unit.x);
  line = ends; sized = sizes; fill = int(looks.y);
  int rgb = int(looks.x);
  colour = vec3(rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255) / 255.0;
  gl_Position = vec4(at.x / size.x * 2.0 - 1.0, 1.0 - at.y / size.y * 2.0, 0.0, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float; precision highp int;
in vec2 at; flat in vec4 line; flat in vec4 sized; flat in vec3 colour; flat in int fill;
uniform vec3 ground; uniform float scale; uniform float halo;
out vec4 pixel;
void main() {
  vec2 along = line.zw - line.xy;
  float share = clamp(dot(at - line.xy, along) / max(dot(along, along), 1e-6), 0.0, 1.0);
  float off = length(at - mix(line.xy, line.zw, share));
  float radius = max(mix(sized.x, sized.y, share), 0.35 * scale);
  float outside = off - radius;
  float ring = fill == ${FLAT} ? 0.0 : 1.4 * scale;
  float alpha = clamp(0.5 + ring - outside, 0.0, 1.0);
  float inside = clamp(0.5 - outside, 0.0, 1.0);
  vec3 tone = colour;
  if (fill == ${SOLID} || fill == ${HOLLOW}) {
    float across = min(off / radius, 1.0);
    tone *= mix(0.8, 1.0, sqrt(1.0 - across * across));
  }
  if (fill == ${HOLLOW}) tone = mix(ground, tone, smoothstep(-0.6, 0.6, off - 0.46 * radius));
  if (fill == ${FAINT}) {
    float core = smoothstep(-0.6, 0.6, off - radius + 1.2 * scale);
    float dash = step(0.5, fract(share * length(along) / (6.0 * scale)));
    bool point = dot(along, along) < 1.0;
    tone = point ? mix(ground, colour, core) : colour;
    if (!point) alpha *= dash * clamp(0.5 - outside, 0.0, 1.0);
  }
  if (alpha <= 0.0) discard;
  float close = mix(sized.z, sized.w, share);
  float metres = 1.0 / close + (inside > 0.5 ? 0.0 : halo);
  gl_FragDepth = fill == ${FLAT} ? 1.0 : clamp(metres / (metres + 4.0), 0.0, 1.0);
  pixel = vec4(mix(ground, tone, inside), alpha);
}`;

function withWebGL(gl) {
  let parts = null;
  const start = () => (parts = prepared(gl));
  start();
  gl.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  gl.canvas.addEventListener("webglcontextrestored", start);
  return {
    kind: "webgl2",
    clear(ground) {
      gl.disable(gl.SCISSOR_TEST);
      gl.clearColor(...ground, 1);
      gl.clearDepth(1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    },
    paint(numbers, box, look) {
      const { width, height } = gl.canvas;
      gl.viewport(0, 0, width, height);
      gl.enable(gl.SCISSOR_TEST);
      gl.scissor(box.x, height - box.y - box.height, box.width, box.height);
      gl.uniform2f(parts.size, width, height);
      gl.uniform3f(parts.ground, ...look.ground);
      gl.uniform1f(parts.scale, look.scale);
      gl.uniform1f(parts.halo, look.halo);
      gl.bufferData(gl.ARRAY_BUFFER, numbers, gl.STREAM_DRAW);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, numbers.length / WIDTH);
    },
    forget() {
      gl.getExtension("WEBGL_lose_context")?.loseContext();
    },
  };
}

function prepared(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  [[4, 0], [4, 16], [2, 32]].forEach(([numbers, offset], place) => {
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, numbers, gl.FLOAT, false, 4 * WIDTH, offset);
    gl.vertexAttribDivisor(place, 1);
  });
  gl.enable(gl.DEPTH_TEST);
  gl.depthFunc(gl.LEQUAL);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  return Object.fromEntries(["size", "ground", "scale", "halo"].map((name) => [name, gl.getUniformLocation(program, name)]));
}

function on2D(pen) {
  return {
    kind: "2d",
    clear(ground) {
      pen.fillStyle = css(ground.map((part) => Math.round(255 * part)));
      pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
    },
    paint(numbers, box, look) {
      pen.save();
      pen.beginPath();
      pen.rect(box.x, box.y, box.width, box.height);
      pen.clip();
      strokes(pen, numbers, look);
      pen.restore();
    },
    forget() {},
  };
}

/** Paint sorted strokes with the 2D context; also for thumbnails. */
export function strokes(pen, numbers, { ground, scale }) {
  const light = css(ground.map((part) => Math.round(255 * part)));
  pen.lineCap = "round";
  for (let at = 0; at < numbers.length; at += WIDTH) {
    const [x, y, toX, toY, radius, tip, , , rgb, fill] = numbers.subarray(at, at + WIDTH);
    const colour = css([rgb >> 16, (rgb >> 8) & 255, rgb & 255]);
    const wide = Math.max(0.7 * scale, 2 * radius);
    const line = (width, tone) => drawn(pen, [x, y, toX, toY], width, tone, tip / radius);
    pen.setLineDash(fill === FAINT && (x !== toX || y !== toY) ? [3 * scale, 5 * scale] : []);
    line(wide, colour);
    if (fill === HOLLOW) line(0.46 * wide, light);
    if (fill === FAINT && x === toX && y === toY) line(Math.max(0, wide - 2.4 * scale), light);
  }
  pen.setLineDash([]);
}

function drawn(pen, [x, y, toX, toY], width, tone, taper) {
  pen.strokeStyle = pen.fillStyle = tone;
  pen.lineWidth = width;
  pen.beginPath();
  if (taper < 0.5) {
    const [length, half] = [Math.hypot(toX - x, toY - y) || 1, width / 2];
    const [across, down] = [((toY - y) / length) * half, ((toX - x) / length) * half];
    pen.moveTo(x + across, y - down);
    pen.lineTo(toX, toY);
    pen.lineTo(x - across, y + down);
    pen.fill();
  } else {
    pen.moveTo(x, y);
    pen.lineTo(x === toX && y === toY ? toX + 0.01 : toX, toY);
    pen.stroke();
  }
}

function css(rgb) {
  return `rgb(${rgb.join(" ")})`;
}
