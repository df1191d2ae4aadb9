// Labels on the picture: names, L and R at the hands, people at their feet, axes.

import { pixelsPerMetre } from "./camera.js";
import { hex } from "./figure.js";
import { isThere } from "./scene.js";

export function drawText(player) {
  const pen = player.text.getContext("2d");
  pen.clearRect(0, 0, player.text.width, player.text.height);
  pen.lineJoin = "round";
  for (const cell of player.cells) if (cell.box) drawCell(player, pen, cell);
}

function drawCell(player, pen, cell) {
  const { colours, scale, look } = player;
  const write = (text, x, y, colour, size = 12, align = "center", most = cell.box.width) => {
    pen.font = `600 ${size * scale}px ${getComputedStyle(player.element).fontFamily}`;
    pen.textAlign = align;
    pen.textBaseline = "middle";
    pen.strokeStyle = hex(colours.ground);
    pen.lineWidth = 4 * scale;
    pen.strokeText(text, x, y, most);
    pen.fillStyle = hex(colour);
    pen.fillText(text, x, y, most);
  };
  pen.save();
  pen.beginPath();
  pen.rect(cell.box.x, cell.box.y, cell.box.width, cell.box.height);
  pen.clip();
  for (const { text, x, y } of cell.labels) write(text, x, y, colours.quiet, 11);
  const pixels = (far) => pixelsPerMetre(cell.view, far);
  cell.spots.forEach((spots, place) => spots.length && drawPeople(player, pixels, cell.tracks[place], spots, write, place));
  cell.names.forEach((name, place) =>
    write(name, cell.box.x + 14 * scale, cell.box.y + 17 * (place + 1) * scale, place ? colours.persons[place % colours.persons.length] : colours.text, 13, "left", cell.box.width - 20 * scale));
  const note = noteOf(player, cell);
  if (note) write(note, cell.box.x + cell.box.width / 2, cell.box.y + cell.box.height / 2, colours.quiet, 15);
  if (cell.floor && look.names) write(gridOf(player, cell), cell.box.x + 14 * scale, cell.box.y + cell.box.height - 14 * scale, colours.quiet, 11, "left");
  pen.restore();
  if (player.hovered) ring(pen, player.hovered, colours, scale);
}

function noteOf(player, { tracks, points }) {
  if (!player.frames) return "no frames";
  if (!points.length) return "nobody in this clip";
  const anybody = tracks.some((track) => Array.from({ length: track.bodies }).some((_, body) => isThere(track, player.frameOf(track), body)));
  return anybody ? "" : "nobody in this frame";
}

function gridOf({ scenes }, { floor, flat }) {
  const unit = scenes[0].unit ?? "m";
  return flat ? `flat; marks ${floor.step} ${unit}` : `grid ${floor.step} ${unit}`;
}

function drawPeople({ colours, scale, look }, pixels, track, spots, write, place) {
  const several = track.bodies > 1;
  for (let body = 0; body < track.bodies; body++) {
    const own = spots.slice(body * track.vertices, (body + 1) * track.vertices);
    const there = own.filter((spot) => spot?.seen);
    if (!there.length) continue;
    const tone = colours.persons[(place || body) % colours.persons.length];
    const feet = there.reduce((low, spot) => (spot[1] > low[1] ? spot : low));
    const middle = there.reduce((sum, spot) => sum + spot[0], 0) / there.length;
    if (several) write(`person ${body + 1}`, middle, feet[1] + 16 * scale, tone);
    if (!look.names) continue;
    for (const { joint, letter } of track.letters) {
      const spot = own[joint];
      if (!spot?.seen) continue;
      const away = (9 * scale + pixels(spot[2]) * track.radii[joint]) * Math.sign(spot[0] - middle || 1);
      write(letter, spot[0] + away, spot[1], colours.parts[letter === "L" ? "left_leg" : "right_leg"], 14);
    }
  }
}

function ring(pen, spot, colours, scale) {
  pen.beginPath();
  pen.arc(spot[0], spot[1], 8 * scale, 0, 2 * Math.PI);
  pen.strokeStyle = hex(colours.text);
  pen.lineWidth = 1.5 * scale;
  pen.stroke();
}
