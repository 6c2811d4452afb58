"""`multiprocessing.Process` whose uncaught error, or sudden end, is recorded by its parent."""

from __future__ import annotations

import _thread
import contextvars
import functools
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from multiprocessing import connection, util
from typing import Any

from ..failsafe import contained
from . import crossing, word
from .away import label_of
from .failure import sight
from .restored import restore
from .stubs import tblib_or_explain
from .tree import Carried, carry

_PATIENCE = 0.2
_REHEARSALS = 16
# Seconds after its end for which a process is believed to have said something.
_LATEST = 1.0


class ProcessDied(RuntimeError):
    """A process ended before its work did, and nothing was raised there."""


class Process(multiprocessing.Process):
    """Runs within the span of the request that starts it, which hears of its end.

    Takes the arguments of `multiprocessing.Process`.
    """

    _errand: _Errand | None = None
    _end: _End | None = None
    _stopped = False
    _threadless = False

    def start(self) -> None:
        """Start the process.

        Raises:
            ModuleNotFoundError: tblib is missing.
        """
        _prepare()
        here = crossing.here()
        # What a fork finds done it need not do, for the first time and so at a higher price.
        crossing.arrived(here.data)
        reader, writer = word.line()
        self._errand = _Errand(writer, here.data)
        # Gone once it has started.
        target = getattr(self, "_target", None)
        overridden = type(self).run is not Process.run
        if overridden:
            self.run = functools.partial(_run, self)  # type: ignore[method-assign]
        try:
            super().start()
        except BaseException:
            word.close(reader)
            raise
        finally:
            word.close(writer)
            self._errand = None
            if overridden:
                del self.run
        told = _thread.allocate_lock()
        told.acquire()
        self._end = end = _End(reader, here, [target], told)
        try:
            # Not `threading.Thread`, whose start and end cost more than all the rest of this.
            _thread.start_new_thread(_look, (self, end))
        except RuntimeError:
            # No thread can begin any more, or there are too many: whoever joins it looks.
            self._threadless = True

    def run(self) -> None:
        """Do the work; in the child within what has crossed."""
        _work(self, super().run)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the process, whose error is recorded then."""
        super().join(timeout)
        end = self._end
        if end is not None and (timeout is None or self.exitcode is not None):
            if self._threadless:
                self._threadless = False
                _look(self, end)
            _settle(self, end, timeout)

    def terminate(self) -> None:
        """End the process; that it ends so is no error."""
        self._stopped = True
        super().terminate()

    def kill(self) -> None:
        """End the process at once; that it ends so is no error."""
        self._stopped = True
        super().kill()


class _Errand:
    """What a process takes with it.

    Args:
        writer: where it says how it ended.
        origin: what has crossed to it.
    """

    __slots__ = ("origin", "writer")

    def __init__(self, writer: Any, origin: bytes | None) -> None:
        self.writer = writer
        self.origin = origin

    def __reduce__(self) -> Any:
        # A fork has the writer; others are sent it.
        return _received, (word.packed(self.writer), self.origin)


def _received(sent: Any, origin: bytes | None) -> _Errand:
    return _Errand(word.unpacked(sent), origin)


class _End:
    """The end of a process.

    Args:
        reader: where it says how it ended.
        here: what has crossed to it.
        target: its work; whoever is to look at the end takes it out.
        told: a lock that is held until then.
    """

    __slots__ = ("here", "reader", "target", "told")

    def __init__(self, reader: Any, here: crossing.Crossing, target: list[Any], told: Any) -> None:
        self.reader = reader
        self.here = here
        self.target = target
        self.told = told


@functools.cache
def _prepare() -> None:
    tblib_or_explain()
    _rehearse()


@contained
def _rehearse() -> None:
    """Do what only children do, until Python has adapted its code to that: they inherit it."""
    reader, writer = word.line()
    try:
        rehearsal: Any = object.__new__(Process)
        for _ in range(_REHEARSALS):
            rehearsal._errand = _Errand(writer, None)
            contextvars.copy_context().run(_work, rehearsal, _nothing)
            word.received(reader)
    finally:
        word.close(reader)
        word.close(writer)


def _nothing() -> None:
    return


def _run(process: Process) -> None:
    """Stand for the `run` of a class that has its own, which may call ours."""
    _work(process, functools.partial(type(process).run, process))


def _work(process: Process, run: Callable[[], None]) -> None:
    errand = process._errand
    if errand is None:
        run()
        return
    process._errand = None
    # The child's own context, in which nobody else is.
    crossing.enter(errand.origin)
    try:
        run()
    except BaseException as exc:
        _say(errand.writer, exc)
        raise
    word.fine(errand.writer)


@contained
def _say(writer: Any, exc: BaseException) -> None:
    if isinstance(exc, SystemExit) and exc.code in (None, 0):
        word.fine(writer)
    else:
        word.send(writer, pickle.dumps(carry(exc, skip=1)))


def _look(process: Process, end: _End) -> None:
    try:
        data = word.received(end.reader)
        word.close(end.reader)
    except OSError:
        # The app has closed whatever was open.
        data = None
    _tell(process, end, data)


def _tell(process: Process, end: _End, data: bytes | None) -> None:
    try:
        target = end.target.pop()
    except IndexError:
        return
    try:
        # Nothing is said of a good end.
        if data != b"":
            _record(process, data, end.here, target or type(process))
    finally:
        # Whoever joins it need not ask the lock any more.
        process._end = None
        end.told.release()


def _settle(process: Process, end: _End, timeout: float | None) -> None:
    """Return once it has been recorded how the process ended, which it has."""
    patience = _LATEST if timeout is None else min(max(timeout, 0), _LATEST)
    if not end.told.acquire(timeout=patience):
        if patience < _LATEST:
            return
        # It died without a word, and a process of its own holds the pipe open.
        _tell(process, end, None)
        if not end.told.acquire(timeout=-1 if timeout is None else timeout - patience):
            return
    end.told.release()


@contained
def _record(process: Process, data: bytes | None, here: crossing.Crossing, target: Any) -> None:
    span, tenant, label = here.span, here.tenant or "", label_of(target)
    if not span.get_span_context().is_valid:
        return
    if data is not None:
        died: Carried = pickle.loads(data)
        error, sensitive = restore(died), died.sensitive
        sight(error, span, label, asked=False, sensitive=sensitive, tenant=tenant)
    # Daemons are ended with their parent, by `multiprocessing`.
    elif not (process._stopped or (process.daemon and util.is_exiting())):
        connection.wait([process.sentinel], _LATEST)
        ended = _ended_by(process)
        if ended is not None:
            dead = ProcessDied(f"{process.name} {ended}")
            sight(dead, span, label, asked=False, tenant=tenant)


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
