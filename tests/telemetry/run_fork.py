"""Fork in the middle of a request while another thread holds every lock of ours; print answers.

A process of its own, and each half of it ends by itself where it hangs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

TOO_LONG = 60  # seconds
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contract import drive  # noqa: E402
from contract.telemetry import error_events, install  # noqa: E402
from everylayer import failsafe, ledger, own_failures, wsgi  # noqa: E402
from everylayer.settings import Settings  # noqa: E402


def hold_locks(held: threading.Event, release: threading.Event) -> None:
    """Be the thread that is inside all of our critical sections."""
    with ledger._lock, failsafe._lock:
        held.set()
        release.wait()


def broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("a failure of everylayer's own")


def main() -> None:
    """Serve one request that forks before it fails; each process writes one line."""
    telemetry = install()
    held, release = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold_locks, args=(held, release), daemon=True)
    children: list[int] = []

    def app(environ: Any, start_response: Any) -> Any:
        holder.start()
        held.wait()
        children.append(os.fork())
        signal.alarm(TOO_LONG)
        if children[0]:
            release.set()
            holder.join()
        raise ValueError("after the fork")

    def layer(environ: Any, start_response: Any) -> Any:
        try:
            return wsgi.Probe(app)(environ, start_response)
        except ValueError:
            start_response("500 Failed", [])
            return [b"failed"]

    run = drive.run_wsgi(wsgi.Seam(layer, Settings()), drive.environ("/"))
    failsafe.contained(broken)()
    line = {
        "child": children == [0],
        "status": run.status,
        "errors": [
            str((e.event.attributes or {})["exception.message"])
            for e in error_events(telemetry.spans)
        ],
        "failures": sum(own_failures().values()),
    }
    os.write(1, (json.dumps(line) + "\n").encode())
    if children == [0]:
        os._exit(0)
    os.waitpid(children[0], 0)


if __name__ == "__main__":
    main()
