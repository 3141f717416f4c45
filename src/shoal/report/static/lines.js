// Many lines at once: painted on a canvas by uPlot on the screen, drawn as SVG paths in thumbnails, files and print.
(() => {
  const { svg, finite } = Shoal;

  Shoal.linePath = ({ xs, ys }, { x, y }) => Shoal.path(xs.map((a, k) => (finite(ys[k]) ? [x.at(a), y.at(ys[k])] : null)));

  /** The plot's lines as SVG paths, cut to its inner rectangle. */
  Shoal.lineGroup = (plot) => {
    const { inner } = plot;
    const box = svg("svg", { x: inner.left, y: inner.top, width: inner.width, height: inner.height, viewBox: `${inner.left} ${inner.top} ${inner.width} ${inner.height}` });
    for (const line of plot.lines) {
      if (lone(line)) {
        const k = line.ys.findIndex(finite);
        if (k >= 0) box.append(svg("circle", { class: "dot faint", cx: plot.x.at(line.xs[k]), cy: plot.y.at(line.ys[k]), r: 2 }));
      } else box.append(svg("path", { class: `line ${line.kind}`, d: Shoal.linePath(line, plot) }));
    }
    return box;
  };

  const lone = ({ ys }) => ys.filter(finite).length <= 1;

  /** Paints the plot's lines into `host`, under its SVG. Returns the uPlot instance. */
  Shoal.paint = (plot, host) => {
    const { inner, lines } = plot;
    const places = [...new Set(lines.flatMap((line) => line.xs))].sort((a, b) => a - b);
    const columns = new Map(places.map((place, k) => [place, k]));
    const looks = new Map();
    const series = [{}], data = [places];
    for (const line of lines) {
      const values = new Array(places.length).fill(null);
      line.xs.forEach((place, k) => { if (finite(line.ys[k])) values[columns.get(place)] = line.ys[k]; });
      data.push(values);
      if (!looks.has(line.kind)) looks.set(line.kind, look(line.kind, plot.svg));
      series.push({ ...looks.get(line.kind), points: { show: lone(line), size: 4 }, spanGaps: false });
    }
    const { x, y } = plot;
    return new uPlot({
      width: Math.round(inner.width), height: Math.round(inner.height), padding: [0, 0, 0, 0], pxAlign: 0,
      legend: { show: false }, cursor: { show: false }, axes: [{ show: false }, { show: false }], series,
      scales: {
        x: { time: false, range: [x.low, x.high], distr: x.logarithmic ? 3 : 1 },
        y: { range: [y.low, y.high], distr: y.logarithmic ? 3 : 1 },
      },
    }, data, host);
  };

  // The style sheet is the only place that knows colours: a probe is asked.
  function look(kind, root) {
    const probe = svg("path", { class: `line ${kind}` });
    root.append(probe);
    const style = getComputedStyle(probe);
    const dash = style.strokeDasharray === "none" ? undefined : style.strokeDasharray.split(/[ ,]+/).map(parseFloat);
    const found = { stroke: style.stroke, width: parseFloat(style.strokeWidth), alpha: parseFloat(style.strokeOpacity), dash };
    probe.remove();
    return found;
  }
})();
