"""The parent's side: one child for each app, arm and shape; no code of the app runs here."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from .decode import decode
from .model import Answer, Arm, Fault, Trial
from .wire import Chained, Job, TargetError, dump

# How long an app may take until it is open, at least, seconds.
START = 30.0
# Children that are lost before the rest of the faults of a job is given up.
MAX_LOST = 3
# What is kept of what the app printed, bytes.
_TAIL = 16_384
# How long a child that is done may take to end, seconds.
_GRACE = 1.0

HUNG = "the request had not ended after {} s, and the process was killed"
DIED = "the app ended the process: {}"
GIVEN_UP = "not tried: the process was lost {} times"


def run_arm(
    job: Job,
    on_line: Callable[[Chained | Trial], None],
    timeout: float = 10.0,
    verbose: bool = False,
) -> None:
    """Have a child do `job`, and hand on what it finds out as it comes.

    A child that is lost in a trial is started again for the faults that remain; that trial says
    so among its hazards.

    Args:
        job: what to do.
        on_line: called with the chain, or with one Trial for each fault, in their order.
        timeout: of one request, seconds.
        verbose: what the app prints goes to stderr.

    Raises:
        TargetError: the app cannot be opened.
    """
    if os.name != "posix":
        raise TargetError("the audit needs Linux, macOS or another POSIX system")
    left, lost = job.faults, 0
    while lost < MAX_LOST:
        again = dataclasses.replace(job, faults=left)
        tried, why = _run_child(again, on_line, timeout, verbose)
        left = left[tried:]
        if not left:
            return
        if not why:
            if not tried:
                return
            continue  # An app that had to be imported anew for the rest.
        lost += 1
        on_line(_lost(job, left[0], why, True))
        left = left[1:]
        if not left:
            return
    for fault in left:
        on_line(_lost(job, fault, GIVEN_UP.format(MAX_LOST), False))


def environment(arm: Arm) -> dict[str, str]:
    """Return the variables of a child that runs `arm`, over what the user has set."""
    found = {
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        # Those of clouds ask their metadata services.
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel",
        # Answers of different processes are compared, and sets have an order there.
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0"),
    }
    if arm == "bare":
        found["OTEL_SDK_DISABLED"] = "true"
    if arm != "everylayer":
        found["EVERYLAYER_ENABLED"] = "false"
    return found


def _run_child(
    job: Job, on_line: Callable[[Chained | Trial], None], timeout: float, verbose: bool
) -> tuple[int, str]:
    """Return how many faults one child has tried, and why it was lost, "" if it was not."""
    child = _Child(job, timeout, verbose)
    tried = 0
    try:
        for line in child.lines():
            if "error" in line:
                raise TargetError(line["error"], line.get("details", ""))
            if "chain" in line:
                on_line(decode(Chained, line["chain"], "chain"))
            if "trial" in line:
                tried += 1
                on_line(decode(Trial, line["trial"], "trial"))
            if "unreached" in line:
                tried += 1
                on_line(Trial(job.arm, job.faults[tried - 1], reached=False, answer=Answer()))
    finally:
        child.end()
    why = child.fate()
    if why and not child.opened:
        raise TargetError(f"{why}{child.last_words()}", child.output())
    return tried, why


def _lost(job: Job, fault: Fault, why: str, reached: bool) -> Trial:
    return Trial(job.arm, fault, reached, Answer(hazards=(why,)))


class _Child:
    """One process, and what it says.

    Attributes:
        opened: the app was ready for a request.
    """

    def __init__(self, job: Job, timeout: float, verbose: bool) -> None:
        self.opened = False
        self._timeout = timeout
        self._verbose = verbose
        self._ended = False
        self._hung: float | None = None
        self._tail: deque[bytes] = deque()
        self._kept = 0
        self._answers, theirs = os.pipe()
        self._output, printed = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "everylayer.audit.arm", str(theirs)],
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                env={**os.environ, **environment(job.arm)},
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._answers)
            os.close(self._output)
            raise
        finally:
            os.close(theirs)
            os.close(printed)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(dump(job).encode() + b"\n")

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what the child writes, until it ends or takes too long."""
        part = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(self._output, selectors.EVENT_READ)
            until = time.monotonic() + max(START, self._timeout)
            while not self._ended:
                ready = {key.fd for key, _ in selector.select(min(0.2, self._timeout))}
                if self._output in ready and not self._printed():
                    selector.unregister(self._output)
                if self._answers in ready:
                    got = os.read(self._answers, 65_536)
                    if not got:
                        return
                    *whole, part = (part + got).split(b"\n")
                    for text in whole:
                        yield self._take(json.loads(text))
                    if whole:
                        wait = self._timeout if self.opened else max(START, self._timeout)
                        until = time.monotonic() + wait
                elif not ready and self._process.poll() is not None:
                    return  # A process that the app left behind may hold the pipe open.
                elif time.monotonic() > until:
                    self._hung = self._timeout if self.opened else max(START, self._timeout)
                    return

    def _take(self, line: dict[str, Any]) -> dict[str, Any]:
        self.opened = ("ready" in line or self.opened) and "opening" not in line
        self._ended = self._ended or "end" in line
        return line

    def _printed(self) -> bool:
        """Take what the app has printed; False at the end of it."""
        data = os.read(self._output, 65_536)
        if self._verbose and data:
            sys.stderr.write(data.decode("utf-8", "replace"))
            sys.stderr.flush()
        self._tail.append(data)
        self._kept += len(data)
        while self._kept - len(self._tail[0]) > _TAIL:
            self._kept -= len(self._tail.popleft())
        return bool(data)

    def end(self) -> None:
        """End the process and all that it has started."""
        os.close(self._answers)
        until = time.monotonic() + (_GRACE if self._hung is None else 0.0)
        while self._process.poll() is None and time.monotonic() < until:
            self._drain()
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._drain()
        os.close(self._output)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._printed():
                pass

    def fate(self) -> str:
        """Return why the child did not do all, "" if it did."""
        if self._ended:
            return ""
        if self._hung is not None:
            text = HUNG if self.opened else "the app was not open after {} s"
            return text.format(f"{self._hung:g}")
        code = self._process.returncode
        if code < 0:
            return DIED.format(f"signal {_signal_name(-code)}")
        return DIED.format(f"exit code {code}, without an exception (os._exit, or a crash)")

    def output(self) -> str:
        """Return the end of what the app printed."""
        return b"".join(self._tail).decode("utf-8", "replace")

    def last_words(self) -> str:
        """Return the last line that the app printed, as the end of a sentence."""
        lines = self.output().strip().splitlines()
        return f"; the last that it printed was: {lines[-1].strip()[:200]}" if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
