// Says that a picture is being drawn, and for how long; without this script the form works as well.
"use strict";

const form = document.querySelector("form");
const progress = document.getElementById("progress");

form.addEventListener("submit", () => {
  const began = Date.now();
  form.querySelector("button").disabled = true;
  progress.textContent = "Drawing ...";
  setInterval(() => { progress.textContent = `Drawing, ${Math.round((Date.now() - began) / 1000)} s`; }, 5000);
});
// A page that comes back from the browser's cache may be sent again.
addEventListener("pageshow", () => { form.querySelector("button").disabled = false; progress.textContent = ""; });
