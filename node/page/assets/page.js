// A node's own page: it shows drawings by step; the rest is shared.
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

// The newest drawing is shown while the slider stands at its end.
function follow(old, fresh) {
  const wasLast = slider()?.value === slider()?.max;
  patch(old, fresh);
  if (wasLast && slider()) slider().value = slider().max;
  draw();
}

draw();
if (document.getElementById("connection")) listen("/stream", (fragment) => put(fragment, follow));
