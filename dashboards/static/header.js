// The titles above the columns.

import { runColour } from "./colours.js";
import { make } from "./dom.js";
import { TITLES } from "./row.js";

/** The cells of the header row for the columns in sight. */
export function headerCells({ index, theme, columns: window }, columns) {
  const cells = columns.slice(window.from, window.to).map((column, number) => {
    const run = column.startsWith("run:") ? column.slice(4) : null;
    const title = run === null ? TITLES[column] : run;
    const cell = make("div", { class: "column", role: "columnheader", "data-run": run !== null }, title);
    if (run !== null) cell.style.setProperty("--run", runColour(index.runs, run, theme));
    cell.style.gridColumn = window.gridColumn(window.from + number);
    return cell;
  });
  return [make("div", { class: "column first", role: "columnheader" }, "Voice"), ...cells];
}
