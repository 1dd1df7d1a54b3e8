"use strict";
(() => {
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const place = (event) => {
    tip.hidden = false;
    const [w, h] = [tip.offsetWidth, tip.offsetHeight];
    const x = event.clientX + 14 + w > innerWidth ? event.clientX - 14 - w : event.clientX + 14;
    tip.style.left = Math.max(4, x) + "px";
    tip.style.top = Math.max(4, Math.min(innerHeight - h - 4, event.clientY + 14)) + "px";
  };
  const number = (v) => Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : Number(v.toPrecision(3)).toString();

  for (const map of document.querySelectorAll("svg.map")) {
    const texts = new Map();
    map.querySelectorAll("circle").forEach((point, index) => {
      const title = point.querySelector("title");
      texts.set(point, [index, title.textContent]);
      title.remove();
    });
    const show = (event) => {
      if (!texts.has(event.target)) return void (tip.hidden = true);
      const [index, text] = texts.get(event.target);
      tip.replaceChildren(text);
      if (map.dataset.sprite) {
        const image = document.createElement("i");
        const columns = +map.dataset.columns;
        image.className = map.dataset.sprite;
        image.style.cssText = `--d:96px;--x:${index % columns};--y:${Math.floor(index / columns)}`;
        tip.prepend(image);
      }
      place(event);
    };
    map.addEventListener("pointermove", show);
    map.addEventListener("pointerdown", show);
    map.addEventListener("pointerleave", () => (tip.hidden = true));
  }

  for (const chart of document.querySelectorAll("svg[data-x]")) {
    const [p0, p1, x0, x1] = chart.dataset.x.split(" ").map(Number);
    const [q0, q1, y0, y1] = chart.dataset.y.split(" ").map(Number);
    const log = "log" in chart.dataset;
    const lines = [...chart.querySelectorAll(".line")].map((line) => ({
      name: line.dataset.name,
      points: (line.getAttribute("d").match(/-?[\d.]+,-?[\d.]+/g) || []).map((pair) => pair.split(",").map(Number)),
    }));
    const cursor = chart.querySelector(".cursor");
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const at = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
      const nearest = lines.filter((line) => line.points.length).map(({ name, points }) => [name, points.reduce((a, b) =>
        Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a)]);
      if (!nearest.length) return;
      const px = nearest[0][1][0];
      cursor.setAttribute("x1", px);
      cursor.setAttribute("x2", px);
      cursor.style.visibility = "visible";
      const value = (py) => {
        const v = y0 + (py - q0) / (q1 - q0) * (y1 - y0);
        return number(log ? 10 ** v : v);
      };
      const x = number(x0 + (px - p0) / (p1 - p0) * (x1 - x0));
      tip.textContent = `${chart.dataset.label} ${x}\n` + nearest.map(([name, [, py]]) => `${name}: ${value(py)}`).join("\n");
      place(event);
    });
    chart.addEventListener("pointerleave", () => {
      tip.hidden = true;
      cursor.style.visibility = "hidden";
    });
  }
})();
