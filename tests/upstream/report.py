"""The document: what ran, and what came out differently."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version

from .compare import count, failed_in_both
from .run import Pair
from .suites import DJANGO, Suite

INTRODUCTION = """\
# Upstream suites

The test suites of the frameworks, and of stock's instrumentations, from their source
distributions, each run twice: plain, and with everylayer switched on for every app that the suite
builds. Both arms have a tracer provider of the SDK, so that spans record. Written by

```console
$ python -m nox -s upstream
```

which fails if a test comes out differently for no reason listed here, if a reason listed here has
gone, or if everylayer counted a failure of its own. A test that differs for a reason not listed is
run once more, alone, in both arms.
"""

COLUMNS = (
    *("suite", "version", "tests", "passed plain", "passed with everylayer"),
    *("failed in both", "known differences", "other differences"),
)

SWITCHED = """\
## That it was on

Counted inside the suite's process with everylayer. It keeps a ledger of each request to an ASGI
app, and elsewhere of each one that fails; where no server span is active it makes one.
"""

COUNTED = (
    *("suite", "switched on by", "ledgers", "server spans of its own", "spans with errors"),
    *("error events", "failures of its own"),
)

FAILING = """\
## Failing in both arms

With these versions of each other, in one environment, with a tracer provider; everylayer has no
part in it.
"""

BY = {
    "asgi": "`EveryLayerMiddleware` within stock's",
    "django": "`EveryLayerDjangoInstrumentor`",
    "flask": "`EveryLayerFlaskInstrumentor`",
    "starlette": "`EveryLayerStarletteInstrumentor`",
    "werkzeug": "`EveryLayerMiddleware` around the app of each test client",
    "wsgi": "`EveryLayerMiddleware` within stock's",
}


def write(pairs: Sequence[Pair]) -> str:
    """Return the whole document."""
    python = ".".join(platform.python_version_tuple()[:2])
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("opentelemetry-sdk", "opentelemetry-instrumentation")
    )
    parts = [
        INTRODUCTION,
        f"Python {python}, {versions}.\n",
        _table(COLUMNS, map(_row, pairs)),
        SWITCHED,
        _table(COUNTED, map(_counts, pairs)),
        "## Known differences\n",
        *(_listed(p.suite.distribution, _known(p)) for p in pairs),
        FAILING,
        *(_listed(p.suite.distribution, _failing(p)) for p in pairs),
        "## Not run\n",
        "".join(_left_out([p.suite for p in pairs])),
    ]
    flaky = [f"- {p.suite.distribution}: `{test}`\n" for p in pairs for test in p.flaky]
    if flaky:
        parts += ["## Different once, the same when run alone\n", "".join(flaky)]
    return "\n".join(part for part in parts if part)


def _table(columns: Sequence[str], rows: Iterable[str]) -> str:
    rule = ["---", "---", *["---:"] * (len(columns) - 2)]
    return "".join([_cells(columns), f"|{'|'.join(rule)}|\n", *rows])


def _row(pair: Pair) -> str:
    plain, ours = pair.plain.results, pair.ours.results
    known = sum(d.test in pair.suite.known for d in pair.differing)
    cells = [
        pair.suite.distribution,
        pair.version,
        len(plain),
        count(plain, "passed"),
        count(ours, "passed"),
        len(failed_in_both(plain, ours)),
        known,
        len(pair.differing) - known,
    ]
    return _cells(cells)


def _counts(pair: Pair) -> str:
    counts = pair.ours.counts
    return _cells(
        [
            pair.suite.distribution,
            BY[pair.suite.switch],
            counts["ledgers"],
            counts["own_spans"],
            counts["error_spans"],
            counts["events"],
            sum(counts["own_failures"].values()),
        ]
    )


def _cells(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _known(pair: Pair) -> Iterator[str]:
    for difference in pair.differing:
        reason = pair.suite.known.get(difference.test, "no reason known")
        yield f"- `{difference.test}`: {reason}\n"


def _failing(pair: Pair) -> Iterator[str]:
    found = failed_in_both(pair.plain.results, pair.ours.results)
    for test, line in found.items():
        kind = line.rpartition(": ")[2] if line.startswith("tests/") else line.partition(":")[0]
        yield f"- `{test}`: {kind}\n"


def _listed(name: str, lines: Iterable[str]) -> str:
    text = "".join(lines)
    return f"### {name}\n\n{text}" if text else ""


def _left_out(suites: Iterable[Suite]) -> Iterator[str]:
    for suite in suites:
        if suite.runner == "django":
            yield f"- {suite.distribution}: all folders but {', '.join(f'`{n}`' for n in DJANGO)}\n"
        for test, reason in suite.left_out.items():
            yield f"- {suite.distribution}: `{test}`: {reason}\n"
