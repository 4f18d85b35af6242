/* The page of the leaderboard: a choice of pool and view, a table for each, and a chart of tau against cost. */

const root = document.documentElement;
const main = document.getElementById("main");
const TAU = "tau_w: weighted Kendall correlation of scores and accuracies, 1 is a perfect ranking";
const COMPARISONS = ["best", ...data.baselines];
const title = (name) => name.replaceAll("_", " ");
const between = (low, high, digits = 2) => `${fixed(low, digits)} to ${fixed(high, digits)}`;
const plus = (value, digits) => (isMissing(value) ? "–" : `${value > 0 ? "+" : ""}${fixed(value, digits)}`);
const rankText = (row) => (isMissing(row.rank) ? "–" : `${row.rank}${row.is_shared ? "=" : ""}`);
const timeText = (ms) => (isMissing(ms) ? "–" : short(ms));
const hinted = (text, hint) => el("span", { title: hint }, text);
const isMain = (view) => view.regime === "all" && view.size === "all";

const nameOf = (row) => (row.perturbation === "none" ? row.metric : `${row.perturbation} / ${row.metric}`);
const sourceOf = (pool, row) =>
  row.kind === "yours" ? "source: this command" : row.kind === "baseline" ? "source: accuracies and facts of the models" : `source: ${pool.source}`;
const nameColumn = { key: "name", label: "metric", hint: "perturbation / metric", text: true, value: (r) => r.name, cell: (r) => r.name };
const markOf = (row) => ({ class: row.kind === "yours" ? "best" : row.kind === "baseline" ? "out" : null });

/* Mean tau with its interval; the tooltip says over how many targets and models it is, and where it comes from. */
function tauCell(pool, row, tau, low, high) {
  if (isMissing(tau)) return "–";
  const interval = isMissing(low) ? "no interval" : `95 % ${between(low, high, 3)}`;
  return hinted(fixed(tau, 3), `n = ${plural(row.targets, "target")}, ${plural(row.models, "model")}; ${interval}; ${sourceOf(pool, row)}`);
}

/* Rank; the tooltip says among how many rows, and gives the interval of the mean tau that orders them. */
function rankCell(pool, view, row) {
  if (isMissing(row.rank)) return hinted("–", `no rank; n = ${plural(row.targets, "target")}, ${plural(row.models, "model")}; ${sourceOf(pool, row)}`);
  const ranked = view.rows.filter((r) => !isMissing(r.rank)).length;
  const interval = isMissing(row.tau_low_95) ? "no interval" : `tau_w 95 % ${between(row.tau_low_95, row.tau_high_95, 3)}`;
  return hinted(rankText(row), `of ${ranked} rows; n = ${plural(row.targets, "target")}; ${interval}; ${sourceOf(pool, row)}`);
}

/* Number of targets won; the tooltip gives its 95 % interval as that of a share of the targets. */
function winsCell(pool, row) {
  if (isMissing(row.wins)) return "–";
  const [low, high] = wilson(row.wins, row.targets).map((share) => share * row.targets);
  return hinted(whole(row.wins), `n = ${plural(row.targets, "target")}; 95 % ${between(low, high, 1)} (Wilson); ${sourceOf(pool, row)}`);
}

/* Ends of the 95 % interval of a share: E. B. Wilson, "Probable Inference", JASA 1927. */
function wilson(count, n) {
  const z = 1.96;
  const centre = (count + (z * z) / 2) / (n + z * z);
  const half = (z / (n + z * z)) * Math.sqrt((count * (n - count)) / n + (z * z) / 4);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/* Milliseconds of one model; the tooltip says for which features, and where they come from. */
const timeCell = (pool, row) => (isMissing(row.milliseconds) ? "–" : hinted(timeText(row.milliseconds), `n = 1 model with ${data.cost}; ${sourceOf(pool, row)}`));

function table(name, caption, columns, rows, order = { key: "rank", way: "ascending" }) {
  return dataTable(name, caption, columns, rows, { order, attributes: markOf, csv: toCsv });
}

/* The comparison of a row with one reference: difference, interval and corrected p-value in the tooltip. */
function comparisonColumns(name, pool, isShown) {
  const label = name === "best" ? "to best" : `to ${title(name)}`;
  const read = (row, field) => row[`difference_to_${name}${field}`];
  const hint = (row) =>
    `n = ${plural(row.targets, "target")}; 95 % ${between(read(row, "_low_95"), read(row, "_high_95"), 3)}; sign-flip test, Holm p ${short(row[`p_to_${name}`])}; ${sourceOf(pool, row)}`;
  return [
    { key: `difference_to_${name}`, label, hidden: !isShown, hint: "mean difference of tau_w over targets", value: (r) => read(r, ""),
      cell: (r) => (isMissing(read(r, "")) ? "–" : hinted(plus(read(r, ""), 3), hint(r))) },
    { key: `p_to_${name}`, label: `${label}: p`, hidden: !isShown, rising: true, hint: "sign-flip test over targets, Holm's correction for all rows",
      value: (r) => r[`p_to_${name}`], cell: (r) => (isMissing(r[`p_to_${name}`]) ? "–" : hinted(short(r[`p_to_${name}`]), hint(r))) },
  ];
}

function overall(pool) {
  const view = pool.views.find(isMain);
  const has = (name) => view.rows.some((r) => !isMissing(r[`difference_to_${name}`]));
  const columns = [
    nameColumn,
    { key: "rank", label: "rank", rising: true, value: (r) => r.rank, cell: (r) => rankCell(pool, view, r) },
    { key: "tau", label: "tau_w", hint: TAU, value: (r) => r.tau, cell: (r) => tauCell(pool, r, r.tau, r.tau_low_95, r.tau_high_95) },
    { key: "interval", label: "95 %", hint: "bootstrap over targets", value: (r) => r.tau_low_95, cell: (r) => (isMissing(r.tau_low_95) ? "–" : hinted(between(r.tau_low_95, r.tau_high_95), `n = ${plural(r.targets, "target")}; ${sourceOf(pool, r)}`)) },
    { key: "wins", label: "wins", hint: "targets on which no other has a higher tau_w", value: (r) => r.wins, cell: (r) => winsCell(pool, r) },
    ...COMPARISONS.filter(has).flatMap((name) => comparisonColumns(name, pool, name === "best" || name === "static_rank")),
    { key: "milliseconds", label: "ms a model", hint: "processor time without the forward pass", rising: true, value: (r) => r.milliseconds, cell: (r) => timeCell(pool, r) },
    { key: "models", label: "models", hidden: true, value: (r) => r.models, cell: (r) => whole(r.models) },
    { key: "targets", label: "targets", hidden: true, value: (r) => r.targets, cell: (r) => whole(r.targets) },
  ];
  const ranked = view.rows.filter((r) => !isMissing(r.rank));
  const shown = [...ranked.slice(0, 12), ...view.rows.filter((r) => r.kind !== "metric" && ranked.indexOf(r) >= 12), ...view.rows.filter((r) => isMissing(r.rank) && r.kind === "baseline")];
  const chart = {
    axis: "mean tau_w with 95 % interval over targets", is_change: false, digits: 3,
    rows: shown.map((r) => ({ name: r.name, value: r.tau, low: r.tau_low_95, high: r.tau_high_95, is_best: r.kind === "yours" || r.rank === 1 })),
  };
  const [low, high] = view.null;
  return [
    el("div", { class: "answer" },
      el("div", { class: "text" }, el("p", { class: "headline" }, unbroken(view.verdict)), el("p", { class: "detail" }, pool.detail)),
      el("div", { class: "picture" }, responsive((width) => intervals(chart, width)))),
    section("All metrics and perturbations", table(`${pool.name}_overall`, "Standing over all targets", columns, view.rows),
      note(`Mean over targets of tau_w, which is a mean over the regimes. 95 % of random scores have a mean
        tau_w in ${between(low, high)} (null band). Rows in grey are baselines. A row without a rank does not score every model.`)),
  ];
}

/* Views side by side, for example the regimes: the tau_w of each in a column. */
function sideBySide(pool, name, views, labelOf, text) {
  const main = pool.views.find(isMain);
  const found = views.map((view) => new Map(view.rows.map((r) => [r.name, r])));
  const rows = main.rows.map((r) => ({
    ...Object.fromEntries(["rank", "is_shared", "name", "metric", "perturbation", "kind"].map((key) => [key, r[key]])),
    ...Object.fromEntries(views.map((view, i) => [`tau_${labelOf(view)}`, found[i].get(r.name)?.tau ?? null])),
  }));
  const columns = [nameColumn, { key: "rank", label: "overall rank", rising: true, value: (r) => r.rank, cell: rankText }];
  views.forEach((view, i) => {
    const read = (r) => found[i].get(r.name);
    columns.push(
      { key: `tau_${labelOf(view)}`, label: title(labelOf(view)), hint: TAU, value: (r) => read(r)?.tau ?? null,
        cell: (r) => (read(r) ? tauCell(pool, read(r), read(r).tau, read(r).tau_low_95, read(r).tau_high_95) : "–") },
      { key: `rank_${labelOf(view)}`, label: `${title(labelOf(view))}: rank`, rising: true, hidden: views.length > 3, value: (r) => read(r)?.rank ?? null, cell: (r) => (read(r) ? rankText(read(r)) : "–") },
    );
  });
  return [section(text, table(`${pool.name}_${name}`, text, columns, rows),
    note(views.map((view) => `${title(labelOf(view))}: null band ${between(...view.null)}`).join("; ")))];
}

function byTarget(pool) {
  const main = pool.views.find(isMain);
  const rows = main.rows.filter((r) => pool.taus[r.name]).map((r) => ({
    ...Object.fromEntries(["rank", "is_shared", "name", "metric", "perturbation", "kind"].map((key) => [key, r[key]])),
    ...Object.fromEntries(pool.targets.map((t, i) => [`tau_${t.name}`, pool.taus[r.name][i]?.[0] ?? null])),
  }));
  const cell = (target, i) => (r) => {
    const [tau, models, low, high] = pool.taus[r.name][i] ?? [null];
    if (isMissing(tau)) return "–";
    const interval = isMissing(low) ? "" : `; 95 % ${between(low, high)} over models`;
    const button = hinted(fixed(tau, 2), `${r.name} on ${target.name}: n = ${plural(models, "model")}${interval}; random scores ${between(target.low, target.high)}; ${sourceOf(pool, r)}`);
    button.className = `shade ${tau < 0 ? "negative" : "positive"}${tau > target.low && tau < target.high ? " chance" : ""}`;
    button.style.setProperty("--share", `${50 * Math.abs(tau)}%`);
    return button;
  };
  const columns = [
    nameColumn,
    { key: "rank", label: "overall rank", rising: true, value: (r) => r.rank, cell: rankText },
    ...pool.targets.map((target, i) => ({ key: `tau_${target.name}`, label: title(target.name), hint: `family ${target.family}`, value: (r) => r[`tau_${target.name}`], cell: cell(target, i) })),
  ];
  return [section("tau_w by target", table(`${pool.name}_targets`, "tau_w by target", columns, rows),
    note("Blue is a good ranking, orange an inverted one. Hatched: inside the null band of one target, so the ranking may be due to chance."))];
}

/* Rows that no other row beats in both tau and time. */
function paretoFront(rows) {
  const timed = rows.filter((r) => !isMissing(r.milliseconds) && !isMissing(r.rank));
  return timed.filter((r) => !timed.some((o) => o.tau >= r.tau && o.milliseconds <= r.milliseconds && (o.tau > r.tau || o.milliseconds < r.milliseconds)))
    .sort((a, b) => a.milliseconds - b.milliseconds);
}

function costChart(rows, front, width) {
  const height = Math.max(320, Math.min(460, width * 0.6));
  const [left, right, top, bottom] = [54, width - 14, 12, height - 44];
  const logs = rows.map((r) => Math.log10(r.milliseconds));
  const rangeX = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs) + 0.05)];
  const rangeY = widened(rows.map((r) => r.tau), 0.06);
  const [x, y] = [scale(rangeX, left, right), scale(rangeY, bottom, top)];
  const svg = canvas(width, height, `Mean tau_w against milliseconds a model of ${rows.length} rows; on the Pareto front: ${front.map((r) => r.name).join(", ")}.`);
  for (let power = rangeX[0]; power <= rangeX[1]; power++) {
    svg.append(draw("line", { class: "grid", x1: x(power), x2: x(power), y1: top, y2: bottom }));
    svg.append(draw("text", { class: "tick", x: x(power), y: bottom + 16, "text-anchor": "middle" }, String(Number((10 ** power).toPrecision(1)))));
  }
  for (const [value, text] of ticks(...rangeY, height / 60)) {
    svg.append(draw("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  svg.append(draw("text", { class: "axis", x: (left + right) / 2, y: bottom + 35, "text-anchor": "middle" }, "milliseconds a model"));
  svg.append(draw("text", { class: "axis", transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "mean tau_w"));
  svg.append(draw("path", { class: "front", d: `M${front.map((r) => `${x(Math.log10(r.milliseconds))} ${y(r.tau)}`).join("L")}` }));
  const spots = rows.map((r) => ({ name: r.name, x: x(Math.log10(r.milliseconds)), y: y(r.tau), isNamed: front.includes(r) || r.kind === "yours" }));
  const labels = placeLabels(spots, [left, top, width, bottom]);
  rows.forEach((r, i) => {
    const kind = r.kind === "yours" ? "chosen" : front.includes(r) ? "best" : "";
    const group = draw("g", { class: `model ${kind}` }, draw("title", {}, `${r.name}: tau_w ${fixed(r.tau, 3)}, ${timeText(r.milliseconds)} ms`));
    if (kind) group.append(draw("circle", { class: "ring", cx: spots[i].x, cy: spots[i].y, r: 7 }));
    group.append(draw("circle", { class: "dot", cx: spots[i].x, cy: spots[i].y, r: 3.4 }));
    if (labels[i]) {
      if (labels[i].line) group.append(draw("path", { class: "leader", d: labels[i].line }));
      group.append(draw("text", { class: "name", x: labels[i].x, y: labels[i].y }, r.name));
    }
    svg.append(group);
  });
  return svg;
}

function cost(pool) {
  const rows = pool.views.find(isMain).rows.filter((r) => !isMissing(r.milliseconds) && !isMissing(r.rank));
  if (!rows.length) return [note("No row has a measured time.")];
  const front = paretoFront(rows);
  const key = el("p", { class: "note key" }, el("span", { class: "ring" }), "Pareto front: no other is both better and faster ", ...(rows.some((r) => r.kind === "yours") ? [el("span", { class: "ring chosen" }), "your metric"] : []));
  const columns = [
    nameColumn,
    { key: "milliseconds", label: "ms a model", rising: true, value: (r) => r.milliseconds, cell: (r) => timeCell(pool, r) },
    { key: "tau", label: "tau_w", hint: TAU, value: (r) => r.tau, cell: (r) => tauCell(pool, r, r.tau, r.tau_low_95, r.tau_high_95) },
    { key: "rank", label: "rank", rising: true, value: (r) => r.rank, cell: rankText },
    { key: "front", label: "front", value: (r) => (front.includes(r) ? 1 : 0), cell: (r) => (front.includes(r) ? "yes" : "") },
  ];
  return [section("Quality against time", responsive((width) => costChart(rows, front, width)), key, table(`${pool.name}_cost`, "Quality against time", columns, rows, { key: "front", way: "descending" }),
    note(`Processor time of metric and perturbation for ${data.cost}. The time of the forward pass is not included.`))];
}

function published() {
  const columns = [
    { key: "pool", label: "pool", text: true, value: (r) => `${r.pool}: ${r.regime}`, cell: (r) => `${r.pool}: ${r.regime}` },
    { key: "tau", label: "static ranking", hint: TAU, value: (r) => r.tau,
      cell: (r) => hinted(fixed(r.tau, 3), `n = ${plural(r.targets, "target")}, ${plural(r.models, "model")}; 95 % ${between(r.tau_low_95, r.tau_high_95, 3)} over targets; source: published accuracies`) },
    { key: "interval", label: "95 %", value: (r) => r.tau_low_95, cell: (r) => between(r.tau_low_95, r.tau_high_95) },
    { key: "models", label: "models", value: (r) => r.models, cell: (r) => whole(r.models) },
    { key: "targets", label: "targets", value: (r) => r.targets, cell: (r) => whole(r.targets) },
  ];
  return [section("Published tables", dataTable("published", "Static ranking on published accuracies", columns, data.published, { order: { key: "pool", way: "ascending" }, csv: toCsv }),
    note(`The static ranking orders models by their mean rank on all other targets, without looking at the target. A metric has to beat it.
      To evaluate scores of yours on one of these tables: transfer-exp evaluate scores.csv published --pool NAME`))];
}

const byRegime = (pool) =>
  sideBySide(pool, "regimes", pool.views.filter((v) => v.size === "all" && v.regime !== "all"), (v) => v.regime, "tau_w by regime (way of fine-tuning)");
const bySize = (pool) =>
  sideBySide(pool, "sizes", pool.views.filter((v) => v.regime === "all"), (v) => (v.size === "all" ? "all images" : `${v.size} a class`), "tau_w by images per class");
const VIEWS = { overall: ["Overall", overall], targets: ["By target", byTarget], regimes: ["By regime", byRegime], images: ["By images per class", bySize], cost: ["Cost", cost], published: ["Published tables", published] };

function viewsOf(pool) {
  const sizes = new Set(pool.views.map((v) => v.size)).size;
  const left = { regimes: pool.regimes.length < 2, images: sizes < 2 };
  return Object.keys(VIEWS).filter((name) => !left[name]);
}

const state = { pool: data.pools[0].name, view: "overall" };
function readAddress() {
  const [pool, view] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (data.pools.some((p) => p.name === pool)) state.pool = pool;
  if (VIEWS[view]) state.view = view;
}

function show() {
  const pool = data.pools.find((p) => p.name === state.pool);
  const names = viewsOf(pool);
  if (!names.includes(state.view)) state.view = "overall";
  const go = (change) => (Object.assign(state, change), history.replaceState(null, "", `#${state.pool}/${state.view}`), show(), announce(`Showing ${pool.title}, ${VIEWS[state.view][0]}.`));
  const pools = choice("Pool", data.pools.map((p) => [p.name, p.title]), state.pool, (name) => go({ pool: name }), true);
  const views = choice("View", names.map((name) => [name, VIEWS[name][0]]), state.view, (name) => go({ view: name }), true);
  const active = document.activeElement?.value;
  main.replaceChildren(el("div", { class: "controls tabs" }, pools, views), ...VIEWS[state.view][1](pool), reproduce());
  [...main.querySelectorAll(".tabs input")].find((input) => input.value === active)?.focus();
}

function reproduce() {
  return section("Reproduce", copyable(data.command), el("dl", { class: "versions" }, el("div", {}, el("dt", {}, "transfer-exp"), el("dd", {}, data.version))));
}

for (const pool of data.pools) for (const view of pool.views) for (const row of view.rows) row.name = nameOf(row);
const themes = [["light dark", "system"], ["light", "light"], ["dark", "dark"]];
document.getElementById("top").append(
  el("div", {}, el("h1", {}, data.title), el("p", { class: "note" }, "Where a metric stands among all metrics after all perturbations")),
  choice("Theme", themes, "light dark", (theme) => root.style.setProperty("color-scheme", theme), true),
);
document.getElementById("foot").append("transfer_exp. This page is a single file and loads nothing from the network.", status);
addEventListener("hashchange", () => (readAddress(), show()));
readAddress();
show();
