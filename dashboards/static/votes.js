// The votes of a listening test: what is stored of each, the file of a rater, and a summary of one's own votes.

import { PLAYED_SHARE } from "./heard.js";
import { TARGET_DB } from "./loudness.js";
import { isRight } from "./trials.js";

/** One vote, with everything that was compared. `gains`: letter → dB; `heard`: see `heard.js`. */
export function voteOf(made, answer, { gains, heard, at }) {
  const clips = Object.fromEntries(Object.entries(made.clips).map(([letter, { system, step, clip }]) => [letter, {
    system, step, file: clip.file, noise_snr_db: clip.noise_snr_db ?? null, gain_db: rounded(gains[letter]), played_s: rounded(heard.of(letter)),
  }]));
  return { trial: made.id, voice: made.voice, speaker: made.speaker, catch: made.catch, right: isRight(made, answer), clips, answer, at };
}

/** The content of a rater's file, which `tracker-logging ratings` reads. */
export function ratingsFile({ mode, rater, seed, runs, ownSteps }, trials, votes) {
  return {
    format: "tracker_logging ratings", version: 1, mode, rater, seed, runs, own_steps: ownSteps, loudness_dbfs: TARGET_DB,
    played_share: PLAYED_SHARE, trials: trials.length, votes: trials.map((made) => votes.get(made.id)).filter(Boolean),
  };
}

/** One's own votes in sentences. */
export function summaryOf(mode, runs, votes) {
  const real = votes.filter((vote) => vote.catch === null);
  const checks = votes.filter((vote) => vote.catch !== null);
  const lines = mode === "preference" ? runs.slice(1).map((run) => preferenceSentence(runs[0], run, real))
    : mode === "abx" ? runs.slice(1).map((run) => abxSentence(runs[0], run, real)) : gradeSentences(real);
  return [...lines, `Catch trials: ${checks.filter((vote) => vote.right).length} of ${checks.length} right.`];
}

const isOf = (vote, run) => Object.values(vote.clips).some((clip) => clip.system === run);

function preferenceSentence(first, second, votes) {
  const gains = votes.filter((vote) => isOf(vote, second)).map((vote) => (vote.clips.B.system === second ? vote.answer : -vote.answer));
  const count = (holds) => gains.filter(holds).length;
  return `${second} against ${first}: ${mean(gains)} on average; better in ${count((gain) => gain > 0)}, worse in ${count((gain) => gain < 0)}, the same in ${count((gain) => gain === 0)}.`;
}

function abxSentence(first, second, votes) {
  const of = votes.filter((vote) => isOf(vote, second));
  const right = of.filter((vote) => vote.right).length;
  return `${second} and ${first}: ${right} of ${of.length} right; guessing is at least as good in ${Math.round(100 * atLeast(right, of.length))} % of cases.`;
}

function gradeSentences(votes) {
  const systems = [...new Set(votes.map((vote) => vote.clips.A.system))].sort();
  return systems.map((system) => `${system}: ${mean(votes.filter((vote) => vote.clips.A.system === system).map((vote) => vote.answer))} on average.`);
}

/** The probability of at least `right` of `n` by guessing between two. */
export function atLeast(right, n) {
  let share = 0.5 ** n;
  let sum = 0;
  for (let k = 0; k <= n; k++) {
    if (k >= right) sum += share;
    share *= (n - k) / (k + 1);
  }
  return Math.min(1, sum);
}

function mean(values) {
  return values.length ? (values.reduce((sum, value) => sum + value, 0) / values.length).toFixed(2).replace("-", "−") : "–";
}

function rounded(value) {
  return value === undefined ? null : Number(value.toFixed(2));
}
