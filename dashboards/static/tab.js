// Entry point of the TensorBoard tab: TensorBoard imports this module in an iframe and calls `render()`.
// It imports the board only then, so that the table of runs, the first voices and the modules load at the same time.

import { Fleet, firstRuns } from "./fleet.js";
import { followed, listedRuns } from "./tensorboard_runs.js";

const REFRESH_MS = 5000;
const PENDING_MS = 1000; // while the server reads runs for the first time
const FOLLOW_MS = 200; // after an event in TensorBoard, which then draws its list again
const PLUGIN = "p.voices."; // TensorBoard keeps `p.<plugin>.<key>` in its address for plugins
const STORE = "tracker_logging.view";

export async function render() {
  document.documentElement.lang = "en";
  document.title = "Voices";
  const fleet = new Fleet(ask);
  const link = readLink();
  let board = null;
  const load = (names) => fleet.load(names, () => board?.refresh(fleet.index()));
  const table = fleet.refresh().then(() => {
    if (!link.get("runs")) load(firstRuns(fleet.table.runs));
  });
  const loaded = Promise.all([table, import("./board.js"), addStyles()]);
  const [, { Board }] = await loaded.catch((error) => {
    document.body.append(`The voices cannot be read (${error.message}). Reload the page to try again.`);
    throw error;
  });
  applyTheme();
  board = new Board(source, fleet.index(), { theme: currentTheme(), link, shown: firstRuns(fleet.table.runs) });
  document.body.append(board.element);
  let shown = null;
  board.changed = () => {
    remember(board);
    if (shown === board.view.shown) return;
    shown = board.view.shown;
    load(shown);
  };
  await load(board.view.shown);
  const follow = followRuns(fleet, board);
  watchTheme(() => {
    applyTheme();
    follow();
    board.setTheme(currentTheme());
  });
  keepFresh(fleet, board, load);
}

const source = {
  async bytes({ run, voice, file }) {
    const answer = await answered(`clip?${new URLSearchParams({ run, voice, name: file })}`);
    if (!answer.ok) throw new Error(answer.status === 404 ? "the file is missing" : `the server answers ${answer.status}`);
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
  const add = (name) => {
    const styles = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `static/${name}` });
    document.head.append(styles);
    return new Promise((resolve) => (styles.onload = styles.onerror = resolve));
  };
  return Promise.all(["board.css", "leaderboard.css"].map(add));
}

function answered(address, options) {
  return fetch(address, options).catch(() => {
    throw new Error("the server does not answer");
  });
}

async function ask(address, etag) {
  const answer = await answered(address, { cache: "no-store", headers: etag ? { "If-None-Match": etag } : {} });
  if (answer.status === 304) return { status: 304, etag, content: null };
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  const content = await answer.json().catch((error) => {
    throw new Error(`the answer of the server cannot be read (${error.message})`);
  });
  return { status: answer.status, etag: answer.headers.get("ETag"), content };
}

function keepFresh(fleet, board, load) {
  const look = async () => {
    if (!document.hidden && board.element.offsetParent !== null) {
      try {
        if (await fleet.refresh()) {
          board.refresh(fleet.index());
          await load(board.view.shown);
        }
        board.setTrouble(null);
      } catch (error) {
        board.setTrouble(error.message);
      }
    }
    setTimeout(look, fleet.table.runs.some((run) => run.pending) ? PENDING_MS : REFRESH_MS);
  };
  setTimeout(look, fleet.table.runs.some((run) => run.pending) ? PENDING_MS : REFRESH_MS);
}

/** Shows the runs that are selected in TensorBoard's own list, in its colours; returns a function that looks again. */
function followRuns(fleet, board) {
  let before = null;
  const look = () => {
    const now = listedRuns(frameHost().document);
    const shown = followed(fleet.table.runs, board.view.shown, before, now);
    const colours = new Map([...(now ?? [])].map(([name, { colour }]) => [name, colour]));
    const isRecoloured = [...colours].some(([name, colour]) => colour && fleet.colours.get(name) !== colour);
    before = now ?? before;
    if (isRecoloured) fleet.colours = colours;
    if (isRecoloured) board.refresh(fleet.index());
    if (shown) board.change({ shown });
  };
  const later = () => setTimeout(look, FOLLOW_MS);
  for (const event of ["change", "click", "keyup"]) frameHost().document.addEventListener(event, later);
  frameHost().addEventListener("hashchange", later);
  return look;
}

function frameHost() {
  return window.parent;
}

/** TensorBoard's address is `#voices&p.voices.step=500&…`; the values are those of a query. Else the view before a reload. */
function readLink() {
  const parts = frameHost().location.hash.slice(1).split("&").filter((part) => part.startsWith(PLUGIN));
  if (parts.length) return new URLSearchParams(parts.map((part) => part.slice(PLUGIN.length)).join("&"));
  try {
    return new URLSearchParams(sessionStorage.getItem(STORE) ?? "");
  } catch {
    return new URLSearchParams();
  }
}

function remember(board) {
  const link = board.linkOfView();
  if (board.view.step === null) link.delete("step"); // the newest step stays the newest
  try {
    sessionStorage.setItem(STORE, link.toString());
  } catch {
    return; // the browser denies storage: the view is lost with a reload
  }
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
