/* Tables with headings that sort, a filter, a choice of columns, and their rows as a CSV file. */

const tableStates = new Map(); /* order, filter and columns by table; the reader's choice holds for the next cell too */

/* Columns have key, label, value(row) to sort by and cell(row) to show; optional are hint, text (not a number), rising
   (smallest is best) and hidden (not shown at first). The first column names the row and stays in view. Options are the
   first order, the attributes of a row, the heading of the first column for the filter, and the data of the CSV file. */
function dataTable(name, caption, columns, rows, { order, attributes = () => ({}), csv = null }) {
  const fresh = { order, query: "", hidden: new Set(columns.filter((c) => c.hidden).map((c) => c.key)) };
  const state = tableStates.get(name) ?? fresh;
  tableStates.set(name, state);
  const table = el("table");
  let shown = rows;

  function turn(column) {
    const same = state.order.key === column.key;
    const natural = column.text || column.rising ? "ascending" : "descending";
    const opposite = state.order.way === "ascending" ? "descending" : "ascending";
    state.order = { key: column.key, way: same ? opposite : natural };
    fillTable();
    announce(`Sorted by ${column.label}, ${state.order.way}.`);
    [...table.querySelectorAll("thead button")].find((b) => b.textContent === column.label)?.focus();
  }

  function fillTable() {
    const visible = columns.filter((c) => !state.hidden.has(c.key));
    const sorter = columns.find((c) => c.key === state.order.key) ?? columns[0];
    const wanted = state.query.toLowerCase();
    shown = rows.filter((row) => columns.some((c) => c.text && String(c.value(row)).toLowerCase().includes(wanted)));
    shown.sort((a, b) => compare(sorter.value(a), sorter.value(b), state.order.way));
    const heads = visible.map((c) => sortingHead(c, c === sorter ? state.order.way : null, () => turn(c)));
    const lines = shown.map((row) => el("tr", attributes(row), ...visible.map((c, i) => entry(c, row, i === 0))));
    const empty = el("tr", {}, el("td", { class: "text", colspan: visible.length }, "No row has this text."));
    table.replaceChildren(
      el("caption", { class: "visually-hidden" }, caption),
      el("thead", {}, el("tr", {}, ...heads)),
      el("tbody", {}, ...(lines.length ? lines : [empty])),
    );
  }

  fillTable();
  const tools = [];
  if (rows.length > 8) tools.push(filterBox(columns[0].label, rows.length, state, () => (fillTable(), shown.length)));
  if (csv) {
    if (columns.length > 4) tools.push(columnChooser(columns.slice(1), state, fillTable));
    tools.push(el("button", { type: "button", class: "button", onclick: () => download(`${name}.csv`, csv(shown)) }, "Download CSV"));
  }
  const scroll = el("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, table);
  return el("div", {}, tools.length ? el("div", { class: "controls" }, ...tools) : null, scroll);
}

function filterBox(label, total, state, filter) {
  const count = el("span", { class: "count" });
  const update = (now) => (count.textContent = now === total ? `${total} rows` : `${now} of ${total} rows`);
  const input = el("input", { type: "search", placeholder: `Filter by ${label}`, "aria-label": `Filter by ${label}`, value: state.query });
  input.addEventListener("input", () => ((state.query = input.value), update(filter())));
  update(filter());
  return el("div", { class: "filter" }, input, count);
}

function columnChooser(columns, state, onchange) {
  const boxes = columns.map((column) => {
    const toggle = () => ((input.checked ? state.hidden.delete(column.key) : state.hidden.add(column.key)), onchange());
    const input = el("input", { type: "checkbox", onchange: toggle });
    input.checked = !state.hidden.has(column.key);
    return el("label", {}, input, column.label);
  });
  return el("details", { class: "chooser" }, el("summary", { class: "button" }, "Columns"), el("div", {}, ...boxes));
}

function download(name, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/* Rows as CSV with the names of their fields. A text that a spreadsheet would run as a formula starts with a quote. */
function toCsv(rows) {
  const plain = (value) => value === null || typeof value !== "object";
  const names = [...new Set(rows.flatMap((row) => Object.keys(row).filter((name) => plain(row[name]))))];
  const quoted = (value) => {
    const text = typeof value === "string" && /^'*[=+\-@\s]/.test(value) ? `'${value}` : String(value ?? "");
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => `${line.map(quoted).join(",")}\n`).join("");
}

function sortingHead(column, way, onclick) {
  const button = el("button", { type: "button", title: column.hint, onclick }, column.label);
  return el("th", { scope: "col", class: column.text ? "text" : null, "aria-sort": way }, button);
}

function entry(column, row, isHead) {
  const content = column.cell(row);
  if (isHead) return el("th", { scope: "row", class: "text" }, el("span", { class: "pinned" }, content));
  return el("td", { class: column.text ? "text" : null }, content);
}

/* Missing values come last in both directions. */
function compare(a, b, way) {
  const [noA, noB] = [a, b].map(isMissing);
  if (noA || noB) return noA - noB;
  const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  return way === "ascending" ? order : -order;
}

const countText = (count) => {
  if (isMissing(count)) return "–";
  const [size, unit] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([least]) => count >= least) ?? [1, ""];
  return `${fixed(count / size, size > 1e3 && count < 10 * size ? 1 : 0)} ${unit}`;
};
const secondsText = (value) => (isMissing(value) ? "–" : `${fixed(value, value < 10 ? 1 : 0)} s`);

/* The models of a run or a search, one line each; columns without a value are left out. */
function modelTable(cell, before) {
  const finalists = cell.models.filter((m) => (m.status ?? "finalist") === "finalist");
  const widths = finalists.map((m) => m.score_high_95 - m.score_low_95).filter((width) => width > 0);
  const format = widths.length ? formatOf([0, Math.min(...widths)], 2) : formatOf(finalists.map((m) => m.score));
  const earlier = new Map((before?.models ?? []).map((m) => [m.model, m.rank]));
  const ranks = cell.models.map((m) => m.rank);
  const isShared = (m) => ranks.filter((rank) => rank === m.rank).length > 1;
  const range = (low, high, show) => (isMissing(low) ? "" : el("span", { class: "range" }, ` ${show(low)} to ${show(high)}`));
  const withRange = (value, low, high, show) => (isMissing(value) ? "–" : el("span", {}, show(value), range(low, high, show)));
  const two = (value) => fixed(value, 2);
  const moved = (m) => (isMissing(earlier.get(m.model)) || isMissing(m.rank) ? null : earlier.get(m.model) - m.rank);
  const stages = (m) => Object.entries(m.stages).map(([stage, time]) => `${stage.replace("_", " ")} ${secondsText(time)}`).join(", ");
  const column = (key, label, show, options = {}) => ({ key, label, value: (m) => m[key], cell: (m) => show(m[key]), ...options });
  const columns = [
    column("model", "model", null, { text: true, cell: (m) => el("span", { title: m.reason || null }, m.model) }),
    column("rank", "rank", null, { rising: true, cell: (m) => (isMissing(m.rank) ? "–" : whole(m.rank) + (isShared(m) ? "=" : "")) }),
    column("best_rank_95", "interval (95 %)", null, {
      rising: true, hint: "ranks that the model may have", cell: (m) => (isMissing(m.best_rank_95) ? "–" : `${m.best_rank_95} to ${m.worst_rank_95}`),
    }),
    column("expected_accuracy", "expected accuracy (80 %)", null, {
      hint: "after full fine-tuning",
      cell: (m) => withRange(m.expected_accuracy, m.expected_accuracy_low_80, m.expected_accuracy_high_80, two),
    }),
    column("score", cell.models.some((m) => !isMissing(m.score_low_95)) ? "score (95 %)" : "score", null, {
      cell: (m) => withRange(m.score, m.score_low_95, m.score_high_95, format),
    }),
    column("accuracy", cell.tau === null ? `measured ${cell.accuracy_name}` : cell.accuracy_name, (value) => fixed(value, 3), { rising: cell.smaller_is_better }),
    column("accuracy_rank", `${cell.accuracy_name} rank`, whole, { rising: true }),
    { key: "moved", label: "rank change", hint: "ranks gained by score compared with perturbation none", value: moved,
      cell: (m) => (moved(m) === null ? "–" : `${moved(m) > 0 ? "+" : ""}${signed(whole(moved(m)))}`) },
    { key: "layer", label: "layer", hint: "layer of the network that the score is of", text: true, cell: (m) => m.layer,
      value: (m) => (cell.models.every((other) => ["", "head_input"].includes(other.layer ?? "")) ? null : m.layer) },
    column("seconds", "time", null, { rising: true, cell: (m) => el("span", { title: stages(m) || null }, secondsText(m.seconds)) }),
    column("parameters", "parameters", countText, { rising: true }),
    column("multiply_adds", "multiply-adds", countText, { rising: true, hidden: true, hint: "for one image" }),
    column("images_per_second", "images/s", whole, { hidden: true, hint: "forward passes on this device, without decoding" }),
    column("peak_memory", "memory", (value) => `${countText(value)}B`, { rising: true, hidden: true, hint: "weights and activations of a batch" }),
    column("file_bytes", "file", (value) => `${countText(value)}B`, { rising: true, hidden: true }),
    column("licence", "licence", (value) => value, { text: true, hidden: true }),
    column("source_dataset", "pretrained on", (value) => value, { text: true, hidden: true }),
    column("images", "images", whole, { hidden: true, hint: "images that the model was scored on" }),
    column("status", "status", (value) => value, { text: true, hidden: true }),
  ].filter((c) => cell.models.some((m) => !isMissing(c.value(m))));
  const kind = (m) => (cell.answer.best.includes(m.model) ? "best" : (m.status ?? "finalist") !== "finalist" || isMissing(m.rank) ? "out" : null);
  return dataTable("models", "Models, best first", columns, cell.models, {
    order: { key: "rank", way: "ascending" }, attributes: (m) => ({ "data-model": m.model, class: kind(m) }), csv: toCsv,
  });
}

/* Pairs of model and regime, most accurate first; those that `front` marks are highlighted. */
function regimeTable(rows, front) {
  const column = (key, label, show, options = {}) => ({ key, label, value: (r) => r[key], cell: (r) => show(r[key]), ...options });
  const columns = [
    column("pair", "model, regime", (value) => value, { text: true }),
    column("validation", "validation", (value) => fixed(value, 3), { rising: rows[0].smaller_is_better }),
    column("accuracy", rows[0].accuracy_name, (value) => fixed(value, 3), { rising: rows[0].smaller_is_better }),
    column("trainable_parameters", "trained parameters", (value) => (isMissing(value) ? "–" : value.toLocaleString("en")), { rising: true }),
    column("training_seconds", "training", secondsText, { rising: true }),
    column("seeds", "seeds", whole),
  ].filter((c) => rows.some((r) => !isMissing(c.value(r))));
  return dataTable("regimes", "Models and regimes, most accurate first", columns, rows, {
    order: { key: "accuracy", way: rows[0].smaller_is_better ? "ascending" : "descending" }, attributes: (r) => ({ "data-model": r.pair, class: r[front] ? "best" : null }), csv: toCsv,
  });
}

/* tau_w of each line of the chart for each number of images per class. */
function shotsTable(rows) {
  const column = (key, label, show, options = {}) => ({ key, label, value: (r) => r[key], cell: (r) => show(r[key]), ...options });
  const interval = (r) => (isMissing(r.tau_low_95) ? "–" : `${fixed(r.tau_low_95, 2)} to ${fixed(r.tau_high_95, 2)}`);
  const columns = [
    column("line", "setting", (value) => value, { text: true }),
    { key: "shots", label: "images per class", value: (r) => r.shots ?? Infinity, cell: (r) => (r.shots === null ? "all" : whole(r.shots)), rising: true },
    column("tau", "tau_w", (value) => fixed(value, 2)),
    { key: "tau_low_95", label: "interval (95 %)", value: (r) => r.tau_low_95, cell: interval },
    column("draws", "draws", whole),
  ];
  return dataTable("shots", "tau_w by images per class", columns, rows, { order: { key: "line", way: "ascending" }, csv: toCsv });
}

/* Why models have no rank or were dropped, with a line for each reason. */
function modelNotes(models) {
  const reasons = new Map();
  for (const m of models.filter((model) => model.reason)) reasons.set(m.reason, [...(reasons.get(m.reason) ?? []), m.model]);
  if (!reasons.size) return null;
  const lines = [...reasons].map(([reason, names]) => el("li", {}, el("strong", {}, reason), `: ${names.join(", ")}`));
  const count = [...reasons.values()].reduce((sum, names) => sum + names.length, 0);
  return el("details", { class: "notes" }, el("summary", {}, `Notes on ${plural(count, "model")}`), el("ul", {}, ...lines));
}
