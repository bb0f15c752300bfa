// The log as it grows: lines come by server-sent events, older ones by a click, and nothing moves while it is paused.
"use strict";
(() => {
  const MOST = 3000;
  const journal = document.getElementById("journal");
  const log = document.getElementById("log"), lines = document.getElementById("lines");
  const state = document.getElementById("log-state"), pause = document.getElementById("pause");
  if (!journal) return;
  const TONES = ["worst", "worst", "worst", "worst", "bad", "", "", "faint"];
  const LEVELS = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
  const whole = journal.querySelector("form").getAttribute("action") === "/logs";
  const when = new Intl.DateTimeFormat(undefined, { month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const local = (time) => { time.textContent = when.format(new Date(time.dateTime)); };
  const make = (line) => {
    const item = document.createElement("li"), time = document.createElement("time");
    time.dateTime = new Date(line.time / 1000).toISOString();
    local(time);
    item.append(time, " ");
    item.className = TONES[line.level];
    const add = (kind, text) => { const part = document.createElement(kind); part.textContent = text; item.append(part, " "); };
    if (line.level <= 4) add("em", LEVELS[line.level]);
    if (whole) add("b", line.source);
    add("span", line.text);
    return item;
  };
  const low = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  lines.querySelectorAll("time").forEach(local);
  log.scrollTop = log.scrollHeight;

  document.getElementById("older")?.addEventListener("click", async (event) => {
    event.preventDefault();
    const link = event.currentTarget;
    const answer = await fetch(link.href, { headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer?.ok) { location.href = link.href; return; }
    const page = await answer.json();
    const height = log.scrollHeight;
    lines.prepend(...page.lines.map(make));
    log.scrollTop += log.scrollHeight - height;
    if (page.more) {
      const next = new URL(link.href);
      next.searchParams.set("before", page.before);
      link.href = next;
    } else link.parentElement.remove();
  });

  if (!journal.dataset.stream) return;
  let paused = false, waiting = [], scheduled = false, missed = 0;
  const show = () => {
    scheduled = false;
    const follow = low();
    document.getElementById("none")?.remove();
    lines.append(...waiting.map(make));
    waiting = [];
    while (follow && lines.children.length > MOST) lines.firstElementChild.remove();
    if (follow) log.scrollTop = log.scrollHeight;
  };
  const soon = () => {
    if (paused) state.textContent = `Paused; ${waiting.length + missed} new ${waiting.length + missed === 1 ? "line" : "lines"}.`;
    else if (!scheduled) { scheduled = true; setTimeout(show, 100); }
  };
  const source = new EventSource(journal.dataset.stream);
  source.onopen = () => { if (!paused) state.textContent = "Live"; };
  source.onerror = () => {
    state.textContent = source.readyState === EventSource.CLOSED ? "Not live: reload the page." : "The device does not answer. Lines are fetched when it is back.";
  };
  source.addEventListener("trouble", (event) => { state.textContent = event.data; source.close(); });
  source.onmessage = (event) => {
    waiting.push(JSON.parse(event.data));
    if (waiting.length > MOST) { waiting.shift(); missed += 1; }
    soon();
  };
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) { state.textContent = "Paused"; return; }
    state.textContent = "Live";
    missed = 0;
    show();
    log.scrollTop = log.scrollHeight;
  });
})();
