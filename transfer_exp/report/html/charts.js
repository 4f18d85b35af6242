/* Charts. Each has a text alternative, and a table next to it has the numbers. */

const FONT = "11px system-ui, sans-serif";
const pen = document.createElement("canvas").getContext("2d");
pen.font = FONT;
const lengthOf = (text) => pen.measureText(text).width;

/* A heading, cut at the edge of its picture; the picture's aria-label has the full text. */
function heading(text, x, y, width) {
  const room = Math.floor((width - x) / (1.3 * Math.max(1, lengthOf(text) / text.length)));
  return draw("text", { class: "title", x, y }, text.length > room ? `${text.slice(0, Math.max(1, room - 1))}…` : text);
}

/* A name, cut in the middle if it does not fit, because names differ at either end. */
function fitted(name, room) {
  if (lengthOf(name) <= room) return name;
  for (let length = name.length - 1; length > 1; length--) {
    const cut = `${name.slice(0, Math.ceil(length / 2))}…${name.slice(name.length - Math.floor(length / 2))}`;
    if (lengthOf(cut) <= room) return cut;
  }
  return "…";
}

/* Position of tau_w between -1 and 1, in front of the null band. */
function strip(tau, band, width, height) {
  const x = (value) => 1 + ((value + 1) / 2) * (width - 2);
  const middle = height / 2;
  return draw(
    "svg",
    { class: "strip", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    draw("line", { class: "track", x1: 1, x2: width - 1, y1: middle, y2: middle }),
    band && draw("rect", { class: "band", x: x(band[0]), width: x(band[1]) - x(band[0]), y: 0, height, rx: 1 }),
    draw("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: height }),
    draw("line", { class: "tau", x1: x(tau), x2: x(tau), y1: 0, y2: height }),
  );
}

function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const values = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-12) + 1e-300; i++) values.push(i * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const plain = high < 1e6 && digits < 7;
  return values.map((value) => [value, signed(plain ? value.toFixed(digits) : value.toExponential(1))]);
}

function widened(values, share) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low) * share || Math.abs(high) * share || share;
  return [low - margin, high + margin];
}

const scale = ([low, high], from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);

/* Score against accuracy; the two pictures of a comparison share `rangeY`. */
function scatter(title, models, rangeY, width) {
  const height = Math.max(260, Math.min(400, width * 0.72));
  const [left, right, top, bottom] = [46, 12, 26, 40];
  const rangeX = widened(models.map((m) => m.score), 0.08);
  const x = scale(rangeX, left, width - right);
  const y = scale(rangeY, height - bottom, top);
  const chosen = Math.max(...models.map((m) => m.score));
  const best = Math.max(...models.map((m) => m.accuracy));
  const first = models.filter((m) => m.score === chosen).map((m) => m.model);
  const most = models.filter((m) => m.accuracy === best).map((m) => m.model);
  const description = `${title}: score against accuracy of ${plural(models.length, "model")}. Highest score: ${first.join(", ")}.
    Best accuracy: ${most.join(", ")}, ${fixed(best, 3)}.`;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": oneLine(description) });
  svg.append(heading(title, left, 14, width));
  for (const [value, text] of ticks(...rangeX, width / 110)) {
    svg.append(draw("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: height - bottom }));
    svg.append(draw("text", { class: "tick", x: x(value), y: height - bottom + 16, "text-anchor": "middle" }, text));
  }
  for (const [value, text] of ticks(...rangeY, height / 60)) {
    svg.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  svg.append(draw("text", { class: "axis", x: width - right, y: height - 6, "text-anchor": "end" }, "score →"));
  svg.append(draw("text", { class: "axis", x: 2, y: top - 12 }, "↑ acc."));
  const spots = models.map((m) => ({ name: m.model, x: x(m.score), y: y(m.accuracy) }));
  const positions = placeLabels(spots, [left, top - 4, width, height - bottom]);
  models.forEach((m, i) => {
    const kind = m.accuracy === best ? "best" : m.score === chosen ? "chosen" : "";
    const group = draw("g", { class: `model ${kind}`, "data-model": m.model });
    group.append(draw("title", {}, `${m.model}: score ${short(m.score)}, accuracy ${fixed(m.accuracy, 3)}`));
    if (kind) group.append(draw("circle", { class: "ring", cx: spots[i].x, cy: spots[i].y, r: 7.5 }));
    group.append(draw("circle", { class: "dot", cx: spots[i].x, cy: spots[i].y, r: 3.8 }));
    const inward = spots[i].x > width / 2 ? { x: spots[i].x - 8, "text-anchor": "end" } : { x: spots[i].x + 8 };
    const position = positions[i] ?? { ...inward, y: spots[i].y - 6 };
    group.append(draw("text", { class: positions[i] ? "name" : "name crowded", ...position }, m.model));
    svg.append(group);
  });
  return svg;
}

/* For each point a label position that overlaps no point and no label; null if there is no room. */
function placeLabels(spots, [left, top, right, bottom]) {
  const occupied = spots.map((s) => [s.x - 5, s.y - 5, s.x + 5, s.y + 5]);
  return spots.map((s) => {
    const [w, h] = [lengthOf(s.name), 12];
    const tries = [];
    for (const gap of [10, 16, 24]) {
      tries.push([s.x + gap, s.y + 4], [s.x - gap - w, s.y + 4], [s.x - w / 2, s.y - gap], [s.x - w / 2, s.y + gap + 9]);
      tries.push([s.x + gap * 0.7, s.y - gap * 0.7], [s.x + gap * 0.7, s.y + gap * 0.7 + 8]);
      tries.push([s.x - gap * 0.7 - w, s.y - gap * 0.7], [s.x - gap * 0.7 - w, s.y + gap * 0.7 + 8]);
    }
    for (const [x, y] of tries) {
      const box = [x - 1, y - h + 2, x + w + 1, y + 3];
      if (box[0] < left || box[1] < top || box[2] > right || box[3] > bottom) continue;
      if (occupied.some((t) => box[0] < t[2] && t[0] < box[2] && box[1] < t[3] && t[1] < box[3])) continue;
      occupied.push(box);
      return { x, y };
    }
    return null;
  });
}

/* Scores only, if there are no accuracies to compare them with. */
function dots(models, width) {
  const label = Math.min(width * 0.5, Math.max(...models.map((m) => lengthOf(m.model))) + 14);
  const height = 34 + 20 * models.length;
  const range = widened(models.map((m) => m.score), 0.05);
  const x = scale(range, label, width - 12);
  const description = `Scores of ${plural(models.length, "model")}, highest first: ${models.map((m) => m.model).join(", ")}.`;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": oneLine(description) });
  for (const [value, text] of ticks(...range, width / 140)) {
    svg.append(draw("line", { class: "grid", x1: x(value), x2: x(value), y1: 4, y2: height - 26 }));
    svg.append(draw("text", { class: "tick", x: x(value), y: height - 10, "text-anchor": "middle" }, text));
  }
  models.forEach((m, i) => {
    const y = 16 + 20 * i;
    const group = draw("g", { class: i ? "model" : "model chosen", "data-model": m.model });
    group.append(draw("title", {}, `${m.model}: score ${short(m.score)}`));
    const name = fitted(m.model, label - 14);
    group.append(draw("text", { class: "name", x: label - 10, y: y + 4, "text-anchor": "end" }, name));
    group.append(draw("circle", { class: "dot", cx: x(m.score), cy: y, r: 3.8 }));
    svg.append(group);
  });
  return svg;
}

/* Samples projected onto two components; both axes have the same unit. */
function plane(title, samples, side, reach, width) {
  const size = Math.min(width, 460);
  const svg = draw("svg", { class: "plane", width: size, height: size + 20, viewBox: `0 0 ${size} ${size + 20}` });
  const description = `${title}: ${plural(samples.labels.length, "sample")} of ${plural(samples.names.length, "class", "classes")} on two principal
    components. The table has the distances between the classes.`;
  fill(svg, { role: "img", "aria-label": oneLine(description) }, [heading(title, 0, 13, size)]);
  const at = scale([-reach, reach], 0, size);
  svg.append(draw("rect", { class: "frame", x: 0.5, y: 20.5, width: size - 1, height: size - 1 }));
  svg.append(draw("path", { class: "cross", d: `M0 ${20 + size / 2}H${size}M${size / 2} 20V${size + 20}` }));
  samples.labels.forEach((c, i) => {
    const [px, py] = [side.points[2 * i], side.points[2 * i + 1]];
    const dot = draw("circle", { cx: at(px), cy: 20 + size - at(py), r: samples.labels.length > 400 ? 2.2 : 3 });
    dot.dataset.class = c;
    colour(dot, c, samples.names.length);
    svg.append(dot);
  });
  return svg;
}

/* Ten chosen colours; with more classes, hues far apart, and the table's buttons identify a class. */
function colour(node, c, classes) {
  if (classes <= 10) node.classList.add(`class${c}`);
  else node.style.setProperty("--class", `oklch(0.64 0.15 ${(c * 137.508) % 360})`);
}

const reachOf = (side) => side.points.reduce((most, value) => Math.max(most, Math.abs(value)), 1) * 1.06;
