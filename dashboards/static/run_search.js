// Finds, orders and chooses runs of a leaderboard: pure functions of its lines.

const CONDITION = /^([\w./-]+)(<=|>=|=|<|>)(.+)$/;
const COMPARE = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };

/**
 * The lines that match every word of `query`: a part of the run's name, or a condition on a score or a setting, such as
 * `sim_margin>0.2`, `learning_rate=0.0002` or `codec=mimi` ("=" takes a part of a text).
 */
export function searchRuns(lines, query) {
  const words = query.trim().split(/\s+/).filter(Boolean);
  return lines.filter((line) => words.every((word) => matches(line, word)));
}

function matches(line, word) {
  const condition = CONDITION.exec(word);
  if (!condition) return line.name.toLowerCase().includes(word.toLowerCase());
  const [, name, sign, wanted] = condition;
  const value = line.scores[name]?.mean ?? line.settings?.[name] ?? { step: line.step, best_step: line.best_step }[name];
  if (value === undefined || value === null) return false;
  if (sign === "=") return typeof value === "number" ? value === Number(wanted) : String(value).toLowerCase().includes(wanted.toLowerCase());
  return COMPARE[sign](Number(value), Number(wanted));
}

/** The lines by name, step, findings or a score, those without it last. `directions`: score → "higher", "lower", …. */
export function sortRuns(lines, key, descending, directions) {
  const values = {
    run: (line) => line.name,
    step: (line) => line.step,
    best_step: (line) => line.best_step,
    findings: (line) => line.findings.length,
  };
  const value = values[key] ?? ((line) => goodness(line.scores[key]?.mean, directions[key]));
  const compared = (a, b) => {
    if (a === null || a === undefined || b === null || b === undefined) return ((a ?? null) === null) - ((b ?? null) === null);
    const order = typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
    return descending ? -order : order;
  };
  return key ? [...lines].sort((a, b) => compared(value(a), value(b))) : lines;
}

/** The names of the `count` best runs in a score; runs without it are left out. */
export function bestRuns(lines, score, count, directions) {
  const having = lines.filter((line) => Number.isFinite(line.scores[score]?.mean));
  return sortRuns(having, score, true, directions).slice(0, count).map((line) => line.name);
}

/** Larger is better: a score's value, turned by its direction. */
function goodness(value, direction) {
  if (value === undefined || value === null) return null;
  if (direction === "lower") return -value;
  if (direction === "zero") return -Math.abs(value);
  return direction === "one" ? -Math.abs(value - 1) : value;
}
