"""The document: a section for each framework, with a line for each combination of versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from .axes import FRAMEWORKS
from .run import Result

INTRODUCTION = """\
# Versions

Every supported version beside every other one, by pairs: each version of a framework meets each
Python and each OpenTelemetry, where they go together, in at least one environment; Starlette's and
FastAPI's versions meet each other as well. Besides, each framework's package with the oldest
versions that it declares (`lowest`), and the newest of everything in one environment, with all of
our packages (`together`). Written by

```console
$ python -m nox -s matrix
```

(`-- aiohttp` brings that section alone up to date), which fails if everylayer loses an error,
records one for nothing or changes a response in any of them. In each environment our packages are
installed as wheels, and every case of the framework's table under `tests` is served bare, with
stock instrumentation, and with stock and everylayer; hostile exceptions, which stock does not
survive, are left to the test suite. An error counts as lost unless it is on the server span, or on
a late child of it, exactly once, with type, message and stack, and the span has the right status;
for everylayer, its own attributes have to be right too. Stock loses all of Litestar's, which
answers them before they come to it, and all of gRPC's: those that it records are there twice, or
without their message. Of sentry-sdk it is told whether one event of the error reaches Sentry: by
the integrations of its own, and with everylayer, which then has to name the layer and link both
ways.
"""

TITLES = {
    "django": "Django",
    "flask": "Flask",
    "starlette": "Starlette",
    "aiohttp": "aiohttp",
    "litestar": "Litestar",
    "grpc": "gRPC",
    "sentry": "sentry-sdk",
}
# What is installed for each: the columns beside Python and OpenTelemetry.
SHOWN = {
    "django": {"Django": "django"},
    "flask": {"Flask": "flask", "Werkzeug": "werkzeug"},
    "starlette": {"Starlette": "starlette", "FastAPI": "fastapi"},
    "aiohttp": {"aiohttp": "aiohttp"},
    "litestar": {"Litestar": "litestar"},
    "grpc": {"gRPC": "grpcio"},
    "sentry": {"sentry-sdk": "sentry-sdk"},
}
OPENTELEMETRY = {"SDK": "opentelemetry-sdk", "contrib": "opentelemetry-instrumentation"}
COUNTS = {
    "everylayer lost": ("ours_lost", "unwanted"),
    "responses changed": ("changed",),
    "patches left out": ("warnings",),
}
HEAD = "| | environments | errors | stock lost | everylayer lost |\n|---|---:|---:|---:|---:|\n"
_NOT_RUN = "Not run"


def update(old: str, framework: str, results: Sequence[Result], absent: Sequence[str]) -> str:
    """Return the document with the section of `framework` made anew, the others as they were.

    Args:
        old: the document so far; empty if there is none.
        framework: whose rows were run.
        results: what became of them.
        absent: supported Pythons that were not there.
    """
    sections = dict(_sections(old))
    totals = dict(_totals(old))
    title = TITLES[framework]
    there = [result for result in results if not result.reason]
    sections[title] = "".join(_section(framework, there, results))
    totals[title] = _total(title, there)
    kept = [title for title in map(TITLES.__getitem__, FRAMEWORKS) if title in sections]
    parts = [INTRODUCTION, HEAD + "".join(totals[title] for title in kept)]
    parts += [f"## {title}\n\n{sections[title]}" for title in kept]
    if absent:
        lines = [f"- Python {version}: no interpreter\n" for version in absent]
        parts.append(f"## {_NOT_RUN}\n\n{''.join(lines)}")
    return "\n".join(parts)


def _sections(document: str) -> Iterator[tuple[str, str]]:
    """Yield title and text of each section."""
    for part in re.split(r"^## ", document, flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n\n")
        yield title, text.rstrip("\n") + "\n"


def _totals(document: str) -> Iterator[tuple[str, str]]:
    """Yield each framework's title and line of the first table."""
    lines = document.partition(HEAD)[2].partition("\n\n")[0].splitlines()
    yield from ((line.split("|")[1].strip(), f"{line}\n") for line in lines)


def _total(title: str, results: Sequence[Result]) -> str:
    errors, stock, ours = (
        sum(result.count(key) for result in results)
        for key in ("failing", "stock_lost", "ours_lost")
    )
    share = f" ({stock / errors:.1%})" if errors else ""
    return f"| {title} | {len(results)} | {errors:,} | {stock:,}{share} | {ours:,} |\n"


def _section(framework: str, there: Sequence[Result], results: Sequence[Result]) -> Iterator[str]:
    shown = {**SHOWN[framework], **OPENTELEMETRY}
    numbers = ["stock lost", *COUNTS]
    yield _line(["row", "Python", *shown, *numbers])
    yield _line(["---"] * (2 + len(shown)) + ["---:"] * len(numbers))
    for result in there:
        versions = result.found.get("versions", {})
        cells = [versions.get(name, "-") for name in shown.values()]
        yield _line([result.row.name, result.row.python, *cells, *_counts(result)])
    yield from _listed("What went wrong", (line for r in there for line in r.complaints()))
    said = {
        warning: str(result) for result in there for warning in result.found.get("warnings", ())
    }
    yield from _listed("Patches left out", (f"{what} ({where})" for what, where in said.items()))
    missing = (f"{result}: {result.reason}" for result in results if result.reason)
    yield from _listed(_NOT_RUN, missing)


def _counts(result: Result) -> Iterator[str]:
    if result.broken:
        yield from ["broken"] * (1 + len(COUNTS))
        return
    yield f"{result.count('stock_lost')} of {result.count('failing')}"
    for keys in COUNTS.values():
        yield str(result.count(*keys))


def _listed(title: str, lines: Iterable[str]) -> Iterator[str]:
    items = [f"- {' '.join(line.split())}\n" for line in lines]
    if items:
        yield from (f"\n### {title}\n\n", *items)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
