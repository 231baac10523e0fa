// The web page of one node's serial console.
//
// The token comes in the URL's fragment. It is moved to sessionStorage at once
// and sent as a header or as a WebSocket subprotocol, never in a URL.

import { Terminal } from "./xterm.mjs";
import { FitAddon } from "./addon-fit.mjs";

const SUBPROTOCOL = "caddyshack.console.v1";
const TOKEN_SUBPROTOCOL = "caddyshack.token.";
const PIECE = 16 * 1024; // bytes in one message; the server's limit is 64 KiB
const RETRY_MIN = 500; // milliseconds
const RETRY_MAX = 8000;

const element = (id) => document.getElementById(id);
const here = new URL(".", location.href);
const tokenKey = "caddyshack.console " + here.pathname;

const touch = matchMedia("(pointer: coarse)").matches;

const terminal = new Terminal({
  allowProposedApi: false,
  cursorBlink: true,
  fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  fontSize: touch ? 12 : 14,
  scrollback: 10000,
  theme: {
    background: "#0d1114",
    foreground: "#d6dde4",
    cursor: "#63c384",
    selectionBackground: "#34506a",
    black: "#1c232a", brightBlack: "#67737f",
    red: "#ee6a6a", brightRed: "#ff8b86",
    green: "#63c384", brightGreen: "#86dda2",
    yellow: "#e0b050", brightYellow: "#f2cb77",
    blue: "#5aa2e0", brightBlue: "#85c0f2",
    magenta: "#bb86d8", brightMagenta: "#d4a8ec",
    cyan: "#56b9bd", brightCyan: "#82d5d8",
    white: "#c5cdd5", brightWhite: "#f3f6f8",
  },
});

// What a node prints may be shown, and nothing more. It cannot set the title,
// the clipboard, colours or links (OSC), and it gets no answers to questions
// (device attributes, status, settings, window size): each viewer would answer,
// and the answers would be typed into the node's shell.
function makeInert(parser) {
  const swallow = () => true;
  for (const osc of [0, 1, 2, 4, 7, 8, 9, 10, 11, 12, 52, 104, 110, 111, 112, 133, 777, 1337]) {
    parser.registerOscHandler(osc, swallow);
  }
  for (const csi of [
    { final: "c" }, { prefix: ">", final: "c" }, { prefix: "=", final: "c" },
    { final: "n" }, { prefix: "?", final: "n" },
    { final: "t" }, { prefix: ">", final: "q" }, { prefix: "?", final: "u" },
    { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" },
  ]) {
    parser.registerCsiHandler(csi, swallow);
  }
  for (const dcs of [{ intermediates: "$", final: "q" }, { intermediates: "+", final: "q" }]) {
    parser.registerDcsHandler(dcs, swallow);
  }
}

let socket = null;
let retryIn = RETRY_MIN;
let retryTimer = 0;
let attempt = 0; // each connect() makes the earlier ones void

function show(state, text) {
  const e = element("state");
  e.dataset.state = state;
  e.textContent = text;
  e.title = text;
}

function takeToken() {
  const fresh = location.hash.slice(1);
  if (fresh) {
    sessionStorage.setItem(tokenKey, fresh);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(tokenKey);
}

async function connect() {
  const mine = ++attempt;
  clearTimeout(retryTimer);
  socket?.close();
  socket = null;
  const token = takeToken();
  if (!token) {
    show("bad", "Incomplete link. Ask for the address again.");
    return;
  }
  show("wait", "connecting");
  let reply;
  try {
    reply = await fetch(new URL("info", here), {
      headers: { Authorization: "Bearer " + token },
      cache: "no-store",
    });
  } catch {
    if (mine === attempt) retry();
    return;
  }
  if (mine !== attempt) return;
  if (reply.status === 401 || reply.status === 403) {
    show("bad", "Console closed. Ask for its address again.");
    return;
  }
  if (!reply.ok) {
    retry();
    return;
  }
  const { name } = await reply.json();
  if (mine !== attempt) return;
  element("name").textContent = name;
  element("name").title = name;
  document.title = name + " · console";
  open(mine, token);
}

function open(mine, token) {
  const url = new URL("ws", here);
  url.protocol = url.protocol.replace("http", "ws");
  const ws = new WebSocket(url, [SUBPROTOCOL, TOKEN_SUBPROTOCOL + token]);
  ws.binaryType = "arraybuffer";
  ws.onopen = () => {
    if (mine !== attempt) return;
    socket = ws;
    retryIn = RETRY_MIN;
    terminal.reset(); // the server sends the recent output again
  };
  ws.onmessage = (event) => {
    if (mine !== attempt) return;
    if (typeof event.data === "string") {
      showLine(JSON.parse(event.data));
    } else {
      terminal.write(new Uint8Array(event.data));
    }
  };
  ws.onclose = () => {
    if (mine !== attempt) return;
    socket = null;
    retry();
  };
}

function showLine({ line, detail }) {
  if (line === "up") {
    show("good", "connected");
  } else {
    show("wait", "serial line lost: " + (detail || "no reason known") + "; trying again");
  }
}

function retry() {
  show("wait", "connection lost, trying again");
  retryTimer = setTimeout(connect, retryIn);
  retryIn = Math.min(retryIn * 2, RETRY_MAX);
}

function send(bytes) {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  for (let i = 0; i < bytes.length; i += PIECE) {
    socket.send(bytes.subarray(i, i + PIECE));
  }
}

function setReadOnly(on) {
  terminal.options.disableStdin = on;
  terminal.options.cursorBlink = !on;
  element("readonly").setAttribute("aria-pressed", String(on));
  for (const key of element("keys").querySelectorAll("button")) key.disabled = on;
  if (!on && !touch) terminal.focus();
}

makeInert(terminal.parser);
const fit = new FitAddon();
terminal.loadAddon(fit);
terminal.open(element("terminal"));
new ResizeObserver(() => fit.fit()).observe(element("terminal"));

terminal.onData((text) => send(new TextEncoder().encode(text)));
terminal.onBinary((text) => send(Uint8Array.from(text, (c) => c.charCodeAt(0))));

element("readonly").onclick = () => setReadOnly(!terminal.options.disableStdin);
element("keys").onclick = (event) => {
  const key = event.target.dataset?.key;
  if (key) terminal.input(key, true);
};
// Keeps the touch keyboard open.
element("keys").onpointerdown = (event) => event.preventDefault();

addEventListener("hashchange", connect);
if (!touch) terminal.focus();
connect();
