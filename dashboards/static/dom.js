// Small helpers to build a page. Content is always set as text, never as HTML.

/** A new element: `make("button", { class: "play", "aria-label": "Play", onclick: f }, "Play", child)`. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, ...children);
}

/** The same for a drawing. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, ...children);
}

function fill(element, attributes, ...children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element[name] = value;
    else if (/^(aria|data)-/.test(name)) element.setAttribute(name, String(value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Remembers what something was made from, so that it is made again only when that differs. */
export class Known {
  /** Whether any part of `state` is another one than in the last call. */
  isNew(...state) {
    if (this.state?.every((part, place) => part === state[place])) return false;
    this.state = state;
    return true;
  }
}

/** Set an attribute only when it changes, so that a repeated update costs nothing. */
export function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/** Set the text only when it changes. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
