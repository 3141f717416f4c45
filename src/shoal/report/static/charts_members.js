// Charts whose marks are networks: each mark carries the network's id, so that one selection lights it everywhere.
(() => {
  const { finite, number } = Shoal;
  const spokenRound = (label) => label;

  // --- the search: a panel for each hyperparameter ---------------------------------------------------------------

  Shoal.charts.search = {
    draw(data, page, room) {
      const chosen = new Set([...(page.ensemble ? page.chosen : []), data.best]);
      const scores = data.rounds.flatMap((r) => r.score);
      const domain = Shoal.scoreDomain(scores, []);
      const panels = room.thumb ? data.panels.slice(0, 1) : data.panels;
      const across = Math.max(1, Math.min(panels.length, Math.floor((room.width + 24) / 248)));
      const width = room.thumb ? room.width : (room.width - 24 * (across - 1)) / across;
      const legend = [];
      if (!room.thumb) {
        if (data.rounds.length > 1) data.rounds.slice(0, 4).forEach((r, k) => legend.push({ say: spokenRound(r.label), dot: `g${k + 1}` }));
        legend.push({ say: page.ensemble ? "outlined: the best and the ensemble" : "outlined: the best", dot: "chosen" });
        if (scores.some((v) => !finite(v))) legend.push({ say: "diverged", cross: true });
        if (scores.some((v) => finite(v) && v < domain[0])) legend.push({ say: "below the picture", below: true });
      }
      return { legend, across: panels.length > 1 ? across : 0, panels: panels.map((panel) => one(panel, data, page, domain, chosen, { width, thumb: room.thumb })) };
    },
    table(data) {
      const names = data.panels.map((p) => p.name);
      return {
        columns: ["round", "network", ...names, "validation score", "status"],
        rows: data.rounds.flatMap((r) => r.ids.map((id, k) => [r.label, id, ...names.map((n) => r.values[n][k]), r.score[k], r.status[k]])),
      };
    },
  };

  function one(panel, data, page, domain, chosen, { width, thumb }) {
    const values = data.rounds.flatMap((r) => r.values[panel.name]);
    const scale = values.some((v) => typeof v === "string") ? categories(values) : numbers(panel, values);
    const points = [];
    data.rounds.forEach((r, g) => r.ids.forEach((id, k) => {
      const x = scale.place(r.values[panel.name][k], id);
      if (x === null) return;
      const kind = `g${Math.min(4, g + 1)}` + (chosen.has(id) ? " chosen" : "");
      points.push({ x, y: r.score[k], id, kind, wild: finite(r.score[k]) ? null : "bottom", r: chosen.has(id) ? 4.5 : 3 });
    }));
    points.sort((a, b) => chosen.has(a.id) - chosen.has(b.id));
    const label = page.metric.share ? `${page.metric.word}, % (up is better)` : `${page.metric.word} (up is better)`;
    return Shoal.plot({
      x: { domain: scale.domain, logarithmic: scale.logarithmic, ticks: scale.ticks, label: panel.label },
      y: { ...Shoal.scoreAxis(page, ""), label, domain },
      marks: [...bounds(panel, scale), { type: "dots", points }],
    }, { width, height: thumb ? 40 : 232, thumb });
  }

  function categories(values) {
    const names = [...new Set(values.filter((v) => v !== null && v !== undefined).map(String))];
    const jitter = (id) => (((id * 2654435761) % 1000) / 1000 - 0.5) * 0.5;
    return {
      domain: [-0.5, names.length - 0.5], logarithmic: false,
      ticks: names.map((name, k) => ({ value: k, text: Shoal.shorten(name, 12) })),
      place: (v, id) => (v === null || v === undefined ? null : names.indexOf(String(v)) + jitter(id)),
    };
  }

  function numbers(panel, values) {
    const bounds = panel.bounds.flatMap((w) => [w.low, w.high, ...(w.was ?? [])]);
    const logarithmic = panel.bounds.length > 0 && panel.bounds.every((w) => w.log) && [...values, ...bounds].every((v) => !finite(v) || v > 0);
    const domain = Shoal.domain(values, { logarithmic, include: bounds, pad: 0.08 }) ?? [0, 1];
    return { domain, logarithmic, place: (v) => (finite(v) && (!logarithmic || v > 0) ? v : null) };
  }

  function bounds(panel, { domain }) {
    const marks = [];
    const last = panel.bounds.at(-1);
    if (!last) return marks;
    const low = Math.min(...panel.bounds.map((w) => w.low)), high = Math.max(...panel.bounds.map((w) => w.high));
    marks.push({ type: "wall", behind: true, from: domain[0], to: Math.min(low, last.low) }, { type: "wall", behind: true, from: domain[1], to: Math.max(high, last.high) });
    const seen = new Set();
    const faint = (at, round) => {
      if (seen.has(at) || !finite(at) || at === low || at === high) return;
      seen.add(at);
      marks.push({ type: "rule", behind: true, axis: "x", at, kind: "faint", above: true, say: `round ${round}` });
    };
    for (const w of panel.bounds) if (w.was) { w.was.forEach((at, side) => { if (at !== [w.low, w.high][side]) faint(at, (w.moved ?? w.round)); }); }
    return marks;
  }

  // --- learning curves: the shoal -----------------------------------------------------------------------------------

  Shoal.charts.curves = {
    draw(data, page, room) {
      const loss = data.what === "validation_loss";
      const other = loss ? "train_loss" : "train_score";
      const populations = page.populations.filter((c) => data.populations.includes(c.name));
      const chosen = new Set(page.chosen), judged = new Set(data.verdicts.map((v) => v.member));
      const total = populations.reduce((n, c) => n + c.ids.length, 0);
      const { lines, strong, all } = gather(populations, data.what, other, chosen, judged, total <= 12);
      const marks = band(data, page.populations);
      const focus = verdictMarks(data, page, loss, marks);
      const domain = loss ? Shoal.lossDomain(all, strong) : Shoal.scoreDomain(all, focus);
      const last = Math.max(1, ...populations.map((c) => c.epochs));
      const y = loss ? { label: "loss (down is better)", domain } : { ...Shoal.scoreAxis(page, ""), domain };
      if (!loss) y.label = page.metric.share ? `${page.metric.word}, % (up is better)` : `${page.metric.word} (up is better)`;
      return {
        legend: room.thumb ? [] : legendOf(page, data, populations, judged, total, marks.some((m) => m.type === "area")),
        panels: [Shoal.plot({
          x: { domain: [last > 1 ? 1 : 0.5, last > 1 ? last + (last - 1) * 0.02 : 1.5], label: "epoch (one pass through the training rows)", format: (v) => (Number.isInteger(v) ? number(v) : "") },
          y, marks, lines,
        }, { width: room.width, height: room.thumb ? 40 : Math.min(360, Math.max(260, room.width * 0.62)), thumb: room.thumb })],
      };
    },
    table(data, page) {
      const populations = page.populations.filter((c) => data.populations.includes(c.name));
      const rows = [];
      for (const c of populations) {
        c.ids.forEach((id, k) => {
          for (let t = 0; t < c.epochs; t++) {
            const at = [c.train_loss, c.train_score, c.validation_loss, c.validation_score].map((grid) => grid[k][t]);
            if (at.some((v) => v !== null)) rows.push([c.name, id, t + 1, ...at]);
          }
        });
      }
      return { columns: ["population", "network", "epoch", "training loss", "training score", "validation loss", "validation score"], rows };
    },
  };

  function gather(populations, what, other, chosen, judged, few) {
    const plain = [], above = [], strong = [], all = [];
    for (const population of populations) {
      const xs = Array.from({ length: population.epochs }, (_, t) => t + 1);
      population.ids.forEach((id, k) => {
        const kind = judged.has(id) ? "judged" : chosen.has(id) ? "chosen" : "member";
        const ys = population[what][k];
        for (const v of ys) if (finite(v)) all.push(v);
        const list = kind === "member" ? plain : above;
        if (few || kind !== "member") list.push({ id, xs, ys: population[other][k], kind: `${kind} train`, train: true });
        list.push({ id, xs, ys, kind });
        if (kind !== "member") for (const v of [...ys, ...population[other][k]]) if (finite(v)) strong.push(v);
      });
    }
    return { lines: [...plain, ...above], strong, all };
  }

  function band(data, populations) {
    const population = populations.find((c) => c.name === data.band);
    if (!population || population.ids.length < 5) return [];
    const points = [];
    for (let t = 0; t < population.epochs; t++) {
      const values = population[data.what].map((ys) => ys[t]).filter(finite);
      if (values.length >= 5) points.push([t + 1, Shoal.quantile(values, 0.1), Shoal.quantile(values, 0.9)]);
    }
    return points.length > 1 ? [{ type: "area", behind: true, points }] : [];
  }

  // Brackets over the epochs of the slope on the loss, the gap as an arrow on the score. Returns what must be in view.
  function verdictMarks(data, page, loss, marks) {
    const inView = [];
    for (const v of data.verdicts) {
      const population = page.populations.find((c) => c.name === v.population);
      const k = population ? population.ids.indexOf(v.member) : -1;
      if (k < 0) continue;
      const [first, last] = v.epochs_read;
      if (loss) {
        const read = population.validation_loss[k].slice(Math.max(0, first - 1), last).filter(finite);
        const slope = finite(v.slope) ? `${v.slope > 0 ? "+" : v.slope < 0 ? "\u2212" : ""}${number(Math.round(1e4 * Math.abs(v.slope)) / 100)} % an epoch` : "slope not finite";
        if (read.length) marks.push({ type: "bracket", from: first, to: last, at: Math.max(...read), say: slope });
      } else {
        const scores = population.validation_score[k], best = scores.reduce((b, s, t) => (finite(s) && (b < 0 || s > scores[b]) ? t : b), -1);
        if (best < 0) continue;
        const from = scores[best], to = finite(v.gap) ? from + v.gap : null; // the gap as it was judged, without dropout
        inView.push(from, to);
        const gap = page.metric.share ? `gap ${number(100 * v.gap, 2)} points` : `gap ${number(v.gap, 2)}`;
        marks.push({ type: "arrow", at: best + 1, from, to, say: gap });
      }
    }
    return inView;
  }

  function legendOf(page, data, populations, judged, total, banded) {
    const legend = [];
    const shown = new Set(populations.flatMap((c) => c.ids));
    const answers = page.chosen.filter((id) => shown.has(id) && !judged.has(id)).length;
    if (page.ensemble && answers) legend.push({ say: "in the ensemble, on validation rows", line: "line chosen" }, { say: "the same, on training rows", line: "line chosen train" });
    if (!page.ensemble && answers) legend.push({ say: "the best so far, on validation rows", line: "line chosen" }, { say: "the same, on training rows", line: "line chosen train" });
    if (judged.size) legend.push({ say: "the network that was judged", line: "line judged" });
    if (judged.size && !answers) legend.push({ say: "the same, on training rows", line: "line judged train" });
    if (total > 1) legend.push({ say: "every other network", line: "line member" });
    if (banded) legend.push({ say: `where 80 % of ${data.band} lie`, area: "area" });
    return legend;
  }

  // --- training against validation score -----------------------------------------------------------------------------

  Shoal.charts.agreement = {
    draw(data, page, room) {
      const chosen = new Set(page.ensemble ? page.chosen : []), judged = new Set(data.judged);
      const xs = data.points.map((p) => p.x), ys = data.points.map((p) => p.y);
      const domain = Shoal.scoreDomain([...xs, ...ys]);
      const width = Math.min(room.width, 640);
      const points = data.points.map((p) => ({ ...p, kind: judged.has(p.id) ? "g3 chosen" : chosen.has(p.id) ? "chosen" : "faint", r: judged.has(p.id) || chosen.has(p.id) ? 4.5 : 3 }))
        .sort((a, b) => (a.kind === "faint" ? 0 : 1) - (b.kind === "faint" ? 0 : 1))
        .filter((p) => p.x >= domain[0]);
      const [low, high] = domain;
      const marks = [{ type: "line", points: [[low, low], [high, high]], kind: "diagonal" }];
      marks.push({ type: "text", x: high, y: high, say: "no gap", anchor: "end", dx: -14, dy: 12 });
      if (finite(data.threshold)) {
        marks.push({ type: "line", points: [[low + data.threshold, low], [high, high - data.threshold]], kind: "diagonal dashed" });
        if (data.threshold < (high - low) * 0.9) marks.push({ type: "text", x: low + data.threshold, y: low, say: "called overfitting", dx: 36, dy: -8 });
      }
      marks.push({ type: "dots", points });
      const legend = room.thumb ? [] : [{ say: "judged", dot: "g3 chosen" }, ...(page.ensemble ? [{ say: "in the ensemble", dot: "chosen" }] : []), { say: "every other network", dot: "faint" }];
      const axis = Shoal.scoreAxis(page, "on validation rows");
      return { legend, panels: [Shoal.plot({
        x: { ...Shoal.scoreAxis(page, ""), domain, label: `on the training rows${page.metric.share ? ", %" : ""}` }, y: { ...axis, domain }, marks,
      }, { width, height: room.thumb ? 40 : width * 0.75, thumb: room.thumb })] };
    },
    table: (data) => ({ columns: ["network", "training score", "validation score", "gap"], rows: data.points.map((p) => [p.id, p.x, p.y, p.x - p.y]) }),
  };
})();
