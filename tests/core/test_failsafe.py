"""Our own failure: never the app's, logged once, counted always."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

import everylayer
from everylayer import failsafe
from everylayer.failsafe import contained


@contained
def work(what: BaseException | None = None, *, result: int = 7) -> int:
    """Do it."""
    if what is not None:
        raise what
    return result


PLACE = f"{__name__}.work"


def test_what_works_is_passed_through(failures: dict[str, int]) -> None:
    assert work() == 7
    assert work(None, result=8) == 8
    assert (work.__name__, work.__doc__) == ("work", "Do it.")
    assert failures == {}


def test_a_failure_is_swallowed_logged_once_and_counted(
    failures: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert work(ValueError("bug")) is None
    assert everylayer.own_failures() == {PLACE: 3} == failures
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("everylayer", logging.WARNING)
    assert PLACE in record.getMessage()
    assert record.exc_info
    assert str(record.exc_info[1]) == "bug"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_not_ours_passes(failures: dict[str, int], kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        work(kind())
    assert failures == {}


def test_a_logging_handler_that_raises_is_survived(
    failures: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Raising(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("handler is broken")

    handler = Raising()
    logger = logging.getLogger("everylayer")
    logger.addHandler(handler)
    try:
        assert work(ValueError()) is None
    finally:
        logger.removeHandler(handler)
    assert failures == {PLACE: 1}


def test_counts_are_a_copy_that_nobody_can_change(failures: dict[str, int]) -> None:
    work(ValueError())
    counts = failsafe.own_failures()
    work(ValueError())
    assert counts == {PLACE: 1}
    with pytest.raises(TypeError):
        counts["x"] = 1  # type: ignore[index]


def test_counts_from_many_threads_add_up(failures: dict[str, int]) -> None:
    def fail_often() -> None:
        for _ in range(200):
            work(ValueError())

    threads = [threading.Thread(target=fail_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == {PLACE: 800}


GONE = """
import builtins
import everylayer

class Last:
    def __del__(self, record=everylayer.record):
        record(KeyError("x"))
        print("recorded")

builtins.last = Last()
"""


def test_nothing_is_said_of_what_fails_as_the_interpreter_goes() -> None:
    found = subprocess.run(
        [sys.executable, "-c", GONE], capture_output=True, text=True, timeout=60, check=True
    )
    assert (found.stdout, found.stderr) == ("recorded\n", "")
