// The state of the view and what is derived from it: pure functions of index and view.

/** The index with the takes of one prompt (ids ID, ID-take2, …) as one voice: `takes` = [{ id, number, generated }], by number. */
export function withTakes(index) {
  const known = new Set(index.voices.map((voice) => voice.id));
  const prompts = new Map();
  for (const voice of index.voices) {
    const [, prompt, number] = voice.id.match(/^(.+)-take(\d+)$/) ?? [];
    const first = known.has(prompt) ? prompt : voice.id;
    const take = { id: voice.id, number: first === voice.id ? 1 : Number(number), generated: voice.generated };
    prompts.set(first, { ...(prompts.get(first) ?? {}), ...(first === voice.id ? voice : {}), takes: [...(prompts.get(first)?.takes ?? []), take] });
  }
  const voices = [...prompts.values()].map((voice) => ({ ...voice, takes: voice.takes.sort((a, b) => a.number - b.number) }));
  return { ...index, voices };
}

/** The take of a voice that is shown for a run: the chosen one, or the last one before it that the run has. */
export function takeOf(voice, run, number) {
  const takes = voice.takes ?? [{ id: voice.id, number: 1, generated: voice.generated }];
  return takes.findLast((take) => take.number <= number && take.generated[run]) ?? takes[0];
}

const means = new WeakMap(); // voice → run and score → means

/** [[step, mean of a score over the takes that have it]], ascending. Kept, as charts, order and filters ask for it again and again. */
export function meansOf(voice, run, score) {
  const key = `${score} ${run}`;
  if (!means.has(voice)) means.set(voice, new Map());
  const known = means.get(voice);
  if (!known.has(key)) known.set(key, takeMeans(voice, run, score));
  return known.get(key);
}

function takeMeans(voice, run, score) {
  const values = new Map();
  for (const take of voice.takes ?? [voice]) {
    for (const entry of take.generated[run] ?? []) if (score in entry.scores) values.set(entry.step, [...(values.get(entry.step) ?? []), entry.scores[score]]);
  }
  return [...values].sort(([a], [b]) => a - b).map(([step, all]) => [step, all.reduce((sum, one) => sum + one, 0) / all.length]);
}

/** The initial view: newest step, all runs, order of the files. */
export function firstView(index, shown = index.runs.map((run) => run.name)) {
  const measured = measuredScores(index);
  const [group] = groupsOf(index);
  return {
    step: null, // null = always the newest step
    shown, // names of the runs on the board
    voice: (index.voices.find((voice) => (voice.group ?? "") === group) ?? index.voices[0])?.id ?? null,
    take: 1,
    column: null, // "reference", "target", "codec" or "run:<name>"
    score: (measured.find((score) => score.ceilings.length) ?? measured[0])?.name ?? "",
    sort: "", // "", "speaker", "text" or the name of a run, by `score`
    descending: false,
    query: "",
    speaker: "",
    limit: null, // shows only voices with a score on the right side of it in a visible run
    limitSide: "max", // "max": at most `limit`; "min": at least
    every: false, // every score of a clip, not only the main ones
    folded: [], // names of the groups whose rows are hidden
  };
}

/** `derive(index, view)`, kept as long as index and these fields of the view are the same: it is asked for by every cell. */
function kept(derive, fields = ["shown"]) {
  const known = new WeakMap(); // index → { view, value }
  return (index, view) => {
    const before = known.get(index);
    if (!before || fields.some((field) => before.view[field] !== view[field])) known.set(index, { view, value: derive(index, view) });
    return known.get(index).value;
  };
}

/** The visible runs, in order. */
export const visibleRuns = kept((index, view) => {
  const shown = new Set(view.shown);
  return index.runs.filter((run) => shown.has(run.name));
});

/** All steps of all visible runs, ascending. */
export const stepsOf = kept((index, view) => {
  const steps = new Set();
  for (const voice of index.voices) {
    for (const run of visibleRuns(index, view)) for (const entry of voice.generated[run.name] ?? []) steps.add(entry.step);
  }
  return [...steps].sort((a, b) => a - b);
});

/** The displayed step: the selected one, or the newest. */
export function stepOf(index, view) {
  const steps = stepsOf(index, view);
  return view.step ?? steps[steps.length - 1] ?? 0;
}

/** The entry of `step`, or the nearest earlier one, or null. Entries ascend. */
export function entryAt(entries, step) {
  let found = null;
  for (const entry of entries ?? []) {
    if (entry.step > step) break;
    found = entry;
  }
  return found;
}

/** The scores that any clip has. */
export function measuredScores(index) {
  const names = new Set();
  for (const voice of index.voices) {
    for (const entries of Object.values(voice.generated)) for (const entry of entries) for (const name in entry.scores) names.add(name);
  }
  return index.scores.filter((score) => names.has(score.name));
}

/** The fixed clips that any voice has, in reading order. */
export function fixedKinds(index) {
  return ["reference", "target", "codec"].filter((kind) => index.voices.some((voice) => voice.clips[kind]));
}

/** Column names from left to right. */
export const columnsOf = kept((index, view) => [...fixedKinds(index), ...visibleRuns(index, view).map((run) => `run:${run.name}`)]);

/** The groups of the voices, trained ones first and those in none ("") last; empty unless there are two. */
export function groupsOf(index) {
  const names = new Set(index.voices.map((voice) => voice.group ?? ""));
  const rank = (name) => (name === "" ? 2 : name.startsWith("trained") ? 0 : 1);
  return names.size < 2 ? [] : [...names].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

const ORDERING = ["shown", "step", "score", "sort", "descending", "query", "speaker", "limit", "limitSide"];

/** The voices that pass the filters, by group and then in the chosen order. Voices without the score go last. */
export const rowsOf = kept((index, view) => {
  const rows = sortedRows(index, view);
  const groups = groupsOf(index);
  return groups.length ? groups.flatMap((group) => rows.filter((voice) => (voice.group ?? "") === group)) : rows;
}, ORDERING);

/** The rows that are on the board: those of no folded group. */
export const openRowsOf = kept((index, view) => {
  const isFolded = groupsOf(index).length ? (voice) => view.folded.includes(voice.group ?? "") : () => false;
  return rowsOf(index, view).filter((voice) => !isFolded(voice));
}, [...ORDERING, "folded"]);

function sortedRows(index, view) {
  const step = stepOf(index, view);
  const runs = visibleRuns(index, view).map((run) => run.name);
  const value = (voice, run) => meansOf(voice, run, view.score).findLast(([at]) => at <= step)?.[1];
  const passes = (voice) => {
    if (view.speaker && voice.speaker !== view.speaker) return false;
    if (view.query && !searchText(voice).includes(view.query.toLowerCase())) return false;
    if (view.limit === null) return true;
    return runs.some((run) => (view.limitSide === "max" ? value(voice, run) <= view.limit : value(voice, run) >= view.limit));
  };
  const rows = index.voices.filter(passes);
  const keys = { speaker: (voice) => voice.speaker ?? "", text: (voice) => voice.target_text ?? "" };
  if (!view.sort) return view.descending ? rows.reverse() : rows;
  const key = keys[view.sort] ?? ((voice) => value(voice, view.sort));
  return rows.sort((a, b) => compareKeys(key(a), key(b), view.descending));
}

/** The selected column if it exists, else the first generated one, else the first. */
export function columnOf(index, view) {
  const columns = columnsOf(index, view);
  return columns.includes(view.column) ? view.column : (columns.find((name) => name.startsWith("run:")) ?? columns[0] ?? null);
}

/** The link parameters of a view: only what differs from the initial one. */
export function toLink(index, view) {
  const link = new URLSearchParams();
  link.set("step", String(stepOf(index, view)));
  if (view.voice) link.set("voice", view.voice);
  if (columnOf(index, view)) link.set("clip", columnOf(index, view));
  if (view.take > 1) link.set("take", String(view.take));
  if (view.shown.length < index.runs.length) link.set("runs", visibleRuns(index, view).map((run) => encodeURIComponent(run.name)).join(","));
  for (const name of ["score", "sort", "query", "speaker"]) if (view[name]) link.set(name, view[name]);
  if (view.descending) link.set("order", "down");
  return link;
}

/** The view that a link describes; missing and invalid parameters keep their current value. */
export function fromLink(index, view, link) {
  const next = { ...view };
  const step = Number(link.get("step"));
  if (link.get("step") && Number.isFinite(step)) next.step = step;
  if (Number(link.get("take")) >= 1) next.take = Number(link.get("take"));
  if (index.voices.some((voice) => voice.id === link.get("voice"))) next.voice = link.get("voice");
  if (link.get("clip")) next.column = link.get("clip");
  if (link.get("runs")) {
    const names = new Set(link.get("runs").split(",").map(decoded));
    const shown = index.runs.map((run) => run.name).filter((name) => names.has(name));
    if (shown.length) next.shown = shown;
  }
  if (index.scores.some((score) => score.name === link.get("score"))) next.score = link.get("score");
  for (const name of ["sort", "query", "speaker"]) if (link.get(name)) next[name] = link.get(name);
  next.descending = link.get("order") === "down" || view.descending;
  return next;
}

/** Percent-decoded text; text that cannot be decoded is returned unchanged. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function searchText(voice) {
  return [voice.id, voice.speaker, voice.group, voice.language, voice.target_text, voice.reference_text].join(" ").toLowerCase();
}

function compareKeys(a, b, descending) {
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return descending ? -order : order;
}
