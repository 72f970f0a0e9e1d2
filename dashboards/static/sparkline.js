// A chart of one score of one voice over the steps, one line per run; the ceiling is dashed. A click selects a step.

import { draw } from "./dom.js";
import { shortNumber } from "./scores.js";

const CHART_WIDTH = 200;
const CHART_HEIGHT = 44;
const CHART_EDGE = 4;

/**
 * `lines` [{ name, colour, points: [[step, value], …] }], `ceilings` [{ name, value }], `step` the one shown or null,
 * `onStep(step)` or null.
 * Returns an SVG, or null where nothing was measured.
 */
export function sparkline({ lines, ceilings, step, scoreName, onStep }) {
  const points = lines.flatMap((line) => line.points);
  if (!points.length) return null;
  const values = [...points.map((point) => point[1]), ...ceilings.map((each) => each.value)];
  const steps = points.map((point) => point[0]);
  const x = scale(Math.min(...steps), Math.max(...steps), CHART_EDGE, CHART_WIDTH - CHART_EDGE);
  const y = scale(Math.min(...values), Math.max(...values), CHART_HEIGHT - CHART_EDGE, CHART_EDGE);
  const picture = draw("svg", { class: "sparkline", viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`, role: "img" });
  const last = lines.filter((line) => line.points.length).map((line) => `${line.name} ${shortNumber(line.points.at(-1)[1])}`);
  picture.setAttribute("aria-label", `${scoreName} over steps; newest: ${last.join(", ")}`);
  picture.append(draw("title", {}, `${scoreName} over steps ${Math.min(...steps)} to ${Math.max(...steps)}.${onStep ? " Click to go to a step." : ""}`));
  ceilings.forEach(({ value }, place) => picture.append(draw("line", { class: place ? "ceiling dotted" : "ceiling", x1: 0, x2: CHART_WIDTH, y1: y(value), y2: y(value) })));
  if (step !== null) picture.append(draw("line", { class: "now", x1: x(step), x2: x(step), y1: 0, y2: CHART_HEIGHT }));
  for (const line of lines) {
    const path = line.points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    picture.append(draw("polyline", { points: path, stroke: line.colour, fill: "none" }));
    const newest = line.points.at(-1);
    if (newest) picture.append(draw("circle", { cx: x(newest[0]), cy: y(newest[1]), r: 2, fill: line.colour }));
  }
  if (onStep) picture.onclick = (event) => {
    const share = (event.clientX - picture.getBoundingClientRect().left) / picture.clientWidth;
    const nearest = steps.reduce((a, b) => (Math.abs(x(b) - share * CHART_WIDTH) < Math.abs(x(a) - share * CHART_WIDTH) ? b : a));
    onStep(nearest);
  };
  return picture;
}

function scale(low, high, from, to) {
  return (value) => (high === low ? (from + to) / 2 : from + ((value - low) / (high - low)) * (to - from));
}
