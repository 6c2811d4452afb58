"""`multiprocessing.Process` whose uncaught error, or sudden end, is recorded by its parent."""

from __future__ import annotations

import _thread
import functools
import multiprocessing
import os
import pickle
import select
import signal
import time
from contextvars import copy_context
from multiprocessing import connection
from typing import Any

from ..failsafe import contained
from . import crossing
from .away import label_of
from .failure import sight
from .restored import restore
from .stubs import tblib_or_explain
from .tree import Carried, carry

_FINE = "fine"
_NOTHING = b""
_PATIENCE = 0.2


class ProcessDied(RuntimeError):
    """A process ended before its work did, and nothing was raised there."""


class Process(multiprocessing.Process):
    """Runs within the span of the request that starts it, which hears of its end.

    Takes the arguments of `multiprocessing.Process`.
    """

    _watch: _Watch | None = None
    _stopped = False

    def start(self) -> None:
        """Start the process.

        Raises:
            ModuleNotFoundError: tblib is missing.
        """
        tblib_or_explain()
        here = crossing.here()
        # Gone once it has started.
        own = vars(self)
        label = label_of(own.get("_target") or type(self))
        reader, writer = multiprocessing.Pipe(duplex=False)
        own["run"] = functools.partial(_run, self, writer, here.data)
        try:
            super().start()
        except BaseException:
            reader.close()
            raise
        finally:
            writer.close()
            del own["run"]
        self._watch = _Watch(self, reader, here, label)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the process, whose error is recorded then."""
        super().join(timeout)
        if self._watch is not None and self.exitcode is not None:
            self._watch.wait(timeout)

    def terminate(self) -> None:
        """End the process; that it ends so is no error."""
        self._stopped = True
        super().terminate()

    def kill(self) -> None:
        """End the process at once; that it ends so is no error."""
        self._stopped = True
        super().kill()


def _run(process: Process, writer: Any, origin: bytes | None) -> None:
    copy_context().run(_run_within, process, writer, origin)


def _run_within(process: Process, writer: Any, origin: bytes | None) -> None:
    crossing.enter(origin)
    word: Carried | str = _FINE
    try:
        # The instance's own is this function.
        type(process).run(process)
    except SystemExit as exc:
        if exc.code not in (None, 0):
            word = carry(exc, skip=1)
        raise
    except BaseException as exc:
        word = carry(exc, skip=1)
        raise
    finally:
        _send(writer, word)


@contained
def _send(writer: Any, word: Carried | str) -> None:
    # Pickling anything is dear in a fork, which has to copy each page that it touches.
    writer.send_bytes(_NOTHING if word == _FINE else pickle.dumps(word))


class _Watch:
    """Waits for what a process says, in a thread of its own, and records what it died of."""

    __slots__ = ("_here", "_label", "_process", "_reader", "_thread", "_waiting")

    def __init__(self, process: Process, reader: Any, here: crossing.Crossing, label: str) -> None:
        self._process = process
        self._reader = reader
        self._here = here
        self._label = label
        # Held until the end has been looked at.
        self._waiting = _thread.allocate_lock()
        self._waiting.acquire()
        self._thread = True
        try:
            # Not `threading.Thread`, whose start and end cost more than all the rest of this.
            _thread.start_new_thread(self._look, ())
        except RuntimeError:
            # No thread can begin any more, or there are too many: whoever joins it looks.
            self._thread = False

    def wait(self, timeout: float | None) -> None:
        """Return once it has been recorded how the process ended, which it has."""
        if not self._thread:
            self._thread = True
            self._look()
        if self._waiting.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            self._waiting.release()

    def _look(self) -> None:
        try:
            _record(self._process, self._reader, self._here, self._label)
        finally:
            self._waiting.release()


@contained
def _record(process: Process, reader: Any, here: crossing.Crossing, label: str) -> None:
    try:
        word = _word_of(process, reader)
    finally:
        reader.close()
    span, tenant = here.span, here.tenant or ""
    if word == _FINE or not span.get_span_context().is_valid:
        return
    if isinstance(word, Carried):
        error, sensitive = restore(word), word.sensitive
        sight(error, span, label, asked=False, sensitive=sensitive, tenant=tenant)
    elif not process._stopped:
        ended = _ended_by(process)
        if ended is not None:
            died = ProcessDied(f"{process.name} {ended}")
            sight(died, span, label, asked=False, tenant=tenant)


def _word_of(process: Process, reader: Any) -> Carried | str | None:
    """Return what the process has said at its end, None if it could not."""
    # Not the end of the pipe alone: another fork may hold its other side open.
    ready = _ready(reader, process.sentinel)
    try:
        if reader in ready:
            data = reader.recv_bytes()
            word: Carried | str = pickle.loads(data) if data else _FINE
            return word
    except (EOFError, OSError):
        pass
    _ready(process.sentinel)
    return None


def _ready(*sources: Any) -> list[Any]:
    """Do what `connection.wait` does, which makes a selector and thrice the work of it."""
    if not hasattr(select, "poll"):
        return connection.wait(sources)
    poll = select.poll()
    for source in sources:
        poll.register(source, select.POLLIN)
    ready = {fd for fd, _ in poll.poll()}
    return [each for each in sources if (each if type(each) is int else each.fileno()) in ready]


def _ended_by(process: Process) -> str | None:
    """Return how the process ended, None for an orderly exit; without reaping it.

    Whoever joins it does that, and would be told nothing if somebody else already had.
    """
    code = _code_of(process)
    if code is None and hasattr(os, "waitid") and process.pid is not None:
        try:
            found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            found = None
        if found is not None:
            code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
    deadline = time.monotonic() + _PATIENCE
    while code is None and time.monotonic() < deadline:
        # Another thread has just reaped it, and is about to say so.
        time.sleep(0.002)
        code = _code_of(process)
    if code is None:
        return "ended without a word"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}, and nothing was raised" if code else None


def _code_of(process: Process) -> int | None:
    # Not `exitcode`, which would reap it. None of a Python that keeps it elsewhere.
    code: int | None = getattr(getattr(process, "_popen", None), "returncode", None)
    return code
