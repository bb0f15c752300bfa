// What a graph tells under a pointer: the values there, worked out of the drawn paths, and how long ago it was.
"use strict";
(() => {
  const WIDTH = 720, HEIGHT = 200;
  const size = (count) => {
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (count < 1000) return `${unit !== "B" && count < 10 ? count.toFixed(1) : count.toFixed(0)} ${unit}`;
      count /= 1024;
    }
    return `${count.toFixed(1)} TiB`;
  };
  const say = (value, unit) => {
    if (unit === "share") return `${(value * 100).toFixed(0)} %`;
    if (unit === "celsius") return `${value.toFixed(0)} °C`;
    return size(value) + (unit === "rate" ? "/s" : "");
  };
  const points = (line) => (line.getAttribute("d").match(/\d+ \d+/g) || []).map((pair) => pair.split(" ").map(Number));
  const clear = (row) => {
    for (const output of row.querySelectorAll("output")) {
      if (output.dataset.now !== undefined) output.textContent = output.dataset.now;
    }
    for (const extra of row.querySelectorAll(".cursor, .ago")) extra.remove();
  };
  document.addEventListener("pointermove", (event) => {
    const plot = event.target.closest?.(".plot");
    for (const row of document.querySelectorAll(".chart-row")) clear(row);
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    const x = Math.min(WIDTH, Math.max(0, (event.clientX - box.left) / box.width * WIDTH));
    const section = plot.closest(".charts");
    const minutes = Math.round((1 - x / WIDTH) * section.dataset.seconds / 60);
    for (const chart of section.querySelectorAll(".chart")) {
      const outputs = chart.querySelectorAll("output");
      chart.querySelectorAll(".line").forEach((line, index) => {
        const near = points(line).reduce((best, one) => !best || Math.abs(one[0] - x) < Math.abs(best[0] - x) ? one : best, null);
        const output = outputs[index];
        output.dataset.now ??= output.textContent;
        const low = Number(chart.dataset.low), high = Number(chart.dataset.high);
        output.textContent = near && Math.abs(near[0] - x) < 12 ? say(low + (1 - near[1] / HEIGHT) * (high - low), chart.dataset.unit) : "–";
      });
      const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
      cursor.setAttribute("class", "cursor");
      cursor.setAttribute("d", `M${x} 0V${HEIGHT}`);
      chart.querySelector("svg").append(cursor);
    }
    const ago = document.createElement("span");
    ago.className = "ago";
    ago.textContent = minutes < 1 ? "now" : minutes < 60 ? `${minutes} min ago` : `${Math.floor(minutes / 60)} h ${minutes % 60} min ago`;
    plot.closest(".chart").querySelector("figcaption").append(ago);
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    // Not under somebody's pointer: the next one comes in half a minute.
    if (event.target.id === "charts" && event.target.querySelector(".cursor")) event.detail.shouldSwap = false;
  });
})();
