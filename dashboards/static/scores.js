// Rates scores between 0 and 1, and formats them.

const FLOOR_OF_CEILING = 0.6; // a score at 60 % of its ceiling or below gets the colour of 0
const FAR_FROM_ZERO = { dB: 12, LU: 12, cents: 600, MOS: 2 }; // differences that get the colour of 0, by unit
const FAR_ABOVE = { share: 1, "%": 20 }; // the same for scores that should be low; other units have no natural end

/** What a measured ceiling is a score of. */
export const CEILING_NAMES = {
  sim_ceiling: "real clip", sim_codec: "codec copy", wer_real: "real clip", cer_real: "real clip",
  emotion_sim_ceiling: "real clip", emotion_sim_codec: "codec copy",
};

/**
 * { share, goalText } of a score of one clip, or null where it is neither good nor bad.
 * `share` 1 = as good as the ceiling (or the ideal value), 0 = far from it.
 */
export function judge(score, scores) {
  const value = scores[score.name];
  if (value === undefined) return null;
  const verdict = (share, goalText) => ({ share: Math.max(0, Math.min(1, share)), goalText });
  const source = score.ceilings.find((name) => scores[name] !== undefined);
  const ceiling = scores[source];
  if (score.better === "higher" && ceiling > 0) {
    return verdict((value / ceiling - FLOOR_OF_CEILING) / (1 - FLOOR_OF_CEILING), `${CEILING_NAMES[source] ?? "real clip"} ${shortNumber(ceiling)}`);
  }
  if (score.better === "higher" && score.unit === "share") return verdict(value, "ideal 1");
  if (score.better === "lower" && score.unit in FAR_ABOVE) {
    return verdict(1 - (value - (ceiling ?? 0)) / FAR_ABOVE[score.unit], ceiling === undefined ? "ideal 0" : `real clip ${shortNumber(ceiling)}`);
  }
  if (score.better === "one" && value > 0) return verdict(1 - Math.abs(Math.log2(value)), "ideal 1");
  if (score.better === "zero" && score.unit in FAR_FROM_ZERO) return verdict(1 - Math.abs(value) / FAR_FROM_ZERO[score.unit], "ideal 0");
  return null;
}

/** One of five steps, from "far" (0) to "there" (4), for a colour. */
export function grade(share) {
  return Math.min(4, Math.floor(share * 5));
}

/** Three significant digits, no exponent for everyday sizes, a real minus sign. */
export function shortNumber(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size >= 1e6 || (size > 0 && size < 1e-4) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
}

/** "0.71 cosine", "12 %", "1.02". */
export function withUnit(value, unit) {
  return unit && unit !== "share" && unit !== "cosine" ? `${shortNumber(value)} ${unit}` : shortNumber(value);
}
