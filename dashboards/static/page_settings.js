// Settings that differ between the runs, or all settings of a run alone.

import { make } from "./dom.js";

const ORDER = ["data", "prompts", "sampling", "codec", "encoder", "training"];
const TITLES_OF = { data: "Data", prompts: "Prompts", sampling: "Sampling", codec: "Codec", encoder: "Scorers", training: "Training" };

export function settingsSection({ index, settings, pairs, backends }) {
  const runs = index.runs.map((run) => run.name);
  const section = make("section", { class: "sheet", "aria-label": "Settings" });
  section.append(make("h2", {}, "Read from"), make("ul", {}, ...runs.map((run) => make("li", {}, `${run}: ${backends[run]}`))));
  section.append(make("h2", {}, runs.length > 1 ? "Differs and matters" : "Set"), ...voices(pairs));
  const matter = settings.differing.filter((row) => row.about !== "paths");
  for (const about of ORDER) {
    const rows = matter.filter((row) => row.about === about);
    if (rows.length) section.append(make("h3", {}, TITLES_OF[about]), differences(rows, runs));
  }
  if (!matter.length && runs.length > 1) section.append(make("p", {}, "No setting that may matter differs."));
  const paths = settings.differing.filter((row) => row.about === "paths");
  if (paths.length) section.append(make("details", {}, make("summary", {}, `Names, paths and logging (${paths.length})`), differences(paths, runs)));
  if (runs.length > 1) section.append(make("p", { class: "hint" }, settings.same === 1 ? "1 setting is the same." : `${settings.same} settings are the same.`));
  return section;
}

function differences(rows, runs) {
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
