// Sends a bundle piece by piece of what a browser can: one request with the whole file, and when its connection breaks,
// another with the rest. What happens meanwhile is drawn by the server; see templates/update_now.html.
"use strict";
(() => {
  const form = document.getElementById("upload");
  const card = document.getElementById("send");
  const now = () => document.getElementById("update-now");
  const settle = () => {
    if (card) card.hidden = now()?.dataset.busy === "yes";
  };
  document.addEventListener("htmx:afterSwap", settle);
  if (!form) return;
  const trouble = document.getElementById("trouble");
  const button = form.querySelector("button");
  const say = (text) => {
    trouble.textContent = text;
    trouble.hidden = !text;
  };
  const rest = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
  const json = { Accept: "application/json" };
  const look = async () => (await fetch("/update", { headers: json, cache: "no-store", signal: AbortSignal.timeout(8000) })).json();
  let sending = false;

  // Where to go on with this file after a cut; null if the device does not wait for it. What is as long is ours, by
  // whatever name: a browser may have sent it again by itself, as another job. The device may not have noticed the cut
  // yet. Where it has refused us for that, it could also be somebody else's: then only what is paused is gone on with.
  const lost = async (file, refused) => {
    for (let tries = 0; tries < 60; tries++) {
      try {
        const { state, job } = await look();
        if (!job || job.size !== file.size) return null;
        if (state === "paused" || (state === "uploading" && !refused && job.received < job.size)) return { id: job.id, offset: job.received };
        if (state !== "uploading" || tries > 30) return null;
        await rest(1);
      } catch {
        await rest(Math.min(10, 1 + tries));
      }
    }
    return null;
  };

  const send = async (file, query) => {
    let headers = { ...json, "Content-Type": "application/octet-stream" };
    let body = file;
    const goOn = ({ id, offset }) => {
      headers = { ...headers, "Upload-Id": id, "Upload-Offset": String(offset) };
      body = file.slice(offset);
    };
    const { state, job } = await look();
    // Interrupted before, perhaps from another page. If it is another file after all, its digests will tell.
    if (state === "paused" && job.size === file.size) goOn({ id: job.id, offset: job.received });
    for (;;) {
      try {
        const answer = await fetch(`/update?${query}`, { method: "POST", headers, body });
        if (answer.ok) return "";
        const told = await answer.json().catch(() => ({}));
        const place = answer.status === 409 ? await lost(file, true) : null;
        if (place) {
          goOn(place);
          await rest(1);
          continue;
        }
        if (answer.status === 401) return "Your session has ended. Sign in again.";
        return [told.error || `The device refused (${answer.status}).`, told.hint].filter(Boolean).join(" ");
      } catch {
        const place = await lost(file, false);
        if (!place) return now()?.dataset.state === "restarting" ? "" : "The connection was lost. Look above for how it ended.";
        goOn(place);
      }
    }
  };

  addEventListener("beforeunload", (event) => {
    if (sending) event.preventDefault();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = document.getElementById("bundle").files[0];
    if (!file || sending) return;
    say("");
    sending = true;
    document.body.dataset.sending = "yes";
    button.disabled = true;
    const query = new URLSearchParams();
    for (const box of form.querySelectorAll("input[type=checkbox]:checked")) query.set(box.name, "1");
    try {
      const { signed_in: signed } = await look();
      say(signed ? await send(file, query) : "Your session has ended. Sign in again.");
    } catch {
      say("The device does not answer.");
    }
    sending = false;
    delete document.body.dataset.sending;
    button.disabled = false;
    window.htmx?.ajax("GET", "/update", { target: "#update-now", swap: "outerHTML" });
  });
})();
