// The controls above the voices: runs, step, search, order and actions.

import { make, set, setText } from "./dom.js";
import { measuredScores, rowsOf, stepOf, stepsOf, visibleRuns } from "./view.js";

export class Toolbar {
  constructor(board) {
    this.board = board;
    this.element = make("div", { class: "toolbar" }, this.topLine(), this.stepLine(), this.filterLine());
  }

  topLine() {
    this.summary = make("p", { class: "summary" });
    const act = (text, title, onclick) => make("button", { type: "button", title, onclick }, text);
    this.test = act("Listening test", "Blind: preference, ABX, similarity or naturalness", () => this.board.startTest());
    this.link = act("Copy link", "Copy a link to this voice, step and runs", () => this.board.copyLink());
    this.help = act("Keys ?", "Show the keys", () => this.board.help.showModal());
    const actions = make("div", { class: "actions" }, this.test, this.link, this.help);
    return make("div", { class: "line" }, make("div", { class: "grow" }, this.summary), actions);
  }

  stepLine() {
    const go = (by) => () => this.board.moveStep(by);
    this.slider = make("input", { type: "range", id: "step", min: 0, step: 1, "aria-label": "Training step" });
    this.slider.oninput = () => this.board.change({ step: this.steps[Number(this.slider.value)] });
    this.stepText = make("output", { class: "step-text", for: "step" });
    this.newest = make("button", { type: "button", class: "newest", onclick: () => this.board.change({ step: null }) }, "Newest");
    const earlier = make("button", { type: "button", "aria-label": "Earlier step", onclick: go(-1) }, "‹");
    const later = make("button", { type: "button", "aria-label": "Later step", onclick: go(1) }, "›");
    const label = make("label", { for: "step" }, "Step");
    return make("div", { class: "line steps" }, label, earlier, this.slider, later, this.stepText, this.newest);
  }

  filterLine() {
    const board = this.board;
    this.query = make("input", { type: "search", placeholder: "Find text or speaker", "aria-label": "Find text or speaker" });
    this.query.oninput = () => board.change({ query: this.query.value });
    this.speaker = make("select", { "aria-label": "Speaker", onchange: () => board.change({ speaker: this.speaker.value }) });
    this.score = make("select", { id: "score", onchange: () => board.change({ score: this.score.value }) });
    this.sort = make("select", { id: "sort", onchange: () => board.change({ sort: this.sort.value }) });
    this.order = make("button", { type: "button", class: "order", onclick: () => board.change({ descending: !board.view.descending }) });
    this.side = make("select", { "aria-label": "Score filter: direction" }, make("option", { value: "max" }, "≤"), make("option", { value: "min" }, "≥"));
    this.limit = make("input", { type: "number", step: "any", class: "limit", placeholder: "any", "aria-label": "Score filter: value" });
    this.side.onchange = this.limit.oninput = () => {
      const value = this.limit.value === "" ? null : Number(this.limit.value);
      board.change({ limit: value, limitSide: this.side.value });
    };
    this.every = make("input", { type: "checkbox", id: "every", onchange: () => board.change({ every: this.every.checked }) });
    const field = (name, id, ...inputs) => make("span", { class: "field" }, make("label", { for: id }, name), ...inputs);
    return make("div", { class: "line filters" }, this.query, this.speaker, field("Score", "score", this.score, this.side, this.limit),
      field("Sort by", "sort", this.sort, this.order), make("span", { class: "field" }, this.every, make("label", { for: "every" }, "All scores")));
  }

  update() {
    const { index, view } = this.board;
    this.steps = stepsOf(index, view);
    const step = stepOf(index, view);
    const place = Math.max(0, this.steps.findLastIndex((one) => one <= step));
    this.slider.max = Math.max(0, this.steps.length - 1);
    this.slider.value = place;
    set(this.slider, "aria-valuetext", `step ${step}`);
    this.slider.disabled = this.steps.length < 2;
    setText(this.stepText, this.steps.length ? `${step} (${place + 1} of ${this.steps.length})` : "none yet");
    set(this.newest, "aria-pressed", view.step === null);
    const shown = rowsOf(index, view).length;
    const voices = shown === index.voices.length ? `${shown} voices` : `${shown} of ${index.voices.length} voices`;
    setText(this.summary, `${voices}. Press ▶ or space to listen; ← → compare at the same position.`);
    this.test.disabled = !visibleRuns(index, view).length;
    this.updateFilters();
  }

  updateFilters() {
    const { index, view } = this.board;
    const speakers = [...new Set(index.voices.map((voice) => voice.speaker).filter(Boolean))].sort();
    if (this.measuredOf !== index) [this.measuredOf, this.measured] = [index, measuredScores(index)];
    offer(this.speaker, [["", "All speakers"], ...speakers.map((name) => [name, name])], view.speaker);
    offer(this.score, this.measured.map((score) => [score.name, score.name]), view.score);
    const orders = [["", "order of files"], ["speaker", "speaker"], ["text", "text"]];
    const byScore = visibleRuns(index, view).map((run) => [run.name, `${view.score} of ${run.name}`]);
    offer(this.sort, [...orders, ...byScore], view.sort);
    setText(this.order, view.descending ? "↓" : "↑");
    set(this.order, "aria-label", view.descending ? "Descending; make it ascending" : "Ascending; make it descending");
    if (document.activeElement !== this.query) this.query.value = view.query;
    this.every.checked = view.every;
  }
}

function offer(select, options, chosen) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) {
    select.dataset.options = wanted;
    select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  }
  select.value = chosen;
}
