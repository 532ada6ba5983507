// Puts fragments in place as the server pushes them, shows values of charts, ages of times, and copies the join line.
"use strict";

// Make `old` equal to `fresh`, node by node: what stays equal is not touched, so focus, selection and scroll stay.
function patch(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const alike = old.nodeType === Node.ELEMENT_NODE && fresh.nodeType === Node.ELEMENT_NODE && old.tagName === fresh.tagName;
  if (!alike || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(old.tagName === "DETAILS" && name === "open")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.tagName === "OUTPUT" || old.classList.contains("cursor")) return;
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
  patch(old, fresh);
}

function age(time) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([size]) => seconds >= size) || [1, "s"];
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

function tellAges(within) {
  for (const time of within.querySelectorAll("time")) {
    if (!time.title) time.title = time.textContent;
    time.textContent = age(time);
  }
}

// A chart is one stop of the keyboard: arrows, Home and End move along its points; the pointer finds the nearest.
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

const places = (svg) => [...svg.querySelector("polyline:not(.reference)").points];
const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };

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

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

for (const form of document.querySelectorAll("form[data-slider]")) form.addEventListener("change", () => form.submit());

function listen() {
  const state = document.getElementById("connection");
  const events = new EventSource(document.body.dataset.stream);
  const say = (text, name) => {
    if (state.textContent !== text) state.textContent = text;
    state.dataset.state = name;
  };
  events.onopen = () => say("live", "live");
  events.onerror = () => say("not connected", "lost");
  events.onmessage = (message) => put(JSON.parse(message.data));
}

tellAges(document);
setInterval(() => tellAges(document), 10000);
if (document.body.dataset.stream) listen();
