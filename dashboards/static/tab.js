// Entry point of the TensorBoard tab: TensorBoard imports this module in an iframe and calls `render()`.
// It imports the board only then, so that the index and the modules load at the same time.

const REFRESH_MS = 5000;
const PLUGIN = "p.voices."; // TensorBoard keeps `p.<plugin>.<key>` in its address for plugins

export async function render() {
  document.documentElement.lang = "en";
  document.title = "Voices";
  const loaded = Promise.all([fetchIndex(), import("./board.js"), addStyles()]);
  const [index, { Board }] = await loaded.catch((error) => {
    document.body.append(`The voices cannot be read (${error.message}). Reload the page to try again.`);
    throw error;
  });
  applyTheme();
  const board = new Board(source, index, { theme: currentTheme(), link: readLink() });
  document.body.append(board.element);
  window.focus(); // keys work before the first click
  watchTheme(() => {
    applyTheme();
    board.setTheme(currentTheme());
  });
  keepFresh(board);
}

const source = {
  async bytes({ run, voice, file }) {
    const answer = await fetch(`clip?${new URLSearchParams({ run, voice, name: file })}`);
    if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
    return answer.arrayBuffer();
  },
  /** A URL of TensorBoard itself, not of the iframe. */
  address(link) {
    const page = new URL(frameHost().location.href);
    page.hash = ["voices", ...[...link].map(([name, value]) => `${PLUGIN}${name}=${encodeURIComponent(value)}`)].join("&");
    return page.href;
  },
};

function addStyles() {
  const styles = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "static/board.css" });
  document.head.append(styles);
  return new Promise((resolve) => (styles.onload = styles.onerror = resolve));
}

let known = null;

/** The index, or null when it has not changed. */
async function fetchIndex() {
  const answer = await fetch("index.json", { cache: "no-store", headers: known ? { "If-None-Match": known } : {} });
  if (answer.status === 304) return null;
  if (!answer.ok) throw new Error(`index.json: ${answer.status}`);
  known = answer.headers.get("ETag");
  return answer.json();
}

function keepFresh(board) {
  setInterval(async () => {
    if (document.hidden || board.element.offsetParent === null) return;
    const index = await fetchIndex().catch(() => null); // the server may be unreachable for a while
    if (index) board.refresh(index);
  }, REFRESH_MS);
}

function frameHost() {
  return window.parent;
}

/** TensorBoard's address is `#voices&p.voices.step=500&…`; the values are those of a query. */
function readLink() {
  const parts = frameHost().location.hash.slice(1).split("&");
  return new URLSearchParams(parts.filter((part) => part.startsWith(PLUGIN)).map((part) => part.slice(PLUGIN.length)).join("&"));
}

function currentTheme() {
  return frameHost().document.body.classList.contains("dark-mode") ? "dark" : "light";
}

function applyTheme() {
  document.documentElement.dataset.theme = currentTheme();
}

function watchTheme(changed) {
  new MutationObserver(changed).observe(frameHost().document.body, { attributes: true, attributeFilter: ["class"] });
}
