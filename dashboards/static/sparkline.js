// A chart of one score of one voice over the steps, one line per run; the ceiling is dashed. A click selects a step.

import { draw } from "./dom.js";
import { shortNumber } from "./scores.js";

const CHART_WIDTH = 200;
const CHART_HEIGHT = 44;
const CHART_EDGE = 4;
const MANY = 9; // lines, of which not each is named

/**
 * `lines` [{ name, colour, points: [[step, value], …] }], `ceilings` [{ name, value }], `step` the one shown or null,
 * `onStep(step)` or null.
 * Returns an SVG, or null where nothing was measured.
 */
export function sparkline({ lines, ceilings, step, scoreName, onStep }) {
  const drawn = lines.filter((line) => line.points.length);
  const points = drawn.flatMap((line) => line.points);
  if (!points.length) return null;
  const values = [...points.map((point) => point[1]), ...ceilings.map((each) => each.value)];
  const steps = points.map((point) => point[0]);
  const [first, last] = ends(steps);
  const x = scale(first, last, CHART_EDGE, CHART_WIDTH - CHART_EDGE);
  const y = scale(...ends(values), CHART_HEIGHT - CHART_EDGE, CHART_EDGE);
  const picture = draw("svg", { class: "sparkline", viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`, role: "img" });
  picture.setAttribute("aria-label", `${scoreName} over steps; newest: ${newestOf(drawn)}`);
  picture.append(draw("title", {}, `${scoreName} over steps ${first} to ${last}.${onStep ? " Click to go to a step." : ""}`));
  ceilings.forEach(({ value }, place) => picture.append(draw("line", { class: place ? "ceiling dotted" : "ceiling", x1: 0, x2: CHART_WIDTH, y1: y(value), y2: y(value) })));
  if (step !== null) picture.append(draw("line", { class: "now", x1: x(step), x2: x(step), y1: 0, y2: CHART_HEIGHT }));
  for (const colour of new Set(drawn.map((line) => line.colour))) {
    // One element for all lines of a colour: hundreds of elements in each row would be painted with every key.
    const paths = drawn.filter((line) => line.colour === colour).map(({ points }) => points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`));
    picture.append(draw("path", { class: "curve", d: paths.map((path) => `M${path.join("L")}`).join(""), stroke: colour }));
    picture.append(draw("path", { class: "dots", d: paths.map((path) => `M${path.at(-1)}h0`).join(""), stroke: colour }));
  }
  if (onStep) picture.onclick = (event) => {
    const share = (event.clientX - picture.getBoundingClientRect().left) / picture.clientWidth;
    const nearest = steps.reduce((a, b) => (Math.abs(x(b) - share * CHART_WIDTH) < Math.abs(x(a) - share * CHART_WIDTH) ? b : a));
    onStep(nearest);
  };
  return picture;
}

/** The newest value of each line, or of many the lowest and the highest one. */
function newestOf(lines) {
  const newest = lines.map((line) => ({ name: line.name, value: line.points.at(-1)[1] }));
  const told = ({ name, value }) => `${name} ${shortNumber(value)}`;
  if (newest.length <= MANY) return newest.map(told).join(", ");
  newest.sort((a, b) => a.value - b.value);
  return `${newest.length} runs, from ${told(newest[0])} to ${told(newest.at(-1))}`;
}

/** Lowest and highest value; `Math.min(...values)` fails above some 100,000. */
function ends(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

function scale(low, high, from, to) {
  return (value) => (high === low ? (from + to) / 2 : from + ((value - low) / (high - low)) * (to - from));
}
