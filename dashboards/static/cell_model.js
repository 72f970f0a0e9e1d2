// The content of one cell of the board, as plain data.

import { compareWords } from "./words.js";
import { entryAt, meansOf, stepOf, takeOf, visibleRuns } from "./view.js";

const MAIN = ["sim_o", "sim_margin", "wer", "cer", "dur_ratio"];
const STOPPED = ["eos", "stop", "stopped", null, undefined];

/**
 * { kind, clip, notes, scores: [{ score, value }], words, scoreValues, takes } of a voice in a column. `clip` is null where there is none.
 * `takes`: where there are several, { mean, all: [{ number, value, shown }] } of the selected score, else null.
 */
export function cellModel(index, view, voice, column) {
  return column.startsWith("run:") ? generatedModel(index, view, voice, column.slice(4)) : fixedModel(index, view, voice, column);
}

function fixedModel(index, view, voice, kind) {
  const entry = visibleRuns(index, view).map((run) => entryAt(voice.generated[run.name], stepOf(index, view))).find(Boolean);
  const about = index.scores.filter((score) => score.of === kind);
  const problem = voice.problems?.[kind];
  const notes = voice.clips[kind] ? [] : [problem ? `this clip cannot be read: ${problem}` : `no ${kind === "codec" ? "codec copy" : kind}`];
  return { kind, clip: clipOf(voice, voice.clips[kind]), notes, scores: valuesOf(about, entry?.scores ?? {}), words: null, scoreValues: {} };
}

function generatedModel(index, view, voice, run) {
  const step = stepOf(index, view);
  const take = takeOf(voice, run, view.take);
  const entry = entryAt(take.generated[run], step);
  const loading = index.runs.some((one) => one.name === run && one.loaded === false);
  if (!entry) return { kind: "generated", clip: null, notes: [loading ? "loading …" : `nothing at or before step ${step}`], scores: [], words: null, scoreValues: {} };
  const notes = [];
  if (entry.step !== step) notes.push(`step ${entry.step}, the nearest earlier one`);
  if (entry.error) notes.push(`failed: ${entry.error}`);
  else if (!STOPPED.includes(entry.stop_reason)) notes.push(`did not stop on its own (${entry.stop_reason})`);
  if (entry.clip_problem) notes.push(`this clip cannot be read: ${entry.clip_problem}`);
  else if (!entry.clip && !entry.error && !entry.left_out) notes.push("no audio of this step is there");
  if (entry.left_out) notes.push("audio left out to limit the size of the page");
  const own = index.scores.filter((score) => score.of === "generated");
  const shown = view.every ? own : own.filter((score) => score.name === view.score || MAIN.includes(score.name));
  return {
    kind: "generated",
    clip: clipOf(take, entry.clip && { run, ...entry.clip }),
    takes: takesOf(voice, run, entry.step, view.score, take),
    notes,
    scores: valuesOf(shown, entry.scores),
    words: entry.transcript === null ? null : compareWords(voice.target_text ?? "", entry.transcript),
    scoreValues: entry.scores,
  };
}

function takesOf(voice, run, step, score, shown) {
  const takes = (voice.takes ?? []).filter((take) => take.generated[run]);
  if (takes.length < 2) return null;
  const mean = meansOf(voice, run, score).find(([at]) => at === step)?.[1];
  return { mean, all: takes.map((take) => ({ number: take.number, value: entryAt(take.generated[run], step)?.scores[score], shown: take === shown })) };
}

function valuesOf(scores, values) {
  return scores.filter((score) => score.name in values).map((score) => ({ score, value: values[score.name] }));
}

function clipOf(voice, clip) {
  return clip ? { voice: voice.id, ...clip } : null;
}
