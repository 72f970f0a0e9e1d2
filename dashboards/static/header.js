// The titles above the columns, and what the fixed clips are.

import { runColour } from "./colours.js";
import { make } from "./dom.js";
import { TITLES } from "./row.js";

export const ABOUT = {
  reference: "The recording that the model is given: the voice to be cloned. It hears nothing else of this voice.",
  target: "A real recording of the text that the model is asked for, by the same speaker. The model does not hear it.",
  codec: "The target, encoded to codes and decoded again, without any model: what a model that predicts every code right would give, and so the best that a generated clip can be. What target and codec copy differ in is due to the codec; what codec copy and generated clip differ in is due to the model. Without a target it is a copy of the reference.",
};

/** The texts that the buttons of the header open; Escape or a press elsewhere closes them. */
export function aboutClips() {
  return Object.entries(ABOUT).map(([kind, text]) => make("div", { id: `about-${kind}`, popover: "auto", class: "about-clip" }, make("strong", {}, TITLES[kind]), make("p", {}, text)));
}

export class Header {
  constructor(board) {
    this.board = board;
    this.element = make("div", { class: "row header", role: "row" });
  }

  /** The titles of the columns in sight; made anew only when they change, so that a button among them keeps the focus. */
  update(columns) {
    const { index, theme, columns: window } = this.board;
    const titles = columns.slice(window.from, window.to).map((column) => {
      const run = column.startsWith("run:") ? column.slice(4) : null;
      return { column, run, colour: run === null ? null : runColour(index.runs, run, theme) };
    });
    const state = JSON.stringify([titles, window.from, window.gridColumn(0)]);
    if (state === this.state) return;
    this.state = state;
    const cells = titles.map(({ column, run, colour }, number) => {
      const cell = make("div", { class: "column", role: "columnheader", "data-run": run !== null }, run ?? aboutButton(column));
      if (run !== null) cell.style.setProperty("--run", colour);
      cell.style.gridColumn = window.gridColumn(window.from + number);
      return cell;
    });
    this.element.replaceChildren(make("div", { class: "column first", role: "columnheader" }, "Voice"), ...cells);
  }
}

function aboutButton(column) {
  return make("button", { type: "button", class: "meaning", popovertarget: `about-${column}`, title: `What is the ${TITLES[column].toLowerCase()}?` }, TITLES[column]);
}
