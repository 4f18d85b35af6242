"use strict";
/* Elements, numbers and controls. Text of strangers becomes text nodes and attributes, never markup. */

const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

/* A minus as long as a plus, so that columns of numbers line up. */
const signed = (text) => text.replace("-", "\u2212");
const fixed = (value, digits) => (value === null || value === undefined ? "–" : signed(value.toFixed(digits)));
const whole = (value) => (value === null || value === undefined ? "–" : String(Math.round(value * 10) / 10));
const plural = (count, noun, many = `${noun}s`) => `${count} ${count === 1 ? noun : many}`;

/* About three digits of what tells these numbers apart. */
function formatOf(values) {
  const known = values.filter((value) => value !== null);
  const largest = Math.max(0, ...known.map(Math.abs));
  const spread = known.length ? Math.max(...known) - Math.min(...known) : 0;
  if (largest >= 1e7 || (largest > 0 && largest < 1e-5)) {
    return (value) => (value === null ? "–" : signed(value.toExponential(3)));
  }
  const digits = spread === 0 ? 4 : Math.min(8, Math.max(0, 2 - Math.floor(Math.log10(spread))));
  return (value) => fixed(value, digits);
}

const short = (value) => (value === null ? "–" : signed(String(Number(value.toPrecision(3)))));

let controls = 0;

/* One of a few, all in sight. */
function choice(legend, options, chosen, onchoice, hideLegend = false) {
  const name = `choice${++controls}`;
  const buttons = options.map(([value, text]) => {
    const input = el("input", { type: "radio", name, value, onchange: () => onchoice(value) });
    input.checked = value === chosen;
    return el("label", {}, input, el("span", {}, text));
  });
  return el("fieldset", { class: "choice" }, el("legend", { class: hideLegend ? "unseen" : null }, legend), ...buttons);
}

/* One of many. */
function picker(label, options, chosen, onchoice) {
  const id = `picker${++controls}`;
  const select = el("select", { id, onchange: () => onchoice(select.value) });
  for (const [value, text] of options) {
    const option = el("option", { value }, text);
    option.selected = value === chosen;
    select.append(option);
  }
  return el("div", { class: "picker" }, el("label", { for: id }, label), select);
}

/* A chart that is drawn again for every width it is given, so that its letters keep their size. */
function responsive(render) {
  const box = el("div", { class: "chart" });
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now > 0 && now !== width) box.replaceChildren(render((width = now)));
  }).observe(box);
  return box;
}

const status = el("div", { class: "unseen", role: "status" });
const say = (text) => (status.textContent = text);

function section(title, ...children) {
  const id = `section${++controls}`;
  return el("section", { "aria-labelledby": id }, el("h2", { id }, title), ...children);
}

/* A section of a cell, which in a sweep stands one level below. */
function part(title, ...children) {
  const made = section(title, ...children);
  if (data.kind === "sweep") made.firstChild.replaceWith(el("h3", { id: made.firstChild.id }, title));
  return made;
}

const oneLine = (text) => text.replace(/\s+/g, " ");
const note = (...text) => el("p", { class: "note" }, ...text);
