// The voice board: rows are voices, columns are clips. Shared by the TensorBoard tab and the comparison page.
//
//   const board = new Board(source, index, { theme: "light", link: new URLSearchParams("step=500") });
//   place.append(board.element);
//
// A source gives `bytes(clip) -> Promise<ArrayBuffer>` and `address(link: URLSearchParams) -> string`.

import { letter } from "./blind.js";
import { BlindComparison } from "./blind_panel.js";
import { Clips } from "./clips.js";
import { runColour } from "./colours.js";
import { make, set, setText } from "./dom.js";
import { helpDialog, listen } from "./keys.js";
import { Player } from "./player.js";
import { Row, TITLES } from "./row.js";
import { Toolbar } from "./toolbar.js";
import { Transport } from "./transport.js";
import { columnOf, columnsOf, firstView, fromLink, rowsOf, stepOf, stepsOf, toLink, visibleRuns } from "./view.js";

export class Board {
  constructor(source, index, { theme, link }) {
    this.source = source;
    this.index = index;
    this.theme = theme;
    this.view = fromLink(index, firstView(index), link);
    this.blind = null;
    this.clips = new Clips(source);
    this.player = new Player(this.clips, () => this.updatePlaying());
    this.rows = new Map();
    this.help = helpDialog();
    this.toolbar = new Toolbar(this);
    this.transport = new Transport(this);
    this.header = make("div", { class: "row header", role: "row" });
    this.empty = make("p", { class: "empty", role: "status" });
    this.problems = make("p", { class: "problems" });
    this.guide = make("div", { class: "guide" });
    this.table = make("div", { class: "table", role: "table", "aria-label": "Voices" }, this.header);
    this.scroll = make("div", { class: "scroll" }, this.table, this.empty, this.problems);
    this.element = make("section", { class: "board", "aria-label": "Voice board" }, this.toolbar.element, this.guide, this.scroll, this.transport.element, this.help);
    this.inSight = new Set();
    this.watcher = new IntersectionObserver((entries) => this.sighted(entries), { root: this.scroll, rootMargin: "200px" });
    new ResizeObserver(() => this.update()).observe(this.scroll); // also fires when first shown
    listen(this);
  }

  // --- the view ---------------------------------------------------------------------------------------------

  /** Change some fields of the view and update the board. */
  change(fields) {
    this.view = { ...this.view, ...fields };
    this.update();
    this.followSelection();
  }

  /** Replace the index by a newer one of the same log directory; position, selection and playback are kept. */
  refresh(index) {
    this.index = index;
    this.change({ voice: this.view.voice ?? index.voices[0]?.id ?? null });
  }

  setTheme(theme) {
    this.theme = theme;
    this.update();
  }

  /** The columns of a voice in display order; shuffled for each voice in a blind comparison. */
  columnsFor(voiceId) {
    const columns = columnsOf(this.index, this.view);
    const fixed = columns.filter((name) => !name.startsWith("run:"));
    return this.blind ? [...fixed, ...(this.blind.order.get(voiceId) ?? this.blind.runs).map((run) => `run:${run}`)] : columns;
  }

  placeIn(voiceId) {
    return this.columnsFor(voiceId).indexOf(columnOf(this.index, this.view));
  }

  select(voiceId, place) {
    const column = this.columnsFor(voiceId)[place];
    if (voiceId !== this.view.voice || column !== columnOf(this.index, this.view)) this.change({ voice: voiceId, column });
  }

  selectedCell() {
    return this.rows.get(this.view.voice)?.cells[this.placeIn(this.view.voice)] ?? null;
  }

  /** Playback follows the selected cell and keeps its position. */
  followSelection() {
    const clip = this.selectedCell()?.clip;
    if (clip) this.player.choose(clip);
    else if (this.player.playing) this.player.pause();
  }

  // --- actions of keys and clicks ---------------------------------------------------------------------------------------

  moveClip(by) {
    const columns = this.columnsFor(this.view.voice);
    const place = Math.max(0, Math.min(columns.length - 1, this.placeIn(this.view.voice) + by));
    this.goTo(this.view.voice, place);
  }

  moveVoice(by) {
    const rows = rowsOf(this.index, this.view);
    const at = rows.findIndex((voice) => voice.id === this.view.voice);
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
    if (next) this.goTo(next.id, this.placeIn(this.view.voice));
  }

  pickRun(number) {
    const runs = this.columnsFor(this.view.voice).map((name, place) => [name, place]).filter(([name]) => name.startsWith("run:"));
    // Outside a blind comparison the number is that of the run's button, even while other runs are hidden.
    const wanted = this.blind ? runs[number] : runs.find(([name]) => name === `run:${this.index.runs[number]?.name}`);
    if (wanted) this.goTo(this.view.voice, wanted[1]);
  }

  goTo(voiceId, place) {
    this.select(voiceId, place);
    const cell = this.selectedCell();
    cell?.element.scrollIntoView({ block: "nearest", inline: "nearest" });
    cell?.button.focus({ preventScroll: true });
  }

  moveStep(by) {
    const steps = stepsOf(this.index, this.view);
    const at = steps.findLastIndex((step) => step <= stepOf(this.index, this.view));
    const next = steps[Math.max(0, Math.min(steps.length - 1, at + by))];
    if (next !== undefined && !this.blind) this.change({ step: next });
  }

  toggle(voiceId, place) {
    this.select(voiceId, place);
    this.toggleSelected();
  }

  toggleSelected() {
    const clip = this.selectedCell()?.clip;
    if (!clip) return;
    if (this.player.playing && this.player.isAt(clip)) this.player.pause();
    else this.player.play(clip);
  }

  seek(voiceId, place, seconds) {
    this.select(voiceId, place);
    const clip = this.selectedCell()?.clip;
    if (clip) this.player.play(clip, Math.min(seconds, clip.seconds)).then(() => this.player.seek(Math.min(seconds, clip.seconds)));
  }

  toggleRun(name) {
    const { shown } = this.view;
    this.change({ shown: shown.includes(name) ? shown.filter((one) => one !== name) : [...shown, name] });
  }

  /** Plays the first voice of a run at its newest step. */
  listenTo(run) {
    const voice = rowsOf(this.index, this.view).find((one) => one.generated[run]?.some((entry) => entry.clip));
    if (!voice) return;
    const { shown } = this.view;
    this.change({ shown: shown.includes(run) ? shown : [...shown, run], voice: voice.id, column: `run:${run}` });
    const clip = this.selectedCell()?.clip;
    if (clip) this.player.play(clip, 0);
  }

  async copyLink() {
    const address = this.source.address(toLink(this.index, this.view));
    try {
      await navigator.clipboard.writeText(address);
      setText(this.toolbar.link, "Copied ✓");
    } catch {
      window.prompt("Copy this link:", address);
    }
    setTimeout(() => setText(this.toolbar.link, "Copy link"), 2000);
  }

  // --- blind comparison ----------------------------------------------------------------------------------------------

  toggleBlind() {
    this.player.pause();
    this.blind = this.blind ? null : new BlindComparison(this, () => this.toggleBlind());
    this.guide.replaceChildren(...(this.blind ? [this.blind.element] : []));
    const sort = this.blind && this.index.runs.some((run) => run.name === this.view.sort) ? "" : this.view.sort;
    this.change({ sort, limit: this.blind ? null : this.view.limit, step: this.blind ? this.blind.step : this.view.step });
  }

  /** `place`: column of the preferred clip, or null for no preference. */
  vote(voiceId, place) {
    this.blind.judge(voiceId, place === null ? null : this.columnsFor(voiceId)[place].slice(4));
    this.update();
  }

  // --- display ----------------------------------------------------------------------------------------------------

  update() {
    const voices = rowsOf(this.index, this.view);
    const columns = columnsOf(this.index, this.view);
    this.table.style.setProperty("--clips", columns.length);
    this.toolbar.update();
    this.updateHeader(columns);
    const wanted = voices.map((voice) => this.rowOf(voice.id).element);
    if (wanted.some((element, place) => this.table.children[place + 1] !== element) || this.table.children.length !== wanted.length + 1) {
      this.table.replaceChildren(this.header, ...wanted);
    }
    for (const voice of voices) this.rows.get(voice.id).update(voice, this.columnsFor(voice.id));
    const none = this.index.voices.length ? "No voice matches the filters." : "No voices yet. They appear here after the first round of generation.";
    setText(this.empty, voices.length ? "" : none);
    setText(this.problems, this.index.problems.length ? `Cannot be read: ${this.index.problems.slice(0, 5).join("; ")}` : "");
    this.fetchInSight();
    this.updatePlaying();
    this.changed();
  }

  /** Called after each update; replaced by the page that shows more than the board. */
  changed() {}

  rowOf(voiceId) {
    if (!this.rows.has(voiceId)) {
      const row = new Row(voiceId, this);
      this.rows.set(voiceId, row);
      this.watcher.observe(row.element);
    }
    return this.rows.get(voiceId);
  }

  updateHeader(columns) {
    let generated = 0;
    const cells = columns.map((column) => {
      const run = column.startsWith("run:") ? column.slice(4) : null;
      const title = run === null ? TITLES[column] : this.blind ? `Clip ${letter(generated++)}` : run;
      const cell = make("div", { class: "column", role: "columnheader", "data-run": run !== null && !this.blind }, title);
      if (run !== null && !this.blind) cell.style.setProperty("--run", runColour(this.index.runs, run, this.theme));
      return cell;
    });
    this.header.replaceChildren(make("div", { class: "column first", role: "columnheader" }, "Voice"), ...cells);
  }

  updatePlaying() {
    const { player } = this;
    const cell = this.selectedCell();
    this.transport.update({ name: cell?.clip ? cell.name : "", seconds: cell?.clip?.seconds });
    this.showPosition();
    if (player.playing && !this.frame) this.frame = requestAnimationFrame(() => this.tick());
  }

  tick() {
    this.frame = null;
    this.transport.move(this.player.clip.seconds);
    this.showPosition();
    if (this.player.playing) this.frame = requestAnimationFrame(() => this.tick());
  }

  showPosition() {
    const { playing, position } = this.player;
    for (const row of this.rows.values()) {
      for (const cell of row.cells) cell.playing({ here: this.player.isAt(cell.clip), playing, position });
    }
  }

  // --- pictures are drawn only for visible cells --------------------------------------------------------------------------

  sighted(entries) {
    for (const entry of entries) {
      const id = entry.target.dataset.voice;
      if (entry.isIntersecting) this.inSight.add(id);
      else this.inSight.delete(id);
    }
    this.fetchInSight();
  }

  /** Waits briefly, so that a moving slider does not load every step that it passes. */
  fetchInSight() {
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      for (const id of this.inSight) for (const cell of this.rows.get(id).cells) cell.want(() => this.inSight.has(id));
      set(this.element, "data-ready", "true");
    }, 120);
  }
}
