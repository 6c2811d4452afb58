"""Measures everything and writes the document: `python -m nox -s bench [-- --quick]`."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import cpu, document, facts, instructions, latency, monitored, plots, renderer, report
from .apps.faults import write_corpus
from .arms import Arm
from .data import Run
from .fleet import ROOT, Process
from .plan import FULL, QUICK, Plan
from .spec import FRAMEWORKS, Batch, Framework, Spec

PARTS = (
    *("rates", "kinds", "logged", "growth", "instructions", "latency", "storm", "renderer"),
    "monitor",
)
PICTURES = "benchmarks"
# With these nothing but requests and exports takes time: memory is not traced.
FAST_EXPORT_MS, SLOW_EXPORT_MS = 1.0, 1000.0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small sample of everything")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, metavar="PART")
    parser.add_argument("--frameworks", choices=FRAMEWORKS, nargs="+", default=FRAMEWORKS)
    parser.add_argument(
        "--out", type=Path, help="folder to write to: docs, for a quick run build/benchmarks"
    )
    parser.add_argument("--report", type=Path, help="write the document of an earlier run's JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Measure, unless there is a run to report, and write the document."""
    options = parse(arguments)
    out = options.out or ROOT / ("build/benchmarks" if options.quick else "docs")
    if options.report:
        run = Run.read(options.report)
    else:
        run = measure(QUICK if options.quick else FULL, options, facts.gather(_told(options)))
    write(run, out)


def _told(options: argparse.Namespace) -> list[str]:
    """Return the arguments that decide what is measured: no paths."""
    told = ["--quick"] if options.quick else []
    for name, whole in (("only", PARTS), ("frameworks", FRAMEWORKS)):
        chosen = getattr(options, name)
        if tuple(chosen) != whole:
            told += [f"--{name}", *chosen]
    return told


def write(run: Run, out: Path) -> None:
    """Write `benchmarks.md`, and beside it the folder of pictures, page and data."""
    pictures = out / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    run.write(pictures / "data.json")
    plots.draw(run, pictures)
    blocks = report.blocks(run)
    text = document.to_markdown(blocks, PICTURES)
    (out / "benchmarks.md").write_text(text, encoding="utf-8")
    (pictures / "index.html").write_text(document.to_html(blocks, pictures), encoding="utf-8")
    print(text)


def measure(plan: Plan, options: argparse.Namespace, meta: dict[str, Any]) -> Run:
    """Run all parts one after the other; nothing else runs beside a part that is timed."""
    run = Run(meta)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder)
        write_corpus(corpus)
        for name, part in _parts(run, plan, corpus, options.frameworks):
            if name in options.only:
                run.meta["load"].append(facts.load())
                begin = time.monotonic()
                part()
                print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return run


def _parts(
    run: Run, plan: Plan, corpus: Path, frameworks: Sequence[Framework]
) -> Iterator[tuple[str, Callable[[], None]]]:
    bench = cpu.Bench(plan, corpus)
    run.requests, run.recorded = bench.requests, bench.recorded

    def each(measured: Callable[[Framework], None]) -> Callable[[], None]:
        def all_of_them() -> None:
            for framework in frameworks:
                measured(framework)

        return all_of_them

    def load(framework: Framework) -> None:
        run.latency += latency.measure(framework, plan, corpus)

    yield "rates", each(bench.rates)
    yield "kinds", each(bench.kinds)
    yield "logged", each(bench.logged)
    yield "growth", each(bench.growth)
    yield "latency", each(load)
    yield "renderer", lambda: run.renderer.extend(_renderer(plan))
    yield "monitor", lambda: run.monitor.extend(_monitor(plan))
    # These two do not take the time: they may share the machine with each other.
    yield "instructions", lambda: _instructions(run, plan, corpus, frameworks)
    yield "storm", lambda: run.storms.extend(_storms(plan, corpus, frameworks))


def _renderer(plan: Plan) -> list[dict[str, Any]]:
    return [asdict(row) for row in renderer.measure(plan.renderer_rounds)]


def _monitor(plan: Plan) -> list[dict[str, Any]]:
    return [asdict(row) for row in monitored.measure(plan.monitor_rounds)]


def _instructions(run: Run, plan: Plan, corpus: Path, frameworks: Sequence[Framework]) -> None:
    run.missing = instructions.missing() if plan.instructions else "left out of a quick run"
    if run.missing:
        print(run.missing, file=sys.stderr)
        return
    ok, deep = Batch(plan.instructions), Batch(plan.instructions // 4, 1.0)

    def count(job: tuple[Framework, Arm, bool]) -> list[dict[str, Any]]:
        framework, arm, catching = job
        cases = ("catching",) if catching else ("ok", "deep")
        spec = Spec(framework, arm, catching=catching)
        counts = instructions.count(spec, corpus, [ok, deep][: len(cases)])
        return [
            {"framework": framework, "arm": arm, "case": case, "count": found}
            for case, found in zip(cases, counts, strict=True)
        ]

    jobs = list(itertools.product(frameworks, cpu.OURS, (False, True)))
    with ThreadPoolExecutor(2) as pool:
        for rows in pool.map(count, jobs):
            run.instructions += rows


def _storms(plan: Plan, corpus: Path, frameworks: Sequence[Framework]) -> list[dict[str, Any]]:
    jobs = [(Spec(f, "everylayer"), plan.storm, 20) for f in frameworks]
    # Stock takes several times as long; a twentieth shows the same line.
    jobs += [(Spec(f, "stock"), plan.storm // 20, 10) for f in frameworks]
    for export_ms in (FAST_EXPORT_MS, SLOW_EXPORT_MS):
        jobs.append((Spec(frameworks[-1], "everylayer", export_ms=export_ms), plan.storm, 2))

    def storm(job: tuple[Spec, int, int]) -> dict[str, Any]:
        spec, requests, steps = job
        process = Process(spec, corpus)
        process.ready()
        try:
            found = process.ask("storm", requests=requests, steps=steps, traced=not spec.export_ms)
        finally:
            process.stop()
        names = {"framework": spec.framework, "arm": spec.arm, "export_ms": spec.export_ms}
        return {**names, **found}

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(storm, jobs))


if __name__ == "__main__":
    main(sys.argv[1:])
