/* What separates: the map of one model's samples, and its classes one by one. */

const shown = { model: null, sides: "both", picked: new Set() };

function separates(cell) {
  const box = el("div");
  const names = Object.keys(cell.views);
  if (!names.length) return part("What separates", note(`No map: ${cell.left_out}.`));
  const render = () => {
    const model = names.includes(shown.model) ? shown.model : names[0];
    const [before, after] = cell.views[model].map((place) => (place === null ? null : data.sides[place]));
    const samples = data.samples[cell.samples];
    const table = classTable(samples, before, after, () => fade(box));
    box.replaceChildren(
      el("div", { class: "controls" }, ...modelPicker(cell, names, model, render), after ? sidesChoice(render) : null),
      el("div", { class: after ? "beside separates two" : "beside separates" }, maps(cell, samples, before, after, () => fade(box)), table),
    );
  };
  render();
  const explained = note(
    `Map: principal components of the model's features${drawnOf(data.samples[cell.samples])}; after the perturbation, the
    directions that go with them most. Recall: the share of a class's samples that lie nearer to the mean of its other
    samples than to any other class mean. Gap: from a class mean to the nearest other one, in units of the class's own
    root mean square radius. Both look at class means alone, and need not agree with the metric. A class's button picks
    it out on the map.`,
  );
  return part("What separates", box, explained);
}

const modelPicker = (cell, names, model, render) => {
  const rank = new Map(cell.models.map((m) => [m.name, whole(m.score_rank)]));
  const options = names.map((name) => [name, `${name} (rank ${rank.get(name) ?? "–"})`]);
  return [picker("Model", options, model, (name) => ((shown.model = name), render()))];
};

const sidesChoice = (render) => {
  const options = [["before", "before"], ["after", "after"], ["both", "side by side"]];
  return choice("Perturbation", options, shown.sides, (sides) => ((shown.sides = sides), render()));
};

function drawnOf(samples) {
  const all = samples.counts.reduce((sum, count) => sum + count, 0);
  return samples.labels.length < all ? `, ${samples.labels.length} of ${all} samples` : `, ${plural(all, "sample")}`;
}

/* Both sides at one scale, unless one would be a speck on the other's: then each fills its frame, and says so. */
function maps(cell, samples, before, after, onready) {
  const sides = [["before", before], [cell.fields.perturbation, after]].filter(([, side]) => side !== null);
  const wanted = sides.filter((_, i) => sides.length < 2 || shown.sides === "both" || (shown.sides === "after") === !!i);
  const reaches = sides.map(([, side]) => reachOf(side));
  const alike = Math.max(...reaches) < 4 * Math.min(...reaches);
  const pictures = wanted.map(([title, side]) => {
    const reach = alike ? Math.max(...reaches) : reachOf(side);
    const times = after !== null && side === after && !alike ? ` (${short(reaches[1] / reaches[0])} times as wide)` : "";
    const heading = after === null ? "features as they are" : `${title}${times}`;
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
    dot.classList.toggle("faded", shown.picked.size > 0 && !shown.picked.has(Number(dot.dataset.class)));
  }
}

function classTable(samples, before, after, onpick) {
  const rows = samples.names.map((name, c) => ({ name, c, count: samples.counts[c] }));
  for (const c of shown.picked) if (c >= rows.length) shown.picked.delete(c);
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
  return sortable("classes", "Classes: what separates them", columns, rows, rising);
}

function pick(row, rows, onpick) {
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  coloured(swatch, row.c, rows.length);
  const onclick = () => {
    if (!shown.picked.delete(row.c)) shown.picked.add(row.c);
    button.setAttribute("aria-pressed", String(shown.picked.has(row.c)));
    onpick();
  };
  const pressed = String(shown.picked.has(row.c));
  const button = el("button", { type: "button", class: "pick", "aria-pressed": pressed, onclick }, swatch, row.name);
  return button;
}

function share(value) {
  if (value === null) return "–";
  const bar = el("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", `${100 * value}%`);
  return el("span", { class: "share" }, bar, fixed(value, 2));
}
