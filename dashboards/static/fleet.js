// The runs of a log directory: a table of all of them, and the voices of those that are shown, loaded when asked for.

const AT_ONCE = 4; // runs loaded at the same time

export class Fleet {
  /** `get(address, etag)` answers { status, etag, content }; it rejects where the server cannot be reached. */
  constructor(get) {
    this.get = get;
    this.etag = null;
    this.table = { scores: [], runs: [], problems: [] };
    this.loaded = new Map(); // run → { version, voices }
    this.asked = new Map(); // run → version that is being loaded
    this.failed = new Map(); // run → message
    this.colours = new Map(); // run → colour in TensorBoard's own list
  }

  /** Asks for the table; true when it has changed. */
  async refresh() {
    const { status, etag, content } = await this.get("runs.json", this.etag);
    if (status === 304) return false;
    this.etag = etag;
    this.table = content;
    return true;
  }

  /**
   * Loads those of the runs that are neither there in their newest version nor on their way. Calls `arrived()` after the first one,
   * then as often as it has time for (it costs more with every run that is there), and at the end.
   */
  async load(names, arrived) {
    const versions = new Map(this.table.runs.map((run) => [run.name, run.version]));
    const isNew = (name) => ![this.loaded.get(name)?.version, this.asked.get(name)].includes(versions.get(name));
    const waiting = names.filter((name) => versions.has(name) && isNew(name));
    for (const name of waiting) this.asked.set(name, versions.get(name));
    const tell = spaced(arrived);
    const work = async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        try {
          const { content } = await this.get(`voices.json?${new URLSearchParams({ run: name })}`, null);
          this.loaded.set(name, { version: content.version, voices: content.voices });
          this.failed.delete(name);
        } catch (error) {
          this.failed.set(name, error.message);
        }
        this.asked.delete(name);
        tell();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    tell.last();
  }

  /** The index of the board: all runs, and the voices of the loaded ones. */
  index() {
    const problems = [...this.table.problems, ...[...this.failed].map(([run, message]) => `${run}: ${message}`)];
    const merged = mergeRuns(this.table, this.loaded);
    return { ...merged, runs: merged.runs.map((run) => ({ ...run, colour: this.colours.get(run.name) })), problems };
  }
}

/** `work` for callers that come often: done at once, or after six times as long as it took. `last()` does what still waits. */
export function spaced(work, share = 6) {
  let timer = null;
  let free = 0; // when it may be done again
  const now = () => {
    clearTimeout(timer);
    timer = null;
    const begin = performance.now();
    work();
    free = performance.now() + share * (performance.now() - begin);
  };
  const soon = () => {
    if (performance.now() >= free) now();
    else timer ??= setTimeout(now, free - performance.now());
  };
  soon.last = () => timer !== null && now();
  return soon;
}

/** One row per voice id; texts and fixed clips come from the first run that has them. */
export function mergeRuns(table, loaded) {
  const voices = new Map();
  for (const run of table.runs) {
    for (const voice of loaded.get(run.name)?.voices ?? []) {
      const row = voices.get(voice.id) ?? { ...voice, clips: {}, generated: {} };
      for (const key of ["speaker", "group", "language", "reference_text", "target_text"]) row[key] ||= voice[key];
      for (const [kind, clip] of Object.entries(voice.clips)) row.clips[kind] ??= { run: run.name, ...clip };
      if (voice.steps.length) row.generated[run.name] = voice.steps;
      voices.set(voice.id, row);
    }
  }
  const runs = table.runs.map((run) => ({ ...run, loaded: loaded.has(run.name) }));
  return { scores: table.scores, runs, voices: [...voices.values()].sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

/** The runs that are shown at first: all of a few, else those with the best scores, else the first ones. */
export function firstRuns(runs, most = 4, kept = 3) {
  if (runs.length <= most) return runs.map((run) => run.name);
  return runs.slice(-kept).map((run) => run.name);
}
