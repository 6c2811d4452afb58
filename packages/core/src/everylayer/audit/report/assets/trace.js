// A trace as a waterfall: its spans in time, what each carries, and the exceptions on it.

const EXCEPTION = "exception";
// Above it, a span's details are built when they are opened.
const EAGER_SPANS = 200;

function isException(event) {
  return event.name === EXCEPTION;
}

function attributeList(attributes, without) {
  const entries = Object.entries(attributes).filter(([name]) => !without.includes(name));
  if (!entries.length) return null;
  return el(
    "dl",
    { class: "attributes" },
    entries
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [el("dt", {}, name), el("dd", {}, shown(value))]),
  );
}

function eventCard(event) {
  const { attributes } = event;
  if (!isException(event)) {
    return el(
      "div",
      { class: "event" },
      el("p", { class: "event-name" }, event.name, el("time", {}, ` at ${duration(event.at)}`)),
      attributeList(attributes, []),
    );
  }
  const stack = attributes["exception.stacktrace"];
  const handled = attributes["everylayer.handled"] === true;
  return el(
    "div",
    { class: "event exception" },
    el(
      "p",
      { class: "event-name" },
      el("strong", {}, shown(attributes["exception.type"] ?? "exception")),
      handled ? el("span", { class: "tag" }, "handled") : null,
      el("time", {}, ` at ${duration(event.at)}`),
    ),
    el("p", { class: "message" }, shown(attributes["exception.message"] ?? "")),
    stack ? el("pre", { tabindex: "0", "aria-label": "stack trace" }, shown(stack)) : null,
    attributeList(attributes, ["exception.type", "exception.message", "exception.stacktrace"]),
  );
}

function spanDetails(span) {
  const told = span.events.some((event) => event.attributes["exception.message"] === span.description);
  const body = [
    span.description && !told ? el("p", { class: "description" }, span.description) : null,
    span.events.map(eventCard),
    attributeList(span.attributes, []),
  ];
  return body.some((part) => part && (!Array.isArray(part) || part.length))
    ? body
    : [el("p", { class: "quiet" }, "No events, no attributes.")];
}

function spanRow(span, whole, lazily) {
  const failed = span.status === "ERROR" || span.events.some(isException);
  const width = span.lasts === null ? whole - span.at : span.lasts;
  const percent = (micros) => `${Math.min(100, Math.max(0, (100 * micros) / whole))}%`;
  const bar = el(
    "span",
    { class: "track", "aria-hidden": "true" },
    el("i", { class: `bar ${span.status.toLowerCase()}`, "--at": percent(span.at), "--for": percent(width) }),
    span.events.map((event) =>
      el("i", { class: isException(event) ? "tick failing" : "tick", "--at": percent(event.at) }),
    ),
  );
  const status =
    span.status === "UNSET" ? null : el("span", { class: `badge ${span.status.toLowerCase()}` }, span.status);
  const raised = span.events.filter(isException).length;
  const row = el(
    "details",
    { class: "span", open: raised > 0 && !lazily, "--depth": span.depth },
    el(
      "summary",
      {},
      el(
        "span",
        { class: "span-name" },
        span.name || "(no name)",
        " ",
        el("span", { class: "kind" }, span.kind.toLowerCase()),
        status ? [" ", status] : null,
        raised ? [" ", el("span", { class: "raised" }, `! ${plural(raised, "exception")}`)] : null,
      ),
      bar,
      el("span", { class: "lasts" }, duration(span.lasts)),
    ),
  );
  const fill = () => {
    if (row.childElementCount === 1) {
      row.append(el("div", { class: "span-body" }, spanDetails(span)));
    }
  };
  if (lazily) row.addEventListener("toggle", fill);
  else fill();
  return el("li", { class: failed ? "failed" : null }, row);
}

function waterfall(spans) {
  const whole = Math.max(1, ...spans.map((span) => span.at + (span.lasts ?? 0)));
  const lazily = spans.length > EAGER_SPANS;
  return el("ol", { class: "waterfall" }, spans.map((span) => spanRow(span, whole, lazily)));
}
