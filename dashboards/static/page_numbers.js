// The comparison in numbers: paired differences, every score of every run, and findings.

import { make } from "./dom.js";
import { runColour } from "./colours.js";
import { shortNumber, withUnit } from "./scores.js";

const MOST_NAMES = 6; // in a sentence
const MARKS = { better: "▲ better", worse: "▼ worse", different: "≠ different", none: "no difference shown" };

export function numbersSection({ index, pairs, runs, findings, silent, left_out: leftOut }, theme) {
  const section = make("section", { class: "sheet", "aria-label": "Numbers" });
  for (const pair of pairs) section.append(...pairPart(pair, index));
  section.append(make("h2", {}, "Each run"), make("p", { class: "hint" }, "Mean over the voices that have the score, at the last step and at the best one."));
  section.append(runsTable(runs, theme()));
  const notes = [
    ...silent.map((name) => `${name} has no voices folder beside its log: its curves and settings are here, its voices are not.`),
    leftOut.length ? `Audio of ${leftOut.length} steps was left out to limit the size of the page: ${leftOut.slice(0, 12).join(", ")}${leftOut.length > 12 ? ", …" : ""}.` : null,
  ].filter(Boolean);
  section.append(make("h2", {}, "Findings and alerts"), ...findingParts(findings), ...notes.map((note) => make("p", { class: "note" }, note)));
  return section;
}

function pairPart(pair, index) {
  const title = make("h2", {}, `${pair.second} against ${pair.first}`);
  if (!pair.paired.length) return [title, make("p", {}, "The runs have no voice in common, so there is no paired comparison."), unpaired(pair, index)];
  const hint = `The same ${pair.paired.length} voice${pair.paired.length === 1 ? "" : "s"} in both, at step ${pair.step} (the last that both have reached). ` +
    `Difference = ${pair.second} − ${pair.first}, with its 95 % bootstrap interval over voices.`;
  const head = ["Score", pair.first, pair.second, "Difference", "95 % interval", "Voices", ""].map((name) => make("th", { scope: "col" }, name));
  const rows = pair.scores.map((row) =>
    make("tr", { "data-verdict": row.verdict, "data-score": row.name },
      make("th", { scope: "row" }, row.name),
      ...[row.first, row.second].map((value) => make("td", {}, withUnit(value, row.unit))),
      make("td", {}, signed(row.difference, row.unit)),
      make("td", {}, row.low === null ? "–" : `${signed(row.low)} to ${signed(row.high)}`),
      make("td", {}, String(row.voices)),
      make("td", { class: "verdict" }, MARKS[row.verdict])));
  const said = make("p", { class: "said" }, verdictLine(pair));
  const sentences = make("ul", { class: "sentences" }, ...pair.scores.map((row) => make("li", {}, row.sentence)));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  return [title, said, make("p", { class: "hint" }, hint), make("div", { class: "wide" }, table), make("details", {}, make("summary", {}, "In sentences"), sentences), unpaired(pair, index)];
}

/** "b is better in sim_o. No difference is shown in dur_ratio." */
function verdictLine(pair) {
  const names = (verdict) => listed(pair.scores.filter((row) => row.verdict === verdict).map((row) => row.name));
  const parts = [["better", "is better in"], ["worse", "is worse in"], ["different", "differs in"]];
  const shown = parts.filter(([verdict]) => names(verdict)).map(([verdict, words]) => `${pair.second} ${words} ${names(verdict)}.`);
  return [...shown, names("none") ? `No difference is shown in ${names("none")}.` : ""].join(" ");
}

function listed(names) {
  return names.length > MOST_NAMES ? `${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more` : names.join(", ");
}

function unpaired(pair, index) {
  const text = (id) => index.voices.find((voice) => voice.id === id)?.target_text || id;
  const lists = [["only_first", pair.first], ["only_second", pair.second]].filter(([key]) => pair[key].length);
  const parts = lists.map(([key, run]) => `Only in ${run}, so not paired: ${pair[key].map((id) => `${id} (${text(id)})`).join("; ")}.`);
  return make("div", { class: "unpaired" }, ...parts.map((part) => make("p", {}, part)));
}

function runsTable(runs, theme) {
  const names = [...new Set(runs.flatMap((run) => run.scores.map((score) => score.name)))];
  const head = make("tr", {}, make("th", { scope: "col" }, "Score"), ...runs.map((run) => {
    const cell = make("th", { scope: "col", colspan: 2, class: "of-run" }, run.name);
    cell.style.setProperty("--run", runColour(runs, run.name, theme));
    return cell;
  }));
  const second = make("tr", {}, make("td"), ...runs.flatMap(() => [make("th", { scope: "col" }, "last"), make("th", { scope: "col" }, "best")]));
  const cell = (value, unit) => make("td", {}, value ? `${withUnit(value.mean, unit)} ` : "–", value ? make("small", {}, `step ${value.step}`) : null);
  const rows = names.map((name) => make("tr", { "data-score": name }, make("th", { scope: "row" }, name), ...runs.flatMap((run) => {
    const score = run.scores.find((one) => one.name === name);
    return [cell(score?.last, score?.unit), cell(score?.best, score?.unit)];
  })));
  return make("div", { class: "wide" }, make("table", { class: "runs-table" }, make("thead", {}, head, second), make("tbody", {}, ...rows)));
}

function findingParts(findings) {
  return Object.entries(findings).map(([run, list]) => {
    const items = list.map((finding) => make("li", {}, make("strong", {}, `${whenAndHowBad(finding)}: `), finding.text));
    return make("div", {}, make("h3", {}, run), list.length ? make("ul", {}, ...items) : make("p", { class: "hint" }, "No finding."));
  });
}

function whenAndHowBad({ step, until, level }) {
  const resolved = until === null ? "" : `, resolved at step ${until}`;
  return `${level ? `${level}, since ` : ""}step ${step}${level && until === null ? ", still open" : resolved}`;
}

function signed(value, unit = "") {
  return `${value > 0 ? "+" : ""}${withUnit(value, unit)}`;
}
