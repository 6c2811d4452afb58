"""The text of a stack: `everylayer.stacktrace.render` against `traceback.format_exception`.

    python benchmarks/renderer.py [--rounds N] [--json FILE]

Both arms render the same exception in turn, round by round, and CPU time is counted: a row shows
the medians, and the spread of the ratios that the rounds gave. Needs nothing but everylayer.
"""

from __future__ import annotations

import argparse
import gc
import json
import linecache
import platform
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from everylayer import stacktrace
from everylayer.rendering.frames import FrameCache

BUDGET = 1 << 20
# Seconds below which a measurement is repeated.
SHORTEST = 0.004
# Each frame of the measured stacks takes one of these forms, in turn.
FORMS = (
    "    return {next}(request, options)\n",
    "    response = {next}(request, options=options)\n    return response\n",
    "    with request:\n        return [{next}(request, options) for _ in (1,)][0]\n",
    "    return {next}(\n        request,\n        options or [],\n    )\n",
    "    found = options is None or {next}(request, options) + 1\n    return found\n",
)
PREAMBLE = (
    "class Request:\n    def __enter__(self): return self\n    def __exit__(self, *_): pass\n"
)


@dataclass(frozen=True)
class Row:
    """One line of the table; times are microseconds an exception.

    Attributes:
        case: what is rendered.
        frames: of the traceback.
        stock: median of `traceback.format_exception`.
        ours: median of `render`.
        times: median of stock / ours over the rounds.
        low: the tenth part of the rounds is below.
        high: the tenth part is above.
    """

    case: str
    frames: int
    stock: float
    ours: float
    times: float
    low: float
    high: float


Renderer = Callable[[BaseException], str]
Arms = tuple[Callable[[], float], Callable[[], float]]


def by_library(exc: BaseException) -> str:
    """Render as the OpenTelemetry SDK does."""
    return "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))


def by_us(exc: BaseException) -> str:
    """Render with the cached renderer."""
    return stacktrace.render(exc, max_bytes=BUDGET)


class Sources:
    """Modules written to files: the standard library must find their lines."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._count = 0

    def write(self, text: str, suffix: str = ".py") -> tuple[str, str]:
        """Return `text` with its preamble, and the path of its file."""
        self._count += 1
        path = self._folder / f"source_{self._count}{suffix}"
        text = PREAMBLE + text
        path.write_text(text)
        return text, str(path)

    def stack(self, depth: int, last: str = "raise ValueError('x')") -> BaseException:
        """Return an exception that `depth` different functions of a module let through."""
        return raised(*self.write(functions("f", depth - 1, last)), "f0")


def functions(prefix: str, count: int, last: str) -> str:
    """Return the source of `count` functions, each calling the next; the last runs `last`."""
    parts = [
        f"def {prefix}{n}(request, options):\n"
        + FORMS[n % len(FORMS)].format(next=f"{prefix}{n + 1}")
        for n in range(count - 1)
    ]
    return "".join([*parts, f"def {prefix}{count - 1}(request, options):\n    {last}\n"])


def raised(source: str, path: str, entry: str) -> BaseException:
    """Compile `source` anew, call `entry` and return what it raises."""
    names: dict[str, Any] = {"__name__": "measured"}
    exec(compile(source, path, "exec"), names)
    return caught(names[entry], names["Request"]())


def caught(function: Callable[..., object], request: object) -> BaseException:
    """Call `function` and return what it raises."""
    try:
        function(request, None)
    except Exception as exc:
        return exc
    raise AssertionError("nothing raised")


def depth_of(exc: BaseException) -> int:
    """Return how many frames its traceback has."""
    return sum(1 for _ in traceback.walk_tb(exc.__traceback__))


# --- arms: what one round of a case measures ---


def repeated(render: Renderer, excs: list[BaseException]) -> float:
    """Return seconds of CPU an exception."""
    clock = time.thread_time
    passes = 1
    while True:
        start = clock()
        for _ in range(passes):
            for exc in excs:
                render(exc)
        spent = clock() - start
        if spent >= SHORTEST:
            return spent / passes / len(excs)
        passes *= 2


def warm(excs: list[BaseException]) -> Arms:
    """Frames that were rendered before."""
    return lambda: repeated(by_library, excs), lambda: repeated(by_us, excs)


def cold(exc: BaseException) -> Arms:
    """Frames never met; the source files were read before."""

    def measured(render: Renderer) -> float:
        clock = time.thread_time
        spent = 0.0
        passes = 0
        while spent < SHORTEST:
            stacktrace._frames.clear()
            start = clock()
            render(exc)
            spent += clock() - start
            passes += 1
        return spent / passes

    return lambda: measured(by_library), lambda: measured(by_us)


def anew(make: Callable[[], BaseException]) -> Arms:
    """Each exception comes from code objects of its own."""

    def measured(render: Renderer) -> float:
        excs = [make() for _ in range(8)]
        clock = time.thread_time
        start = clock()
        for exc in excs:
            render(exc)
        return (clock() - start) / len(excs)

    return lambda: measured(by_library), lambda: measured(by_us)


# --- cases ---


def cases(sources: Sources) -> Iterator[tuple[str, int, int, Arms]]:
    """Yield name, number of frames, size of the cache and arms of each case."""
    usual = 16384
    for depth in (8, 40, 120):
        yield "warm", depth, usual, warm([sources.stack(depth)])
    for depth in (8, 40, 120):
        yield "cold", depth, usual, cold(sources.stack(depth))
    yield "480 paths in rotation, 5 of 20 their own", 20, usual, warm(rotation(sources, 5))
    yield "480 paths in rotation, 17 of 20 their own", 20, usual, warm(rotation(sources, 17))
    yield "the same, cache of 512 frames", 20, 512, warm(rotation(sources, 17))
    yield "one path, cache of 16 frames", 40, 16, warm([sources.stack(40)])
    misspelt = {
        "NameError with suggestion": "return optoins",
        "AttributeError with suggestion": "return 'text'.uper()",
        "ImportError with suggestion": "from collections import OrderedDictt",
    }
    for name, last in misspelt.items():
        yield name, 40, usual, warm([sources.stack(40, last)])
    yield "KeyError", 40, usual, warm([sources.stack(40, "return {}['key']")])
    yield "SyntaxError", 40, usual, warm([sources.stack(40, "compile('a b', 'f', 'exec')")])
    yield "chain of three", 3 * 40, usual, warm([chain(sources)])
    if sys.version_info >= (3, 11):
        yield "group of five", 6 * 20, usual, warm([group(sources)])
    yield "recursion, folded", 500, usual, warm([recursion(sources)])
    yield "new code each time, all frames", 40, usual, anew(new_stack(sources))
    yield "new code each time, 2 frames (template)", 40, usual, anew(template(sources))


def rotation(sources: Sources, own: int) -> list[BaseException]:
    """Return exceptions of 480 paths through an app, of 20 frames, `own` of them of one path."""
    # One frame is the caller's, one that of `enter`.
    shared = 18 - own
    text = "".join(functions(f"p{n}_", own, "raise ValueError('x')") for n in range(480))
    text += functions("s", shared, "return options(request, None)")
    text, path = sources.write(text)
    names: dict[str, Any] = {"__name__": "measured"}
    exec(compile(text, path, "exec"), names)

    def enter(way: Callable[..., object]) -> Callable[..., object]:
        return lambda request, _: names["s0"](request, way)

    return [caught(enter(names[f"p{n}_0"]), names["Request"]()) for n in range(480)]


def chain(sources: Sources) -> BaseException:
    """Return an exception with a cause that has a context."""
    first, second, third = (sources.stack(40) for _ in range(3))
    second.__context__ = first
    third.__cause__ = second
    return third


def group(sources: Sources) -> BaseException:
    """Return a raised group of five exceptions."""
    members = [sources.stack(20) for _ in range(5)]
    outer = ExceptionGroup("five", [each for each in members if isinstance(each, Exception)])
    return outer.with_traceback(sources.stack(20).__traceback__)


def recursion(sources: Sources) -> BaseException:
    """Return an exception of one function that called itself 500 times."""
    source = "def f0(left, _):\n    return f0(left - 1, _) if left else {}['key']\n"
    text, path = sources.write(source)
    names: dict[str, Any] = {"__name__": "measured"}
    exec(compile(text, path, "exec"), names)
    return caught(names["f0"], 498)


def new_stack(sources: Sources) -> Callable[[], BaseException]:
    """Return what raises from a page of templates that is compiled each time."""
    text, path = sources.write(functions("f", 39, "raise ValueError('x')"), ".html")
    return lambda: raised(text, path, "f0")


def template(sources: Sources) -> Callable[[], BaseException]:
    """Return what raises in a page that is compiled each time, under an app that is not."""
    text, path = sources.write(functions("f", 37, "return request.render(request, None)"))
    names: dict[str, Any] = {"__name__": "measured"}
    exec(compile(text, path, "exec"), names)
    page = functions("t", 2, "raise ValueError('x')")
    linecache.cache["page.html"] = (len(page), None, page.splitlines(True), "page.html")

    def make() -> BaseException:
        made: dict[str, Any] = {"__name__": "page"}
        exec(compile(page, "page.html", "exec"), made)
        request = names["Request"]()
        request.render = made["t0"]
        return caught(names["f0"], request)

    return make


# --- measuring ---


def measure(rounds: int = 15) -> Iterator[Row]:
    """Yield the rows of the table, each measured in `rounds` interleaved rounds."""
    frames = stacktrace._frames
    with tempfile.TemporaryDirectory() as folder:
        try:
            for case, depth, arms in prepared(Sources(folder)):
                yield row(case, depth, arms, rounds)
        finally:
            stacktrace._frames = frames


def prepared(sources: Sources) -> Iterator[tuple[str, int, Arms]]:
    """Yield the cases, each with a cache of its own that is warm."""
    for case, depth, size, arms in cases(sources):
        stacktrace._frames = FrameCache(size)
        # The first errors of a process, so to say: not counted.
        arms[1]()
        yield case, depth, arms


def row(case: str, depth: int, arms: Arms, rounds: int) -> Row:
    """Measure one case."""
    gc.collect()
    pairs = [(arms[0](), arms[1]()) for _ in range(rounds)]
    ratios = sorted(stock / ours for stock, ours in pairs)
    tenth = len(ratios) // 10
    return Row(
        case,
        depth,
        statistics.median(stock for stock, _ in pairs) * 1e6,
        statistics.median(ours for _, ours in pairs) * 1e6,
        statistics.median(ratios),
        ratios[tenth],
        ratios[-1 - tenth],
    )


def main() -> None:
    """Print the table; with --json write it to a file as well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}")
    print(f"{' '.join(sys.argv)}, {options.rounds} rounds, microseconds an exception\n")
    print(f"{'case':48} {'frames':>6} {'stock':>9} {'ours':>8} {'stock/ours':>10}  10..90 %")
    rows = []
    for each in measure(options.rounds):
        rows.append(each)
        print(
            f"{each.case:48} {each.frames:6} {each.stock:9.1f} {each.ours:8.1f}"
            f" {each.times:9.2f}x  {each.low:.2f}..{each.high:.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in rows], indent=1))


if __name__ == "__main__":
    main()
