// The page: draws each picture when it can be seen, ties them to one selection, opens for print, saves, filters.
(() => {
  const page = JSON.parse(document.getElementById("shoal-data").textContent);
  const { el, svg } = Shoal;
  const networks = new Map(page.members.map((member) => [member.id, member]));
  const ranked = page.members.filter((m) => Shoal.finite(m.best)).sort((a, b) => b.best - a.best).map((m) => m.id);
  const drawn = new Map(); // host -> {panels, legend, kind, data}
  const MOST_ROWS = 200;

  // --- drawing ----------------------------------------------------------------------------------------------------

  /** A legend's sample of a mark. */
  Shoal.sample = (item) => {
    const root = svg("svg", { class: "chart", width: 28, height: 12, viewBox: "0 0 28 12", "aria-hidden": "true", style: "display:inline-block;width:28px;height:12px" });
    if (item.line) root.append(svg("path", { class: item.line, d: "M0 6H28" }));
    if (item.dot) root.append(svg("circle", { class: `dot ${item.dot}`, cx: 14, cy: 6, r: 4 }));
    if (item.cross) root.append(svg("path", { class: "cross", d: "M10.5 2.5l7 7m0 -7l-7 7" }));
    if (item.below) root.append(svg("path", { class: "below", d: "M11 3h6l-3 6Z" }));
    if (item.area) root.append(svg("rect", { class: item.area, width: 28, height: 12 }));
    return root;
  };

  function draw(host) {
    const data = page.figures[host.dataset.plot];
    const width = host.clientWidth;
    if (!data || !width || drawn.get(host)?.width === width) return;
    const chart = Shoal.charts[data.kind];
    const { panels, legend = [], across = 0 } = chart.draw(data, page, { width });
    const members = panels.some((p) => p.hits.some((h) => h.id !== undefined) || p.lines.some((l) => l.id !== undefined));
    const pointable = members || panels.some((p) => p.hits.length || p.lines.some((l) => l.say));
    const readout = pointable ? el("p", { class: "readout" }) : null;
    const list = el("ul", { class: "legend" }, legend.map((item) => el("li", {}, [Shoal.sample(item), item.say])));
    const boxes = panels.map((panel) => stack(panel));
    const body = boxes.length > 1 ? el("div", { class: "panels" }, boxes) : boxes[0];
    if (across) body.style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
    host.replaceChildren(...[legend.length ? list : null, body, readout].filter(Boolean));
    drawn.set(host, { panels, legend, data, chart, width, readout, members });
    panels.forEach((panel, k) => { paint(panel, boxes[k]); listen(host, panel, boxes[k]); });
    if (members) {
      host.tabIndex = 0;
      host.setAttribute("role", "group");
      host.setAttribute("aria-label", `${title(host)}: arrow keys move from network to network`);
    }
    lightIn(host, Shoal.selection.get());
  }

  function stack(panel) {
    const box = el("div", { class: "stack" }, [panel.svg]);
    box.style.maxWidth = `${panel.size.width}px`;
    return box;
  }

  // Only once the box stands in the page: the lines ask the style sheet for their colours.
  function paint(panel, box) {
    if (!panel.lines.length) return;
    const under = el("div");
    Object.assign(under.style, { position: "absolute", left: `${panel.inner.left}px`, top: `${panel.inner.top}px` });
    box.prepend(under);
    Shoal.paint(panel, under);
  }

  const figure = (node) => node.closest("figure");
  const title = (node) => figure(node).querySelector(".figure-title").textContent;

  // --- one selection ------------------------------------------------------------------------------------------------

  function listen(host, panel, box) {
    const at = (event) => {
      const frame = panel.svg.getBoundingClientRect();
      return panel.nearest((event.clientX - frame.left) * (panel.size.width / frame.width), (event.clientY - frame.top) * (panel.size.height / frame.height));
    };
    const local = (hit) => {
      panel.ring(hit);
      const { readout } = drawn.get(host);
      readout.textContent = hit ? hit.say : hint(host);
      readout.classList.toggle("on", Boolean(hit));
    };
    box.addEventListener("pointermove", (event) => {
      const hit = at(event);
      if (hit && hit.id === undefined) local(hit);
      else if (!drawn.get(host).members && drawn.get(host).readout) local(null);
      else Shoal.selection.point(hit ? hit.id : null);
    });
    box.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "touch") return;
      if (!drawn.get(host).members && drawn.get(host).readout) local(null);
      else Shoal.selection.point(null);
    });
    box.addEventListener("click", (event) => {
      const hit = at(event);
      if (hit && hit.id === undefined) local(hit);
      else Shoal.selection.pin(hit ? hit.id : null);
    });
  }

  const hint = (host) => (drawn.get(host).members ? "Point at a network to see it in every picture." : "Point at a mark to read it.");

  function lightIn(host, id) {
    const { panels, readout, members } = drawn.get(host);
    for (const panel of panels) panel.light(id);
    if (!readout) return;
    const member = members && id !== null ? networks.get(id) : null;
    readout.textContent = member ? Shoal.describe(member, page) : hint(host);
    readout.classList.toggle("on", Boolean(member));
  }

  Shoal.selection.on((id) => {
    for (const host of drawn.keys()) lightIn(host, id);
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(Number(chip.dataset.member) === id));
    const member = id === null ? null : networks.get(id);
    if (document.activeElement?.dataset?.plot && member) document.getElementById("announce").textContent = Shoal.describe(member, page);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") Shoal.selection.move(null);
    if (!event.target.dataset?.plot || !ranked.length) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const now = ranked.indexOf(Shoal.selection.get());
    if (step) Shoal.selection.move(ranked[now < 0 ? 0 : Math.min(Math.max(now + step, 0), ranked.length - 1)]);
    else if (event.key === "Home") Shoal.selection.move(ranked[0]);
    else if (event.key === "End") Shoal.selection.move(ranked.at(-1));
    else return;
    event.preventDefault();
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.dataset?.plot && drawn.get(event.target)?.members && event.target.matches(":focus-visible") && Shoal.selection.get() === null) Shoal.selection.move(ranked[0] ?? null);
  });
  for (const chip of document.querySelectorAll(".chip")) {
    const id = Number(chip.dataset.member);
    chip.addEventListener("click", () => Shoal.selection.pin(id));
    chip.addEventListener("pointerenter", () => Shoal.selection.point(id));
    chip.addEventListener("pointerleave", () => Shoal.selection.point(null));
  }

  // --- tables and files ----------------------------------------------------------------------------------------------

  function tableNode({ columns, rows }) {
    const numeric = columns.map((_, j) => rows.every((row) => typeof row[j] === "number" || row[j] === null));
    const body = rows.slice(0, MOST_ROWS).map((row) => el("tr", {}, row.map((value, j) => {
      const node = el("td", { class: numeric[j] ? "num" : null });
      node.textContent = value === null || value === undefined ? (numeric[j] ? "\u2013" : "") : Shoal.number(value, 4);
      return node;
    })));
    const head = el("tr", {}, columns.map((name, j) => el("th", { scope: "col", class: numeric[j] ? "num" : null }, [Shoal.spoken(name)])));
    const more = rows.length > MOST_ROWS ? [el("p", { class: "muted small" }, [`The first ${MOST_ROWS} of ${rows.length.toLocaleString("en-US")} rows; the CSV file holds all.`])] : [];
    return [el("table", { class: "data" }, [el("thead", {}, [head]), el("tbody", {}, body)]), ...more];
  }

  const tableOf = (id) => Shoal.charts[page.figures[id].kind].table(page.figures[id], page);

  function plainTable(node) {
    const rows = [...node.rows].map((row) => [...row.cells].map((c) => c.querySelector("[title]")?.title ?? (c.title || c.textContent.trim())));
    const read = (text) => (/^-?[\d,]+(\.\d+)?$/.test(text) ? Number(text.replaceAll(",", "")) : text);
    return { columns: rows[0], rows: rows.slice(1).map((row) => row.map((text, j) => (j ? read(text) : text))) };
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-save], button[data-save-table]");
    if (!button) return;
    if (button.dataset.saveTable) {
      const name = button.dataset.saveTable;
      Shoal.offer(Shoal.csv(plainTable(document.getElementById(name))), `${name}.csv`, "text/csv");
      return;
    }
    const id = figure(button).dataset.figure;
    if (button.dataset.save === "csv") Shoal.offer(Shoal.csv(tableOf(id)), `${id}.csv`, "text/csv");
    else {
      const host = figure(button).querySelector("[data-plot]");
      draw(host);
      const { panels, legend } = drawn.get(host);
      const words = { title: title(host), caption: figure(button).querySelector("figcaption").textContent, legend };
      Shoal.offer(Shoal.svgFile(panels, words), `${id}.svg`, "image/svg+xml");
    }
  });

  // --- when to draw -----------------------------------------------------------------------------------------------------

  const hosts = [...document.querySelectorAll("[data-plot]")], thumbs = [...document.querySelectorAll("[data-thumb]")];

  function thumbnail(host) {
    const data = page.figures[host.dataset.thumb];
    if (!data || host.firstChild) return;
    const { panels } = Shoal.charts[data.kind].draw(data, page, { width: host.clientWidth || 128, thumb: true });
    if (!panels.length) return;
    if (panels[0].lines.length) panels[0].under.append(Shoal.lineGroup(panels[0]));
    host.append(panels[0].svg);
  }

  // The words paint first; pictures follow one by one, so that the page answers while they are drawn.
  const waiting = [...thumbs.map((host) => () => thumbnail(host)), ...hosts.map((host) => () => draw(host))];
  function next() {
    const until = performance.now() + 12;
    while (waiting.length && performance.now() < until) waiting.shift()();
    if (waiting.length) requestAnimationFrame(next);
    else document.documentElement.dataset.drawn = "yes";
  }
  requestAnimationFrame(() => setTimeout(next));

  document.addEventListener("toggle", (event) => {
    if (!event.target.open) return;
    for (const host of event.target.querySelectorAll("[data-plot]")) draw(host);
    const table = event.target.matches(".behind") && event.target.querySelector("[data-table]");
    if (table && !table.firstChild) table.append(...tableNode(tableOf(table.dataset.table)));
  }, true);

  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => hosts.forEach(draw), 120); });
  const redraw = () => { for (const host of [...drawn.keys()]) { drawn.get(host).width = -1; draw(host); } };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  const opened = [];
  addEventListener("beforeprint", () => {
    for (const node of document.querySelectorAll(".step details:not(.behind):not(.small), .step > details")) {
      if (!node.open) { node.open = true; opened.push(node); }
    }
    for (const host of hosts) draw(host);
    for (const { panels } of drawn.values()) for (const panel of panels) if (panel.lines.length) panel.under.replaceChildren(Shoal.lineGroup(panel));
  });
  addEventListener("afterprint", () => {
    for (const node of opened.splice(0)) node.open = false;
    for (const { panels } of drawn.values()) for (const panel of panels) panel.under.replaceChildren();
  });

  // --- the decision log ---------------------------------------------------------------------------------------------------

  const step = document.getElementById("filter-step"), word = document.getElementById("filter-text");
  if (step && word) {
    const entries = [...document.querySelectorAll(".log > li")];
    const filter = () => {
      let shown = 0;
      for (const entry of entries) {
        entry.hidden = (step.value && entry.dataset.step !== step.value) || !entry.textContent.toLowerCase().includes(word.value.toLowerCase());
        shown += entry.hidden ? 0 : 1;
      }
      document.getElementById("filter-count").textContent = `${shown} of ${entries.length}`;
    };
    step.addEventListener("input", filter);
    word.addEventListener("input", filter);
  }

  globalThis.Shoal = Shoal;
})();
