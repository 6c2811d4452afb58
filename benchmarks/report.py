"""The document: what was aimed at first, then every table, missed aims included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import aims, tables
from .cpu import LAYER_COUNTS, OURS
from .data import Run
from .document import Block, Heading, Image, Table, Text
from .results import Key
from .spec import NAMES, Framework

HOW = (
    "Each arm of each framework is a process of its own with the same small app and 8 layers that "
    "do nothing. All of them run at the same time and take turns in batches of 20 to 100 requests, "
    "sent within the process, so that what disturbs the machine disturbs all alike; a ratio is "
    "made of two batches of the same turn. Shown are medians, in brackets the quartiles. CPU is "
    "that of all threads of the process, export included. Spans go through a `BatchSpanProcessor` "
    "to an exporter that drops them, sentry-sdk's envelopes to a transport that does: encoding and "
    "network are paid by no arm. sentry-sdk runs without OpenTelemetry and with the defaults of "
    "its `init`. An error is raised through 20 functions, each different and each with its "
    "source. After the warm-up what exists is frozen out of the garbage collector, which then "
    "works as usual."
)
LOGS = (
    "Logs of errors are made but not formatted, except in the section about logs: frameworks and "
    "servers that write a traceback for each 500 pay stock's price once more, in every arm."
)


def blocks(run: Run) -> list[Block]:
    """Return the whole document."""
    return list(_blocks(run))


def _blocks(run: Run) -> Iterator[Block]:
    yield Heading("What errors and layers cost", 1)
    yield Text(tables.setting(run.meta))
    if run.frameworks():
        yield from _aims(run)
    yield Heading("How it is measured")
    yield Text(HOW)
    yield Text(LOGS)
    for framework in run.frameworks():
        yield from _rates(run, framework)
    yield from _attenuation(run)
    yield from _kinds(run)
    if run.instructions or run.missing:
        yield Heading("Instructions")
        yield from tables.instructions(run)
    if run.latency:
        yield Heading("Under real servers")
        yield from tables.latency(run)
        yield Image("latency.png", "95th percentile of latency under real servers")
    yield from _growth(run)
    yield from _logged(run)
    if run.storms:
        yield Heading("Errors without a pause")
        yield from tables.storms(run)
        yield Image("storm.png", "Memory while every request fails")
    if run.renderer:
        yield Heading("The renderer alone")
        yield from tables.renderer(run)
        yield Image("renderer.png", "Rendering a traceback by its depth")
    if run.monitor:
        yield Heading("The monitor alone")
        yield from tables.monitor(run)


def _aims(run: Run) -> Iterator[Block]:
    yield Heading("Aims")
    yield Text(
        "Stock with everylayer against stock, in the same run. The line “if recording were free” "
        "is what nobody can beat: stock's own work for a request without an error, plus what "
        "raising and answering the error costs the bare app."
    )
    frameworks = run.frameworks()
    rows = [
        ["CPU, no error, 8 layers", "≤ 1.01", *(str(aims.happy(run, f)) for f in frameworks)],
        ["— by set of processes", "", *(_by_fleet(run, f) for f in frameworks)],
        [
            "CPU, error at 20 frames, warm",
            "≤ 0.15",
            *(str(aims.failing(run, f)) for f in frameworks),
        ],
        ["— if recording were free", "", *(f"{aims.floor(run, f):.3f}" for f in frameworks)],
        ["— recording alone, µs, stock", "", *_recording(run, "stock")],
        ["— recording alone, µs, everylayer", "", *_recording(run, "everylayer")],
    ]
    if run.instructions:
        counted = [tables.instruction_ratio(run, f) for f in frameworks]
        rows.insert(2, ["— in instructions", "≤ 1.01", *map(str, counted)])
    if any(Key(f, "everylayer", 1.0, "own") in run.requests for f in frameworks):
        rows += [
            [
                "CPU, 480 paths, all frames their own",
                "≤ 0.25",
                *(str(aims.failing(run, f, "own", aims.PATHS)) for f in frameworks),
            ],
            [
                "CPU, 480 paths, inner frames shared",
                "≤ 0.25",
                *(str(aims.failing(run, f, "mixed", aims.PATHS)) for f in frameworks),
            ],
        ]
    rows += [
        [
            "throughput lost from 0 to 20 % errors",
            "≤ 12 %",
            *(_lost(run, f) for f in frameworks),
        ],
        ["— bare app", "", *(f"{aims.lost(run, f, 'bare'):.0%}" for f in frameworks)],
        ["— stock", "", *(f"{aims.lost(run, f, 'stock'):.0%}" for f in frameworks)],
    ]
    if run.storms:
        rows.append(["memory, bytes an error", "0", *(tables.flatness(run, f) for f in frameworks)])
    yield Table(["", "aim", *(NAMES[f] for f in frameworks)], rows)
    if run.renderer:
        yield Text(tables.renderer_aim(run))
    yield Image("throughput.png", "Throughput by share of failing requests")


def _recording(run: Run, arm: str) -> list[str]:
    return [
        f"{next(us for a, us in aims.recording(run, f).items() if a == arm):.0f}"
        for f in run.frameworks()
    ]


def _by_fleet(run: Run, framework: Framework) -> str:
    key = Key(framework, "everylayer")
    return ", ".join(f"{ratio:.3f}" for ratio in run.requests.ratio_by_fleet(key, key.of("stock")))


def _lost(run: Run, framework: Framework) -> str:
    lost = aims.lost(run, framework, "everylayer")
    return str(aims.Verdict(f"{lost:.0%}", lost <= aims.LOST))


def _rates(run: Run, framework: Framework) -> Iterator[Block]:
    yield Heading(f"{NAMES[framework]}: by share of errors")
    yield Text("Microseconds of CPU a request; ratio to stock.")
    yield tables.cpu(run, framework)
    yield Text("Requests a second within one process, one after the other.")
    yield tables.throughput(run, framework)
    yield Text(
        "An error in a layer, 20 frames deep, beside one in the view. Where stock records nothing "
        "it pays nothing either: a ratio above 1 there is the price of the event."
    )
    yield tables.places(run, framework)


def _attenuation(run: Run) -> Iterator[Block]:
    yield Heading("The attenuation model")
    yield Text(
        "throughput(e) = 1 / (t_ok · (1 - e) + t_err · e), fitted for each arm to CPU a request at "
        "all shares of errors. The ratio t_err / t_ok is what bends the curve; 1 would be flat."
    )
    yield tables.attenuation(run)


def _kinds(run: Run) -> Iterator[Block]:
    rows = tables.kinds(run)
    if rows.rows:
        yield Heading("Kinds of errors")
        yield Text(
            "Every request fails. 480 paths take turns, each met before; `NameError` and "
            "`AttributeError` come with suggestions; Jinja2 makes new code objects for each error."
        )
        yield rows


def _growth(run: Run) -> Iterator[Block]:
    rows = tables.growth(run, LAYER_COUNTS)
    if rows.rows:
        yield Heading("By number of layers")
        yield Text("Microseconds of CPU a request; ratio to stock.")
        yield rows
        yield Image("layers.png", "CPU a request by number of layers")


def _logged(run: Run) -> Iterator[Block]:
    rows: list[Sequence[str]] = []
    for framework in run.frameworks():
        for arm in OURS:
            key = Key(framework, arm, logged=True)
            if key in run.requests:
                cells = [tables.us_and_ratio(run, key.at(rate)) for rate in (0.0, 0.2, 1.0)]
                rows.append([f"{NAMES[framework]}, {arm}", *cells])
    if rows:
        yield Heading("When tracebacks are logged too")
        yield Text(
            "The same with a log handler that formats every record, as a default set-up does: the "
            "framework or the server renders the traceback again, whatever records it."
        )
        yield Table(["CPU, µs (ratio to stock)", "0 %", "20 %", "100 %"], rows)
