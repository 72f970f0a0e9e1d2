// One clip on the board: play button, picture with playback line, scores and transcript.

import { clipKey } from "./clips.js";
import { make, set, setText } from "./dom.js";
import { Fold } from "./fold.js";
import { drawPicture } from "./picture.js";
import { grade, judge, shortNumber, withUnit } from "./scores.js";

const SHORTER_S = 0.05; // a clip that is read is that much shorter than its file says: it is truncated

export class Cell {
  /** `act` has `choose(place)`, `toggle(place)`, `seek(place, seconds)`, `take(place, number)`. */
  constructor(place, act, clips) {
    this.clips = clips;
    this.clip = null;
    this.verb = "Play"; // of the button
    this.failure = null; // { key, reason } of the clip that could not be read
    this.button = make("button", { class: "play", type: "button", onclick: () => act.toggle(place) });
    this.seconds = make("span", { class: "seconds" });
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.line = make("div", { class: "playhead", hidden: true });
    this.picture = make("div", { class: "picture", title: "Click to play from here; the line over the spectrogram is the pitch, 60 to 600 Hz" }, this.canvas, this.line);
    this.picture.onclick = (event) => {
      const box = this.picture.getBoundingClientRect();
      act.seek(place, ((event.clientX - box.left) / box.width) * this.span);
    };
    this.notes = make("p", { class: "notes" });
    this.takes = make("div", { class: "takes", role: "group", "aria-label": "Takes" });
    this.takeMean = make("span", {});
    this.takeButtons = new Map(); // number → button, kept so that a pressed one keeps the focus
    this.takeButton = (number) => make("button", { type: "button", onclick: () => act.take(place, number) });
    this.scores = make("dl", { class: "scores" });
    this.words = make("p", { class: "words", dir: "auto" });
    this.fold = new Fold(this.words);
    this.title = make("span", { class: "cell-title", "aria-hidden": "true" }); // in narrow windows, which have no header
    this.meaning = ""; // the score whose meaning is shown
    const head = make("div", { class: "cell-head" }, this.button, this.title, this.seconds);
    this.element = make("div", { class: "cell", role: "cell" }, head, this.picture, this.takes, this.notes, this.scores, this.words, this.fold.button);
    this.element.addEventListener("focusin", () => act.choose(place));
  }

  /** Show `model` (see cell_model.js). `look` = { name, title, colour, span, selected, theme }. */
  update(model, look) {
    this.span = look.span;
    set(this.element, "data-selected", look.selected);
    set(this.element, "data-kind", model.kind);
    this.element.style.setProperty("--run", look.colour ?? "transparent");
    this.button.disabled = !model.clip;
    this.button.tabIndex = look.selected ? 0 : -1;
    this.name = look.name;
    set(this.button, "aria-label", `${this.verb} ${this.name}`);
    setText(this.seconds, model.clip ? `${model.clip.seconds.toFixed(1)} s` : "");
    this.showTakes(model.takes);
    setText(this.title, look.title);
    this.model = model;
    this.showScores();
    this.words.replaceChildren(...(model.words ? wordMarks(model.words) : []));
    this.fold.update();
    this.showNotes();
    this.clip = model.clip;
    this.picture.hidden = !model.clip;
  }

  showTakes(takes) {
    this.takes.hidden = !takes;
    const buttons = (takes?.all ?? []).map(({ number, value, shown }) => {
      if (!this.takeButtons.has(number)) this.takeButtons.set(number, this.takeButton(number));
      const button = this.takeButtons.get(number);
      set(button, "aria-pressed", shown);
      setText(button, `Take ${number}${value === undefined ? "" : `: ${shortNumber(value)}`}`);
      return button;
    });
    setText(this.takeMean, takes?.mean === undefined ? "" : `mean ${shortNumber(takes.mean)}`);
    const wanted = [...buttons, this.takeMean];
    if (wanted.length !== this.takes.children.length || wanted.some((each, at) => this.takes.children[at] !== each)) this.takes.replaceChildren(...wanted);
  }

  /** What the index tells, and what was found when the clip was read. */
  showNotes() {
    const { clip, notes } = this.model;
    const known = clip && this.clips.knownPicture(clip);
    const isShort = known && known.seconds < clip.seconds - SHORTER_S;
    const read = isShort ? [`truncated: only ${known.seconds.toFixed(1)} of ${clip.seconds.toFixed(1)} s can be read`] : [];
    if (clip && this.failure?.key === clipKey(clip)) read.push(`this clip cannot be read: ${this.failure.reason}`);
    setText(this.notes, [...notes, ...read].join(" · "));
  }

  /**
   * A click on the name of a score shows its meaning, and hides it again. Chips are made again only when they differ: the
   * press of a click selects the cell, and what it pressed must be there when it is released.
   */
  showScores() {
    const { scores, scoreValues } = this.model;
    const state = JSON.stringify([scores.map(({ score, value }) => [score.name, value]), scoreValues, this.meaning]);
    if (state !== this.scoreState) {
      const focused = this.scores.contains(document.activeElement) ? document.activeElement.closest(".chip").dataset.score : null;
      const act = (score) => {
        this.meaning = this.meaning === score ? "" : score;
        this.showScores();
      };
      this.scoreState = state;
      this.scores.replaceChildren(...scores.map((one) => scoreChip(one, scoreValues, { meaning: this.meaning, act })));
      if (focused) this.scores.querySelector(`[data-score="${focused}"] button`)?.focus({ preventScroll: true });
    }
    for (const button of this.scores.querySelectorAll("button")) button.tabIndex = this.button.tabIndex;
  }

  /** Draws the picture if it is another one, or `width` pixels wide instead of another width. */
  show({ theme, span, width }) {
    const { clip } = this;
    const drawing = clip ? `${clipKey(clip)} ${theme} ${span} ${width}` : "";
    this.theme = theme;
    this.width = width;
    if (drawing === this.drawing) return;
    this.drawing = drawing;
    const known = clip && this.clips.knownPicture(clip);
    set(this.picture, "data-state", known ? "drawn" : "waiting");
    if (clip) this.draw(known);
  }

  /** Called when the cell becomes visible or its clip changes: loads what is missing. */
  want(inSight) {
    const clip = this.clip;
    if (!clip || this.picture.dataset.state !== "waiting" || !inSight()) return;
    set(this.picture, "data-state", "asked");
    const same = () => this.clip && clipKey(this.clip) === clipKey(clip);
    const wanted = () => {
      if (same() && inSight()) return true;
      if (same()) set(this.picture, "data-state", "waiting");
      return false;
    };
    this.clips.askPicture(clip, wanted, (picture, reason) => {
      if (!same()) return;
      set(this.picture, "data-state", picture ? "drawn" : "failed");
      this.draw(picture);
      this.failure = picture ? null : { key: clipKey(clip), reason };
      this.showNotes();
    });
  }

  draw(picture) {
    drawPicture(this.canvas, picture, { spanSeconds: this.span, theme: this.theme, cssWidth: this.width });
  }

  /** Updates the playback line and the button. */
  playing({ here, playing, position }) {
    this.verb = here && playing ? "Pause" : "Play";
    set(this.button, "aria-label", `${this.verb} ${this.name}`);
    set(this.button, "data-playing", Boolean(here && playing));
    const isHidden = !here || (position === 0 && !playing);
    if (this.line.hidden !== isHidden) this.line.hidden = isHidden;
    if (here) this.line.style.left = `${(100 * position) / this.span}%`;
  }
}

function scoreChip({ score, value }, scoreValues, { meaning, act }) {
  const verdict = judge(score, scoreValues);
  const title = `${score.meaning}${score.unit ? ` (${score.unit})` : ""}${verdict ? `; ${verdict.goalText}` : ""}`;
  const isOpen = meaning === score.name;
  const name = make("button", { type: "button", class: "meaning", "aria-expanded": isOpen, onclick: () => act(score.name) }, score.name);
  const chip = make("div", { class: "chip", title, "data-score": score.name }, make("dt", {}, name), make("dd", {}, withUnit(value, score.unit)));
  if (verdict) {
    chip.dataset.grade = grade(verdict.share);
    const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("i"));
    bar.firstChild.style.width = `${Math.round(100 * verdict.share)}%`;
    chip.append(make("span", { class: "goal" }, verdict.goalText), bar);
  }
  if (isOpen) chip.append(make("p", { class: "explained" }, title));
  return chip;
}

const MARK_TAGS = { wrong: "mark", extra: "ins", missing: "del" };
const MARK_TITLES = { wrong: "wrong word", extra: "extra word", missing: "missing word" };

function wordMarks(words) {
  const marks = words.map((word) => {
    if (word.kind === "right") return `${word.transcribed} `;
    const text = word.kind === "missing" ? word.wanted : word.transcribed;
    const title = word.kind === "wrong" ? `instead of “${word.wanted}”` : MARK_TITLES[word.kind];
    return make(MARK_TAGS[word.kind], { title }, make("span", { class: "unseen" }, `${MARK_TITLES[word.kind]}: `), text);
  });
  return [make("span", { class: "unseen" }, "Transcript: "), ...marks.flatMap((mark) => [mark, " "])];
}
