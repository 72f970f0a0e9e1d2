// The voice board: rows are voices, columns are clips. Shared by the TensorBoard tab and the comparison page.
//
//   const board = new Board(source, index, { theme: "light", link: new URLSearchParams("step=500") });
//   place.append(board.element);
//
// A source gives `bytes(clip) -> Promise<ArrayBuffer>` and `address(link: URLSearchParams) -> string`.

import { Clips } from "./clips.js";
import { ColumnWindow } from "./column_window.js";
import { runColour } from "./colours.js";
import { Known, make, set, setText } from "./dom.js";
import { Groups } from "./groups.js";
import { aboutClips, Header } from "./header.js";
import { helpDialog, listen } from "./keys.js";
import { Leaderboard } from "./leaderboard.js";
import { ListeningTest } from "./listening_test.js";
import { Player } from "./player.js";
import { watchRows } from "./sight.js";
import { Row } from "./row.js";
import { Toolbar } from "./toolbar.js";
import { Transport } from "./transport.js";
import { columnOf, columnsOf, firstView, fromLink, openRowsOf, stepOf, stepsOf, toLink, visibleRuns, withTakes } from "./view.js";

export class Board {
  constructor(source, index, { theme, link, shown }) {
    this.source = source;
    this.index = withTakes(index);
    this.theme = theme;
    this.view = fromLink(this.index, firstView(this.index, shown), link);
    this.wanted = link; // what it names may be in voices that are not loaded yet
    this.test = null; // a listening test hides the board
    this.clips = new Clips(source);
    this.player = new Player(this.clips, () => this.updatePlaying());
    this.rows = new Map();
    this.knownLeaderboard = new Known();
    this.groups = new Groups(this);
    this.help = helpDialog(index.scores);
    this.toolbar = new Toolbar(this);
    this.transport = new Transport(this);
    const act = { show: (names) => this.change({ shown: names }), listen: (run) => this.listenTo(run), colour: (run) => runColour(this.index.runs, run, this.theme) };
    this.leaderboard = new Leaderboard(act, index.scores);
    this.unreachable = make("p", { class: "unreachable", role: "alert", hidden: true });
    this.header = new Header(this);
    this.empty = make("p", { class: "empty", role: "status" });
    this.problems = make("p", { class: "problems" });
    this.table = make("div", { class: "table", role: "table", "aria-label": "Voices" }, this.header.element);
    this.scroll = make("div", { class: "scroll" }, this.table, this.empty, this.problems);
    this.element = make("section", { class: "board", "aria-label": "Voice board" }, this.unreachable, this.leaderboard.element, this.toolbar.element, this.scroll, this.transport.element, this.help, ...aboutClips());
    this.columns = new ColumnWindow(this.scroll, this.table);
    this.inSight = new Set(); // voices whose rows are in sight
    this.watcher = watchRows(this.scroll, this.inSight, (id) => this.enter(id), () => this.fetchInSight());
    new ResizeObserver(() => this.update()).observe(this.scroll); // also fires when first shown
    this.scroll.addEventListener("scroll", () => this.columns.measure() && this.update(), { passive: true });
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
  refresh(newer) {
    const index = (this.index = withTakes(newer));
    const known = index.voices.some((voice) => voice.id === this.view.voice);
    this.view = fromLink(index, { ...this.view, voice: known ? this.view.voice : firstView(index).voice }, this.wanted);
    if (index.voices.length) this.wanted = new URLSearchParams();
    this.view.score ||= firstView(index).score;
    this.change({});
  }

  /** Tell why the newest state cannot be shown, such as "the server does not answer"; null when it is. */
  setTrouble(reason) {
    this.unreachable.hidden = reason === null;
    if (reason !== null) this.unreachable.textContent = `${reason[0].toUpperCase()}${reason.slice(1)}. What is shown may be old; trying again.`;
  }

  linkOfView() {
    return toLink(this.index, this.view);
  }

  setTheme(theme) {
    this.theme = theme;
    this.update();
  }

  /** The place of the selected column. */
  get place() {
    return columnsOf(this.index, this.view).indexOf(columnOf(this.index, this.view));
  }

  select(voiceId, place) {
    const column = columnsOf(this.index, this.view)[place];
    if (voiceId !== this.view.voice || column !== columnOf(this.index, this.view)) this.change({ voice: voiceId, column });
  }

  selectedCell() {
    return this.rows.get(this.view.voice)?.cells.get(this.place) ?? null;
  }

  /** Playback follows the selected cell and keeps its position. */
  followSelection() {
    const clip = this.selectedCell()?.clip;
    if (clip) this.player.choose(clip);
    else if (this.player.playing) this.player.pause();
  }

  // --- actions of keys and clicks ---------------------------------------------------------------------------------------

  moveClip(by) {
    const columns = columnsOf(this.index, this.view);
    this.goTo(this.view.voice, Math.max(0, Math.min(columns.length - 1, this.place + by)));
  }

  moveVoice(by) {
    const rows = openRowsOf(this.index, this.view);
    const at = rows.findIndex((voice) => voice.id === this.view.voice);
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
    if (next) this.goTo(next.id, this.place);
  }

  pickRun(number) {
    // The number is that of the run's button, even while other runs are hidden.
    const place = columnsOf(this.index, this.view).indexOf(`run:${this.index.runs[number]?.name}`);
    if (place >= 0) this.goTo(this.view.voice, place);
  }

  goTo(voiceId, place) {
    if (this.columns.reveal(place)) this.update();
    this.select(voiceId, place);
    const cell = this.selectedCell();
    cell?.element.scrollIntoView({ block: "nearest", inline: "nearest" });
    cell?.button.focus({ preventScroll: true });
  }

  moveStep(by) {
    const steps = stepsOf(this.index, this.view);
    const at = steps.findLastIndex((step) => step <= stepOf(this.index, this.view));
    const next = steps[Math.max(0, Math.min(steps.length - 1, at + by))];
    if (next !== undefined) this.change({ step: next });
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

  /** Plays the first voice of a run at its newest step. */
  listenTo(run) {
    const voice = openRowsOf(this.index, this.view).find((one) => one.generated[run]?.some((entry) => entry.clip));
    if (!voice) return;
    const { shown } = this.view;
    this.change({ shown: shown.includes(run) ? shown : [...shown, run], voice: voice.id, column: `run:${run}` });
    const clip = this.selectedCell()?.clip;
    if (clip) this.player.play(clip, 0);
  }

  async copyLink() {
    const address = this.source.address(this.linkOfView());
    try {
      await navigator.clipboard.writeText(address);
      setText(this.toolbar.link, "Copied ✓");
    } catch {
      window.prompt("Copy this link:", address);
    }
    setTimeout(() => setText(this.toolbar.link, "Copy link"), 2000);
  }

  // --- listening test ------------------------------------------------------------------------------------------------

  /** Starts a blind listening test of the shown runs. `preset`: { mode, seed } of a page that only holds the test. */
  startTest(preset = null) {
    this.player.pause();
    this.test = new ListeningTest(this, () => this.leaveTest(), preset);
    set(document.documentElement, "data-testing", true);
    this.element.append(this.test.element);
  }

  leaveTest() {
    this.test.close();
    this.test.element.remove();
    this.test = null;
    set(document.documentElement, "data-testing", false);
    this.update();
  }

  // --- display ----------------------------------------------------------------------------------------------------

  update() {
    const voices = openRowsOf(this.index, this.view);
    const columns = columnsOf(this.index, this.view);
    this.updateLeaderboard();
    this.table.style.setProperty("--clips", columns.length);
    this.toolbar.update();
    this.columns.count = columns.length;
    this.columns.measure();
    this.header.update(columns);
    const wanted = this.groups.withTitles(voices, (voice) => this.rowOf(voice.id).element);
    if (wanted.some((element, place) => this.table.children[place + 1] !== element) || this.table.children.length !== wanted.length + 1) {
      const focused = document.activeElement; // moving an element takes its focus
      this.table.replaceChildren(this.header.element, ...wanted);
      if (this.table.contains(focused)) focused.focus({ preventScroll: true });
    }
    for (const voice of voices) this.updateRow(voice);
    const none = this.index.voices.length ? "No voice matches the filters." : this.isLoading() ? "Loading …" : this.view.shown.length ? "No voices yet. They appear here after the first round of generation." : "No run is shown. Choose one above.";
    setText(this.empty, wanted.length ? "" : none);
    setText(this.problems, this.index.problems.length ? `Cannot be read: ${this.index.problems.slice(0, 5).join("; ")}` : "");
    this.fetchInSight();
    this.updatePlaying();
    this.changed();
  }
  changed() {} // called after each update; replaced by the page around the board

  /** Rows out of sight are updated when they come into sight. */
  updateRow(voice) {
    const row = this.rows.get(voice.id);
    if (this.inSight.has(voice.id) || voice.id === this.view.voice) row.update(voice, columnsOf(this.index, this.view), this.columns);
    else row.isOld = true;
  }

  /** Whether the voices of a shown run are not there yet. */
  isLoading() {
    return visibleRuns(this.index, this.view).some((run) => run.loaded === false);
  }

  updateLeaderboard() {
    if (this.knownLeaderboard.isNew(this.index, this.view.shown, this.theme)) this.leaderboard.update(this.index.runs, this.view.shown);
  }

  rowOf(voiceId) {
    if (!this.rows.has(voiceId)) {
      const row = new Row(voiceId, this);
      this.rows.set(voiceId, row);
      this.watcher.observe(row.element);
    }
    return this.rows.get(voiceId);
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
    for (const id of new Set([...this.inSight, this.view.voice])) {
      for (const cell of this.rows.get(id)?.cells.values() ?? []) cell.playing({ here: this.player.isAt(cell.clip), playing, position });
    }
  }

  /** A row came into sight: it is updated if it is old. */
  enter(id) {
    const voice = this.rows.get(id).isOld && this.index.voices.find((one) => one.id === id);
    if (voice) this.updateRow(voice);
    this.showPosition();
  }

  /** Waits briefly, so that a moving slider does not load every step that it passes. */
  fetchInSight() {
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      for (const id of this.inSight) for (const cell of this.rows.get(id).cells.values()) cell.want(() => this.inSight.has(id));
      if (!this.isLoading()) set(this.element, "data-ready", "true");
    }, 120);
  }
}
