// The panel of a blind comparison. The judgements are stored in this browser.

import { comparedSteps, letter, record, seeded, shuffleRuns, tally, tallySentence } from "./blind.js";
import { clipKey } from "./clips.js";
import { make, setText } from "./dom.js";
import { TARGET_DB } from "./loudness.js";
import { stepOf, visibleRuns } from "./view.js";

const STORE = "tracker_logging.blind_judgements.2";
const PLAYED_SHARE = 0.8; // of a clip that must have been played before it is judged
const LONGEST_PAUSE_S = 1; // between two looks at the position

export class BlindComparison {
  /** Starts a comparison of the visible runs at the displayed step. `leave()` ends it. */
  constructor(board, leave) {
    this.board = board;
    this.runs = visibleRuns(board.index, board.view).map((run) => run.name);
    this.step = stepOf(board.index, board.view);
    this.seed = Math.floor(Math.random() * 2 ** 32);
    this.order = shuffleRuns(board.index.voices.map((voice) => voice.id), this.runs, seeded(this.seed));
    this.played = new Map(); // key of a clip → seconds of it that were played
    this.last = { key: "", position: 0 };
    this.judgements = stored();
    this.text = make("p", { role: "status" });
    const act = (text, onclick) => make("button", { type: "button", onclick }, text);
    this.own = make("input", { type: "checkbox", id: "own-steps", onchange: () => this.begin() });
    const own = make("span", { class: "field" }, this.own, make("label", { for: "own-steps" }, "Each run's own newest step"));
    this.element = make("div", { class: "blind", role: "region", "aria-label": "Blind comparison" }, make("strong", {}, "Blind comparison"), this.text, own,
      act("Show the tally", () => this.reveal()), act("Export", () => this.save()), act("Leave", leave));
    this.begin(false);
  }

  /** Chooses the steps of each voice. */
  begin(update = true) {
    this.steps = new Map();
    for (const voice of this.board.index.voices) {
      const steps = comparedSteps(voice, this.runs, this.step, this.own.checked);
      if (steps) this.steps.set(voice.id, steps);
    }
    this.progress();
    if (update) this.board.update();
  }

  /** The judgements of the clips that are offered. */
  mine() {
    const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
    return this.judgements.filter((one) => this.steps.has(one.voice) && same(one.steps, this.steps.get(one.voice)));
  }

  /** Whether every run has a clip of this voice to compare. */
  offers(voiceId) {
    return this.steps.has(voiceId);
  }

  /** The step of a run that is compared for a voice; undefined where the voice is not offered. */
  stepFor(voiceId, run) {
    return this.steps.get(voiceId)?.[run];
  }

  /** Notes how much of a clip was played; true when it is enough for the first time. */
  notePlayed(clip, position) {
    const key = clipKey(clip);
    const passed = key === this.last.key ? position - this.last.position : 0;
    this.last = { key, position };
    if (passed <= 0 || passed > LONGEST_PAUSE_S) return false; // a jump is not listened to
    const before = this.played.get(key) ?? 0;
    this.played.set(key, before + passed);
    return before < PLAYED_SHARE * clip.seconds && before + passed >= PLAYED_SHARE * clip.seconds;
  }

  /** Whether each of the clips was played. */
  isPlayed(clips) {
    return clips.every((clip) => clip && (this.played.get(clipKey(clip)) ?? 0) >= PLAYED_SHARE * clip.seconds);
  }

  judgementOf(voiceId) {
    return this.mine().find((one) => one.voice === voiceId);
  }

  /** `preferred`: name of a run, or null for no preference. */
  judge(voiceId, preferred) {
    const judgement = { voice: voiceId, steps: this.steps.get(voiceId), order: this.order.get(voiceId), seed: this.seed, preferred, at: new Date().toISOString() };
    this.judgements = record(this.judgements, judgement);
    store(this.judgements);
    this.progress();
  }

  progress() {
    if (!this.steps.size) {
      setText(this.text, "These runs have no step in common at which both have a clip. Compare each run's own newest step, which is then stored with every vote.");
      return;
    }
    const letters = this.runs.map((_, place) => letter(place)).join(", ");
    const steps = new Set([...this.steps.values()].flatMap((each) => Object.values(each)));
    const where = this.own.checked && steps.size > 1 ? `at different steps (${[...steps].sort((a, b) => a - b).join(", ")})` : `at step ${[...steps].join(", ")}`;
    setText(this.text, `Listen to ${letters} ${where} and choose the better one. A vote needs all of them played. ` +
      `Loudness is matched to ${TARGET_DB} dBFS. ${this.mine().length} of ${this.steps.size} voices judged.`);
  }

  reveal() {
    setText(this.text, tallySentence(tally(this.mine(), this.runs)));
  }

  /** Downloads the judgements as a JSON file. */
  save() {
    const content = { format: 2, runs: this.runs, own_steps: this.own.checked, loudness_dbfs: TARGET_DB, tally: tally(this.mine(), this.runs), judgements: this.mine() };
    const address = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
    make("a", { href: address, download: `blind-step-${this.step}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}

// A browser may deny storage (private windows, some for file://); then the judgements are lost with the page.
function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "[]");
  } catch {
    return [];
  }
}

function store(judgements) {
  try {
    localStorage.setItem(STORE, JSON.stringify(judgements));
  } catch {
    return;
  }
}
