"""The document: a line for each combination of versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .axes import FRAMEWORKS
from .run import Result

INTRODUCTION = """\
# Versions

Every supported version beside every other one, by pairs: each version of one column meets each
version of every other column, where they go together, in at least one environment. Besides, each
framework package alone with the oldest versions that it declares, and the newest of all. Written by

```console
$ python -m nox -s matrix
```

which fails if everylayer loses an error, records one for nothing or changes a response in any of
them. In each environment our packages are installed as wheels, and every case of the tables under
`tests/django`, `tests/flask`, `tests/starlette`, `tests/aiohttp` and `tests/litestar` is served
bare, with stock instrumentation, and with stock and everylayer; hostile exceptions, which stock
does not survive, are left to the test suite. An error counts as lost unless it is on the server
span, or on a late child of it, exactly once, with type, message and stack, and the span has the
right status; for everylayer, its own attributes have to be right too. A version without a number of
its own (`-`) is not installed.
"""

PACKAGES = {
    "Django": "django",
    "Flask": "flask",
    "Werkzeug": "werkzeug",
    "Starlette": "starlette",
    "FastAPI": "fastapi",
    "aiohttp": "aiohttp",
    "Litestar": "litestar",
    "SDK": "opentelemetry-sdk",
    "contrib": "opentelemetry-instrumentation",
}
TITLES = {distribution: title for title, distribution in PACKAGES.items()}
COUNTS = {
    "everylayer lost": ("ours_lost", "unwanted"),
    "responses changed": ("changed",),
    "patches left out": ("warnings",),
}


def write(results: Sequence[Result], absent: Sequence[str]) -> str:
    """Return the document; `absent` are supported Pythons that were not there."""
    there = [result for result in results if not result.reason]
    missing = [result for result in results if result.reason]
    parts = [INTRODUCTION, _summary(there), "".join(_table(there))]
    parts += ["".join(_problems(there)), "".join(_warnings(there))]
    parts += ["".join(_not_run(missing, absent))]
    return "\n".join(part for part in parts if part)


def _summary(results: Sequence[Result]) -> str:
    lines = []
    for framework in FRAMEWORKS:
        found = [r for r in results if framework in r.found]
        errors, stock, ours = (
            sum(r.count(framework, key) for r in found)
            for key in ("failing", "stock_lost", "ours_lost")
        )
        if errors:
            lines.append(
                f"| {TITLES[framework]} | {len(found)} | {errors:,} | {stock:,} "
                f"({stock / errors:.1%}) | {ours:,} |\n"
            )
    head = "| | environments | errors | stock lost | everylayer lost |\n|---|---:|---:|---:|---:|\n"
    return head + "".join(lines)


def _table(results: Iterable[Result]) -> Iterator[str]:
    lost = [f"stock lost, {TITLES[framework]}" for framework in FRAMEWORKS]
    columns = ["row", "Python", *PACKAGES, *lost, *COUNTS]
    yield _line(columns)
    yield _line(["---"] * (2 + len(PACKAGES)) + ["---:"] * (len(lost) + len(COUNTS)))
    for result in results:
        yield _line([result.row.name, *_versions(result), *_lost(result), *_counts(result)])


def _versions(result: Result) -> Iterator[str]:
    yield result.row.python
    for name in PACKAGES.values():
        yield result.versions.get(name, "-")


def _lost(result: Result) -> Iterator[str]:
    for framework in FRAMEWORKS:
        if framework in result.found:
            lost, of = (result.count(framework, key) for key in ("stock_lost", "failing"))
            yield f"{lost} of {of}"
        else:
            yield "broken" if framework in result.broken else "-"


def _counts(result: Result) -> Iterator[str]:
    for keys in COUNTS.values():
        yield str(sum(result.count(framework, key) for framework in result.found for key in keys))


def _problems(results: Iterable[Result]) -> Iterator[str]:
    lines = [line for result in results for line in result.complaints()]
    if lines:
        yield "## What went wrong\n\n"
        yield from (f"- {' '.join(line.split())}\n" for line in lines)


def _warnings(results: Iterable[Result]) -> Iterator[str]:
    said = {
        warning: str(result)
        for result in results
        for found in result.found.values()
        for warning in found["warnings"]
    }
    if said:
        yield "## Patches left out\n\n"
        yield from (f"- {warning} ({where})\n" for warning, where in said.items())


def _not_run(results: Iterable[Result], absent: Iterable[str]) -> Iterator[str]:
    lines = [f"- Python {version}: no interpreter\n" for version in absent]
    lines += [f"- {result}: {' '.join(result.reason.split())}\n" for result in results]
    if lines:
        yield "## Not run\n\n"
        yield from lines


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
