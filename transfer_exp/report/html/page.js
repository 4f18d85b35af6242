/* The page: its head, the overview of a sweep, and one cell in full. */

const marks = { "better than chance": "●", "worse than chance": "▼", "within chance": "○", "tied, no ranking": "=" };
const comparison = { sides: "both" };
const root = document.documentElement;

function verdict(cell) {
  if (cell.state !== "done") return note(`${cell.state}: ${cell.reason || "no reason was given"}`);
  if (cell.verdict.length) return el("div", { class: "search" }, ...cell.verdict.map((line) => el("p", {}, line)));
  if (cell.tau === null) {
    const known = cell.models.some((m) => m.accuracy !== null);
    return note(
      known
        ? "A correlation needs two models with both score and accuracy."
        : "No ground truth: models are ranked, and there is nothing to compare the ranking with.",
    );
  }
  const band = cell.band
    ? `${100 * cell.level} % null band [${fixed(cell.band[0], 2)}, ${fixed(cell.band[1], 2)}] for ${plural(cell.compared, "model")}: `
    : "";
  const others = Object.entries(cell.measures).map(([name, value]) =>
    el("div", {}, el("dt", {}, name.replace("_at_", "@").replaceAll("_", " ")), el("dd", {}, fixed(value, 3))),
  );
  return el(
    "div",
    { class: "verdict" },
    el("p", { class: "tau" }, el("span", {}, "tau", el("sub", {}, "w")), " ", el("strong", {}, fixed(cell.tau, 2))),
    el("div", {}, strip(cell.tau, cell.band, 220, 16), el("p", {}, band, el("strong", {}, cell.chance || ""))),
    el("dl", { class: "measures" }, ...others),
  );
}

function scatters(cell, before) {
  const drawn = (c) => (c?.models ?? []).filter((m) => m.score !== null && m.accuracy !== null);
  if (drawn(cell).length < 2) {
    const scored = cell.models.filter((m) => m.score !== null);
    const charts = scored.length ? [responsive((width) => dots(scored, width))] : [note("No model was scored.")];
    return part("Scores", ...charts);
  }
  const both = [["before", "perturbation none", before], ["after", cell.fields.perturbation, cell]].filter(
    ([, , c]) => drawn(c).length >= 2,
  );
  const range = widened(both.flatMap(([, , c]) => drawn(c).map((m) => m.accuracy)), 0.08);
  const box = el("div");
  const render = () => {
    const wanted = both.filter(([side]) => both.length < 2 || comparison.sides === "both" || comparison.sides === side);
    const pictures = wanted.map(([, title, c]) => {
      const tau = c.tau === null ? "" : `, tau_w ${fixed(c.tau, 2)}`;
      return responsive((width) => scatter(`${title ?? ""}${tau}`, drawn(c), range, width));
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
    el("span", { class: "ring chosen" }), "highest score. Names that find no room show when pointed at.",
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
  const board = part("Leaderboard", leaderboard(cell, before));
  return [
    verdict(cell),
    wide ? el("div", { class: "stacked" }, scatters(cell, before), board) : el("div", { class: "beside" }, board, scatters(cell, before)),
    separates(cell),
    part("Timings", timings(cell)),
    again(part, data.kind === "sweep" ? "This cell again" : "Again", cell.command, cell.versions),
  ];
}

function again(kind, title, command, versions) {
  const list = Object.entries(versions).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return kind(
    title,
    command ? el("pre", { tabindex: "0" }, el("code", {}, command)) : note("The command was not kept."),
    list.length ? el("dl", { class: "versions" }, ...list) : null,
  );
}

const fieldsOf = (cell, left) =>
  Object.entries(cell.fields).filter(([name]) => !left.includes(name)).map(([name, value]) =>
    el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, value)),
  );

/* A row for every combination of what varies but the metric, a column for every metric. */
function overview(onselect) {
  const metrics = [...new Set(data.cells.map((c) => c.fields.metric ?? "?"))].sort();
  const named = data.varying.length ? data.varying : ["dataset"];
  const rows = new Map();
  data.cells.forEach((cell, place) => {
    const names = named.map((field) => cell.fields[field] ?? "?");
    const key = JSON.stringify(names);
    if (!rows.has(key)) rows.set(key, { names, cells: {} });
    rows.get(key).cells[cell.fields.metric ?? "?"] = place;
  });
  const buttons = new Map();
  const tau = (row, metric) => (metric in row.cells ? data.cells[row.cells[metric]].tau : null);
  const columns = [
    ...named.map((field, i) => ({
      key: `by ${field}`, label: field.replaceAll("_", " "), text: true, head: i === 0,
      value: (r) => r.names[i], cell: (r) => r.names[i],
    })),
    ...metrics.map((metric) => ({
      key: `of ${metric}`, label: metric, value: (r) => tau(r, metric),
      cell: (r) => {
        const place = r.cells[metric];
        if (place === undefined) return "";
        if (!buttons.has(place)) buttons.set(place, cellButton(place, onselect));
        return buttons.get(place);
      },
    })),
  ];
  const table = sortable("overview", "Cells: tau_w", columns, [...rows.values()], { key: `by ${named[0]}`, way: "ascending" });
  const legend = Object.entries(marks).map(([words, mark]) => `${mark} ${words}`).join(", ");
  const lines = note(`${legend}. In each strip tau_w stands as a line between −1 and 1, the null band as a bar. A cell's
    button shows it below.`);
  return [section("Cells", table, lines), buttons];
}

function cellButton(place, onselect) {
  const cell = data.cells[place];
  const name = Object.values(cell.fields).join(", ");
  const words = cell.tau === null ? (cell.state === "done" ? "no tau" : cell.state) : fixed(cell.tau, 2);
  const picture = cell.tau === null ? null : strip(cell.tau, cell.band, 44, 9);
  const kind = cell.chance.startsWith("better") ? "better" : cell.chance.startsWith("worse") ? "worse" : "";
  return el(
    "button",
    { type: "button", class: `cell ${kind}`, "aria-pressed": "false", "aria-label": `${name}: ${words} ${cell.chance}`, onclick: () => onselect(place) },
    el("span", {}, `${words} ${marks[cell.chance] ?? ""}`),
    picture,
  );
}

function sweepPage(main) {
  const box = el("div", { id: "cell" });
  const [table, buttons] = overview((place) => select(place, true));
  function select(place, told) {
    const cell = data.cells[place];
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === place)));
    const title = ["dataset", "perturbation", "metric"].map((field) => cell.fields[field] ?? "?").join(" / ");
    const fields = el("dl", { class: "fields" }, ...fieldsOf(cell, ["dataset", "perturbation", "metric"]));
    box.replaceChildren(el("h2", { class: "cellname" }, title), fields, ...details(cell));
    if (!told) return;
    history.replaceState(null, "", `#cell-${place}`);
    say(`Showing ${title}.`);
  }
  const asked = Number(/^#cell-(\d+)$/.exec(location.hash)?.[1] ?? -1);
  const done = Math.max(0, data.cells.findIndex((c) => c.state === "done"));
  main.replaceChildren(table, box, data.command ? again(section, "The sweep again", data.command, {}) : "");
  select(asked >= 0 && asked < data.cells.length ? asked : done, false);
}

function head() {
  const failed = data.cells.filter((c) => c.state !== "done").length;
  const fields =
    data.kind === "run"
      ? fieldsOf(data.cells[0], ["dataset", "perturbation", "metric"])
      : [el("div", {}, el("dt", {}, "cells"), el("dd", {}, `${data.cells.length}${failed ? `, ${failed} of them not done` : ""}`))];
  const themes = [["light dark", "system"], ["light", "light"], ["dark", "dark"]];
  return [
    el("div", {}, el("h1", {}, data.title), el("dl", { class: "fields" }, ...fields)),
    choice("Theme", themes, "light dark", (theme) => root.style.setProperty("color-scheme", theme), true),
  ];
}

/* Pointing at a model anywhere shows it everywhere. */
function point(event) {
  const name = event.target.closest?.("[data-model]")?.dataset.model;
  for (const node of document.querySelectorAll("[data-model]")) {
    node.classList.toggle("pointed", name !== undefined && node.dataset.model === name);
  }
}

document.getElementById("top").append(...head());
document.getElementById("foot").append("transfer_exp. This page is one file, and asks nothing of anybody.", status);
const main = document.getElementById("main");
if (data.kind === "sweep") sweepPage(main);
else main.replaceChildren(...details(data.cells[0]));
document.addEventListener("pointerover", point);
