// The form before a listening test. In a page for raters only the name is asked for.

import { make, set } from "./dom.js";
import { MODES, makeTrials } from "./trials.js";
import { stepOf, visibleRuns } from "./view.js";

const RATER = "tracker_logging.rater";

/** The form; `begin(settings, trials)` starts the test, `leave()` goes back. `preset`: { mode, seed } of a page for raters, or null. */
export function setupForm(board, preset, begin, leave) {
  const runs = visibleRuns(board.index, board.view).map((run) => run.name);
  const offered = Object.entries(MODES).filter(([, { runs: needed }]) => runs.length >= needed);
  const mode = make("select", { id: "test-mode" }, ...offered.map(([name, { title }]) => make("option", { value: name }, title)));
  const rater = make("input", { id: "test-rater", required: true, autocomplete: "off" });
  const seed = make("input", { id: "test-seed", type: "number", min: 0, step: 1, required: true });
  const own = make("input", { id: "test-own", type: "checkbox" });
  const about = make("p", { class: "hint", role: "status" });
  const start = make("button", { type: "submit" }, "Begin");
  rater.value = remembered();
  seed.value = preset?.seed ?? 1;
  if (preset) mode.value = preset.mode;
  const settings = () => ({ mode: mode.value, rater: rater.value.trim(), seed: Number(seed.value), runs, ownSteps: own.checked, step: stepOf(board.index, board.view) });
  const trials = () => makeTrials(board.index, settings());
  const describe = () => {
    const made = trials();
    start.disabled = !made.length;
    about.textContent = made.length ? `${made.length} trials, ${stepsText(made, Boolean(preset))}` : "These runs have no step in common at which both have a clip. Compare each run's own newest step, which is then stored with every vote.";
  };
  mode.onchange = own.onchange = seed.oninput = describe;
  describe();
  const field = (text, input) => make("p", {}, make("label", { for: input.id }, text), input);
  const form = make("form", { class: "test-setup" }, make("h2", {}, "Listening test"), field("Your name or number", rater),
    ...(preset ? [] : [field("Test", mode), field("Seed of the order", seed), field("Each run's own newest step", own)]), about,
    make("p", {}, start, preset ? null : make("button", { type: "button", onclick: leave }, "Leave")));
  form.onsubmit = (event) => {
    event.preventDefault();
    if (!settings().rater) return;
    remember(settings().rater);
    begin(settings(), trials());
  };
  set(form, "aria-label", "Listening test");
  return form;
}

function stepsText(made, isHidden) {
  if (isHidden) return "each with a question. Use headphones in a quiet place.";
  const steps = new Set(made.flatMap((one) => Object.values(one.clips).map((sound) => sound.step)).filter((step) => step !== null));
  const list = [...steps].sort((a, b) => a - b).join(", ");
  return steps.size > 1 ? `at different steps (${list}).` : `at step ${list}.`;
}

// A browser may deny storage (private windows, some for file://); the field is then empty.
function remembered() {
  try {
    return localStorage.getItem(RATER) ?? "";
  } catch {
    return "";
  }
}

function remember(name) {
  try {
    localStorage.setItem(RATER, name);
  } catch {
    return;
  }
}
