// Groups of voices, such as trained and unseen ones: a title above the rows of each, which folds them.

import { make, set, setText } from "./dom.js";
import { shortNumber } from "./scores.js";
import { groupsOf, meansOf, rowsOf, stepOf, visibleRuns } from "./view.js";

const MOST_RUNS = 4; // whose means are in a title

export class Groups {
  constructor(board) {
    this.board = board;
    this.titles = new Map(); // name → title, kept so that its button keeps the focus
  }

  /** `element(voice)` of the voices, which are in no folded group, and the title of each group above those of its rows. */
  withTitles(voices, element) {
    const { index, view } = this.board;
    const groups = groupsOf(index);
    if (!groups.length) return voices.map(element);
    const [all, step, runs] = [rowsOf(index, view), stepOf(index, view), visibleRuns(index, view).slice(0, MOST_RUNS).map((run) => run.name)];
    return groups.flatMap((group) => {
      const members = all.filter((voice) => (voice.group ?? "") === group);
      if (!members.length) return [];
      if (!this.titles.has(group)) this.titles.set(group, new GroupTitle(() => this.fold(group)));
      const title = this.titles.get(group);
      title.update(group, members, { runs, score: view.score, step, folded: view.folded.includes(group) });
      return [title.element, ...voices.filter((voice) => (voice.group ?? "") === group).map(element)];
    });
  }

  fold(group) {
    const { folded } = this.board.view;
    this.board.change({ folded: folded.includes(group) ? folded.filter((name) => name !== group) : [...folded, group] });
  }
}

class GroupTitle {
  constructor(toggle) {
    this.name = make("strong");
    this.count = make("span", { class: "count" });
    this.means = make("span", { class: "means" });
    this.button = make("button", { type: "button", class: "group-fold", onclick: toggle }, this.name, this.count);
    this.element = make("div", { class: "group", role: "row" }, make("div", { class: "group-head", role: "rowheader" }, this.button, this.means));
  }

  /** `runs`: the visible ones, by name; `score` is averaged over the voices of the group, at `step` or the last one before it. */
  update(name, voices, { runs, score, step, folded }) {
    setText(this.name, name || "no group");
    setText(this.count, `${voices.length} voice${voices.length === 1 ? "" : "s"}`);
    set(this.button, "aria-expanded", !folded);
    const means = runs.map((run) => [run, groupMean(voices, run, score, step)]).filter(([, mean]) => mean !== null);
    setText(this.means, means.map(([run, mean]) => `${score} ${shortNumber(mean)}${runs.length > 1 ? ` (${run})` : ""}`).join(", "));
  }
}

/** The mean over the voices that have the score, or null. */
export function groupMean(voices, run, score, step) {
  const values = voices.map((voice) => meansOf(voice, run, score).findLast(([at]) => at <= step)?.[1]).filter((value) => value !== undefined);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}
