// Puts fragments in place as the node pushes them, shows drawings by step, values of the curve and ages of times.
"use strict";

const KEPT = ["data-place", "open"];

// Make `old` equal to `fresh`, node by node: what stays equal is not touched, so focus, selection and scroll stay.
function patch(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const alike = old.nodeType === Node.ELEMENT_NODE && fresh.nodeType === Node.ELEMENT_NODE && old.tagName === fresh.tagName;
  if (!alike || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !KEPT.includes(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.id === "drawn" || old.tagName === "OUTPUT" || old.classList.contains("cursor")) return;
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((child, place) => (place < before.length ? patch(before[place], child) : old.append(child)));
  before.slice(after.length).forEach((child) => child.remove());
}

function put({ id, html }) {
  const old = document.getElementById(id);
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = holder.content.firstElementChild;
  if (!old || !fresh) return;
  tellAges(fresh);
  const wasLast = slider()?.value === slider()?.max;
  patch(old, fresh);
  if (wasLast && slider()) slider().value = slider().max;
  draw();
}

// The slider chooses a drawing; at its end it follows the newest.
const slider = () => document.getElementById("slider");
let drawnStep = null;

function draw() {
  if (!slider()) return;
  slider().hidden = false;
  const step = JSON.parse(slider().dataset.steps)[slider().value];
  const source = `${slider().dataset.folder}${step}.png`;
  const shown = document.getElementById("drawn");
  if (shown.getAttribute("src") !== source) shown.src = source;
  slider().setAttribute("aria-valuetext", `step ${step}`);
  document.getElementById("drawn-step").textContent = step.toLocaleString("en");
  document.querySelector(".strip [aria-current]")?.removeAttribute("aria-current");
  const link = document.querySelector(`a[data-step="${step}"]`), strip = link.closest(".strip");
  link.setAttribute("aria-current", "true");
  // Not scrollIntoView, which would move the page, too.
  if (step !== drawnStep) strip.scrollLeft = link.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
  drawnStep = step;
}

document.addEventListener("input", (event) => event.target === slider() && draw());
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-step]");
  if (!link) return;
  event.preventDefault();
  slider().value = JSON.parse(slider().dataset.steps).indexOf(Number(link.dataset.step));
  draw();
});

function tellAges(within) {
  for (const time of within.querySelectorAll("time")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([size]) => Math.abs(seconds) >= size) || [1, "s"];
    const count = `${Math.floor(Math.abs(seconds) / size)} ${unit}`;
    if (!time.title) time.title = time.textContent;
    time.textContent = seconds < 0 ? `in ${count}` : `${count} ago`;
  }
}

// The curve is one stop of the keyboard: arrows, Home and End move along its points; the pointer finds the nearest.
const places = (svg) => [...svg.querySelector("polyline").points];
const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };

function show(svg, place) {
  const points = JSON.parse(svg.dataset.points);
  place = Math.min(Math.max(place, 0), points.length - 1);
  const [step, loss] = points[place];
  const cursor = svg.querySelector(".cursor");
  cursor.setAttribute("cx", places(svg)[place].x);
  cursor.setAttribute("cy", places(svg)[place].y);
  svg.dataset.place = place;
  svg.parentElement.querySelector("output").textContent = `step ${step.toLocaleString("en")}: loss ${loss.toPrecision(5)}`;
}

document.addEventListener("keydown", (event) => {
  const svg = event.target.closest?.("svg[data-points]");
  if (!svg || !(event.key in MOVES)) return;
  event.preventDefault();
  show(svg, Number(svg.dataset.place ?? JSON.parse(svg.dataset.points).length) + MOVES[event.key]);
});

document.addEventListener("pointermove", (event) => {
  const svg = event.target.closest?.("svg[data-points]");
  if (!svg) return;
  const box = svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
  const distances = places(svg).map((point) => Math.abs(point.x - x));
  show(svg, distances.indexOf(Math.min(...distances)));
});

function listen() {
  const state = document.getElementById("connection");
  if (!state) return;
  const say = (text, name) => {
    if (state.textContent !== text) state.textContent = text;
    state.dataset.state = name;
  };
  const events = new EventSource("/stream");
  events.onopen = () => say("live", "live");
  events.onerror = () => say("not connected", "lost");
  events.onmessage = (message) => put(JSON.parse(message.data));
}

tellAges(document);
draw();
setInterval(() => tellAges(document), 10000);
listen();
