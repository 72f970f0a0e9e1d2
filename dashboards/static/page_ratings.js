// What listeners judged in blind tests: results, agreement and raters.

import { make } from "./dom.js";
import { shortNumber } from "./scores.js";

/** The parts of the summary; none without ratings. */
export function ratingsParts(ratings) {
  if (!ratings) return [];
  const number = (value) => (value === null ? "–" : shortNumber(value));
  const rows = ratings.results.map((row) => [
    row.mode, [...row.systems].reverse().join(" against "), number(row.mean), row.low === null ? "–" : `${number(row.low)} to ${number(row.high)}`,
    row.scale, `${row.votes} / ${row.raters} / ${row.speakers}`, number(row.p), row.verdict || "–",
  ]);
  const agreement = ratings.agreement.map((row) => `${row.mode}: ${row.alpha === null ? "not defined" : shortNumber(row.alpha)} (${row.raters} raters, ${row.units} trials)`);
  const out = ratings.raters.filter((row) => !row.kept).map((row) => `${row.rater} (${row.catch_right} of ${row.catch_total} catch trials right)`);
  return [
    make("h2", {}, "Listeners"),
    plainTable("listeners", ["Test", "What", "Mean", "95 % interval", "Scale", "Votes / raters / speakers", "p", "Verdict"], rows),
    make("p", { class: "hint" }, `Agreement, Krippendorff's alpha: ${agreement.join("; ")}.`),
    out.length ? make("p", { class: "note" }, `Left out: ${out.join(", ")}.`) : null,
  ].filter(Boolean);
}

function plainTable(name, titles, rows) {
  const head = make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title)));
  const body = rows.map((row) => make("tr", {}, ...row.map((text) => make("td", {}, text))));
  return make("div", { class: "wide" }, make("table", { class: name }, make("thead", {}, head), make("tbody", {}, ...body)));
}
