// Unit tests of loading runs: `node --test`, started by test_front_end.py.

import assert from "node:assert/strict";
import { test } from "node:test";

const { Fleet, spaced } = await import(new URL("../../../dashboards/static/fleet.js", import.meta.url));

/** A clock that stands still: `pass(ms)` moves it, and calls what waits. */
function clock(t) {
  let now = 0;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(performance, "now", () => now);
  return (ms) => {
    now += ms;
    t.mock.timers.tick(ms);
  };
}

test("work that many ask for is done at once, then as often as there is time for, and last at the end", (t) => {
  const pass = clock(t);
  let arrived = 0;
  const seen = [];
  const work = () => {
    seen.push(arrived);
    pass(10); // what it costs
  };
  const tell = spaced(work);
  for (; arrived < 300; pass(1)) {
    arrived += 1;
    tell();
  }
  tell.last();
  tell.last();
  assert.equal(seen[0], 1, "the first one is not waited for");
  assert.equal(seen.at(-1), 300);
  assert.ok(seen.length > 3 && seen.length <= 300 / 60 + 3, `${seen.length} times`);
  pass(1000);
  assert.equal(seen.length, new Set(seen).size, "nothing is done twice");
});

test("every run is there when loading ends", async () => {
  const fleet = new Fleet(async (address) => ({ content: { version: "1", voices: [{ id: address.split("=")[1], clips: {}, steps: [] }] } }));
  fleet.table.runs = Array.from({ length: 50 }, (_, number) => ({ name: `run-${number}`, version: "1" }));
  let shown = 0;
  await fleet.load(fleet.table.runs.map((run) => run.name), () => (shown = fleet.index().voices.length));
  assert.equal(shown, 50);
});
