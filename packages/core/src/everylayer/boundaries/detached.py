"""`detached="record"`: what a request has started and forgotten, without any change of its code.

Every patch, and what tells that the work was forgotten:

- `threading.Thread.start` keeps the span with the thread; `threading.excepthook` says how it ended.
- `concurrent.futures.thread._WorkItem`, in which a pool keeps a call, keeps it with that. A future
  whose call has failed is of a class of ours until somebody asks it.
- `asyncio.BaseEventLoop.call_exception_handler`, and that of uvloop's once it is loaded, says that
  nobody has awaited a task, or that a callback failed. A loop's own handler stays where it is.
  Before Python 3.12 a task does not tell its context: `create_task` keeps the span with it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..failsafe import contained
from ..forks import ForkLock
from .patch import Patch

_lock = ForkLock()
_patches: dict[str, Patch] = {}
_UVLOOP = "uvloop"


class _Awaiting:
    """Finds nothing by itself; when uvloop is imported, its loops are hooked."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _UVLOOP:
            return None
        self.rest()
        return _with_start(name)

    def rest(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)


@contained
def _with_start(name: str) -> ModuleSpec | None:
    from importlib.util import find_spec

    spec = find_spec(name)
    loader: Any = spec.loader if spec is not None else None
    if loader is not None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if _patches:
                start()

        loader.exec_module = exec_module
    return spec


_awaiting: Any = _Awaiting()


@contained
def start() -> None:
    """Put the patches in place, those that are not."""
    import asyncio
    import threading

    from . import forgotten_futures, forgotten_tasks, forgotten_threads

    loops = {"asyncio": asyncio.BaseEventLoop}
    uvloop = sys.modules.get(_UVLOOP)
    if hasattr(uvloop, "Loop"):
        loops[_UVLOOP] = uvloop.Loop  # type: ignore[union-attr]
    with _lock:
        if _UVLOOP not in loops and _awaiting not in sys.meta_path:
            # Servers load it when they begin, which may be after the app.
            sys.meta_path.insert(0, _awaiting)
        _put("start", Patch(threading.Thread, "start", forgotten_threads.start))
        _put("excepthook", Patch(threading, "excepthook", forgotten_threads.excepthook))
        pools = forgotten_futures.patch()
        if pools is not None:
            _put("pools", pools)
        for name, loop in loops.items():
            handler = forgotten_tasks.call_exception_handler
            _put(f"{name}.handler", Patch(loop, "call_exception_handler", handler))
            if sys.version_info < (3, 12):
                _put(f"{name}.task", Patch(loop, "create_task", forgotten_tasks.create_task))


def _put(name: str, patch: Patch) -> None:
    _patches.setdefault(name, patch).put()


@contained
def stop() -> None:
    """Take the patches out again."""
    with _lock:
        _awaiting.rest()
        while _patches:
            _patches.popitem()[1].undo()
