// Which runs are shown after TensorBoard's own list has changed.

import assert from "node:assert/strict";
import { test } from "node:test";

const { followed } = await import(new URL("../../../dashboards/static/tensorboard_runs.js", import.meta.url));

const runs = [{ name: "a", known: true }, { name: "b", known: true }, { name: "no events", known: false }];
const list = (selected) => new Map(Object.entries(selected).map(([name, is]) => [name, { selected: is, colour: null }]));

test("a change of the list is followed, and runs that are not in it stay as they are", () => {
  const all = list({ a: true, b: true });
  const some = list({ a: false, b: true });
  assert.deepEqual(followed(runs, ["a", "no events"], all, some), ["b", "no events"]);
  assert.deepEqual(followed(runs, ["b"], some, all), ["a", "b"]);
});

test("a filtered run is hidden", () => {
  assert.deepEqual(followed(runs, ["a", "b"], list({ a: true, b: true }), list({ b: true })), ["b"]);
});

test("no list, the same list and a first list with all runs change nothing", () => {
  const all = list({ a: true, b: true });
  assert.equal(followed(runs, ["a"], null, null), null);
  assert.equal(followed(runs, ["a"], all, all), null);
  assert.equal(followed(runs, ["a"], null, all), null);
  assert.deepEqual(followed(runs, ["a", "b"], null, list({ a: true, b: false })), ["a"]);
});
