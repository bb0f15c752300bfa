// A shell in the page: asks for the password, then passes keys, sizes and output between a WebSocket and xterm.js. How
// messages are written is in ovenbird_device/terminal/frames.py.
const form = document.getElementById("open");
const place = document.getElementById("terminal");
const close = document.getElementById("close");
const state = document.getElementById("state");
const DATA = 0, SIZE = 1, SEEN = 2;
const PIECE = 4000, TELL = 32768, MOST = 1000;
const encoder = new TextEncoder();
const say = (text) => { state.textContent = text; };

// The library writes its colours into style elements of its own, which the device's policy forbids. It gets elements that
// look like them and put what is written into a constructed style sheet, which belongs to this script.
const create = document.createElement.bind(document);
document.createElement = (name, ...more) => {
  if (String(name).toLowerCase() !== "style") return create(name, ...more);
  const sheet = new CSSStyleSheet();
  const element = create("template");
  let text = "";
  Object.defineProperty(element, "textContent", {
    get: () => text,
    set: (value) => { text = String(value); sheet.replaceSync(text); },
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    Element.prototype.remove.call(element);
  };
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  return element;
};

const message = (kind, bytes) => {
  const whole = new Uint8Array(bytes.length + 1);
  whole[0] = kind;
  whole.set(bytes, 1);
  return whole;
};
const numbers = (count, set) => {
  const bytes = new Uint8Array(4);
  set(new DataView(bytes.buffer), count);
  return bytes;
};

const converse = (socket, Terminal, FitAddon) => {
  const terminal = new Terminal({
    screenReaderMode: true,
    cursorBlink: false,
    fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace',
    fontSize: 14,
    scrollback: 5000,
    theme: { background: "#1c0f0a", foreground: "#f5e9df", cursor: "#ffb84a", selectionBackground: "#6a3620" },
  });
  const fit = new FitAddon();
  const send = (kind, bytes) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(message(kind, bytes));
  };
  const type = (bytes) => {
    for (let start = 0; start < bytes.length; start += PIECE) send(DATA, bytes.subarray(start, start + PIECE));
  };
  const tellSize = ({ cols, rows }) => send(SIZE, numbers([cols, rows], (view, [columns, lines]) => {
    view.setUint16(0, Math.min(columns, MOST));
    view.setUint16(2, Math.min(lines, MOST));
  }));
  let seen = 0;
  const draw = (bytes) => terminal.write(bytes, () => {
    seen += bytes.length;
    if (seen >= TELL) {
      send(SEEN, numbers(seen, (view, count) => view.setUint32(0, count)));
      seen = 0;
    }
  });

  place.hidden = close.hidden = false;
  form.hidden = true;
  terminal.loadAddon(fit);
  terminal.open(place);
  terminal.textarea.setAttribute("aria-label", `Shell of ${place.dataset.user}. Control F6 leaves it.`);
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.key !== "F6" || !event.ctrlKey) return true;
    event.preventDefault();
    if (event.type === "keydown") close.focus();
    return false;
  });
  fit.fit();
  tellSize(terminal);
  terminal.onResize(tellSize);
  terminal.onData((text) => type(encoder.encode(text)));
  terminal.onBinary((text) => type(Uint8Array.from(text, (sign) => sign.charCodeAt(0) & 255)));
  const watch = new ResizeObserver(() => fit.fit());
  watch.observe(place);
  socket.onmessage = (event) => draw(new Uint8Array(event.data));
  socket.onclose = (event) => {
    watch.disconnect();
    close.hidden = true;
    terminal.options.disableStdin = true;
    say(`${event.reason || (event.wasClean ? "It is closed." : "The connection broke; what ran in it has ended.")}`);
    form.hidden = false;
    form.querySelector("button").textContent = "Open another one";
    form.addEventListener("submit", () => { terminal.dispose(); place.hidden = true; }, { once: true });
    document.getElementById("password").focus();
  };
  close.onclick = () => socket.close(1000);
  say("Open.");
  terminal.focus();
};

document.getElementById("without").remove();
form.hidden = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("password"), button = form.querySelector("button");
  const body = new URLSearchParams({ password: field.value });
  field.value = "";
  button.disabled = true;
  say("Opening…");
  try {
    const loading = Promise.all([import(place.dataset.xterm), import(place.dataset.fit)]);
    const answer = await fetch("/terminal", { method: "POST", headers: { Accept: "application/json" }, body });
    const told = await answer.json();
    const [{ Terminal }, { FitAddon }] = await loading;
    if (!answer.ok) {
      say([told.error, answer.status === 429 ? told.hint : ""].join(" ").trim());
      field.focus();
      return;
    }
    const url = new URL(told.path, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, [told.protocol, told.ticket]);
    socket.binaryType = "arraybuffer";
    await new Promise((done) => {
      socket.onopen = () => { converse(socket, Terminal, FitAddon); done(); };
      socket.onclose = () => { say("The device refused it. Reload the page."); done(); };
    });
  } catch {
    say("The device does not answer.");
  } finally {
    button.disabled = false;
  }
});
