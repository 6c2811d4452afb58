// The chain as nested layers, a mark for each fault, and the trial behind a mark.

const ARMS = { stock: "stock OpenTelemetry", everylayer: "everylayer" };
const MARKS = { ok: "✓", lost: "✗", wrong: "!", unreached: "–", absent: "·" };
const STATES = {
  ok: "recorded",
  lost: "lost",
  wrong: "recorded wrong",
  unreached: "not reached",
  absent: "not tried",
};
const PHASES = ["before", "after", "stream", "teardown", "background"];
const WHEN = {
  before: "as the layer begins with the request",
  after: "as the layer returns",
  stream: "while the body is produced",
  teardown: "while the request is torn down",
  background: "in a background task",
};
const COLUMNS = ["raised", "swallowed", "translated", "cancelled", "unharmed"];
const WHAT = {
  raised: "An exception is raised and left to the app",
  swallowed: "An exception is raised, and a layer outside all others swallows it",
  translated: "An exception is raised, and a layer outside all others raises another from it",
  cancelled: "The request's task is cancelled",
  unharmed: "Nothing is raised: a run that only looks",
};
// What hands on to its neighbour stands around it; anything else stands before it.
const AROUND = new Set(["class", "function", "asgi", "wsgi"]);
const LIBRARY = /^.*[/\\](?:site|dist)-packages[/\\]/;

// Instrumentation is of the kind of what it was put before: a layer, or a hook.
function standsAround(node, rest) {
  const like = [node, ...rest].find((one) => one.kind !== "instrumentation");
  return !like || AROUND.has(like.kind);
}

// Places in files, without the folder that all of the app's own have in common.
function shortener(nodes) {
  const folders = [];
  const collect = (node) => {
    if (/[/\\]/.test(node.where) && !LIBRARY.test(node.where)) folders.push(node.where.replace(/[^/\\]*$/, ""));
    node.inner.forEach(collect);
  };
  nodes.forEach(collect);
  let [common = ""] = folders;
  while (common && !folders.every((folder) => folder.startsWith(common))) {
    common = common.replace(/[^/\\]*[/\\]$/, "");
  }
  // The last folder in common is most often the app's package: it tells something.
  common = common.replace(/[^/\\]*[/\\]$/, "");
  return (where) => (where.startsWith(common) ? where.slice(common.length) : where.replace(LIBRARY, ""));
}

function columnOf(row) {
  return { cancelled: "cancelled", none: "unharmed" }[row.error] || row.shape;
}

function isLost(row) {
  return Object.values(row.arms).some((arm) => arm.state === "lost" || arm.state === "wrong");
}

function mark(state) {
  return el("span", { class: `mark ${state}`, "aria-hidden": "true" }, MARKS[state]);
}

function seamButton(row, name, open) {
  const states = Object.entries(ARMS).map(([arm, title]) => `${title}: ${STATES[row.arms[arm].state]}`);
  const label = `${name}, ${row.phase}, ${columnOf(row)}. ${states.join("; ")}`;
  return el(
    "button",
    { type: "button", class: "seam", "data-row": row.id, "data-column": columnOf(row), "aria-label": label, title: label, click: () => open(row.id) },
    Object.keys(ARMS).map((arm) => mark(row.arms[arm].state)),
  );
}

class ChainView {
  constructor(report, open) {
    this.report = report;
    this.open = open;
    this.names = new Map();
    this.groups = [];
    this.short = shortener(report.chain);
    this.byNode = grouped(report.rows);
    const present = new Set(report.rows.map(columnOf));
    this.columns = COLUMNS.filter((column) => present.has(column));
    const inner = this.nest(report.chain, 0);
    const strays = [...this.byNode.keys()].filter((id) => !this.names.has(id));
    const outer = strays.map((id) =>
      this.layer({ id, name: id || "the whole request", kind: "", where: "", phases: [], inner: [] }, [], 0),
    );
    this.element = el("div", { class: "chain", "--columns": this.columns.length }, this.heading(), outer, inner);
    this.element.addEventListener("keydown", (event) => this.move(event));
    this.element.style.setProperty("--levels", Math.max(1, ...this.groups.map((group) => group.depth)));
  }

  heading() {
    return el(
      "div",
      { class: "line chain-head", "aria-hidden": "true" },
      el("span", { class: "legend" }, "left ", el("b", {}, "stock"), ", right ", el("b", {}, "everylayer")),
      el("span", { class: "phase" }, "fault"),
      this.columns.map((column) => el("span", { class: "column" }, column)),
    );
  }

  nest(nodes, depth) {
    if (!nodes.length) return [];
    const [first, ...rest] = nodes;
    if (standsAround(first, rest)) {
      return [this.layer(first, (below) => [this.nest(rest, below), this.nest(first.inner, below)], depth)];
    }
    return [this.layer(first, (below) => this.nest(first.inner, below), depth), ...this.nest(rest, depth)];
  }

  layer(node, inside, depth) {
    this.names.set(node.id, node.name);
    const rows = this.byNode.get(node.id) || [];
    const lines = PHASES.flatMap((phase) => {
      const put = rows.filter((row) => row.phase === phase);
      return put.length ? [{ phase, put }] : [];
    });
    const [entering, leaving] = [true, false].map((wanted) =>
      lines.filter((line) => (line.phase === "before") === wanted),
    );
    const group = { node, depth, lines: [], element: null };
    this.groups.push(group);
    const title = el(
      "div",
      { class: "title" },
      el("h3", {}, el("span", { class: "arrow", "aria-hidden": "true" }, "↓\u00a0"), el("span", {}, node.name)),
      node.kind ? el("span", { class: "kind" }, [node.kind, node.mode === "async" ? "async" : ""].filter(Boolean).join(" · ")) : null,
      node.where ? el("span", { class: "where", title: node.where }, this.short(node.where)) : null,
    );
    const foot = () => el("span", { class: "closing", "aria-hidden": "true" }, `↑ ${node.name}`);
    const top = entering.length ? entering : [{ phase: "", put: [] }];
    group.element = el(
      "div",
      { class: `layer ${node.kind === "instrumentation" ? "foreign" : ""}`, role: "group", "aria-label": node.name, "--depth": depth },
      top.map((line) => this.line(group, title, line)),
      typeof inside === "function" ? inside(depth + 1) : inside,
      leaving.map((line, index) => this.line(group, index ? el("span") : foot(), line)),
    );
    return group.element;
  }

  line(group, lead, { phase, put }) {
    const buttons = new Map(put.map((row) => [row, seamButton(row, group.node.name, this.open)]));
    const cells = this.columns.map((column) =>
      el("span", { class: "cell" }, put.filter((row) => columnOf(row) === column).map((row) => buttons.get(row))),
    );
    const label = el("span", { class: "phase" }, phase);
    const element = el("div", { class: "line" }, lead, label, put.length ? cells : null);
    group.lines.push({ element, label, buttons, leads: lead.className === "title" });
    return element;
  }

  // Show the rows that pass `wanted`; a layer without one keeps its name alone.
  filter(wanted) {
    let count = 0;
    for (const group of this.groups) {
      let some = false;
      for (const line of group.lines) {
        let here = false;
        for (const [row, button] of line.buttons) {
          button.hidden = !wanted(row);
          here ||= !button.hidden;
          count += !button.hidden;
        }
        line.element.hidden = !here && !line.leads;
        line.label.hidden = !here;
        some ||= here;
      }
      group.element.classList.toggle("idle", !some);
    }
    return count;
  }

  buttons() {
    return [...this.element.querySelectorAll("button.seam:not([hidden])")];
  }

  move(event) {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const from = event.target.closest("button.seam");
    if (!step || !from || event.altKey || event.ctrlKey || event.metaKey) return;
    const column = event.key === "ArrowUp" || event.key === "ArrowDown" ? from.dataset.column : null;
    const all = this.buttons().filter((button) => !column || button.dataset.column === column);
    const next = all[all.indexOf(from) + step];
    event.preventDefault();
    if (next) next.focus();
  }
}

function grouped(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.node, [...(found.get(row.node) || []), row]);
  return found;
}
