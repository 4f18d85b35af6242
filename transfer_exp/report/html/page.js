/* The page: its header, the answer, the table of a sweep, and the details of one cell. */

const root = document.documentElement;

/* The answer in large type, with what to do next and a chart next to it. */
function answerBox(answer, charts, measures = {}) {
  const numbers = Object.entries(measures).map(([name, value]) =>
    el("div", {}, el("dt", {}, name.replace("_at_", "@").replaceAll("_", " ")), el("dd", {}, fixed(value, 3))),
  );
  const names = answer.best.slice(0, 10).join(", ") + (answer.best.length > 10 ? ", and more" : "");
  const tied = answer.best.length > 3 ? el("p", {}, `May be the best (${answer.best.length}): ${names}`) : null;
  const text = el(
    "div",
    { class: "text" },
    ...answer.warnings.map((line) => el("p", { class: "warning" }, line)),
    el("p", { class: "headline" }, unbroken(answer.headline)),
    answer.detail ? el("p", { class: "detail" }, unbroken(answer.detail)) : null,
    answer.command ? el("div", { class: "next" }, el("p", {}, "Next step"), copyable(answer.command)) : null,
  );
  const lines = el("div", { class: "lines" }, tied, ...answer.lines.map((line) => el("p", {}, line)));
  if (numbers.length) lines.append(el("dl", { class: "measures" }, ...numbers));
  return el("div", { class: "answer" }, text, charts.length ? el("div", { class: "picture" }, ...charts) : null, lines);
}

function intervalChart(chart) {
  if (!chart) return [];
  const coloured = chart.key ? [el("span", { class: "mark" }), `${chart.key}. `] : [];
  const measured = chart.rows.some((r) => r.measured_accuracy !== null) ? [el("span", { class: "mark diamond" }), "measured accuracy. "] : [];
  const left = chart.left_out ? `${chart.left_out} more in the table.` : "";
  return [responsive((width) => intervals(chart, width)), el("p", { class: "note key" }, ...coloured, ...measured, left)];
}

/* Score against accuracy, before and after the perturbation; nothing without two models that have both. */
function scatters(cell, before) {
  const compared = (c) => (c?.models ?? []).filter((m) => !isMissing(m.score) && !isMissing(m.accuracy));
  const sides = [before, cell].filter((c) => compared(c).length >= 2);
  if (cell.tau === null || !sides.includes(cell)) return [];
  const range = widened(sides.flatMap((c) => compared(c).map((m) => m.accuracy)), 0.08);
  const accuracy = { name: cell.accuracy_name, smallerIsBetter: cell.smaller_is_better };
  const pictures = sides.map((c) => {
    const tau = c.tau === null ? "" : `, tau_w ${fixed(c.tau, 2)}`;
    const title = `perturbation ${c.fields.perturbation ?? "?"}${tau}`;
    return responsive((width) => scatter(title, `score (${c.fields.metric ?? "metric"})`, compared(c), c.named, range, width, accuracy));
  });
  const key = el("p", { class: "note key" }, el("span", { class: "ring" }), `best ${cell.accuracy_name} `, el("span", { class: "ring chosen" }), "highest score");
  return [el("div", { class: pictures.length > 1 ? "pair" : "" }, ...pictures), key];
}

/* Accuracy against cost of the finalists; nothing without two models that have both. */
function costCharts(cell) {
  const finalists = cell.models.filter((m) => m.status === "finalist" && m.multiply_adds > 0);
  const key = finalists.some((m) => !isMissing(m.expected_accuracy)) ? "expected_accuracy" : "score";
  const points = finalists.filter((m) => !isMissing(m[key]))
    .map((m) => ({ pair: m.model, multiply_adds: m.multiply_adds, accuracy: m[key], is_front: cell.front.includes(m.model) }));
  if (points.length < 2) return [];
  const axis = key === "score" ? "score" : "expected accuracy";
  const note = el("p", { class: "note key" }, el("span", { class: "mark" }), `no other finalist has both a higher ${axis} and fewer multiply-adds`);
  return [responsive((width) => costChart(points, "multiply_adds", "multiply-adds of one image", "is_front", width, axis, "model")), note];
}

function details(cell) {
  if (cell.state !== "done") return [note(`${cell.state}: ${cell.reason || "no reason given"}`)];
  const before = cell.before === null ? null : data.cells[cell.before];
  const charts = scatters(cell, before);
  const isWide = before !== null && charts.length > 0;
  return [
    answerBox(cell.answer, isWide ? [] : [...intervalChart(cell.answer.chart), ...charts], cell.measures),
    isWide ? part("Score against accuracy", ...charts) : null,
    cell.models.length ? part("Models", modelTable(cell, before), modelNotes(cell.models)) : null,
    costCharts(cell).length ? part("Accuracy against cost", ...costCharts(cell)) : null,
    separation(cell),
    cell.findings.length ? part("Images", ...cell.findings.map((line) => note(line))) : null,
    reproduce(part, data.kind === "sweep" ? "Reproduce this cell" : "Reproduce", cell.command, cell.versions),
  ].filter((node) => node !== null);
}

function reproduce(container, title, command, versions) {
  const list = Object.entries(versions).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return container(
    title,
    command ? copyable(command) : note("This run has no saved command."),
    list.length ? el("dl", { class: "versions" }, ...list) : null,
  );
}

const fieldsOf = (cell, omitted) =>
  Object.entries(cell.fields).filter(([name]) => !omitted.includes(name)).map(([name, value]) =>
    el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, value)),
  );

/* Cells by metric and by the other fields that vary; the longer of the two lists makes the rows. */
function overview(onselect) {
  const fields = data.varying.length ? data.varying : ["dataset"];
  const nameOf = (cell) => fields.map((field) => cell.fields[field] ?? "?").join(" / ");
  const metricOf = (cell) => cell.fields.metric ?? "?";
  const settings = [...new Set(data.cells.map(nameOf))];
  const metrics = [...new Set(data.cells.map(metricOf))].sort();
  const hasMetricRows = metrics.length > settings.length;
  const [rowNames, columnNames] = hasMetricRows ? [metrics, settings] : [settings, metrics];
  const indices = new Map(data.cells.map((cell, i) => [JSON.stringify(hasMetricRows ? [metricOf(cell), nameOf(cell)] : [nameOf(cell), metricOf(cell)]), i]));
  const limit = Math.max(0.01, ...data.cells.map((cell) => Math.abs(cell.tau ?? 0)));
  const buttons = new Map(data.cells.map((cell, i) => [i, cellButton(cell, limit, () => onselect(i))]));
  const at = (row, column) => indices.get(JSON.stringify([row, column]));
  const columns = [
    { key: "row", label: hasMetricRows ? "metric" : fields.join(" / ").replaceAll("_", " "), text: true, value: (r) => r, cell: (r) => r },
    ...columnNames.map((name) => ({
      key: `of ${name}`, label: name, value: (r) => data.cells[at(r, name)]?.tau ?? null, cell: (r) => buttons.get(at(r, name)) ?? "",
    })),
  ];
  const table = dataTable("overview", "Cells: tau_w", columns, rowNames, { order: { key: "row", way: "ascending" } });
  const lines = note(`tau_w from ${fixed(-limit, 2)} (orange) to ${fixed(limit, 2)} (blue). Hatched: inside the null band, the
    range for random scores. Click a cell to see its details below.`);
  return [section("Cells", table, lines), buttons];
}

function cellButton(cell, limit, onclick) {
  const name = Object.values(cell.fields).join(", ");
  const text = cell.tau === null ? (cell.state === "done" ? "no tau" : cell.state) : fixed(cell.tau, 2);
  const kind = cell.tau === null ? "" : `${cell.tau < 0 ? "negative" : "positive"} ${cell.chance.endsWith("than chance") ? "" : "chance"}`;
  const label = `${name}: ${text} ${cell.chance}`;
  const button = el("button", { type: "button", class: `cell ${kind}`, "aria-pressed": "false", "aria-label": label, title: cell.chance || null, onclick }, text);
  button.style.setProperty("--share", `${(50 * Math.abs(cell.tau ?? 0)) / limit}%`);
  return button;
}

/* The part of an address that names a cell: its dataset, perturbation, metric, and other fields that vary. */
function linkOf(cell) {
  const named = ["dataset", "perturbation", "metric"];
  const fields = [...named, ...data.varying.filter((field) => !named.includes(field))];
  return `#${fields.map((field) => encodeURIComponent(cell.fields[field] ?? "?")).join("/")}`;
}

/* Pairs of model and regime: accuracy against what the training cost, for one dataset at a time. */
function regimes(pairs) {
  const datasets = [...new Set(pairs.map((r) => r.dataset))];
  const axes = { trainable_parameters: ["trained parameters", "least_parameters"], training_seconds: ["seconds of training", "least_seconds"] };
  const rows = pairs.map((r) => ({ ...r, pair: `${r.model}, ${r.ground_truth}` }));
  const offered = Object.keys(axes).filter((key) => rows.some((r) => !isMissing(r[key])));
  let [dataset, axis] = [datasets[0], offered[0]];
  const box = el("div", { class: "stacked" });
  function show() {
    const shown = rows.filter((r) => r.dataset === dataset);
    const drawn = axis ? shown.filter((r) => r[axis] > 0) : [];
    const picture = drawn.length > 1 ? responsive((width) => costChart(drawn, axis, ...axes[axis], width, drawn[0].accuracy_name)) : null;
    box.replaceChildren(...[picture, regimeTable(shown, axis && axes[axis][1])].filter((node) => node !== null));
  }
  const tools = [
    datasets.length > 1 ? picker("Dataset", datasets.map((name) => [name, name]), dataset, (name) => ((dataset = name), show())) : null,
    offered.length > 1 ? choice("Horizontal axis", offered.map((key) => [key, axes[key][0]]), axis, (key) => ((axis = key), show()), true) : null,
  ];
  show();
  const chosen = pairs.some((r) => !isMissing(r.validation)) ? "The best pair is chosen on validation images; accuracies are of test images." : "Means over seeds.";
  return section("Models and regimes", el("div", { class: "controls" }, ...tools), box, note(`Coloured: no other pair of model and
    regime is at least as accurate at no higher cost. ${chosen}`));
}

/* Curves of tau_w against images per class, for one dataset at a time; of many lines, those with the highest means. */
function shotsPart(all) {
  const datasets = [...new Set(all.map((r) => r.dataset))];
  const meanOf = (line) => {
    const taus = all.filter((r) => r.line === line).map((r) => r.tau);
    return taus.reduce((sum, tau) => sum + tau, 0) / taus.length;
  };
  const names = [...new Set(all.map((r) => r.line))];
  const lines = names.sort((a, b) => meanOf(b) - meanOf(a)).slice(0, 10);
  let dataset = datasets[0];
  const box = el("div", { class: "stacked" });
  const key = el("p", { class: "note key" }, ...lines.flatMap((line, i) => [el("span", { class: `swatch class${i}` }), line]));
  function show() {
    const shown = all.filter((r) => r.dataset === dataset);
    box.replaceChildren(responsive((width) => shotsChart(shown.filter((r) => lines.includes(r.line)), lines, width)), key, shotsTable(shown));
  }
  const tools = datasets.length > 1 ? [picker("Dataset", datasets.map((name) => [name, name]), dataset, (name) => ((dataset = name), show()))] : [];
  show();
  return section("Images per class", el("div", { class: "controls" }, ...tools), box, note(`Means over draws of the images, with the 95 % interval
    of the mean. Other models would have other taus, which the interval does not include.`));
}

function sweepPage(main) {
  const box = el("div", { id: "cell" });
  const [table, buttons] = overview((index) => select(index, true));
  function select(index, byUser) {
    const cell = data.cells[index];
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === index)));
    const title = ["dataset", "perturbation", "metric"].map((field) => cell.fields[field] ?? "?").join(" / ");
    const link = el("a", { href: linkOf(cell), title: "Link to this cell" }, title);
    const fields = el("dl", { class: "fields" }, ...fieldsOf(cell, ["dataset", "perturbation", "metric"]));
    box.replaceChildren(el("h2", { class: "cellname" }, link), fields, ...details(cell));
    if (!byUser) return;
    history.replaceState(null, "", linkOf(cell));
    announce(`Showing ${title}.`);
  }
  const linked = () => data.cells.findIndex((cell) => linkOf(cell) === location.hash);
  const first = data.cells.findIndex((c) => c.state === "done");
  const pairs = data.regimes.length ? [regimes(data.regimes)] : [];
  const shots = data.shots.length ? [shotsPart(data.shots)] : [];
  main.replaceChildren(answerBox(data.answer, intervalChart(data.answer.chart)), ...pairs, ...shots, table, box);
  if (data.command) main.append(reproduce(section, "Reproduce the sweep", data.command, {}));
  select(Math.max(0, linked() >= 0 ? linked() : first), false);
  addEventListener("hashchange", () => linked() >= 0 && select(linked(), false));
}

function head() {
  const inTitle = data.kind === "ranking" ? ["dataset", "ground_truth"] : ["dataset", "perturbation", "metric"];
  const cells = el("div", {}, el("dt", {}, "cells"), el("dd", {}, String(data.cells.length)));
  const fields = data.kind === "sweep" ? [cells] : fieldsOf(data.cells[0], inTitle);
  const themes = [["light dark", "system"], ["light", "light"], ["dark", "dark"]];
  return [
    el("div", {}, el("h1", {}, data.title), el("dl", { class: "fields" }, ...fields)),
    choice("Theme", themes, "light dark", (theme) => root.style.setProperty("color-scheme", theme), true),
  ];
}

/* Hovering over a model highlights it in every table and chart. */
function point(event) {
  const name = event.target.closest?.("[data-model]")?.dataset.model;
  for (const node of document.querySelectorAll("[data-model]")) {
    node.classList.toggle("pointed", name !== undefined && node.dataset.model === name);
  }
}

document.getElementById("top").append(...head());
document.getElementById("foot").append("transfer_exp. This page is a single file and loads nothing from the network.", status);
const main = document.getElementById("main");
if (data.kind === "sweep") sweepPage(main);
else {
  const [answer, ...rest] = details(data.cells[0]);
  main.replaceChildren(answer, ...(data.regimes.length ? [regimes(data.regimes)] : []), ...rest);
}
document.addEventListener("pointerover", point);
