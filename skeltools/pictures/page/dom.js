// Elements of the page. Text from data is only ever inserted as text.

/** An element with attributes, listeners (`onclick`) and children, which are elements or text. */
export function element(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

/** An icon of 24 x 24 from an SVG path. */
export function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const [svg, line] = ["svg", "path"].map((tag) => document.createElementNS(space, tag));
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" })) svg.setAttribute(name, value);
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const ICONS = {
  play: "M7 4.5v15l12.5-7.5z",
  pause: "M6.5 4.5h4v15h-4zM13.5 4.5h4v15h-4z",
  back: "M17 5v14L8 12zM6 5h2v14H6z",
  forth: "M7 5v14l9-7zM16 5h2v14h-2z",
  loop: "M7 7h9V4l5 4-5 4V9H8a3 3 0 0 0-3 3H3a5 5 0 0 1 4-5zm10 10H8v3l-5-4 5-4v3h8a3 3 0 0 0 3-3h2a5 5 0 0 1-4 5z",
};

/** Buttons of which one is pressed. `choices`: [[value, name, title]]. The returned group has `choose(value)`. */
export function segments(label, choices, chosen, onchoose) {
  const buttons = choices.map(([value, name, title]) =>
    element("button", { type: "button", title, "data-value": value, onclick: () => group.choose(value, true) }, name));
  const group = element("div", { role: "group", "aria-label": label, class: "segments" }, buttons);
  group.choose = (value, tell = false) => {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === String(value))));
    if (tell) onchoose(value);
  };
  group.choose(chosen);
  return group;
}
