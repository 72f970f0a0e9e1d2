// The trials of a blind listening test, as plain data: what is played under which letter, and which answers are offered.
//
// A trial is { id, mode, voice, speaker, text, clips: { letter: sound }, catch, expected }; `id` names what is compared,
// the same for all raters. A sound is { system, step, clip }: the name of a run, or "real recording" without a step.

import { seeded, shuffled } from "./random.js";

const GRADES = (...texts) => texts.map((text, place) => ({ value: place + 1, text }));
const SIDES = ["is much better", "is better", "is slightly better"];

/** The kinds of test. Scales: CCR and ACR of ITU-T P.800 (1996) for preference and naturalness. */
export const MODES = {
  preference: {
    title: "Preference (CMOS, −3 to +3)",
    question: "How does B compare with A?",
    runs: 2,
    answers: [-3, -2, -1, 0, 1, 2, 3].map((value) => ({ value, text: value ? `${value < 0 ? "A" : "B"} ${SIDES[3 - Math.abs(value)]}` : "About the same" })),
  },
  abx: { title: "ABX (can a difference be heard?)", question: "Which one is X?", runs: 2, answers: ["A", "B"].map((value) => ({ value, text: `X is ${value}` })) },
  similarity: {
    title: "Similarity of the voice (1 to 5)",
    question: "How similar is the voice of A to that of the reference R? Judge the voice, not the words or the sound.",
    runs: 1,
    answers: GRADES("Not at all similar", "Slightly similar", "Moderately similar", "Very similar", "The same voice"),
  },
  naturalness: { title: "Naturalness (MOS, 1 to 5)", question: "How natural does A sound?", runs: 1, answers: GRADES("Bad", "Poor", "Fair", "Good", "Excellent") },
};

export const REAL = "real recording";
const CATCH_EVERY = 6; // trials, of which one more is a catch trial
const NOISE_SNR_DB = 0; // of the spoilt clip of a catch trial

/**
 * The step of each run at which a voice is compared: { run: step }, or null. With `ownSteps` each run's newest step up to
 * `step`, else the newest one that all of them have. Steps without a clip do not count.
 */
export function comparedSteps(voice, runs, step, ownSteps) {
  const steps = runs.map((run) => (voice.generated[run] ?? []).filter((entry) => entry.clip && entry.step <= step).map((entry) => entry.step));
  if (steps.some((list) => !list.length)) return null;
  if (ownSteps) return Object.fromEntries(runs.map((run, place) => [run, Math.max(...steps[place])]));
  const common = steps[0].filter((each) => steps.every((list) => list.includes(each)));
  return common.length ? Object.fromEntries(runs.map((run) => [run, Math.max(...common)])) : null;
}

/**
 * All trials in the order of one rater; order and letters follow from `seed` and `rater`. Preference and ABX compare the
 * first run with each other one. `index`: of the board; `step`, `ownSteps`: see `comparedSteps`.
 */
export function makeTrials(index, { mode, runs, step, ownSteps, seed, rater }) {
  const random = seeded(JSON.stringify([seed, rater, mode]));
  const voices = index.voices.map((voice) => ({ voice, steps: comparedSteps(voice, runs, step, ownSteps) })).filter(({ steps }) => steps);
  const made = voices.flatMap(({ voice, steps }) => ofVoice(voice, runs.map((run) => generated(voice, run, steps[run])), mode, random));
  const catches = shuffled(voices, random).slice(0, made.length ? Math.max(1, Math.floor(made.length / CATCH_EVERY)) : 0);
  const checks = catches.map(({ voice, steps }, place) => catchTrial(voices.map((one) => one.voice), voice, generated(voice, runs[0], steps[runs[0]]), mode, place, random));
  return shuffled([...made, ...checks.filter(Boolean)], random);
}

function ofVoice(voice, sounds, mode, random) {
  if (MODES[mode].runs === 2) return sounds.slice(1).map((other) => pairTrial(voice, [sounds[0], other], mode, random));
  const real = fixed(voice, "target");
  const rated = [...sounds, real].filter(Boolean);
  const reference = fixed(voice, "reference");
  if (mode === "naturalness") return rated.map((sound) => trial(voice, mode, [sound], { A: sound }));
  return reference ? rated.map((sound) => trial(voice, mode, [sound], { R: reference, A: sound })) : [];
}

function pairTrial(voice, pair, mode, random, more = {}) {
  const [a, b] = shuffled(pair, random);
  if (mode === "preference") return trial(voice, mode, pair, { A: a, B: b }, more);
  const expected = random() < 0.5 ? "A" : "B";
  return trial(voice, mode, pair, { A: a, B: b, X: expected === "A" ? a : b }, { ...more, expected });
}

/** A trial with a known answer: a clip in noise, the reference itself, or another speaker. Null where none can be made. */
function catchTrial(voices, voice, made, mode, place, random) {
  const clean = fixed(voice, "target") ?? made;
  const noisy = { ...clean, clip: { ...clean.clip, noise_snr_db: NOISE_SNR_DB } };
  if (mode === "abx") return pairTrial(voice, [clean, noisy], mode, random, { catch: "noise" });
  if (mode === "preference") {
    const made = pairTrial(voice, [clean, noisy], mode, random, { catch: "noise" });
    return { ...made, expected: made.clips.A === clean ? [-3, -2, -1] : [1, 2, 3] };
  }
  if (mode === "naturalness") return trial(voice, mode, [noisy], { A: noisy }, { catch: "noise", expected: [1, 2] });
  const reference = fixed(voice, "reference");
  const other = voices.find((one) => one.speaker && voice.speaker && one.speaker !== voice.speaker && fixed(one, "target"));
  if (!reference) return null;
  if (place % 2 && other) return trial(voice, mode, [reference], { R: reference, A: fixed(other, "target") }, { catch: "other speaker", expected: [1, 2] });
  return trial(voice, mode, [reference], { R: reference, A: reference }, { catch: "same clip", expected: [4, 5] });
}

function trial(voice, mode, compared, clips, more = {}) {
  const id = [more.catch ? `${mode} (${more.catch})` : mode, voice.id, ...compared.map(({ system, step }) => `${system}${step === null ? "" : `@${step}`}`)].join(" | ");
  return { id, mode, voice: voice.id, speaker: voice.speaker ?? null, text: voice.target_text ?? "", clips, catch: null, expected: null, ...more };
}

function generated(voice, run, step) {
  const { clip } = voice.generated[run].find((entry) => entry.step === step);
  return { system: run, step, clip: { run, voice: voice.id, ...clip } };
}

function fixed(voice, kind) {
  const clip = voice.clips[kind];
  return clip ? { system: kind === "target" ? REAL : kind, step: null, clip: { voice: voice.id, ...clip } } : null;
}

/** Whether an answer is the right one; null for a trial without a known answer. */
export function isRight(made, answer) {
  return made.expected === null ? null : [made.expected].flat().includes(answer);
}
