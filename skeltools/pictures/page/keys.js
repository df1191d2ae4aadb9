// Keys of the player in one table: their actions and their help.

export const KEYS = [
  { keys: [" ", "k"], name: "Space", does: "play or pause", act: (player) => player.toggle() },
  { keys: ["ArrowLeft", ","], name: "←", does: "one frame back", act: (player) => player.step(-1) },
  { keys: ["ArrowRight", "."], name: "→", does: "one frame on", act: (player) => player.step(1) },
  { keys: ["Home"], name: "Home", does: "first frame", act: (player) => player.seek(0) },
  { keys: ["End"], name: "End", does: "last frame", act: (player) => player.seek(player.frames - 1) },
  { keys: ["1"], name: "1", does: "three-quarter view", act: (player) => player.setView("corner") },
  { keys: ["2"], name: "2", does: "front, as the sensor saw it", act: (player) => player.setView("front") },
  { keys: ["3"], name: "3", does: "side", act: (player) => player.setView("side") },
  { keys: ["4"], name: "4", does: "top", act: (player) => player.setView("top") },
  { keys: ["+", "="], name: "+", does: "nearer", act: (player) => player.zoom(1 / 1.15) },
  { keys: ["-"], name: "−", does: "further", act: (player) => player.zoom(1.15) },
  { keys: ["0"], name: "0", does: "fit into the picture", act: (player) => player.refit() },
  { keys: ["l", "L"], name: "L", does: "loop", act: (player) => player.set({ loop: !player.look.loop }) },
  { keys: ["f", "F"], name: "F", does: "follow people", act: (player) => player.set({ follow: !player.look.follow }) },
  { keys: ["n", "N"], name: "N", does: "letters and units", act: (player) => player.set({ names: !player.look.names }) },
  { keys: ["o", "O"], name: "O", does: "beside or over each other", act: (player) => player.set({ layout: player.look.layout === "over" ? "beside" : "over" }) },
  { keys: ["[", "<"], name: "[", does: "slower", act: (player) => player.setSpeed(Math.max(0.125, player.look.speed / 2)) },
  { keys: ["]", ">"], name: "]", does: "faster", act: (player) => player.setSpeed(Math.min(8, player.look.speed * 2)) },
  { keys: ["?"], name: "?", does: "these keys", act: (player) => player.panel.help() },
];

/** Perform a key's action; a focused button, menu or field keeps its own keys. */
export function act(player, event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  if (event.key === " " && event.target.closest("button, a, summary")) return;
  const found = KEYS.find(({ keys }) => keys.includes(event.key));
  if (!found) return;
  event.preventDefault();
  found.act(player);
}
