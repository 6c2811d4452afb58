"""From rounds to ratios, from ratios to the document."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from benchmarks import aims, attenuation, document, facts, monitored, report
from benchmarks.arms import ARMS, Arm
from benchmarks.cpu import KINDS, LAYER_COUNTS, OURS, RATES
from benchmarks.data import Run
from benchmarks.results import Key, Requests, Round, spread
from benchmarks.spec import FRAMEWORKS, Batch

# Microseconds of a request that works, and of one that fails.
TIMES: dict[Arm, tuple[float, float]] = {
    "bare": (50, 100),
    "stock": (200, 2000),
    "everylayer": (201, 260),
    "sentry": (250, 4000),
    "sentry-traced": (600, 5000),
}


def rounds(us: float) -> list[Round]:
    """Three turns in two sets of processes, on a machine that gets slower: ratios must not."""
    return [
        Round(fleet, turn, 100, us * (1 + turn) / 1e4, us * (1 + turn) / 1e4)
        for fleet in (1, 2)
        for turn in range(3)
    ]


def sample() -> Run:
    """A run in which each number follows from `TIMES`."""
    found = Requests()
    for framework in FRAMEWORKS:
        for arm in ARMS:
            ok, err = TIMES[arm]
            for rate in (*RATES, 1.0):
                key = Key(framework, arm, rate)
                found.rounds[key] = rounds(ok + (err - ok) * rate)
            found.rounds[Key(framework, arm, 1.0, "layer")] = rounds(err)
        for arm in OURS:
            ok, err = TIMES[arm]
            for kind in KINDS:
                found.rounds[Key(framework, arm, 1.0, kind)] = rounds(err)
            for count in LAYER_COUNTS:
                found.rounds[Key(framework, arm, 0.0, "growth", count)] = rounds(ok + count)
                found.rounds[Key(framework, arm, 1.0, "growth", count)] = rounds(err + count)
            for rate in (0.0, 0.2, 1.0):
                found.rounds[Key(framework, arm, rate, logged=True)] = rounds(ok + err * rate)
    meta = {**facts.gather(["--quick"]), "load": [0.5]}
    run = Run(meta, found, missing="no tool")
    run.latency = [
        {"framework": "flask", "arm": arm, "rate": rate, "work_ms": work, "turn": 0, "requests": 9}
        | {"failed": 0, "per_second": 100.0, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0}
        for arm in ARMS
        for rate in (0.0, 0.2)
        for work in (0.0, 5.0)
    ]
    kib = [10.0, 20.0, 20.0, 20.0, 20.0]
    common = {"export_ms": 0.0, "alive": {}, "spans": 900, "events": 900, "sent": 1000}
    run.storms = [
        {"framework": f, "arm": "everylayer", "kib": kib, "seconds": 1.0} | common
        for f in FRAMEWORKS
    ]
    run.renderer = [
        {"case": case, "frames": frames, "stock": 1000.0, "ours": 5.0}
        | {"times": 200.0, "low": 190.0, "high": 210.0}
        for case in ("warm", "cold")
        for frames in (8, 40)
    ]
    run.monitor = [
        {"case": "handled", "off": 200.0, "on": 350.0, "ratio": 1.75, "low": 1.7, "high": 1.8}
    ]
    return run


@pytest.mark.parametrize(("requests", "rate"), [(100, 0.01), (100, 0.15), (20, 1.0), (35, 0.2)])
def test_failures_are_as_many_as_asked_and_spread(requests: int, rate: float) -> None:
    paths = Batch(requests, rate).paths()
    failing = [n for n, path in enumerate(paths) if path == "/fail/deep"]
    assert len(failing) == round(requests * rate)
    gaps = {after - before for before, after in pairwise(failing)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_ratio_compares_batches_of_the_same_turn() -> None:
    requests = sample().requests
    key = Key("flask", "everylayer")
    assert requests.ratio(key, key.of("stock")) == pytest.approx((1.005, 1.005, 1.005, 6))
    assert requests.ratio_by_fleet(key, key.of("stock")) == pytest.approx([1.005, 1.005])
    # The medians themselves are of the second, slower turn.
    assert requests.cpu_us(key).median == pytest.approx(402)


def test_a_turn_that_one_arm_sat_out_gives_no_ratio() -> None:
    requests = sample().requests
    key = Key("flask", "sentry")
    requests.rounds[key] = requests.rounds[key][:1]
    assert requests.ratio(key, key.of("stock")).rounds == 1


def test_quartiles() -> None:
    assert spread([4, 1, 3, 2, 5]) == (2, 3, 4, 5)
    assert spread([7]) == (7, 7, 7, 1)


def test_the_model_finds_the_times_it_was_made_of() -> None:
    times = {rate: 100 * (1 - rate) + 900 * rate for rate in (0.0, 0.05, 0.2, 1.0)}
    fit = attenuation.fit(times)
    assert (fit.t_ok, fit.t_err) == pytest.approx((100, 900))
    assert fit.worst == pytest.approx(0, abs=1e-9)
    assert fit.lost(0.2) == pytest.approx(1 - 100 / 260)


def test_the_model_tells_how_far_it_is_off() -> None:
    assert attenuation.fit({0.0: 100, 0.5: 300, 1.0: 200}).worst > 0.2
    with pytest.raises(ValueError, match="two shares"):
        attenuation.fit({0.0: 100})


def test_aims_and_what_bounds_them() -> None:
    run = sample()
    assert aims.happy(run, "flask").met
    assert aims.failing(run, "flask") == aims.Verdict("0.130", True)
    # 200 of stock without an error, 50 that the error costs the bare app.
    assert aims.floor(run, "flask") == pytest.approx(250 / 2000)
    assert aims.recording(run, "flask") == pytest.approx({"stock": 1750 * 2, "everylayer": 9 * 2})
    assert aims.lost(run, "flask", "stock") == pytest.approx(1 - 200 / 560)
    assert aims.growth_of_memory([9, 9, 1, 2, 3, 4]) == pytest.approx(1024)
    assert aims.growth_of_memory([9, 9, 9, 3, 3, 3]) == 0


def test_a_missed_aim_is_called_so() -> None:
    run = sample()
    slow = Key("flask", "everylayer")
    run.requests.rounds[slow] = rounds(210)
    text = document.to_markdown(report.blocks(run), "pictures")
    line = next(line for line in text.splitlines() if line.startswith("| CPU, no error"))
    assert line.count("missed") == 1
    assert "1.050 **missed**" in line


def test_a_run_is_the_same_when_it_was_written_and_read(tmp_path: Path) -> None:
    run = sample()
    run.write(tmp_path / "data.json")
    again = Run.read(tmp_path / "data.json")
    assert again.requests.rounds.keys() == run.requests.rounds.keys()
    pages = [document.to_markdown(report.blocks(each), "p") for each in (run, again)]
    assert pages[0] == pages[1]


def test_tables_are_whole(tmp_path: Path) -> None:
    text = document.to_markdown(report.blocks(sample()), "pictures")
    rows = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(rows) > 15
    for table in rows:
        widths = {line.count(" | ") for line in table.splitlines()}
        assert len(widths) == 1, table


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="in the dependency group bench only")
    from benchmarks.__main__ import write

    write(sample(), tmp_path)
    page = (tmp_path / "benchmarks" / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<b>" not in page or "**" not in page
    pictures = re.findall(r"\(benchmarks/([a-z]+\.png)\)", (tmp_path / "benchmarks.md").read_text())
    assert all((tmp_path / "benchmarks" / picture).stat().st_size > 1000 for picture in pictures)


def test_a_part_alone_has_its_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="in the dependency group bench only")
    from benchmarks.__main__ import write

    whole = sample()
    run = Run(whole.meta, Requests(), missing="no tool")
    run.storms = whole.storms[:1]
    write(run, tmp_path)
    assert [file.name for file in (tmp_path / "benchmarks").glob("*.png")] == ["storm.png"]
    assert "storm.png" in (tmp_path / "benchmarks.md").read_text()


def test_nothing_tells_whose_machine_it_was() -> None:
    import platform

    told = str(facts.gather([]))
    assert (platform.node() or "/") not in told
    assert str(Path.home()) not in told


def test_the_monitor_is_measured_in_ratios() -> None:
    text = document.to_markdown(report.blocks(sample()), "pictures")
    assert "| handled | 200 | 350 | +150 | 1.75 [1.70-1.80] |" in text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is 3.12's")
def test_the_monitor_is_off_after_it_was_measured() -> None:
    rows = list(monitored.measure(rounds=1))
    assert [row.case for row in rows] == [case for case, _ in monitored.CASES]
    assert "everylayer.monitor" not in map(sys.monitoring.get_tool, range(6))
