// The listening test as plain data: trials, order, catch trials and what was heard.

import assert from "node:assert/strict";
import { test } from "node:test";

const load = (name) => import(new URL(`../../../dashboards/static/${name}`, import.meta.url));
const trials = await load("trials.js");
const { seeded, shuffled } = await load("random.js");
const { Heard } = await load("heard.js");
const votes = await load("votes.js");
const { addNoise, clipKey, fileKey } = await load("clips.js");

const clip = (file) => ({ file, seconds: 1, sample_rate: 8000 });
const voice = (number) => ({
  id: `v${number}`, speaker: `s${number}`, target_text: "t",
  clips: { reference: { run: "a", ...clip("reference.flac") }, target: { run: "a", ...clip("target.flac") } },
  generated: Object.fromEntries(["a", "b", "c"].map((run) => [run, [{ step: 1, clip: clip("1.flac") }]])),
});
const index = { voices: Array.from({ length: 8 }, (_, number) => voice(number)) };
const asked = { runs: ["a", "b"], step: 9, ownSteps: false, seed: 1, rater: "Ada" };
const make = (mode, more = {}) => trials.makeTrials(index, { ...asked, mode, ...more });
const real = (made) => made.filter((one) => one.catch === null);

test("a file that was written again is another clip, in the same place", () => {
  const [before, now] = ["1", "2"].map((version) => ({ run: "a", voice: "v1", ...clip("1.flac"), version }));
  assert.notEqual(clipKey(before), clipKey(now));
  assert.equal(fileKey(before), fileKey(now));
  assert.equal(clipKey({ ...now }), clipKey(now));
});

test("order and letters follow from seed, rater and test, and the trials are the same for all raters", () => {
  const shown = (made) => JSON.stringify(made.map(({ id, clips }) => [id, Object.values(clips).map(({ system }) => system)]));
  assert.equal(shown(make("preference")), shown(make("preference")));
  assert.notEqual(shown(make("preference")), shown(make("preference", { rater: "Bo" })));
  assert.notEqual(shown(make("preference")), shown(make("preference", { seed: 2 })));
  const ids = (rater) => real(make("preference", { rater })).map(({ id }) => id).sort();
  assert.deepEqual(ids("Ada"), ids("Bo"));
});

test("each voice is compared once for each further run, and A is not always the first run", () => {
  assert.equal(real(make("preference")).length, 8);
  assert.equal(real(make("preference", { runs: ["a", "b", "c"] })).length, 16);
  const letters = new Set(real(make("preference")).map(({ clips }) => clips.A.system));
  assert.deepEqual([...letters].sort(), ["a", "b"]);
});

test("X of ABX is one of both, and the answer is known", () => {
  const made = real(make("abx"));
  for (const one of made) assert.equal(one.clips.X, one.clips[one.expected]);
  assert.deepEqual([...new Set(made.map(({ expected }) => expected))].sort(), ["A", "B"]);
  assert.equal(trials.isRight(made[0], made[0].expected), true);
});

test("similarity has a reference, and the real recording is graded among the runs", () => {
  const systems = new Set(real(make("similarity")).map(({ clips }) => clips.A.system));
  assert.deepEqual([...systems].sort(), ["a", "b", trials.REAL]);
  assert.ok(make("similarity").every(({ clips }) => clips.R.system === "reference"));
});

test("catch trials are among the others, with an answer that holds", () => {
  for (const mode of Object.keys(trials.MODES)) {
    const made = make(mode);
    const checks = made.filter((one) => one.catch !== null);
    assert.equal(checks.length, Math.floor(real(made).length / 6), mode);
    const values = trials.MODES[mode].answers.map(({ value }) => value);
    for (const one of checks) assert.ok(values.some((value) => trials.isRight(one, value)) && values.some((value) => !trials.isRight(one, value)));
  }
  const [spoilt] = make("preference").filter((one) => one.catch === "noise");
  const noisy = spoilt.clips.A.clip.noise_snr_db === undefined ? "B" : "A";
  assert.equal(trials.isRight(spoilt, noisy === "A" ? 2 : -2), true);
  assert.equal(trials.isRight(spoilt, 0), false);
  const kinds = make("similarity").map((one) => one.catch).filter(Boolean);
  assert.deepEqual([...new Set(kinds)].sort(), ["other speaker", "same clip"]);
});

test("a clip in noise is another clip of the same file, at the ratio asked for", () => {
  const of = { run: "r", voice: "v", file: "f" };
  assert.equal(fileKey({ ...of, noise_snr_db: 0 }), fileKey(of));
  assert.notEqual(clipKey({ ...of, noise_snr_db: 0 }), clipKey(of));
  const clean = Float32Array.from({ length: 8000 }, (_, i) => Math.sin(i / 5));
  const noisy = clean.slice();
  addNoise(noisy, 6);
  const power = (values) => values.reduce((sum, value) => sum + value ** 2, 0);
  assert.ok(Math.abs(10 * Math.log10(power(clean) / power(noisy.map((value, i) => value - clean[i]))) - 6) < 0.3);
});

test("only what was played counts as heard, not jumps", () => {
  const heard = new Heard();
  heard.begin("A");
  heard.note("A", 0.5);
  heard.note("A", 3);
  assert.equal(heard.of("A"), 0.5);
  heard.note("B", 3.5);
  assert.equal(heard.of("B"), 0);
  heard.begin("B");
  heard.note("B", 0.8);
  assert.ok(heard.isPlayed("B", 1) && !heard.isPlayed("A", 1));
});

test("a vote keeps steps, gains and what was played, and one's own votes are summed up", () => {
  const made = real(make("preference"));
  const heard = new Heard();
  const cast = made.map((one) => votes.voteOf(one, one.clips.B.system === "b" ? 2 : -2, { gains: { A: 1.234 }, heard, at: "now" }));
  assert.deepEqual([cast[0].clips.A.step, cast[0].clips.A.gain_db, cast[0].clips.B.gain_db], [1, 1.23, null]);
  assert.deepEqual(votes.summaryOf("preference", ["a", "b"], cast), ["b against a: 2.00 on average; better in 8, worse in 0, the same in 0.", "Catch trials: 0 of 0 right."]);
  assert.ok(Math.abs(votes.atLeast(9, 10) - 11 / 1024) < 1e-12);
});

test("random numbers follow from the seed", () => {
  const numbers = Array.from({ length: 1000 }, seeded("1"));
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  assert.ok(Math.abs(numbers.reduce((a, b) => a + b) / 1000 - 0.5) < 0.05);
  assert.deepEqual(shuffled([1, 2, 3, 4, 5], seeded("x")), shuffled([1, 2, 3, 4, 5], seeded("x")));
});
