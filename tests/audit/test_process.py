"""The child processes of an audit: what reaches the parent, whatever the app does in there."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everylayer.audit import process
from everylayer.audit.decode import DecodeError, decode
from everylayer.audit.model import Answer, Fault, Request, Trial
from everylayer.audit.process import run_arm
from everylayer.audit.wire import Chained, Job, TargetError, dump

APPS = Path(__file__).parent / "apps"


@pytest.fixture(autouse=True)
def in_the_apps_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(APPS)


def fault(node: str = "0", error: Any = "error") -> Fault:
    return Fault(node, "before", "raised", f"token {node}", error)


def job(factory: str, *faults: Fault, kind: Any = "trials", arm: Any = "bare") -> Job:
    return Job(kind, f"hostile:{factory}()", arm, faults=faults)


def run(given: Job, timeout: float = 10.0, verbose: bool = False) -> list[Any]:
    lines: list[Chained | Trial] = []
    run_arm(given, lines.append, timeout, verbose)
    return lines


def refused(given: Job, **more: Any) -> TargetError:
    with pytest.raises(TargetError) as caught:
        run(given, **more)
    assert "\n" not in str(caught.value)
    return caught.value


def is_alive(pid: int) -> bool:
    try:
        # A killed one may wait for its parent of last resort.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] != "Z"
    except OSError:
        return False


def test_values_cross_as_json() -> None:
    trial = Trial("bare", fault(), True, Answer(None, (("a", "b"),), hazards=("x",)))
    assert decode(Trial, json.loads(dump(trial)), "trial") == trial
    given = job("x", fault(), fault("1", "none"))
    assert decode(Job, json.loads(dump(given)), "job") == given
    with pytest.raises(DecodeError, match=r"its request\.method makes no sense"):
        decode(Request, {"method": 7}, "request")


def test_an_app_that_prints_and_keeps_threads_does_not_disturb(
    capfd: pytest.CaptureFixture[str],
) -> None:
    looked, failed = run(job("prints", fault(error="none"), fault()), verbose=True)
    assert (looked.answer.status, looked.answer.escaped) == (200, "")
    assert "token 0" in failed.answer.escaped
    assert "not UTF-8" in capfd.readouterr().err


def test_an_app_that_ends_the_process_says_so_in_a_sentence() -> None:
    assert str(refused(job("exits", kind="chain"))) == (
        "the app ended the process: exit code 3, without an exception (os._exit, or a crash); "
        "the last that it printed was: the last words"
    )


def test_a_request_that_never_ends_costs_its_trial_only_and_everything_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    monkeypatch.setenv("HOSTILE_PID", str(pid))
    (line,) = run(job("hangs", fault(error="none")), timeout=0.5)
    assert line.answer == Answer(hazards=(process.HUNG.format(0.5),))
    assert not is_alive(int(pid.read_text(encoding="utf-8")))


def test_children_that_are_lost_again_and_again_are_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTILE_PID", str(tmp_path / "pid"))
    monkeypatch.setattr(process, "MAX_LOST", 2)
    lines = run(job("ends_in_request", *[fault(error="none")] * 4))
    assert [line.answer.hazards[0].partition(",")[0] for line in lines] == [
        "the app ended the process: exit code 4",
        "the app ended the process: signal SIGSEGV",
        process.GIVEN_UP.format(2),
        process.GIVEN_UP.format(2),
    ]
    assert [line.reached for line in lines] == [True, True, False, False]


def test_a_service_that_a_request_needs_is_missed_in_a_sentence() -> None:
    error = refused(job("needs_a_database_to_answer", fault(error="none")))
    assert "needs a database or service that is not there (ConnectionRefusedError" in str(error)


def test_an_app_that_is_not_open_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START", 0.05)
    error = refused(job("prints", kind="chain"), timeout=0.05)
    assert str(error).startswith("the app was not open after 0.05 s")


class Listener:
    """A server that hangs up on everybody, and counts them."""

    def __init__(self) -> None:
        self.callers = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            caller, _ = self._socket.accept()
            with caller:
                if caller.recv(1) == b"!":
                    return
                self.callers += 1

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as caller:
            caller.sendall(b"!")
        self._thread.join()
        self._socket.close()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    found = Listener()
    monkeypatch.setenv("HOSTILE_PORT", str(found.port))
    # A user may have these; the child must not heed them.
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
    yield found
    found.close()


def test_nothing_leaves_and_every_span_is_kept_whatever_the_app_sets_up(
    listener: Listener,
) -> None:
    given = job("sends_all_it_has", fault(error="none"), fault(), arm="everylayer")
    looked, failed = run(given)
    assert listener.callers == 0
    assert looked.spans[0].name == "of the app's own"
    server = looked.spans[-1]
    assert (server.kind, server.status) == ("SERVER", "UNSET")
    assert {span.trace_id for span in looked.spans} == {server.trace_id}
    (event,) = failed.spans[-1].events
    assert event.name == "exception"
    assert "token 0" in event.attributes["exception.message"]
    assert failed.spans[-1].trace_id != server.trace_id
    assert (looked.own_failures, failed.own_failures) == (0, 0)


def test_without_telemetry_no_span_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE_PORT", "1")
    (looked,) = run(job("sends_all_it_has", fault(error="none")))
    assert looked.answer.status == 200
    assert looked.spans == ()
