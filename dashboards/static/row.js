// One voice: its texts, a chart of its scores over the steps, and its clips.

import { Cell } from "./cell.js";
import { cellModel } from "./cell_model.js";
import { runColour } from "./colours.js";
import { Known, make, set, setText } from "./dom.js";
import { Fold } from "./fold.js";
import { CEILING_NAMES } from "./scores.js";
import { sparkline } from "./sparkline.js";
import { meansOf, stepOf, visibleRuns } from "./view.js";

export const TITLES = { reference: "Reference", target: "Target", codec: "Codec copy" };

export class Row {
  constructor(voiceId, board) {
    this.voiceId = voiceId;
    this.board = board;
    this.cells = new Map(); // place → cell, for the columns in sight
    this.isOld = true;
    this.known = new Known();
    this.knownChart = new Known();
    this.speaker = make("strong");
    this.language = make("span", { class: "language" });
    this.text = make("p", { class: "text", dir: "auto" });
    this.prompt = make("p", { class: "prompt", dir: "auto" });
    this.foldText = new Fold(this.text);
    this.foldPrompt = new Fold(this.prompt);
    this.chart = make("div", { class: "chart" });
    this.chartName = make("span", { class: "chart-name" });
    const who = make("div", { class: "who" }, this.speaker, this.language, make("code", { class: "id", title: "voice id" }, voiceId));
    this.heading = make("div", { class: "heading", role: "rowheader" }, who, this.text, this.foldText.button, this.prompt, this.foldPrompt.button, this.chartName, this.chart);
    this.element = make("div", { class: "row", role: "row", "data-voice": voiceId }, this.heading);
  }

  /** `columns` in the display order of this row; `from` and `to`: places of those in sight. A row that stays as it is costs nothing. */
  update(voice, columns, { from, to, width }) {
    this.isOld = false;
    const { index, view, theme } = this.board;
    const chosen = view.voice === voice.id ? this.board.place : -1;
    if (!this.known.isNew(index, voice, columns, from, to, width, stepOf(index, view), view.score, view.every, view.take, theme, chosen)) return;
    setText(this.speaker, voice.speaker ?? "unknown speaker");
    setText(this.language, voice.language ?? "");
    setText(this.text, voice.target_text ?? "");
    setText(this.prompt, voice.reference_text ? `Reference text: ${voice.reference_text}` : "");
    this.foldText.update();
    this.foldPrompt.update();
    set(this.element, "data-selected", view.voice === voice.id);
    const models = columns.map((column, place) => (place >= from && place < to ? cellModel(index, view, voice, column) : null));
    const span = Math.max(0.5, ...models.map((model) => model?.clip?.seconds ?? 0));
    this.fitCells(from, to);
    this.cells.forEach((cell, place) => {
      const column = columns[place];
      const selected = chosen === place;
      const run = column.startsWith("run:") ? column.slice(4) : null;
      const name = `${columnName(column)} of ${voice.speaker ?? voice.id}: ${voice.target_text ?? ""}`;
      const colour = run ? runColour(index.runs, run, theme) : null;
      cell.update(models[place], { name, title: run ?? TITLES[column], colour, span, selected, theme });
    });
    this.drawCells(theme, span);
    this.updateChart(voice);
  }

  /** All cells of a row are equally wide: the width is asked for once, as the browser lays out the table for each answer. */
  drawCells(theme, span) {
    const width = [...this.cells.values()].find((cell) => cell.clip)?.canvas.clientWidth;
    for (const cell of this.cells.values()) cell.show({ theme, span, width });
  }

  fitCells(from, to) {
    const act = {
      choose: (place) => this.board.select(this.voiceId, place),
      toggle: (place) => this.board.toggle(this.voiceId, place),
      seek: (place, seconds) => this.board.seek(this.voiceId, place, seconds),
      take: (place, take) => (this.board.select(this.voiceId, place), this.board.change({ take })),
    };
    for (const [place, cell] of this.cells) {
      if (place >= from && place < to) continue;
      cell.element.remove();
      this.cells.delete(place);
    }
    for (let place = from; place < to; place++) {
      if (this.cells.has(place)) continue;
      const cell = new Cell(place, act, this.board.clips);
      cell.element.style.setProperty("--place", place);
      this.cells.set(place, cell);
      const next = [...this.cells.keys()].filter((other) => other > place).sort((a, b) => a - b)[0];
      this.element.insertBefore(cell.element, next === undefined ? null : this.cells.get(next).element);
    }
  }

  updateChart(voice) {
    const { index, view, theme } = this.board;
    if (!this.knownChart.isNew(index, view.shown, view.score, stepOf(index, view), theme)) return;
    const score = index.scores.find((one) => one.name === view.score);
    const lines = visibleRuns(index, view).map((run) => ({
      name: run.name,
      colour: runColour(index.runs, run.name, theme),
      points: meansOf(voice, run.name, view.score),
    }));
    const newest = Object.values(voice.generated).flat();
    const ceilings = (score?.ceilings ?? [])
      .map((name) => ({ name: CEILING_NAMES[name], value: newest.find((one) => name in one.scores)?.scores[name] }))
      .filter((each) => each.value !== undefined);
    const chart = score
      ? sparkline({ lines, ceilings, step: stepOf(index, view), scoreName: score.name, onStep: (step) => this.board.change({ step }) })
      : null;
    setText(this.chartName, chart ? `${score.name} over steps${ceilings.map((each, place) => `, ${["dashed", "dotted"][place]}: ${each.name}`).join("")}` : "");
    this.chart.replaceChildren(...(chart ? [chart] : []));
  }
}

function columnName(column) {
  return column.startsWith("run:") ? `generated by ${column.slice(4)}` : TITLES[column];
}
