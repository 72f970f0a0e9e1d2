// The player bar at the bottom: clip, position and controls.

import { make, set, setText } from "./dom.js";

export class Transport {
  constructor(board) {
    this.board = board;
    const player = board.player;
    this.button = make("button", { type: "button", class: "play", onclick: () => board.toggleSelected() });
    this.name = make("span", { class: "now-name" });
    this.position = make("input", { type: "range", min: 0, max: 1, step: 0.01, "aria-label": "Position in the clip" });
    this.position.oninput = () => player.seek(Number(this.position.value));
    this.time = make("span", { class: "time" });
    this.loop = make("input", { type: "checkbox", id: "loop", onchange: () => player.setLoop(this.loop.checked) });
    this.live = make("span", { class: "unseen", role: "status", "aria-live": "polite" });
    const loop = make("span", { class: "field" }, this.loop, make("label", { for: "loop" }, "Repeat"));
    this.element = make("div", { class: "transport", role: "group", "aria-label": "Player" }, this.button, this.name, this.position, this.time, loop, this.live);
  }

  update({ name, seconds }) {
    const { player } = this.board;
    setText(this.name, name || "Choose a clip");
    this.button.disabled = !name;
    set(this.button, "aria-label", player.playing ? "Pause" : "Play");
    set(this.button, "data-playing", player.playing);
    set(this.position, "max", seconds || 1);
    const failed = player.failed && player.isAt(player.failed);
    setText(this.live, failed ? `${name} cannot be read` : player.playing ? `Playing ${name}` : "");
    this.move(seconds);
  }

  /** Called for each animation frame while a clip plays. */
  move(seconds) {
    const { player } = this.board;
    this.position.value = player.position;
    const text = `${player.position.toFixed(1)} / ${(seconds || 0).toFixed(1)} s`;
    setText(this.time, text);
    set(this.position, "aria-valuetext", text);
  }
}
