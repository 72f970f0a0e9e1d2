// Charts of every scalar, runs overlaid, with one smoothing and one cursor for all. Drawn with uPlot.

import { runColour } from "./colours.js";
import { make } from "./dom.js";
import { shortNumber } from "./scores.js";
import { align, smooth } from "./smoothing.js";

const OPEN = ["Scores", "Conditioning", "Training", "Tokens"]; // sections that are open at first
const CHART = 240; // pixels high

/** { element, draw(theme) }: charts are created when their group is opened and redrawn when the theme changes. */
export function curvesSection({ index, curves }) {
  const runs = index.runs.map((run) => run.name);
  const colour = (name) => runColour(index.runs, name, theme);
  let weight = 0;
  let theme = "light";
  const charts = new Set();
  const slider = make("input", { type: "range", id: "smooth", min: 0, max: 0.99, step: 0.01, value: 0 });
  const shown = make("output", { for: "smooth" }, "0");
  const search = make("input", { type: "search", placeholder: "Find a curve", "aria-label": "Find a curve" });
  const names = make("span", { class: "legends" });
  const bar = make("div", { class: "curve-bar" }, make("label", { for: "smooth" }, "Smoothing"), slider, shown, search, names);
  const groups = grouped(curves).map(([name, list]) => {
    const grid = make("div", { class: "charts" });
    const group = make("details", { open: OPEN.includes(name) }, make("summary", {}, `${name} (${list.filter(isWanted).length})`), grid);
    group.ontoggle = () => fill(group, grid, list);
    return { group, grid, list };
  });
  const element = make("section", { class: "sheet curves", "aria-label": "Curves" }, bar, ...groups.map((one) => one.group));
  if (!curves.length) element.append(make("p", {}, "No curves were logged."));

  /** Interval bounds are drawn as bands of their curves; as charts of their own they appear only in search results. */
  function isWanted(curve) {
    return search.value ? curve.tag.toLowerCase().includes(search.value.toLowerCase()) : !curve.is_detail;
  }

  function fill(group, grid, list) {
    if (!group.open || element.hidden) return;
    const wanted = list.filter(isWanted);
    for (const chart of [...charts]) if (grid.contains(chart.root)) charts.delete(chart.destroy() ?? chart);
    grid.replaceChildren(...wanted.map((curve) => {
      const place = make("figure", { "data-tag": curve.tag }, make("figcaption", { title: curve.meaning }, curve.tag, make("span", {}, curve.unit)));
      grid.append(place);
      charts.add(chartOf(curve, runs, place, { weight, colour, width: place.clientWidth }));
      return place;
    }));
  }

  const redraw = () => {
    for (const { group, grid, list } of groups) fill(group, grid, list);
  };
  slider.oninput = () => {
    weight = Number(slider.value);
    shown.textContent = slider.value;
    for (const chart of charts) chart.setData(chart.dataFor(weight));
  };
  search.oninput = () => {
    for (const { group, list } of groups) {
      const hits = list.some(isWanted);
      group.hidden = !hits;
      if (search.value && hits) group.open = true;
    }
    redraw();
  };
  return {
    element,
    draw(newTheme) {
      theme = newTheme;
      names.replaceChildren(...legend(runs, colour));
      redraw();
    },
  };
}

function legend(runs, colour) {
  return runs.map((name) => {
    const item = make("span", { class: "legend" }, make("i", { "aria-hidden": "true" }), name);
    item.style.setProperty("--run", colour(name));
    return item;
  });
}

/** [[section, curves], …] in the order of the curves. */
function grouped(curves) {
  const groups = new Map();
  for (const curve of curves) groups.set(curve.section, [...(groups.get(curve.section) ?? []), curve]);
  return [...groups];
}

function chartOf(curve, runs, place, { weight, colour, width }) {
  // First one line per run, then the two bounds of each interval.
  const banded = runs.filter((run) => curve.high[run] && curve.low[run]);
  const ends = banded.flatMap((run) => [curve.high[run], curve.low[run]]);
  const [steps, ...values] = align([...runs.map((run) => curve.runs[run] ?? []), ...ends]);
  const dataFor = (by) => [steps, ...values.map((list) => smooth(list, by))];
  const ink = getComputedStyle(document.documentElement);
  const [soft, line] = ["--soft", "--line"].map((name) => ink.getPropertyValue(name).trim());
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, font: "11px system-ui" };
  const chart = new uPlot(
    {
      width,
      height: CHART,
      scales: { x: { time: false } },
      cursor: { sync: { key: "curves" }, drag: { x: true, y: false } },
      axes: [{ ...axis, label: "step", labelSize: 16, labelFont: "11px system-ui" }, { ...axis, size: 60, values: (_, ticks) => ticks.map(shortNumber) }],
      series: [
        { label: "step" },
        ...runs.map((name) => ({
          label: name,
          stroke: colour(name),
          width: 1.7,
          spanGaps: true,
          points: { show: steps.length < 40, size: 4 },
          value: (_, value) => (value === null ? "–" : shortNumber(value)),
        })),
        ...ends.map(() => ({ label: "", stroke: "transparent", width: 0, points: { show: false }, spanGaps: true })),
      ],
      bands: banded.map((run, place) => {
        const high = 1 + runs.length + 2 * place;
        return { series: [high, high + 1], fill: `${colour(run)}26` };
      }),
    },
    dataFor(weight),
    place,
  );
  [...place.querySelectorAll(".u-series")].slice(1 + runs.length).forEach((row) => (row.hidden = true));
  chart.dataFor = dataFor;
  return chart;
}
