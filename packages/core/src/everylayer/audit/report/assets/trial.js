// One fault: what came of it with stock and with everylayer, next to each other.

const QUESTIONS = {
  event: "exception event",
  message: "message",
  stack: "stack",
  status: "span status",
  once: "exactly once",
  response: "same response",
  context: "inside the span",
};

function answered(answer) {
  const came = answer.status === null ? "no response" : `${answer.status}, ${plural(answer.size, "byte")}`;
  return answer.escaped ? [came, ", and ", el("code", {}, answer.escaped), " leaves the app"] : [came];
}

// A question is answered with no where everything is well if it could not be otherwise there.
function checklist(arm) {
  const known = Object.entries(QUESTIONS).filter(([name]) => arm.asked[name] !== null);
  return el(
    "ul",
    { class: "checks" },
    known.map(([name, title]) => {
      const yes = arm.asked[name];
      return el(
        "li",
        {},
        mark(yes ? "ok" : arm.state === "ok" ? "unreached" : "lost"),
        el("span", { class: "for-readers" }, yes ? "yes: " : "no: "),
        title,
      );
    }),
  );
}

function whereItRan(row, arm) {
  const visit = (arm.visits || []).find((one) => one.node === row.node && one.phase === row.phase);
  if (!visit) return null;
  const span = visit.span
    ? `inside span ${visit.span}${visit.recording ? "" : ", which records no more"}`
    : "under no span";
  return el("p", { class: "ran" }, `Put ${span}, in ${visit.thread || "a thread"}${visit.task ? `, ${visit.task}` : ""}.`);
}

function pane(row, name, noStock) {
  const arm = row.arms[name];
  const title = el("h3", {}, mark(arm.state), ARMS[name], el("span", { class: `verdict ${arm.state}` }, STATES[arm.state]));
  if (arm.state === "absent") {
    return el("section", { class: "pane", "aria-label": ARMS[name] }, title, el("p", {}, noStock || "Not tried."));
  }
  const traces = arm.traces || [];
  const told = [
    ...arm.why,
    ...(arm.ownFailures ? [`everylayer itself failed ${plural(arm.ownFailures, "time")}`] : []),
    ...(arm.leftover ? [`span ${arm.leftover} was still current after the request`] : []),
  ];
  return el(
    "section",
    { class: "pane", "aria-label": ARMS[name] },
    title,
    told.length ? el("ul", { class: "why" }, told.map((clause) => el("li", {}, clause))) : null,
    checklist(arm),
    arm.answer ? el("p", { class: "ran" }, "Response: ", answered(arm.answer), ".") : null,
    whereItRan(row, arm),
    traces.map((trace) => [el("p", { class: "trace-id" }, "trace ", el("code", {}, trace.id)), waterfall(trace.spans)]),
    traces.length ? null : el("p", { class: "quiet" }, "No span was exported."),
  );
}

// The dialog of a trial; `step` opens the one that is shown before or after it.
function trial(row, name, report, close, step) {
  return [
    el(
      "header",
      { class: "detail-head" },
      el("h2", { id: "detail-title", tabindex: "-1" }, el("span", {}, name), el("span", { class: "at" }, ` ${row.phase} · ${columnOf(row)}`)),
      el(
        "nav",
        { "aria-label": "faults" },
        el("button", { type: "button", "aria-label": "previous fault", title: "previous (←)", click: () => step(-1) }, "←"),
        el("button", { type: "button", "aria-label": "next fault", title: "next (→)", click: () => step(1) }, "→"),
        el("button", { type: "button", "aria-label": "close", title: "close (Esc)", click: close }, "✕"),
      ),
      el("p", {}, `${WHAT[columnOf(row)]}, ${WHEN[row.phase]}. Without telemetry: `, answered(row.bare), "."),
    ),
    el("div", { class: "panes" }, Object.keys(ARMS).map((arm) => pane(row, arm, report.noStock))),
  ];
}
