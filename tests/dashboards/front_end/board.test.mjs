// Unit tests of the pure parts of the front end: `node --test`, started by test_front_end.py.

import assert from "node:assert/strict";
import { test } from "node:test";

const load = (name) => import(new URL(`../../../dashboards/static/${name}`, import.meta.url));
const { compareWords } = await load("words.js");
const { judge, grade, shortNumber } = await load("scores.js");
const view = await load("view.js");
const { groupMean } = await load("groups.js");
const trials = await load("trials.js");
const { cellModel } = await load("cell_model.js");
const loudness = await load("loudness.js");
const mel = await load("mel.js");

const entry = (step, sim_o) => ({ step, scores: { sim_o }, clip: { file: `${step}.flac` } });
const index = {
  runs: [{ name: "a" }, { name: "b, with a comma" }],
  scores: [{ name: "sim_o", better: "higher", unit: "cosine", ceilings: ["sim_ceiling"] }],
  voices: [
    { id: "v1", speaker: "slt", target_text: "Zebra", clips: { target: {} }, generated: { a: [entry(1, 0.9), entry(3, 0.2)], "b, with a comma": [entry(2, 0.5)] } },
    { id: "v2", speaker: "awb", target_text: "Apple", clips: {}, generated: { a: [entry(1, 0.1)] } },
  ],
};

test("words are compared by the shortest way", () => {
  const kinds = (wanted, transcript) => compareWords(wanted, transcript).map((word) => word.kind);
  assert.deepEqual(kinds("A red boat.", "a RED boat"), ["right", "right", "right"]);
  assert.deepEqual(kinds("a red boat", "a blue boat"), ["right", "wrong", "right"]);
  assert.deepEqual(kinds("a red boat", "a boat"), ["right", "missing", "right"]);
  assert.deepEqual(kinds("a boat", "a big boat now"), ["right", "extra", "right", "extra"]);
  assert.deepEqual(kinds("", "oh"), ["extra"]);
  assert.deepEqual(kinds("[SPEAKER0] A boat.[SPEAKER1] Yes.", "a boat yes"), ["right", "right", "right"], "tags of voices are no words");
  assert.deepEqual(kinds("你好世界", "你好时界"), ["right", "right", "wrong", "right"], "characters where words have no spaces");
  assert.deepEqual(kinds("नमस्ते दुनिया", "नमस्ते"), ["right", "missing"], "marks belong to their word");
  assert.deepEqual(kinds("Schöner Zug", ""), ["missing", "missing"]);
});

test("a score is judged against its measured ceiling", () => {
  const score = index.scores[0];
  assert.equal(judge(score, { sim_o: 0.86, sim_ceiling: 0.86 }).share, 1);
  assert.equal(judge(score, { sim_o: 0.4, sim_ceiling: 0.86 }).share, 0);
  assert.equal(judge(score, { sim_o: 0.8 }), null, "without a ceiling it is neither good nor bad");
  assert.equal(judge({ name: "x", better: "", ceilings: [] }, { x: 1 }), null);
  assert.equal(judge({ name: "r", better: "one", ceilings: [] }, { r: 1 }).share, 1);
  const wer = { name: "wer", better: "lower", unit: "share", ceilings: ["wer_real"] };
  assert.equal(judge(wer, { wer: 0.1, wer_real: 0.1 }).share, 1, "as good as the real clip");
  assert.equal(judge({ name: "mcd_db", better: "lower", unit: "dB", ceilings: [] }, { mcd_db: 8 }), null, "no natural end");
  assert.equal(judge({ name: "f0", better: "zero", unit: "cents", ceilings: [] }, { f0: -600 }).share, 0);
  assert.deepEqual([grade(0), grade(0.5), grade(1)], [0, 2, 4]);
});

test("a ceiling is named after the clip that it was measured on", () => {
  const score = { name: "sim_o", better: "higher", unit: "cosine", ceilings: ["sim_ceiling", "sim_codec"] };
  assert.equal(judge(score, { sim_o: 0.5, sim_ceiling: 0.86, sim_codec: 0.84 }).goalText, "real clip 0.86");
  assert.equal(judge(score, { sim_o: 0.5, sim_codec: 0.84 }).goalText, "codec copy 0.84");
});

test("numbers are short and keep their sign", () => {
  assert.deepEqual([0.71349, -0.05, 0, 1234567, NaN].map(shortNumber), ["0.713", "−0.05", "0", "1.23e+6", "–"]);
});

test("a run without the step shows the nearest earlier one", () => {
  const entries = index.voices[0].generated.a;
  assert.equal(view.entryAt(entries, 2).step, 1);
  assert.equal(view.entryAt(entries, 3).step, 3);
  assert.equal(view.entryAt(entries, 0), null);
  assert.equal(view.entryAt(undefined, 3), null);
});

test("the newest step is shown until one is chosen", () => {
  const first = view.firstView(index);
  assert.equal(view.stepOf(index, first), 3);
  assert.deepEqual(view.stepsOf(index, { ...first, shown: ["b, with a comma"] }), [2]);
});

test("rows are by group, trained voices first and those in none last, and a folded group has none", () => {
  const of = (id, group, sim_o) => ({ id, group, clips: {}, generated: { a: [entry(1, sim_o)] } });
  const parted = { ...index, voices: [of("v1", null, 0.5), of("v2", "unseen real", 0.3), of("v3", "trained", 0.1), of("v4", "unseen real", 0.2)] };
  const first = view.firstView(parted);
  const ids = (fields) => view.openRowsOf(parted, { ...first, ...fields }).map((voice) => voice.id);
  assert.deepEqual(view.groupsOf(parted), ["trained", "unseen real", ""]);
  assert.deepEqual(ids({}), ["v3", "v2", "v4", "v1"]);
  assert.equal(first.voice, "v3", "the first row is chosen");
  assert.deepEqual(ids({ sort: "a", score: "sim_o" }), ["v3", "v4", "v2", "v1"]);
  assert.deepEqual(ids({ folded: ["unseen real"] }), ["v3", "v1"]);
  assert.deepEqual(ids({ query: "unseen" }), ["v2", "v4"]);
  assert.deepEqual(view.groupsOf(index), [], "one kind of voice needs no titles");
  assert.deepEqual(view.openRowsOf(index, { ...view.firstView(index), folded: [""] }).map((voice) => voice.id), ["v1", "v2"]);
});

test("the mean of a group is over its voices at the step, or the last one before it", () => {
  const voices = [{ generated: { a: [entry(1, 0.2), entry(3, 0.6)] } }, { generated: { a: [entry(1, 0.4)] } }, { generated: {} }];
  assert.equal(groupMean(voices, "a", "sim_o", 3), 0.5);
  assert.ok(Math.abs(groupMean(voices, "a", "sim_o", 2) - 0.3) < 1e-9);
  assert.equal(groupMean(voices, "b", "sim_o", 3), null);
});

test("voices are sorted by a score, those without it last, and filtered", () => {
  const ids = (fields) => view.rowsOf(index, { ...view.firstView(index), ...fields }).map((voice) => voice.id);
  assert.deepEqual(ids({ sort: "a" }), ["v2", "v1"]);
  assert.deepEqual(ids({ sort: "b, with a comma", descending: true }), ["v1", "v2"]);
  assert.deepEqual(ids({ sort: "text" }), ["v2", "v1"]);
  assert.deepEqual(ids({ query: "APP" }), ["v2"]);
  assert.deepEqual(ids({ speaker: "slt" }), ["v1"]);
  assert.deepEqual(ids({ limit: 0.15 }), ["v2"]);
  assert.deepEqual(ids({ limit: 0.15, limitSide: "min" }), ["v1"]);
});

test("a link brings back voice, clip, step, runs and order", () => {
  const there = { ...view.firstView(index), step: 2, voice: "v2", column: "target", shown: ["b, with a comma"], sort: "text", descending: true };
  const text = view.toLink(index, there).toString();
  assert.deepEqual(view.fromLink(index, view.firstView(index), new URLSearchParams(text)), there);
});

test("a link with nonsense changes nothing", () => {
  const first = view.firstView(index);
  const link = new URLSearchParams("step=soon&voice=nobody&runs=%25E0%25A4%25A&score=y");
  assert.deepEqual(view.fromLink(index, first, link), first);
});

test("listening test: only clips of one step are compared, unless other steps are asked for", () => {
  const clips = (...steps) => steps.map((step) => ({ step, clip: step === 9 ? null : {} }));
  const voice = { generated: { a: clips(1, 2, 4, 9), b: clips(1, 2, 3, 9), c: clips(5) } };
  assert.deepEqual(trials.comparedSteps(voice, ["a", "b"], 9, false), { a: 2, b: 2 });
  assert.deepEqual(trials.comparedSteps(voice, ["a", "b"], 9, true), { a: 4, b: 3 });
  assert.deepEqual(trials.comparedSteps(voice, ["a", "b"], 1, true), { a: 1, b: 1 });
  assert.equal(trials.comparedSteps(voice, ["a", "c"], 9, false), null);
  assert.equal(trials.comparedSteps(voice, ["a", "none"], 9, true), null);
});

test("listening test: loudness is matched without clipping, and pauses do not count", () => {
  const tone = (level, pause) => Float32Array.from({ length: 24_576 }, (_, i) => (i < pause ? 0 : level * Math.sin((2 * Math.PI * 440 * i) / 24_000)));
  const rms = (level) => 20 * Math.log10(level / Math.SQRT2);
  assert.ok(Math.abs(loudness.matchingGainDb(tone(0.5, 0)) - (-26 - rms(0.5))) < 0.1);
  assert.ok(Math.abs(loudness.matchingGainDb(tone(0.5, 12_288)) - (-26 - rms(0.5))) < 0.1);
  const spike = tone(0.001, 0).map((value, i) => (i === 5000 ? 0.9 : value));
  assert.ok(loudness.matchingGainDb(spike) <= -20 * Math.log10(0.9) + 1e-6);
  assert.equal(loudness.matchingGainDb(new Float32Array(2048)), 0);
});

test("a tone lies in the band of its pitch, at its level", () => {
  const tone = Float32Array.from({ length: 24_000 }, (_, i) => 0.5 * Math.sin((2 * Math.PI * 1000 * i) / 24_000));
  const { levels, frames } = mel.melLevels(tone, 24_000, 20);
  const middle = levels.subarray((frames / 2) * mel.BANDS, (frames / 2 + 1) * mel.BANDS);
  const loudest = middle.indexOf(Math.max(...middle));
  const filter = mel.melFilters(24_000, 8000)[loudest];
  const hz = [filter.first, filter.first + filter.weights.length - 1].map((bin) => (bin * 24_000) / 1024);
  assert.ok(hz[0] <= 1000 && hz[1] >= 1000, `${hz}`);
  assert.equal(mel.melLevels(new Float32Array(2400), 24_000, 4).levels.every((level) => level === 0), true);
});

test("peaks are the extremes of each stretch", () => {
  const { low, high } = mel.peaks(Float32Array.from([0, 1, -0.5, 0, 0.25, 0]), 3);
  assert.deepEqual([[...low], [...high]], [[0, -0.5, 0], [1, 0, 0.25]]);
});

test("takes of a prompt are one row, whose cell shows one of them and the values of all", () => {
  const of = (id, value) => ({ ...index.voices[0], id, generated: { a: [entry(1, 0.1), { ...entry(3, value), transcript: null, stop_reason: "eos" }] } });
  const takes = view.withTakes({ ...index, voices: [of("v1", 0.2), of("v1-take10", 0.9), of("v1-take2", 0.4), of("other-take2", 0.5)] });
  assert.deepEqual(takes.voices.map((voice) => [voice.id, voice.takes.map((take) => take.id)]), [
    ["v1", ["v1", "v1-take2", "v1-take10"]], ["other-take2", ["other-take2"]], // its first take is not there
  ]);
  const of_take = (take) => cellModel(takes, { ...view.firstView(takes), take }, takes.voices[0], "run:a");
  assert.deepEqual([1, 2, 10].map((take) => of_take(take).clip.voice), ["v1", "v1-take2", "v1-take10"]);
  assert.deepEqual(of_take(2).takes.all.map((one) => [one.number, one.value, one.shown]), [[1, 0.2, false], [2, 0.4, true], [10, 0.9, false]]);
  assert.equal(of_take(1).takes.mean, 0.5);
  assert.equal(cellModel(takes, view.firstView(takes), takes.voices[1], "run:a").takes, null, "one take has no choice");
  assert.deepEqual(view.meansOf(takes.voices[0], "a", "sim_o").map(([step]) => step), [1, 3]);
  const sorted = view.rowsOf(takes, { ...view.firstView(takes), sort: "a", score: "sim_o", descending: true });
  assert.deepEqual(sorted.map((voice) => voice.id).sort(), ["other-take2", "v1"]);
  assert.equal(view.fromLink(takes, view.firstView(takes), view.toLink(takes, { ...view.firstView(takes), take: 2 })).take, 2);
});
