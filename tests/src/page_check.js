// What is wrong with the page that this is put into: text over text, text that leaves the page or can
// hardly be read, an axis without a title that has a unit. Runs in a test, never in a report.
const problems = [];
const boxes = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; (node = walker.nextNode()); ) {
  const text = node.data.trim(), element = node.parentElement;
  if (!text || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const box of range.getClientRects())
    if (box.width > 0.5 && box.height > 0.5) boxes.push({ text: text.slice(0, 40), element, box });
}

const scrolls = (element) => {
  for (let it = element; it; it = it.parentElement)
    if (["auto", "scroll"].includes(getComputedStyle(it).overflowX)) return true;
  return false;
};
for (const { text, element, box } of boxes)
  if (box.left < -1 || (box.right > innerWidth + 1 && !scrolls(element)))
    problems.push(`leaves the page: ${text}`);
if (document.documentElement.scrollWidth > innerWidth + 1)
  problems.push(`the page is ${document.documentElement.scrollWidth} wide`);

// On a wide screen nothing has to be scrolled to.
if (innerWidth > 1200)
  for (const it of document.querySelectorAll(".wide, .plot"))
    if (it.scrollWidth > it.clientWidth + 1) problems.push(`cut off: ${it.textContent.slice(0, 40)}`);

boxes.sort((a, b) => a.box.top - b.box.top);
boxes.forEach((one, index) => {
  for (const other of boxes.slice(index + 1)) {
    if (other.box.top > one.box.bottom - 2) break;
    const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
    const down = Math.min(one.box.bottom, other.box.bottom) - other.box.top;
    if (across > 2 && down > 2) problems.push(`overlap: ${one.text} / ${other.text}`);
  }
});

for (const svg of document.querySelectorAll("svg")) {
  const titles = [...svg.querySelectorAll("text")].filter((it) => /\(.+\)/.test(it.textContent));
  const upright = titles.filter((it) => /rotate/.test(it.getAttribute("transform") ?? ""));
  if (upright.length !== 1 || titles.length !== 2)
    problems.push(`axes: ${titles.map((it) => it.textContent.trim()).join(" / ")}`);
}

const luminance = (colour) => {
  const parts = colour.match(/[\d.]+/g).slice(0, 3).map((it) => it / 255);
  const [r, g, b] = parts.map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = luminance(getComputedStyle(document.body).backgroundColor);
for (const { text, element } of boxes) {
  const style = getComputedStyle(element);
  const ink = luminance(element.closest("svg") ? style.fill : style.color);
  const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  if (contrast < 4) problems.push(`contrast ${contrast.toFixed(1)}: ${text}`);
}

const answer = document.createElement("pre");
answer.id = "checked";
answer.textContent = encodeURIComponent(JSON.stringify({
  problems,
  texts: boxes.length,
  plots: document.querySelectorAll("svg").length,
  width: innerWidth,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
}));
document.body.append(answer);
