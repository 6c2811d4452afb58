// What a test asks a page: texts with too little contrast, and what sticks out to the right.

const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

// Paint each colour over the one below it, as the page does.
function painted(colours) {
  canvas.clearRect(0, 0, 1, 1);
  for (const colour of colours) {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
  }
  return canvas.getImageData(0, 0, 1, 1).data;
}

function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}

function contrast(element) {
  const behind = [];
  for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
  const [light, dark] = [
    luminance(painted(["white", ...behind])),
    luminance(painted(["white", ...behind, getComputedStyle(element).color])),
  ].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function isSeen(element) {
  const box = element.getBoundingClientRect();
  return box.width > 1 && box.height > 1 && element.checkVisibility();
}

const root = document.querySelector("dialog[open]") || document.body;
const all = [...root.querySelectorAll("*")].filter(isSeen);
const texts = all.filter((element) =>
  [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()),
);
return {
  texts: texts.length,
  faint: texts.map((e) => [contrast(e).toFixed(2), e.className || e.tagName, e.textContent.slice(0, 30)]).filter(([ratio]) => ratio < 4.5),
  wide: all.filter((e) => !e.closest("pre") && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.className || e.tagName),
  scrolls: document.documentElement.scrollWidth > innerWidth || root.scrollWidth > root.clientWidth,
  unnamed: all.filter((e) => e.matches("button, select, input") && !(e.ariaLabel || e.textContent || e.labels?.length)).map((e) => e.outerHTML),
  small: all.filter((e) => e.matches("button, select")).filter((e) => Math.min(e.offsetWidth, e.offsetHeight) < 24).map((e) => e.outerHTML),
};
