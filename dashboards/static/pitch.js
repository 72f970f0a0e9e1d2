// The pitch of a clip by autocorrelation, as a line to draw (Boersma 1993, without his search for the best path).

import { fourier, powerOfTwo } from "./fourier.js";

export const LOW_HZ = 60;
export const HIGH_HZ = 600;
const RATE = 8000; // Hz to which clips are reduced at most
const WINDOW_S = 0.05; // three periods of the lowest pitch
const VOICED = 0.45; // autocorrelation above which a frame is voiced
const OCTAVE_COST = 0.03; // higher pitches win over their halves
const SILENT = 0.03; // of the loudest frame

/** Hz in each of `frames` equal stretches, 0 where there is no voice. */
export function pitchLine(samples, sampleRate, frames) {
  const stride = Math.max(1, Math.round(sampleRate / RATE));
  const rate = sampleRate / stride;
  const reduced = Float32Array.from({ length: Math.floor(samples.length / stride) }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < stride; j++) sum += samples[i * stride + j];
    return sum / stride;
  });
  const size = Math.round(WINDOW_S * rate);
  const window = Float32Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / size));
  const lags = [Math.floor(rate / HIGH_HZ), Math.ceil(rate / LOW_HZ)];
  const length = 2 ** Math.ceil(Math.log2(size + lags[1] + 2)); // so much that the end does not meet the start
  const room = Array.from({ length: 4 }, () => new Float64Array(length));
  const [ofWindow] = correlations(window, window, lags, room);
  const taken = Array.from({ length: frames }, (_, frame) => windowed(reduced, Math.round(((frame + 0.5) * reduced.length) / frames), window));
  const loudest = Math.max(...taken.map(({ power }) => power));
  const line = new Float32Array(frames);
  const loud = [...taken.keys()].filter((frame) => taken[frame].power > SILENT ** 2 * loudest);
  for (let i = 0; i < loud.length; i += 2) {
    const pair = loud.slice(i, i + 2);
    const shares = correlations(taken[pair[0]].values, taken[pair.at(-1)].values, lags, room);
    pair.forEach((frame, place) => (line[frame] = pitchOf(shares[place], ofWindow, lags, rate)));
  }
  return line;
}

function windowed(samples, centre, window) {
  const start = centre - (window.length >> 1);
  let mean = 0;
  for (let i = 0; i < window.length; i++) mean += (samples[start + i] ?? 0) / window.length;
  const values = window.map((weight, i) => weight * ((samples[start + i] ?? 0) - mean));
  return { values, power: values.reduce((sum, value) => sum + value * value, 0) };
}

/** Autocorrelation of two signals at lags from − 1 to to + 1, as shares of that at lag 0: the transforms of their powers, in `room`. */
function correlations(one, other, [from, to], room) {
  const [first, second, firstPower, secondPower] = room;
  first.fill(0).set(one);
  second.fill(0).set(other);
  powerOfTwo(first, second, firstPower, secondPower);
  fourier(firstPower, secondPower);
  return [firstPower, secondPower].map((sums) => Float32Array.from(sums.subarray(from - 1, to + 2), (sum) => sum / sums[0]));
}

function pitchOf(ofFrame, ofWindow, lags, rate) {
  const shares = ofFrame.map((share, i) => share / ofWindow[i]);
  let best = { strength: 0, hz: 0 };
  for (let i = 1; i < shares.length - 1; i++) {
    const [before, here, after] = shares.subarray(i - 1, i + 2);
    if (here < VOICED || here < before || here <= after) continue;
    const aside = (0.5 * (before - after)) / (before - 2 * here + after); // of the top of a parabola
    const lag = lags[0] - 1 + i + aside;
    const strength = here - 0.25 * (before - after) * aside + OCTAVE_COST * Math.log2(rate / lag / LOW_HZ);
    if (strength > best.strength) best = { strength, hz: rate / lag };
  }
  return best.hz;
}
