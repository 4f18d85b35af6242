/* The page: its header, the overview of a sweep, and the details of one cell. */

const marks = { "better than chance": "●", "worse than chance": "▼", "within chance": "○", "tied, no ranking": "=" };
const comparison = { sides: "both" };
const root = document.documentElement;

function verdict(cell) {
  if (cell.state !== "done") return note(`${cell.state}: ${cell.reason || "no reason given"}`);
  if (cell.verdict.length) {
    const lines = cell.verdict.slice(0, -1).map((line) => el("p", {}, line));
    const next = el("p", {}, el("strong", {}, cell.verdict.at(-1)));
    const command = cell.next ? el("pre", { tabindex: "0" }, el("code", {}, cell.next)) : null;
    return el("div", { class: "search" }, ...lines, next, command);
  }
  if (cell.tau === null) {
    const hasAccuracy = cell.models.some((m) => m.accuracy !== null);
    return note(
      hasAccuracy
        ? "A correlation needs two models with both score and accuracy."
        : "No ground truth: the models are ranked by score, without accuracies to compare with.",
    );
  }
  const band = cell.band
    ? `${100 * cell.level} % null band [${fixed(cell.band[0], 2)}, ${fixed(cell.band[1], 2)}] for ${plural(cell.compared, "model")}: `
    : "";
  const measures = Object.entries(cell.measures).map(([name, value]) =>
    el("div", {}, el("dt", {}, name.replace("_at_", "@").replaceAll("_", " ")), el("dd", {}, fixed(value, 3))),
  );
  return el(
    "div",
    { class: "verdict" },
    el("p", { class: "tau" }, el("span", {}, "tau", el("sub", {}, "w")), " ", el("strong", {}, fixed(cell.tau, 2))),
    el("div", {}, strip(cell.tau, cell.band, 220, 16), el("p", {}, band, el("strong", {}, cell.chance || ""))),
    el("dl", { class: "measures" }, ...measures),
  );
}

function scatters(cell, before) {
  const compared = (c) => (c?.models ?? []).filter((m) => m.score !== null && m.accuracy !== null);
  if (compared(cell).length < 2) {
    const scored = cell.models.filter((m) => m.score !== null);
    const charts = scored.length ? [responsive((width) => dots(scored, width))] : [note("No model was scored.")];
    return part("Scores", ...charts);
  }
  const both = [["before", before], ["after", cell]].filter(([, c]) => compared(c).length >= 2);
  const range = widened(both.flatMap(([, c]) => compared(c).map((m) => m.accuracy)), 0.08);
  const box = el("div");
  const render = () => {
    const chosen = both.filter(([side]) => both.length < 2 || comparison.sides === "both" || comparison.sides === side);
    const pictures = chosen.map(([, c]) => {
      const tau = c.tau === null ? "" : `, tau_w ${fixed(c.tau, 2)}`;
      return responsive((width) => scatter(`perturbation ${c.fields.perturbation ?? "?"}${tau}`, compared(c), range, width));
    });
    box.replaceChildren(el("div", { class: pictures.length > 1 ? "pair" : "" }, ...pictures));
  };
  render();
  const options = [["before", "before"], ["after", "after"], ["both", "side by side"]];
  const toggle = (sides) => ((comparison.sides = sides), render());
  const key = el(
    "p",
    { class: "note key" },
    el("span", { class: "ring best" }), "best accuracy ",
    el("span", { class: "ring chosen" }), "highest score. Hover over a point without a name to see it.",
  );
  return part(
    "Score against accuracy",
    both.length > 1 ? el("div", { class: "controls" }, choice("Perturbation", options, comparison.sides, toggle)) : null,
    box,
    key,
  );
}

function details(cell) {
  if (cell.state !== "done") return [verdict(cell)];
  const before = cell.before === null ? null : data.cells[cell.before];
  const wide = before !== null && before.models.some((m) => m.accuracy !== null);
  const board = part("Leaderboard", cell.search ? searchboard(cell) : leaderboard(cell, before));
  const charts = scatters(cell, before);
  return [
    verdict(cell),
    el("div", { class: wide || cell.verdict.length ? "stacked" : "side-by-side" }, ...(wide ? [charts, board] : [board, charts])),
    separation(cell),
    cell.findings.length ? part("Images", ...cell.findings.map((line) => note(line))) : null,
    part("Timings", timings(cell)),
    reproduce(part, data.kind === "sweep" ? "Reproduce this cell" : "Reproduce", cell.command, cell.versions),
  ];
}

function reproduce(container, title, command, versions) {
  const list = Object.entries(versions).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return container(
    title,
    command ? el("pre", { tabindex: "0" }, el("code", {}, command)) : note("This run has no saved command."),
    list.length ? el("dl", { class: "versions" }, ...list) : null,
  );
}

const fieldsOf = (cell, omitted) =>
  Object.entries(cell.fields).filter(([name]) => !omitted.includes(name)).map(([name, value]) =>
    el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, value)),
  );

/* A row for every combination of varying fields without the metric, a column for every metric. */
function overview(onselect) {
  const metrics = [...new Set(data.cells.map((c) => c.fields.metric ?? "?"))].sort();
  const rowFields = data.varying.length ? data.varying : ["dataset"];
  const rows = new Map();
  data.cells.forEach((cell, index) => {
    const names = rowFields.map((field) => cell.fields[field] ?? "?");
    const key = JSON.stringify(names);
    if (!rows.has(key)) rows.set(key, { names, cells: {} });
    rows.get(key).cells[cell.fields.metric ?? "?"] = index;
  });
  const buttons = new Map();
  const tau = (row, metric) => (metric in row.cells ? data.cells[row.cells[metric]].tau : null);
  const columns = [
    ...rowFields.map((field, i) => ({
      key: `by ${field}`, label: field.replaceAll("_", " "), text: true, head: i === 0,
      value: (r) => r.names[i], cell: (r) => r.names[i],
    })),
    ...metrics.map((metric) => ({
      key: `of ${metric}`, label: metric, value: (r) => tau(r, metric),
      cell: (r) => {
        const index = r.cells[metric];
        if (index === undefined) return "";
        if (!buttons.has(index)) buttons.set(index, cellButton(index, onselect));
        return buttons.get(index);
      },
    })),
  ];
  const table = sortable("overview", "Cells: tau_w", columns, [...rows.values()], { key: `by ${rowFields[0]}`, way: "ascending" });
  const legend = Object.entries(marks).map(([chance, mark]) => `${mark} ${chance}`).join(", ");
  const lines = note(`${legend}. Each strip shows tau_w as a line between −1 and 1, and the null band as a bar. Click a
    cell to see its details below.`);
  return [section("Cells", table, lines), buttons];
}

function cellButton(index, onselect) {
  const cell = data.cells[index];
  const name = Object.values(cell.fields).join(", ");
  const text = cell.tau === null ? (cell.state === "done" ? "no tau" : cell.state) : fixed(cell.tau, 2);
  const picture = cell.tau === null ? null : strip(cell.tau, cell.band, 44, 9);
  const kind = cell.chance.startsWith("better") ? "better" : cell.chance.startsWith("worse") ? "worse" : "";
  return el(
    "button",
    { type: "button", class: `cell ${kind}`, "aria-pressed": "false", "aria-label": `${name}: ${text} ${cell.chance}`, onclick: () => onselect(index) },
    el("span", {}, `${text} ${marks[cell.chance] ?? ""}`),
    picture,
  );
}

function sweepPage(main) {
  const box = el("div", { id: "cell" });
  const [table, buttons] = overview((index) => select(index, true));
  function select(index, byUser) {
    const cell = data.cells[index];
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === index)));
    const title = ["dataset", "perturbation", "metric"].map((field) => cell.fields[field] ?? "?").join(" / ");
    const fields = el("dl", { class: "fields" }, ...fieldsOf(cell, ["dataset", "perturbation", "metric"]));
    box.replaceChildren(el("h2", { class: "cellname" }, title), fields, ...details(cell));
    if (!byUser) return;
    history.replaceState(null, "", `#cell-${index}`);
    announce(`Showing ${title}.`);
  }
  const linked = Number(/^#cell-(\d+)$/.exec(location.hash)?.[1] ?? -1);
  const done = Math.max(0, data.cells.findIndex((c) => c.state === "done"));
  main.replaceChildren(table, box, data.command ? reproduce(section, "Reproduce the sweep", data.command, {}) : "");
  select(linked >= 0 && linked < data.cells.length ? linked : done, false);
}

function head() {
  const failed = data.cells.filter((c) => c.state !== "done").length;
  const fields =
    data.kind === "run"
      ? fieldsOf(data.cells[0], ["dataset", "perturbation", "metric"])
      : [el("div", {}, el("dt", {}, "cells"), el("dd", {}, `${data.cells.length}${failed ? `, ${failed} not finished` : ""}`))];
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
else main.replaceChildren(...details(data.cells[0]));
document.addEventListener("pointerover", point);
