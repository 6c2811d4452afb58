"""Every arm of every framework runs, fails where it is told to, and records what it should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks import latency, load
from benchmarks.arms import ARMS, Arm
from benchmarks.cpu import KINDS
from benchmarks.fleet import Fleet, Process
from benchmarks.spec import FRAMEWORKS, Batch, Framework, Spec


@contextmanager
def running(spec: Spec, corpus: Path) -> Iterator[Process]:
    with Fleet([spec], corpus) as fleet:
        yield fleet.processes[0]


# Each arm starts a server's worth of imports: one framework has them all.
ROWS = [
    *(("flask", arm) for arm in ARMS),
    *((framework, "everylayer") for framework in FRAMEWORKS if framework != "flask"),
]


@pytest.mark.parametrize(("framework", "arm"), ROWS)
def test_an_arm_runs_batches_and_records_its_errors(
    framework: Framework, arm: Arm, corpus: Path
) -> None:
    with running(Spec(framework, arm, layers=(2,)), corpus) as process:
        # The worker itself raises if other requests fail than those that should.
        cost = process.run(Batch(5, 0.4, layers=2))
        assert cost.cpu > 0
        assert process.ask("recorded", path="/ok")["events"] == 0
        paths = ["/fail/deep"]
        if arm == "everylayer":
            paths = ["/layer", "/storm", *(f"/fail/{kind}" for kind in KINDS)]
        found = {path: process.ask("recorded", path=path)["events"] for path in paths}
    assert found == dict.fromkeys(paths, int(arm != "bare"))


def test_one_process_measures_several_numbers_of_layers(corpus: Path) -> None:
    with running(Spec("django-wsgi", "everylayer", layers=(1, 3)), corpus) as process:
        assert process.run(Batch(2, layers=1)).requests == 2
        assert process.run(Batch(2, 1.0, fail="/layer", layers=3)).requests == 2


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_storm_leaves_nothing_alive(framework: Framework, corpus: Path) -> None:
    with running(Spec(framework, "everylayer"), corpus) as process:
        found = process.ask("storm", requests=20, steps=2, traced=True)
    assert found["alive"] == {}
    assert (found["sent"], found["events"], len(found["kib"])) == (20, 20, 3)


def test_a_slow_exporter_holds_up_no_request(corpus: Path) -> None:
    with running(Spec("flask", "everylayer", export_ms=300.0), corpus) as process:
        found = process.ask("storm", requests=20, steps=1, traced=False)
    assert (found["kib"], found["alive"], found["spans"]) == ([], {}, 20)
    # Three hundred warm-up spans and these twenty: one batch, which nobody waited for.
    assert found["seconds"] < 0.3


def test_a_leak_would_be_seen() -> None:
    from benchmarks.apps import canary

    kept = []
    try:
        canary.fail()
    except canary.CanaryError as exc:
        kept.append(exc)
    assert canary.living() == {"frame": 1, "exception": 1}
    kept.clear()
    assert canary.living() == {}


@pytest.mark.parametrize("framework", ["flask", "starlette"])
def test_a_real_server_takes_load(framework: Framework, corpus: Path) -> None:
    with latency.Server(Spec(framework, "everylayer"), corpus) as server:
        server.ready()
        found = load.run(server.port, Batch(5, 0.4), 0.2, connections=2)
    assert len(found.latencies) >= 5
    assert found.failed / len(found.latencies) == pytest.approx(0.4, abs=0.2)
