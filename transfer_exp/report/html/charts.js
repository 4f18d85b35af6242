/* Charts. Each has a text alternative, and a table next to it has the numbers. */

const pen = document.createElement("canvas").getContext("2d");
pen.font = "12px system-ui, sans-serif";
const lengthOf = (text) => pen.measureText(text).width;
const BOLD = 1.12; /* width of bold text over that of plain text */

/* A name, cut in the middle if it does not fit, because names differ at either end. */
function fitted(name, room) {
  if (lengthOf(name) <= room) return name;
  for (let length = name.length - 1; length > 1; length--) {
    const cut = `${name.slice(0, Math.ceil(length / 2))}…${name.slice(name.length - Math.floor(length / 2))}`;
    if (lengthOf(cut) <= room) return cut;
  }
  return "…";
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
  const margin = spreadOf([low, high]) * share || Math.abs(high) * share || share;
  return [low - margin, high + margin];
}

const scale = ([low, high], from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);

function canvas(width, height, description, kind = "") {
  const label = description.replace(/\s+/g, " ");
  return draw("svg", { class: kind, width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

/* Grid lines, ticks and title of the horizontal axis. */
function drawAxis(svg, range, x, [left, right, top, bottom], title) {
  for (const [value, text] of ticks(...range, (right - left) / 60)) {
    svg.append(draw("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: bottom }));
    svg.append(draw("text", { class: "tick", x: x(value), y: bottom + 16, "text-anchor": "middle" }, text));
  }
  const centre = Math.max(lengthOf(title) / 2 + 2, Math.min((left + right) / 2, svg.width.baseVal.value - lengthOf(title) / 2));
  svg.append(draw("text", { class: "axis", x: centre, y: bottom + 35, "text-anchor": "middle" }, title));
}

/* Dots with whiskers, one row below the other; on a narrow screen a long name stands above its row. */
function intervals(chart, width) {
  const values = chart.rows.flatMap((r) => [r.value, r.low ?? r.value, r.high ?? r.value]);
  const plain = chart.digits ? (value) => fixed(value, chart.digits) : formatOf(values, 2);
  const format = (value) => (chart.is_change && value > 0 ? `+${plain(value)}` : plain(value));
  const digits = Math.max(...chart.rows.map((r) => BOLD * lengthOf(format(r.value)))) + 10;
  const longest = Math.max(...chart.rows.map((r) => (r.is_best ? BOLD : 1) * lengthOf(r.name))) + 14;
  const isNarrow = width < 460 && longest > width * 0.4;
  const left = isNarrow ? 8 : Math.min(width * 0.5, longest);
  const [right, top, step] = [width - digits - 4, 6, isNarrow ? 36 : 24];
  const bottom = top + step * chart.rows.length;
  const ends = chart.rows.flatMap((r) => [r.value, r.low, r.high, r.measured_accuracy].filter((value) => !isMissing(value)));
  const range = widened(chart.is_change ? [...ends, 0] : ends, 0.06);
  const x = scale(range, left + 6, right - 6);
  const description = `${chart.axis}, ${plural(chart.rows.length, "row")}: ${chart.rows.map((r) => `${r.name} ${format(r.value)}`).join(", ")}.`;
  const svg = canvas(width, bottom + 44, description, "intervals");
  drawAxis(svg, range, x, [left, right, top, bottom], chart.axis);
  if (range[0] <= 0 && range[1] >= 0) svg.append(draw("line", { class: "zero", x1: x(0), x2: x(0), y1: top, y2: bottom }));
  chart.rows.forEach((r, i) => {
    const y = top + step * i + (isNarrow ? 26 : step / 2);
    const whisker = isMissing(r.low) ? "" : `, ${format(r.low)} to ${format(r.high)}`;
    const group = draw("g", { class: `model${r.is_best ? " best" : ""}`, "data-model": r.name });
    const measured = isMissing(r.measured_accuracy) ? "" : `, measured ${fixed(r.measured_accuracy, 3)}`;
    group.append(draw("title", {}, `${r.name}: ${format(r.value)}${whisker}${measured}`));
    const at = isNarrow ? { x: left, y: y - 11 } : { x: left - 10, y: y + 4, "text-anchor": "end" };
    group.append(draw("text", { class: "name", ...at }, fitted(r.name, (isNarrow ? width - 16 : left - 12) / (r.is_best ? BOLD : 1))));
    if (whisker) group.append(draw("path", { class: "whisker", d: `M${x(r.low)} ${y}H${x(r.high)}M${x(r.low)} ${y - 4}v8M${x(r.high)} ${y - 4}v8` }));
    group.append(draw("circle", { class: "dot", cx: x(r.value), cy: y, r: 4.5 }));
    if (measured) group.append(draw("path", { class: "diamond", d: `M${x(r.measured_accuracy)} ${y - 6}l6 6l-6 6l-6 -6z` }));
    group.append(draw("text", { class: "value", x: width - 2, y: y + 4, "text-anchor": "end" }, format(r.value)));
    svg.append(group);
  });
  return svg;
}

/* Score against accuracy; the two pictures of a comparison share `rangeY`. */
function scatter(title, scoreName, models, named, rangeY, width, accuracy) {
  const height = Math.max(300, Math.min(420, width * 0.72));
  const [left, right, top, bottom] = [54, width - 12, 26, height - 44];
  const rangeX = widened(models.map((m) => m.score), 0.08);
  const x = scale(rangeX, left, right);
  const y = scale(rangeY, bottom, top);
  const chosen = Math.max(...models.map((m) => m.score));
  const best = (accuracy.smallerIsBetter ? Math.min : Math.max)(...models.map((m) => m.accuracy));
  const namesOf = (key, value) => models.filter((m) => m[key] === value).map((m) => m.model).join(", ");
  const svg = canvas(width, height, `${title}: score against ${accuracy.name} of ${plural(models.length, "model")}. Highest score:
    ${namesOf("score", chosen)}. Best ${accuracy.name}: ${namesOf("accuracy", best)}, ${fixed(best, 3)}.`);
  svg.append(draw("text", { class: "title", x: left, y: 14 }, fitted(title, (width - left) / BOLD / 1.1)));
  drawAxis(svg, rangeX, x, [left, right, top, bottom], scoreName);
  for (const [value, text] of ticks(...rangeY, height / 60)) {
    svg.append(draw("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  svg.append(draw("text", { class: "axis", transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, accuracy.name));
  const spots = models.map((m) => ({ name: m.model, x: x(m.score), y: y(m.accuracy), isNamed: named.includes(m.model) }));
  const labels = placeLabels(spots, [left, top - 4, width, bottom]);
  models.forEach((m, i) => {
    const spot = spots[i];
    const kind = m.accuracy === best ? "best" : m.score === chosen ? "chosen" : "";
    const group = draw("g", { class: `model ${kind}`, "data-model": m.model });
    group.append(draw("title", {}, `${m.model}: score ${short(m.score)}, ${accuracy.name} ${fixed(m.accuracy, 3)}`));
    if (kind) group.append(draw("circle", { class: "ring", cx: spot.x, cy: spot.y, r: 7.5 }));
    group.append(draw("circle", { class: "dot", cx: spot.x, cy: spot.y, r: 3.8 }));
    if (labels[i]?.line) group.append(draw("path", { class: "leader", d: labels[i].line }));
    const inward = spot.x > width / 2 ? { x: spot.x - 8, "text-anchor": "end" } : { x: spot.x + 8 };
    const position = labels[i] ? { x: labels[i].x, y: labels[i].y } : { ...inward, y: spot.y - 6 };
    group.append(draw("text", { class: labels[i] ? "name" : "name unplaced", ...position }, m.model));
    svg.append(group);
  });
  return svg;
}

/* tau_w against images per class on a logarithmic axis, with a line and whiskers for each row of the legend; "all" is last. */
function shotsChart(rows, lines, width) {
  const height = Math.max(300, Math.min(420, width * 0.5));
  const [left, right, top, bottom] = [58, width - 12, 10, height - 44];
  const numbers = [...new Set(rows.map((r) => r.shots).filter((n) => n !== null))].sort((a, b) => a - b);
  const sizes = [...numbers, ...(rows.some((r) => r.shots === null) ? [null] : [])];
  const last = numbers.length ? Math.log10(numbers.at(-1)) : 0;
  const place = (shots) => (shots === null ? last + 0.4 : Math.log10(shots));
  const x = scale(widened(sizes.map(place), 0.06), left, right);
  const rangeY = widened([0, ...rows.flatMap((r) => [r.tau, r.tau_low_95 ?? r.tau, r.tau_high_95 ?? r.tau])], 0.06);
  const y = scale(rangeY, bottom, top);
  const textOf = (shots) => (shots === null ? "all" : shots.toLocaleString("en"));
  const summary = lines.map((line) => `${line}: ${rows.filter((r) => r.line === line).map((r) => `${textOf(r.shots)} ${fixed(r.tau, 2)}`).join(", ")}`);
  const svg = canvas(width, height, `tau_w against images per class. ${summary.join("; ")}. The table has all numbers.`, "shots");
  for (const shots of sizes) {
    const at = x(place(shots));
    svg.append(draw("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }));
    svg.append(draw("text", { class: "tick", x: at, y: bottom + 16, "text-anchor": "middle" }, textOf(shots)));
  }
  svg.append(draw("text", { class: "axis", x: (left + right) / 2, y: bottom + 35, "text-anchor": "middle" }, "images per class"));
  for (const [value, text] of ticks(...rangeY, height / 60)) {
    svg.append(draw("line", { class: value === 0 ? "zero" : "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  svg.append(draw("text", { class: "axis", transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "tau_w"));
  lines.forEach((line, i) => {
    const points = sizes.map((shots) => rows.find((r) => r.line === line && r.shots === shots)).filter((r) => r);
    const group = draw("g", { class: `curve class${i}` });
    const shift = (i - (lines.length - 1) / 2) * 3; /* whiskers of several lines next to each other */
    group.append(draw("path", { d: points.map((r, at) => `${at ? "L" : "M"}${x(place(r.shots)) + shift} ${y(r.tau)}`).join("") }));
    for (const r of points) {
      const at = x(place(r.shots)) + shift;
      const interval = isMissing(r.tau_low_95) ? "" : `, ${fixed(r.tau_low_95, 2)} to ${fixed(r.tau_high_95, 2)}`;
      if (interval) group.append(draw("path", { d: `M${at} ${y(r.tau_low_95)}V${y(r.tau_high_95)}`, class: "whisker" }));
      const dot = draw("circle", { cx: at, cy: y(r.tau), r: 3.8 });
      dot.append(draw("title", {}, `${line}, ${textOf(r.shots)}: tau_w ${fixed(r.tau, 2)}${interval}`));
      group.append(dot);
    }
    svg.append(group);
  });
  return svg;
}

/* Accuracy against a cost on a logarithmic axis; the pairs that `front` marks are coloured, joined and named. */
function costChart(rows, key, label, front, width, axis = "accuracy", noun = "pair") {
  const height = Math.max(300, Math.min(420, width * 0.5));
  const [left, right, top, bottom] = [58, width - 12, 10, height - 44];
  const rangeX = widened(rows.map((r) => Math.log10(r[key])), 0.06);
  const rangeY = widened(rows.map((r) => r.accuracy), 0.08);
  const [x, y] = [scale(rangeX, left, right), scale(rangeY, bottom, top)];
  const best = rows.filter((r) => r[front]).sort((a, b) => a[key] - b[key]);
  const svg = canvas(width, height, `${axis} against ${label}, ${plural(rows.length, noun)}${noun === "pair" ? " of model and regime" : ""}. Best at their
    cost: ${best.map((r) => `${r.pair} ${fixed(r.accuracy, 3)}`).join("; ")}. The table has all numbers.`, "costs");
  const powers = [];
  for (let power = Math.ceil(rangeX[0]); power <= rangeX[1]; power++) powers.push(power);
  const decades = powers.length > 1 ? powers.map((power) => 10 ** power) : [...new Set(rows.map((r) => r[key]))].filter((_, i, all) => i === 0 || i === all.length - 1);
  for (const value of decades) {
    const at = x(Math.log10(value));
    svg.append(draw("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }));
    svg.append(draw("text", { class: "tick", x: at, y: bottom + 16, "text-anchor": "middle" }, value.toLocaleString("en")));
  }
  svg.append(draw("text", { class: "axis", x: (left + right) / 2, y: bottom + 35, "text-anchor": "middle" }, label));
  for (const [value, text] of ticks(...rangeY, height / 60)) {
    svg.append(draw("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  svg.append(draw("text", { class: "axis", transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, axis));
  const path = best.map((r, i) => `${i ? "H" : "M"}${x(Math.log10(r[key]))}${i ? "V" : " "}${y(r.accuracy)}`).join("");
  svg.append(draw("path", { class: "front", d: path }));
  const spots = rows.map((r) => ({ name: r.pair, x: x(Math.log10(r[key])), y: y(r.accuracy), isNamed: r[front] }));
  const labels = placeLabels(spots, [left, top - 4, width, bottom]);
  rows.forEach((r, i) => {
    const { x: cx, y: cy } = spots[i];
    const group = draw("g", { class: `model${r[front] ? " best" : ""}`, "data-model": r.pair });
    group.append(draw("title", {}, `${r.pair}: ${axis} ${fixed(r.accuracy, 3)}, ${label} ${r[key].toLocaleString("en")}`));
    group.append(draw("circle", { class: "dot", cx, cy, r: 4 }));
    if (labels[i]?.line) group.append(draw("path", { class: "leader", d: labels[i].line }));
    const inward = cx > width / 2 ? { x: cx - 8, "text-anchor": "end" } : { x: cx + 8 };
    const position = labels[i] ? { x: labels[i].x, y: labels[i].y } : { ...inward, y: cy - 6 };
    group.append(draw("text", { class: labels[i] ? "name" : "name unplaced", ...position }, r.pair));
    svg.append(group);
  });
  return svg;
}

/* For each named point a label that overlaps no point and no label, with a leader line if it is far away, or null. */
function placeLabels(spots, [left, top, right, bottom]) {
  const occupied = spots.map((s) => [s.x - 5, s.y - 5, s.x + 5, s.y + 5]);
  return spots.map((s) => {
    if (!s.isNamed) return null;
    const [w, h] = [lengthOf(s.name), 13];
    for (const gap of [10, 18, 30, 46, 66]) {
      const diagonal = gap * 0.7;
      for (const [x, y] of [
        [s.x + gap, s.y + 4], [s.x - gap - w, s.y + 4], [s.x - w / 2, s.y - gap], [s.x - w / 2, s.y + gap + 9],
        [s.x + diagonal, s.y - diagonal], [s.x + diagonal, s.y + diagonal + 8],
        [s.x - diagonal - w, s.y - diagonal], [s.x - diagonal - w, s.y + diagonal + 8],
      ]) {
        const box = [x - 1, y - h + 2, x + w + 1, y + 3];
        if (box[0] < left || box[1] < top || box[2] > right || box[3] > bottom) continue;
        if (occupied.some((t) => box[0] < t[2] && t[0] < box[2] && box[1] < t[3] && t[1] < box[3])) continue;
        occupied.push(box);
        const end = [Math.min(Math.max(s.x, box[0]), box[2]), Math.min(Math.max(s.y, box[1]), box[3])];
        return { x, y, line: gap > 10 ? `M${s.x} ${s.y}L${end[0]} ${end[1]}` : null };
      }
    }
    return null;
  });
}

/* Samples projected onto two components; both axes have the same unit. */
function plane(title, samples, side, reach, width) {
  const size = Math.min(width - 22, 440);
  const [left, top] = [22, 20];
  const svg = canvas(size + left, size + top + 24, `${title}: ${plural(samples.labels.length, "sample")} of
    ${plural(samples.names.length, "class", "classes")} on two principal components. The table has the distances between the classes.`, "plane");
  const place = scale([-reach, reach], 0, size);
  const at = (value) => Math.min(size, Math.max(0, place(value)));
  const share = (i) => (side.variance ? ` (${Math.round(100 * side.variance[i])} % of the variance)` : "");
  svg.append(
    draw("text", { class: "title", x: left, y: 13 }, fitted(title, size / BOLD / 1.1)),
    draw("rect", { class: "frame", x: left + 0.5, y: top + 0.5, width: size - 1, height: size - 1 }),
    draw("path", { class: "cross", d: `M${left} ${top + size / 2}h${size}M${left + size / 2} ${top}v${size}` }),
    draw("text", { class: "axis", x: left + size / 2, y: top + size + 17, "text-anchor": "middle" }, fitted(`component 1${share(0)}`, size)),
    draw("text", { class: "axis", transform: `translate(13 ${top + size / 2}) rotate(-90)`, "text-anchor": "middle" }, fitted(`component 2${share(1)}`, size)),
  );
  samples.labels.forEach((c, i) => {
    const [px, py] = [side.points[2 * i], side.points[2 * i + 1]];
    const dot = draw("circle", { class: `class${c}`, cx: left + at(px), cy: top + size - at(py), r: samples.labels.length > 400 ? 2.2 : 3 });
    dot.dataset.class = c;
    svg.append(dot);
  });
  return svg;
}

/* Half the width of a map: 99 of 100 coordinates lie inside, and the others are drawn on its frame. */
function reachOf(side) {
  const sizes = side.points.map(Math.abs).sort((a, b) => a - b);
  return 1.15 * Math.max(1, sizes[Math.floor(0.99 * (sizes.length - 1))]);
}
