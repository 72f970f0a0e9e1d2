// The panel of a blind comparison. The judgements are stored in this browser.

import { letter, record, shuffleRuns, tally, tallySentence } from "./blind.js";
import { make, setText } from "./dom.js";
import { entryAt, stepOf, visibleRuns } from "./view.js";

const STORE = "tracker_logging.blind_judgements";

export class BlindComparison {
  /** Starts a comparison of the visible runs at the displayed step. `leave()` ends it. */
  constructor(board, leave) {
    this.board = board;
    this.runs = visibleRuns(board.index, board.view).map((run) => run.name);
    this.step = stepOf(board.index, board.view);
    this.order = shuffleRuns(board.index.voices.map((voice) => voice.id), this.runs, Math.random);
    this.voices = board.index.voices.filter((voice) => this.runs.every((run) => entryAt(voice.generated[run], this.step)?.clip));
    this.judgements = stored();
    this.text = make("p", { role: "status" });
    const act = (text, onclick) => make("button", { type: "button", onclick }, text);
    this.element = make("div", { class: "blind", role: "region", "aria-label": "Blind comparison" }, make("strong", {}, "Blind comparison"), this.text,
      act("Show the tally", () => this.reveal()), act("Export", () => this.save()), act("Leave", leave));
    this.progress();
  }

  /** The judgements of these runs at this step. */
  mine() {
    const runs = [...this.runs].sort().join("\n");
    return this.judgements.filter((one) => one.step === this.step && [...one.order].sort().join("\n") === runs);
  }

  /** Whether every run has a clip of this voice. */
  offers(voiceId) {
    return this.voices.some((voice) => voice.id === voiceId);
  }

  judgementOf(voiceId) {
    return this.mine().find((one) => one.voice === voiceId);
  }

  /** `preferred`: name of a run, or null for no preference. */
  judge(voiceId, preferred) {
    const judgement = { voice: voiceId, step: this.step, order: this.order.get(voiceId), preferred, at: new Date().toISOString() };
    this.judgements = record(this.judgements, judgement);
    store(this.judgements);
    this.progress();
  }

  progress() {
    const letters = this.runs.map((_, place) => letter(place)).join(", ");
    setText(this.text, `Listen to ${letters} at step ${this.step} and choose the better one. ${this.mine().length} of ${this.voices.length} voices judged.`);
  }

  reveal() {
    setText(this.text, tallySentence(tally(this.mine(), this.runs)));
  }

  /** Downloads the judgements as a JSON file. */
  save() {
    const content = { runs: this.runs, step: this.step, tally: tally(this.mine(), this.runs), judgements: this.mine() };
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
