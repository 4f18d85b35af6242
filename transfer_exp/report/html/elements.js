"use strict";
/* Elements, numbers and controls. Names from the data become text nodes and attributes, never markup. */

const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/* A minus as wide as a plus, so that columns of numbers align. */
const signed = (text) => text.replace("-", "\u2212");
const fixed = (value, digits) => (value === null || value === undefined ? "–" : signed(value.toFixed(digits)));
const whole = (value) => (value === null || value === undefined ? "–" : String(Math.round(value * 10) / 10));
const isMissing = (value) => value === null || value === undefined || value === "";
const unbroken = (text) => text.replace(/(\d) %/g, "$1\u00a0%");
const plural = (count, noun, many = `${noun}s`) => `${count} ${count === 1 ? noun : many}`;

/* The range of numbers; 0 if it is only a rounding error. */
function spreadOf(numbers) {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  return high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)) ? high - low : 0;
}

/* A format with a few significant digits of the range of these numbers, so that different numbers look different. */
function formatOf(values, digitsOfRange = 3) {
  const numbers = values.filter((value) => value !== null);
  const largest = Math.max(0, ...numbers.map(Math.abs));
  const spread = numbers.length ? spreadOf(numbers) : 0;
  if (largest >= 1e7 || (largest > 0 && largest < 1e-5)) {
    return (value) => (value === null ? "–" : signed(value.toExponential(3)));
  }
  const digits = spread === 0 ? digitsOfRange + 1 : Math.min(8, Math.max(0, digitsOfRange - 1 - Math.floor(Math.log10(spread))));
  return (value) => fixed(value, digits);
}

const short = (value) => (value === null ? "–" : signed(String(Number(value.toPrecision(3)))));

let controls = 0;

/* A choice among a few visible options. */
function choice(legend, options, chosen, onchoice, hideLegend = false) {
  const name = `choice${++controls}`;
  const buttons = options.map(([value, text]) => {
    const input = el("input", { type: "radio", name, value, onchange: () => onchoice(value) });
    input.checked = value === chosen;
    return el("label", {}, input, el("span", {}, text));
  });
  return el("fieldset", { class: "choice" }, el("legend", { class: hideLegend ? "visually-hidden" : null }, legend), ...buttons);
}

/* A text to copy: a command in a box, with a button. */
function copyable(text) {
  const code = el("code", {}, text);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      announce("Copied.");
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      announce("Press Ctrl+C to copy.");
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  const button = el("button", { type: "button", class: "button", "aria-label": "Copy the command", onclick: copy }, "Copy");
  return el("div", { class: "copyable" }, el("pre", { tabindex: "0" }, code), button);
}

/* A choice among many options. */
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

/* A chart that is redrawn when its width changes, so that its text keeps its size. */
function responsive(render) {
  const box = el("div", { class: "chart" });
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now > 0 && now !== width) box.replaceChildren(render((width = now)));
  }).observe(box);
  return box;
}

const status = el("div", { class: "visually-hidden", role: "status" });
const announce = (text) => (status.textContent = text);

function section(title, ...children) {
  const id = `section${++controls}`;
  return el("section", { "aria-labelledby": id }, el("h2", { id }, title), ...children);
}

/* A section of a cell; in a sweep its heading is one level lower. */
function part(title, ...children) {
  const node = section(title, ...children);
  if (data.kind === "sweep") node.firstChild.replaceWith(el("h3", { id: node.firstChild.id }, title));
  return node;
}

const oneLine = (text) => text.replace(/\s+/g, " ");
const note = (...text) => el("p", { class: "note" }, ...text);
