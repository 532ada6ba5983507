// What a reader of the screen, a keyboard, or weak eyes would miss on a page: a list of sentences, empty if nothing.
(() => {
  const found = [];
  const name = (it) =>
    (it.getAttribute("aria-label") || it.textContent || it.title || "").trim() ||
    [...it.querySelectorAll("img")].map((picture) => picture.alt).join("").trim() ||
    [...(it.labels || [])].map((label) => label.textContent).join("").trim() ||
    (document.getElementById(it.getAttribute("aria-labelledby")) || { textContent: "" }).textContent.trim();
  const seen = (it) => it.getClientRects().length > 0 && getComputedStyle(it).visibility !== "hidden";
  const where = (it) => `<${it.tagName.toLowerCase()} ${it.id || it.className.baseVal || it.className}>`;
  for (const it of document.querySelectorAll("a, button, input:not([type=hidden]), select, summary, nav, [role=group], [role=img], section, progress"))
    if (seen(it) && !name(it)) found.push(`${where(it)} has no name`);
  for (const it of document.querySelectorAll("[aria-labelledby]"))
    if (!document.getElementById(it.getAttribute("aria-labelledby"))) found.push(`${where(it)} is labelled by nothing`);
  for (const it of document.querySelectorAll("img")) if (!it.alt) found.push(`${where(it)} has no text`);
  const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push(`the id ${id} is there twice`);
  if (document.documentElement.lang !== "en") found.push("no language");
  for (const tag of ["main", "h1"]) if (document.querySelectorAll(tag).length !== 1) found.push(`not one ${tag}`);
  const levels = [...document.querySelectorAll("h1, h2, h3")].map((it) => Number(it.tagName[1]));
  levels.forEach((level, place) => place && level - levels[place - 1] > 1 && found.push("a level of headings is left out"));
  for (const it of document.querySelectorAll(".scroll")) if (it.tabIndex !== 0) found.push("a box that scrolls has no keyboard");

  // WCAG 2.2, 1.4.3: 4.5 to 1; https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
  const light = (colour) => {
    const parts = colour.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255);
    const linear = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (it) => {
    for (; it; it = it.parentElement) {
      const colour = getComputedStyle(it).backgroundColor;
      if (!/, 0\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const it = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !seen(it) || it.closest("script, option")) continue;
    const style = getComputedStyle(it);
    const [first, second] = [light(it.closest("svg") ? style.fill : style.color), light(ground(it))].sort((a, b) => b - a);
    const ratio = (first + 0.05) / (second + 0.05);
    if (ratio < 4.5) found.push(`${where(it)} ${texts.currentNode.textContent.trim().slice(0, 30)}: contrast ${ratio.toFixed(2)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  return [...new Set(found)];
})()
