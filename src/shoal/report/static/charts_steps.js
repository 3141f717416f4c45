// Charts whose marks are not networks of the search. Each: draw(data, page, size) -> {panels, legend}, table(data, page).
(() => {
  const { svg, finite, number } = Shoal;
  Shoal.charts = {};
  const HIGH = 280;
  const size = ({ width, thumb }, high = HIGH) => ({ width, height: thumb ? 40 : Math.min(high, Math.max(220, width * 0.6)), thumb });

  Shoal.charts.initial = {
    draw(data, page, room) {
      const all = data.groups.flatMap((g) => g.losses);
      const names = data.groups.map((g) => g.name);
      const points = data.groups.flatMap((g, k) => g.losses.map((loss, j) => ({
        x: k + ((j + 0.5) / g.losses.length - 0.5) * 0.5, y: loss, wild: finite(loss) ? null : "top",
        kind: g.name === data.chosen ? "solid" : "faint", say: `${g.name}, seed ${g.seeds[j]}: ${number(loss, 4)}`,
      })));
      const each = room.width / Math.max(1, names.length) / 7.2;
      return { legend: [{ say: `chance: ${number(data.expected)}`, line: "rule dashed" }], panels: [Shoal.plot({
        x: { domain: [-0.5, Math.max(0, names.length - 1) + 0.5], ticks: names.map((name, k) => ({ value: k, text: Shoal.shorten(name, Math.max(4, Math.floor(each))) })) },
        y: { domain: Shoal.domain(all, { include: [data.expected], pad: 0.15 }) ?? [0, 1], label: "loss before training" },
        marks: [
          { type: "rule", axis: "y", at: data.expected, kind: "dashed" },
          { type: "dots", points },
        ],
      }, size(room, 260))] };
    },
    table: (data) => ({
      columns: ["initializer", "seed", "loss", "expected"],
      rows: data.groups.flatMap((g) => g.losses.map((loss, j) => [g.name, g.seeds[j], loss, data.expected])),
    }),
  };

  // One histogram as bars that stand on the line of its row.
  Shoal.marks.ridge = (group, { row, at, edges }, { x, y, hits, thumb }) => {
    const base = y.at(at), room = Math.abs(y.at(1) - y.at(0)) * 0.84, top = Math.max(1e-9, ...row.shares);
    row.shares.forEach((share, k) => {
      const high = (share / top) * room, from = x.at(edges[k]), to = x.at(edges[k + 1]);
      if (high < 0.3) return;
      const end = row.ends?.includes(k) ? " end" : "";
      group.append(svg("rect", { class: `bin${end}`, x: from.toFixed(1), y: (base - high).toFixed(1), width: Math.max(0.5, to - from - (thumb ? 0 : 0.5)).toFixed(1), height: high.toFixed(1) }));
    });
    group.append(svg("path", { class: "grid", d: `M${x.from} ${base.toFixed(1)}H${x.to}` }));
    hits.push({ px: (x.from + x.to) / 2, py: base - room / 2, say: row.say, r: 4 });
  };

  Shoal.charts.histograms = {
    draw(data, page, room) {
      const across = room.thumb ? 1 : room.width > 900 ? 3 : room.width > 560 ? 2 : 1;
      const width = room.thumb ? room.width : Math.min(room.width, (room.width - 24 * (across - 1)) / across);
      const panels = data.panels.map((panel) => Shoal.plot({
        x: { domain: Shoal.extent(panel.rows.flatMap((row) => [(row.edges ?? panel.edges)[0], (row.edges ?? panel.edges).at(-1)])), label: data.x.label },
        y: { domain: [panel.rows.length - 0.8, -1], label: panel.title, ticks: panel.rows.map((row, k) => ({ value: k, text: row.name })) },
        marks: panel.rows.map((row, k) => ({ type: "ridge", row, at: k, edges: row.edges ?? panel.edges })),
      }, { width, height: room.thumb ? 40 : 84 + 40 * panel.rows.length, thumb: room.thumb }));
      return { panels, legend: data.ends ? [{ say: data.ends, area: "bin end" }] : [], across: panels.length > 1 ? across : 0 };
    },
    table: (data) => ({
      columns: ["panel", "layer", "from", "to", "share"],
      rows: data.panels.flatMap((p) => p.rows.flatMap((row) => row.shares.map((share, k) => [p.title, row.name, (row.edges ?? p.edges)[k], (row.edges ?? p.edges)[k + 1], share]))),
    }),
  };

  Shoal.charts.sample = {
    draw(data, page, room) {
      const lines = data.score.map((ys, k) => ({ xs: data.steps, ys, kind: "thin", say: `learning rate ${number(data.lr[k])}` }));
      const values = data.score.flat();
      const marks = [{ type: "rule", axis: "y", at: data.target, kind: "dashed", say: `goal: ${page.metric.share ? number(100 * data.target) + " %" : number(data.target)}` }];
      if (data.reached !== null) marks.push({ type: "rule", axis: "x", at: data.reached, kind: "faint", say: `reached at step ${number(data.reached)}`, below: true });
      return { panels: [Shoal.plot({
        x: { domain: Shoal.domain(data.steps, { pad: 0 }) ?? [0, 1], label: "training step", format: (v) => (Number.isInteger(v) ? number(v) : "") },
        y: { ...scoreAxis(page, "on the few rows"), domain: Shoal.domain(values.filter((v) => v > -1), { include: [data.target] }) ?? [0, 1] },
        marks, lines,
      }, size(room))] };
    },
    table: (data) => ({
      columns: ["learning rate", "step", "loss", "score"],
      rows: data.score.flatMap((row, k) => row.map((score, t) => [data.lr[k], data.steps[t], data.loss[k]?.[t] ?? null, score])),
    }),
  };

  function scoreAxis(page, where) {
    const unit = page.metric.share ? ", %" : "";
    return { label: `${page.metric.word} ${where}${unit} (up is better)`, format: (v) => (page.metric.share ? number(100 * v, 4) : number(v)) };
  }
  Shoal.scoreAxis = scoreAxis;

  Shoal.charts.sweep = {
    draw(data, page, room) {
      const kinds = [...new Set(data.optimizer)];
      const points = data.lr.map((lr, k) => ({
        x: lr, y: data.end[k], wild: finite(data.end[k]) ? null : "top", kind: `g${Math.min(4, kinds.indexOf(data.optimizer[k]) + 1)}`,
        say: `${data.optimizer[k]}, learning rate ${number(lr)}, seed ${data.seed[k]}: from ${number(data.start[k])} to ${number(data.end[k])}`,
      }));
      const start = Shoal.quantile(data.start, 0.5);
      const inRange = data.end.filter((v) => finite(v) && (start === null || v < 3 * Math.abs(start)));
      const marks = [{ type: "span", behind: true, from: data.chosen[0], to: data.chosen[1] }];
      if (start !== null) marks.push({ type: "rule", axis: "y", at: start, kind: "faint", say: `before training: ${number(start)}`, end: true, below: true });
      marks.push({ type: "rule", axis: "x", at: data.best, kind: "dashed", say: `best ${number(data.best)}` }, { type: "dots", points });
      const legend = kinds.length > 1 ? kinds.slice(0, 4).map((kind, k) => ({ say: kind, dot: `g${k + 1}` })) : [];
      return { legend, panels: [Shoal.plot({
        x: { domain: Shoal.domain(data.lr, { logarithmic: true, include: data.chosen }) ?? [1e-4, 1], logarithmic: true, label: "learning rate" },
        y: { domain: Shoal.domain(inRange, { include: start === null ? [] : [start], pad: 0.14 }) ?? [0, 1], label: `loss after ${number(data.steps)} steps (down is better)` },
        marks,
      }, size(room))] };
    },
    table: (data) => ({
      columns: ["optimizer", "learning rate", "seed", "loss before", "loss after"],
      rows: data.lr.map((lr, k) => [data.optimizer[k], lr, data.seed[k], data.start[k], data.end[k]]),
    }),
  };

  Shoal.charts.progress = {
    draw(data, page, room) {
      const { rounds, half } = data;
      const known = rounds.map((r) => r.best);
      const top = page.metric.share ? 1 : Infinity;
      const domain = Shoal.domain(known.flatMap((v) => (finite(v) ? [v - half, Math.min(top, v + half)] : [])), { pad: 0.15 }) ?? [0, 1];
      const marks = known.map((v, k) => ({ type: "interval", x: k, low: v - half, high: Math.min(top, v + half) })).filter((m) => finite(m.low) && half > 0);
      marks.push({ type: "line", points: known.map((v, k) => [k, v]), kind: "thin" });
      marks.push({ type: "dots", points: known.map((v, k) => ({ x: k, y: v, id: rounds[k].id, kind: "solid", r: 5 })) });
      known.forEach((v, k) => { if (finite(v)) marks.push({ type: "text", x: k, y: v, say: Shoal.score(v, page.metric), dx: k === known.length - 1 ? -10 : 10, dy: 4, anchor: k === known.length - 1 ? "end" : "start" }); });
      return { legend: half > 0 && !room.thumb ? [{ say: "what the validation rows can tell apart", line: "rule" }] : [], panels: [Shoal.plot({
        x: { domain: [-0.3, Math.max(0, rounds.length - 1) + 0.3], ticks: rounds.map((r, k) => ({ value: k, text: r.label })), label: "" },
        y: { ...scoreAxis(page, "of the best network"), domain }, marks,
      }, size(room, 240))] };
    },
    table: (data) => ({ columns: ["round", "best network", "validation score"], rows: data.rounds.map((r) => [r.label, r.id, r.best]) }),
  };

  // Names at the left, one row each; used by bars and by dot-and-interval plots.
  function byName(names, domain, label, marks, format, room) {
    const height = room.thumb ? 40 : 60 + names.length * 32 + 24;
    const ticks = names.map((name, k) => ({ value: k, text: Shoal.shorten(name, room.width < 480 ? 14 : 28) }));
    return Shoal.plot({
      x: { domain, label, format }, y: { domain: [names.length - 0.4, -0.6], ticks }, marks,
    }, { width: Math.min(room.width, 720), height, thumb: room.thumb });
  }

  Shoal.charts.bars = {
    draw(data, page, room) {
      const top = Math.max(0.01, ...data.rows.map((r) => r.value ?? 0));
      const rows = data.rows.map((r) => ({ ...r, say: finite(r.value) ? `${number(100 * r.value, 2)} %` : "not finite" }));
      return { panels: [byName(rows.map((r) => r.name), [0, top * 1.15], "share of the variance, %", [{ type: "bars", rows }], (v) => number(100 * v, 3), room)] };
    },
    table: (data) => ({ columns: ["hyperparameter", "share of the variance"], rows: data.rows.map((r) => [r.name, r.value]) }),
  };

  Shoal.charts.dots = {
    draw(data, page, room) {
      const ends = data.rows.flatMap((r) => [r.value, r.low, r.high]);
      const rows = data.rows.map((r) => ({ ...r, kind: r.low > 0 || r.high < 0 ? "" : "none" }));
      const unit = page.metric.share ? `points of ${page.metric.word}` : page.metric.word;
      const marks = [{ type: "rule", axis: "x", at: 0, kind: "dashed", say: "no difference" }, { type: "spread", rows }];
      const format = (v) => (v > 0 ? "+" : "") + number(page.metric.share ? 100 * v : v, 3);
      return { panels: [byName(rows.map((r) => r.name), Shoal.domain(ends, { include: [0], pad: 0.15 }) ?? [-1, 1], `${unit} (right is better)`, marks, format, room)] };
    },
    table: (data) => ({ columns: ["what", "gain", "low", "high"], rows: data.rows.map((r) => [r.name, r.value, r.low, r.high]) }),
  };

  Shoal.charts.path = {
    draw(data, page, room) {
      const points = data.values.map((v, k) => ({ x: k + 1, y: v, kind: "solid", say: `after ${k + 1}: ${Shoal.score(v, page.metric)}` }));
      return { legend: finite(data.single) ? [{ say: "best single network", line: "rule dashed" }] : [], panels: [Shoal.plot({
        x: { domain: [0.5, data.values.length + 0.5], label: "networks added", format: (v) => (Number.isInteger(v) ? number(v) : "") },
        y: { ...scoreAxis(page, "on validation rows"), domain: Shoal.domain(data.values, { include: finite(data.single) ? [data.single] : [], pad: 0.15 }) ?? [0, 1] },
        marks: [
          { type: "rule", axis: "y", at: data.single, kind: "dashed" },
          { type: "line", points: points.map((p) => [p.x, p.y]), kind: "strong" },
          { type: "dots", points },
        ],
      }, { ...size(room), width: Math.min(room.width, 720) })] };
    },
    table: (data) => ({ columns: ["networks added", "validation score", "best single network"], rows: data.values.map((v, k) => [k + 1, v, data.single]) }),
  };

  Shoal.charts.residuals = {
    draw(data, page, room) {
      const both = Shoal.domain([...data.truth, ...data.predicted]) ?? [0, 1];
      const points = data.truth.map((t, k) => ({ x: t, y: data.predicted[k], r: 2.5, say: `truth ${number(t)}, answer ${number(data.predicted[k])}` }));
      const width = Math.min(room.width, 560);
      return { panels: [Shoal.plot({
        x: { domain: both, label: "truth" }, y: { domain: both, label: "answer (on the line is right)" },
        marks: [{ type: "dots", points }, { type: "line", points: [[both[0], both[0]], [both[1], both[1]]], kind: "diagonal" }],
      }, { width, height: room.thumb ? 40 : width * 0.85, thumb: room.thumb })] };
    },
    table: (data) => ({ columns: ["truth", "answer", "error"], rows: data.truth.map((t, k) => [t, data.predicted[k], data.predicted[k] - t]) }),
  };
})();
