/* Class separation: a map of one model's samples, or the most confused pairs of many classes, and a table of classes. */

const LEAST_SHARE = 0.1; /* of the variance; two components with less show no classes */
const selection = { model: null, picked: new Set() };

function separation(cell) {
  const names = Object.keys(cell.views);
  if (!names.length) return part("Class separation", note(`No class separation: ${cell.left_out}.`));
  const box = el("div");
  const samples = data.samples[cell.samples];
  const render = () => {
    const model = names.includes(selection.model) ? selection.model : names[0];
    const [before, after] = cell.views[model].map((index) => (index === null ? null : data.sides[index]));
    const variance = before.variance;
    const hasMap = samples.labels.length > 0 && (!variance || variance[0] + variance[1] >= LEAST_SHARE);
    const picture = hasMap ? projections(cell, samples, before, after, () => fade(box)) : confusedPairs(samples, after ?? before, after ? " after the perturbation" : "");
    box.replaceChildren(
      el("div", { class: "controls" }, picker("Model", names.map((name) => [name, name]), model, (name) => ((selection.model = name), render()))),
      el("div", { class: after && hasMap ? "stacked" : "side-by-side" }, picture, classTable(samples, before, after, hasMap ? () => fade(box) : null)),
    );
  };
  render();
  return part("Class separation", box, note(`Recall: the share of a class's samples that lie nearer to the mean of its other
    samples than to any other class mean. Gap: the distance to the nearest other class mean, in units of the class's root
    mean square radius.`));
}

/* Both maps at one scale, unless one is four times as wide: then each fills its frame, and the heading has the factor. */
function projections(cell, samples, before, after, onready) {
  const sides = [[after ? "before" : "unperturbed features", before], [cell.fields.perturbation, after]].filter(([, side]) => side !== null);
  const reaches = sides.map(([, side]) => reachOf(side));
  const sameScale = Math.max(...reaches) < 4 * Math.min(...reaches);
  const pictures = sides.map(([title, side], i) => {
    const reach = sameScale ? Math.max(...reaches) : reaches[i];
    const times = i === 1 && !sameScale ? ` (${short(reaches[1] / reaches[0])} times as wide)` : "";
    return responsive((width) => (queueMicrotask(onready), plane(`${title}${times}`, samples, side, reach, width)));
  });
  const moved = after ? " After the perturbation: on the directions that covary most with them." : "";
  const text = `${plural(samples.labels.length, "sample")} on the first two principal components; outliers lie on the frame.${moved} Click a class to highlight it.`;
  return el("div", {}, el("div", { class: pictures.length > 1 ? "pair" : "" }, ...pictures), note(text));
}

function fade(box) {
  for (const dot of box.querySelectorAll("circle[data-class]")) {
    dot.classList.toggle("faded", selection.picked.size > 0 && !selection.picked.has(Number(dot.dataset.class)));
  }
}

function confusedPairs(samples, side, when) {
  const rows = side.separation.confused.map(([c, other, part]) => ({ name: samples.names[c], other: samples.names[other], part }));
  if (!rows.length) return note("No class is confused with another one.");
  const columns = [
    { key: "pair", label: "class", text: true, value: (r) => r.name, cell: (r) => r.name },
    { key: "share", label: "share", hint: "of the samples of the class", value: (r) => r.part, cell: (r) => share(r.part) },
    { key: "other", label: "taken for", text: true, value: (r) => r.other, cell: (r) => r.other },
  ];
  const table = dataTable("pairs", "Most confused pairs of classes", columns, rows, { order: { key: "share", way: "descending" } });
  return el("div", {}, el("p", { class: "subtitle" }, `Most confused pairs${when}`), table);
}

function classTable(samples, before, after, onpick) {
  const rows = samples.names.map((name, c) => ({ name, c, count: samples.counts[c] }));
  for (const c of selection.picked) if (c >= rows.length) selection.picked.delete(c);
  const recall = (side) => (row) => side.separation.recall[row.c];
  const gap = (side) => (row) => {
    const { gap: gaps, within } = side.separation;
    return within[row.c] > 0 ? gaps[row.c] / within[row.c] : null;
  };
  const nearest = (r) => samples.names[(after ?? before).separation.closest[r.c]];
  const columns = [
    { key: "class", label: "class", text: true, value: (r) => r.name, cell: (r) => (onpick ? pick(r, onpick) : r.name) },
    { key: "samples", label: "samples", value: (r) => r.count, cell: (r) => String(r.count) },
    { key: "recall", label: "recall", value: recall(before), cell: (r) => share(recall(before)(r)) },
    { key: "gap", label: "gap", value: gap(before), cell: (r) => fixed(gap(before)(r), 2) },
  ];
  if (after) {
    columns.push(
      { key: "recall_after", label: "recall after", value: recall(after), cell: (r) => fixed(recall(after)(r), 2) },
      { key: "gap_after", label: "gap after", value: gap(after), cell: (r) => fixed(gap(after)(r), 2) },
    );
  }
  columns.push({ key: "closest", label: "closest class", text: true, value: nearest, cell: nearest });
  const table = dataTable("classes", "Classes: recall and gap", columns, rows, { order: { key: "recall", way: "ascending" } });
  return onpick ? table : el("div", {}, el("p", { class: "subtitle" }, "Classes"), table);
}

function pick(row, onpick) {
  const swatch = el("span", { class: `swatch class${row.c}`, "aria-hidden": "true" });
  const onclick = () => {
    if (!selection.picked.delete(row.c)) selection.picked.add(row.c);
    button.setAttribute("aria-pressed", String(selection.picked.has(row.c)));
    onpick();
  };
  const pressed = String(selection.picked.has(row.c));
  const button = el("button", { type: "button", class: "pick", "aria-pressed": pressed, onclick }, swatch, row.name);
  return button;
}

function share(value) {
  if (value === null) return "–";
  const bar = el("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", `${100 * value}%`);
  return el("span", { class: "share" }, bar, fixed(value, 2));
}
