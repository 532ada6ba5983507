// What the scripts of the run's page and of a node's own page share; each follows in the same file.
"use strict";

// What the reader has set: the point of a curve, an opened part.
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
  if (old.tagName === "OUTPUT" || old.classList.contains("cursor")) return;
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((child, place) => (place < before.length ? patch(before[place], child) : old.append(child)));
  before.slice(after.length).forEach((child) => child.remove());
}

// Put a fragment in the place of the element that has its id; `change` makes the one into the other.
function put({ id, html }, change = patch) {
  const old = document.getElementById(id);
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = holder.content.firstElementChild;
  if (!old || !fresh) return;
  tellAges(fresh);
  change(old, fresh);
}

function tellAges(within) {
  for (const time of within.querySelectorAll("time")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([size]) => Math.abs(seconds) >= size) || [1, "s"];
    const count = `${Math.floor(Math.abs(seconds) / size)} ${unit}`;
    if (!time.title) time.title = time.textContent;
    time.textContent = seconds < 0 ? `in ${count}` : `${count} ago`;
  }
}

// A curve is one stop of the keyboard: arrows, Home and End move along its points; the pointer finds the nearest.
const places = (svg) => [...svg.querySelector("polyline:not(.reference)").points];
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

function listen(address, receive = put) {
  const state = document.getElementById("connection");
  const say = (text, name) => {
    if (state.textContent !== text) state.textContent = text;
    state.dataset.state = name;
  };
  const events = new EventSource(address);
  events.onopen = () => say("live", "live");
  events.onerror = () => say("not connected", "lost");
  events.onmessage = (message) => receive(JSON.parse(message.data));
}

tellAges(document);
setInterval(() => tellAges(document), 10000);

