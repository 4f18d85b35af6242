/* Class separation: a projection of one model's samples, and a table of its classes. */

const selection = { model: null, sides: "both", picked: new Set() };

function separation(cell) {
  const box = el("div");
  const names = Object.keys(cell.views);
  if (!names.length) return part("Class separation", note(`No projection: ${cell.left_out}.`));
  const render = () => {
    const model = names.includes(selection.model) ? selection.model : names[0];
    const [before, after] = cell.views[model].map((index) => (index === null ? null : data.sides[index]));
    const samples = data.samples[cell.samples];
    const table = classTable(samples, before, after, () => fade(box));
    box.replaceChildren(
      el("div", { class: "controls" }, ...modelPicker(cell, names, model, render), after ? sidesChoice(render) : null),
      el("div", { class: after ? "side-by-side projections two" : "side-by-side projections" }, projections(cell, samples, before, after, () => fade(box)), table),
    );
  };
  render();
  const explanation = note(
    `Projection: the first two principal components of the model's features${drawnOf(data.samples[cell.samples])}; after
    the perturbation, the directions that covary most with them. Recall: the share of a class's samples that lie nearer
    to the mean of its other samples than to any other class mean. Gap: the distance from a class mean to the nearest
    other one, in units of the class's root mean square radius. Both use class means only and may disagree with the
    metric. Click a class to highlight it.`,
  );
  return part("Class separation", box, explanation);
}

const modelPicker = (cell, names, model, render) => {
  const rank = new Map(cell.models.map((m) => [m.model, whole(m.score_rank)]));
  const options = names.map((name) => [name, `${name} (rank ${rank.get(name) ?? "–"})`]);
  return [picker("Model", options, model, (name) => ((selection.model = name), render()))];
};

const sidesChoice = (render) => {
  const options = [["before", "before"], ["after", "after"], ["both", "side by side"]];
  return choice("Perturbation", options, selection.sides, (sides) => ((selection.sides = sides), render()));
};

function drawnOf(samples) {
  const total = samples.counts.reduce((sum, count) => sum + count, 0);
  return samples.labels.length < total ? `, ${samples.labels.length} of ${total} samples` : `, ${plural(total, "sample")}`;
}

/* Both projections at one scale, unless one is four times as wide: then each fills its frame, and the heading has the factor. */
function projections(cell, samples, before, after, onready) {
  const sides = [["before", before], [cell.fields.perturbation, after]].filter(([, side]) => side !== null);
  const chosen = sides.filter((_, i) => sides.length < 2 || selection.sides === "both" || (selection.sides === "after") === !!i);
  const reaches = sides.map(([, side]) => reachOf(side));
  const sameScale = Math.max(...reaches) < 4 * Math.min(...reaches);
  const pictures = chosen.map(([title, side]) => {
    const reach = sameScale ? Math.max(...reaches) : reachOf(side);
    const times = after !== null && side === after && !sameScale ? ` (${short(reaches[1] / reaches[0])} times as wide)` : "";
    const heading = after === null ? "unperturbed features" : `${title}${times}`;
    return responsive((width) => {
      const svg = plane(heading, samples, side, reach, width);
      queueMicrotask(onready);
      return svg;
    });
  });
  return el("div", { class: pictures.length > 1 ? "pair" : "" }, ...pictures);
}

function fade(box) {
  for (const dot of box.querySelectorAll("circle[data-class]")) {
    dot.classList.toggle("faded", selection.picked.size > 0 && !selection.picked.has(Number(dot.dataset.class)));
  }
}

function classTable(samples, before, after, onpick) {
  const rows = samples.names.map((name, c) => ({ name, c, count: samples.counts[c] }));
  for (const c of selection.picked) if (c >= rows.length) selection.picked.delete(c);
  const recall = (side) => (row) => side.separation.recall[row.c];
  const gap = (side) => (row) => {
    const { gap: gaps, within } = side.separation;
    return within[row.c] > 0 ? gaps[row.c] / within[row.c] : null;
  };
  const closest = (after ?? before).separation.closest;
  const columns = [
    { key: "class", label: "class", text: true, head: true, value: (r) => r.name, cell: (r) => pick(r, rows, onpick) },
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
  const nearest = (r) => samples.names[closest[r.c]];
  columns.push({ key: "closest", label: "closest class", text: true, value: nearest, cell: nearest });
  const rising = { key: "recall", way: "ascending" };
  return sortable("classes", "Classes: recall and gap", columns, rows, rising);
}

function pick(row, rows, onpick) {
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  colour(swatch, row.c, rows.length);
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
