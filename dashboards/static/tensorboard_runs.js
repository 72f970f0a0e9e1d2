// Follows the selection and the colours of TensorBoard's own list of runs.
//
// The interface for plugins (`experimental.GetRuns`, `RunsChanged`) gives names only, and neither the address nor the
// storage of TensorBoard 2.21 holds the selection. The list itself, which Time Series makes when it is first opened and
// which stays in the document, shows both; this frame has the same origin and can read it. Where the list is not there,
// or looks different in another version, nothing is followed.

const ROWS = "runs-data-table tb-data-table-content-row[data-id]";

/** Run → { selected, colour } as the list shows them, or null without a list. Filtered runs are not in it. */
export function listedRuns(document) {
  const rows = [...document.querySelectorAll(ROWS)];
  if (!document.querySelector("runs-data-table")) return null;
  const listed = new Map();
  for (const row of rows) {
    const name = row.dataset.id.slice(row.dataset.id.indexOf("/") + 1).replace(/\/\.$/, ""); // "experiment/run", see --logdir_spec
    const box = row.querySelector("input[type=checkbox]");
    if (box) listed.set(name, { selected: box.checked, colour: row.querySelector(".run-color-swatch")?.style.background || null });
  }
  return listed;
}

/**
 * The runs to show after the list has changed from `before` to `now` (see `listedRuns`), or null for no change. Runs that
 * TensorBoard does not know (`known` false) stay as they are; a first look at a list where all are selected changes nothing.
 */
export function followed(runs, shown, before, now) {
  if (!now || !now.size) return null;
  const selected = (run) => Boolean(now.get(run.name)?.selected);
  const known = runs.filter((run) => run.known);
  const same = before ? known.every((run) => selected(run) === Boolean(before.get(run.name)?.selected)) : known.every(selected);
  if (same) return null;
  return runs.filter((run) => (run.known ? selected(run) : shown.includes(run.name))).map((run) => run.name);
}
