// Elements from values: every text of the app's becomes a text node, never markup.

function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== ""));
  return element;
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

// Microseconds, as a person says them.
function duration(micros) {
  if (micros === null) return "never ended";
  if (micros < 1000) return `${micros.toFixed(micros < 10 ? 1 : 0)} µs`;
  if (micros < 1e6) return `${(micros / 1000).toPrecision(3)} ms`;
  return `${(micros / 1e6).toFixed(2)} s`;
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

// What the address says: which rows are shown, and which is open.
const address = {
  read() {
    return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  },
  write(changes, asEntry) {
    const next = new URLSearchParams({ ...address.read(), ...changes });
    for (const [name, value] of [...next]) if (!value) next.delete(name);
    const hash = next.size ? `#${next}` : location.pathname + location.search;
    history[asEntry ? "pushState" : "replaceState"](null, "", hash);
  },
};
