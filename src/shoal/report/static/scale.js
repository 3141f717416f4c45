// Scales: from a domain to pixels and back, linear or logarithmic, and the ticks that a reader expects.
(() => {
  const log = Math.log10;

  /** A scale over [from, to] pixels. `to(value)`, `back(pixel)`, `ticks(n)` as [{value, text}]. */
  Shoal.scale = ({ domain: [low, high], range: [from, to], logarithmic = false, format = Shoal.number }) => {
    const f = logarithmic ? log : (v) => v;
    const inverse = logarithmic ? (v) => 10 ** v : (v) => v;
    const a = f(low), b = f(high) === a ? a + 1 : f(high);
    return {
      low, high, from, to, logarithmic,
      at: (value) => from + ((f(value) - a) / (b - a)) * (to - from),
      back: (pixel) => inverse(a + ((pixel - from) / (to - from)) * (b - a)),
      ticks: (n) => (logarithmic ? powers(low, high, n) : round(low, high, n, format)),
    };
  };

  function powers(low, high, n) {
    const first = Math.ceil(log(low) - 1e-9), last = Math.floor(log(high) + 1e-9);
    const ticks = [];
    const every = Math.max(1, Math.ceil((last - first + 1) / n));
    for (let k = first; k <= last; k += every) ticks.push({ value: 10 ** k, text: Shoal.power(k) });
    if (ticks.length >= 2) return ticks;
    const fine = [];
    for (let k = first - 1; k <= last; k++) {
      for (const m of [1, 2, 5]) if (m * 10 ** k >= low * 0.999 && m * 10 ** k <= high * 1.001) fine.push({ value: m * 10 ** k, text: Shoal.number(m * 10 ** k, 2) });
    }
    return fine.length ? fine : [{ value: Math.sqrt(low * high), text: Shoal.number(Math.sqrt(low * high), 2) }];
  }

  function round(low, high, n, format) {
    const raw = (high - low) / Math.max(1, n);
    if (!(raw > 0)) return [{ value: low, text: format(low) }];
    const unit = 10 ** Math.floor(log(raw));
    const step = unit * ([1, 2, 5, 10].find((m) => m * unit >= raw * 0.999) ?? 10);
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) {
      const value = Number((k * step).toPrecision(12));
      ticks.push({ value, text: format(value) });
    }
    return ticks;
  }

  /** The smallest and the largest of finite values. */
  Shoal.extent = (values) => {
    let low = Infinity, high = -Infinity;
    for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
    return [low, high];
  };

  /** The smallest and the largest of the finite values, widened by a share of their distance; null without any. */
  Shoal.domain = (values, { pad = 0.05, logarithmic = false, include = [] } = {}) => {
    const fit = [...values, ...include].filter((v) => Shoal.finite(v) && (!logarithmic || v > 0));
    if (!fit.length) return null;
    const [low, high] = Shoal.extent(fit);
    if (logarithmic) {
      const grow = Math.max((log(high) - log(low)) * pad, 0.05);
      return [10 ** (log(low) - grow), 10 ** (log(high) + grow)];
    }
    const grow = high > low ? (high - low) * pad : Math.abs(high) * 0.1 || 1;
    return [low - grow, high + grow];
  };

  /** The q quantile of finite values. */
  Shoal.quantile = (values, q) => {
    const sorted = values.filter(Shoal.finite).sort((x, y) => x - y);
    if (!sorted.length) return null;
    const at = (sorted.length - 1) * q, floor = Math.floor(at);
    return sorted[floor] + ((sorted[floor + 1] ?? sorted[floor]) - sorted[floor]) * (at - floor);
  };

  /** A domain for scores that keeps most networks legible: a few far below do not press it against the top. */
  Shoal.scoreDomain = (values, include = []) => {
    const fit = values.filter(Shoal.finite);
    const inside = include.filter(Shoal.finite);
    if (!fit.length) return inside.length ? Shoal.domain(inside) : [0, 1];
    const [least] = Shoal.extent(fit), [inner, top] = Shoal.extent([...fit, ...inside]), middle = Shoal.quantile(fit, 0.5);
    const kept = Math.max(least, top - Math.max(5 * (top - middle), Math.abs(top) * 0.02));
    const low = inside.length ? Math.min(kept, Shoal.extent(inside)[0]) : Math.max(kept, inner);
    const grow = top > low ? (top - low) * 0.06 : Math.abs(top) * 0.1 || 1;
    return [low - grow, top + grow];
  };

  /** A domain for losses: the chosen lines whole, of the others what lies below the 90 % quantile of their starts. */
  Shoal.lossDomain = (values, include = []) => {
    const fit = values.filter(Shoal.finite);
    const inside = include.filter(Shoal.finite);
    if (!fit.length && !inside.length) return [0, 1];
    const all = fit.length ? fit : inside;
    const [low] = Shoal.extent([...all, ...inside]);
    const high = Math.max(Shoal.quantile(all, 0.9), inside.length ? Shoal.extent(inside)[1] : -Infinity);
    const grow = high > low ? (high - low) * 0.06 : Math.abs(high) * 0.1 || 1;
    return [low - grow, high + grow];
  };
})();
