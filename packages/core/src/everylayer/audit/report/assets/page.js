// The page around it: title, totals, findings, filters, and what the address asks for.

const view = JSON.parse(document.getElementById("data").textContent);
const NOTHING = { put: 0, lost: 0 };
const detail = document.getElementById("detail");

function fill(id, ...children) {
  document.getElementById(id).replaceChildren(...children.flat(Infinity).filter((child) => child !== null));
}

function masthead(kicker, title, facts) {
  document.title = `${title} · everylayer`;
  fill(
    "head",
    el("p", { class: "kicker" }, el("b", {}, "everylayer"), ` ${kicker}`),
    el("h1", {}, title),
    el("p", { class: "facts" }, facts.filter(Boolean).map((fact) => el("span", {}, fact))),
  );
}

function choice(name, options, current, change) {
  return el(
    "fieldset",
    { class: "choice" },
    el("legend", { class: "for-readers" }, name),
    options.map(([value, title]) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name, value, checked: value === current, change: () => change(value) }),
        el("span", {}, title),
      ),
    ),
  );
}

function breakdown(rows, arm) {
  return Object.entries(STATES)
    .map(([state, title]) => [rows.filter((row) => row.arms[arm].state === state).length, title])
    .filter(([count]) => count)
    .map(([count, title]) => `${count.toLocaleString("en")} ${title}`)
    .join(" · ");
}

function total(report, arm) {
  const { put, lost } = report.totals[arm] || NOTHING;
  const title = ARMS[arm];
  if (!put) {
    const why = (arm === "stock" && report.noStock) || "nothing was tried";
    return el("div", { class: "total" }, el("h2", {}, title), el("p", { class: "figure" }, "–"), el("p", {}, why));
  }
  const strip = report.rows.map((row) => el("i", { class: row.arms[arm].state }));
  return el(
    "div",
    { class: `total ${lost ? "bad" : "good"}` },
    el("h2", {}, title),
    el("p", { class: "figure" }, mark(lost ? "lost" : "ok"), el("b", {}, lost.toLocaleString("en")), el("span", {}, ` of ${put.toLocaleString("en")} lost`)),
    el("div", { class: "strip", "aria-hidden": "true" }, strip),
    el("p", { class: "breakdown" }, breakdown(report.rows, arm)),
  );
}

function finding(one, { names, short }) {
  return el(
    "li",
    {},
    el("p", { class: "finding-head" }, el("span", { class: "tag" }, one.kind), names.get(one.node) ? ` ${names.get(one.node)}` : null, one.where ? el("code", { title: one.where }, short(one.where)) : null),
    el("p", {}, one.text),
    one.remedy ? el("p", { class: "remedy" }, el("b", {}, "Remedy "), one.remedy) : null,
  );
}

function showReport(report) {
  const seconds = typeof report.seconds === "number" && report.seconds ? `${report.seconds.toFixed(1)} s` : null;
  masthead("audit", report.target, [report.framework, `${report.method} ${report.path}`, plural(report.rows.length, "fault"), seconds]);
  const rows = new Map(report.rows.map((row) => [row.id, row]));
  const open = (id) => {
    address.write({ open: id }, true);
    follow();
  };
  const chain = new ChainView(report, open);
  const status = el("p", { class: "count", role: "status" });
  const asked = address.read();
  const pick = el(
    "select",
    { "aria-label": "layer", change: () => change({ layer: pick.value }) },
    el("option", { value: "" }, "every layer"),
    [...chain.names].filter(([id]) => chain.byNode.has(id)).map(([id, name]) => el("option", { value: id }, name)),
  );
  const change = (changes) => {
    address.write(changes);
    sift();
  };
  const sift = () => {
    const { show, layer } = address.read();
    const count = chain.filter((row) => (show !== "lost" || isLost(row)) && (!layer || row.node === layer));
    status.textContent = count === report.rows.length ? "" : `${count} of ${plural(report.rows.length, "fault")} shown`;
  };
  const step = (by) => {
    const ids = chain.buttons().map((button) => button.dataset.row);
    const next = ids[ids.indexOf(address.read().open) + by];
    if (!next) return;
    address.write({ open: next });
    follow();
  };
  const close = () => detail.close();
  let drawn;
  const follow = () => {
    const { open: id, show, layer } = address.read();
    const row = rows.get(id);
    pick.value = chain.byNode.has(layer) ? layer : "";
    for (const input of document.querySelectorAll("input[name=show]")) input.checked = input.value === (show || "all");
    sift();
    if (!row) return close();
    if (detail.open && row === drawn) return;
    drawn = row;
    detail.replaceChildren(...trial(row, chain.names.get(row.node) || row.node, report, close, step));
    if (!detail.open) detail.showModal();
    detail.scrollTop = 0;
    document.getElementById("detail-title").focus();
  };
  detail.addEventListener("close", () => {
    // The address may have opened another one since.
    if (detail.open) return;
    chain.buttons().find((button) => button.dataset.row === drawn?.id)?.focus();
    address.write({ open: "" });
  });
  detail.addEventListener("click", (event) => event.target === detail && close());
  detail.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && !event.altKey && !event.metaKey && event.target.tagName !== "PRE") step(by);
  });
  const lost = report.rows.filter(isLost).length;
  const { stock = NOTHING, everylayer = NOTHING } = report.totals;
  document.title = `${report.target}: stock lost ${stock.lost} of ${stock.put}, everylayer ${everylayer.lost}`;
  fill(
    "main",
    el("section", { class: "totals", "aria-label": "totals" }, Object.keys(ARMS).map((arm) => total(report, arm))),
    report.findings.length
      ? el("section", { class: "findings" }, el("h2", {}, "Findings"), el("ul", {}, report.findings.map((one) => finding(one, chain))))
      : null,
    el(
      "section",
      { "aria-labelledby": "chain-title" },
      el("h2", { id: "chain-title" }, "The chain"),
      el("p", { class: "lead" }, "A request passes the layers downwards, its response upwards. Each mark is a fault put there: open it for its trace."),
      el("div", { class: "filters" }, choice("show", [["all", `all ${report.rows.length}`], ["lost", `lost ${lost}`]], asked.show || "all", (show) => change({ show: show === "all" ? "" : show })), pick, status),
      chain.element,
      el("p", { class: "key" }, Object.keys(MARKS).map((state) => el("span", {}, mark(state), ` ${STATES[state]}`))),
    ),
  );
  fill("foot", el("dl", {}, Object.entries(report.versions).map(([name, version]) => el("div", {}, el("dt", {}, name), el("dd", {}, version)))));
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
  follow();
}

function showTraces(file) {
  const list = new TraceList(file);
  const failed = file.traces.filter((trace) => trace.failed).length;
  const spans = file.traces.reduce((sum, trace) => sum + trace.spans.length, 0);
  masthead("show", file.name, [plural(file.traces.length, "trace"), plural(spans, "span"), `${failed.toLocaleString("en")} with an error`]);
  const status = el("p", { class: "count", role: "status" });
  const asked = address.read();
  const find = el("input", { type: "search", placeholder: "name, exception or trace id", "aria-label": "find", value: asked.find || "", input: () => change({ find: find.value }) });
  const sift = () => {
    const { show, find: text } = address.read();
    const count = list.filter(show === "failed", text || "");
    status.textContent = count === file.traces.length ? "" : `${count} of ${plural(file.traces.length, "trace")} shown`;
  };
  const change = (changes) => {
    address.write(changes);
    sift();
  };
  fill(
    "main",
    el(
      "section",
      { "aria-labelledby": "traces-title" },
      el("h2", { id: "traces-title" }, "Traces"),
      el("div", { class: "filters" }, choice("show", [["all", `all ${file.traces.length}`], ["failed", `with an error ${failed}`]], asked.show || "all", (show) => change({ show: show === "all" ? "" : show })), find, status),
      list.element,
    ),
  );
  sift();
  const follow = () => list.open(address.read().open);
  addEventListener("hashchange", follow);
  if (asked.open) follow();
  else list.rows[0].element.open = true;
}

if (view.view === "report") showReport(view);
else showTraces(view);
