"""`everylayer audit`, as it is typed, with children that only say what they are told to."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from trial_values import BROKEN, OK, event, node, server, visit

from everylayer import cli
from everylayer.audit import session
from everylayer.audit.model import Answer, ChainNode, Trial
from everylayer.audit.wire import Chained, Job, TargetError

CHAIN = (
    node("+0", "OpenTelemetryMiddleware", "instrumentation", ()),
    node("0", "Auth"),
    node("1", "orders", "endpoint", ("before",), mode="sync"),
    node("2", "/reports", "mount", (), inner=[node("2.0", "only_there")]),
)


@dataclass
class Children:
    """Stand in for the processes: whatever is put arrives, but for what a test says.

    Attributes:
        change: makes of a good trial what a test wants.
        unreached: ids of nodes that no request passes.
    """

    chain: tuple[ChainNode, ...] = CHAIN
    stock: str = ""
    unreached: tuple[str, ...] = ("2.0",)
    change: Callable[[Trial, int], Trial] = lambda trial, run: trial
    jobs: list[Job] = field(default_factory=list)
    timeouts: set[float] = field(default_factory=set)

    def run_arm(self, job: Job, on_line: Any, timeout: float = 0, verbose: bool = False) -> None:
        runs = sum(each.arm == job.arm and each.kind == job.kind for each in self.jobs)
        self.jobs.append(job)
        self.timeouts.add(timeout)
        if job.kind == "chain":
            on_line(Chained("flask", "wsgi", self.chain, self.stock, {"python": "3.13"}))
            return
        for fault in job.faults:
            look = fault.error == "none"
            telemetry = job.arm != "bare"
            given = event(fault)
            good = Trial(
                arm=job.arm,
                fault=fault,
                reached=look or fault.node not in self.unreached,
                answer=OK if look else BROKEN,
                visits=(visit("0"), visit("1")),
                spans=(server(*([] if look else [given])),) if telemetry else (),
            )
            on_line(self.change(good, runs))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    monkeypatch.delenv("COLUMNS", raising=False)
    made = Children()
    monkeypatch.setattr(session, "run_arm", made.run_arm)
    return made


def lose(arm: str, **changes: Any) -> Callable[[Trial, int], Trial]:
    def change(trial: Trial, run: int) -> Trial:
        mine = (trial.arm, trial.fault.node, trial.fault.shape) == (arm, "0", "swallowed")
        return replace(trial, **changes) if mine else trial

    return change


def test_all_arrived(children: Children, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["audit", "shop:app"]) == 0
    out = capsys.readouterr().out
    assert "stock lost 0 of 9, everylayer lost 0 of 9" in out
    # The bare app in two processes, the others in one.
    arms = [job.arm for job in children.jobs if job.kind == "trials"]
    assert {arm: arms.count(arm) for arm in arms} == {"bare": 2, "stock": 1, "everylayer": 1}


@pytest.mark.parametrize(("arm", "code"), [("stock", 0), ("everylayer", 1)])
def test_what_is_lost_counts_against_everylayer_alone(
    children: Children, capsys: pytest.CaptureFixture[str], arm: str, code: int
) -> None:
    children.change = lose(arm, spans=(server(status="UNSET"),))
    assert cli.run(["audit", "shop:app"]) == code
    out = capsys.readouterr().out
    assert f"{arm} lost 2 of 9" in out
    assert "no exception event on the server span" in out


def test_a_changed_response_fails_the_audit(
    children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    children.change = lose("everylayer", answer=replace(BROKEN, body="cc" * 32))
    assert cli.run(["audit", "shop:app"]) == 1
    assert "the body is another one" in capsys.readouterr().out


def test_what_the_bare_app_answers_differently_each_time_is_not_compared(
    children: Children,
) -> None:
    def change(trial: Trial, run: int) -> Trial:
        return replace(trial, answer=replace(trial.answer, body=f"{trial.arm}{run}"))

    children.change = change
    assert cli.run(["audit", "shop:app"]) == 0


def test_a_place_that_only_everylayer_does_not_reach_fails_the_audit(
    children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Answer(hazards=("the app ended the process: signal SIGSEGV",))
    children.change = lose("everylayer", reached=False, answer=lost)
    assert cli.run(["audit", "shop:app"]) == 1
    assert "SIGSEGV" in capsys.readouterr().out


def test_other_routes_are_no_part_of_it_and_layers_behind_are_told(
    children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    children.unreached = ("0", "2.0")
    children.change = lambda trial, run: (
        replace(trial, answer=replace(OK, status=401)) if trial.fault.error == "none" else trial
    )
    assert cli.run(["audit", "shop:app", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["fault"]["node"] for row in found["rows"]} == {"0", "1"}
    assert found["summary"]["everylayer"] == {"put": 3, "lost": 0, "unreached": 6}
    (finding,) = found["findings"]
    assert finding["kind"] == "not-reached"
    assert finding["text"].startswith("6 of 9 faults could not be put")
    assert finding["text"].endswith("answered 401, comes no further than orders: Auth")
    assert "--header" in finding["remedy"]


def test_a_handler_that_is_not_reached_needs_an_error_and_no_other_path(
    children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    children.chain = (*CHAIN, node("3", "answer_error", "handler", ("before",)))
    children.unreached = ("2.0", "3")
    assert cli.run(["audit", "shop:app"]) == 0
    assert "these run for an error alone" in capsys.readouterr().out


def test_a_request_that_passes_nothing_cannot_be_audited(
    children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    children.unreached = ("0", "1", "2.0")
    assert cli.run(["audit", "shop:app"]) == 2
    assert "GET / is answered 200 and passes none of the layers" in capsys.readouterr().err


def test_without_stock_there_are_two_arms(
    children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    children.stock = "opentelemetry-instrumentation-flask is not installed"
    assert cli.run(["audit", "shop:app"]) == 0
    assert "stock" not in {job.arm for job in children.jobs}
    out = capsys.readouterr().out
    assert "Stock was not tried: opentelemetry-instrumentation-flask is not installed" in out
    assert "everylayer lost 0 of 9" in out


def test_what_is_asked_for_reaches_the_children(children: Children) -> None:
    args = ["--factory", "--layer", "Auth", "--phase", "after", "--shape", "raised", "--path"]
    args += ["/a?b=1", "--method", "post", "--header", "X-A: 1:2", "--timeout", "3"]
    assert cli.run(["audit", "shop:make", *args]) == 0
    *_, job = children.jobs
    assert job.factory
    assert (job.request.method, job.request.path) == ("POST", "/a?b=1")
    assert job.request.headers == (("X-A", "1:2"),)
    assert [(fault.node, fault.phase, fault.shape) for fault in job.faults[1:]] == [
        ("0", "after", "raised")
    ]
    assert children.timeouts == {3.0}


def test_a_dry_run_sends_nothing(children: Children, capsys: pytest.CaptureFixture[str]) -> None:
    children.stock = "not installed"
    assert cli.run(["audit", "shop:app", "--dry-run"]) == 0
    assert [job.kind for job in children.jobs] == ["chain"]
    out = capsys.readouterr().out
    assert "Auth: before, after; raised, swallowed, translated" in out
    assert "in the arms bare, everylayer:" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--path", "orders"], "--path 'orders' is no path"),
        (["--header", "nothing"], "--header 'nothing' is no header"),
        (["--header", "A: b\r\nC: d"], "is no header"),
        (["--layer", "Nobody"], "no layer is called 'Nobody'"),
        (["--output", "/nowhere/report.json"], "there is no folder /nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    children: Children, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert cli.run(["audit", "shop:app", *args]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_target_that_fails_in_one_child_ends_the_audit(
    children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(trial: Trial, run: int) -> Trial:
        if trial.arm == "everylayer":
            raise TargetError("the app needs a database that is not there")
        return trial

    children.change = change
    assert cli.run(["audit", "shop:app"]) == 2
    assert capsys.readouterr().err == "everylayer: the app needs a database that is not there\n"


def test_each_format_can_be_written_to_a_file(
    children: Children, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for style in ("table", "json", "junit", "html"):
        args = ["--format", style, "--output", str(tmp_path / style)]
        assert cli.run(["audit", "shop:app", *args]) == 0
    assert capsys.readouterr().out == ""
    texts = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert "everylayer lost 0 of 9" in texts["table"]
    assert "\x1b" not in texts["table"]
    assert json.loads(texts["json"])["target"] == "shop:app"
    assert ET.fromstring(texts["junit"]).get("tests") == "9"
    assert "<html" in texts["html"]
