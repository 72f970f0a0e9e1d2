// A long text that is folded to a few lines until it is opened.

import { make, set, setText } from "./dom.js";

const LONG = 220; // characters

export class Fold {
  /** `element` shows the text; `this.button` stands behind it. */
  constructor(element) {
    this.element = element;
    this.isOpen = false;
    this.button = make("button", { type: "button", class: "fold", hidden: true, onclick: () => this.toggle() });
    this.update("");
  }

  /** Call after each change of the text. */
  update(text = this.element.textContent) {
    this.button.hidden = text.length <= LONG;
    set(this.element, "data-folded", text.length > LONG && !this.isOpen);
    set(this.button, "aria-expanded", this.isOpen);
    setText(this.button, this.isOpen ? "Less" : "All of the text");
  }

  toggle() {
    this.isOpen = !this.isOpen;
    this.update();
  }
}
