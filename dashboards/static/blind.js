// Blind comparison: assigns letters to runs, records preferences and evaluates them.

/** Random numbers 0 ≤ x < 1 that follow from an integer seed (mulberry32). */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * The step of each run at which a voice is compared: { run: step }, or null. With `ownSteps` each run's newest step up to
 * `step`, else the newest one that all of them have. Steps without a clip do not count.
 */
export function comparedSteps(voice, runs, step, ownSteps) {
  const steps = runs.map((run) => (voice.generated[run] ?? []).filter((entry) => entry.clip && entry.step <= step).map((entry) => entry.step));
  if (steps.some((list) => !list.length)) return null;
  if (ownSteps) return Object.fromEntries(runs.map((run, place) => [run, Math.max(...steps[place])]));
  const common = steps[0].filter((each) => steps.every((list) => list.includes(each)));
  return common.length ? Object.fromEntries(runs.map((run) => [run, Math.max(...common)])) : null;
}

/** The order of the runs behind the letters, shuffled for each voice: Map voice id → [run name, …]. 0 ≤ `random()` < 1. */
export function shuffleRuns(voiceIds, runNames, random) {
  return new Map(voiceIds.map((id) => [id, shuffled(runNames, random)]));
}

function shuffled(items, random) {
  const list = [...items];
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** "A", "B", … */
export function letter(place) {
  return String.fromCharCode(65 + place);
}

/** `judgements` with another one added; it replaces an earlier one of the same voice, steps and runs. */
export function record(judgements, judgement) {
  const key = (one) => JSON.stringify([one.voice, Object.entries(one.steps).sort()]);
  return [...judgements.filter((one) => key(one) !== key(judgement)), judgement];
}

/**
 * { total, ties, wins: { run: count }, chance } over the judgements. `chance` is the two-sided sign test (Dixon and
 * Mood 1946) of two runs without ties: how often pure guessing is at least as far from even. null for other numbers of runs.
 */
export function tally(judgements, runNames) {
  const wins = Object.fromEntries(runNames.map((name) => [name, 0]));
  let ties = 0;
  for (const { preferred } of judgements) {
    if (preferred === null) ties += 1;
    else if (preferred in wins) wins[preferred] += 1;
  }
  const decided = judgements.length - ties;
  const chance = runNames.length === 2 && decided ? signTest(Math.max(...Object.values(wins)), decided) : null;
  return { total: judgements.length, ties, wins, chance };
}

function signTest(most, n) {
  let tail = 0;
  for (let k = most; k <= n; k++) tail += binomial(n, k) / 2 ** n;
  return Math.min(1, 2 * tail);
}

function binomial(n, k) {
  let result = 1;
  for (let i = 1; i <= k; i++) result = (result * (n - k + i)) / i;
  return result;
}

/** The tally as one or two sentences. */
export function tallySentence({ total, ties, wins, chance }) {
  if (!total) return "Nothing judged yet.";
  const parts = Object.entries(wins).map(([run, count]) => `${run} preferred in ${count}`);
  const sentence = `${total} judged: ${parts.join(", ")}, no preference in ${ties}.`;
  if (chance === null) return sentence;
  const percent = chance < 0.01 ? "less than 1" : Math.round(100 * chance);
  const verdict = chance < 0.05 ? "so it is unlikely to be chance" : "so no preference is shown";
  return `${sentence} Guessing would be this one-sided ${percent} % of the time, ${verdict}.`;
}
