// The little that the page does beside htmx: rest while nobody looks, say when the device is away, come back after it.
"use strict";
(() => {
  const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time.local")) time.textContent = when.format(new Date(time.dateTime));
  const going = document.getElementById("going");
  if (going) {
    const progress = document.getElementById("progress");
    let away = false;
    const look = async () => {
      try {
        const answer = await fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(3000) });
        const health = await answer.json();
        if (going.dataset.back === "yes" && health.boot_id !== going.dataset.boot) {
          location.replace("/");
          return;
        }
      } catch {
        if (!away) {
          away = true;
          progress.textContent = going.dataset.back === "yes"
            ? "The device is down. Waiting for it to come back …"
            : "The device no longer answers. Once its activity light stays dark you can unplug it.";
        }
      }
      setTimeout(look, 1500);
    };
    setTimeout(look, 1500);
    return;
  }
  let lost = false;
  const say = (text) => { document.getElementById("away").textContent = text; };
  // What somebody should hear when it changes; the numbers beside it change every few seconds and are not read out.
  const worth = () => [...document.querySelectorAll("[data-say]")].map((one) => one.textContent.trim()).join(". ");
  let heard = worth();
  document.addEventListener("htmx:afterSettle", () => {
    const news = worth();
    if (news !== heard) document.getElementById("said").textContent = heard = news;
  });
  const away = () => {
    if (lost) return;
    lost = true;
    document.body.classList.add("lost");
    const time = new Date().toLocaleTimeString();
    const restarts = ["restarting", "trial"].includes(document.getElementById("update-now")?.dataset.state);
    say(restarts
      ? "The device restarts. This page comes back by itself."
      : `The device does not answer. The numbers are those of ${time}.`);
    document.getElementById("away").classList.toggle("calm", restarts);
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden) event.preventDefault();
  });
  for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) document.addEventListener(name, away);
  document.addEventListener("htmx:afterOnLoad", () => {
    if (!lost) return;
    if (!document.body.dataset.sending) location.reload();
    lost = false; // An upload that goes on by itself must not be lost to a fresh page.
    document.body.classList.remove("lost");
    say("");
  });
})();
