// The namespace of all charts, and how elements and numbers are made. Everything that comes from data is set as text.
"use strict";
const Shoal = {};

(() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    for (const child of children ?? []) if (child) node.append(child);
    return node;
  }
  Shoal.el = (name, attributes, children) => fill(document.createElement(name), attributes, children);
  Shoal.svg = (name, attributes, children) => fill(document.createElementNS(SVG, name), attributes, children);

  Shoal.finite = (value) => typeof value === "number" && Number.isFinite(value);
  const MINUS = "\u2212";
  const SUPER = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";

  /** A value in a few significant digits, as the page's words have it. */
  Shoal.number = (value, digits = 3) => {
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value === "string") return Shoal.shorten(value, 32);
    if (!Shoal.finite(value)) return "not finite";
    if (value === 0) return "0";
    const size = Math.abs(value), sign = value < 0 ? MINUS : "";
    if (Number.isInteger(value) && size < 1e7) return sign + size.toLocaleString("en-US");
    if (size < 1e-4 || size >= 1e7) return sign + size.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e");
    const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
    return sign + Number(size.toFixed(places)).toLocaleString("en-US", { maximumFractionDigits: places });
  };

  /** Ten to the power of k, with k set high. */
  Shoal.power = (k) => "10" + (k < 0 ? "\u207b" : "") + String(Math.abs(k)).split("").map((d) => SUPER[+d]).join("");

  /** A score in the unit of the page: per cent for shares. */
  Shoal.score = (value, metric) => {
    if (!Shoal.finite(value)) return "not finite";
    return metric.share ? (100 * value).toFixed(1) + " %" : Shoal.number(value, 3);
  };

  Shoal.shorten = (text, most) => {
    const letters = String(text);
    if (letters.length <= most) return letters;
    const keep = Math.floor((most - 1) / 2);
    return letters.slice(0, most - 1 - keep) + "\u2026" + letters.slice(letters.length - keep);
  };

  const SAID = { lr: "learning rate", init: "initializer", l1: "L1" };
  Shoal.spoken = (name) => SAID[name] ?? String(name).replaceAll("_", " ");
})();
