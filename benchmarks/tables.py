"""Each table of the document."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import aims
from . import instructions as counting
from .arms import ARMS, LABELS, Arm
from .cpu import KINDS, OURS, RATES
from .data import Run
from .document import Block, Table, Text
from .latency import SERVERS, THREADS
from .load import CONNECTIONS
from .results import Key, Spread, spread
from .spec import FRAMEWORKS, NAMES, Framework

KIND_NAMES = {
    "own": "480 paths, all 20 frames their own",
    "mixed": "480 paths, 14 of 20 frames shared",
    "name": "NameError",
    "attribute": "AttributeError",
    "template": "in a Jinja2 template",
}


def setting(meta: Mapping[str, Any]) -> str:
    """Return the command, versions and load of the run in one paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items())
    load = ", ".join(f"{value:.1f}" for value in meta["load"])
    return (
        f"`{meta['command']}`: {meta['python']} on {meta['system']} with {meta['cores']} cores; "
        f"{versions}. Load average before each part: {load or 'unknown'}."
    )


def us_and_ratio(run: Run, key: Key) -> str:
    """Return the CPU of a request and its ratio to stock."""
    us = f"{run.requests.cpu_us(key).median:,.0f}"
    stock = key.of("stock")
    if key.arm == "stock" or stock not in run.requests:
        return us
    return f"{us} ({run.requests.ratio(key, stock).median:.2f})"


def bracketed(values: Spread, digits: int = 3) -> str:
    """Return a median with its quartiles."""
    return f"{values.median:.{digits}f} [{values.low:.{digits}f}-{values.high:.{digits}f}]"


def _present(run: Run, framework: Framework) -> list[Arm]:
    return [arm for arm in ARMS if Key(framework, arm) in run.requests]


def cpu(run: Run, framework: Framework) -> Table:
    """Return CPU a request by arm and share of errors."""
    rates = [r for r in (*RATES, 1.0) if Key(framework, "stock", r) in run.requests]
    rows = [
        [
            LABELS[arm],
            *(us_and_ratio(run, Key(framework, arm, rate)) for rate in rates),
            _happy_ratio(run, framework, arm),
        ]
        for arm in _present(run, framework)
    ]
    return Table(["arm", *(f"{rate:.0%}" for rate in rates), "ratio at 0 %, quartiles"], rows)


def _happy_ratio(run: Run, framework: Framework, arm: Arm) -> str:
    key = Key(framework, arm)
    if arm == "stock":
        return "1"
    return bracketed(run.requests.ratio(key, key.of("stock")))


def throughput(run: Run, framework: Framework) -> Table:
    """Return requests a second by arm and share of errors."""
    rates = [r for r in (*RATES, 1.0) if Key(framework, "stock", r) in run.requests]
    rows = [
        [
            LABELS[arm],
            *(f"{run.requests.throughput(Key(framework, arm, r)).median:,.0f}" for r in rates),
        ]
        for arm in _present(run, framework)
    ]
    return Table(["arm", *(f"{rate:.0%}" for rate in rates)], rows)


def places(run: Run, framework: Framework) -> Table:
    """Return CPU and events of an error in the view and of one in a layer."""
    events = {
        (row["arm"], row["case"]): row["events"]
        for row in run.recorded
        if row["framework"] == framework
    }
    rows = []
    for arm in _present(run, framework):
        cells = [LABELS[arm]]
        for case in ("deep", "layer"):
            found = events.get((arm, case))
            cells.append(us_and_ratio(run, Key(framework, arm, 1.0, case)))
            cells.append("" if found is None else str(found))
        rows.append(cells)
    return Table(["arm", "in the view, µs", "events", "in a layer, µs", "events"], rows)


def attenuation(run: Run) -> Table:
    """Return the fitted model of each arm."""
    rows = []
    for framework in run.frameworks():
        for arm, fit in aims.fits(run, framework).items():
            rows.append(
                [
                    f"{NAMES[framework]}, {LABELS[arm]}",
                    f"{fit.t_ok:,.0f}",
                    f"{fit.t_err:,.0f}",
                    f"{fit.t_err / fit.t_ok:.2f}",
                    f"{fit.lost(0.2):.0%}",
                    f"{aims.lost(run, framework, arm):.0%}",
                    f"{fit.worst:.0%}",
                ]
            )
    titles = ["", "t_ok, µs", "t_err, µs", "t_err / t_ok", "lost at 20 %, model", "measured"]
    return Table([*titles, "worst point off by"], rows)


def kinds(run: Run) -> Table:
    """Return CPU of requests that fail in further ways."""
    rows = []
    for framework in run.frameworks():
        for kind in KINDS:
            key = Key(framework, "everylayer", 1.0, kind)
            if key in run.requests:
                rows.append(
                    [
                        f"{NAMES[framework]}: {KIND_NAMES[kind]}",
                        *(f"{run.requests.cpu_us(key.of(arm)).median:,.0f}" for arm in OURS),
                        bracketed(run.requests.ratio(key, key.of("stock"))),
                    ]
                )
    return Table(["", *(f"{LABELS[arm]}, µs" for arm in OURS), "ratio"], rows)


def growth(run: Run, counts: Sequence[int]) -> Table:
    """Return CPU by number of layers."""
    rows = []
    for framework in run.frameworks():
        for rate in (0.0, 1.0):
            for arm in OURS:
                keys = [Key(framework, arm, rate, "growth", count) for count in counts]
                if any(key in run.requests for key in keys):
                    what = "every request fails" if rate else "no error"
                    cells = [us_and_ratio(run, k) if k in run.requests else "" for k in keys]
                    rows.append([f"{NAMES[framework]}, {what}, {arm}", *cells])
    return Table(["layers", *map(str, counts)], rows)


_COUNTED = (
    ("ok", "no error"),
    ("catching", "no error, a `try` in each layer"),
    ("deep", "error at 20 frames"),
)


def instructions(run: Run) -> Iterator[Block]:
    """Yield instructions a request, or why there are none."""
    if run.missing:
        yield Text(run.missing)
        return
    found = {(r["framework"], r["arm"], r["case"]): r["count"] for r in run.instructions}
    rows = []
    for framework in FRAMEWORKS:
        for case, name in _COUNTED:
            counts = [found.get((framework, arm, case)) for arm in OURS]
            if all(counts):
                stock, ours = found[framework, "stock", case], found[framework, "everylayer", case]
                cells = [f"{count / 1000:,.0f}" for count in counts if count]
                rows.append(
                    [f"{NAMES[framework]}, {name}", *cells, f"{ours / stock:.4f}"],
                )
    yield Text(
        f"Thousands of instructions a request, counted by {counting.TOOL}: whatever else runs, "
        "they stay the same. They are not time: caches, branches and the garbage collector are "
        "left out."
    )
    yield Table(["", *(LABELS[arm] for arm in OURS), "everylayer / stock"], rows)


def instruction_ratio(run: Run, framework: Framework) -> aims.Verdict:
    """Return instructions of a request that works, to stock's."""
    found = {
        row["arm"]: row["count"]
        for row in run.instructions
        if (row["framework"], row["case"]) == (framework, "ok")
    }
    ratio = found["everylayer"] / found["stock"]
    return aims.Verdict(f"{ratio:.4f}", ratio <= aims.HAPPY)


def latency(run: Run) -> Iterator[Block]:
    """Yield percentiles of latency under load."""
    yield Text(
        f"One server process ({THREADS} threads under gunicorn), {CONNECTIONS} connections, each "
        "sending its next request as soon as it has the answer, over loopback from a client on the "
        "same machine; servers take turns. After each 5xx the client connects anew, as uvicorn "
        "hangs up on it. Median over turns, in milliseconds. A handler that works computes for "
        "5 ms."
    )
    rows = []
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in run.latency:
        group = (row["framework"], row["work_ms"], row["rate"], row["arm"])
        groups.setdefault(group, []).append(row)
    for framework in FRAMEWORKS:
        for work in (0.0, 5.0):
            for rate in (0.0, 0.2):
                for arm in ARMS:
                    found = groups.get((framework, work, rate, arm))
                    if found:
                        does = f"{work:.0f} ms of work" if work else "no work"
                        name = f"{NAMES[framework]} ({SERVERS[framework]})"
                        rows.append(
                            [f"{name}, {does}, {rate:.0%} errors, {arm}", *_percentiles(found)]
                        )
    yield Table(["", "p50", "p95", "p99", "p95, lowest-highest turn", "requests / s"], rows)


def _percentiles(found: Sequence[Mapping[str, Any]]) -> list[str]:
    def middle(name: str) -> float:
        return statistics.median(float(row[name]) for row in found)

    p95 = [row["p95_ms"] for row in found]
    return [
        *(f"{middle(name):.1f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
        f"{min(p95):.1f}-{max(p95):.1f}",
        f"{middle('per_second'):,.0f}",
    ]


def storms(run: Run) -> Iterator[Block]:
    """Yield what a storm leaves in memory, and what it drops."""
    yield Text(
        "Every request fails with a new exception. Memory is what tracemalloc counts after a "
        "collection; the growth is the slope over the second half. Alive are weak references to "
        "something in each exception, in its frames and in its request. Dropped are spans that the "
        "exporter was never given: with one that takes a second for each batch the queue "
        "overflows, and requests go on. Times of traced rows tell nothing but that."
    )
    rows = [
        [
            f"{NAMES[row['framework']]}, {row['arm']}"
            + (f", export takes {row['export_ms']:.0f} ms" if row["export_ms"] else ", traced"),
            f"{row['sent']:,}",
            f"{row['kib'][0]:,.0f} → {row['kib'][-1]:,.0f}" if row["kib"] else "",
            "" if len(row["kib"]) < 4 else f"{_bytes_an_error(row):.2f}",
            str(sum(row["alive"].values())),
            f"{row['events']:,}",
            f"{row['sent'] - row['spans']:,}",
            f"{row['seconds'] / row['sent'] * 1e6:,.0f}",
        ]
        for row in run.storms
    ]
    titles = ["", "errors", "KiB, first → last", "bytes an error", "alive", "events", "dropped"]
    yield Table([*titles, "µs of the clock a request"], rows)


def _bytes_an_error(row: Mapping[str, Any]) -> float:
    an_error: float = aims.growth_of_memory(row["kib"]) * (len(row["kib"]) - 1) / row["sent"]
    return an_error


def flatness(run: Run, framework: Framework) -> str:
    """Return bytes that stay for each error, and how many objects do."""
    for row in run.storms:
        if (row["framework"], row["arm"], row["export_ms"]) == (framework, "everylayer", 0):
            alive = sum(row["alive"].values())
            grown = _bytes_an_error(row)
            flat = abs(grown) <= aims.FLAT_BYTES and not alive
            return str(aims.Verdict(f"{grown:.1f}, {alive} alive", flat))
    return ""


def renderer(run: Run) -> Iterator[Block]:
    """Yield the renderer against the standard library."""
    yield Text(
        "Microseconds for the text of one exception: `traceback.format_exception` (stock) and the "
        "cached renderer, in turn; in brackets the 10th and 90th percentile of the ratios."
    )
    rows = [
        [
            row["case"],
            str(row["frames"]),
            f"{row['stock']:,.1f}",
            f"{row['ours']:,.1f}",
            f"{row['times']:.2f} [{row['low']:.2f}-{row['high']:.2f}]",
        ]
        for row in run.renderer
    ]
    yield Table(["case", "frames", "stock, µs", "everylayer, µs", "times faster"], rows)


def renderer_aim(run: Run) -> str:
    """Return whether the renderer is as fast as it was meant to be."""
    row = next(r for r in run.renderer if (r["case"], r["frames"]) == ("warm", 40))
    verdict = aims.Verdict(f"{row['times']:.0f} times", row["times"] >= aims.RENDERER)
    return f"Renderer at 40 frames, warm (aim: at least 100 times as fast): {verdict}."


def monitor(run: Run) -> Iterator[Block]:
    """Yield what the monitor costs code that it does not watch."""
    yield Text(
        'Nanoseconds of CPU a call with `swallowed="monitor"` off and on, in turn, in code that is '
        "none of a layer's: what any exception costs that is handled anywhere in the process. In "
        "brackets the 10th and 90th percentile of the ratios."
    )
    rows = [
        [
            row["case"],
            f"{row['off']:,.0f}",
            f"{row['on']:,.0f}",
            f"{row['on'] - row['off']:+,.0f}",
            f"{row['ratio']:.2f} [{row['low']:.2f}-{row['high']:.2f}]",
        ]
        for row in run.monitor
    ]
    yield Table(["case", "off, ns", "on, ns", "difference, ns", "ratio"], rows)


def latency_p95(
    run: Run, framework: Framework, arm: Arm, rate: float, work_ms: float
) -> Spread | None:
    """Return the 95th percentiles of an arm's turns."""
    wanted = (framework, arm, rate, work_ms)
    found = [
        row["p95_ms"]
        for row in run.latency
        if (row["framework"], row["arm"], row["rate"], row["work_ms"]) == wanted
    ]
    return spread(found) if found else None
