"""Serve some requests of one shop without a server and print the answers as JSON.

A process of its own for each shop: Django can be set up once only.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests" / "support")]

TOKEN = ("authorization", "Bearer secret")


def main(target: str, requests: list[dict[str, str]]) -> None:
    """Call the app at `module:attribute` for each request, in order."""
    from contract import drive
    from shop import inventory

    stand_in = inventory.server()
    threading.Thread(target=stand_in.serve_forever, daemon=True).start()
    os.environ["INVENTORY_URL"] = f"http://127.0.0.1:{stand_in.server_port}"
    module, _, attribute = target.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    answers: list[dict[str, object]] = []
    if module.startswith("starlette"):
        from starlette.testclient import TestClient

        with TestClient(app, raise_server_exceptions=False) as client:
            for request in requests:
                got = client.get(
                    request["path"], headers=dict([TOKEN, ("x-fail", request["fail"])])
                )
                answers.append({"status": got.status_code, "body": got.text})
    else:
        for request in requests:
            headers = [TOKEN, ("x-fail", request["fail"])]
            run = drive.run_wsgi(app, drive.environ(request["path"], headers))
            answers.append({"status": run.status, "body": run.body.decode()})
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
