/* Tables whose headings sort them. */

const sorting = new Map(); /* order by table; the reader's choice holds for the next cell too */

/* Columns have key, label, value(row) to sort by and cell(row) to show; optional are hint, text (not a number),
   rising (smallest is best) and head (names the row). */
function sortable(name, caption, columns, rows, initial, attributes = () => ({})) {
  const order = sorting.get(name) ?? initial;
  const body = el("tbody");
  const heads = columns.map((column) => sortingHead(column, () => turn(column)));
  const table = el("table", {}, el("caption", { class: "visually-hidden" }, caption), el("thead", {}, el("tr", {}, ...heads)), body);

  function turn(column) {
    const same = order.key === column.key;
    const natural = column.text || column.rising ? "ascending" : "descending";
    const opposite = order.way === "ascending" ? "descending" : "ascending";
    Object.assign(order, { key: column.key, way: same ? opposite : natural });
    sorting.set(name, order);
    fillBody();
    announce(`Sorted by ${column.label}, ${order.way}.`);
  }

  function fillBody() {
    const column = columns.find((c) => c.key === order.key) ?? columns[0];
    columns.forEach((c, i) => {
      if (c === column) heads[i].setAttribute("aria-sort", order.way);
      else heads[i].removeAttribute("aria-sort");
    });
    const sorted = [...rows].sort((a, b) => compare(column.value(a), column.value(b), order.way));
    body.replaceChildren(...sorted.map((row) => el("tr", attributes(row), ...columns.map((c) => entry(c, row)))));
  }

  fillBody();
  return el("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, table);
}

function sortingHead(column, onclick) {
  const button = el("button", { type: "button", title: column.hint, onclick }, column.label);
  return el("th", { scope: "col", class: column.text ? "text" : null }, button);
}

function entry(column, row) {
  const content = column.cell(row);
  const long = column.text && column.value(row).length > 24 ? " long" : "";
  if (column.head) return el("th", { scope: "row", class: `text${long}` }, content);
  return el("td", { class: column.text ? `text${long}` : null }, content);
}

/* Missing values come last in both directions. */
function compare(a, b, way) {
  const [noA, noB] = [a, b].map((value) => value === null || value === undefined || value === "");
  if (noA || noB) return noA - noB;
  const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  return way === "ascending" ? order : -order;
}

function leaderboard(cell, before) {
  const format = formatOf(cell.models.map((m) => m.score));
  const hasAccuracy = cell.models.some((m) => m.accuracy !== null);
  const ranks = new Map((before?.models ?? []).map((m) => [m.model, m.score_rank]));
  const moved = (m) => (ranks.get(m.model) == null || m.score_rank === null ? null : ranks.get(m.model) - m.score_rank);
  const columns = [
    { key: "rank", label: "rank", rising: true, value: (m) => m.score_rank, cell: (m) => whole(m.score_rank) },
    { key: "model", label: "model", text: true, head: true, value: (m) => m.model, cell: (m) => m.model },
    { key: "score", label: "score", value: (m) => m.score, cell: (m) => format(m.score) },
  ];
  if (hasAccuracy) {
    columns.push(
      { key: "accuracy", label: "accuracy", value: (m) => m.accuracy, cell: (m) => fixed(m.accuracy, 3) },
      {
        key: "accuracy_rank",
        label: "accuracy rank",
        rising: true,
        value: (m) => m.accuracy_rank,
        cell: (m) => whole(m.accuracy_rank),
      },
    );
  }
  if (before) {
    columns.push({
      key: "moved",
      label: "rank change",
      hint: "ranks gained by score compared with perturbation none",
      value: moved,
      cell: (m) => (moved(m) === null ? "–" : `${moved(m) > 0 ? "+" : ""}${signed(whole(moved(m)))}`),
    });
  }
  if (cell.models.some((m) => m.reason)) {
    columns.push({ key: "reason", label: "note", text: true, value: (m) => m.reason, cell: (m) => m.reason });
  }
  const mark = (m) => ({ "data-model": m.model });
  const rising = { key: "rank", way: "ascending" };
  return sortable("leaderboard", "Leaderboard: models by score", columns, cell.models, rising, mark);
}

/* The models of a search in the order and with the intervals that the terminal prints. */
function searchboard(cell) {
  const format = formatOf(cell.search.filter((m) => m.status === "finalist").map((m) => m.score));
  const shared = (m) => cell.search.filter((other) => m.rank !== null && other.rank === m.rank).length > 1;
  const interval = (low, high, show) => (low === null ? "" : ` [${show(low)}, ${show(high)}]`);
  const accuracy = (value) => fixed(value, 2);
  const note = (m) => (m.status === "dropped" ? "" : m.reason); /* the number of images says when it was dropped */
  const columns = [
    { key: "rank", label: "rank", rising: true, value: (m) => m.rank, cell: (m) => (m.rank === null ? "–" : `${m.rank}${shared(m) ? "=" : ""}`) },
    {
      key: "best_rank_95", label: "possible ranks (95\u00a0%)", rising: true, value: (m) => m.best_rank_95,
      cell: (m) => (m.best_rank_95 === null ? "" : `${m.best_rank_95} to ${m.worst_rank_95}`),
    },
    { key: "model", label: "model", text: true, head: true, value: (m) => m.model, cell: (m) => m.model },
    { key: "accuracy", label: "measured accuracy", value: (m) => m.accuracy, cell: (m) => fixed(m.accuracy, 3) },
    {
      key: "expected_accuracy", label: "expected accuracy (80\u00a0%)", value: (m) => m.expected_accuracy,
      cell: (m) =>
        m.expected_accuracy === null
          ? ""
          : accuracy(m.expected_accuracy) + interval(m.expected_accuracy_low_80, m.expected_accuracy_high_80, accuracy),
    },
    {
      key: "score", label: "score (95\u00a0%)", value: (m) => m.score,
      cell: (m) => (m.score === null ? "" : format(m.score) + interval(m.score_low_95, m.score_high_95, format)),
    },
    { key: "images", label: "images", value: (m) => m.images, cell: (m) => whole(m.images) },
    { key: "note", label: "note", text: true, value: note, cell: note },
  ].filter((column) => cell.search.some((m) => column.value(m) !== null && column.value(m) !== ""));
  const mark = (m) => ({ "data-model": m.model });
  return sortable("leaderboard", "Models of the search, best first", columns, cell.search, { key: "rank", way: "ascending" }, mark);
}

function timings(cell) {
  const stages = ["features", "scoring", "ground_truth"];
  const rows = cell.models.filter((m) => Object.keys(m.seconds).length);
  if (!rows.length) return note("This run has no timings.");
  const total = (m) => stages.reduce((sum, stage) => sum + (m.seconds[stage] ?? 0), 0);
  const column = (key, value) => ({ key, label: key.replace("_", " "), value, cell: (m) => fixed(value(m), 2) });
  const columns = [
    { key: "model", label: "model", text: true, head: true, value: (m) => m.model, cell: (m) => m.model },
    ...stages.map((stage) => column(stage, (m) => m.seconds[stage] ?? null)),
    column("total", total),
  ];
  const sum = rows.reduce((all, m) => all + total(m), 0);
  return el(
    "div",
    { class: "narrow" },
    sortable("timings", "Seconds by model and stage", columns, rows, { key: "total", way: "descending" }),
    note(`${fixed(sum, 2)} s in total. Results read from the store show as a dash or as almost zero.`),
  );
}
