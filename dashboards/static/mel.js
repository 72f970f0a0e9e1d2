// Computes what is drawn of a clip: peaks and a log-mel spectrogram. Levels are absolute, never normalised.

import { powerOfTwo } from "./fourier.js";

export const BANDS = 48;
export const LOW_DB = -100;
export const HIGH_DB = -20;
const WINDOW = 1024;

/** Lowest and highest sample in each of `columns` equal stretches: { low, high }, Float32Array each. */
export function peaks(samples, columns) {
  const low = new Float32Array(columns);
  const high = new Float32Array(columns);
  for (let column = 0; column < columns; column++) {
    const start = Math.floor((column * samples.length) / columns);
    const end = Math.max(start + 1, Math.floor(((column + 1) * samples.length) / columns));
    for (let i = start; i < end && i < samples.length; i++) {
      if (samples[i] < low[column]) low[column] = samples[i];
      if (samples[i] > high[column]) high[column] = samples[i];
    }
  }
  return { low, high };
}

/**
 * Level per frame and mel band, 0 (≤ LOW_DB) to 255 (≥ HIGH_DB), in dB re a full-scale sine in one band.
 * Returns { levels: Uint8Array[frames * BANDS], frames, topHz }; band 0 is the lowest.
 */
export function melLevels(samples, sampleRate, frames) {
  const topHz = Math.min(8000, sampleRate / 2);
  const filters = melFilters(sampleRate, topHz);
  const levels = new Uint8Array(frames * BANDS);
  const [real, imaginary] = [new Float64Array(WINDOW), new Float64Array(WINDOW)];
  const power = new Float64Array(WINDOW);
  const morePower = new Float64Array(WINDOW);
  for (let frame = 0; frame < frames; frame += 2) {
    cut(samples, Math.round(((frame + 0.5) * samples.length) / frames), real);
    cut(samples, Math.round(((frame + 1.5) * samples.length) / frames), imaginary);
    powerOfTwo(real, imaginary, power, morePower);
    fillLevels(levels, frame * BANDS, filters, power);
    if (frame + 1 < frames) fillLevels(levels, (frame + 1) * BANDS, filters, morePower);
  }
  return { levels, frames, topHz };
}

/** Writes the windowed samples around `centre`. */
function cut(samples, centre, into) {
  for (let i = 0; i < WINDOW; i++) into[i] = (samples[centre + i - WINDOW / 2] ?? 0) * HANN[i];
}

function fillLevels(levels, place, filters, power) {
  for (let band = 0; band < BANDS; band++) {
    const { first, weights } = filters[band];
    let sum = 1e-12;
    for (let i = 0; i < weights.length; i++) sum += (weights[i] * power[first + i]) / FULL_SCALE;
    const share = (10 * Math.log10(sum) - LOW_DB) / (HIGH_DB - LOW_DB);
    levels[place + band] = Math.max(0, Math.min(255, Math.round(share * 255)));
  }
}

const HANN = Float64Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
const FULL_SCALE = (WINDOW / 4) ** 2; // the peak power of a full-scale sine under this window

/** Triangles evenly spaced on the HTK mel scale: [{ first, weights }]. */
export function melFilters(sampleRate, topHz) {
  const toMel = (hz) => 2595 * Math.log10(1 + hz / 700);
  const toHz = (mel) => 700 * (10 ** (mel / 2595) - 1);
  const edges = Array.from({ length: BANDS + 2 }, (_, i) => (toHz((toMel(topHz) * i) / (BANDS + 1)) * WINDOW) / sampleRate);
  return Array.from({ length: BANDS }, (_, band) => {
    const [left, middle, right] = edges.slice(band, band + 3);
    const first = Math.max(0, Math.floor(left));
    const weights = [];
    for (let k = first; k <= Math.min(WINDOW / 2, Math.ceil(right)); k++) {
      weights.push(Math.max(0, k <= middle ? (k - left) / (middle - left) : (right - k) / (right - middle)));
    }
    // A low band can fall between two bins: it then takes the nearest one.
    if (weights.every((weight) => weight === 0)) return { first: Math.round(middle), weights: [1] };
    return { first, weights };
  });
}
