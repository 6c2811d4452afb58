"""What the process does at this moment: each thread and task, its stack, and its trace.

For a request that is stuck: its trace id leads to the line where it waits, and the other way round.
Nothing is prepared for it while requests are served; see `running/spans.py`.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from types import FrameType
from typing import Any, TypeVar

from opentelemetry.trace import Span, format_span_id, format_trace_id

from .. import text
from ..failsafe import contained
from ..redaction import guard
from ..redaction.redactor import FAILED, MARGIN
from ..settings import current
from . import spans, stacks, tasks

_MAX_LINE_BYTES = 512
_MAX_NAME_CHARS = 200
# Each of threads and tasks: how many are shown, and how much their stacks may take.
_MAX_SHOWN = 500
_MAX_STACK_BYTES = 512 * 1024

# What waits in a way of its own, and what it calls those who wait.
_UNSEEN = {"gevent": "greenlets", "eventlet": "greenlets", "trio": "trio's tasks"}

_E = TypeVar("_E", "ThreadState", "TaskState")


@dataclass(frozen=True)
class TraceRef:
    """The span that a thread or task works in.

    Attributes:
        trace_id: in hexadecimal, 32 digits.
        span_id: in hexadecimal, 16 digits.
        name: "" where the span does not record, so that it has none.
        since: when the span began, nanoseconds since the epoch; 0 if that is not known.
        ended: the span has ended, but not the work.
    """

    trace_id: str
    span_id: str
    name: str = ""
    since: int = 0
    ended: bool = False


@dataclass(frozen=True)
class ThreadState:
    """A thread.

    Attributes:
        name: as `threading` knows it.
        ident: its number there.
        daemon: the process ends without waiting for it.
        task: the name of the asyncio task that it runs, "" for none.
        trace: what it works for, None for nothing that is known.
        stack: its lines, the innermost last, as in a traceback.
    """

    name: str
    ident: int
    daemon: bool = False
    task: str = ""
    trace: TraceRef | None = None
    stack: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskState:
    """An asyncio task that is not done.

    Attributes:
        name: as asyncio knows it.
        coroutine: qualified name of its outermost coroutine.
        thread: ident of the thread that runs its loop, 0 where that is not known.
        running: it is being run, so that its stack is that of its thread.
        awaits: what it waits for, in a few words.
        trace: what it works for, None for nothing that is known.
        stack: its lines, the innermost last, as in a traceback.
    """

    name: str
    coroutine: str
    thread: int = 0
    running: bool = False
    awaits: str = ""
    trace: TraceRef | None = None
    stack: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """Threads and tasks; those with a trace come first, the oldest span at the top.

    Attributes:
        time: when it was taken, nanoseconds since the epoch.
        pid: the id of the process.
        threads: its threads.
        tasks: the tasks of its event loops that are not done.
        threads_left_out: how many more threads there were than a snapshot shows.
        tasks_left_out: and how many more tasks.
        notes: what it could not see.
    """

    time: int
    pid: int
    threads: tuple[ThreadState, ...] = ()
    tasks: tuple[TaskState, ...] = ()
    threads_left_out: int = 0
    tasks_left_out: int = 0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Return it for people to read."""
        taken = datetime.fromtimestamp(self.time / 1e9, timezone.utc).isoformat(" ", "seconds")
        parts = [f"process {self.pid} at {taken}", *(f"note: {note}" for note in self.notes)]
        parts += ["", f"{len(self.threads) + self.threads_left_out} threads"]
        for thread in self.threads:
            about = [f"thread {thread.name!r} ({thread.ident})"]
            about += [f"runs task {thread.task!r}"] if thread.task else []
            parts += self._entry(about, thread)
        if self.threads_left_out:
            parts += ["", f"[... {self.threads_left_out} threads left out ...]"]
        parts += ["", f"{len(self.tasks) + self.tasks_left_out} asyncio tasks"]
        for task in self.tasks:
            about = [f"task {task.name!r}", task.coroutine, "is running" if task.running else ""]
            about += [f"waits for {task.awaits}"] if task.awaits else []
            parts += self._entry(about, task)
        if self.tasks_left_out:
            parts += ["", f"[... {self.tasks_left_out} tasks left out ...]"]
        return "\n".join(parts) + "\n"

    def _entry(self, about: list[str], state: ThreadState | TaskState) -> list[str]:
        lines = ["", ", ".join(filter(None, about))]
        trace = state.trace
        if trace is not None:
            about = [f"  trace {trace.trace_id}", f"span {trace.span_id}", trace.name]
            if trace.since:
                about.append(f"for {(self.time - trace.since) / 1e9:.3f} s")
            lines.append(", ".join(filter(None, [*about, "ended" if trace.ended else ""])))
        return [*lines, *state.stack]


def snapshot() -> Snapshot:
    """Return what each thread and each asyncio task of the process does at this moment.

    It never raises, takes no lock, and keeps no frame. What it cannot see, it says in `notes`.
    """
    taken = _take()
    if taken is None:
        return Snapshot(time.time_ns(), os.getpid(), notes=("the snapshot failed, see the log",))
    return taken


def clean(value: object, limit: int = _MAX_NAME_CHARS) -> str:
    """Return `value` as a snapshot may show it: all that is text in one passes here.

    Names too may have secrets in them, of a task as of a span: they pass the policy's rules.
    """
    if not isinstance(value, str):
        return ""
    redactor = guard.redactor_of(current().redaction)
    if redactor is not None:
        value, _ = redactor.bounded(value, limit)
    return text.one_line(value, limit)


def _clean_line(line: str) -> str:
    """Return a line of a stack, which may be one of source: only its literals are values."""
    indent = len(line) - len(line.lstrip(" "))
    redactor = guard.redactor_of(current().redaction)
    if redactor is not None and len(line) > MARGIN:
        line = redactor.head(line, _MAX_LINE_BYTES)
    elif redactor is not None:
        try:
            line = redactor.code(line)
        except RuntimeError:
            line = FAILED
    return " " * min(indent, 8) + text.one_line(line, _MAX_LINE_BYTES)


@contained
def _take() -> Snapshot:
    # Not our own: a stack begins at whoever asked. No ident tells which: gevent's is another.
    frames = {ident: _caller(frame) for ident, frame in sys._current_frames().items()}
    try:
        idents = list(frames)
        loops = tasks.all_loops(frames.values())
        of_loop = {key: idents[index] for key, (_, index) in loops.items()}
        running = {of_loop[key]: tasks.running_task(loop) for key, (loop, _) in loops.items()}
        found_tasks = tasks.all_tasks(loop for loop, _ in loops.values())
        by_task = [_of_task(task, of_loop, running) for task in found_tasks]
        by_thread = [_of_thread(ident, frames[ident], running.get(ident)) for ident in idents]
    finally:
        # Whoever fails here leaves a traceback, and that this frame.
        frames.clear()
    threads, threads_left = _bounded(by_thread)
    others, tasks_left = _bounded(by_task)
    return Snapshot(
        time.time_ns(),
        os.getpid(),
        threads,
        others,
        threads_left,
        tasks_left,
        tuple(
            f"{library} is loaded: {what} that wait are not seen"
            for library, what in _UNSEEN.items()
            if library in sys.modules
        ),
    )


# A value without its stack's text: reading sources waits until no frame is held any more.
_Found = tuple[_E, stacks.Stack]


@contained
def _of_thread(ident: int, frame: FrameType, task: Any) -> _Found[ThreadState]:
    thread = getattr(threading, "_active", {}).get(ident)  # `enumerate` takes a lock
    frames = list(spans.outwards(frame))
    span = _span_of_task(task, frames) if task is not None else spans.of_stack(frames)
    state = ThreadState(
        clean(getattr(thread, "name", "")),
        ident,
        bool(getattr(thread, "daemon", False)),
        "" if task is None else clean(task.get_name()),
        _trace_of(span),
    )
    return state, stacks.stack_of(frames)


@contained
def _of_task(task: Any, of_loop: dict[int, int], running: dict[int, Any]) -> _Found[TaskState]:
    frames, awaited = stacks.coroutine_frames(task.get_coro())
    thread = of_loop.get(id(task.get_loop()), 0)
    state = TaskState(
        clean(task.get_name()),
        clean(getattr(task.get_coro(), "__qualname__", "")),
        thread,
        running.get(thread) is task,
        _waits_for(getattr(task, "_fut_waiter", None) or awaited),
        _trace_of(_span_of_task(task, frames)),
    )
    return state, stacks.stack_of(frames)


def _span_of_task(task: Any, frames: list[FrameType]) -> Span | None:
    context = tasks.context_of(task)
    found = spans.of_context(context) if context is not None else None
    return found or spans.of_stack(frames)


def _waits_for(awaited: Any) -> str:
    asyncio = sys.modules["asyncio"]
    if awaited is None:
        return ""
    if isinstance(awaited, asyncio.Task):
        return f"task {clean(awaited.get_name())!r}"
    return clean(text.class_name(type(awaited)))


def _trace_of(span: Span | None) -> TraceRef | None:
    if span is None:
        return None
    context = span.get_span_context()
    return TraceRef(
        format_trace_id(context.trace_id),
        format_span_id(context.span_id),
        clean(getattr(span, "name", "")),
        getattr(span, "start_time", None) or 0,
        getattr(span, "end_time", None) is not None,
    )


def _bounded(found: list[_Found[_E] | None]) -> tuple[tuple[_E, ...], int]:
    """Return the values with their stacks, as many as may be shown, and how many more there are."""
    known = sorted((each for each in found if each is not None), key=_by_age)
    shown: list[_E] = []
    room = _MAX_STACK_BYTES
    for state, stack in known[:_MAX_SHOWN]:
        lines = tuple(map(_clean_line, stack.lines()))
        room -= sum(map(len, lines))
        if room < 0:
            break
        shown.append(dataclasses.replace(state, stack=lines))
    return tuple(shown), len(found) - len(shown)


def _by_age(found: tuple[ThreadState | TaskState, stacks.Stack]) -> tuple[bool, int]:
    trace = found[0].trace
    return trace is None, trace.since if trace is not None else 0


def _caller(frame: FrameType) -> FrameType:
    """Return the first frame outwards of `frame` that is not of this module or of its wrappers."""
    for each in spans.outwards(frame):
        if spans.module_of(each) not in (__name__, "everylayer.failsafe"):
            return each
    return frame
