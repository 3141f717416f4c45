// One picture with two axes: a plain description of marks in, SVG out. Nothing here knows where the data came from.
(() => {
  const { svg, finite } = Shoal;
  const REACH = 28; // pixels within which a mark counts as pointed at

  /**
   * Draws `spec` = {x, y, marks, lines}. An axis is {domain, label, logarithmic, format, ticks, better}.
   * Returns {svg, size, inner, x, y, lines, under, nearest(px, py), light(id)}: `lines` are those that a canvas may paint
   * (see lines.js), `under` is the group that they belong into when they are drawn as SVG.
   */
  Shoal.plot = (spec, { width, height, thumb = false }) => {
    const ink = spec.y.ticks ?? [];
    const wide = thumb ? 3 : Math.max(36, 14 + 6.6 * Math.max(0, ...texts(spec.y, height, ink).map((t) => t.length)));
    const pad = thumb ? { top: 4, right: 4, bottom: 4, left: 4 } : { top: spec.marks?.some((m) => m.above) ? 46 : 28, right: 16, bottom: 44, left: wide };
    const inner = { left: pad.left, top: pad.top, width: Math.max(10, width - pad.left - pad.right), height: Math.max(10, height - pad.top - pad.bottom) };
    const x = scale(spec.x, [inner.left, inner.left + inner.width]);
    const y = scale(spec.y, [inner.top + inner.height, inner.top]);
    const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
    const back = svg("g"), under = svg("g"), front = svg("g"), lit = svg("g");
    root.append(back, under, front, lit);
    const plot = { svg: root, size: { width, height }, inner, x, y, thumb, under, lines: spec.lines ?? [], hits: [], above: [] };
    if (!thumb) axes(back, spec, plot);
    for (const mark of spec.marks ?? []) Shoal.marks[mark.type](mark.behind ? back : front, mark, plot);
    plot.nearest = (px, py) => nearest(plot, px, py);
    plot.light = (id) => light(lit, plot, id);
    plot.ring = (hit) => { lit.replaceChildren(); if (hit) ring(lit, hit); };
    return plot;
  };

  function scale(axis, range) {
    return Shoal.scale({ domain: axis.domain, range, logarithmic: axis.logarithmic, format: axis.format });
  }

  function texts(axis, height, given) {
    const ticks = given.length ? given : scale(axis, [height, 0]).ticks(Math.max(2, height / 56));
    return ticks.map((tick) => tick.text);
  }

  function axes(group, spec, { inner, x, y, size }) {
    const bottom = inner.top + inner.height, right = inner.left + inner.width;
    for (const tick of spec.y.ticks ?? y.ticks(Math.max(2, size.height / 56))) {
      const at = y.at(tick.value);
      if (at < inner.top - 1 || at > bottom + 1) continue;
      group.append(svg("path", { class: "grid", d: `M${inner.left} ${at.toFixed(1)}H${right}` }));
      group.append(text(inner.left - 8, at + 4, tick.text, "end"));
    }
    group.append(svg("path", { class: "axis", d: `M${inner.left} ${bottom}H${right}` }));
    let end = -Infinity;
    for (const tick of spec.x.ticks ?? x.ticks(Math.max(2, inner.width / 80))) {
      const at = x.at(tick.value), half = tick.text.length * 3.4;
      if (at < inner.left - 1 || at > right + 1 || at - half < end + 6) continue;
      group.append(svg("path", { class: "axis", d: `M${at.toFixed(1)} ${bottom}v4` }));
      group.append(text(at, bottom + 18, tick.text, "middle"));
      end = at + half;
    }
    if (spec.x.label) group.append(text(right, size.height - 6, spec.x.label, "end", "say"));
    if (spec.y.label) group.append(text(0, 14, spec.y.label, "start", "say"));
  }

  function text(x, y, words, anchor = "start", kind = "") {
    const node = svg("text", { x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor, class: kind || null });
    node.textContent = words;
    return node;
  }

  const clamp = (v, a, b) => Math.min(Math.max(v, Math.min(a, b)), Math.max(a, b));

  /** A path through points [x, y] in pixels, broken where one is missing. */
  Shoal.path = (points) => {
    let d = "", pen = "M";
    for (const p of points) {
      if (!p || !finite(p[0]) || !finite(p[1])) { pen = "M"; continue; }
      d += `${pen}${p[0].toFixed(1)} ${clamp(p[1], -4000, 4000).toFixed(1)}`;
      pen = "L";
    }
    return d;
  };

  /** What can be drawn: each takes (group, mark, plot). */
  Shoal.marks = {
    line(group, { points, kind }, { x, y }) {
      group.append(svg("path", { class: `line ${kind}`, d: Shoal.path(points.map(([a, b]) => (finite(a) && finite(b) ? [x.at(a), y.at(b)] : null))) }));
    },
    area(group, { points }, { x, y }) {
      const fit = points.filter((p) => p.every(finite));
      if (fit.length < 2) return;
      const up = fit.map(([a, , high]) => [x.at(a), clamp(y.at(high), y.from, y.to)]);
      const down = fit.map(([a, low]) => [x.at(a), clamp(y.at(low), y.from, y.to)]).reverse();
      group.append(svg("path", { class: "area", d: Shoal.path([...up, ...down]) + "Z" }));
    },
    span(group, { from, to }, { x, inner }) {
      const a = clamp(x.at(from), x.from, x.to), b = clamp(x.at(to), x.from, x.to);
      group.append(svg("rect", { class: "area", x: a.toFixed(1), y: inner.top, width: Math.max(1, b - a).toFixed(1), height: inner.height }));
    },
    rule(group, { axis, at, kind = "", say, end = false, below = false, above = false }, { x, y, inner, thumb, above: taken }) {
      const right = inner.left + inner.width, bottom = inner.top + inner.height;
      if (axis === "y") {
        const py = y.at(at);
        if (py < inner.top - 1 || py > bottom + 1) return;
        group.append(svg("path", { class: `rule ${kind}`, d: `M${inner.left} ${py.toFixed(1)}H${right}` }));
        if (say && !thumb) group.append(text(end ? right : inner.left + 4, py > inner.top + 20 && !below ? py - 6 : py + 14, say, end ? "end" : "start", "say halo"));
      } else {
        const px = x.at(at);
        if (px < inner.left - 1 || px > right + 1) return;
        group.append(svg("path", { class: `rule ${kind}`, d: `M${px.toFixed(1)} ${inner.top}V${bottom}` }));
        if (above) { if (!thumb) overhead(group, px, say, inner, taken); return; }
        const leftwards = px > inner.left + inner.width * 0.7;
        if (say && !thumb) group.append(text(px + (leftwards ? -4 : 4), below ? bottom - 8 : inner.top + 12, say, leftwards ? "end" : "start", "say halo"));
      }
    },
    wall(group, { from, to }, { x, inner, thumb }) {
      const a = clamp(x.at(from), x.from, x.to), b = clamp(x.at(to), x.from, x.to);
      const left = Math.min(a, b), right = Math.max(a, b), top = inner.top, bottom = top + inner.height;
      if (right - left < 0.5) return;
      let d = "";
      const gap = thumb ? 4 : 6, deep = bottom - top;
      for (let start = left - deep; start < right; start += gap) {
        const x0 = Math.max(start, left), x1 = Math.min(start + deep, right);
        if (x1 > x0) d += `M${x0.toFixed(1)} ${(bottom - (x0 - start)).toFixed(1)}L${x1.toFixed(1)} ${(bottom - (x1 - start)).toFixed(1)}`;
      }
      group.append(svg("path", { class: "hatch", d }));
      const edge = x.at(from) === x.from || x.at(from) < x.from ? right : left;
      group.append(svg("path", { class: "wall", d: `M${edge.toFixed(1)} ${top}V${bottom}` }));
    },
    dots(group, { points }, plot) {
      const { x, y, inner, thumb } = plot;
      for (const p of points) {
        const px = clamp(x.at(p.x), x.from, x.to);
        let py = finite(p.y) ? y.at(p.y) : null;
        const top = inner.top, bottom = top + inner.height;
        if (p.wild === "top") { py = top + 3; group.append(cross(px, py, thumb)); }
        else if (p.wild === "bottom" || py === null) { py = bottom - 5; group.append(cross(px, py, thumb)); }
        else if (py > bottom + 2) { py = bottom - 4; group.append(arrowhead(px, py, 1, thumb)); }
        else if (py < top - 2) { py = top + 4; group.append(arrowhead(px, py, -1, thumb)); }
        else group.append(svg("circle", { class: `dot ${p.kind ?? ""}`, cx: px.toFixed(1), cy: py.toFixed(1), r: thumb ? 1.5 : p.r ?? 3.5 }));
        if (p.id !== undefined || p.say) plot.hits.push({ px, py, id: p.id, say: p.say, r: (p.r ?? 3.5) + 3 });
      }
    },
    interval(group, { x: at, low, high }, { x, y }) {
      if (![at, low, high].every(finite)) return;
      group.append(svg("path", { class: "mark", d: `M${x.at(at).toFixed(1)} ${y.at(low).toFixed(1)}V${y.at(high).toFixed(1)}` }));
    },
    bracket(group, { from, to, at, say }, { x, y, inner, thumb }) {
      if (thumb || !finite(at)) return;
      const a = x.at(from), b = Math.max(x.at(to), a + 6);
      const py = clamp(y.at(at) - 14, inner.top + 20, inner.top + inner.height - 8);
      group.append(svg("path", { class: "mark", d: `M${a.toFixed(1)} ${py + 7}V${py}H${b.toFixed(1)}V${py + 7}` }));
      const room = say.length * 6.3, middle = clamp((a + b) / 2, inner.left + room / 2, inner.left + inner.width - room / 2);
      group.append(text(middle, py - 6, say, "middle", "say halo"));
    },
    arrow(group, { at, from, to, say }, { x, y, inner, thumb }) {
      if (thumb || ![at, from, to].every(finite)) return;
      const px = x.at(at), limit = (v) => clamp(y.at(v), y.from, y.to), a = limit(from), b = limit(to);
      const tip = (py, way) => `M${(px - 4).toFixed(1)} ${(py + way * 5).toFixed(1)}L${px.toFixed(1)} ${py.toFixed(1)}L${(px + 4).toFixed(1)} ${(py + way * 5).toFixed(1)}`;
      let d = `M${px.toFixed(1)} ${a.toFixed(1)}V${b.toFixed(1)}`;
      if (Math.abs(a - b) > 12) d += tip(a, b > a ? 1 : -1) + tip(b, b > a ? -1 : 1);
      group.append(svg("path", { class: "mark", d }));
      const leftwards = px + say.length * 6.3 + 8 > inner.left + inner.width;
      group.append(text(px + (leftwards ? -8 : 8), (a + b) / 2 + 4, say, leftwards ? "end" : "start", "say halo"));
    },
    text(group, { x: at, y: up, say, anchor = "start", dx = 0, dy = 0 }, { x, y, thumb }) {
      if (!thumb) group.append(text(x.at(at) + dx, y.at(up) + dy, say, anchor, "say halo"));
    },
    bars(group, { rows }, plot) {
      const { x, y, thumb } = plot;
      rows.forEach((row, k) => {
        const py = y.at(k), deep = Math.min(16, Math.abs(y.at(1) - y.at(0)) * 0.6);
        const end = finite(row.value) ? x.at(row.value) : x.from;
        group.append(svg("rect", { class: "bar", x: x.at(0).toFixed(1), y: (py - deep / 2).toFixed(1), width: Math.max(1, end - x.at(0)).toFixed(1), height: deep.toFixed(1) }));
        if (!thumb) group.append(text(end + 6, py + 4, row.say, "start", "say"));
      });
    },
    spread(group, { rows }, { x, y }) {
      rows.forEach((row, k) => {
        const py = y.at(k).toFixed(1);
        if (finite(row.low) && finite(row.high)) group.append(svg("path", { class: "mark", d: `M${x.at(row.low).toFixed(1)} ${py}H${x.at(row.high).toFixed(1)}` }));
        if (finite(row.value)) group.append(svg("circle", { class: `dot solid ${row.kind}`, cx: x.at(row.value).toFixed(1), cy: py, r: 5 }));
      });
    },
  };

  // Words over the picture, centred on their rule: in a second row where the first is taken, and once where both are.
  function overhead(group, px, say, inner, taken) {
    const half = say.length * 3.3, middle = clamp(px, inner.left + half, inner.left + inner.width - half);
    const row = [0, 1].find((r) => !taken.some((t) => t.row === r && Math.abs(t.middle - middle) < t.half + half + 4));
    if (row === undefined) return;
    taken.push({ row, middle, half });
    group.append(text(middle, inner.top - 5 - 13 * row, say, "middle", "say"));
  }

  function cross(px, py, thumb) {
    const r = thumb ? 1.5 : 3.5;
    return svg("path", { class: "cross", d: `M${(px - r).toFixed(1)} ${(py - r).toFixed(1)}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}` });
  }
  function arrowhead(px, py, way, thumb) {
    const r = thumb ? 1.5 : 3;
    return svg("path", { class: "below", d: `M${(px - r).toFixed(1)} ${(py - way * r).toFixed(1)}h${2 * r}l${-r} ${way * 2 * r}Z` });
  }

  function nearest(plot, px, py) {
    let best = null, reach = REACH;
    for (const hit of plot.hits) {
      const away = Math.hypot(hit.px - px, hit.py - py);
      if (away < reach) { reach = away; best = hit; }
    }
    const { inner, x } = plot;
    if (px < inner.left - 8 || px > inner.left + inner.width + 8 || py < inner.top - 8 || py > inner.top + inner.height + 8) return best;
    for (const line of plot.lines) {
      const at = heightAt(line, x.back(px), plot);
      if (at !== null && Math.abs(at - py) < reach) { reach = Math.abs(at - py); best = { id: line.id, say: line.say, px, py: at }; }
    }
    return best;
  }

  function heightAt(line, value, { y }) {
    const { xs, ys } = line;
    let k = 0;
    while (k < xs.length - 1 && xs[k + 1] < value) k++;
    const a = ys[k], b = ys[k + 1];
    if (!finite(a)) return null;
    if (!finite(b) || value < xs[k]) return Math.abs(value - xs[k]) > 1 ? null : y.at(a);
    return y.at(a + (b - a) * ((value - xs[k]) / (xs[k + 1] - xs[k])));
  }

  function ring(group, hit) {
    for (const kind of ["ring under", "ring"]) group.append(svg("circle", { class: kind, cx: hit.px.toFixed(1), cy: hit.py.toFixed(1), r: hit.r ?? 6 }));
  }

  function light(group, plot, id) {
    group.replaceChildren();
    if (id === null || id === undefined) return;
    for (const line of plot.lines) {
      if (line.id !== id) continue;
      const d = Shoal.linePath(line, plot);
      for (const kind of ["under", "lit"]) group.append(svg("path", { class: `line ${kind}${line.train && kind === "lit" ? " train" : ""}`, d }));
    }
    for (const hit of plot.hits) if (hit.id === id) ring(group, hit);
  }
})();
