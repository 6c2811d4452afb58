// The traces of a saved file, errors first; a trace is drawn when it is opened.

function traceRow(trace) {
  const [root] = trace.spans;
  const when = Number(trace.started) ? new Date(Number(trace.started.slice(0, -6))) : null;
  const row = el(
    "details",
    { class: "trace", "data-trace": trace.id },
    el(
      "summary",
      {},
      mark(trace.failed ? "lost" : "ok"),
      el("span", { class: "for-readers" }, trace.failed ? "failed: " : "no error: "),
      el("span", { class: "trace-name" }, root.name || "(no name)"),
      el("span", { class: "trace-errors" }, trace.errors.join(", ")),
      el("span", { class: "lasts" }, `${plural(trace.spans.length, "span")} · ${duration(trace.lasts)}`),
    ),
  );
  row.addEventListener("toggle", () => {
    if (row.open && row.childElementCount === 1) {
      const began = when && !Number.isNaN(when.valueOf()) ? ` · ${when.toISOString()}` : "";
      row.append(el("p", { class: "trace-id" }, "trace ", el("code", {}, trace.id), began), waterfall(trace.spans));
    }
  });
  return row;
}

function words(trace) {
  return [trace.id, ...trace.errors, ...trace.spans.map((span) => span.name)].join("\n").toLowerCase();
}

class TraceList {
  constructor(view) {
    this.rows = view.traces.map((trace) => ({ trace, text: words(trace), element: traceRow(trace) }));
    this.element = el("div", { class: "traces" }, this.rows.map((row) => row.element));
  }

  filter(onlyFailed, text) {
    let count = 0;
    for (const row of this.rows) {
      const wanted = (!onlyFailed || row.trace.failed) && row.text.includes(text.toLowerCase());
      row.element.hidden = !wanted;
      count += wanted;
    }
    return count;
  }

  open(id) {
    const row = this.rows.find((one) => one.trace.id === id);
    if (!row) return;
    row.element.open = true;
    row.element.scrollIntoView({ block: "start" });
  }
}
