// The keyboard shortcuts in one table: keys, name and description in the help, and action.

import { make } from "./dom.js";
import { ABOUT } from "./header.js";
import { TITLES } from "./row.js";

export const KEYS = [
  [[" "], "Space", "play or pause", (board) => board.toggleSelected()],
  [["ArrowLeft", "ArrowRight"], "← →", "other clip of this voice, at the same position", (board, key) => board.moveClip(key === "ArrowLeft" ? -1 : 1)],
  [["ArrowUp", "ArrowDown"], "↑ ↓", "other voice", (board, key) => board.moveVoice(key === "ArrowUp" ? -1 : 1)],
  [[..."123456789"], "1 – 9", "generated clip of that run, at the same position", (board, key) => board.pickRun(Number(key) - 1)],
  [["[", "]"], "[ ]", "earlier or later step", (board, key) => board.moveStep(key === "[" ? -1 : 1)],
  [["Home"], "Home", "back to the start of the clip", (board) => board.player.seek(0)],
  [["l"], "L", "repeat on or off", (board) => board.transport.loop.click()],
  [["?"], "?", "this list, and what the scores mean", (board) => board.help.showModal()],
];

/** Listens on the whole page, except in text fields and in controls that use the same key. */
export function listen(board) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || board.help.open || board.test || !board.element.isConnected) return;
    if (board.element.offsetParent === null || needsKey(event.target, event.key)) return;
    const entry = KEYS.find(([keys]) => keys.includes(event.key));
    if (!entry) return;
    event.preventDefault();
    entry[3](board, event.key);
  });
}

function needsKey(target, key) {
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return true;
  if (target instanceof HTMLInputElement) return target.type === "checkbox" ? key === " " : target.type !== "range" || key !== " ";
  return target instanceof HTMLButtonElement && key === " " && !target.classList.contains("play");
}

/** The dialog that lists the keys, and what each of the `scores` means. */
export function helpDialog(scores) {
  const rows = KEYS.map(([, name, does]) => make("div", {}, make("dt", {}, make("kbd", {}, name)), make("dd", {}, does)));
  const meanings = scores.map(({ name, meaning, unit }) => make("div", {}, make("dt", {}, name), make("dd", {}, unit ? `${meaning} (${unit})` : meaning)));
  const clips = Object.entries(ABOUT).map(([kind, text]) => make("div", {}, make("dt", {}, TITLES[kind]), make("dd", {}, text)));
  const close = make("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = make("dialog", { "aria-label": "Keys", class: "help" }, make("h2", {}, "Keys"), make("dl", {}, ...rows), make("h2", {}, "Clips"), make("dl", { class: "meanings" }, ...clips), make("h2", {}, "Scores"), make("dl", { class: "meanings" }, ...meanings), close);
  return dialog;
}
