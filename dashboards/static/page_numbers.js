// The comparison in words and numbers: leaderboard, answer, verdicts, every score of every run, and findings.

import { runColour } from "./colours.js";
import { make } from "./dom.js";
import { Leaderboard } from "./leaderboard.js";
import { ratingsParts } from "./page_ratings.js";
import { shortNumber, withUnit } from "./scores.js";

const MARKS = { better: "▲ better", worse: "▼ worse", none: "no difference shown", "too few": "too few speakers to tell", "": "" };

/** { element, draw() }; `listen(run)` plays the first voice of a run on the board, `show(names)` chooses the runs there. */
export function summarySection({ index, pairs, answer, runs, findings, problems, ratings, silent, left_out: leftOut }, { theme, listen, show }) {
  const element = make("section", { class: "sheet", "aria-label": "Summary" });
  const table = new Leaderboard({ listen, show, colour: (run) => runColour(index.runs, run, theme()) }, index.scores);
  element.append(table.element);
  if (answer.length) element.append(make("div", { class: "answers" }, ...answer.map((text) => make("p", { class: "answer" }, text))));
  for (const pair of pairs) element.append(...pairPart(pair, index));
  element.append(...ratingsParts(ratings));
  element.append(make("h2", {}, "Each run"), make("p", { class: "hint" }, "Mean over the voices that have the score, at the last step and at the best one."));
  element.append(runsTable(runs, theme()));
  const notes = [
    ...problems.map((problem) => `Cannot be read: ${problem}`),
    ...silent.map((name) => `${name} has no voices folder beside its log: its curves and settings are here, its voices are not.`),
    leftOut.length ? `Audio of ${leftOut.length} steps was left out to limit the size of the page: ${leftOut.slice(0, 12).join(", ")}${leftOut.length > 12 ? ", …" : ""}.` : null,
  ].filter(Boolean);
  element.append(make("h2", {}, "Findings and alerts"), ...findingParts(findings), ...notes.map((note) => make("p", { class: "note" }, note)));
  return { element, draw: (shown) => table.update(index.runs, shown) };
}

function pairPart(pair, index) {
  const title = make("h2", {}, `${pair.second} against ${pair.first}`);
  const differ = pair.conditions.length
    ? make("div", { class: "conditions" }, make("strong", {}, "They differ in more than the model:"), make("ul", {}, ...pair.conditions.map((row) => make("li", {}, `${row.kind}: ${row.text}`))))
    : null;
  if (pair.reason) return [title, make("p", { class: "note" }, `Not compared. ${pair.reason}`), unpaired(pair, index)];
  const each = Object.entries(pair.steps);
  const steps = new Set(each.map(([, step]) => step)).size === 1 ? `all at step ${each[0][1]}` : each.map(([run, step]) => `${run} at step ${step}`).join(", ");
  const hint = `${pair.paired.length} voice${pair.paired.length === 1 ? "" : "s"} of ${pair.speakers} speaker${pair.speakers === 1 ? "" : "s"}: ${steps}. ` +
    `Difference = ${pair.second} − ${pair.first}, with its 95 % interval over speakers. Verdicts are corrected for all tests of this page; other scores have none.`;
  const tested = pair.scores.filter((row) => row.question);
  const rest = pair.scores.filter((row) => !row.question);
  const more = make("details", {}, make("summary", {}, `Other scores (${rest.length}), without a verdict`), scoresTable(pair, rest));
  const sentences = make("ul", { class: "sentences" }, ...pair.scores.map((row) => make("li", {}, row.sentence)));
  return [title, differ, make("p", { class: "hint" }, hint), pair.note ? make("p", { class: "note" }, pair.note) : null, scoresTable(pair, tested), more,
    make("details", {}, make("summary", {}, "In sentences"), sentences), unpaired(pair, index)].filter(Boolean);
}

function scoresTable(pair, rows) {
  if (!rows.length) return make("p", {}, "None of these was measured in both.");
  const titles = ["Question", "Score", pair.first, pair.second, "Difference", "95 % interval", "Voices / speakers", "Found in 80 %", "Verdict"];
  const used = titles.map((_, place) => rows[0].question || ![0, 7, 8].includes(place));
  const cells = (row) => [
    make("td", {}, row.question), make("th", { scope: "row" }, row.name),
    ...[row.first, row.second].map((value) => make("td", {}, withUnit(value, row.unit))),
    make("td", {}, signed(row.difference, row.unit)),
    make("td", {}, row.low === null ? "–" : `${signed(row.low)} to ${signed(row.high)}`),
    make("td", {}, `${row.voices} / ${row.speakers}`),
    make("td", { title: "The true difference that would be found in 80 % of such comparisons" }, row.detectable ? withUnit(row.detectable, row.unit) : "–"),
    make("td", { class: "verdict" }, MARKS[row.verdict]),
  ];
  const head = titles.filter((_, place) => used[place]).map((name) => make("th", { scope: "col" }, name));
  const body = rows.map((row) => make("tr", { "data-verdict": row.verdict, "data-score": row.name }, ...cells(row).filter((_, place) => used[place])));
  return make("div", { class: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
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
