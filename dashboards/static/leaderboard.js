// One line per run: shown or not, step, scores with intervals, findings and a curve. Only the lines in sight are built.

import { make, set, setText } from "./dom.js";
import { bestRuns, searchRuns, sortRuns } from "./run_search.js";
import { shortNumber } from "./scores.js";
import { sparkline } from "./sparkline.js";

const LINE = 30; // pixels, as in board.css
const SPARE = 6; // lines built above and below those in sight
const FEW = 3; // runs: with more, there is a search and a choice of the best

export class Leaderboard {
  /** `act` has `show(names)`, `listen(run)` and `colour(run)`; `scores` is the table of scores. */
  constructor(act, scores) {
    this.act = act;
    this.about = Object.fromEntries(scores.map((score) => [score.name, score]));
    this.directions = Object.fromEntries(scores.map((score) => [score.name, score.better]));
    this.lines = [];
    this.shown = new Set();
    this.sort = { key: "", descending: false };
    this.count = make("span", { class: "hint" });
    this.query = make("input", { type: "search", placeholder: "name, sim_margin>0.2, lr=0.0002", "aria-label": "Find runs by name, score or setting" });
    this.query.oninput = () => this.draw();
    const choose = (text, names) => make("button", { type: "button", onclick: () => act.show(names()) }, text);
    this.number = make("input", { type: "number", class: "limit", min: 1, value: 3, "aria-label": "How many of the best runs" });
    this.best = choose("Best", () => bestRuns(this.found(), this.main(), Number(this.number.value), this.directions));
    this.choice = make("div", { class: "line choice" }, this.query, choose("None", () => []), choose("All", () => this.found().map((line) => line.name)), this.best, this.number, this.count);
    this.head = make("div", { class: "lead head", role: "row" });
    this.above = make("div");
    this.below = make("div");
    this.body = make("div", { class: "lead-body", role: "rowgroup" });
    this.scroll = make("div", { class: "lead-scroll" }, this.head, this.above, this.body, this.below);
    this.scroll.onscroll = () => this.drawLines();
    const table = make("div", { class: "leaderboard", role: "table", "aria-label": "Runs" }, this.scroll);
    this.element = make("div", { class: "run-choice" }, this.choice, table);
  }

  /** `lines` in the order of the runs; `shown`: names of the runs on the board. */
  update(lines, shown) {
    this.lines = lines;
    this.shown = new Set(shown);
    this.draw();
  }

  /** The scores that any run has. */
  scoreNames() {
    return Object.keys(this.about).filter((name) => this.lines.some((line) => line.scores[name]));
  }

  /** The score by which runs are ranked. */
  main() {
    return this.scoreNames().includes(this.sort.key) ? this.sort.key : (this.lines.find((line) => line.best_by)?.best_by ?? "");
  }

  found() {
    const { key, descending } = this.sort;
    return sortRuns(searchRuns(this.lines, this.query.value), key, descending, this.directions);
  }

  draw() {
    const scores = this.scoreNames();
    this.choice.hidden = this.lines.length <= FEW;
    this.element.style.setProperty("--scores", scores.length ? `repeat(${scores.length}, minmax(112px, 1fr))` : "");
    const pending = this.lines.filter((line) => line.pending).length;
    const found = this.found();
    setText(this.count, `${found.length} of ${this.lines.length} runs${pending ? `, ${pending} being read` : ""}`);
    setText(this.best, `Best by ${this.main()}`);
    this.best.hidden = this.number.hidden = !this.main();
    const title = (name, key, meaning) => {
      const mark = this.sort.key === key ? (this.sort.descending ? " ↓" : " ↑") : "";
      return make("button", { type: "button", class: "sort", role: "columnheader", title: meaning, onclick: () => this.sortBy(key) }, `${name}${mark}`);
    };
    this.head.replaceChildren(
      title("Run", "run", "Sort by name"), title("Step", "step", "Newest scored step"),
      ...scores.map((name) => title(name, name, `${this.about[name].meaning}: mean over voices, ± half of the 95 % interval over speakers`)),
      title("Best step", "best_step", "Step with the best mean of the first score"), title("Findings", "findings", "Open findings of the doctor"),
      make("span", { role: "columnheader" }, this.main()));
    this.list = found;
    this.drawLines(true);
  }

  sortBy(key) {
    const { sort } = this;
    this.sort = sort.key !== key ? { key, descending: key !== "run" } : sort.descending === (key !== "run") ? { key, descending: !sort.descending } : { key: "", descending: false };
    this.draw();
  }

  drawLines(again = false) {
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / LINE) - SPARE);
    const last = Math.min(this.list.length, first + Math.ceil((this.scroll.clientHeight || 400) / LINE) + 2 * SPARE);
    if (!again && first === this.first && last === this.last) return;
    [this.first, this.last] = [first, last];
    this.above.style.height = `${first * LINE}px`;
    this.below.style.height = `${(this.list.length - last) * LINE}px`;
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest(".lead").dataset.run : null;
    this.body.replaceChildren(...this.list.slice(first, last).map((line) => this.line(line)));
    if (focused) [...this.body.children].find((row) => row.dataset.run === focused)?.querySelector("button").focus({ preventScroll: true });
  }

  line(line) {
    const shown = this.shown.has(line.name);
    const number = this.lines.indexOf(line);
    const pill = make("button", { type: "button", class: "run", "aria-pressed": shown, title: `${shown ? "Hide" : "Show"} ${line.name}` },
      make("i", { "aria-hidden": "true" }), make("span", {}, line.name), number < 9 ? make("kbd", { "aria-hidden": "true" }, String(number + 1)) : null);
    pill.onclick = () => this.act.show(shown ? [...this.shown].filter((name) => name !== line.name) : [...this.shown, line.name]);
    const hear = make("button", { type: "button", class: "play small", "aria-label": `Play the first voice of ${line.name}`, title: "Play the first voice", onclick: () => this.act.listen(line.name) });
    const cell = (text, more = {}) => make("span", { role: "cell", ...more }, text);
    const findings = line.findings.map((finding) => finding.name).join("\n");
    const row = make("div", { class: "lead", role: "row", "data-run": line.name },
      make("span", { role: "rowheader", class: "lead-name" }, pill, hear), cell(line.step ?? (line.pending ? "…" : "–")),
      ...this.scoreNames().map((name) => scoreCell(name, line.scores[name])),
      cell(line.best_step ?? "–"), cell(line.findings.length || "–", { title: findings, "data-level": line.findings[0]?.level }), this.curve(line));
    row.style.setProperty("--run", this.act.colour(line.name));
    set(row, "data-shown", shown);
    return row;
  }

  curve(line) {
    const points = line.curve ?? [];
    const lines = [{ name: line.name, colour: this.act.colour(line.name), points }];
    const chart = sparkline({ lines, ceilings: [], step: null, scoreName: line.best_by, onStep: null });
    return make("span", { role: "cell", class: "lead-curve" }, chart);
  }
}

function scoreCell(name, score) {
  if (!score || score.mean === null) return make("span", { role: "cell", "data-score": name }, "–");
  const half = score.low === null ? "" : ` ±${shortNumber((score.high - score.low) / 2)}`;
  const title = `${name}: mean of ${score.voices} voices${score.low === null ? "; no interval: too few speakers" : `, 95 % interval ${shortNumber(score.low)} to ${shortNumber(score.high)}`}; best ${shortNumber(score.best)} at step ${score.best_step}`;
  return make("span", { role: "cell", title, "data-score": name }, shortNumber(score.mean), make("small", {}, half));
}
