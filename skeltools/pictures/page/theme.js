// Light, dark, or as set in the system: switches the dark colours of design.css on or off.

import { element } from "./dom.js";

const NAMES = { system: "Colours: system", light: "Colours: light", dark: "Colours: dark" };
const MEDIA = { system: "(prefers-color-scheme: dark)", light: "not all", dark: "screen" };

export function themeButton() {
  const button = element("button", { type: "button", class: "theme", onclick: () => use(next(button.dataset.theme)) }, "◐");
  const use = (theme) => {
    button.dataset.theme = theme;
    button.title = NAMES[theme];
    button.setAttribute("aria-label", NAMES[theme]);
    for (const rule of darkRules()) rule.media.mediaText = MEDIA[theme];
    document.documentElement.style.colorScheme = theme === "system" ? "" : theme;
    keep(theme);
    document.dispatchEvent(new Event("colours"));
  };
  use(kept());
  matchMedia(MEDIA.system).addEventListener("change", () => document.dispatchEvent(new Event("colours")));
  return button;
}

function next(theme) {
  const names = Object.keys(NAMES);
  return names[(names.indexOf(theme) + 1) % names.length];
}

let found = null;

function darkRules() {
  found ??= [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule.media?.mediaText === MEDIA.system);
  return found;
}

function kept() {
  try {
    return localStorage.getItem("skeltools-colours") in NAMES ? localStorage.getItem("skeltools-colours") : "system";
  } catch {
    return "system"; // storage is not available
  }
}

function keep(theme) {
  try {
    localStorage.setItem("skeltools-colours", theme);
  } catch {
    // not stored: chosen again next time
  }
}
