// A blind listening test on the board: one trial after the other, without names, pictures, scores or lengths.
//
// Votes are kept in this browser, so that a reload goes on at the first trial without one; the file of the rater is
// downloaded at the end (see votes.js).

import { make, set, setText } from "./dom.js";
import { Heard } from "./heard.js";
import { Player } from "./player.js";
import { setupForm } from "./test_setup.js";
import { MODES } from "./trials.js";
import { ratingsFile, summaryOf, voteOf } from "./votes.js";

const STORE = "tracker_logging.ratings.1";

export class ListeningTest {
  /** `leave()` goes back to the board; `preset`: { mode, seed } of a page that only holds the test, or null. */
  constructor(board, leave, preset = null) {
    this.board = board;
    this.leave = leave;
    this.preset = preset;
    this.title = document.title;
    document.title = "Listening test"; // that of a comparison page names the runs
    this.player = new Player(board.clips, () => this.followPlayer());
    this.player.matched = true;
    this.player.ended = () => this.heard.note(this.playing, this.player.buffer.duration);
    this.onkey = (event) => this.key(event);
    document.addEventListener("keydown", this.onkey);
    this.form = setupForm(board, preset, (settings, trials) => this.begin(settings, trials), leave);
    this.element = make("section", { class: "test", "aria-label": "Listening test" }, this.form);
  }

  close() {
    this.player.pause();
    document.removeEventListener("keydown", this.onkey);
    document.title = this.title;
  }

  begin(settings, trials) {
    this.settings = settings;
    this.trials = trials;
    this.store = `${STORE} ${JSON.stringify([settings, trials.map((one) => one.id).sort()])}`;
    this.votes = stored(this.store);
    this.show(trials.findIndex((one) => !this.votes.has(one.id)));
  }

  // --- one trial ----------------------------------------------------------------------------------------------------

  /** Shows the trial at `place`; after the last one (or at −1) the end. */
  show(place) {
    this.player.pause();
    if (place < 0 || place >= this.trials.length) return this.finish();
    this.place = place;
    this.trial = this.trials[place];
    this.heard = new Heard();
    this.gains = {};
    this.playing = null;
    this.answer = null;
    const { question, answers } = MODES[this.settings.mode];
    this.buttons = Object.keys(this.trial.clips).map((letter) =>
      make("button", { type: "button", class: "test-clip", "data-clip": letter, onclick: () => this.play(letter) }, make("strong", {}, letter), make("span", { class: "test-state" })));
    this.answers = answers.map(({ text }, number) =>
      make("button", { type: "button", class: "test-answer", onclick: () => this.choose(number) }, make("kbd", {}, String(number + 1)), ` ${text}`));
    this.next = make("button", { type: "button", class: "test-next", onclick: () => this.confirm() }, "Next");
    this.back = make("button", { type: "button", onclick: () => this.show(this.place - 1) }, "Back");
    this.back.disabled = place === 0;
    this.status = make("p", { class: "hint", role: "status" });
    this.element.replaceChildren(
      make("p", { class: "hint" }, `Trial ${place + 1} of ${this.trials.length}. Keys: ${Object.keys(this.trial.clips).join(", ")} play, 1 – ${answers.length} answer, Enter goes on.`),
      make("h2", {}, question), make("p", { class: "text", dir: "auto" }, this.trial.text), make("div", { class: "test-clips" }, ...this.buttons), this.status,
      make("div", { class: "test-answers", role: "group", "aria-label": "Answer" }, ...this.answers),
      make("p", {}, this.back, this.next, this.preset ? null : make("button", { type: "button", onclick: this.leave }, "Leave")));
    this.update();
    return undefined;
  }

  async play(letter) {
    const { clip } = this.trial.clips[letter];
    const here = this.playing === letter && this.player.playing;
    this.player.pause();
    if (here) return;
    this.playing = letter;
    this.heard.begin(letter);
    await this.player.play(clip, 0);
    if (this.player.gainDb !== null) this.gains[letter] = this.player.gainDb;
  }

  followPlayer() {
    if (this.player.playing && !this.frame) this.frame = requestAnimationFrame(() => this.tick());
    if (this.trial) this.update();
  }

  tick() {
    this.frame = null;
    if (!this.player.playing) return;
    this.heard.note(this.playing, this.player.position);
    this.update();
    this.frame = requestAnimationFrame(() => this.tick());
  }

  isPlayed(letter) {
    return this.heard.isPlayed(letter, this.trial.clips[letter].clip.seconds);
  }

  /** Chooses an answer by its place; only when every clip was played. */
  choose(number) {
    const answers = MODES[this.settings.mode].answers;
    if (number >= answers.length || !Object.keys(this.trial.clips).every((letter) => this.isPlayed(letter))) return;
    this.answer = answers[number].value;
    this.update();
  }

  get failed() {
    return this.player.failed && this.player.isAt(this.player.failed);
  }

  /** Stores the vote and goes on; a trial whose clip cannot be played is skipped. */
  confirm() {
    if (this.failed) this.show(this.place + 1);
    else if (this.answer !== null) this.keep();
  }

  keep() {
    const { trial, answer, gains, heard } = this;
    this.votes.set(trial.id, voteOf(trial, answer, { gains, heard, at: new Date().toISOString() }));
    store(this.store, this.votes);
    this.show(this.place + 1);
  }

  update() {
    const all = Object.keys(this.trial.clips).every((letter) => this.isPlayed(letter));
    for (const button of this.buttons) {
      const letter = button.dataset.clip;
      const here = this.playing === letter && this.player.playing;
      const gain = this.gains[letter];
      set(button, "aria-pressed", here);
      set(button, "data-played", this.isPlayed(letter));
      // The gain could tell clips apart, so it is shown when the answer is given.
      const shown = this.answer === null || gain === undefined ? "" : `, gain ${gain.toFixed(1).replace("-", "−")} dB`;
      setText(button.lastChild, `${here ? "playing" : this.isPlayed(letter) ? "played" : "not played yet"}${shown}`);
    }
    MODES[this.settings.mode].answers.forEach(({ value }, number) => {
      this.answers[number].disabled = !all;
      set(this.answers[number], "aria-pressed", this.answer === value);
    });
    this.next.disabled = this.answer === null && !this.failed;
    setText(this.next, this.failed ? "Skip" : "Next");
    setText(this.status, this.failed ? `This clip cannot be played: ${this.player.reason}. Skip this trial, and tell who sent the test.` : all ? "" : "Play every clip first. Loudness is matched.");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.trial || event.target instanceof HTMLInputElement) return;
    const letter = event.key.toUpperCase();
    if (letter in this.trial.clips) this.play(letter);
    else if (/^[1-9]$/.test(event.key)) this.choose(Number(event.key) - 1);
    else if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) this.confirm();
    else return;
    event.preventDefault();
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  finish() {
    this.trial = null;
    const { mode, rater, runs } = this.settings;
    const results = make("ul", { class: "test-results" });
    const reveal = () => results.replaceChildren(...summaryOf(mode, runs, [...this.votes.values()]).map((line) => make("li", {}, line)));
    const act = (text, onclick) => make("button", { type: "button", onclick }, text);
    const own = this.preset ? [] : [act("Show my votes", reveal), act("Leave", this.leave)];
    this.element.replaceChildren(make("h2", {}, "All trials are judged"), make("p", { role: "status" }, "Save your ratings and send the file to whoever asked you."),
      make("p", {}, act("Save ratings", () => this.save(`ratings-${mode}-${rater.replace(/[^\p{L}\p{N}_-]+/gu, "_")}.json`)), ...own), results);
  }

  save(name) {
    const content = JSON.stringify(ratingsFile(this.settings, this.trials, this.votes), null, 1);
    const address = URL.createObjectURL(new Blob([content], { type: "application/json" }));
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}

// Where the browser denies storage, the votes are lost with the page.
function stored(key) {
  try {
    return new Map(JSON.parse(localStorage.getItem(key) ?? "[]"));
  } catch {
    return new Map();
  }
}

function store(key, votes) {
  try {
    localStorage.setItem(key, JSON.stringify([...votes]));
  } catch {
    return;
  }
}
