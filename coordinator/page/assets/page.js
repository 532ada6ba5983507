// The run's page: it copies the join line, and a slider sends its form; the rest is shared.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

for (const form of document.querySelectorAll("form[data-slider]")) form.addEventListener("change", () => form.submit());

if (document.body.dataset.stream) listen(document.body.dataset.stream);
