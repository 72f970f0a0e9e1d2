// Entry point of the comparison page: summary, voice board, curves and settings, one section each.

import { Board } from "./board.js";
import { fileKey } from "./clips.js";
import { make } from "./dom.js";
import { curvesSection } from "./page_curves.js";
import { summarySection } from "./page_numbers.js";
import { settingsSection } from "./page_settings.js";

export function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.index.runs = data.leaderboard;
  const link = new URLSearchParams(location.hash.slice(1));
  let theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  const board = new Board(embedded, data.index, { theme, link });
  const curves = curvesSection(data);
  const listen = (run) => {
    show("Voices");
    board.listenTo(run);
  };
  const summary = summarySection(data, { theme: () => theme, listen, show: (names) => board.change({ shown: names }) });
  board.changed = () => summary.draw(board.view.shown);
  const sections = {
    Summary: summary.element,
    Voices: board.element,
    Curves: curves.element,
    Settings: settingsSection(data),
  };
  const setTheme = () => {
    theme = theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    board.setTheme(theme);
    summary.draw(board.view.shown);
    curves.draw(theme);
  };
  const buttons = Object.keys(sections).map((name) => make("button", { type: "button", "aria-pressed": false, onclick: () => show(name) }, name));
  const dark = make("button", { type: "button", class: "theme", onclick: setTheme }, "Light / dark");
  const nav = make("nav", { "aria-label": "Sections" }, ...buttons, dark);
  document.body.append(make("header", {}, make("h1", {}, data.index.runs.map((run) => run.name).join("  ·  ")), nav), ...Object.values(sections));

  function show(name) {
    if (name !== "Voices") board.player.pause();
    Object.entries(sections).forEach(([other, element], place) => {
      element.hidden = other !== name;
      buttons[place].setAttribute("aria-pressed", other === name);
    });
    if (name === "Summary") summary.draw(board.view.shown);
    if (name === "Curves") curves.draw(theme);
  }
  if (data.test) { // a page for raters
    show("Voices");
    board.startTest(data.test);
    return;
  }
  show(sections[link.get("section")] ? link.get("section") : link.get("voice") ? "Voices" : "Summary");
}

/** Reads the clips that are embedded in the page as text. They come last: the page is shown before they are there. */
const embedded = {
  async bytes(clip) {
    while (document.readyState === "loading") await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
    const text = document.getElementById(`clip:${fileKey(clip)}`).textContent;
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  },
  address(link) {
    const page = new URL(location.href);
    page.hash = link.toString();
    return page.href;
  },
};
