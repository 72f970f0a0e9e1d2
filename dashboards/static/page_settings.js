// Settings that differ between the runs.

import { make } from "./dom.js";

const ABOUT_DATA = /data|split|sample|speaker/i;

export function settingsSection({ index, settings, pairs, backends }) {
  const runs = index.runs.map((run) => run.name);
  const section = make("section", { class: "sheet", "aria-label": "Settings" });
  section.append(make("h2", {}, "Read from"), make("ul", {}, ...runs.map((run) => make("li", {}, `${run}: ${backends[run]}`))));
  const data = settings.differing.filter((row) => ABOUT_DATA.test(row.name));
  const rest = settings.differing.filter((row) => !ABOUT_DATA.test(row.name));
  section.append(make("h2", {}, "Data"), differences(data, runs, "No setting of the data differs."), ...voices(pairs));
  section.append(make("h2", {}, "Settings"), differences(rest, runs, "No other setting differs."));
  section.append(make("p", { class: "hint" }, settings.same === 1 ? "1 setting is the same." : `${settings.same} settings are the same.`));
  return section;
}

function differences(rows, runs, none) {
  if (!rows.length) return make("p", {}, none);
  const head = make("tr", {}, ...["Setting", ...runs].map((name) => make("th", { scope: "col" }, name)));
  const body = rows.map((row) =>
    make("tr", { "data-setting": row.name }, make("th", { scope: "row" }, row.name), ...runs.map((run) => make("td", {}, written(row.values[run])))));
  return make("div", { class: "wide" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

function voices(pairs) {
  return pairs.map((pair) =>
    make("p", {}, `${pair.paired.length} voices in both ${pair.first} and ${pair.second}; ${pair.only_first.length} only in ${pair.first}, ${pair.only_second.length} only in ${pair.second}.`));
}

function written(value) {
  return value === null || value === undefined ? "not set" : String(value);
}
