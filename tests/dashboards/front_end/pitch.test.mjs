// The pitch line of a picture.

import assert from "node:assert/strict";
import { test } from "node:test";

const { pitchLine } = await import(new URL("../../../dashboards/static/pitch.js", import.meta.url));

const voice = (hz, rate, seconds) => Float32Array.from({ length: rate * seconds }, (_, i) => {
  let sum = 0;
  for (let k = 1; k * hz < 3500; k++) sum += Math.sin((2 * Math.PI * k * hz * i) / rate) / k;
  return 0.1 * sum;
});

test("a voice of known pitch has that pitch, at every sample rate", () => {
  for (const rate of [8000, 16_000, 24_000, 44_100]) {
    for (const hz of [80, 120, 210, 400]) {
      const line = [...pitchLine(voice(hz, rate, 1), rate, 40)].slice(4, -4);
      assert.ok(line.every((found) => Math.abs(found - hz) < 0.02 * hz), `${rate} ${hz}: ${line}`);
    }
  }
});

test("noise, silence and pauses have none", () => {
  let state = 1;
  const noise = Float32Array.from({ length: 24_000 }, () => ((state = (state * 16_807) % 2_147_483_647) / 2_147_483_647 - 0.5));
  assert.ok(pitchLine(noise, 24_000, 40).filter(Boolean).length <= 4);
  assert.equal(pitchLine(new Float32Array(24_000), 24_000, 10).some(Boolean), false);
  const half = voice(150, 24_000, 1).fill(0, 12_000);
  const line = pitchLine(half, 24_000, 40);
  assert.ok(line.slice(3, 17).every(Boolean) && !line.slice(23).some(Boolean));
});
