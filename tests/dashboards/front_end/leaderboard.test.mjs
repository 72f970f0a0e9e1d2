// Unit tests of the search for runs.

import assert from "node:assert/strict";
import { test } from "node:test";

const { bestRuns, searchRuns, sortRuns } = await import(new URL("../../../dashboards/static/run_search.js", import.meta.url));

const line = (name, wer, settings = {}) => ({ name, step: 10, best_step: 5, findings: [], settings, scores: wer === null ? {} : { wer: { mean: wer } } });
const lines = [line("low-rate", 0.3, { lr: 0.0002, codec: "mimi" }), line("high-rate", 0.1, { lr: 0.02 }), line("other", null)];
const names = (found) => found.map((one) => one.name);

test("runs are found by name, score and setting, all words together", () => {
  assert.deepEqual(names(searchRuns(lines, " RATE ")), ["low-rate", "high-rate"]);
  assert.deepEqual(names(searchRuns(lines, "wer<0.2")), ["high-rate"]);
  assert.deepEqual(names(searchRuns(lines, "wer>=0.3 low")), ["low-rate"]);
  assert.deepEqual(names(searchRuns(lines, "lr=2e-4")), ["low-rate"]);
  assert.deepEqual(names(searchRuns(lines, "codec=Mim")), ["low-rate"]);
  assert.deepEqual(names(searchRuns(lines, "step=10 best_step<=5")), names(lines));
  assert.deepEqual(names(searchRuns(lines, "nothing>3")), []);
});

test("the best are those with the lowest word error, and a run without the score is none", () => {
  assert.deepEqual(bestRuns(lines, "wer", 5, { wer: "lower" }), ["high-rate", "low-rate"]);
  assert.deepEqual(names(sortRuns(lines, "wer", false, { wer: "lower" })), ["low-rate", "high-rate", "other"]);
  assert.deepEqual(names(sortRuns(lines, "run", true, {})), ["other", "low-rate", "high-rate"]);
});
