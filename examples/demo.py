"""Break every layer of the five shops and show what reaches the trace.

Each shop runs twice under a real server: with OpenTelemetry alone, and with everylayer added.
Their spans arrive over OTLP in this process, and the tables are computed from those alone.

Exit status: 0 when everylayer lost no error and changed no response, 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from shop import inventory
from showcase import report
from showcase.cases import CASES, NO_ANSWER, Case
from showcase.client import Answer, send
from showcase.judge import judge
from showcase.receiver import Receiver
from showcase.rpc import call
from showcase.servers import EXAMPLES, Server, running, spec

TITLES = {
    "django": "Django under gunicorn",
    "flask": "Flask under gunicorn",
    "starlette": "Starlette under uvicorn",
    "grpc": "gRPC with threads",
    "grpc-aio": "gRPC with asyncio",
}
WIDTH = 150
Sent = dict[tuple[str, bool, Case], tuple[str, Answer]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("shops", nargs="*", help=f"{', '.join(CASES)}; all of them by default")
    chosen = parser.parse_args(arguments).shops or list(CASES)
    for name in chosen:
        if name not in CASES:
            parser.error(f"there is no shop {name!r}; choose from {', '.join(CASES)}")
    # A polite kill unwinds like Ctrl-C, so that the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    try:
        return run(console, chosen)
    except KeyboardInterrupt:
        report.show(console, "interrupted; all servers are stopped")
        return 130
    except RuntimeError as error:
        report.show(console, str(error))
        return 2


def run(console: Console, shops: Sequence[str]) -> int:
    """Start everything, send all requests, print what came of them."""
    stand_in = inventory.server()
    threading.Thread(target=stand_in.serve_forever, daemon=True).start()
    with Receiver() as receiver, tempfile.TemporaryDirectory() as folder:
        static = Path(folder, "static")
        static.mkdir()
        for name in ("logo.svg", "old.css"):
            (static / name).write_text(name)
        environ = {
            **{key: value for key, value in os.environ.items() if not _is_tracing(key)},
            "PYTHONPATH": str(EXAMPLES),
            "PYTHONUNBUFFERED": "1",
            "INVENTORY_URL": f"http://127.0.0.1:{stand_in.server_port}",
            "SHOP_STATIC_ROOT": str(static),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        specs = [spec(shop, everylayer=ours) for shop in shops for ours in (False, True)]
        report.show(console, f"starting {len(specs)} servers on loopback ...")
        with running(specs, environ, Path(folder)) as servers:
            # The shops know their files by now; a deploy takes one away under them.
            (static / "old.css").unlink()
            sent = send_all(servers)
        # The servers have ended, so every span they had is here.
        return conclude(console, shops, sent, receiver)


def _is_tracing(variable: str) -> bool:
    return variable.startswith(("OTEL_", "EVERYLAYER_"))


def send_all(servers: Sequence[Server]) -> Sent:
    """Send every case to every server, each in a trace of its own."""
    sent: Sent = {}
    for server in servers:
        for case in CASES[server.spec.shop]:
            trace_id = uuid.uuid4().hex
            ask = call if server.spec.is_grpc else send
            answer = ask(server.port, case.path, case.request_headers, trace_id)
            sent[server.spec.shop, server.spec.everylayer, case] = (trace_id, answer)
    return sent


def conclude(
    console: Console,
    shops: Sequence[str],
    sent: Mapping[tuple[str, bool, Case], tuple[str, Answer]],
    receiver: Receiver,
) -> int:
    """Print a table for each shop and one trace; return the exit status."""
    rows: list[report.Row] = []
    for shop in shops:
        mine: list[report.Row] = []
        for case in CASES[shop]:
            stock_id, stock_answer = sent[shop, False, case]
            own_id, answer = sent[shop, True, case]
            stock = judge(case, stock_answer, receiver.trace(stock_id))
            own = judge(case, answer, receiver.trace(own_id))
            mine.append(report.Row(case, stock_answer, answer, stock, own))
        console.print(report.table(TITLES[shop], mine))
        console.print()
        rows += mine
    example = next(case for case in CASES[shops[0]] if case.type == NO_ANSWER)
    console.print(report.tree(receiver.trace(sent[shops[0], True, example][0])))
    console.print()
    report.show(console, f"All together: {report.totals(rows)}.")
    good = all(row.everylayer.kept and row.same for row in rows)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
