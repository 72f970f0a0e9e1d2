// Computes what is drawn of a clip: peaks and a log-mel spectrogram. Levels are absolute, never normalised.

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
  const real = new Float64Array(WINDOW);
  const imaginary = new Float64Array(WINDOW);
  const power = new Float64Array(WINDOW / 2 + 1);
  for (let frame = 0; frame < frames; frame++) {
    const centre = Math.round(((frame + 0.5) * samples.length) / frames);
    for (let i = 0; i < WINDOW; i++) {
      real[i] = (samples[centre + i - WINDOW / 2] ?? 0) * HANN[i];
      imaginary[i] = 0;
    }
    fourier(real, imaginary);
    for (let k = 0; k < power.length; k++) power[k] = (real[k] ** 2 + imaginary[k] ** 2) / FULL_SCALE;
    filters.forEach((filter, band) => {
      let sum = 1e-12;
      filter.weights.forEach((weight, i) => (sum += weight * power[filter.first + i]));
      const share = (10 * Math.log10(sum) - LOW_DB) / (HIGH_DB - LOW_DB);
      levels[frame * BANDS + band] = Math.max(0, Math.min(255, Math.round(share * 255)));
    });
  }
  return { levels, frames, topHz };
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

/** The fast Fourier transform (Cooley and Tukey 1965), in place; lengths are powers of two. */
export function fourier(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    for (let k = 0; k < size / 2; k++) {
      const cos = Math.cos((-2 * Math.PI * k) / size);
      const sin = Math.sin((-2 * Math.PI * k) / size);
      for (let start = k; start < n; start += size) {
        const other = start + size / 2;
        const re = real[other] * cos - imaginary[other] * sin;
        const im = real[other] * sin + imaginary[other] * cos;
        real[other] = real[start] - re;
        imaginary[other] = imaginary[start] - im;
        real[start] += re;
        imaginary[start] += im;
      }
    }
  }
}
