// How good a score is, between 0 and 1, and how it is written.

const FLOOR_OF_CEILING = 0.6; // a score at 60 % of its ceiling or below gets the colour of 0

/**
 * { share, goal, goalText } of a score of one clip, or null where it is neither good nor bad.
 * `share` 1 = as good as the ceiling (or the ideal value), 0 = far from it.
 */
export function judge(score, scores) {
  const value = scores[score.name];
  if (value === undefined) return null;
  const ceiling = score.ceilings.map((name) => scores[name]).find((measured) => measured !== undefined);
  if (ceiling !== undefined && ceiling > 0) {
    const share = (value / ceiling - FLOOR_OF_CEILING) / (1 - FLOOR_OF_CEILING);
    return { share: between(share), goal: ceiling, goalText: `of ${shortNumber(ceiling)} reachable` };
  }
  if (score.better === "one" && value > 0) return { share: between(1 - Math.abs(Math.log2(value))), goal: 1, goalText: "ideal 1" };
  if (score.better === "zero") return { share: between(1 - Math.abs(value) / 12), goal: 0, goalText: "ideal 0" };
  if (score.better === "lower") return { share: between(1 - value / (score.unit === "%" ? 20 : 1)), goal: 0, goalText: "ideal 0" };
  if (score.better === "higher" && score.unit === "share") return { share: between(value), goal: 1, goalText: "ideal 1" };
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

function between(share) {
  return Math.max(0, Math.min(1, share));
}
