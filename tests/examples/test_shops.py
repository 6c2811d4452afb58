"""Each shop imports, serves, and fails where it is told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TARGETS = {
    "django": "django_shop.wsgi:application",
    "flask": "flask_shop.wsgi:app",
    "starlette": "starlette_shop.asgi:app",
}


def serve(shop: str, *requests: tuple[str, str]) -> list[dict[str, object]]:
    """Return the answers of `shop` to requests given as path and `x-fail`."""
    asked = [{"path": path, "fail": fail} for path, fail in requests]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "DJANGO_"))}
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("serve_once.py")),
            TARGETS[shop],
            json.dumps(asked),
        ],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, object]] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("shop", TARGETS)
def test_works(shop: str) -> None:
    health, order, stock, sold_out, report, down = serve(
        shop,
        ("/health", ""),
        ("/orders/7", ""),
        ("/stock/espresso", ""),
        ("/stock/tea", ""),
        ("/report.csv", ""),
        ("/stock/espresso", "inventory"),
    )
    assert health == {"status": 200, "body": "ok"}
    assert (order["status"], json.loads(str(order["body"]))) == (200, {"order": 7, "total": 6930})
    assert (stock["status"], json.loads(str(stock["body"]))["left"]) == (200, 12)
    assert (sold_out["status"], json.loads(str(sold_out["body"]))) == (
        409,
        {"error": "no tea is left"},
    )
    assert (report["status"], report["body"]) == (200, "order,total\n1,990\n2,1980\n")
    assert down["status"] == 503


@pytest.mark.parametrize(
    ("shop", "tenant", "denied"),
    [("django", 500, 403), ("flask", 503, 403), ("starlette", 503, 400)],
)
def test_fails_on_request(shop: str, tenant: int, denied: int) -> None:
    answers = serve(
        shop, ("/orders/7", "tenant"), ("/orders/7", "credentials"), ("/orders/7", "view")
    )
    assert [answer["status"] for answer in answers] == [tenant, denied, 500]
