// Taking a picture along: a table as CSV, a chart as an SVG file that needs no style sheet.
(() => {
  const { svg } = Shoal;
  const KEPT = ["fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "stroke-linejoin", "paint-order", "font-size", "font-family", "text-anchor"];

  /** A table {columns, rows} as CSV (RFC 4180). A text that a spreadsheet would run as a formula gets a leading quote. */
  Shoal.csv = ({ columns, rows }) => [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

  function cell(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const safe = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  /** A drawn figure (its panels, legend and words) as the text of one SVG file, in the light palette. */
  Shoal.svgFile = (panels, { title, caption, legend = [] }) => {
    const stage = Shoal.el("div", { class: "theme-light unseen", style: "width:2000px;height:10px" });
    document.body.append(stage);
    const root = svg("svg", { class: "chart", xmlns: "http://www.w3.org/2000/svg" });
    stage.append(root);
    const across = panels.length > 1 ? Math.min(panels.length, 3) : 1;
    const wide = Math.max(...panels.map((p) => p.size.width)), tall = Math.max(...panels.map((p) => p.size.height));
    const width = wide * across + 24 * (across - 1) + 32;
    let y = 16;
    const say = (words, kind, size = "12px") => { const node = svg("text", { x: 16, y: y + 12, class: kind, "font-size": size }); node.textContent = words; root.append(node); y += 18; };
    say(title, "say");
    for (const item of legend) {
      const sample = Shoal.sample(item);
      sample.setAttribute("x", 16); sample.setAttribute("y", y);
      root.append(sample);
      const node = svg("text", { x: 52, y: y + 12 });
      node.textContent = item.say;
      root.append(node);
      y += 18;
    }
    y += 8;
    panels.forEach((panel, k) => {
      const copy = panel.svg.cloneNode(true);
      copy.setAttribute("x", 16 + (k % across) * (wide + 24));
      copy.setAttribute("y", y + Math.floor(k / across) * (tall + 16));
      copy.setAttribute("width", panel.size.width); copy.setAttribute("height", panel.size.height);
      if (panel.lines.length) copy.children[1].replaceChildren(Shoal.lineGroup(panel));
      copy.children[3].replaceChildren(); // what is pointed at is not part of the picture
      root.append(copy);
    });
    y += Math.ceil(panels.length / across) * (tall + 16);
    for (const line of wrap(caption, Math.floor((width - 32) / 6.2))) say(line, "");
    root.setAttribute("viewBox", `0 0 ${width} ${y + 16}`);
    root.setAttribute("width", width); root.setAttribute("height", y + 16);
    root.prepend(svg("rect", { width: "100%", height: "100%", fill: "#fdfdfc" }));
    inline(root);
    const text = new XMLSerializer().serializeToString(root);
    stage.remove();
    return text;
  };

  function wrap(text, most) {
    const lines = [""];
    for (const word of text.split(/\s+/)) {
      if ((lines.at(-1) + " " + word).length > most && lines.at(-1)) lines.push(word);
      else lines[lines.length - 1] = (lines.at(-1) + " " + word).trim();
    }
    return lines;
  }

  function inline(root) {
    const nodes = [...root.querySelectorAll("*")].filter((n) => !["g", "svg"].includes(n.tagName) && !n.hasAttribute("fill"));
    const found = nodes.map((node) => { const style = getComputedStyle(node); return KEPT.map((name) => style.getPropertyValue(name)); });
    nodes.forEach((node, k) => {
      KEPT.forEach((name, j) => { if (found[k][j]) node.setAttribute(name, found[k][j]); });
      node.removeAttribute("class");
    });
  }

  /** Offers a text to the browser as a file. */
  Shoal.offer = (text, name, type) => {
    const url = URL.createObjectURL(new Blob([text], { type }));
    const link = Shoal.el("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
})();
