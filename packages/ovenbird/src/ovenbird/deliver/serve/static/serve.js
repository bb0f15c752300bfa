// The list of clients, fetched anew while somebody looks.
const list = document.getElementById("list");
const away = document.getElementById("away");

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/clients", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    list.innerHTML = await answer.text();
    away.hidden = true;
  } catch {
    away.hidden = false;
  }
}

setInterval(refresh, 2000);
document.addEventListener("visibilitychange", refresh);
