// Matches the loudness of clips for a listening test. The files are untouched: the gain is applied while playing.

export const TARGET_DB = -26; // RMS of the frames with sound, re full scale

const FRAME = 1024;
const QUIET_DB = -50; // frames below are pauses

/** The gain in dB that brings a clip to TARGET_DB, limited so that no sample is clipped; 0 for silence. */
export function matchingGainDb(samples) {
  let energy = 0;
  let frames = 0;
  let peak = 0;
  for (let start = 0; start < samples.length; start += FRAME) {
    let sum = 0;
    const end = Math.min(samples.length, start + FRAME);
    for (let i = start; i < end; i++) {
      sum += samples[i] ** 2;
      peak = Math.max(peak, Math.abs(samples[i]));
    }
    const power = sum / (end - start);
    if (power > 10 ** (QUIET_DB / 10)) {
      energy += power;
      frames += 1;
    }
  }
  if (!frames) return 0;
  return Math.min(TARGET_DB - 10 * Math.log10(energy / frames), -20 * Math.log10(peak));
}
