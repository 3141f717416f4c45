// Charts of the studies: curves with bands, pictures, clouds, differences. As in charts_steps.js.
(() => {
  const { svg, finite, number } = Shoal;
  const look = (k) => `c${(k % 7) + 1}`;
  const shown = (axis) => (v) => (axis.percent ? `${number(100 * v, 4)} %` : number(v));
  const axisOf = (axis, domain) => ({ domain: axis.domain ?? domain ?? [0, 1], label: axis.label, logarithmic: Boolean(axis.log), format: axis.percent ? (v) => number(100 * v, 4) : number, ticks: axis.ticks });

  Shoal.marks.band = (group, { points, kind }, { x, y }) => {
    const fit = points.filter((p) => p.every(finite));
    if (fit.length < 2) return;
    const up = fit.map(([a, , high]) => [x.at(a), y.at(high)]), down = fit.map(([a, low]) => [x.at(a), y.at(low)]).reverse();
    group.append(svg("path", { class: `band ${kind}`, d: Shoal.path([...up, ...down]) + "Z" }));
  };

  const panelTitle = (panel, axis) => (panel.title ? `${panel.title}${axis.label ? `: ${axis.label}` : ""}` : axis.label);

  Shoal.charts.curves = {
    draw(data, page, room) {
      const across = room.thumb ? 1 : Math.min(data.panels.length, room.width > 900 ? 3 : room.width > 560 ? 2 : 1);
      const width = data.panels.length > 1 ? (room.width - 24 * (across - 1)) / across : Math.min(room.width, 760);
      const names = [...new Set(data.panels.flatMap((p) => p.series.map((s) => s.name)))];
      const all = (k) => data.panels.flatMap((p) => p.series.flatMap((s) => [...s.points, ...(s.published ?? [])].map((point) => point[k])));
      const bands = data.panels.flatMap((p) => p.series.flatMap((s) => (s.band ?? []).flatMap(([, low, high]) => [low, high])));
      const xs = Shoal.domain(all(0), { logarithmic: data.x.log, pad: 0.04 });
      const ys = Shoal.domain([...all(1), ...bands], { logarithmic: data.y.log, pad: 0.08, include: data.y.include ?? [] });
      const panels = data.panels.map((panel) => {
        const marks = (data.rules ?? []).map((r) => ({ type: "rule", axis: "y", at: r.at, kind: "dashed", say: r.say }));
        for (const s of panel.series) {
          const kind = look(names.indexOf(s.name));
          if (s.band) marks.push({ type: "band", points: s.band, kind });
          marks.push({ type: "line", points: s.points, kind: `series ${kind}` });
          if (s.published) marks.push({ type: "rings", points: s.published, kind });
          if (!data.plain) marks.push({ type: "dots", points: s.points.map(([x, y]) => ({ x, y, r: 3, wild: finite(y) ? null : "bottom", kind: `${kind} solid`, say: `${s.name}, ${data.x.label} ${number(x)}: ${shown(data.y)(y)}` })) });
        }
        return Shoal.plot({ x: axisOf(data.x, xs), y: { ...axisOf(data.y, ys), label: panelTitle(panel, data.y) }, marks }, { width, height: room.thumb ? 40 : Math.min(300, Math.max(220, width * 0.62)), thumb: room.thumb });
      });
      const legend = names.length > 1 ? names.map((name, k) => ({ say: name, line: `line series ${look(k)}` })) : [];
      if (data.panels.some((p) => p.series.some((s) => s.published))) legend.push({ say: "published", dot: "open" });
      return { panels, legend, across: data.panels.length > 1 ? across : 0 };
    },
    table: (data) => ({
      columns: ["panel", "series", data.x.label, data.y.label, "low", "high", "published"],
      rows: data.panels.flatMap((p) => p.series.flatMap((s) => s.points.map(([x, y], k) => [p.title ?? "", s.name, x, y, s.band?.[k]?.[1] ?? null, s.band?.[k]?.[2] ?? null, s.published?.[k]?.[1] ?? null]))),
    }),
  };

  Shoal.marks.rings = (group, { points, kind }, { x, y }) => {
    for (const [a, b] of points) if (finite(a) && finite(b)) group.append(svg("circle", { class: `dot open ${kind}`, cx: x.at(a).toFixed(1), cy: y.at(b).toFixed(1), r: 6 }));
  };

  // Pictures at an integer scale without smoothing, each with its words under it.
  Shoal.charts.images = {
    draw(data, page, room) {
      const panels = data.images.map((image) => {
        const most = room.thumb ? 40 : Math.min(data.size ?? 160, room.width);
        const scale = Math.max(1, Math.floor(most / Math.max(image.width, image.height)));
        const [w, h] = [image.width * scale, image.height * scale], wide = room.thumb ? w : Math.max(w, Math.min(most, 112));
        const lines = room.thumb ? [] : wrap(image.say, Math.max(12, Math.floor(wide / 6.2)));
        const root = svg("svg", { class: "chart", viewBox: `0 0 ${wide} ${h + 16 * lines.length + 4}`, width: wide, height: h + 16 * lines.length + 4, role: "img", "aria-label": image.say });
        const groups = [0, 1, 2, 3].map(() => svg("g"));
        groups[0].append(svg("image", { href: image.uri, width: w, height: h, style: "image-rendering:pixelated" }));
        lines.forEach((line, k) => { const node = svg("text", { x: 0, y: h + 16 * (k + 1) }); node.textContent = line; groups[0].append(node); });
        root.append(...groups);
        return { svg: root, size: { width: wide, height: h + 16 * lines.length + 4 }, inner: { left: 0, top: 0, width: w, height: h }, under: groups[1], lines: [], hits: [], nearest: () => null, light() {}, ring() {} };
      });
      const widest = Math.max(1, ...panels.map((p) => p.size.width));
      return { panels, across: room.thumb ? 1 : Math.max(1, Math.min(panels.length, Math.floor((room.width + 24) / (widest + 24)))) };
    },
    table: (data) => ({ columns: ["picture", "width", "height"], rows: data.images.map((image) => [image.say, image.width, image.height]) }),
  };

  function wrap(text, most) {
    const lines = [""];
    for (const word of String(text).split(/\s+/)) {
      if ((lines.at(-1) + " " + word).trim().length > most && lines.at(-1)) lines.push(word);
      else lines[lines.length - 1] = (lines.at(-1) + " " + word).trim();
    }
    return lines;
  }

  Shoal.charts.clouds = {
    draw(data, page, room) {
      const across = room.thumb ? 1 : room.width > 900 ? 3 : room.width > 560 ? 2 : 1;
      const width = Math.min(room.width, (room.width - 24 * (across - 1)) / across);
      const groups = data.groups ?? [];
      const panels = data.panels.map((panel) => Shoal.plot({
        x: { domain: panel.domain?.x ?? Shoal.domain(panel.points.map((p) => p[0])) ?? [0, 1], label: panel.x },
        y: { domain: panel.domain?.y ?? Shoal.domain(panel.points.map((p) => p[1])) ?? [0, 1], label: panelTitle(panel, { label: panel.y }) },
        marks: [
          { type: "rule", axis: "x", at: 0, kind: "faint" }, { type: "rule", axis: "y", at: 0, kind: "faint" },
          ...(panel.lines ?? []).map((points) => ({ type: "line", points, kind: "strong" })),
          { type: "dots", points: panel.points.map(([x, y, g]) => ({ x, y, r: 2, kind: g === undefined ? "" : look(g) })) },
        ],
      }, { width, height: room.thumb ? 40 : Math.min(320, width * 0.9), thumb: room.thumb }));
      return { panels, legend: groups.slice(0, 7).map((name, k) => ({ say: name, dot: look(k) })), across: panels.length > 1 ? across : 0 };
    },
    table: (data) => ({
      columns: ["panel", "x", "y", "group"],
      rows: data.panels.flatMap((p) => p.points.map(([x, y, g]) => [p.title, x, y, data.groups?.[g] ?? ""])),
    }),
  };

  // Paired differences around zero, one row each; what the interval does not tell from zero is grey.
  Shoal.charts.differences = {
    draw(data, page, room) {
      const rows = data.rows.map((r) => ({ ...r, kind: r.low > 0 || r.high < 0 ? "" : "none" }));
      const format = (v) => (v > 0 ? "+" : "") + number(data.percent ? 100 * v : v, 3);
      const ticks = rows.map((r, k) => ({ value: k, text: Shoal.shorten(r.name, room.width < 480 ? 16 : 32) }));
      return { panels: [Shoal.plot({
        x: { domain: Shoal.domain(rows.flatMap((r) => [r.value, r.low, r.high]), { include: [0], pad: 0.12 }) ?? [-1, 1], label: data.label, format },
        y: { domain: [rows.length - 0.4, -1], ticks },
        marks: [{ type: "rule", axis: "x", at: 0, kind: "dashed", say: "no difference" }, { type: "spread", rows }],
      }, { width: Math.min(room.width, 760), height: room.thumb ? 40 : 84 + rows.length * 28, thumb: room.thumb })] };
    },
    table: (data) => ({ columns: ["what", "difference", "low", "high"], rows: data.rows.map((r) => [r.name, r.value, r.low, r.high]) }),
  };
})();
